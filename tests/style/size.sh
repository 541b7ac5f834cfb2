#!/bin/sh
# Files of more than 600 lines and functions of more than 60 are reported and fail the test. A function begins at the
# first line of its head and ends at the brace in the first column.
set -eu
top=${top_srcdir:-$(dirname "$0")/../..}
cd "$top"

list=$(find bench ctl daemon include plugins tests -name '*.[ch]' -type f | LC_ALL=C sort)
[ -n "$list" ] || { echo "no sources found in $top"; exit 1; }

# shellcheck disable=SC2086 # the names have no blanks
awk -v max_file=600 -v max_function=60 '
	function end_of_file() {
		if (file != "" && last > max_file) {
			printf "%s: %d lines, at most %d are allowed\n", file, last, max_file
			bad = 1
		}
	}
	FNR == 1 {
		end_of_file()
		file = FILENAME
		head = 0
		body = 0
	}
	{ last = FNR }
	# a head: a name at the beginning of a line, going on to its brace; broken off by what ends a declaration
	!body && /^[A-Za-z_]/ && !/[;}]$/ && !head { head = FNR; name = $0 }
	!body && /^$/ { head = 0 }
	!body && /;$/ { head = 0 }
	/^{$/ { body = head ? head : FNR }
	/^}/ {
		if (body && FNR - body + 1 > max_function) {
			sub(/\(.*/, "", name)
			printf "%s:%d: %s has %d lines, at most %d are allowed\n", file, body, name, FNR - body + 1, max_function
			bad = 1
		}
		body = 0
		head = 0
	}
	END {
		end_of_file()
		exit bad
	}' $list
