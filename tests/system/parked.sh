#!/usr/bin/env bash
# Many jobs that wait: most of them are parked, a record each, and all that holds of a job holds of them: status, list, show,
# set, pause, cancel, order, and the restart of a killed daemon.
. "$(dirname "$0")/lib.sh"
N=100000 # jobs that wait, made on disk while no daemon runs
[ -z "${SANITIZER:-}" ] || N=3000
RUN=300 # jobs that are run in the end
BYTES=400 # of memory for each
write_config 'limits = { max_running = 1; };'
daemon_start

# A crew is given a task or two ahead, whose jobs then count as running.
counts_are() {
	equal "$1: $2 jobs unfinished, $3 paused besides" "$(($(state_count queued) + $(state_count running))) $(state_count paused)" "$2 $3"
}
queued_is() {
	[ "$(state_count queued)" "$1" "$2" ]
}
# None is left, also none that a crew was given ahead.
all_ended() {
	[ "$(($(state_count queued) + $(state_count running)))" -eq 0 ]
}
paused_is() {
	[ "$(state_count paused)" -eq "$1" ]
}
private_kb() {
	awk '/^Private/ { n += $2 } END { print n }' "/proc/$daemon_pid/smaps_rollup"
}
# copies N: so many more of the newest job, as if they had been accepted.
copies() {
	in_store "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
	     INSERT INTO job (id, submission, workload, spec, uid, created_us, state, open, total, started_us, ended_us, done, failed,
	      cancelled, cpu_s, wait_s, runq_s, wall_s, peak_rss, priority, lane, bytes, head_count, head_sum, head)
	     SELECT (SELECT max(id) FROM job) + i, lower(hex(randomblob(16))), workload, spec, uid, created_us, state, open, total,
	      started_us, ended_us, done, failed, cancelled, cpu_s, wait_s, runq_s, wall_s, peak_rss, priority, lane, bytes,
	      head_count, head_sum, head
	     FROM n, (SELECT * FROM job ORDER BY id DESC LIMIT 1)" >/dev/null
}

# A few hundred through the socket: only some of them stay in memory, and they run by priority all the same.
hold=$(ctl run sleeper -d -m pool --shape 1x1x1 --priority 100 100d)
check "the first one runs" wait_for 20 field_is running "$hold" 1
for i in $(seq 1 150); do
	last=$(ctl run sleeper -d -m pool --shape 1x1x1 0)
done
first_high=$(ctl run sleeper -d -m pool --shape 1x1x1 --priority 9 0)
counts_are "through the socket" 152 0
equal "all are listed" "$(ctl list -n 500 | wc -l)" 153
exits 0 ctl list -n 3
says "jobs that came before it are first" "$dir/out"
exits 0 ctl pause "$last"
exits 0 ctl set 140 priority=5
exits 0 ctl cancel 141
counts_are "some were changed" 150 1
daemon_kill
daemon_start
check "the first one runs again" wait_for 20 field_is running "$hold" 1
equal "none is lost by a kill" "$(ctl list -n 500 | wc -l)" 153
equal "the priority is kept" "$(field priority 140)" 5
ctl kill "$hold" >/dev/null
exits 0 ctl wait $((last - 1)) "$first_high" 140 --timeout 60s
check "all but the paused one end" wait_for 60 all_ended
exits 0 ctl resume "$last"
exits 0 ctl wait "$last" --timeout 20s
equal "all have run" "$(ctl list -n 500 --state done | wc -l)" 151

# Very many: what they cost, and that nobody who asks has to wait.
hold=$(ctl run sleeper -d -m pool --shape 1x1x1 --priority 100 100d)
check "the holder runs" wait_for 20 field_is running "$hold" 1
template=$(ctl run sleeper -d -m pool --shape 1x1x1 0)
daemon_stop
daemon_start
check "the holder runs again" wait_for 20 field_is running "$hold" 1
before=$(private_kb)
daemon_kill
copies $N
daemon_start
exits 0 ctl show $((template + N)) # what is asked for while jobs are still being read is answered when they are there
check "the holder runs beside them" wait_for 20 field_is running "$hold" 1
check "very many wait" wait_for 60 queued_is -gt $((N * 9 / 10))
more=$((($(private_kb) - before) * 1024 / N))
echo "$more bytes each"
[ -n "${SANITIZER:-}" ] || check "they cost at most $BYTES bytes each" [ $more -le $BYTES ]
newest=$((template + N))
equal "the newest are listed first" "$(ctl list -n 3 --json | tr -d ' \n' | grep -oE '"job":"[0-9]+"' | tr -dc '0-9\n' | tr '\n' ' ')" \
	"$newest $((newest - 1)) $((newest - 2)) "
equal "as many as asked for" "$(ctl list -n 1000 | wc -l)" 1001
exits 0 ctl set "$newest" priority=50
ctl kill "$hold" >/dev/null
exits 0 ctl wait "$newest" --timeout 60s
check "the last one was next" [ "$(state_count queued)" -gt $((N / 2)) ]
exits 0 ctl pause --state queued -q
check "all are paused" wait_for 60 queued_is -lt 3
paused=$(state_count paused) # some have run meanwhile
daemon_kill
daemon_start
check "they are paused still, $paused of them" wait_for 60 paused_is "$paused"
exits 0 ctl cancel --all -q
check "all are gone" wait_for 120 paused_is 0

# Parked ones are run to the last, each once.
hold=$(ctl run sleeper -d -m pool --shape 1x1x1 --priority 100 100d)
template=$(ctl run sleeper -d -m pool --shape 1x1x1 0)
daemon_kill
copies $RUN
done_before=$(in_store "SELECT count(*) FROM job WHERE state = 4")
daemon_start
check "the holder runs once more" wait_for 20 field_is running "$hold" 1
ctl kill "$hold" >/dev/null
exits 0 ctl wait $((template + RUN)) --timeout 60s
check "every one ends" wait_for 60 all_ended
equal "every one is done" "$(($(in_store "SELECT count(*) FROM job WHERE state = 4") - done_before))" $((RUN + 1))
finish
