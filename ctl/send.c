/* send: a message to a running task. */
#include "ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "protocol.h"
#include "select.h"
#include "talk.h"

int command_send(struct ctl *ctl, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	struct iovec body = { .iov_base = (void *)(uintptr_t)ctl->args.words[1], .iov_len = strlen(ctl->args.words[1]) };
	uint64_t id, task = 0;
	char url[96];
	int r = select_job(ctl, ctl->args.words[0], &id, err);

	if (r == 0)
		r = args_count(&ctl->args, "task", 0, UINT64_MAX, &task, err);
	if (r < 0)
		return r;
	if (args_text(&ctl->args, "task"))
		(void)snprintf(url, sizeof(url), "/v1/jobs/%" PRIu64 "/send?task=%" PRIu64, id, task);
	else
		(void)snprintf(url, sizeof(url), "/v1/jobs/%" PRIu64 "/send", id);
	r = talk_document(ctl, "POST", url, &body, 1, TALK_TIMEOUT_MS, &doc, err);
	if (r < 0)
		return r;
	if (ctl->json)
		return document_print(&doc, err);
	if (!ctl->quiet)
		(void)printf("job %" PRIu64 ", task %" PRIu64 ": sent\n", id, member_count(doc.json, "task"));
	return EXIT_OK;
}
