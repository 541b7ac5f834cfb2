#!/usr/bin/env bash
# Parked jobs that wait for more than their turn: a date, other jobs, or that hold a unique key. What they cost, and that they begin,
# expire and end as others do, before and after the restart of a killed daemon.
. "$(dirname "$0")/lib.sh"
N=${N:-50000} # of each kind, made on disk while no daemon runs
[ -z "${SANITIZER:-}" ] || N=1000
# What a job costs is what so many more of them cost: the caches of the store's connections, full with either number, are no job's.
FEW=$((N / 5))
BYTES=300 # of memory for each; 400 are promised
write_config 'limits = { max_running = 1; };'
daemon_start
run() {
	ctl run sleeper -d -m pool --shape 1x1x1 "$@"
}
count_is() {
	[ "$(state_count "$1")" "$2" "$3" ]
}
dirty_kb() {
	awk '/^Private_Dirty/ { n += $2 } END { print n }' "/proc/$daemon_pid/smaps_rollup"
}
waits_for() {
	ctl list -n 1000 --json >"$dir/out"
	says "$2" "$dir/out"
	exits 0 ctl show "$1"
	says "$2" "$dir/out"
}

# A few of each through the socket. The holder keeps those that may begin from it.
hold=$(run --priority 100 100d)
check "the first one runs" wait_for 20 field_is running "$hold" 1
for i in $(seq 1 100); do
	delayed=$(run --delay 100d 0)
	follower=$(run --after "$hold" 0)
	chain=$(run --after "${chain:-$hold}" 0)
	brief=$(run --expire 100d 0)
	keyed=$(run --unique "key $i" 0)
done
equal "all wait" "$(($(state_count queued) + $(state_count running)))" 501
waits_for "$delayed" "it begins at "
waits_for "$follower" "it begins when job $hold has succeeded"
ctl list -n 1000 --json >"$dir/out"
says "jobs that came before it are first" "$dir/out"
equal "a parked key is joined" "$(run --unique "key 100" 0 2>"$dir/err")" "$keyed"
equal "a parked key is found by a dry run" "$(ctl run sleeper --dry-run --unique "key 99" 0 2>&1 | grep -c "$((keyed - 5))")" 1
last=$(run --after "$chain" --after "$delayed" 0)
waits_for "$last" "it begins when jobs $chain, $delayed have succeeded"
exits 0 ctl pause "$last"
exits 0 ctl cancel "$delayed"
check "whoever follows a cancelled one is cancelled, parked and paused or not" wait_for 20 field_is state "$last" cancelled
daemon_kill
daemon_start
check "the first one runs again" wait_for 20 field_is running "$hold" 1
equal "none is lost by a kill" "$(($(state_count queued) + $(state_count running)))" 500
equal "a parked key is joined after a restart" "$(run --unique "key 100" 0 2>"$dir/err")" "$keyed"
equal "the last of a chain is there" "$(field state "$chain")" queued
soon=$(run --delay 1s 0)
failed=$(state_count failed)
brief=$(run --expire 1s 0)
# Counted: to look at one is to load it.
check "one expires where it is parked" wait_for 30 count_is failed -gt "$failed"
equal "it is that one" "$(field state "$brief")" failed
exits 0 ctl show "$brief"
says "expired" "$dir/out"
again=$(run --after-failed=run --after "$brief" --after "$hold" --priority 90 0)
gone=$(run --delay 1s --expire 2s 0)
daemon_kill
away=$SECONDS
passed() {
	[ "$SECONDS" -gt $((away + 2)) ]
}
check "time passes while no daemon runs" wait_for 10 passed
daemon_start
check "what expired while no daemon ran has failed" wait_for 30 field_is state "$gone" failed
ctl kill "$hold" >/dev/null
check "they follow whatever becomes of it, where they were told so" wait_for 30 field_is state "$again" done
exits 1 ctl wait "$follower" "$chain" --timeout 60s
check "who follows a killed one is cancelled, to the end of the chain" field_is state "$chain" cancelled
exits 0 ctl wait "$keyed" "$soon" --timeout 60s
equal "its key is free again" "$([ "$(run --unique "key 100" 0 2>"$dir/err")" -gt "$again" ] && echo yes)" yes
ctl cancel --all -q >/dev/null
check "nothing is left" wait_for 60 count_is queued -eq 0

# A chain that succeeds, one after the other, across a kill.
first=$(run --delay 2s 0)
chain=$first
for i in $(seq 1 50); do
	chain=$(run --after "$chain" 0)
done
daemon_kill
daemon_start
exits 0 ctl wait "$chain" --timeout 60s
equal "each ran once, in order" "$(in_store "SELECT count(*) FROM job a JOIN job b ON b.id = a.id + 1 WHERE a.id >= $first AND b.id <= $chain
	AND a.done = 1 AND b.done = 1 AND a.ended_us <= b.ended_us")" 50

# Very many of each kind.
# copies FROM TO: the template's rows, for these of them.
copies() {
	in_store "WITH RECURSIVE n (i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
	     INSERT INTO job (id, submission, workload, spec, uid, created_us, state, open, total, started_us, ended_us, done, failed,
	      cancelled, cpu_s, wait_s, runq_s, wall_s, peak_rss, priority, lane, bytes, head_count, head_sum, head)
	     SELECT $template + i, lower(hex(randomblob(16))), workload, $spec, uid, created_us, state, open, total,
	      0, ended_us, done, failed, cancelled, cpu_s, wait_s, runq_s, wall_s, peak_rss, priority, $lane, bytes,
	      head_count, head_sum, head
	     FROM n, (SELECT * FROM job WHERE id = $template)" >/dev/null
}
# many WHAT SPEC LANE OPTION...: so many jobs with these options, whose rows get these columns. (The first may have been
# handed to the crew ahead, and so have begun.)
many() {
	local what=$1 spec=$2 lane=$3 template before more
	shift 3
	template=$(run "$@" 0)
	daemon_kill
	copies 1 "$FEW"
	daemon_start
	check "many wait: $what" wait_for 60 count_is queued -gt $((FEW - 100))
	check "the holder runs beside $what" wait_for 20 field_is running "$hold" 1
	before=$(dirty_kb)
	daemon_kill
	copies $((FEW + 1)) "$N"
	daemon_start
	check "very many wait: $what" wait_for 60 count_is queued -gt $((N - 100))
	check "the holder runs beside very many $what" wait_for 20 field_is running "$hold" 1
	more=$((($(dirty_kb) - before) * 1024 / (N - FEW)))
	echo "$more bytes each: $what"
	[ -n "${SANITIZER:-}" ] || check "$what cost at most $BYTES bytes each" [ $more -le $BYTES ]
	daemon_kill
	in_store "DELETE FROM job WHERE id >= $template" >/dev/null
	daemon_start
}
hold=$(run --priority 100 100d)
many "plain jobs" spec lane
many "delayed jobs" spec lane --delay 100d
many "expiring jobs" spec lane --expire 100d
many "jobs that expire and are delayed" spec lane --delay 10d --expire 100d
many "followers of one job" spec lane --after "$hold"
many "chained jobs" "replace(spec, '[$hold]', '[' || ($hold + i) || ']')" "replace(lane, 'a$hold', 'a' || ($hold + i))" --after "$hold"
many "jobs with keys" "replace(spec, 'key-0', 'key-' || i)" "replace(lane, 'key-0', 'key-' || i)" --unique key-0
finish
