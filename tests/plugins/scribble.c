/* scribble: overwrites what its process shares with the daemon.
 *
 * On input "ring" the completion rings and their tails, on "all" the whole segment, and the rings of other processes too: it
 * makes them accessible first. On "wild" it writes to those as a wild pointer would. Else it returns its input. The
 * segment is found as any code in the process could find it: by its name in /proc/self/maps. Afterwards the task goes
 * on as if nothing had happened.
 */
#include <concd/plugin.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GARBAGE_BYTE 0xa5
#define PAGE 4096u

/* The beginning of the segment, as daemon/ring/layout.h has it. */
struct geometry {
	uint32_t magic, version, n_runners, n_chunks, ring_bytes, n_big, n_entries, reserved;
	uint64_t total_bytes;
};

/* The first mapping of the segment with these rights. 0 where there is none. */
static size_t find_mapping(const char *rights, unsigned char **ret_start)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512], has[8];
	size_t len = 0;

	if (maps == NULL)
		return 0;
	while (len == 0 && fgets(line, sizeof(line), maps) != NULL) {
		if (strstr(line, "/memfd:concd-ring") == NULL || sscanf(line, "%lx-%lx %4s", &start, &end, has) != 3 ||
		    strncmp(has, rights, 2) != 0)
			continue;
		*ret_start = (unsigned char *)(uintptr_t)start;
		len = end - start;
	}
	fclose(maps);
	return len;
}

/* All of the segment. 0 where there is none. */
static size_t find_segment(unsigned char **ret_start)
{
	struct geometry g;

	if (find_mapping("rw", ret_start) == 0)
		return 0;
	memcpy(&g, *ret_start, sizeof(g));
	return g.total_bytes;
}

/* Garbage in the completion rings of all runners, and their tails moved on, so that the daemon reads it. */
static void scribble_rings(unsigned char *segment)
{
	struct geometry g;
	size_t rings, runners;

	memcpy(&g, segment, sizeof(g));
	rings = g.total_bytes - (size_t)g.n_big * ((1u << 20) + PAGE) - (size_t)g.n_runners * g.ring_bytes;
	runners = PAGE + ((size_t)g.n_entries * sizeof(uint64_t) + PAGE - 1) / PAGE * PAGE;
	memset(segment + rings, GARBAGE_BYTE, (size_t)g.n_runners * g.ring_bytes);
	for (uint32_t i = 0; i < g.n_runners; i++) {
		unsigned char *place = segment + runners + (size_t)i * 256;
		uint64_t far = UINT64_C(1) << 40;

		memcpy(place, &far, sizeof(far)); /* the precise tail */
		memcpy(place + 64, &far, sizeof(far)); /* the advertised one */
	}
}

/* Without a file every time; with one only by whoever makes it. */
static int is_first(const char *path)
{
	int fd = path[0] != '\0' ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666) : -1;

	if (fd >= 0)
		close(fd);
	return path[0] == '\0' || fd >= 0;
}

static int run(struct concd_task *task)
{
	size_t len, bytes;
	const char *input = concd_input(task, &len), *once;
	unsigned char *segment = NULL, *others = NULL;
	int all = len == 3 && memcmp(input, "all", 3) == 0, wild = len == 4 && memcmp(input, "wild", 4) == 0, r;

	r = concd_param_text(task, "once", &once);
	if (r < 0)
		return r;
	if ((!all && !wild && !(len == 4 && memcmp(input, "ring", 4) == 0)) || !is_first(once))
		return concd_result(task, input, len);
	bytes = find_segment(&segment);
	if (bytes <= PAGE)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "there is no segment in /proc/self/maps");
	if (!wild && mprotect(segment, bytes, PROT_READ | PROT_WRITE) < 0)
		return concd_fail(task, CONCD_FAIL_PERMANENT, "its segment cannot be made accessible");
	if (wild) {
		bytes = find_mapping("--", &others);
		memset(others, GARBAGE_BYTE, bytes); /* where there are none nothing happens, and it does not die */
	}
	if (all)
		memset(segment, GARBAGE_BYTE, bytes);
	else if (!wild)
		scribble_rings(segment);
	return concd_result(task, input, len);
}

static const struct concd_param params[] = {
	{.name = "once", .type = CONCD_PARAM_TEXT, .help = "file that is made by the first attempt; later ones do no harm"},
};

static const struct concd_plugin plugin = {
	CONCD_PLUGIN_HEADER,
	.name = "scribble",
	.version = "1.0",
	.summary = "test: writes garbage into the rings",
	.kind = CONCD_KIND_CPU,
	.flags = CONCD_THREAD_SAFE | CONCD_IDEMPOTENT | CONCD_DETERMINISTIC,
	.n_params = sizeof(params) / sizeof(params[0]),
	.params = params,
	.run = run,
};
CONCD_PLUGIN(plugin)
