// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/slab.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

enum { SMALLEST = 96 };

static uint32_t round_up(uint64_t bytes, uint32_t unit)
{
	return (uint32_t)((bytes + unit - 1) / unit * unit);
}

static void add_class(struct kv_slab *slab, uint32_t chunk_bytes)
{
	RB_ASSERT_LT(slab->classes_count, (unsigned)KV_CLASSES_MAX);
	struct kv_class *class = &slab->classes[slab->classes_count++];
	class->chunk_bytes = chunk_bytes;
	class->per_page = slab->page_bytes / chunk_bytes;
}

/* By a quarter each time; at the end the whole parts of a page, of which nothing is wasted. */
static void make_classes(struct kv_slab *slab)
{
	uint32_t size = SMALLEST;

	for (; size < slab->page_bytes / 4; size = round_up((uint64_t)size * 5 / 4, KV_SLAB_GRAIN))
		add_class(slab, size);
	for (uint32_t parts = 4; parts > 0; parts--) {
		size = slab->page_bytes / parts / KV_SLAB_GRAIN * KV_SLAB_GRAIN;
		if (slab->classes_count == 0 || size > slab->classes[slab->classes_count - 1].chunk_bytes)
			add_class(slab, size);
	}
	unsigned index = 0;
	for (uint32_t grains = 0; grains <= KV_SLAB_SMALL / KV_SLAB_GRAIN; grains++) {
		while (index + 1 < slab->classes_count && slab->classes[index].chunk_bytes < grains * KV_SLAB_GRAIN)
			index++;
		slab->small[grains] = (uint8_t)index;
	}
}

int kv_slab_init(struct kv_slab *slab, uint64_t memory_bytes, uint32_t item_bytes_max)
{
	const uint32_t page_bytes = round_up(item_bytes_max, 64);
	const uint64_t pages = memory_bytes / page_bytes;

	*slab = (struct kv_slab){.page_bytes = page_bytes};
	if (pages == 0 || pages >= UINT32_MAX)
		return -EINVAL;
	slab->pages_max = (uint32_t)pages;
	slab->pages = calloc(pages, sizeof(*slab->pages));
	slab->memory = aligned_alloc(4096, (pages * page_bytes + 4095) / 4096 * 4096);
	if (slab->pages == NULL || slab->memory == NULL) {
		kv_slab_free(slab);
		return -ENOMEM;
	}
	make_classes(slab);
	return 0;
}

void kv_slab_free(struct kv_slab *slab)
{
	free(slab->memory);
	free(slab->pages);
	slab->memory = NULL;
	slab->pages = NULL;
}

unsigned kv_slab_class(const struct kv_slab *slab, size_t bytes)
{
	unsigned index = slab->small[KV_SLAB_SMALL / KV_SLAB_GRAIN];

	if (bytes <= KV_SLAB_SMALL)
		return slab->small[(bytes + KV_SLAB_GRAIN - 1) / KV_SLAB_GRAIN];
	while (slab->classes[index].chunk_bytes < bytes) {
		index++;
		RB_DEBUG_ASSERT_LT(index, slab->classes_count);
	}
	return index;
}

static struct kv_item *carve(struct kv_slab *slab, struct kv_class *class)
{
	if (class->carving == 0) {
		if (slab->pages_used == slab->pages_max)
			return NULL;
		const uint32_t fresh = slab->pages_used++;
		slab->pages[fresh].class_index = (uint8_t)(class - slab->classes);
		class->pages++;
		class->carving = fresh + 1;
	}
	const uint32_t page = class->carving - 1;
	struct kv_item *item = kv_slab_chunk(slab, page, slab->pages[page].carved++);
	if (slab->pages[page].carved == class->per_page)
		class->carving = 0;
	item->class_index = (uint8_t)(class - slab->classes);
	return item;
}

static void leave_free_list(struct kv_class *class, struct kv_item *item)
{
	if (item->newer != NULL)
		item->newer->older = item->older;
	else
		class->free = item->older;
	if (item->older != NULL)
		item->older->newer = item->newer;
}

struct kv_item *kv_slab_take(struct kv_slab *slab, unsigned class_index)
{
	struct kv_class *class = &slab->classes[class_index];
	struct kv_item *item = class->free;

	if (item != NULL)
		leave_free_list(class, item);
	else
		item = carve(slab, class);
	if (item != NULL)
		item->state = KV_ITEM_RESERVED;
	return item;
}

void kv_slab_give(struct kv_slab *slab, struct kv_item *item)
{
	struct kv_class *class = &slab->classes[item->class_index];

	RB_DEBUG_ASSERT(item->state == KV_ITEM_RESERVED);
	item->state = KV_ITEM_FREE;
	item->newer = NULL;
	item->older = class->free;
	if (class->free != NULL)
		class->free->newer = item;
	class->free = item;
}

uint32_t kv_slab_page_of(const struct kv_slab *slab, const struct kv_item *item)
{
	return (uint32_t)((size_t)((const uint8_t *)item - slab->memory) / slab->page_bytes);
}

struct kv_item *kv_slab_chunk(const struct kv_slab *slab, uint32_t page, uint32_t index)
{
	const struct kv_class *class = &slab->classes[slab->pages[page].class_index];
	const size_t offset = (size_t)page * slab->page_bytes + (size_t)index * class->chunk_bytes;

	return (struct kv_item *)(void *)(slab->memory + offset);
}

void kv_slab_move_page(struct kv_slab *slab, uint32_t page, unsigned class_index)
{
	struct kv_page *moved = &slab->pages[page];
	struct kv_class *from = &slab->classes[moved->class_index], *to = &slab->classes[class_index];

	for (uint32_t i = 0; i < moved->carved; i++) {
		struct kv_item *item = kv_slab_chunk(slab, page, i);
		RB_ASSERT(item->state == KV_ITEM_FREE);
		leave_free_list(from, item);
	}
	if (from->carving == page + 1)
		from->carving = 0;
	from->pages--;
	/* The class has nothing to carve, or it would not want a page. */
	RB_ASSERT_EQ(to->carving, 0U);
	moved->carved = 0;
	moved->class_index = (uint8_t)class_index;
	to->pages++;
	to->carving = page + 1;
}
