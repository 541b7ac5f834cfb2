/* Configuration files: what is found in them before libconfig reads them, and all of it. The file is one in memory:
 * nothing is left behind. */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "config.h"
#include "config_private.h"

static void check_config(const struct config *config)
{
	FUZZ_CHECK(config->socket_path && config->state_dir && config->plugin_dir && config->worker_path);
	FUZZ_CHECK(config->max_clients > 0 && config->max_workers > 0 && config->max_processes > 0);
	for (size_t i = 0; i < config->n_workloads; i++) {
		const struct workload_config *w = &config->workloads[i];

		FUZZ_CHECK(w->name && w->plugin && w->model && w->where);
		FUZZ_CHECK(config_find_workload(config, w->name) == w);
		FUZZ_CHECK(w->grace_ns >= 0 && w->task_timeout_ns >= 0 && w->start_timeout_ns > 0);
		for (size_t k = 0; k < w->n_params; k++)
			FUZZ_CHECK(w->params[k].name && w->params[k].value && w->params_where[k]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT, scan_err = ERROR_INIT;
	struct config *config = NULL;
	char path[64];
	int fd = memfd_create("concd.conf", MFD_CLOEXEC), scanned;

	FUZZ_CHECK(fd >= 0 && fchmod(fd, 0600) == 0 && io_write_full(fd, data, size) == 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fits */
	scanned = config_scan_file(path, "/nonexistent", &scan_err);
	FUZZ_CHECK(scanned == 0 || (scan_err.code && *scan_err.text));
	if (config_load(path, &config, &err) < 0)
		FUZZ_CHECK(err.code && *err.text && !config);
	else
		check_config(config);
	config_free(config);
	(void)close(fd); /* memory */
	return 0;
}
