/* The table of commands, and what happens between main() and a handler. */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "http.h"
#include "protocol.h"
#include "select.h"

const struct option global_options[] = {
	{ "socket", 's', "SOCKET", "the daemon's socket; else $CONCD_SOCKET, else the first that is found" },
	{ "json", 0, NULL, "standard output carries JSON and nothing else" },
	{ "quiet", 'q', NULL, "no progress, no summary, no confirmations" },
	{ "verbose", 'v', NULL, "say more on standard error" },
	{ "color", 0, "WHEN", "auto, always or never" },
	{ "help", 'h', NULL, "show help and exit" },
	{ "version", 'V', NULL, "show the version of concctl and exit" },
	{ NULL, 0, NULL, NULL },
};

static const struct option run_options[] = {
	{ "model", 'm', "MODEL", "sync, async, thread, pool, process or auto" },
	{ "workers", 'j', "N|auto", "how many tasks run at once" },
	{ "shape", 0, "PxTxC", "processes x threads x coroutines, instead of a model's" },
	{ "dedicated", 0, NULL, "worker processes of its own, ended with the job" },
	{ "no-durable", 0, NULL, "keep the job in memory: faster, lost when the daemon ends" },
	{ "input", 'i', "FILE|-", "inputs from a file or standard input, a line each; may be repeated" },
	{ "null", '0', NULL, "inputs and results end with NUL and are raw bytes" },
	{ "param", 'p', "KEY=VALUE", "a parameter of the workload; may be repeated" },
	{ "unordered", 0, NULL, "results as they come, not in input order" },
	{ "tag", 0, NULL, "the input and a TAB in front of each result" },
	{ "reconnect", 0, "DURATION", "how long a daemon that is gone is waited for (60s); 0: not at all" },
	{ "detach", 'd', NULL, "print the job's id and leave it running" },
	{ "task-timeout", 0, "DURATION", "time limit of each task, such as 10s; 0: none" },
	{ "timeout", 0, "DURATION", "time limit of the job: what is unfinished then fails" },
	{ "retries", 0, "N", "tries again, where the workload says that one may help" },
	{ "backoff", 0, "DURATION", "before the first of them; each time doubled" },
	{ "priority", 0, "N", "-100 to 100: higher ones come first among jobs that share workers" },
	{ "halt", 0, "WHEN,fail=N[%]", "give up after N failed tasks, or N % of those ended; WHEN: soon or now" },
	{ "delay", 0, "DURATION", "begin no sooner than this from now" },
	{ "after", 0, "JOB[,JOB...]", "begin when these (numbers, @last) have succeeded; may be repeated" },
	{ "after-failed", 0, "cancel|run", "what is done where one of them has not (cancel)" },
	{ "on-done", 0, "HOOK", "run this hook of the daemon's configuration when the job has ended; none" },
	{ "joblog", 0, "FILE", "append a line for each task, as GNU parallel does" },
	{ "unique", 0, "KEY", "join the job with this key that has not ended, if there is one" },
	{ "expire", 0, "DURATION", "give up if the job has not begun by then" },
	{ "label", 'l', "LABEL", "a name to find the job by" },
	{ "dry-run", 0, NULL, "check, show what would be chosen, run nothing" },
	{ NULL, 0, NULL, NULL },
};

static const struct option list_options[] = {
	{ "state", 0, "STATE", "only jobs in this state, or in several: failed,cancelled" },
	{ "workload", 'w', "WORKLOAD", "only jobs of this workload" },
	{ "label", 'l', "LABEL", "only jobs with this label" },
	{ "limit", 'n', "N", "at most so many (50)" },
	{ "columns", 'o', "COLUMN,...", "what to show: job, state, done, time, error, ...: see concctl(1)" },
	{ "sort", 0, "COLUMN", "by this column instead of the newest first" },
	{ "reverse", 'r', NULL, "in the opposite order" },
	{ NULL, 0, NULL, NULL },
};

static const struct option wait_options[] = {
	SELECT_OPTIONS,
	{ "any", 0, NULL, "until one of them has ended" },
	{ "timeout", 0, "DURATION", "wait no longer than this" },
	{ "reconnect", 0, "DURATION", "how long a daemon that is gone is waited for (60s); 0: not at all" },
	{ NULL, 0, NULL, NULL },
};

static const struct option results_options[] = {
	{ "failed", 0, NULL, "the failed tasks instead: index, code, input and message between TABs" },
	{ "unordered", 0, NULL, "in the order in which tasks ended" },
	{ "follow", 0, NULL, "go on until the job has ended" },
	{ "from", 0, "N", "leave out the tasks before number N" },
	{ "reconnect", 0, "DURATION", "how long a daemon that is gone is waited for (60s); 0: not at all" },
	{ "output", 'o', "FILE", "write to a file, which appears when it is complete" },
	{ "null", '0', NULL, "results are raw bytes that end with NUL" },
	{ "tag", 0, NULL, "the input and a TAB in front of each result" },
	{ NULL, 0, NULL, NULL },
};

static const struct option follow_options[] = {
	{ "reconnect", 0, "DURATION", "how long a daemon that is gone is waited for (60s); 0: not at all" },
	{ NULL, 0, NULL, NULL },
};

static const struct option no_wait_options[] = {
	{ "no-wait", 0, NULL, "do not wait until it is done" },
	{ NULL, 0, NULL, NULL },
};

static const struct option end_options[] = {
	SELECT_OPTIONS,
	{ "no-wait", 0, NULL, "do not wait until it is done" },
	{ NULL, 0, NULL, NULL },
};

static const struct option select_options[] = {
	SELECT_OPTIONS,
	{ NULL, 0, NULL, NULL },
};

static const struct option retry_options[] = {
	SELECT_OPTIONS,
	{ "failed", 0, NULL, "only the tasks that failed, were cancelled or interrupted" },
	{ NULL, 0, NULL, NULL },
};

static const struct option clean_options[] = {
	SELECT_OPTIONS,
	{ "older-than", 0, "DURATION", "only jobs that ended longer ago than this" },
	{ NULL, 0, NULL, NULL },
};

static const struct option send_options[] = {
	{ "task", 0, "N", "which task, from 0 on; not needed where the job has one" },
	{ NULL, 0, NULL, NULL },
};

static const struct command commands[] = {
	{ "run", "WORKLOAD [INPUT...]", 1, MANY_WORDS, "run a workload over inputs and print the results",
	  "Results come in input order, one line each, on standard output; failed tasks,\n"
	  "progress and a summary on standard error. Ctrl-C cancels the job.\n"
	  "\n"
	  "  concctl run squares 10 20 30\n"
	  "  concctl run squares -m process -j 2 -i numbers.txt\n"
	  "  find . -name '*.url' -print0 | concctl run downloader -0 -i - -p dir=/tmp/files\n",
	  run_options, command_run },
	{ "status", "", 0, 0, "show the daemon: jobs, crews, memory, store", NULL, NULL, command_status },
	{ "list", "", 0, 0, "list jobs, newest first",
	  "  concctl list --state failed,cancelled\n"
	  "  concctl list --sort time -n 10 -o job,workload,time,label\n", list_options, command_list },
	{ "show", "JOB", 1, 1, "show everything about a job", NULL, NULL, command_show },
	{ "follow", "JOB", 1, 1, "watch a job until it has ended", NULL, follow_options,
	  command_follow },
	{ "wait", "[JOB...]", 0, MANY_WORDS, "wait until jobs have ended",
	  "Exits 0 only if all of them succeeded, 1 if not, 124 when the time was over first.\n", wait_options,
	  command_wait },
	{ "results", "JOB", 1, 1, "print the results of a job", NULL, results_options, command_results },
	{ "send", "JOB TEXT", 2, 2, "send a message to a running task",
	  "The task receives it when it asks for messages; those it does not take are lost with it.\n"
	  "Exits 3 when the task is not running, 75 when it has 64 messages or 256 KiB waiting.\n",
	  send_options, command_send },
	{ "cancel", "[JOB...]", 0, MANY_WORDS, "cancel jobs",
	  "Running tasks are asked to end, and killed when their grace time is over.\n", end_options,
	  command_cancel },
	{ "kill", "[JOB...]", 0, MANY_WORDS, "cancel jobs without grace",
	  "Running tasks are killed at once with their worker processes; tasks of other jobs\n"
	  "that ran in these run again.\n", end_options, command_kill },
	{ "pause", "[JOB...]", 0, MANY_WORDS, "begin no more tasks of jobs, until resume",
	  "What runs ends by itself. The jobs' time limits stand still. Survives the daemon.\n"
	  "--all, or -w WORKLOAD alone, also holds what is submitted later.\n", select_options,
	  command_pause },
	{ "resume", "[JOB...]", 0, MANY_WORDS, "let paused jobs go on", NULL, select_options, command_resume },
	{ "restart", "[JOB...]", 0, MANY_WORDS, "stop services and start them again",
	  "Each is asked to end, killed when its grace time is over, and begins again in a new worker\n"
	  "process, at once. Exits 1 where one failed again meanwhile, 3 for a job that is no service.\n",
	  select_options, command_restart },
	{ "set", "[JOB...] KEY=VALUE...", 1, MANY_WORDS, "change jobs that have not ended, or their labels",
	  "  workers=N        how many of its tasks run at once, within the size of its crew\n"
	  "  priority=N       -100 to 100: its place among the jobs that share its workers\n"
	  "  timeout=D        the time limit of its running, 0: none\n"
	  "  task_timeout=D   of each task that begins from now on, 0: none\n"
	  "  retries=N, backoff=D   as of run\n"
	  "  label=L          as of run; label= takes it away; alone also of jobs that have ended\n"
	  "\n"
	  "Until a job has begun also workers=N beyond its crew, model=M, shape=PxTxC, delay=D and\n"
	  "expire=D (from now; 0: at once, never), after=JOB[,JOB...] (it follows these instead; none: no\n"
	  "job any more) and after_failed=cancel|run.\n", select_options, command_set },
	{ "retry", "[JOB...]", 0, MANY_WORDS, "run jobs that have ended again, as new jobs",
	  "Each becomes a new job with the same workload, model, parameters and limits. -q prints only\n"
	  "the new numbers.\n"
	  "\n"
	  "  concctl retry --failed 7\n"
	  "  concctl retry --failed --state failed -l nightly\n", retry_options, command_retry },
	{ "rm", "[JOB...]", 0, MANY_WORDS, "remove jobs that have ended, with their results",
	  "What is removed is gone: inputs, results and the job's number. Live jobs are to be cancelled first.\n",
	  select_options, command_rm },
	{ "clean", "", 0, 0, "remove all jobs that have ended, or some of them",
	  "  concctl clean --older-than 1d --state done\n", clean_options, command_clean },
	{ "workloads", "", 0, 0, "list the workloads the daemon has", NULL, NULL, command_workloads },
	{ "models", "", 0, 0, "list the concurrency models", NULL, NULL, command_models },
	{ "params", "WORKLOAD", 1, 1, "list the parameters of a workload", NULL, NULL, command_params },
	{ "ping", "", 0, 0, "see whether the daemon answers, and how fast", NULL, NULL, command_ping },
	{ "version", "", 0, 0, "show the versions of concctl and of the daemon", NULL, NULL, command_version },
	{ "shutdown", "", 0, 0, "end the daemon; unfinished jobs go on when it is started again", NULL,
	  no_wait_options, command_shutdown },
	{ "help", "[COMMAND]", 0, 1, "show help", NULL, NULL, command_help },
};

size_t commands_count(void)
{
	return ARRAY_SIZE(commands);
}

const struct command *command_at(size_t i)
{
	return i < ARRAY_SIZE(commands) ? &commands[i] : NULL;
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static const struct {
	const char *code;
	int status;
} own_errors[] = {
	{ "usage", EXIT_USAGE }, { "unreachable", EXIT_UNREACHABLE }, { "interrupted", EXIT_INTERRUPTED },
	{ "timed-out", EXIT_TIMED_OUT }, { "output", EXIT_TASKS_FAILED },
};

#define PROTOCOL_ROW(code, http, status) { code, status },
static const struct {
	const char *code;
	int status;
} daemon_errors[] = { PROTOCOL_ERRORS(PROTOCOL_ROW) };

int exit_status_of(const char *code)
{
	for (size_t i = 0; i < ARRAY_SIZE(own_errors); i++)
		if (strcmp(own_errors[i].code, code) == 0)
			return own_errors[i].status;
	for (size_t i = 0; i < ARRAY_SIZE(daemon_errors); i++)
		if (strcmp(daemon_errors[i].code, code) == 0)
			return daemon_errors[i].status;
	return EXIT_TASKS_FAILED;
}

const char *error_code_known(const char *code)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemon_errors); i++)
		if (strcmp(daemon_errors[i].code, code) == 0)
			return daemon_errors[i].code;
	return "internal";
}

void say(const char *format, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* a cut message is still a message */
	va_end(ap);
	(void)fprintf(stderr, "concctl: %s\n", text);
}

/* The reason for people on standard error and, with --json, for programs on standard output. */
static int report(const struct ctl *ctl, int errnum, struct error *err)
{
	if (!err->code)
		(void)error_set(err, errnum, "internal", "%s", strerror(-errnum));
	if (ctl->json) {
		json_t *doc;
		char *text;

		for (char *c = err->text; !text_is_utf8(err->text, strlen(err->text)) && *c; c++)
			*c = *c & 0x80 ? '?' : *c;
		doc = json_pack("{s:i, s:{s:s, s:s}}", "schema", PROTOCOL_SCHEMA, "error", "code", err->code,
				"message", err->text);
		text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

		if (text) {
			(void)io_write_full(STDOUT_FILENO, text, strlen(text)); /* the exit status says it too */
			(void)io_write_full(STDOUT_FILENO, "\n", 1);
		}
		free(text);
		json_decref(doc);
	}
	say("%s", err->text);
	return exit_status_of(err->code);
}

static const char *command_name_at(const void *names, size_t i)
{
	return ((const struct command *)names)[i].name;
}

static int unknown_command(const char *name, struct error *err)
{
	const char *nearest = text_nearest(name, commands, ARRAY_SIZE(commands), command_name_at);

	if (nearest)
		return error_set(err, -EINVAL, "usage", "unknown command '%s': did you mean '%s'?", name, nearest);
	return error_set(err, -EINVAL, "usage", "unknown command '%s'; 'concctl help' lists them", name);
}

int command_help(struct ctl *ctl, struct error *err)
{
	const struct command *command;

	if (ctl->args.n_words == 0) {
		help_all();
		return EXIT_OK;
	}
	command = command_find(ctl->args.words[0]);
	if (!command)
		return unknown_command(ctl->args.words[0], err);
	help_command(command);
	return EXIT_OK;
}

static int read_globals(struct ctl *ctl, struct error *err)
{
	const char *color = args_text(&ctl->args, "color");
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	ctl->socket = args_text(&ctl->args, "socket");
	ctl->json = args_flag(&ctl->args, "json");
	ctl->quiet = args_flag(&ctl->args, "quiet");
	ctl->verbose = args_flag(&ctl->args, "verbose");
	ctl->out_terminal = isatty(STDOUT_FILENO);
	ctl->err_terminal = isatty(STDERR_FILENO);
	if (!color || strcmp(color, "auto") == 0)
		ctl->color = ctl->out_terminal && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
	else if (strcmp(color, "always") == 0)
		ctl->color = true;
	else if (strcmp(color, "never") != 0)
		return error_set(err, -EINVAL, "usage", "option '--color': '%s' is none of auto, always, never", color);
	return 0;
}

static int check_words(const struct command *command, const struct args *args, struct error *err)
{
	if (args->n_words >= command->min_words && args->n_words <= command->max_words)
		return 0;
	if (command->max_words == 0)
		return error_set(err, -EINVAL, "usage", "'%s' is too much; usage: concctl %s", args->words[0],
				 command->name);
	return error_set(err, -EINVAL, "usage", "too %s; usage: concctl %s %s",
			 args->n_words < command->min_words ? "little" : "much", command->name, command->words);
}

/* From the command line to an exit status, or -errno with the reason. */
static int dispatch(struct ctl *ctl, int argc, const char *const *argv, struct error *err)
{
	const struct option *tables[] = { global_options, NULL };
	int first = args_first_word(argc, argv, tables, 1), r;
	const struct command *command = first < argc ? command_find(argv[first]) : NULL;

	if (command)
		tables[1] = command->options;
	else if (first < argc)
		return unknown_command(argv[first], err);
	r = args_parse(&ctl->args, argc, argv, tables, ARRAY_SIZE(tables), err);
	if (r == 0)
		r = read_globals(ctl, err);
	if (r < 0)
		return r;
	if (args_flag(&ctl->args, "version")) {
		(void)printf("concctl %s\n", PACKAGE_VERSION);
		return EXIT_OK;
	}
	if (args_flag(&ctl->args, "help")) {
		if (command)
			help_command(command);
		else
			help_all();
		return EXIT_OK;
	}
	if (!command)
		return error_set(err, -EINVAL, "usage", "no command given; 'concctl help' lists them");
	ctl->args.words++; /* the command itself; given back before args_fini() */
	ctl->args.n_words--;
	r = check_words(command, &ctl->args, err);
	if (r == 0)
		r = command->handler(ctl, err);
	ctl->args.words--;
	ctl->args.n_words++;
	return r;
}

/* What was printed with stdio must have arrived, or the command has failed. A reader that has gone wanted no more. */
static int flush_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	if (errno == EPIPE)
		return status;
	say("cannot write to standard output: %s", strerror(errno));
	return status == EXIT_OK ? EXIT_TASKS_FAILED : status;
}

/* A standard descriptor that was closed would be taken by our socket: put something there that gives nothing, and takes nothing. */
static void fill_standard_descriptors(void)
{
	int fd = open("/dev/null", fcntl(STDIN_FILENO, F_GETFD) < 0 ? O_WRONLY : O_RDONLY); /* the lowest that is free */

	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = open("/dev/null", O_RDONLY);
	if (fd >= 0)
		(void)close(fd); /* nothing was done with it */
}

int ctl_main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	struct ctl ctl = { .socket = NULL };
	int r;

	fill_standard_descriptors();
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
	/* So that also a wrong command line is answered in JSON. */
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		ctl.json |= strcmp(argv[i], "--json") == 0;
	r = dispatch(&ctl, argc - 1, (const char *const *)argv + 1, &err);
	if (r < 0)
		r = report(&ctl, r, &err);
	http_close(ctl.http);
	args_fini(&ctl.args);
	return flush_output(r);
}
