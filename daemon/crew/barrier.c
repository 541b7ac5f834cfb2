/* The barrier at start: no survivor of an earlier daemon may still work when work is handed out.
 *
 * Each worker process holds a shared lock on workers.lock from before its exec to its end. A new daemon takes the
 * exclusive lock, trying every few milliseconds, gives it back and is ready. After two seconds it kills those survivors
 * that the store names; the start time says that the number still means the same process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>

#include <event2/event.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file_error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/spawn.h"
#include "crew/crew_private.h"
#include "store/store.h"

#define TRY_EVERY_MS 5
#define KILL_AFTER_NS (2 * NS_PER_S)
#define COMPLAIN_EVERY_NS (10 * NS_PER_S)

struct survivor {
	int32_t pid;
	uint64_t start_time;
};

struct barrier {
	struct crews *crews;
	struct event *timer;
	struct survivor *survivors;
	size_t n_survivors;
	int64_t kill_ns; /* when */
};

/* ---- Who runs, in the store ---- */

static void on_recorded(struct store_op *op, int status)
{
	if (status < 0)
		log_warning("crew: worker process %d is not recorded, ignoring: %s", op->u.worker.pid,
			    strerror(-status));
	free(op);
}

void worker_record(struct crews *crews, bool add, pid_t pid, uint64_t start_time)
{
	struct store_op *op;

	if (!crews->store)
		return;
	op = calloc(1, sizeof(*op));
	if (!op)
		return; /* only a survivor's kill would need it, and its lock is still seen */
	op->type = add ? STORE_WORKER_ADD : STORE_WORKER_DEL;
	op->may_fail = true;
	op->u.worker.pid = pid;
	op->u.worker.start_time = start_time;
	op->on_done = on_recorded;
	store_submit(crews->store, op);
}

static int on_survivor(void *arg, int32_t pid, uint64_t start_time)
{
	struct barrier *b = arg;
	struct survivor *more = reallocarray(b->survivors, b->n_survivors + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	more[b->n_survivors++] = (struct survivor){ pid, start_time };
	b->survivors = more;
	return 0;
}

/* ---- The lock ---- */

static int open_lock(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

int barrier_hold(const char *lock_path, int *ret_fd)
{
	_cleanup_close_ int fd = open_lock(lock_path);

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

static int try_lock(const char *lock_path)
{
	_cleanup_close_ int fd = open_lock(lock_path);

	if (fd < 0)
		return fd;
	return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0; /* closing gives it back */
}

static void kill_survivor(const struct survivor *s)
{
	_cleanup_close_ int pidfd = pidfd_open(s->pid, 0);
	uint64_t start_time;

	if (pidfd < 0)
		return; /* has ended */
	/* Looked at behind the pidfd: from here the number cannot change its meaning. */
	if (procfs_start_time(s->pid, &start_time) < 0 || start_time != s->start_time)
		return;
	log_warning("crew: worker process %d survived an earlier daemon and does not end: killed", s->pid);
	(void)spawn_kill(pidfd, SIGKILL); /* -ESRCH: has ended */
}

static void pass(struct barrier *b)
{
	struct crews *crews = b->crews;

	for (size_t i = 0; i < b->n_survivors; i++)
		worker_record(crews, false, b->survivors[i].pid, b->survivors[i].start_time);
	crews->barrier = NULL;
	barrier_close(b);
	crews->ready = true;
	crews->ops->on_settled(crews->ctx, NULL);
	crews_kick_all(crews);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval again = { .tv_sec = 0, .tv_usec = TRY_EVERY_MS * 1000 };
	struct barrier *b = arg;
	int r = try_lock(b->crews->lock_path);

	(void)fd; /* a timer has none */
	(void)what;
	if (r == 0) {
		pass(b);
		return;
	}
	if (clock_mono_ns() >= b->kill_ns) {
		log_warning("crew: waiting for worker processes of an earlier daemon: %s: %s", b->crews->lock_path,
			    strerror(-r));
		for (size_t i = 0; i < b->n_survivors; i++)
			kill_survivor(&b->survivors[i]);
		b->kill_ns = clock_mono_ns() + COMPLAIN_EVERY_NS;
	}
	(void)event_add(b->timer, &again); /* fails only without memory, which a timer that was there does not need */
}

int barrier_open(struct crews *crews, struct error *err)
{
	static const struct timeval at_once = { .tv_sec = 0 };
	struct barrier *b = calloc(1, sizeof(*b));
	int r = -ENOMEM;

	if (!b)
		return error_set(err, r, "internal", "out of memory");
	b->crews = crews;
	b->kill_ns = clock_mono_ns() + KILL_AFTER_NS;
	if (crews->store) {
		r = store_recover_workers(crews->store, on_survivor, b);
		if (r < 0) {
			barrier_close(b);
			return error_set(err, r, "internal", "the store does not say which worker processes ran: %s",
					 strerror(-r));
		}
	}
	r = try_lock(crews->lock_path);
	if (r < 0 && r != -EWOULDBLOCK) {
		barrier_close(b);
		return file_error(err, -r, NULL, "the lock", crews->lock_path);
	}
	b->timer = evtimer_new(crews->base, on_timer, b);
	if (!b->timer || event_add(b->timer, &at_once) < 0) {
		barrier_close(b);
		return error_set(err, -ENOMEM, "internal", "out of memory");
	}
	crews->barrier = b;
	return 0;
}

void barrier_close(struct barrier *b)
{
	if (!b)
		return;
	if (b->timer)
		event_free(b->timer);
	free(b->survivors);
	free(b);
}
