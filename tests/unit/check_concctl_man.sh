#!/bin/sh
# The manual page has the commands and options of `concctl help`, and no others.
set -eu
LC_ALL=C
export LC_ALL
concctl=${top_builddir:-.}/concctl
man=${top_srcdir:-.}/ctl/concctl.1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

options() { grep -oE '(^|[^A-Za-z0-9-])--[a-z][a-z-]*' | grep -oE -- '--[a-z-]+' | sort -u; }
# Lines of one section of the page, unescaped: from its heading to the next.
section() { awk -v want="$1" '/^\.S[HS] /{ on = index($0 " ", want " ") == 1; next } on' "$man" | sed 's/\\-/-/g'; }
# In the page an option is explained below .TP, in a line that begins with .B or .BR and a dash.
explained() { section "$1" | grep -E '^\.BR? "?-' | options || :; }
listed() { "$concctl" help $1 | sed -n "/^$2:/,/^\$/p" | sed -E 's/  +[a-z0-9].*//' | options || :; }

status=0
compare() {
	if ! cmp -s "$tmp/help" "$tmp/man"; then
		echo "$1: help (<) and manual page (>) differ:"
		diff "$tmp/help" "$tmp/man" || :
		status=1
	fi
}

"$concctl" help | sed -n '/^Commands:/,/^$/p' | sed -nE 's/^  ([a-z].*)/\1/p' | sed -E 's/  +.*//' >"$tmp/help"
sed 's/\\-/-/g' "$man" | sed -n '/^\.SH COMMANDS/,/^\.SH EXIT/p' | sed -n 's/^\.SS //p' >"$tmp/man"
compare commands
test -s "$tmp/help" || { echo 'concctl help lists no commands'; exit 1; }

listed '' 'Options of every command' >"$tmp/help"
explained '.SH OPTIONS' >"$tmp/man"
compare 'options of every command'
test -s "$tmp/help" || { echo 'concctl help lists no options'; exit 1; }

for command in $("$concctl" help | sed -n '/^Commands:/,/^$/p' | sed -nE 's/^  ([a-z]+).*/\1/p'); do
	listed "$command" Options >"$tmp/help"
	explained ".SS $command" >"$tmp/man"
	compare "options of $command"
done
exit $status
