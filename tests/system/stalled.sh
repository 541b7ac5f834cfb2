#!/usr/bin/env bash
# Readers that do not read: one that is stopped for long costs no memory and no progress, and then receives everything; a
# thousand that follow a job and never read cost a bounded amount each; beyond the limit of connections the refusal is clear.
# CLIENTS: how many. HOLD: for how many seconds those of a job that nobody waits for are stopped; HELD: how many of each kind.
. "$(dirname "$0")/lib.sh"
CLIENTS=${CLIENTS:-1000}
TASKS=${TASKS:-100000}
HOLD=${HOLD:-1}
HELD=${HELD:-2}
[ -z "${SANITIZER:-}" ] || { CLIENTS=$((CLIENTS / 10)); TASKS=$((TASKS / 10)); }

write_config "limits = { max_clients = $((CLIENTS + 20)); max_clients_per_user = $((CLIENTS + 10)); };
	workloads = { $(stanza noop) };"
daemon_start

rss() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$daemon_pid/status"; }
clients() { ctl status --json | tr -d ' ' | sed -n 's/.*"clients":\([0-9]*\).*/\1/p'; }
clients_are() { [ "$(clients)" -ge "$1" ]; }
ended() { ctl show "$1" --json | tr -d ' ' | grep -q '"state":"done"'; }

# Warm: what the daemon needs for such a job, and a result that is kept.
seq 1 "$TASKS" >"$dir/inputs"
check "a reader that reads" cmp -s <(ctl run noop -q -m pool -i "$dir/inputs") "$dir/inputs"

# A client that is stopped while its results come.
for options in "" "--json" "--unordered" "--no-durable"; do
	"$concctl" -s "$sock" run noop -q -m pool $options -i "$dir/inputs" >"$dir/got" 2>"$dir/err" &
	client=$!
	wait_for 20 test -s "$dir/got"
	kill -STOP $client
	id=$(ctl list -n 1 --json | tr -d ' ' | sed -n 's/.*"job":"\([0-9]*\)".*/\1/p')
	# The inputs of a stopped client may not all be there: the rest come when it goes on.
	before=$(rss)
	check "others are served beside it ($options)" cmp -s <(ctl run noop -q -m pool -i "$dir/inputs") "$dir/inputs"
	after=$(rss)
	[ -n "${SANITIZER:-}" ] || check "it costs no memory ($options: $((after - before)) KiB)" [ $((after - before)) -lt $((32768 + TASKS / 40)) ]
	kill -CONT $client
	wait $client
	equal "it ends well ($options)" $? 0
	case $options in
	--json) sed -n 's/.*"result":"\([0-9]*\)".*/\1/p' "$dir/got" >"$dir/filtered" ;;
	--unordered) sort -n "$dir/got" >"$dir/filtered" ;;
	*) cp "$dir/got" "$dir/filtered" ;;
	esac
	check "it receives everything ($options)" cmp -s "$dir/filtered" "$dir/inputs"
done

# Readers that read a little, then nothing for HOLD seconds, being stopped as well: the job goes on to its end, the daemon grows no
# further, and then they receive everything.
mkfifo "$dir/gate"
daemon_stop
daemon_start
check "a reader that reads, again" cmp -s <(ctl run noop -q -m pool -i "$dir/inputs") "$dir/inputs"
before=$(rss)
id=$(ctl run noop -d -m pool -i "$dir/inputs")
readers=
consumers=
for n in $(seq "$HELD"); do
	for options in "" "--json" "--unordered"; do
		mkfifo "$dir/pipe"
		{ head -c 4096; read -r _ <"$dir/gate"; cat; } <"$dir/pipe" >"$dir/held.$n$options" &
		consumers="$consumers $!"
		"$concctl" -s "$sock" results --follow $options "$id" >"$dir/pipe" 2>>"$dir/err" &
		readers="$readers $!"
		wait_for 20 test -s "$dir/held.$n$options"
		kill -STOP $!
		rm "$dir/pipe"
	done
done
check "the job goes on while its readers are stopped" wait_for 120 ended "$id"
at_end=$(rss)
most=$at_end
held_until=$((SECONDS + HOLD))
while [ $SECONDS -lt $held_until ]; do
	read -r -t 0.5 _ <>"$dir/never"
	now=$(rss)
	[ "$now" -le "$most" ] || most=$now
done
echo "$((3 * HELD)) readers stopped for $HOLD s: before the job $before KiB, at its end $at_end, at most $most, at last $(rss)"
[ -n "${SANITIZER:-}" ] || check "stopped readers cost little ($((most - before)) KiB)" [ $((most - before)) -lt $((16384 + HELD * 3 * 1100)) ]
equal "what they have is a part" "$(find "$dir"/held.* -size +64k)" ""
kill -CONT $readers
: >"$dir/gate"
status=0
for reader in $readers $consumers; do
	wait "$reader" || status=$?
done
equal "they end well" $status 0
for n in $(seq "$HELD"); do
	check "everything ($n)" cmp -s "$dir/held.$n" "$dir/inputs"
	check "everything in JSON ($n)" cmp -s <(sed -n 's/.*"result":"\([0-9]*\)".*/\1/p' "$dir/held.$n--json") "$dir/inputs"
	check "everything, unordered ($n)" cmp -s <(sort -n "$dir/held.$n--unordered") "$dir/inputs"
done
rm -f "$dir"/held.*

# A thousand that ask for a job's results and never read, each a connection held open by this shell.
ulimit -n $((CLIENTS + 200)) 2>/dev/null || { echo "not enough descriptors"; exit 77; }
id=$(ctl run noop -d -m pool -i "$dir/inputs")
before=$(rss)
"$top_builddir/tests/tools/deaf" "$sock" "/v1/jobs/$id/results?format=json" "$CLIENTS" <>"$dir/never" >"$dir/deaf" &
deaf=$!
check "$CLIENTS are connected" wait_for 60 clients_are "$CLIENTS"
exits 0 ctl wait "$id" --timeout 60s
check "others are served beside them" cmp -s <(ctl run noop -q -m pool -i "$dir/inputs") "$dir/inputs"
# A stream has at most 1 MiB unsent, far less with so many; a moment after its reader has stopped it holds nothing else.
bounded() {
	after=$(rss)
	[ -n "${SANITIZER:-}" ] || [ $((after - before)) -lt $((CLIENTS * 384 + 32768)) ]
}
check "their memory is bounded" wait_for 20 bounded
echo "$CLIENTS deaf readers: $((after - before)) KiB, $(((after - before) / CLIENTS)) KiB each"

# One too many.
"$top_builddir/tests/tools/deaf" "$sock" "/v1/jobs/$id/follow" 15 <>"$dir/never" >"$dir/deaf2" 2>&1 &
more=$!
check "beyond the limit the refusal is clear" wait_for 20 grep -q "clients are connected, as many as limits.max_clients\|limits.max_clients_per_user allows" "$dir/deaf2"
kill $more $deaf
wait $more $deaf 2>/dev/null
clients_are_few() { [ "$(clients)" -lt 10 ]; }
check "they are gone" wait_for 30 clients_are_few
exits 0 ctl run noop -q 1
finish
