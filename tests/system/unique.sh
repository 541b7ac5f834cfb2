#!/usr/bin/env bash
# Keys of which one job at most is alive.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { slow = { plugin = \"sleeper\"; model = \"async\"; }; other = { plugin = \"sleeper\"; }; };"
daemon_start

state_is() {
	ctl show "$1" --json | grep -qE "\"state\": ?\"$2\""
}

echo "== joining"
a=$(ctl run slow -d --unique nightly 60s)
exits 0 ctl run slow -d --unique nightly 1ms 2ms
equal "the same job" "$(cat "$dir/out")" "$a"
says "joined job $a"
exits 0 ctl run slow -d --json --unique nightly 1ms
says '"joined":true' "$dir/out"
check "other keys and workloads are others" [ "$(ctl run slow -d --unique weekly 1ms)" != "$a" ]
check "of another workload too" [ "$(ctl run other -d --unique nightly 1ms)" != "$a" ]
check "none is none" [ "$(ctl run slow -d 1ms)" != "$a" ]
exits 0 ctl run slow --dry-run --unique nightly 1ms
says "joins job $a" "$dir/out"
exits 0 ctl run slow --dry-run --unique monthly 1ms
says "has the key 'monthly'" "$dir/out"
ctl show "$a" >"$dir/out"
says nightly "$dir/out"
exits 2 ctl run slow --unique "" 1ms
exits 2 ctl run slow --unique "$(printf 'x%.0s' $(seq 200))" 1ms
says "1 to 128 bytes"

echo "== its results, its end"
exits 0 ctl kill "$a"
a=$(ctl run slow -d --unique nightly 700ms)
seq 100000 >"$dir/many"
exits 0 ctl run slow --unique nightly -i "$dir/many" # pieces that nobody needs
says "joined job $a"
equal "the results of the job that was joined" "$(wc -l <"$dir/out")" 1
b=$(ctl run slow -d --unique nightly 60s)
check "an ended job is not joined" [ "$a" != "$b" ]

# What runs in a script's background ignores SIGINT otherwise.
interruptible() {
	exec env --default-signal=INT "$concctl" -s "$sock" "$@"
}
# A joined run that is interrupted leaves the job to whoever submitted it.
interruptible run slow --unique nightly 1ms >"$dir/out" 2>"$dir/err" </dev/null &
joined=$!
check "it has joined" wait_for 20 grep -qF "joined job $b" "$dir/err"
kill -INT $joined
wait $joined
equal "interrupted" $? 130
says "another run submitted"
check "the job goes on" state_is "$b" running
interruptible --json run slow --unique nightly 1ms >"$dir/out" 2>"$dir/err" </dev/null &
joined=$!
check "JSON says so first" wait_for 20 grep -qF "{\"schema\":1,\"type\":\"joined\",\"job\":\"$b\"}" "$dir/out"
kill -INT $joined
wait $joined
check "it still goes on" state_is "$b" running

echo "== sent again"
post() { # post SUBMISSION INPUT: the answer
	curl -s --unix-socket "$sock" --data-binary "{\"workload\":\"slow\",\"model\":\"async\",\"submission\":\"$1\",\"unique\":\"again\",\"inputs\":[\"$2\"]}" \
		http://concd/v1/jobs
}
job_in() { sed -n 's/.*"job":"\([0-9]*\)".*/\1/p'; }
first=$(post one 1ms | job_in)
exits 0 ctl wait "$first" --timeout 20s
second=$(post two 60s | job_in)
check "the key is free again" [ "$first" != "$second" ]
post one 1ms >"$dir/out"
equal "a submission whose answer was lost names its own job" "$(job_in <"$dir/out")" "$first"
says '"known":true' "$dir/out"
equal "and so does that of whoever has the key now" "$(post two 60s | job_in)" "$second"
post three 1ms >"$dir/out"
equal "any other joins that one" "$(job_in <"$dir/out")" "$second"
says '"joined":true' "$dir/out"
exits 0 ctl kill "$second"

echo "== kill"
daemon_kill
daemon_start
exits 0 ctl run slow -d --unique nightly 1ms
equal "joined across the kill" "$(cat "$dir/out")" "$b"
exits 0 ctl kill "$b"

echo "== at once"
for round in 1 2 3; do
	for i in $(seq 1 8); do
		ctl run slow -d -q --unique "race$round" 2s >"$dir/id$i" 2>"$dir/err$i" &
		eval "racer$i=$!"
	done
	for i in $(seq 1 8); do
		eval "wait \$racer$i" || fail "racer $i: $(cat "$dir/err$i")"
	done
	equal "round $round: eight are one" "$(cat "$dir"/id? | sort -u | wc -l)" 1
	exits 0 ctl wait "$(cat "$dir/id1")" --timeout 60s
done
a=$(ctl run slow -d --no-durable --unique nightly 60s)
equal "of jobs that are not durable too" "$(ctl run slow -d -q --unique nightly 1ms)" "$a"
exits 0 ctl kill "$a"
daemon_stop
equal "concd ends with 0" $? 0
finish
