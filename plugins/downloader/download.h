/* One download: the exchanges that it takes, and where its bytes go. Used by run on the task's stack. */
#ifndef CONCD_PLUGINS_DOWNLOADER_DOWNLOAD_H
#define CONCD_PLUGINS_DOWNLOADER_DOWNLOAD_H

#include <concd/plugin.h>

struct session;

/* Parameters of a job. Text is valid while the task runs. 0 and "": none, no limit. */
struct download_options {
	const char *dir, *user_agent, *ca_file;
	int64_t per_host, max_redirects, max_bytes;
	int64_t connect_timeout_ns, stall_timeout_ns, timeout_ns;
};

/* Download the task's input, set its result or say why it failed. What run returns. */
CONCD_YIELDS int download_run(struct concd_task *task, struct session *session,
			      const struct download_options *options);

#endif
