/* Downloaded files (see file.h). */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* So many numbered names are tried before a random one: numbers stay small, and a full directory stays fast. */
#define NUMBERED_MAX 64
#define TRIES_MAX (NUMBERED_MAX + 16)

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The length of the UTF-8 character at text, 0 where there is none: cut, over-long, a surrogate or too large. */
static size_t utf8_char(const unsigned char *text, size_t len)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : text[0] < 0xf5 ? 4 : 0;
	uint32_t value;

	if (n < 2)
		return n;
	if (n > len)
		return 0;
	value = text[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (text[i] & 0x3fu);
	}
	return value < smallest[n] || (value >= 0xd800 && value < 0xe000) || value > 0x10ffff ? 0 : n;
}

/* Undo %XX. What came out as '/' or NUL stays recognisable to the caller. Returns the length, cut at max. */
static size_t decode(const char *text, size_t len, unsigned char *ret_bytes, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n < max; i++) {
		int high = text[i] == '%' && i + 2 < len ? hex_value(text[i + 1]) : -1;
		int low = text[i] == '%' && i + 2 < len ? hex_value(text[i + 2]) : -1;

		if (high >= 0 && low >= 0) {
			ret_bytes[n++] = (unsigned char)(high * 16 + low);
			i += 2;
		} else {
			ret_bytes[n++] = (unsigned char)text[i];
		}
	}
	return n;
}

void file_name_from_path(const char *path, char ret_name[FILE_NAME_SIZE])
{
	const char *slash = strrchr(path, '/'), *segment = slash != NULL ? slash + 1 : path;
	unsigned char bytes[FILE_NAME_MAX + 4]; /* a character may begin within the limit and end beyond it */
	size_t len = decode(segment, strlen(segment), bytes, sizeof(bytes)), out = 0;

	for (size_t i = 0, n; i < len; i += n > 0 ? n : 1) {
		n = utf8_char(bytes + i, len - i);
		if (out + (n > 0 ? n : 1) > FILE_NAME_MAX)
			break;
		if (n > 1 && !(n == 2 && bytes[i] == 0xc2 && bytes[i + 1] < 0xa0)) { /* U+0080-9F are control characters */
			memcpy(ret_name + out, bytes + i, n);
			out += n;
		} else if (n != 1 || bytes[i] < ' ' || bytes[i] == 0x7f || strchr("/\\", bytes[i]) != NULL ||
			   (bytes[i] == '.' && out == 0)) {
			ret_name[out++] = '_';
		} else {
			ret_name[out++] = (char)bytes[i];
		}
	}
	ret_name[out] = '\0';
	if (out == 0)
		memcpy(ret_name, "index", sizeof("index"));
}

/* name + suffix. The name is cut to FILE_NAME_MAX by its maker, so this fits. */
__attribute__((format(printf, 3, 4))) static void join(char ret_name[FILE_NAME_SIZE], const char *name,
						       const char *suffix, ...)
{
	va_list ap;
	int n;

	n = snprintf(ret_name, FILE_NAME_SIZE, "%.*s", FILE_NAME_MAX, name);
	va_start(ap, suffix);
	(void)vsnprintf(ret_name + n, FILE_NAME_SIZE - (size_t)n, suffix, ap);
	va_end(ap);
}

static uint64_t random_number(void)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		number = (uint64_t)getpid(); /* only while the system starts; a number already taken costs another try */
	return number;
}

int file_open(struct file *file, const char *dir, const char *name)
{
	struct file f = {.is_open = true};
	char hidden[FILE_NAME_SIZE];
	int r, tries = 0;

	f.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f.dir < 0)
		return -errno;
	join(hidden, ".", "%.*s", FILE_NAME_MAX, name);
	do {
		join(f.temporary, hidden, ".%016" PRIx64 ".part", random_number());
		f.fd = openat(f.dir, f.temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	} while (f.fd < 0 && errno == EEXIST && ++tries < TRIES_MAX);
	if (f.fd < 0) {
		r = -errno;
		close(f.dir);
		return r;
	}
	*file = f;
	return 0;
}

int file_write(struct file *file, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(file->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Rename without replacing. 0 or -errno; -EEXIST: taken. */
static int rename_new(int dir, const char *from, const char *to)
{
	if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system without it: a second name, then away with the first. */
	if (linkat(dir, from, dir, to, 0) < 0)
		return -errno;
	return unlinkat(dir, from, 0) < 0 ? -errno : 0;
}

int file_keep(struct file *file, const char *name, char ret_name[FILE_NAME_SIZE])
{
	char chosen[FILE_NAME_SIZE];
	int r = -EEXIST, fd = file->fd;

	/* Some file systems say only now that the disk is full. */
	file->fd = -1;
	if (close(fd) < 0 && errno != EINTR) {
		r = -errno;
		file_drop(file);
		return r;
	}
	for (int i = 0; i < TRIES_MAX && r == -EEXIST; i++) {
		if (i == 0)
			join(chosen, name, "%s", "");
		else if (i <= NUMBERED_MAX)
			join(chosen, name, ".%d", i);
		else
			join(chosen, name, ".%" PRIu32, (uint32_t)random_number());
		r = rename_new(file->dir, file->temporary, chosen);
	}
	if (r < 0) {
		file_drop(file);
		return r;
	}
	close(file->dir);
	*file = (struct file){0};
	memcpy(ret_name, chosen, sizeof(chosen));
	return 0;
}

void file_drop(struct file *file)
{
	if (!file->is_open)
		return;
	if (file->fd >= 0)
		close(file->fd);
	(void)unlinkat(file->dir, file->temporary, 0); /* nothing more can be done */
	close(file->dir);
	*file = (struct file){0};
}
