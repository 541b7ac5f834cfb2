#!/usr/bin/env bash
# run --joblog: a line a task, in the format of GNU parallel.
. "$(dirname "$0")/lib.sh"

write_config "workloads = { $(stanza crash) $(stanza identity) slow = { plugin = \"sleeper\"; model = \"async\"; grace = \"100ms\"; }; };"
daemon_start
log=$dir/log.tsv
header=$(printf 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand')
# column N: of all lines but the header, in the order of Seq
column() {
	tail -n +2 "$log" | sort -n | cut -f "$1" | tr -d ' ' | tr '\n' ' '
}

echo "== what ends how"
before=$(date +%s)
exits 1 ctl run slow -q --joblog "$log" 600ms nonsense 1ms
equal "the header" "$(head -n 1 "$log")" "$header"
equal "a line a task" "$(wc -l <"$log")" 4
equal "Seq is the place in the inputs" "$(column 1)" "1 2 3 "
equal "as they ended" "$(tail -n 1 "$log" | cut -f 1)" 1
equal "Host" "$(column 2)" ": : : "
equal "Exitval" "$(column 7)" "0 1 0 "
equal "Signal" "$(column 8)" "0 0 0 "
equal "Send: bytes of the input" "$(column 5)" "5 8 3 "
equal "Command" "$(tail -n +2 "$log" | sort -n | cut -f 9 | tr '\n' ';')" "slow 600ms;slow nonsense;slow 1ms;"
check "Starttime is now, JobRuntime is the task's" awk -F '\t' -v now="$before" \
	'NR > 1 && ($3 < now - 1 || $3 > now + 60 || $4 < 0) || $1 == 1 && $4 < 0.6 { bad = 1 } END { exit bad }' "$log"
exits 0 ctl run slow -q --joblog "$log" 1ms
equal "a second run is appended, with one header" "$(grep -c Seq "$log") $(wc -l <"$log")" "1 5"

rm "$log"
printf '\377\376\n\377\n\nabc\n' >"$dir/in"
exits 0 ctl run identity -q --joblog "$log" -i "$dir/in"
equal "bytes that are no text are counted as well" "$(column 5)$(column 6)" "2 1 0 3 2 1 0 3 "
rm "$log"
exits 1 ctl run crash -q --joblog "$log" -m process -p signal=abort crash
equal "a signal" "$(column 8)" "6 "
rm "$log"
exits 1 ctl run slow -q --joblog "$log" --task-timeout 50ms 60s
equal "a time limit" "$(column 7)" "124 "
rm "$log"
exits 0 ctl run slow -q --joblog "$log" --unordered -0 -i <(printf '1ms\0')
equal "with NUL too" "$(column 7)" "0 "
rm "$log"
printf '1ms x\n' >"$dir/in"
exits 1 ctl run slow -q --joblog "$log" -i "$dir/in" "$(printf 'a\tb')"
check "one field for any input" grep -qF 'slow a\tb' "$log"

echo "== - is standard output, where the results go"
cd "$dir" || exit 1
before=$(ctl --json list -n 1 | grep -oE '"job": ?"[0-9]+"')
exits 2 ctl run slow --joblog - 1ms
says "name a file, or /dev/stderr"
check "no file of that name" test ! -e ./-
equal "no job either" "$(ctl --json list -n 1 | grep -oE '"job": ?"[0-9]+"')" "$before"
exits 0 ctl run slow -q --joblog /dev/stderr 1ms
says "Exitval"
exits 0 ctl run slow -q --joblog ./- 1ms
equal "one that is named so" "$(wc -l <./-)" 2
exits 0 ctl results -o - @last
equal "results -o - is standard output" "$(wc -l <"$dir/out")" 1
echo 1ms >"$dir/in"
equal "run -i - is standard input" "$(ctl run slow -q -i - <"$dir/in" | wc -l)" 1

echo "== many, in pieces"
rm "$log"
yes 1 | head -n 120000 >"$dir/in"
exits 0 ctl run squares -q --joblog "$log" -i "$dir/in"
equal "a line for each" "$(tail -n +2 "$log" | cut -f 1 | sort -nu | wc -l)" 120000
equal "none twice" "$(wc -l <"$log")" 120001

echo "== cancelled, killed"
rm "$log"
setsid env --default-signal=INT "$concctl" -s "$sock" run slow --joblog "$log" 1ms 60s >"$dir/out" 2>"$dir/err" </dev/null &
client=$!
check "the first is logged while the second runs" wait_for 20 grep -qF "slow 1ms" "$log"
kill -INT $client
wait $client
equal "interrupted" $? 130
equal "what was cancelled is logged" "$(column 7)" "0 130 "
rm "$log"
"$concctl" -s "$sock" run slow -q --joblog "$log" 1ms 3s >"$dir/out" 2>"$dir/err" </dev/null &
client=$!
check "the first is logged" wait_for 20 grep -qF "slow 1ms" "$log"
daemon_kill
daemon_start
wait $client
equal "the run goes on with the next daemon" $? 0
equal "and nothing is logged twice" "$(column 1)" "1 2 "

echo "== refused"
exits 2 ctl run slow --joblog "$dir/in" 1ms
says "something else than a job log"
exits 2 ctl run slow --joblog "$dir/no/such" 1ms
says "No such file"
exits 2 ctl run slow -d --joblog "$log" 1ms
exits 1 ctl run slow --joblog /dev/full 1ms
says "No space left"

if command -v parallel >/dev/null 2>&1 && parallel --version 2>/dev/null | grep -q GNU; then
	echo "== parallel reads it"
	rm "$log"
	exits 1 ctl run slow -q --joblog "$log" 1ms nonsense 2ms
	HOME=$dir parallel --will-cite --joblog "$log" --resume-failed echo ::: 1ms nonsense 2ms >"$dir/out" 2>"$dir/err" </dev/null
	equal "it runs again what failed" "$(cat "$dir/out")" nonsense
	HOME=$dir parallel --will-cite --joblog "$log" --resume echo ::: 1ms nonsense 2ms 3ms >"$dir/out" 2>"$dir/err" </dev/null
	equal "and goes on behind it" "$(cat "$dir/out")" 3ms
fi
daemon_stop
equal "concd ends with 0" $? 0
finish
