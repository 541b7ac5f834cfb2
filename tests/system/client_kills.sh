#!/usr/bin/env bash
# Clients killed at random instants: before they know their job's number, while they send inputs, while results come, while they
# wait. Whatever was accepted ends as it should, what was cut ends after open_timeout, and nothing of the client stays in the daemon.
# KILLS: how many; SEED: their order.
. "$(dirname "$0")/lib.sh"
KILLS=${KILLS:-200}
SEED=${SEED:-$$}
[ -z "${SANITIZER:-}" ] || KILLS=$((KILLS / 4))
RANDOM=$SEED
echo "SEED=$SEED KILLS=$KILLS"

write_config "limits = { open_timeout = \"2s\"; keep_ephemeral = 1; }; workloads = { $(stanza identity) };"
daemon_start
seq -f '%0100g' 1 30000 >"$dir/inputs" # three pieces
seq 1 20 | sed 's/.*/1&ms/' >"$dir/short"

number() { ctl status --json | tr -d ' ' | grep -oE "\"$1\":[0-9]+" | head -n 1 | cut -d: -f2; }
descriptors() { find "/proc/$daemon_pid/fd" -mindepth 1 2>/dev/null | wc -l; }
rss() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$daemon_pid/status"; }
unfinished() { echo $(($(number open) + $(number queued) + $(number running) + $(number paused))); }
nothing_left() { [ "$(unfinished)" -eq 0 ]; }
alone() { [ "$(number clients)" -le 1 ]; }

# Warm: crews, caches, a large job.
ctl run identity -q -m pool -i "$dir/inputs" >/dev/null
ctl run sleeper -q -m async -i "$dir/short" >/dev/null
watched=$(ctl run sleeper -d -m async 600s)
wait_for 20 alone
before_fds=$(descriptors)
before_rss=$(rss)

# client WHICH: a client of some kind in the background; its process in $client
client() {
	case $1 in
	0) "$concctl" -s "$sock" run identity -q -m pool 1 2 3 ;;
	1) "$concctl" -s "$sock" run identity -q -m pool -i "$dir/inputs" ;;
	2) "$concctl" -s "$sock" run identity -m pool --json -i "$dir/inputs" ;;
	3) "$concctl" -s "$sock" run sleeper -q -m async -i "$dir/short" ;;
	4) "$concctl" -s "$sock" run identity -d -m pool -i "$dir/inputs" ;;
	5) "$concctl" -s "$sock" results --follow "$watched" ;;
	6) "$concctl" -s "$sock" follow "$watched" ;;
	7) "$concctl" -s "$sock" wait "$watched" ;;
	8) "$concctl" -s "$sock" run identity -q -m pool --no-durable -i "$dir/inputs" ;;
	9) "$concctl" -s "$sock" run identity -q -m pool -i - <"$dir/slowly" ;;
	esac >/dev/null 2>&1 &
	client=$!
}
# Inputs that never end.
mkfifo "$dir/slowly"
{ while :; do seq -f '%0100g' 1 100; read -r -t 0.01 _ <>"$dir/never"; done >"$dir/slowly"; } 2>/dev/null &
writer=$!

for n in $(seq "$KILLS"); do
	which=$((RANDOM % 10))
	client $which
	# Most are killed within the first milliseconds, some late.
	ms=$((RANDOM % (RANDOM % 4 == 0 ? 120 : 20)))
	[ $ms -eq 0 ] || read -r -t "$(printf '0.%03d' $ms)" _ <>"$dir/never"
	pkill -KILL -P $client 2>/dev/null
	kill -KILL $client 2>/dev/null
	wait $client 2>/dev/null
	if [ $((n % 50)) -eq 0 ]; then
		exits 0 ctl ping
	fi
done 2>/dev/null
kill $writer 2>/dev/null
exits 0 ctl cancel "$watched"

check "every job ends" wait_for 60 nothing_left
check "no client is left" wait_for 20 alone
ctl list -n 100000 --json | tr -d ' \n' | grep -oE '"job":"[0-9]+","state":"[a-z]*","workload":"[a-z]*"' >"$dir/list"
echo "$(wc -l <"$dir/list") jobs, $(grep -c '"state":"done"' "$dir/list") done, $(grep -c '"state":"failed"' "$dir/list") failed"
wrong=
for id in $(grep '"state":"failed"' "$dir/list" | cut -d'"' -f4); do
	ctl show "$id" --json | tr -d ' \n' | grep -q '"error":{"code":"interrupted"' || wrong="$wrong $id"
done
equal "those that failed were cut while they were sent" "$wrong" ""
equal "one was cancelled, by us" "$(grep -c '"state":"cancelled"' "$dir/list")" 1
# Every accepted task has its right result.
wrong=
checked=0
for id in $(grep -v '"workload":"sleeper"' "$dir/list" | sort -R | cut -d'"' -f4); do
	[ $checked -lt 40 ] || break
	ctl results "$id" >"$dir/got" 2>/dev/null || continue # not kept
	total=$(ctl show "$id" --json | tr -d ' \n' | grep -oE '"total":[0-9]+' | head -n 1 | cut -d: -f2)
	checked=$((checked + 1))
	[ "$(wc -l <"$dir/got")" -eq "$total" ] || wrong="$wrong $id"
	[ "$total" -ne 30000 ] || cmp -s "$dir/got" "$dir/inputs" || wrong="$wrong $id"
done
equal "and every task that was accepted has its result ($checked jobs)" "$wrong" ""
few_descriptors() { [ "$(descriptors)" -le $((before_fds + 4)) ]; }
check "no descriptor is left" wait_for 20 few_descriptors
little_memory() { after_rss=$(rss) && [ $((after_rss - before_rss)) -lt 32768 ]; }
[ -n "${SANITIZER:-}" ] || check "little memory is" wait_for 20 little_memory
echo "memory: $before_rss KiB before, $(rss) KiB after; descriptors $before_fds, $(descriptors)"
exits 0 ctl run identity -q 1
finish
