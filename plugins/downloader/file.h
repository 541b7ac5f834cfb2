/* A downloaded file: written under a hidden temporary name in its directory and given its own name when it is complete,
 * so that nobody ever sees half a file. Nothing is ever overwritten and nothing outside the directory is touched.
 * Blocking file calls; any thread. */
#ifndef CONCD_PLUGINS_DOWNLOADER_FILE_H
#define CONCD_PLUGINS_DOWNLOADER_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define FILE_NAME_MAX 200 /* bytes; suffixes come on top */
#define FILE_NAME_SIZE 256

/* A safe name from a URL's path: its last segment, decoded, without '/', control characters, leading dots and what is
 * not UTF-8, cut to FILE_NAME_MAX bytes; "index" where nothing is left. */
void file_name_from_path(const char *path, char ret_name[FILE_NAME_SIZE]);

struct file {
	bool is_open;
	int dir, fd;
	char temporary[FILE_NAME_SIZE];
};

/* Begin a file in directory `dir`, which must exist. 0 or -errno. */
int file_open(struct file *file, const char *dir, const char *name);
int file_write(struct file *file, const void *data, size_t len); /* 0 or -errno */
/* Complete: give it the name, or name.1, name.2 ... where that is taken, and close it. ret_name: FILE_NAME_SIZE bytes.
 * 0, or -errno and the file is gone. */
int file_keep(struct file *file, const char *name, char ret_name[FILE_NAME_SIZE]);
void file_drop(struct file *file); /* remove it; a zeroed or kept one is fine */

#endif
