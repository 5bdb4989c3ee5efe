// SPDX-License-Identifier: Apache-2.0
/*
 * Memory of others that frames may refer to. A device behind an IOMMU sees it under the addresses that we use; one
 * without sees physical addresses, of which we keep a table by pages.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include "nic/defs.h"

/* Queues that run see the region from now on: nic_region_of(). */
static void publish(struct rb_nic *nic)
{
	__atomic_store_n(&nic->regions_count, nic->regions_count + 1, __ATOMIC_RELEASE);
}

/*
 * Telling the device.
 */

/* With DPDK, which must know memory before it maps it. Another port may have told it. */
static int register_memory(struct nic_region *region, char why[RB_NIC_ERROR_MAX])
{
	const size_t page = (size_t)1 << region->page_bits;
	const unsigned pages = (unsigned)(region->length / page);
	if (rte_extmem_register((void *)region->base, region->length, region->pages, pages, page) == 0)
		region->registered = true;
	else if (rte_errno != EEXIST)
		return nic_fail(why, rte_errno, "DPDK cannot register %zu bytes of memory: %s", region->length,
				rte_strerror(rte_errno));
	return 0;
}

static int map_whole(struct rb_nic *nic, struct nic_region *region, char why[RB_NIC_ERROR_MAX])
{
	if (rte_dev_dma_map(nic->device, (void *)region->base, region->base, region->length) != 0)
		return nic_fail(why, rte_errno == ENOTSUP ? ENOTSUP : EIO,
				"the device cannot be told of %zu bytes of memory at %#lx: %s (locked memory may be "
				"limited: ulimit -l unlimited)",
				region->length, (unsigned long)region->base, rte_strerror(rte_errno));
	region->mapped = true;
	return 0;
}

static void unmap_pages(struct rb_nic *nic, const struct nic_region *region, size_t pages)
{
	const size_t page = (size_t)1 << region->page_bits;
	for (size_t i = 0; i < pages; i++)
		(void)rte_dev_dma_unmap(nic->device, (void *)(region->base + i * page), region->pages[i], page);
}

/* Physical addresses behind an IOMMU. A driver that maps nothing (uio) has none to tell. */
static int map_pages(struct rb_nic *nic, struct nic_region *region, char why[RB_NIC_ERROR_MAX])
{
	const size_t page = (size_t)1 << region->page_bits;
	for (size_t i = 0; i < region->length / page; i++) {
		if (rte_dev_dma_map(nic->device, (void *)(region->base + i * page), region->pages[i], page) == 0)
			continue;
		if (i == 0 && rte_errno == ENOTSUP)
			return 0;
		const int error = rte_errno;
		unmap_pages(nic, region, i);
		return nic_fail(why, error, "the device cannot be told of page %zu of the memory at %#lx: %s", i,
				(unsigned long)region->base, rte_strerror(error));
	}
	region->mapped = true;
	return 0;
}

/* The table of physical addresses. */
static int find_pages(struct nic_region *region, char why[RB_NIC_ERROR_MAX])
{
	const size_t page = (size_t)1 << region->page_bits;
	const size_t pages = region->length / page;
	if (page < NIC_PAGE)
		return nic_fail(
			why, ENOTSUP,
			"without an IOMMU a device can read huge pages only, for the kernel may move others; this "
			"memory has pages of %zu bytes",
			page);
	if (madvise((void *)region->base, region->length, MADV_POPULATE_WRITE) != 0)
		return nic_fail(why, errno, "the memory at %#lx cannot be filled with pages: %s",
				(unsigned long)region->base, strerror(errno));
	region->pages = malloc(pages * sizeof(region->pages[0]));
	if (region->pages == NULL)
		return nic_fail(why, ENOMEM, "no memory for a table of %zu pages", pages);
	for (size_t i = 0; i < pages; i++) {
		region->pages[i] = rte_mem_virt2phy((const void *)(region->base + i * page));
		if (region->pages[i] == RTE_BAD_IOVA)
			return nic_fail(
				why, ENOTSUP,
				"the kernel does not tell physical addresses: start it as root, or use vfio-pci with "
				"an IOMMU");
	}
	return 0;
}

static void forget(struct rb_nic *nic, struct nic_region *region)
{
	if (region->mapped && region->pages != NULL)
		unmap_pages(nic, region, region->length >> region->page_bits);
	else if (region->mapped)
		(void)rte_dev_dma_unmap(nic->device, (void *)region->base, region->base, region->length);
	if (region->registered)
		(void)rte_extmem_unregister((void *)region->base, region->length);
	free(region->pages);
	*region = (struct nic_region){0};
}

static int tell(struct rb_nic *nic, struct nic_region *region, char why[RB_NIC_ERROR_MAX])
{
	const bool physical = rte_eal_iova_mode() == RTE_IOVA_PA;
	int error = 0;
	if (nic->virtual)
		return 0;
	if (physical)
		error = find_pages(region, why);
	if (error == 0)
		error = register_memory(region, why);
	if (error == 0)
		error = physical ? map_pages(nic, region, why) : map_whole(nic, region, why);
	return error;
}

int rb_nic_register(struct rb_nic *nic, void *base, size_t length, size_t page_bytes, char why[RB_NIC_ERROR_MAX])
{
	struct nic_region region = {.base = (uintptr_t)base, .length = length};
	if (page_bytes == 0 || (page_bytes & (page_bytes - 1)) != 0 || length == 0 || length % page_bytes != 0 ||
	    region.base % page_bytes != 0 || length > UINTPTR_MAX - region.base)
		return nic_fail(why, EINVAL, "%zu bytes at %p are not whole pages of %zu bytes", length, base,
				page_bytes);
	if (nic->regions_count == NIC_REGIONS_MAX)
		return nic_fail(why, ENOSPC, "at most %d regions of memory can be registered", NIC_REGIONS_MAX);
	region.page_bits = (unsigned)__builtin_ctzll(page_bytes);
	const int error = tell(nic, &region, why);
	if (error != 0) {
		forget(nic, &region);
		return error;
	}
	nic->regions[nic->regions_count] = region;
	publish(nic);
	return 0;
}

void nic_memory_drop(struct rb_nic *nic)
{
	while (nic->regions_count > 0)
		forget(nic, &nic->regions[--nic->regions_count]);
}

/*
 * Asking for addresses.
 */

const struct nic_region *nic_region_of(const struct rb_nic *nic, uintptr_t base, uint32_t length)
{
	const unsigned count = __atomic_load_n(&nic->regions_count, __ATOMIC_ACQUIRE); /* pairs with publish() */
	for (unsigned i = 0; i < count; i++) {
		const struct nic_region *region = &nic->regions[i];
		const uintptr_t offset = base - region->base;
		if (offset < region->length && length <= region->length - offset)
			return region;
	}
	return NULL;
}

uint32_t nic_part(const struct nic_region *region, uintptr_t base, uint32_t length, rte_iova_t *iova)
{
	if (region->pages == NULL) {
		*iova = base;
		return length;
	}
	const uintptr_t page = (uintptr_t)1 << region->page_bits;
	const uintptr_t offset = base - region->base;
	const uintptr_t rest = page - (offset & (page - 1));
	*iova = region->pages[offset >> region->page_bits] + (offset & (page - 1));
	return length < rest ? length : (uint32_t)rest;
}
