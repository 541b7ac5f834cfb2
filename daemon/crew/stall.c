/* News of tasks that hold their runner: from a worker process, hence checked against what the daemon knows, and bounded in
 * number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "crew/crew_private.h"
#include "crew/wire.h"

#define BURST 50u
#define PER_S 20

/* The stall of one runner that was told and goes on. */
struct open_stall {
	uint64_t job, task;
	int64_t since_ns; /* 0: none */
};

struct stall_news {
	struct open_stall *open; /* by thread */
	uint32_t tokens;
	int64_t refilled_ns;
	uint64_t dropped;
};

void stall_news_free(struct stall_news *news)
{
	if (news)
		free(news->open);
	free(news);
}

static struct stall_news *news_of(struct proc *proc)
{
	struct stall_news *news = proc->stalls ? proc->stalls : calloc(1, sizeof(*news));

	if (!news || proc->stalls)
		return news;
	news->open = calloc(proc->crew->shape.threads, sizeof(news->open[0]));
	news->tokens = BURST;
	news->refilled_ns = clock_mono_ns();
	if (!news->open) {
		free(news);
		return NULL;
	}
	proc->stalls = news;
	return news;
}

static bool take_token(struct stall_news *news)
{
	int64_t now_ns = clock_mono_ns(), more = (now_ns - news->refilled_ns) / (NS_PER_S / PER_S);

	if (more > 0) {
		news->refilled_ns = now_ns;
		news->tokens = more > BURST - news->tokens ? BURST : news->tokens + (uint32_t)more;
	}
	if (news->tokens == 0)
		return false;
	news->tokens--;
	return true;
}

static struct crew_seat *find_seat(const struct crew *crew, uint64_t job)
{
	struct crew_seat *seat = crew->seats;

	while (seat && (seat->job != job || seat->left))
		seat = seat->next;
	return seat;
}

/* Does this runner have the task now? */
static bool is_at(const struct crew_seat *seat, uint64_t task, uint64_t runner)
{
	const struct flight *f = seat->flights;
	struct ring_chunk_state state;
	uint64_t index;

	while (f && (task < f->first || task - f->first >= f->count))
		f = f->next;
	if (!f || !seat->crew->ring || ring_chunk_state(seat->crew->ring, f->chunk, &state) < 0)
		return false;
	index = task - f->first;
	return state.runner == (int32_t)runner && index < state.begun && !(state.done >> index & 1);
}

static void tell(struct proc *proc, const struct crew_seat *seat, struct crew_stall *stall)
{
	struct stall_news *news = proc->stalls;

	stall->user = seat->user;
	stall->worker_pid = (uint32_t)proc->pid;
	stall->dropped += news->dropped;
	news->dropped = 0;
	proc->crew->crews->ops->on_stall(proc->crew->crews->ctx, stall);
}

/* Times that make sense: it cannot have begun in the future, nor have lasted longer than since then. */
static void set_times(struct crew_stall *stall, uint64_t since_ns, uint64_t held_ns)
{
	int64_t now_ns = clock_mono_ns();

	stall->since_ns = since_ns > (uint64_t)now_ns ? now_ns : (int64_t)since_ns;
	stall->held_ns = held_ns > (uint64_t)(now_ns - stall->since_ns) ? now_ns - stall->since_ns : (int64_t)held_ns;
}

static void begin(struct proc *proc, struct stall_news *news, struct crew_stall *stall, uint64_t job, uint64_t runner)
{
	const struct crew_seat *seat = find_seat(proc->crew, job);

	if (!seat || !is_at(seat, stall->task, runner))
		return; /* it has ended meanwhile */
	if (!take_token(news)) {
		news->dropped++;
		return;
	}
	news->open[stall->worker_thread] = (struct open_stall){ job, stall->task, stall->since_ns };
	tell(proc, seat, stall);
}

static void end(struct proc *proc, struct stall_news *news, struct crew_stall *stall, uint64_t job)
{
	struct open_stall *open = &news->open[stall->worker_thread];
	const struct crew_seat *seat = find_seat(proc->crew, job);
	bool known = open->since_ns != 0 && open->job == job && open->task == stall->task;

	open->since_ns = 0;
	if (seat && known)
		tell(proc, seat, stall);
}

bool proc_stall(struct proc *proc, struct reader *r)
{
	uint64_t ended = reader_varint(r), runner = reader_varint(r), job = reader_varint(r), first = crew_first_runner(proc);
	struct crew_stall stall = { .task = reader_varint(r), .ended = ended == 1 };
	uint64_t since_ns = reader_varint(r), held_ns = reader_varint(r), dropped = reader_varint(r);
	uint64_t input_len = reader_varint(r);
	_cleanup_free_ char *stack = NULL;
	struct stall_news *news;

	stall.input = reader_bytes(r, &stall.input_kept);
	stack = reader_text(r);
	if (r->failed || !stack || ended > 1 || runner < first || runner >= first + proc->crew->shape.threads ||
	    stall.input_kept > WIRE_STALL_INPUT_BYTES || stall.input_kept > input_len ||
	    strlen(stack) > WIRE_STALL_STACK_BYTES)
		return false;
	news = news_of(proc);
	if (!news)
		return true; /* no memory to remember it: nothing else is at stake */
	set_times(&stall, since_ns, held_ns);
	stall.worker_thread = (uint16_t)(runner - first);
	stall.dropped = dropped > UINT32_MAX ? UINT32_MAX : dropped; /* a number from the worker: sums do not wrap */
	stall.input_len = (size_t)input_len;
	stall.stack = stack;
	if (stall.ended)
		end(proc, news, &stall, job);
	else
		begin(proc, news, &stall, job, runner);
	return true;
}
