#!/usr/bin/env bash
# The control socket without concctl: curl as any program would use it, and clients that speak badly or not at all.
. "$(dirname "$0")/lib.sh"
command -v curl >/dev/null || { echo "curl is missing: apt-get install curl"; exit 77; }

write_config "limits = { max_clients = 4; };
workloads = { $(stanza identity) };"
daemon_start

# asks STATUS TEXT PATH [CURL-OPTION...]: the answer has this HTTP status and contains TEXT.
asks() {
	local wanted=$1 text=$2 path=$3 got
	shift 3
	checks=$((checks + 1))
	got=$(curl -sg --max-time 10 --path-as-is --unix-socket "$sock" -o "$dir/out" -w '%{http_code}' "$@" "http://concd$path")
	if [ "$got" = "$wanted" ] && grep -qF -- "$text" "$dir/out"; then
		echo "ok: $wanted $path"
	else
		fail "$path $*: $got instead of $wanted: $(head -c 300 "$dir/out")"
	fi
}
# posts STATUS TEXT BODY [PATH]
posts() {
	printf '%s' "$3" >"$dir/body"
	asks "$1" "$2" "${4:-/v1/jobs}" -H 'Expect:' --data-binary @"$dir/body"
}

# ---- What works ----

asks 200 '"pong":true' /v1/ping
asks 200 '"pong":true' /v1/ping --http1.0
asks 200 '"protocol":1' /v1/version
asks 200 '"jobs":{' /v1/status
asks 200 '"workload":"squares"' /v1/workloads/squ%61res/params
posts 201 '"job":"1"' '{"workload":"identity","submission":"mine","inputs":["a","b"]}'
posts 200 '"known":true' '{"workload":"identity","submission":"mine","inputs":["a","b"]}'
asks 200 '"state":"done"' '/v1/jobs/1/wait?timeout_s=10'
asks 200 'b' '/v1/jobs/1/results?format=plain'
equal "plain results" "$(cat "$dir/out")" "$(printf 'a\nb')"
{ seq 5000; printf 'a "quoted\\ one\t\r\nno \377 text\n\n'; seq 300; } >"$dir/many"
many=$(ctl -q run -d identity -i "$dir/many") && ctl -q wait "$many"
asks 200 '"type":"job"' "/v1/jobs/$many/results?format=json"
mv "$dir/out" "$dir/lines"
asks 200 '"type":"packed"' "/v1/jobs/$many/results?format=json&packed=1"
ctl --json results "$many" >"$dir/out"
equal "lines that concctl makes of what comes packed" "$(sum <"$dir/out")" "$(sum <"$dir/lines")"
posts 200 'x	x' "$(printf '{"workload":"identity"}\nx\ny\n')" '/v1/jobs?stream=plain&tag=1'
asks 200 '"type":"job"' '/v1/jobs/1/results?format=json'
equal "two task lines and a job line" "$(grep -c '^{"schema":1,"type":' "$dir/out")" 3
asks 200 '"type":"job"' /v1/jobs/1/follow

# ---- What does not ----

asks 404 no-such-request /
asks 404 "did you mean '/v1/ping'?" /v1/pong
asks 404 no-such-request /v1/../etc/passwd
asks 404 no-such-workload /v1/workloads/nonexistent/params
asks 404 "there is no job 999" /v1/jobs/999
asks 404 "a job's id is a number" /v1/jobs/1x
asks 405 "is asked for with POST or GET, not with PUT" /v1/jobs -X PUT
asks 405 bad-method /v1/shutdown
asks 405 bad-method /v1/ping -X BREW
asks 400 "did you mean 'limit'?" '/v1/jobs?limmit=1'
asks 400 "'-1' is not a number" '/v1/jobs?limit=-1'
asks 400 "bad %XX escape" '/v1/jobs?state=%zz'
asks 400 "is no state of a job" '/v1/jobs?state=bad'
asks 400 "no query keys" '/v1/ping?a=1'
asks 400 "no format of a stream" '/v1/jobs/1/results?format=xml'
asks 400 "head is larger" /v1/ping -H "X-Large: $(printf '%020000d' 0)"
asks 400 "head is larger" "/v1/$(printf '%020000d' 0)"
while IFS='|' read -r text body; do
	posts 400 "$text" "$body"
done <<'BODIES'
is empty|
begin with a JSON object|[]
body, line 1|{
body, line 1|nonsense
'workload' is missing|{}
'workload' is to be a string|{"workload":1}
did you mean 'model'?|{"workload":"identity","modle":"pool","inputs":["a"]}
'inputs' is to be an array|{"workload":"identity","inputs":"a"}
'inputs' is to be an array|{"workload":"identity","inputs":[1]}
is not base64|{"workload":"identity","inputs_b64":["***"]}
duplicate object key|{"workload":"identity","inputs":["a"],"inputs":["b"]}
'workers' is to be|{"workload":"identity","workers":"3","inputs":["a"]}
'workers' is to be|{"workload":"identity","workers":-1,"inputs":["a"]}
'timeout_s' is to be|{"workload":"identity","timeout_s":1e300,"inputs":["a"]}
'params' is to be|{"workload":"identity","params":[],"inputs":["a"]}
no format of inputs|{"workload":"identity","inputs_format":"xml"}
'submission' is to be|{"workload":"identity","submission":"","inputs":["a"]}
'open' is to be|{"workload":"identity","open":"yes"}
BODIES
posts 400 "unable to decode byte" $'{"workload":"identity","inputs":["\xff"]}'
posts 400 "cut or malformed" $'{"workload":"identity","inputs_format":"packed"}\n\x05ab'
posts 404 no-such-workload '{"workload":"nonexistent","inputs":["a"]}'
posts 404 no-such-model '{"workload":"identity","model":"asink","inputs":["a"]}'
posts 400 bad-shape '{"workload":"identity","shape":"2x2","inputs":["a"]}'
posts 400 bad-parameter '{"workload":"identity","params":{"x":"1"},"inputs":["a"]}'
posts 409 wrong-state a '/v1/jobs/1/inputs?from=2'
posts 409 wrong-state '' /v1/jobs/1/cancel
posts 404 no-such-job a '/v1/jobs/999/inputs?from=0'
posts 201 '"job":' '{"workload":"identity","open":true,"inputs":["a"]}'
open=$(grep -oE '"job":"[0-9]+"' "$dir/out" | grep -oE '[0-9]+')
posts 409 '"have":1' b "/v1/jobs/$open/inputs?from=5"
posts 200 '"inputs":2' b "/v1/jobs/$open/inputs?from=1&last=1"
asks 200 '"done":2' "/v1/jobs/$open/wait"

# ---- Sizes ----

{ echo '{"workload":"identity"}'; head -c 1048576 /dev/zero | tr '\0' x; echo; } >"$dir/body"
asks 201 '"inputs":1' /v1/jobs -H 'Expect:' --data-binary @"$dir/body"
{ echo '{"workload":"identity"}'; head -c 1048577 /dev/zero | tr '\0' x; echo; } >"$dir/body"
asks 413 "input 0 has 1048577 bytes; at most 1048576" /v1/jobs -H 'Expect:' --data-binary @"$dir/body"
head -c 3000000 /dev/zero >"$dir/body"
asks 413 "2097152 are allowed" /v1/jobs -H 'Expect:' --data-binary @"$dir/body"
asks 413 "2097152 are allowed" /v1/jobs -H 'Expect: 100-continue' --data-binary @"$dir/body"
asks 413 "too-large" /v1/jobs -H 'Expect:' -H 'Transfer-Encoding: chunked' --data-binary @"$dir/body"

# ---- Clients that do not speak HTTP, speak slowly, or are many ----

if command -v python3 >/dev/null; then
	cat >"$dir/raw.py" <<-'PYTHON'
		import socket, sys

		def connect():
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(10)
		    s.connect(sys.argv[1])
		    return s

		def answer(data, half_closed=False):
		    s = connect()
		    s.sendall(data)
		    if half_closed:
		        s.shutdown(socket.SHUT_WR)
		    got = b''
		    while True:
		        more = s.recv(65536)
		        if not more:
		            return got
		        got += more

		def check(what, got, wanted):
		    ok = got.startswith(wanted) if wanted else got == b''
		    print('ok:' if ok else 'FAIL:', what, '' if ok else got[:200])
		    return ok

		ping = b'GET /v1/ping HTTP/1.1\r\nHost: c\r\n\r\n'
		post = b'POST /v1/jobs HTTP/1.1\r\nHost: c\r\nContent-Length: '
		bad = b'HTTP/1.1 400 '
		good = [
		    check('no HTTP', answer(b'hello\r\n\r\n'), bad),
		    check('NUL bytes', answer(b'\0' * 100 + b'\r\n\r\n'), bad),
		    check('HTTP/0.9', answer(b'GET /v1/ping\r\n\r\n'), bad),
		    check('HTTP/2', answer(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), bad),
		    check('a negative length', answer(post + b'-5\r\n\r\n'), bad),
		    check('an immense length', answer(post + b'9' * 30 + b'\r\n\r\n'), bad),
		    check('two lengths', answer(post + b'3\r\nContent-Length: 4\r\n\r\nabcd'), bad),
		    check('half a request line', answer(b'GET /v1', True), b''),
		    check('half a body', answer(post + b'30\r\n\r\n{"workload"', True), b''),
		    check('half closed', answer(ping, True), b'HTTP/1.1 200 '),
		    check('two at once', b'%d' % answer(ping * 2, True).count(b'"pong":true'), b'2'),
		]

		slow = [connect() for _ in range(3)]
		for i in range(len(ping) - 1):
		    for s in slow:
		        s.sendall(ping[i:i + 1])
		good.append(check('others are served beside slow clients', answer(ping, True), b'HTTP/1.1 200 '))
		for s in slow:
		    s.sendall(ping[-1:])
		good += [check('a byte at a time', s.recv(4096), b'HTTP/1.1 200 ') for s in slow]
		many = slow + [connect()]
		busy = connect()
		got = b''
		try:
		    busy.sendall(ping)
		except OSError:
		    pass
		while True:
		    more = busy.recv(4096)
		    if not more:
		        break
		    got += more
		good.append(check('one client too many', got, b'HTTP/1.1 503 '))
		good.append(check('it is told why', b'limits.max_clients' if b'limits.max_clients' in got else got, b'limits.'))
		print('many', flush=True)
		sys.stdin.readline()
		sys.exit(0 if all(good) else 1)
	PYTHON
	mkfifo "$dir/go"
	python3 "$dir/raw.py" "$sock" <"$dir/go" >"$dir/raw" 2>&1 &
	raw=$!
	exec 7>"$dir/go"
	check "the clients get that far" wait_for 30 grep -q '^many' "$dir/raw"
	exits 75 ctl ping
	says "limits.max_clients"
	exits 75 ctl run identity 1
	exits 75 ctl --json status
	says '"code":"busy"' "$dir/out"
	echo >&7
	exec 7>&-
	wait $raw
	equal "hostile clients" $? 0
	cat "$dir/raw"
	check "the daemon answers when they have gone" wait_for 10 ctl ping
fi
check "the daemon lives" kill -0 "$daemon_pid"
posts 200 '"stopping":true' '' /v1/shutdown
wait "$daemon_pid"
equal "and ends when asked" $? 0
daemon_pid=
finish
