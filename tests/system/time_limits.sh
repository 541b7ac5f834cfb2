#!/usr/bin/env bash
# A job's time limit counts what it runs: neither what it waits in its crew before its first task nor pauses, whenever the
# limit was set, also over restarts.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { nap = { plugin = \"sleeper\"; model = \"pool\"; workers = 1; }; row = { plugin = \"sleeper\"; model = \"sync\"; };
	held = { plugin = \"sleeper\"; model = \"sync\"; }; other = { plugin = \"sleeper\"; model = \"async\"; }; };"
daemon_start
limit=$((4 * slowness))
# time in which others run goes by
passes() {
	ctl run other -q "${1}s" >/dev/null
}
ran_s() {
	in_store "SELECT coalesce(json_extract(spec, '\$.timeout_used_ns'), 0) / 1000000000 FROM job WHERE id = $1"
}

echo "== behind another"
first=$(ctl run nap -d "$((limit + 2))s")
check "one runs" wait_for 20 field_is running "$first" 1
behind=$(ctl run nap -d --timeout "${limit}s" 1ms 1ms)
later=$(ctl run nap -d 1ms)
exits 0 ctl set "$later" timeout="${limit}s"
exits 0 ctl wait "$behind" "$later" --timeout 60s
short=$(ctl run nap -d --timeout 300ms 60s)
exits 1 ctl wait "$short" --timeout 60s
says "time limit passed" <(ctl show "$short")

echo "== paused"
paused=$(ctl run row -d --timeout "${limit}s" 1s 1s)
check "it runs" wait_for 20 field_is running "$paused" 1
exits 0 ctl pause "$paused"
free=$(ctl run held -d 1s 1s)
check "another runs" wait_for 20 field_is running "$free" 1
exits 0 ctl pause -w held
passes $((limit + 1))
exits 0 ctl set "$free" timeout="${limit}s"
check "a pause is no part of what it has run ($(ran_s "$free") s)" [ "$(ran_s "$free")" -lt "$limit" ]
exits 0 ctl set "$free" timeout=0
passes 3 # it is written how long they have run
daemon_kill
daemon_start
exits 0 ctl set "$free" timeout="${limit}s"
check "nor after a restart ($(ran_s "$free") s)" [ "$(ran_s "$free")" -lt "$limit" ]
exits 0 ctl resume "$paused"
exits 0 ctl resume -w held
exits 0 ctl wait "$paused" "$free" --timeout 60s
finish
