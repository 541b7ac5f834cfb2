/* A job that is not submitted, in words: a line for what would run, and one for each condition. */
#include "dry_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "table.h"
#include "talk.h"

static void print_duration(const char *what, const json_t *answer, const char *key)
{
	char text[TEXT_DURATION_BYTES];

	if (member_number(answer, key, 0) <= 0)
		return;
	text_format_duration((int64_t)(member_number(answer, key, 0) * 1e9), text);
	(void)printf("%s %s from now\n", what, text);
}

static void print_after(const json_t *answer)
{
	const json_t *after = json_object_get(answer, "after"), *id;
	size_t i;

	json_array_foreach(after, i, id)
		(void)printf("%s%s", i > 0 ? ", " : json_array_size(after) > 1 ? "after jobs " : "after job ",
			     json_is_string(id) ? json_string_value(id) : "?");
	if (i > 0)
		(void)printf("%s\n", strcmp(member_text(answer, "after_failed", ""), "run") == 0 ?
				     ", however they end" : "; cancelled if one of them fails or is cancelled");
}

void dry_run_print(const json_t *answer, uint64_t count)
{
	const char *reason = member_text(answer, "model_reason", "");

	(void)printf("%" PRIu64 " %s would run under %s (%s), %" PRIu64 " at once%s%s%s\n", count, count == 1 ? "task" : "tasks",
		     member_text(answer, "model", "?"), member_text(answer, "shape", "?"),
		     member_count(answer, "workers"), member_true(answer, "dedicated") ? ", dedicated" : "",
		     *reason ? ": " : "", reason);
	if (*member_text(answer, "joins", ""))
		(void)printf("but joins job %s, which has the key '%s' and has not ended\n",
			     member_text(answer, "joins", ""), member_text(answer, "unique", ""));
	else if (*member_text(answer, "unique", ""))
		(void)printf("has the key '%s' until it has ended\n", member_text(answer, "unique", ""));
	if (*member_text(answer, "on_done", ""))
		(void)printf("hook '%s' when it has ended\n", member_text(answer, "on_done", ""));
	print_duration("not before", answer, "delay_s");
	print_after(answer);
	print_duration("given up if it has not begun", answer, "expire_s");
}
