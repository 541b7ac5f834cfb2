/* A look at a configuration file's text before libconfig parses it.
 *
 * libconfig reads 5000000000 without an L as 705032704 and says nothing; the parsed value no longer shows it. It also
 * ends the process where a file cannot be read to its end. So each file is read here first, with the lexical rules of
 * libconfig: comments (#, //, C), strings with backslashes, names, numbers, and @include at the beginning of a line.
 */
#include "config_private.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/io.h"

#define MAX_INCLUDE_DEPTH 10 /* libconfig's own */
#define SHOWN_BYTES 40 /* of a name or number in a message */

struct scan {
	const char *path;
	const char *include_dir;
	const char *at, *end;
	const char *key; /* the name last seen, for messages; key_len bytes */
	int key_len;
	unsigned int line;
	int depth;
	struct error *err;
};

static int scan_path(const char *path, const char *include_dir, int depth, struct error *err);

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '-' || c == '*';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static char peek(const struct scan *s, size_t ahead)
{
	return (size_t)(s->end - s->at) > ahead ? s->at[ahead] : '\0';
}

static void skip_line(struct scan *s)
{
	while (s->at < s->end && *s->at != '\n')
		s->at++;
}

static int skip_comment(struct scan *s)
{
	unsigned int began = s->line;

	for (s->at += 2; s->at < s->end; s->at++) {
		if (*s->at == '*' && peek(s, 1) == '/') {
			s->at += 2;
			return 0;
		}
		if (*s->at == '\n')
			s->line++;
	}
	return error_set(s->err, -EINVAL, "bad-config", "%s:%u: this comment is never closed: write */ where it ends",
			 s->path, began);
}

static int skip_string(struct scan *s)
{
	unsigned int began = s->line;

	for (s->at++; s->at < s->end; s->at++) {
		if (*s->at == '"') {
			s->at++;
			return 0;
		}
		if (*s->at == '\\' && s->at + 1 < s->end)
			s->at++;
		if (*s->at == '\n')
			s->line++;
	}
	return error_set(s->err, -EINVAL, "bad-config", "%s:%u: this string is never closed: write \" where it ends",
			 s->path, began);
}

/* The value of the digits between at and end, or UINT64_MAX where they do not fit. */
static uint64_t digits_value(const char *at, const char *end, unsigned int base)
{
	uint64_t value = 0;

	for (; at < end; at++) {
		unsigned int digit =
			is_digit(*at) ? (unsigned int)(*at - '0') : (unsigned int)((*at | 0x20) - 'a') + 10;

		if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
			return UINT64_MAX;
	}
	return value;
}

static int refuse_number(const struct scan *s, const char *from, const char *why)
{
	int shown = s->at - from > SHOWN_BYTES ? SHOWN_BYTES : (int)(s->at - from);

	return error_set(s->err, -EINVAL, "bad-config", "%s:%u: %.*s: %.*s %s", s->path, s->line, s->key_len, s->key,
			 shown, from, why);
}

/* At a digit, or at a sign or point before one. */
static int scan_number(struct scan *s)
{
	const char *from = s->at, *digits;
	bool negative = *s->at == '-';
	unsigned int base = 10;
	uint64_t value, limit;

	if (*s->at == '-' || *s->at == '+')
		s->at++;
	if (peek(s, 0) == '0' && (peek(s, 1) == 'x' || peek(s, 1) == 'X') && from == s->at) {
		base = 16;
		s->at += 2;
	}
	digits = s->at;
	while (base == 16 ? is_hex(peek(s, 0)) : is_digit(peek(s, 0)))
		s->at++;
	value = digits_value(digits, s->at, base);
	if (base == 10 && (peek(s, 0) == '.' || ((peek(s, 0) == 'e' || peek(s, 0) == 'E') &&
						 (is_digit(peek(s, 1)) || peek(s, 1) == '-' || peek(s, 1) == '+')))) {
		for (s->at++; is_digit(peek(s, 0)) || peek(s, 0) == '-' || peek(s, 0) == '+' || peek(s, 0) == 'e' ||
			      peek(s, 0) == 'E';)
			s->at++;
	} else if (peek(s, 0) == 'L') {
		while (peek(s, 0) == 'L')
			s->at++;
		limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
		if (value > limit)
			return refuse_number(s, from, "does not fit 64 bits");
	} else {
		limit = (uint64_t)INT32_MAX + (negative ? 1 : 0);
		if (value > limit && !is_name(peek(s, 0)))
			return refuse_number(s, from,
					     "does not fit 32 bits and would be cut: write an L behind it; "
					     "sizes are strings such as \"64M\", durations such as \"10s\"");
	}
	if (!is_name(peek(s, 0)))
		return 0;
	while (is_name(peek(s, 0)))
		s->at++;
	return refuse_number(s, from,
			     "is no number: a value with a unit is a string, write it in quotes (\"10s\", \"64M\")");
}

/* At the '@' of an @include that libconfig will follow. */
static int scan_include(struct scan *s)
{
	const char *from;
	char name[4096], path[8192];
	size_t len = 0;
	int r;

	s->at += strlen("@include");
	while (peek(s, 0) == ' ' || peek(s, 0) == '\t')
		s->at++;
	if (peek(s, 0) != '"')
		return error_set(s->err, -EINVAL, "bad-config", "%s:%u: @include wants a file's name in quotes",
				 s->path, s->line);
	from = ++s->at;
	while (s->at < s->end && *s->at != '"' && *s->at != '\n') {
		if (*s->at == '\\' && s->at + 1 < s->end)
			s->at++;
		if (len + 1 < sizeof(name))
			name[len++] = *s->at;
		s->at++;
	}
	name[len] = '\0';
	if (peek(s, 0) != '"' || s->at == from)
		return error_set(s->err, -EINVAL, "bad-config", "%s:%u: @include wants a file's name in quotes",
				 s->path, s->line);
	s->at++;
	if (*name == '/')
		(void)snprintf(path, sizeof(path), "%s", name); /* name is shorter than path */
	else if ((size_t)snprintf(path, sizeof(path), "%s/%s", s->include_dir, name) >= sizeof(path))
		return error_set(s->err, -ENAMETOOLONG, "bad-config", "%s:%u: the included file's name is too long",
				 s->path, s->line);
	r = scan_path(path, s->include_dir, s->depth + 1, s->err);
	if (r < 0)
		error_prefix(s->err, "%s:%u: included", s->path, s->line);
	return r;
}

static int scan_text(struct scan *s)
{
	bool line_begins = true; /* only blanks so far: where libconfig takes an @include */
	int r = 0;

	while (r == 0 && s->at < s->end) {
		char c = *s->at;

		if (c == '\0')
			return error_set(s->err, -EINVAL, "bad-config", "%s:%u: there is a NUL byte: this is no text",
					 s->path, s->line);
		if (c == '\n') {
			s->line++;
			s->at++;
			line_begins = true;
			continue;
		}
		if (c == '#' || (c == '/' && peek(s, 1) == '/')) {
			skip_line(s);
		} else if (c == '/' && peek(s, 1) == '*') {
			r = skip_comment(s);
		} else if (c == '"') {
			r = skip_string(s);
		} else if (line_begins && s->end - s->at >= 8 && memcmp(s->at, "@include", 8) == 0) {
			r = scan_include(s);
		} else if (is_digit(c) || ((c == '-' || c == '+' || c == '.') && is_digit(peek(s, 1)))) {
			r = scan_number(s);
		} else if (is_name(c)) {
			s->key = s->at;
			while (is_name(peek(s, 0)))
				s->at++;
			s->key_len = s->at - s->key > SHOWN_BYTES ? SHOWN_BYTES : (int)(s->at - s->key);
		} else {
			s->at++;
		}
		if (c != ' ' && c != '\t')
			line_begins = false;
	}
	return r;
}

static int scan_path(const char *path, const char *include_dir, int depth, struct error *err)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;
	struct scan scan = {
		.path = path, .include_dir = include_dir, .key = "", .line = 1, .depth = depth, .err = err
	};
	struct stat st;
	int r;

	if (depth > MAX_INCLUDE_DEPTH)
		return error_set(err, -ELOOP, "bad-config", "%s: files include each other more than %d deep", path,
				 MAX_INCLUDE_DEPTH);
	if (stat(path, &st) < 0)
		return error_set(err, -errno, "bad-config", "%s: cannot be read: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, -EINVAL, "bad-config", "%s: is not a regular file", path);
	if (st.st_mode & S_IWOTH)
		return error_set(err, -EPERM, "bad-config", "%s: everybody may write to it: chmod o-w %s", path, path);
	r = io_read_file(path, CONFIG_FILE_MAX_BYTES, &text);
	if (r == -EFBIG)
		return error_set(err, r, "bad-config", "%s: is larger than %u bytes", path, CONFIG_FILE_MAX_BYTES);
	if (r < 0)
		return error_set(err, r, "bad-config", "%s: cannot be read: %s", path, strerror(-r));
	scan.at = (const char *)text.data;
	scan.end = scan.at + text.len;
	return scan_text(&scan);
}

int config_scan_file(const char *path, const char *include_dir, struct error *err)
{
	return scan_path(path, include_dir, 0, err);
}
