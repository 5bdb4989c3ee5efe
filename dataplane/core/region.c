// SPDX-License-Identifier: Apache-2.0
#include "core/region.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/mman.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

enum { PLAIN_BYTES = 4096, HUGE_BYTES = 2 << 20 };

static void *address(uint64_t value)
{
	return (void *)(uintptr_t)value; // NOLINT(performance-no-int-to-ptr): the region's addresses are fixed
}

static int reserve(char why[RB_WHY_MAX])
{
	void *base = mmap(address(RB_REGION_BASE), RB_REGION_END - RB_REGION_BASE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (base == MAP_FAILED) {
		int error = -errno;
		return rb_refuse(why, error,
				 "cannot reserve the addresses of the application's region, 0x%" PRIx64 " to 0x%" PRIx64
				 ": %s%s",
				 RB_REGION_BASE, RB_REGION_END, strerror(-error),
				 error == -EEXIST ? "; something is mapped there: one region per process"
						  : "; is ulimit -v set?");
	}
	return 0;
}

/* What the kernel says of its pool of huge pages; 0 if it says nothing. */
static unsigned long huge_pages(const char *what)
{
	char path[128];
	unsigned long count = 0;
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", what);
	FILE *in = fopen(path, "r");
	if (in == NULL)
		return 0;
	if (fscanf(in, "%lu", &count) != 1) // NOLINT(cert-err34-c): the kernel writes numbers that fit
		count = 0;
	fclose(in);
	return count;
}

static int refuse_memory(const struct rb_region *region, enum rb_region_pages pages, int error, char why[RB_WHY_MAX])
{
	uint64_t count = region->bytes / region->page_bytes;
	if (pages == RB_REGION_PLAIN)
		return rb_refuse(why, error, "cannot get %" PRIu64 " MiB of memory for the application: %s",
				 region->bytes >> 20, strerror(-error));
	unsigned long free_pages = huge_pages("free_hugepages"), all = huge_pages("nr_hugepages");
	return rb_refuse(why, error,
			 "cannot get %" PRIu64 " MiB of memory for the application: %s; it needs %" PRIu64
			 " huge pages of 2 MiB, and %lu of %lu are free: sysctl vm.nr_hugepages=%" PRIu64,
			 region->bytes >> 20, strerror(-error), count, free_pages, all,
			 all + (count > free_pages ? count - free_pages : 0));
}

static int map_memory(struct rb_region *region, enum rb_region_pages pages, char why[RB_WHY_MAX])
{
	int huge = pages == RB_REGION_HUGE ? MAP_HUGETLB | MAP_HUGE_2MB : 0;
	/* Without MAP_POPULATE first: a pool that is too small must be an error, not a SIGBUS later. */
	void *memory = mmap(address(RB_REGION_MEMORY), region->bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | huge, -1, 0);
	if (memory == MAP_FAILED)
		return refuse_memory(region, pages, -errno, why);
	region->memory = memory;
	/* Transparent huge pages would come and go with the protections of parts, and with the machine's load. */
	if (pages == RB_REGION_PLAIN)
		madvise(memory, region->bytes, MADV_NOHUGEPAGE);
	if (madvise(memory, region->bytes, MADV_POPULATE_WRITE) != 0)
		return refuse_memory(region, pages, -errno, why);
	return 0;
}

static int map_page(struct rb_region *region, char why[RB_WHY_MAX])
{
	void *page = mmap(address(RB_REGION_BASE), RB_PAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
	if (page == MAP_FAILED) {
		int error = -errno;
		return rb_refuse(why, error, "cannot get memory for the ABI page: %s", strerror(-error));
	}
	region->page = page;
	return 0;
}

int rb_region_create(struct rb_region *region, uint64_t bytes, enum rb_region_pages pages, char why[RB_WHY_MAX])
{
	*region = (struct rb_region){.page_bytes = pages == RB_REGION_HUGE ? HUGE_BYTES : PLAIN_BYTES};
	uint64_t most = (RB_REGION_END - RB_REGION_MEMORY) / 2;
	if (bytes == 0 || bytes > most)
		return rb_refuse(why, -EINVAL,
				 "the application's memory must be 1 B to %" PRIu64 " GiB, not %" PRIu64 " B",
				 most >> 30, bytes);
	region->bytes = (bytes + region->page_bytes - 1) & ~(region->page_bytes - 1);
	int result = reserve(why);
	if (result != 0)
		return result;
	result = map_page(region, why);
	if (result == 0)
		result = map_memory(region, pages, why);
	if (result != 0)
		rb_region_destroy(region);
	return result;
}

void rb_region_destroy(struct rb_region *region)
{
	munmap(address(RB_REGION_BASE), RB_REGION_END - RB_REGION_BASE);
	*region = (struct rb_region){0};
}

void rb_region_seal(struct rb_region *region)
{
	int result = mprotect(region->page, RB_PAGE_BYTES, PROT_READ);
	RB_ASSERT_EQ(result, 0);
}
