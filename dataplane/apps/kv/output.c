// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/output.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

enum { SLAB_SEGMENTS = 16 };

RB_BUILD_ASSERT(sizeof(struct kv_segment) == KV_SEGMENT_BYTES, "no padding");
RB_BUILD_ASSERT((unsigned)KV_OUTPUT_PIECES_MAX <= (unsigned)RB_SENDV_ENTRIES_MAX,
		"all of a connection's output fits one SENDV");
RB_BUILD_ASSERT(KV_RESERVE_MAX <= KV_SEGMENT_BYTES - 32, "a reservation fits an empty segment");

/* ---- pool ---- */

/* The first segment of a slab only keeps it in the list of slabs. */
static int grow_pool(struct kv_pool *pool)
{
	struct kv_segment *slab = aligned_alloc(64, SLAB_SEGMENTS * sizeof(*slab));

	if (slab == NULL)
		return -ENOMEM;
	slab[0].next = pool->slabs;
	pool->slabs = slab;
	for (unsigned i = 1; i < SLAB_SEGMENTS; i++) {
		slab[i].next = pool->free;
		pool->free = &slab[i];
	}
	return 0;
}

static struct kv_segment *take(struct kv_pool *pool)
{
	if (pool->free == NULL && grow_pool(pool) != 0)
		return NULL;
	struct kv_segment *segment = pool->free;
	pool->free = segment->next;
	return segment;
}

static void give(struct kv_pool *pool, struct kv_segment *segment)
{
	if (segment->item != NULL)
		kv_store_release(pool->store, segment->item);
	segment->next = pool->free;
	pool->free = segment;
}

int kv_pool_init(struct kv_pool *pool, const struct kv_store *store)
{
	*pool = (struct kv_pool){.store = store};
	pool->spilt = take(pool);
	return pool->spilt != NULL ? 0 : -ENOMEM;
}

void kv_pool_free(struct kv_pool *pool)
{
	while (pool->slabs != NULL) {
		struct kv_segment *next = pool->slabs->next;
		free(pool->slabs);
		pool->slabs = next;
	}
}

/* ---- appending ---- */

void kv_output_init(struct kv_output *output, struct kv_pool *pool)
{
	*output = (struct kv_output){.pool = pool};
}

void kv_output_clear(struct kv_output *output)
{
	while (output->head != NULL) {
		struct kv_segment *next = output->head->next;
		give(output->pool, output->head);
		output->head = next;
	}
	kv_output_init(output, output->pool);
}

uint8_t *kv_output_grow(struct kv_output *output)
{
	struct kv_segment *segment = output->failed ? NULL : take(output->pool);

	RB_DEBUG_ASSERT_LT(output->count, (uint32_t)KV_OUTPUT_MAX);
	if (segment == NULL) {
		output->failed = true;
		output->open = output->pool->spilt;
		output->open->used = 0;
		return output->open->data;
	}
	segment->next = NULL;
	segment->item = NULL;
	segment->item_bytes = 0;
	segment->used = 0;
	if (output->head == NULL)
		output->head = segment;
	else
		output->tail->next = segment;
	output->tail = segment;
	if (output->unqueued == NULL)
		output->unqueued = segment;
	output->open = segment;
	output->count++;
	return segment->data;
}

void kv_output_write(struct kv_output *output, const void *data, size_t length)
{
	const uint8_t *from = data;

	while (length > 0) {
		const size_t part = length < KV_RESERVE_MAX ? length : KV_RESERVE_MAX;
		memcpy(kv_output_reserve(output, part), from, part);
		kv_output_commit(output, part);
		from += part;
		length -= part;
	}
}

void kv_output_item(struct kv_output *output, struct kv_item *item, const uint8_t *base, size_t bytes)
{
	if (output->open == NULL)
		kv_output_grow(output);
	if (output->failed) {
		kv_store_release(output->pool->store, item);
		return;
	}
	struct kv_segment *segment = output->open;
	segment->item = item;
	segment->item_base = base;
	segment->item_bytes = (uint32_t)bytes;
	output->open = NULL;
}

/* ---- sending ---- */

uint32_t kv_output_queue(struct kv_output *output, struct rb_sg *sg)
{
	uint32_t count = 0;

	output->last = output->unqueued;
	for (const struct kv_segment *segment = output->unqueued; segment != NULL; segment = segment->next) {
		if (segment->used > 0)
			sg[count++] = (struct rb_sg){segment->data, segment->used};
		if (segment->item_bytes > 0)
			sg[count++] = (struct rb_sg){segment->item_base, segment->item_bytes};
	}
	output->unqueued = NULL;
	output->open = NULL;
	return count;
}

void kv_output_refused(struct kv_output *output)
{
	if (output->last != NULL)
		output->unqueued = output->last;
	output->last = NULL;
}

void kv_output_release_any(struct kv_output *output, uint64_t bytes)
{
	while (bytes > 0) {
		struct kv_segment *segment = output->head;
		RB_DEBUG_ASSERT(segment != NULL && segment != output->unqueued);
		const uint32_t left = segment->used + segment->item_bytes - output->released;
		if (bytes < left) {
			output->released += (uint32_t)bytes;
			return;
		}
		bytes -= left;
		output->released = 0;
		output->head = segment->next;
		output->count--;
		give(output->pool, segment);
	}
}
