/* concd: options, and the exit status. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "concd.h"
#include "ctl/protocol.h"

static const char usage[] =
	"Usage: concd [-c FILE] [-t] [-v] [--check-store]\n"
	"Runs workloads under the concurrency model that fits them, in the foreground.\n"
	"\n"
	"  -c, --config FILE  read FILE (and FILE.d/*.conf in place of /etc/concd.conf.d)\n"
	"  -t, --test         check the configuration and the plugins, then exit\n"
	"      --check-store  check what is on disk, change nothing, then exit\n"
	"  -v, --verbose      log everything\n"
	"  -V, --version      print the version\n"
	"  -h, --help         print this\n"
	"\n"
	"As an ordinary user without -c it runs on built-in defaults, with its socket in\n"
	"$XDG_RUNTIME_DIR/concd and its state in $XDG_STATE_HOME/concd. See concd(8), concd.conf(5).\n";

enum { OPTION_CHECK_STORE = 256 }; /* no character */

#define MALLOC_MMAP_BYTES (4 << 20)
#define MALLOC_TRIM_BYTES (128 << 20)

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' }, { "test", no_argument, NULL, 't' },
	{ "verbose", no_argument, NULL, 'v' },	    { "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },	    { "check-store", no_argument, NULL, OPTION_CHECK_STORE },
	{ NULL, 0, NULL, 0 },
};

static int complain(const struct error *err)
{
	(void)fprintf(stderr, "concd: %s\n", err->text);
	if (err->code && strcmp(err->code, "bad-config") == 0)
		return EXIT_BAD_CONFIG;
	return err->code && strcmp(err->code, "denied") == 0 ? EXIT_DENIED : EXIT_TASKS_FAILED;
}

/* The exit status of --check-store, as concd(8) has it. */
static int check_store(const struct concd_options *options)
{
	struct error err = ERROR_INIT;
	int r = concd_check_store(options, &err);

	if (r == 0)
		return EXIT_OK;
	if (*err.text && complain(&err) == EXIT_BAD_CONFIG)
		return EXIT_BAD_CONFIG;
	switch (-r) {
	case EBADMSG:
		return EXIT_TASKS_FAILED;
	case ENOENT:
		return EXIT_NOT_FOUND;
	case EACCES:
	case EPERM:
		return EXIT_DENIED;
	default:
		return EXIT_WRONG_STATE;
	}
}

static int serve(const struct concd_options *options)
{
	struct error err = ERROR_INIT;
	struct concd *concd;
	int r = concd_open(options, &concd, &err);

	if (r < 0)
		return complain(&err);
	r = concd_run(concd);
	concd_close(concd);
	return r < 0 ? EXIT_TASKS_FAILED : EXIT_OK;
}

int main(int argc, char *argv[])
{
	struct concd_options options = { .config_path = NULL };
	struct error err = ERROR_INIT;
	bool test = false, check = false;
	int c;

	/* Segments of results come and go with the jobs: without these each of them is mapped anew and filled with zeroes by
	 * the kernel. What is free for a while is given back in daemon/jobs/finish.c. */
	(void)mallopt(M_MMAP_THRESHOLD, MALLOC_MMAP_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, MALLOC_TRIM_BYTES);
	(void)mallopt(M_ARENA_MAX, 1); /* of others malloc_trim() leaves the end, a mebibyte or so each */
	argv[0] = program_invocation_short_name; /* getopt's complaints begin with it */
	while ((c = getopt_long(argc, argv, "c:tvVh", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			options.config_path = optarg;
			break;
		case 't':
			test = true;
			break;
		case OPTION_CHECK_STORE:
			check = true;
			break;
		case 'v':
			options.verbose = true;
			break;
		case 'V':
			(void)printf("concd %s\n", PACKAGE_VERSION);
			return EXIT_OK;
		case 'h':
			(void)fputs(usage, stdout);
			return EXIT_OK;
		default:
			(void)fputs("concd: 'concd --help' lists the options\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "concd: '%s' is not an option; concd takes no arguments\n", argv[optind]);
		return EXIT_USAGE;
	}
	if (test)
		return concd_check(&options, &err) < 0 ? complain(&err) : EXIT_OK;
	return check ? check_store(&options) : serve(&options);
}
