#!/usr/bin/env bash
# kill -9 of the daemon, half at random instants, half by a preloaded shim before or after its k-th write, so that every
# phase is hit: accept, run, commit, recovery. Nothing accepted is lost, nothing is recorded twice or wrong, and
# the execution log shows no overlap.
# ROUNDS: kills in all (100 and more for the full run). SEED: of everything random here.
. "$(dirname "$0")/lib.sh"
ROUNDS=${ROUNDS:-16}
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
echo "SEED=$SEED ROUNDS=$ROUNDS"
models=(sync async thread pool process)
tasks=120

write_config "workloads = {
	$(stanza exec_log 'max_crashes = 0;')
	$(stanza exec_log_once '')
};"
seq 1 $tasks >"$dir/inputs"
declare -A dirs acked once
hits_accept=0 hits_run=0 hits_commit=0 hits_recovery=0 hits_random=0 lost=0 reran=0

# start with the shim set to die at its k-th call: start_dying K ARMED CALLS
start_dying() {
	local when=before
	[ $((RANDOM % 2)) -eq 0 ] || when=after
	daemon_start_dying "$1:$when" "$2" "$3"
}
pause_ms() {
	read -r -t "0.$(printf %03d "$1")" _ <>"$dir/never" || :
}

# submit ROUND: a job of this round; its id, if the daemon gave one, is in $id.
submit() {
	local plugin=exec_log model=${models[$1 % 5]}
	mkdir -p "$dir/exec$1"
	[ $((RANDOM % 4)) -gt 0 ] || plugin=exec_log_once
	id=$(ctl run $plugin -d -m "$model" -p dir="$dir/exec$1" -p us=1500 -p sleep=true -i "$dir/inputs" 2>/dev/null) || id=
	dirs[$1]=$plugin
	[ -n "$id" ] && acked[$1]=$id
	return 0
}

round_random() {
	daemon_start
	submit "$1"
	pause_ms $((RANDOM % 120))
	daemon_has_died || { daemon_kill; hits_random=$((hits_random + 1)); }
}

round_accept() {
	start_dying $((RANDOM % 14 + 1)) 0 all
	wait_for 20 ctl ping
	kill -RTMIN "$daemon_pid"
	submit "$1"
	if wait_for 5 daemon_has_died; then hits_accept=$((hits_accept + 1)); daemon_reap; else daemon_kill; fi
}

# round_running ROUND CALLS MOST: die at one of the next MOST calls while tasks run.
round_running() {
	start_dying $((RANDOM % $3 + 1)) 0 "$2"
	wait_for 20 ctl ping
	submit "$1"
	pause_ms $((RANDOM % 20))
	kill -RTMIN "$daemon_pid"
	wait_for 5 daemon_has_died || { daemon_kill; return 1; }
	daemon_reap
}

round_recovery() {
	daemon_start
	submit "$1"
	pause_ms 20
	daemon_kill
	start_dying $((RANDOM % 40 + 1)) 1 all
	if wait_for 5 daemon_has_died; then hits_recovery=$((hits_recovery + 1)); daemon_reap; else daemon_kill; fi
}

for ((i = 0; i < ROUNDS; i++)); do
	if [ -n "${shim_why:-}" ]; then
		round_random $i
		continue
	fi
	case $((i % 8)) in
	1) round_accept $i ;;
	3) round_running $i other 6 && hits_run=$((hits_run + 1)) ;;
	5) round_running $i store 40 && hits_commit=$((hits_commit + 1)) ;;
	7) round_recovery $i ;;
	*) round_random $i ;;
	esac
done

# What was accepted completes, each result once and right.
daemon_start
for ((i = 0; i < ROUNDS; i++)); do
	[ -n "${acked[$i]:-}" ] || continue
	id=${acked[$i]}
	checks=$((checks + 1))
	ctl results "$id" --follow -q >"$dir/got" 2>"$dir/got.err"
	if [ "${dirs[$i]}" = exec_log ]; then
		cmp -s "$dir/got" "$dir/inputs" || { fail "job $id (round $i): results differ"; lost=$((lost + 1)); }
	else
		# Must not run twice: what was begun and not recorded is `interrupted`; the rest is there, once.
		interrupted=$(grep -c 'interrupted' "$dir/got.err")
		got=$(($(wc -l <"$dir/got") + interrupted))
		[ "$got" -eq $tasks ] || fail "job $id (round $i): $got outcomes of $tasks"
		again=$(awk '$1 == "begin" && n[$2]++ == 1' "$dir/exec$i/log" 2>/dev/null | wc -l)
		[ "$again" -eq 0 ] || fail "job $id (round $i): $again tasks began twice and must not"
	fi
	[ -f "$dir/exec$i/log" ] && reran=$((reran + $(awk '$1 == "begin" && n[$2]++ > 0' "$dir/exec$i/log" | wc -l)))
	if grep -q overlap "$dir/exec$i/log" 2>/dev/null; then fail "job $id (round $i): executions overlap"; fi
done
total=$(ctl list --json | grep -o '"job":' | wc -l)
equal "every job was accepted at most once" "$((total <= ROUNDS ? 1 : 0))" 1
echo "${#acked[@]} jobs acknowledged, $lost wrong; died at random $hits_random, accepting $hits_accept, running $hits_run, committing $hits_commit, recovering $hits_recovery; $reran executions again"
[ -n "${shim_why:-}" ] && echo "without the shim: $shim_why"
finish
