/* What is read once, at start-up, on the control thread's own connection. */
#include "private.h"

#include <errno.h>
#include <string.h>

int store_recover_jobs(struct store *store, uint64_t above, int (*fn)(void *arg, const struct store_recovered_job *job),
		       void *arg)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, store->db, "SELECT " JOB_COLUMNS ", lane, bytes,"
			      " EXISTS (SELECT 1 FROM task WHERE job = id) OR EXISTS (SELECT 1 FROM segment WHERE job = id)"
			      " OR EXISTS (SELECT 1 FROM started WHERE job = id) OR EXISTS (SELECT 1 FROM crash WHERE job = id)"
			      " OR EXISTS (SELECT 1 FROM step WHERE job = id)"
			      " FROM job WHERE ended_us = 0 AND id > ? ORDER BY id");

	if (r < 0)
		return r;
	query_u64(&q, above);
	while ((r = query_step(&q)) == 1) {
		struct store_recovered_job job;

		r = job_row_read(&q, &job);
		if (r == 0) {
			job.job.lane = query_column_text(&q, JOB_N_COLUMNS);
			job.input_bytes = query_column_u64(&q, JOB_N_COLUMNS + 1);
			job.begun = query_column_int(&q, JOB_N_COLUMNS + 2) != 0;
			r = job.job.lane ? fn(arg, &job) : -ENOMEM;
		}
		if (r != 0)
			break;
	}
	return r;
}

/* Call `row` for each row of a query that has one parameter, the job. */
static int walk_rows(struct store *store, const char *sql, uint64_t job,
		     int (*row)(struct query *q, const struct store_recovery_ops *ops, void *arg),
		     const struct store_recovery_ops *ops, void *arg)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, store->db, sql);

	if (r < 0)
		return r;
	query_u64(&q, job);
	while ((r = query_step(&q)) == 1) {
		r = row(&q, ops, arg);
		if (r < 0)
			break;
	}
	return r;
}

static int input_row(struct query *q, const struct store_recovery_ops *ops, void *arg)
{
	uint64_t count = query_column_u64(q, 1);

	if (count > UINT32_MAX)
		return -EBADMSG;
	return ops->on_input(arg, query_column_u64(q, 0), (uint32_t)count, (size_t)query_column_u64(q, 2));
}

static int segment_row(struct query *q, const struct store_recovery_ops *ops, void *arg)
{
	uint64_t segment = query_column_u64(q, 0), count = query_column_u64(q, 1);
	struct segment_sums sums = {
		.done = query_column_u64(q, 2),
		.failed = query_column_u64(q, 3),
		.cancelled = query_column_u64(q, 4),
		.cpu_s = query_column_double(q, 5),
		.wait_s = query_column_double(q, 6),
		.runq_s = query_column_double(q, 7),
	};

	if (segment > UINT64_MAX / SEGMENT_TASKS || count == 0 || count > SEGMENT_TASKS)
		return -EBADMSG;
	return ops->on_segment(arg, segment * SEGMENT_TASKS, (uint32_t)count, &sums);
}

static int task_row(struct query *q, const struct store_recovery_ops *ops, void *arg)
{
	size_t len;
	const void *blob = query_column_bytes(q, 2, &len);

	if (!blob)
		return -ENOMEM;
	if (db_sum(blob, len) != query_column_u64(q, 1))
		return ops->on_task(arg, query_column_u64(q, 0), NULL, 0);
	return ops->on_task(arg, query_column_u64(q, 0), blob, len);
}

/* Where an outcome was recorded the count is of no use any more; it goes with the segment's folding. */
static int crash_row(struct query *q, const struct store_recovery_ops *ops, void *arg)
{
	struct store_crash crash = {
		.task = query_column_u64(q, 0),
		.crashes = (uint32_t)query_column_u64(q, 1),
		.attempts = (uint32_t)query_column_u64(q, 2),
		.cause = query_column_text(q, 3),
	};

	return crash.cause ? ops->on_crash(arg, &crash) : -ENOMEM;
}

static int step_row(struct query *q, const struct store_recovery_ops *ops, void *arg)
{
	size_t len;
	const void *blob = query_column_bytes(q, 2, &len);

	if (!blob)
		return -ENOMEM;
	if (db_sum(blob, len) != query_column_u64(q, 1))
		return ops->on_step(arg, query_column_u64(q, 0), NULL, 0);
	return ops->on_step(arg, query_column_u64(q, 0), blob, len);
}

/* Marks are rows of single tasks; neighbours are told as one run. */
static int walk_started(struct store *store, uint64_t job, const struct store_recovery_ops *ops, void *arg)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	uint64_t first = 0, count = 0;
	int r = query_prepare(&q, store->db,
			      "SELECT task FROM started AS s WHERE job = ?1"
			      " AND NOT EXISTS (SELECT 1 FROM task WHERE job = ?1 AND task = s.task)"
			      " AND NOT EXISTS (SELECT 1 FROM segment WHERE job = ?1 AND segment = s.task / ?2)"
			      " ORDER BY task");

	if (r < 0)
		return r;
	query_u64(&q, job);
	query_u64(&q, SEGMENT_TASKS);
	while ((r = query_step(&q)) == 1) {
		uint64_t task = query_column_u64(&q, 0);

		if (count > 0 && task == first + count) {
			count++;
			continue;
		}
		r = count > 0 ? ops->on_started(arg, first, count) : 0;
		if (r < 0)
			return r;
		first = task;
		count = 1;
	}
	if (r == 0 && count > 0)
		r = ops->on_started(arg, first, count);
	return r < 0 ? r : 0;
}

int store_recover_tasks(struct store *store, uint64_t job, const struct store_recovery_ops *ops, void *arg)
{
	int r = 0;

	if (ops->on_input)
		r = walk_rows(store, "SELECT 0, head_count, length(head) FROM job WHERE id = ?1 AND head_count > 0 UNION ALL"
				     " SELECT first, count, length(packed) FROM input WHERE job = ?1 ORDER BY 1",
			      job, input_row, ops, arg);
	if (r == 0 && ops->on_segment)
		r = walk_rows(store, "SELECT segment, count, done, failed, cancelled, cpu_s, wait_s, runq_s"
				     " FROM segment WHERE job = ? ORDER BY segment",
			      job, segment_row, ops, arg);
	if (r == 0 && ops->on_task)
		r = walk_rows(store, "SELECT task, sum, packed FROM task WHERE job = ? ORDER BY task", job, task_row,
			      ops, arg);
	if (r == 0 && ops->on_step)
		r = walk_rows(store, "SELECT step, sum, packed FROM step WHERE job = ? ORDER BY step", job, step_row, ops,
			      arg);
	if (r == 0 && ops->on_crash)
		r = walk_rows(store, "SELECT task, crashes, attempts, cause FROM crash AS c WHERE job = ?1 AND NOT EXISTS"
				     " (SELECT 1 FROM task WHERE job = ?1 AND task = c.task) ORDER BY task",
			      job, crash_row, ops, arg);
	if (r == 0 && ops->on_started)
		r = walk_started(store, job, ops, arg);
	return r;
}

int store_recover_workers(struct store *store, int (*fn)(void *arg, int32_t pid, uint64_t start_time), void *arg)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, store->db, "SELECT pid, start_time FROM worker");

	if (r < 0)
		return r;
	while ((r = query_step(&q)) == 1) {
		r = fn(arg, (int32_t)query_column_int(&q, 0), query_column_u64(&q, 1));
		if (r < 0)
			break;
	}
	return r;
}

int store_recover_holds(struct store *store, int (*fn)(void *arg, const char *workload, int64_t since_unix_us), void *arg)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, store->db, "SELECT workload, since_us FROM hold");

	if (r < 0)
		return r;
	while ((r = query_step(&q)) == 1) {
		const char *workload = query_column_text(&q, 0);

		r = workload ? fn(arg, workload, query_column_int(&q, 1)) : -ENOMEM;
		if (r < 0)
			break;
	}
	return r;
}

int store_recover_hooks(struct store *store, int (*fn)(void *arg, uint64_t job), void *arg)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, store->db, "SELECT job FROM hook ORDER BY job");

	if (r < 0)
		return r;
	while ((r = query_step(&q)) == 1) {
		r = fn(arg, query_column_u64(&q, 0));
		if (r < 0)
			break;
	}
	return r;
}

int store_job_ended(struct store *store, uint64_t job, uint8_t *ret_state)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, store->db, "SELECT state, ended_us FROM job WHERE id = ?");

	if (r < 0)
		return r;
	query_u64(&q, job);
	r = query_step(&q);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*ret_state = (uint8_t)query_column_u64(&q, 0);
	return query_column_u64(&q, 1) > 0;
}

int store_recover_users(struct store *store, int (*fn)(void *arg, uint64_t job, uint32_t uid), void *arg)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, store->db, "SELECT id, uid FROM job ORDER BY id");

	if (r < 0)
		return r;
	while ((r = query_step(&q)) == 1) {
		r = fn(arg, query_column_u64(&q, 0), (uint32_t)query_column_u64(&q, 1));
		if (r < 0)
			break;
	}
	return r;
}

int store_next_id(struct store *store, uint64_t *ret_id)
{
	int64_t id = 0;
	int r = db_get_int(store->db,
			   "SELECT max((SELECT value FROM meta WHERE key = 'next_id'),"
			   " coalesce((SELECT max(id) FROM job), 0) + 1)",
			   &id);

	if (r == 0)
		*ret_id = (uint64_t)id;
	return r;
}

int store_plugin_find(struct store *store, const char *key, struct buffer *ret_description)
{
	_cleanup_(query_finish) struct query q = { .stmt = NULL };
	int r = query_prepare(&q, store->db, "SELECT description FROM plugin WHERE key = ?");
	const char *text;

	if (r < 0)
		return r;
	query_text(&q, key);
	r = query_step(&q);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	text = query_column_text(&q, 0);
	if (!text || buffer_reserve(ret_description, strlen(text) + 1) < 0)
		return -ENOMEM;
	(void)buffer_add(ret_description, text, strlen(text)); /* room was reserved, also for the NUL */
	ret_description->data[ret_description->len] = '\0';
	return 0;
}
