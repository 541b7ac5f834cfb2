# Judge an execution log (tests/plugins/exec_log.c): awk -v n=TASKS -v killed="PROCESS PROCESS" -v threads=T
# A PROCESS is PID.START, as the log has it.
# Every task must have ended; a task may begin again only after the process of its earlier begin was killed, and of
# what a killed process had ended only what one hand held (a result on its way per thread) may run again.
{
	begins[$2]++
	if ($1 == "overlap") { print "task " $2 " ran twice at once"; bad++ }
	if ($1 == "begin") {
		if (($2 in last) && !(last[$2] in dead)) {
			print "task " $2 " began again though process " last[$2] " was not killed"
			bad++
		}
		if (($2 in last) && (($2, last[$2]) in ended)) unneeded[last[$2]]++
		else if ($2 in last) needed++
		last[$2] = $3
	}
	if ($1 == "end") ended[$2, $3] = 1
}
BEGIN { split(killed, pids); for (i in pids) dead[pids[i]] = 1 }
END {
	for (i = 0; i < n; i++)
		if (!((i, last[i]) in ended)) { print "task " i " has no end"; bad++ }
	for (pid in unneeded) {
		again += unneeded[pid]
		if (unneeded[pid] > threads) {
			print unneeded[pid] " tasks that process " pid " had ended ran again, more than its " threads " threads"
			bad++
		}
	}
	printf "%d tasks, %d killed processes, %d begun and unfinished ran again, %d finished ones did\n", n, length(dead), needed, again
	exit bad > 0
}
