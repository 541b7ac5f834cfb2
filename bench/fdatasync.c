/* fdatasync: the yardstick for durability: what this disk takes to keep 4 KiB.
 *
 *	fdatasync FILE N	N times: write 4 KiB into a preallocated file, fdatasync; microseconds: median, 99th percentile, mean
 *
 * The file is made, and removed at the end. Its blocks are written once beforehand, so that no size or extent changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

#define BLOCK 4096
#define BLOCKS 256

static void write_block(int fd, const char *block, uint64_t i)
{
	if (pwrite(fd, block, BLOCK, (off_t)(i % BLOCKS * BLOCK)) != BLOCK)
		bench_die("fdatasync: write: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	static char block[BLOCK];
	double *us, mean_us = 0;
	uint64_t n;
	int fd;

	if (argc != 3)
		bench_die("usage: fdatasync FILE N");
	n = bench_number(argv[2], "N", 1, 1000000);
	us = bench_alloc(n, sizeof(*us));
	fd = open(argv[1], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		bench_die("fdatasync: %s: %s", argv[1], strerror(errno));
	(void)unlink(argv[1]); /* it stays until it is closed */
	for (uint64_t i = 0; i < BLOCKS; i++)
		write_block(fd, block, i);
	if (fsync(fd) < 0)
		bench_die("fdatasync: fsync: %s", strerror(errno));
	for (uint64_t i = 0; i < n; i++) {
		int64_t start_ns = bench_now_ns();

		memset(block, (int)(i & 0x7f), sizeof(block));
		write_block(fd, block, i);
		if (fdatasync(fd) < 0)
			bench_die("fdatasync: %s", strerror(errno));
		us[i] = (double)(bench_now_ns() - start_ns) / 1000;
		mean_us += us[i] / (double)n;
	}
	(void)printf("%.2f %.2f %.2f\n", bench_share(us, n, 0.5), bench_share(us, n, 0.99), mean_us);
	close(fd);
	free(us);
	return 0;
}
