// SPDX-License-Identifier: Apache-2.0
#include "core/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

enum {
	ACCESS = PROT_READ | PROT_WRITE | PROT_EXEC,
	USED = 1 << 4,
	DIRTY = 1 << 5, /* was written since it was zeroed, perhaps */
	HOLDS_MAX = UINT8_MAX,
};

static void *pointer(uint64_t address)
{
	return (void *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr): addresses are what this is about
}

int rb_memory_init(struct rb_memory *memory, const struct rb_region *region)
{
	uint64_t start = (uintptr_t)region->memory;
	*memory = (struct rb_memory){.start = start, .end = start + region->bytes, .unit = region->page_bytes};
	memory->pages = calloc(region->bytes / RB_MEMORY_PAGE, sizeof(*memory->pages));
	if (memory->pages == NULL)
		return -ENOMEM;
	if (rb_areas_init(&memory->areas, memory->start, memory->end) != 0) {
		free(memory->pages);
		return -ENOMEM;
	}
	pthread_mutex_init(&memory->lock, NULL);
	int result = mprotect(region->memory, region->bytes, PROT_READ);
	RB_ASSERT_EQ(result, 0);
	memory->break_start = memory->break_end = memory->start;
	return 0;
}

void rb_memory_destroy(struct rb_memory *memory)
{
	/* as it was found */
	int result = mprotect(pointer(memory->start), memory->end - memory->start, PROT_READ | PROT_WRITE);
	RB_ASSERT_EQ(result, 0);
	rb_areas_destroy(&memory->areas);
	free(memory->pages);
	pthread_mutex_destroy(&memory->lock);
}

/* ---- pages; under the lock ---- */

static struct rb_memory_page *page_of(const struct rb_memory *memory, uint64_t address)
{
	return &memory->pages[(address - memory->start) / RB_MEMORY_PAGE];
}

/* What the kernel's page at `unit` must permit: all that any page in it does, and reading. */
static int unit_rights(const struct rb_memory *memory, uint64_t unit)
{
	int rights = PROT_READ;
	for (uint64_t page = unit; page < unit + memory->unit; page += RB_MEMORY_PAGE)
		rights |= page_of(memory, page)->flags & ACCESS;
	return rights;
}

/* Lets the kernel know of the pages' flags, in as few calls as there are runs of the same rights. */
static int apply(const struct rb_memory *memory, uint64_t start, uint64_t end)
{
	uint64_t unit = memory->unit;
	start &= ~(unit - 1);
	end = (end + unit - 1) & ~(unit - 1);
	while (start < end) {
		int rights = unit_rights(memory, start);
		uint64_t run = start + unit;
		while (run < end && unit_rights(memory, run) == rights)
			run += unit;
		if (mprotect(pointer(start), run - start, rights) != 0)
			return -errno;
		start = run;
	}
	return 0;
}

static void set_flags(const struct rb_memory *memory, uint64_t start, uint64_t end, uint8_t cleared, uint8_t set)
{
	for (uint64_t page = start; page < end; page += RB_MEMORY_PAGE) {
		struct rb_memory_page *state = page_of(memory, page);
		state->flags = (uint8_t)((state->flags & ~cleared) | set);
	}
}

/* Whether all pages have all these flags. */
static bool have(const struct rb_memory *memory, uint64_t start, uint64_t end, uint8_t flags)
{
	for (uint64_t page = start; page < end; page += RB_MEMORY_PAGE) {
		if ((page_of(memory, page)->flags & flags) != flags)
			return false;
	}
	return true;
}

static bool held(const struct rb_memory *memory, uint64_t start, uint64_t end)
{
	for (uint64_t page = start; page < end; page += RB_MEMORY_PAGE) {
		if (page_of(memory, page)->holds > 0)
			return true;
	}
	return false;
}

/* The kernel's limit of mappings (vm.max_map_count) is the one reason for which this fails. */
static int set_rights(const struct rb_memory *memory, uint64_t start, uint64_t end, int protection)
{
	set_flags(memory, start, end, ACCESS, (uint8_t)(protection | (protection & PROT_WRITE ? DIRTY : 0)));
	return apply(memory, start, end);
}

static int zero(const struct rb_memory *memory, uint64_t start, uint64_t end)
{
	int result = set_rights(memory, start, end, PROT_READ | PROT_WRITE);
	if (result == 0)
		memset(pointer(start), 0, end - start);
	return result;
}

/* Zeroes what needs it and gives the range its rights. It is not free any more. */
static int open_pages(const struct rb_memory *memory, uint64_t start, uint64_t end, int protection)
{
	int result = 0;
	for (uint64_t page = start; result == 0 && page < end;) {
		uint64_t run = page;
		while (run < end && (page_of(memory, run)->flags & DIRTY) != 0)
			run += RB_MEMORY_PAGE;
		if (run > page)
			result = zero(memory, page, run);
		page = run + RB_MEMORY_PAGE;
	}
	set_flags(memory, start, end, DIRTY, USED);
	return result == 0 ? set_rights(memory, start, end, protection) : result;
}

static int close_pages(struct rb_memory *memory, uint64_t start, uint64_t end)
{
	int result = rb_areas_give(&memory->areas, start, end - start);
	if (result != 0)
		return result;
	set_flags(memory, start, end, ACCESS | USED, 0);
	return apply(memory, start, end);
}

/* ---- the calls ---- */

/* Rounds the end up to a page; false: not a range of the block. */
static bool page_range(const struct rb_memory *memory, uint64_t address, uint64_t bytes, uint64_t *end)
{
	if (address % RB_MEMORY_PAGE != 0 || !rb_memory_contains(memory, address, bytes))
		return false;
	*end = (address + bytes + RB_MEMORY_PAGE - 1) & ~(uint64_t)(RB_MEMORY_PAGE - 1);
	return true;
}

static int check_protection(int protection)
{
	if ((protection & ~ACCESS) != 0)
		return -EINVAL;
	return (protection & PROT_WRITE) != 0 && (protection & PROT_EXEC) != 0 ? -EACCES : 0;
}

static int take(struct rb_memory *memory, enum rb_memory_place place, uint64_t bytes, uint64_t *address)
{
	uint64_t end;
	if (place == RB_MEMORY_ANYWHERE)
		return rb_areas_take(&memory->areas, bytes, RB_MEMORY_PAGE, address);
	if (!page_range(memory, *address, bytes, &end))
		return *address % RB_MEMORY_PAGE != 0 ? -EINVAL : -ENOMEM;
	if (place == RB_MEMORY_FIXED) {
		if (held(memory, *address, end))
			return -EBUSY;
		int result = close_pages(memory, *address, end);
		if (result != 0)
			return result;
	}
	return rb_areas_take_at(&memory->areas, *address, bytes);
}

static int map(struct rb_memory *memory, enum rb_memory_place place, uint64_t bytes, int protection, uint64_t *address)
{
	int result = take(memory, place, bytes, address);
	if (result != 0)
		return result;
	result = open_pages(memory, *address, *address + bytes, protection);
	if (result != 0)
		close_pages(memory, *address, *address + bytes);
	return result;
}

int rb_memory_map(struct rb_memory *memory, enum rb_memory_place place, uint64_t bytes, int protection,
		  uint64_t *address)
{
	int result = check_protection(protection);
	if (result != 0 || bytes == 0)
		return result != 0 ? result : -EINVAL;
	if (bytes > memory->end - memory->start)
		return -ENOMEM;
	bytes = (bytes + RB_MEMORY_PAGE - 1) & ~(uint64_t)(RB_MEMORY_PAGE - 1);
	pthread_mutex_lock(&memory->lock);
	result = map(memory, place, bytes, protection, address);
	pthread_mutex_unlock(&memory->lock);
	return result;
}

int rb_memory_map_first(struct rb_memory *memory, uint64_t bytes, uint64_t *address)
{
	*address = memory->start;
	return rb_memory_map(memory, RB_MEMORY_NOREPLACE, bytes, PROT_READ | PROT_WRITE, address);
}

int rb_memory_unmap(struct rb_memory *memory, uint64_t address, uint64_t bytes)
{
	uint64_t end;
	if (bytes == 0 || !page_range(memory, address, bytes, &end))
		return -EINVAL;
	pthread_mutex_lock(&memory->lock);
	int result = held(memory, address, end) ? -EBUSY : close_pages(memory, address, end);
	pthread_mutex_unlock(&memory->lock);
	return result;
}

int rb_memory_protect(struct rb_memory *memory, uint64_t address, uint64_t bytes, int protection)
{
	uint64_t end;
	int result = check_protection(protection);
	if (result != 0)
		return result;
	if (!page_range(memory, address, bytes, &end))
		return address % RB_MEMORY_PAGE != 0 ? -EINVAL : -ENOMEM;
	pthread_mutex_lock(&memory->lock);
	if (!have(memory, address, end, USED))
		result = -ENOMEM;
	else if ((protection & PROT_WRITE) == 0 && held(memory, address, end))
		result = -EBUSY;
	else
		result = set_rights(memory, address, end, protection);
	pthread_mutex_unlock(&memory->lock);
	return result;
}

/* A new place for it: the old one is left as it is if this fails. */
static int move(struct rb_memory *memory, uint64_t *address, uint64_t old_end, uint64_t new_bytes)
{
	uint64_t to, old_bytes = old_end - *address;
	int protection = page_of(memory, *address)->flags & ACCESS;
	int result = held(memory, *address, old_end) ? -EBUSY : 0;
	if (result == 0)
		result = map(memory, RB_MEMORY_ANYWHERE, new_bytes, PROT_READ | PROT_WRITE, &to);
	if (result != 0)
		return result;
	memcpy(pointer(to), pointer(*address), old_bytes);
	result = set_rights(memory, to, to + new_bytes, protection);
	if (result == 0)
		result = close_pages(memory, *address, old_end);
	*address = to;
	return result;
}

static int remap(struct rb_memory *memory, uint64_t *address, uint64_t old_end, uint64_t new_bytes, bool may_move)
{
	uint64_t new_end = *address + new_bytes;
	if (!have(memory, *address, old_end, USED))
		return -EFAULT;
	if (new_end == old_end)
		return 0;
	if (new_end < old_end)
		return held(memory, new_end, old_end) ? -EBUSY : close_pages(memory, new_end, old_end);
	if (rb_areas_take_at(&memory->areas, old_end, new_end - old_end) == 0)
		return open_pages(memory, old_end, new_end, page_of(memory, *address)->flags & ACCESS);
	return may_move ? move(memory, address, old_end, new_bytes) : -ENOMEM;
}

int rb_memory_remap(struct rb_memory *memory, uint64_t *address, uint64_t old_bytes, uint64_t new_bytes, bool may_move)
{
	uint64_t old_end;
	if (old_bytes == 0 || new_bytes == 0 || !page_range(memory, *address, old_bytes, &old_end))
		return -EINVAL;
	if (new_bytes > memory->end - memory->start)
		return -ENOMEM;
	new_bytes = (new_bytes + RB_MEMORY_PAGE - 1) & ~(uint64_t)(RB_MEMORY_PAGE - 1);
	pthread_mutex_lock(&memory->lock);
	int result = remap(memory, address, old_end, new_bytes, may_move);
	pthread_mutex_unlock(&memory->lock);
	return result;
}

/* The pages read as zero from now on, whatever their rights. */
static int discard(struct rb_memory *memory, uint64_t start, uint64_t end)
{
	int result = have(memory, start, end, USED) ? 0 : -ENOMEM;
	for (uint64_t page = start; result == 0 && page < end; page += RB_MEMORY_PAGE) {
		int protection = page_of(memory, page)->flags & ACCESS;
		if ((protection & PROT_WRITE) != 0) {
			memset(pointer(page), 0, RB_MEMORY_PAGE);
			continue;
		}
		result = zero(memory, page, page + RB_MEMORY_PAGE);
		if (result == 0)
			result = set_rights(memory, page, page + RB_MEMORY_PAGE, protection);
	}
	return result;
}

int rb_memory_advise(struct rb_memory *memory, uint64_t address, uint64_t bytes, int advice)
{
	uint64_t end;
	int result = 0;
	if (!page_range(memory, address, bytes, &end))
		return address % RB_MEMORY_PAGE != 0 ? -EINVAL : -ENOMEM;
	switch (advice) {
	case MADV_DONTNEED:
		pthread_mutex_lock(&memory->lock);
		result = discard(memory, address, end);
		pthread_mutex_unlock(&memory->lock);
		return result;
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_FREE: /* may be discarded: is not */
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
		return 0; /* hints: the block is as it is */
	default:
		return -EINVAL;
	}
}

/* ---- the heap ---- */

void rb_memory_set_break(struct rb_memory *memory, uint64_t address)
{
	RB_ASSERT(address % RB_MEMORY_PAGE == 0 && rb_memory_contains(memory, address, 0));
	memory->break_start = memory->break_end = address;
}

static int move_break(struct rb_memory *memory, uint64_t old_end, uint64_t new_end)
{
	if (new_end <= old_end) {
		if (new_end == old_end)
			return 0;
		return held(memory, new_end, old_end) ? -EBUSY : close_pages(memory, new_end, old_end);
	}
	int result = rb_areas_take_at(&memory->areas, old_end, new_end - old_end);
	if (result != 0)
		return result;
	result = open_pages(memory, old_end, new_end, PROT_READ | PROT_WRITE);
	if (result != 0)
		close_pages(memory, old_end, new_end);
	return result;
}

uint64_t rb_memory_break(struct rb_memory *memory, uint64_t wanted)
{
	uint64_t mask = ~(uint64_t)(RB_MEMORY_PAGE - 1);
	pthread_mutex_lock(&memory->lock);
	if (wanted >= memory->break_start && wanted <= memory->end) {
		uint64_t old_end = (memory->break_end + RB_MEMORY_PAGE - 1) & mask;
		uint64_t new_end = (wanted + RB_MEMORY_PAGE - 1) & mask;
		if (move_break(memory, old_end, new_end) == 0)
			memory->break_end = wanted;
	}
	wanted = memory->break_end;
	pthread_mutex_unlock(&memory->lock);
	return wanted;
}

/* ---- copies ---- */

int rb_memory_copy_in(const struct rb_memory *memory, void *to, uint64_t address, size_t bytes)
{
	if (!rb_memory_contains(memory, address, bytes))
		return -EFAULT;
	memcpy(to, pointer(address), bytes);
	return 0;
}

static bool writable(const struct rb_memory *memory, uint64_t address, uint64_t bytes)
{
	return rb_memory_contains(memory, address, bytes) &&
	       have(memory, address & ~(uint64_t)(RB_MEMORY_PAGE - 1), address + bytes, USED | PROT_WRITE);
}

int rb_memory_copy_out(struct rb_memory *memory, uint64_t address, const void *from, size_t bytes)
{
	pthread_mutex_lock(&memory->lock); /* nobody changes protections meanwhile */
	int result = writable(memory, address, bytes) ? 0 : -EFAULT;
	if (result == 0)
		memcpy(pointer(address), from, bytes);
	pthread_mutex_unlock(&memory->lock);
	return result;
}

int64_t rb_memory_copy_string(const struct rb_memory *memory, char *to, uint64_t address, size_t size)
{
	if (!rb_memory_contains(memory, address, 1))
		return -EFAULT;
	size_t left = memory->end - address;
	size_t most = left < size ? left : size;
	memcpy(to, pointer(address), most); /* another thread may write to it: looked at only once copied */
	const char *nul = memchr(to, '\0', most);
	if (nul != NULL)
		return nul - to;
	return most < size ? -EFAULT : -ENAMETOOLONG;
}

int rb_memory_hold(struct rb_memory *memory, uint64_t address, uint64_t bytes)
{
	uint64_t first = address & ~(uint64_t)(RB_MEMORY_PAGE - 1), page;
	pthread_mutex_lock(&memory->lock);
	int result = writable(memory, address, bytes) ? 0 : -EFAULT;
	for (page = first; result == 0 && page < address + bytes; page += RB_MEMORY_PAGE) {
		if (page_of(memory, page)->holds == HOLDS_MAX)
			result = -ENOSPC;
	}
	for (page = first; result == 0 && page < address + bytes; page += RB_MEMORY_PAGE)
		page_of(memory, page)->holds++;
	pthread_mutex_unlock(&memory->lock);
	return result;
}

void rb_memory_release(struct rb_memory *memory, uint64_t address, uint64_t bytes)
{
	pthread_mutex_lock(&memory->lock);
	for (uint64_t page = address & ~(uint64_t)(RB_MEMORY_PAGE - 1); page < address + bytes;
	     page += RB_MEMORY_PAGE) {
		RB_ASSERT_GT(page_of(memory, page)->holds, 0);
		page_of(memory, page)->holds--;
	}
	pthread_mutex_unlock(&memory->lock);
}
