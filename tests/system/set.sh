#!/usr/bin/env bash
# `set` on queued, parked, delayed and running jobs: what can be set when, that it holds and survives, and what is refused how.
. "$(dirname "$0")/lib.sh"

write_config "limits = { max_workers = 5000; }; workloads = { nap = { plugin = \"sleeper\"; model = \"pool\"; workers = 2; backoff = \"7s\"; };
	$(stanza hang 'model = "async"; grace = "200ms";') $(stanza listen 'model = "sync";') };"
daemon_start

shown() {
	ctl --json show "$2" | grep -o "\"$1\":\(\"[^\"]*\"\|[^,}]*\)" | head -n 1 | cut -d: -f2- | tr -d '"'
}
shows() { # KEY VALUE JOB
	[ "$(shown "$1" "$3")" = "$2" ]
}
ends() { # EXIT CODE, of set
	exits "$1" ctl "${@:2}"
}

echo "== the model of a job that has not begun"
ctl pause -w nap >/dev/null
a=$(ctl run nap -d 10ms 20ms 30ms 2>/dev/null)
exits 0 ctl set "$a" model=async
equal "another model" "$(shown model "$a") $(shown shape "$a") $(shown workers "$a")" "async 1x1x1000 1000"
exits 0 ctl set "$a" model=process workers=3
equal "with a number of workers" "$(shown model "$a") $(shown shape "$a") $(shown workers "$a")" "process 3x1x1 3"
exits 0 ctl set "$a" shape=2x1x500
equal "a shape, and its own number" "$(shown shape "$a") $(shown workers "$a")" "2x1x500 3"
exits 0 ctl set "$a" model=pool
equal "the same" "$(shown shape "$a") $(shown workers "$a")" "1x3x1 3"
exits 2 ctl set "$a" model=sync
says "job $a has a number of workers of its own, 3: set workers=N too: model sync runs one task at a time"
exits 2 ctl set "$a" shape=1x1x2
says "holds 2 workers, not 3"
equal "nothing is changed" "$(shown shape "$a") $(shown workers "$a")" "1x3x1 3"
exits 0 ctl set "$a" model=sync workers=1
own=$(ctl run nap -d -j 7 -m async 10ms)
exits 0 ctl set "$own" model=process
equal "the job's own -j" "$(shown shape "$own") $(shown workers "$own")" "7x1x1 7"
daemon_kill
daemon_start
exits 0 ctl set "$own" model=async
equal "it is known after a restart" "$(shown shape "$own") $(shown workers "$own")" "1x1x1000 7"
plain=$(ctl run nap -d 10ms)
exits 0 ctl set "$plain" model=process
equal "the stanza's crew" "$(shown shape "$plain") $(shown workers "$plain")" "2x1x1 2"
exits 0 ctl cancel "$own" "$plain"
exits 0 ctl set "$a" model=pool workers=2
exits 0 ctl set "$a" workers=5
equal "a larger crew" "$(shown shape "$a") $(shown workers "$a")" "1x5x1 5"
exits 4 ctl set "$a" model=pol
says "did you mean 'pool'?"
exits 2 ctl set "$a" model=sync workers=3
exits 2 ctl set "$a" shape=0x1
exits 2 ctl set "$a" workers=100000
says "limits.max_workers"
exits 2 ctl set "$a" model=async priority=1000
equal "of several none is set where one is wrong" "$(shown model "$a") $(shown workers "$a")" "pool 5"
exits 2 ctl set "$a" colour=red
says "'colour' cannot be set"
exits 2 ctl set "$a" modle=sync
says "did you mean 'model'?"
exits 4 ctl set "$a" after=99999
says "there is no job 99999"
exits 0 ctl set "$a" model=async retries=2
daemon_kill
daemon_start
equal "it survives, and tries have the stanza's backoff" "$(shown model "$a") $(shown retries "$a") $(shown backoff_s "$a")" "async 2 7.0"
ctl resume -w nap >/dev/null
exits 0 ctl wait "$a"
exits 3 ctl set "$a" model=pool
says "job $a has ended"


echo "== the label of one that has ended"
label_of() {
	ctl --json show "$1" | grep -oE '"label": ?("[^"]*"|null)' | sed 's/.*: *//'
}
exits 0 ctl set "$a" label=nightly
equal "it has it" "$(label_of "$a")" '"nightly"'
exits 3 ctl set "$a" label=other priority=3
says "job $a has ended: it is done: only its label can be set now"
daemon_kill
daemon_start
equal "over a kill, and alone" "$(label_of "$a")" '"nightly"'
equal "the rest is as it was" "$(shown model "$a") $(shown retries "$a") $(ctl results "$a" | wc -l)" "async 2 3"
check "it is found by it" grep -q "^ *$a " <<<"$(ctl list -l nightly)"
exits 4 ctl set -l nightly label=weekly # those that have not ended
exits 0 ctl set -l nightly --state done,failed label=weekly
equal "those that ended so" "$(label_of "$a")" '"weekly"'
exits 4 ctl set -l weekly --state done priority=3
exits 0 ctl set "$a" label=
equal "none" "$(label_of "$a")" null
exits 0 ctl retry "$a"
again=$(ctl run nap -d --no-durable 1ms)
exits 0 ctl wait "$again"
exits 0 ctl set "$again" label=kept
equal "one that is not on disk" "$(label_of "$again")" '"kept"'
exits 2 ctl set "$a" "label=$(printf '%0129d' 1)"
says "at most 128 bytes"
exits 2 ctl set "$a" label=$'caf\xe9' # a document could not have it
says "UTF-8"
exits 0 ctl set "$a" label=$'a\xc2\x9b1m\x1bb\tc\xc2\xa0d'
check "what a terminal would obey is not printed" grep -qF $'a??1m?b?c\xc2\xa0d' <<<"$(ctl show "$a"; ctl list -n 1000)"
exits 0 ctl set "$a" label=$'caf\xc3\xa9'
equal "this one it can" "$(label_of "$a")" $'"caf\xc3\xa9"'
ctl wait -w nap >/dev/null 2>&1

echo "== one that has begun"
b=$(ctl run nap -d -m thread 1h 1h)
check "it runs" wait_for $((20 * slowness)) shows running 1 "$b"
for what in model=pool shape=1x1x2 delay=1s expire=1h after=none; do
	exits 3 ctl set "$b" $what
	says "job $b has begun"
done
exits 0 ctl kill "$b"

echo "== dates"
c=$(ctl run nap -d --delay 1h 10ms)
exits 2 ctl set "$c" expire=10m
says "expire before it may begin"
exits 0 ctl set "$c" delay=10s expire=1h
check "it is to begin soon" sh -c "'$concctl' -s '$sock' show $c | grep -q 'it begins at .* in [0-9]* s\|in [0-9.]* s'"
exits 0 ctl set "$c" delay=0
exits 0 ctl wait "$c"
d=$(ctl run nap -d --delay 1h 10ms)
e=$(ctl run nap -d -m async --after "$d" 10ms)
exits 0 ctl set "$e" after=none
exits 0 ctl wait "$e" # whatever job d does
exits 0 ctl set "$d" delay=0 expire=0
exits 0 ctl wait "$d"
ctl pause -w nap >/dev/null
f=$(ctl run nap -d 10ms 2>/dev/null)
exits 0 ctl set "$f" expire=50ms
exits 1 ctl wait "$f"
equal "it has expired" "$(ctl --json show "$f" | grep -o '"code":"[a-z]*"')" '"code":"expired"'
ctl resume -w nap >/dev/null

echo "== jobs that are parked"
first=$(ctl run nap -d --delay 0 -j 1 -m thread 1h)
exits 2 ctl set "$first" priority=1000
says "concctl: priority: 1000 is not from -100 to 100"
exits 2 ctl set "$first" workers=many
says "concctl: workers: 'many' is not a number from 0 on"
ctl pause -w nap >/dev/null
for i in $(seq 90); do echo 5ms; done >"$dir/one-each"
while read -r input; do ctl run nap -q -d "$input"; done <"$dir/one-each" >"$dir/ids" 2>/dev/null
last=$(tail -n 1 "$dir/ids")
exits 0 ctl set "$last" model=async label=last
exits 0 ctl set -w nap --state paused -l last delay=1h
check "status counts those that are parked and held as paused" sh -c "'$concctl' -s '$sock' status | grep -q '^jobs  *91 paused'"
daemon_kill
daemon_start
equal "a parked one is another after a restart" "$(shown model "$last") $(shown shape "$last")" "async 1x1x1000"
check "its date holds" sh -c "'$concctl' -s '$sock' --json show $last | grep -q '\"begins\":\"'"
ctl resume -w nap >/dev/null
exits 0 ctl wait $(head -n 89 "$dir/ids")
equal "it is not one of those that ran" "$(shown state "$last")" queued
exits 0 ctl set "$last" delay=0
exits 0 ctl wait "$last"
exits 0 ctl kill "$first"

echo "== the time limit of jobs"
ids=
for i in 1 2 3; do ids="$ids $(ctl run nap -d --delay 1h --timeout 1h 1ms)"; done
exits 0 ctl set $ids timeout=0 # which is none, and no limit of the answer
equal "each is told" "$(tr '\n' ' ' <"$dir/out")" "$(printf 'job %s: set ' $ids)"
for id in $ids; do equal "of job $id" "$(shown timeout_s "$id")" null; done
exits 0 ctl cancel $ids

echo "== the time limit of tasks"
for model in async pool process; do
	g=$(ctl run hang -d -m $model -j 2 ok)
	exits 0 ctl wait "$g"
	h=$(ctl run nap -d -m $model -j 1 300ms 1h 1h)
	exits 0 ctl set "$h" task_timeout=500ms
	exits 1 ctl wait "$h"
	equal "$model: those that begin later have it" "$(ctl results --failed "$h" 2>&1 | grep -c 'timeout')" 2
	equal "$model: shown" "$(shown task_timeout_s "$h")" 0.5
	i=$(ctl run nap -d -m $model -j 1 --task-timeout 1s 100ms 1500ms)
	exits 0 ctl set "$i" task-timeout=0
	ctl wait "$i" >/dev/null # the first may have begun the second already
done
i=$(ctl run nap -d -m sync --task-timeout 20s 500ms 1h 1h)
check "the first runs" wait_for $((20 * slowness)) shows running 1 "$i"
exits 0 ctl set "$i" task_timeout=100ms
exits 1 ctl wait "$i"
equal "a shorter one" "$(ctl results --failed "$i" 2>&1 | grep -c 'timeout')" 2
j=$(ctl run hang -d -m sync -p mode=block --task-timeout 1s hang)
check "it runs" wait_for $((20 * slowness)) shows running 1 "$j"
exits 0 ctl set "$j" task_timeout=1h # what has begun keeps its own, and the kill that follows
exits 1 ctl wait "$j"
equal "killed at its own time" "$(ctl results --failed "$j" 2>&1 | grep -c 'timeout')" 1
finish
