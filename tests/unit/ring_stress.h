/* What the two sides of test_ring_threads.c share: a world with a ring, its workers' threads, and what each knows. */
#ifndef TESTS_UNIT_RING_STRESS_H
#define TESTS_UNIT_RING_STRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "ring/ring.h"
#include "ring/worker_ring.h"

#define N_SLOTS 4
#define N_TASKS 30000u
#define N_BIG_EVERY 499u /* tasks with an input for the arena */
#define N_LONG_EVERY 307u /* tasks with a result in fragments */
#define BIG_BYTES 5000
#define LONG_BYTES 20000
#define MAX_HELD 64
#define HANG_MS 20000

#define CHECK(what) \
	do { \
		if (!(what)) { \
			(void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #what); \
			abort(); \
		} \
	} while (0)

struct slot {
	pthread_t thread;
	struct worker_ring *worker; /* opened and closed by the daemon's thread, before and after its worker's life */
	struct stress *stress;
	uint32_t runner;
	uint32_t max_held;
	uint32_t death_in; /* points from now; 0: lives on */
	uint64_t seed;
	int wake_fd; /* odd runners sleep on it */
	_Atomic bool dead;
};

struct range {
	uint32_t first, count;
};

struct stress {
	struct ring *ring;
	struct slot slots[N_SLOTS];
	int death_fd; /* the pidfd of this world */
	_Atomic bool stop;
	_Atomic uint8_t running[N_TASKS]; /* set by whoever has begun the task */
	/* The daemon's. */
	uint64_t seed;
	uint8_t out[N_TASKS], done[N_TASKS];
	uint32_t n_done, n_deaths, n_back, n_lost;
	struct range ranges[N_TASKS]; /* to be handed out */
	uint32_t n_ranges;
	struct range chunks[64];
};

static inline uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline uint32_t below(uint64_t *seed, uint32_t n)
{
	return (uint32_t)(next_random(seed) >> 33) % n;
}

static inline size_t result_len(uint32_t task)
{
	return task % N_LONG_EVERY == 0 ? LONG_BYTES : 4 + task % 50;
}

/* ---- One address for every mapping of the segment (ring_one_mapping.c) ---- */

uint8_t *one_mapping(void); /* where the segment is */
uint32_t one_mapping_shared(void); /* how often a second user got the first one's address */

/* A worker's thread (ring_stress_worker.c): takes tasks and gives results until it dies or the world stops. */
void *stress_worker_main(void *slot);

#endif
