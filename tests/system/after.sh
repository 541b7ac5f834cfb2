#!/usr/bin/env bash
# Jobs that follow others, across kills of the daemon.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { slow = { plugin = \"sleeper\"; model = \"sync\"; }; };"
daemon_start

state_is() {
	ctl show "$1" --json | grep -qE "\"state\": ?\"$2\""
}
waits() {
	ctl show "$2" | grep -qF -- "$1"
}
# code_is JOB CODE: the job's own error
code_is() {
	ctl show "$1" --json | grep -qE "\"error\": ?\{\"code\": ?\"$2\""
}

echo "== successes and failures"
a=$(ctl run slow -d 60s)
b=$(ctl run sleeper -d --after "$a" 1ms)
c=$(ctl run sleeper -d --after "$b" --after "$a,$b" --after-failed=run 1ms)
check "it names what it waits for" waits "it begins when job $a has succeeded" "$b"
check "and however these end" waits "it begins when jobs $b, $a have ended" "$c"
ctl list >"$dir/out"
says "it begins when job $a has succeeded" "$dir/out"
ctl show "$c" --json >"$dir/out"
check "the document has them" grep -qE "\"after\": ?\[\"$b\", ?\"$a\"\], ?\"after_failed\": ?\"run\"" "$dir/out"
exits 0 ctl cancel "$a"
exits 1 ctl wait "$b" --timeout 20s
check "its follower is cancelled" state_is "$b" cancelled
check "for its predecessor" code_is "$b" predecessor
waits "job $a, which it was to follow, was cancelled" "$b" || fail "it does not say whose"
exits 0 ctl wait "$c" --timeout 20s
exits 1 ctl run sleeper -q nonsense
bad=$(ctl list --json -n 1 | grep -oE '"job": ?"[0-9]+"' | grep -oE '[0-9]+')
exits 1 ctl run sleeper --after "$bad" 1ms
says "which it was to follow, failed"
exits 0 ctl run sleeper -q --after "$bad" --after-failed run 1ms
exits 0 ctl run sleeper -q --after "$c" 1ms
a=$(ctl run slow -d 300ms)
exits 0 ctl run sleeper --after "$a" 1ms
says "waits: it begins when job $a has succeeded"
exits 0 ctl run sleeper -q --after "$a,$c" --delay 100ms 1ms

echo "== more followers than are told at once"
a=$(ctl run slow -d 60s)
first=$(ctl run sleeper -d --label many --after "$a" 1ms)
for _ in $(seq 129); do ctl run sleeper -d --label many --after "$a" 1ms; ctl run sleeper -d --no-durable --label many --after "$a" 1ms; done >/dev/null
last=$(ctl run sleeper -d --label many --after "$a" 1ms)
exits 0 ctl cancel "$a"
none_left() {
	[ "$(($(state_count queued) + $(state_count running)))" -eq 0 ]
}
check "none is left" wait_for 30 none_left
check "the first is cancelled for its predecessor" code_is "$first" predecessor
check "and the last" code_is "$last" predecessor
exits 0 ctl rm "$a"

echo "== all that keeps it"
a=$(ctl run slow -d 60s)
b=$(ctl run sleeper -d --delay 1h --after "$a" 1ms)
check "its date and its predecessor" waits ", and when job $a has succeeded" "$b"
exits 0 ctl pause "$b"
exits 0 ctl pause -w sleeper
for what in "it is paused; workload 'sleeper' is paused since" "; it begins at " ", and when job $a has succeeded"; do
	check "all of it: $what" waits "$what" "$b"
done
exits 0 ctl resume -w sleeper
exits 0 ctl set "$b" delay=0
check "what is left of it" waits "it begins when job $a has succeeded" "$b"
exits 0 ctl cancel "$a"
exits 1 ctl wait "$b" --timeout 20s

echo "== the one before"
a=$(ctl run slow -d 300ms)
b=$(ctl run sleeper -d --after @last 1ms)
ctl show "$b" --json >"$dir/out"
check "@last is the job that was submitted last" grep -qE "\"after\": ?\[\"$a\"\]" "$dir/out"
exits 0 ctl wait "$b" --timeout 20s
exits 0 ctl run sleeper -q --after "$a,@last" 1ms

echo "== refused"
next=$(($(ctl run sleeper -d 1ms) + 1))
exits 4 ctl run sleeper --after $next 1ms # nothing follows itself, nor what is still to come
says "there is no job $next"
exits 4 ctl run sleeper --after 999999 1ms
exits 0 ctl run sleeper --dry-run --after "$a,$c" 1ms
says "after jobs $a, $c; cancelled if one of them fails" "$dir/out"
exits 4 ctl run sleeper --dry-run --after 999999 1ms
exits 2 ctl run sleeper --after tomorrow 1ms
says "option '--after': 'tomorrow' is no job"
exits 2 ctl run sleeper --after "$a," 1ms
exits 2 ctl run sleeper --after "$a" --after-failed=maybe 1ms
says "neither cancel nor run"
exits 2 ctl run sleeper --after-failed=run 1ms

echo "== kills"
a=$(ctl run slow -d 60s)
b=$(ctl run sleeper -d --after "$a" 1ms)
c=$(ctl run sleeper -d --after "$b" 1ms)
volatile=$(ctl run slow -d --no-durable 60s)
d=$(ctl run sleeper -d --after "$volatile" 1ms)
e=$(ctl run sleeper -d --after "$volatile" --after-failed=run 1ms)
done=$(ctl run sleeper -d 1ms)
exits 0 ctl wait "$done" --timeout 20s
f=$(ctl run sleeper -d --after "$a,$done" --after-failed=run 1ms)
late=$(ctl run sleeper -d --after "$done" --delay 1h 1ms)
daemon_kill
daemon_start
exits 1 ctl wait "$d" --timeout 20s
check "what followed a forgotten job is cancelled" code_is "$d" predecessor
exits 0 ctl wait "$e" --timeout 20s
check "a follower waits still" waits "it begins when job $a has succeeded" "$b"
check "of two, for the one that has not ended" waits "it begins when job $a has ended" "$f"
check "a delay too" waits "it begins at" "$late"
exits 0 ctl kill "$a"
exits 1 ctl wait "$c" --timeout 20s
check "a chain is cancelled link by link" waits "job $b, which it was to follow, was cancelled" "$c"
exits 0 ctl wait "$f" --timeout 20s

a=$(ctl run slow -d 400ms)
b=$(ctl run slow -d --after "$a" 1s)
check "the first has ended" wait_for 20 state_is "$a" done
daemon_kill # the follower has just begun, or not yet
daemon_start
exits 0 ctl wait "$b" --timeout 20s

echo "== many"
a=$(ctl run slow -d 60s)
for i in $(seq 1 50); do
	last=$(ctl run sleeper -d --after "$a" 1ms)
done
all=$(ctl run sleeper -d --after "$(seq -s, $((last - 49)) "$last")" --after-failed run 1ms)
check "the reason stays short" waits "$((last - 47)) and 47 more have ended" "$all"
exits 0 ctl cancel "$a"
exits 0 ctl wait "$all" --timeout 60s
check "all are cancelled" state_is "$last" cancelled
daemon_stop
equal "concd ends with 0" $? 0
finish
