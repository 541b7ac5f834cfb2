#!/usr/bin/env bash
# Services: one job for a stanza, started with the daemon, started again whatever ends it, the same one after a restart.
. "$(dirname "$0")/lib.sh"

logs=$dir

# service NAME MODEL [SETTINGS]: its stanza; it logs into $logs/NAME.log and does what $logs/NAME.mode says.
service() {
	stanza "$1" "service = true; model = \"$2\"; backoff = \"100ms\"; grace = \"1s\"; ${3:-}
		params = { name = \"${4:-$1}\"; log = \"$logs/$1.log\"; mode = \"$logs/$1.mode\"; cleanup = \"300ms\"; };" service
}
write_config "workloads = { $(service well process) $(service looper thread) $(stanza init_fail 'service = true; backoff = "200ms";')
	$(stanza plain '' service) };"
daemon_start

id_of() {
	ctl list --json | jq_ids "$1"
}
# The ids of the jobs of a workload, from `list --json`, newest first, that have not ended.
jq_ids() {
	tr -d ' \n' | grep -oE "\"job\":\"[0-9]+\",\"state\":\"(queued|running|paused)\",\"workload\":\"$1\"" | grep -oE '[0-9]+' | tr '\n' ' ' | sed 's/ $//'
}
# field NAME JOB: a value out of the job's document
field() {
	ctl show "$2" --json | tr -d '\n' | grep -oE "\"$1\": ?(\"[^\"]*\"|[a-z0-9.]+)" | head -n 1 | sed 's/^[^:]*: *//; s/"//g'
}
state_is() {
	[ "$(field state "$1")" = "$2" ]
}
at_least() {
	[ "$(field "$1" "$2")" -ge "$3" ]
}
# how often it began; the process of its last begin
begins() {
	grep -c '^begin' "$logs/$1.log"
}
begun() {
	[ "$(begins "$1")" -eq "$2" ]
}
began() {
	[ "$(begins "$1" 2>/dev/null)" -ge "$2" ]
}
pid_of() {
	grep '^begin' "$logs/$1.log" | tail -n 1 | cut -d' ' -f2
}
mode() {
	echo "$2" >"$logs/$1.mode"
}
is_up() {
	[ "$(field up_s "$1")" != null ]
}
log_has() {
	grep -qE "$1" "$dir/log"
}

echo "== start"
check "well begins" wait_for 20 began well 1
check "looper begins" wait_for 20 began looper 1 || exit 1
well=$(id_of well)
looper=$(id_of looper)
check "well has one job" [ -n "$well" -a "${well%% *}" = "$well" ]
check "it is up" wait_for 10 is_up "$well"
check "it runs" wait_for 10 state_is "$well" running
equal "the model is the stanza's" "$(field model "$well") $(field model "$looper")" "process thread"
equal "in a crew of its own" "$(field dedicated "$well") $(field shape "$well")" "true 1x1x1"
exits 0 ctl list
says "service" "$dir/out"
exits 0 ctl status
says "services" "$dir/out"
exits 0 ctl show "$well"
says "up for" "$dir/out"

exits 4 ctl show @last # nobody has submitted one
says "there is no last job"

echo "== by hand"
exits 2 ctl run well x
says "concctl restart $well"
exits 2 ctl run well --dry-run x
plain=$(ctl run plain -d x)
exits 3 ctl restart "$plain"
says "no service"
exits 3 ctl set "$well" workers=2
exits 124 ctl wait "$well" --timeout 20ms

# restarts NAME JOB
restarts() {
	local name=$1 id=$2 old n
	"$concctl" -s "$sock" follow "$id" >"$dir/follow" 2>&1 &
	follower=$!
	check "$name: a follower sees how it stands" wait_for 10 grep -q "mode ''" "$dir/follow"
	old=$(pid_of $name)
	n=$(begins $name)
	exits 0 ctl restart "$id"
	check "$name: a follower is told what the daemon does" wait_for 10 grep -q "is restarted by request" "$dir/follow"
	check "$name: and what the plugin says" wait_for 10 eval '[ "$(grep -c "mode '"''"'" "$dir/follow")" -ge 2 ]'
	kill $follower
	ctl show "$id" >"$dir/out"
	says "last line" "$dir/out"
	# Its plugin writes that down a moment later.
	check "$name: it has begun again" wait_for 10 begun $name $((n + 1))
	check "$name: in a new process" [ "$(pid_of $name)" != "$old" ]
	check "$name: the old run ended in order, before" grep -q "^end $old " "$logs/$name.log"
	check "$name: the old process is gone" wait_for 10 eval "! kill -0 $old"
	equal "$name: the job is the same" "$(id_of $name)" "$id"
	mode $name slow
	exits 0 ctl restart "$id"
	old=$(pid_of $name)
	exits 0 ctl restart "$id"
	check "$name: it had the time to end" grep -q "^end $old " "$logs/$name.log"
	mode $name hang
	exits 0 ctl restart "$id"
	old=$(pid_of $name)
	mode $name run
	n=$(begins $name)
	exits 0 ctl restart "$id"
	check "$name: one that does not listen is killed after its grace" wait_for 10 begun $name $((n + 1))
	check "$name: it is gone" wait_for 10 eval "! kill -0 $old"
}
# goes_on NAME JOB: whatever ends it
goes_on() {
	local name=$1 id=$2 n how
	n=$(begins $name)
	kill -KILL "$(pid_of $name)"
	check "$name: a killed worker is replaced" wait_for 20 began $name $((n + 1))
	check "$name: the cause is known" wait_for 10 eval '[ "$(field cause "$id")" != null ]'
	ctl show "$id" >"$dir/out"
	says "SIGKILL" "$dir/out"
	for how in return fail exit crash; do
		mode $name $how
		n=$(begins $name)
		ctl restart "$id" >/dev/null 2>&1 # 1 where it has ended again before the answer
		check "$name, $how: it starts again by itself" wait_for 20 began $name $((n + 2))
		mode $name run
		ctl show "$id" >"$dir/out"
		case $how in
		return) says "it returned: enough" "$dir/out" ;;
		fail) says "the well is dry" "$dir/out" ;;
		exit) says "exit status 3" "$dir/out" ;;
		crash) says "SIGABRT" "$dir/out" ;;
		esac
		exits 0 ctl restart "$id"
		equal "$name, $how: a restart forgets failures" "$(field failures "$id")" 0
	done
}
lives() {
	restarts "$1" "$2"
	goes_on "$1" "$2"
}
echo "== restart, and what ends it"
beside 2 lives well "$well"
beside 2 lives looper "$looper"
gather
exits 0 ctl restart "$well" "$looper"
bad=$(id_of init_fail)
check "a worker that cannot be prepared is a failure" wait_for 30 at_least failures "$bad" 2
ctl show "$bad" >"$dir/out"
says "could not be prepared" "$dir/out"

echo "== a crash loop"
mode looper crash
before=$(begins looper)
ctl restart "$looper" >"$dir/out" 2>&1
check "it fails again and again" wait_for 60 at_least failures "$looper" 6
equal "it is failing" "$(field failing "$looper")" true
check "and waits at the limit of its back-off" [ "$(field next_try_s "$looper" | cut -d. -f1)" -ge 3 ]
state_is "$looper" queued || fail "its state is $(field state "$looper")"
exits 0 ctl list
says "failing" "$dir/out"
exits 0 ctl status
says "of them failing" "$dir/out"
ctl show "$looper" >"$dir/out"
says "starts again in" "$dir/out"
says "failures in a row" "$dir/out"
check "the log is loud" log_has "error.*service 'looper' .*is failing" 
check "no more than its tries" [ $(($(begins looper) - before)) -lt 20 ]
mode looper run
exits 0 ctl restart "$looper"
check "restart helps at once" wait_for 10 is_up "$looper"

echo "== pause"
old=$(pid_of looper)
exits 0 ctl pause "$looper"
check "a paused service has ended" grep -q "^end $old " "$dir/looper.log"
check "its state says so" state_is "$looper" paused
exits 3 ctl pause "$looper"
exits 3 ctl restart "$looper"
says "resume"
exits 0 ctl resume -w looper
check "resumed by its workload it runs" wait_for 20 state_is "$looper" running
old=$(pid_of looper)
exits 0 ctl pause -w looper
equal "it says what" "$(cat "$dir/out")" "workload looper: paused, and so is what comes"
check "paused by its workload it has ended" grep -q "^end $old " "$dir/looper.log"
check "its state says so" state_is "$looper" paused
exits 3 ctl pause -w looper
exits 3 ctl restart "$looper"
says "resume -w looper"
exits 0 ctl pause --all
check "a pause of everything is not for services" is_up "$well"
exits 0 ctl pause "$looper"
exits 0 ctl resume --all
check "resumed both ways it runs" wait_for 20 state_is "$looper" running
exits 0 ctl pause -w looper
n=$(begins looper)
daemon_kill
wells=$(begins well)
daemon_start
check "the other one begins again after a kill of the daemon" wait_for 30 began well $((wells + 1))
equal "under the same id" "$(id_of well)" "$well"
check "the last job is still no service" sh -c "'$concctl' -s '$sock' show @last --json | grep -qE '\"service\": ?null'"
check "paused it stays" state_is "$looper" paused
equal "and does not begin" "$(begins looper)" "$n"
ctl status >"$dir/out"
says "concctl resume -w looper" "$dir/out"
exits 3 ctl resume "$looper"
says "resume -w looper"
exits 0 ctl resume -w looper
check "resumed it begins" wait_for 20 began looper $((n + 1))
check "and runs" wait_for 10 state_is "$looper" running

echo "== shutdown"
mode well slow
exits 0 ctl restart "$well"
old=$(pid_of well)
short=$(ctl run sleeper -d 1s)
check "an ordinary task runs" wait_for 10 at_least running "$short" 1
daemon_stop
equal "concd ends with 0" $? 0
check "the service had the time to end" grep -q "^end $old " "$dir/well.log"
check "the log says that services ended" log_has "jobs: 2 services have ended|jobs: 3 services have ended"

echo "== the configuration changes"
mode well run
write_config "limits = { max_running = 1; }; defaults = { task_timeout = \"50ms\"; max_tasks = 1; };
	workloads = { $(service well thread "" renamed) };"
n=$(begins well)
daemon_start
check "the log says what became of the other" log_has "service 'looper' \(job $looper\) is no longer in the configuration"
check "it is cancelled" wait_for 20 state_is "$looper" cancelled
check "well begins" wait_for 20 began well $((n + 1))
equal "under the same id" "$(id_of well)" "$well"
check "with what its stanza says now" grep -q "^begin .* renamed$" "$dir/well.log"
exits 0 ctl run sleeper 1ms # limits on running tasks are not for services
check "and its time is not limited" wait_for 10 is_up "$well"
equal "under another model" "$(field model "$well")" thread
exits 0 ctl wait "$short" --timeout 20s
daemon_kill
daemon_start
equal "and still so" "$(field model "$well")" thread

echo "== a workload that was none before, with jobs of its own"
daemon_stop
write_config "workloads = { $(service well thread "" renamed) $(stanza both '' service) };"
daemon_start
before=$(ctl run both -d x)
check "it runs as a job" wait_for 20 state_is "$before" running
exits 0 ctl pause -w both
exits 0 ctl cancel "$before"
daemon_kill
write_config "workloads = { $(service well thread "" renamed) $(service both process) };"
daemon_start
is_there() { both=$(id_of both) && [ -n "$both" ]; }
check "its service is there" wait_for 20 is_there
check "paused, as the workload was" state_is "$both" paused
ctl show "$both" >"$dir/out"
says "workload 'both' is paused since" "$dir/out"
exits 0 ctl retry "$before" -q
job=$(cat "$dir/out")
check "so are other jobs of it" state_is "$job" paused
equal "both are counted" "$(state_count paused)" 2
daemon_kill
daemon_start
check "over a restart too: the service" state_is "$both" paused
check "and the job" state_is "$job" paused
equal "both are counted again" "$(state_count paused)" 2
equal "none has begun" "$(begins both 2>/dev/null)" ""
exits 0 ctl resume -w both
check "resumed they run: the service" wait_for 20 is_up "$both"
check "and the job" wait_for 20 state_is "$job" running
exits 0 ctl pause -w both
check "paused the service is down" state_is "$both" paused
check "and the job, of which a task goes on, is paused" state_is "$job" paused
exits 0 ctl resume -w both
check "resumed the service is up" wait_for 20 is_up "$both"
check "and the job runs" wait_for 20 state_is "$job" running
equal "none is paused" "$(state_count paused)" 0
exits 0 ctl cancel "$job"

echo "== cancel"
exits 0 ctl cancel "$well"
check "it is cancelled" state_is "$well" cancelled
equal "no other takes its place" "$(id_of well)" ""
exits 3 ctl restart "$well"
says "when the daemon is started again"
exits 2 ctl run well x
says "starts with the daemon"
n=$(begins well)
daemon_stop
daemon_start
check "the next start has it again" wait_for 20 began well $((n + 1))
check "as a new job" [ "$(id_of well)" != "$well" ]
exits 0 ctl kill "$(id_of well)"
daemon_stop
equal "concd ends with 0" $? 0
finish
