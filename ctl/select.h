/* Verbs on many jobs: the selectors that all of them take, one request, and an answer of one line a job. */
#ifndef CONCD_CTL_SELECT_H
#define CONCD_CTL_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct ctl;
struct error;
struct patience;

/* Rows for the table of options of such a command. */
#define SELECT_OPTIONS \
	{ "workload", 'w', "WORKLOAD", "the jobs of this workload" }, \
		{ "state", 0, "STATE", "the jobs in this state, or in several: failed,cancelled" }, \
		{ "label", 'l', "LABEL", "the jobs with this label" }, \
	{ \
		"all", 0, NULL, "all jobs that this can be done to" \
	}

struct select_request {
	const char *verb;
	const char *words; /* in "there is no job to ..." */
	const char *query; /* further keys, such as "wait=0&brief=1"; "": none */
	bool all; /* unless it is said which */
	size_t n_words; /* of the command line: the first ones are jobs */
	/* A line that is no error; 0, an exit status of what it says, or -errno with words. NULL: only its errors count. */
	int (*on_line)(void *arg, const json_t *line, struct error *err);
	void *arg;
	/* A daemon that is lost is waited for and asked again of those jobs that nothing was said of; NULL: it is not. */
	struct patience *patience;
	bool any; /* what is said of one of them is enough */
	/* The query gets a timeout_s; `query` ends in '&' then, or is empty. Over while nobody answers: EXIT_TIMED_OUT. */
	bool timed;
	int64_t timeout_ns;
};

/* Ask, and have each line told (with --json: printed as it came; errors are said too). The exit status: of the first
 * error, else the highest of on_line()'s; or -errno with words. */
int select_run(struct ctl *ctl, const struct select_request *request, struct error *err);

/* The job that a word means: a number, or @last, which the daemon is asked for. 0 or -errno with words. */
int select_job(struct ctl *ctl, const char *word, uint64_t *ret_id, struct error *err);

#endif
