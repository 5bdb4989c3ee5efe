// SPDX-License-Identifier: Apache-2.0
/*
 * Which ranges of an address range are free: a sorted array of them, neighbours merged. Addresses and lengths are bytes
 * and multiples of the caller's page. Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rb_area {
	uint64_t start, end; /* end is not part of it */
};

struct rb_areas {
	struct rb_area *free; /* ascending, not empty, not touching each other */
	uint32_t count, capacity;
	uint64_t start, end; /* of the whole */
};

/* All of [start, end) is free. 0 or -ENOMEM */
int rb_areas_init(struct rb_areas *areas, uint64_t start, uint64_t end);
void rb_areas_destroy(struct rb_areas *areas);

/*
 * Takes the highest free range of `bytes` whose start is a multiple of `align`, a power of two. 0, with the start in
 * *start; or -ENOMEM: none is left.
 */
int rb_areas_take(struct rb_areas *areas, uint64_t bytes, uint64_t align, uint64_t *start);

/* Takes exactly that range. 0; -EEXIST: part of it is not free, or not in the whole; -ENOMEM */
int rb_areas_take_at(struct rb_areas *areas, uint64_t start, uint64_t bytes);

/* Makes all of the range free, parts of which may be already. 0; -ENOMEM: nothing has changed */
int rb_areas_give(struct rb_areas *areas, uint64_t start, uint64_t bytes);

/* Whether all of the range is free. */
bool rb_areas_free(const struct rb_areas *areas, uint64_t start, uint64_t bytes);
