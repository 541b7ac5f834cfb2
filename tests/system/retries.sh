#!/usr/bin/env bash
# Retries, halting, kill, pause and resume, changes while running: under every model and two hybrid shapes.
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

	# Pause and resume.
	case $name in
	async) id=$(ctl run sleeper -d "$@" $(yes 0.3 | head -n 3000)) ;; # a thousand of them at once
	*) id=$(ctl run sleeper -d "$@" $(yes 0.01 | head -n 200)) ;;
	esac
	exits 0 ctl pause "$id"
	check "$name: the job is paused" state_is "$id" paused
	exits 3 ctl pause "$id"
	exits 124 ctl wait "$id" --timeout 50ms
	exits 0 ctl resume "$id"
	exits 0 ctl wait "$id" --timeout 60s
	exits 3 ctl resume "$id"
}

for model in $all_models; do
	retries "$model" -m "$model"
done
retries "2x1x8" --shape 2x1x8
retries "1x2x3" --shape 1x2x3

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
# a kill of the daemon meanwhile.
for model in $all_models; do
	fresh
	exits 0 ctl run flaky_once -q -m $model -p "dir=$flaky" -p fails=2 --retries 2 --backoff 1ms $(seq 1 20)
	check "$model: one that must not run twice gets its tries" cmp -s "$dir/out" <(seq 1 20)
done
fresh
id=$(ctl run flaky_once -d -m pool -p "dir=$flaky" -p fails=1 -p delay_ms=600000 --retries 1 --backoff 1ms $(seq 1 20))
check "all wait for another try" wait_for 10 at_least retrying "$id" 20
daemon_stop
daemon_start
exits 0 ctl wait "$id" --timeout 20s
ctl results "$id" >"$dir/out"
check "they have it under the next daemon" cmp -s "$dir/out" <(seq 1 20)

# The time limit stands still while a job is paused.
id=$(ctl run sleeper -d -m sync --timeout 4s 0.1 0.1)
exits 0 ctl pause "$id"
exits 0 ctl run sleeper -q -m async 4.5
check "a paused job outlives its time limit" state_is "$id" paused
exits 0 ctl resume "$id"
exits 0 ctl wait "$id" --timeout 20s

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
exits 0 ctl pause "$id"

# A paused job stays paused, and what waited to be tried again may run, after a kill of the daemon.
fresh
waiting=$(ctl run flaky -d -p "dir=$flaky" -p fails=1 --retries 1 --backoff 10m w)
check "a task waits" wait_for 10 at_least retrying "$waiting" 1
daemon_kill
daemon_start
check "it is paused still" state_is "$id" paused
exits 0 ctl wait "$waiting" --timeout 20s
exits 0 ctl kill "$id"

# Waiting tasks do not hold up a shutdown.
fresh
id=$(ctl run flaky -d -p "dir=$flaky" -p fails=1 --retries 1 --backoff 10m w)
check "a task waits" wait_for 10 at_least retrying "$id" 1
daemon_stop
equal "concd ends with 0" $? 0
finish
