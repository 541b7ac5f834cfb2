#!/bin/sh
# The demonstration: what concd does, shown with a daemon of its own on this machine, in half a minute. `make demo` runs
# it. It needs no network beyond 127.0.0.1, changes nothing outside a temporary directory, and stops what it started.
#
# Figures come from `concctl --json`, every result is compared; it exits with 0 only if all were right.
set -u
export LC_ALL=C
: "${top_builddir:=$PWD}"
dir= daemon= server= finished=
bold= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi

models="sync async thread pool process"
latency_ms=50
n_downloads=80 # of each of two addresses
n_long=240 # sums of the job whose daemon is killed
first_long=20000001

# ---- Starting and stopping ----

stop() { # PID: ask it to end, then make it
	[ -n "$1" ] || return 0
	kill -TERM "$1" 2>/dev/null
	tries=0
	while kill -0 "$1" 2>/dev/null && [ $tries -lt 100 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

leave() {
	status=$?
	[ -z "$finished" ] || exit "$status"
	finished=1
	trap '' INT TERM HUP
	trap - EXIT
	stop "$daemon"
	stop "$server"
	if [ "$status" -ne 0 ] && [ "$status" -lt 128 ] && [ -n "$dir" ] && [ -s "$dir/log" ]; then
		echo "The daemon's log ends:" >&2
		tail -n 20 "$dir/log" >&2
	fi
	[ -z "$dir" ] || rm -rf "$dir"
	exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
	printf '\ndemo: %s\n' "$*" >&2
	exit 1
}

# wait_for WHAT COMMAND...: until the command succeeds, for at most 20 s.
wait_for() {
	what=$1 tries=0
	shift
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 400 ] || fail "$what"
		sleep 0.05
	done
}

ctl() {
	"$top_builddir/concctl" -s "$dir/sock" "$@"
}

daemon_answers() {
	kill -0 "$daemon" 2>/dev/null || fail "the daemon did not start"
	ctl -q ping >/dev/null 2>&1
}

start_daemon() {
	"$top_builddir/concd" -c "$dir/concd.conf" </dev/null >>"$dir/log" 2>&1 &
	daemon=$!
	wait_for "the daemon does not answer" daemon_answers
}

server_says_port() {
	kill -0 "$server" 2>/dev/null || fail "the HTTP server did not start"
	port=$(sed -n 's/^port //p' "$dir/port")
	[ -n "$port" ]
}

prepare() {
	for program in concd concctl concd-worker tests/tools/http_server; do
		[ -x "$top_builddir/$program" ] || fail "$top_builddir/$program is missing: run it by 'make demo'"
	done
	dir=$(mktemp -d "${TMPDIR:-/tmp}/concd-demo.XXXXXX") || exit 1
	cat >"$dir/concd.conf" <<-END
		control = { socket = "$dir/sock"; };
		state_dir = "$dir/state";
		plugin_dir = "$top_builddir/plugins/.libs";
		log = { level = "info"; target = "stderr"; };
	END
	"$top_builddir/tests/tools/http_server" --latency-ms "$latency_ms" </dev/null >"$dir/port" &
	server=$!
	wait_for "the HTTP server does not say its port" server_says_port
	start_daemon
}

# ---- Figures ----

title() {
	printf '\n%s%s%s\n\n' "$bold" "$1" "$plain"
}

# member KEY FILE: the value of a key that occurs once in a line of JSON.
member() {
	sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" "$2"
}

table_head() {
	printf '    %-9s%-12s%9s%10s%12s%12s   %s\n' model shape 'wall ms' 'CPU ms' 'speed-up' 'peak MiB' results
	printf '    %s\n' "-----------------------------------------------------------------------"
}

# row MODEL WANTED ARGUMENTS...: run a workload on input lines under a model, compare with the file WANTED (- for the
# sync results, which come first), and print its line of the table.
row() {
	model=$1 wanted=$2
	shift 2
	id=$(ctl run -d -m "$model" "$@") || fail "$model: the job was not accepted"
	ctl --json wait "$id" >"$dir/job.json" || fail "$model: job $id did not succeed: $(ctl results "$id" 2>&1 >/dev/null | head -n 1)"
	ctl results "$id" >"$dir/results" || fail "$model: no results"
	verdict='exact'
	if [ "$wanted" = - ]; then
		wanted=$dir/sync-results verdict='as under sync'
		if [ "$model" = sync ]; then
			cp "$dir/results" "$wanted"
			verdict=complete
		fi
	fi
	cmp -s "$dir/results" "$wanted" || fail "$model: the results are not right: $(diff "$dir/results" "$wanted" | head -n 3)"
	wall_s=$(member wall_s "$dir/job.json")
	[ "$model" != sync ] || sync_s=$wall_s
	echo "$wall_s $(member cpu_s "$dir/job.json") $sync_s $(member peak_rss_bytes "$dir/job.json")" |
		awk -v model="$model" -v shape="$(member shape "$dir/job.json")" -v verdict="$verdict" '{
			peak = $4 + 0 ? sprintf("%.1f", $4 / 1048576) : "-"
			printf "    %-9s%-12s%9.1f%10.1f%11.1fx%12s   %s\n", model, shape, $1 * 1000, $2 * 1000, $3 / $1, peak, verdict
		}'
}

# sum_of_squares N: i*i for i in 0..N-1 by the closed form (N-1) N (2N-1) / 6, which the plugin does not use. The product
# needs more than 64 bits: it is put together from two parts. For N up to 200,000,000.
sum_of_squares() {
	a=$((($1 - 1) * $1 / 2)) b=$((2 * $1 - 1))
	if [ $((b % 3)) -eq 0 ]; then b=$((b / 3)); else a=$((a / 3)); fi
	low=$((a % 1000000000 * b))
	high=$((a / 1000000000 * b + low / 1000000000))
	if [ "$high" -gt 0 ]; then
		printf '%d%09d\n' "$high" $((low % 1000000000))
	else
		echo "$low"
	fi
}

# sums FIRST COUNT: inputs in the file `inputs`, exact results in `wanted`.
sums() {
	n=$1
	while [ "$n" -lt $(($1 + $2)) ]; do
		echo "$n" >&3
		sum_of_squares "$n"
		n=$((n + 1))
	done 3>"$dir/inputs" >"$dir/wanted"
}

# ---- The three parts ----

workers_for() { # MODEL N: how many at once, for the models where that is not what the model is about
	case $1 in
	sync | async) ;;
	*) echo "-j $2" ;;
	esac
}

downloads() {
	title "1. Waiting: $((2 * n_downloads)) downloads, 2 addresses x $n_downloads, each answered after $latency_ms ms"
	cat <<-END
		    The same plugin under every model; not a line of it is changed. One after another takes
		    8 seconds, so be patient with the first row. pool, thread and process have 5 workers.

	END
	i=0
	while [ $i -lt $n_downloads ]; do
		echo "http://127.0.0.1:$port/bytes/2000"
		echo "http://127.0.0.1:$port/bytes/3000"
		i=$((i + 1))
	done >"$dir/urls"
	table_head
	for model in $models; do
		# shellcheck disable=SC2046 # two words or none
		row "$model" - $(workers_for "$model" 5) downloader -i "$dir/urls"
		if [ "$model" = sync ] && [ "$(grep -c '^200 [23]000 ' "$dir/results")" -ne $((2 * n_downloads)) ]; then
			fail "sync: not every download is right: $(head -n 1 "$dir/results")"
		fi
	done
	cat <<-END

	    Waiting needs no processor: an event loop (async) waits for all of them at once, on one thread.
	END
}

computing() {
	processors=$(nproc)
	title "2. Computing: 20 exact sums of squares, 5,000,000 to 5,000,019 numbers each"
	cat <<-END
		    thread, pool and process have a worker for each of the $processors processors here. The plugin's plain
		    loop is used; by itself it would take this processor's vector instructions.

	END
	sums 5000000 20
	table_head
	for model in $models; do
		# shellcheck disable=SC2046 # two words or none
		row "$model" "$dir/wanted" $(workers_for "$model" "$processors") -p simd=scalar squares -i "$dir/inputs"
	done
	cat <<-END

	    Computing needs processors: an event loop on one thread gains nothing, threads and processes do.
	    In C threads compute in parallel; processes are for isolation, memory limits and kill.
	END
}

# Enough is done to make the point, and enough is left.
some_are_done() {
	ctl --json show "$id" >"$dir/job.json" || fail "job $id cannot be shown"
	shown=$(member done "$dir/job.json")
	[ "${shown:-0}" -ge $((n_long / 3)) ]
}

children_of() { # PID, with a space between them
	sed -n "s/^\\([0-9]*\\) (.*) [A-Z] $1 .*/\\1/p" /proc/[0-9]*/stat 2>/dev/null | tr "\n" " "
}

# Results by the process that computed them: how many of the workers in $1 (a space around each), how many of others.
count_by_worker() {
	sed -n 's/.*"type":"task".*"worker":"\([0-9]*\)\..*/\1/p' "$dir/results.json" | awk -v old="$1" '
		{ if (index(old, " " $1 " ")) before++; else after++ }
		END { print before + 0, after + 0 }'
}

kill_daemon() {
	title "3. Trouble: the daemon is killed in the middle of a job"
	sums "$first_long" "$n_long"
	id=$(ctl run -d -m process -j 2 -p simd=scalar -l demo squares -i "$dir/inputs") || fail "the job was not accepted"
	printf "    %-32s %s\n" "concctl run -d squares ..." "job $id: $n_long sums, accepted: it is on disk"
	wait_for "job $id does not get on" some_are_done
	[ "$shown" -lt "$n_long" ] || fail "job $id was done before the daemon could be killed"
	old=" $(children_of "$daemon") "
	killed=$daemon
	kill -KILL "$daemon"
	wait "$daemon" 2>/dev/null
	daemon=
	printf "    %-32s %s\n" "kill -9 $killed" "the daemon is dead; $shown of $n_long were done"
	start_daemon
	ctl --json show "$id" >"$dir/job.json" || fail "the new daemon does not know job $id"
	printf "    %-32s %s\n" "concd" "started again: it knows job $id and goes on with it"
	ctl --json wait "$id" >"$dir/job.json" || fail "job $id did not succeed after the restart"
	ctl --json results "$id" >"$dir/results.json" || fail "job $id has no results"
	ctl results "$id" >"$dir/results" || fail "job $id has no results"
	cmp -s "$dir/results" "$dir/wanted" || fail "the results are not right: $(diff "$dir/results" "$dir/wanted" | head -n 3)"
	printf "    %-32s %s\n" "concctl wait $id" "$(member state "$dir/job.json"): every sum is there once, in order, and exact"
	count_by_worker "$old" >"$dir/counts"
	read -r before after <"$dir/counts"
	[ $((before + after)) -eq "$n_long" ] || fail "$((before + after)) results instead of $n_long"
	new=$(children_of "$daemon")
	[ "$before" -gt 0 ] && [ "$after" -gt 0 ] || fail "$before results are from before the kill, $after from after it"
	cat <<-END

	    $before results were computed before the kill and kept; the $after that were missing ran after it.
	    What is recorded as done is not run again, and what was accepted is not lost.
	END
}

none_alive() { # PID...; one that has ended and that nobody has asked about yet does not count
	for pid; do
		if [ -e "/proc/$pid/stat" ] && ! grep -q ") Z " "/proc/$pid/stat"; then return 1; fi
	done 2>/dev/null
}

say_good_bye() {
	stop_daemon=$daemon
	ctl shutdown >/dev/null || fail "the daemon does not shut down"
	wait "$stop_daemon" || fail "the daemon ended with status $?"
	wait_for "a worker process is still there: $old$new" none_alive $old $new
	daemon=
	cat <<-END

		${bold}All results were right.${plain} Everything that was started here has been stopped. Where to go next:

		    make check                       runs the tests
		    ./concd &                        a daemon of your own; then, for example:
		    ./concctl run squares 10 100     three words and you have results
		    ./concctl help                   all commands
		    README.md                        installation, first steps, the models
		    include/concd/plugin.h           how to write a workload; plugins/template is one

	END
}

prepare
printf '%sconcd: write the work once, run it under any concurrency model%s\n' "$bold" "$plain"
printf '\nA private daemon (pid %d) and a web server on 127.0.0.1 run for this demonstration.\n' "$daemon"
downloads
computing
kill_daemon
say_good_bye
