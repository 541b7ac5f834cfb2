#!/bin/sh
# run.sh [SECONDS [NAME...]]: the fuzzers, or those named (ring, http_request ...), under libFuzzer with ASan and UBSan for
# so long each (60), two at a time. What fails is kept as fuzz-build/NAME/crash-*, what was found new in
# fuzz-build/NAME/corpus. Needs clang with its runtime (Debian: clang libclang-rt-14-dev). Exit status 1 where one failed.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${FUZZ_BUILD:-$PWD/fuzz-build}
seconds=${1:-60}
[ $# -eq 0 ] || shift
command -v clang >/dev/null || { echo "clang is missing: apt-get install clang libclang-rt-14-dev"; exit 77; }

mkdir -p "$build"
cd "$build"
[ -e Makefile ] || "$top/configure" -q --disable-werror --enable-sanitizer=address,undefined CC=clang \
	CFLAGS='-g -O1 -fsanitize=fuzzer-no-link'
names=${*:-$(cd "$top/tests/fuzz" && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')}
make -s Makefile # where configure has to run again, it is to try the compiler without libFuzzer
# shellcheck disable=SC2046 # one word each
make -s LDFLAGS=-fsanitize=fuzzer $(for name in $names; do echo "tests/fuzz/fuzz_$name"; done)

# shellcheck disable=SC2016 # for the inner shell
echo "$names" | tr ' ' '\n' | LSAN_OPTIONS="suppressions=$top/tests/lsan.supp" xargs -P 2 -I NAME sh -c '
	mkdir -p "$1/corpus" && cd "$1" || exit 1
	if ../tests/fuzz/fuzz_"$1" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
		corpus "$3/tests/fuzz/corpus/$1" >log 2>&1; then
		echo "$1: nothing failed; $(ls corpus | wc -l) inputs kept"
	else
		echo "$1: FAILED, see $PWD/log"
		tail -n 40 log
		exit 1
	fi' sh NAME "$seconds" "$top"
