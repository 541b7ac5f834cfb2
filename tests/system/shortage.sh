#!/usr/bin/env bash
# What the daemon lacks for a moment, descriptors here, fails no job that was accepted and loses no hook: it is tried again.
. "$(dirname "$0")/lib.sh"

cat >"$dir/hook" <<'HOOK'
#!/bin/sh
echo "$CONCD_JOB $CONCD_STATE" >>"${0%/*}/ran"
HOOK
chmod +x "$dir/hook"
: >"$dir/ran"
write_config "hooks = { tell = [ \"$dir/hook\" ]; };"
daemon_start
descriptors() { # descriptors SOFT_LIMIT
	prlimit --pid "$daemon_pid" --nofile="$1:"
}
before=$(prlimit --pid "$daemon_pid" --nofile --output SOFT --noheadings | tr -d ' ')
if ! descriptors 5 || ! descriptors "$before"; then
	echo "skipped: prlimit is not there, or may not"
	exit 77
fi
logged() {
	grep -qF -- "$1" "$dir/log"
}
echo "== a hook"
id=$(ctl run sleeper -d --on-done tell $((2 * slowness))s)
check "its job runs" wait_for 20 field_is running "$id" 1
descriptors 5
check "it cannot be begun" wait_for 30 logged "hook 'tell' of job $id cannot be begun, tried again each second"
equal "nor was it" "$(cat "$dir/ran")" ""
descriptors "$before"
check "it is run when it can" wait_for 20 grep -qxF "$id done" "$dir/ran"
equal "once" "$(wc -l <"$dir/ran")" 1

echo "== worker processes"
for model in process async thread; do
	ids="${ids:-} $(ctl run squares -d -m $model --delay 1s 3 4)"
done
descriptors 5
check "they cannot be started" wait_for 30 logged "its tasks wait, and it is tried again each second"
read -r -t 1.5 _ <>"$dir/never" # longer than a plugin that fails is tried
descriptors "$before"
exits 0 ctl wait $ids --timeout 60s
for id in $ids; do equal "job $id has its results" "$(ctl results "$id" | tr '\n' ' ')" "5 14 "; done
daemon_stop
equal "concd ends with 0" $? 0
finish
