/* Inputs from words and files. */
#include "inputs.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "protocol.h"

#define READ_BYTES (256u << 10)
#define GROWTH 4 /* of pieces, from one to the next */

static int open_file(struct input_file *file, const char *name, struct error *err)
{
	struct stat st;

	file->name = strcmp(name, "-") == 0 ? "standard input" : name;
	file->fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (file->fd < 0 || fstat(file->fd, &st) < 0)
		return error_set(err, -errno, "usage", "input file '%s': %s", file->name, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return error_set(err, -EISDIR, "usage", "input file '%s' is a directory", file->name);
	file->may_pause = !S_ISREG(st.st_mode);
	if (!file->may_pause) {
		off_t at = lseek(file->fd, 0, SEEK_CUR); /* standard input may have been read from; -1: unknown */

		file->bytes = at >= 0 && st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
	}
	return 0;
}

int inputs_open(struct inputs *in, const char *const *words, size_t n_words, const char *const *files, size_t n_files,
		char end, struct error *err)
{
	*in = (struct inputs){ .words = words, .n_words = n_words, .end = end, .wake_fd = -1, .pause_ms = -1,
			      .piece_bytes = PROTOCOL_PIECE_BYTES, .most_bytes = PROTOCOL_PIECE_BYTES };
	for (size_t i = 0; i < n_words; i++)
		if (strlen(words[i]) > PROTOCOL_MAX_INPUT_BYTES)
			return error_set(err, -EMSGSIZE, "too-large", "input %zu is longer than %u bytes", i + 1,
					 PROTOCOL_MAX_INPUT_BYTES);
	if (n_files == 0)
		return 0;
	in->files = calloc(n_files, sizeof(*in->files));
	if (!in->files)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	for (size_t i = 0; i < n_files; i++)
		in->files[i].fd = -1;
	for (in->n_files = 0; in->n_files < n_files; in->n_files++) {
		int r = open_file(&in->files[in->n_files], files[in->n_files], err);

		if (r < 0) {
			in->n_files++;
			return r;
		}
	}
	return 0;
}

void inputs_close(struct inputs *in)
{
	for (size_t i = 0; i < in->n_files; i++)
		if (in->files[i].fd > STDIN_FILENO)
			(void)close(in->files[i].fd); /* only read from */
	free(in->files);
	buffer_fini(&in->raw);
	in->files = NULL;
	in->n_files = 0;
}

bool inputs_are_many(const struct inputs *in)
{
	uint64_t bytes = 0;

	for (size_t i = in->next_file; i < in->n_files; i++)
		bytes += in->files[i].bytes;
	return bytes > PROTOCOL_PIECE_BYTES; /* packed they are no shorter: a length takes the place of each separator */
}

bool inputs_are_at_hand(const struct inputs *in)
{
	for (size_t i = in->next_file; i < in->n_files; i++)
		if (in->files[i].may_pause)
			return false;
	return true;
}

/* Wait for a source that may pause. 0; -EINTR; -EAGAIN: nothing came for pause_ms. */
static int wait_for(const struct inputs *in, int fd, bool may_pause)
{
	struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = in->wake_fd, .events = POLLIN } };

	for (;;) {
		int r = poll(fds, 2, may_pause ? in->pause_ms : -1);

		if (r == 0)
			return -EAGAIN;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0)
			return fds[1].revents ? -EINTR : 0;
	}
}

/* Read more of the current file behind raw. 0 (file_ended at its end), -EINTR, -EAGAIN as in wait_for(), -errno with
 * words. */
static int read_more(struct inputs *in, bool may_pause, struct error *err)
{
	const struct input_file *file = &in->files[in->next_file];
	ssize_t n;
	int r = file->may_pause ? wait_for(in, file->fd, may_pause) : 0;

	if (r < 0)
		return r;
	if (in->at > 0) {
		memmove(in->raw.data, in->raw.data + in->at, in->raw.len - in->at);
		in->raw.len -= in->at;
		in->at = 0;
	}
	if (buffer_reserve(&in->raw, READ_BYTES) < 0)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	n = read(file->fd, in->raw.data + in->raw.len, READ_BYTES);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return error_set(err, -errno, "usage", "reading input file '%s': %s", file->name,
				 errno == EBADF ? "it is closed" : strerror(errno));
	in->raw.len += (size_t)n;
	in->file_ended = n == 0;
	return 0;
}

/* The next input of the current file in raw. 1; 0: the file has no more; -errno as read_more(). */
static int next_in_file(struct inputs *in, bool may_pause, const uint8_t **ret_data, size_t *ret_len, size_t *ret_used,
			struct error *err)
{
	for (;;) {
		size_t have = in->raw.len - in->at;
		uint8_t *data = in->raw.data ? in->raw.data + in->at : NULL;
		uint8_t *end = have > in->scanned ? memchr(data + in->scanned, in->end, have - in->scanned) : NULL;
		size_t len = end ? (size_t)(end - data) : have;
		int r;

		if (len > PROTOCOL_MAX_INPUT_BYTES)
			return error_set(err, -EMSGSIZE, "too-large",
					 "input file '%s': input %" PRIu64 " is longer than %u bytes",
					 in->files[in->next_file].name, in->in_file + 1, PROTOCOL_MAX_INPUT_BYTES);
		if (end || (in->file_ended && have > 0)) {
			*ret_data = data;
			*ret_len = len;
			*ret_used = end ? len + 1 : len;
			return 1;
		}
		in->scanned = have;
		if (in->file_ended)
			return 0;
		r = read_more(in, may_pause, err);
		if (r < 0)
			return r;
	}
}

/* Like next_in_file(), for words and all files in turn. ret_used is for taken(). */
static int next_input(struct inputs *in, bool may_pause, const uint8_t **ret_data, size_t *ret_len, size_t *ret_used,
		      struct error *err)
{
	if (in->next_word < in->n_words) {
		*ret_data = (const uint8_t *)in->words[in->next_word];
		*ret_len = strlen(in->words[in->next_word]);
		return 1;
	}
	while (in->next_file < in->n_files) {
		int r = next_in_file(in, may_pause, ret_data, ret_len, ret_used, err);

		if (r != 0)
			return r;
		in->next_file++;
		in->raw.len = in->at = in->scanned = 0;
		in->file_ended = false;
		in->in_file = 0;
	}
	return 0;
}

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Where the word, the first byte lowest, has its first byte of value 0; 8: nowhere. */
static inline unsigned int first_zero(uint64_t word)
{
	uint64_t zeros = (word - ONES) & ~word & HIGHS; /* and perhaps some behind the first */

	return zeros ? (unsigned int)__builtin_ctzll(zeros) / 8 : 8;
}

/* Pack inputs of the current file that are short and whole in raw, while the piece certainly has room: most inputs are such, and
 * what any other takes costs more than they do. How many, or -ENOMEM. */
static int pack_short(struct inputs *in, struct buffer *piece, size_t most)
{
	const uint64_t ends = ONES * (uint8_t)in->end;
	const size_t have = in->raw.len - in->at;
	uint64_t words[2];
	uint8_t *to;
	int n = 0;

	if (in->next_word < in->n_words || have < sizeof(words))
		return 0;
	if (buffer_reserve(piece, have + sizeof(words) + VARINT_MAX_BYTES) < 0) /* packed they are no longer */
		return -ENOMEM;
	to = piece->data + piece->len;
	for (; in->raw.len - in->at >= sizeof(words); n++) {
		unsigned int len;

		if ((size_t)(to - piece->data) + sizeof(words) + VARINT_MAX_BYTES > most)
			break;
		memcpy(words, in->raw.data + in->at, sizeof(words));
		len = first_zero(le64toh(words[0]) ^ ends);
		if (len == 8)
			len += first_zero(le64toh(words[1]) ^ ends);
		if (len == sizeof(words))
			break;
		*to++ = (uint8_t)len;
		memcpy(to, words, sizeof(words)); /* what is too much is overwritten */
		to += len;
		in->at += len + 1;
	}
	piece->len = (size_t)(to - piece->data);
	in->in_file += (uint64_t)n;
	if (n > 0)
		in->scanned = 0;
	return n;
}

static void taken(struct inputs *in, size_t used)
{
	if (in->next_word < in->n_words) {
		in->next_word++;
		return;
	}
	in->at += used;
	in->scanned = 0;
	in->in_file++;
}

int inputs_next(struct inputs *in, struct buffer *piece, bool *ret_last, struct error *err)
{
	const size_t most = in->piece_bytes;
	int count = 0;

	piece->len = 0;
	for (;;) {
		const uint8_t *data = NULL;
		size_t len = 0, used = 0;
		int r = pack_short(in, piece, most);

		if (r < 0)
			return error_set(err, -ENOMEM, "internal", "out of memory");
		count += r;
		r = next_input(in, count > 0, &data, &len, &used, err);

		if (r == -EAGAIN)
			break;
		if (r < 0)
			return r;
		if (r == 0) {
			*ret_last = true;
			return count;
		}
		if (piece->len > 0 && piece->len + len + VARINT_MAX_BYTES > most)
			break;
		if (buffer_reserve(piece, len + VARINT_MAX_BYTES) < 0)
			return error_set(err, -ENOMEM, "internal", "out of memory");
		piece->len = (size_t)(varint_put(piece->data + piece->len, len) - piece->data);
		memcpy(piece->data + piece->len, data, len);
		piece->len += len;
		count++;
		taken(in, used);
	}
	in->piece_bytes = most < in->most_bytes / GROWTH ? most * GROWTH : in->most_bytes;
	*ret_last = false;
	return count;
}
