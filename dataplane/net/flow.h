// SPDX-License-Identifier: Apache-2.0
/*
 * The flow table: from the hash of a 4-tuple to the index of a connection.
 *
 * It keeps no tuples. A lookup yields candidates, nearly always the one or none, and the caller compares the tuple
 * where it needs it anyway, in the connection:
 *
 *     struct flow_cursor cursor;
 *     uint32_t index = flow_first(&cursor, table, hash);
 *     while (index != FLOW_NONE && !is_the_one(index))
 *             index = flow_next(&cursor);
 *
 * A bucket is a cache line of 12 connections with 8 bits of each one's hash, which are compared at once; a connection
 * that finds its bucket full goes to the next with room, and each bucket it has passed counts it. A lookup ends at the
 * first bucket that nobody has passed, so there are no tombstones, however many come and go. (Tags in the bucket and
 * overflow counts: N. Bronson, X. Shi, "Open-sourcing F14 for faster, more memory-efficient hash tables", 2019.)
 *
 * Sized at the start for so many entries, with twice the room: 10.7 bytes per entry when it is full. Then 6 entries are
 * in a bucket on average; with a hash like a random one, fewer than 1 in 100 buckets is passed by anyone, and a lookup
 * touches 1.01 cache lines. It never grows, and nothing fails.
 */
#pragma once

#include "base/assert.h"
#include "net/net.h"

#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_SLOTS	   12U /* of a bucket */
#define FLOW_SLOTS_PLANNED 6U  /* in use on average when all entries are */
#define FLOW_SLOTS_MASK	   ((1U << FLOW_SLOTS) - 1U)

/* No index. */
#define FLOW_NONE UINT32_MAX

struct flow_bucket {
	uint8_t tags[FLOW_SLOTS]; /* 0: the slot is free */
	uint32_t passed;	  /* entries that found this bucket full and are in a later one */
	uint32_t indices[FLOW_SLOTS];
};

RB_BUILD_ASSERT(sizeof(struct flow_bucket) == 64, "a bucket is a cache line");

struct flow_table {
	struct flow_bucket *buckets; /* borrowed */
	uint32_t buckets_count;
	uint32_t entries; /* that there may be */
	uint32_t used;	  /* that there are */
};

/* Bytes of memory, to be aligned to 64. */
size_t flow_table_size(uint32_t entries);

/* Makes an empty table in `memory`. entries >= 1. */
void flow_table_init(struct flow_table *table, void *memory, uint32_t entries);

/* The bucket by the hash's upper bits, the tag by the lower ones. */
static inline uint32_t flow_bucket_of(const struct flow_table *table, uint32_t hash)
{
	return (uint32_t)(((uint64_t)hash * table->buckets_count) >> 32);
}

static inline uint32_t flow_bucket_after(const struct flow_table *table, uint32_t bucket)
{
	return bucket + 1U < table->buckets_count ? bucket + 1U : 0;
}

static inline uint8_t flow_tag_of(uint32_t hash)
{
	const uint8_t tag = (uint8_t)hash;

	return (uint8_t)(tag + (tag == 0));
}

/* Brings the bucket to the cache, for a burst whose hashes are known before its first lookup. */
static inline void flow_prefetch(const struct flow_table *table, uint32_t hash)
{
	__builtin_prefetch(&table->buckets[flow_bucket_of(table, hash)]);
}

/* The slots of a bucket with that tag, one bit each. */
static inline uint32_t flow_bucket_match(const struct flow_bucket *bucket, uint8_t tag)
{
	/* The tags, and the count behind them, which the mask drops. */
	const __m128i tags = _mm_load_si128((const __m128i *)(const void *)bucket);

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag))) & FLOW_SLOTS_MASK;
}

/* Adds an index below FLOW_NONE; there must be fewer entries than the table was made for. Nobody checks for doubles. */
static inline void flow_insert(struct flow_table *table, uint32_t hash, uint32_t index)
{
	uint32_t at = flow_bucket_of(table, hash), room;

	RB_ASSERT_LT(table->used, table->entries);
	RB_DEBUG_ASSERT_NE(index, FLOW_NONE);
	/* Ends: there is twice the room that is needed. */
	while (__builtin_expect((room = flow_bucket_match(&table->buckets[at], 0)) == 0, 0)) {
		table->buckets[at].passed++;
		at = flow_bucket_after(table, at);
	}
	struct flow_bucket *bucket = &table->buckets[at];
	const unsigned slot = (unsigned)__builtin_ctz(room);

	bucket->tags[slot] = flow_tag_of(hash);
	bucket->indices[slot] = index;
	table->used++;
}

/* The bucket for a hash that certainly no entry has; NULL: one may have it, or there is no room for it here. */
static inline struct flow_bucket *flow_bucket_new(const struct flow_table *table, uint32_t hash)
{
	struct flow_bucket *bucket = &table->buckets[flow_bucket_of(table, hash)];
	const bool taken = flow_bucket_match(bucket, flow_tag_of(hash)) != 0 || bucket->passed != 0;

	return taken || flow_bucket_match(bucket, 0) == 0 ? NULL : bucket;
}

/* flow_insert() into that. */
static inline void flow_insert_new(struct flow_table *table, struct flow_bucket *bucket, uint32_t hash, uint32_t index)
{
	const unsigned slot = (unsigned)__builtin_ctz(flow_bucket_match(bucket, 0));

	bucket->tags[slot] = flow_tag_of(hash);
	bucket->indices[slot] = index;
	table->used++;
}

/* The slot of a bucket that holds the index, or FLOW_SLOTS. */
static inline unsigned flow_slot_of(const struct flow_bucket *bucket, uint8_t tag, uint32_t index)
{
	for (uint32_t matches = flow_bucket_match(bucket, tag); matches != 0; matches &= matches - 1U) {
		const unsigned slot = (unsigned)__builtin_ctz(matches);

		if (__builtin_expect(bucket->indices[slot] == index, 1))
			return slot;
	}
	return FLOW_SLOTS;
}

/* Removes what was inserted with the same hash and index. */
static inline void flow_remove(struct flow_table *table, uint32_t hash, uint32_t index)
{
	uint32_t at = flow_bucket_of(table, hash);
	const uint8_t tag = flow_tag_of(hash);
	unsigned slot = flow_slot_of(&table->buckets[at], tag, index);

	while (__builtin_expect(slot == FLOW_SLOTS, 0)) {
		RB_ASSERT_GT(table->buckets[at].passed, 0U); /* or it was never inserted */
		table->buckets[at].passed--;
		at = flow_bucket_after(table, at);
		slot = flow_slot_of(&table->buckets[at], tag, index);
	}
	table->buckets[at].tags[slot] = 0;
	table->used--;
}

/* The one candidate that it nearly always is; false: there is none in the first bucket. A cursor knows better. */
static inline bool flow_likely(const struct flow_table *table, uint32_t hash, uint32_t *index)
{
	const struct flow_bucket *bucket = &table->buckets[flow_bucket_of(table, hash)];
	const uint32_t matches = flow_bucket_match(bucket, flow_tag_of(hash));

	if (__builtin_expect(matches == 0, 0))
		return false;
	*index = bucket->indices[__builtin_ctz(matches)];
	return true;
}

struct flow_cursor {
	const struct flow_table *table;
	uint32_t bucket;
	uint32_t home;	  /* where it began */
	uint32_t matches; /* of the bucket, not yet looked at */
	uint8_t tag;
};

static inline uint32_t flow_next(struct flow_cursor *cursor)
{
	const struct flow_table *table = cursor->table;

	while (cursor->matches == 0) {
		if (__builtin_expect(table->buckets[cursor->bucket].passed == 0, 1))
			return FLOW_NONE;
		cursor->bucket = flow_bucket_after(table, cursor->bucket);
		if (cursor->bucket == cursor->home) /* all round */
			return FLOW_NONE;
		cursor->matches = flow_bucket_match(&table->buckets[cursor->bucket], cursor->tag);
	}
	const unsigned slot = (unsigned)__builtin_ctz(cursor->matches);

	cursor->matches &= cursor->matches - 1U;
	return table->buckets[cursor->bucket].indices[slot];
}

/* The first candidate, or FLOW_NONE. The table must not change while a cursor is in use. */
static inline uint32_t flow_first(struct flow_cursor *cursor, const struct flow_table *table, uint32_t hash)
{
	const uint32_t home = flow_bucket_of(table, hash);
	const uint8_t tag = flow_tag_of(hash);

	*cursor = (struct flow_cursor){.table = table,
				       .bucket = home,
				       .home = home,
				       .matches = flow_bucket_match(&table->buckets[home], tag),
				       .tag = tag};
	return flow_next(cursor);
}

/*
 * Hashes of a 4-tuple under 128 secret bits. Each step multiplies two 64-bit words that carry secret bits and folds the
 * 128-bit product, so that any input bit reaches any output bit, and who does not know the secret cannot choose
 * addresses and ports that meet in a bucket more often than chance has it. Two steps for IPv4, three for IPv6.
 *
 * This is no cryptography: who saw hashes could compute the secret. They must not leave the host, and nothing that has
 * to be unguessable may be made of them; that is what base/siphash.h is for.
 */
struct flow_secret {
	uint64_t words[2];
};

static inline uint64_t flow_fold(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	const wide product = (wide)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Bits of no meaning (the binary digits of pi), so that the secret's words can be used twice. */
#define FLOW_PI_0 UINT64_C(0x243f6a8885a308d3)
#define FLOW_PI_1 UINT64_C(0x13198a2e03707344)

/* Addresses and ports in any byte order and arrangement that is always the same; `ports`: both. */
static inline uint32_t flow_hash4(const struct flow_secret *secret, uint32_t local_ip, uint32_t remote_ip,
				  uint32_t ports)
{
	const uint64_t *s = secret->words;
	const uint64_t ips = ((uint64_t)local_ip << 32) | remote_ip;

	return (uint32_t)(flow_fold(flow_fold(ips ^ s[0], ports ^ s[1]) ^ s[1], s[0] ^ FLOW_PI_0) >> 32);
}

/*
 * As flow_hash4(). The ports share a word with the upper half of the local interface identifier, which is not the
 * peer's choice and the same for most addresses of a host.
 */
static inline uint32_t flow_hash6(const struct flow_secret *secret, const struct rb_ip *local,
				  const struct rb_ip *remote, uint32_t ports)
{
	const uint64_t *s = secret->words;
	const uint64_t here = flow_fold(local->words[0] ^ s[0], local->words[1] ^ ((uint64_t)ports << 32) ^ s[1]);
	const uint64_t there = flow_fold(remote->words[0] ^ s[0] ^ FLOW_PI_0, remote->words[1] ^ s[1] ^ FLOW_PI_1);

	return (uint32_t)(flow_fold(here ^ s[1], there ^ s[0]) >> 32);
}
