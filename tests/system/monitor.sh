#!/usr/bin/env bash
# monitor: under every model as an ordinary task, and as a service that sees a server go down and come up.
. "$(dirname "$0")/lib.sh"

server=$top_builddir/tests/tools/http_server
server_pid=
stop_server() {
	[ -z "$server_pid" ] || { kill -KILL "$server_pid"; wait "$server_pid"; } 2>/dev/null
	server_pid=
}
at_end() {
	local status=$?
	stop_server
	(exit $status)
	cleanup
}
trap at_end EXIT
# start_server PORT: 0 takes a free one; $port says which.
start_server() {
	"$server" --port "$1" >"$dir/port" 2>>"$dir/server.err" </dev/null &
	server_pid=$!
	wait_for 20 grep -q "^port " "$dir/port" || { fail "no server"; exit 1; }
	port=$(sed -n 's/^port //p' "$dir/port")
}
start_server 0

watch="interval = \"50ms\"; timeout = \"5s\"; failures = 2;"
write_config "workloads = {
	web = { plugin = \"monitor\"; service = true; model = \"thread\"; params = { url = \"http://127.0.0.1:$port/bytes/3\"; $watch }; };
	door = { plugin = \"monitor\"; service = true; model = \"process\"; params = { address = \"127.0.0.1:$port\"; $watch }; }; };"
daemon_start

id_of() {
	ctl list -w "$1" --json | tr -d ' \n' | grep -oE '"job":"[0-9]+"' | head -n 1 | grep -oE '[0-9]+'
}
running() {
	ctl show "$1" --json | tr -d ' \n' | grep -oE '"running":[0-9]+' | head -n 1 | cut -d: -f2
}
at_least() {
	[ "$(running "$1")" -ge "$2" ]
}

echo "== services see a server go down and up"
followers=
for name in web door; do
	check "$name has a job" wait_for 20 eval '[ -n "$(id_of $name)" ]' || exit 1
	"$concctl" -s "$sock" follow "$(id_of $name)" >"$dir/$name" 2>&1 &
	followers="$followers $!"
done
for name in web door; do
	check "$name is up" wait_for 20 grep -q "is up: " "$dir/$name"
done
says "is up: 200 in" "$dir/web"
says "is up: connected in" "$dir/door"
stop_server
for name in web door; do
	check "$name is down" wait_for 20 grep -q "warning: .* is down after .*2 failed checks" "$dir/$name"
	check "the log says so" grep -q "warning: $name.* is down after" "$dir/log"
done
ctl show "$(id_of web)" >"$dir/out"
says "is down after" "$dir/out"
start_server "$port"
for name in web door; do
	check "$name is up again" wait_for 20 grep -q "is up again after" "$dir/$name"
	equal "$name never ended" "$(ctl show "$(id_of $name)" --json | tr -d ' ' | grep -o '"restarts":[0-9]*')" '"restarts":0'
	exits 0 ctl send "$(id_of $name)" now
	check "$name looks when it is asked" wait_for 20 eval "[ \$(grep -c 'is up' '$dir/$name') -ge 3 ]"
done
kill $followers

echo "== as an ordinary task"
url=http://127.0.0.1:$port
ordinary() {
	local name=$1 id
	shift
	exits 0 ctl run monitor -q "$@" -p checks=3 -p interval=1ms "$url/bytes/2" "127.0.0.1:$port" "$url/redirect/1" "$url/bytes/1000000"
	check "$name: each is up" cmp -s "$dir/out" <(printf 'up 3/3 %s\n' "$url/bytes/2" "127.0.0.1:$port" "$url/redirect/1" "$url/bytes/1000000")
	exits 1 ctl run monitor -q "$@" -p checks=2 -p interval=1ms -p timeout=300ms "$url/status/404" "$url/stall" 127.0.0.1:1 "$url/drop"
	says "404 (0 of 2 checks passed)"
	says "127.0.0.1:1: Connection refused (0 of 2 checks passed)"
	says "$url/stall"
	says "$url/drop"
	id=$(ctl run monitor -d "$@" -p interval=1h "$url/bytes/2")
	check "$name: it goes on" wait_for 20 at_least "$id" 1
	exits 0 ctl cancel "$id"
}
every_shape_beside 3 ordinary
exits 0 ctl run monitor -q -p checks=1 -p status=404 "$url/status/404"
exits 1 ctl run monitor -q -p checks=1 -p status=200 "$url/status/404"
says "404, not 200"
exits 1 ctl run monitor -q -p checks=1 -- ftp://127.0.0.1/ nonsense 127.0.0.1:0 127.0.0.1:70000 ''
says "neither http"
says "nothing to look at"
exits 0 ctl run monitor -q -p checks=1 -p "address=localhost:$port" ''
exits 2 ctl run monitor -p interval=never "$url"

# A task that waits for its next check leaves its thread to the others.
id=$(ctl run monitor -d -m async -p interval=1h $(for i in $(seq 1 60); do echo "$url/bytes/$i"; done))
check "many at once on one thread" wait_for 20 at_least "$id" 60
exits 0 ctl cancel "$id"
daemon_stop
equal "concd ends with 0" $? 0
finish
