// SPDX-License-Identifier: Apache-2.0
/*
 * The table of items: hash table, LRU lists, expiry, memory bound.
 *
 * A store consists of shards, and the hash of a key says which one is its. Each shard has its own memory, buckets and
 * LRU lists (one per size class, as the chunks are), and a lock; how many there are depends on the number of threads
 * and on the memory. With one thread there is one shard, and kv_store_lock() neither locks nor executes any atomic
 * instruction. All functions on a shard want it locked.
 *
 * Times are seconds on the store's own clock, which callers pass in: it begins with KV_START_S, so that 1 is always
 * past and 0 can mean "never".
 */
#pragma once

#include "apps/kv/copy.h"
#include "apps/kv/hash.h"
#include "apps/kv/slab.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { KV_START_S = 2 };

struct kv_store_config {
	uint64_t memory_bytes;	 /* for items, their headers included; buckets take 1/16 to 1/32 more */
	uint32_t item_bytes_max; /* as memcached counts: see kv_store_fits() */
	unsigned threads;	 /* that use it at the same time */
	uint64_t seed;		 /* of the hash */
};

struct kv_key {
	const uint8_t *bytes;
	size_t length; /* 1..KV_KEY_MAX */
	uint64_t hash;
};

struct kv_lru {
	struct kv_item *newest, *oldest;
};

struct kv_shard_counters {
	uint64_t items;		/* linked now */
	uint64_t bytes;		/* in their chunks: header and text */
	uint64_t items_total;	/* ever linked */
	uint64_t evictions;	/* linked ones that had to go before their time */
	uint64_t reclaimed;	/* expired ones whose memory was needed */
	uint64_t pages_moved;	/* from one class to another */
	uint64_t out_of_memory; /* all chunks that could have been freed were held */
};

struct kv_shard {
	struct kv_item **buckets;
	uint64_t bucket_mask;
	uint64_t cas;	    /* last one given */
	uint64_t flush_cas; /* items with a smaller one are gone */
	uint32_t flush_s;   /* from then on, items that were stored until then are gone */
	bool shared;
	atomic_bool locked;
	struct kv_lru lru[KV_CLASSES_MAX];
	struct kv_shard_counters counters;
	struct kv_slab slab;
} __attribute__((aligned(64)));

struct kv_store {
	struct kv_hash_secret secret;
	unsigned shard_shift; /* of the upper half of the hash */
	unsigned shards_count;
	struct kv_store_config config;
	struct kv_shard *shards;
};

/* Returns 0, -EINVAL (memory_bytes less than one item of the largest size per shard) or -ENOMEM. */
int kv_store_create(const struct kv_store_config *config, struct kv_store **store);
void kv_store_destroy(struct kv_store *store);

static inline struct kv_key kv_store_key(const struct kv_store *store, const uint8_t *bytes, size_t length)
{
	return (struct kv_key){bytes, length, kv_hash(&store->secret, bytes, length)};
}

/*
 * Would an item of this key and value count no more than item_bytes_max? By memcached's formula: same limit, same
 * answer.
 */
static inline bool kv_store_fits(const struct kv_store *store, size_t key_bytes, uint32_t flags, uint64_t value_bytes)
{
	return 48 + 8 + key_bytes + 1 + (flags != 0 ? 4U : 0U) + value_bytes + KV_TAIL <= store->config.item_bytes_max;
}

void kv_shard_lock(struct kv_shard *shard);

static inline struct kv_shard *kv_store_shard(const struct kv_store *store, uint64_t hash)
{
	return &store->shards[(hash >> 32) >> store->shard_shift];
}

static inline struct kv_shard *kv_store_lock(const struct kv_store *store, uint64_t hash)
{
	struct kv_shard *shard = store->shards;

	if (!shard->shared) /* then it is the only one */
		return shard;
	shard = kv_store_shard(store, hash);
	kv_shard_lock(shard);
	return shard;
}

static inline void kv_shard_unlock(struct kv_shard *shard)
{
	/* Pairs with the acquire in kv_shard_lock(). */
	if (shard->shared)
		atomic_store_explicit(&shard->locked, false, memory_order_release);
}

static inline struct kv_item **kv_shard_bucket(const struct kv_shard *shard, uint64_t hash)
{
	return &shard->buckets[hash & shard->bucket_mask];
}

static inline bool kv_item_is_dead(const struct kv_shard *shard, const struct kv_item *item, uint32_t now_s)
{
	/* 0, never, becomes the largest number */
	if (item->expires_s - 1 < now_s || item->cas < shard->flush_cas)
		return true;
	return shard->flush_s <= now_s && item->linked_s <= shard->flush_s;
}

/* Removes a dead item. Returns NULL. */
struct kv_item *kv_shard_bury(struct kv_shard *shard, struct kv_item *item);

/* The live item of the key, or NULL. One that is dead (expired, flushed) is removed. */
static inline struct kv_item *kv_shard_find(struct kv_shard *shard, const struct kv_key *key, uint32_t now_s)
{
	struct kv_item *item = *kv_shard_bucket(shard, key->hash);

	while (item != NULL && (item->hash != key->hash || item->key_bytes != key->length ||
				!kv_same(item->data, key->bytes, key->length)))
		item = item->next;
	return item == NULL || !kv_item_is_dead(shard, item, now_s) ? item : kv_shard_bury(shard, item);
}

static inline void kv_lru_enter(struct kv_lru *lru, struct kv_item *item)
{
	item->newer = NULL;
	item->older = lru->newest;
	if (lru->newest != NULL)
		lru->newest->newer = item;
	else
		lru->oldest = item;
	lru->newest = item;
}

static inline void kv_lru_leave(struct kv_lru *lru, struct kv_item *item)
{
	if (item->newer != NULL)
		item->newer->older = item->older;
	else
		lru->newest = item->older;
	if (item->older != NULL)
		item->older->newer = item->newer;
	else
		lru->oldest = item->newer;
}

/*
 * Makes a linked item the newest of its class, by the second: what is used again in the same one keeps its place, so
 * that what everybody asks for is not moved for each of them. (What was last used a multiple of 256 seconds ago, to the
 * second, looks like that, and moves at its next use.)
 */
static inline void kv_shard_use(struct kv_shard *shard, struct kv_item *item, uint32_t now_s)
{
	struct kv_lru *lru = &shard->lru[item->class_index];

	if (item->used == (uint8_t)now_s)
		return;
	item->used = (uint8_t)now_s;
	if (item->newer == NULL)
		return;
	kv_lru_leave(lru, item);
	kv_lru_enter(lru, item);
}

/*
 * Memory for an item, with header and suffix filled in and the value not: reserved, with one reference. Removes old
 * items for it if it must. It must fit (kv_store_fits). NULL: everything that could be removed is held by somebody.
 */
struct kv_item *kv_shard_reserve(struct kv_shard *shard, const struct kv_key *key, uint32_t flags, uint32_t expires_s,
				 uint32_t value_bytes, uint32_t now_s);

/* A number that no item of the shard has had. */
static inline uint64_t kv_shard_next_cas(struct kv_shard *shard)
{
	return ++shard->cas;
}

/* Puts a reserved item into the table. No other item of its key may be linked. */
void kv_shard_link(struct kv_shard *shard, struct kv_item *item, uint64_t cas, uint32_t now_s);

/* Takes it out of the table; freed if nobody holds it. */
void kv_shard_unlink(struct kv_shard *shard, struct kv_item *item);

static inline void kv_item_hold(struct kv_item *item)
{
	item->references++;
}

/* Drops a reference. */
void kv_shard_release(struct kv_shard *shard, struct kv_item *item);

/* The same for who has not locked the item's shard. */
void kv_store_release(const struct kv_store *store, struct kv_item *item);

/*
 * From the second at_s on all items are gone that were stored until it was over; if it is not to come, also those
 * that were stored until now. Replaces a flush that is still to come. Locks by itself.
 */
void kv_store_flush(struct kv_store *store, uint32_t at_s, uint32_t now_s);

/* Sums over the shards. Locks by itself. */
void kv_store_count(struct kv_store *store, struct kv_shard_counters *sum);
