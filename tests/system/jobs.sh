#!/usr/bin/env bash
# Jobs as their clients see them: sent in pieces, not kept, sent twice, begun and not to run twice, without their plugin
# after a restart, side by side in one crew, within -j, larger than memory likes.
. "$(dirname "$0")/lib.sh"
[ -z "${SANITIZER:-}" ] && many=400000 || many=40000

stanzas="$(stanza noop) $(stanza identity) $(stanza exec_log) $(stanza exec_log_once) $(stanza hang 'grace = "300ms";')"
# configure STANZAS [LIMITS]
configure() {
	write_config "limits = { open_timeout = \"4s\"; keep_ephemeral = 2; ${2:-} };
		workloads = { $1 };"
}
configure "$stanzas"
daemon_start

# post PATH: a request whose body is standard input; the answer in $dir/answer
post() {
	curl -s -o "$dir/answer" -w '%{http_code}' --unix-socket "$sock" --data-binary @- "http://concd/v1$1" >"$dir/code"
}
code() { # the status of the last
	cat "$dir/code"
}
# answer NAME: the value of a key in the last answer
answer() {
	tr -d ' \n' <"$dir/answer" | grep -oE "\"$1\":(\"[^\"]*\"|[0-9a-z]+)" | head -n 1 | cut -d: -f2 | tr -d '"'
}
shown() { # shown KEY JOB
	ctl show "$2" --json >"$dir/answer" && answer "$1"
}
has() { # has KEY VALUE JOB
	[ "$(shown "$1" "$3")" = "$2" ]
}
at_least() { # at_least KEY NUMBER JOB
	[ "$(shown "$1" "$3")" -ge "$2" ]
}
# open_job WORKLOAD INPUT...: its id in $id
open_job() {
	local workload=$1
	shift
	{ echo "{\"workload\":\"$workload\",\"model\":\"pool\",\"open\":true,\"inputs_format\":\"lines\"}"
	  [ $# -eq 0 ] || printf '%s\n' "$@"; } | post /jobs
	id=$(answer job)
}

echo "== jobs in pieces"
open_job noop 1 2 3
equal "an open job is accepted" "$(code)" 201
check "what it has runs" wait_for 10 has done 3 "$id"
equal "it stays open meanwhile" "$(shown state "$id")" open
equal "and its total is not known" "$(shown total "$id")" null
seq 4 9000 | post "/jobs/$id/inputs?from=3"
equal "a piece is answered with the number on disk" "$(answer inputs)" 9000
check "more than a segment runs while it is open" wait_for 20 has done 9000 "$id"
echo 1 | post "/jobs/$id/inputs?from=17"
equal "a wrong offset is refused" "$(code) $(answer code)" "409 wrong-offset"
says 9000 "$dir/answer"
daemon_kill
daemon_start
seq 9001 10000 | post "/jobs/$id/inputs?from=9000&last=1"
equal "after a restart the client goes on" "$(answer inputs)" 10000
exits 0 ctl wait "$id" --timeout 20s
ctl results "$id" >"$dir/got"
check "every piece's results are there, in order" cmp -s "$dir/got" <(seq 1 10000)
echo 1 | post "/jobs/$id/inputs?from=10000"
equal "a closed job takes no more" "$(answer code)" wrong-state

open_job noop 1 2
check "what it has runs" wait_for 10 has done 2 "$id"
exits 0 ctl cancel "$id"
equal "cancelled while open, though all it had was done: cancelled" "$(shown state "$id")" cancelled
open_job noop
exits 0 ctl cancel "$id"
equal "an open job without inputs can be cancelled" "$(shown state "$id")" cancelled
open_job sleeper 30s 30s
yes 30s | head -n 5000 | post "/jobs/$id/inputs?from=2" &
ctl cancel "$id" >/dev/null
wait $!
equal "a piece that meets a cancel leaves the job cancelled" "$(shown state "$id")" cancelled
total=$(shown total "$id")
equal "and every task it has is" "$(shown cancelled "$id")" "$total"
open_job noop 7 8
check "an abandoned open job ends after open_timeout" wait_for 15 has state failed "$id"
says '"interrupted"' "$dir/answer"
equal "and has run what it had" "$(shown done "$id")" 2

id=$(ctl run hang -d -m pool hang)
queued=$(ctl run sleeper -d -m sync $(yes 60s | head -n 20000))
check "a task hangs" wait_for 10 at_least running 1 "$id"
check "another job runs" wait_for 10 at_least running 1 "$queued"
for i in "$id" "$queued"; do
	post "/jobs/$i/cancel?wait=0" </dev/null
done
check "the cancel is on its way to the disk" wait_for 10 at_least cancelled 100 "$queued"
open_job noop 1 # its answer comes after what was written before
daemon_kill
daemon_start
exits 1 ctl wait "$queued" --timeout 20s
equal "a cancel outlives a kill of the daemon" "$(shown state "$queued")" cancelled

echo "== jobs that are not kept"
seq 1 $many >"$dir/many"
ctl run noop -q --no-durable -m pool -i "$dir/many" >"$dir/got"
check "$many results come through the spill file" cmp -s "$dir/got" "$dir/many"
first=$(ctl run noop -d --no-durable -m pool $(seq 1 100))
exits 0 ctl wait "$first"
ctl results "$first" >"$dir/got"
check "results are there after the end" cmp -s "$dir/got" <(seq 1 100)
for i in 1 2 3; do
	id=$(ctl run noop -d --no-durable -m pool $i)
	ctl wait "$id" >/dev/null
done
exits 4 ctl results "$first"
ctl results "$id" >"$dir/got"
equal "the last ones are kept" "$(cat "$dir/got")" 3
seq 1 $many | sed 's/$/ 0123456789012345678901234567890123456789/' >"$dir/wide"
id=$(ctl run identity -d --no-durable -m pool -i "$dir/wide")
exits 0 ctl wait "$id" --timeout 60s
for i in 1 2; do
	ctl results "$id" >"$dir/got"
	check "wide results are read back ($i)" cmp -s "$dir/got" "$dir/wide"
done
open_job noop 1
kept=$id
printf '{"workload":"noop","durable":false,"timeout_s":0.2,"inputs":["5"]}' | post /jobs
id=$(answer job)
exits 0 ctl wait "$id"
read -r -t 0.4 _ <>"$dir/never"
equal "a time limit that passes after the end changes nothing" "$(shown error "$id")" null
ctl cancel "$kept" >/dev/null

echo "== large results"
seq 1 4200 | awk '{ printf "%d ", $1; for (i = 0; i < 100; i++) printf "0123456789"; print "" }' >"$dir/large"
timeout 20 "$concctl" -s "$sock" run identity -q -m pool -i "$dir/large" >"$dir/got"
check "a segment larger than what stays in memory is streamed" cmp -s "$dir/got" "$dir/large"

echo "== sent twice"
for durable in true false; do
	for i in 1 2 3 4; do
		printf '{"workload":"noop","submission":"twice-%s","durable":%s,"inputs":["1"]}' $durable $durable |
			curl -s --unix-socket "$sock" --data-binary @- http://concd/v1/jobs >"$dir/twice$i" &
		pids[i]=$!
	done
	wait "${pids[@]}"
	equal "one submission sent four times at once is one job (durable: $durable)" \
		"$(cat "$dir"/twice? | grep -oE '"job": ?"[0-9]+"' | sort -u | wc -l)" 1
done
printf '{"workload":"noop","submission":"twice-true","inputs":["1"]}' | post /jobs
equal "and is known afterwards" "$(code) $(answer known)" "200 true"

echo "== begun, and must not run twice"
mkdir "$dir/once"
id=$(ctl run exec_log_once -d -m process -j 3 -p dir="$dir/once" -p us=20000 -p sleep=true $(seq 1 150))
check "it runs" wait_for 10 at_least done 6 "$id"
for i in 1 2; do
	kill -KILL "$(pgrep -P "$daemon_pid" -x concd-worker | head -n 1)"
	before=$(shown done "$id")
	wait_for 10 at_least done $((before + 6)) "$id"
done
daemon_kill
daemon_start
ctl results "$id" --follow >"$dir/got" 2>"$dir/err"
equal "every task has an outcome" $(($(wc -l <"$dir/got") + $(grep -c 'interrupted\|crashed' "$dir/err"))) 150
equal "none began twice" "$(awk '$1 == "begin" && n[$2]++ == 1' "$dir/once/log" | wc -l)" 0
check "most of them were done" test "$(wc -l <"$dir/got")" -ge 135

echo "== side by side"
a=$(ctl run sleeper -d --shape 1x2x1 $(yes 10ms | head -n 200))
b=$(ctl run sleeper -d --shape 1x2x1 $(yes 10ms | head -n 10))
exits 0 ctl wait "$b" --timeout 20s
check "jobs of one crew take turns" test "$(shown done "$a")" -lt 150
a=$(ctl run sleeper -d -m sync $(yes 20ms | head -n 30))
b=$(ctl run sleeper -d -m sync 0)
says "job $a is before it" <(ctl show "$b" --json)
exits 0 ctl wait "$b" --timeout 20s
equal "under sync they follow each other" "$(shown done "$a")" 30

echo "== -j"
limit() { # limit NAME J RUN-OPTIONS...: the most at once, by the log
	local name=$1 j=$2
	shift 2
	mkdir "$dir/exec"
	ctl run exec_log -q -p dir="$dir/exec" -p us=3000 -p sleep=true "$@" $(seq 1 120) >/dev/null
	equal "never more than $j at once under $name, and as many" "$(awk '
		$1 == "begin" { if (++n > most) most = n }
		$1 == "end" { n-- }
		END { print most }' "$dir/exec/log")" "$j"
	rm -r "$dir/exec"
}
for model in async thread pool process; do
	limit "$model -j 3" 3 -m $model -j 3
done
for shape in 1x6x1 6x1x1 1x1x6 2x1x3; do
	limit "$shape -j 2" 2 --shape $shape -j 2
done
limit sync 1 -m sync

mkdir "$dir/exec"
id=$(ctl run exec_log -d --shape 1x6x1 -j 3 -p dir="$dir/exec" -p us=10000 $(seq 1 100))
check "it runs" wait_for 10 at_least done 5 "$id"
victim=$(pgrep -P "$daemon_pid" -x concd-worker -n)
process_of "$victim"
kill -KILL "$victim"
exits 0 ctl wait "$id" --timeout 20s
equal "tasks that run alone after a death count within -j" "$(awk -v killed="$process" '
	$3 != killed && !gone { gone = 1; n = 0 }
	$1 == "begin" { if (++n > most) most = n }
	$1 == "end" { n-- }
	END { print (gone ? most : "nothing ran again") }' "$dir/exec/log")" 3

echo "== a stop while a client reads"
id=$(ctl run sleeper -d -m async -j 50 $(yes 5ms | head -n 3000))
seq 1 30000 | sed 's/.*/1ms/' >"$dir/slow"
ctl run sleeper -q -m async -j 20 --reconnect 1s -i "$dir/slow" >"$dir/got" 2>/dev/null &
client=$!
check "both run" wait_for 10 at_least done 40 "$id"
attached=$((id + 1))
check "the one with a client too" wait_for 10 at_least done 40 "$attached"
daemon_stop
equal "concd ends with 0" $? 0
wait $client
equal "the client gives up and says that the daemon is gone" $? 69
daemon_start
exits 0 ctl wait "$id" "$attached" --timeout 60s
equal "its client's end is no cancel: all is done" "$(shown done "$attached")" 30000
equal "nor was anything of the other lost" "$(shown done "$id")" 3000
id=$(ctl run hang -d -m pool hang)
check "a task hangs" wait_for 10 at_least running 1 "$id"
kill -TERM "$daemon_pid"
kill -INT "$daemon_pid"
wait "$daemon_pid"
equal "told to stop twice it leaves in order, whatever is out" $? 0
daemon_pid=

echo "== a job whose plugin is gone"
configure "$(stanza identity)"
daemon_start
check "the job is there" has state queued "$id"
says "the daemon has no workload 'hang' any more: start it with that again, or cancel the job" <(ctl show "$id")
exits 0 ctl cancel "$id"
equal "and can be cancelled" "$(shown state "$id")" cancelled
daemon_stop

echo "== one process for all"
configure "$stanzas" 'max_processes = 1;'
daemon_start
open_job noop 1
check "one crew has the only process" wait_for 10 has done 1 "$id"
equal "another crew gets it while the first has nothing to do" "$(timeout 10 "$concctl" -s "$sock" run noop -q --shape 1x1x4 2)" 2
echo 3 | post "/jobs/$id/inputs?from=1&last=1"
exits 0 ctl wait "$id" --timeout 10s
daemon_stop
finish
