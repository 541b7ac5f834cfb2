#!/bin/sh
# systemd-analyze finds nothing wrong with the service unit. Cannot be run (77) where it is missing.
set -eu
top_builddir=${top_builddir:-.}
command -v systemd-analyze >/dev/null || { echo "systemd-analyze is missing: apt-get install systemd"; exit 77; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# It also looks whether the program is there: take any that is.
sed "s|^ExecStart=[^ ]*|ExecStart=/bin/true|" "$top_builddir/systemd/concd.service" >"$dir/concd.service"
grep -q '^ExecStart=/bin/true -c /.*/concd.conf$' "$dir/concd.service" || { echo "ExecStart names no configuration"; exit 1; }
if grep -n '@[a-z]*@' "$dir/concd.service"; then
	echo "the unit has places that nobody filled in"
	exit 1
fi
systemd-analyze verify --man=no "$dir/concd.service" >"$dir/out" 2>&1 || status=$?
# Complaints about other units of this machine are not ours.
if grep 'concd\.service' "$dir/out" || [ "${status:-0}" -ne 0 ]; then
	cat "$dir/out"
	exit 1
fi
