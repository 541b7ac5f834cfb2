/* One address for every mapping of a ring's segment. A sanitizer goes by addresses, so both sides of a ring must share one
 * mapping: mmap() and munmap() are replaced at link time (-Wl,--wrap). */
#include <sys/mman.h>
#include <sys/stat.h>

#include "ring_stress.h"

void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t len);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *addr, size_t len);


static pthread_mutex_t mapping_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	void *at;
	ino_t inode;
	uint32_t users, shared; /* now, and how often a second user got the first one's address */
} mapping;

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	struct stat st = { .st_ino = 0 };
	void *at;

	if (fd < 0 || fstat(fd, &st) < 0)
		return __real_mmap(addr, len, prot, flags, fd, offset);
	(void)pthread_mutex_lock(&mapping_lock);
	if (mapping.users > 0 && mapping.inode == st.st_ino) {
		mapping.shared++;
	} else {
		CHECK(mapping.users == 0);
		mapping.at = __real_mmap(addr, len, prot, flags, fd, offset);
		mapping.inode = st.st_ino;
	}
	mapping.users++;
	at = mapping.at;
	(void)pthread_mutex_unlock(&mapping_lock);
	return at;
}

int __wrap_munmap(void *addr, size_t len)
{
	bool ours;

	(void)pthread_mutex_lock(&mapping_lock);
	ours = mapping.users > 0 && addr == mapping.at;
	if (ours && --mapping.users > 0) {
		(void)pthread_mutex_unlock(&mapping_lock);
		return 0;
	}
	(void)pthread_mutex_unlock(&mapping_lock);
	return __real_munmap(addr, len);
}

uint8_t *one_mapping(void)
{
	return mapping.at;
}

uint32_t one_mapping_shared(void)
{
	return mapping.shared;
}
