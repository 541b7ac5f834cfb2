/* The reader thread: answers one request after the other, each in a read transaction of its own, so that a fold of task
 * rows into their segment is seen either not at all or whole. */
#include "private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define JOBS_MAX 1000 /* rows in one answer */

enum statement {
	READ_BEGIN,
	READ_END,
	INPUT_AT,
	SEGMENT_AT,
	PARTS_AT,
	TASKS_AT,
	JOB_SIZE,
	JOB_BY_ID,
	JOB_BY_SUBMISSION,
	JOBS_BELOW,
	ALL_JOBS_BELOW,
	JOB_LAST,
	N_STATEMENTS,
};

static const char *const sql[N_STATEMENTS] = {
	[READ_BEGIN] = "BEGIN",
	[READ_END] = "COMMIT",
	[INPUT_AT] = "SELECT 0, head_count, head_sum, head FROM job WHERE id = ?1 AND head_count > ?2 UNION ALL"
		     " SELECT * FROM (SELECT first, count, sum, packed FROM input WHERE job = ?1 AND first <= ?2"
		     " ORDER BY first DESC LIMIT 1) LIMIT 1",
	[SEGMENT_AT] = "SELECT count, size, sum, packed FROM segment WHERE job = ? AND segment = ?",
	[PARTS_AT] = "SELECT packed FROM part WHERE job = ? AND segment = ? ORDER BY part",
	[TASKS_AT] = "SELECT task, sum, packed FROM task WHERE job = ? AND task >= ? AND task < ? ORDER BY task",
	[JOB_SIZE] = "SELECT total, open FROM job WHERE id = ?",
	[JOB_BY_ID] = "SELECT " JOB_COLUMNS " FROM job WHERE id = ?",
	[JOB_BY_SUBMISSION] = "SELECT " JOB_COLUMNS " FROM job WHERE submission = ? AND submission != ''",
	[ALL_JOBS_BELOW] = "SELECT " JOB_COLUMNS " FROM job WHERE id < ? ORDER BY id DESC LIMIT ?",
	[JOBS_BELOW] = "SELECT " JOB_COLUMNS " FROM job WHERE ended_us != 0 AND id < ? ORDER BY id DESC LIMIT ?",
	[JOB_LAST] = "SELECT " JOB_COLUMNS " FROM job WHERE uid = ? AND id < ? ORDER BY id DESC LIMIT 1",
};

struct store_reader {
	sqlite3 *db;
	struct query queries[N_STATEMENTS];
};

int store_reader_new(sqlite3 *db, struct store_reader **ret_reader)
{
	struct store_reader *rd = calloc(1, sizeof(*rd));
	int r = rd ? 0 : -ENOMEM;

	for (size_t i = 0; i < N_STATEMENTS && r == 0; i++)
		r = query_prepare(&rd->queries[i], db, sql[i]);
	if (r < 0) {
		store_reader_free(rd);
		return r;
	}
	rd->db = db;
	*ret_reader = rd;
	return 0;
}

void store_reader_free(struct store_reader *rd)
{
	if (!rd)
		return;
	for (size_t i = 0; i < N_STATEMENTS; i++)
		query_finish(&rd->queries[i]);
	db_close(rd->db);
	free(rd);
}

static int read_input(struct store_reader *rd, struct store_read *read)
{
	struct query *q = &rd->queries[INPUT_AT];
	uint64_t first, count;
	const void *data;
	size_t len;
	int r;

	query_u64(q, read->job);
	query_u64(q, read->task);
	r = query_step(q);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	first = query_column_u64(q, 0);
	count = query_column_u64(q, 1);
	data = query_column_bytes(q, 3, &len);
	if (read->task - first >= count)
		r = -ENOENT;
	else if (count > UINT32_MAX || (data && db_sum(data, len) != query_column_u64(q, 2)))
		r = -EBADMSG;
	else
		r = data ? buffer_add(&read->input, data, len) : -ENOMEM;
	query_reset(q);
	read->input_first = first;
	read->input_count = (uint32_t)count;
	return r;
}

/* The rest of a segment that one row could not hold. */
static int read_parts(struct store_reader *rd, uint64_t job, uint64_t number, struct buffer *blob)
{
	struct query *q = &rd->queries[PARTS_AT];
	int r;

	query_u64(q, job);
	query_u64(q, number);
	while ((r = query_step(q)) == 1) {
		size_t len;
		const void *data = query_column_bytes(q, 0, &len);

		r = data ? buffer_add(blob, data, len) : -ENOMEM;
		if (r < 0) {
			query_reset(q);
			break;
		}
	}
	return r;
}

/* The segment's own row, under the segment query. */
static int read_segment_row(struct store_reader *rd, struct store_read *read, uint64_t first)
{
	struct query *q = &rd->queries[SEGMENT_AT];
	_cleanup_buffer_ struct buffer whole = BUFFER_INIT;
	uint64_t count = query_column_u64(q, 0), size = query_column_u64(q, 1), sum = query_column_u64(q, 2);
	size_t len;
	const void *data = query_column_bytes(q, 3, &len);
	int r;

	if (!data)
		return -ENOMEM;
	if (size > len) {
		r = buffer_add(&whole, data, len);
		if (r == 0)
			r = read_parts(rd, read->job, first / SEGMENT_TASKS, &whole);
		if (r < 0)
			return r;
		data = whole.data;
		len = whole.len;
	}
	if (len != size || db_sum(data, len) != sum)
		return -EBADMSG;
	r = segment_decode(first, data, len, &read->segment);
	return r == 0 && read->segment->count != count ? -EBADMSG : r;
}

static int put_task_row(struct query *q, struct segment *segment)
{
	uint64_t index = query_column_u64(q, 0) - segment->first;
	struct task_record record;
	const uint8_t *bytes;
	const void *data;
	size_t len;
	int r;

	data = query_column_bytes(q, 2, &len);
	if (!data)
		return -ENOMEM;
	if (index >= segment->count || db_sum(data, len) != query_column_u64(q, 1))
		return -EBADMSG;
	r = task_record_decode(data, len, &record, &bytes);
	return r < 0 ? r : segment_put(segment, (uint32_t)index, &record, bytes, record.length);
}

/* An open segment: what single rows say of it. */
static int read_task_rows(struct store_reader *rd, struct store_read *read, uint64_t first)
{
	struct query *q = &rd->queries[JOB_SIZE];
	uint64_t total, count = SEGMENT_TASKS;
	int r;

	query_u64(q, read->job);
	r = query_step(q);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	total = query_column_u64(q, 0);
	if (query_column_u64(q, 1) == 0 && total > first && total - first < count)
		count = total - first;
	query_reset(q);
	read->segment = segment_new(first, (uint32_t)count);
	if (!read->segment)
		return -ENOMEM;
	q = &rd->queries[TASKS_AT];
	query_u64(q, read->job);
	query_u64(q, first);
	query_u64(q, first + SEGMENT_TASKS);
	while ((r = query_step(q)) == 1) {
		r = put_task_row(q, read->segment);
		if (r < 0) {
			query_reset(q);
			return r;
		}
	}
	return r == 0 && read->segment->ended == 0 ? -ENOENT : r;
}

static int read_segment(struct store_reader *rd, struct store_read *read)
{
	struct query *q = &rd->queries[SEGMENT_AT];
	uint64_t first = read->task - read->task % SEGMENT_TASKS;
	int r;

	query_u64(q, read->job);
	query_u64(q, first / SEGMENT_TASKS);
	r = query_step(q);
	if (r == 0)
		return read_task_rows(rd, read, first);
	if (r == 1) {
		r = read_segment_row(rd, read, first);
		query_reset(q);
	}
	return r;
}

/* The row under q, whole, behind those that are there. */
static int take_row(struct query *q, struct store_read *read)
{
	struct store_recovered_job *job = &read->jobs[read->n_jobs];
	int r = job_row_read(q, job);

	if (r == 0)
		r = job_row_own(job);
	if (r == 0)
		read->n_jobs++;
	return r;
}

/* The rows of a bound query, behind those that are there, which has room for `limit` in all. */
static int read_rows(struct query *q, uint32_t limit, struct store_read *read)
{
	int r = 0;

	while (read->n_jobs < limit && (r = query_step(q)) == 1) {
		r = take_row(q, read);
		if (r < 0)
			break;
	}
	query_reset(q);
	return r < 0 ? r : 0;
}

/* The rows of a bound query, at most limit. */
static int read_jobs(struct query *q, uint32_t limit, struct store_read *read)
{
	read->jobs = calloc(limit > 0 ? limit : 1, sizeof(*read->jobs));
	if (!read->jobs) {
		query_reset(q);
		return -ENOMEM;
	}
	return read_rows(q, limit, read);
}

/* Of the rows of a bound query, `look` of them at most, those that fit, at most limit. */
static int read_fitting(struct query *q, uint32_t limit, struct store_read *read)
{
	uint32_t looked = 0;
	uint64_t last = 0;
	int r = 1;

	read->jobs = calloc(limit > 0 ? limit : 1, sizeof(*read->jobs));
	if (!read->jobs)
		r = -ENOMEM;
	while (r == 1 && read->n_jobs < limit && (r = query_step(q)) == 1) {
		looked++;
		last = query_column_u64(q, 0);
		if (job_row_fits(q, read) && take_row(q, read) < 0)
			r = -ENOMEM;
	}
	query_reset(q);
	if (r == 1 || looked == read->look) /* else there was no further row */
		read->next_below = last;
	return r < 0 ? r : 0;
}

static int read_one_job(struct query *q, struct store_read *read)
{
	int r = read_jobs(q, 1, read);

	return r == 0 && read->n_jobs == 0 ? -ENOENT : r;
}

static int read_list(struct store_reader *rd, struct store_read *read)
{
	struct query *q = &rd->queries[JOB_BY_ID];
	uint32_t n = read->n_ids < JOBS_MAX ? read->n_ids : JOBS_MAX;
	int r = 0;

	read->jobs = calloc(n > 0 ? n : 1, sizeof(*read->jobs));
	if (!read->jobs)
		return -ENOMEM;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		query_u64(q, read->ids[i]);
		r = read_rows(q, (uint32_t)read->n_jobs + 1, read);
	}
	return r;
}

static int serve(struct store_reader *rd, struct store_read *read)
{
	uint32_t limit = read->limit < JOBS_MAX ? read->limit : JOBS_MAX;
	struct query *q;

	switch (read->type) {
	case STORE_READ_INPUT:
		return read_input(rd, read);
	case STORE_READ_SEGMENT:
		return read_segment(rd, read);
	case STORE_READ_JOB:
		q = &rd->queries[JOB_BY_ID];
		query_u64(q, read->job);
		return read_one_job(q, read);
	case STORE_READ_JOBS:
		/* Unfinished ones are passed over row by row: SQLite would go through all of them in one step. */
		q = &rd->queries[read->unfinished || read->look > 0 ? ALL_JOBS_BELOW : JOBS_BELOW];
		query_u64(q, read->below > 0 && read->below < INT64_MAX ? read->below : INT64_MAX);
		query_u64(q, read->look > 0 ? read->look : limit);
		return read->look > 0 ? read_fitting(q, limit, read) : read_jobs(q, limit, read);
	case STORE_READ_LIST:
		return read_list(rd, read);
	case STORE_FIND_SUBMISSION:
		q = &rd->queries[JOB_BY_SUBMISSION];
		query_text(q, read->submission);
		return read_one_job(q, read);
	case STORE_READ_LAST:
		q = &rd->queries[JOB_LAST];
		query_u64(q, read->uid);
		query_u64(q, read->below > 0 ? read->below : INT64_MAX);
		return read_one_job(q, read);
	}
	assert(!"a read of no known type");
	return -EIO;
}

static int serve_in_transaction(struct store_reader *rd, struct store_read *read)
{
	int r = query_run(&rd->queries[READ_BEGIN], NULL);

	if (r == 0)
		r = serve(rd, read);
	if (!sqlite3_get_autocommit(rd->db))
		(void)query_run(&rd->queries[READ_END], NULL); /* nothing was written */
	if (r < 0)
		store_read_fini(read); /* half an answer is none */
	return r == 0 || r == -ENOENT || r == -EBADMSG ? r : -EIO;
}

void *reader_main(void *arg)
{
	struct store *store = arg;

	pthread_setname_np(pthread_self(), "store-reader");
	pthread_mutex_lock(&store->lock);
	for (;;) {
		struct store_read *read;

		while (!store->reads.first && !store->stop)
			pthread_cond_wait(&store->reader_wake, &store->lock);
		read = store->reads.first;
		if (!read)
			break;
		store->reads.first = read->next;
		if (!store->reads.first)
			store->reads.end = &store->reads.first;
		pthread_mutex_unlock(&store->lock);
		read->status = serve_in_transaction(store->reader, read);
		store_report_read(store, read);
		pthread_mutex_lock(&store->lock);
	}
	pthread_mutex_unlock(&store->lock);
	return NULL;
}
