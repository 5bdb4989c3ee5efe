// SPDX-License-Identifier: Apache-2.0
#include "user/rx_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"

int rx_pool_init(struct rx_pool *pool, uint32_t connections, uint32_t per_connection, uint32_t buffer_bytes)
{
	size_t buffers = (size_t)connections * per_connection;
	*pool = (struct rx_pool){.buffer_bytes = buffer_bytes, .per_connection = per_connection};
	if (buffers > UINT32_MAX || __builtin_mul_overflow(buffers, (size_t)buffer_bytes, &pool->memory_bytes))
		return -EINVAL;
	pool->free = calloc(buffers, sizeof(*pool->free));
	pool->pieces = calloc(buffers, sizeof(*pool->pieces));
	void *memory = mmap(NULL, pool->memory_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory != MAP_FAILED)
		pool->memory = memory;
	if (pool->free == NULL || pool->pieces == NULL || pool->memory == NULL) {
		rx_pool_free(pool);
		return -ENOMEM;
	}
	return 0;
}

void rx_pool_free(struct rx_pool *pool)
{
	if (pool->memory != NULL)
		munmap(pool->memory, pool->memory_bytes);
	free(pool->free);
	free(pool->pieces);
	*pool = (struct rx_pool){0};
}

static uint32_t next_buffer(const struct rx_pool *pool)
{
	return pool->free_count > 0 ? pool->free[pool->free_count - 1] : pool->untouched;
}

uint8_t *rx_pool_next(struct rx_pool *pool)
{
	size_t offset = (size_t)next_buffer(pool) * pool->buffer_bytes;
	RB_DEBUG_ASSERT_LT(offset, pool->memory_bytes);
	return pool->memory + offset;
}

static struct rx_piece *piece_at(struct rx_pool *pool, uint32_t index, uint32_t position)
{
	return &pool->pieces[(size_t)index * pool->per_connection + position % pool->per_connection];
}

void rx_pool_commit(struct rx_pool *pool, uint32_t index, struct rx_held *held, uint32_t bytes)
{
	RB_DEBUG_ASSERT(rx_pool_open(pool, held));
	RB_DEBUG_ASSERT_LE(bytes, pool->buffer_bytes);
	*piece_at(pool, index, held->first + held->count) =
		(struct rx_piece){.buffer = next_buffer(pool), .remaining = bytes};
	if (pool->free_count > 0)
		pool->free_count--;
	else
		pool->untouched++;
	held->count++;
	held->bytes += bytes;
}

bool rx_pool_return(struct rx_pool *pool, uint32_t index, struct rx_held *held, uint64_t bytes)
{
	if (bytes > held->bytes)
		return false;
	if (held->count == 1 && bytes == held->bytes) { /* the rule: all of the one buffer */
		pool->free[pool->free_count++] = piece_at(pool, index, held->first)->buffer;
		*held = (struct rx_held){0};
		return true;
	}
	held->bytes -= bytes;
	while (bytes > 0) {
		struct rx_piece *piece = piece_at(pool, index, held->first);
		if (bytes < piece->remaining) {
			piece->remaining -= (uint32_t)bytes;
			break;
		}
		bytes -= piece->remaining;
		pool->free[pool->free_count++] = piece->buffer;
		held->first = (held->first + 1) % pool->per_connection;
		held->count--;
	}
	return true;
}
