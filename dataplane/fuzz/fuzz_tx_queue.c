// SPDX-License-Identifier: Apache-2.0
/*
 * The decoder of SENDV lists, which holds what an application hands over. Input: operations of two bytes.
 * Promises: the queue holds exactly what was appended and not released, in order; lists are taken whole or not
 * at all; all entries come back.
 */
#include "fuzz/target.h"

#include <string.h>

#include "base/assert.h"
#include "user/tx_queue.h"

enum { ENTRIES = 8, MODEL_MAX = 1 << 16 };

static uint8_t memory[256];

/* The bytes that must be queued. */
struct model {
	uint8_t bytes[MODEL_MAX];
	size_t length;
};

static struct model model;

static void check(const struct tx_pool *pool, const struct tx_queue *queue)
{
	struct iovec vector[ENTRIES];
	size_t offset = 0;
	uint32_t count = tx_queue_peek(pool, queue, vector, ENTRIES);
	for (uint32_t i = 0; i < count; i++) {
		RB_ASSERT_LE(offset + vector[i].iov_len, model.length);
		RB_ASSERT(memcmp(vector[i].iov_base, model.bytes + offset, vector[i].iov_len) == 0);
		offset += vector[i].iov_len;
	}
	RB_ASSERT_EQ(offset, model.length);
	RB_ASSERT_EQ(queue->bytes, model.length);
	RB_ASSERT_EQ(pool->used, count);
}

/* `shape` gives the number of pieces, `seed` their places and lengths. */
static void append(struct tx_pool *pool, struct tx_queue *queue, uint8_t shape, uint8_t seed)
{
	struct rb_sg sg[4];
	uint32_t count = 1 + shape % 4U;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t start = (uint8_t)(seed * (i + 1));
		sg[i] = (struct rb_sg){.base = memory + start, .length = (seed >> i) % 64U};
		if (sg[i].length > sizeof(memory) - start)
			sg[i].length = sizeof(memory) - start;
		if (shape & 0x40)
			sg[i].length = UINT64_MAX - i; /* overflows */
	}
	if (shape & 0x20)
		sg[count - 1].base = NULL;
	if (tx_queue_append(pool, queue, sg, count) != 0)
		return;
	for (uint32_t i = 0; i < count; i++) {
		if (sg[i].length == 0)
			continue;
		RB_ASSERT(sg[i].base != NULL);
		RB_ASSERT_LE(sg[i].length, sizeof(memory));
		memcpy(model.bytes + model.length, sg[i].base, sg[i].length);
		model.length += sg[i].length;
	}
}

static void release(struct tx_pool *pool, struct tx_queue *queue, size_t bytes)
{
	if (bytes > model.length)
		bytes = model.length;
	tx_queue_release(pool, queue, bytes);
	memmove(model.bytes, model.bytes + bytes, model.length - bytes);
	model.length -= bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tx_pool pool;
	struct tx_queue queue = {0};
	RB_ASSERT_EQ(tx_pool_init(&pool, ENTRIES), 0);
	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)i;
	model.length = 0;
	for (size_t i = 0; i + 1 < size; i += 2) {
		/* one huge piece alone is legal for the queue, which never reads it; the model cannot hold it */
		if (data[i] & 0x80)
			release(&pool, &queue, data[i + 1]);
		else if ((data[i] & 0x40) == 0 || data[i] % 4U > 0)
			append(&pool, &queue, data[i], data[i + 1]);
		check(&pool, &queue);
	}
	release(&pool, &queue, model.length);
	check(&pool, &queue);
	tx_pool_free(&pool);
	return 0;
}
