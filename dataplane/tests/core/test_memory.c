// SPDX-License-Identifier: Apache-2.0
/* What of the application's memory an application cannot see: native rights, copies, and the region itself. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the above and setjmp.h */
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/memory.h"

#define PAGE UINT64_C(4096)

enum { PAGES = 1024, RW = PROT_READ | PROT_WRITE, RX = PROT_READ | PROT_EXEC };

struct world {
	struct rb_region region;
	struct rb_memory memory;
};

/* `unit`: as if these were the kernel's pages. */
static void open_world(struct world *world, uint64_t unit)
{
	char why[RB_WHY_MAX];
	assert_int_equal(rb_region_create(&world->region, PAGES * PAGE, RB_REGION_PLAIN, why), 0);
	world->region.page_bytes = unit;
	assert_int_equal(rb_memory_init(&world->memory, &world->region), 0);
}

static void close_world(struct world *world)
{
	rb_memory_destroy(&world->memory);
	rb_region_destroy(&world->region);
}

/* What the kernel says of the address. */
static int rights(uint64_t address)
{
	char line[512], access[5];
	uint64_t start, end;
	int found = -1;
	FILE *maps = fopen("/proc/self/maps", "r");
	assert_non_null(maps);
	while (found < 0 && fgets(line, sizeof(line), maps) != NULL) {
		// NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers that fit
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, access) == 3 && address >= start &&
		    address < end)
			found = (access[0] == 'r' ? PROT_READ : 0) | (access[1] == 'w' ? PROT_WRITE : 0) |
				(access[2] == 'x' ? PROT_EXEC : 0);
	}
	fclose(maps);
	return found;
}

static void test_rights(void **state)
{
	struct world world;
	uint64_t address, start = RB_REGION_MEMORY;
	(void)state;
	open_world(&world, PAGE);
	assert_int_equal(rights(start), PROT_READ); /* free */
	assert_int_equal(rights(start - PAGE), PROT_NONE);
	assert_int_equal(rights(start + PAGES * PAGE), PROT_NONE);
	assert_int_equal(rb_memory_map(&world.memory, RB_MEMORY_ANYWHERE, 4 * PAGE, RW, &address), 0);
	assert_int_equal(address, start + (PAGES - 4) * PAGE);
	assert_int_equal(rights(address), RW);
	assert_int_equal(rb_memory_protect(&world.memory, address + PAGE, PAGE, RX), 0);
	assert_int_equal(rb_memory_protect(&world.memory, address + 2 * PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(rights(address + PAGE), RX);
	assert_int_equal(rights(address + 2 * PAGE), PROT_READ); /* the dataplane can always read */
	assert_int_equal(rights(address + 3 * PAGE), RW);
	assert_int_equal(rb_memory_unmap(&world.memory, address, 4 * PAGE), 0);
	assert_int_equal(rights(address), PROT_READ);
	assert_int_equal(rights(address + 3 * PAGE), PROT_READ);
	close_world(&world);
}

/* With large pages each has the rights of all that is in it. */
static void test_large_units(void **state)
{
	const uint64_t unit = 64 * PAGE;
	struct world world;
	uint64_t text = RB_REGION_MEMORY, data = text + 8 * PAGE, heap = text + unit;
	(void)state;
	open_world(&world, unit);
	assert_int_equal(rb_memory_map(&world.memory, RB_MEMORY_NOREPLACE, 4 * PAGE, RX, &text), 0);
	assert_int_equal(rights(text), RX);
	assert_int_equal(rights(data), RX);
	assert_int_equal(rb_memory_map(&world.memory, RB_MEMORY_NOREPLACE, 4 * PAGE, RW, &data), 0);
	assert_int_equal(rights(text), RX | RW);
	assert_int_equal(rb_memory_map(&world.memory, RB_MEMORY_NOREPLACE, unit, RW, &heap), 0);
	assert_int_equal(rights(heap), RW);
	assert_int_equal(rb_memory_unmap(&world.memory, data, 4 * PAGE), 0);
	assert_int_equal(rights(text), RX);
	assert_int_equal(rb_memory_protect(&world.memory, heap, unit, PROT_READ), 0);
	assert_int_equal(rights(heap), PROT_READ);
	close_world(&world);
}

static void test_copies(void **state)
{
	struct world world;
	uint64_t address, end = RB_REGION_MEMORY + PAGES * PAGE;
	char text[PAGE];
	(void)state;
	open_world(&world, PAGE);
	assert_int_equal(rb_memory_copy_out(&world.memory, end - PAGE, "x", 1), -EFAULT); /* free */
	assert_int_equal(rb_memory_map(&world.memory, RB_MEMORY_ANYWHERE, PAGE, RW, &address), 0);
	assert_int_equal(rb_memory_copy_out(&world.memory, address + 10, "text", 5), 0);
	assert_int_equal(rb_memory_copy_in(&world.memory, text, address + 10, 5), 0);
	assert_string_equal(text, "text");
	assert_int_equal(rb_memory_copy_string(&world.memory, text, address + 10, sizeof(text)), 4);
	assert_int_equal(rb_memory_copy_string(&world.memory, text, address + 10, 4), -ENAMETOOLONG);
	assert_int_equal(rb_memory_copy_out(&world.memory, end - 4, "text", 4), 0);
	assert_int_equal(rb_memory_copy_string(&world.memory, text, end - 4, sizeof(text)), -EFAULT); /* no NUL */
	assert_int_equal(rb_memory_copy_string(&world.memory, text, end, sizeof(text)), -EFAULT);
	assert_int_equal(rb_memory_copy_string(&world.memory, text, 0, sizeof(text)), -EFAULT);
	assert_int_equal(rb_memory_copy_in(&world.memory, text, end - 4, 5), -EFAULT);
	assert_int_equal(rb_memory_copy_in(&world.memory, text, UINT64_MAX, 2), -EFAULT);
	assert_int_equal(rb_memory_copy_out(&world.memory, end - 4, "text", 5), -EFAULT);
	assert_int_equal(rb_memory_protect(&world.memory, address, PAGE, PROT_READ), 0);
	assert_int_equal(rb_memory_copy_out(&world.memory, address, "x", 1), -EFAULT);
	assert_int_equal(rb_memory_copy_in(&world.memory, text, address + 10, 5), 0);
	close_world(&world);
}

static void test_holds_are_counted(void **state)
{
	struct world world;
	uint64_t address;
	(void)state;
	open_world(&world, PAGE);
	assert_int_equal(rb_memory_map(&world.memory, RB_MEMORY_ANYWHERE, 2 * PAGE, RW, &address), 0);
	for (int i = 0; i < 255; i++)
		assert_int_equal(rb_memory_hold(&world.memory, address + PAGE - 1, 2), 0);
	assert_int_equal(rb_memory_hold(&world.memory, address, 2 * PAGE), -ENOSPC);
	for (int i = 0; i < 255; i++) {
		assert_int_equal(rb_memory_unmap(&world.memory, address, 2 * PAGE), -EBUSY);
		rb_memory_release(&world.memory, address + PAGE - 1, 2);
	}
	assert_int_equal(rb_memory_unmap(&world.memory, address, 2 * PAGE), 0);
	close_world(&world);
}

static void test_region(void **state)
{
	struct rb_region region, second;
	char why[RB_WHY_MAX];
	(void)state;
	assert_int_equal(rb_region_create(&region, 0, RB_REGION_PLAIN, why), -EINVAL);
	assert_int_equal(rb_region_create(&region, UINT64_MAX, RB_REGION_PLAIN, why), -EINVAL);
	assert_int_equal(rb_region_create(&region, 5000, RB_REGION_PLAIN, why), 0);
	assert_int_equal(region.bytes, 2 * PAGE);
	assert_int_equal(rb_region_create(&second, PAGE, RB_REGION_PLAIN, why), -EEXIST);
	assert_non_null(strstr(why, "one region per process"));
	region.page->magic = 1;
	assert_int_equal(rights(RB_REGION_BASE), RW);
	rb_region_seal(&region);
	assert_int_equal(rights(RB_REGION_BASE), PROT_READ);
	/* nothing of anybody else gets an address in it */
	assert_int_equal(rights(RB_REGION_END - 1), PROT_NONE);
	rb_region_destroy(&region);
	assert_int_equal(rights(RB_REGION_BASE), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rights), cmocka_unit_test(test_large_units),
		cmocka_unit_test(test_copies), cmocka_unit_test(test_holds_are_counted),
		cmocka_unit_test(test_region),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
