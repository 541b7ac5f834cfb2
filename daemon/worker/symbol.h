/* Code addresses as text for people: "block+0x71 (blocker.so)". */
#ifndef CONCD_WORKER_SYMBOL_H
#define CONCD_WORKER_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct code_map;

/* Read what code this process has mapped. Takes no lock of the dynamic linker, which a stuck thread may hold. NULL: not
 * to be had. */
struct code_map *code_map_open(void);
void code_map_close(struct code_map *map); /* NULL is fine */
bool code_map_has(const struct code_map *map, uintptr_t address);
/* In the program itself, not in one of its libraries? */
bool code_map_is_program(const struct code_map *map, uintptr_t address);
/* The function, if the file says it, the offset and the file. after: it is a return address, so the call is what counts. */
void code_map_describe(const struct code_map *map, uintptr_t address, bool after, char *text, size_t bytes);

#endif
