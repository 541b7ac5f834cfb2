#!/usr/bin/env bash
# How long a job has run, and how much of its time limit that was, outlives the daemon.
. "$(dirname "$0")/lib.sh"

write_config 'workloads = { slow = { plugin = "sleeper"; model = "async"; grace = "100ms"; }; };'
daemon_start

of() { # KEY JOB: a key of its document
	ctl show "$2" --json | tr -d ' \n' | grep -oE "\"$1\":\"?[^,\"]*" | sed 's/.*[:"]//; q'
}
began() { # when a job began, to the microsecond
	ctl show "$1" --json | grep -oE '"started": ?"[^"]*"'
}
below() {
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'
}
limit=$((6 * slowness))

echo "== killed"
id=$(ctl run slow -d --timeout ${limit}s 600s)
check "it runs" wait_for 20 began "$id"
at=$(began "$id")
exits 124 ctl wait "$id" --timeout $((limit * 2 / 3))s
daemon_kill
daemon_start
equal "when it began is not forgotten" "$(began "$id")" "$at"
exits 1 ctl wait "$id" --timeout $((limit * 920))ms # its time limit did not begin anew: two seconds of it are gone at least
says "time limit passed" "$dir/out"
check "what it ran before counts as its time" below $((limit * 3 / 4)) "$(of wall_s "$id")"

echo "== stopped, while it was paused"
id=$(ctl run slow -d --timeout ${limit}s 600s)
exits 124 ctl wait "$id" --timeout $((limit / 2))s
exits 0 ctl pause "$id"
daemon_stop
daemon_start
equal "it is paused" "$(of state "$id")" paused
exits 124 ctl wait "$id" --timeout $((limit * 2 / 3))s # its limit stands still
exits 0 ctl resume "$id"
exits 124 ctl wait "$id" --timeout $((limit / 6))s
exits 1 ctl wait "$id" --timeout $((limit * 3 / 4))s
says "time limit passed" "$dir/out"

echo "== tried again"
id=$(ctl retry "$id" -q)
exits 124 ctl wait "$id" --timeout $((limit * 2 / 3))s
exits 0 ctl kill "$id"
daemon_stop
finish
