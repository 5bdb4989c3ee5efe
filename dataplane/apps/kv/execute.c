// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/execute.h"

#include "apps/kv/number.h"

enum { THIRTY_DAYS_S = 30 * 24 * 3600 };

uint32_t kv_expiry(const struct kv_worker *worker, int64_t expiry)
{
	const uint64_t started = worker->shared->started_unix_s;

	if (expiry == 0)
		return 0;
	if (expiry < 0)
		return 1;
	if (expiry <= THIRTY_DAYS_S)
		return worker->now_s + (uint32_t)expiry;
	if ((uint64_t)expiry <= started)
		return 1;
	const uint64_t at = (uint64_t)expiry - started + KV_START_S;
	return at < UINT32_MAX ? (uint32_t)at : UINT32_MAX;
}

struct kv_item *kv_get_and_touch(struct kv_worker *worker, const struct kv_key *key, uint32_t expires_s)
{
	struct kv_shard *shard = kv_store_lock(worker->store, key->hash);
	struct kv_item *item = kv_shard_find(shard, key, worker->now_s);

	kv_count(&worker->counters.touches);
	if (item == NULL) {
		kv_shard_unlock(shard);
		kv_count(&worker->counters.touch_misses);
		return NULL;
	}
	kv_shard_use(shard, item, worker->now_s);
	item->expires_s = expires_s;
	kv_count(&worker->counters.touch_hits);
	return item;
}

enum kv_result kv_touch(struct kv_worker *worker, const struct kv_key *key, uint32_t expires_s)
{
	struct kv_shard *shard = kv_store_lock(worker->store, key->hash);
	struct kv_item *item = kv_shard_find(shard, key, worker->now_s);

	kv_count(&worker->counters.touches);
	kv_count(item != NULL ? &worker->counters.touch_hits : &worker->counters.touch_misses);
	if (item != NULL) {
		kv_shard_use(shard, item, worker->now_s);
		item->expires_s = expires_s;
	}
	kv_shard_unlock(shard);
	return item != NULL ? KV_DONE : KV_NOT_FOUND;
}

/* ---- storing ---- */

bool kv_set_over(struct kv_worker *worker, const struct kv_key *key, uint32_t flags, uint32_t expires_s,
		 const uint8_t *value, uint32_t value_bytes)
{
	struct kv_shard *shard = kv_store_lock(worker->store, key->hash);
	struct kv_item *item = kv_shard_find(shard, key, worker->now_s);
	const bool same_form =
		item != NULL && item->value_bytes == value_bytes && item->flags == flags && item->references == 0;

	if (same_form) {
		kv_copy(kv_item_value(item), value, value_bytes);
		item->cas = kv_shard_next_cas(shard);
		item->expires_s = expires_s;
		item->linked_s = worker->now_s;
		kv_shard_use(shard, item, worker->now_s);
		shard->counters.items_total++;
	}
	kv_shard_unlock(shard);
	if (same_form)
		kv_count(&worker->counters.sets);
	return same_form;
}

static void remove_key(struct kv_shard *shard, const struct kv_key *key, uint32_t now_s)
{
	struct kv_item *item = kv_shard_find(shard, key, now_s);

	if (item != NULL)
		kv_shard_unlink(shard, item);
}

enum kv_result kv_store_begin(struct kv_worker *worker, const struct kv_key *key, enum kv_mode mode, uint32_t flags,
			      uint32_t expires_s, uint64_t value_bytes, struct kv_item **item)
{
	const bool fits = kv_store_fits(worker->store, key->length, flags, value_bytes);
	struct kv_shard *shard = kv_store_lock(worker->store, key->hash);

	*item = NULL;
	if (fits)
		*item = kv_shard_reserve(shard, key, flags, expires_s, (uint32_t)value_bytes, worker->now_s);
	/* What a client wanted to replace must not be what it finds later. */
	if (*item == NULL && mode == KV_SET)
		remove_key(shard, key, worker->now_s);
	kv_shard_unlock(shard);
	if (*item != NULL)
		return KV_DONE;
	kv_count(fits ? &worker->counters.no_memory : &worker->counters.too_large);
	return fits ? KV_NO_MEMORY : KV_TOO_LARGE;
}

static void replace(struct kv_shard *shard, struct kv_item *old, struct kv_item *item, uint64_t cas, uint32_t now_s)
{
	if (old != NULL)
		kv_shard_unlink(shard, old);
	kv_shard_link(shard, item, cas, now_s);
}

/*
 * A new item with the value of `old` and that of `added` behind it, or before; flags and expiry stay. NULL: no
 * memory.
 */
static struct kv_item *join(struct kv_worker *worker, struct kv_shard *shard, struct kv_item *old,
			    struct kv_item *added, bool behind)
{
	const struct kv_key key = {old->data, old->key_bytes, old->hash};
	const uint64_t bytes = (uint64_t)old->value_bytes + added->value_bytes;
	struct kv_item *first = behind ? old : added, *second = behind ? added : old;

	if (!kv_store_fits(worker->store, key.length, old->flags, bytes))
		return NULL;
	kv_item_hold(old); /* not to be evicted for the new one */
	struct kv_item *item =
		kv_shard_reserve(shard, &key, old->flags, old->expires_s, (uint32_t)bytes, worker->now_s);
	if (item != NULL) {
		uint8_t *value = kv_item_value(item);
		memcpy(value, kv_item_value(first), first->value_bytes);
		memcpy(value + first->value_bytes, kv_item_value(second), second->value_bytes);
		memcpy(value + bytes, "\r\n", KV_TAIL);
	}
	kv_shard_release(shard, old);
	return item;
}

static enum kv_result join_and_replace(struct kv_worker *worker, struct kv_shard *shard, struct kv_item *old,
				       struct kv_item *added, bool behind, uint64_t fresh, uint64_t *cas)
{
	struct kv_item *item = join(worker, shard, old, added, behind);

	if (item == NULL) {
		kv_count(&worker->counters.no_memory);
		return KV_NOT_STORED;
	}
	replace(shard, old, item, fresh, worker->now_s);
	*cas = fresh;
	kv_shard_release(shard, item);
	return KV_DONE;
}

/* Under the lock of the item's shard. Each try takes a new cas, as with memcached. */
static enum kv_result store_item(struct kv_worker *worker, struct kv_shard *shard, struct kv_item *item,
				 enum kv_mode mode, bool compare, uint64_t *cas)
{
	const struct kv_key key = {item->data, item->key_bytes, item->hash};
	const uint64_t wanted = *cas, fresh = kv_shard_next_cas(shard);
	struct kv_item *old = kv_shard_find(shard, &key, worker->now_s);

	*cas = 0;
	if (old == NULL) {
		if (compare)
			kv_count(&worker->counters.cas_misses);
		if (compare)
			return KV_NOT_FOUND;
		if (mode != KV_SET && mode != KV_ADD)
			return KV_NOT_STORED;
	} else {
		if (compare)
			kv_count(wanted == old->cas ? &worker->counters.cas_hits : &worker->counters.cas_bad);
		if ((compare || wanted != 0) && wanted != old->cas)
			return KV_EXISTS;
		if (mode == KV_ADD && !compare) {
			kv_shard_use(shard, old, worker->now_s);
			return KV_NOT_STORED;
		}
		if (mode == KV_APPEND || mode == KV_PREPEND)
			return join_and_replace(worker, shard, old, item, mode == KV_APPEND, fresh, cas);
	}
	replace(shard, old, item, fresh, worker->now_s);
	*cas = fresh;
	return KV_DONE;
}

enum kv_result kv_store_end(struct kv_worker *worker, struct kv_item *item, enum kv_mode mode, bool compare,
			    uint64_t *cas)
{
	struct kv_shard *shard = kv_store_lock(worker->store, item->hash);
	const enum kv_result result = store_item(worker, shard, item, mode, compare, cas);

	kv_shard_release(shard, item);
	kv_shard_unlock(shard);
	kv_count(&worker->counters.sets);
	return result;
}

/* ---- others ---- */

enum kv_result kv_delete(struct kv_worker *worker, const struct kv_key *key, uint64_t cas)
{
	struct kv_shard *shard = kv_store_lock(worker->store, key->hash);
	struct kv_item *item = kv_shard_find(shard, key, worker->now_s);
	enum kv_result result = KV_NOT_FOUND;

	if (item != NULL && cas != 0 && cas != item->cas) {
		result = KV_EXISTS;
	} else if (item != NULL) {
		kv_shard_unlink(shard, item);
		result = KV_DONE;
	}
	kv_shard_unlock(shard);
	if (result != KV_EXISTS)
		kv_count(result == KV_DONE ? &worker->counters.delete_hits : &worker->counters.delete_misses);
	return result;
}

static void put_number(struct kv_item *item, const uint8_t *digits, size_t length)
{
	uint8_t *value = kv_item_value(item);

	memcpy(value, digits, length);
	memset(value + length, ' ', item->value_bytes - length);
	memcpy(value + item->value_bytes, "\r\n", KV_TAIL);
}

/* Writes the number over the old one if it has room there and nobody is sending it. */
static enum kv_result store_number(struct kv_worker *worker, struct kv_shard *shard, struct kv_item *old,
				   uint64_t number, uint64_t *cas)
{
	const struct kv_key key = {old->data, old->key_bytes, old->hash};
	uint8_t digits[KV_DECIMAL_MAX];
	const size_t length = kv_number_format(digits, number);

	if (length <= old->value_bytes && old->references == 0) {
		put_number(old, digits, length);
		old->cas = kv_shard_next_cas(shard);
		kv_shard_use(shard, old, worker->now_s);
		*cas = old->cas;
		return KV_DONE;
	}
	/* Padded as it would be in place: whether a reply is under way must not be seen. */
	const uint32_t bytes = length > old->value_bytes ? (uint32_t)length : old->value_bytes;
	kv_item_hold(old);
	struct kv_item *item = kv_shard_reserve(shard, &key, old->flags, old->expires_s, bytes, worker->now_s);
	kv_shard_release(shard, old);
	if (item == NULL) {
		kv_count(&worker->counters.no_memory);
		return KV_NO_MEMORY;
	}
	put_number(item, digits, length);
	replace(shard, old, item, kv_shard_next_cas(shard), worker->now_s);
	*cas = item->cas;
	kv_shard_release(shard, item);
	return KV_DONE;
}

static enum kv_result add(struct kv_worker *worker, struct kv_shard *shard, struct kv_item *item, bool increment,
			  uint64_t delta, uint64_t *cas, uint64_t *value)
{
	uint64_t number;

	if (item->value_bytes == 0)
		return KV_NON_NUMERIC;
	if (*cas != 0 && *cas != item->cas)
		return KV_EXISTS;
	if (!kv_number_unsigned(kv_item_value(item), item->value_bytes, &number))
		return KV_NON_NUMERIC;
	if (increment)
		number += delta;
	else
		number -= delta < number ? delta : number;
	kv_count(increment ? &worker->counters.increment_hits : &worker->counters.decrement_hits);
	*value = number;
	return store_number(worker, shard, item, number, cas);
}

enum kv_result kv_arithmetic(struct kv_worker *worker, const struct kv_key *key, bool increment, uint64_t delta,
			     uint64_t *cas, uint64_t *value)
{
	struct kv_shard *shard = kv_store_lock(worker->store, key->hash);
	struct kv_item *item = kv_shard_find(shard, key, worker->now_s);
	enum kv_result result = KV_NOT_FOUND;

	if (item != NULL)
		result = add(worker, shard, item, increment, delta, cas, value);
	else
		kv_count(increment ? &worker->counters.increment_misses : &worker->counters.decrement_misses);
	kv_shard_unlock(shard);
	return result;
}

void kv_flush(struct kv_worker *worker, int64_t delay)
{
	const uint32_t at_s = delay > 0 ? kv_expiry(worker, delay) : worker->now_s;

	kv_store_flush(worker->store, at_s - 1, worker->now_s);
	kv_count(&worker->counters.flushes);
}
