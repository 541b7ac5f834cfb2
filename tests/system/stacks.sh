#!/usr/bin/env bash
# More stacks than the kernel gives guards for: `show` and `status` say so while the job lives, and the log once.
. "$(dirname "$0")/lib.sh"

[ -z "${SANITIZER:-}" ] || { echo "the shim and the runtime of the sanitizer both want to come first"; exit 77; }
guards=$(($(cat /proc/sys/vm/max_map_count) / 4))
[ "$guards" -lt 60000 ] || { echo "vm.max_map_count is so high that there is a guard for every stack"; exit 77; }
write_config "workloads = { nap = { plugin = \"sleeper\"; }; };"
daemon_start env LD_PRELOAD="$top_builddir/tests/system/.libs/guard_shim.so"

note="of the $((guards + 1000)) stacks of a worker process have no guard page, only a canary that is checked at each switch: raise vm.max_map_count"
exits 0 ctl run nap -d -m async -j $((guards + 1000)) 1h
check "it runs" wait_for $((20 * slowness)) sh -c "'$concctl' -s '$sock' show 1 | grep -q 'task 0 on worker'"
exits 0 ctl show 1
says "1000 $note" "$dir/out"
exits 0 ctl --json show 1
says "\"stack_note\":\"1000 $note" "$dir/out"
exits 0 ctl status
says "1000 $note" "$dir/out"
equal "the log says it once" "$(grep -c "'nap': 1000 $note" "$dir/log")" 1
exits 0 ctl run nap -d -m async 1h
exits 0 ctl --json show 2
says '"stack_note":""' "$dir/out"
exits 0 ctl cancel --all
exits 0 ctl --json show 1 # its crew is no longer its own
says '"stack_note":""' "$dir/out"
finish
