# Judge the execution log of one job over several daemons (tests/plugins/exec_log.c): awk -v job=ID -v daemons="PROCESS PROCESS"
# -v killed="PROCESS PROCESS" -v most=M RECORDED LOG
#
# A PROCESS is PID.START, as the log has it.
# daemons: in the order they lived. killed: worker processes that were killed. most: tasks that a process runs at once.
# RECORDED: a line "JOB TASK PROCESS" for each outcome (TASK * for all) that was on disk when that daemon had died.
#
# No execution overlaps another of the same task. Processes of one daemon are gone before the next one hands anything out. A task
# begins again only where its process, or its daemon, was killed, and never once its outcome is on disk. What a process leaves
# unfinished is what it can run at once; of what it had ended only what a thread had in hand runs again where its daemon lives.
BEGIN {
	n = split(daemons, pids)
	for (i = 1; i <= n; i++) life_of[pids[i]] = i
	n = split(killed, pids)
	for (i = 1; i <= n; i++) dead[pids[i]] = 1
}
function wrong(text) {
	print "job " job ": " text
	bad++
}
FILENAME == ARGV[1] {
	if ($1 == job && (!($2 in recorded) || life_of[$3] < recorded[$2])) recorded[$2] = life_of[$3]
	next
}
{
	# Where it is none of these, its daemon had died before it loaded the plugin: the newest so far, or the one after that.
	life = $4 in life_of ? life_of[$4] : newest + 0.5
	if (life < newest) wrong("process " $3 " of an earlier daemon still ran task " $2)
	key = $4 in life_of ? life : "of " $3 # two such processes need not have had the same one
	if ($4 in life_of) newest = life
	story[$2] = story[$2] "; " $1 " in " $3 " of " $4
}
$1 == "overlap" { wrong("task " $2 " ran twice at once") }
$1 == "begin" {
	if (($2 in recorded && recorded[$2] < life) || ("*" in recorded && recorded["*"] < life))
		wrong("task " $2 " began again though its outcome was on disk" story[$2])
	if ($2 in last) {
		if (life_in[$2] == key && !(last[$2] in dead))
			wrong("task " $2 " began again though neither process " last[$2] " nor its daemon was killed" story[$2])
		if (!(($2, last[$2]) in ended)) needed++
		else if (life_in[$2] != key) finished++
		else if (++in_hand[last[$2]] > most) wrong("more than " most " tasks that process " last[$2] " had ended ran again")
		else finished_in_hand++
	}
	last[$2] = $3
	life_in[$2] = key
	open_tasks[$3]++
}
$1 == "end" {
	ended[$2, $3] = 1
	open_tasks[$3]--
}
END {
	for (pid in open_tasks)
		if (open_tasks[pid] > most) wrong("process " pid " left " open_tasks[pid] " tasks unfinished, and runs " most " at once")
	print "again " needed + 0, finished + 0, finished_in_hand + 0
	exit bad > 0
}
