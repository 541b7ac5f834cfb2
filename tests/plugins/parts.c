/* parts: divides its input, and goes wrong where it is told to.
 *
 * The input is the number of parts, and words: each part's input is its number and the same words.
 *
 *	fail=K  retry=K  crash=K  hang=K  deaf=K	part K does so (retry and crash: the first time only, with `always`
 *						each time; deaf: does not listen to its cancel, either)
 *	sfail scrash shang			so does the splitting (scrash: the first time only)
 *	ms=T  big=B  part=B			each part takes T ms; its result, its input has B bytes
 *	nested					each part tries to divide itself
 *	lie					the splitting says that all is well though it could not add a part
 *
 * The parameter `combine` says how the combining ends (crash: the first time only).
 *
 * The result is "N parts, sum S", S being the sum of their numbers; of an input that is not divided "whole". Executions
 * are locked and logged in `dir` as exec_log does: begin|end|overlap TASK.STEP PID, where STEP is s, c or the part's
 * number.
 */
#include <concd/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STEPS UINT64_C(131072) /* bytes in the lock file for a task */
#define SPLIT 100000
#define COMBINE 100001

struct execution {
	char name[48];
	int dir, lock;
};

/* The value of a word KEY=VALUE or, without '=', 1; -1: not there. */
static long word(const char *input, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = strchr(input, ' '); at; at = strchr(at + 1, ' ')) {
		if (strncmp(at + 1, key, len) != 0)
			continue;
		if (at[1 + len] == '=')
			return strtol(at + 2 + len, NULL, 10);
		if (at[1 + len] == ' ' || at[1 + len] == '\0')
			return 1;
	}
	return -1;
}

static int log_line(const struct execution *e, const char *what)
{
	char line[96];
	int n = snprintf(line, sizeof(line), "%s %s %ld\n", what, e->name, (long)getpid());
	int fd = openat(e->dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	int r = fd >= 0 && write(fd, line, (size_t)n) == n ? 0 : -EIO;

	if (fd >= 0)
		close(fd);
	return r;
}

static int begin(struct concd_task *task, long step, struct execution *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t)(concd_index(task) * STEPS) + step, .l_len = 1 };
	const char *dir = "";
	int r = concd_param_text(task, "dir", &dir);

	if (r < 0)
		return r;
	if (step == SPLIT || step == COMBINE)
		(void)snprintf(e->name, sizeof(e->name), "%" PRIu64 ".%c", concd_index(task), step == SPLIT ? 's' : 'c');
	else
		(void)snprintf(e->name, sizeof(e->name), "%" PRIu64 ".%ld", concd_index(task), step);
	e->dir = e->lock = -1;
	if (*dir == '\0')
		return 0;
	e->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	e->lock = openat(e->dir, "locks", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (e->lock < 0)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "cannot use '%s': %s", dir, strerror(errno));
	if (fcntl(e->lock, F_OFD_SETLK, &lock) < 0)
		(void)log_line(e, "overlap");
	return log_line(e, "begin");
}

static int end(struct execution *e, int r)
{
	if (e->dir < 0)
		return r;
	if (r == 0)
		(void)log_line(e, "end"); /* a line that is missing fails the test */
	close(e->lock);
	close(e->dir);
	return r;
}

/* The first time of this execution? Told by a file of its name. */
static bool first_time(const struct execution *e)
{
	int fd = openat(e->dir, e->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int hang(struct concd_task *task, bool deaf)
{
	for (;;) {
		int r = concd_sleep(task, INT64_C(10000000));

		if (r < 0 && !deaf)
			return r;
		if (r < 0)
			(void)usleep(10000);
	}
}

static void compute(long ms)
{
	struct timespec from, now;

	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	do
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < ms);
}

static int add_parts(struct concd_task *task, const char *input)
{
	const char *words = strchr(input, ' ');
	long n = strtol(input, NULL, 10), size = word(input, "part");
	size_t cap = strlen(input) + 32 + (size > 0 ? (size_t)size : 0);
	char *text = calloc(1, cap);
	int r = text ? 0 : -ENOMEM;

	for (long i = 0; r == 0 && i < n; i++) {
		size_t len = (size_t)snprintf(text, cap, "%ld%s", i, words ? words : "");

		if (size > 0 && (size_t)size > len) {
			memset(text + len, ' ', (size_t)size - len);
			len = (size_t)size;
		}
		r = concd_part_add(task, text, len);
	}
	free(text);
	return word(input, "lie") > 0 ? 0 : r;
}

static int split(struct concd_task *task)
{
	size_t input_len;
	const char *input = concd_input(task, &input_len);
	struct execution e;
	int r = begin(task, SPLIT, &e);

	if (r == 0 && concd_part_count(task) != 0)
		r = concd_fail(task, CONCD_FAIL_PERMANENT, "there are results while it is divided");
	if (r == 0 && word(input, "sfail") > 0)
		r = concd_fail(task, CONCD_FAIL_INPUT, "it cannot be divided");
	if (r == 0 && word(input, "scrash") > 0 && first_time(&e))
		abort();
	if (r == 0 && word(input, "shang") > 0)
		r = hang(task, false);
	return end(&e, r == 0 ? add_parts(task, input) : r);
}

static int give(struct concd_task *task, const char *input, long part)
{
	long size = word(input, "big");
	char text[32], *big;
	int n = snprintf(text, sizeof(text), "%ld", part), r;

	if (size <= n)
		return concd_result(task, text, (size_t)n);
	big = calloc(1, (size_t)size);
	if (!big)
		return -ENOMEM;
	memcpy(big, text, (size_t)n);
	r = concd_result(task, big, (size_t)size);
	free(big);
	return r;
}

static int run_part(struct concd_task *task)
{
	size_t input_len;
	const char *input = concd_input(task, &input_len);
	long part = strtol(input, NULL, 10);
	bool always = word(input, "always") > 0;
	struct execution e;
	int r = begin(task, part, &e);

	if (r < 0)
		return r;
	if (word(input, "nested") > 0 && concd_part_add(task, "x", 1) != -EPERM)
		return end(&e, concd_fail(task, CONCD_FAIL_PERMANENT, "a part could be divided"));
	if (word(input, "ms") > 0)
		compute(word(input, "ms"));
	if (word(input, "fail") == part)
		return end(&e, concd_fail(task, CONCD_FAIL_PERMANENT, "it was told to fail"));
	if (word(input, "retry") == part && (always || first_time(&e)))
		return end(&e, concd_fail(task, CONCD_FAIL_RETRY, "it was told to try again"));
	if (word(input, "crash") == part && (always || first_time(&e)))
		abort();
	if (word(input, "hang") == part || word(input, "deaf") == part)
		return end(&e, hang(task, word(input, "deaf") == part));
	return end(&e, give(task, input, part));
}

static int combine(struct concd_task *task)
{
	uint64_t n = concd_part_count(task), sum = 0;
	const char *fails = "";
	struct execution e;
	char text[64];
	size_t len;
	int r = begin(task, COMBINE, &e);

	if (r == 0)
		r = concd_param_text(task, "combine", &fails);
	if (r == 0 && strcmp(fails, "fail") == 0)
		r = concd_fail(task, CONCD_FAIL_PERMANENT, "it cannot be combined");
	if (r == 0 && strcmp(fails, "crash") == 0 && first_time(&e))
		abort();
	if (r == 0 && (concd_part_add(task, "x", 1) != -EPERM || concd_part_result(task, n, &len) != NULL))
		r = concd_fail(task, CONCD_FAIL_PERMANENT, "combining may divide, or has too many results");
	for (uint64_t i = 0; r == 0 && i < n; i++) {
		const char *result = concd_part_result(task, i, &len);

		(void)snprintf(text, sizeof(text), "%.*s", len < 20 ? (int)len : 20, result);
		if (strtoull(text, NULL, 10) != i)
			r = concd_fail(task, CONCD_FAIL_PERMANENT, "part %" PRIu64 " gave '%s'", i, text);
		sum += i;
	}
	if (r < 0)
		return end(&e, r);
	return end(&e, concd_result(task, text,
				    (size_t)snprintf(text, sizeof(text), "%" PRIu64 " parts, sum %" PRIu64, n, sum)));
}

static int run(struct concd_task *task)
{
	return concd_result(task, "whole", 5);
}

static const struct concd_param params[] = {
	{.name = "dir", .type = CONCD_PARAM_TEXT, .help = "where executions are logged"},
	{.name = "combine", .type = CONCD_PARAM_TEXT, .value = "well", .choices = "well|fail|crash",
	 .help = "how the combining ends"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "parts",
	.version = "1.0",
	.summary = "test: divides its input into that many parts",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.needs = CONCD_NEEDS_FILES,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
	.split = split,
	.run_part = run_part,
	.combine = combine,
};
CONCD_PLUGIN(plugin)
