#!/usr/bin/env bash
# Streams outlive the daemon: `run`, `results --follow`, `follow` and `wait` wait for one that was killed and go on where they were;
# nothing is printed twice, nothing is missing, also where it is killed again and again, while inputs still come, and in
# every form of stream.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { $(stanza exec_log 'max_crashes = 0;') };"
tasks=600
seq 1 $tasks >"$dir/inputs"
seq 1 $tasks | sed 's/.*/&\t&/' >"$dir/tagged"

lines() { wc -l <"$dir/got"; }
more_than() { [ "$(lines)" -gt "$1" ]; }
has_ended() { ! kill -0 "$client" 2>/dev/null; }

# client WHAT COMMAND...: in the background, its output in $dir/got, its words in $dir/said.
client() {
	shift
	: >"$dir/got" # not from the background: the one before is still in it
	"$concctl" -s "$sock" "$@" >"$dir/got" 2>"$dir/said" <"${stdin:-/dev/null}" &
	client=$!
}

# across WHAT: kill and start the daemon three times while the client prints, then let it end.
across() {
	local seen=0 what=$1
	for kill in 1 2 3; do
		if ! wait_for 30 more_than $seen; then
			fail "$what: nothing more was printed after kill $((kill - 1))"
			break
		fi
		daemon_kill
		seen=$(lines)
		daemon_start
	done
	wait "$client"
	equal "$what: exit status" $? "${wanted:-0}"
}

# A task takes 3 ms; under pool they come a few at a time.
task_options="-p us=6000 -p sleep=true"
runs() { # runs WHAT WANTED FILTER OPTIONS...: the output, through FILTER, is the file WANTED
	local what=$1 wanted_file=$2 filter=$3
	shift 3
	rm -rf "$dir/exec"
	mkdir "$dir/exec"
	client "$what" "$@" -p dir="$dir/exec" $task_options
	across "$what"
	$filter <"$dir/got" >"$dir/filtered"
	check "$what: everything once" cmp -s "$dir/filtered" "$wanted_file"
	equal "$what: said when the daemon was lost" "$(grep -c 'the connection to concd was lost; trying for 60 s to go on with job' "$dir/said")" 3
	equal "$what: said when it was back" "$(grep -c 'concd is back; job [0-9]* goes on' "$dir/said")" 3
}
numbers_of_json() { sed -n 's/.*"result":"\([0-9]*\)".*/\1/p'; }
numbers_of_json_sorted() { numbers_of_json | sort -n; }

daemon_start
runs "plain" "$dir/inputs" cat run exec_log -m pool -j 2 -i "$dir/inputs"
runs "tagged" "$dir/tagged" cat run exec_log -m async -j 4 --tag -i "$dir/inputs"
runs "JSON" "$dir/inputs" numbers_of_json run exec_log --json -m process -j 2 -i "$dir/inputs"
equal "JSON: one job line" "$(grep -c '"type":"job"' "$dir/got")" 1
runs "unordered" "$dir/inputs" "sort -n" run exec_log --unordered -m async -j 8 -i "$dir/inputs"
runs "unordered, tagged" "$dir/tagged" "sort -n" run exec_log --unordered --tag -m pool -j 2 -i "$dir/inputs"
runs "unordered JSON" "$dir/inputs" numbers_of_json_sorted run exec_log --unordered --json -m async -j 8 -i "$dir/inputs"

# Inputs that still come: what is on disk is not sent again, what is not is. Also of a job that must not run twice.
rm -rf "$dir/exec"
mkdir "$dir/exec"
mkfifo "$dir/pipe"
stdin=$dir/pipe client "upload" run exec_log -m async -i - -p dir="$dir/exec" $task_options
exec 7>"$dir/pipe"
for ((piece = 0; piece < 3; piece++)); do
	seq $((piece * 200 + 1)) $((piece * 200 + 200)) >&7
	wait_for 30 more_than $((piece * 200 + 100)) || fail "upload: piece $piece is not worked on"
	daemon_kill
	[ $piece -lt 2 ] || exec 7>&-
	daemon_start
done
wait "$client"
equal "upload: exit status" $? 0
check "upload: everything once" cmp -s "$dir/got" "$dir/inputs"

# Joined later, from any point, with other clients beside.
rm -rf "$dir/exec"
mkdir "$dir/exec"
id=$(ctl run exec_log -d -m pool -j 2 -p dir="$dir/exec" $task_options -i "$dir/inputs")
"$concctl" -s "$sock" follow "$id" >"$dir/followed" 2>&1 </dev/null &
follower=$!
client "results" results "$id" --follow --from 100
across "results --follow --from"
check "results --from: everything once, from there on" cmp -s "$dir/got" <(seq 101 $tasks)
wait $follower
equal "follow: exit status" $? 0
check "follow: to the end" grep -q "done" "$dir/followed"
exits 0 ctl results "$id" --from 590 --json
equal "results --from --json" "$(numbers_of_json <"$dir/out" | head -n 1)" 591
exits 0 ctl results "$id" --from 100000
equal "results from behind the end" "$(wc -c <"$dir/out")" 0

# A job that is not durable is gone, and its client says so.
rm -rf "$dir/exec"
mkdir "$dir/exec"
client "not durable" run exec_log --no-durable -m pool -p dir="$dir/exec" $task_options -i "$dir/inputs"
wait_for 30 more_than 10
daemon_kill
daemon_start
wait "$client"
equal "not durable: exit status" $? 69
check "not durable: said" grep -q "was not durable, and it is gone" "$dir/said"

# Patience has an end.
rm -rf "$dir/exec"
mkdir "$dir/exec"
client "patience" run exec_log --reconnect 300ms -m pool -p dir="$dir/exec" $task_options -i "$dir/inputs"
wait_for 30 more_than 10
daemon_kill
check "patience ends" wait_for 20 has_ended
wait "$client"
equal "patience: exit status" $? 69
check "patience: how to go on is said" grep -q "'concctl results --follow [0-9]*'" "$dir/said"
daemon_start
id=$(sed -n "s/.*results --follow \([0-9]*\)'.*/\1/p" "$dir/said")
exits 0 ctl results --follow "$id"
check "it went on" cmp -s "$dir/out" "$dir/inputs"

# Ctrl-C while a daemon is waited for that had not answered, and while one is that had some of the inputs.
kill -STOP "$daemon_pid"
setsid env --default-signal=INT "$concctl" -s "$sock" run sleeper 1ms >"$dir/got" 2>"$dir/said" </dev/null &
client=$!
has_connected() { [ "$(grep -cF "$sock" /proc/net/unix)" -ge 2 ]; } # beside the socket that listens
check "it has connected" wait_for 20 has_connected
daemon_kill
check "before the answer: a loss is said" wait_for 20 grep -q "trying for 60 s to go on with the job that was sent" "$dir/said"
kill -INT $client
wait $client
equal "before the answer: interrupted" $? 130
check "before the answer: what may be is said" grep -q "'concctl list' shows whether it has it" "$dir/said"
daemon_start
rm -f "$dir/pipe"
mkfifo "$dir/pipe"
setsid env --default-signal=INT "$concctl" -s "$sock" run sleeper -d -i - >"$dir/got" 2>"$dir/said" <"$dir/pipe" &
client=$!
exec 7>"$dir/pipe"
yes 1ms | head -n 300000 >&7
check "detached: some inputs are there" wait_for 30 eval 'ctl list --state open | grep -q sleeper'
daemon_kill
yes 1ms | head -n 300000 >&7 &
writer=$!
check "detached: a loss is said" wait_for 20 grep -q "was lost; trying for 60 s to go on with job" "$dir/said"
kill -INT $client
wait $client
equal "detached: interrupted" $? 130
exec 7>&-
wait $writer
daemon_start
exits 0 ctl cancel --state open

# wait, of jobs by their numbers and by a label, across a kill and an orderly end: each is told once, and the exit status is that of all.
gate=$(ctl run sleeper -d -m async 600s)
first=$(ctl run sleeper -d -m async --after "$gate" --after-failed run -l waited 500ms)
long=$(ctl run sleeper -d -m async --after "$gate" --after-failed run -l waited 3s)
wrong=$(ctl run squares -d -m async --after "$first" --after-failed run -l waited "no number")
for how in kill stop; do
	"$concctl" -s "$sock" wait "$first" "$long" "$wrong" --json >"$dir/waited.$how" 2>"$dir/said.$how" </dev/null &
	eval "waiter_$how=$!"
	"$concctl" -s "$sock" wait -l waited --json >"$dir/waited.label$how" 2>"$dir/said.label$how" </dev/null &
	eval "waiter_label$how=$!"
done
connected() { [ "$(ctl status --json | tr -d ' ' | sed -n 's/.*"clients":\([0-9]*\).*/\1/p')" -ge "$1" ]; }
wait_for 20 connected 5
exits 0 ctl kill "$gate"
"$concctl" -s "$sock" wait "$long" --timeout 200ms >/dev/null 2>&1 &
timed=$!
"$concctl" -s "$sock" wait "$long" --reconnect 0 >/dev/null 2>&1 &
impatient=$!
waited() {
	local how
	for how in kill stop labelkill labelstop; do
		grep -q "\"job\":\"$wrong\"" "$dir/waited.$how" || return 1
	done
}
check "wait: what has ended is told" wait_for 20 waited
wait $timed
equal "wait: the time is over" $? 124
daemon_kill
wait $impatient
equal "wait: no patience" $? 69
"$concctl" -s "$sock" wait "$long" >/dev/null 2>&1
equal "wait: a daemon that was never there is not waited for" $? 69
daemon_start
daemon_stop
daemon_start
other=$(ctl run sleeper -d -m async -l waited 600s) # not there when they began to wait
for how in kill stop labelkill labelstop; do
	eval "wait \$waiter_$how"
	equal "wait: exit status ($how)" $? 1
	equal "wait: each is told once ($how)" "$(grep -oE '"job":"[0-9]+"' "$dir/waited.$how" | sort | uniq -c | awk '{ print $1 }' | tr '\n' ' ')" "1 1 1 "
done
check "wait: said" grep -q "concd is back; waiting goes on" "$dir/said.kill"
ctl wait "$long" --json >"$dir/out"
again=$(ctl run sleeper -d -m async 60s)
"$concctl" -s "$sock" wait "$again" --timeout 2500ms >/dev/null 2>"$dir/err" &
timed=$!
"$concctl" -s "$sock" wait "$again" --reconnect 500ms >/dev/null 2>"$dir/said" </dev/null &
client=$!
wait_for 5 connected 3
ctl wait "$again" --timeout 1200ms >/dev/null 2>&1
daemon_kill
wait $timed
equal "wait: the time is over while the daemon is away" $? 124
check "wait: patience ends also where it had waited for long" wait_for 20 has_ended
wait "$client"
equal "wait: patience: exit status" $? 69
equal "wait: a loss is said once" "$(grep -c "was lost; trying" "$dir/said")" 1
daemon_start
exits 0 ctl kill "$again" "$other"

# Asked for by hand: what was left out stays out.
curl -s --unix-socket "$sock" --data-binary '0-597,599' "http://concd/v1/jobs/$id/results?order=done" >"$dir/out"
equal "the body of a POST leaves out" "$(cat "$dir/out")" 599
for body in 600 7-3 x 1,,2 1- -1 99999999999999999999; do
	curl -s --unix-socket "$sock" --data-binary "$body" "http://concd/v1/jobs/$id/results?order=done" >"$dir/out"
	says "bad-request" "$dir/out"
done
finish
