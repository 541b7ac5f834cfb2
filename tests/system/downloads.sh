#!/usr/bin/env bash
# downloads: more at once than one of libcurl's multi handles is given, fewer after that, and cancelled while under way.
. "$(dirname "$0")/lib.sh"

N=2500
[ "$(ulimit -Hn)" -ge $((N + 500)) ] || { echo "not enough descriptors"; exit 77; }
server=$top_builddir/tests/tools/http_server
server_pid=
at_end() {
	local status=$?
	[ -z "$server_pid" ] || { kill -KILL "$server_pid"; wait "$server_pid"; } 2>/dev/null
	(exit $status)
	cleanup
}
trap at_end EXIT
"$server" >"$dir/port" 2>>"$dir/server.err" </dev/null &
server_pid=$!
wait_for 20 grep -q "^port " "$dir/port" || { fail "no server"; exit 1; }
at=http://127.0.0.1:$(sed -n 's/^port //p' "$dir/port")

write_config ""
daemon_start

# stats FIELD: what the server has counted.
mkdir "$dir/stats"
stats() {
	rm -f "$dir"/stats/*
	ctl -q run downloader -p dir="$dir/stats" "$at/stats" >/dev/null &&
		cat "$dir"/stats/* | tr ' ' '\n' | sed -n "/^$1\$/{n;p}"
}
# download N URL: so many at once, and every line right.
download() {
	yes "$2" | head -n "$1" >"$dir/urls"
	exits 0 ctl -q run downloader -m async -j $N -i "$dir/urls"
	equal "$1 downloads of $2 are right" "$(grep -cxF "200 10 $2" "$dir/out")" "$1"
}

download $N "$at/bytes/10?ms=700"
download $N "http://localhost:${at##*:}/bytes/10?ms=200"

# Connections go from one download to the next, also where the handles before had many.
before=$(stats connections)
yes "$at/bytes/10" | head -n 5000 >"$dir/urls"
exits 0 ctl -q run downloader -m async -j 50 -i "$dir/urls"
opened=$(($(stats connections) - before))
check "$opened connections for 5000 downloads" test "$opened" -lt 200

exits 0 ctl run downloader -d -m async -j $N -i <(yes "$at/stall" | head -n $N)
job=$(cat "$dir/out")
check "all are stalled" wait_for $((20 * slowness)) field_is running "$job" $N
exits 0 ctl cancel "$job"
check "all of them are cancelled" wait_for $((20 * slowness)) field_is cancelled "$job" $N
download 10 "$at/bytes/10"
finish
