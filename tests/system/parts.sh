#!/usr/bin/env bash
# Divided inputs: split, parts and combine under every model and four hybrid shapes, with everything that can go wrong in
# each, and through kills of workers and of the daemon.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { $(stanza parts) $(stanza once 'idempotent = false;' parts)
	$(stanza strict 'grace = "200ms";' parts) $(stanza often 'max_crashes = 0;' parts) };"
daemon_start

state_is() {
	ctl show "$1" --json | grep -qE "\"state\": ?\"$2\""
}
# A directory of its own for each job.
fresh() {
	exec_dir=$(mktemp -d "$dir/exec.XXXXXX")
}
# count PATTERN: lines of the execution log
count() {
	grep -cE "$1" "$exec_dir/log"
}
began() {
	[ "$(grep -c "^begin $1 " "$exec_dir/log" 2>/dev/null || :)" -ge "${2:-1}" ]
}
# sound NAME: nothing overlapped, and where it was divided this was done once.
sound() {
	equal "$1: no step ran twice at once" "$(count ^overlap)" 0
	equal "$1: it was divided once" "$(count '^end 0\.s')" 1
}
nothing_left() {
	equal "$1: nothing of its parts is left on disk" \
		"$(in_store 'SELECT (SELECT count(*) FROM step) + (SELECT count(*) FROM started) + (SELECT count(*) FROM crash)')" 0
}

divide() {
	local name=$1 id
	shift
	echo "== $name"

	fresh
	exits 0 ctl run parts -q -p "dir=$exec_dir" "$@" 0 1 "7 ms=2" "100 nested" 2
	equal "$name: each is put together from its own parts" "$(tr '\n' ';' <"$dir/out")" \
		"whole;1 parts, sum 0;7 parts, sum 21;100 parts, sum 4950;2 parts, sum 1;"
	equal "$name: every step ran once" "$(count ^end)" $((5 + 110 + 4))
	equal "$name: no step ran twice at once" "$(count ^overlap)" 0

	# A part that fails, and its task with it; what of it had not begun does not begin.
	fresh
	exits 1 ctl run parts -q -p "dir=$exec_dir" -j 1 "$@" "3000 fail=0 ms=1" "3 fail=1" 4
	says "task 0 (input '3000 fail=0 ms=1'): failed: part 0 of 0 to 2999: it was told to fail"
	says "part 1 of 0 to 2: it was told to fail"
	equal "$name: its neighbour does not" "$(cat "$dir/out")" "4 parts, sum 6"
	case $name in # a loop begins all that it has room for
	async | 2x*) ;;
	*) check "$name: its other parts are dropped" [ "$(count '^begin 0\.')" -lt 1000 ] ;;
	esac
	exits 1 ctl run parts -q "$@" "3 sfail"
	says "invalid-input: it cannot be divided"
	exits 1 ctl run parts -q -p combine=fail "$@" 3
	says "failed: combining its 3 parts: it cannot be combined"

	# Parts are tried again by themselves.
	fresh
	exits 0 ctl run parts --json -p "dir=$exec_dir" --retries 1 --backoff 5ms "$@" "8 retry=2"
	says '"result":"8 parts, sum 28"' "$dir/out"
	says '"attempts":2' "$dir/out"
	equal "$name: the part ran twice, the others once" "$(count '^begin 0\.2 ') $(count '^begin')" "2 11"
	exits 1 ctl run parts -q --retries 2 --backoff 1ms "$@" "8 retry=2 always"
	says "part 2 of 0 to 7: it was told to try again"

	# And after a crash, of each kind of step; max_crashes counts for each by itself.
	fresh
	exits 0 ctl run parts -q -p "dir=$exec_dir" -p combine=crash "$@" "9 crash=5 scrash"
	equal "$name: three crashes, of three steps" "$(cat "$dir/out")" "9 parts, sum 36"
	sound "$name"
	exits 1 ctl run parts -q "$@" "9 crash=5 always"
	says "quarantined: part 5 of 0 to 8: crashed 2 times"

	# Time limits, cancel, kill.
	exits 1 ctl run parts -q --task-timeout 200ms "$@" "4 hang=1"
	says "timeout: part 1 of 0 to 3: its time limit passed"
	exits 1 ctl run parts -q --task-timeout 200ms "$@" "4 shang"
	says "timeout: its time limit passed"
	exits 1 ctl run strict -q --task-timeout 200ms "$@" "4 deaf=1"
	says "timeout: part 1 of 0 to 3: its time limit passed; it did not end within its grace time"
	exits 1 ctl run parts -q --timeout 300ms "$@" "4 hang=1"
	says "time limit passed"
	fresh
	id=$(ctl run parts -d -p "dir=$exec_dir" "$@" "400 hang=2 ms=5" 3)
	check "$name: a part hangs" wait_for 20 began 0.2
	exits 3 ctl send --task 0 "$id" hello
	says "is divided: its parts receive no messages"
	exits 0 ctl cancel "$id"
	check "$name: a divided job is cancelled" state_is "$id" cancelled
	fresh
	id=$(ctl run parts -d -p "dir=$exec_dir" "$@" "400 deaf=2 ms=5")
	check "$name: a deaf part runs" wait_for 20 began 0.2
	exits 0 ctl kill "$id"
	check "$name: a divided job is killed" state_is "$id" cancelled

	# A paused job begins no further part.
	fresh
	id=$(ctl run parts -d -p "dir=$exec_dir" "$@" "300 ms=2")
	check "$name: parts run" wait_for 20 began 0.1
	exits 0 ctl pause "$id"
	exits 0 ctl resume "$id"
	exits 0 ctl wait "$id" --timeout 60s
	equal "$name: after a pause" "$(ctl results "$id")" "300 parts, sum 44850"
	sound "$name"

	# What must not run twice does not, part by part.
	fresh
	exits 1 ctl run once -q -p "dir=$exec_dir" "$@" "5 crash=3" 6
	says "crashed: part 3 of 0 to 4: it crashed and must not run twice"
	equal "$name: nothing ran twice" "$(grep ^begin "$exec_dir/log" | cut -d' ' -f2 | sort | uniq -d)" ""
	equal "$name: what is not kept on disk" "$(ctl run parts -q --no-durable "$@" 50 0)" "50 parts, sum 1225
whole"
}

every_shape_beside 3 divide

# In order: the next task waits for the last step of the one before.
for model in sync thread; do
	fresh
	exits 0 ctl run parts -q -m $model -p "dir=$exec_dir" 3 0 2
	equal "$model: steps run in order" "$(grep ^begin "$exec_dir/log" | cut -d' ' -f2 | tr '\n' ' ')" \
		"0.s 0.0 0.1 0.2 0.c 1.s 2.s 2.0 2.1 2.c "
done

# The limits, each with its own words.
for kind in "" --no-durable; do
	exits 1 ctl run parts -q -m pool $kind 65536 65537 "65537 lie" "2 part=1048577" "6 part=900000" "3 big=400000"
	equal "65,536 parts are not too many $kind" "$(cat "$dir/out")" "65536 parts, sum 2147450880"
	says "task 1 (input '65537'): too-large: it was divided into more than 65536 parts"
	says "task 2 (input '65537 lie'): too-large"
	says "too-large: it was divided into parts of which one is over 1 MiB"
	says "too-large: it was divided into parts of more than 4194304 bytes together"
	says "too-large: the results of its parts are more than 1 MiB together"
done
equal "parts and results of all that fits" "$(ctl run parts -q -m pool "4 part=1000000 big=250000")" "4 parts, sum 6"
nothing_left "after all of these"

# A task in parts does not keep those of another job waiting.
fresh
id=$(ctl run parts -d -m pool -p "dir=$exec_dir" "4000 ms=10")
check "its parts run" wait_for 20 began 0.1
exits 0 ctl run parts -q -m pool 3 0 5
check "another job's tasks ran among them" state_is "$id" running
ctl show "$id" >"$dir/out"
says "of 4000 parts done" "$dir/out"
says "task 0, part " "$dir/out"
ctl show "$id" --json | tr -d ' \n' >"$dir/out"
says '"tasks":{"total":1,"queued":0,"running":1,"done":0' "$dir/out"
says '"divided_tasks":[{"index":0,"parts":4000,"parts_done":' "$dir/out"
exits 0 ctl cancel "$id"

# Workers are killed, and then the daemon, beneath a divided job of each shape: the results are exact, and each was divided once.
# start WORKLOAD INPUT NAME RUN-OPTIONS...: a job in a directory of its own
start() {
	local workload=$1 input=$2 name=$3
	shift 3
	fresh
	id=$(ctl run "$workload" -d -p "dir=$exec_dir" "$@" "$input")
	started "$name" "$id" "$exec_dir"
}
all_began() {
	exec_dir=$where
	check "$name: parts run" wait_for 60 began "$1"
}
is_exact() {
	exec_dir=$where
	exits 0 ctl wait "$id" --timeout 120s
	equal "$name: after kills" "$(ctl results "$id")" "$1"
	sound "$name"
}
every_shape start often "150 ms=10"
for kill in 10 40 80; do
	each_started all_began "0\.$kill"
	pkill -KILL -P "$daemon_pid" -x concd-worker
done
each_started is_exact "150 parts, sum 11175"
forget_started

start_flaky() {
	start parts "200 ms=5 retry=20" "$@" -p combine=crash --retries 1 --backoff 1ms
}
# What has ended by now, and what of it is on disk: the dividing and a row for each part, or none where all is done.
note_ends() {
	exec_dir=$where
	count '^end 0\.[0-9]' >"$where/ends"
	in_store "SELECT count(*) FROM step WHERE job = $id" >"$where/rows"
}
every_shape start_flaky
for kill in 5 60 150; do
	each_started all_began "0\.$kill"
	daemon_kill
	check "its workers end with it" wait_for 20 flock -n "$dir/state/workers.lock" true
	each_started note_ends
	daemon_start
done
went_on() {
	local rows ends
	is_exact "200 parts, sum 19900"
	rows=$(cat "$where/rows") ends=$(cat "$where/ends")
	equal "$name: what is on disk does not run again" $(($(count '^end 0\.[0-9]') - ends)) $((rows > 0 ? 201 - rows : 0))
}
each_started went_on
forget_started

every_shape start once "200 ms=20"
each_started all_began "0\.8" # none has come to its last parts when the slowest has begun this one
daemon_kill
daemon_start
is_interrupted() {
	exec_dir=$where
	exits 1 ctl wait "$id" --timeout 60s
	exits 1 ctl results "$id"
	says "interrupted: part "
	equal "$name: no part ran twice" "$(grep ^begin "$exec_dir/log" | cut -d' ' -f2 | sort | uniq -d)" ""
}
each_started is_interrupted
forget_started

# A pause, a crash and the end of a daemon between parts.
start_and_pause() {
	start parts "60 ms=5 crash=30" "$@"
	check "$1: parts run" wait_for 30 began "0\.1"
	exits 0 ctl pause "$id"
}
every_shape start_and_pause
check "the daemon ends" daemon_stop
daemon_start
go_on() {
	check "$name: it is paused still" state_is "$id" paused
	ctl show "$id" >"$dir/out"
	says "of 60 parts done" "$dir/out"
	exits 0 ctl resume "$id"
}
each_started go_on
after_pause() {
	exec_dir=$where
	exits 0 ctl wait "$id" --timeout 60s
	equal "$name: after a pause and a restart" "$(ctl results "$id")" "60 parts, sum 1770"
	sound "$name: after a pause and a restart"
}
each_started after_pause
forget_started

# Damage to what is known of parts: it is found, the tasks fail and say so, and others go on.
check_store() {
	"$concd" -c "$dir/concd.conf" --check-store
}
ids=
for job in 1 2 3; do
	fresh
	id=$(ctl run once -d -m pool -p "dir=$exec_dir" "300 ms=5")
	check "parts run" wait_for 30 began "0\.4"
	exits 0 ctl pause "$id"
	ids="$ids $id"
done
check "the daemon ends" daemon_stop
exits 0 check_store
says "sound: " "$dir/out"
read -r split part sound <<<"$ids"
in_store "UPDATE step SET packed = CAST(packed || 'x' AS BLOB) WHERE job = $split AND step & 131071 = 0;
	UPDATE step SET packed = CAST(packed || 'x' AS BLOB) WHERE job = $part AND step & 131071 = 2"
exits 1 check_store
says "job $split 'once': what is known of the parts of task 0 is damaged: the task fails" "$dir/out"
says "job $part 'once': the outcome of a part of task 0 is damaged: the task fails" "$dir/out"
says "damaged: 2 findings" "$dir/out"
daemon_start
# shellcheck disable=SC2086 # words
ctl resume $ids >"$dir/out" 2>&1
exits 1 ctl wait "$split" --timeout 60s
exits 1 ctl results "$split"
says "failed: what it was divided into is damaged on the disk"
exits 1 ctl wait "$part" --timeout 60s
exits 1 ctl results "$part"
says "interrupted: part 1 of 0 to 299: its outcome is damaged on the disk"
exits 0 ctl wait "$sound" --timeout 60s
equal "another goes on" "$(ctl results "$sound")" "300 parts, sum 44850"

# The times are sums over the steps: wall = cpu + wait + run queue.
ctl run parts -q --json -m pool "20 ms=10" >"$dir/out"
check "the times of a divided task add up" awk -F'"wall_s":' 'NR == 1 {
	split($2, wall, ","); split($0, c, "\"cpu_s\":"); split(c[2], cpu, ","); split($0, w, "\"wait_s\":"); split(w[2], wait, ",")
	split($0, r, "\"runq_s\":"); split(r[2], runq, ",")
	d = wall[1] - cpu[1] - wait[1] - runq[1]
	exit !(d < 0.001 && d > -0.001 && wall[1] >= 0.19)
}' "$dir/out"
nothing_left "at the end"
check "the daemon ends" daemon_stop
finish
