/* Heads, chunked bodies and percent-encoding. Strict where leniency hides two readings of one message: a second or
 * contradictory length, folded headers and unknown codings are refused. */
#include "control/http_parse.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/text.h"

#define CHUNK_LINE_MAX_BYTES 256 /* of a size line or of all trailers */
#define CHUNK_MAX_BYTES (UINT64_C(1) << 31)

enum chunk_state { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF, CHUNK_TRAILER_START,
		   CHUNK_TRAILER, CHUNK_LAST_LF };

size_t http_head_end(const uint8_t *data, size_t len, size_t seen)
{
	size_t from = seen > 3 ? seen - 3 : 0;

	for (;;) {
		const uint8_t *lf = memchr(data + from, '\n', len - from);
		size_t at;

		if (!lf)
			return 0;
		at = (size_t)(lf - data) + 1;
		if (at < len && data[at] == '\n')
			return at + 1;
		if (at + 1 < len && data[at] == '\r' && data[at + 1] == '\n')
			return at + 2;
		from = at;
	}
}

size_t http_skip_empty(const uint8_t *data, size_t len)
{
	size_t n = 0;

	while (n < len && (data[n] == '\r' || data[n] == '\n'))
		n++;
	return n;
}

static bool is_token(const char *text, size_t len)
{
	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c))
			return false;
	}
	return true;
}

/* Is `word` an element of a comma-separated list? */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (*list) {
		size_t n;

		list += strspn(list, ", \t");
		n = strcspn(list, ", \t");
		if (n == len && strncasecmp(list, word, n) == 0)
			return true;
		list += n;
	}
	return false;
}

static int parse_request_line(char *line, struct http_head *head, struct error *err)
{
	char *target = strchr(line, ' ');
	char *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version || strchr(version + 1, ' '))
		return error_set(err, -EBADMSG, "bad-request",
				 "the request line is not of the form 'GET /v1/... HTTP/1.1'");
	*target++ = '\0';
	*version++ = '\0';
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return error_set(err, -EBADMSG, "bad-request", "HTTP/1.1 and HTTP/1.0 are understood, not '%.20s'",
				 version);
	if (!is_token(line, strlen(line)))
		return error_set(err, -EBADMSG, "bad-request", "the request's method is not a word");
	if (strncmp(target, "http://", 7) == 0) { /* the absolute form names a host, which means nothing here */
		target = strchr(target + 7, '/');
		if (!target)
			return error_set(err, -EBADMSG, "bad-request", "the request names no path");
	}
	if (*target != '/')
		return error_set(err, -EBADMSG, "bad-request", "the request's path does not begin with '/'");
	head->http_1_0 = version[7] == '0';
	head->keep_alive = !head->http_1_0;
	head->method = line;
	head->path = target;
	head->query = strchr(target, '?');
	if (head->query)
		*head->query++ = '\0';
	return 0;
}

static int parse_length(const char *value, struct http_head *head, struct error *err)
{
	uint64_t length;

	if (text_parse_u64(value, &length) < 0 || length > INT64_MAX)
		return error_set(err, -EBADMSG, "bad-request", "'%.40s' is no Content-Length", value);
	if (head->content_length >= 0 && head->content_length != (int64_t)length)
		return error_set(err, -EBADMSG, "bad-request", "two different Content-Length headers");
	head->content_length = (int64_t)length;
	return 0;
}

static int parse_header(char *line, struct http_head *head, struct error *err)
{
	char *value = strchr(line, ':');
	size_t len;

	if (!value || !is_token(line, (size_t)(value - line)))
		return error_set(err, -EBADMSG, "bad-request", "'%.40s' is no header line", line);
	*value++ = '\0';
	value += strspn(value, " \t");
	len = strlen(value);
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		value[--len] = '\0';
	if (strcasecmp(line, "Content-Length") == 0)
		return parse_length(value, head, err);
	if (strcasecmp(line, "Transfer-Encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0 || head->chunked)
			return error_set(err, -EBADMSG, "bad-request",
					 "'%.40s' is not a Transfer-Encoding known here; chunked is", value);
		head->chunked = true;
	} else if (strcasecmp(line, "Connection") == 0) {
		if (has_word(value, "close"))
			head->keep_alive = false;
		else if (head->http_1_0 && has_word(value, "keep-alive"))
			head->keep_alive = true;
	} else if (strcasecmp(line, "Expect") == 0) {
		if (strcasecmp(value, "100-continue") != 0)
			return error_set(err, -EBADMSG, "bad-request",
					 "'%.40s' is not an expectation known here; 100-continue is", value);
		head->expect_continue = !head->http_1_0;
	}
	return 0;
}

int http_parse_head(char *data, size_t len, struct http_head *ret_head, struct error *err)
{
	struct http_head head = { .content_length = -1 };
	char *end = data + len;
	int r;

	if (memchr(data, 0, len))
		return error_set(err, -EBADMSG, "bad-request", "a NUL byte in the request's head");
	for (bool first = true; data < end; first = false) {
		char *lf = memchr(data, '\n', (size_t)(end - data));
		char *line = data;

		if (!lf)
			return error_set(err, -EBADMSG, "bad-request", "the request's head is cut");
		data = lf + 1;
		if (lf > line && lf[-1] == '\r')
			lf--;
		*lf = '\0';
		if (!*line)
			break;
		r = first ? parse_request_line(line, &head, err) : parse_header(line, &head, err);
		if (r < 0)
			return r;
	}
	if (!head.method)
		return error_set(err, -EBADMSG, "bad-request", "an empty request");
	if (head.chunked && (head.content_length >= 0 || head.http_1_0))
		return error_set(err, -EBADMSG, "bad-request", "chunked together with Content-Length or HTTP/1.0");
	*ret_head = head;
	return 0;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte outside a chunk's data. */
static int chunk_byte(struct http_chunks *chunks, uint8_t c)
{
	int digit;

	if (++chunks->line_bytes > CHUNK_LINE_MAX_BYTES)
		return -EBADMSG;
	switch ((enum chunk_state)chunks->state) {
	case CHUNK_SIZE:
		digit = hex_value(c);
		if (digit >= 0) {
			chunks->left = chunks->left * 16 + (uint64_t)digit;
			return chunks->left > CHUNK_MAX_BYTES ? -EBADMSG : 0;
		}
		if (chunks->line_bytes == 1) /* no digit at all */
			return -EBADMSG;
		chunks->state = CHUNK_EXTENSION;
		if (c != '\n')
			return c == '\r' || c == ';' || c == ' ' || c == '\t' ? 0 : -EBADMSG;
		/* fall through */
	case CHUNK_EXTENSION:
		if (c != '\n')
			return 0;
		chunks->state = chunks->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START;
		chunks->line_bytes = 0;
		return 0;
	case CHUNK_DATA_CR:
		chunks->state = c == '\n' ? CHUNK_SIZE : CHUNK_DATA_LF;
		chunks->line_bytes = 0;
		return c == '\r' || c == '\n' ? 0 : -EBADMSG;
	case CHUNK_DATA_LF:
		chunks->state = CHUNK_SIZE;
		chunks->line_bytes = 0;
		return c == '\n' ? 0 : -EBADMSG;
	case CHUNK_TRAILER_START:
		if (c == '\n')
			return 1;
		chunks->state = c == '\r' ? CHUNK_LAST_LF : CHUNK_TRAILER;
		return 0;
	case CHUNK_TRAILER:
		if (c == '\n')
			chunks->state = CHUNK_TRAILER_START;
		return 0;
	case CHUNK_LAST_LF:
		return c == '\n' ? 1 : -EBADMSG;
	case CHUNK_DATA:
		break;
	}
	return -EBADMSG;
}

int http_chunks_decode(struct http_chunks *chunks, const uint8_t **at, const uint8_t *end, uint8_t **out)
{
	while (*at < end) {
		size_t n = (size_t)(end - *at);
		int r;

		if (chunks->state != CHUNK_DATA) {
			r = chunk_byte(chunks, *(*at)++);
			if (r != 0)
				return r;
			continue;
		}
		if (n > chunks->left)
			n = (size_t)chunks->left;
		memmove(*out, *at, n);
		*out += n;
		*at += n;
		chunks->left -= n;
		if (chunks->left == 0) {
			chunks->state = CHUNK_DATA_CR;
			chunks->line_bytes = 0;
		}
	}
	return 0;
}

long http_percent_decode(char *text)
{
	char *out = text, *begin = text;

	while (*text) {
		int high, low;

		if (*text != '%') {
			*out++ = *text++;
			continue;
		}
		high = hex_value((uint8_t)text[1]);
		low = high < 0 ? -1 : hex_value((uint8_t)text[2]);
		if (low < 0 || high + low == 0)
			return -EBADMSG;
		*out++ = (char)(high * 16 + low);
		text += 3;
	}
	*out = '\0';
	return out - begin;
}
