#!/usr/bin/env bash
# Damage to the store: `concd --check-store` finds and names it, tasks whose rows are damaged fail and say so while others go
# on, and a store that cannot be used is moved aside, never replaced in silence.
. "$(dirname "$0")/lib.sh"

check_store() {
	"$concd" -c "$dir/concd.conf" --check-store
}

page_bytes() {
	in_store 'PRAGMA page_size'
}

write_config
exits 4 check_store
says "there is no store"

# A sound one, looked at under a daemon at work.
daemon_start
exits 0 ctl run sleeper -q -m async -i <(seq -f '%gus' 1 5000)
for n in 2 3 4 5; do
	id=$(ctl run sleeper -d -m thread -j 2 $(seq -f "$n%gms" 1 5) 300s)
	equal "a job's number" "$id" $n
	check "job $n is done but for one task" wait_for 20 eval "ctl show $n --json | tr -d ' ' | grep -q '\"done\":5'"
	exits 0 ctl pause $n
done
exits 0 check_store
says "sound: 5 jobs, 4 of them unfinished, with 50" "$dir/out"
daemon_kill
exits 0 check_store
says "sound: 5 jobs" "$dir/out"
daemon_start
check "the daemon ends" daemon_stop
exits 0 check_store
says "$dir/state/concd.db: schema version" "$dir/out"

# Its log was lost.
daemon_start
exits 0 ctl run sleeper -q 1ms
check "the store is marked" wait_for 20 eval "[ \"\$(in_store \"SELECT value FROM meta WHERE key = 'log'\")\" = 2 ]"
daemon_kill
rm "$dir/state/concd.db-wal"
exits 1 check_store
says "the log of the store, '$dir/state/concd.db-wal', is missing" "$dir/out"
daemon_start
says "error: store: the log of the store" "$dir/log"
ctl status >"$dir/out"
says "the latest jobs and results are lost" "$dir/out"
check "the daemon ends" daemon_stop
exits 0 check_store

# A copy that SQLite makes of a daemon's store at work lacks nothing.
daemon_start
id=$(ctl run sleeper -d 1ms)
exits 0 ctl wait "$id" -q
check "the store is marked" wait_for 20 eval "[ \"\$(in_store \"SELECT value FROM meta WHERE key = 'log'\")\" = 2 ]"
in_store "VACUUM INTO '$dir/copy.db'"
daemon_kill
rm "$dir/state/concd.db-wal"
mv "$dir/copy.db" "$dir/state/concd.db"
exits 0 check_store
daemon_start
exits 0 ctl results "$id"
equal "status says nothing of a log" "$(ctl status | grep -c 'is missing')" 0
check "the daemon ends" daemon_stop

# Rows: each finding names its job and what it means.
cp "$dir/state/concd.db" "$dir/sound.db"
in_store "UPDATE segment SET packed = CAST(replace(packed, '98us', '88us') AS BLOB) WHERE job = 1 AND segment = 0;
	UPDATE job SET head = CAST(replace(head, '300s', '200s') AS BLOB) WHERE id = 2;
	UPDATE task SET packed = CAST(replace(packed, '32ms', '23ms') AS BLOB) WHERE job = 3;
	UPDATE job SET spec = 'nonsense' WHERE id = 4;
	INSERT INTO task SELECT 77, task, sum, packed FROM task WHERE job = 5 AND task < 2;"
exits 1 check_store
cp "$dir/out" "$dir/err"
says "job 1 'sleeper': the outcomes of tasks 0 to 4095 are damaged"
says "job 2 'sleeper': the inputs of tasks 0 to 5 are damaged"
says "job 3 'sleeper': the outcome of task 1 is damaged"
says "job 4 'sleeper': its specification is damaged"
says "2 rows of table 'task' belong to job 77"
says "damaged: 5 findings"

# One that is no database any more.
cp "$dir/state/concd.db" "$dir/rows.db"
dd if=/dev/zero of="$dir/state/concd.db" bs=100 count=1 conv=notrunc 2>/dev/null
exits 1 check_store
says "is damaged: it is no database any more; concd moves it aside when it starts"
cp "$dir/rows.db" "$dir/state/concd.db"

# At work: what is damaged fails, the rest goes on.
daemon_start
exits 0 ctl resume 2 3 5
exits 1 ctl wait 2 --timeout 20s
exits 1 ctl results 2
equal "outcomes from before are there" "$(tr '\n' ' ' <"$dir/out")" "21ms 22ms 23ms 24ms 25ms "
says "its input is damaged on the disk"
ctl show 3 >"$dir/out"
says "its outcome is damaged on the disk" "$dir/out"
exits 0 ctl cancel 3
exits 0 ctl cancel 5
exits 1 ctl results 5 -q
equal "a sound job's outcomes" "$(tr '\n' ' ' <"$dir/out")" "51ms 52ms 53ms 54ms 55ms "
exits 1 ctl results 1
says "results cannot be read"
says "job 4 stays on disk and does not run" "$dir/log"
exits 0 ctl run sleeper -q 1ms
check "the daemon ends" daemon_stop

# Numbers that stand for something, and no longer do.
cp "$dir/sound.db" "$dir/state/concd.db"
in_store "UPDATE job SET priority = 2000000000 WHERE id IN (2, 3); UPDATE job SET priority = -2000000000 WHERE id = 5;
	UPDATE job SET state = 200 WHERE id = 1;"
daemon_start
exits 0 ctl list
exits 0 ctl show 1
equal "what has ended, nobody knows how, has failed" "$(field state 1)" failed
exits 0 ctl show 5
exits 0 ctl resume 2
exits 0 ctl cancel 2
check "the daemon ends" daemon_stop

# An outcome of a task that there is not, where all the others have theirs: the job is left alone, also when these have been written.
cp "$dir/sound.db" "$dir/state/concd.db"
in_store "INSERT INTO task SELECT 5, 5, sum, packed FROM task WHERE job = 5 AND task = 0;
	INSERT INTO task SELECT 5, 77, sum, packed FROM task WHERE job = 5 AND task = 0;"
daemon_start
says "job 5 stays on disk and does not run: its outcomes are not readable" "$dir/log"
exits 0 ctl run sleeper -q 1ms
exits 0 ctl list
check "the daemon ends" daemon_stop
equal "it has not ended" "$(in_store "SELECT ended_us FROM job WHERE id = 5")" 0

# A damaged page.
cp "$dir/sound.db" "$dir/state/concd.db"
page=$(in_store "SELECT rootpage FROM sqlite_schema WHERE name = 'input'")
head -c 4096 /dev/urandom | dd of="$dir/state/concd.db" bs="$(page_bytes)" seek=$((page - 1)) conv=notrunc status=none
exits 1 check_store
says "the file is damaged" "$dir/out"

# What cannot be checked.
cp "$dir/sound.db" "$dir/state/concd.db"
in_store "PRAGMA user_version = 1000" >/dev/null
exits 3 check_store
says "schema version 1000"
in_store "PRAGMA user_version = 0; PRAGMA application_id = 7" >/dev/null
exits 3 check_store
says "another program"
exits 1 "$concd" -c "$dir/concd.conf"
says "another program"

# A store that cannot be used: every byte of it stays, and nobody can miss it.
cp "$dir/sound.db" "$dir/state/concd.db"
page=$(in_store "SELECT rootpage FROM sqlite_schema WHERE name = 'job'")
printf 'damage' | dd of="$dir/state/concd.db" bs=1 seek=$(((page - 1) * $(page_bytes))) conv=notrunc status=none
before=$(cksum <"$dir/state/concd.db")
: >"$dir/log"
daemon_start
aside=$(ls "$dir"/state/concd.db.damaged-*Z)
equal "it was moved as it was" "$(cksum <"$aside")" "$before"
says "error: store: damage" "$dir/log"
says "it was moved to '$aside'" "$dir/log"
ctl status >"$dir/out"
says "the store was damaged and moved to '$aside'" "$dir/out"
exits 0 ctl run sleeper -q 1ms
exits 4 ctl show 1
equal "the next job's number was never given before" "$(ctl run sleeper -d 1ms | awk '{print ($1 > 5)}')" 1
exits 0 check_store
check "the daemon ends" daemon_stop
daemon_start
equal "status shows it until the restart" "$(ctl status | grep -c damaged)" 0
check "the damaged store is still there" [ -f "$aside" ]
finish
