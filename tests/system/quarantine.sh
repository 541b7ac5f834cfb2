#!/usr/bin/env bash
# A task that kills its worker processes is quarantined after max_crashes deaths in all, also where the daemon is killed
# after each of them; `show` and the results have the cause.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { $(stanza crash 'max_crashes = 3;')
	$(stanza late 'max_crashes = 1; params = { mode = "late"; times = 2; counter = "'"$dir/inits"'"; };' init_fail) };"

begun() { # begun JOB ATTEMPT: task 1 runs for the so-manieth time
	ctl show "$1" --json | tr -d ' ' | grep -q "\"index\":1,\"worker\":\"[^\"]*\",\"attempts\":$2,"
}

for shape in "-m sync" "-m async" "-m thread" "-m pool" "-m process" "--shape 2x2x3"; do
	daemon_start
	id=$(ctl run crash -d $shape -p delay=$((700 * slowness))ms 1 crash 3)
	for crash in 1 2; do
		check "$shape: it runs again after crash $crash" wait_for 60 begun "$id" $((crash + 1))
		equal "$shape: crash $crash is on disk" "$(in_store "SELECT task, crashes FROM crash WHERE job = $id")" "1|$crash"
		daemon_kill
		daemon_start
	done
	exits 1 ctl wait "$id" --timeout 60s
	exits 1 ctl results "$id"
	equal "$shape: its neighbours' results" "$(tr '\n' ' ' <"$dir/out")" "1 3 "
	says "quarantined: crashed 3 times"
	ctl show "$id" >"$dir/out"
	says "crashed 3 times: its worker process" "$dir/out"
	says "SIGSEGV" "$dir/out"
	equal "$shape: nothing is left of the counts" "$(in_store "SELECT count(*) FROM crash WHERE job = $id")" 0
	check "$shape: the daemon ends" daemon_stop
done

# A runner that cannot start ends its process while another one has begun a task: that is none of the task's doing.
daemon_start
exits 0 ctl run late -q -m pool -j 2 $(seq 1 20)
equal "a worker_init that crashes is no task's doing" "$(tr '\n' ' ' <"$dir/out")" "$(seq 1 20 | tr '\n' ' ')"
equal "it crashed twice" "$(grep -c "worker process .* of 'late' was ended by signal 6" "$dir/log")" 2
equal "and counts as a start that failed" "$(grep -c "'late' did not start" "$dir/log")" 2
finish
