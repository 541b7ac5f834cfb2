#!/usr/bin/env bash
# What bad input gets, through concd -t and concctl: an error that names the thing, the documented exit status, and a
# daemon that goes on.
. "$(dirname "$0")/lib.sh"

# ---- Checks of this file ----

# every_line_is_json: standard output of the last command.
every_line_is_json() {
	checks=$((checks + 1))
	if [ ! -s "$dir/out" ] || grep -qv '^{"schema":1,' "$dir/out"; then
		fail "$1: a line without schema: $(head -c 300 "$dir/out")"
	elif command -v python3 >/dev/null && ! python3 -c 'import json, sys; [json.loads(l) for l in sys.stdin]' <"$dir/out"; then
		fail "$1: no JSON: $(head -c 300 "$dir/out")"
	else
		echo "ok: JSON: $1"
	fi
}
# json STATUS ARGUMENTS...: concctl --json exits so and prints nothing but JSON.
json() {
	local wanted=$1
	shift
	exits "$wanted" ctl --json "$@"
	every_line_is_json "$*"
}
# refused TEXT CONFIGURATION [WHERE]: concd -t says it with the file and the line, and exits 78.
refused() {
	printf '%b' "$2" >"$dir/bad.conf"
	exits 78 "$concd" -t -c "$dir/bad.conf"
	says "$1"
	says "${3-bad.conf:2: }"
}
is_running() {
	ctl show "$1" --json | grep -qE '"running": ?[1-9]'
}
last_job_is() {
	ctl list -n 1 --json | grep -qE "\"state\": ?\"$1\""
}
last_job() {
	ctl list -n 1 --json | grep -oE '"job": ?"[0-9]+"' | head -n 1 | grep -oE '[0-9]+'
}
daemon_lives() {
	check "the daemon lives after $1" kill -0 "$daemon_pid"
}

# ---- Configuration ----

own="control = { socket = \"$sock\"; }; state_dir = \"$dir/state\";\n"
refused "unknown key: did you mean 'limits'?" "${own}limitz = { };"
refused "did you mean 'max_clients'?" "${own}limits = { max_client = 3; };"
refused "5000000000 does not fit 32 bits" "${own}limits = { max_tasks = 5000000000; };"
refused "must be an integer" "${own}limits = { max_tasks = \"many\"; };"
refused "0 is out of range" "${own}limits = { max_clients = 0; };"
refused "is no duration" "${own}defaults = { grace = \"5 parsecs\"; };"
refused "must be a duration" "${own}defaults = { grace = 5; };"
refused '"asink" is wrong' "${own}defaults = { model = \"asink\"; };"
refused "PROCESSESxTHREADSxCOROUTINES" "${own}workloads = { squares = { shape = \"2x1\"; }; };"
refused "syntax error" "${own}log = { level = ; };"
refused "no file mode" "control = { socket = \"$sock\";\nmode = \"0999\"; };"
refused "there is no group 'nosuchgroup'" "control = { socket = \"$sock\";\ngroup = \"nosuchgroup\"; };"
refused "a socket's path has at most" "\ncontrol = { socket = \"/$(printf '%0120d' 0)\"; };"
refused "NUL byte" "\nstate\0000dir = 1;"
refused "under thread or process" "${own}workloads = { squares = { service = true; model = \"async\"; }; };"
refused "a service has one task" "${own}workloads = { squares = { service = true; workers = 4; }; };"
refused "no parameter 'foo'" "${own}workloads = { sleeper = { params = { foo = 1; }; }; };"
refused "per_host is at least 0, not '-1'" "${own}workloads = { downloader = { params = { per_host = -1; }; }; };"
refused "cannot be read: No such file" "${own}workloads = { x = { plugin = \"/nonexistent.so\"; }; };"
equal "what is wrong is said once" "$(grep -c "No such file" "$dir/err")" 1
exits 78 "$concd" -t -c "$dir/nonexistent.conf"
says "nonexistent.conf: cannot be read: No such file or directory"
exits 78 "$concd" -c "$dir/bad.conf.d"
exits 2 "$concd" --bogus
says "concd: unrecognized option '--bogus'"
exits 2 "$concd" word

# ---- No daemon, a stale socket ----

exits 69 ctl ping
says "$sock"
json 69 status
if command -v python3 >/dev/null; then
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$sock"
	exits 69 ctl ping
	says "$sock"
fi

# ---- A daemon with plugins that cannot be used starts over the stale socket, and says so ----

settings="limits = { max_clients = 6; };
workloads = {
	missing = { plugin = \"nosuchplugin\"; };
	$(stanza abi '' wrong_abi) $(stanza size '' wrong_size) $(stanza symbol '' no_symbol) $(stanza dies '' describe_crash)
	$(stanza noop) $(stanza identity) $(stanza crash) $(stanza deep) $(stanza flood) $(stanza giant 'max_result = "1M";')
	$(stanza hang 'grace = "200ms";') $(stanza init_fail) $(stanza scribble)
};"
write_config "$settings"
daemon_start
for name in missing abi size symbol dies; do
	says "'$name' cannot be used" "$dir/log"
	exits 3 ctl run $name 1
	says "workload '$name' cannot be used: "
	says "concd.conf:"
	exits 3 ctl params $name
done
exits 0 ctl workloads
for why in "nosuchplugin.so' cannot be read" "plugin ABI 2, this concd has ABI 1" "CONCD_PLUGIN_HEADER" \
	"no symbol concd_plugin_v1" "describe_crash.so': it crashed while it was described (signal 11, SIGSEGV)"; do
	says "$why" "$dir/out"
done

exits 1 "$concd" -c "$dir/concd.conf"
says "$dir/state"
sed "s|$sock|$dir/other|" "$dir/concd.conf" >"$dir/same-state.conf"
exits 1 "$concd" -c "$dir/same-state.conf"
says "$dir/state"
sed "s|$dir/state|$dir/other-state|" "$dir/concd.conf" >"$dir/same-socket.conf"
exits 1 "$concd" -c "$dir/same-socket.conf"
says "$sock"
check "the daemon keeps its socket" ctl ping

# A user without permission; only root can become one.
other="setpriv --reuid=65534 --regid=65534 --clear-groups"
chmod 711 "$dir"
if [ "$(id -u)" = 0 ] && $other test -x "$concctl" 2>/dev/null; then
	exits 77 $other "$concctl" -s "$sock" ping
	says "$sock"
	says "mode"
	says "65534"
	exits 77 $other "$concctl" -s "$sock" --json status
	every_line_is_json "denied"
fi

# ---- What concctl is asked ----

exits 4 ctl run squaers 1
says "no workload 'squaers'; did you mean 'squares'?"
exits 4 ctl run qqqqqqqqqq 1
says 'concctl workloads'
exits 4 ctl run squares -m asink 1
says "did you mean 'async'?"
for shape in 2x2 0x1x1 1x1x-1 1x1x1x1 x 100000x1x1; do
	exits 2 ctl run squares --shape $shape 1
done
for workers in 0 -1 1.5 ten 99999999 9999999999999; do
	exits 2 ctl run squares -j $workers 1
done
exits 2 ctl run squares -m sync -j 2 1
says "one task at a time"
exits 2 ctl run crash -p evry=3 1
says "did you mean 'every'?"
exits 2 ctl run crash -p every 1
says "KEY=VALUE"
for value in every=x every=-1 every=99999999999999999999 delay=5 signal=none; do
	exits 2 ctl run crash -p $value 1
	says "parameter ${value%=*}"
done
for time in 5 -5s bla 99999999999999h; do
	exits 2 ctl run squares --timeout $time 1
	says "duration"
done
exits 2 ctl rnu
says "did you mean 'run'?"
exits 2 ctl run squares --modle x 1
says "did you mean '--model'?"
exits 2 ctl run
exits 2 ctl
exits 2 ctl run squares
says "no inputs"
exits 2 ctl run squares -i "$dir/nonexistent"
says "'$dir/nonexistent': No such file or directory"
exits 2 ctl run squares -i "$dir"
says "is a directory"
exits 2 ctl list --state foo
exits 2 ctl list -n x
exits 2 ctl show abc
says "'abc' is no job"
for command in show results follow wait cancel; do
	exits 4 ctl $command 999
	says "there is no job 999"
	json 4 $command 999
done
exits 1 ctl run squares -- abc -1 '' 0x10 ' 5' 99999999999999999999
equal "each refused input is a failed task" "$(grep -c invalid-input "$dir/err")" 6

# ---- Inputs that are hard to carry ----

head -c 1048576 /dev/zero | tr '\0' x >"$dir/mebibyte"
{ cat "$dir/mebibyte"; printf '\n1\n'; cat "$dir/mebibyte"; } >"$dir/lines"
ctl run identity -q -i "$dir/lines" >"$dir/got"
check "lines of 1 MiB go through" cmp -s "$dir/got" <(cat "$dir/lines"; echo)
{ echo 1; cat "$dir/mebibyte"; echo x; } >"$dir/lines"
exits 2 ctl run identity -q -i "$dir/lines"
says "1048576"
{ seq 1 400000; cat "$dir/mebibyte"; echo x; } >"$dir/lines" # its job is there already
for how in -q -d; do
	exits 2 ctl run identity $how -i "$dir/lines"
	says "job $(last_job) is cancelled: input file '$dir/lines': input 400001 is longer than 1048576 bytes"
	check "it is cancelled" wait_for 20 last_job_is cancelled
done
"$concctl" -s "$sock" run identity -i - <&- >"$dir/out" 2>"$dir/err"
equal "standard input that is closed is no empty file" $? 2
says "'standard input': it is closed"
printf 'a\nb\0\0\377\376' >"$dir/raw"
ctl run identity -q -0 -i "$dir/raw" >"$dir/got"
check "newlines, empty inputs and bytes that are no UTF-8 go through" cmp -s "$dir/got" <(printf 'a\nb\0\0\377\376\0')
printf 'a\\\tb\rc\0d\n' >"$dir/raw"
ctl run identity -q --tag -i "$dir/raw" >"$dir/got"
check "NUL in a line goes through, separators are escaped" \
	cmp -s "$dir/got" <(printf 'a\\\\\\tb\\rc\0d\ta\\\\\\tb\\rc\0d\n')
json 0 run identity $'a\xff'
says '"input_b64":"Yf8="' "$dir/out"
says '"result_b64":"Yf8="' "$dir/out"

# ---- Hostile plugins ----

exits 1 ctl run deep -q -m async 1 deep 2
# A sanitizer that reports the overrun itself has the last words.
[ -n "${SANITIZER:-}" ] || says "overran its stack"
says "SIGSEGV"
equal "its neighbours end" "$(tr '\n' ' ' <"$dir/out")" "1 2 "
exits 1 ctl run giant 10 2000000
says "too-large: the result of 2000000 bytes is over max_result (1048576 bytes)"
equal "a result within the limit" "$(cat "$dir/out")" abcdefghij
for to in log out err; do
	exits 0 ctl run flood -q -p to=$to 50000
done
check "the flood is limited in the log" [ "$(grep -c flood "$dir/log")" -lt 20000 ]
exits 1 ctl run init_fail 1 2
equal "tasks of a workload that cannot start say why" "$(grep -c '^concctl: task .*worker-init: init_fail: this worker' "$dir/err")" 2
exits 1 ctl run hang -q --task-timeout 50ms hang
says "was killed with its worker process"
# One after another: a result that another runner has written and the daemon has not read is not protected.
for model in $all_models; do
	alone=
	case $model in pool | process) alone=-j1 ;; esac
	for what in ring all; do
		rm -f "$dir/once"
		exits 0 ctl run scribble -m "$model" $alone -p once="$dir/once" 1 2 3 $what 4 5 6
		equal "$model: no result is lost or wrong" "$(tr '\n' ' ' <"$dir/out")" "1 2 3 $what 4 5 6 "
	done
done
says "no task is blamed" "$dir/log"
# One that does so each time: with pauses, and not for ever; the next submission is tried again.
restarts() {
	grep -cE "garbage .*'scribble'|'scribble' .*garbage" "$dir/log"
}
for shape in "-m sync" "-m async" "-m async -j 1"; do # one runner: the others' results are not garbage's to count
	for what in ring all; do
		before=$(restarts)
		# What it left may pass for a result.
		timeout 60 "$concctl" -s "$sock" run scribble -q $shape 1 2 $what >/dev/null 2>"$dir/err"
		status=$?
		check "$shape, $what: it ends" [ $status -le 1 ]
		check "$shape, $what: after few restarts" [ $(($(restarts) - before)) -le 12 ]
		[ "$shape, $what, $status" != "-m sync, ring, 1" ] || says "worker-init: its worker process wrote what makes no sense"
		exits 0 ctl run scribble $shape 7 8
	done
done
# Beside others, whose words and rings it spoils, whether a process is there just then or not.
for round in 1 2 3 4 5; do
	for what in ring all; do
		timeout 60 "$concctl" -s "$sock" run scribble -q -m process -j 2 1 2 $what 4 5 6 >/dev/null 2>"$dir/err"
		check "process, $what, time $round: it ends" [ $? -le 1 ]
		exits 0 ctl run scribble -q -m process -j 2 7 8 # whatever was left behind, and however often it failed
	done
done
daemon_lives "garbage in its rings"
# A wild pointer does not reach what other processes have written: it ends its own process, and is found out.
for round in 1 2 3; do
	exits 1 ctl run scribble -q -m process -j 3 $(seq 1 300) wild $(seq 301 600)
	says "(input 'wild'): quarantined: "
	equal "a wild pointer spoils no result, time $round" "$(cksum <"$dir/out")" "$(seq 1 600 | cksum)"
done

# ---- Jobs that run, have ended, are interrupted ----

id=$(ctl run sleeper -d 60s 60s)
check "a job runs" wait_for 10 is_running "$id"
json 0 show "$id"
json 124 wait "$id" --timeout 10ms
exits 124 ctl wait "$id" --timeout 10ms
json 0 results "$id"
json 0 list --state running
json 0 cancel "$id"
json 3 cancel "$id"
exits 3 ctl cancel "$id"
says "has ended"
json 1 wait "$id"
json 1 results "$id"
json 1 follow "$id"
exits 2 ctl results "$id" -o "$dir/nonexistent/file"
exits 2 ctl results "$id" -o "$dir"
for words in status workloads models version ping list "params crash" "run --dry-run noop 1" "run noop 1 2" \
	"run -d noop 1"; do
	json 0 $words
done
json 1 run crash 1 crash
json 2 run noop
json 2 bogus
json 4 run nonexistent 1

# interrupted SIGNAL INPUTS...: a run that gets the signal once its job runs; its exit status.
interrupted() {
	local signal=$1 pid
	shift
	# Job control gives the job its own SIGINT disposition; else the shell starts it with SIGINT ignored.
	set -m
	ctl run -q sleeper "$@" >"$dir/out" 2>"$dir/err" </dev/null &
	pid=$!
	set +m
	wait_for 10 last_job_is running || fail "the job of $signal does not run"
	pkill "-$signal" -P $pid -x concctl || kill "-$signal" $pid
	wait $pid
}
interrupted INT 60s
equal "Ctrl-C exits 130" $? 130
check "and the job is cancelled" wait_for 10 last_job_is cancelled
interrupted TERM 61s
check "SIGTERM leaves the job running" last_job_is running
exits 0 ctl cancel "$(last_job)"
set -m
{ while :; do echo 60s; done | "$concctl" -s "$sock" run -q sleeper -m async -i - & } >"$dir/out" 2>"$dir/err"
client=$(jobs -p %%)
set +m
check "a job is open" wait_for 10 last_job_is 'open|running'
kill -INT -- "-$client"
wait "$client" 2>/dev/null
check "Ctrl-C while inputs are sent cancels" wait_for 10 last_job_is cancelled
yes 10ms | head -n 100000 | ctl run -q sleeper -m async -j 10 -i - 2>"$dir/err" | head -n 1 >"$dir/out"
equal "a reader that goes away gets what it read" "$(wc -l <"$dir/out")" 1
check "and the job is cancelled" wait_for 10 last_job_is cancelled
daemon_lives "interrupted clients"

# ---- Progress, on a terminal only ----

if command -v script >/dev/null; then
	script -qec "'$concctl' -s '$sock' run sleeper -m sync 200ms 200ms" "$dir/typescript" >/dev/null 2>&1 </dev/null
	says "/2" "$dir/typescript"
fi
exits 0 ctl run sleeper -m sync 10ms
check "no control characters where there is no terminal" [ -z "$(tr -d '\n -~' <"$dir/err")" ]
finish
