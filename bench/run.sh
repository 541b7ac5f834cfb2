#!/bin/sh
# Benchmarks: a private daemon against yardsticks measured in the same rounds, because times on shared machines drift.
#
#	bench/run.sh [CASE...]		CASE: a case or the beginning of its name; without one: all
#
# ROUNDS (5) rounds after one to warm up, in which results are compared as well. A ratio is the median of the rounds'
# ratios; other figures are medians. BENCH_DIR (/var/tmp) is where the daemon keeps its state: a real disk, or the
# durable figures mean nothing. `make bench` sets top_srcdir and top_builddir; by hand, start it in the build directory.
set -u
export LC_ALL=C
: "${top_builddir:=$PWD}" "${top_srcdir:=$(dirname "$0")/..}" "${ROUNDS:=5}" "${BENCH_DIR:=/var/tmp}"
bench=$top_builddir/bench
dir= daemon= server= server_pid= port= ended=
# shellcheck source=bench/peers.sh
. "$top_srcdir/bench/peers.sh"

# name, yardstick (- for none), goal (- for none), unit. With a yardstick the goal is a ratio, without one it is in the
# unit. Those in peers.sh name the program that they need as well.
# The goals are those of the next milestone; here they are for comparison.
cases() {
	cat <<-'END'
		noop-pool              pool-noop        0.35  ns/task
		noop-process           pool-noop        0.35  ns/task
		noop-async             pool-noop        0.45  ns/task
		noop-durable-pool      pool-noop        0.6   ns/task
		noop-durable-process   pool-noop        0.6   ns/task
		noop-durable-async     pool-noop        0.6   ns/task
		noop-json-pool         pool-noop        1.0   ns/task
		noop-json-process      pool-noop        1.0   ns/task
		noop-json-async        pool-noop        1.0   ns/task
		work10us-pool          pool-work        1.05  ns/task
		work10us-process       pool-work        1.05  ns/task
		round-trip             pool-trip        6     us
		round-trip-durable     fdatasync        5     us
		accept-one             fdatasync-loop   2.5   us/job
		accept-64              accept-one       0.1   us/job
		downloads-160          epoll-160        1.25  ms
		downloads-10k-keep     epoll-10k-keep   2.7   ms
		downloads-10k-at-once  epoll-10k        1.5   ms
		memory-10k-at-once     -                25    KiB/request
		sleepers-10k           -                2000  ms
		sleepers-30k           -                4000  ms
		sums-pool              scalar           0.16  ms
		sums-process           scalar           0.16  ms
		sum-divided-pool       scalar-2         0.25  ms
		sum-divided-process    scalar-2         0.25  ms
		ping                   ping-static      5     ms
		control-ping           -                20    ms,p99
		control-list           -                20    ms,p99
		control-cancel-queued  -                20    ms,p99
		control-cancel-running -                20    ms,p99
		start-up               -                10    ms
		idle-memory            -                4096  KiB
	END
}

say() {
	echo "bench: $*" >&2
}

# ---- What runs ----

daemon_running() {
	[ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null
}

# Ask whatever still runs to end, then make it.
stop() {
	[ -n "$1" ] || return 0
	kill -TERM "$1" 2>/dev/null
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.25
	done
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

finish() {
	status=$?
	[ -z "$ended" ] || exit "$status"
	ended=1
	trap - EXIT
	stop "$daemon"
	stop "$server"
	stop "$server_pid"
	[ -z "$dir" ] || rm -rf "$dir"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

write_config() { # SOCKET STATE
	cat <<-END
		control = { socket = "$1"; };
		state_dir = "$2";
		plugin_dir = "$top_builddir/plugins/.libs";
		log = { level = "warning"; target = "stderr"; };
		defaults = { idle_timeout = "1h"; };
		workloads = {
			noop = { plugin = "$top_builddir/tests/plugins/.libs/noop.so"; };
			spin = { plugin = "$top_builddir/tests/plugins/.libs/spin.so"; };
		};
	END
}

start_daemon() {
	"$top_builddir/concd" -c "$dir/concd.conf" </dev/null >>"$dir/log" 2>&1 &
	daemon=$!
	tries=0
	until ctl -q ping >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ $tries -gt 200 ] || ! daemon_running; then
			say "the daemon does not answer; its log ends:"
			tail -n 20 "$dir/log" >&2
			exit 1
		fi
		sleep 0.05
	done
}

start_server() {
	"$top_builddir/tests/tools/http_server" </dev/null >"$dir/port" &
	server=$!
	tries=0
	until port=$(sed -n 's/^port //p' "$dir/port") && [ -n "$port" ]; do
		tries=$((tries + 1))
		[ $tries -le 200 ] || { say "the HTTP server does not start"; exit 1; }
		sleep 0.05
	done
}

prepare() {
	for program in concd concctl concd-worker tests/tools/http_server bench/pool bench/queue bench/measure; do
		[ -x "$top_builddir/$program" ] || { say "$top_builddir/$program is missing: use make bench"; exit 1; }
	done
	[ -z "${SANITIZER:-}" ] || { say "a build with sanitizers cannot be measured"; exit 1; }
	dir=$(mktemp -d "$BENCH_DIR/concd-bench.XXXXXX") || exit 1
	mkdir "$dir/values" "$dir/yard"
	[ "$(stat -f -c %T "$dir")" != tmpfs ] || say "$dir is a tmpfs: set BENCH_DIR, durable figures mean nothing here"
	write_config "$dir/sock" "$dir/state" >"$dir/concd.conf"
	write_config "$dir/sock2" "$dir/state2" >"$dir/concd2.conf"
	seq 1000000 >"$dir/1m"
	yes 10 | head -n 100000 >"$dir/10us"
	yes 1s | head -n 30000 >"$dir/30k"
	head -n 10000 "$dir/30k" >"$dir/10k"
	seq 5000000 5000019 >"$dir/sums"
	echo 10000000000 >"$dir/sum"
	start_server
	yes "http://127.0.0.1:$port/bytes/1024?ms=50" | head -n 160 >"$dir/urls-160"
	yes "http://127.0.0.1:$port/bytes/1024" | head -n 10000 >"$dir/urls-keep"
	yes "http://127.0.0.1:$port/bytes/1024?ms=1000" | head -n 10000 >"$dir/urls-10k"
	start_daemon
}

ctl() {
	"$top_builddir/concctl" -s "$dir/sock" "$@"
}

# ---- Measuring: each prints one number ----

# run WANTED ARGUMENTS...: wall ms of `concctl run`. In the first round its output is kept and has to be WANTED's.
run() {
	wanted=$1
	shift
	output=/dev/null
	[ "$round" -gt 0 ] || output=$dir/output
	"$bench/measure" -o "$output" "$top_builddir/concctl" -s "$dir/sock" run "$@" >"$dir/time" || return 1
	if [ "$round" -eq 0 ] && [ "$wanted" != - ] && ! cmp -s "$wanted" "$dir/output"; then
		say "wrong results: concctl run $*"
		return 1
	fi
	read -r ms _ <"$dir/time"
	echo "$ms"
}

# per_task N: milliseconds of N tasks on standard input, nanoseconds of one on standard output.
per_task() {
	awk -v n="$1" '{ printf "%.1f\n", $1 * 1e6 / n } END { exit NR == 0 }'
}

# downloads N URLS ARGUMENTS...: wall ms; in the first round every line has to say 200 and 1,024 bytes.
downloads() {
	n=$1 urls=$2
	shift 2
	ms=$(run - downloader -q --no-durable -i "$dir/$urls" "$@") || return 1
	if [ "$round" -eq 0 ] && [ "$(grep -c '^200 1024 ' "$dir/output")" -ne "$n" ]; then
		say "not every download of $urls was right: $(sort "$dir/output" | uniq -c | sort -rn | head -n 2)"
		return 1
	fi
	echo "$ms"
}

# The kernel does not use a port again whose connection has ended less than a second ago, and searches among them for one that
# it may use: whoever opens 10,000 connections would pay for those of the one before.
rest_ports() {
	sleep 1.2
}

yardstick() {
	case $1 in
	pool-noop) # it is unsteady: the median of five
		for _ in 1 2 3 4 5; do "$bench/pool" 1000000 2; done >"$dir/pool" && median 1 "$dir/pool" ;;
	pool-work) "$bench/pool" -w 10 100000 2 ;;
	pool-trip) "$bench/pool" -r 10000 | cut -d' ' -f1 ;;
	fdatasync) "$bench/fdatasync" "$dir/fdatasync" 2000 | cut -d' ' -f1 ;;
	fdatasync-loop) "$bench/fdatasync" "$dir/fdatasync" 2000 | cut -d' ' -f3 ;; # of many in a row, as accept-one is
	accept-one) accept_jobs 2000 1 ;;
	epoll-160) "$bench/epoll_client" "$port" '/bytes/1024?ms=50' 160 160 ;;
	epoll-10k-keep) "$bench/epoll_client" -k "$port" /bytes/1024 10000 64 ;;
	epoll-10k) rest_ports && "$bench/epoll_client" "$port" '/bytes/1024?ms=1000' 10000 10000 ;;
	scalar)
		# shellcheck disable=SC2046 # a word for each number
		"$bench/squares_scalar" $(cat "$dir/sums") 2>&1 >"$dir/sums-wanted"
		;;
	scalar-2) "$bench/squares_scalar" -t 2 10000000000 2>&1 >"$dir/sum-wanted" ;;
	ping-static) "$bench/measure" -n 50 "$bench/ping_static" "$dir/sock" | cut -d' ' -f1 ;;
	esac
}

# Peak memory of a crew that did nothing else, over the requests it had at once.
memory_at_once() {
	ctl --json run downloader -m async -j 10000 --dedicated --no-durable -i "$dir/urls-10k" >"$dir/json" || return 1
	tail -n 1 "$dir/json" | sed -n 's/.*"peak_rss_bytes":\([0-9][0-9]*\).*/\1/p' |
		awk '{ printf "%.2f\n", $1 / 1024 / 10000 } END { exit NR == 0 }'
}

# accept_jobs N CLIENTS: microseconds a job. None of them runs, and none is left; the store puts its room in order once it has
# been idle for 100 ms, which is not to be measured with what comes next.
accept_jobs() {
	ctl -q pause -w noop >/dev/null || return 1
	"$bench/accept" "$dir/sock" "$1" "$2"
	status=$?
	ctl -q cancel -w noop >/dev/null
	ctl -q clean -w noop >/dev/null
	ctl -q resume -w noop >/dev/null || return 1
	sleep 0.5
	return $status
}

# control FIELD: milliseconds to an answer, 99th percentile, while every model keeps the processors busy. One measurement
# serves a round.
control() {
	[ -s "$dir/control.$round" ] || saturated "$bench/control_latency" "$dir/sock" 300 >"$dir/control.$round" || return 1
	cut -d' ' -f"$1" "$dir/control.$round"
}

# saturated COMMAND...: while a job of each model uses all the processor time it gets.
saturated() {
	busy=
	for model in sync async thread pool process; do
		busy="$busy $(yes 20000 | head -n 100000 | ctl run spin -d -m "$model" --no-durable -i -)" || return 1
	done
	"$@"
	status=$?
	for job in $busy; do ctl -q cancel "$job" >/dev/null || status=1; done
	return $status
}

start_up() { # FIELD
	"$bench/start_up" -n 5 "$dir/sock2" "$top_builddir/concd" -c "$dir/concd2.conf" 2>>"$dir/log" >"$dir/start" || return 1
	cut -d' ' -f"$1" "$dir/start"
}

measure_case() {
	model=${1##*-}
	case $1 in
	noop-durable-*) run "$dir/1m" noop -q -m "$model" -i "$dir/1m" | per_task 1000000 ;;
	noop-json-*) run - --json noop -q -m "$model" --no-durable -i "$dir/1m" | per_task 1000000 ;;
	noop-*) run "$dir/1m" noop -q -m "$model" --no-durable -i "$dir/1m" | per_task 1000000 ;;
	work10us-*) run "$dir/10us" spin -q -m "$model" --no-durable -i "$dir/10us" | per_task 100000 ;;
	round-trip) "$bench/round_trip" -u "$dir/sock" 5000 | cut -d' ' -f1 ;;
	round-trip-durable) "$bench/round_trip" "$dir/sock" 2000 | cut -d' ' -f1 ;;
	accept-one) accept_jobs 2000 1 ;;
	accept-64) accept_jobs 20000 64 ;;
	downloads-160) downloads 160 urls-160 -m async -j 160 ;;
	downloads-10k-keep) downloads 10000 urls-keep -m async -j 64 ;;
	downloads-10k-at-once) rest_ports && downloads 10000 urls-10k -m async -j 10000 ;;
	memory-10k-at-once) memory_at_once ;;
	sleepers-10k) run "$dir/10k" sleeper -q -m async -j 10000 --no-durable -i "$dir/10k" ;;
	sleepers-30k) run "$dir/30k" sleeper -q --shape 1x1x30000 --no-durable -i "$dir/30k" ;;
	sum-divided-*) run "$dir/sum-wanted" squares -q -m "$model" -j 2 --no-durable -i "$dir/sum" ;;
	sums-*) run "$dir/sums-wanted" squares -q -m "$model" --no-durable -i "$dir/sums" ;;
	ping) "$bench/measure" -n 50 "$top_builddir/concctl" -s "$dir/sock" ping | cut -d' ' -f1 ;;
	control-ping) control 1 ;;
	control-list) control 2 ;;
	control-cancel-queued) control 3 ;;
	control-cancel-running) control 4 ;;
	start-up) start_up 1 ;;
	idle-memory) start_up 2 ;;
	peer-*) peer_case "$1" ;;
	esac
}

# ---- Rounds and table ----

fail_case() {
	say "round $round: $1 failed"
	echo "$1" >>"$dir/failed"
	daemon_running && ctl -q ping >/dev/null 2>&1 && return
	say "the daemon is gone or does not answer; its log ends:"
	tail -n 20 "$dir/log" >&2
	stop "$daemon"
	start_daemon
}

is_number() {
	case $1 in
	'' | *[!0-9.]*) return 1 ;;
	esac
}

one_case() { # NAME YARDSTICK NEEDS
	[ -z "$3" ] || peer_installed "$3" || return 0
	yard=-
	if [ "$2" != - ]; then
		# One measurement of a yardstick serves a round.
		[ -s "$dir/yard/$2.$round" ] || yardstick "$2" >"$dir/yard/$2.$round" 2>>"$dir/log"
		yard=$(cat "$dir/yard/$2.$round")
		is_number "$yard" || { say "the yardstick $2 failed"; fail_case "$1"; return; }
	fi
	value=$(measure_case "$1") && is_number "$value" || { fail_case "$1"; return; }
	[ "$round" -eq 0 ] || echo "$value $yard" >>"$dir/values/$1"
}

# median N FILE: of column N; for column r, of the ratios of the first two.
median() {
	awk -v column="$1" '{ print column == "r" ? $1 / $2 : $column }' "$2" | sort -g |
		awk '{ v[NR] = $1 } END { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; printf m < 1 ? "%.3f\n" : m < 10 ? "%.2f\n" : m < 1000 ? "%.1f\n" : "%.0f\n", m }'
}

table() {
	printf '\n%-22s %12s %-12s %-15s %11s %8s %7s\n' case figure unit yardstick 'its figure' ratio goal
	while read -r name yard goal unit needs; do
		file=$dir/values/$name
		if [ -n "$needs" ] && ! peer_installed "$needs"; then
			printf '%-22s %12s %s\n' "$name" - "not installed: apt-get install ${needs#*:}"
			continue
		fi
		[ -s "$file" ] || { printf '%-22s %12s\n' "$name" failed; continue; }
		figure=$(median 1 "$file")
		if [ "$yard" = - ]; then
			yard_figure='' ratio='' compared=$figure yard=''
		else
			yard_figure=$(median 2 "$file")
			ratio=$(median r "$file")
			compared=$ratio
		fi
		verdict=$(echo "$compared $goal" | awk '$2 == "-" { print "a peer"; exit } { print $1 <= $2 ? "met" : $1 <= 3 * $2 ? "missed" : "over 3 x the goal" }')
		printf '%-22s %12s %-12s %-15s %11s %8s %7s  %s\n' "$name" "$figure" "$unit" "$yard" "$yard_figure" \
			"$ratio" "$goal" "$verdict"
	done <"$dir/selected"
}

wanted() { # NAME PATTERN...
	name=$1
	shift
	[ $# -gt 0 ] || return 0
	for pattern; do
		case $name in
		"$pattern"*) return 0 ;;
		esac
	done
	return 1
}

main() {
	selected=$({ cases; peer_cases; } | while read -r name rest; do
		if wanted "$name" "$@"; then echo "$name $rest"; fi
	done)
	if [ -z "$selected" ]; then
		say "no such case: $*; there are: $({ cases; peer_cases; } | awk '{ printf "%s ", $1 }')"
		exit 2
	fi
	prepare
	echo "$selected" >"$dir/selected"
	say "$(wc -l <"$dir/selected") cases, $ROUNDS rounds after one to warm up, $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg)"
	round=0
	while [ "$round" -le "$ROUNDS" ]; do
		say "round $round"
		while read -r name yard _ _ needs <&3; do
			one_case "$name" "$yard" "$needs"
		done 3<"$dir/selected"
		round=$((round + 1))
	done
	table
	if [ -s "$dir/failed" ]; then
		echo
		echo "failed: $(sort "$dir/failed" | uniq -c | awk '{ printf "%s (%s times) ", $2, $1 }')"
		exit 1
	fi
}

main "$@"
