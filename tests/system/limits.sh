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

if [ -z "${SANITIZER:-}" ]; then # whose allocators end the process, and take address space as they like
	for shape in "-m sync" "-m async -j 1000" "-m pool -j 4" "-m process -j 2" "--shape 2x2x8"; do
		exits 1 ctl run small -q $shape "alloc 20000000" "alloc 90000000" "alloc 30000000"
		equal "$shape: what fits is done" "$(tr '\n' ' ' <"$dir/out")" "alloc 20000000 alloc 30000000 "
		says "(input 'alloc 90000000'): failed: Cannot allocate memory: memory_max of its worker process is 64"
		exits 1 ctl run small -q $shape "alloc 1000" "trust 90000000" "alloc 2000"
		equal "$shape: its neighbours are done" "$(tr '\n' ' ' <"$dir/out")" "alloc 1000 alloc 2000 "
		says "(input 'trust 90000000'): quarantined: "
		says "SIGSEGV (its memory_max is 64"
	done
fi

for model in $all_models; do
	equal "$model: affinity and nice hold" "$(ctl run modest -q -m $model where)" "1 of them, nice 7"
done
exits 1 ctl run nowhere -q -m pool where
says 'affinity: none of the processors "1023" can be used'

# cpu_timeout: who uses more is told, then killed; who waits does not use any.
for shape in "-m sync" "-m async -j 10" "-m pool -j 4" "-m process -j 2" "--shape 2x2x8"; do
	exits 1 ctl run spin -q $shape 1000 20000000 2000
	equal "$shape: what uses little is done" "$(tr '\n' ' ' <"$dir/out")" "1000 2000 "
	says "(input '20000000'): timeout: it used more than 300 ms of processor time (cpu_timeout)"
	exits 1 ctl run hang -q $shape -p mode=spin a hang b
	equal "$shape: beside one that does not listen too" "$(tr '\n' ' ' <"$dir/out")" "a b "
	says "(input 'hang'): timeout: it used more processor time than cpu_timeout; it did not end within its grace time and was killed"
done
used=$(ctl run spin --json -q -m async 20000000 | head -n 1 | grep -oE '"cpu_s":[0-9.]+' | cut -d: -f2)
check "it is ended soon after ($used s)" awk -v s="$used" -v most="${SANITIZER:+3}" 'BEGIN { exit !(s >= 0.3 && s < (most ? most : 0.6)) }'
ctl run nap -q -m async -j 5 600ms 700ms >/dev/null
equal "waiting is no use of a processor" $? 0

# max_tasks: a process begins ten and no more, and nothing is lost or done twice.
for shape in "-m sync" "-m async -j 7" "-m thread -j 3" "-m pool -j 4" "-m process -j 3" "--shape 2x2x3"; do
	ctl run mortal -q $shape $(yes pid | head -n 203) >"$dir/out"
	equal "$shape: all tasks are done" "$(wc -l <"$dir/out")" 203
	check "$shape: no process began more than ten" awk '
		{ n[$1]++ } END { for (pid in n) if (n[pid] > 10) bad = 1; exit bad }' "$dir/out"
done
check "no process died otherwise" test -z "$(grep -E 'was ended by|ended by itself' "$dir/log" | grep -vE "small|nowhere")"
finish
