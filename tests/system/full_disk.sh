#!/usr/bin/env bash
# A full disk, in every place where it can be met: accepting stops with exit 75 and says why, what runs is held back, nothing
# recorded is lost, also by a kill meanwhile, and everything goes on by itself when there is room again. Needs to mount a
# tmpfs.
. "$(dirname "$0")/lib.sh"

mkdir -m 700 "$dir/state"
mount -t tmpfs -o size=24m,mode=700 tmpfs "$dir/state" 2>/dev/null || { echo "skipped: no tmpfs may be mounted here"; exit 77; }
trap 'umount -l "$dir/state"; cleanup' EXIT

write_config "workloads = { $(stanza noop) $(stanza identity) };"
long=$(head -c 3000 /dev/zero | tr '\0' 'x')
seq -f "%g-$long" 1 300 >"$dir/inputs" # a large piece: there may be many free pages to fill before the disk is full

fill() { dd if=/dev/zero of="$dir/state/fill" bs=64k 2>/dev/null; dd if=/dev/zero of="$dir/state/fill2" bs=1k 2>/dev/null; }
top_up() { # what was given free since
	dd if=/dev/zero of="$dir/state/fill2" bs=1k oflag=append conv=notrunc 2>/dev/null
}
make_room() { rm -f "$dir/state/fill" "$dir/state/fill2"; }
refused() {
	ctl run identity -d -m pool -i "$dir/inputs" >/dev/null 2>"$dir/err"
	[ $? -eq 75 ]
}
stalled() { ctl status --json | tr -d ' ' | grep -q '"stalled":true'; }
flows() { ctl status --json | tr -d ' ' | grep -q '"stalled":false'; }
done_of() { ctl show "$1" --json | tr -d ' ' | sed -n 's/.*"done":\([0-9]*\).*/\1/p'; }
at_least() { [ "$(done_of "$1")" -ge "$2" ]; }
held() { # nothing more of the job is done for a while
	local before
	top_up
	before=$(done_of "$1")
	read -r -t 0.3 _ <>"$dir/never" || :
	[ "$(done_of "$1")" -eq "$before" ]
}
accepted() { ctl run noop -q -m pool 1; }

echo "== accepting, and results on their way"
daemon_start
running=$(ctl run sleeper -d -m async -j 300 $(yes 100ms | head -n 40000))
check "a job runs" wait_for 20 at_least "$running" 500
fill
check "a full disk refuses jobs with 75" wait_for 20 refused
says "full"
exits 75 ctl run identity -m pool small # which begins before the disk is asked
says "nothing was accepted"
check "status says that the store takes nothing" wait_for 20 stalled
ctl status >"$dir/out"
says "the disk of the state directory is full" "$dir/out"
says "cannot be written: the disk of the state directory is full" "$dir/log"
check "the daemon answers" ctl ping
exits 0 ctl list
exits 0 ctl results "$running"
before=$(wc -l <"$dir/out")
check "what runs is held back" wait_for 60 held "$running"
says_why() { top_up; ctl show "$running" | grep -qF "the store takes nothing: the disk of the state directory is full"; }
check "it says why" wait_for 20 says_why

echo "== a kill and a restart on the full disk"
daemon_kill
"$concd" -c "$dir/concd.conf" >>"$dir/log" 2>&1 </dev/null &
daemon_is $!
answers_or_ended() { ctl list || daemon_has_died; }
check "it starts, or says why it cannot" wait_for 20 answers_or_ended
if daemon_has_died; then
	daemon_reap
	tail -n 1 "$dir/log" >"$dir/err"
	echo "it said: $(cat "$dir/err")"
	says "full"
	make_room
	daemon_start
else
	check "nothing that was recorded is lost" [ "$(ctl results "$running" | wc -l)" -ge "$before" ]
	make_room
fi
check "it goes on by itself" wait_for 60 accepted
exits 0 ctl wait "$running" --timeout 120s
equal "every result is there, once" "$(ctl results "$running" | wc -l)" 40000
equal "what was refused left nothing" "$(in_store "SELECT count(*) FROM job WHERE CAST(head AS TEXT) LIKE '%small%'")" 0

echo "== the log and the database fill the disk themselves, then there is more of it"
seq -f "%g-$long" 1 12000 >"$dir/large"
"$concctl" -s "$sock" run identity -q -m pool -i "$dir/large" >"$dir/got" 2>"$dir/said" </dev/null &
client=$!
check "the store takes nothing more" wait_for 60 stalled
check "a new job is refused" wait_for 20 refused
check "its client waits" kill -0 $client
check "and says why, -q or not" wait_for 20 grep -q "the rest of the inputs waits for room: .*full" "$dir/said"
mount -o remount,size=400m "$dir/state"
check "it goes on by itself" wait_for 60 flows
wait $client
equal "the client that was uploading ends well" $? 0
check "with every result, in order" cmp -s "$dir/got" "$dir/large"
equal "what it waited for was said once" "$(wc -l <"$dir/said")" 1

echo "== deleting makes room where nothing else can be written"
fill
check "the disk is full" wait_for 20 refused
exits 0 ctl rm --state done
make_room_by_itself() { accepted; }
check "jobs are accepted again in the room of those that were removed" wait_for 60 make_room_by_itself
make_room

echo "== results that are not on disk, and stay in memory"
check "the disk has room" wait_for 20 accepted
fill # which the store has not met yet: it would take nothing any more
head -n 200 "$dir/inputs" >"$dir/few"
n=0 # more jobs than are put out of memory in a turn, and more than may stay there
while [ $n -lt 40 ] && ctl run identity -q -m pool --no-durable -i "$dir/few" >/dev/null 2>&1; do n=$((n + 1)); done
check "$n jobs have ended" test $n -gt 16
ticks() { awk '{ print $14 + $15 }' "/proc/$daemon_pid/stat"; }
rests() { # half a second at most of two
	local before
	before=$(ticks)
	read -r -t 2 _ <>"$dir/never" || :
	[ $(($(ticks) - before)) -lt $(($(getconf CLK_TCK) / 2)) ]
}
check "the daemon does not try for ever to put them out" wait_for 20 rests
check "it is said a few times at most" test "$(grep -c "stay in memory" "$dir/log")" -le 10
exits 0 ctl clean
: >"$dir/said" # what the client before said is none of this one's words
fill # the jobs that went gave room back
"$concctl" -s "$sock" run identity -q -m pool --no-durable -i "$dir/large" >"$dir/got" 2>"$dir/said" </dev/null &
client=$!
check "a client whose inputs have no room says so" wait_for 60 grep -q "the rest of the inputs waits for room: .*full" "$dir/said"
make_room
wait $client
equal "it ends well when there is some" $? 0
check "with every result" cmp -s "$dir/got" "$dir/large"
equal "that was said once" "$(wc -l <"$dir/said")" 1

echo "== ending on a full disk"
fill
check "the disk is full again" wait_for 30 refused
ctl run sleeper -d -m async --no-durable 10ms >/dev/null 2>&1
check "the daemon ends" daemon_stop
make_room
exits 0 "$concd" -c "$dir/concd.conf" --check-store # its log is there, or is not needed
daemon_start
equal "nor does the next daemon miss it" "$(ctl status | grep -c 'is missing')" 0
exits 0 ctl run noop -q 1
check "the daemon ends" daemon_stop
exits 0 "$concd" -c "$dir/concd.conf" --check-store
umount "$dir/state"
trap cleanup EXIT
finish
