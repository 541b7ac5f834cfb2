/* Help, from the table of commands. */
#include "ctl.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "protocol.h"

#define COLUMN 26 /* where explanations begin */

static void print_row(const char *left, const char *right)
{
	int used = (int)strlen(left) + 2;

	if (used + 2 > COLUMN)
		(void)printf("  %s\n%*s%s\n", left, COLUMN, "", right);
	else
		(void)printf("  %s%*s%s\n", left, COLUMN - used, "", right);
}

static void print_options(const struct option *options)
{
	for (const struct option *o = options; o && o->name; o++) {
		char left[80];

		(void)snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
			       o->letter ? ", " : "  ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		print_row(left, o->help);
	}
}

void help_all(void)
{
	(void)printf("concctl %s: run workloads under concd, under any concurrency model\n\n"
		     "Usage: concctl [OPTION...] COMMAND [WORD...]\n\nCommands:\n", PACKAGE_VERSION);
	for (size_t i = 0; i < commands_count(); i++) {
		const struct command *c = command_at(i);
		char left[80];

		(void)snprintf(left, sizeof(left), "%s%s%s", c->name, *c->words ? " " : "", c->words);
		print_row(left, c->summary);
	}
	(void)printf("\nOptions of every command:\n");
	print_options(global_options);
	(void)printf("\nExit status: %d done and all succeeded; %d some task failed or was cancelled; %d usage;\n"
		     "%d wrong state for this; %d no such job, workload or model; %d daemon not reachable;\n"
		     "%d busy or full, try again; %d permission denied; %d bad configuration;\n"
		     "%d waited too long; %d interrupted.\n\n"
		     "'concctl help COMMAND' says more; the manual page says all.\n",
		     EXIT_OK, EXIT_TASKS_FAILED, EXIT_USAGE, EXIT_WRONG_STATE, EXIT_NOT_FOUND, EXIT_UNREACHABLE,
		     EXIT_BUSY, EXIT_DENIED, EXIT_BAD_CONFIG, EXIT_TIMED_OUT, EXIT_INTERRUPTED);
}

void help_command(const struct command *command)
{
	(void)printf("Usage: concctl %s%s%s%s\n\n%s.\n", command->name, command->options ? " [OPTION...]" : "",
		     *command->words ? " " : "", command->words, command->summary);
	if (command->details)
		(void)printf("%s", command->details);
	if (command->options) {
		(void)printf("\nOptions:\n");
		print_options(command->options);
	}
	(void)printf("\nOptions of every command:\n");
	print_options(global_options);
}
