#!/usr/bin/env bash
# The daemon ends, whatever is going on and whoever looks on: jobs of every kind, in every state, with clients at all of them; when
# asked, by a signal, and by a second one that waits for nothing. What was accepted is there afterwards.
. "$(dirname "$0")/lib.sh"

printf '#!/bin/sh\nexec sleep 2\n' >"$dir/hook"
chmod +x "$dir/hook"
mkdir "$dir/parts" "$dir/flaky"
write_config "defaults = { idle_timeout = \"500ms\"; grace = \"500ms\"; };
	limits = { max_hooks = 1; };
	hooks = { slow = [ \"$dir/hook\" ]; };
	workloads = { once = { plugin = \"sleeper\"; idempotent = false; }; $(stanza service 'service = true;')
		$(stanza identity) $(stanza hang) $(stanza parts "params = { dir = \"$dir/parts\"; };")
		$(stanza flaky "params = { dir = \"$dir/flaky\"; };") };"
seq 1 50000 >"$dir/many"

# with CLIENT...: one that stays as long as the daemon.
clients=
with() {
	"$concctl" -s "$sock" "$@" >/dev/null 2>&1 </dev/null &
	clients="$clients $!"
}
there() { # N jobs
	[ "$(ctl list -n 1000 --json | grep -o '"job":' | wc -l)" -ge "$1" ]
}
busy() {
	local job paused
	ctl run identity -q --no-durable -m pool -i "$dir/many" >/dev/null
	job=$(ctl show @last --json | grep -o '"job": *"[0-9]*"' | head -n 1 | tr -dc 0-9)
	for _ in 1 2; do ctl run sleeper -d --on-done slow 1ms >/dev/null; done
	for _ in 1 2; do ctl run sleeper -d --no-durable --on-done slow 1ms >/dev/null; done
	paused=$(ctl run sleeper -d 1ms 30s)
	ctl pause "$paused" >/dev/null
	with run once --reconnect 0 -m pool 1ms 300ms 30s
	with run sleeper --reconnect 0 -m async --unique key 1ms 30s 31s
	with run sleeper --reconnect 0 -m async --unique key 1ms
	with run sleeper --reconnect 0 --no-durable -m process 1ms 30s
	with run parts --reconnect 0 -m pool "40 ms=100" "4 deaf=2"
	with run hang --reconnect 0 -m thread hang
	with run sleeper --reconnect 0 --after "$paused" 1ms
	with run sleeper --reconnect 0 --delay 1h --expire 2h 1ms
	with run flaky --reconnect 0 --retries 5 --backoff 1h x
	with retry "$job"
	with wait --all --reconnect 0
	with follow "$paused" --reconnect 0
	with results "$paused" --follow --reconnect 0
	with restart -w service
	(seq 1 100; read -r -t 30 _ <>"$dir/never") | "$concctl" -s "$sock" run identity --reconnect 0 -m pool -i - >/dev/null 2>&1 &
	clients="$clients $!"
}
ended() {
	check "the daemon ends" wait_for $((30 * slowness)) daemon_has_died
	wait "$daemon_pid"
	equal "with 0" $? 0
	daemon_pid=
	kill $clients 2>/dev/null
	clients=
	exits 0 "$concd" -c "$dir/concd.conf" --check-store
}

for how in shutdown term twice; do
	echo "== $how"
	daemon_start
	before=$(ctl list -n 1000 --json | grep -o '"job":' | wc -l)
	busy
	check "all are there" wait_for $((20 * slowness)) there $((before + 14))
	case $how in
	shutdown) with shutdown ;;
	term) kill -TERM "$daemon_pid" ;;
	twice)
		kill -TERM "$daemon_pid"
		wait_for 5 grep -q "stopping" "$dir/log"
		kill -TERM "$daemon_pid"
		;;
	esac
	ended
done

echo "== what was accepted is there"
daemon_start
exits 0 ctl cancel --all
exits 0 ctl clean --state failed
check "nothing is unfinished" sh -c "! '$concctl' -s '$sock' list --state queued,running,paused,open -n 1000 | grep -v service | grep -q '^ *[0-9]'"
daemon_stop
equal "it ends with 0" $? 0
finish
