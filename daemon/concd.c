/* The daemon: its parts in the order of starting.
 *
 *	config, log, directories, daemon.lock, loop, control socket, store, workloads, jobs, crews, recovered jobs, READY
 *
 * It stops in steps, each begun when the one before has finished: no more submissions; services end; crews finish what they have
 * begun, or are killed after their workload's `grace`; outcomes are on disk; the loop ends. A second signal skips to the end: what is
 * accepted is on disk anyway.
 */
#include "concd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file_error.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "config.h"
#include "control/control.h"
#include "crew/crew.h"
#include "crew/workload.h"
#include "jobs/jobs.h"
#include "store/store.h"

#define STATUS_EVERY_S 2

struct concd {
	struct config *config;
	int lock_fd; /* daemon.lock, held exclusively while this daemon lives */
	struct loop *loop;
	struct store *store;
	struct workloads *workloads;
	struct jobs *jobs;
	struct control *control;
	struct crews *crews;
	struct event *signals[4];
	struct event *status_event;
	char status[160]; /* the last STATUS= given to systemd */
	bool stopping;
	int failed; /* -errno: it stops for this */
};

#define LOCK_PATIENCE_NS NS_PER_S
#define LOCK_PAUSE_NS (10 * NS_PER_MS)

static const int stop_signals[] = { SIGTERM, SIGINT };

/* ---- The lock ---- */

/* 0 or -errno. A daemon that was killed while it started a process may have left its descriptor to the child, which lets go of
 * it when it gets to run: so it is tried for a while. */
static int lock_patiently(int fd)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };

	for (int64_t left_ns = LOCK_PATIENCE_NS; flock(fd, LOCK_EX | LOCK_NB) < 0; left_ns -= LOCK_PAUSE_NS) {
		if (errno != EWOULDBLOCK || left_ns <= 0)
			return -errno;
		(void)nanosleep(&pause, NULL); /* cut short it is tried sooner */
	}
	return 0;
}

/* Keeps a second daemon out of the state directory. The file names its holder, for the message. */
static int lock_state(struct concd *concd, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	char pid[24] = "";
	int n, r;

	if (asprintf(&path, "%s/daemon.lock", concd->config->state_dir) < 0)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return file_error(err, errno, NULL, "the lock", path);
	r = lock_patiently(fd);
	if (r < 0 && r != -EWOULDBLOCK)
		return file_error(err, -r, NULL, "the lock", path);
	if (r < 0) {
		ssize_t len = pread(fd, pid, sizeof(pid) - 1, 0);

		pid[len > 0 ? strcspn(pid, "\n") : 0] = '\0';
		return error_set(err, -EBUSY, "busy",
				 "another concd (pid %s) uses the state directory %s; stop it, or give this one its own state_dir",
				 *pid ? pid : "unknown", concd->config->state_dir);
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		log_warning("concd: %s: %s, ignoring: only messages name the pid in it", path, strerror(errno));
	concd->lock_fd = take_fd(&fd);
	return 0;
}

/* ---- Stopping ---- */

static void on_jobs_stopped(void *arg)
{
	struct concd *concd = arg;

	loop_stop(concd->loop);
}

static void on_crews_stopped(void *arg)
{
	struct concd *concd = arg;

	jobs_stop(concd->jobs, on_jobs_stopped, concd);
}

static void on_services_stopped(void *arg)
{
	struct concd *concd = arg;

	crews_stop(concd->crews, on_crews_stopped, concd);
}

static void concd_stop(struct concd *concd)
{
	if (concd->stopping) {
		log_warning("concd: told to stop again: leaving now, unfinished jobs go on at the next start");
		loop_stop(concd->loop);
		return;
	}
	concd->stopping = true;
	log_info("concd: stopping");
	(void)sd_notify(0, "STOPPING=1\nSTATUS=Finishing what has begun"); /* without systemd nobody listens */
	control_drain(concd->control);
	jobs_stop_services(concd->jobs, on_services_stopped, concd);
}

static void on_stop_signal(evutil_socket_t signal, short what, void *arg)
{
	(void)signal; /* each of them means the same */
	(void)what;
	concd_stop(arg);
}

static void on_hangup(evutil_socket_t signal, short what, void *arg)
{
	(void)signal;
	(void)what;
	(void)arg;
	log_warning("concd: SIGHUP: this version reads its configuration at the start only, ignoring");
}

static void on_shutdown_request(void *arg)
{
	concd_stop(arg);
}

/* ---- systemd ---- */

static void report_status(struct concd *concd)
{
	struct jobs_view view;
	char status[sizeof(concd->status)], failing[64] = "";

	jobs_view(concd->jobs, &view);
	if (view.services_failing > 0)
		(void)snprintf(failing, sizeof(failing), ", %" PRIu64 " of %" PRIu64 " services failing",
			       view.services_failing, view.services);
	(void)snprintf(status, sizeof(status),
		       "STATUS=%" PRIu64 " jobs running, %" PRIu64 " waiting, %" PRIu64 " tasks done%s%s%s",
		       view.by_state[JOB_RUNNING], view.by_state[JOB_QUEUED] + view.by_state[JOB_OPEN], view.tasks_done,
		       failing, *view.trouble ? "; " : "", view.trouble);
	if (strcmp(status, concd->status) == 0)
		return;
	memcpy(concd->status, status, sizeof(status));
	(void)sd_notify(0, status); /* without systemd nobody listens */
}

static void on_status(evutil_socket_t fd, short what, void *arg)
{
	struct concd *concd = arg;

	(void)fd; /* a timer */
	(void)what;
	if (!concd->stopping)
		report_status(concd);
}

/* ---- Starting ---- */

static int add_signals(struct concd *concd)
{
	struct event_base *base = loop_base(concd->loop);
	size_t n = 0;

	for (; n < ARRAY_SIZE(stop_signals); n++)
		concd->signals[n] = evsignal_new(base, stop_signals[n], on_stop_signal, concd);
	concd->signals[n++] = evsignal_new(base, SIGHUP, on_hangup, concd);
	for (size_t i = 0; i < n; i++)
		if (!concd->signals[i] || event_add(concd->signals[i], NULL) < 0)
			return -ENOMEM;
	return signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -errno : 0;
}

static int add_status_timer(struct concd *concd)
{
	static const struct timeval every = { .tv_sec = STATUS_EVERY_S };

	if (!getenv("NOTIFY_SOCKET"))
		return 0;
	concd->status_event = event_new(loop_base(concd->loop), -1, EV_PERSIST, on_status, concd);
	if (!concd->status_event || event_add(concd->status_event, &every) < 0)
		return -ENOMEM;
	return 0;
}

/* NULL: out of memory, with words. */
static char *store_path(const struct config *config, struct error *err)
{
	char *path = NULL;

	if (asprintf(&path, "%s/concd.db", config->state_dir) < 0) {
		(void)error_set(err, -ENOMEM, "internal", "out of memory");
		return NULL;
	}
	return path;
}

static int open_store(struct concd *concd, struct error *err)
{
	_cleanup_free_ char *path = store_path(concd->config, err);

	if (!path)
		return -ENOMEM;
	return store_open(concd->loop, &(struct store_options){ .path = path }, &concd->store, err);
}

/* A socket that systemd opened for us, or -1. */
static int inherited_socket(void)
{
	int n = sd_listen_fds(1);

	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++)
		if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0)
			return fd;
	return -1;
}

static int open_control(struct concd *concd, struct error *err)
{
	struct control_options options = {
		.loop = concd->loop,
		.config = concd->config,
		.listen_fd = inherited_socket(),
		.version = PACKAGE_VERSION,
		.on_shutdown = on_shutdown_request,
		.arg = concd,
	};

	return control_open(&options, &concd->control, err);
}

static int open_crews(struct concd *concd, struct error *err)
{
	struct crews_options options = {
		.worker_path = concd->config->worker_path,
		.state_dir = concd->config->state_dir,
		.max_processes = concd->config->max_processes,
		.ops = &jobs_crew_ops,
		.ctx = concd->jobs,
	};

	return crews_open(concd->loop, concd->store, &options, &concd->crews, err);
}

/* Whoever has asked for jobs meanwhile is answered now. */
static void on_jobs_started(void *arg, int status, const struct error *err)
{
	struct concd *concd = arg;

	if (status < 0) {
		log_error("concd: %s", err->text);
		concd->failed = status;
		concd_stop(concd);
		return;
	}
	control_attach_crews(concd->control, concd->crews);
	control_attach(concd->control, concd->jobs, concd->store, concd->workloads);
}

static int concd_start(struct concd *concd, struct error *err)
{
	int r = config_make_dirs(concd->config, err);

	if (r == 0)
		r = lock_state(concd, err);
	if (r == 0 && loop_open(&concd->loop) < 0)
		r = error_set(err, -ENOMEM, "internal", "no event loop: out of memory or descriptors");
	if (r == 0 && add_signals(concd) < 0)
		r = error_set(err, -ENOMEM, "internal", "out of memory");
	if (r == 0)
		r = open_control(concd, err);
	if (r == 0)
		r = open_store(concd, err);
	if (r == 0)
		r = workloads_open(concd->config, concd->store, &concd->workloads, err);
	if (r == 0)
		r = jobs_open(concd->loop, concd->config, concd->workloads, concd->store, &concd->jobs, err);
	if (r == 0)
		r = open_crews(concd, err);
	if (r == 0)
		r = jobs_start(concd->jobs, concd->crews, on_jobs_started, concd, err);
	if (r == 0 && add_status_timer(concd) < 0)
		r = error_set(err, -ENOMEM, "internal", "out of memory");
	return r;
}

static int load_config(const struct concd_options *options, struct config **ret_config, struct error *err)
{
	int r = config_load(options->config_path, ret_config, err);

	if (r < 0)
		return r;
	log_open(options->verbose ? LOG_LEVEL_DEBUG : (*ret_config)->log_level, (*ret_config)->log_target);
	return 0;
}

int concd_open(const struct concd_options *options, struct concd **ret_concd, struct error *err)
{
	struct concd *concd = calloc(1, sizeof(*concd));
	int r;

	if (!concd)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	concd->lock_fd = -1;
	r = load_config(options, &concd->config, err);
	if (r == 0)
		r = concd_start(concd, err);
	if (r < 0) {
		concd_close(concd);
		return r;
	}
	log_info("concd: version %s serves %s, state in %s, %zu workloads", PACKAGE_VERSION,
		 concd->config->socket_path, concd->config->state_dir, workloads_count(concd->workloads));
	report_status(concd);
	(void)sd_notify(0, "READY=1"); /* without systemd nobody listens */
	*ret_concd = concd;
	return 0;
}

int concd_run(struct concd *concd)
{
	int r = loop_run(concd->loop);

	return r < 0 ? r : concd->failed;
}

void concd_close(struct concd *concd)
{
	if (!concd)
		return;
	if (concd->status_event)
		event_free(concd->status_event);
	jobs_let_go(concd->jobs);
	control_close(concd->control);
	crews_close(concd->crews);
	store_close(concd->store);
	jobs_close(concd->jobs);
	workloads_close(concd->workloads);
	for (size_t i = 0; i < ARRAY_SIZE(concd->signals); i++)
		if (concd->signals[i])
			event_free(concd->signals[i]);
	loop_close(concd->loop);
	if (concd->lock_fd >= 0)
		(void)close(concd->lock_fd); /* gives the lock up */
	config_free(concd->config);
	free(concd);
}

/* ---- Checking ---- */

int concd_check(const struct concd_options *options, struct error *err)
{
	struct config *config = NULL;
	struct workloads *workloads = NULL;
	size_t unusable = 0;
	int r = load_config(options, &config, err);

	if (r == 0) {
		/* What cannot be used is said below, on standard error whatever the log's target. */
		log_open(options->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
		r = workloads_open(config, NULL, &workloads, err);
	}
	for (size_t i = 0; r == 0 && i < workloads_count(workloads); i++) {
		const struct workload *workload = workloads_at(workloads, i);

		if (!workload->why_not)
			continue;
		(void)fprintf(stderr, "concd: workload '%s': %s\n", workload->name, workload->why_not);
		unusable++;
	}
	if (r == 0 && unusable > 0)
		r = error_set(err, -EINVAL, "bad-config", "%zu of %zu workloads cannot be used", unusable,
			      workloads_count(workloads));
	else if (r == 0)
		(void)printf("%s: fine: %zu workloads\n", config->path ? config->path : "built-in defaults",
			     workloads_count(workloads));
	workloads_close(workloads);
	config_free(config);
	return r;
}

static void print_line(void *arg, const char *line)
{
	(void)arg;
	(void)printf("%s\n", line);
}

int concd_check_store(const struct concd_options *options, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	struct config *config = NULL;
	int r = load_config(options, &config, err);

	if (r == 0) {
		path = store_path(config, err);
		r = path ? store_check(path, print_line, NULL, err) : -ENOMEM;
	}
	config_free(config);
	return r;
}
