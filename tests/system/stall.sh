#!/usr/bin/env bash
# A task that holds its thread for longer than `stall` is named in the log, in the events and in `show`, with its input, for
# how long and where it was stuck; who gives way, or merely waits for a busy machine, is not.
. "$(dirname "$0")/lib.sh"

write_config "workloads = {
	$(stanza spin) $(stanza exec_log) $(stanza off 'stall = "0";' spin)
	alone = { plugin = \"blocker\"; stall = \"50ms\"; };
	slow = { plugin = \"blocker\"; stall = \"10s\"; };
};"
daemon_start

# stalls JOB: show's list, without spaces.
stalls() {
	ctl show "$1" --json | tr -d ' \n' | grep -oE '"stalls":\{.*\]\}' | sed 's/,"failed_tasks.*//'
}
has() { # WHAT TEXT PATTERN
	checks=$((checks + 1))
	if grep -qE -- "$3" <<<"$2"; then echo "ok: $1"; else fail "$1: not in: $2"; fi
}
# none WHAT WORKLOAD RUN-OPTIONS AND INPUTS...: nothing of them is named
none() {
	local what=$1 id
	shift
	id=$(ctl run -d "$@")
	ctl wait -q "$id" --timeout 60s
	has "$what" "$(stalls "$id")" '"count":0,'
}

# Several tasks on a thread: it is on by itself.
is_loop() {
	case $1 in
	async | 2x1x8 | 1x2x3 | 2x2x2) ;;
	*) return 1 ;;
	esac
}
loop() {
	local name=$1 id got
	is_loop "$name" || return 0
	shift
	id=$(ctl run blocker -d "$@" 1 400 2)
	ctl wait "$id" >/dev/null
	got=$(stalls "$id")
	has "$name: show counts one" "$got" '"count":1,"untold":0,'
	has "$name: show names task, input and how long" "$got" \
		'"index":1,"input":"400","input_bytes":3,"worker":"[0-9]+\.[0-9]+",.*"held_s":0\.[4-9][0-9]*,"ended":true'
	has "$name: and where" "$got" '"stack":\["[^"]*nanosleep[^"]*",.*"block\+0x[0-9a-f]+\(blocker.so\)"'
	ctl show "$id" >"$dir/out"
	says "task 1 (input '400'): " "$dir/out"
	says "job $id: task 1 of 'blocker' (input '400') holds its thread for" "$dir/log"
	check "$name: the log has the stack" grep -qE "job $id: task 1 .*nanosleep\+.* < .*block\+0x.* \(blocker.so\)" "$dir/log"
	says "job $id: task 1 of 'blocker' held its thread for" "$dir/log"
}
every_shape_beside 4 loop

# From here on the log may say less: its lines about this are bounded.
more() {
	local name=$1 id
	is_loop "$name" || return 0
	shift
	# Of one that computes (a sanitizer may hold the signal back until it calls the system).
	id=$(ctl run spin -d "$@" 400000)
	ctl wait "$id" >/dev/null
	has "$name: one that computes is named" "$(stalls "$id")" '"index":0,"input":"400000",'
	[ "${SANITIZER:-}" = thread ] || has "$name: with its stack" "$(stalls "$id")" '"(run|cpu_ns)\+0x[0-9a-f]+\(spin.so\)"'

	# Events: at its begin and at its end. A task that waits holds the job open until the follower is there.
	id=$(ctl run blocker -d "$@" -j 1 100 100 100 100 100 100 100 100)
	ctl follow "$id" --json >"$dir/events"
	check "$name: an event at the begin" grep -q '"type":"stall".*"ended":false' "$dir/events"
	check "$name: an event at the end" grep -q '"type":"stall".*"ended":true' "$dir/events"
	none "$name: a longer limit" slow "$@" 200
	none "$name: stall = \"0\"" off "$@" 200000
}
every_shape_beside 4 more

# One task a thread: off, unless the stanza asks for it.
alone() {
	local name=$1 id
	shift
	is_loop "$name" || none "$name: holding one's own thread is nothing" blocker "$@" 200 200
	id=$(ctl run alone -d "$@" 200 200)
	ctl wait "$id" >/dev/null
	has "$name: but where the stanza asks for it" "$(stalls "$id")" '"count":2,'
}
every_shape_beside 3 alone

id=$(ctl run blocker -d -m async -j 1 100 100 100 100 100 100 100 100)
ctl follow "$id" >"$dir/out"
check "people read it as well" grep -qE "task [0-9]+ \(input '100'\) holds its thread, worker [0-9.]+, for .* now: .*nanosleep" "$dir/out"

# `run` says it on standard error as well, of the first few.
ctl run blocker -m async -j 1 100 100 100 >"$dir/out" 2>"$dir/err"
check "run says where it is stuck" grep -qE "concctl: task [0-9] \(input '100'\) holds its thread, worker [0-9.]+, for .* now: .*nanosleep" "$dir/err"
equal "its results are not mixed with it" "$(tr '\n' ' ' <"$dir/out")" "100 100 100 "
ctl run blocker -m async -j 1 $(yes 100 | head -n 9) >/dev/null 2>"$dir/err"
equal "no more than five, and that there are more" "$(grep -c 'holds its thread,' "$dir/err") $(grep -c 'more tasks hold their thread' "$dir/err")" "5 1"
ctl run blocker -q -m async 100 >/dev/null 2>"$dir/err"
check "nothing with -q" test ! -s "$dir/err"
ctl run blocker --json -m async 100 2>/dev/null >"$dir/out"
check "nor among the lines of JSON, unless asked for" test -z "$(grep stall "$dir/out")"
curl -s --unix-socket "$sock" "http://concd/v1/jobs?stream=json&stalls=1" -H 'Expect:' -d '{"workload":"blocker","model":"async","inputs":["300"]}' >"$dir/out"
check "as here" grep -q '^{.*"type":"stall".*"schema":1' "$dir/out"

# The longest are kept when the job has ended, and outlive the daemon.
before=$(stalls "$id")
daemon_kill
daemon_start
equal "they outlive the daemon" "$(stalls "$id")" "$before"

# A busy machine: who waits for a processor has not held its thread. The tasks of spin take 2 ms of processor time each.
hogs=
for _ in 1 2 3 4 5 6; do
	(exec bash -c 'while :; do :; done') &
	hogs="$hogs $!"
done
none "sleepers beside hogs" sleeper -m async -j 100 $(yes 20ms | head -n 2000)
# A sanitizer's own locks make threads wait for each other.
busy="async 2x1x8 1x2x3 2x2x2"
[ "${SANITIZER:-}" != thread ] || busy="async 2x1x8"
for name in $busy; do
	how="-m async -j 10"
	[ "$name" = async ] || how="--shape $name"
	beside 4 none "$name: short tasks beside hogs" spin $how $(yes 2000 | head -n 300)
done
gather
kill $hogs
wait $hogs 2>/dev/null

# The idle process sleeps: its host thread is not woken.
switches() {
	local pid
	pid=$(pgrep -P "$daemon_pid" -n concd-worker)
	[ -n "$pid" ] && awk '/^(non)?voluntary_ctxt_switches/ { n += $2 } END { print n }' "/proc/$pid/task/$pid/status"
}
ctl run sleeper -q -m async 1ms >/dev/null
still() {
	local a b
	a=$(switches)
	read -r -t 0.5 _ <>"$dir/never" || :
	b=$(switches)
	[ -n "$a" ] && [ "$a" = "$b" ]
}
check "an idle worker process sleeps" wait_for 20 still
finish
