#!/usr/bin/env bash
# Small jobs whose submitters wait for the results begin before they are on disk, and go there whole: one commit. One that the
# disk does not take after all, or that was known, leaves nothing.
. "$(dirname "$0")/lib.sh"

write_config 'workloads = { quick = { plugin = "sleeper"; }; once = { plugin = "sleeper"; idempotent = false; }; };'
daemon_start

status() {
	ctl status --json | tr -d ' \n'
}
commits() {
	status | sed -n 's/.*"commits":\([0-9]*\).*/\1/p'
}
tasks_out() { # is N: of all crews together
	[ "$(status | grep -o '"tasks_out":[0-9]*' | awk -F: '{ n += $2 } END { print n + 0 }')" -eq "$1" ]
}
jobs_in_store() {
	in_store 'SELECT count(*) FROM job'
}

echo "== one commit"
exits 0 ctl run quick -q -m pool 1us # its crew is there from now on
before=$(commits)
for ((n = 1; n <= 40; n++)); do
	[ "$(ctl run quick -q -m pool 1us)" = 1us ] || fail "run $n of 40: a wrong result"
done
all=$(($(commits) - before))
check "40 jobs took a commit each or more ($all)" [ $all -ge 40 ]
check "some of them no more than that" [ $all -lt 80 ]
equal "each has its row" "$(in_store 'SELECT count(*) FROM job WHERE ended_us > 0 AND done = 1')" 41
equal "and its outcome" "$(in_store 'SELECT count(*) FROM segment')" 41
exits 0 ctl run quick -q -m pool 1us 2us 3us
equal "several tasks" "$(tr '\n' ' ' <"$dir/out")" "1us 2us 3us "
exits 1 ctl run quick -q -m pool 1us nonsense
exits 1 ctl results @last -q --json
says '"invalid-input"' "$dir/out"

echo "== one that must not run twice is on disk, and marked, before it begins"
exits 0 ctl run once -q -m pool 1us
before=$(commits)
for ((n = 1; n <= 5; n++)); do ctl run once -q -m pool 1us >"$dir/out"; done
check "three commits for each" [ $(($(commits) - before)) -ge 15 ]

echo "== the first of two is there while the second runs"
for ((n = 1; n <= 5; n++)); do
	setsid env --default-signal=INT "$concctl" -s "$sock" run quick -q -m async --unordered 1ms 300s >"$dir/first" 2>"$dir/err" </dev/null &
	second=$!
	wait_for 20 grep -q '^1ms$' "$dir/first" || fail "run $n of 5: the first result waits for the second task"
	kill -INT $second
	wait $second
done
check "in each of five runs" [ $n -eq 6 ]

echo "== one that takes longer"
job=$(($(jobs_in_store) + 1))
ctl run quick -m pool 300s >"$dir/out" 2>"$dir/err" </dev/null &
client=$!
check "is on disk soon" wait_for 20 ctl show $job
check "its task is out" wait_for 20 tasks_out 1

echo "== a submission that is known"
if command -v curl >/dev/null; then
	post() { # [QUERY]
		curl -s --max-time "${2:-10}" --unix-socket "$sock" -H 'Expect:' --data-binary \
			'{"workload":"quick","model":"pool","submission":"mine","inputs":["290s"]}' "http://concd/v1/jobs$1"
	}
	case "$(post '')" in *'"inputs":1'*) known=no ;; *) known=yes ;; esac
	equal "is new at first" $known no
	check "and runs" wait_for 20 tasks_out 2
	post '?stream=plain' 1 >"$dir/out"
	post '?stream=plain' 1 >"$dir/out"
	check "what was begun for it in vain is cancelled" wait_for 20 tasks_out 2
	equal "there is one job of it" "$(in_store "SELECT count(*) FROM job WHERE submission = 'mine'")" 1
	exits 0 ctl cancel $((job + 1))
	post '?stream=plain' 10 >"$dir/out"
	check "nor is anything out where it has ended" wait_for 20 tasks_out 1
else
	echo "skipped: curl is missing: apt-get install curl"
fi
before=$(jobs_in_store)
exits 0 ctl cancel $job
wait $client
check "nothing is out any more" wait_for 20 tasks_out 0
equal "nothing counts as unfinished" "$(status | grep -o '"unfinished":{"jobs":[0-9]*,"tasks":[0-9]*,"input_bytes":[0-9]*' )" \
	'"unfinished":{"jobs":0,"tasks":0,"input_bytes":0'
check "the daemon ends" daemon_stop
equal "nothing came to the disk behind its back" "$(jobs_in_store)" "$before"
check "and nothing was logged as an error" eval "! grep -q 'error:' '$dir/log'"
finish
