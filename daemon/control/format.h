/* Tasks as text: plain lines, JSON lines, frames. By hand, because a million of them are a stream and jansson takes 4.5
 * microseconds for each.
 *
 * Every function writes at `at`, where the caller has made room, and returns behind what it wrote. Any thread.
 */
#ifndef CONCD_CONTROL_FORMAT_H
#define CONCD_CONTROL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct task_record;

/* The end of a JSON line, kept for the next one. Zeros before the first. */
struct format_tail {
	uint32_t worker_pid;
	uint16_t worker_thread, attempts;
	size_t len;
	uint8_t text[64];
};

struct format_task {
	const char *job; /* its id as text */
	uint64_t index;
	const uint8_t *input;
	size_t input_len;
	const struct task_record *record;
	const uint8_t *data; /* result, or message */
	bool began; /* also when it began */
	struct format_tail *tail; /* of the same caller's last line; NULL: none is kept */
};

/* Room that it needs, whatever it writes: there may be bytes without meaning behind its text. */
#define FORMAT_SECONDS_BYTES 32
uint8_t *format_seconds(uint8_t *at, int64_t ns); /* "1.25", "0.0": at most 9 decimals; ns >= 0 */

/* Backslash, TAB, CR and LF escaped. At most 2 * len bytes. */
uint8_t *format_escaped(uint8_t *at, const uint8_t *data, size_t len);
/* ,"KEY":"..." or, where it is not UTF-8, ,"KEY_b64":"..." */
uint8_t *format_json_bytes(uint8_t *at, const char *key, const uint8_t *data, size_t len);

/* Room that is enough for any of the functions below. */
static inline size_t format_task_room(size_t input_len, size_t data_len)
{
	return 704 + 6 * input_len + 6 * data_len;
}

/* [input TAB] result and its end. */
uint8_t *format_plain(uint8_t *at, const struct format_task *task, bool tag, bool nul);
/* [input TAB] code TAB message and its end. */
uint8_t *format_plain_failed(uint8_t *at, const struct format_task *task, bool tag, bool nul);
uint8_t *format_task_json(uint8_t *at, const struct format_task *task);
uint8_t *format_failed_frame(uint8_t *at, const struct format_task *task);

/* A frame's head before its bytes are known, and filled in behind them. */
#define FORMAT_RESULTS_HEAD_BYTES 53
void format_results_head(uint8_t *at, uint64_t count, uint64_t bytes);

/* The head of a packed run of `count` tasks, whose inputs and outcomes have so many bytes: as long whatever the numbers. */
#define FORMAT_PACKED_HEAD_BYTES 192 /* no more */
uint8_t *format_packed_head(uint8_t *at, const char *job, uint64_t first, uint32_t count, size_t inputs, size_t bytes);

#endif
