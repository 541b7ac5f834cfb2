/* Collecting: from the rings of the runners to the layer above, in bounded passes so that control requests get their
 * turn. */
#include <errno.h>

#include <event2/event.h>

#include "base/log.h"
#include "crew/crew_private.h"
#include "crew/workload.h"

#define PASSES 8
#define DOZE_US 1000 /* results that no worker wakes the daemon for are seen so late: streams gather them for as long */
#define RECORDS_PER_PASS 2048u

static const struct timeval doze = { .tv_usec = DOZE_US };

/* A line in the log, and to the job that it is of: in a crew that several jobs share nobody can tell. */
static void take_log(struct crew *crew, const struct runner_of *who, const struct ring_record *record)
{
	const struct crew_ops *ops = crew->crews->ops;
	const struct crew_log log = {
		.level = record->status,
		.worker_pid = who->pid,
		.text = (const char *)record->data,
		.len = record->len,
	};

	if (who->proc)
		worker_log_line(&who->proc->log, record->status, log.text, log.len);
	if (ops->on_log && crew->n_seats == 1 && !crew->seats->left)
		ops->on_log(crew->crews->ctx, crew->seats->user, &log);
}

void crew_records(void *arg, const struct ring_run *records)
{
	struct crew *crew = arg;
	const struct runner_of *who = &crew->runners[records->runner];
	struct flight *f = records->user;
	struct crew_seat *seat;
	struct crew_run run;

	if (records->kind == RING_RECORD_LOG) {
		take_log(crew, who, records->records);
		return;
	}
	seat = f->seat;
	run = (struct crew_run){
		.user = seat->user,
		.first = f->first + records->records[0].index,
		.n = records->n,
		.all_done = records->all_done,
		.wall_s = records->wall_s,
		.cpu_s = records->cpu_s,
		.runq_s = records->runq_s,
		.worker_pid = who->pid,
		.worker_thread = who->thread,
		.records = records->records,
	};
	estimate_add(seat_estimate(seat, run.first), run.n, (float)(records->wall_s / run.n), (float)(records->cpu_s / run.n));
	seat->out -= run.n;
	crew->out -= run.n;
	crew->ended += run.n;
	if (records->chunk_done)
		flight_free(f);
	crew->crews->ops->on_ended(crew->crews->ctx, &run);
}

void crew_bad_runner(struct crew *crew, uint32_t runner)
{
	struct proc *proc = crew->runners[runner].proc;

	if (!proc || proc->killed)
		return;
	log_error("crew: worker process %d of '%s' wrote garbage into its ring: killed, no task is blamed",
		  (int)proc->pid, crew->workload->name);
	proc_kill(proc, ORDER_GARBAGE);
}

/* False: there are records. The precise tails show those of chunks that are not at their end: they are looked at before a
 * sleep that only a worker ends, but not every few microseconds. While chunks wait to be claimed the daemon looks by itself
 * now and then: each wake-up takes a processor from the tasks. */
static bool fall_asleep(struct crew *crew)
{
	int64_t now_ns = clock_mono_ns();
	bool due = now_ns - crew->looked_ns >= DOZE_US * NS_PER_US;

	if (due)
		crew->looked_ns = now_ns;
	if (crew->n_flights > 0 && (!due || ring_has_backlog(crew->ring)) && event_add(crew->doze, &doze) == 0)
		return ring_prepare_nap(crew->ring, due);
	return ring_prepare_sleep(crew->ring);
}

void crew_collect(struct crew *crew)
{
	const uint64_t ended = crew->ended;
	uint32_t runner = 0;
	int n;

	if (!crew->ring || crew->broken)
		return;
	if (crew->asleep)
		ring_awake(crew->ring);
	crew->asleep = false;
	for (int pass = 0; pass < PASSES && !crew->asleep; pass++) {
		n = ring_collect_all(crew->ring, RECORDS_PER_PASS, crew_records, crew, &runner);
		if (n == -EBADMSG) {
			crew_bad_runner(crew, runner);
			continue;
		}
		if (n > 0) {
			if (crew->ended != ended)
				crew->init_failures = 0; /* a line of its log is no task done */
			crew->blocked = false;
			crew_feed(crew);
			if (crew->broken)
				return;
			continue;
		}
		crew->asleep = fall_asleep(crew);
	}
	if (!crew->asleep) {
		crew->collect_again = true;
		crew_turn_soon(crew);
	}
}

void on_crew_ring(evutil_socket_t fd, short what, void *arg)
{
	struct crew *crew = arg;

	(void)fd; /* the ring knows it */
	(void)what;
	crew_enter(crew);
	crew->asleep = true; /* or not any more, and a worker wrote late: the eventfd is to be emptied */
	crew_collect(crew);
	crew_settle(crew);
	crew_exit(crew);
}

void on_crew_doze(evutil_socket_t fd, short what, void *arg)
{
	struct crew *crew = arg;

	(void)fd; /* a timer has none */
	(void)what;
	crew_enter(crew);
	crew_collect(crew);
	crew_settle(crew);
	crew_exit(crew);
}
