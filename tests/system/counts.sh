#!/usr/bin/env bash
# What `status` counts is what `list` shows, whatever is done to jobs: durable, parked or kept in memory, open, delayed, paused by
# themselves, held with their workload or with everything, cancelled; and after a kill of the daemon.
. "$(dirname "$0")/lib.sh"
SEED=${SEED:-1}
STEPS=${STEPS:-40}
write_config "workloads = { slow = { plugin = \"sleeper\"; model = \"pool\"; workers = 2; }; other = { plugin = \"sleeper\"; model = \"sync\"; }; };"
daemon_start
RANDOM=$SEED

listed() {
	ctl list --json -n 100000 | tr -d ' \n' | grep -oE '"state":"(open|queued|running|paused)"' | cut -d'"' -f4 | sort | uniq -c |
		awk '{ n[$2] = $1 } END { printf "%d open %d queued %d running %d paused\n", n["open"], n["queued"], n["running"], n["paused"] }'
}
counted() {
	echo "$(state_count open) open $(state_count queued) queued $(state_count running) running $(state_count paused) paused"
}
# Jobs begin and end meanwhile: both are looked at until nothing has changed between them.
agree() {
	local before after
	before=$(counted)
	shown=$(listed)
	after=$(counted)
	[ "$before" = "$after" ] && [ "$shown" = "$after" ]
}
any_job() {
	ctl list --json -n 100000 | tr -d ' \n' | grep -oE '"job":"[0-9]+"' | cut -d'"' -f4 | sort -n | sed -n "$((RANDOM % 60 + 1))p"
}
submit() {
	ctl run "$@" -d >/dev/null 2>&1
}
step() {
	case $((RANDOM % 14)) in
	0 | 1) submit slow 60s 60s ;;
	2) submit slow --no-durable 60s ;;
	3) submit other --no-durable 60s ;;
	4) submit other --delay 1h 1s ;;
	5) submit slow --after "$(any_job)" --after-failed=run 1s ;;
	6) submit slow 5ms 5ms ;;
	7) ctl pause "$(any_job)" ;;
	8) ctl resume "$(any_job)" ;;
	9) ctl cancel "$(any_job)" ;;
	10) ctl pause -w slow || ctl resume -w slow ;;
	11) ctl pause --all || ctl resume --all ;;
	12) ctl resume -w slow ;;
	13) for _ in $(seq 40); do submit slow --priority -3 1s; done ;;
	esac >/dev/null 2>&1
}
for ((i = 1; i <= STEPS; i++)); do
	step
	wait_for 20 agree || fail "after step $i of seed $SEED: counted $(counted), listed $(listed)"
done
check "$STEPS steps: status counts what list shows" test $failures -eq 0
echo "at the end: $(counted)"
daemon_kill
daemon_start
check "so it does after a kill" wait_for 20 agree
ctl resume --all >/dev/null 2>&1
ctl cancel --all >/dev/null
check "all are cancelled" wait_for 20 agree
equal "and none is counted" "$(counted)" "0 open 0 queued 0 running 0 paused"
finish
