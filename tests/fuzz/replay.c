/* Runs a fuzzer without libFuzzer: every seed of tests/fuzz/corpus/NAME, NAME being that of the program without its
 * "fuzz_", then the same MUTATIONS of them each time. What fails is left as NAME.failed; with names of files as
 * arguments only these are run. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/io.h"

#define MUTATIONS 4000
#define MAX_SEEDS 256
#define MAX_BYTES 4096 /* of a mutated input */

struct seeds {
	struct buffer data[MAX_SEEDS];
	size_t n;
};

/* What is being run, for the handler of a failure. */
static struct {
	const uint8_t *data;
	size_t size;
	char file[64];
} current;

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

static size_t below(size_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (size_t)(random_state >> 16) % n;
}

/* Async-signal-safe. */
static void keep_failed(void)
{
	int fd = open(current.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	(void)!write(fd, current.data, current.size); /* nowhere to complain to */
	(void)close(fd); /* as above */
}

static void on_fatal(int number)
{
	keep_failed();
	(void)signal(number, SIG_DFL); /* cannot fail for a signal that was just handled */
	(void)raise(number);
}

/* The sanitizers end the process in their own way, and tell it here. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch(const char *name)
{
	static const int fatal[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM, SIGTERM };

	(void)snprintf(current.file, sizeof(current.file), "%s.failed", name);
	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		(void)signal(fatal[i], on_fatal); /* right numbers */
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(keep_failed);
}

static void run_one(const uint8_t *data, size_t size)
{
	uint8_t *copy = fuzz_copy(data, size);

	current.data = copy;
	current.size = size;
	(void)LLVMFuzzerTestOneInput(copy, size); /* always 0 */
	free(copy);
}

/* One change of b, which has room for MAX_BYTES. */
static void mutate(struct buffer *b, const struct seeds *seeds)
{
	static const uint8_t telling[] = { 0, 1, 0x7f, 0x80, 0xff, '\n', '\r', ' ', '"', '\\', '%', '0', '9', '-', '{' };
	size_t at = below(b->len + 1), n = 1 + below(8);
	const struct buffer *other = &seeds->data[below(seeds->n)];

	switch (below(8)) {
	case 0: /* flip */
		if (at < b->len)
			b->data[at] ^= (uint8_t)(1u << below(8));
		break;
	case 1:
		if (at < b->len)
			b->data[at] = telling[below(sizeof(telling))];
		break;
	case 2:
		if (at < b->len)
			b->data[at] = (uint8_t)below(256);
		break;
	case 3: /* cut out */
		n = n < b->len - at ? n : b->len - at;
		memmove(b->data + at, b->data + at + n, b->len - at - n);
		b->len -= n;
		break;
	case 4: /* put in */
		if (b->len + n > MAX_BYTES)
			break;
		memmove(b->data + at + n, b->data + at, b->len - at);
		memset(b->data + at, telling[below(sizeof(telling))], n);
		b->len += n;
		break;
	case 5: /* repeat */
		n = n < b->len - at ? n : b->len - at;
		if (b->len + n > MAX_BYTES)
			break;
		memmove(b->data + at + n, b->data + at, b->len - at);
		b->len += n;
		break;
	case 6: /* go on as another */
		n = other->len > 0 ? below(other->len) : 0;
		b->len = at;
		while (n < other->len && b->len < MAX_BYTES)
			b->data[b->len++] = other->data[n++];
		break;
	default:
		b->len = below(4) == 0 ? at : b->len;
	}
}

static void run_mutations(const struct seeds *seeds)
{
	_cleanup_buffer_ struct buffer b = BUFFER_INIT;

	FUZZ_CHECK(buffer_reserve(&b, MAX_BYTES) == 0);
	for (size_t i = 0; i < MUTATIONS; i++) {
		const struct buffer *seed = &seeds->data[below(seeds->n)];

		b.len = seed->len < MAX_BYTES ? seed->len : MAX_BYTES;
		if (b.len > 0)
			memcpy(b.data, seed->data, b.len);
		for (size_t n = 1 + below(6); n > 0; n--)
			mutate(&b, seeds);
		run_one(b.data, b.len);
	}
}

static int load_file(const char *path, struct seeds *seeds)
{
	int r = seeds->n == MAX_SEEDS ? -ENOBUFS : io_read_file(path, 1u << 20, &seeds->data[seeds->n]);

	if (r < 0)
		(void)fprintf(stderr, "%s: %s\n", path, strerror(-r));
	else
		seeds->n++;
	return r;
}

static int is_seed(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int load_corpus(const char *name, struct seeds *seeds)
{
	const char *top = getenv("top_srcdir");
	struct dirent **entries = NULL;
	char dir[512], path[1024];
	int n, r = 0;

	(void)snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", top ? top : ".", name); /* a cut one is not there */
	n = scandir(dir, &entries, is_seed, alphasort);
	if (n < 0)
		(void)fprintf(stderr, "%s: %s\n", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name); /* fits */
		if (r == 0)
			r = load_file(path, seeds);
		free(entries[i]);
	}
	free(entries);
	return n > 0 ? r : -ENOENT;
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
	static struct seeds seeds;
	int r = 0;

	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	watch(name);
	for (int i = 1; i < argc && r == 0; i++)
		r = load_file(argv[i], &seeds);
	if (argc == 1)
		r = load_corpus(name, &seeds);
	if (r < 0)
		return EXIT_FAILURE;
	for (size_t i = 0; i < seeds.n; i++)
		run_one(seeds.data[i].data, seeds.data[i].len);
	if (argc == 1)
		run_mutations(&seeds);
	(void)printf("1..1\nok 1 - %s holds for %zu seeds and %d mutations\n", name, seeds.n, argc == 1 ? MUTATIONS : 0);
	for (size_t i = 0; i < seeds.n; i++)
		buffer_fini(&seeds.data[i]);
	return EXIT_SUCCESS;
}
