/* The life of a service: up, down, and when it starts again. The story is in service.h. */
#include "jobs/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "crew/wire.h"
#include "jobs/job.h"
#include "jobs/service_cause.h"
#include "jobs/service_delay.h"

#define SUBJECT "the service " /* of what followers are told */
#define LOOK_NS (5 * NS_PER_MS) /* somebody waits for it to begin: this often it is looked at */
#define NO_MEMORY_NS NS_PER_S

enum service_state { SERVICE_UP, SERVICE_LEAVING, SERVICE_DOWN };

/* Who is to be told when it is down, or has begun again. */
struct waiter {
	struct waiter *next;
	uint64_t start; /* the number of the start that it waits for; 0: until it is down */
	void (*on_done)(void *arg, int status);
	void *arg;
};

struct service {
	struct job *job; /* which has it */
	LIST_ENTRY(service) link; /* jobs->services */
	enum service_state state;
	int64_t up_ns; /* when it was started last */
	int64_t due_ns; /* LEAVING, DOWN: when it starts again */
	uint64_t starts; /* since the daemon's, this one included */
	uint32_t failures; /* in a row */
	char *cause; /* why it last failed; owned; NULL: it has not */
	struct job_log line; /* the last of its log; text NULL: none yet */
	char *line_text; /* the same, owned */
	struct event *timer; /* DOWN: the next start; UP: a look whether it has begun, for waiters */
	struct waiter *waiters;
};

static bool is_failing(const struct service *service)
{
	return service->failures > SERVICE_QUICK_FAILURES;
}

int service_init(struct job *job)
{
	job->service = calloc(1, sizeof(*job->service));
	if (!job->service)
		return -ENOMEM;
	job->service->job = job;
	LIST_INSERT_HEAD(&job->jobs->services, job->service, link);
	job->service->up_ns = clock_mono_ns();
	job->service->starts = 1; /* schedule_start() begins a job that is up */
	return 0;
}

void service_keep_down(struct job *job)
{
	job->service->state = SERVICE_DOWN;
	job->service->starts = 0;
}

void service_fini(struct job *job)
{
	struct service *service = job->service;

	if (!service)
		return;
	if (service->timer)
		event_free(service->timer);
	free(service->cause);
	free(service->line_text);
	LIST_REMOVE(service, link);
	free(service);
	job->service = NULL;
}

void service_note_line(struct job *job, const struct job_log *log)
{
	struct service *service = job->service;

	free(service->line_text);
	service->line = *log;
	service->line.text = service->line_text = strdup(log->text); /* only to be shown */
}

bool service_is_up(const struct job *job)
{
	return !job->service || job->service->state == SERVICE_UP;
}

/* By itself, or with its workload. */
static bool is_kept_down(const struct job *job)
{
	return job->paused || hold_of(job);
}

/* ---- Who waits ---- */

static struct waiter *waiter_new(uint64_t start, void (*on_done)(void *arg, int status), void *arg)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	if (waiter)
		*waiter = (struct waiter){ .start = start, .on_done = on_done, .arg = arg };
	return waiter;
}

static void waiter_done(struct waiter *waiter, int status)
{
	void (*on_done)(void *arg, int status) = waiter->on_done;
	void *arg = waiter->arg;

	free(waiter);
	on_done(arg, status);
}

static bool waiter_is_due(const struct job *job, const struct waiter *waiter)
{
	const struct service *service = job->service;

	if (job->ending != JOB_ENDING_NO)
		return true;
	if (waiter->start == 0)
		return service->state == SERVICE_DOWN || !is_kept_down(job);
	if (service->starts < waiter->start)
		return false;
	/* That start was made: its task has begun, or it has failed already. */
	return service->starts > waiter->start || service->state != SERVICE_UP ||
	       (job->main.seat && crew_seat_running(job->main.seat) > 0);
}

/* Tell those whose time has come; all of them where the daemon ends (status < 0). The job may be freed by the last. */
static void tell_waiters(struct job *job, int status)
{
	struct waiter **at = &job->service->waiters, *due = NULL, **end = &due;

	while (*at) {
		struct waiter *waiter = *at;

		if (status == 0 && !waiter_is_due(job, waiter)) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->next = NULL;
		*end = waiter;
		end = &waiter->next;
	}
	while (due) {
		struct waiter *waiter = due;

		due = waiter->next;
		waiter_done(waiter, status);
	}
}

/* ---- Starting ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg);

static void arm(struct job *job, int64_t after_ns)
{
	struct service *service = job->service;
	/* rounded up: waking before it is due would be for nothing */
	struct timeval tv = { .tv_sec = after_ns / NS_PER_S, .tv_usec = (after_ns % NS_PER_S + NS_PER_US - 1) / NS_PER_US };

	if (after_ns <= 0)
		tv = (struct timeval){ .tv_sec = 0 };
	if (!service->timer)
		service->timer = event_new(loop_base(job->jobs->loop), -1, 0, on_timer, job);
	if (!service->timer || event_add(service->timer, &tv) < 0)
		log_error("jobs: service '%s' (job %" PRIu64 "): no timer for its next start: out of memory; "
			  "`concctl restart %" PRIu64 "` starts it", job->workload_name, job->id, job->id);
}

static void begin(struct job *job)
{
	struct service *service = job->service;

	if (job->main.ready.count == 0 && ranges_add(&job->main.ready, 0, 1) < 0) {
		arm(job, NO_MEMORY_NS);
		return;
	}
	service->state = SERVICE_UP;
	service->up_ns = clock_mono_ns();
	service->due_ns = 0;
	service->starts++;
	schedule_start(job);
	schedule_ready(job);
	job_touch(job);
	if (service->waiters)
		arm(job, LOOK_NS);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct job *job = job_ref(arg);
	struct service *service = job->service;

	(void)fd; /* a timer */
	(void)what;
	if (service->state == SERVICE_DOWN) {
		if (!is_kept_down(job) && !job->jobs->stopping && job->jobs->crews && job->ending == JOB_ENDING_NO)
			begin(job);
	} else {
		tell_waiters(job, 0);
		if (service->waiters)
			arm(job, LOOK_NS);
	}
	job_unref(job);
}

/* ---- Coming down ---- */

/* In the daemon's log, and to those who follow the job. */
__attribute__((format(printf, 3, 4))) static void say(struct job *job, enum log_level level, const char *format, ...)
{
	char text[SERVICE_CAUSE_BYTES + 200] = SUBJECT;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text + strlen(SUBJECT), sizeof(text) - strlen(SUBJECT), format, ap); /* has room for its longest */
	va_end(ap);
	log_write(level, "jobs: service '%s' (job %" PRIu64 ") %s", job->workload_name, job->id, text + strlen(SUBJECT));
	job_tell(job, level, 0, text);
}

static void say_failed(struct job *job, const char *cause, int64_t delay_ns)
{
	const struct service *service = job->service;
	char delay[TEXT_DURATION_BYTES];

	text_format_duration(delay_ns, delay);
	if (service->failures > SERVICE_QUICK_FAILURES)
		say(job, LOG_LEVEL_ERROR, "is failing, %" PRIu32 " times in a row: %s; the next try is in %s",
		    service->failures, cause, delay);
	else
		say(job, LOG_LEVEL_WARNING, "is down: %s; it starts again in %s", cause, delay);
}

/* It has come down without being asked to: its task is ready again, and waits. */
static void failed(struct job *job, const char *words, int64_t ran_ns, int64_t retry_after_ns)
{
	struct service *service = job->service;
	char cause[SERVICE_CAUSE_BYTES];
	uint32_t random = 0;
	int64_t delay_ns;

	service->state = SERVICE_LEAVING;
	service->failures = service_failures(service->failures, ran_ns);
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = 0; /* no jitter then */
	delay_ns = service_delay_ns(job->backoff_ns, service->failures, retry_after_ns, random);
	service->due_ns = clock_mono_ns() + delay_ns;
	service_join_lines(words, cause);
	free(service->cause);
	service->cause = strdup(cause); /* only to be shown */
	say_failed(job, cause, delay_ns);
	job_touch(job);
}

/* The task is back. Without memory for that begin() tries again. */
static void task_back(struct job *job)
{
	(void)ranges_add(&job->main.ready, 0, 1);
	job_touch(job);
}

bool service_ended(struct job *job, const struct crew_ended *ended)
{
	char cause[SERVICE_CAUSE_BYTES];

	if (!job->service || job->ending != JOB_ENDING_NO)
		return false;
	if (job->service->state == SERVICE_UP) {
		service_describe_end(ended, cause);
		failed(job, cause, clock_mono_ns() - ended->begin_ns, ended->retry_after_ns);
	}
	task_back(job);
	return true;
}

bool service_lost(struct job *job, const struct crew_loss *loss, const char *what)
{
	if (!job->service || job->ending != JOB_ENDING_NO)
		return false;
	if (job->service->state == SERVICE_UP)
		failed(job, what, loss->begin_ns > 0 ? clock_mono_ns() - loss->begin_ns : 0, -1);
	task_back(job);
	return true;
}

bool service_init_failed(struct job *job, const char *message)
{
	char cause[SERVICE_CAUSE_BYTES];

	if (!job->service || job->ending != JOB_ENDING_NO)
		return false;
	(void)snprintf(cause, sizeof(cause), "its worker could not be prepared: %s", message); /* cut where long */
	if (job->service->state == SERVICE_UP)
		failed(job, cause, 0, -1);
	return true;
}

bool service_start_failed(struct job *job, const char *message)
{
	return service_init_failed(job, message);
}

/* Ask it to come down; due_ns: when it starts again, unless something keeps it down. */
static void stop(struct job *job, int64_t due_ns)
{
	struct service *service = job->service;

	service->due_ns = due_ns;
	if (service->state == SERVICE_UP) {
		service->state = SERVICE_LEAVING;
		if (job->main.seat)
			crew_cancel(job->main.seat, WIRE_CANCEL_USER);
	}
	job_touch(job);
}

static void check_all_stopped(struct jobs *jobs)
{
	void (*on_stopped)(void *arg) = jobs->on_services_stopped;
	const struct service *service;

	if (!on_stopped)
		return;
	LIST_FOREACH(service, &jobs->services, link)
		if (service->job->published && service->job->ending == JOB_ENDING_NO && service->state != SERVICE_DOWN)
			return;
	if (jobs->n_services_stopped > 0)
		log_info("jobs: %" PRIu32 " service%s ended", jobs->n_services_stopped,
			 jobs->n_services_stopped > 1 ? "s have" : " has");
	jobs->on_services_stopped = NULL;
	on_stopped(jobs->services_stopped_arg);
}

void service_settle(struct job *job)
{
	struct service *service = job->service;

	job_ref(job);
	if (service->state == SERVICE_LEAVING && !job->main.seat && job->ending == JOB_ENDING_NO) {
		service->state = SERVICE_DOWN;
		if (job->state == JOB_RUNNING)
			job_set_state(job, JOB_QUEUED);
	}
	if (service->state == SERVICE_DOWN && service->due_ns > 0 && !is_kept_down(job) && !job->jobs->stopping &&
	    job->jobs->crews && job->ending == JOB_ENDING_NO) {
		int64_t left_ns = service->due_ns - clock_mono_ns();

		if (left_ns > 0)
			arm(job, left_ns);
		else
			begin(job);
	}
	tell_waiters(job, 0);
	check_all_stopped(job->jobs);
	job_unref(job);
}

/* ---- What users do ---- */

static void forgive(struct job *job)
{
	job->service->failures = 0;
	if (job->service->state != SERVICE_UP)
		job->service->due_ns = clock_mono_ns();
	job_touch(job);
}

int job_restart(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err)
{
	struct service *service = job->service;
	struct waiter *waiter;
	int r;

	if (service && job_state_ended(job->state))
		return error_set(err, -EALREADY, "wrong-state",
				 "job %" PRIu64 " has been %s for good; service '%s' begins as a new job when the daemon is "
				 "started again", job->id, job_state_name(job->state), job->workload_name);
	r = job_may_act(job, err);
	if (r < 0)
		return r;
	if (!service)
		return error_set(err, -EALREADY, "wrong-state",
				 "job %" PRIu64 " is no service: only stanzas with service = true run as one", job->id);
	if (job->ending != JOB_ENDING_NO)
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " is being ended", job->id);
	if (job->paused)
		return error_set(err, -EALREADY, "wrong-state",
				 "job %" PRIu64 " is paused; `concctl resume %" PRIu64 "` starts it", job->id, job->id);
	if (hold_of(job))
		return error_set(err, -EALREADY, "wrong-state", "job %" PRIu64 " is paused with its workload; `concctl resume -w %s` starts it",
				 job->id, job->workload_name);
	waiter = waiter_new(service->starts + 1, on_done, arg);
	if (!waiter)
		return -ENOMEM;
	waiter->next = service->waiters;
	service->waiters = waiter;
	say(job, LOG_LEVEL_INFO, "is restarted by request");
	stop(job, clock_mono_ns());
	forgive(job);
	return 0;
}

/* A pause is answered when the disk knows and the task has come back. */
struct pause {
	struct job *job; /* a reference */
	struct waiter *waiter;
};

static void on_pause_written(void *arg, int status)
{
	struct pause *pause = arg;
	struct job *job = pause->job;

	if (status < 0 || waiter_is_due(job, pause->waiter)) {
		waiter_done(pause->waiter, status);
	} else {
		pause->waiter->next = job->service->waiters;
		job->service->waiters = pause->waiter;
	}
	free(pause);
	job_unref(job);
}

int service_pause(struct job *job, void (*on_done)(void *arg, int status), void *arg, struct error *err)
{
	struct pause *pause = calloc(1, sizeof(*pause));

	if (pause)
		pause->waiter = waiter_new(0, on_done, arg);
	if (!pause || !pause->waiter) {
		free(pause);
		return error_set(err, -ENOMEM, "internal", "out of memory");
	}
	pause->job = job_ref(job);
	job->paused = true;
	lane_forget(job);
	stop(job, clock_mono_ns());
	job_set_state(job, JOB_PAUSED);
	job_record_course_then(job, on_pause_written, pause);
	return 0;
}

void service_resume(struct job *job)
{
	forgive(job);
}

void service_hold(struct job *job)
{
	if (job->ending != JOB_ENDING_NO)
		return;
	lane_forget(job);
	stop(job, clock_mono_ns());
}

bool service_wait_until_down(struct job *job, void (*on_done)(void *arg, int status), void *arg)
{
	struct waiter *waiter = job->service->state == SERVICE_LEAVING && job->jobs->crews ? waiter_new(0, on_done, arg) : NULL;

	if (!waiter)
		return false; /* also without memory: the answer comes before its effect */
	waiter->next = job->service->waiters;
	job->service->waiters = waiter;
	return true;
}

void jobs_stop_services(struct jobs *jobs, void (*on_stopped)(void *arg), void *arg)
{
	struct service *service;

	jobs->stopping = true;
	start_cancel(jobs);
	jobs->on_services_stopped = on_stopped;
	jobs->services_stopped_arg = arg;
	LIST_FOREACH(service, &jobs->services, link) {
		if (!service->job->published || service->job->ending != JOB_ENDING_NO || service->state == SERVICE_DOWN)
			continue;
		jobs->n_services_stopped++;
		stop(service->job, 0);
	}
	check_all_stopped(jobs);
}

void services_let_go(struct jobs *jobs)
{
	struct service *service, *next;

	jobs->on_services_stopped = NULL;
	for (service = LIST_FIRST(&jobs->services); service; service = next) {
		next = LIST_NEXT(service, link);
		if (service->job->published)
			tell_waiters(service->job, -ESHUTDOWN);
	}
}

/* ---- How it looks ---- */

struct job *services_find(const struct jobs *jobs, const char *workload)
{
	const struct service *service;

	LIST_FOREACH(service, &jobs->services, link) {
		struct job *job = service->job;

		if (job->published && job->ending == JOB_ENDING_NO && !job_state_ended(job->state) &&
		    strcmp(job->workload_name, workload) == 0)
			return job;
	}
	return NULL;
}

void services_count(const struct jobs *jobs, uint64_t *ret_all, uint64_t *ret_failing)
{
	const struct service *service;
	uint64_t all = 0, failing = 0;

	LIST_FOREACH(service, &jobs->services, link) {
		if (!service->job->published || job_state_ended(service->job->state))
			continue;
		all++;
		failing += is_failing(service);
	}
	*ret_all = all;
	*ret_failing = failing;
}

const char *service_waiting(const struct job *job, char *scratch, size_t scratch_bytes)
{
	const struct service *service = job->service;
	char delay[TEXT_DURATION_BYTES];
	int64_t left_ns;

	if (!service || service->state == SERVICE_UP)
		return NULL;
	if (service->due_ns == 0 || job->jobs->stopping)
		return "the daemon is shutting down";
	left_ns = service->due_ns - clock_mono_ns();
	if (service->state == SERVICE_LEAVING && left_ns <= 0)
		return "its last run is being ended";
	text_format_duration(left_ns > 0 ? left_ns : 0, delay);
	(void)snprintf(scratch, scratch_bytes, "it starts again in %s", delay);
	return scratch;
}

void service_view(const struct job *job, struct service_view *ret_view)
{
	const struct service *service = job->service;
	bool lives = service && !job->from_store && !job_state_ended(job->state);
	int64_t now = clock_mono_ns();

	*ret_view = (struct service_view){ .is_service = service != NULL, .cause = "" };
	if (!service)
		return;
	ret_view->restarts = service->starts > 0 ? service->starts - 1 : 0;
	ret_view->failures = service->failures;
	ret_view->failing = is_failing(service);
	ret_view->cause = service->cause ? service->cause : "";
	ret_view->line = service->line.text ? &service->line : NULL;
	if (lives && service->state == SERVICE_UP && job->main.seat && crew_seat_running(job->main.seat) > 0)
		ret_view->up_ns = now > service->up_ns ? now - service->up_ns : 1;
	if (lives && service->state != SERVICE_UP && !is_kept_down(job) && service->due_ns > 0)
		ret_view->next_try_ns = service->due_ns > now ? service->due_ns - now : 1;
}
