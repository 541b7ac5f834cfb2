/* The gate of a runner's transfers (see gate.h).
 *
 * A slot is handed over, not set free: whoever gives it up counts it for the first in the queue, so nobody who comes
 * later gets ahead. A waiter lies on the stack of its task, in exactly one queue until it is told its outcome.
 */
#include "gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <uthash.h>

/* libcurl keeps an address for 60 s; ask for a slot a little earlier than it looks up again. */
#define RESOLVED_NS (INT64_C(50) * 1000000000)
/* With more connections to one host than this, searching them costs more than a new connection. */
#define REUSE_MAX 1024u
/* Hosts without a transfer are remembered up to here, for what is known of their names and connections. */
#define HOSTS_MAX 1024u

enum outcome { WAITING, GRANTED, UNRESOLVED, TRY_AGAIN };

struct waiter {
	TAILQ_ENTRY(waiter) link;
	const struct concd_host *services;
	struct concd_resumer *resumer;
	uint32_t limit; /* of the host, for this waiter's job */
	enum outcome outcome;
};
TAILQ_HEAD(waiters, waiter);

struct gate_host {
	UT_hash_handle hh;
	struct waiters slots; /* who waits for the per-host limit */
	struct waiters name; /* who waits for another's look-up */
	uint32_t active; /* transfers inside */
	uint32_t idle; /* connections that may be idle: never too few, perhaps too many */
	bool resolving; /* somebody looks the name up, or waits for a look-up's slot */
	int64_t resolved_until_ns; /* 0: not known */
	char key[]; /* host:port, as libcurl keeps addresses */
};

struct gate {
	struct gate_host *hosts;
	struct waiters lookup_queue;
	uint32_t lookups, max_lookups; /* in flight */
};

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

struct gate *gate_new(uint32_t max_lookups)
{
	struct gate *gate = calloc(1, sizeof(*gate));

	if (gate == NULL)
		return NULL;
	gate->max_lookups = max_lookups;
	TAILQ_INIT(&gate->lookup_queue);
	return gate;
}

void gate_free(struct gate *gate)
{
	struct gate_host *host, *next;

	if (gate == NULL)
		return;
	HASH_ITER(hh, gate->hosts, host, next) {
		HASH_DEL(gate->hosts, host);
		free(host);
	}
	free(gate);
}

static struct gate_host *host_find(struct gate *gate, const char *key)
{
	size_t len = strlen(key);
	struct gate_host *host;

	HASH_FIND(hh, gate->hosts, key, len, host);
	if (host != NULL)
		return host;
	host = calloc(1, sizeof(*host) + len + 1);
	if (host == NULL)
		return NULL;
	memcpy(host->key, key, len + 1);
	TAILQ_INIT(&host->slots);
	TAILQ_INIT(&host->name);
	HASH_ADD_KEYPTR(hh, gate->hosts, host->key, len, host);
	return host;
}

/* Nobody in it and nobody waiting: forget it, unless what it knows is worth keeping. */
static void host_release(struct gate *gate, struct gate_host *host)
{
	if (host->active > 0 || host->resolving || !TAILQ_EMPTY(&host->slots) || !TAILQ_EMPTY(&host->name))
		return;
	if ((host->idle > 0 || host->resolved_until_ns > 0) && HASH_COUNT(gate->hosts) <= HOSTS_MAX)
		return;
	HASH_DEL(gate->hosts, host);
	free(host);
}

/* Wait in `queue` until told an outcome. -ECANCELED only where none was told: what was granted stays granted, and the
 * cancelled task learns of it at its next wait. */
CONCD_YIELDS static int waiter_wait(struct concd_task *task, struct concd_resumer *resumer, struct waiters *queue,
				    uint32_t limit, enum outcome *ret_outcome)
{
	struct waiter waiter = {.services = task->host, .resumer = resumer, .limit = limit};
	int r = 0;

	TAILQ_INSERT_TAIL(queue, &waiter, link);
	while (waiter.outcome == WAITING && r == 0)
		r = concd_suspend(task, CONCD_NO_TIMEOUT);
	if (waiter.outcome == WAITING) {
		TAILQ_REMOVE(queue, &waiter, link);
		return r;
	}
	*ret_outcome = waiter.outcome;
	return 0;
}

static void wake(struct waiters *queue, struct waiter *waiter, enum outcome outcome)
{
	TAILQ_REMOVE(queue, waiter, link);
	waiter->outcome = outcome;
	concd_resume(waiter->services, waiter->resumer);
}

static void wake_all(struct waiters *queue, enum outcome outcome)
{
	struct waiter *waiter;

	while ((waiter = TAILQ_FIRST(queue)) != NULL)
		wake(queue, waiter, outcome);
}

static void host_give_slots(struct gate_host *host)
{
	struct waiter *waiter;

	while ((waiter = TAILQ_FIRST(&host->slots)) != NULL && (waiter->limit == 0 || host->active < waiter->limit)) {
		host->active++;
		wake(&host->slots, waiter, GRANTED);
	}
}

/* The look-up of `host` is over, or was given up. with_slot: it had one. */
static void lookup_end(struct gate *gate, struct gate_host *host, bool with_slot, enum outcome outcome)
{
	struct waiter *next;

	host->resolving = false;
	if (with_slot) {
		gate->lookups--;
		next = TAILQ_FIRST(&gate->lookup_queue);
		if (next != NULL) {
			gate->lookups++;
			wake(&gate->lookup_queue, next, GRANTED);
		}
	}
	wake_all(&host->name, outcome);
}

/* Until the name's address is known, or it is this transfer's turn to find it out. */
CONCD_YIELDS static int enter_name(struct gate *gate, struct concd_task *task, struct concd_resumer *resumer,
				   struct gate_host *host, bool *ret_looking)
{
	enum outcome outcome;
	int r;

	while (host->resolving) {
		r = waiter_wait(task, resumer, &host->name, 0, &outcome);
		if (r < 0)
			return r;
		if (outcome == UNRESOLVED)
			return -EHOSTUNREACH;
	}
	if (host->resolved_until_ns > now_ns())
		return 0;
	host->resolving = true;
	if (gate->lookups >= gate->max_lookups) {
		r = waiter_wait(task, resumer, &gate->lookup_queue, 0, &outcome);
		if (r < 0) {
			lookup_end(gate, host, false, TRY_AGAIN);
			return r;
		}
	} else {
		gate->lookups++;
	}
	*ret_looking = true;
	return 0;
}

int gate_enter(struct gate *gate, struct concd_task *task, struct concd_resumer *resumer, const char *key, bool named,
	       uint32_t per_host, struct gate_pass *ret_pass)
{
	struct gate_host *host = host_find(gate, key);
	enum outcome outcome;
	bool looking = false;
	int r;

	if (host == NULL)
		return -ENOMEM;
	if (per_host > 0 && host->active >= per_host) {
		r = waiter_wait(task, resumer, &host->slots, per_host, &outcome);
		if (r < 0) {
			host_release(gate, host);
			return r;
		}
	} else {
		host->active++;
	}
	if (named) {
		r = enter_name(gate, task, resumer, host, &looking);
		if (r < 0) {
			host->active--;
			host_give_slots(host);
			host_release(gate, host);
			return r;
		}
	}
	*ret_pass = (struct gate_pass){.gate = gate, .host = host, .looking = looking};
	ret_pass->forbid_reuse = host->active > REUSE_MAX;
	ret_pass->fresh = host->idle == 0 || ret_pass->forbid_reuse;
	if (!ret_pass->fresh)
		host->idle--;
	return 0;
}

void gate_resolved(struct gate_pass *pass)
{
	if (!pass->looking)
		return;
	pass->looking = false;
	pass->host->resolved_until_ns = now_ns() + RESOLVED_NS;
	lookup_end(pass->gate, pass->host, true, GRANTED);
}

void gate_leave(struct gate_pass *pass, enum gate_end end)
{
	struct gate_host *host = pass->host;

	if (host == NULL)
		return;
	if (pass->looking)
		lookup_end(pass->gate, host, true, end == GATE_END_UNRESOLVED ? UNRESOLVED : TRY_AGAIN);
	if (end == GATE_END_UNRESOLVED)
		host->resolved_until_ns = 0;
	if (end == GATE_END_KEPT && !pass->forbid_reuse)
		host->idle++;
	host->active--;
	host_give_slots(host);
	host_release(pass->gate, host);
	*pass = (struct gate_pass){0};
}
