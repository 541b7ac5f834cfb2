#!/usr/bin/env bash
# What a stanza limits: memory, processors, niceness, and how many tasks a worker process lives for.
. "$(dirname "$0")/lib.sh"

write_config "workloads = {
	$(stanza small 'memory_max = "64M"; max_crashes = 1;' hog)
	$(stanza modest 'affinity = "0"; nice = 7;' hog) $(stanza nowhere 'affinity = "1023";' hog)
	$(stanza spin 'cpu_timeout = "300ms";') $(stanza hang 'cpu_timeout = "300ms"; grace = "200ms";')
	nap = { plugin = \"sleeper\"; cpu_timeout = \"300ms\"; };
	$(stanza mortal 'max_tasks = 10;' hog)
};"
daemon_start

memory() {
	local name=$1
	shift
	exits 1 ctl run small -q "$@" "alloc 20000000" "alloc 90000000" "alloc 30000000"
	equal "$name: what fits is done" "$(tr '\n' ' ' <"$dir/out")" "alloc 20000000 alloc 30000000 "
	says "(input 'alloc 90000000'): failed: Cannot allocate memory: memory_max of its worker process is 64"
	exits 1 ctl run small -q "$@" "alloc 1000" "trust 90000000" "alloc 2000"
	equal "$name: its neighbours are done" "$(tr '\n' ' ' <"$dir/out")" "alloc 1000 alloc 2000 "
	says "(input 'trust 90000000'): quarantined: "
	says "SIGSEGV (its memory_max is 64"
}
# A sanitizer's allocators end the process, and take address space as they like.
[ -n "${SANITIZER:-}" ] || every_shape_beside 3 memory

placed() {
	local name=$1
	shift
	equal "$name: affinity and nice hold" "$(ctl run modest -q "$@" where)" "1 of them, nice 7"
}
every_shape placed
exits 1 ctl run nowhere -q -m pool where
says 'affinity: none of the processors "1023" can be used'

# cpu_timeout: who uses more is told, then killed; who waits does not use any.
processor_time() {
	local name=$1
	shift
	exits 1 ctl run spin -q "$@" 1000 20000000 2000
	equal "$name: what uses little is done" "$(tr '\n' ' ' <"$dir/out")" "1000 2000 "
	says "(input '20000000'): timeout: it used more than 300 ms of processor time (cpu_timeout)"
	exits 1 ctl run hang -q "$@" -p mode=spin a hang b
	equal "$name: beside one that does not listen too" "$(tr '\n' ' ' <"$dir/out")" "a b "
	says "(input 'hang'): timeout: it used more processor time than cpu_timeout; it did not end within its grace time and was killed"
	exits 0 ctl run nap -q "$@" 400ms
}
every_shape_beside 3 processor_time
used=$(ctl run spin --json -q -m async 20000000 | head -n 1 | grep -oE '"cpu_s":[0-9.]+' | cut -d: -f2)
check "it is ended soon after ($used s)" awk -v s="$used" -v most="${SANITIZER:+3}" 'BEGIN { exit !(s >= 0.3 && s < (most ? most : 0.6)) }'
ctl run nap -q -m async -j 5 600ms 700ms >/dev/null
equal "waiting is no use of a processor" $? 0

# max_tasks: a process begins ten and no more, and nothing is lost or done twice.
mortal() {
	local name=$1
	shift
	ctl run mortal -q "$@" $(yes pid | head -n 103) >"$dir/out"
	equal "$name: all tasks are done" "$(wc -l <"$dir/out")" 103
	check "$name: no process began more than ten" awk '
		{ n[$1]++ } END { for (pid in n) if (n[pid] > 10) bad = 1; exit bad }' "$dir/out"
}
every_shape_beside 3 mortal
mortal "thread -j 3" -m thread -j 3
check "no process died otherwise" test -z "$(grep -E 'was ended by|ended by itself' "$dir/log" | grep -vE "small|nowhere")"
finish
