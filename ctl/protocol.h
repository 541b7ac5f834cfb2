/* What both ends of the control socket must agree on. PROTOCOL.md is the text; `make check` holds the two together. */
#ifndef CONCD_CTL_PROTOCOL_H
#define CONCD_CTL_PROTOCOL_H

#define PROTOCOL_VERSION 1
#define PROTOCOL_SCHEMA 1

#define PROTOCOL_MAX_BODY_BYTES (2u << 20)
#define PROTOCOL_MAX_HEADER_BYTES (16u << 10)
#define PROTOCOL_MAX_INPUT_BYTES (1u << 20)
#define PROTOCOL_PIECE_BYTES (1u << 20) /* inputs that a client puts into one request */
#define PROTOCOL_MAX_SUBMISSION_BYTES 128
#define PROTOCOL_MAX_LABEL_BYTES 128
#define PROTOCOL_MIN_PRIORITY (-100)
#define PROTOCOL_MAX_PRIORITY 100
#define PROTOCOL_MAX_MESSAGE_BYTES (64u << 10) /* sent to a task */
/* The head of packed outcomes in a stream of JSON lines begins so, and no line does. */
#define PROTOCOL_PACKED_BEGIN "{\"schema\":1,\"type\":\"packed\""

#define SYSTEM_SOCKET "/run/concd/control.sock"

/* Exit statuses of concctl. */
enum exit_status {
	EXIT_OK = 0,
	EXIT_TASKS_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_WRONG_STATE = 3,
	EXIT_NOT_FOUND = 4,
	EXIT_UNREACHABLE = 69,
	EXIT_BUSY = 75,
	EXIT_DENIED = 77,
	EXIT_BAD_CONFIG = 78,
	EXIT_TIMED_OUT = 124,
	EXIT_INTERRUPTED = 130,
};

/* Every error code with its HTTP status and exit status: X(code, http, exit). */
#define PROTOCOL_ERRORS(X) \
	X("bad-request", 400, EXIT_USAGE) \
	X("no-such-request", 404, EXIT_USAGE) \
	X("bad-method", 405, EXIT_USAGE) \
	X("no-such-workload", 404, EXIT_NOT_FOUND) \
	X("no-such-model", 404, EXIT_NOT_FOUND) \
	X("no-such-job", 404, EXIT_NOT_FOUND) \
	X("no-such-task", 404, EXIT_NOT_FOUND) \
	X("bad-parameter", 400, EXIT_USAGE) \
	X("bad-shape", 400, EXIT_USAGE) \
	X("bad-workers", 400, EXIT_USAGE) \
	X("not-thread-safe", 400, EXIT_USAGE) \
	X("bad-selector", 400, EXIT_USAGE) \
	X("wrong-state", 409, EXIT_WRONG_STATE) \
	X("wrong-offset", 409, EXIT_WRONG_STATE) \
	X("workload-unusable", 409, EXIT_WRONG_STATE) \
	X("too-large", 413, EXIT_USAGE) \
	X("busy", 503, EXIT_BUSY) \
	X("full", 507, EXIT_BUSY) \
	X("stopping", 503, EXIT_BUSY) \
	X("denied", 403, EXIT_DENIED) \
	X("internal", 500, EXIT_TASKS_FAILED)

#endif
