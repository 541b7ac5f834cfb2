#!/usr/bin/env bash
# Many jobs of mixed models, a third of them cancelled, killed or crashing: the others' results are right, and no memory,
# descriptor, thread, process or file is left behind, counted before and after.
# JOBS: how many.
. "$(dirname "$0")/lib.sh"
JOBS=${JOBS:-1000}
BATCH=45
[ -z "${SANITIZER:-}" ] || JOBS=${SANITIZED_JOBS:-270}

write_config "
	defaults = { idle_timeout = \"300ms\"; grace = \"200ms\"; max_crashes = 1; };
	workloads = { $(stanza identity) $(stanza crash) $(stanza hang) };"
export TMPDIR=$dir/tmp
mkdir "$TMPDIR"
daemon_start
shapes=("-m sync" "-m async" "-m thread" "-m thread -j3" "-m pool" "-m process" "--shape 2x2x10" "--shape 2x1x50" "--dedicated -m process"
	"--no-durable -m async" "--no-durable -m pool")

# submit NUMBER: what it is follows from its number; its id into ids[NUMBER].
submit() {
	local i=$1 shape
	read -ra shape <<<"${shapes[i % ${#shapes[@]}]}"
	case $((i % 9)) in
	0) ids[i]=$(ctl run sleeper -d "${shape[@]}" 60s 60s 60s) ;; # cancelled
	3) ids[i]=$(ctl run hang -d "${shape[@]}" 1 hang 2) ;; # killed
	6) ids[i]=$(ctl run crash -d "${shape[@]}" "$i" crash 2) ;;
	*) ids[i]=$(ctl run identity -d "${shape[@]}" "$i" a b c d e f g h "$i.") ;;
	esac
}

# settle NUMBER: wait for its end, and compare.
settle() {
	local i=$1 got
	case $((i % 9)) in
	0 | 3) ctl wait "${ids[i]}" --timeout 60s >/dev/null 2>&1; [ $? -eq 1 ] || echo "job ${ids[i]} did not end as cancelled" ;;
	6)
		ctl wait "${ids[i]}" --timeout 60s >/dev/null 2>&1
		got=$(ctl results "${ids[i]}" 2>"$dir/err" | tr '\n' ' ')
		[ "$got" = "$i 2 " ] || echo "job ${ids[i]}, one of whose tasks crashes: '$got'"
		grep -q quarantined "$dir/err" || echo "job ${ids[i]}: $(cat "$dir/err")"
		;;
	*)
		ctl wait "${ids[i]}" --timeout 60s >/dev/null || echo "job ${ids[i]} failed"
		got=$(ctl results "${ids[i]}" | tr '\n' ' ')
		[ "$got" = "$i a b c d e f g h $i. " ] || echo "job ${ids[i]}: '$got'"
		;;
	esac
}

# run_jobs FROM TO: in batches, each of which runs at once; what is wrong on standard output.
run_jobs() {
	local first i
	ids=()
	for ((first = $1; first <= $2; first += BATCH)); do
		for ((i = first; i < first + BATCH && i <= $2; i++)); do submit "$i"; done
		for ((i = first; i < first + BATCH && i <= $2; i++)); do
			case $((i % 9)) in
			0) ctl -q cancel "${ids[i]}" >/dev/null || echo "cancel of job ${ids[i]}: exit $?" ;;
			3) ctl -q kill "${ids[i]}" >/dev/null || echo "kill of job ${ids[i]}: exit $?" ;;
			esac
		done
		for ((i = first; i < first + BATCH && i <= $2; i++)); do settle "$i"; done
	done
}

no_workers() {
	! pgrep -P "$daemon_pid" >/dev/null
}

# What the daemon holds once its crews have ended: descriptors by kind, threads, children, files.
holdings() {
	wait_for 30 no_workers
	# The store's log grows and shrinks as it likes; its file is there or not.
	(
		cd "/proc/$daemon_pid" || exit
		echo "descriptors:"
		for fd in fd/*; do readlink "$fd" || :; done | sed 's/:\[[0-9]*\]//' | sort | uniq -c
		echo "threads: $(find task -mindepth 1 -maxdepth 1 | wc -l)"
		echo "children: $(pgrep -P "$daemon_pid" | wc -l)"
		echo "mappings of segments: $(grep -c concd-ring maps)"
	)
	(cd "$dir" && find state tmp -mindepth 1 | sort)
}
private_kib() {
	awk '/^Private_Dirty/ { n = $2 } END { print n }' "/proc/$daemon_pid/smaps_rollup"
}

run_jobs 1 99 >"$dir/wrong"
equal "the first 99 jobs are right" "$(cat "$dir/wrong")" ""
holdings >"$dir/before"
before_kib=$(private_kib)
run_jobs 100 $((JOBS + 99)) >"$dir/wrong"
equal "$JOBS jobs are right" "$(cat "$dir/wrong")" ""
holdings >"$dir/after"
after_kib=$(private_kib)
equal "nothing is left behind" "$(diff "$dir/before" "$dir/after")" ""
echo "private memory: $before_kib KiB before, $after_kib KiB after"
if [ -z "${SANITIZER:-}" ]; then # a sanitizer keeps freed memory, and looks for leaks itself
	# Two of eleven are not durable: the daemon keeps such jobs for a while, and 32 MiB of their results.
	check "$JOBS jobs leave no memory behind" [ "$((after_kib - before_kib))" -le $((2 * JOBS)) ]
fi
daemon_stop
equal "concd ends with 0" $? 0
equal "no file is left in the directory for temporary files" "$(ls "$TMPDIR")" ""
finish
