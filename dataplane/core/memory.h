// SPDX-License-Identifier: Apache-2.0
/*
 * The application's memory: who uses which pages of the region's block, with which protection. It answers the
 * application's brk(), mmap(), munmap(), mprotect(), mremap() and madvise() without ever taking the block apart: what is
 * unmapped stays where it is, registered with the device, and is zeroed before it is used again.
 *
 * Protection. Every page of the block is always readable, so that the dataplane can read what the application names. A
 * page that is free, or was asked for without access, cannot be written. A mapping that is writable and executable at
 * once is refused. With pages of 2 MiB, such a page has the rights of all that is in it: text and data that share one
 * can be written and executed.
 *
 * Addresses are those of the application; lengths are bytes. Functions return 0 or -errno as the system call of that
 * name does. Thread-safe, but init, destroy.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/areas.h"
#include "core/region.h"

enum { RB_MEMORY_PAGE = 4096 };

struct rb_memory_page {
	uint8_t flags; /* PROT_READ, PROT_WRITE, PROT_EXEC as asked for, and those of memory.c */
	uint8_t holds; /* how many rb_memory_hold() it is in */
};

struct rb_memory {
	uint64_t start, end;
	uint64_t unit; /* bytes by which the kernel can change protections */
	pthread_mutex_t lock;
	struct rb_areas areas;
	struct rb_memory_page *pages;
	uint64_t break_start, break_end; /* the heap of brk(); end as asked for, to the byte */
};

/* 0 or -ENOMEM. The region is borrowed; the whole block must be readable and writable. */
int rb_memory_init(struct rb_memory *memory, const struct rb_region *region);
void rb_memory_destroy(struct rb_memory *memory);

/* Whether all of the range lies in the block: it can be read. */
static inline bool rb_memory_contains(const struct rb_memory *memory, uint64_t address, uint64_t bytes)
{
	return address >= memory->start && address <= memory->end && bytes <= memory->end - address;
}

enum rb_memory_place { RB_MEMORY_ANYWHERE, RB_MEMORY_FIXED, RB_MEMORY_NOREPLACE };

/* Zeroed memory. `protection`: PROT_ bits. The address for FIXED and NOREPLACE is in *address. */
int rb_memory_map(struct rb_memory *memory, enum rb_memory_place place, uint64_t bytes, int protection,
		  uint64_t *address);
/* At the lowest address that is free: where the image goes, so that the heap can grow behind it. */
int rb_memory_map_first(struct rb_memory *memory, uint64_t bytes, uint64_t *address);
int rb_memory_unmap(struct rb_memory *memory, uint64_t address, uint64_t bytes);
int rb_memory_protect(struct rb_memory *memory, uint64_t address, uint64_t bytes, int protection);
/* Grows or shrinks in place, or moves if it may. The new address is in *address. */
int rb_memory_remap(struct rb_memory *memory, uint64_t *address, uint64_t old_bytes, uint64_t new_bytes, bool may_move);
int rb_memory_advise(struct rb_memory *memory, uint64_t address, uint64_t bytes, int advice);

/* The heap begins here, at a page of the block; and brk() itself: returns the break as it then is. */
void rb_memory_set_break(struct rb_memory *memory, uint64_t address);
uint64_t rb_memory_break(struct rb_memory *memory, uint64_t wanted);

/* -EFAULT if not all of the application's range can be read, or written. */
int rb_memory_copy_in(const struct rb_memory *memory, void *to, uint64_t address, size_t bytes);
int rb_memory_copy_out(struct rb_memory *memory, uint64_t address, const void *from, size_t bytes);
/* A string with its NUL. Its length; -EFAULT; -ENAMETOOLONG: no NUL in `size` bytes */
int64_t rb_memory_copy_string(const struct rb_memory *memory, char *to, uint64_t address, size_t size);

/*
 * Memory that the dataplane writes to by itself. While it is held, the application cannot take it away: unmap it, or
 * make it read-only. -EFAULT: not all of it is mapped and writable; -ENOSPC: held too often.
 */
int rb_memory_hold(struct rb_memory *memory, uint64_t address, uint64_t bytes);
void rb_memory_release(struct rb_memory *memory, uint64_t address, uint64_t bytes);
