#!/bin/sh
# What README.md tells a new user to type is what .ci/run and the build offer.
set -eu
top=${top_srcdir:-$(dirname "$0")/../..}

fail() {
	echo "$*" >&2
	exit 1
}

for command in './bootstrap && make demo' './bootstrap && make check'; do
	grep -qF "$command" "$top/README.md" || fail "README.md does not say: $command"
done
grep -qF './bootstrap && make check' "$top/.ci/run" || fail ".ci/run does not run the README's test command"

# Every folder that the pages name is there.
for page in README.md ARCHITECTURE.md; do
	for path in $(grep -oE '`(daemon|ctl|plugins|include|tests|bench|conf|systemd)/[A-Za-z0-9_./-]*`' "$top/$page" |
		tr -d '`' | sort -u); do
		[ -e "$top/$path" ] || fail "$page names $path, which is not there"
	done
done
