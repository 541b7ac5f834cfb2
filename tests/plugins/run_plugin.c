/* run_plugin: runs a plugin's tasks without a daemon, for test scripts.
 *
 *	run_plugin FILE.so [-p KEY=VALUE]... INPUT...
 *
 * Prints a line per input, `ok RESULT` or `failed WHY MESSAGE`. Exit status: 0; 1 some task failed; 2 usage.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

int main(int argc, char **argv)
{
	struct harness_task **tasks;
	struct harness *h;
	int c, n, failed = 0;

	if (argc < 2 || strstr(argv[1], ".so") == NULL) {
		fprintf(stderr, "usage: run_plugin FILE.so [-p KEY=VALUE]... INPUT...\n");
		return 2;
	}
	h = harness_open(argv[1]);
	optind = 2;
	while ((c = getopt(argc, argv, "p:")) != -1) {
		char *equals = c == 'p' ? strchr(optarg, '=') : NULL;

		if (equals == NULL)
			return 2;
		*equals = '\0';
		harness_param(h, optarg, equals + 1);
	}
	if (harness_start(h) < 0) {
		harness_close(h);
		return 1;
	}
	n = argc - optind;
	tasks = calloc((size_t)n + 1, sizeof(*tasks));
	if (tasks == NULL)
		return 1;
	for (int i = 0; i < n; i++)
		tasks[i] = harness_add(h, argv[optind + i]);
	harness_run(h);
	for (int i = 0; i < n; i++) {
		if (tasks[i]->returned == 0) {
			printf("ok %s\n", tasks[i]->result != NULL ? tasks[i]->result : "");
		} else {
			printf("failed %u %s\n", (unsigned)tasks[i]->why,
			       tasks[i]->failure != NULL ? tasks[i]->failure : strerror(-tasks[i]->returned));
			failed = 1;
		}
	}
	free(tasks);
	harness_close(h);
	return failed;
}
