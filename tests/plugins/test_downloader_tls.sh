#!/bin/sh
# HTTPS is verified: a certificate that nobody vouches for, or of another name, is refused.
set -eu

command -v openssl >/dev/null || { echo "openssl is missing: install it to test HTTPS"; exit 77; }
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || :; rm -rf "$tmp"' EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$tmp/key.pem" -out "$tmp/cert.pem" \
	-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>"$tmp/log" || { cat "$tmp/log"; exit 1; }
mkfifo "$tmp/out"
openssl s_server -accept 127.0.0.1:0 -cert "$tmp/cert.pem" -key "$tmp/key.pem" -www >"$tmp/out" 2>"$tmp/log" </dev/null &
server=$!
exec 3<"$tmp/out"
port=
while read -r line <&3; do
	case $line in
	ACCEPT*) port=${line##*:}; break ;;
	esac
done
[ -n "$port" ] || { echo "the server did not start:"; cat "$tmp/log"; exit 1; }

fetch() {
	"$top_builddir/tests/plugins/run_plugin" "$top_builddir/plugins/.libs/downloader.so" "$@" 2>&1 || :
}
expect() {
	want=$1
	shift
	got=$(fetch "$@")
	case $got in
	$want) ;;
	*) echo "downloader $*: '$got' instead of '$want'"; exit 1 ;;
	esac
}
expect "ok 200 * https://localhost:$port/" -p ca_file="$tmp/cert.pem" "https://localhost:$port/"
expect 'failed 2 *self*signed*' "https://localhost:$port/"
expect 'failed 2 *127.0.0.1*' -p ca_file="$tmp/cert.pem" "https://127.0.0.1:$port/"
expect 'failed 2 *' -p ca_file=/nonexistent "https://localhost:$port/"
expect 'failed 3 *' -p connect_timeout=5s "http://localhost:$port/"
