// SPDX-License-Identifier: Apache-2.0
#include "core/areas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { CAPACITY_START = 64 };

int rb_areas_init(struct rb_areas *areas, uint64_t start, uint64_t end)
{
	RB_ASSERT_LT(start, end);
	*areas = (struct rb_areas){.capacity = CAPACITY_START, .count = 1, .start = start, .end = end};
	areas->free = calloc(areas->capacity, sizeof(*areas->free));
	if (areas->free == NULL)
		return -ENOMEM;
	areas->free[0] = (struct rb_area){start, end};
	return 0;
}

void rb_areas_destroy(struct rb_areas *areas)
{
	free(areas->free);
	areas->free = NULL;
}

/* Room for one range more. */
static int reserve(struct rb_areas *areas)
{
	if (areas->count < areas->capacity)
		return 0;
	struct rb_area *grown = realloc(areas->free, sizeof(*grown) * 2 * areas->capacity);
	if (grown == NULL)
		return -ENOMEM;
	areas->free = grown;
	areas->capacity *= 2;
	return 0;
}

/* Puts `area` in the place of `replaced` ranges from `index` on; 0 or more. Its room is reserved. */
static void replace(struct rb_areas *areas, uint32_t index, uint32_t replaced, struct rb_area area)
{
	memmove(&areas->free[index + 1], &areas->free[index + replaced],
		sizeof(area) * (areas->count - index - replaced));
	areas->free[index] = area;
	areas->count = areas->count + 1 - replaced;
}

static void remove_at(struct rb_areas *areas, uint32_t index)
{
	memmove(&areas->free[index], &areas->free[index + 1], sizeof(*areas->free) * (areas->count - index - 1));
	areas->count--;
}

/* Cuts [start, end) out of the range `index`, of which it is part. */
static int cut(struct rb_areas *areas, uint32_t index, uint64_t start, uint64_t end)
{
	struct rb_area whole = areas->free[index];
	if (whole.start < start && end < whole.end) {
		if (reserve(areas) != 0)
			return -ENOMEM;
		areas->free[index].start = end;
		replace(areas, index, 0, (struct rb_area){whole.start, start});
	} else if (whole.start < start) {
		areas->free[index].end = start;
	} else if (end < whole.end) {
		areas->free[index].start = end;
	} else {
		remove_at(areas, index);
	}
	return 0;
}

int rb_areas_take(struct rb_areas *areas, uint64_t bytes, uint64_t align, uint64_t *start)
{
	RB_ASSERT(bytes > 0 && align > 0 && (align & (align - 1)) == 0);
	for (uint32_t i = areas->count; i-- > 0;) {
		struct rb_area area = areas->free[i];
		if (area.end - area.start < bytes)
			continue;
		uint64_t at = (area.end - bytes) & ~(align - 1);
		if (at < area.start)
			continue;
		*start = at;
		return cut(areas, i, at, at + bytes);
	}
	return -ENOMEM;
}

/* The range that all of [start, start + bytes) is part of; or `count`. */
static uint32_t find(const struct rb_areas *areas, uint64_t start, uint64_t bytes)
{
	for (uint32_t i = 0; i < areas->count; i++) {
		const struct rb_area *area = &areas->free[i];
		if (start >= area->start && start < area->end && bytes <= area->end - start)
			return i;
	}
	return areas->count;
}

int rb_areas_take_at(struct rb_areas *areas, uint64_t start, uint64_t bytes)
{
	RB_ASSERT_GT(bytes, 0U);
	uint32_t index = find(areas, start, bytes);
	return index < areas->count ? cut(areas, index, start, start + bytes) : -EEXIST;
}

int rb_areas_give(struct rb_areas *areas, uint64_t start, uint64_t bytes)
{
	RB_ASSERT(bytes > 0 && start >= areas->start && start < areas->end && bytes <= areas->end - start);
	struct rb_area area = {start, start + bytes};
	uint32_t first = 0, after;
	if (reserve(areas) != 0)
		return -ENOMEM;
	while (first < areas->count && areas->free[first].end < area.start)
		first++;
	for (after = first; after < areas->count && areas->free[after].start <= area.end; after++) {
		if (areas->free[after].start < area.start)
			area.start = areas->free[after].start;
		if (areas->free[after].end > area.end)
			area.end = areas->free[after].end;
	}
	replace(areas, first, after - first, area);
	return 0;
}

bool rb_areas_free(const struct rb_areas *areas, uint64_t start, uint64_t bytes)
{
	return find(areas, start, bytes) < areas->count;
}
