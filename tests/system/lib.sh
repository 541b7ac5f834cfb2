# Sourced by the system tests: a private daemon in a directory of its own, and checks that say what they saw.
#
# The caller runs with top_srcdir and top_builddir set (make check does it). Everything lives below $dir and ends with
# the script. Nothing here sleeps to wait: wait_for() polls a condition under a deadline.
set -u
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${top_builddir:=$PWD}"
top_srcdir=$(cd "$top_srcdir" && pwd)
top_builddir=$(cd "$top_builddir" && pwd)
concd=$top_builddir/concd
concctl=$top_builddir/concctl
plugins=$top_builddir/plugins/.libs
test_plugins=$top_builddir/tests/plugins/.libs
# What every promise is run under: the five models, and four hybrid shapes.
all_models="sync async thread pool process"
hybrid_shapes="2x1x8 1x2x3 2x2x2 3x2x1"
# What takes longer under a sanitizer or on a busy machine, and how much more of it a test needs to be met by what happens meanwhile.
slowness=1
read -r load _ </proc/loadavg
if [ -n "${SANITIZER:-}" ] || [ "${load%.*}" -ge $((2 * $(nproc))) ]; then
	slowness=3
fi

# A worker process that gives up leaves its threads to the kernel, on purpose: they may be anywhere in the plugin.
export TSAN_OPTIONS="${TSAN_OPTIONS:-} report_thread_leaks=0"
# Libraries without the sanitizer read what was freed unseen: what they find there then ends them.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}max_free_fill_size=4096:free_fill_byte=219"

dir=$(mktemp -d "${TMPDIR:-/tmp}/concd-test.XXXXXX") || exit 99
sock=$dir/sock
failures=0
checks=0
daemon_pid=
beside_pids=
beside_dirs=

cleanup() {
	status=$?
	trap - EXIT
	# shellcheck disable=SC2086 # words
	[ -z "$beside_pids" ] || kill $beside_pids 2>/dev/null
	if [ -n "$daemon_pid" ]; then
		kill -KILL "$daemon_pid" 2>/dev/null
		wait "$daemon_pid" 2>/dev/null
	fi
	if [ $status -ne 0 ] && [ $status -ne 77 ]; then
		echo "--- the daemon's log"
		tail -n 60 "$dir/log" 2>/dev/null
	fi
	rm -rf "$dir"
	exit $status
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# write_config [TEXT]: a configuration with our own paths; TEXT adds workloads and settings.
write_config() {
	cat >"$dir/concd.conf" <<-CONF
		control = { socket = "$sock"; };
		state_dir = "$dir/state";
		plugin_dir = "$plugins";
		log = { level = "info"; target = "stderr"; };
		${1:-}
	CONF
}

# A stanza for a test plugin: stanza NAME [SETTINGS] [PLUGIN]
stanza() {
	printf '%s = { plugin = "%s/%s.so"; %s };\n' "$1" "$test_plugins" "${3:-$1}" "${2:-}"
}

ctl() {
	"$concctl" -s "$sock" "$@"
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || return 1
		read -r -t 0.02 _ <>"$dir/never" || :
	done
}
mkfifo "$dir/never"

# process_of PID: sets $process to PID.START, its number and the tick in which it started: numbers are given again within minutes here,
# the two together are not. No START: it is gone.
process_of() {
	local stat
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || stat=
	read -ra stat <<<"${stat##*) }"
	process=$1.${stat[19]:-}
}

# daemon_is PID: the daemon that was started.
daemon_is() {
	daemon_pid=$1
	process_of "$1"
	daemon_process=$process
}

# daemon_start [LAUNCHER...]: start and wait until the socket answers.
daemon_start() {
	[ -f "$dir/concd.conf" ] || write_config
	"$@" "$concd" -c "$dir/concd.conf" >>"$dir/log" 2>&1 </dev/null &
	daemon_is $!
	if ! wait_for 20 ctl ping; then
		echo "FAIL: the daemon does not answer"
		exit 1
	fi
}

daemon_kill() {
	kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	daemon_pid=
}

daemon_stop() {
	ctl shutdown >/dev/null || kill -TERM "$daemon_pid"
	wait "$daemon_pid"
	local status=$?
	daemon_pid=
	return $status
}

# daemon_start_dying K:WHEN ARMED CALLS: start one that ends by SIGKILL at its k-th call (kill_shim.c). Not under a
# sanitizer, whose runtime wants to come first as well: then $shim_why says so.
shim=$top_builddir/tests/system/.libs/kill_shim.so
shim_why=${SANITIZER:+the shim and the runtime of the sanitizer both want to come first}
daemon_start_dying() {
	: >"$dir/shim"
	LD_PRELOAD=$shim CONCD_KILL_AT=$1 CONCD_KILL_ARMED=$2 CONCD_KILL_CALLS=$3 CONCD_KILL_LOG=$dir/shim \
		"$concd" -c "$dir/concd.conf" >>"$dir/log" 2>&1 </dev/null &
	daemon_is $!
}

# daemon_has_died: it has ended by itself (not by daemon_kill).
daemon_has_died() {
	process_of "$daemon_pid"
	[ "$process" != "$daemon_process" ]
}

daemon_reap() {
	wait "$daemon_pid" 2>/dev/null
	daemon_pid=
}

# in_store STATEMENT...: look into the store of the daemon's state directory, or damage it.
in_store() {
	"$top_builddir/tests/tools/sql" "$dir/state/concd.db" "$@"
}

fail() {
	echo "FAIL: $*"
	failures=$((failures + 1))
}

# check WHAT COMMAND...: the command succeeds.
check() {
	local what=$1
	shift
	checks=$((checks + 1))
	if "$@"; then echo "ok: $what"; else fail "$what"; fi
}

# equal WHAT GOT WANTED
equal() {
	checks=$((checks + 1))
	if [ "$2" = "$3" ]; then echo "ok: $1"; else fail "$1: got '$2', wanted '$3'"; fi
}

# exits WANTED COMMAND...: its exit status; output in $dir/out and $dir/err.
exits() {
	local wanted=$1 got
	shift
	checks=$((checks + 1))
	"$@" >"$dir/out" 2>"$dir/err" </dev/null
	got=$?
	if [ $got -eq "$wanted" ]; then
		echo "ok: exit $wanted: ${*##*/}"
	else
		fail "exit $got instead of $wanted: $*: $(tail -n 3 "$dir/err")"
	fi
}

# says TEXT [FILE]: the last command's standard error (or FILE) contains TEXT.
says() {
	checks=$((checks + 1))
	if grep -qF -- "$1" "${2:-$dir/err}"; then
		echo "ok: says '$1'"
	else
		fail "does not say '$1': $(head -c 400 "${2:-$dir/err}")"
	fi
}

# every_shape COMMAND...: COMMAND NAME OPTIONS... for each model and hybrid shape, OPTIONS being how `concctl run` is told.
every_shape() {
	local point
	for point in $all_models; do "$@" "$point" -m "$point"; done
	for point in $hybrid_shapes; do "$@" "$point" --shape "$point"; done
}

# started NAME JOB [DIRECTORY]: one of a set of jobs, of each shape, say. each_started COMMAND...: once for each, with these in
# $name, $id and $where. forget_started: on to the next set.
started_jobs=
started() {
	started_jobs="$started_jobs$1 $2 ${3:--}
"
}
each_started() {
	local name id where
	while read -r name id where; do "$@"; done < <(printf %s "$started_jobs")
}
forget_started() {
	started_jobs=
}

# beside AT_ONCE COMMAND...: run it in a subshell beside this script, at most that many at once. It has a $dir of its own (the
# log, the state and the configuration in it are the daemon's); gather() waits for all, prints and counts what they checked.
beside() {
	local at_once=$1 part
	shift
	part=$(mktemp -d "$dir/beside.XXXXXX")
	mkfifo "$part/never"
	ln -s "$dir/log" "$dir/state" "$dir/concd.conf" "$part"
	beside_dirs="$beside_dirs $part"
	# shellcheck disable=SC2086 # words
	while [ "$(wc -w <<<"$beside_pids")" -ge "$at_once" ]; do
		wait -n -p ended $beside_pids
		beside_pids=$(tr ' ' '\n' <<<"$beside_pids" | grep -vx "$ended" | tr '\n' ' ')
	done
	(
		dir=$part failures=0 checks=0
		"$@"
		echo "$checks $failures" >"$dir/checked"
	) >"$part/text" 2>&1 &
	beside_pids="$beside_pids $!"
}

gather() {
	local part c f
	# shellcheck disable=SC2086 # words
	wait $beside_pids
	beside_pids=
	for part in $beside_dirs; do
		cat "$part/text"
		if read -r c f <"$part/checked"; then
			checks=$((checks + c)) failures=$((failures + f))
		else
			fail "it ended before it had checked all: $(head -n 1 "$part/text")"
		fi
	done 2>/dev/null
	beside_dirs=
}

# every_shape_beside AT_ONCE COMMAND...: every_shape(), side by side.
every_shape_beside() {
	every_shape beside "$@"
	gather
}

# finish: the verdict. What a sanitizer said of the daemon or of a worker stands in the daemon's log; plugins that are
# made to crash may be named there.
finish() {
	local reports
	reports=$(grep -nE 'Sanitizer|runtime error' "$dir/log" 2>/dev/null | grep -vE '^[0-9]+:(crash|deep|offload|scribble|well|looper)\[')
	if [ -n "$reports" ]; then
		fail "a sanitizer complained: $reports"
	fi
	echo "$checks checks, $failures failed"
	[ "$failures" -eq 0 ]
	exit
}

# field NAME JOB: what `show` says under this key, a number or a text.
field() {
	ctl show "$2" --json | tr -d ' \n' | grep -oE "\"$1\":(\"[^\"]*\"|-?[0-9]+)" | head -n 1 | cut -d: -f2 | tr -d '"'
}
# field_is NAME JOB VALUE
field_is() {
	[ "$(field "$1" "$2")" = "$3" ]
}

# state_count STATE: how many jobs `status` counts in it.
state_count() {
	ctl status --json | tr -d ' \n' | grep -oE "\"$1\":[0-9]+" | head -n 1 | cut -d: -f2
}
