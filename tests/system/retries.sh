#!/usr/bin/env bash
# Retries, halting, kill, pause and resume, changes while running: under every model and four hybrid shapes.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { $(stanza flaky) $(stanza flaky_once 'idempotent = false;' flaky) $(stanza hang 'grace = "60s";') };"
daemon_start

state_is() {
	ctl show "$1" --json | grep -qE "\"state\": ?\"$2\""
}
# field NAME JOB: a number out of the job's document
field() {
	ctl show "$2" --json | tr -d ' \n' | grep -oE "\"$1\":[0-9]+" | head -n 1 | cut -d: -f2
}
at_least() {
	[ "$(field "$1" "$2")" -ge "$3" ]
}
# shows JOB PATTERN: its document, without spaces, does
shows() {
	ctl show "$1" --json | tr -d ' \n' | grep -qE "$2"
}
# A directory of its own for each job of the flaky plugin.
fresh() {
	flaky=$(mktemp -d "$dir/flaky.XXXXXX")
}

retries() {
	local name=$1 id other began
	shift
	echo "== $name"

	fresh
	exits 0 ctl run flaky -q -p "dir=$flaky" -p fails=2 --retries 2 --backoff 5ms "$@" $(seq 1 40)
	check "$name: all results come, in order" cmp -s "$dir/out" <(seq 1 40)
	equal "$name: each was tried three times" "$(wc -l <"$flaky/log")" 120
	fresh
	exits 0 ctl run flaky --json -p "dir=$flaky" -p fails=1 --retries 5 --backoff 1ms "$@" a
	says '"attempts":2' "$dir/out"
	fresh
	exits 1 ctl run flaky -q -p "dir=$flaky" -p fails=3 --retries 2 --backoff 1ms "$@" a bad
	says "flaked 3 times"
	equal "$name: no try beyond the retries, none of a permanent failure" "$(wc -l <"$flaky/log")" 4

	# The plugin's own delay is the least; cancel and time limits end those that wait at once.
	fresh
	id=$(ctl run flaky -d -p "dir=$flaky" -p fails=1 -p delay_ms=600000 --retries 1 --backoff 1ms "$@" a)
	check "$name: it waits" wait_for 10 at_least retrying "$id" 1
	ctl show "$id" >"$dir/out"
	says "flaked 1 times" "$dir/out"
	exits 0 ctl cancel "$id"
	check "$name: a waiting task is cancelled" state_is "$id" cancelled
	fresh
	exits 1 ctl run flaky -q -p "dir=$flaky" -p fails=1 --retries 1 --backoff 10m --timeout 100ms "$@" a
	says "timeout"

	# Halting.
	fresh
	exits 1 ctl run flaky -q -p "dir=$flaky" --halt soon,fail=2 "$@" $(seq 1 5) bad1 bad2 $(seq 6 5000)
	check "$name: a halted job begins no more" [ "$(wc -l <"$flaky/log")" -lt 5006 ]
	exits 1 ctl run sleeper -q --halt now,fail=1 "$@" -- nonsense 60s 60s 60s
	fresh
	exits 1 ctl run flaky -q -p "dir=$flaky" --halt soon,fail=30% "$@" $(seq -f bad%g 20) $(seq 5000)
	check "$name: as does one that bears less than 30 %" [ "$(wc -l <"$flaky/log")" -lt 5020 ]

	# Kill: what ignores everything is gone at once, and another job's tasks are not.
	id=$(ctl run hang -d "$@" hang)
	check "$name: a task hangs" wait_for 10 at_least running "$id" 1
	other=$(ctl run hang -d "$@" a b c)
	began=$SECONDS
	exits 0 ctl kill "$id"
	check "$name: the kill does not wait for grace" [ $((SECONDS - began)) -lt 20 ]
	check "$name: the killed job is cancelled" state_is "$id" cancelled
	exits 0 ctl wait "$other" --timeout 20s
	exits 3 ctl kill "$id"
	id=$(ctl run hang -d "$@" hang)
	check "$name: a task hangs" wait_for 10 at_least running "$id" 1
	exits 0 ctl cancel --no-wait "$id"
	check "$name: nobody waits for the end of its grace" state_is "$id" running
	exits 0 ctl kill --no-wait "$id"
	exits 1 ctl wait "$id" --timeout 20s

	# A lost worker process: the next attempt, and why there is one, are shown, also when the daemon has been killed meanwhile.
	id=$(ctl run sleeper -d "$@" 60s)
	check "$name: a task sleeps" wait_for 10 at_least running "$id" 1
	kill -KILL "$(ctl show "$id" --json | tr -d ' \n' | grep -oE '"running_tasks":.*"worker":"[0-9]+' | grep -oE '[0-9]+$')"
	check "$name: it is tried again" wait_for 20 shows "$id" '"attempts":2,"progress":null,"cause":"[^"]*SIGKILL'
	exits 0 ctl kill "$id"

	# More at once, within the crew.
	case $name in
	sync | thread) ;; # have one worker
	*)
		id=$(ctl run sleeper -d "$@" -j 1 $(yes 60s | head -n 20))
		check "$name: one runs" wait_for 10 at_least running "$id" 1
		exits 0 ctl set "$id" workers=2
		check "$name: two run" wait_for 10 at_least running "$id" 2
		equal "$name: and no more" "$(field running "$id")" 2
		exits 0 ctl kill "$id"
		;;
	esac

	# Pause and resume.
	case $name in
	async) id=$(ctl run sleeper -d "$@" $(yes 0.3 | head -n 3000)) ;; # a thousand of them at once
	*) id=$(ctl run sleeper -d "$@" $(yes 0.02 | head -n 100)) ;;
	esac
	exits 0 ctl pause "$id"
	check "$name: the job is paused" state_is "$id" paused
	exits 3 ctl pause "$id"
	exits 124 ctl wait "$id" --timeout 50ms
	exits 0 ctl resume "$id"
	exits 0 ctl wait "$id" --timeout 60s
	exits 3 ctl resume "$id"
}

every_shape_beside 3 retries

# In order: nothing begins before the task that is to be tried again has ended.
for model in sync thread; do
	fresh
	exits 0 ctl run flaky -q -m $model -p "dir=$flaky" -p fails=1 --retries 1 --backoff 5ms 1 2 3
	equal "$model: a retry holds its place" "$(tr '\n' ' ' <"$flaky/log")" "1 1 2 2 3 3 "
done

fresh
id=$(ctl run flaky -d -m async -p "dir=$flaky" --halt soon,fail=3 bad1 bad2 bad3)
exits 1 ctl wait "$id" --timeout 20s
ctl show "$id" --json >"$dir/out"
says '"halted"' "$dir/out"
says '"failed_tasks":[{' "$dir/out"

# By percentage: of the tasks that have ended, once there are ten of them.
fresh
exits 1 ctl run flaky -q -m sync -p "dir=$flaky" --halt soon,fail=30% bad1 bad2 bad3 $(seq 4 2000)
check "3 of 10 halt a job that bears less than 30 %" [ "$(wc -l <"$flaky/log")" -lt 2000 ]
fresh
exits 1 ctl run flaky -q -m sync -p "dir=$flaky" --halt soon,fail=31% bad1 bad2 bad3 $(seq 4 500)
equal "and no job that bears more" "$(wc -l <"$flaky/log")" 500

# A workload that must not run twice is tried again where its plugin asks for it: what it asked for has ended. Also after
# a restart of the daemon meanwhile.
once() {
	local name=$1
	shift
	fresh
	exits 0 ctl run flaky_once -q "$@" -p "dir=$flaky" -p fails=2 --retries 2 --backoff 1ms $(seq 1 20)
	check "$name: one that must not run twice gets its tries" cmp -s "$dir/out" <(seq 1 20)
	start_waiting flaky_once "$name" "$@"
}
# start_waiting WORKLOAD NAME RUN-OPTIONS...: tasks that fail and wait ten minutes for another try, one where they run in order
start_waiting() {
	local workload=$1 name=$2 inputs=1
	shift 2
	case $name in sync | thread) ;; *) inputs=$(seq 1 20) ;; esac
	fresh
	started "$name" "$(ctl run "$workload" -d "$@" -p "dir=$flaky" -p fails=1 -p delay_ms=600000 --retries 1 --backoff 1ms $inputs)" \
		"$(wc -w <<<"$inputs")"
}
all_wait() {
	check "$name: all wait for another try" wait_for 10 at_least retrying "$id" "$where"
}
tried_again() {
	exits 0 ctl wait "$id" --timeout 20s
	ctl results "$id" >"$dir/out"
	check "$name: they have it under the next daemon" cmp -s "$dir/out" <(seq 1 "$where")
}
every_shape once
each_started all_wait
daemon_stop
daemon_start
each_started tried_again
forget_started

# The time limit stands still while a job is paused. It stays paused, and what waits to be tried again may run, after a kill of
# the daemon.
every_shape start_waiting flaky
each_started all_wait
waiting=$started_jobs
forget_started
start_and_pause() {
	local name=$1 id
	shift
	id=$(ctl run sleeper -d "$@" -j 1 --timeout 4s 0.5 0.1)
	started "$name" "$id"
	exits 0 ctl pause "$id"
}
every_shape start_and_pause
exits 0 ctl run sleeper -q -m async 4.5
each_started eval 'check "$name: a paused job outlives its time limit" state_is "$id" paused'
daemon_kill
daemon_start
outlives() {
	check "$name: it is paused still" state_is "$id" paused
	exits 0 ctl resume "$id"
	exits 0 ctl wait "$id" --timeout 20s
}
each_started outlives
started_jobs=$waiting
each_started tried_again
forget_started

# Several jobs at once; one that is wrong does not keep the others from it.
ids="$(ctl run sleeper -d 60s) $(ctl run sleeper -d 60s) 999999"
exits 4 ctl cancel $ids
for id in ${ids% *}; do
	check "job $id of several is cancelled" state_is "$id" cancelled
done
id=$(ctl run sleeper -d 60s)
exits 0 ctl kill --no-wait "$id"
exits 1 ctl wait "$id" --timeout 20s

# More or fewer at once, within the crew.
id=$(ctl run sleeper -d -m async -j 1 -l narrow $(yes 60s | head -n 20))
check "one runs" wait_for 10 at_least running "$id" 1
exits 0 ctl set "$id" workers=10
check "ten run" wait_for 10 at_least running "$id" 10
exits 2 ctl set "$id" workers=100000
exits 2 ctl set "$id" colour=red
exits 0 ctl list -l narrow
says narrow "$dir/out"
equal "the label's job only" "$(wc -l <"$dir/out")" 2
exits 0 ctl kill "$id"

# Waiting tasks do not hold up a shutdown.
fresh
id=$(ctl run flaky -d -p "dir=$flaky" -p fails=1 --retries 1 --backoff 10m w)
check "a task waits" wait_for 10 at_least retrying "$id" 1
daemon_stop
equal "concd ends with 0" $? 0
finish
