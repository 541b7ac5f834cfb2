/* Plugin files: loading them and believing nothing they say before it was checked. */
#ifndef CONCD_WORKER_LOADER_H
#define CONCD_WORKER_LOADER_H

#include <stdio.h>

#include "concd/plugin.h"

struct error;

struct loaded_plugin {
	/* A copy in the size that this host knows. Members that an older plugin does not have are NULL; what a newer
	 * one of the same ABI has beyond is not used. */
	struct concd_plugin plugin;
	void *handle; /* of dlopen */
};

/* Load the file and check the plugin. 0, or with words: -ENOENT and other errors of the file; -ENOEXEC: not a shared
 * object of this machine, without the symbol, of another ABI, of an impossible size, or with invalid fields. */
int loader_open(const char *path, struct loaded_plugin *ret_loaded, struct error *err);
void loader_close(struct loaded_plugin *loaded);

/* The checks alone, on what the symbol points to. 0 or -ENOEXEC. */
int loader_check(const struct concd_plugin *exported, struct concd_plugin *ret_plugin, struct error *err);

/* Print the description as one JSON object on a line. 0, -ENOMEM, -EINVAL (text that is not UTF-8), -EIO. */
int loader_describe(const struct concd_plugin *plugin, FILE *out);

#endif
