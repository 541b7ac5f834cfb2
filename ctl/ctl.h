/* concctl: what its files share. One thread runs a command; only `run` with many inputs has a second (upload.h).
 *
 * A command is one row of the table in commands.c and one handler. A handler prints what it has to say on standard
 * output and returns an exit status (protocol.h), or -errno with a reason in err, whose code decides the exit status:
 * exit_status_of(). Nothing below main() ends the process.
 */
#ifndef CONCD_CTL_CTL_H
#define CONCD_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct error;
struct http;

struct ctl {
	struct args args; /* of the command line, global options included */
	const char *socket; /* -s; NULL: the first that is found (connect.h) */
	bool json;
	bool quiet;
	bool verbose;
	bool color; /* on standard output */
	bool out_terminal, err_terminal;
	struct http *http; /* the connection that requests for documents use; NULL: none yet */
};

/* A row of the table of commands. */
struct command {
	const char *name;
	const char *words; /* as the usage line shows them; "" for none */
	size_t min_words, max_words;
	const char *summary; /* one line, no full stop */
	const char *details; /* what `help COMMAND` adds; NULL: nothing */
	const struct option *options; /* ended by one without a name; NULL: none of its own */
	int (*handler)(struct ctl *ctl, struct error *err);
};

#define MANY_WORDS ((size_t)-1)

/* Run concctl as if from a shell. Returns the exit status. */
int ctl_main(int argc, char **argv);

/* The exit status that belongs to an error's code. */
int exit_status_of(const char *code);
/* The static copy of a code that came over the socket; "internal" where it is none of ours. */
const char *error_code_known(const char *code);

/* The table, in the order that `help` shows. */
const struct command *command_at(size_t i); /* NULL behind the last */
size_t commands_count(void);
const struct command *command_find(const char *name); /* NULL: none */
extern const struct option global_options[];

/* help.c */
void help_all(void);
void help_command(const struct command *command);

/* Say something on standard error, after "concctl: ". */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Handlers, each by the file that has it. */
int command_run(struct ctl *ctl, struct error *err); /* run.c */
int command_results(struct ctl *ctl, struct error *err); /* results.c */
int command_list(struct ctl *ctl, struct error *err); /* list.c */
int command_show(struct ctl *ctl, struct error *err); /* look.c */
int command_follow(struct ctl *ctl, struct error *err); /* follow.c */
int command_wait(struct ctl *ctl, struct error *err); /* wait.c */
int command_cancel(struct ctl *ctl, struct error *err); /* act.c */
int command_kill(struct ctl *ctl, struct error *err);
int command_pause(struct ctl *ctl, struct error *err);
int command_resume(struct ctl *ctl, struct error *err);
int command_restart(struct ctl *ctl, struct error *err);
int command_set(struct ctl *ctl, struct error *err);
int command_retry(struct ctl *ctl, struct error *err);
int command_rm(struct ctl *ctl, struct error *err);
int command_clean(struct ctl *ctl, struct error *err);
int command_send(struct ctl *ctl, struct error *err); /* send.c */
int command_status(struct ctl *ctl, struct error *err); /* daemon.c */
int command_ping(struct ctl *ctl, struct error *err);
int command_version(struct ctl *ctl, struct error *err);
int command_shutdown(struct ctl *ctl, struct error *err);
int command_workloads(struct ctl *ctl, struct error *err); /* catalog.c */
int command_models(struct ctl *ctl, struct error *err);
int command_params(struct ctl *ctl, struct error *err);
int command_help(struct ctl *ctl, struct error *err); /* commands.c */

#endif
