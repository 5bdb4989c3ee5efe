// SPDX-License-Identifier: Apache-2.0
/* What requests do, whatever the protocol: on behalf of one thread, on the store that all of them share. */
#pragma once

#include "apps/kv/worker.h"

enum kv_result {
	KV_DONE, /* stored, deleted, touched, added */
	KV_NOT_STORED,
	KV_EXISTS, /* with another cas than asked for */
	KV_NOT_FOUND,
	KV_TOO_LARGE,
	KV_NO_MEMORY,
	KV_NON_NUMERIC,
};

enum kv_mode { KV_SET, KV_ADD, KV_REPLACE, KV_APPEND, KV_PREPEND };

/*
 * When an item of this expiry time expires, on the store's clock: 0 is never, up to 30 days are counted from now,
 * more are seconds since 1970, and what is negative has expired.
 */
uint32_t kv_expiry(const struct kv_worker *worker, int64_t expiry);

/*
 * Look a key up, the second with a new expiry time. The item stays as it is until kv_get_end(), which must follow if
 * it was found; who needs it longer calls kv_item_hold() before.
 */
static inline struct kv_item *kv_get(struct kv_worker *worker, const struct kv_key *key)
{
	struct kv_shard *shard = kv_store_lock(worker->store, key->hash);
	struct kv_item *item = kv_shard_find(shard, key, worker->now_s);

	if (item == NULL) {
		kv_shard_unlock(shard);
		kv_count(&worker->counters.get_misses);
		return NULL;
	}
	kv_shard_use(shard, item, worker->now_s);
	kv_count(&worker->counters.get_hits);
	return item;
}

struct kv_item *kv_get_and_touch(struct kv_worker *worker, const struct kv_key *key, uint32_t expires_s);

static inline void kv_get_end(const struct kv_worker *worker, const struct kv_item *item)
{
	if (worker->store->shards[0].shared)
		kv_shard_unlock(kv_store_shard(worker->store, item->hash));
}

/*
 * The usual SET: writes the value over the present one of the key, which must be as long, with the same flags, and
 * nobody's to send just now. False: it is not that, and nothing has changed but that one which has expired is gone. At
 * most KV_COPY_MAX bytes.
 */
bool kv_set_over(struct kv_worker *worker, const struct kv_key *key, uint32_t flags, uint32_t expires_s,
		 const uint8_t *value, uint32_t value_bytes);

/*
 * Storing has two steps, because a value may come in pieces. The first makes the item, whose value (not the two bytes
 * behind it) is the caller's to fill: KV_DONE, KV_TOO_LARGE or KV_NO_MEMORY; a SET that fails removes the old value.
 */
enum kv_result kv_store_begin(struct kv_worker *worker, const struct kv_key *key, enum kv_mode mode, uint32_t flags,
			      uint32_t expires_s, uint64_t value_bytes, struct kv_item **item);

/*
 * The second: stores it or not, and lets go of it. `*cas`: which one the present item must have (0: any; with
 * `compare` 0 matches none), then that of the stored one (0: not stored).
 */
enum kv_result kv_store_end(struct kv_worker *worker, struct kv_item *item, enum kv_mode mode, bool compare,
			    uint64_t *cas);

/* `cas` 0: any. */
enum kv_result kv_delete(struct kv_worker *worker, const struct kv_key *key, uint64_t cas);
enum kv_result kv_touch(struct kv_worker *worker, const struct kv_key *key, uint32_t expires_s);

/*
 * Adds to, or subtracts from, a decimal number; sums wrap at 2^64, differences stop at 0. `*cas`: as with
 * kv_store_end(). The new number is in *value. A shorter one is padded with spaces in its place.
 */
enum kv_result kv_arithmetic(struct kv_worker *worker, const struct kv_key *key, bool increment, uint64_t delta,
			     uint64_t *cas, uint64_t *value);

/* `delay` as an expiry time; 0 or less: now. */
void kv_flush(struct kv_worker *worker, int64_t delay);
