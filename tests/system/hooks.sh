#!/usr/bin/env bash
# Hooks: commands that are run when a job has ended, at least once.
. "$(dirname "$0")/lib.sh"

cat >"$dir/hook" <<'HOOK'
#!/bin/sh
# What it was told, a line each time; then as its first argument says.
printf '%s %s %s %s|%s|%s\n' "$CONCD_JOB" "$CONCD_STATE" "$CONCD_TASKS" "$CONCD_FAILED" "$CONCD_LABEL" "$*" >>"${0%/*}/ran"
case $1 in
talk) yes "it talks" | head -c 20000 ;;
fail) echo "no such mailbox" >&2; exit 3 ;;
hang) sleep 600 & sleep 600 ;;
slow) until [ -e "${0%/*}/go" ]; do sleep 0.05; done ;;
esac
HOOK
chmod +x "$dir/hook"
: >"$dir/ran"
conf() {
	write_config "limits = { hook_timeout = \"$1\"; max_hooks = 2; };
	hooks = { tell = [ \"$dir/hook\", \"job {job} of {workload}: {state}, {done} {failed} {cancelled} {label}\" ];
		talk = [ \"$dir/hook\", \"talk\" ]; fail = ( \"$dir/hook\", \"fail\" );
		hang = [ \"$dir/hook\", \"hang\" ]; slow = [ \"$dir/hook\", \"slow\" ]; };
	workloads = { told = { plugin = \"sleeper\"; on_done = \"tell\"; }; };"
}
conf 2s
daemon_start
ran() {
	grep -qF -- "$1" "$dir/ran"
}
logged() {
	grep -qF -- "$1" "$dir/log"
}

echo "== what it is told"
id=$(ctl run told -d -l 'a label; $(id)' 1ms nonsense)
check "a stanza's hook is run" wait_for 20 ran "$id failed 2 1|a label; \$(id)|job $id of told: failed, 1 1 0 {label}"
id=$(ctl run sleeper -d --on-done tell 1ms)
check "and one that a job names" wait_for 20 ran "$id done 1 0||job $id of sleeper: done, 1 0 0"
ctl run sleeper -q 1ms >"$dir/out" # has none
quiet=$(ctl run told -d --on-done none 1ms)
exits 0 ctl wait "$quiet" --timeout 20s
id=$(ctl run told -d 60s)
exits 0 ctl cancel "$id"
check "of a cancelled job too" wait_for 20 ran "$id cancelled 1"
check "but none that was not wanted" [ "$(grep -c "^$quiet " "$dir/ran")" = 0 ]
id=$(ctl run told -d --no-durable 1ms)
check "of one that is not durable" wait_for 20 ran "$id done"
ctl show "$id" >"$dir/out"
says tell "$dir/out"
exits 0 ctl run sleeper --dry-run --on-done tell 1ms
says "hook 'tell' when it has ended" "$dir/out"
exits 2 ctl run sleeper --on-done nothing 1ms
says "there is no hook 'nothing': the daemon's configuration has tell, talk, fail, hang, slow"
exits 2 ctl run sleeper --on-done /bin/sh 1ms

echo "== bounds"
id=$(ctl run sleeper -d --on-done talk 1ms)
check "what it writes is logged, and no more than 4 KiB" wait_for 20 logged "bytes more are not shown"
check "so is its failure" [ "$(ctl run sleeper -d --on-done fail 1ms)" ]
check "with its words" wait_for 20 logged "no such mailbox"
check "and its status" wait_for 20 logged "ended with status 3"
for i in 1 2 3; do ctl run sleeper -q --on-done hang 1ms >"$dir/out"; done
check "one that hangs is killed" wait_for 30 logged "was killed after limits.hook_timeout"
hung() {
	[ "$(grep -c 'hang$' "$dir/ran")" = 3 ]
}
check "and so those that waited for it" wait_for 60 hung

echo "== kills"
daemon_stop
equal "concd ends with 0" $? 0
conf 60s
daemon_start
: >"$dir/ran"
for i in 1 2 3 4; do ids="${ids:-} $(ctl run sleeper -d --on-done slow 1ms)"; done
exits 0 ctl wait $ids --timeout 20s
lines() {
	[ "$(wc -l <"$dir/ran")" -ge "$1" ]
}
check "two run" wait_for 20 lines 2
equal "and no more" "$(wc -l <"$dir/ran")" 2
for id in $ids; do
	exits 75 ctl rm "$id"
	says "the hook of job $id has not ended yet"
done
exits 75 ctl clean
for id in $ids; do exits 0 ctl show "$id"; done
daemon_kill
: >"$dir/go"
daemon_start
all_ran() {
	for id in $ids; do ran "$id done" || return 1; done
}
check "every hook is run in the end" wait_for 30 all_ran
check "those that ran at the kill were run again" wait_for 20 lines 6
equal "each at least, the others at most, once" "$(wc -l <"$dir/ran")" 6
daemon_stop
daemon_start
equal "and none after that" "$(wc -l <"$dir/ran")" 6
exits 0 ctl rm $ids
rm "$dir/go"
id=$(ctl run sleeper -d --on-done slow 1ms)
check "one runs" wait_for 20 ran "$id done"
ctl shutdown --no-wait >"$dir/out" 2>&1
: >"$dir/go"
wait "$daemon_pid"
equal "a stop waits for it" $? 0
daemon_pid=
daemon_start
equal "so that it is not run again" "$(grep -c "^$id " "$dir/ran")" 1
rm "$dir/go"
: >"$dir/ran"
for i in 1 2 3; do ctl run sleeper -d --no-durable --on-done slow 1ms >"$dir/out"; done
check "of three jobs that are not durable the hooks of two run" wait_for 20 lines 2
ctl shutdown --no-wait >"$dir/out" 2>&1
: >"$dir/go"
wait "$daemon_pid"
equal "and the third, which waits, goes with the daemon" $? 0
daemon_pid=

echo "== configuration"
refused() {
	write_config "$1"
	exits 78 "$concd" -t -c "$dir/concd.conf"
	says "$2"
}
refused "workloads = { x = { plugin = \"sleeper\"; on_done = \"mail\"; }; };" 'is none of `hooks`'
refused "hooks = { a = [ \"logger\" ]; };" "is no absolute path"
refused "hooks = { a = [ \"/no/such\" ]; };" "cannot be executed"
refused "hooks = { a = \"/bin/true\"; };" "must be a list"
refused "hooks = { a = [ ]; };" "must be a list"
refused "hooks = { none = [ \"/bin/true\" ]; };" "no name for a hook"
refused "hooks = { a = ( \"/bin/true\", 5 ); };" "is no text"
finish
