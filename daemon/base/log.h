/* The log: lines of the form `subsystem: what 'object': why`, to the journal under systemd, else to standard error.
 * Every function may be called from any thread and never fails; a line is written with one system call. */
#ifndef CONCD_BASE_LOG_H
#define CONCD_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_target { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL, LOG_TARGET_STDERR };

/* Choose what is written and where to. AUTO is the journal where standard error is connected to it ($JOURNAL_STREAM
 * names its device and inode). Before the first call: info and above to standard error. Not thread-safe. */
void log_open(enum log_level level, enum log_target target);

/* Parse "error", "warning", "info", "debug"; "auto", "journal", "stderr". 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *ret_level);
int log_target_parse(const char *text, enum log_target *ret_target);
const char *log_level_name(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
