#!/usr/bin/env bash
# A task that ignores its cancel, or its time limit, is gone at the end of its grace, and costs its neighbours nothing: its
# process takes no new task meanwhile, what has begun there ends within that same grace, the rest runs elsewhere or later.
. "$(dirname "$0")/lib.sh"
GRACE_MS=800
MORE_MS=100 # what is promised on top
[ -z "${SANITIZER:-}" ] || MORE_MS=2000
# Where others want the processors too, the promise cannot be told from their turns.
if [ "${load%.*}" -ge $((2 * $(nproc))) ]; then
	MORE_MS=5000
	echo "the load is $load: $MORE_MS ms more than grace are allowed where 100 are promised"
fi

write_config "workloads = {
	$(stanza exec_log "grace = \"${GRACE_MS}ms\";") $(stanza exec_log_once "grace = \"${GRACE_MS}ms\";")
};"
daemon_start
neighbours=$(seq 1 100)

now_ms() {
	echo $(($(date +%s%N) / 1000000))
}
running() {
	ctl show "$1" --json | tr -d ' \n' | grep -qE '"running":[1-9]'
}

# No execution beside another of the same task, and (once) none twice.
ran_once() {
	awk '$1 == "overlap" { bad = 1 } $1 == "begin" && seen[$2]++ { bad = 1 } END { exit bad }' "$dir/exec/log"
}
# Each of the hundred has its result, or was begun in the killed process and is interrupted.
right_or_interrupted() {
	awk -v once="$1" -F '\t' '
		FILENAME ~ /err$/ {
			if (match($0, /input .[0-9]+.\): interrupted/)) {
				split(substr($0, RSTART), part, "[^0-9]+")
				lost[part[2]] = 1
			}
			next
		}
		FILENAME ~ /out$/ { if ($1 != $2) exit bad = 1; right[$1] = 1; next }
		END {
			for (i = 1; i <= 100; i++)
				if (!(i in right) && !(once && (i in lost)))
					bad = 1
			exit bad
		}' "$dir/out" "$dir/err"
}

# timed_out NAME RUN-OPTIONS...: the guilty task and its neighbours are one job; its time limit ends it.
timed_out() {
	local name=$1 once workload took
	shift
	mkdir -p "$dir/exec"
	for once in 0 1; do
		workload=exec_log
		[ $once -eq 0 ] || workload=exec_log_once
		: >"$dir/exec/log"
		ctl run $workload -q --tag -l "$name $once" --task-timeout 400ms -p dir="$dir/exec" -p us=20000 -p sleep=true "$@" hang $neighbours \
			>"$dir/out" 2>"$dir/err"
		equal "$name once=$once: one task failed, so it exits 1" $? 1
		check "$name once=$once: the guilty one has timed out" grep -q "hang.*timeout" "$dir/err"
		check "$name once=$once: every neighbour has its result" right_or_interrupted $once
		[ $once -eq 0 ] || check "$name: none ran twice" ran_once
		took=$(ctl results "$(labelled "$name $once")" --json | tr -d ' ' | grep '"input":"hang"' | grep -oE '"wall_s":[0-9.]+' | cut -d: -f2)
		check "$name once=$once: it was gone in time ($took s)" awk -v t="$took" -v ms=$((400 + GRACE_MS + MORE_MS)) \
			'BEGIN { exit !(t > 0 && t * 1000 <= ms) }'
	done
}
labelled() {
	ctl list -l "$1" --json | tr -d ' \n' | grep -oE '"job":"[0-9]+"' | head -n 1 | grep -oE '[0-9]+'
}

# cancelled NAME RUN-OPTIONS...: the guilty task is another job of the same crew, which is cancelled.
cancelled() {
	local name=$1 id other from took
	shift
	mkdir -p "$dir/exec"
	: >"$dir/exec/log"
	id=$(ctl run exec_log_once -d -p dir="$dir/exec" "$@" hang)
	check "$name: the guilty task runs" wait_for 10 running "$id"
	mkdir "$dir/exec2"
	other=$(ctl run exec_log_once -d -p dir="$dir/exec2" -p us=20000 -p sleep=true "$@" $neighbours)
	from=$(now_ms)
	ctl cancel "$id" >/dev/null
	took=$(($(now_ms) - from))
	check "$name: the cancel is answered in time ($took ms)" test $took -le $((GRACE_MS + MORE_MS + 50))
	ctl results "$other" --follow --tag >"$dir/out" 2>"$dir/err"
	check "$name: the other job's tasks have their results" right_or_interrupted 1
	mv "$dir/exec2/log" "$dir/exec/log"
	check "$name: none of them ran twice" ran_once
	rm -r "$dir/exec2"
}

every_shape_beside 3 timed_out
timed_out "thread -j 3" -m thread -j 3
timed_out "async -j 30" -m async -j 30
every_shape_beside 3 cancelled
cancelled "async -j 30" -m async -j 30

# A process whose task comes back late, but within its grace, goes on.
late() {
	local name=$1 processes=1
	shift
	case $name in
	process) processes=$(nproc) ;;
	[0-9]*) processes=${name%%x*} ;;
	esac
	mkdir -p "$dir/exec"
	: >"$dir/exec/log"
	ctl run exec_log_once -q --tag --task-timeout 200ms -p dir="$dir/exec" -p us=20000 -p sleep=true "$@" late $neighbours \
		>"$dir/out" 2>"$dir/err"
	check "$name: a late one costs its neighbours nothing" right_or_interrupted 0
	check "$name: no process was replaced" [ "$(cut -d ' ' -f 3 "$dir/exec/log" | sort -u | wc -l)" -le "$processes" ]
}
every_shape_beside 3 late
# The end of the daemon: each workload has its own grace, a short one and one that is longer than what others have.
daemon_stop
write_config "defaults = { grace = \"200ms\"; };
workloads = { $(stanza hang 'grace = "300ms";') patient = { plugin = \"sleeper\"; grace = \"100s\"; }; impatient = { plugin = \"sleeper\"; }; };"
daemon_start
hung=$(ctl run hang -d -m process -j 1 hang)
patient=$(ctl run patient -d -m async 2s)
impatient=$(ctl run impatient -d -m async 100s)
for id in "$hung" "$patient" "$impatient"; do
	check "job $id runs" wait_for 20 running "$id"
done
: >"$dir/log"
daemon_stop
says "1 worker process of 'hang' did not end within the grace time and is killed: what they had begun is not done" "$dir/log"
says "1 worker process of 'impatient' did not end" "$dir/log"
check "one that ends within its own grace is not killed" sh -c "! grep -q \"of 'patient'\" '$dir/log'"
write_config "workloads = { $(stanza hang) patient = { plugin = \"nosuch\"; }; impatient = { plugin = \"sleeper\"; }; };"
daemon_start
equal "and its result is there" "$(ctl results "$patient" 2>/dev/null)" 2s
exits 0 ctl kill "$hung" "$impatient"
finish
