/* The gate: which transfers of a runner may go on now.
 *
 * A transfer passes three checks before it reaches libcurl, and waits where one says no:
 *
 *	enter ── per-host limit ── name known? ── look-ups in flight ── transfer ── leave
 *	          (its own queue     (one look-up    (a queue of all       │
 *	           for each host)     for all that    first askers)        └ resolved: as soon as the look-up has ended
 *	                              want the name)
 *
 * libcurl would start a thread for each look-up, also for many of one name. Numeric addresses and localhost need none.
 *
 * The gate also counts the connections of a host that may be idle, because asking libcurl for reuse costs time in
 * proportion to all connections of the host: it is asked only where one can be found.
 *
 * One gate per runner, used on its thread only; no locks.
 */
#ifndef CONCD_PLUGINS_DOWNLOADER_GATE_H
#define CONCD_PLUGINS_DOWNLOADER_GATE_H

#include <concd/plugin.h>

#include <stdbool.h>

struct gate;
struct gate_host;

struct gate *gate_new(uint32_t max_lookups); /* NULL: out of memory */
void gate_free(struct gate *gate); /* nobody may be in it; NULL is fine */

/* A transfer's stay in the gate: the caller's memory. Zeroed: not inside. */
struct gate_pass {
	struct gate *gate;
	struct gate_host *host;
	bool looking; /* this transfer is the one that looks the name up */
	bool fresh; /* no connection can be idle: make a new one without searching */
	bool forbid_reuse; /* there are so many connections that this one is closed afterwards */
};

/* Wait until a transfer to the host called `key` ("name:port") may start. per_host: at most so many at once, 0: no limit; named: the host has
 * to be looked up. 0; -ECANCELED; -ENOMEM; -EHOSTUNREACH: the name was being looked up for another transfer and is not
 * to be found. On failure the transfer is not inside. `resumer` is one of this task's. */
CONCD_YIELDS int gate_enter(struct gate *gate, struct concd_task *task, struct concd_resumer *resumer, const char *key,
			    bool named, uint32_t per_host, struct gate_pass *ret_pass);
/* The name's address is known. From libcurl's callbacks; may be called often. */
void gate_resolved(struct gate_pass *pass);

/* How a transfer ended, for those who wait. */
enum gate_end {
	GATE_END_KEPT, /* well, and its connection may be used again */
	GATE_END_CLOSED, /* its connection is closed, or nobody knows */
	GATE_END_UNRESOLVED, /* the name could not be looked up */
};
/* The transfer has ended. A pass that is not inside is fine. */
void gate_leave(struct gate_pass *pass, enum gate_end end);

#endif
