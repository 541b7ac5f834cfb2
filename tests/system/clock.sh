#!/usr/bin/env bash
# Steps of the clock by days, there and back, while jobs run and while the daemon is away: what runs goes on, time limits
# count running time, nothing has run for a negative time, nothing is removed before its age, dates are kept as they say
# (begin.sh has those of jobs that wait).
. "$(dirname "$0")/lib.sh"
[ -z "$shim_why" ] || { echo "skipped: $shim_why"; exit 77; }
DAY=86400

write_config "keep = { jobs = 0; age = \"3d\"; }; limits = { open_timeout = \"60s\"; };
	workloads = { $(stanza noop) $(stanza flaky) slow = { plugin = \"sleeper\"; model = \"async\"; };
	$(stanza well "service = true; model = \"process\"; backoff = \"100ms\"; params = { name = \"well\"; log = \"$dir/well.log\"; mode = \"$dir/well.mode\"; };" service) };"

# offset SECONDS: what the daemon's clock is ahead from now on
offset() {
	perl -MFcntl -e 'sysopen my $f, $ARGV[0], O_RDWR | O_CREAT or die; syswrite $f, pack "q", $ARGV[1]' "$dir/clock" "$1"
}
clock_start() {
	daemon_start env "LD_PRELOAD=$top_builddir/tests/system/.libs/clock_shim.so" "CONCD_CLOCK_FILE=$dir/clock"
}
# field NAME JOB
field() {
	ctl show "$2" --json | tr -d '\n' | grep -oE "\"$1\": ?(\"[^\"]*\"|-?[a-z0-9.]+)" | head -n 1 | sed 's/^[^:]*: *//; s/"//g'
}
state_is() { [ "$(field state "$1")" = "$2" ]; }
gone() { ! ctl show "$1" >/dev/null 2>&1; }
# sane JOB: its wall time is between 0 and two minutes
sane() {
	field wall_s "$1" | awk '{ ok = $1 >= 0 && $1 < 120 } END { exit !ok }' || { echo "wall_s $(field wall_s "$1")"; false; }
}
# has_used JOB FROM TO: so many seconds of its time limit are used, by its row
used_s() {
	in_store "SELECT coalesce(json_extract(spec, '\$.timeout_used_ns'), 0) / 1000000000.0 FROM job WHERE id = $1"
}
has_used() {
	awk -v s="$(used_s "$1")" -v from="$2" -v to="$3" 'BEGIN { exit !(s >= from && s < to) }'
}
up_is_sane() {
	field up_s "$1" | awk '{ ok = $1 >= 0 && $1 < 120 } END { exit !ok }'
}

offset 0
clock_start
find_service() {
	service=$(ctl list -w well --json | tr -d ' \n' | grep -oE '"job":"[0-9]+"' | head -n 1 | grep -oE '[0-9]+')
	[ -n "$service" ] && [ "$(field up_s "$service")" != null ]
}
check "the service is up" wait_for 20 find_service
for step in $((10 * DAY)) $((-10 * DAY)) 0; do
	echo "== the clock is set to $((step / DAY)) days from now while jobs run"
	limited=$(ctl run slow -d --timeout 30s --task-timeout 20s 1500ms 1500ms)
	short=$(ctl run slow -d --timeout 1500ms 60s)
	watched=$(ctl run slow -d 1200ms)
	"$concctl" -s "$sock" run slow -q 1s 1200ms >"$dir/got" 2>"$dir/err" &
	client=$!
	check "they run" wait_for 10 state_is "$watched" running
	offset "$step"
	exits 0 ctl ping
	for id in $limited $watched; do
		check "no time is negative or of days" sane "$id"
	done
	exits 0 ctl wait "$limited" "$watched" --timeout 60s
	equal "time limits count running time" "$(field done "$limited")" 2
	exits 1 ctl wait "$short" --timeout 60s
	check "and end what is over them" [ "$(field code "$short")" = timeout -o "$(field failed "$short")" = 1 ]
	wait $client
	equal "a client gets its results" "$? $(tr '\n' ' ' <"$dir/got")" "0 1s 1200ms "
	for id in $limited $watched $short; do
		check "nor when they have ended" sane "$id"
	done
	check "the service is up, for a sane time" up_is_sane "$service"
	exits 0 ctl list --sort time
	exits 0 ctl status
	exits 124 ctl wait "$service" --timeout 100ms
done
offset 0

echo "== what is used of a time limit, while the clock is set again and again"
steps=$(ctl run slow -d -j 1 --timeout 60s 5s 1ms)
check "one runs" wait_for 10 state_is "$steps" running
for step in $((10 * DAY)) $((-10 * DAY)) $((3 * DAY)) 0; do
	offset "$step"
	exits 0 ctl pause "$steps"
	exits 0 ctl set "$steps" timeout=60s # which writes it
	check "$((step / DAY)) days: $(used_s "$steps") s" has_used "$steps" 0 50
	exits 0 ctl resume "$steps"
done
exits 0 ctl wait "$steps" --timeout 60s

echo "== what ended before the clock was put back"
offset $((10 * DAY))
future=$(ctl run noop -d 1)
exits 0 ctl wait "$future"
offset 0
other=$(ctl run noop -d 2)
exits 0 ctl wait "$other"
equal "is there" "$(ctl results "$future")" 1
retried=$(ctl run slow -d --timeout 60s 3s 4s)
check "one runs" wait_for 10 state_is "$retried" running
daemon_kill
offset $((-5 * DAY))
clock_start
check "killed, and started five days before: it goes on" wait_for 20 state_is "$retried" running
check "with a sane time" sane "$retried"
exits 0 ctl wait "$retried" --timeout 60s
check "at its end as well" sane "$retried"
equal "nothing was removed" "$(ctl results "$future")$(ctl results "$other")" 12
exits 0 ctl clean --older-than 1s -l nothing-has-it
labelled=$(ctl run noop -d -l ahead 1)
exits 0 ctl wait "$labelled"
offset $((-6 * DAY))
exits 0 ctl clean --older-than 1s -l ahead
equal "what ended while the clock was ahead is not old" "$(ctl results "$labelled")" 1
exits 0 ctl clean -l ahead
check "and is removed with all that have ended" gone "$labelled"
offset $((-5 * DAY))
check "new numbers go on" [ "$(ctl run noop -d 1)" -gt "$retried" ]

echo "== days switched off"
offset 0
long=$(ctl run slow -d --timeout 60s 2s 3s)
check "one runs" wait_for 10 state_is "$long" running
kept=$(ctl run noop -d 7)
exits 0 ctl wait "$kept"
for n in $(seq 60); do ctl run noop -d "$n" >/dev/null; done
daemon_stop
offset $((2 * DAY))
clock_start
exits 0 ctl ping
equal "two days later what is kept for three is there" "$(ctl results "$kept")" 7
exits 0 ctl wait "$long" --timeout 60s
equal "what had not ended runs to its end" "$(field done "$long")" 2
check "in a sane time" sane "$long"
running=$(ctl run slow -d 30s)
daemon_stop
offset $((30 * DAY))
clock_start
check "a month later it is removed" wait_for 20 gone "$kept"
exits 0 ctl ping
check "what runs is not" wait_for 10 state_is "$running" running
new=$(ctl run noop -d 8)
exits 0 ctl wait "$new"
equal "nor what has just ended" "$(ctl results "$new")" 8
exits 0 ctl cancel "$running"
offset 0
equal "put back: still there" "$(ctl results "$new")" 8
exits 0 ctl run slow -q --delay 200ms 1ms
finish
