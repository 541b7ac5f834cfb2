/* A store in a directory of its own, with a loop, for the tests of the store. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/loop.h"
#include "store/segment.h"
#include "store/store.h"

#define TEST_DIR_BYTES 64
#define TEST_PATH_BYTES 96

struct fixture {
	char dir[TEST_DIR_BYTES];
	char path[TEST_PATH_BYTES];
	struct loop *loop;
	struct store *store;
	int n_waiting; /* ops and reads submitted through the fixture and not answered */
};

struct test_op {
	struct store_op op;
	struct fixture *f;
	int status;
	bool done;
	int order; /* 1: answered first */
};

struct test_read {
	struct store_read read;
	struct fixture *f;
	int status;
};

int fixture_setup(void **state); /* cmocka: makes the directory, opens loop and store */
int fixture_teardown(void **state);
void fixture_dir(struct fixture *f); /* the directory only */
void fixture_remove_dir(struct fixture *f);
void fixture_open(struct fixture *f); /* loop and store */
void fixture_close(struct fixture *f);
void fixture_reopen(struct fixture *f);

void submit(struct fixture *f, struct test_op *op); /* only queue */
void submit_late(struct fixture *f, struct test_op *op);
void settle(struct fixture *f); /* run the loop until everything is answered */
int run_op(struct fixture *f, struct test_op *op); /* queue and wait; its status */
int run_read(struct fixture *f, struct test_read *read);

/* Ops, filled in. Arrays they point to must stay. */
struct test_op job_add(uint64_t id, const char *submission);
struct test_op job_add_inputs(uint64_t id, const char *submission, const struct store_input *inputs, size_t n,
			      uint64_t total);
struct test_op op_of(enum store_op_type type, uint64_t job);

/* A full segment of count tasks whose results are their numbers. */
struct segment *numbers_segment(uint64_t first, uint32_t count);
void assert_numbers(const struct segment *segment, uint64_t first, uint32_t count);

#endif
