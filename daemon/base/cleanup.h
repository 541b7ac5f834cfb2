/* Resources that end with their scope, and giving one away so that the reader sees it.
 *
 *	_cleanup_free_ char *text = NULL;
 *	...
 *	return take_ptr(text);		ownership moves to the caller
 */
#ifndef CONCD_BASE_CLEANUP_H
#define CONCD_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* nothing written through it is unaccounted for */
}

#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)

/* The pointer's value; the variable is NULL afterwards. */
#define take_ptr(p) \
	__extension__({ \
		__typeof__(p) take_ptr_value = (p); \
		(p) = NULL; \
		take_ptr_value; \
	})

/* The descriptor; the variable is -1 afterwards. */
static inline int take_fd(int *fd)
{
	int value = *fd;

	*fd = -1;
	return value;
}

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
