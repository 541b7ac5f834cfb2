#!/usr/bin/env bash
# Whose turn it is: priorities, also changed while jobs wait, run, or after a kill of the daemon; limits on what runs at
# once and on what begins in a second, under every model and four hybrid shapes.
. "$(dirname "$0")/lib.sh"

# slow NAMES...: a stanza each
slow() {
	local name
	for name; do stanza "slow_$name" 'rate = "20/s";' exec_log; done
}
configure() {
	write_config "workloads = { $(stanza exec_log) $(stanza low 'priority = -7;' exec_log)
		$(stanza few 'max_running = 3;' exec_log) $(slow $all_models $hybrid_shapes) }; $1"
}
configure ""
daemon_start
mkdir "$dir/exec"

# field KEY JOB: a member of the job's document
field() {
	ctl show "$2" --json | tr -d ' \n' | grep -oE "\"$1\":(\"[^\"]*\"|-?[0-9]+)" | head -n 1 | cut -d: -f2 | tr -d '"'
}
field_is() {
	[ "$(field "$1" "$2")" = "$3" ]
}
waits_because() {
	ctl show "$1" | grep -qF -- "$2"
}
# submit NAME WORKLOAD OPTIONS...: a detached job whose task shows in a directory of its own when it ran.
submit() {
	mkdir -p "$dir/exec/$1"
	ctl run "$2" -d -p dir="$dir/exec/$1" -p sleep=true "${@:3}" "$1"
}
# The names in the order in which they began: their first writes made the directories' files.
ran() {
	(cd "$dir/exec" && ls -dtr */ | tr -d / | tr '\n' ' ')
}

# The first job holds all workers; what comes behind it runs by priority, equal ones in the order they came.
priorities() {
	local name=$1 first a b c d n=1
	shift
	case $name in
	thread) return ;; # has workers of its own for each job
	async) set -- -m async -j 3 --shape 1x1x3 && n=3 ;;
	pool) set -- -m pool -j 2 --shape 1x2x1 && n=2 ;;
	process) set -- -m process -j 2 --shape 2x1x1 && n=2 ;;
	[0-9]*) n=$((${name//x/*})) ;;
	esac
	rm -rf "$dir/exec/"*
	first=$(submit hold exec_log "$@" -p us=60000000 $(seq 2 $n))
	check "$name: the first one runs" wait_for 20 field_is running "$first" $n
	a=$(submit a exec_log "$@" -p us=30000 $(seq 2 $n))
	b=$(submit b exec_log "$@" -p us=30000 --priority 5 $(seq 2 $n))
	c=$(submit c exec_log "$@" -p us=30000 --priority 10 $(seq 2 $n))
	d=$(submit d exec_log "$@" -p us=30000 --priority -5 $(seq 2 $n))
	check "$name: it says why it waits" waits_because "$a" "behind 2 jobs of higher priority"
	equal "$name: its priority is shown" "$(field priority "$c")" 10
	exits 0 ctl set "$d" priority=20
	ctl cancel "$first" >/dev/null
	exits 0 ctl wait "$a" "$b" "$c" "$d" --timeout 30s
	equal "$name: they began by priority" "$(ran)" "hold d c b a "
	ended=$a
}
every_shape priorities

# The stanza's, and the limits of it.
id=$(ctl run low -d -p dir="$dir/exec" x)
equal "the stanza's priority" "$(field priority "$id")" -7
exits 2 ctl run exec_log --priority 101 x
says "from -100 to 100"
exits 2 ctl run exec_log --priority high x
id=$(submit hold exec_log -p us=60000000)
exits 2 ctl set "$id" priority=1000
says "from -100 to 100"
exits 3 ctl set "$ended" priority=1

# It survives the daemon.
exits 0 ctl set "$id" priority=-42
daemon_kill
configure "limits = { max_running = 5; };"
daemon_start
equal "the priority is that of before the kill" "$(field priority "$id")" -42
check "show says it" waits_because "$id" "-42"
exits 0 ctl kill "$id"

running() {
	local n=0 id
	for id; do n=$((n + $(field running "$id"))); done
	echo $n
}
running_is() {
	[ "$(running "${@:2}")" = "$1" ]
}
# No more than three of one workload run at once, whatever its jobs are, and five in all.
few() {
	local name=$1 a b c
	shift
	a=$(submit "few-a-$name" few "$@" -p us=60000000 2 3 4)
	b=$(submit "few-b-$name" few -m async -p us=60000000 2 3 4)
	check "$name: as many run as may" wait_for 20 running_is 3 $a $b
	c=$(submit "few-c-$name" few --shape 1x3x1 -p us=60000000)
	check "$name: it says why it waits" wait_for 20 waits_because "$c" "3 of 3 tasks of workload 'few' are running (max_running)"
	check "$name: as many run as may, still" running_is 3 $a $b $c
	ctl kill $a $b >/dev/null
	check "$name: who waited runs" wait_for 20 running_is 1 $c
	ctl kill $c >/dev/null
}
every_shape few
a=$(submit all-a exec_log -m async -p us=60000000 $(seq 2 9))
check "five run in all" wait_for 20 running_is 5 $a
b=$(submit all-b few -m pool -p us=60000000)
check "it says why it waits" wait_for 20 waits_because "$b" "5 of 5 tasks in all are running (limits.max_running)"
ctl kill $a $b >/dev/null

# Twenty a second: forty take two seconds, less the two that may begin at once.
rate() {
	local name=$1 began
	shift
	mkdir -p "$dir/slow"
	began=$(date +%s%N)
	exits 0 ctl run "slow_$name" -q "$@" -p dir="$dir/slow" $(seq 1 40)
	check "$name: no more begin than the rate lets" [ $((($(date +%s%N) - began) / 1000000)) -ge 1850 ]
	equal "$name: all have run, once" "$(grep -c ^begin "$dir/slow/log")" 40
}
every_shape_beside 9 rate
a=$(submit slow-a slow_async -m async -p us=0 $(seq 2 200))
check "it says why it waits" wait_for 20 waits_because "$a" "begins 20 tasks a second (rate)"
ctl kill $a >/dev/null

finish
