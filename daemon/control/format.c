/* Tasks as text. */
#include "control/format.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "control/base64.h"
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

static const char two_digits[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243"
				 "4445464748495051525354555657585960616263646566676869707172737475767778798081828384858687"
				 "888990919293949596979899";

uint8_t *format_u64(uint8_t *at, uint64_t value)
{
	uint8_t text[FORMAT_U64_BYTES], *from = text + sizeof(text);

	while (value >= 100) {
		from -= 2;
		memcpy(from, two_digits + value % 100 * 2, 2);
		value /= 100;
	}
	if (value >= 10) {
		from -= 2;
		memcpy(from, two_digits + value * 2, 2);
	} else {
		*--from = (uint8_t)('0' + value);
	}
	memcpy(at, from, (size_t)(text + sizeof(text) - from));
	return at + (text + sizeof(text) - from);
}

uint8_t *format_seconds(uint8_t *at, int64_t ns)
{
	uint64_t value = ns > 0 ? (uint64_t)ns : 0;
	uint32_t fraction = (uint32_t)(value % 1000000000);
	uint8_t *last;

	at = format_u64(at, value / 1000000000);
	*at++ = '.';
	if (fraction == 0) {
		*at++ = '0';
		return at;
	}
	last = at + 8;
	*last = (uint8_t)('0' + fraction % 10);
	fraction /= 10;
	for (int pair = 3; pair >= 0; pair--) {
		memcpy(at + 2 * pair, two_digits + fraction % 100 * 2, 2);
		fraction /= 100;
	}
	while (*last == '0')
		last--;
	return last + 1;
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

static uint8_t *json_control(uint8_t *at, uint8_t c)
{
	static const char digits[] = "0123456789abcdef";

	switch (c) {
	case '"':
	case '\\':
		*at++ = '\\';
		*at++ = c;
		return at;
	case '\n':
		return PUT(at, "\\n");
	case '\r':
		return PUT(at, "\\r");
	case '\t':
		return PUT(at, "\\t");
	default:
		at = PUT(at, "\\u00");
		*at++ = (uint8_t)digits[c >> 4];
		*at++ = (uint8_t)digits[c & 15];
		return at;
	}
}

uint8_t *format_json_string(uint8_t *at, const uint8_t *data, size_t len)
{
	*at++ = '"';
	for (const uint8_t *end = data + len; data < end; data++) {
		if (*data >= ' ' && *data != '"' && *data != '\\')
			*at++ = *data;
		else
			at = json_control(at, *data);
	}
	*at++ = '"';
	return at;
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
		return format_json_string(at, data, len);
	}
	at = PUT(at, "_b64\":\"");
	at = base64_encode(data, len, at);
	*at++ = '"';
	return at;
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
		at = name ? put_text(at, name) : format_u64(at, task->record->signal);
		*at++ = '"';
	}
	*at++ = '}';
	return at;
}

static int64_t to_ns(float s)
{
	return s > 0 && s < 9e9F ? (int64_t)((double)s * 1e9 + 0.5) : 0;
}

/* The four times of a task, adding up: what is neither processor nor queue for it is waiting. */
static uint8_t *put_times(uint8_t *at, const struct task_record *record)
{
	int64_t wall_ns = to_ns(record->wall_s), cpu_ns = to_ns(record->cpu_s), runq_ns = to_ns(record->runq_s);
	int64_t wait_ns = wall_ns - cpu_ns - runq_ns;

	at = PUT(at, ",\"wall_s\":");
	at = format_seconds(at, wall_ns);
	at = PUT(at, ",\"cpu_s\":");
	at = format_seconds(at, cpu_ns);
	at = PUT(at, ",\"wait_s\":");
	at = format_seconds(at, wait_ns);
	at = PUT(at, ",\"runq_s\":");
	at = format_seconds(at, runq_ns);
	at = PUT(at, ",\"queue_s\":");
	return format_seconds(at, to_ns(record->queue_s));
}

uint8_t *format_task_json(uint8_t *at, const struct format_task *task)
{
	const struct task_record *record = task->record;

	at = PUT(at, "{\"schema\":1,\"type\":\"task\",\"job\":\"");
	at = put_text(at, task->job);
	at = PUT(at, "\",\"index\":");
	at = format_u64(at, task->index);
	at = format_json_bytes(at, "input", task->input, task->input_len);
	at = PUT(at, ",\"state\":\"");
	at = put_text(at, task_state_name((enum task_state)record->state));
	*at++ = '"';
	if (record->state == TASK_DONE)
		at = format_json_bytes(at, "result", task->data, record->length);
	else
		at = put_error(at, task);
	at = put_times(at, record);
	at = PUT(at, ",\"attempts\":");
	at = format_u64(at, record->attempts);
	if (record->worker_pid) {
		at = PUT(at, ",\"worker\":\"");
		at = format_u64(at, record->worker_pid);
		*at++ = '.';
		at = format_u64(at, record->worker_thread);
		at = PUT(at, "\"}\n");
	} else {
		at = PUT(at, ",\"worker\":null}\n");
	}
	return at;
}

uint8_t *format_failed_frame(uint8_t *at, const struct format_task *task)
{
	at = PUT(at, "{\"type\":\"failed\",\"index\":");
	at = format_u64(at, task->index);
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
	uint8_t text[FORMAT_U64_BYTES];
	size_t len = (size_t)(format_u64(text, value) - text);

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
