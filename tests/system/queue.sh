#!/usr/bin/env bash
# Whose turn it is: priorities, also changed while jobs wait, run, or after a kill of the daemon.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { $(stanza exec_log) $(stanza low 'priority = -7;' exec_log) };"
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
# submit NAME OPTIONS...: a detached job whose task shows in a directory of its own when it ran.
submit() {
	mkdir -p "$dir/exec/$1"
	ctl run exec_log -d -p dir="$dir/exec/$1" -p sleep=true "${@:2}" "$1"
}
# The names in the order in which they ran.
ran() {
	(cd "$dir/exec" && ls -tr */log | cut -d/ -f1 | tr '\n' ' ')
}

# The first job holds the only worker; what comes behind it runs by priority, equal ones in the order they came.
for model in "-m sync" "-m pool -j 1 --shape 1x1x1"; do
	rm -rf "$dir/exec/"*
	first=$(submit hold $model -p us=60000000)
	check "$model: the first one runs" wait_for 20 field_is running "$first" 1
	a=$(submit a $model -p us=30000)
	b=$(submit b $model -p us=30000 --priority 5)
	c=$(submit c $model -p us=30000 --priority 10)
	d=$(submit d $model -p us=30000 --priority -5)
	check "$model: it says why it waits" waits_because "$a" "behind 2 jobs of higher priority"
	equal "$model: its priority is shown" "$(field priority "$c")" 10
	exits 0 ctl set "$d" priority=20
	ctl cancel "$first" >/dev/null
	exits 0 ctl wait "$a" "$b" "$c" "$d" --timeout 30s
	equal "$model: they ran by priority" "$(ran)" "hold d c b a "
done

# The stanza's, and the limits of it.
id=$(ctl run low -d -p dir="$dir/exec" x)
equal "the stanza's priority" "$(field priority "$id")" -7
exits 2 ctl run exec_log --priority 101 x
says "from -100 to 100"
exits 2 ctl run exec_log --priority high x
id=$(submit hold -p us=60000000)
exits 2 ctl set "$id" priority=1000
says "from -100 to 100"
exits 0 ctl wait "$a"
exits 3 ctl set "$a" priority=1

# It survives the daemon.
exits 0 ctl set "$id" priority=-42
daemon_kill
daemon_start
equal "the priority is that of before the kill" "$(field priority "$id")" -42
check "show says it" waits_because "$id" "-42"
exits 0 ctl kill "$id"
finish
