#!/usr/bin/env bash
# `set after=`: what a job follows is changed while it waits; circles, kills of the daemon, many predecessors, parked jobs.
. "$(dirname "$0")/lib.sh"

write_config "limits = { max_workers = 5000; }; workloads = { slow = { plugin = \"sleeper\"; model = \"async\"; }; };"
daemon_start
limit=$((20 * slowness))s

state_is() { # JOB STATE
	ctl show "$1" --json | grep -qE "\"state\": ?\"$2\""
}
waits() { # WORDS JOB
	ctl show "$2" | grep -qF -- "$1"
}
code_is() { # JOB CODE
	ctl show "$1" --json | grep -qE "\"error\": ?\{\"code\": ?\"$2\""
}
policy_of() {
	ctl --json show "$1" | grep -oE '"after_failed": ?"[a-z]*"' | grep -oE '(run|cancel)'
}
submit() { # INPUT [OPTION...]
	ctl run slow -d "${@:2}" "$1" 2>/dev/null
}

echo "== instead of those that it followed"
a=$(submit 1h)
b=$(submit 1h)
c=$(submit 1ms --after "$a")
exits 0 ctl set "$c" after="$b"
check "it waits for the other one" waits "it begins when job $b has succeeded" "$c"
exits 0 ctl set "$c" "after=$a,$b,$a" after_failed=run
check "for both, however they end" waits "it begins when jobs $a, $b have ended" "$c"
exits 0 ctl set "$c" "after=$b"
equal "that is as it was" "$(policy_of "$c")" run
exits 0 ctl set "$c" after-failed=cancel
equal "by itself" "$(policy_of "$c")" cancel
exits 0 ctl set "$c" after_failed=run
exits 0 ctl kill "$b"
exits 0 ctl wait "$c" --timeout "$limit"
exits 3 ctl set "$c" "after=$a"
says "has ended"
exits 3 ctl set "$a" "after=$b"
says "job $a has begun"
c=$(submit 1ms --after "$a")
exits 0 ctl set "$c" after=
exits 0 ctl wait "$c" --timeout "$limit"

echo "== what has ended already"
exits 1 ctl run slow -q nonsense
bad=$(ctl --json list -n 1 | grep -oE '"job": ?"[0-9]+"' | grep -oE '[0-9]+')
good=$(submit 1ms)
exits 0 ctl wait "$good" --timeout "$limit"
d=$(submit 1ms --after "$a")
exits 0 ctl set "$d" "after=$good"
exits 0 ctl wait "$d" --timeout "$limit"
d=$(submit 1ms --after "$a")
exits 0 ctl set "$d" "after=$good,$bad"
says "job $d: set, and cancelled: job $bad, which it was to follow, failed" "$dir/out"
exits 1 ctl wait "$d" --timeout "$limit"
check "it is cancelled" state_is "$d" cancelled
check "for its predecessor" code_is "$d" predecessor
d=$(submit 1ms --after "$a")
exits 0 ctl set "$d" "after=$bad,$good" after_failed=run
exits 0 ctl wait "$d" --timeout "$limit"
exits 0 ctl rm "$bad"
d=$(submit 1ms --after "$a")
exits 4 ctl set "$d" "after=$bad"
says "there is no job $bad to follow any more"
check "nothing is changed" waits "it begins when job $a has succeeded" "$d"
exits 0 ctl set "$d" "after=$bad" after_failed=run
exits 0 ctl wait "$d" --timeout "$limit"

echo "== refused"
d=$(submit 1ms --after "$a")
e=$(submit 1ms --after "$d")
exits 4 ctl set "$d" after=999999 label=x
says "there is no job 999999"
exits 2 ctl set "$d" after=3,,4
says "'' is no job"
exits 2 ctl set "$d" after=seven
exits 2 ctl set "$d" after=none after_failed=run
exits 2 ctl set "$d" "after=$a" after_failed=maybe
says "neither cancel nor run"
exits 2 ctl set "$d" after=@last,"$d"
says "job $d cannot follow"
exits 2 ctl set "$d" "after=$(seq -s, 1001)"
says "at most 1000"
exits 2 ctl set "$d" "after=$a" priority=1000
exits 2 ctl set "$(submit 1ms --delay 1h)" after_failed=run
says "follows no job"

echo "== circles"
f=$(submit 1ms --after "$e")
exits 2 ctl set "$d" "after=$f"
says "job $d cannot follow job $f, which follows job $e, which follows job $d: none of them would ever begin"
exits 2 ctl set "$d" "after=$e" after_failed=run
says "job $d cannot follow job $e, which follows job $d"
check "nothing is changed" waits "it begins when job $a has succeeded" "$d"
exits 2 ctl set "$d" "$e" "after=$f"
last=$f
for _ in $(seq 20); do last=$(submit 1ms --after "$last"); done
exits 2 ctl set "$d" "after=$last"
says " ... which follows job $d: none"
exits 0 ctl set "$f" "after=$a" # no circle any more
exits 0 ctl set "$d" "after=$last"
exits 2 ctl set "$f" "after=$e"
exits 0 ctl set "$d" after=none
exits 0 ctl wait "$d" "$e" --timeout "$limit"
exits 0 ctl set "$f" after=none
exits 0 ctl wait "$last" --timeout "$limit"

echo "== over kills of the daemon: predecessors that were submitted later, running, parked and not durable, and many of them"
g=$(submit 1ms --after "$a")
h=$(submit 1ms --after "$a")
i=$(submit 1ms --after "$a" --label many)
j=$(submit 1ms --delay 1h)
k=$(submit 1ms --delay 1h)
many=
for _ in $(seq 20); do many=$many,$(submit 1ms --after "$a" --label twenty); done
later=$(submit 1ms --delay 1h)
waiting=$(submit 1ms --after "$later")
running=$(submit 1h)
forgotten=$(submit 1h --no-durable)
exits 0 ctl set "$g" "after=$later"
exits 0 ctl set "$h" "after=$waiting"
exits 0 ctl set -l many "after=${many#,},$later"
exits 0 ctl set "$j" "after=$running"
exits 0 ctl set "$k" "after=$forgotten"
equal "shown with as many" "$(ctl --json show "$i" | grep -oE '"after": ?\[[^]]*\]' | tr -cd ',' | wc -c)" 20
for _ in 1 2; do
	daemon_kill
	daemon_start
	# until then all of them wait for workers of the daemon that was killed
	check "one that was submitted later" wait_for $((20 * slowness)) waits "it begins when job $later has succeeded" "$g"
	check "one that waits itself" waits "it begins when job $waiting has succeeded" "$h"
	check "many" waits "and 18 more have succeeded" "$i"
	check "one that runs" grep -qF "\"$running\"" <<<"$(ctl --json show "$j")"
	exits 2 ctl set "$later" "after=$h"
	says "job $later cannot follow job $h, which follows job $waiting, which follows job $later"
	check "one that is not durable is forgotten" code_is "$k" predecessor
done
if grep -q "cannot be read" "$dir/log"; then fail "a predecessor could not be read at the start"; fi
if grep -q "job $i 'slow' goes on" "$dir/log"; then fail "one that follows many is not parked"; fi
exits 0 ctl set -l twenty after=none
exits 0 ctl set "$later" delay=0
exits 0 ctl wait "$g" "$h" "$i" --timeout "$limit"
exits 0 ctl kill "$running"
check "it ends with the one that it was made to follow" wait_for $((20 * slowness)) state_is "$j" cancelled
check "for that one" code_is "$j" predecessor
daemon_kill
daemon_start
check "on disk too" code_is "$j" predecessor
finish
