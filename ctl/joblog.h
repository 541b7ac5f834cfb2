/* A log of a job's tasks in the format of GNU parallel's --joblog: a line a task, as tasks end.
 *
 * It is read from the daemon on a connection and in a thread of its own, in the order in which tasks end, whatever the
 * order of the results is. A daemon that is lost is looked for until joblog_finish(); no task is logged twice by one run.
 *
 *	joblog_open -> joblog_start -> joblog_finish -> joblog_close
 */
#ifndef CONCD_CTL_JOBLOG_H
#define CONCD_CTL_JOBLOG_H

struct ctl;
struct error;
struct joblog;

/* Open or make the file. What is in it stays, lines are put behind it; a file that begins otherwise than such a log is
 * refused. `workload` is the caller's until joblog_close(). 0; -errno with words. */
int joblog_open(const struct ctl *ctl, const char *path, const char *workload, struct joblog **ret_log, struct error *err);
/* From here on the tasks of this job (its id as text) are logged. 0 or -errno with words. Once; NULL is fine and logs
 * nothing. */
int joblog_start(struct joblog *log, const char *job, struct error *err);
/* Wait for its last line, but no longer than this for any next one. 0; -errno with words: not all of it could be written, or came. 0 also
 * where it was not started, and for NULL. */
int joblog_finish(struct joblog *log, int wait_ms, struct error *err);
void joblog_close(struct joblog *log); /* NULL is fine; finished, or never started */

#endif
