/* Progress and summary. */
#include "progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "table.h"
#include "talk.h"

#define DRAW_EVERY_NS (100 * NS_PER_MS)
#define MESSAGE_BYTES 1000 /* of a job's error */
#define ERASE "\r\033[K"

void progress_init(struct progress *p, bool shown)
{
	*p = (struct progress){ .shown = shown };
}

static void add(char line[PROGRESS_LINE_BYTES], const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char line[PROGRESS_LINE_BYTES], const char *format, ...)
{
	size_t len = strlen(line);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(line + len, PROGRESS_LINE_BYTES - len, format, ap); /* cut where it is too long */
	va_end(ap);
}

void progress_format(struct progress *p, const json_t *frame, int64_t now_ns, int columns,
		     char ret_line[PROGRESS_LINE_BYTES])
{
	uint64_t failed = member_count(frame, "failed"), cancelled = member_count(frame, "cancelled");
	uint64_t ended = member_count(frame, "done") + failed + cancelled, total = member_count(frame, "total");
	bool known = json_is_integer(json_object_get(frame, "total"));
	double rate;

	if (p->begun_ns == 0 && (ended > 0 || member_count(frame, "running") > 0)) {
		p->begun_ns = now_ns;
		p->done_at_begin = ended;
	}
	ret_line[0] = '\0';
	if (known)
		add(ret_line, "%" PRIu64 "/%" PRIu64, ended, total);
	else
		add(ret_line, "%" PRIu64, ended);
	rate = p->begun_ns && now_ns > p->begun_ns ?
	       (double)(ended - p->done_at_begin) / ((double)(now_ns - p->begun_ns) / 1e9) : 0;
	if (rate > 0)
		add(ret_line, rate < 10 ? ", %.1f/s" : ", %.0f/s", rate);
	if (failed > 0)
		add(ret_line, ", %" PRIu64 " failed", failed);
	if (rate > 0 && known && total > ended) {
		double left_s = (double)(total - ended) / rate;

		if (left_s < 10)
			add(ret_line, ", %.1f s left", left_s);
		else if (left_s < 120)
			add(ret_line, ", %.0f s left", left_s);
		else if (left_s < 36000)
			add(ret_line, ", %.0f min left", left_s / 60);
		else
			add(ret_line, ", %.0f h left", left_s / 3600);
	}
	if (columns > 1 && columns < PROGRESS_LINE_BYTES)
		ret_line[columns - 1] = '\0'; /* a line that wraps could not be erased */
}

void progress_draw(struct progress *p, const json_t *frame)
{
	struct winsize size = { .ws_col = 0 };
	char line[PROGRESS_LINE_BYTES];
	int64_t now_ns = clock_mono_ns();

	if (!p->shown || (p->drawn && now_ns - p->drawn_ns < DRAW_EVERY_NS))
		return;
	(void)ioctl(STDERR_FILENO, TIOCGWINSZ, &size); /* no terminal: no width */
	progress_format(p, frame, now_ns, size.ws_col, line);
	(void)fprintf(stderr, ERASE "%s", line);
	p->drawn = true;
	p->drawn_ns = now_ns;
}

void progress_erase(struct progress *p)
{
	if (!p->drawn)
		return;
	(void)fputs(ERASE, stderr);
	p->drawn = false;
}

void summary_print(FILE *file, const json_t *end, const char *reason)
{
	const json_t *tasks = json_object_get(end, "tasks"), *error = json_object_get(end, "error");
	const char *state = member_text(end, "state", "?");
	uint64_t done = member_count(tasks, "done"), failed = member_count(tasks, "failed");
	uint64_t cancelled = member_count(tasks, "cancelled"), total = member_count(tasks, "total");
	_cleanup_free_ char *message = text_clean(member_text(error, "message", ""), MESSAGE_BYTES);
	char time[TEXT_DURATION_BYTES];
	double speedup = member_number(end, "speedup", 0);

	if (done == total && strcmp(state, "done") == 0)
		(void)fprintf(file, "%" PRIu64 " %s done", done, done == 1 ? "task" : "tasks");
	else
		(void)fprintf(file, "job %s %s: %" PRIu64 " of %" PRIu64 " tasks done",
			      member_text(end, "job", "?"), state, done, total);
	if (failed > 0)
		(void)fprintf(file, ", %" PRIu64 " failed", failed);
	if (cancelled > 0)
		(void)fprintf(file, ", %" PRIu64 " cancelled", cancelled);
	if (json_is_number(json_object_get(end, "wall_s"))) {
		text_format_duration((int64_t)(member_number(end, "wall_s", 0) * 1e9), time);
		(void)fprintf(file, " in %s", time);
	}
	(void)fprintf(file, " under %s (%s%s%s%s)", member_text(end, "model", "?"), member_text(end, "shape", "?"),
		      member_true(end, "auto") ? ", chosen by auto" : "", *reason ? ": " : "", reason);
	if (speedup > 0)
		(void)fprintf(file, speedup < 99.5 ? ", speed-up %.2g" : ", speed-up %.0f", speedup);
	if (json_is_object(error))
		(void)fprintf(file, ": %s: %s", member_text(error, "code", "?"), message ? message : "");
	(void)fputc('\n', file);
}
