#!/usr/bin/env bash
# Programs that are stopped (SIGSTOP) for a while or for good: worker processes, the daemon, clients.
. "$(dirname "$0")/lib.sh"

write_config "defaults = { grace = \"300ms\"; stall = \"50ms\"; };
	workloads = { $(stanza hang) $(stanza noop) $(stanza listen) patient = { plugin = \"sleeper\"; grace = \"30s\"; }; };"
daemon_start

# field NAME JOB: a value out of the job's document
field() {
	ctl show "$2" --json | tr -d '\n' | grep -oE "\"$1\": ?(\"[^\"]*\"|[a-z0-9.]+)" | head -n 1 | sed 's/^[^:]*: *//; s/"//g'
}
is() { # is NAME JOB VALUE
	[ "$(field "$1" "$2")" = "$3" ]
}
at_least() { # at_least NAME JOB NUMBER
	[ "$(field "$1" "$2")" -ge "$3" ]
}
ms() { date +%s%3N; }
# workers JOB: the processes that run its tasks
workers() {
	ctl show "$1" --json | tr -d ' \n' | grep -oE '"worker":"[0-9]+' | grep -oE '[0-9]+' | sort -u
}
works() {
	[ -n "$(workers "$1")" ]
}
# stopped_at LEAST JOB: the processes that run its tasks in $workers, stopped in the midst of at least so many of them
stopped_at() {
	wait_for 20 at_least running "$2" "$1" && wait_for 20 works "$2" || fail "job $2 does not run"
	workers=$(workers "$2")
	kill -STOP $workers
}
says_it_waits() {
	field waiting "$1" | grep -q "worker process [0-9]* is stopped (kill -CONT"
}
# within LEAST MOST SINCE: in milliseconds, more where the machine is slow
within() {
	took=$(($(ms) - $3))
	[ $took -ge "$1" ] && [ $took -le $(($2 * slowness)) ] || { echo "took $took ms"; false; }
}

for model in sync async pool process; do
	echo "== $model: a worker"
	id=$(ctl run hang -d -m $model --task-timeout 600ms hang a b c)
	since=$(ms)
	stopped_at 1 "$id"
	check "show says so" wait_for 10 says_it_waits "$id"
	exits 0 ctl status
	says "stopped (kill -CONT" "$dir/out"
	exits 0 ctl ping
	exits 1 ctl wait "$id" --timeout 60s
	check "a time limit ends its task" within 600 3500 "$since"
	equal "and only it" "$(field done "$id") $(field failed "$id")" "3 1"
	exits 1 ctl results --failed "$id" --json
	says '"code":"timeout"' "$dir/out"

	id=$(ctl run sleeper -d -m $model 60s 1ms 1ms)
	stopped_at 1 "$id"
	since=$(ms)
	exits 0 ctl cancel "$id"
	check "a cancel ends within its grace" within 0 1000 "$since"
	check "and is one" is state "$id" cancelled
	grep -q '^State:.T' "/proc/$workers/status" 2>/dev/null && fail "a stopped process outlives the cancel"

	id=$(ctl run patient -d -m $model --timeout 1s 60s)
	stopped_at 1 "$id"
	since=$(ms)
	exits 0 ctl kill "$id"
	check "a kill ends at once" within 0 800 "$since"

	# Some that are under way, stopped again and again: nothing is lost, doubled or blamed.
	seq 1 30 | sed 's/.*/&ms/' >"$dir/inputs"
	"$concctl" -s "$sock" run sleeper -q -m $model -i "$dir/inputs" >"$dir/got" 2>"$dir/err" &
	client=$!
	wait_for 20 test -s "$dir/got"
	for n in 1 2 3; do
		workers=$(pgrep -P "$daemon_pid" concd-worker)
		kill -STOP $workers
		read -r -t 0.1 _ <>"$dir/never"
		kill -CONT $workers
	done
	wait $client
	equal "what was stopped goes on" $? 0
	check "with every result" cmp -s "$dir/got" "$dir/inputs"
	id=$(ctl list -n 1 --json | tr -d ' ' | sed -n 's/.*"job":"\([0-9]*\)".*/\1/p')
	equal "and no task was blamed" "$(field failed "$id") $(field done "$id")" "0 30"
done

echo "== the watch for blocked loops"
id=$(ctl run sleeper -d -m async 3s 3s 3s)
stopped_at 3 "$id"
read -r -t 0.7 _ <>"$dir/never"
kill -CONT $workers
exits 0 ctl wait "$id" --timeout 60s
equal "nobody blocked anything" "$(field count "$id")" 0

echo "== the others of a crew"
id=$(ctl run sleeper -d -m process -j 2 $(yes 20ms | head -n 100))
wait_for 20 at_least running "$id" 2
set -- $(workers "$id")
kill -STOP "$1"
check "it is seen" wait_for 10 says_it_waits "$id"
check "go on with what it has not begun" wait_for 20 at_least done "$id" 99
exits 0 ctl run sleeper -q -m process 1ms
exits 0 ctl run sleeper -q -m process 1ms 1ms 1ms
kill -CONT "$1"
exits 0 ctl wait "$id" --timeout 20s
equal "all is done, once" "$(ctl results "$id" | wc -l) $(field done "$id")" "100 100"
says "goes on after" "$dir/log"
id=$(ctl run noop -d -m sync 1)
ctl wait "$id" >/dev/null
worker=$(pgrep -P "$daemon_pid" -n concd-worker)
kill -STOP "$worker"
since=$(ms)
exits 0 ctl run noop -q -m sync 2
check "one that idles is replaced when it is needed" within 4000 12000 "$since"

echo "== messages"
id=$(ctl run listen -d -m pool 1)
stopped_at 1 "$id"
"$concctl" -s "$sock" send "$id" hello >/dev/null 2>"$dir/err1" &
sender=$!
wait $sender
equal "a message to a stopped worker is answered" $? 75
says "stopped" "$dir/err1"
exits 75 ctl send "$id" hello
kill -CONT $workers
exits 0 ctl wait "$id" --timeout 20s
equal "and gets there when it goes on" "$(ctl results "$id")" hello

echo "== the daemon ends with a stopped worker, and dies with one"
id=$(ctl run sleeper -d -m pool 60s)
stopped_at 1 "$id"
since=$(ms)
daemon_stop
equal "it ends well" $? 0
check "within its grace" within 0 3000 "$since"
daemon_start
stopped_at 1 "$id"
daemon_kill
daemon_start
check "the stopped survivor is no hindrance" wait_for 20 at_least running "$id" 1
grep -q '^State:.T' "/proc/$workers/status" 2>/dev/null && fail "the survivor lives"
exits 0 ctl cancel "$id"

echo "== the daemon is stopped"
id=$(ctl run hang -d -m pool --task-timeout 2s 1 2 3)
exits 0 ctl wait "$id" --timeout 20s
"$concctl" -s "$sock" run sleeper -q -m async --task-timeout 1s --timeout 60s 700ms 800ms 900ms >"$dir/got" 2>"$dir/err" &
client=$!
begun() { ctl list --json | tr -d ' \n' | grep -q '"state":"running"'; }
wait_for 10 begun
kill -STOP "$daemon_pid"
"$concctl" -s "$sock" run sleeper -q -m pool 1ms >"$dir/got2" 2>"$dir/err2" &
second=$!
read -r -t 2.5 _ <>"$dir/never"
kill -CONT "$daemon_pid"
wait $client
equal "what ended in time meanwhile has ended in time" "$? $(tr '\n' ' ' <"$dir/got")" "0 700ms 800ms 900ms "
wait $second
equal "who asked meanwhile is served" "$? $(cat "$dir/got2")" "0 1ms"
exits 0 ctl run sleeper -q -m pool 1ms
check "no worker was taken for dead" [ "$(grep -c 'was ended by\|wrote garbage' "$dir/log")" -eq 0 ]

echo "== clients"
seq 1 100000 >"$dir/inputs"
for options in "" "--json"; do
	"$concctl" -s "$sock" run noop -q -m pool $options -i "$dir/inputs" >"$dir/got" 2>"$dir/err" &
	client=$!
	for n in 1 2 3 4 5 6; do
		kill -STOP $client 2>/dev/null || break
		read -r -t 0.05 _ <>"$dir/never"
		kill -CONT $client
		read -r -t 0.01 _ <>"$dir/never"
	done
	wait $client
	equal "one that is stopped again and again ends well ($options)" $? 0
	[ -z "$options" ] || { sed -n 's/.*"result":"\([0-9]*\)".*/\1/p' "$dir/got" >"$dir/got2"; mv "$dir/got2" "$dir/got"; }
	check "and has everything ($options)" cmp -s "$dir/got" "$dir/inputs"
done
# The daemon itself: whoever asks hears of it in time, and what was asked is done when it goes on.
kill -STOP "$daemon_pid"
exits 69 ctl ping
says "concd does not answer, though its socket is there: it is stopped, or stuck"
"$concctl" -s "$sock" run sleeper -m async -q 1ms >"$dir/late" 2>&1 </dev/null &
late=$!
kill -CONT "$daemon_pid"
wait $late
equal "what was asked meanwhile is done" "$? $(cat "$dir/late")" "0 1ms"
finish
