#!/usr/bin/env bash
# The handles on jobs: selectors on every verb, @last, removing, and what a restart makes of it.
. "$(dirname "$0")/lib.sh"
write_config "workloads = { $(stanza noop) $(stanza identity) $(stanza crash) };"
daemon_start

shown() { # shown KEY JOB: the value of a key
	ctl show "$2" --json | tr -d ' \n' | grep -oE "\"$1\":(\"[^\"]*\"|[0-9a-z.]+)" | head -n 1 | cut -d: -f2 | tr -d '"'
}
has() { # has KEY VALUE JOB
	[ "$(shown "$1" "$3")" = "$2" ]
}
live() { # live OPTIONS...: a job that runs for long
	ctl run sleeper -d -m async "$@" 100s 100s
}

echo "== selectors"
for verb in cancel kill pause resume rm wait "set workers=1"; do
	name=${verb%% *} words=${verb#"$name"}
	# shellcheck disable=SC2086 # words are words
	exits 2 ctl $name $words
	exits 2 ctl $name 1 --all $words
	exits 2 ctl $name @last -w sleeper $words
	exits 2 ctl $name --all -l x $words
	exits 2 ctl $name seven $words
	exits 2 ctl $name 0 $words
	exits 2 ctl $name --state fine $words
	says "'fine' is no state"
	exits 4 ctl $name -w nosuch $words
	says "nosuch"
	exits 4 ctl $name -l nosuch $words
	exits 4 ctl $name 99 $words
	exits 4 ctl $name @last $words
	says "last job"
	[ $name = pause ] || exits 0 ctl $name --all $words
	[ $name = pause ] || says "no job"
done
exits 2 ctl clean 7
exits 2 ctl clean --older-than yesterday
exits 0 ctl clean -w noop
exits 4 ctl list -w nosuch
exits 2 ctl list --state fine
equal "the message names the state only" "$(cut -c 1-30 "$dir/err")" "concctl: 'fine' is no state of"
for verb in show results follow "send x"; do
	exits 4 ctl ${verb%% *} @last ${verb#"${verb%% *}"}
done

a=$(live -l red) b=$(live -l blue) c=$(live -l red)
done_job=$(ctl run noop -d 1 2 3)
exits 0 ctl wait @last
equal "@last is the job submitted last" "$(shown job @last)" "$done_job"
equal "of the results too" "$(ctl results @last | tr '\n' ' ')" "1 2 3 "
exits 0 ctl run sleeper -d -m async 60s
exits 0 ctl results @last
says "is running: 0 of its 1 tasks have ended; --follow waits"
exits 0 ctl results @last -q
equal "unless it is to be quiet" "$(cat "$dir/out" "$dir/err")" ""
exits 0 ctl kill @last
exits 1 ctl results @last
says "was cancelled: 1 of its 1 tasks were cancelled and have no result"
exits 0 ctl rm @last
keep=$(ctl run noop -d --no-durable 1 | tail -n 1)
exits 0 ctl wait @last
equal "one that is not kept too" "$(shown job @last)" "$keep"
exits 0 ctl rm @last
equal "where it is gone the one before it is the last" "$(shown job @last)" "$done_job"
gone=$(ctl run noop -d 1)
exits 0 ctl wait "$gone"
exits 0 ctl rm "$gone"
equal "of those on disk too" "$(shown job @last)" "$done_job"
equal "as often as one asks" "$(shown job @last)" "$done_job"
exits 0 ctl pause -l red
check "those with the label are paused" has state paused "$a"
check "both of them" has state paused "$c"
check "the others are not" has state running "$b"
exits 0 ctl resume --state paused
check "and go on" wait_for 10 has state running "$a"
exits 0 ctl set -w sleeper -l red workers=1
equal "each has its number" "$(shown workers "$a") $(shown workers "$c")" "1 1"
exits 3 ctl cancel "$a" "$done_job"
says "job $done_job has ended"
equal "what can be done is done" "$(cat "$dir/out")" "job $a: cancelled"
exits 0 ctl cancel --no-wait -w sleeper --state running -l blue
exits 1 ctl wait "$b"
exits 0 ctl kill --all
equal "one was left" "$(cat "$dir/out")" "job $c: cancelled"
equal "JSON has a line a job" "$(d=$(live); ctl cancel --json "$d" | tr -d ' ' | grep -c "^{\"schema\":1,\"job\":\"$d\",\"state\":\"cancelled\"")" 1

echo "== set"
a=$(live)
exits 2 ctl set "$a" timeout=soon
exits 2 ctl set "$a" retries=1001 label=not
equal "one that is wrong keeps the others from it" "$(shown label "$a")" null
exits 2 ctl set "$a" colour=red
exits 0 ctl set "$a" workers=1 retries=3 backoff=2s label=changed timeout=1h priority=7
daemon_kill
daemon_start
equal "what was set survives" "$(for key in workers retries backoff_s label timeout_s priority; do
	printf '%s ' "$(shown $key "$a")"; done)" "1 3 2.0 changed 3600.0 7 "
check "it runs" wait_for 10 has running 1 "$a"
exits 0 ctl set "$a" timeout=1ms
exits 1 ctl wait "$a"
says "time limit" "$dir/out"
exits 3 ctl set "$a" workers=1

echo "== everything, and a workload, paused"
a=$(live) b=$(ctl run noop -d --timeout 2s 1)
exits 0 ctl wait "$b"
exits 0 ctl pause -w noop
equal "it says what" "$(cat "$dir/out")" "workload noop: paused, and so is what comes"
exits 3 ctl pause -w noop
c=$(ctl run noop -d --timeout 2s 1 2>"$dir/err")
says "job $c waits: workload 'noop' is paused since"
check "what comes is held" has state paused "$c"
check "the other workload is not" has state running "$a"
"$concctl" -s "$sock" follow "$a" >"$dir/followed" 2>&1 </dev/null &
follower=$!
check "somebody follows it" wait_for 10 grep -q running "$dir/followed"
exits 0 ctl pause --all
check "who follows it sees that" wait_for 10 grep -q "paused: everything is paused since" "$dir/followed"
check "now it is" has state paused "$a"
equal "and what it began goes on" "$(shown running "$a")" 2
daemon_kill
daemon_start
ctl status >"$dir/out"
says "everything, since" "$dir/out"
says "concctl resume -w noop" "$dir/out"
check "all of it survives" has state paused "$c"
d=$(ctl run identity -d x 2>/dev/null)
check "also for what comes" has state paused "$d"
says "everything is paused since" <(ctl show "$d")
exits 0 ctl list
says "PAUSED: everything, since"
says "resume with: concctl resume --all"
check "the table is only jobs" test "$(grep -c 'PAUSED' "$dir/out")" = 0
exits 0 ctl list -q
equal "not with -q" "$(cat "$dir/err")" ""
exits 3 ctl resume "$d"
says "job $d is not paused by itself: everything is paused since"
for selector in "-w identity" "--state paused"; do
	# shellcheck disable=SC2086 # words are words
	exits 4 ctl resume $selector
	says 'what is paused as a whole goes on with `concctl resume --all`'
done
exits 0 ctl pause -w identity --state paused
equal "what is paused as a whole can be paused by itself" "$(cat "$dir/out")" "job $d: paused"
exits 0 ctl resume -w identity
says "is not paused by itself any more" "$dir/out"
exits 0 ctl resume --all
exits 0 ctl wait "$c" "$d"
check "nothing is paused any more" wait_for 10 has state running "$a"
runs_again() { [ "$(grep -c ' running' "$dir/followed")" -ge 2 ]; }
check "who follows it sees that too, across a kill" wait_for 10 runs_again
kill $follower
wait $follower
exits 0 ctl pause "$a"
exits 0 ctl pause -w sleeper
exits 0 ctl resume -w sleeper
check "what was paused by itself goes on as well" wait_for 10 has state running "$a"
equal "status is silent again" "$(ctl status | grep -c PAUSED)" 0
equal "so is list" "$(ctl list 2>&1 | grep -c PAUSED)" 0
exits 0 ctl cancel "$a"

echo "== waiting"
a=$(live) b=$(ctl run sleeper -d -m pool 1ms)
exits 0 ctl wait --any "$a" "$b"
says "job $b: done" "$dir/out"
exits 124 ctl wait --all --timeout 100ms
says "job $a is running"
ctl wait -w sleeper >"$dir/waited" 2>&1 &
waiter=$!
exits 0 ctl cancel "$a"
wait $waiter
equal "wait exits by what became of them" $? 1
exits 0 ctl wait --all

over=$(for i in $(seq 100); do ctl run noop -q -d "$i"; done)
# shellcheck disable=SC2086 # words are words
exits 0 ctl wait $over
# shellcheck disable=SC2086 # words are words
exits 0 ctl wait $over --timeout 0 # they are read from the disk, which takes longer than that
equal "what has ended is told, whatever the time" "$(wc -l <"$dir/out")" 100
a=$(live)
# shellcheck disable=SC2086 # words are words
exits 124 ctl wait "$a" $over --timeout 0
equal "beside what has not" "$(grep -c ': done' "$dir/out")" 100
says "job $a is"
exits 0 ctl wait --any "$a" @last $over --timeout 0
exits 0 ctl kill "$a"

ctl run noop -q -d -l batch 1 >"$dir/ids"
ctl run noop -q -d -l batch 2 >>"$dir/ids"
# shellcheck disable=SC2046 # words are words
exits 0 ctl wait $(cat "$dir/ids")
exits 4 ctl wait -l batch
exits 0 ctl wait -l batch --state queued,running,done,failed
equal "those that have ended, where it is said how" "$(grep -c ': done' "$dir/out")" 2
exits 4 ctl wait -l batch --state failed

echo "== removing"
a=$(live)
exits 3 ctl rm "$a"
says "cancel it first"
exits 3 ctl rm "$a" "$done_job"
exits 4 ctl show "$done_job"
exits 4 ctl results "$done_job"
exits 0 ctl cancel "$a"
exits 0 ctl rm @last
exits 4 ctl rm "$a"
b=$(ctl run noop -d 5)
check "numbers are not given again" test "$b" -gt "$a"
exits 0 ctl wait "$b"
ctl run crash -q -m process crash >/dev/null 2>&1
exits 0 ctl rm --state failed
equal "only failed ones" "$(ctl list --json | grep -o '"job": *"[0-9]*"' | grep -c .)" "$(ctl list --state done,cancelled --json | grep -o '"job": *"[0-9]*"' | grep -c .)"
exits 0 ctl clean --older-than 1h
exits 0 ctl show "$b"
exits 0 ctl clean
equal "clean removes all that ended" "$(ctl list --json | grep -c '"job"')" 0
exits 0 ctl clean
kept=$(ctl run noop -d --no-durable 1)
exits 0 ctl wait @last
exits 0 ctl rm "$kept"
exits 4 ctl results "$kept"

echo "== a job that is named twice"
b=$(ctl run noop -d 5)
exits 0 ctl wait "$b" @last "$b"
equal "it is told once" "$(wc -l <"$dir/out")" 1
exits 0 ctl retry "$b" @last
equal "it runs again once" "$(wc -l <"$dir/out")" 1
exits 0 ctl wait @last
exits 0 ctl rm "$b" "$b"
equal "it is removed once" "$(cat "$dir/out")" "job $b: removed"
c=$(ctl run noop -d 6)
b=$(ctl run noop -d 7)
exits 0 ctl wait "$b" "$c"
exits 0 ctl retry "$b" "$c" "$b"
equal "each once" "$(cut -d: -f1 "$dir/out" | sort | tr '\n' ' ')" "job $c job $b "
exits 0 ctl wait "$((b + 1))" "$((b + 2))"
exits 0 ctl clean

echo "== a reader of what is removed"
seq 1 300000 | sed 's/$/ 0123456789012345678901234567890123456789/' >"$dir/wide"
id=$(ctl run identity -d -m pool -i "$dir/wide")
exits 0 ctl wait "$id"
mkfifo "$dir/pipe"
ctl results "$id" >"$dir/pipe" 2>"$dir/reader" &
reader=$!
exec 7<"$dir/pipe"
head -c 1000 <&7 >/dev/null
exits 0 ctl rm "$id"
cat <&7 >"$dir/rest"
exec 7<&-
wait $reader
equal "ends with an error" $? 4
says "removed" "$dir/reader"
check "and did not get all" test "$(stat -c %s "$dir/rest")" -lt "$(stat -c %s "$dir/wide")"

echo "== a thousand jobs, and a kill of the daemon between"
printf '{"workload":"sleeper","model":"async","label":"many","inputs":["100s"]}' >"$dir/job"
curl -s --unix-socket "$sock" --data-binary "@$dir/job" -o /dev/null 'http://concd/v1/jobs#[1-1000]'
exits 0 ctl pause -l many
equal "each has a line" "$(grep -c paused "$dir/out")" 1000
daemon_kill
daemon_start
equal "paused still" "$(ctl list --state paused -n 2000 --json | grep -o '"job": *"[0-9]*"' | grep -c .)" 1000
ctl cancel -l many >/dev/null &
canceller=$!
daemon_kill
wait $canceller
daemon_start
ctl cancel -l many >/dev/null 2>&1
ctl wait --all >/dev/null
equal "cancelled all" "$(ctl list --state cancelled -n 2000 -l many --json | grep -o '"job": *"[0-9]*"' | grep -c .)" 1000
ctl rm -l many >/dev/null 2>&1 &
remover=$!
wait_for 5 test "$(ctl list -l many -n 2000 --json | grep -o '"job": *"[0-9]*"' | grep -c .)" -lt 1000
daemon_kill
wait $remover
daemon_start
exits 0 ctl clean
exits 0 ctl list
says "no jobs"
check "and the next job runs" test "$(ctl run noop -q 7)" = 7
daemon_stop
equal "concd ends with 0" $? 0

echo "== two daemons"
held() {
	! flock -n "$dir/state/daemon.lock" true
}
# What a killed daemon was starting just then has its lock for a moment.
flock "$dir/state/daemon.lock" sleep 0.3 &
holder=$!
check "the lock is held" wait_for 5 held
daemon_start
wait $holder
sed "s|$sock|$dir/other-sock|" "$dir/concd.conf" >"$dir/other.conf"
"$concd" -c "$dir/other.conf" >"$dir/out" 2>&1
equal "a second daemon does not start" "$([ $? -ne 0 ] && echo refused)" refused
says "another concd (pid $daemon_pid) uses the state directory" "$dir/out"
daemon_stop
finish
