#!/usr/bin/env bash
# Deaths that name nobody: a task whose own thread kills the process while every task of it waits. It is found after few deaths,
# by halving those that were begun, and its neighbours all have their results.
. "$(dirname "$0")/lib.sh"
write_config "workloads = { $(stanza crash) };"
sed -i 's/level = "info"/level = "debug"/' "$dir/concd.conf"
daemon_start

# What the log has of this since mark() was called.
mark() {
	marked=$(wc -l <"$dir/log")
}
since() {
	tail -n +$((marked + 1)) "$dir/log" | grep -c "$1"
}

for shape in "-m async -j 100" "-m pool -j 8" "--shape 2x1x20"; do
	mark
	exits 1 ctl run crash -q $shape -p signal=elsewhere -p delay=150ms $(seq 1 40) crash $(seq 41 60)
	says "(input 'crash'): quarantined: "
	equal "$shape: its neighbours have their results" "$(tr '\n' ' ' <"$dir/out")" "$(seq 1 60 | tr '\n' ' ')"
	# Two that name nobody, a half of 60 each time, and twice alone.
	check "$shape: after few deaths" [ "$(since 'was ended by signal 9')" -le 11 ]
	check "$shape: and with few processes" [ "$(since 'is started')" -le 22 ]
	echo "# $shape: $(since 'was ended by signal 9') deaths, $(since 'is started') processes"
done

# Neighbours that are always on the processor are suspected first, but not each of them before the guilty one.
for shape in "-m async -j 100" "--shape 1x4x20"; do
	mark
	exits 1 ctl run crash -q $shape -p signal=elsewhere -p delay=200ms -p busy=true $(seq 1 30) crash $(seq 31 59)
	says "(input 'crash'): quarantined: "
	equal "$shape, busy: the neighbours have their results" "$(tr '\n' ' ' <"$dir/out")" "$(seq 1 59 | tr '\n' ' ')"
	check "$shape, busy: after few deaths" [ "$(since 'was ended by signal 9')" -le 14 ]
	echo "# $shape, busy: $(since 'was ended by signal 9') deaths, $(since 'is started') processes"
done

# 1,000 begun at once, k of them guilty: one death halves what one of them is among. 2 + 10 for each, and twice alone.
for guilty in 1 2 3; do
	mark
	{ seq 1 450; echo crash; seq 451 999; } >"$dir/inputs"
	[ $guilty -lt 2 ] || sed -i '13a crash' "$dir/inputs"
	[ $guilty -lt 3 ] || sed -i '770a crash' "$dir/inputs"
	exits 1 ctl run crash -q -m async -j 1000 -p signal=elsewhere -p delay=300ms -i "$dir/inputs"
	equal "$guilty of 1,000: quarantined" "$(grep -c "(input 'crash'): quarantined: " "$dir/err")" $guilty
	equal "$guilty of 1,000: nobody else failed" "$(grep -c '^concctl: .*task ' "$dir/err")" $guilty
	check "$guilty of 1,000: all others have their results" diff -q "$dir/out" <(grep -v crash "$dir/inputs")
	echo "# $guilty of 1,000: $(since 'was ended by signal 9') deaths, $(since 'is started') processes"
	check "$guilty of 1,000: after few deaths" [ "$(since 'was ended by signal 9')" -le $((2 + guilty * 12)) ]
	check "$guilty of 1,000: and with few processes" [ "$(since 'is started')" -le $((3 + guilty * 24)) ]
done

# What happens to a job whose tasks run in halves just now. Nothing of that is on disk but the counts of crashes.
halving() { # it has come to groups
	[ "$(since ' tasks run in a process of their own')" -ge 2 ]
}
running_apart() { # and the tasks of one are begun
	halving && [ "$(ctl show "$id" --json | grep -c '"attempts": *3')" -gt 0 ]
}
begin() {
	mark
	id=$(ctl run crash -d "$@" -p signal=elsewhere -p delay=400ms $(seq 1 30) crash $(seq 31 59))
	check "job $id ($*) comes to halves" wait_for 60 running_apart
}
ends_well() { # ends_well WHAT: only the guilty one has no result
	exits 1 ctl wait "$id" --timeout 120s
	exits 1 ctl results "$id"
	equal "$1: the neighbours have their results" "$(tr '\n' ' ' <"$dir/out")" "$(seq 1 59 | tr '\n' ' ')"
	says "(input 'crash'): quarantined: "
}

begin -m async -j 60
check "cancelled" ctl cancel "$id"
exits 1 ctl wait "$id" --timeout 60s
ctl show "$id" --json | tr -d ' \n' >"$dir/out" # some of it may have been done in the meantime, in a half
equal "cancelled: no task has failed" "$(grep -o '"failed":[0-9]*' "$dir/out" | head -n 1)" '"failed":0'
equal "cancelled: no task runs" "$(grep -o '"running":[0-9]*' "$dir/out" | head -n 1)" '"running":0'

begin --shape 1x10x1
check "killed" ctl kill "$id"
exits 1 ctl wait "$id" --timeout 60s

begin -m async -j 60
check "paused" ctl pause "$id"
check "and resumed" ctl resume "$id"
ends_well "paused and resumed"

begin -m async -j 60
check "with fewer workers" ctl set "$id" workers=3
ends_well "with fewer workers"

begin -m async -j 60
daemon_kill
daemon_start
ends_well "with a daemon killed"

begin -m async -j 60
check "the daemon ends" daemon_stop
daemon_start
ends_well "with a daemon that ended"

# A time limit that none of them keeps ends them one by one, and the crashes count where they come first.
begin -m async -j 60 --task-timeout 30s --timeout 3s
exits 1 ctl wait "$id" --timeout 60s
equal "out of time: nobody is left" "$(ctl show "$id" --json | tr -d ' \n' | grep -o '"running":[0-9]*' | head -n 1)" '"running":0'
finish
