/* Counting what is unfinished. */
#include "jobs/quota.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uthash.h>

#include "base/error.h"
#include "base/text.h"
#include "config.h"

struct quota_user {
	uint32_t uid;
	struct quota_count count;
	UT_hash_handle hh;
};

static struct quota_user *find_user(const struct quota *quota, uint32_t uid)
{
	struct quota_user *user;

	HASH_FIND(hh, quota->users, &uid, sizeof(uid), user);
	return user;
}

void quota_fini(struct quota *quota)
{
	struct quota_user *user, *next;

	HASH_ITER(hh, quota->users, user, next) {
		HASH_DEL(quota->users, user);
		free(user);
	}
}

static void count_add(struct quota_count *sum, const struct quota_count *count)
{
	sum->jobs += count->jobs;
	sum->tasks += count->tasks;
	sum->bytes += count->bytes;
}

static void count_sub(struct quota_count *sum, const struct quota_count *count)
{
	sum->jobs -= count->jobs;
	sum->tasks -= count->tasks;
	sum->bytes -= count->bytes;
}

int quota_add(struct quota *quota, uint32_t uid, const struct quota_count *count)
{
	struct quota_user *user = find_user(quota, uid);

	if (!user) {
		user = calloc(1, sizeof(*user));
		if (!user)
			return -ENOMEM;
		user->uid = uid;
		HASH_ADD(hh, quota->users, uid, sizeof(user->uid), user);
	}
	count_add(&user->count, count);
	count_add(&quota->all, count);
	return 0;
}

void quota_sub(struct quota *quota, uint32_t uid, const struct quota_count *count)
{
	struct quota_user *user = find_user(quota, uid);

	count_sub(&quota->all, count);
	count_sub(&user->count, count);
	if (user->count.jobs > 0 || user->count.tasks > 0 || user->count.bytes > 0)
		return;
	HASH_DEL(quota->users, user);
	free(user);
}

bool quota_is_exempt(uint32_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* ---- The limits ---- */

enum kind { KIND_JOBS, KIND_TASKS, KIND_BYTES };

static const struct {
	enum kind kind;
	bool per_user;
	const char *name; /* of the setting */
	size_t limit; /* its field */
} limits[] = {
	{ KIND_JOBS, true, "limits.max_jobs_per_user", offsetof(struct config, max_jobs_per_user) },
	{ KIND_JOBS, false, "limits.max_jobs", offsetof(struct config, max_jobs) },
	{ KIND_TASKS, true, "limits.max_queued_tasks_per_user", offsetof(struct config, max_queued_tasks_per_user) },
	{ KIND_TASKS, false, "limits.max_queued_tasks", offsetof(struct config, max_queued_tasks) },
	{ KIND_BYTES, true, "limits.max_queued_per_user", offsetof(struct config, max_queued_bytes_per_user) },
	{ KIND_BYTES, false, "limits.max_queued", offsetof(struct config, max_queued_bytes) },
};
#define N_LIMITS (sizeof(limits) / sizeof(limits[0]))

static uint64_t of_kind(const struct quota_count *count, enum kind kind)
{
	return kind == KIND_JOBS ? count->jobs : kind == KIND_TASKS ? count->tasks : count->bytes;
}

/* "12 unfinished tasks", "3.5M of inputs" */
#define AMOUNT_BYTES 64
static const char *amount(enum kind kind, uint64_t n, char text[AMOUNT_BYTES])
{
	char size[TEXT_DURATION_BYTES];

	if (kind == KIND_BYTES) {
		text_format_size(n, size);
		(void)snprintf(text, AMOUNT_BYTES, "%s of inputs in unfinished jobs", size); /* fits */
	} else {
		(void)snprintf(text, AMOUNT_BYTES, "%" PRIu64 " unfinished %s%s", n, kind == KIND_JOBS ? "job" : "task",
			       n == 1 ? "" : "s"); /* fits */
	}
	return text;
}

static const char *value(enum kind kind, uint64_t n, char text[AMOUNT_BYTES])
{
	if (kind == KIND_BYTES)
		text_format_size(n, text);
	else
		(void)snprintf(text, AMOUNT_BYTES, "%" PRIu64, n); /* fits */
	return text;
}

static int refuse(const struct quota_ask *ask, size_t i, uint64_t present, uint64_t limit, struct error *err)
{
	char has[AMOUNT_BYTES], more[AMOUNT_BYTES], most[AMOUNT_BYTES], who[32];
	enum kind kind = limits[i].kind;
	uint64_t asked = of_kind(&ask->count, kind);

	(void)snprintf(who, sizeof(who), limits[i].per_user ? "user %" PRIu32 " has" : "all users together have", ask->uid);
	(void)value(kind, limit, most);
	if (ask->job > 0 && kind == KIND_BYTES && asked + ask->job_bytes > limit)
		return error_set(err, -EMSGSIZE, "too-large",
				 "job %" PRIu64 " has %s of inputs, and with %s more it is over %s = %s, for which no waiting makes room: "
				 "give them to several jobs one after the other, or have the limit raised in concd.conf",
				 ask->job, value(kind, ask->job_bytes, has), value(kind, asked, more), limits[i].name, most);
	if (ask->job == 0 && asked > limit)
		return error_set(err, -EBUSY, "busy",
				 "this job alone would be %s, and %s is %s: make several jobs of it, one after the other, or have "
				 "the limit raised in concd.conf", amount(kind, asked, more), limits[i].name, most);
	return error_set(err, -EBUSY, "busy",
			 "%s %s, and with %s more it is over %s = %s: try again when some have ended (concctl list), cancel some, "
			 "or have the limit raised in concd.conf",
			 who, amount(kind, present, has), value(kind, asked, more), limits[i].name, most);
}

int quota_check(const struct quota *quota, const struct config *config, const struct quota_ask *ask, struct error *err)
{
	static const struct quota_count none = { .jobs = 0 };
	const struct quota_user *user = find_user(quota, ask->uid);
	bool exempt = quota_is_exempt(ask->uid);

	for (size_t i = 0; i < N_LIMITS; i++) {
		const struct quota_count *count = !limits[i].per_user ? &quota->all : user ? &user->count : &none;
		uint64_t limit = *(const uint64_t *)((const char *)config + limits[i].limit);
		uint64_t present = of_kind(count, limits[i].kind), asked = of_kind(&ask->count, limits[i].kind);

		if ((limits[i].per_user && exempt) || asked == 0 || (present <= limit && asked <= limit - present))
			continue;
		if (ask->job > 0 && limits[i].kind == KIND_TASKS && present == 0)
			continue;
		return refuse(ask, i, present, limit, err);
	}
	return 0;
}

int quota_walk(const struct quota *quota, int (*fn)(void *arg, uint32_t uid, const struct quota_count *count), void *arg)
{
	const struct quota_user *user;
	int r = 0;

	for (user = quota->users; user && r == 0; user = user->hh.next)
		r = fn(arg, user->uid, &user->count);
	return r;
}
