#!/usr/bin/env bash
# The crash test: kill -9 of the daemon and of worker processes during mixed jobs under every model and hybrid shapes, half at
# random instants, half by a preloaded shim before or after its k-th write, so that every phase is hit: accept, run,
# commit, recovery, migration. Nothing accepted is lost, nothing is recorded twice or wrong, and the log of executions says that none
# overlaps and what ran again had to (exec_lives.awk).
# ROUNDS: kills of the daemon. SEED: of everything random here.
. "$(dirname "$0")/lib.sh"
ROUNDS=${ROUNDS:-$([ -z "${SANITIZER:-}" ] && echo 200 || echo 30)}
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
echo "SEED=$SEED ROUNDS=$ROUNDS"
shapes=("-m sync" "-m async" "-m thread" "-m pool" "-m process" "-m thread -j 3" "--shape 2x1x8" "--shape 1x2x4" "--shape 2x2x2")
tasks=120

write_config "workloads = {
	$(stanza exec_log 'max_crashes = 0;')
	$(stanza exec_log_once '')
};"
seq 1 $tasks >"$dir/inputs"
declare -A dirs acked deaths_before shape_of
# Tasks that a process runs at once.
declare -A most_of=(["-m sync"]=1 ["-m async"]=$tasks ["-m thread"]=1 ["-m pool"]=$(nproc) ["-m process"]=1 ["-m thread -j 3"]=3
	["--shape 2x1x8"]=8 ["--shape 1x2x4"]=8 ["--shape 2x2x2"]=4)
daemons='' killed_workers='' again_unfinished=0 again_unrecorded=0 again_in_hand=0
hits_accept=0 hits_run=0 hits_commit=0 hits_recovery=0 hits_migration=0 hits_random=0 worker_deaths=0 deaths=0 lost=0

# start with the shim set to die at its k-th call: start_dying K ARMED CALLS
start_dying() {
	local when=before
	[ $((RANDOM % 2)) -eq 0 ] || when=after
	daemon_start_dying "$1:$when" "$2" "$3"
	was=$daemon_process
}
pause_ms() {
	read -r -t "0.$(printf %03d "$1")" _ <>"$dir/never" || :
}
died() {
	deaths=$((deaths + 1))
}

# note_recorded PROCESS: what was on disk when this daemon had died. Looked at in a copy: opening it would recover it.
note_recorded() {
	daemons="$daemons $1"
	[ -f "$dir/state/concd.db" ] || return 0
	rm -rf "$dir/copy"
	mkdir "$dir/copy"
	cp "$dir"/state/concd.db* "$dir/copy/" 2>/dev/null
	"$top_builddir/tests/tools/sql" "$dir/copy/concd.db" "SELECT job, task FROM task UNION ALL SELECT job, '*' FROM segment" \
		2>/dev/null | sed "s/|/ /; s/\$/ $1/" >>"$dir/recorded"
}
: >"$dir/recorded"

# submit ROUND: a job of this round; its id, if the daemon gave one, is in $id.
submit() {
	local plugin=exec_log shape=${shapes[RANDOM % ${#shapes[@]}]}
	mkdir -p "$dir/exec$1"
	[ $((RANDOM % 4)) -gt 0 ] || plugin=exec_log_once
	dirs[$1]=$plugin
	shape_of[$1]=$shape
	deaths_before[$1]=$deaths
	# shellcheck disable=SC2086
	id=$(ctl run $plugin -d --reconnect 0 $shape -p dir="$dir/exec$1" -p us=1500 -p sleep=true -i "$dir/inputs" 2>/dev/null </dev/null) || id=
	[ -n "$id" ] && acked[$1]=$id
	return 0
}

# Sometimes a worker process dies first.
kill_worker() {
	local victims victim
	[ $((RANDOM % 2)) -eq 0 ] || return 0
	mapfile -t victims < <(pgrep -P "$daemon_pid" -x concd-worker)
	[ ${#victims[@]} -gt 0 ] || return 0
	victim=${victims[RANDOM % ${#victims[@]}]}
	process_of "$victim"
	kill -KILL "$victim" 2>/dev/null || return 0
	killed_workers="$killed_workers $process"
	worker_deaths=$((worker_deaths + 1))
	died
	pause_ms $((RANDOM % 20))
}

round_random() {
	daemon_start
	was=$daemon_process
	submit "$1"
	pause_ms $((RANDOM % 100))
	kill_worker
	daemon_kill
	hits_random=$((hits_random + 1))
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
	kill_worker
	kill -RTMIN "$daemon_pid" 2>/dev/null
	wait_for 5 daemon_has_died || { daemon_kill; return 1; }
	daemon_reap
}

round_recovery() {
	daemon_start
	submit "$1"
	pause_ms 20
	was=$daemon_process
	daemon_kill
	died
	note_recorded "$was"
	start_dying $((RANDOM % 40 + 1)) 1 all
	if wait_for 5 daemon_has_died; then hits_recovery=$((hits_recovery + 1)); daemon_reap; else daemon_kill; fi
}

# An older store beside the others: whole after any kill of its migration, the old one or the new one.
newest=$(sed -n 's/^#define SCHEMA_VERSION \([0-9]*\).*/\1/p' "$top_srcdir/daemon/store/schema.h")
old_store() {
	"$top_builddir/tests/tools/sql" "$dir/old/concd.db" "$@"
}
sed "s|$dir/state|$dir/old|; s|$sock|$dir/old-sock|" "$dir/concd.conf" >"$dir/old.conf"
round_migration() {
	local version when=before
	rm -rf "$dir/old"
	mkdir -m 700 "$dir/old"
	old_store <"$top_srcdir/tests/data/store-v1.sql" >/dev/null
	[ $((RANDOM % 2)) -eq 0 ] || when=after
	LD_PRELOAD=$shim CONCD_KILL_AT=$((RANDOM % 8 + 1)):$when CONCD_KILL_ARMED=0 CONCD_KILL_CALLS=migration \
		CONCD_KILL_LOG=$dir/shim "$concd" -c "$dir/old.conf" >>"$dir/log" 2>&1 </dev/null &
	daemon_is $!
	until daemon_has_died || "$concctl" -s "$dir/old-sock" ping >/dev/null 2>&1; do :; done
	if daemon_has_died; then hits_migration=$((hits_migration + 1)); daemon_reap; else daemon_kill; fi
	version=$(old_store 'PRAGMA user_version')
	[ "$version" -ge 1 ] && [ "$version" -le "$newest" ] || fail "round $1: the migration left version $version"
	[ "$(old_store 'PRAGMA integrity_check')" = ok ] || fail "round $1: the migration left a damaged store"
	[ "$(old_store 'SELECT count(*) FROM job')" = 8 ] || fail "round $1: the migration lost jobs"
	deaths=$((deaths - 1)) # not one of the others'
}

for ((i = 0; i < ROUNDS; i++)); do
	was=
	if [ -n "$shim_why" ]; then
		round_random $i
	else
		case $((i % 7)) in
		1) round_accept $i ;;
		2) round_running $i other 6 && hits_run=$((hits_run + 1)) ;;
		3) round_running $i store 40 && hits_commit=$((hits_commit + 1)) ;;
		4) round_recovery $i ;;
		5) round_migration $i ;;
		*) round_random $i ;;
		esac
	fi
	died
	[ -z "$was" ] || note_recorded "$was"
done

# What was accepted completes, each result once and right.
daemon_start
daemons="$daemons $daemon_process"
for ((i = 0; i < ROUNDS; i++)); do
	[ -n "${acked[$i]:-}" ] || continue
	id=${acked[$i]}
	checks=$((checks + 1))
	ctl results "$id" --follow -q >"$dir/got" 2>"$dir/got.err"
	if [ "${dirs[$i]}" = exec_log ]; then
		cmp -s "$dir/got" "$dir/inputs" || { fail "job $id (round $i): results differ"; lost=$((lost + 1)); }
	else
		# Must not run twice: what was begun and not recorded is `interrupted`; the rest is there, once.
		ended=$(grep -c 'interrupted\|crashed' "$dir/got.err")
		got=$(($(wc -l <"$dir/got") + ended))
		[ "$got" -eq $tasks ] || { fail "job $id (round $i): $got outcomes of $tasks"; lost=$((lost + 1)); }
		sort -nu "$dir/got" | cmp -s - <(sort -n "$dir/got") || fail "job $id (round $i): a result came twice"
		again=$(awk '$1 == "begin" && n[$2]++ == 1' "$dir/exec$i/log" 2>/dev/null | wc -l)
		[ "$again" -eq 0 ] || fail "job $id (round $i): $again tasks began twice and must not"
	fi
	[ -f "$dir/exec$i/log" ] || continue
	if awk -v job="$id" -v daemons="$daemons" -v killed="$killed_workers" -v most="${most_of[${shape_of[$i]}]}" \
		-f "$(dirname "$0")/exec_lives.awk" "$dir/recorded" "$dir/exec$i/log" >"$dir/judged"; then :; else
		fail "job $id (round $i, ${shape_of[$i]}): its executions"
		grep -v '^again' "$dir/judged"
	fi
	read -r _ unfinished unrecorded in_hand < <(grep '^again' "$dir/judged")
	again_unfinished=$((again_unfinished + unfinished))
	again_unrecorded=$((again_unrecorded + unrecorded))
	again_in_hand=$((again_in_hand + in_hand))
	most=$(awk '$1 == "begin" && ++n[$2] > m { m = n[$2] } END { print m + 0 }' "$dir/exec$i/log")
	[ "$most" -le $((deaths - ${deaths_before[$i]} + 1)) ] ||
		fail "job $id (round $i): a task ran $most times in $((deaths - ${deaths_before[$i]})) kills"
done
total=$(ctl list -n 1000 --json | grep -o '"job":' | wc -l)
equal "every job was accepted at most once" "$((total <= ROUNDS ? 1 : 0))" 1
equal "no result is lost, doubled or wrong" $lost 0
echo "${#acked[@]} jobs acknowledged, $lost wrong; daemons died at random $hits_random, accepting $hits_accept, running $hits_run," \
	"committing $hits_commit, recovering $hits_recovery, migrating $hits_migration; $worker_deaths worker processes"
echo "again: $again_unfinished tasks that were begun and unfinished, $again_unrecorded that had ended and were not on disk at a daemon's end," \
	"$again_in_hand in the hand of a killed worker process"
if [ "$ROUNDS" -ge 200 ] && [ -z "$shim_why" ]; then
	for phase in accept run commit recovery migration; do
		hits=hits_$phase
		check "at least 20 kills in $phase" [ "${!hits}" -ge 20 ]
	done
fi
[ -n "$shim_why" ] && echo "without the shim: $shim_why"
check "the daemon ends" daemon_stop
exits 0 "$concd" -c "$dir/concd.conf" --check-store
finish
