/* Frames of a result stream. */
#include "frames.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "talk.h"

void frames_init(struct frames *frames, const struct frames_ops *ops, void *ctx)
{
	*frames = (struct frames){ .ops = ops, .ctx = ctx };
}

void frames_fini(struct frames *frames)
{
	buffer_fini(&frames->line);
}

void frames_restart(struct frames *frames)
{
	frames->line.len = 0;
	frames->left = 0;
}

static int on_line(struct frames *frames, const void *line, size_t len, struct error *err)
{
	_cleanup_json_ json_t *json = json_loadb(line, len, TALK_JSON_FLAGS, NULL);
	const char *type = member_text(json, "type", NULL);
	const json_t *bytes = json_object_get(json, "bytes");
	int r;

	if ((!type || strcmp(type, "error") == 0) && json_is_object(json_object_get(json, "error")))
		return talk_refused(json, 0, err);
	if (!type)
		return error_set(err, -EPROTO, "internal", "the result stream has a line that is no frame");
	if (strcmp(type, "results") != 0)
		return frames->ops->on_frame(frames->ctx, type, json);
	if (!json_is_integer(bytes) || json_integer_value(bytes) < 0)
		return error_set(err, -EPROTO, "internal", "a frame of results does not say how many bytes it has");
	frames->left = member_count(json, "bytes");
	r = frames->ops->on_results(frames->ctx, member_count(json, "count"), frames->left);
	if (r == 0 && frames->left == 0)
		r = frames->ops->on_results_end(frames->ctx);
	return r;
}

static int feed_bytes(struct frames *frames, const uint8_t **data, const uint8_t *end)
{
	size_t n = (size_t)(end - *data);
	int r;

	if (n > frames->left)
		n = (size_t)frames->left;
	frames->left -= n;
	r = frames->ops->on_bytes(frames->ctx, *data, n);
	*data += n;
	if (r == 0 && frames->left == 0)
		r = frames->ops->on_results_end(frames->ctx);
	return r;
}

static int feed_line(struct frames *frames, const uint8_t **data, const uint8_t *end, struct error *err)
{
	const uint8_t *lf = memchr(*data, '\n', (size_t)(end - *data)), *from = *data;
	size_t n = (size_t)((lf ? lf : end) - from);
	int r;

	*data = lf ? lf + 1 : end;
	if (lf && frames->line.len == 0)
		return on_line(frames, from, n, err);
	if (frames->line.len + n > FRAMES_MAX_LINE_BYTES)
		return error_set(err, -EPROTO, "internal", "the result stream has a line of more than %u bytes",
				 FRAMES_MAX_LINE_BYTES);
	if (buffer_add(&frames->line, from, n) < 0)
		return -ENOMEM;
	if (!lf)
		return 0;
	r = on_line(frames, frames->line.data, frames->line.len, err);
	frames->line.len = 0;
	return r;
}

int frames_feed(struct frames *frames, const uint8_t *data, size_t len, struct error *err)
{
	const uint8_t *end = data + len;

	while (data < end) {
		int r = frames->left > 0 ? feed_bytes(frames, &data, end) : feed_line(frames, &data, end, err);

		if (r < 0)
			return r;
	}
	return 0;
}
