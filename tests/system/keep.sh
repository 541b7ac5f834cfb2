#!/usr/bin/env bash
# Ended jobs are kept for a time and up to a number, also over restarts; their disk space comes back; a workload whose
# jobs are not kept on disk.
. "$(dirname "$0")/lib.sh"
configure() { # configure KEEP [SETTINGS]
	write_config "keep = { $1 }; ${2:-}
		workloads = { $(stanza noop) $(stanza identity 'keep_age = "2s";') $(stanza wide '' identity) $(stanza flood 'durable = false;' noop) };"
}
listed() { # listed OPTIONS...: how many jobs
	ctl list -n 5000 --json "$@" | grep -o '"job": *"[0-9]*"' | grep -c .
}
counts() { # counts NUMBER OPTIONS...
	local wanted=$1
	shift
	[ "$(listed "$@")" -eq "$wanted" ]
}
post_many() { # post_many NUMBER WORKLOAD
	printf '{"workload":"%s","model":"pool","inputs":["1"]}' "$2" >"$dir/job"
	curl -s --unix-socket "$sock" --data-binary "@$dir/job" -o /dev/null "http://concd/v1/jobs#[1-$1]"
}

echo "== a number"
configure 'jobs = 10; age = "0";'
daemon_start
running=$(ctl run sleeper -d -m async 100s)
post_many 400 noop
check "all have run" wait_for 60 counts 0 -w noop --state queued,running
check "the newest 10 ended ones stay" wait_for 20 counts 10 -w noop
equal "which are the newest" "$(ctl list -n 1 -w noop -o job | tail -n 1 | tr -d ' ')" $((running + 400))
equal "a live one is not counted and not removed" "$(listed --state running)" 1
daemon_kill
configure 'jobs = 3; age = "0";'
daemon_start
check "a new limit holds after a restart" wait_for 20 counts 3 -w noop
check "the running one still runs" wait_for 10 counts 1 --state running
exits 0 ctl cancel "$running"
check "it is the last to have ended: another one goes" wait_for 20 counts 2 -w noop
exits 0 ctl show "$running"
daemon_stop

echo "== who reads"
configure 'jobs = 2; age = "0";'
daemon_start
line=$(head -c 1000 /dev/zero | tr '\0' x)
seq -f "%g-$line" 1 5000 >"$dir/lines"
read_slowly=$(ctl run wide -d -m pool -i "$dir/lines")
not_read=$(ctl run noop -d 1)
mkfifo "$dir/pipe"
ctl results --follow "$read_slowly" >"$dir/pipe" 2>"$dir/said" &
reader=$!
exec 8<"$dir/pipe"
exits 0 ctl wait "$read_slowly" "$not_read" --timeout 60s
read -r first <&8 # it is there
exits 0 ctl run noop -q 1
exits 0 ctl run noop -q 1
is_gone() { ! ctl show "$1"; }
check "what is over the number goes" wait_for 20 is_gone "$not_read"
check "but not what is being read" ctl show "$read_slowly"
equal "its reader gets all" "$(($(wc -l <&8) + 1))" 5000
wait $reader
equal "and no error" $? 0
exec 8<&-
equal "from the first on" "$first" "1-$line"
exits 0 ctl run noop -q 1
check "then it goes too" wait_for 20 is_gone "$read_slowly"

echo "== a job that is being removed is not opened any more"
id=$(ctl run noop -d 1)
exits 0 ctl wait "$id"
mkfifo "$dir/go"
in_store "BEGIN IMMEDIATE" "SELECT 'held'" "@$dir/go" "COMMIT" >"$dir/held" & # the disk takes nothing until then
holder=$!
check "the store is held" wait_for 10 grep -q held "$dir/held"
ctl rm "$id" >"$dir/removed" 2>&1 &
remover=$!
check "it cannot be shown while it is removed" wait_for 3 is_gone "$id"
exits 4 ctl results "$id"
echo go >"$dir/go"
wait $holder
wait $remover
equal "it is removed" $? 0
exits 4 ctl show "$id"
daemon_stop

echo "== an age"
configure 'jobs = 0; age = "0";'
daemon_start
exits 0 ctl clean
post_many 50 noop
post_many 50 identity
exits 0 ctl wait --all
check "a workload's own age counts" wait_for 20 counts 0 -w identity
equal "of it only" "$(listed -w noop)" 50
daemon_kill
configure 'age = "1s";'
daemon_start
check "and one for all" wait_for 20 counts 0
daemon_stop

echo "== nothing is removed that is not to be"
configure 'jobs = 0; age = "0";'
daemon_start
id=$(ctl run noop -d 1)
exits 0 ctl wait "$id"
daemon_stop
configure 'age = "36500d";'
daemon_start
exits 0 ctl results "$id"

echo "== the disk space comes back"
head -c 700000 /dev/zero | tr '\0' x >"$dir/line"
for _ in 1 2 3 4 5 6 7 8 9 10; do cat "$dir/line"; echo; done >"$dir/lines"
[ -z "${SANITIZER:-}" ] && rounds=12 || rounds=9
for _ in $(seq $rounds); do ctl run wide -d -m pool -i "$dir/lines" >/dev/null; done
exits 0 ctl wait --all --timeout 120s
size() { stat -c %s "$dir/state/"*.db 2>/dev/null | sort -n | tail -n 1; }
grown=$(size)
check "the store has grown" test "$grown" -gt 100000000
exits 0 ctl clean
check "and shrinks when the jobs are gone" wait_for 60 eval '[ "$(size)" -lt 80000000 ]'
daemon_stop

echo "== not on disk"
configure 'age = "1d";'
daemon_start
id=$(ctl run flood -d 1 2 3)
exits 0 ctl wait "$id"
equal "its results are there" "$(ctl results "$id" | wc -l)" 3
says '"durable":false' <(ctl show "$id" --json | tr -d ' ')
daemon_kill
daemon_start
exits 4 ctl show "$id"
daemon_stop
exec 2>&1
configure 'jobs = -1;' && check "a wrong number is refused" eval '! "$concd" -c "$dir/concd.conf" -t'
configure 'age = "soon";' && check "a wrong age is refused" eval '! "$concd" -c "$dir/concd.conf" -t'
finish
