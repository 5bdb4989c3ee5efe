// SPDX-License-Identifier: Apache-2.0
/*
 * Memory for items: one block, cut into pages, each of which serves chunks of one class. Sizes of classes grow by a
 * quarter, so that at most a fifth of a chunk is wasted. No call allocates after kv_slab_init(); memory is touched
 * only when a chunk is used for the first time. No locks.
 */
#pragma once

#include "apps/kv/item.h"

#include <stdbool.h>

enum {
	KV_CLASSES_MAX = 64,
	KV_SLAB_SMALL = 4096, /* sizes below it find their class in a table */
	KV_SLAB_GRAIN = 16,
};

struct kv_page {
	uint32_t carved;     /* chunks that have been used */
	uint8_t class_index; /* of its chunks */
};

struct kv_class {
	uint32_t chunk_bytes;
	uint32_t per_page;
	struct kv_item *free; /* linked by `older`, and back by `newer` */
	uint32_t carving;     /* page number + 1 of the page with unused chunks; 0: none */
	uint32_t pages;
};

struct kv_slab {
	uint8_t *memory;
	uint32_t page_bytes;
	uint32_t pages_max, pages_used;
	struct kv_page *pages;
	unsigned classes_count;
	struct kv_class classes[KV_CLASSES_MAX];
	uint8_t small[KV_SLAB_SMALL / KV_SLAB_GRAIN + 1]; /* class by size in grains */
};

/*
 * `memory_bytes`: of the block; `item_bytes_max`: the largest item with its header. Returns 0, -EINVAL (less than one
 * page) or -ENOMEM.
 */
int kv_slab_init(struct kv_slab *slab, uint64_t memory_bytes, uint32_t item_bytes_max);
void kv_slab_free(struct kv_slab *slab);

/* The class of the smallest chunks that hold so many bytes, at most item_bytes_max. */
unsigned kv_slab_class(const struct kv_slab *slab, size_t bytes);

/* A chunk of the class, reserved and otherwise undefined, or NULL: none is free and no page is left. */
struct kv_item *kv_slab_take(struct kv_slab *slab, unsigned class_index);
void kv_slab_give(struct kv_slab *slab, struct kv_item *item);

/* The number of the page that the item is in, and its chunk number `index` below `carved`. */
uint32_t kv_slab_page_of(const struct kv_slab *slab, const struct kv_item *item);
struct kv_item *kv_slab_chunk(const struct kv_slab *slab, uint32_t page, uint32_t index);

/* Gives a page, all chunks of which are free, to another class. */
void kv_slab_move_page(struct kv_slab *slab, uint32_t page, unsigned class_index);
