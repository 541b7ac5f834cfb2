/* The inputs of a job: words of the command line, then files, cut into pieces that fit a request.
 *
 * Pieces are packed (base/buffer.h), the one form in which any input can travel. All files are opened at once by
 * inputs_open(), so that a name that does not exist is said before anything runs. One thread at a time.
 */
#ifndef CONCD_CTL_INPUTS_H
#define CONCD_CTL_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct error;

struct input_file {
	const char *name; /* for messages */
	int fd;
	bool may_pause; /* a pipe, terminal or socket: its next bytes may be long in coming */
	uint64_t bytes; /* that it had when it was opened; 0 where that is not known */
};

struct inputs {
	const char *const *words; /* the caller's */
	size_t n_words, next_word;
	struct input_file *files;
	size_t n_files, next_file;
	char end; /* of an input in files: LF or NUL */
	int wake_fd; /* as in http.h; set after inputs_open() */
	int pause_ms; /* a piece goes off when a source gave nothing for so long; -1: only full ones do */
	size_t piece_bytes; /* the next piece holds so many at most; after inputs_open() PROTOCOL_PIECE_BYTES */
	size_t most_bytes; /* and each one after it four times as many, up to this; likewise */

	/* private */
	struct buffer raw; /* read from files[next_file]; [at, len) is not used yet */
	size_t at;
	size_t scanned; /* of raw from `at`: holds no end */
	bool file_ended; /* files[next_file] has no more behind raw */
	uint64_t in_file; /* inputs taken from it */
};

/* `files` are names, "-" for standard input. 0, or -errno with words. */
int inputs_open(struct inputs *in, const char *const *words, size_t n_words, const char *const *files, size_t n_files,
		char end, struct error *err);
void inputs_close(struct inputs *in); /* also of one that was only zeroed, or half opened */

/* Do the files have more than fits one piece, as far as that is known? */
bool inputs_are_many(const struct inputs *in);

/* Will inputs_next() block for nothing but a disk? */
bool inputs_are_at_hand(const struct inputs *in);

/* Fill `piece` (emptied first) with the next inputs: as many as fit piece_bytes, or a single larger one.
 * Blocks for files. The number of inputs, *ret_last when none follow; -EINTR; -EMSGSIZE: an input over
 * PROTOCOL_MAX_INPUT_BYTES; -errno of a read. */
int inputs_next(struct inputs *in, struct buffer *piece, bool *ret_last, struct error *err);

#endif
