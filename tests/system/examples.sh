#!/usr/bin/env bash
# What the example plugins are there to show: a counter without a lock, a call that blocks its event loop, one lock for a
# whole process. Times are compared with each other, generously; counts exactly.
. "$(dirname "$0")/lib.sh"
write_config
daemon_start

# figure KEY RUN...: one of the job's times, in milliseconds.
figure() {
	local key=$1
	shift
	ctl run --json "$@" 2>"$dir/err" | tail -n 1 | grep -oE "\"$key\":[0-9.e-]+" | cut -d: -f2 |
		awk '{ printf "%d", $1 * 1000 }'
}
# at_least WHAT GOT WANTED
at_least() {
	checks=$((checks + 1))
	if [ "$2" -ge "$3" ]; then echo "ok: $1 ($2)"; else fail "$1: got $2, wanted at least $3"; fi
}
highest() { sort -n | tail -n 1; }

# 8 x 5,000 additions to one counter: so many that on a busy machine, too, one thread is not through before the next begins.
adds=$(yes 5000 | head -n 8)
equal "counter: right under sync" "$(ctl run counter -q -m sync --dedicated $adds | highest)" 40000
equal "counter: right under async" "$(ctl run counter -q -m async --dedicated $adds | highest)" 40000
equal "counter: right under process with one" "$(ctl run counter -q -m process -j 1 --dedicated $adds | highest)" 40000
got=$(ctl run counter -q -m process -j 2 --dedicated $adds >"$dir/got"; awk '{ if ($1 % 5000) bad++ } END { print bad + 0 }' "$dir/got")
equal "counter: processes lose nothing" "$got" 0
at_least "counter: wrong under pool" $((40000 - $(ctl run counter -q -m pool -j 4 --dedicated $adds | highest))) 1
equal "counter: right under pool with a lock" \
	"$(ctl run counter -q -m pool -j 4 --dedicated -p locked=true $adds | highest)" 40000

# 20 x 50 ms that block: a second one after another, about 50 ms where the loop is free.
waits=$(yes 50 | head -n 20)
stuck=$(figure wall_s blocker -m async $waits)
free=$(figure wall_s blocker -m async -p offload=true $waits)
at_least "blocker: tasks of a blocked loop run one after another" "$stuck" 1000
at_least "blocker: offload is at least 3 times faster" "$stuck" $((free * 3))

ctl run blocker -q -m async 200 >/dev/null
ctl show "$(ctl list -n 1 --json | tr -d ' \n' | grep -oE '"job":"[0-9]+"' | grep -oE '[0-9]+')" >"$dir/out"
says "task 0 (input '200'): " "$dir/out"
says "block+0x" "$dir/out"

# Never two at once under the lock, whatever the threads; processes are not held up by it.
equal "onelock: threads take turns" "$(ctl run onelock -q -m pool -j 4 20 20 20 20 20 20 | highest)" 0
at_least "onelock: without the lock they do not" \
	"$(ctl run onelock -q -m pool -j 4 -p lock=false 100 100 100 100 | highest)" 1
# Where the time goes says it also on a busy machine: threads wait for the lock, processes for nothing.
loads=$(yes 250 | head -n 4)
at_least "onelock: threads need the sum of all" "$(figure wall_s onelock -m pool -j 2 $loads)" 1000
threads=$(figure wait_s onelock -m pool -j 2 $loads)
processes=$(figure wait_s onelock -m process -j 2 $loads)
at_least "onelock: threads wait for each other" "$threads" 100
at_least "onelock: processes do not" "$threads" $((processes * 3))
finish
