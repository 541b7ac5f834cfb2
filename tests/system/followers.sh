#!/usr/bin/env bash
# Thousands who follow a job and read nothing, while it logs as much as it may: they share what they are to be told, the daemon
# answers, the job goes on, and who reads is told everything that is not said to be dropped. FOLLOWERS: how many.
. "$(dirname "$0")/lib.sh"
FOLLOWERS=${FOLLOWERS:-2000}
[ -z "${SANITIZER:-}" ] || FOLLOWERS=$((FOLLOWERS / 10))
ulimit -n $((FOLLOWERS + 300)) 2>/dev/null || { echo "not enough descriptors"; exit 77; }

write_config "limits = { max_clients = $((FOLLOWERS + 40)); max_clients_per_user = $((FOLLOWERS + 30)); };
	workloads = { $(stanza noop) $(stanza flood 'params = { to = "log"; width = 900; };') };"
daemon_start

rss() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$daemon_pid/status"; }
clients() { ctl status --json | tr -d ' ' | sed -n 's/.*"clients":\([0-9]*\).*/\1/p'; }
clients_are() { [ "$(clients)" -ge "$1" ]; }
clients_are_few() { [ "$(clients)" -lt 10 ]; }
dropped_most() { grep -q 'log lines were dropped' "$dir/log"; }
lines() { grep -c '"type":"log"' "$dir/followed"; }
lines_come() { [ "$(lines)" -ge "$1" ]; }
deaf() { # deaf PATH: so many clients, the process in $deaf
	"$top_builddir/tests/tools/deaf" "$sock" "$1" "$FOLLOWERS" <>"$dir/never" >"$dir/deaf" &
	deaf=$!
}

id=$(ctl run flood -d -m thread 2000000000)
"$concctl" -s "$sock" follow "$id" --json >"$dir/followed" 2>"$dir/err" &
reader=$!
check "lines of a task that computes come while it computes" wait_for 20 lines_come 100
before=$(rss)
deaf "/v1/jobs/$id/follow"
check "$FOLLOWERS follow and do not read" wait_for 60 clients_are "$FOLLOWERS"
seen=$(lines)
check "who reads is told more" wait_for 20 lines_come $((seen + 300))
exits 0 ctl ping
equal "other jobs run" "$(ctl run noop -q -m pool 1 2 3 | tr '\n' ' ')" "1 2 3 "
bounded() { [ $(($(rss) - before)) -lt $((FOLLOWERS * 64 + 16384)) ]; }
[ -n "${SANITIZER:-}" ] || check "their memory is bounded" bounded
echo "$FOLLOWERS followers: $(($(rss) - before)) KiB, $((($(rss) - before) / FOLLOWERS)) KiB each, $(lines) lines"
most_s=0
for n in 1 2 3 4 5 6 7 8; do
	began=$(date +%s%3N)
	ctl ping >/dev/null
	took=$(($(date +%s%3N) - began))
	[ $took -le $most_s ] || most_s=$took
done
[ -n "${SANITIZER:-}" ] || [ $most_s -lt $((400 * slowness)) ] && echo "ok: ping answers, in $most_s ms at most" || fail "a ping took $most_s ms"
exits 0 ctl kill "$id"
wait $reader
equal "the reader ends with its job" $? 1
tail -n 1 "$dir/followed" >"$dir/out"
says '"state":"cancelled"' "$dir/out"
kill $deaf
wait $deaf 2>/dev/null
check "they are gone" wait_for 30 clients_are_few
# What was said is what was logged, in order: every line's number is greater than the one before.
sed -n 's/.*"message":"\([0-9]*\) x.*/\1/p' "$dir/followed" >"$dir/numbers"
check "lines came in order, each once" sort -n -u -c "$dir/numbers"
finish
