/* Linear hashing. */
#include "base/linear_hash.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_BITS 4 /* of LINEAR_HASH_FIRST */

static unsigned int log2_of(size_t x)
{
	return 63 - (unsigned int)__builtin_clzll(x);
}

static struct hash_link **bucket(const struct linear_hash *hash, size_t i)
{
	unsigned int bits;

	if (i < LINEAR_HASH_FIRST)
		return (struct hash_link **)&hash->first[i];
	bits = log2_of(i);
	return &hash->levels[bits - FIRST_BITS][i - ((size_t)1 << bits)];
}

/* The buckets that were split in this round need one bit more than the others. */
static struct hash_link **bucket_of(const struct linear_hash *hash, uint64_t of)
{
	size_t half = (size_t)1 << log2_of(hash->n_buckets), i = of & (2 * half - 1);

	return bucket(hash, i < hash->n_buckets ? i : i - half);
}

/* One bucket more: half of those of another one move there. */
static void grow(struct linear_hash *hash)
{
	size_t i = hash->n_buckets, half = (size_t)1 << log2_of(i);
	unsigned int level = log2_of(i) - FIRST_BITS;
	struct hash_link **from, **to;

	if (level == LINEAR_HASH_LEVELS)
		return;
	if (!hash->levels[level])
		hash->levels[level] = calloc(half, sizeof(struct hash_link *));
	if (!hash->levels[level])
		return; /* tried again with the next entry */
	hash->n_buckets++;
	from = bucket(hash, i - half);
	to = bucket(hash, i);
	while (*from) {
		struct hash_link *link = *from;

		if (!(hash->hash_of(link) & half)) {
			from = &link->next;
			continue;
		}
		*from = link->next;
		link->next = *to;
		*to = link;
	}
}

/* And back: the last one's go where they came from. */
static void shrink(struct linear_hash *hash)
{
	size_t i = hash->n_buckets - 1, half = (size_t)1 << log2_of(i);
	unsigned int level = log2_of(i) - FIRST_BITS;
	struct hash_link **from = bucket(hash, i), **to = bucket(hash, i - half);

	while (*to)
		to = &(*to)->next;
	*to = *from;
	*from = NULL;
	hash->n_buckets--;
	if (i > half)
		return;
	free(hash->levels[level]);
	hash->levels[level] = NULL;
}

void linear_hash_init(struct linear_hash *hash, uint64_t (*hash_of)(const struct hash_link *link))
{
	*hash = (struct linear_hash){ .hash_of = hash_of, .n_buckets = LINEAR_HASH_FIRST };
}

struct hash_link *linear_hash_clear(struct linear_hash *hash)
{
	struct hash_link *all = NULL, *link;

	for (size_t i = 0; i < hash->n_buckets; i++) {
		struct hash_link **at = bucket(hash, i);

		while ((link = *at)) {
			*at = link->next;
			link->next = all;
			all = link;
		}
	}
	for (unsigned int i = 0; i < LINEAR_HASH_LEVELS; i++)
		free(hash->levels[i]);
	linear_hash_init(hash, hash->hash_of);
	return all;
}

void linear_hash_add(struct linear_hash *hash, struct hash_link *link)
{
	struct hash_link **at;

	assert(hash->n_buckets > 0); /* linear_hash_init() */
	at = bucket_of(hash, hash->hash_of(link));
	link->next = *at;
	*at = link;
	if (++hash->n > hash->n_buckets)
		grow(hash);
}

void linear_hash_remove(struct linear_hash *hash, struct hash_link *link)
{
	struct hash_link **at = bucket_of(hash, hash->hash_of(link));

	while (*at != link) {
		assert(*at);
		at = &(*at)->next;
	}
	*at = link->next;
	hash->n--;
	while (hash->n < hash->n_buckets / 2 && hash->n_buckets > LINEAR_HASH_FIRST) /* half empty: coming and going costs nothing */
		shrink(hash);
}

struct hash_link *linear_hash_find(const struct linear_hash *hash, uint64_t of)
{
	return *bucket_of(hash, of);
}

/* The finalizer of MurmurHash3: numbers in a row do not fall into few buckets. */
uint64_t hash_number(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

/* FNV-1a, its weak low bits mixed with the others. */
uint64_t hash_text(const char *text)
{
	uint64_t x = UINT64_C(0xcbf29ce484222325);

	for (; *text != '\0'; text++)
		x = (x ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash_number(x);
}
