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

# A job that ends while inputs may still come: its client ends as well.
mkfifo "$dir/pipe"
ends_before_its_input() { # STATUS TEXT OPTION...
	local wanted=$1 text=$2
	shift 2
	"$concctl" -s "$sock" run sleeper "$@" -l early -i - <"$dir/pipe" >"$dir/got" 2>"$dir/err" &
	client=$!
	exec 7>"$dir/pipe"
	echo 1ms >&7
	check "$text: a result comes" wait_for 20 printed 1
	"$then"
	check "$text: the client ends" wait_for 20 eval '! kill -0 $client 2>/dev/null'
	exec 7>&-
	wait $client
	equal "$text: exit status" $? "$wanted"
	says "$text"
}
cancel_it() { exits 0 ctl cancel -l early; }
fail_one() { echo wrong >&7; }
then=cancel_it ends_before_its_input 1 "cancelled: 1 of 1 tasks done"
then=fail_one ends_before_its_input 1 "halted: given up when 1 of 2 tasks had failed" --halt now,fail=1
then=: ends_before_its_input 1 "timeout: the job's time limit passed" --timeout 300ms
finish
