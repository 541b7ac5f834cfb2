#!/usr/bin/env bash
# Inputs are read lazily from end to end: a pipe of millions of lines goes through concctl, concd and the workers in
# bounded memory, and results stream while the inputs still come.
# LINES: how many (10000000 for the whole).
. "$(dirname "$0")/lib.sh"
LINES=${LINES:-400000}
[ -z "${SANITIZER:-}" ] || LINES=$((LINES / 10))

# Peak memory of each in KiB, whatever LINES is; ten million inputs, results and records would be 600,000. Of the daemon's
# up to 64 MiB are outcomes that wait for the disk, and as much are outcomes of jobs that are not on disk.
CTL_KIB=10240 DAEMON_KIB=196608 WORKER_KIB=49152
[ "$LINES" -gt 1000000 ] || DAEMON_KIB=98304

write_config "workloads = { $(stanza noop) };"
daemon_start

peak() { # peak PID: KiB
	sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null
}
below() { # below WHAT KIB BOUND: under a sanitizer memory is the sanitizer's
	echo "$1: peak $2 KiB"
	[ -n "${SANITIZER:-}" ] || check "$1 stays below $3 KiB" [ "$2" -lt "$3" ]
}
printed() { [ "$(wc -l <"$dir/got")" -ge "$1" ]; }

mkfifo "$dir/go"
for options in "-m pool" "-m async --unordered" "-m process --no-durable"; do
	: >"$dir/got"
	# The writer keeps the last line back until half of the results have been printed: nobody waits for all inputs.
	{
		seq 1 $((LINES - 1))
		read -r _ <"$dir/go"
		echo $LINES
	} | "$concctl" -s "$sock" run noop -q $options -i - >"$dir/got" 2>"$dir/err" &
	client=$!
	check "$options: half of the results are printed before the last input is given" wait_for 300 printed $((LINES / 2))
	pid=$(pgrep -P $$ -x concctl)
	below "$options: concctl" "$(peak "$pid")" $CTL_KIB
	echo >"$dir/go"
	wait $client
	equal "$options: exit status" $? 0
	case $options in
	*unordered*) check "$options: every result" cmp -s <(sort -n "$dir/got") <(seq 1 $LINES) ;;
	*) check "$options: every result, in order" cmp -s "$dir/got" <(seq 1 $LINES) ;;
	esac
	below "$options: concd" "$(peak "$daemon_pid")" $DAEMON_KIB
	for pid in $(pgrep -P "$daemon_pid" -x concd-worker); do
		below "$options: worker $pid" "$(peak "$pid")" $WORKER_KIB
	done
done
finish
