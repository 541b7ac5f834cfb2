/* The log. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#include "cleanup.h"

#define LINE_BYTES 4096

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static const char *const targets[] = {
	[LOG_TARGET_AUTO] = "auto",
	[LOG_TARGET_JOURNAL] = "journal",
	[LOG_TARGET_STDERR] = "stderr",
};

/* Both are set before threads start, and relaxed is enough after that: a line more or less at a change is no harm. */
static _Atomic int log_max_level = LOG_LEVEL_INFO;
static _Atomic bool log_to_journal;

static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == (dev_t)dev && st.st_ino == (ino_t)ino;
}

void log_open(enum log_level level, enum log_target target)
{
	bool journal = target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && stderr_is_journal());

	atomic_store_explicit(&log_max_level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&log_to_journal, journal, memory_order_relaxed);
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

int log_target_parse(const char *text, enum log_target *ret_target)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		if (strcmp(text, targets[i]) == 0) {
			*ret_target = (enum log_target)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list ap;
	int prefix = 0, n;
	size_t len;

	if ((int)level > atomic_load_explicit(&log_max_level, memory_order_relaxed))
		return;
	va_start(ap, format);
	if (atomic_load_explicit(&log_to_journal, memory_order_relaxed)) {
		(void)sd_journal_printv(levels[level].priority, format, ap); /* nowhere left to complain to */
		va_end(ap);
		return;
	}
	if (level != LOG_LEVEL_INFO)
		prefix = snprintf(line, sizeof(line), "%s: ", levels[level].name);
	n = vsnprintf(line + prefix, sizeof(line) - (size_t)prefix - 1, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	len = strnlen(line, sizeof(line) - 2);
	line[len++] = '\n';
	(void)!write(STDERR_FILENO, line, len); /* nowhere left to complain to */
}
