/* A hash table of very many small things: linear hashing.
 *
 * It grows and shrinks by one bucket at a time, so no insertion pays for all that is there, and it costs 16 bytes an entry:
 * one pointer in it, and one bucket for it. Entries are members of what is kept; each knows only the next of its bucket.
 *
 *	first[16]   buckets 0..15, always there
 *	levels[0]   16..31 ┐
 *	levels[1]   32..63 ├ each as large as all before it, allocated with its first bucket; the buckets from n_buckets on
 *	levels[2]   ...    ┘ are not in use, and their memory is not touched yet
 *
 * One thread at a time. Nothing here fails: without memory for a level the chains grow longer.
 */
#ifndef CONCD_BASE_LINEAR_HASH_H
#define CONCD_BASE_LINEAR_HASH_H

#include <stddef.h>
#include <stdint.h>

#define LINEAR_HASH_FIRST 16 /* buckets; a power of two */
#define LINEAR_HASH_LEVELS 32

struct hash_link {
	struct hash_link *next; /* of its bucket */
};

struct linear_hash {
	uint64_t (*hash_of)(const struct hash_link *link); /* always the same for an entry that is in */
	size_t n; /* entries */
	size_t n_buckets;
	struct hash_link *first[LINEAR_HASH_FIRST];
	struct hash_link **levels[LINEAR_HASH_LEVELS]; /* NULL: not allocated */
};

void linear_hash_init(struct linear_hash *hash, uint64_t (*hash_of)(const struct hash_link *link));
/* Empty it, and free what it allocated. All entries, linked by `next`; NULL: none. Usable as after init. */
struct hash_link *linear_hash_clear(struct linear_hash *hash);
void linear_hash_add(struct linear_hash *hash, struct hash_link *link);
void linear_hash_remove(struct linear_hash *hash, struct hash_link *link); /* it is in */
/* The first of those that may have this hash: the caller goes on with `next` and compares. NULL: none. */
struct hash_link *linear_hash_find(const struct linear_hash *hash, uint64_t of);

uint64_t hash_number(uint64_t x);
uint64_t hash_text(const char *text);

#endif
