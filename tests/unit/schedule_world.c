/* The world of schedule_world.h. */
#include "schedule_world.h"

#include <time.h>

#include <event2/event.h>

#include "base/loop.h"
#include "config.h"
#include "crew/workload.h"
#include "jobs/job.h"
#include "store/store.h"

/* ---- The clock ---- */

int64_t now_ns;

int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time)
{
	(void)id;
	*ret_time = (struct timespec){ .tv_sec = now_ns / S, .tv_nsec = now_ns % S };
	return 0;
}

/* ---- Crews that count: a task is one chunk, nothing is ahead ---- */

struct crew crews[4];
static struct crew_seat seats[MAX_JOBS];
static size_t n_seats;

int crews_get(struct crews *group, const struct crew_request *request, struct crew **ret_crew, struct error *err)
{
	(void)group;
	(void)err;
	*ret_crew = &crews[request->shape.threads];
	return 0;
}

int crew_join(struct crew *crew, const struct crew_job *job, void *user, struct crew_seat **ret_seat)
{
	seats[n_seats] = (struct crew_seat){ .crew = crew, .user = user, .workers = job->workers };
	*ret_seat = &seats[n_seats++];
	return 0;
}

void crew_leave(struct crew_seat *seat)
{
	assert_int_equal(seat->out, 0);
}

void crew_kick(struct crew *crew)
{
	crew->kicked = true;
}

void crew_recall_all(struct crew *crew)
{
	(void)crew; /* nothing is ahead */
}

struct crew *crew_of(const struct crew_seat *seat)
{
	return seat->crew;
}

bool crew_takes(const struct crew_seat *seat)
{
	return seat->crew->out < seat->crew->workers;
}

uint32_t crew_seat_room(const struct crew_seat *seat, uint64_t n_ready, bool parts)
{
	(void)n_ready;
	(void)parts;
	return crew_takes(seat) && seat->out < seat->workers ? 1 : 0;
}

uint64_t crew_seat_out(const struct crew_seat *seat)
{
	return seat->out;
}

pid_t crew_seat_stopped(const struct crew_seat *seat)
{
	(void)seat;
	return 0;
}

uint64_t crew_seat_holds(const struct crew_seat *seat)
{
	return seat->out;
}

uint64_t crew_holds(const struct crew *crew)
{
	return crew->out;
}

uint64_t crew_holds_more(const struct crew *crew, uint32_t tasks)
{
	(void)tasks; /* a chunk keeps one worker busy */
	return crew->out < crew->workers ? 1 : 0;
}

int crew_set_task_timeout(struct crew_seat *seat, const struct crew_job *job)
{
	(void)seat; /* limits are the crew's */
	(void)job;
	return 0;
}

void crew_set_workers(struct crew_seat *seat, uint32_t workers)
{
	seat->workers = workers;
}

bool crews_ready(const struct crews *group)
{
	(void)group;
	return true;
}

/* ---- One timer ---- */

static struct event *timer;
int64_t timer_due_ns; /* 0: not armed */
event_callback_fn on_timer;
void *timer_arg;

struct event_base *loop_base(struct loop *loop)
{
	(void)loop;
	return NULL;
}

struct event *event_new(struct event_base *base, evutil_socket_t fd, short what, event_callback_fn fn, void *arg)
{
	(void)base;
	(void)fd;
	(void)what;
	assert_null(timer);
	on_timer = fn;
	timer_arg = arg;
	timer = malloc(1);
	return timer;
}

void event_free(struct event *event)
{
	free(event);
	timer = NULL;
	timer_due_ns = 0;
}

int event_add(struct event *event, const struct timeval *tv)
{
	assert_ptr_equal(event, timer);
	timer_due_ns = now_ns + tv->tv_sec * S + tv->tv_usec * 1000;
	return 0;
}

int event_pending(const struct event *event, short what, struct timeval *ret_tv)
{
	(void)what;
	(void)ret_tv;
	assert_ptr_equal(event, timer);
	return timer_due_ns > 0;
}

/* ---- The rest of a job ---- */

static struct touched_list touched;
bool input_missing;

void job_touch(struct job *job)
{
	if (job->touched)
		return;
	job->touched = true;
	TAILQ_INSERT_TAIL(&touched, job, touched_link);
}

int inputs_peek(struct inputs *inputs, uint64_t task, uint32_t max_tasks, size_t max_bytes, const uint8_t **ret_packed,
		size_t *ret_bytes, uint32_t *ret_count)
{
	(void)inputs;
	(void)task;
	(void)max_bytes;
	*ret_packed = (const uint8_t *)"";
	*ret_bytes = 1;
	*ret_count = max_tasks;
	return input_missing ? -EAGAIN : 0;
}

bool parts_possible(const struct job *job)
{
	(void)job; /* nothing is divided */
	return false;
}

bool parts_failing(const struct job *job, uint64_t number)
{
	(void)job; /* likewise */
	(void)number;
	return false;
}

void parts_drop(struct job *job, uint64_t number, uint64_t count)
{
	(void)job; /* likewise */
	(void)number;
	(void)count;
}

uint64_t parts_first(const struct job *job, const struct ranges *ready, uint64_t max, uint64_t *ret_from)
{
	(void)job; /* likewise */
	return ranges_first(ready, max, ret_from);
}

void parts_peek(const struct job *job, uint64_t number, uint32_t max, size_t max_bytes, const uint8_t **ret_packed,
		size_t *ret_bytes, uint32_t *ret_count)
{
	(void)job; /* likewise */
	(void)number;
	(void)max;
	(void)max_bytes;
	*ret_packed = NULL;
	*ret_bytes = 0;
	*ret_count = 0;
}

bool service_is_up(const struct job *job)
{
	(void)job; /* none is a service */
	return true;
}

bool service_start_failed(struct job *job, const char *message)
{
	(void)job;
	(void)message;
	return false;
}

const char *service_waiting(const struct job *job, char *scratch, size_t scratch_bytes)
{
	(void)job;
	(void)scratch;
	(void)scratch_bytes;
	return NULL;
}

const struct hold *hold_of(const struct job *job)
{
	(void)job; /* nothing is held here */
	return NULL;
}

void hold_describe(const struct hold *hold, char *scratch, size_t scratch_bytes)
{
	(void)hold;
	(void)scratch;
	(void)scratch_bytes;
}

bool job_may_begin(const struct job *job)
{
	return !job->paused;
}

bool begin_may_hand_out(struct job *job)
{
	return !job->begin.recording;
}

void begin_has(struct job *job)
{
	(void)job; /* it has no date */
}

const char *begin_waiting(const struct job *job, char *scratch, size_t scratch_bytes)
{
	(void)job;
	(void)scratch;
	(void)scratch_bytes;
	return NULL;
}

bool store_stalled(const struct store *store, const char **ret_why)
{
	(void)store;
	(void)ret_why;
	return false;
}

struct job *job_ref(struct job *job)
{
	return job;
}

void job_unref(struct job *job)
{
	(void)job;
}

/* Not reached: no seat is refused, no task is marked, none ends. */
void lot_begun(struct job *job)
{
	(void)job; /* none may be parked */
}

void lot_seated(struct job *job, struct lane *lane)
{
	(void)job;
	(void)lane;
}

bool lot_goes_first(struct jobs *owner, struct lot *lot, const struct turn *turn)
{
	(void)owner;
	(void)lot;
	(void)turn;
	return false;
}

void lot_refill(struct jobs *owner, struct lot *lot)
{
	(void)owner;
	(void)lot;
}

void job_end_early(struct job *job, enum job_ending ending, enum job_urgency urgency)
{
	(void)job;
	(void)ending;
	(void)urgency;
	fail();
}

void job_fail_self(struct job *job, const char *code, const char *text)
{
	(void)job;
	(void)code;
	(void)text;
	fail();
}

void jobs_op_submitted(struct jobs *owner)
{
	(void)owner;
	fail();
}

void jobs_op_done(struct jobs *owner)
{
	(void)owner;
	fail();
}

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	(void)op;
	fail();
}

void outcome_unmark(struct job *job)
{
	(void)job; /* nothing is marked */
}

void outcome_end_ready(struct job *job)
{
	(void)job;
	fail();
}

void outcome_failed(struct job *job, uint64_t task, const char *text)
{
	(void)job;
	(void)task;
	(void)text;
	fail();
}

/* ---- A world of jobs ---- */

struct jobs jobs;
struct workload_config workload_config;
static struct workload_config other_config = { .name = (char *)"v" };
const struct workload workload = { .name = "w", .config = &workload_config, .idempotent = true };
static const struct workload other = { .name = "v", .config = &other_config, .idempotent = true }; /* of the third crew */
struct job all[MAX_JOBS];
size_t n_jobs;

int make_world(void **state)
{
	(void)state;
	now_ns = 1000 * S;
	workload_config = (struct workload_config){ .name = (char *)"w" };
	jobs = (struct jobs){ .n_processors = 4, .crews = (struct crews *)&jobs }; /* never looked into */
	memset(crews, 0, sizeof(crews));
	memset(all, 0, sizeof(all));
	n_jobs = n_seats = 0;
	input_missing = false;
	throttle_init(&jobs.throttle, 0);
	TAILQ_INIT(&touched);
	return 0;
}

int end_world(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_jobs; i++) {
		if (all[i].main.seat)
			all[i].main.seat->out = 0;
		schedule_abandon(&all[i]);
		ranges_fini(&all[i].main.ready);
		apart_fini(&all[i]);
	}
	assert_null(jobs.lanes);
	throttles_close(&jobs);
	return 0;
}

struct job *add_job(uint32_t crew, int32_t priority, uint64_t tasks, uint32_t workers, bool in_order)
{
	struct job *job = &all[n_jobs++];

	*job = (struct job){
		.jobs = &jobs,
		.id = n_jobs,
		.workload = crew == 3 ? &other : &workload,
		.state = JOB_QUEUED,
		.choice = { .crew_shape = { 1, crew, 1 }, .workers = workers, .in_order = in_order },
		.main = { .job = job },
		.turn = { .id = n_jobs, .priority = priority, .since_ns = now_ns },
		.total = tasks,
	};
	halves_init(&job->halves);
	assert_int_equal(ranges_add(&job->main.ready, 0, tasks), 0);
	schedule_start(job);
	job_touch(job);
	return job;
}

void settle(void)
{
	struct job *job;

	while ((job = TAILQ_FIRST(&touched))) {
		TAILQ_REMOVE(&touched, job, touched_link);
		job->touched = false;
		schedule_ready(job);
	}
}

/* One task of this crew's next job is handed out: whose; NULL: none. */
struct job *hand_out(struct crew *crew)
{
	struct crew_batch batch;

	now_ns += 1000;
	if (crew->out >= crew->workers || schedule_next(&jobs, crew, 64, &batch) < 0)
		return NULL;
	assert_int_equal(batch.count, 1);
	batch.seat->out++;
	crew->out++;
	return batch.seat->user->job;
}

void end_task(struct job *job)
{
	assert_true(job->main.seat->out > 0);
	job->main.seat->out--;
	job->main.seat->crew->out--;
	job->main.seat->crew->kicked = true;
	schedule_settled(&jobs, job->main.seat->crew);
	job_touch(job);
	settle();
}
