#!/usr/bin/env bash
# A job of a million tasks leaves little more memory behind in its daemon than one of ten, and some that are not on disk no more
# together than ended jobs may keep.
. "$(dirname "$0")/lib.sh"
[ -z "${SANITIZER:-}" ] || { echo "skipped: the runtime of the sanitizer keeps what was freed"; exit 77; }

write_config "workloads = { $(stanza noop) };"
seq 1000000 >"$dir/inputs"

private_kib() {
	awk '/^Private/ { n += $2 } END { print n }' "/proc/$daemon_pid/smaps_rollup"
}
at_most() {
	[ "$(private_kib)" -le "$1" ]
}

daemon_start
exits 0 ctl run noop -q -m pool -i <(head -n 10 "$dir/inputs")
small=$(private_kib)
check "the daemon ends" daemon_stop
rm -rf "$dir/state"

daemon_start
exits 0 ctl run noop -q -m pool -i "$dir/inputs"
check "every result is there" cmp -s "$dir/out" "$dir/inputs"
# It is given back when there has been rest for a while.
check "a million tasks cost at most 1 MiB more than ten" wait_for 30 at_most $((small + 1024))
echo "ten tasks: $small KiB, a million: $(private_kib) KiB"
exits 0 ctl results @last -q
check "so does reading them" cmp -s "$dir/out" "$dir/inputs"
check "which costs no more" wait_for 30 at_most $((small + 1024))
echo "and read again: $(private_kib) KiB"

for _ in 1 2 3 4; do exits 0 ctl run noop -q -m pool --no-durable -d -i "$dir/inputs"; cat "$dir/out"; done >"$dir/ids.all"
grep -x '[0-9]*' "$dir/ids.all" >"$dir/ids"
equal "four jobs were submitted" "$(wc -l <"$dir/ids")" 4
# shellcheck disable=SC2046 # a word for each job
exits 0 ctl wait $(cat "$dir/ids")
# Each has 8 MB of inputs and as much of results; 16 MiB of all that stay in memory.
check "ended jobs that are not on disk keep 16 MiB together" wait_for 30 at_most $((small + 24 * 1024))
echo "and with four that are not on disk: $(private_kib) KiB"
while read -r job; do
	exits 0 ctl results "$job" -q
	check "what was put out of memory is there" cmp -s "$dir/out" "$dir/inputs"
done <"$dir/ids"
# Its reader is behind when it ends, and what is read stays.
ctl --json run noop -q -m pool --no-durable -i "$dir/inputs" >"$dir/lines"
equal "another is read as JSON" "$?,$(wc -l <"$dir/lines")" 0,1000001
check "and is put out of memory when it has been read" wait_for 30 at_most $((small + 24 * 1024))
echo "and with one that was read slowly: $(private_kib) KiB"
check "the daemon ends" daemon_stop
finish
