/* Stacks for coroutines, cut from one mapping.
 *
 *	low address                                                             high
 *	│ guard │        stack 0        │ guard │        stack 1        │ ...
 *	                ... grows down <┘                               └ first word used
 *
 * The slab only reserves addresses: a page costs memory once it is touched, so an idle coroutine holds about 4 KiB
 * however large its stack may grow. Guards are installed when a stack is first handed out: by MADV_GUARD_INSTALL
 * (Linux 6.13), which costs no mapping; else by mprotect, of which a process may have a quarter of vm.max_map_count;
 * stacks beyond that carry a canary at their low end. A slab belongs to one runner thread; the budget of mprotect
 * guards is the process's.
 */
#ifndef CONCD_WORKER_STACK_H
#define CONCD_WORKER_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack_slab;

#define STACK_GUARD_BYTES (16u * 1024) /* more than the frame of most functions, so that few can jump over it */
#define STACK_MIN_BYTES (16u * 1024)
#define STACK_BYTES_ONE (8u * 1024 * 1024) /* C = 1: what a thread has */
#define STACK_BYTES_FEW (256u * 1024) /* up to STACK_FEW coroutines */
#define STACK_BYTES_MANY (64u * 1024)
#define STACK_FEW 1000u

enum stack_guard { STACK_GUARD_MADVISE, STACK_GUARD_MPROTECT, STACK_GUARD_CANARY };

/* The stack size for a number of coroutines on a thread; `asked` (0: none) wins, rounded up to whole pages. */
size_t stack_bytes_for(uint32_t coroutines, size_t asked);

/* Reserve `count` stacks of stack_bytes. 0; -ENOMEM: no addresses left (a limit on memory, or no overcommit). */
uint64_t stack_slab_address_bytes(uint32_t count, size_t stack_bytes); /* what such a slab maps */
int stack_slab_open(uint32_t count, size_t stack_bytes, struct stack_slab **ret_slab);
void stack_slab_close(struct stack_slab *slab); /* NULL is fine */

/* Make stack i ready, with its guard; the first time only costs anything. Returns its low end; *ret_bytes are usable
 * from there. */
void *stack_get(struct stack_slab *slab, uint32_t i, size_t *ret_bytes);

/* How stack i is guarded; it was handed out before. */
enum stack_guard stack_guard_of(const struct stack_slab *slab, uint32_t i);
/* false: the stack was overrun. Cheap; true at once for stacks that need no canary. */
bool stack_canary_ok(const struct stack_slab *slab, uint32_t i);
/* Is the address in the guard of stack i? Async-signal-safe. */
bool stack_in_guard(const struct stack_slab *slab, uint32_t i, const void *address);
size_t stack_slab_stack_bytes(const struct stack_slab *slab);

/* Probe once whether the kernel has MADV_GUARD_INSTALL. Any thread. */
bool stack_has_guard_madvise(void);
/* Of `stacks` that are still to be handed out, how many will have a canary and no guard. Any thread. */
uint64_t stack_unguarded(uint64_t stacks);
/* For tests: as if the kernel had none and the process might have `mprotect_guards` guards. */
void stack_pretend(bool guard_madvise, uint32_t mprotect_guards);

#endif
