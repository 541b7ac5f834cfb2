#!/usr/bin/env bash
# When a job may begin: delays and expiry, across restarts and steps of the clock.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { slow = { plugin = \"sleeper\"; model = \"sync\"; }; };"
daemon_start

state_is() {
	ctl show "$1" --json | grep -qE "\"state\": ?\"$2\""
}
key_of() {
	ctl show "$2" --json | grep -qE "\"$1\": ?$3"
}

echo "== delay"
began=$(date +%s%3N)
exits 0 ctl run squares --delay 1s 10
says "begins at"
equal "the result comes" "$(cat "$dir/out")" 285
check "not before its time" [ $(($(date +%s%3N) - began)) -ge 1000 ]
id=$(ctl run squares -d --delay 1h 10)
check "it waits" state_is "$id" queued
ctl show "$id" >"$dir/out"
says "it begins at " "$dir/out"
says ", in 59 m" "$dir/out"
ctl list >"$dir/out"
says "it begins at " "$dir/out"
check "its date is shown" key_of begins "$id" '"20..-'
check "another does not wait for it" [ "$(ctl run squares -q 10)" = 285 ]
exits 0 ctl run squares -d -m sync --delay 1h 10
exits 0 ctl run squares -q -m sync 10
exits 0 ctl cancel "$id"
check "a delayed job is cancelled at once" state_is "$id" cancelled
id=$(ctl run squares -d --delay 30m 10)
exits 0 ctl pause "$id"
check "of a pause and a date both are said" key_of waiting "$id" '"it is paused; it begins at .*, in 29 m'
exits 0 ctl resume "$id"
check "resuming does not begin it" key_of waiting "$id" '"it begins at'

echo "== expiry"
exits 0 ctl run squares -q --expire 1h 10
blocker=$(ctl run slow -d 60s)
exits 1 ctl run slow --expire 200ms 1ms
says "expired"
id=$(cat "$dir/err" | grep -oE 'job [0-9]+' | head -n 1 | cut -d' ' -f2)
check "it failed" state_is "$id" failed
check "and says why" key_of error "$id" '{"code": ?"expired"'
exits 0 ctl kill "$blocker"
exits 0 ctl run slow -q --expire 100ms 400ms # it had begun by then
exits 2 ctl run squares --delay 2h --expire 1h 10
says "would expire"
exits 2 ctl run squares --delay soon 10
says "10s"
exits 2 ctl run squares --delay -1s 10
exits 2 ctl run squares --expire 1e99h 10
exits 0 ctl run squares --dry-run --delay 90s --expire 2h 10 20
says "not before 1 m 30 s from now" "$dir/out"
says "2 h 0 m" "$dir/out"
exits 0 ctl run squares --dry-run --json --delay 90s 10 20
says '"delay_s":90' "$dir/out"

echo "== a stop while somebody looks at a job that waits"
id=$(ctl run slow -d --delay 1h 1ms)
ctl follow "$id" --reconnect 0 >"$dir/followed" 2>&1 &
follower=$!
"$concctl" -s "$sock" run slow --reconnect 0 -l looked-at --delay 1h 1ms >"$dir/out" 2>&1 </dev/null &
client=$!
looked_at() { grep -q "begins at" "$dir/followed" && ctl list -l looked-at | grep -q slow; }
check "two wait" wait_for 20 looked_at
ctl shutdown --no-wait >"$dir/out" 2>&1
check "the daemon ends" wait_for 30 daemon_has_died
daemon_reap
wait $follower $client
daemon_start
exits 0 ctl cancel --state queued

echo "== restarts"
long=$(ctl run squares -d --delay 2h 10)
short=$(ctl run squares -d --delay 1500ms 10)
begun=$(ctl run slow -d --expire 2s 4s)
check "it begins" wait_for 10 state_is "$begun" running
equal "what has begun has begun on the disk" "$(in_store "SELECT started_us > 0 FROM job WHERE id = $begun")" 1
dies=$(ctl run slow -d --expire 1s 1ms)
daemon_kill
daemon_start
exits 0 ctl wait "$short" --timeout 60s
exits 1 ctl wait "$dies" --timeout 60s
check "expired across a kill" key_of error "$dies" '{"code": ?"expired"'
exits 0 ctl wait "$begun" --timeout 60s
check "the long delay goes on" key_of waiting "$long" '"it begins at'
daemon_stop

if [ -n "$shim_why" ]; then
	echo "skipped: steps of the clock: $shim_why"
	finish
fi
echo "== the clock"
# offset SECONDS: what the daemon's clock is ahead from now on
offset() {
	perl -MFcntl -e 'sysopen my $f, $ARGV[0], O_RDWR | O_CREAT or die; syswrite $f, pack "q", $ARGV[1]' "$dir/clock" "$1"
}
clock_start() {
	daemon_start env "LD_PRELOAD=$top_builddir/tests/system/.libs/clock_shim.so" "CONCD_CLOCK_FILE=$dir/clock"
}
offset 0
clock_start
late=$(ctl run slow -d --delay 3d 1ms)
never=$(ctl run slow -d --delay 3d --expire 4d 1ms)
daemon_stop
offset $((86400 * 10)) # ten days switched off
clock_start
exits 0 ctl wait "$long" --timeout 60s
exits 0 ctl wait "$late" --timeout 60s
exits 1 ctl wait "$never" --timeout 60s
check "days switched off: expired" key_of error "$never" '{"code": ?"expired"'
id=$(ctl run slow -d --delay 1d 1ms)
offset $((86400 * 12)) # put forward while it runs; another date makes the daemon look
other=$(ctl run slow -d --delay 1h 1ms)
exits 0 ctl wait "$id" --timeout 60s
offset 0 # and back: by the date it waits for twelve days more
check "put back: it waits" key_of waiting "$other" '"it begins at 20..-'
exits 0 ctl run slow -q --delay 100ms 1ms
exits 0 ctl cancel "$other"
finish
