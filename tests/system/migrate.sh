#!/usr/bin/env bash
# A store that an older concd left in the middle of its work (tests/data/store-v1.sql) is brought to the newest version:
# whole or not at all, wherever the migration is killed; then its jobs go on and every result is right.
. "$(dirname "$0")/lib.sh"

write_config 'workloads = { once = { plugin = "sleeper"; idempotent = false; }; };'

# lay_out_store [VERSION]: the store as it was left, but a moment ago: what is kept for a time only is to be there.
lay_out_store() {
	rm -rf "$dir/state"
	mkdir -m 700 "$dir/state"
	in_store <"$top_srcdir/tests/data/store-v1.sql" >"$dir/out" || exit 99
	[ "${1:-1}" -lt 2 ] || in_store <"$top_srcdir/tests/data/store-v2.sql" >"$dir/out" || exit 99
	in_store "UPDATE job SET created_us = strftime('%s', 'now') * 1000000;
		UPDATE job SET ended_us = created_us WHERE ended_us > 0" >"$dir/out" || exit 99
}

newest=$(sed -n 's/^#define SCHEMA_VERSION \([0-9]*\).*/\1/p' "$top_srcdir/daemon/store/schema.h")
tables='SELECT count(*) FROM sqlite_schema'
lay_out_store
old_tables=$(in_store "$tables")

# killed_at K:WHEN: a migration that dies there leaves the old store or the new one. 1: it no longer dies.
killed_at() {
	lay_out_store
	daemon_start_dying "$1" 0 migration
	until daemon_has_died || ctl ping >/dev/null 2>&1; do :; done
	if ! daemon_has_died; then
		daemon_kill
		return 1
	fi
	daemon_reap
	kills=$((kills + 1))
	case $(in_store 'PRAGMA user_version') in
	1) equal "killed at $1: all of the old store" "$(in_store "$tables")" "$old_tables" ;;
	2 | "$newest") check "killed at $1: all of a newer store" [ "$(in_store "$tables")" -gt "$old_tables" ] ;;
	*) fail "killed at $1: the store has version $(in_store 'PRAGMA user_version')" ;;
	esac
	equal "killed at $1: the store is sound" "$(in_store 'PRAGMA integrity_check')" ok
	equal "killed at $1: its jobs are there" "$(in_store 'SELECT count(*) FROM job')" 8
}

kills=0
if [ -z "$shim_why" ]; then
	for ((k = 1; k < 100; k++)); do
		killed_at $k:before || break
		killed_at $k:after || break
	done
	check "the migration was killed at each of its $kills steps" [ $kills -ge 4 ]
	: >"$dir/log"
else
	echo "without kills: $shim_why"
fi

# goes_on VERSION: a store of this version is brought up to date, and its jobs go on.
goes_on() {
	lay_out_store "$1"
	: >"$dir/log"
	daemon_start
	says "store: migrating '$dir/state/concd.db' from schema version $1" "$dir/log"
	[ "$1" -lt 2 ] || equal "a job's priority is as it was" "$(in_store 'SELECT priority FROM job WHERE id = 5')" 7
	equal "the store has the newest version" "$(in_store 'PRAGMA user_version')" "$newest"

	exits 1 ctl results 1
	equal "an ended job's results" "$(tr '\n' ' ' <"$dir/out")" "1ms 2ms 3ms "
	says "'nonsense' is not a duration"
	exits 0 ctl results 2
	check "another's" cmp -s "$dir/out" <(seq -f '%gus' 1 300)

	exits 0 ctl wait 3 --timeout 60s
	exits 0 ctl results 3
	check "a half done job: what was done and what was missing" cmp -s "$dir/out" <(seq -f '%gus' 1 4200; seq -f '%gms' 20 1 79)

	exits 1 ctl wait 4 --timeout 60s
	exits 1 ctl results 4
	equal "one that must not run twice: what was done and what had not begun" "$(tr '\n' ' ' <"$dir/out")" "1ms 2ms 3ms 4ms 5ms 6ms "
	equal "what was begun is interrupted" "$(grep -c interrupted "$dir/err")" 2

	says '"state":"paused"' <(ctl show 5 --json | tr -d ' ')
	exits 0 ctl resume 5
	exits 0 ctl wait 5 --timeout 60s
	equal "a paused job goes on when it is told to" "$(ctl results 5 | tr '\n' ' ')" "7ms 8ms 9ms "

	exits 0 ctl wait 6 7 --timeout 60s
	equal "a job in order" "$(ctl results 6 | tr '\n' ' ')" "1ms 2ms 4s 3ms "
	equal "the one queued behind it" "$(ctl results 7 | tr '\n' ' ')" "10ms 11ms "

	printf '3ms\n' | curl -s --unix-socket "$sock" --data-binary @- 'http://concd/v1/jobs/8/inputs?from=2&last=1' >"$dir/out"
	exits 0 ctl wait 8 --timeout 60s
	equal "a job whose inputs had not all come" "$(ctl results 8 | tr '\n' ' ')" "1ms 2ms 3ms "

	equal "the next job has a new number" "$(ctl run sleeper -d 1ms)" 9
	check "the daemon ends" daemon_stop
	equal "the store is sound" "$(in_store 'PRAGMA integrity_check')" ok
}
goes_on 1
goes_on 2

# A newer store stays as it is, and the message says what to do.
in_store 'PRAGMA user_version = 99' >"$dir/out"
before=$(cksum <"$dir/state/concd.db")
exits 1 "$concd" -c "$dir/concd.conf"
says "has schema version 99"
says "use the newer concd that wrote it"
equal "a newer store is untouched" "$(cksum <"$dir/state/concd.db")" "$before"
finish
