// SPDX-License-Identifier: Apache-2.0
#include "user/tx_queue.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

int tx_pool_init(struct tx_pool *pool, uint32_t count)
{
	*pool = (struct tx_pool){.count = count};
	pool->entries = calloc(count, sizeof(*pool->entries));
	return pool->entries != NULL ? 0 : -ENOMEM;
}

void tx_pool_free(struct tx_pool *pool)
{
	free(pool->entries);
	*pool = (struct tx_pool){0};
}

static uint32_t take_entry(struct tx_pool *pool)
{
	RB_DEBUG_ASSERT_LT(pool->used, pool->count);
	pool->used++;
	if (pool->free == 0)
		return ++pool->untouched;
	uint32_t number = pool->free;
	pool->free = pool->entries[number - 1].next;
	return number;
}

static void give_entry(struct tx_pool *pool, uint32_t number)
{
	pool->entries[number - 1].next = pool->free;
	pool->free = number;
	pool->used--;
}

static void append_one(struct tx_pool *pool, struct tx_queue *queue, struct rb_sg sg)
{
	uint32_t number = take_entry(pool);
	pool->entries[number - 1] = (struct tx_entry){.sg = sg};
	if (queue->tail != 0)
		pool->entries[queue->tail - 1].next = number;
	else
		queue->head = number;
	queue->tail = number;
	queue->bytes += sg.length;
}

int tx_queue_append(struct tx_pool *pool, struct tx_queue *queue, const struct rb_sg *sg, uint32_t count)
{
	struct rb_sg copy[RB_SENDV_ENTRIES_MAX]; /* the application may change its list while we look at it */
	uint64_t total = queue->bytes;
	RB_ASSERT_LE(count, RB_SENDV_ENTRIES_MAX + 0U);
	for (uint32_t i = 0; i < count; i++) {
		copy[i] = sg[i];
		if (copy[i].base == NULL && copy[i].length > 0)
			return -EFAULT;
		if (__builtin_add_overflow(total, copy[i].length, &total))
			return -EINVAL;
	}
	if (total == queue->bytes)
		return -EINVAL;
	if (count > pool->count - pool->used)
		return -ENOBUFS;
	for (uint32_t i = 0; i < count; i++) {
		if (copy[i].length > 0)
			append_one(pool, queue, copy[i]);
	}
	return 0;
}

uint32_t tx_queue_peek(const struct tx_pool *pool, const struct tx_queue *queue, struct iovec *vector, uint32_t max)
{
	uint32_t count = 0;
	for (uint32_t number = queue->head; number != 0 && count < max; number = pool->entries[number - 1].next) {
		const struct rb_sg *sg = &pool->entries[number - 1].sg;
		vector[count].iov_base = (void *)(uintptr_t)sg->base; /* iovec is not const, sendmsg is */
		vector[count++].iov_len = sg->length;
	}
	return count;
}

void tx_queue_release(struct tx_pool *pool, struct tx_queue *queue, uint64_t bytes)
{
	RB_ASSERT_LE(bytes, queue->bytes);
	queue->bytes -= bytes;
	while (bytes > 0) {
		uint32_t number = queue->head;
		struct tx_entry *entry = &pool->entries[number - 1];
		if (bytes < entry->sg.length) {
			entry->sg.base = (const char *)entry->sg.base + bytes;
			entry->sg.length -= bytes;
			return;
		}
		bytes -= entry->sg.length;
		queue->head = entry->next;
		give_entry(pool, number);
	}
	if (queue->head == 0)
		queue->tail = 0;
}
