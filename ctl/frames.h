/* The frames of a result stream (PROTOCOL.md), taken apart as they arrive, in whatever pieces they arrive. */
#ifndef CONCD_CTL_FRAMES_H
#define CONCD_CTL_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buffer.h"

struct error;

#define FRAMES_MAX_LINE_BYTES (16u << 20) /* a failed task has its input in it, escaped */

/* What came. None may be NULL. `json` is valid during the call. A result other than 0 ends frames_feed() with it. */
struct frames_ops {
	int (*on_results)(void *ctx, uint64_t count, uint64_t bytes); /* so many results follow in so many bytes */
	int (*on_bytes)(void *ctx, const uint8_t *data, size_t len); /* some of them */
	int (*on_results_end)(void *ctx); /* all of them have come */
	int (*on_frame)(void *ctx, const char *type, const json_t *json); /* any other frame */
};

struct frames {
	const struct frames_ops *ops;
	void *ctx;
	struct buffer line; /* the beginning of a line whose end has not come */
	uint64_t left; /* of the bytes of a results frame */
};

void frames_init(struct frames *frames, const struct frames_ops *ops, void *ctx);
void frames_fini(struct frames *frames);
/* Forget what was half received: a new stream begins. */
void frames_restart(struct frames *frames);

/* 0; -EPROTO with words for what is no frame; -ENOMEM; what a callback returned. */
int frames_feed(struct frames *frames, const uint8_t *data, size_t len, struct error *err);

#endif
