/* A control server on a private socket over fake jobs, and raw clients of it, all in one thread: whoever waits for bytes turns
 * the loop meanwhile. */
#ifndef CONCD_TESTS_CONTROL_RIG_H
#define CONCD_TESTS_CONTROL_RIG_H

#include "base/buffer.h"
#include "config.h"
#include "control/control.h"
#include "fake_jobs.h"

struct rig {
	char dir[32];
	struct loop *loop;
	struct config config;
	struct jobs *jobs;
	struct control *control;
	unsigned int shutdowns;
};

struct reply {
	int status;
	char *head; /* NUL-terminated */
	struct buffer body; /* decoded, NUL behind it */
	bool cut; /* the connection closed before the answer was whole */
};

int rig_setup(void **state);
int rig_teardown(void **state);

void rig_turn(struct rig *rig); /* run what is ready */
int rig_connect(struct rig *rig);
void rig_send(struct rig *rig, int fd, const void *data, size_t len);
void rig_send_text(struct rig *rig, int fd, const char *text);
void rig_receive(struct rig *rig, int fd, struct reply *ret_reply); /* one whole answer; fails the test after 20 s */
bool rig_closed(struct rig *rig, int fd); /* waits for the other side's close: true; false: bytes came instead */
void reply_fini(struct reply *reply);

/* A request on a connection of its own. */
void rig_ask(struct rig *rig, const char *method, const char *target, const void *body, size_t len,
	     struct reply *ret_reply);
/* The same, checking status and that the answer has `word` in it. */
void rig_expect(struct rig *rig, const char *method, const char *target, const char *body, int status,
		const char *word);

#endif
