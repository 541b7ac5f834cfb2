/* crash: dies on input "crash" and on numbers divisible by `every`; else returns its input. */
#include <concd/plugin.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void die(const char *how)
{
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "kill") == 0)
		(void)kill(getpid(), SIGKILL); /* does not come back */
	if (strcmp(how, "exit") == 0)
		_exit(3);
	/* A real fault rather than raise(): handlers see an address. It is hidden from the compiler. */
	{
		volatile char *nowhere = (volatile char *)(uintptr_t)64;

		__asm__("" : "+r"(nowhere));
		*nowhere = 1;
	}
}

/* Dies of a thread that nobody knows, while no task of the process is on a processor. */
static void *die_elsewhere(void *arg)
{
	(void)arg;
	(void)usleep(100000); /* cut short it dies sooner */
	(void)kill(getpid(), SIGKILL);
	return NULL;
}

/* Like a sleep, but hardly ever off the processor. */
static int be_busy(struct concd_task *task, int64_t ns)
{
	struct timespec now, end;
	int r = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &end); /* cannot fail */
	end.tv_sec += (end.tv_nsec + ns) / 1000000000;
	end.tv_nsec = (end.tv_nsec + ns) % 1000000000;
	do {
		r = concd_yield(task);
		(void)clock_gettime(CLOCK_MONOTONIC, &now); /* likewise */
	} while (r == 0 && (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec)));
	return r;
}

static int run(struct concd_task *task)
{
	size_t len;
	const char *input = concd_input(task, &len), *how;
	int64_t every, delay_ns, busy;
	char *end;
	unsigned long long n;
	int r;

	r = concd_param_int(task, "every", &every);
	if (r < 0)
		return r;
	r = concd_param_text(task, "signal", &how);
	if (r < 0)
		return r;
	r = concd_param_int(task, "delay", &delay_ns);
	if (r < 0)
		return r;
	if (len == 5 && memcmp(input, "crash", 5) == 0 && strcmp(how, "elsewhere") == 0) {
		pthread_t thread;

		r = pthread_create(&thread, NULL, die_elsewhere, NULL);
		if (r != 0)
			return -r;
		(void)pthread_detach(thread);
		return concd_sleep(task, INT64_C(60000000000));
	}
	r = concd_param_int(task, "busy", &busy);
	if (r < 0)
		return r;
	if (delay_ns > 0) {
		r = busy ? be_busy(task, delay_ns) : concd_sleep(task, delay_ns);
		if (r < 0)
			return r;
	}
	n = strtoull(input, &end, 10);
	if ((len == 5 && memcmp(input, "crash", 5) == 0) ||
	    (every > 0 && len > 0 && *end == '\0' && n % (unsigned long long)every == 0))
		die(how);
	return concd_result(task, input, len);
}

static const struct concd_param params[] = {
	{.name = "every", .type = CONCD_PARAM_INT, .value = "0", .min = "0",
	 .help = "numbers divisible by this crash, also 0; 0: none does"},
	{.name = "signal", .type = CONCD_PARAM_TEXT, .value = "segv", .choices = "segv|abort|kill|exit|elsewhere",
	 .help = "how to die"},
	{.name = "delay", .type = CONCD_PARAM_DURATION, .value = "0", .min = "0",
	 .help = "every task waits this long first"},
	{.name = "busy", .type = CONCD_PARAM_BOOL, .value = "false", .help = "and computes meanwhile"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "crash",
	.version = "1.0",
	.summary = "test: dies on some inputs",
	.kind = CONCD_KIND_MIXED,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
