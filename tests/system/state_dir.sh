#!/usr/bin/env bash
# State directories that cannot be used, or not any more: a file in its place, not ours, read-only, files in it that are not
# ours, in use by another daemon, moved away under a daemon that runs. What is said names the path, the owner and the remedy;
# nothing that was there is changed.
. "$(dirname "$0")/lib.sh"

# refused STATUS TEXT [LAUNCHER...]: the daemon does not start, says so, and leaves what is in the state directory alone
refused() {
	local status=$1 text=$2 before after
	shift 2
	before=$(listing)
	exits "$status" timeout 20 "$@" "$concd" -c "$dir/concd.conf"
	says "$text"
	after=$(listing)
	equal "and what was there is as it was" "$after" "$before"
	rm -rf "$dir/base/state" "$dir/base/run"
}
# Everything below but our own lock, which a start may make or write its number into.
listing() {
	find "$dir/base/state" ! -name daemon.lock -printf '%P %y %m %u %s %l\n' 2>/dev/null | sort
	find "$dir/base/state" -type f ! -name daemon.lock -exec md5sum {} + 2>/dev/null | sort
}
# state MODE [OWNER]: a directory
state() {
	mkdir -m "$1" "$dir/base/state"
	[ $# -eq 1 ] || chown "$2" "$dir/base/state"
}
ended() { ctl show "$1" --json | tr -d ' ' | grep -q '"state":"done"'; }
stalled() { ctl status --json | tr -d ' ' | grep -q '"stalled":true'; }

chmod 711 "$dir"
mkdir -m 777 "$dir/base"
sock=$dir/base/run/sock
write_config
sed -i "s|^state_dir.*|state_dir = \"$dir/base/state\";|" "$dir/concd.conf"
self=$(id -u)

echo "== not a directory"
echo precious >"$dir/base/state"
refused 78 "state_dir: '$dir/base/state' is not a directory"
ln -s nowhere "$dir/base/state"
refused 78 "'$dir/base/state': No such file or directory"
ln -s state "$dir/base/state"
refused 78 "$dir/base/state"
state 777
refused 78 "chmod o-w it"
state 700
mkdir "$dir/base/state/concd.db"
refused 1 "the store '$dir/base/state/concd.db' is a directory: move it away"
state 700
ln -s ../elsewhere "$dir/base/state/concd.db"
refused 1 "is a symbolic link, which is not followed there"
[ ! -e "$dir/base/elsewhere" ] || fail "a file was made through the link"
state 700
echo "this is no database, and longer than its head" >"$dir/base/state/concd.db"
exits 0 timeout 20 "$concd" -c "$dir/concd.conf" -t
rm -rf "$dir/base/state"

echo "== read-only"
if unshare -m true 2>/dev/null; then
	cat >"$dir/read_only" <<-'RO'
		#!/bin/sh
		exec unshare -m sh -c 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"' "$@"
	RO
	chmod +x "$dir/read_only"
	state 700
	refused 78 "'$dir/base/state' is on a file system that is mounted read-only" "$dir/read_only" "$dir/base/state"
else
	echo "skipped: a read-only mount: unshare -m is not allowed here"
fi

if [ "$self" -eq 0 ] && command -v setpriv >/dev/null && setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$concd"; then
	nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
	echo "== another user's"
	state 700
	refused 78 "'$dir/base/state' belongs to user 0 and concd runs as user 65534" $nobody
	state 700 65534
	refused 78 "'$dir/base/state' belongs to user 65534 and concd runs as user 0"
	chmod 755 "$dir/base"
	refused 78 "cannot make '$dir/base/state': Permission denied: make it for user 65534" $nobody
	sed -i "s|^state_dir.*|state_dir = \"$dir/base/none/state\";|" "$dir/concd.conf"
	refused 78 "cannot make '$dir/base/none': Permission denied: make '$dir/base/none/state' for user 65534, or set state_dir" $nobody
	sed -i "s|^state_dir.*|state_dir = \"$dir/base/state\";|" "$dir/concd.conf"
	chmod 777 "$dir/base"
	state 500 65534
	refused 78 "'$dir/base/state' has mode 0500: its owner, user 65534, needs rights: chmod u+rwx it" $nobody
	for file in daemon.lock workers.lock concd.db; do
		state 700 65534
		: >"$dir/base/state/$file"
		chmod 600 "$dir/base/state/$file"
		before=$(stat -c '%u %a %s' "$dir/base/state/$file")
		exits 77 timeout 20 $nobody "$concd" -c "$dir/concd.conf"
		says "'$dir/base/state/$file' belongs to user 0 and has mode 0600, and concd runs as user 65534: chown it to user 65534"
		equal "it stays as it was" "$(stat -c '%u %a %s' "$dir/base/state/$file")" "$before"
		rm -rf "$dir/base/state" "$dir/base/run"
	done
	state 700 65534
	mkdir -m 755 "$dir/base/run"
	exits 77 timeout 20 $nobody "$concd" -c "$dir/concd.conf"
	says "control socket '$dir/base/run/sock"
	says "'$dir/base/run' belongs to user 0"
	rm -rf "$dir/base/state" "$dir/base/run"

	# A store with jobs in it that is made unreadable, and readable again: nothing is taken for damaged, nothing is lost.
	$nobody "$concd" -c "$dir/concd.conf" >>"$dir/log" 2>&1 </dev/null &
	daemon_pid=$!
	check "a daemon of an ordinary user" wait_for 20 ctl ping
	id=$(ctl run squares -d 10)
	exits 0 ctl wait "$id"
	daemon_stop
	for mode in 000 400; do
		chmod $mode "$dir/base/state/concd.db"
		exits 77 timeout 20 $nobody "$concd" -c "$dir/concd.conf"
		says "'$dir/base/state/concd.db' has mode 0$mode: its owner, user 65534, needs rights"
	done
	chmod 600 "$dir/base/state/concd.db"
	exits 0 "$concd" -c "$dir/concd.conf" --check-store
	: >"$dir/base/state/concd.db-wal"
	chmod 600 "$dir/base/state/concd.db-wal"
	chown 0 "$dir/base/state/concd.db-wal"
	exits 77 timeout 20 $nobody "$concd" -c "$dir/concd.conf"
	says "'$dir/base/state/concd.db-wal' belongs to user 0 and has mode 0600"
	rm "$dir/base/state/concd.db-wal"
	$nobody "$concd" -c "$dir/concd.conf" >>"$dir/log" 2>&1 </dev/null &
	daemon_pid=$!
	check "with its rights it starts" wait_for 20 ctl ping
	equal "and has its job" "$(ctl results "$id")" 285
	equal "and takes more" "$(ctl run squares -q 10)" 285
	daemon_stop
	rm -rf "$dir/base/state" "$dir/base/run"
else
	echo "skipped: other users' directories: needs root, setpriv and a build that others may read"
fi

echo "== in use"
daemon_start
id=$(ctl run squares -d 10)
exits 0 ctl wait "$id"
sed "s|base/run/sock|base/run2/sock|" "$dir/concd.conf" >"$dir/second.conf"
exits 1 timeout 20 "$concd" -c "$dir/second.conf"
says "another concd (pid $daemon_pid) uses the state directory $dir/base/state; stop it, or give this one its own state_dir"
sed "s|base/state|base/state2|" "$dir/concd.conf" >"$dir/second.conf"
exits 1 timeout 20 "$concd" -c "$dir/second.conf"
says "a daemon serves it already (process $daemon_pid)"
exits 0 ctl ping
equal "the first goes on" "$(ctl run squares -q 10)" 285

echo "== gone while the daemon runs"
slow=$(ctl run sleeper -d -m pool 1s 1s 1s 1s)
mv "$dir/base/state" "$dir/base/aside"
exits 75 ctl run squares -q 10
says "nothing was accepted: the store's file was moved, removed or replaced: put it back"
check "status says so" stalled
exits 0 ctl ping
exits 0 ctl show "$id"
mkdir "$dir/base/state"
exits 75 ctl run squares -q 10
rmdir "$dir/base/state"
mv "$dir/base/aside" "$dir/base/state"
check "put back, it goes on by itself" wait_for 20 ctl run squares -q 10
check "and so does what ran meanwhile" wait_for 20 ended "$slow"
equal "with its results" "$(ctl results "$slow" | tr '\n' ' ')" "1s 1s 1s 1s "
daemon_kill
daemon_start
equal "all of it is on disk" "$(ctl results "$slow" | tr '\n' ' ')$(ctl results "$id")" "1s 1s 1s 1s 285"
mv "$dir/base/state/concd.db" "$dir/base/state/precious"
exits 75 ctl run squares -q 10
mv "$dir/base/state/precious" "$dir/base/state/concd.db"
check "the file alone, put back" wait_for 20 ctl run squares -q 10
rm -rf "$dir/base/state"
exits 75 ctl run squares -q 10
exits 0 ctl ping
daemon_stop
equal "without its store it still ends" $? 0
daemon_start
equal "and begins anew" "$(ctl run squares -q 10)" 285
finish
