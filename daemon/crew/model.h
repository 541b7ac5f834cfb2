/* The models: a table of shapes. Adding a model is adding a row. */
#ifndef CONCD_CREW_MODEL_H
#define CONCD_CREW_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct workload;

struct shape {
	uint32_t processes, threads, coroutines; /* threads in each process, coroutines on each thread */
};

#define SHAPE_TEXT_BYTES 36
void shape_format(const struct shape *shape, char ret_text[SHAPE_TEXT_BYTES]); /* "2x1x500" */
int shape_parse(const char *text, struct shape *ret_shape, struct error *err); /* 0 or -EINVAL (bad-shape) */
static inline uint64_t shape_workers(const struct shape *shape)
{
	return (uint64_t)shape->processes * shape->threads * shape->coroutines;
}

struct model {
	const char *name;
	const char *shape_text; /* "1 x 1 x N" */
	const char *summary; /* one line: what it promises */
	const char *lives; /* crew of the workload, or dedicated */
	bool dedicated; /* a crew of the job's own */
	bool in_order; /* one after another, jobs in order of acceptance */
	uint32_t default_workers; /* 0: number of processors */
	struct shape (*shape_for)(uint32_t workers);
};

size_t models_count(void);
const struct model *models_at(size_t i); /* sync async thread pool process auto */
const struct model *model_find(const char *name); /* NULL: none */

/* What a submission asks for, and what it gets. */
struct model_request {
	const char *model; /* NULL: the stanza's */
	const char *shape; /* "PxTxC"; NULL: by the model. Together with a model it must be one the model allows */
	uint32_t workers; /* -j; 0: auto */
	bool dedicated;
};

struct model_choice {
	const struct model *model; /* never auto */
	bool by_auto;
	const char *reason; /* static text: why auto took it; "" where it was asked for */
	struct shape crew_shape; /* of the crew that serves the job */
	uint32_t workers; /* tasks of the job at once: at most shape_workers(crew_shape) */
	bool dedicated;
	bool in_order;
};

/* Resolve a request for a workload. The crew has the shape of the stanza (or the model's default); a workers above its
 * size makes a crew of that shape, below it limits the job inside. 0, or -EINVAL with code: no-such-model, bad-shape,
 * bad-workers (sync with more than one worker; over max_workers), not-thread-safe (names `process`). Until comparison
 * exists auto is async for I/O-bound, pool for CPU-bound and mixed where the plugin is thread-safe, else process. */
int model_choose(const struct workload *workload, const struct model_request *request, uint32_t n_processors,
		 uint32_t max_workers, struct model_choice *ret_choice, struct error *err);

#endif
