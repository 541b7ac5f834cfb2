#!/usr/bin/env bash
# retry: a new job with the inputs of an ended one, all or those that did not do, exactly, also when the daemon is killed
# while it copies them.
. "$(dirname "$0")/lib.sh"
write_config "workloads = { $(stanza noop) $(stanza identity) $(stanza crash) $(stanza hang 'grace = "200ms";') };"
daemon_start
[ -z "${SANITIZER:-}" ] && many=1000000 || many=60000

shown() { # shown KEY JOB: the value of a key
	ctl show "$2" --json | tr -d ' \n' | grep -oE "\"$1\":(\"[^\"]*\"|[0-9a-z.]+)" | head -n 1 | cut -d: -f2 | tr -d '"'
}
has() { # has KEY VALUE JOB
	[ "$(shown "$1" "$3")" = "$2" ]
}

echo "== all of it"
id=$(ctl run identity -d -m process -j 1 -l one --timeout 1h a "b  c" '' 'd\e' "$(printf 'f\tg')")
exits 0 ctl wait "$id"
exits 0 ctl retry "$id"
again=$(shown job @last)
says "job $id: runs again as job $again" "$dir/out"
check "it is another job" test "$again" -gt "$id"
exits 0 ctl wait "$again"
check "with the same results" cmp -s <(ctl results "$id") <(ctl results "$again")
for key in workload model workers shape label timeout_s task_timeout_s retries; do
	equal "its $key is the same" "$(shown $key "$again")" "$(shown $key "$id")"
done
equal "it says of whom it is" "$(shown retry_of "$again")" "$id"
equal "-q prints the number only" "$(ctl retry -q "$id")" $((again + 1))
exits 0 ctl wait --all
exits 3 ctl retry --failed "$id"
says "no task that failed"
long=$(ctl run sleeper -d -m async 100s)
exits 3 ctl retry "$long"
says "what has ended"
exits 0 ctl cancel "$long"
empty=$(ctl run noop -d -i /dev/null)
ctl wait "$empty" >/dev/null
exits 3 ctl retry "$empty"

echo "== what did not do"
id=$(ctl run crash -d -m process -j 2 1 crash 2 3 crash 4)
exits 1 ctl wait "$id"
exits 0 ctl retry --failed "$id"
exits 1 ctl wait @last
equal "the quarantined tasks are tried again" "$(ctl results --failed @last | cut -f 1-3 | tr '\t\n' ' ;')" \
	"0 quarantined crash;1 quarantined crash;"
exits 0 ctl clean
id=$(ctl run sleeper -d -m async -j 1 1ms 2ms 100s 3ms 4ms)
check "two are done" wait_for 10 has done 2 "$id"
exits 0 ctl cancel "$id"
exits 0 ctl retry --failed --state cancelled -w sleeper -q
ctl pause @last >/dev/null
equal "cancelled ones are among them" "$(shown total @last)" 3
exits 0 ctl kill @last
exits 0 ctl clean
id=$(ctl run noop -d --no-durable -m pool $(seq 1 500))
exits 0 ctl wait "$id"
exits 0 ctl retry "$id"
exits 0 ctl wait @last
check "of a job that is not on disk as well" cmp -s <(ctl results @last) <(seq 1 500)

echo "== $many inputs, and a kill of the daemon while they are copied"
seq 1 $many >"$dir/many"
exits 0 ctl clean
id=$(ctl run noop -d -m pool -i "$dir/many")
exits 0 ctl wait "$id" --timeout 120s
for resumed in before after; do
	exits 0 ctl pause -w noop # it is not to end before rm comes
	again=$(ctl retry -q "$id")
	exits 3 ctl rm "$again"
	[ $resumed = after ] || exits 0 ctl resume -w noop
	daemon_kill
	daemon_start
	[ $resumed = before ] || exits 0 ctl resume -w noop
	exits 0 ctl wait "$again" --timeout 120s
	ctl results "$again" >"$dir/got"
	check "every input once, in order" cmp -s "$dir/got" "$dir/many"
done
awk '{ print ($1 % 3 == 0 ? "0" : "60s") }' "$dir/many" >"$dir/mixed"
id=$(ctl run sleeper -d -m async -j 1000 -i "$dir/mixed")
check "some are done" wait_for 60 eval '[ "$(shown done "$id")" -gt 100 ]'
exits 0 ctl cancel "$id"
left=$(ctl results "$id" --failed | wc -l)
exits 0 ctl pause -w sleeper # none of it is to run
again=$(ctl retry -q --failed "$id")
daemon_kill
daemon_start
check "all are copied" wait_for 60 eval '[ "$(shown total "$again")" = "$left" ]'
exits 0 ctl cancel "$again"
check "each wanted one, in order" cmp -s <(ctl results --failed "$again" | cut -f 3) <(ctl results --failed "$id" | cut -f 3)
daemon_stop
equal "concd ends with 0" $? 0
finish
