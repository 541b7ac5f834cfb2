#!/usr/bin/env bash
# Results that are put out of memory and read back while readers walk over them: one from the first on, one that stops and goes
# on, one that comes when half is done, one that takes them as they come, one after the end. Of jobs on disk, and of one that
# is not kept, whose results are more than may stay in memory.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { $(stanza identity) };"
daemon_start

# inputs COUNT BYTES: numbered, so many of so many bytes
inputs() {
	seq -f "%06g-$(head -c $(($2 - 7)) /dev/zero | tr '\0' 'x')" 1 "$1" >"$dir/inputs"
}
done_are() {
	[ "$(ctl show "$1" --json | tr -d ' \n' | grep -oE '"done":[0-9]+' | head -n 1 | cut -d: -f2)" -ge "$2" ]
}
read_all() { # WHAT JOB OPTIONS...
	local what=$1 id=$2
	shift 2
	ctl results "$id" "$@" >"$dir/got" 2>"$dir/err"
	equal "$what: it ends well" $? 0
	case "$*" in *--unordered*) sort -o "$dir/got" "$dir/got" ;; esac
	check "$what: it has every result" cmp -s "$dir/got" "$inputs"
}
stop_and_go() {
	local what=$1 id=$2 client
	mkfifo "$dir/pipe"
	{ head -c 300000; wait_for 120 done_are "$id" "$3"; cat; } <"$dir/pipe" >"$dir/got" &
	"$concctl" -s "$sock" results --follow "$id" >"$dir/pipe" 2>"$dir/err"
	equal "$what: it ends well" $? 0
	wait $!
	check "$what: it has every result" cmp -s "$dir/got" "$inputs"
}
late() {
	wait_for 120 done_are "$2" "$3"
	read_all "$1" "$2" --follow
}

# walk NAME COUNT BYTES RUN-OPTIONS...
walk() {
	local name=$1 count=$2 id
	inputs "$2" "$3"
	shift 3
	inputs=$dir/inputs
	id=$(ctl run identity -d "$@" -i "$inputs")
	beside 9 read_all "$name, from the first on" "$id" --follow
	beside 9 read_all "$name, as they come" "$id" --follow --unordered
	beside 9 stop_and_go "$name, stopped until the end" "$id" "$count"
	beside 9 late "$name, from the middle on" "$id" $((count / 2))
	gather
	read_all "$name, after the end" "$id"
	exits 0 ctl rm "$id"
}

# Several segments (4,096 results each); what is not kept has to be more than 64 MiB.
count=20000
[ "${SANITIZER:-}" != thread ] || count=9000
walk "on disk" $count 500 -m pool -j 1
walk "on disk, two loops" $count 500 --shape 2x1x8
[ "${SANITIZER:-}" = thread ] || # to which so many bytes are minutes
	walk "not kept" 24000 3500 -m pool --no-durable
daemon_stop
equal "concd ends with 0" $? 0
finish
