/* Stacks: one reserved mapping, guarded stack by stack. */
#include "stack.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Linux 6.13; the C library's headers of that time do not have it. */
#define GUARD_INSTALL 102

#define CANARY_WORDS 8
#define CANARY UINT64_C(0x5ca1ab1e0ddba115)
#define DEFAULT_MAX_MAP_COUNT 65530

/* Tops of stacks are staggered by cache lines: all at the same offset of their page would share a few sets of the
 * first-level cache. */
#define STAGGER_STEPS 16u
#define STAGGER_BYTES 64u

struct stack_slab {
	uint8_t *low;
	size_t bytes;
	size_t stack_bytes;
	size_t stride;
	uint32_t count;
	uint8_t *guard; /* per stack: 0 not handed out yet, else enum stack_guard + 1 */
};

enum probe { PROBE_UNKNOWN, PROBE_NO, PROBE_YES };

/* What the process knows of its kernel. Relaxed: each is a number by itself, and a second probe finds the same. */
static _Atomic int guard_probe;
static _Atomic int64_t mprotect_left = INT64_MIN; /* INT64_MIN: not read yet */

bool stack_has_guard_madvise(void)
{
	int known = atomic_load_explicit(&guard_probe, memory_order_relaxed);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	if (known != PROBE_UNKNOWN)
		return known == PROBE_YES;
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return false;
	known = madvise(p, page, GUARD_INSTALL) == 0 ? PROBE_YES : PROBE_NO;
	(void)munmap(p, page); /* cannot fail for what was just mapped */
	atomic_store_explicit(&guard_probe, known, memory_order_relaxed);
	return known == PROBE_YES;
}

void stack_pretend(bool guard_madvise, uint32_t mprotect_guards)
{
	atomic_store_explicit(&guard_probe, guard_madvise ? PROBE_YES : PROBE_NO, memory_order_relaxed);
	atomic_store_explicit(&mprotect_left, mprotect_guards, memory_order_relaxed);
}

/* A quarter of the mappings that a process may have: each guard splits one in two. */
static int64_t read_mprotect_budget(void)
{
	long max = DEFAULT_MAX_MAP_COUNT;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

	if (file) {
		if (fscanf(file, "%ld", &max) != 1)
			max = DEFAULT_MAX_MAP_COUNT;
		(void)fclose(file); /* only read */
	}
	return max / 4;
}

/* mprotect_left, read where it is not known yet. */
static void know_mprotect_budget(void)
{
	int64_t unknown = INT64_MIN;

	if (atomic_load_explicit(&mprotect_left, memory_order_relaxed) == INT64_MIN)
		(void)atomic_compare_exchange_strong_explicit(&mprotect_left, &unknown, read_mprotect_budget(),
							      memory_order_relaxed, memory_order_relaxed);
}

uint64_t stack_unguarded(uint64_t stacks)
{
	int64_t left;

	if (stack_has_guard_madvise())
		return 0;
	know_mprotect_budget();
	left = atomic_load_explicit(&mprotect_left, memory_order_relaxed);
	return left <= 0 ? stacks : stacks > (uint64_t)left ? stacks - (uint64_t)left : 0;
}

static bool take_mprotect_guard(void)
{
	know_mprotect_budget();
	return atomic_fetch_sub_explicit(&mprotect_left, 1, memory_order_relaxed) > 0;
}

size_t stack_bytes_for(uint32_t coroutines, size_t asked)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (asked == 0)
		return coroutines == 1 ? STACK_BYTES_ONE : coroutines <= STACK_FEW ? STACK_BYTES_FEW : STACK_BYTES_MANY;
	if (asked < STACK_MIN_BYTES)
		asked = STACK_MIN_BYTES;
	return (asked + page - 1) / page * page;
}

uint64_t stack_slab_address_bytes(uint32_t count, size_t stack_bytes)
{
	return (uint64_t)count * (stack_bytes + STACK_GUARD_BYTES + 1);
}

int stack_slab_open(uint32_t count, size_t stack_bytes, struct stack_slab **ret_slab)
{
	struct stack_slab *slab = calloc(1, sizeof(*slab));

	if (!slab)
		return -ENOMEM;
	slab->low = MAP_FAILED;
	slab->count = count;
	slab->stack_bytes = stack_bytes;
	slab->stride = stack_bytes + STACK_GUARD_BYTES;
	if (__builtin_mul_overflow(slab->stride, (size_t)count, &slab->bytes))
		goto fail;
	slab->guard = calloc(count, 1);
	if (!slab->guard)
		goto fail;
	slab->low = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (slab->low == MAP_FAILED)
		goto fail;
	/* A huge page under 32 sleeping coroutines would be 2 MiB instead of 128 KiB. Where the advice is unknown, so
	 * are huge pages. */
	(void)madvise(slab->low, slab->bytes, MADV_NOHUGEPAGE);
	*ret_slab = slab;
	return 0;
fail:
	stack_slab_close(slab);
	return -ENOMEM;
}

void stack_slab_close(struct stack_slab *slab)
{
	if (!slab)
		return;
	if (slab->low != MAP_FAILED)
		(void)munmap(slab->low, slab->bytes); /* cannot fail for a whole mapping */
	free(slab->guard);
	free(slab);
}

static enum stack_guard install_guard(uint8_t *guard_low)
{
	uint64_t *canary = (uint64_t *)(void *)(guard_low + STACK_GUARD_BYTES);

	if (stack_has_guard_madvise() && madvise(guard_low, STACK_GUARD_BYTES, GUARD_INSTALL) == 0)
		return STACK_GUARD_MADVISE;
	if (take_mprotect_guard() && mprotect(guard_low, STACK_GUARD_BYTES, PROT_NONE) == 0)
		return STACK_GUARD_MPROTECT;
	for (int i = 0; i < CANARY_WORDS; i++)
		canary[i] = CANARY;
	return STACK_GUARD_CANARY;
}

static uint8_t *guard_low_of(const struct stack_slab *slab, uint32_t i)
{
	return slab->low + slab->stride * i;
}

void *stack_get(struct stack_slab *slab, uint32_t i, size_t *ret_bytes)
{
	uint8_t *guard_low = guard_low_of(slab, i);

	if (slab->guard[i] == 0)
		slab->guard[i] = (uint8_t)(install_guard(guard_low) + 1);
	*ret_bytes = slab->stack_bytes - i % STAGGER_STEPS * STAGGER_BYTES;
	return guard_low + STACK_GUARD_BYTES;
}

enum stack_guard stack_guard_of(const struct stack_slab *slab, uint32_t i)
{
	return (enum stack_guard)(slab->guard[i] - 1);
}

bool stack_canary_ok(const struct stack_slab *slab, uint32_t i)
{
	const uint64_t *canary;

	if (slab->guard[i] != STACK_GUARD_CANARY + 1)
		return true;
	canary = (const uint64_t *)(const void *)(guard_low_of(slab, i) + STACK_GUARD_BYTES);
	for (int k = 0; k < CANARY_WORDS; k++)
		if (canary[k] != CANARY)
			return false;
	return true;
}

bool stack_in_guard(const struct stack_slab *slab, uint32_t i, const void *address)
{
	const uint8_t *low = guard_low_of(slab, i);

	return (const uint8_t *)address >= low && (const uint8_t *)address < low + STACK_GUARD_BYTES;
}

size_t stack_slab_stack_bytes(const struct stack_slab *slab)
{
	return slab->stack_bytes;
}
