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
last_job() {
	ctl list --json | tr -d ' \n' | grep -oE '"job":"[0-9]+"' | head -n 1 | grep -oE '[0-9]+'
}
has() { # WHAT TEXT PATTERN
	checks=$((checks + 1))
	if grep -qE -- "$3" <<<"$2"; then echo "ok: $1"; else fail "$1: not in: $2"; fi
}
none() { # WHAT: of the last job
	has "$1" "$(stalls "$(last_job)")" '"count":0,'
}

for shape in "-m async" "--shape 2x1x10"; do
	id=$(ctl run blocker -d $shape 1 400 2)
	ctl wait "$id" >/dev/null
	got=$(stalls "$id")
	has "$shape: show counts one" "$got" '"count":1,"untold":0,'
	has "$shape: show names task, input and how long" "$got" \
		'"index":1,"input":"400","input_bytes":3,"worker":"[0-9]+\.0",.*"held_s":0\.[4-9][0-9]*,"ended":true'
	has "$shape: and where" "$got" '"stack":\["[^"]*nanosleep[^"]*",.*"block\+0x[0-9a-f]+\(blocker.so\)"'
	ctl show "$id" >"$dir/out"
	says "task 1 (input '400'): " "$dir/out"
	says "task 1 of 'blocker' (input '400') holds its thread for" "$dir/log"
	check "$shape: the log has the stack" grep -qE "job $id: task 1 .*nanosleep\+.* < .*block\+0x.* \(blocker.so\)" "$dir/log"
	says "job $id: task 1 of 'blocker' held its thread for" "$dir/log"

	# Of one that computes (a sanitizer may hold the signal back until it calls the system).
	id=$(ctl run spin -d $shape 400000)
	ctl wait "$id" >/dev/null
	has "$shape: one that computes is named" "$(stalls "$id")" '"index":0,"input":"400000",'
	[ "${SANITIZER:-}" = thread ] || has "$shape: with its stack" "$(stalls "$id")" '"(run|cpu_ns)\+0x[0-9a-f]+\(spin.so\)"'
done

# Events: at its begin and at its end. A task that waits holds the job open until the follower is there.
id=$(ctl run blocker -d -m async -j 1 100 100 100 100 100 100 100 100)
ctl follow "$id" --json >"$dir/events"
check "an event at the begin" grep -q '"type":"stall".*"ended":false' "$dir/events"
check "an event at the end" grep -q '"type":"stall".*"ended":true' "$dir/events"
id=$(ctl run blocker -d -m async -j 1 100 100 100 100 100 100 100 100)
ctl follow "$id" >"$dir/out"
check "people read it as well" grep -qE "task [0-9]+ \(input '100'\) holds its thread, worker [0-9.]+, for .* now: .*nanosleep" "$dir/out"

# The longest are kept when the job has ended, and outlive the daemon.
before=$(stalls "$id")
daemon_kill
daemon_start
equal "they outlive the daemon" "$(stalls "$id")" "$before"

# One task a thread: off, unless the stanza asks for it.
ctl run blocker -q -m pool 200 200 >/dev/null
none "pool: holding one's own thread is nothing"
ctl run alone -q -m pool -j 2 200 200 >/dev/null
has "pool: but where the stanza asks for it" "$(stalls "$(last_job)")" '"count":2,'
ctl run slow -q -m async 200 >/dev/null
none "a longer limit"
ctl run off -q -m async 200000 >/dev/null
none "stall = \"0\""

# A busy machine: who waits for a processor has not held its thread. The tasks of spin take 2 ms of processor time each.
hogs=
for _ in 1 2 3 4 5 6; do
	(exec bash -c 'while :; do :; done') &
	hogs="$hogs $!"
done
ctl run sleeper -q -m async -j 100 $(yes 20ms | head -n 2000) >/dev/null
none "sleepers beside hogs"
ctl run spin -q -m async -j 10 $(yes 2000 | head -n 400) >/dev/null
none "short tasks beside hogs"
ctl run spin -q --shape 2x2x10 $(yes 2000 | head -n 400) >/dev/null
[ "${SANITIZER:-}" = thread ] || # whose own locks make threads wait for each other
	none "short tasks on four threads beside hogs"
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
