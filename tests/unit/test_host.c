/* concd-worker as a process, seen from the daemon's side of the socket and the rings. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "crew/wire.h"
#include "ring/ring.h"

#define JOB 5
#define MAX_RECORDS 256

struct record {
	uint32_t chunk, index;
	uint8_t status;
	char data[64];
	float wall_s;
};

/* A process and what the daemon would have of it. */
struct rig {
	struct ring *ring;
	pid_t pid;
	int sock, err; /* err: the pipe of its standard error */
	char err_text[4096];
	size_t err_len;
	struct record records[MAX_RECORDS];
	uint32_t n_records;
	uint64_t memory_max_bytes, max_tasks; /* of the next hello() */
	const char *affinity;
};

static const char *build_file(const char *name, char path[512])
{
	const char *top = getenv("top_builddir");

	snprintf(path, 512, "%s/%s", top ? top : ".", name);
	return path;
}

static void place_fds(int socket, int segment, int event, int lock, int err)
{
	const int from[] = { -1, err, err, socket, segment, event, lock };
	int high[7];

	for (int i = 1; i < 7; i++)
		high[i] = fcntl(from[i], F_DUPFD, 100);
	for (int i = 1; i < 7; i++)
		dup2(high[i], i);
	for (int i = 1; i < 7; i++)
		close(high[i]);
}

static void start_process(struct rig *rig)
{
	const struct ring_geometry geometry = ring_geometry_for(1, 2, 4);
	int pair[2], pipes[2], lock = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char path[512];

	*rig = (struct rig){ .pid = -1 };
	assert_int_equal(ring_open(&geometry, &rig->ring), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	build_file("concd-worker", path);
	rig->pid = fork();
	if (rig->pid == 0) {
		place_fds(pair[1], ring_segment_fd(rig->ring), ring_event_fd(rig->ring), lock, pipes[1]);
		execl(path, "concd-worker", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	close(pipes[1]);
	close(lock);
	rig->sock = pair[0];
	rig->err = pipes[0];
}

static void send_buffer(struct rig *rig, struct buffer *b)
{
	assert_int_equal(send(rig->sock, b->data, b->len, MSG_NOSIGNAL), b->len);
	buffer_fini(b);
}

static void hello(struct rig *rig, const char *plugin, uint32_t threads, uint32_t coroutines, int64_t start_timeout_ns,
		  const char *param, const char *value)
{
	struct buffer b = BUFFER_INIT;
	char name[128], path[512];

	snprintf(name, sizeof(name), "tests/plugins/.libs/%s.so", plugin);
	buffer_add_varint(&b, WIRE_HELLO);
	buffer_add_varint(&b, WIRE_VERSION);
	buffer_add_text(&b, plugin);
	buffer_add_text(&b, build_file(name, path));
	buffer_add_varint(&b, 0);
	buffer_add_varint(&b, threads);
	buffer_add_varint(&b, coroutines);
	buffer_add_varint(&b, 0);
	buffer_add_varint(&b, 1 << 20);
	buffer_add_varint(&b, (uint64_t)start_timeout_ns);
	buffer_add_varint(&b, 0); /* stall: a busy machine makes no difference to what is told */
	buffer_add_varint(&b, rig->memory_max_bytes);
	buffer_add_varint(&b, 0);
	buffer_add_varint(&b, rig->max_tasks);
	buffer_add_varint(&b, 0); /* cpu_timeout */
	buffer_add_text(&b, rig->affinity ? rig->affinity : "");
	buffer_add_varint(&b, param ? 1 : 0);
	if (param) {
		buffer_add_text(&b, param);
		buffer_add_text(&b, value);
	}
	send_buffer(rig, &b);
}

static void send_job(struct rig *rig, int64_t timeout_ns, int64_t grace_ns, const char *param, const char *value)
{
	struct buffer b = BUFFER_INIT;

	buffer_add_varint(&b, WIRE_JOB);
	buffer_add_varint(&b, JOB);
	buffer_add_varint(&b, 2);
	buffer_add_varint(&b, (uint64_t)timeout_ns);
	buffer_add_varint(&b, (uint64_t)grace_ns);
	buffer_add_varint(&b, 0);
	buffer_add_varint(&b, param ? 1 : 0);
	if (param) {
		buffer_add_text(&b, param);
		buffer_add_text(&b, value);
	}
	send_buffer(rig, &b);
}

static void send_simple(struct rig *rig, uint64_t type)
{
	struct buffer b = BUFFER_INIT;

	buffer_add_varint(&b, type);
	send_buffer(rig, &b);
}

/* The next message; its descriptors are given to the ring. Returns the reader behind the type. */
static uint64_t next_message(struct rig *rig, struct reader *ret_reader)
{
	static uint8_t data[WIRE_MAX_BYTES];
	static union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(WIRE_FDS_PER_MESSAGE * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(rig->sock, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	assert_true(n > 0);
	if (header) {
		size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[WIRE_FDS_PER_MESSAGE];

		memcpy(fds, CMSG_DATA(header), count * sizeof(int));
		for (size_t i = 0; i < count; i++)
			ring_set_runner_fd(rig->ring, (uint32_t)i, fds[i]);
	}
	*ret_reader = (struct reader)READER_INIT(data, (size_t)n);
	return reader_varint(ret_reader);
}

static void expect_ready(struct rig *rig, uint32_t threads)
{
	struct reader reader;

	assert_int_equal(next_message(rig, &reader), WIRE_READY);
	assert_int_equal(reader_varint(&reader), 0);
	assert_int_equal(reader_varint(&reader), threads);
	assert_true(reader_varint(&reader) <= (uint64_t)threads * UINT32_MAX && !reader.failed);
}

static uint32_t submit(struct rig *rig, uint32_t count, const char *const *inputs)
{
	_cleanup_buffer_ struct buffer packed = BUFFER_INIT;
	struct ring_batch batch = { .job = JOB, .count = count };
	uint32_t chunk;

	for (uint32_t i = 0; i < count; i++)
		buffer_add_text(&packed, inputs[i]);
	batch.packed = packed.data;
	batch.packed_bytes = packed.len;
	assert_int_equal(ring_fill(rig->ring, &batch, rig, &chunk), 0);
	ring_submit(rig->ring, chunk);
	ring_wake_all(rig->ring);
	return chunk;
}

static void on_run(void *arg, const struct ring_run *run)
{
	struct rig *rig = arg;

	if (run->kind != RING_RECORD_RESULT)
		return;
	for (uint32_t i = 0; i < run->n; i++) {
		const struct ring_record *record = &run->records[i];
		struct record *kept = &rig->records[rig->n_records];

		assert_true(rig->n_records < MAX_RECORDS);
		rig->n_records++;
		kept->chunk = run->chunk;
		kept->index = record->index;
		kept->status = record->status;
		kept->wall_s = record->wall_s;
		snprintf(kept->data, sizeof(kept->data), "%.*s", (int)record->len, (const char *)record->data);
	}
}

static void wait_records(struct rig *rig, uint32_t n)
{
	uint32_t guilty;

	while (rig->n_records < n) {
		struct pollfd fd = { .fd = ring_event_fd(rig->ring), .events = POLLIN };

		assert_true(ring_collect_all(rig->ring, 64, on_run, rig, &guilty) >= 0);
		if (rig->n_records >= n || !ring_prepare_sleep(rig->ring))
			continue;
		assert_true(poll(&fd, 1, 20000) == 1);
		ring_awake(rig->ring);
	}
}

/* Wait for the end; what it wrote on standard error is in err_text. */
static int wait_end(struct rig *rig)
{
	int status;

	for (;;) {
		ssize_t n = read(rig->err, rig->err_text + rig->err_len, sizeof(rig->err_text) - 1 - rig->err_len);

		if (n <= 0)
			break;
		rig->err_len += (size_t)n;
	}
	assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
	rig->pid = -1;
	return status;
}

static void close_rig(struct rig *rig)
{
	if (rig->pid > 0) {
		kill(rig->pid, SIGKILL);
		waitpid(rig->pid, NULL, 0);
	}
	for (uint32_t i = 0; i < ring_geometry(rig->ring)->n_runners; i++)
		ring_set_runner_fd(rig->ring, i, -1);
	ring_close(rig->ring);
	close(rig->sock);
	close(rig->err);
}

static void a_worker_runs_tasks_and_stops_in_order(void **state)
{
	static const char *const inputs[] = { "1", "2", "3" };
	struct rig rig;

	(void)state;
	start_process(&rig);
	hello(&rig, "noop", 2, 4, 10 * NS_PER_S, NULL, NULL);
	expect_ready(&rig, 2);
	send_job(&rig, 0, 0, NULL, NULL);
	for (int i = 0; i < 5; i++)
		submit(&rig, 3, inputs);
	wait_records(&rig, 15);
	for (uint32_t i = 0; i < 15; i++) {
		assert_int_equal(rig.records[i].status, RING_DONE);
		assert_string_equal(rig.records[i].data, inputs[rig.records[i].index]);
	}
	send_simple(&rig, WIRE_STOP);
	assert_int_equal(wait_end(&rig), 0);
	assert_string_equal(rig.err_text, "");
	close_rig(&rig);
}

static void the_end_of_the_daemon_ends_the_worker_at_once(void **state)
{
	static const char *const inputs[] = { "hang" };
	struct rig rig;
	int status;

	(void)state;
	start_process(&rig);
	hello(&rig, "hang", 1, 1, 10 * NS_PER_S, NULL, NULL);
	expect_ready(&rig, 1);
	send_job(&rig, 0, 0, NULL, NULL);
	submit(&rig, 1, inputs);
	shutdown(rig.sock, SHUT_RDWR);
	status = wait_end(&rig);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	close_rig(&rig);
}

static void a_plugin_that_cannot_be_used_is_said(void **state)
{
	static const struct {
		const char *plugin, *param, *value, *words;
		int64_t start_timeout_ns;
	} cases[] = {
		{ "wrong_abi", NULL, NULL, "ABI", 20 * NS_PER_S },
		{ "no_such_plugin", NULL, NULL, "No such file", 20 * NS_PER_S },
		{ "init_fail", NULL, NULL, "this worker cannot start", 20 * NS_PER_S },
		{ "init_fail", "mode", "hang", "start_timeout", NS_PER_S / 5 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reader reader;
		struct rig rig;
		int status;
		char *text;

		start_process(&rig);
		hello(&rig, cases[i].plugin, 2, 1, cases[i].start_timeout_ns, cases[i].param, cases[i].value);
		assert_int_equal(next_message(&rig, &reader), WIRE_INIT_FAILED);
		text = reader_text(&reader);
		if (!strstr(text, cases[i].words))
			fail_msg("'%s' does not say '%s'", text, cases[i].words);
		free(text);
		status = wait_end(&rig);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
		close_rig(&rig);
	}
}

static void a_fault_names_its_task(void **state)
{
	static const struct {
		const char *plugin, *input, *words;
		uint32_t coroutines;
		int signal;
	} cases[] = {
		{ "crash", "crash", "task 1 of job 5 on runner 0: SIGSEGV\n", 1, SIGSEGV },
		{ "crash", "crash", "task 1 of job 5 on runner 0: SIGSEGV\n", 3, SIGSEGV },
		{ "deep", "deep", "task 1 of job 5 on runner 0: SIGSEGV: overran its stack", 1, SIGSEGV },
		{ "deep", "deep", "task 1 of job 5 on runner 0: SIGSEGV: overran its stack", 3, SIGSEGV },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const inputs[] = { "1", cases[i].input, "3" };
		struct ring_running on;
		struct rig rig;

		start_process(&rig);
		hello(&rig, cases[i].plugin, 1, cases[i].coroutines, 10 * NS_PER_S, NULL, NULL);
		expect_ready(&rig, 1);
		send_job(&rig, 0, 0, NULL, NULL);
		submit(&rig, 3, inputs);
		assert_int_not_equal(wait_end(&rig), 0);
		if (!strstr(rig.err_text, cases[i].words))
			fail_msg("'%s' does not say '%s'", rig.err_text, cases[i].words);
		ring_running(rig.ring, 0, &on);
		assert_true(on.faulted);
		assert_int_equal(on.signal, cases[i].signal);
		assert_true(on.running);
		assert_int_equal(on.index, 1);
		assert_int_equal(ring_collect_dead(rig.ring, 0, on_run, &rig) >= 0, 1);
		assert_int_equal(rig.n_records, 1);
		close_rig(&rig);
	}
}

static void a_fault_on_a_helper_names_its_task(void **state)
{
	static const char *const inputs[] = { "= first", "crash" };

	(void)state;
	for (uint32_t coroutines = 1; coroutines <= 3; coroutines += 2) {
		struct ring_running on;
		struct rig rig;

		start_process(&rig);
		hello(&rig, "offload", 1, coroutines, 10 * NS_PER_S, NULL, NULL);
		expect_ready(&rig, 1);
		send_job(&rig, 0, 0, NULL, NULL);
		submit(&rig, 2, inputs);
		assert_int_not_equal(wait_end(&rig), 0);
		assert_non_null(strstr(rig.err_text, "task 1 of job 5 on a helper of runner 0: SIGSEGV\n"));
		ring_running(rig.ring, 0, &on);
		assert_true(on.faulted && on.running);
		assert_int_equal(on.signal, SIGSEGV);
		assert_int_equal(on.index, 1);
		assert_true(ring_collect_dead(rig.ring, 0, on_run, &rig) >= 0);
		assert_int_equal(rig.n_records, 1);
		close_rig(&rig);
	}
}

static void send_message(struct rig *rig, uint64_t number, uint64_t task, const char *text)
{
	struct buffer b = BUFFER_INIT;

	buffer_add_varint(&b, WIRE_SEND);
	buffer_add_varint(&b, number);
	buffer_add_varint(&b, JOB);
	buffer_add_varint(&b, task);
	buffer_add_text(&b, text);
	send_buffer(rig, &b);
}

static void expect_sent(struct rig *rig, uint64_t number, uint64_t status)
{
	struct reader reader;

	assert_int_equal(next_message(rig, &reader), WIRE_SENT);
	assert_int_equal(reader_varint(&reader), number);
	assert_int_equal(reader_varint(&reader), status);
}

static void messages_reach_their_task_and_are_answered(void **state)
{
	static const char *const inputs[] = { "2", "deaf" };
	struct rig rig;

	(void)state;
	start_process(&rig);
	hello(&rig, "listen", 2, 1, 10 * NS_PER_S, NULL, NULL);
	expect_ready(&rig, 2);
	send_job(&rig, 0, 0, NULL, NULL);
	submit(&rig, 2, inputs);
	send_message(&rig, 1, 0, "hello");
	send_message(&rig, 2, 0, "world");
	expect_sent(&rig, 1, WIRE_SENT_OK);
	expect_sent(&rig, 2, WIRE_SENT_OK);
	wait_records(&rig, 1);
	assert_string_equal(rig.records[0].data, "hello|world");
	for (uint64_t i = 0; i < 64; i++) {
		send_message(&rig, 3 + i, 1, "");
		expect_sent(&rig, 3 + i, WIRE_SENT_OK);
	}
	send_message(&rig, 99, 1, "one too many");
	expect_sent(&rig, 99, WIRE_SENT_BUSY);
	close_rig(&rig);
}

static void a_task_that_ignores_its_time_limit_is_reported_overdue(void **state)
{
	static const char *const inputs[] = { "hang" };
	struct reader reader;
	struct rig rig;
	uint64_t type;
	uint32_t chunk;

	(void)state;
	start_process(&rig);
	hello(&rig, "hang", 2, 1, 10 * NS_PER_S, NULL, NULL);
	expect_ready(&rig, 2);
	/* One that is told before it runs does not run at all: the limit is long enough for a busy machine. */
	send_job(&rig, 500 * NS_PER_MS, 20 * NS_PER_MS, NULL, NULL);
	chunk = submit(&rig, 1, inputs);
	type = next_message(&rig, &reader);
	if (type == WIRE_LATE) /* unless this machine was busy for all of its grace */
		type = next_message(&rig, &reader);
	assert_int_equal(type, WIRE_OVERDUE);
	assert_true(reader_varint(&reader) < 2);
	assert_int_equal(reader_varint(&reader), chunk);
	(void)reader_varint(&reader); /* the generation is the ring's own */
	assert_int_equal(reader_varint(&reader), 0);
	assert_in_range(reader_varint(&reader), 1, (uintmax_t)clock_mono_ns());
	assert_false(reader.failed);
	close_rig(&rig);
}

static void processors_that_are_not_there_fail_the_start(void **state)
{
	struct reader reader;
	struct rig rig;

	(void)state;
	start_process(&rig);
	rig.affinity = "1023";
	hello(&rig, "noop", 1, 1, 10 * NS_PER_S, NULL, NULL);
	assert_int_equal(next_message(&rig, &reader), WIRE_INIT_FAILED);
	assert_int_equal(WEXITSTATUS(wait_end(&rig)), 1);
	close_rig(&rig);
}

static void a_worker_begins_max_tasks_and_says_so(void **state)
{
	static const char *const inputs[] = { "1", "2", "3", "4" };
	uint32_t begun, end, chunk;
	struct reader reader;
	bool is_free;
	struct rig rig;

	(void)state;
	start_process(&rig);
	rig.max_tasks = 3;
	hello(&rig, "noop", 2, 2, 10 * NS_PER_S, NULL, NULL);
	expect_ready(&rig, 2);
	send_job(&rig, 0, 0, NULL, NULL);
	chunk = submit(&rig, 4, inputs);
	assert_int_equal(next_message(&rig, &reader), WIRE_USED_UP);
	assert_int_equal(ring_take_back(rig.ring, chunk, &begun, &end, &is_free), 0);
	assert_int_equal(begun, 3);
	assert_int_equal(end, 4);
	close_rig(&rig);
}

static void a_message_that_no_daemon_sends_ends_the_worker(void **state)
{
	static const uint64_t types[] = { WIRE_STOP, WIRE_READY, 99 };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct rig rig;

		start_process(&rig);
		send_simple(&rig, types[i]);
		assert_int_equal(WEXITSTATUS(wait_end(&rig)), 1);
		assert_non_null(strstr(rig.err_text, "cannot be understood"));
		close_rig(&rig);
	}
}

static void dropped_log_lines_are_counted(void **state)
{
	static const char *const inputs[] = { "5000" };
	struct reader reader;
	struct rig rig;

	(void)state;
	start_process(&rig);
	hello(&rig, "flood", 1, 1, 10 * NS_PER_S, NULL, NULL);
	expect_ready(&rig, 1);
	send_job(&rig, 0, 0, NULL, NULL);
	submit(&rig, 1, inputs);
	assert_int_equal(next_message(&rig, &reader), WIRE_DROPPED);
	assert_true(reader_varint(&reader) > 0);
	close_rig(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_runs_tasks_and_stops_in_order),
		cmocka_unit_test(the_end_of_the_daemon_ends_the_worker_at_once),
		cmocka_unit_test(a_plugin_that_cannot_be_used_is_said),
		cmocka_unit_test(a_fault_names_its_task),
		cmocka_unit_test(a_fault_on_a_helper_names_its_task),
		cmocka_unit_test(messages_reach_their_task_and_are_answered),
		cmocka_unit_test(a_task_that_ignores_its_time_limit_is_reported_overdue),
		cmocka_unit_test(processors_that_are_not_there_fail_the_start),
		cmocka_unit_test(a_worker_begins_max_tasks_and_says_so),
		cmocka_unit_test(a_message_that_no_daemon_sends_ends_the_worker),
		cmocka_unit_test(dropped_log_lines_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
