// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/store.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "apps/kv/number.h"
#include "base/assert.h"
#include "base/random.h"

enum {
	BYTES_PER_BUCKET = 256, /* of item memory */
	SHARD_PAGES_MIN = 64,	/* each size class of a shard wants a page: fewer shards rather than smaller ones */
	EVICTION_TRIES = 16,	/* oldest items that are looked at: held ones stay */
	LOCK_SPINS = 64,	/* before the other one gets the CPU */
};

/* ---- life ---- */

static unsigned count_shards(const struct kv_store_config *config)
{
	unsigned count = 1;

	if (config->threads <= 1)
		return 1;
	while (count < 2 * config->threads &&
	       config->memory_bytes / (2 * (uint64_t)count) >= (uint64_t)SHARD_PAGES_MIN * config->item_bytes_max)
		count *= 2;
	return count;
}

static int open_shard(struct kv_shard *shard, const struct kv_store_config *config, unsigned shards)
{
	const uint64_t memory = config->memory_bytes / shards;
	uint64_t buckets = 64;

	while (buckets < memory / BYTES_PER_BUCKET)
		buckets *= 2;
	shard->bucket_mask = buckets - 1;
	shard->flush_s = UINT32_MAX;
	shard->cas = 1; /* as memcached's first is 2 */
	shard->shared = config->threads > 1;
	atomic_init(&shard->locked, false);
	/* The header and the suffix may take a little more than memcached's count of them. */
	int result = kv_slab_init(&shard->slab, memory,
				  config->item_bytes_max + (uint32_t)sizeof(struct kv_item) + KV_SUFFIX_MAX);
	if (result != 0)
		return result;
	shard->buckets = calloc(buckets, sizeof(struct kv_item *));
	return shard->buckets != NULL ? 0 : -ENOMEM;
}

int kv_store_create(const struct kv_store_config *config, struct kv_store **store)
{
	struct rb_random random;
	struct kv_store *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return -ENOMEM;
	made->config = *config;
	rb_random_init(&random, config->seed, 0);
	for (unsigned i = 0; i < 2; i++)
		made->secret.word[i] = rb_random_u64(&random) | 1;
	made->shards_count = count_shards(config);
	made->shard_shift = 32 - (unsigned)__builtin_ctz(made->shards_count);
	made->shards = aligned_alloc(_Alignof(struct kv_shard), made->shards_count * sizeof(*made->shards));
	if (made->shards == NULL) {
		free(made);
		return -ENOMEM;
	}
	memset(made->shards, 0, made->shards_count * sizeof(*made->shards));
	int result = 0;
	for (unsigned i = 0; result == 0 && i < made->shards_count; i++)
		result = open_shard(&made->shards[i], config, made->shards_count);
	if (result != 0) {
		kv_store_destroy(made);
		return result;
	}
	*store = made;
	return 0;
}

void kv_store_destroy(struct kv_store *store)
{
	if (store == NULL)
		return;
	for (unsigned i = 0; i < store->shards_count; i++) {
		kv_slab_free(&store->shards[i].slab);
		free(store->shards[i].buckets);
	}
	free(store->shards);
	free(store);
}

void kv_shard_lock(struct kv_shard *shard)
{
	for (unsigned spins = 0; atomic_exchange_explicit(&shard->locked, true, memory_order_acquire); spins++) {
		while (atomic_load_explicit(&shard->locked, memory_order_relaxed)) {
			if (++spins % LOCK_SPINS == 0)
				sched_yield(); /* the holder may have lost its CPU */
			else
				__builtin_ia32_pause();
		}
	}
}

/* ---- table and lists ---- */

static size_t item_bytes(const struct kv_item *item)
{
	return offsetof(struct kv_item, data) + kv_item_text_bytes(item);
}

struct kv_item *kv_shard_bury(struct kv_shard *shard, struct kv_item *item)
{
	kv_shard_unlink(shard, item);
	return NULL;
}

void kv_shard_link(struct kv_shard *shard, struct kv_item *item, uint64_t cas, uint32_t now_s)
{
	struct kv_item **bucket = kv_shard_bucket(shard, item->hash);

	RB_DEBUG_ASSERT(item->state == KV_ITEM_RESERVED);
	item->state = KV_ITEM_LINKED;
	item->cas = cas;
	item->linked_s = now_s;
	item->used = (uint8_t)now_s;
	item->next = *bucket;
	*bucket = item;
	kv_lru_enter(&shard->lru[item->class_index], item);
	shard->counters.items++;
	shard->counters.items_total++;
	shard->counters.bytes += item_bytes(item);
}

void kv_shard_unlink(struct kv_shard *shard, struct kv_item *item)
{
	struct kv_item **at = kv_shard_bucket(shard, item->hash);

	RB_DEBUG_ASSERT(item->state == KV_ITEM_LINKED);
	while (*at != item)
		at = &(*at)->next;
	*at = item->next;
	kv_lru_leave(&shard->lru[item->class_index], item);
	shard->counters.items--;
	shard->counters.bytes -= item_bytes(item);
	item->state = KV_ITEM_RESERVED;
	if (item->references == 0)
		kv_slab_give(&shard->slab, item);
}

void kv_shard_release(struct kv_shard *shard, struct kv_item *item)
{
	RB_DEBUG_ASSERT_GT(item->references, 0U);
	if (--item->references == 0 && item->state == KV_ITEM_RESERVED)
		kv_slab_give(&shard->slab, item);
}

void kv_store_release(const struct kv_store *store, struct kv_item *item)
{
	struct kv_shard *shard = kv_store_lock(store, item->hash);

	kv_shard_release(shard, item);
	kv_shard_unlock(shard);
}

/* ---- memory ---- */

static void evict(struct kv_shard *shard, struct kv_item *item, uint32_t now_s)
{
	if (kv_item_is_dead(shard, item, now_s))
		shard->counters.reclaimed++;
	else
		shard->counters.evictions++;
	kv_shard_unlink(shard, item);
}

static bool evict_oldest(struct kv_shard *shard, unsigned class_index, uint32_t now_s)
{
	struct kv_item *item = shard->lru[class_index].oldest;

	for (unsigned tries = 0; item != NULL && tries < EVICTION_TRIES; tries++, item = item->newer) {
		if (item->references == 0) {
			evict(shard, item, now_s);
			return true;
		}
	}
	return false;
}

static bool page_is_held(const struct kv_shard *shard, uint32_t page)
{
	for (uint32_t i = 0; i < shard->slab.pages[page].carved; i++) {
		const struct kv_item *item = kv_slab_chunk(&shard->slab, page, i);
		if (item->state != KV_ITEM_FREE && item->references > 0)
			return true;
	}
	return false;
}

static void empty_page(struct kv_shard *shard, uint32_t page, uint32_t now_s)
{
	for (uint32_t i = 0; i < shard->slab.pages[page].carved; i++) {
		struct kv_item *item = kv_slab_chunk(&shard->slab, page, i);
		if (item->state == KV_ITEM_LINKED)
			evict(shard, item, now_s);
	}
}

/* The page of another class whose items were stored longest ago, roughly: pages are compared by one of their items. */
static bool find_donor(const struct kv_shard *shard, unsigned class_index, uint32_t *donor)
{
	uint32_t oldest_s = UINT32_MAX;
	bool found = false;

	for (uint32_t page = 0; page < shard->slab.pages_used; page++) {
		if (shard->slab.pages[page].class_index == class_index)
			continue;
		const struct kv_item *first = kv_slab_chunk(&shard->slab, page, 0);
		const uint32_t stored_s = first->state == KV_ITEM_LINKED ? first->linked_s : 0;
		if (stored_s < oldest_s && !page_is_held(shard, page)) {
			oldest_s = stored_s;
			*donor = page;
			found = true;
		}
	}
	return found;
}

/*
 * A class that has nothing to evict, which is one without a page or with all items held, takes a page from another. A
 * class that has something evicts its own, even if items of other sizes have not been asked for since long.
 */
static struct kv_item *take_by_force(struct kv_shard *shard, unsigned class_index, uint32_t now_s)
{
	uint32_t donor;

	if (!evict_oldest(shard, class_index, now_s)) {
		if (!find_donor(shard, class_index, &donor)) {
			shard->counters.out_of_memory++;
			return NULL;
		}
		empty_page(shard, donor, now_s);
		kv_slab_move_page(&shard->slab, donor, class_index);
		shard->counters.pages_moved++;
	}
	return kv_slab_take(&shard->slab, class_index);
}

static uint8_t put_suffix(uint8_t *to, uint32_t flags, uint32_t value_bytes)
{
	uint8_t *at = to;

	*at++ = ' ';
	if (flags == 0)
		*at++ = '0';
	else
		at += kv_number_format(at, flags);
	*at++ = ' ';
	at += kv_number_format(at, value_bytes);
	*at++ = '\r';
	*at++ = '\n';
	return (uint8_t)(at - to);
}

struct kv_item *kv_shard_reserve(struct kv_shard *shard, const struct kv_key *key, uint32_t flags, uint32_t expires_s,
				 uint32_t value_bytes, uint32_t now_s)
{
	uint8_t suffix[KV_SUFFIX_MAX];
	const uint8_t suffix_bytes = put_suffix(suffix, flags, value_bytes);
	const size_t bytes =
		offsetof(struct kv_item, data) + key->length + suffix_bytes + (size_t)value_bytes + KV_TAIL;
	const unsigned class_index = kv_slab_class(&shard->slab, bytes);
	struct kv_item *item = kv_slab_take(&shard->slab, class_index);

	if (item == NULL)
		item = take_by_force(shard, class_index, now_s);
	if (item == NULL)
		return NULL;
	item->hash = key->hash;
	item->expires_s = expires_s;
	item->flags = flags;
	item->value_bytes = value_bytes;
	item->references = 1;
	item->key_bytes = (uint8_t)key->length;
	item->suffix_bytes = suffix_bytes & 63;
	kv_copy(item->data, key->bytes, key->length);
	kv_copy_short(item->data + key->length, suffix, suffix_bytes);
	return item;
}

/* ---- all shards ---- */

void kv_store_flush(struct kv_store *store, uint32_t at_s, uint32_t now_s)
{
	for (unsigned i = 0; i < store->shards_count; i++) {
		struct kv_shard *shard = &store->shards[i];
		if (shard->shared)
			kv_shard_lock(shard);
		shard->flush_s = at_s;
		if (at_s <= now_s)
			shard->flush_cas = shard->cas + 1;
		kv_shard_unlock(shard);
	}
}

void kv_store_count(struct kv_store *store, struct kv_shard_counters *sum)
{
	*sum = (struct kv_shard_counters){0};
	for (unsigned i = 0; i < store->shards_count; i++) {
		struct kv_shard *shard = &store->shards[i];
		if (shard->shared)
			kv_shard_lock(shard);
		sum->items += shard->counters.items;
		sum->bytes += shard->counters.bytes;
		sum->items_total += shard->counters.items_total;
		sum->evictions += shard->counters.evictions;
		sum->reclaimed += shard->counters.reclaimed;
		sum->pages_moved += shard->counters.pages_moved;
		sum->out_of_memory += shard->counters.out_of_memory;
		kv_shard_unlock(shard);
	}
}
