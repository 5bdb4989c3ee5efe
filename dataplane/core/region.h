// SPDX-License-Identifier: Apache-2.0
/*
 * The application's part of the address space: [RB_REGION_BASE, RB_REGION_END), reserved as a whole, so that nothing of
 * the dataplane ever gets an address in it. In it are the ABI page, and one block of memory from which the application's
 * image, heap, stacks and maps are served (core/memory.h). The block is there from the start to the end, pre-faulted:
 * it can be registered with a device as it is.
 *
 * One region per process.
 */
#pragma once

#include <stdint.h>

#include "abi/page.h"
#include "core/why.h"

/* Where in the region the memory begins: what begins with a GiB can be mapped by large pages. */
#define RB_REGION_MEMORY (RB_REGION_BASE + (UINT64_C(1) << 30))

enum rb_region_pages {
	RB_REGION_PLAIN, /* pages of 4 KiB: protections hold to the page */
	RB_REGION_HUGE,	 /* pages of 2 MiB from the kernel's pool, which a device can reach without an IOMMU */
};

struct rb_region {
	struct rb_page *page; /* at RB_REGION_BASE; writable until rb_region_seal() */
	uint8_t *memory;      /* at RB_REGION_MEMORY; readable and writable */
	uint64_t bytes;
	uint64_t page_bytes; /* of the memory: what its protection can be changed by */
};

/* `bytes` of memory, rounded up to its pages. 0 or -errno, and `why`. */
int rb_region_create(struct rb_region *region, uint64_t bytes, enum rb_region_pages pages, char why[RB_WHY_MAX]);
void rb_region_destroy(struct rb_region *region);

/* The ABI page becomes read-only, for everybody. */
void rb_region_seal(struct rb_region *region);
