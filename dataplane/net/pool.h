// SPDX-License-Identifier: Apache-2.0
/*
 * Which elements of an array are free: a stack of indices. The array itself is the caller's, of any type, and so is the
 * array of links, one per element. What was given back last is given out first, as it is still in the cache.
 */
#pragma once

#include "base/assert.h"

#include <stdbool.h>
#include <stdint.h>

/* No index: the pool is empty. */
#define POOL_NONE UINT32_MAX
/* The link of an element that is in use. */
#define POOL_TAKEN (UINT32_MAX - 1U)

struct pool {
	uint32_t *links; /* borrowed; of a free element the next free one */
	uint32_t free;	 /* first free element, POOL_NONE: none */
	uint32_t used;	 /* elements in use */
	uint32_t count;	 /* elements */
};

/* All of 0 .. count-1 are free; they come in this order. `links`: room for count. */
static inline void pool_init(struct pool *pool, uint32_t *links, uint32_t count)
{
	RB_ASSERT_LT(count, POOL_TAKEN);
	*pool = (struct pool){.links = links, .free = count > 0 ? 0 : POOL_NONE, .count = count};
	for (uint32_t i = 0; i < count; i++)
		links[i] = i + 1U < count ? i + 1U : POOL_NONE;
}

/* Takes an element out; POOL_NONE when all are in use. */
static inline uint32_t pool_get(struct pool *pool)
{
	const uint32_t index = pool->free;

	if (__builtin_expect(index == POOL_NONE, 0))
		return POOL_NONE;
	pool->free = pool->links[index];
	pool->links[index] = POOL_TAKEN;
	pool->used++;
	return index;
}

static inline bool pool_taken(const struct pool *pool, uint32_t index)
{
	return index < pool->count && pool->links[index] == POOL_TAKEN;
}

/* Gives an element back that pool_get() gave out. */
static inline void pool_put(struct pool *pool, uint32_t index)
{
	RB_DEBUG_ASSERT(pool_taken(pool, index));
	pool->links[index] = pool->free;
	pool->free = index;
	pool->used--;
}
