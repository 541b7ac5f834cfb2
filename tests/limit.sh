#!/bin/sh
# limit.sh TEST: runs one test under a time limit, in seconds in TEST_TIMEOUT.
#
# SKIP_SYSTEM_TESTS=1 leaves out those in tests/system. ThreadSanitizer of gcc 12 does not start where the kernel
# randomizes addresses by more bits than it knows, so its programs run without that.
case "${SKIP_SYSTEM_TESTS:-}:$1" in
1:*tests/system/*.sh)
	exit 77
	;;
1:*tests/system/*)
	echo "1..0 # SKIP system tests were left out"
	exit 0
	;;
esac
if [ "${SANITIZER:-}" = thread ] && setarch -R true 2>/dev/null; then
	exec timeout -k 5 "$TEST_TIMEOUT" setarch -R "$@"
fi
exec timeout -k 5 "$TEST_TIMEOUT" "$@"
