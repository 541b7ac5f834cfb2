/* Tasks as text. */
#include "control/format.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/digits.h"
#include "base/text.h"
#include "control/base64.h"
#include "ctl/protocol.h"
#include "store/segment.h"

static uint8_t *put(uint8_t *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static uint8_t *put_text(uint8_t *at, const char *text)
{
	return put(at, text, strlen(text));
}

/* A time cut up, to be put more than once. */
struct decimal {
	uint64_t whole; /* seconds */
	uint64_t digits; /* the first eight decimals, as digits_of_eight() gives them */
	uint32_t last; /* the ninth */
	uint32_t n; /* decimals to be shown, at least one */
};

static inline struct decimal decimal_of(int64_t ns)
{
	uint64_t value = ns > 0 ? (uint64_t)ns : 0;
	uint32_t fraction = value < 1000000000 ? (uint32_t)value : (uint32_t)(value % 1000000000);
	struct decimal d = { .whole = value < 1000000000 ? 0 : value / 1000000000, .n = 9 };

	d.digits = digits_of_eight(fraction / 10);
	d.last = fraction % 10;
	if (d.last == 0)
		d.n = 8 - (uint32_t)__builtin_clzll(d.digits | 1) / 8; /* zeros behind; one stays */
	return d;
}

/* Up to 8 bytes more than those of its text are written. */
static inline uint8_t *put_decimal(uint8_t *at, const struct decimal *d)
{
	if (d->whole == 0)
		*at++ = '0';
	else
		at = text_put_u64(at, d->whole);
	*at++ = '.';
	digits_put(at, d->digits | DIGITS_ZEROS);
	at[8] = (uint8_t)('0' + d->last);
	return at + d->n;
}

uint8_t *format_seconds(uint8_t *at, int64_t ns)
{
	struct decimal d = decimal_of(ns);

	return put_decimal(at, &d);
}

/* What stands behind the backslash for a byte; 0: the byte stands for itself. */
static inline uint8_t plain_escape(uint8_t c)
{
	if (c > '\r' && c != '\\')
		return 0;
	return c == '\\' ? '\\' : c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : 0;
}

uint8_t *format_escaped(uint8_t *at, const uint8_t *data, size_t len)
{
	for (const uint8_t *end = data + len; data < end; data++) {
		uint8_t escape = plain_escape(*data);

		if (escape) {
			*at++ = '\\';
			*at++ = escape;
		} else {
			*at++ = *data;
		}
	}
	return at;
}

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Whether each byte of the word stands for itself in a JSON string: ASCII, no control character, quote or backslash. The
 * usual zero-byte tests: a borrow can only say no where yes were right. */
static inline bool word_is_plain(uint64_t word)
{
	uint64_t quote = word ^ ONES * '"', backslash = word ^ ONES * '\\';

	return ((word | (word - ONES * ' ') | (quote - ONES) | (backslash - ONES)) & HIGHS) == 0;
}

/* The loads and stores of one size may overlap: together they are all bytes. */
#define COPY_ENDS(type, to, from, len, ret_first, ret_last) \
	(memcpy(&(ret_first), (from), sizeof(type)), memcpy(&(ret_last), (from) + (len) - sizeof(type), sizeof(type)), \
	 memcpy((to), &(ret_first), sizeof(type)), memcpy((to) + (len) - sizeof(type), &(ret_last), sizeof(type)))

/* Copy what stands for itself in a JSON string. false: something does not, and what lies at `at` is void. */
static inline bool put_if_plain(uint8_t *at, const uint8_t *data, size_t len)
{
	if (len >= 8) {
		uint64_t word, last;

		for (size_t i = 0; i + 8 < len; i += 8) {
			memcpy(&word, data + i, 8);
			memcpy(at + i, &word, 8);
			if (!word_is_plain(word))
				return false;
		}
		COPY_ENDS(uint64_t, at + len - 8, data + len - 8, 8, word, last);
		return word_is_plain(last);
	}
	if (len >= 4) {
		uint32_t first, last;

		COPY_ENDS(uint32_t, at, data, len, first, last);
		return word_is_plain(first | (uint64_t)last << 32);
	}
	for (size_t i = 0; i < len; i++) {
		at[i] = data[i];
		if (!word_is_plain(ONES * data[i]))
			return false;
	}
	return true;
}

/* Most texts are plain ASCII: eight bytes a step. */
static bool is_utf8(const uint8_t *data, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t eight;

		memcpy(&eight, data + i, 8);
		if (eight & UINT64_C(0x8080808080808080))
			return text_is_utf8(data, len);
	}
	return text_is_utf8(data + i, len - i);
}

uint8_t *format_json_bytes(uint8_t *at, const char *key, const uint8_t *data, size_t len)
{
	at = PUT(at, ",\"");
	at = put_text(at, key);
	if (is_utf8(data, len)) {
		at = PUT(at, "\":");
		return text_put_json(at, data, len);
	}
	at = PUT(at, "_b64\":\"");
	at = base64_encode(data, len, at);
	*at++ = '"';
	return at;
}

/* The same where the key stands already, as most texts want it: `at` is where it begins, `behind` where it ends. */
static inline uint8_t *put_bytes(uint8_t *at, uint8_t *behind, const char *key, const uint8_t *data, size_t len)
{
	if (!put_if_plain(behind, data, len))
		return format_json_bytes(at, key, data, len);
	behind[len] = '"';
	return behind + len + 1;
}

static uint8_t *put_end(uint8_t *at, bool nul)
{
	*at++ = nul ? '\0' : '\n';
	return at;
}

static uint8_t *put_field(uint8_t *at, const uint8_t *data, size_t len, bool nul)
{
	if (!nul)
		return format_escaped(at, data, len);
	if (len > 0)
		memcpy(at, data, len);
	return at + len;
}

static uint8_t *put_tag(uint8_t *at, const struct format_task *task, bool tag, bool nul)
{
	if (!tag)
		return at;
	at = put_field(at, task->input, task->input_len, nul);
	*at++ = '\t';
	return at;
}

uint8_t *format_plain(uint8_t *at, const struct format_task *task, bool tag, bool nul)
{
	at = put_tag(at, task, tag, nul);
	at = put_field(at, task->data, task->record->length, nul);
	return put_end(at, nul);
}

uint8_t *format_plain_failed(uint8_t *at, const struct format_task *task, bool tag, bool nul)
{
	at = put_tag(at, task, tag, nul);
	at = put_text(at, task_error_name((enum task_error)task->record->error));
	*at++ = '\t';
	at = put_field(at, task->data, task->record->length, nul);
	return put_end(at, nul);
}

/* ,"error":{...} */
static uint8_t *put_error(uint8_t *at, const struct format_task *task)
{
	at = PUT(at, ",\"error\":{\"code\":\"");
	at = put_text(at, task_error_name((enum task_error)task->record->error));
	*at++ = '"';
	at = format_json_bytes(at, "message", task->data, task->record->length);
	if (task->record->signal) {
		const char *name = sigabbrev_np(task->record->signal);

		at = PUT(at, ",\"signal\":\"SIG");
		at = name ? put_text(at, name) : text_put_u64(at, task->record->signal);
		*at++ = '"';
	}
	*at++ = '}';
	return at;
}

static int64_t to_ns(float s)
{
	return s > 0 && s < 9e9F ? (int64_t)((double)s * 1e9 + 0.5) : 0;
}

/* The four times of a task, adding up: what is neither processor nor queue for it is waiting. Of most tasks there is
 * none. */
static uint8_t *put_times(uint8_t *at, const struct task_record *record)
{
	int64_t wall_ns = to_ns(record->wall_s), cpu_ns = to_ns(record->cpu_s), runq_ns = to_ns(record->runq_s);
	int64_t wait_ns = wall_ns - cpu_ns - runq_ns;
	struct decimal wall = decimal_of(wall_ns);

	at = PUT(at, ",\"wall_s\":");
	at = put_decimal(at, &wall);
	at = PUT(at, ",\"cpu_s\":");
	at = cpu_ns == wall_ns ? put_decimal(at, &wall) : format_seconds(at, cpu_ns);
	if (wait_ns <= 0 && runq_ns <= 0) {
		at = PUT(at, ",\"wait_s\":0.0,\"runq_s\":0.0");
	} else {
		at = PUT(at, ",\"wait_s\":");
		at = format_seconds(at, wait_ns);
		at = PUT(at, ",\"runq_s\":");
		at = format_seconds(at, runq_ns);
	}
	at = PUT(at, ",\"queue_s\":");
	return format_seconds(at, to_ns(record->queue_s));
}

static uint8_t *put_began(uint8_t *at, const struct task_record *record)
{
	char text[CLOCK_TEXT_BYTES];

	if (record->begin_unix_us == 0)
		return PUT(at, ",\"began\":null");
	clock_format_unix_us(record->begin_unix_us, text);
	at = PUT(at, ",\"began\":\"");
	at = put_text(at, text);
	*at++ = '"';
	return at;
}

static uint8_t *put_attempts(uint8_t *at, const struct task_record *record)
{
	at = PUT(at, ",\"attempts\":");
	return text_put_u64(at, record->attempts);
}

/* The end of the line. */
static uint8_t *put_worker(uint8_t *at, const struct task_record *record)
{
	if (record->worker_pid == 0)
		return PUT(at, ",\"worker\":null}\n");
	at = PUT(at, ",\"worker\":\"");
	at = text_put_u64(at, record->worker_pid);
	*at++ = '.';
	at = text_put_u64(at, record->worker_thread);
	return PUT(at, "\"}\n");
}

/* Both, which are those of the task before where the same worker had it. */
static inline uint8_t *put_tail(uint8_t *at, const struct task_record *record, struct format_tail *tail)
{
	if (tail->len == 0 || tail->worker_pid != record->worker_pid || tail->worker_thread != record->worker_thread ||
	    tail->attempts != record->attempts) {
		tail->len = (size_t)(put_worker(put_attempts(tail->text, record), record) - tail->text);
		tail->worker_pid = record->worker_pid;
		tail->worker_thread = record->worker_thread;
		tail->attempts = record->attempts;
	}
	memcpy(at, tail->text, sizeof(tail->text)); /* of constant size; what is too much is overwritten */
	return at + tail->len;
}

uint8_t *format_task_json(uint8_t *at, const struct format_task *task)
{
	const struct task_record *record = task->record;

	at = PUT(at, "{\"schema\":1,\"type\":\"task\",\"job\":\"");
	for (const char *c = task->job; *c; c++) /* a few digits: less than a call */
		*at++ = (uint8_t)*c;
	at = PUT(at, "\",\"index\":");
	at = text_put_u64(at, task->index);
	at = put_bytes(at, PUT(at, ",\"input\":\""), "input", task->input, task->input_len);
	if (record->state == TASK_DONE) {
		at = PUT(at, ",\"state\":\"done\"");
		at = put_bytes(at, PUT(at, ",\"result\":\""), "result", task->data, record->length);
	} else {
		at = PUT(at, ",\"state\":\"");
		at = put_text(at, task_state_name((enum task_state)record->state));
		*at++ = '"';
		at = put_error(at, task);
	}
	at = put_times(at, record);
	if (!task->began && task->tail)
		return put_tail(at, record, task->tail);
	at = put_attempts(at, record);
	if (task->began)
		at = put_began(at, record);
	return put_worker(at, record);
}

uint8_t *format_failed_frame(uint8_t *at, const struct format_task *task)
{
	at = PUT(at, "{\"type\":\"failed\",\"index\":");
	at = text_put_u64(at, task->index);
	at = format_json_bytes(at, "input", task->input, task->input_len);
	at = PUT(at, ",\"state\":\"");
	at = put_text(at, task_state_name((enum task_state)task->record->state));
	*at++ = '"';
	at = put_error(at, task);
	return PUT(at, "}\n");
}

/* A number right-aligned in spaces, which JSON allows before a value. */
static void put_aligned(uint8_t *at, size_t width, uint64_t value)
{
	uint8_t text[TEXT_U64_BYTES];
	size_t len = (size_t)(text_put_u64(text, value) - text);

	memset(at, ' ', width - len);
	memcpy(at + width - len, text, len);
}

void format_results_head(uint8_t *at, uint64_t count, uint64_t bytes)
{
	at = PUT(at, "{\"type\":\"results\",\"count\":");
	put_aligned(at, 6, count);
	at = PUT(at + 6, ",\"bytes\":");
	put_aligned(at, 10, bytes);
	(void)PUT(at + 10, "}\n");
}

uint8_t *format_packed_head(uint8_t *at, const char *job, uint64_t first, uint32_t count, size_t inputs, size_t bytes)
{
	at = PUT(at, PROTOCOL_PACKED_BEGIN ",\"job\":\"");
	at = put_text(at, job);
	at = PUT(at, "\",\"first\":");
	put_aligned(at, TEXT_U64_BYTES, first);
	at = PUT(at + TEXT_U64_BYTES, ",\"count\":");
	put_aligned(at, 6, count);
	at = PUT(at + 6, ",\"inputs\":");
	put_aligned(at, 10, inputs);
	at = PUT(at + 10, ",\"bytes\":");
	put_aligned(at, 10, bytes);
	return PUT(at + 10, "}\n");
}
