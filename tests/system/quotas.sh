#!/usr/bin/env bash
# Limits on unfinished jobs, tasks and bytes of inputs, in all and of one user: what is refused is named (exit 75), what is fed little by
# little waits, what has ended makes room, and a restarted daemon counts the same.
. "$(dirname "$0")/lib.sh"

limits='max_jobs = 4; max_queued_tasks = 60;'
per_user='max_jobs_per_user = 3; max_queued_tasks_per_user = 40; max_queued_per_user = "2M";'
write_config "limits = { $limits $per_user }; workloads = { nap = { plugin = \"sleeper\"; model = \"async\"; }; };"
daemon_start
if [ "$(id -u)" = 0 ]; then # another user than the daemon's
	chmod 711 "$dir"
	chmod 666 "$sock"
	other="setpriv --reuid=65534 --regid=65534 --clear-groups"
	$other test -x "$concctl" 2>/dev/null || other=
fi
other() {
	$other "$concctl" -s "$sock" "$@"
}
unfinished() {
	ctl --json status | grep -o '"unfinished":{"jobs":[0-9]*,"tasks":[0-9]*,"input_bytes":[0-9]*' | grep -o '[0-9]*' | tr '\n' ' '
}
unfinished_are() {
	[ "$(unfinished)" = "$1" ]
}
naps=$(seq -f %gs 1001 1019)

# In all: holds for everybody.
for i in 1 2 3; do ctl run nap -d $naps >/dev/null; done
exits 75 ctl run nap -d 1h 1h 1h 1h
says "all users together have 57 unfinished tasks, and with 4 more it is over limits.max_queued_tasks = 60"
exits 0 ctl run nap -d 1h
exits 75 ctl run nap 1s
says "all users together have 4 unfinished jobs, and with 1 more it is over limits.max_jobs = 4"
exits 75 ctl --json run nap 1s
says '"code":"busy"' "$dir/out"
exits 0 ctl run nap --dry-run 1s # nothing is accepted, so nothing is refused
equal "what is unfinished is counted" "$(unfinished)" "4 58 345 "
exits 0 ctl status
says "4 of 4 jobs, 58 of 60 tasks" "$dir/out"

# A submission that is known is answered, however full it is.
submission='{"workload":"nap","submission":"once","inputs":["1h"]}'
post() {
	curl -s --unix-socket "$sock" -H 'Expect:' --data-binary "$1" http://concd/v1/jobs
}
exits 0 ctl cancel 4
case "$(post "$submission")" in *'"job":"5","inputs":1'*) known=yes ;; *) known=no ;; esac
equal "there is room for one" $known yes
case "$(post "$submission")" in *'"known":true'*) known=yes ;; *) known=no ;; esac
equal "sent again it names the same job" $known yes
case "$(post "${submission/once/twice}")" in *'"busy"'*) busy=yes ;; *) busy=no ;; esac
equal "another one is refused" $busy yes

# The same after a restart, of each job and of those that are parked.
before=$(unfinished)
daemon_kill
daemon_start
[ "$(id -u)" != 0 ] || chmod 666 "$sock"
equal "a restarted daemon counts the same" "$(unfinished)" "$before"
exits 75 ctl run nap 1s
says "limits.max_jobs = 4"
exits 0 ctl cancel --all
equal "nothing is left" "$(unfinished)" "0 0 0 "

# Tasks that have ended make room while their job goes on; so do those that fail, and jobs that fail at once.
exits 0 ctl run nap -d 10ms 20ms 1h nonsense
check "ended tasks do not count" wait_for $((10 * slowness)) unfinished_are "1 1 22 "
exits 0 ctl kill --all
exits 1 ctl run nap --halt now,fail=1 nonsense $naps
equal "a halted job leaves nothing" "$(unfinished)" "0 0 0 "
exits 0 ctl run nap --no-durable -d $naps
exits 75 ctl run nap -d $naps $naps $naps
says "limits.max_queued_tasks = 60"
exits 0 ctl cancel --all
equal "nor one that is not kept" "$(unfinished)" "0 0 0 "
exits 75 ctl run nap $naps $naps $naps $naps
says "this job alone would be 76 unfinished tasks, and limits.max_queued_tasks is 60"

# A job that is fed little by little waits for room, and so does its client: nothing is lost.
feed() {
	seq -f %gms 1 50
	sleep 0.5 # ends the first piece
	seq -f %gms 101 150
	sleep 0.5
	seq -f %gms 1 50
}
feed | ctl run nap -i - >"$dir/out" 2>"$dir/err"
equal "all of a job that waited for room" "$?,$(cksum <"$dir/out")" "0,$( (seq -f %gms 1 50; seq -f %gms 101 150; seq -f %gms 1 50) | cksum)"
equal "and nothing is left of it" "$(unfinished)" "0 0 0 "
ctl run nap -d $(seq -f %gs 2001 2030) >/dev/null
holder=$(ctl list --json | grep -o '"job":"[0-9]*"' | head -n 1 | grep -o '[0-9]*')
{ seq -f %gms 20; sleep 0.5; seq -f %gms 35; } | ctl run nap -i - >"$dir/fed" 2>"$dir/fed.err" &
feeder=$!
check "the client says that it waits, and why" wait_for $((20 * slowness)) grep -q \
	"the rest of the inputs waits for room: all users together have .* limits.max_queued_tasks = 60" "$dir/fed.err"
exits 0 ctl cancel "$holder"
wait $feeder
equal "and goes on when there is room" "$?,$(wc -l <"$dir/fed")" "0,55"

# One user: others have their own place, root and the daemon's user have no such limit.
if [ -n "${other:-}" ]; then
	exits 0 other run nap -d $naps
	exits 0 other run nap -d $naps
	exits 75 other run nap -d 1h 1h 1h
	says "user 65534 has 38 unfinished tasks, and with 3 more it is over limits.max_queued_tasks_per_user = 40"
	exits 0 other run nap -d 1h
	exits 75 other run nap -d 1h
	says "user 65534 has 3 unfinished jobs, and with 1 more it is over limits.max_jobs_per_user = 3"
	exits 0 ctl run nap -d 1h
	exits 0 other status
	says "3 of 3 jobs, 39 of 40 tasks" "$dir/out"
	exits 0 other cancel --all
	head -c 1000000 /dev/zero | tr '\0' x >"$dir/large"
	{ cat "$dir/large"; echo; sleep 0.5; cat "$dir/large"; echo; sleep 0.5; cat "$dir/large"; echo; } |
		other run nap -i - >"$dir/out" 2>"$dir/err"
	equal "what would never have room is not waited for" $? 2
	says "it is over limits.max_queued_per_user = 2.0 MiB, for which no waiting makes room"
	exits 2 other run nap -d -i "$dir/large" -i "$dir/large" -i "$dir/large"
	check "only the job of root is left" wait_for $((10 * slowness)) unfinished_are "1 1 3 "
fi
finish
