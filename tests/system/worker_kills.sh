#!/usr/bin/env bash
# kill -9 of random worker processes while their tasks run: every job completes, every result is right, none twice.
# KILLS: how many per model (100 for the full run). SEED: of the choice and the instants.
. "$(dirname "$0")/lib.sh"
KILLS=${KILLS:-5}
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
echo "SEED=$SEED KILLS=$KILLS"

write_config "workloads = { $(stanza exec_log 'max_crashes = 0;') };"
daemon_start

# kill_some KILLS JOB: kill random worker processes until that many are gone; as process_of names them in $killed.
kill_some() {
	local left=$1 victims victim
	killed=
	while [ "$left" -gt 0 ]; do
		ctl show "$2" --json | grep -qE '"state": ?"(done|failed|cancelled)"' && break
		mapfile -t victims < <(pgrep -P "$daemon_pid" -x concd-worker)
		if [ ${#victims[@]} -gt 0 ]; then
			victim=${victims[RANDOM % ${#victims[@]}]}
			# Only one that runs tasks: what a start-up kill breaks is tested elsewhere.
			process_of "$victim"
			if grep -q "begin [0-9]* $process " "$dir/exec/log" 2>/dev/null && kill -KILL "$victim" 2>/dev/null; then
				killed="$killed $process"
				left=$((left - 1))
			fi
		fi
		read -r -t 0.0$((RANDOM % 40 + 10)) _ <>"$dir/never" || :
	done
	[ "$left" -eq 0 ]
}

# round NAME WORKERS THREADS RUN-OPTIONS...: THREADS in each process; tasks for about 0.6 s per kill
# (more where concctl and the daemon are slow).
round() {
	local name=$1 tasks=$(($2 * (KILLS * 160 * slowness + 100))) threads=$3 id
	shift 3
	mkdir "$dir/exec"
	seq 1 "$tasks" >"$dir/inputs"
	id=$(ctl run exec_log -d "$@" -p dir="$dir/exec" -p us=4000 -p sleep=true -i "$dir/inputs")
	check "$KILLS kills found a running process under $name" kill_some "$KILLS" "$id"
	ctl results "$id" --follow >"$dir/got"
	check "job $id under $name completes with every result right" cmp -s "$dir/got" "$dir/inputs"
	check "the execution log under $name" awk -v n="$tasks" -v killed="$killed" -v threads="$threads" \
		-f "$(dirname "$0")/exec_log.awk" "$dir/exec/log"
	rm -r "$dir/exec"
}

round sync 1 1 -m sync
round async 40 1 -m async -j 40
round thread 1 1 -m thread
round "thread -j 3" 3 3 -m thread -j 3
round pool 4 4 -m pool -j 4
round process 4 1 -m process -j 4
round 2x2x10 40 2 --shape 2x2x10
check "the daemon still answers" ctl ping
finish
