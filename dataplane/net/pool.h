// SPDX-License-Identifier: Apache-2.0
/*
 * Which elements of an array are free: a stack of their indices. The array itself is the caller's, of any type, and so
 * is the stack, with room for each index. What was given back last is given out first, as it is still in the cache.
 */
#pragma once

#include "base/assert.h"

#include <stdbool.h>
#include <stdint.h>

/* No index: the pool is empty. */
#define POOL_NONE UINT32_MAX

struct pool {
	uint32_t *stack; /* borrowed; the first `free` are the free elements */
	uint32_t free;	 /* elements */
	uint32_t count;	 /* elements, free or not */
};

/* All of 0 .. count-1 are free; they come in this order. `stack`: room for count. */
static inline void pool_init(struct pool *pool, uint32_t *stack, uint32_t count)
{
	RB_ASSERT_LT(count, POOL_NONE);
	*pool = (struct pool){.stack = stack, .free = count, .count = count};
	for (uint32_t i = 0; i < count; i++)
		stack[i] = count - 1 - i;
}

/* Elements in use. */
static inline uint32_t pool_used(const struct pool *pool)
{
	return pool->count - pool->free;
}

/* Takes an element out; there must be one. */
static inline uint32_t pool_take(struct pool *pool)
{
	RB_DEBUG_ASSERT(pool->free > 0);
	return pool->stack[--pool->free];
}

/* Takes an element out; POOL_NONE when all are in use. */
static inline uint32_t pool_get(struct pool *pool)
{
	if (__builtin_expect(pool->free == 0, 0))
		return POOL_NONE;
	return pool->stack[--pool->free];
}

/* Gives an element back that pool_get() gave out. */
static inline void pool_put(struct pool *pool, uint32_t index)
{
	RB_DEBUG_ASSERT(index < pool->count && pool->free < pool->count);
	pool->stack[pool->free++] = index;
}
