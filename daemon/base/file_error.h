/* Why a file or directory cannot be used, in words from which one can act. */
#ifndef CONCD_BASE_FILE_ERROR_H
#define CONCD_BASE_FILE_ERROR_H

struct error;

/* Record why `path` cannot be used: whose it is, its mode, who we are, or that its disk is read-only; where it is not there, the same
 * of the directory that it would be in. `error` is a positive errno; `what` begins the sentence ("the store"). Returns -error, with
 * code "denied" where somebody has to give us rights and no code was given, else `code`, or "internal" for NULL. Does not block but for
 * the file system. */
int file_error(struct error *err, int error, const char *code, const char *what, const char *path);

#endif
