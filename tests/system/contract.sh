#!/usr/bin/env bash
# What every model promises, run against every model and four hybrid shapes: order, completeness, cancel of queued and
# running tasks, time limits, the kill of what does not end, offloaded functions, messages, progress, crashes, draining at
# shutdown.
. "$(dirname "$0")/lib.sh"
MANY=${MANY:-100000}
[ "${SANITIZER:-}" != thread ] || MANY=20000
# gcc's TSan runtime ends at 8,128 fibers.
many_workers=10000
[ "${SANITIZER:-}" != thread ] || many_workers=4000

write_config "workloads = {
	$(stanza noop) $(stanza identity) $(stanza crash)
	$(stanza hang 'grace = "300ms";') $(stanza spin) $(stanza exec_log_once)
	$(stanza offload) $(stanza listen)
};"
daemon_start
many=$dir/many
thousand=$dir/thousand
seq 1 "$MANY" >"$many"
seq 0 999 | sed 's/$/ x/' >"$thousand"

state_is() {
	ctl show "$1" --json | grep -qE "\"state\": ?\"$2\""
}
running() {
	[ "$(field running_now "$1")" -gt 0 ]
}
shows_progress() {
	ctl show "$1" --json | tr -d ' \n' | grep -qF "\"progress\":$2,"
}
# field NAME JOB: a number out of its tasks
field() {
	local name=$1
	[ "$name" != running_now ] || name=running
	ctl show "$2" --json | tr -d ' \n' | grep -oE "\"$name\":[0-9]+" | head -n 1 | cut -d: -f2
}

contract() {
	local name=$1 id got
	shift
	echo "== $name"

	ctl run noop -q "$@" -i "$many" >"$dir/got"
	equal "$name: $MANY tasks exit 0" $? 0
	check "$name: results come in the order of inputs" cmp -s "$dir/got" "$many"
	ctl run noop -q --unordered "$@" -i "$many" | sort -n >"$dir/got"
	check "$name: unordered results are complete" cmp -s "$dir/got" "$many"
	ctl run identity -q -0 "$@" <"$thousand" -i - | tr '\0' '\n' >"$dir/got"
	check "$name: one raw input with newlines is one task" cmp -s <(cat "$thousand"; echo) "$dir/got"

	# A job that waits and sleeps is cancelled whole: what runs is told, what is queued never runs.
	id=$(ctl run sleeper -d "$@" $(yes 60s | head -n 50))
	check "$name: sleepers begin" wait_for 10 running "$id"
	exits 0 ctl cancel "$id"
	check "$name: the job is cancelled when the answer comes" state_is "$id" cancelled
	equal "$name: all its tasks are" "$(field cancelled "$id")" 50

	# What ignores the cancel is killed with its process at the end of grace; the daemon goes on.
	id=$(ctl run hang -d "$@" hang)
	check "$name: a task hangs" wait_for 10 running "$id"
	exits 0 ctl cancel "$id"
	check "$name: a task that ignores its cancel is gone" state_is "$id" cancelled

	exits 1 ctl run sleeper -q --task-timeout 50ms "$@" 20s
	says "timeout"
	exits 1 ctl run hang -q --task-timeout 50ms "$@" hang
	says "timeout"
	exits 1 ctl run sleeper -q --timeout 100ms "$@" 20s 20s
	says "timeout"

	# Functions on helper threads: results, a cancel that waits for them, and a fault that names its task.
	ctl run offload -q "$@" $(seq 1 30) >"$dir/got"
	check "$name: offloaded functions give their results" cmp -s "$dir/got" <(seq 1 30)
	id=$(ctl run offload -d "$@" wait wait wait)
	check "$name: an offloaded function begins" wait_for 10 running "$id"
	exits 0 ctl cancel "$id"
	check "$name: it ends with its task's cancel" state_is "$id" cancelled
	exits 1 ctl run offload -q "$@" 1 crash 2
	equal "$name: a fault on a helper costs its task" "$(tr '\n' ' ' <"$dir/out")" "1 2 "
	says "quarantined"
	says "'crash'"

	# Messages: to a task that waits for them, to one that does not listen yet, and to none.
	id=$(ctl run listen -d "$@" 2)
	check "$name: a listener begins" wait_for 10 running "$id"
	check "$name: what it says of its progress is shown" wait_for 10 shows_progress "$id" 0.5
	exits 0 ctl send "$id" hello
	exits 0 ctl send "$id" --task 0 "the world"
	exits 0 ctl wait "$id" --timeout 20s
	equal "$name: messages come in order" "$(ctl results "$id")" "hello|the world"
	exits 3 ctl send "$id" more
	says "has ended"
	id=$(ctl run listen -d "$@" late)
	check "$name: a late listener begins" wait_for 10 running "$id"
	exits 0 ctl send "$id" one
	exits 0 ctl send "$id" two
	exits 0 ctl wait "$id" --timeout 20s
	equal "$name: messages wait for their task" "$(ctl results "$id")" "one|two"
	equal "$name: a time limit ends the wait for a message" "$(ctl run listen -q "$@" brief)" nothing
	id=$(ctl run listen -d "$@" deaf)
	check "$name: a deaf task begins" wait_for 10 running "$id"
	for _ in $(seq 64); do ctl send -q "$id" x || fail "$name: 64 messages fit an inbox"; done
	exits 75 ctl send "$id" "one too many"
	says "full"
	exits 0 ctl cancel "$id"
	id=$(ctl run listen -d "$@" 1)
	check "$name: a waiting listener begins" wait_for 10 running "$id"
	exits 0 ctl cancel "$id"
	check "$name: a cancel ends the wait for a message" state_is "$id" cancelled

	exits 1 ctl run crash -q -p every=1000 "$@" $(seq 1 1000)
	equal "$name: a crash costs one of 1,000 results" "$(wc -l <"$dir/out")" 999
	equal "$name: and is told once" "$(grep -c 'quarantined' "$dir/err")" 1
	says "SIGSEGV"
	says "'1000'"
	for how in abort kill exit; do
		exits 1 ctl run crash -q -p signal=$how "$@" 1 crash 2
		equal "$name: its neighbours survive $how" "$(tr '\n' ' ' <"$dir/out")" "1 2 "
	done
}

every_shape_beside 3 contract

ctl run sleeper -q -m async -j $many_workers $(yes 0.2 | head -n $((many_workers / 2))) | wc -l >"$dir/got"
equal "$((many_workers / 2)) coroutines at once" "$(cat "$dir/got")" $((many_workers / 2))

# Draining: what has begun ends and is recorded, what has not is there after the restart.
start() {
	local name=$1
	shift
	started "$name" "$(ctl run sleeper -d "$@" 0.5 0.1 0.1 0.1)"
}
has_begun() {
	running "$1" || state_is "$1" done
}
every_shape start
each_started eval 'check "$name: sleepers begin" wait_for 10 has_begun "$id"'
daemon_stop
equal "concd ends with 0" $? 0
check "no worker process is left" flock -n "$dir/state/workers.lock" true
daemon_start
is_finished() {
	exits 0 ctl wait "$id" --timeout 20s
	equal "$name: the job was finished by the next daemon" "$(ctl results "$id" | wc -l)" 4
}
each_started is_finished
finish
