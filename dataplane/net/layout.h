// SPDX-License-Identifier: Apache-2.0
/*
 * Cutting the caller's one block of memory into arrays. A part's *_lay() function takes its arrays in a fixed order;
 * run with `base` NULL it only adds up, so that size and layout cannot disagree.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { LAYOUT_ALIGN = 64 }; /* bytes: a cache line, so that no two arrays share one */

struct layout {
	uint8_t *base; /* LAYOUT_ALIGN-aligned, or NULL: only count */
	size_t used;   /* bytes */
};

/* The next `count` elements of `size` bytes; NULL while counting. */
static inline void *layout_take(struct layout *layout, size_t count, size_t size)
{
	size_t at = layout->used;
	layout->used += (count * size + LAYOUT_ALIGN - 1) / LAYOUT_ALIGN * LAYOUT_ALIGN;
	return layout->base == NULL ? NULL : layout->base + at;
}

/* The smallest power of two that is at least `n`, which is 1 .. 2^31: for hash tables. */
static inline uint32_t layout_power_of_two(uint32_t n)
{
	return n <= 1 ? 1 : 1U << (32 - __builtin_clz(n - 1));
}
