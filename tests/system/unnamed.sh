#!/usr/bin/env bash
# Deaths that name nobody: a task whose own thread kills the process while every task of it waits. It is found after few deaths,
# and its neighbours all have their results.
. "$(dirname "$0")/lib.sh"
write_config "workloads = { $(stanza crash) };"
daemon_start

for shape in "-m async -j 100" "-m pool -j 8" "--shape 2x1x20"; do
	before=$(grep -c 'was ended by signal 9' "$dir/log")
	exits 1 ctl run crash -q $shape -p signal=elsewhere -p delay=150ms $(seq 1 40) crash $(seq 41 60)
	says "(input 'crash'): quarantined: "
	equal "$shape: its neighbours have their results" "$(tr '\n' ' ' <"$dir/out")" "$(seq 1 60 | tr '\n' ' ')"
	check "$shape: after few deaths" [ $(($(grep -c 'was ended by signal 9' "$dir/log") - before)) -le 6 ]
done
finish
