// SPDX-License-Identifier: Apache-2.0
/* The allocator of ranges against a plain bitmap. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the above and setjmp.h */
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/random.h"
#include "core/areas.h"

#define PAGE UINT64_C(4096)
#define BASE (16 * PAGE)

enum { PAGES = 200 };

static void test_order(void **state)
{
	struct rb_areas areas;
	uint64_t start;
	(void)state;
	assert_int_equal(rb_areas_init(&areas, BASE, BASE + 10 * PAGE), 0);
	assert_int_equal(rb_areas_take(&areas, 2 * PAGE, PAGE, &start), 0);
	assert_int_equal(start, BASE + 8 * PAGE); /* from the top */
	assert_int_equal(rb_areas_take_at(&areas, BASE, 3 * PAGE), 0);
	assert_int_equal(rb_areas_take_at(&areas, BASE + 2 * PAGE, PAGE), -EEXIST);
	assert_int_equal(rb_areas_take_at(&areas, BASE + 7 * PAGE, 2 * PAGE), -EEXIST);
	assert_int_equal(rb_areas_take_at(&areas, 0, PAGE), -EEXIST);
	assert_int_equal(rb_areas_take_at(&areas, BASE + 4 * PAGE, UINT64_MAX - PAGE + 1), -EEXIST);
	assert_int_equal(rb_areas_take(&areas, 6 * PAGE, PAGE, &start), -ENOMEM);
	assert_int_equal(rb_areas_take(&areas, UINT64_MAX - PAGE + 1, PAGE, &start), -ENOMEM);
	assert_int_equal(rb_areas_take(&areas, PAGE, 4 * PAGE, &start), 0);
	assert_int_equal(start, BASE + 4 * PAGE);
	assert_int_equal(areas.count, 2);
	assert_int_equal(rb_areas_give(&areas, BASE, 10 * PAGE), 0); /* most of it was taken, some was not */
	assert_int_equal(areas.count, 1);
	assert_true(rb_areas_free(&areas, BASE, 10 * PAGE));
	assert_false(rb_areas_free(&areas, BASE, 11 * PAGE));
	rb_areas_destroy(&areas);
}

static bool all(const bool *pages, uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i++) {
		if (!pages[i])
			return false;
	}
	return true;
}

/* Where the highest free range begins; PAGES: nowhere. */
static uint64_t highest(const bool *pages, uint64_t count)
{
	for (uint64_t first = PAGES - count + 1; first-- > 0;) {
		if (all(pages, first, count))
			return first;
	}
	return PAGES;
}

static void check(const struct rb_areas *areas, const bool *pages)
{
	for (uint32_t i = 0; i < areas->count; i++) {
		assert_true(areas->free[i].start < areas->free[i].end);
		assert_true(i == 0 || areas->free[i - 1].end < areas->free[i].start);
	}
	for (uint64_t i = 0; i < PAGES; i++)
		assert_int_equal(rb_areas_free(areas, BASE + i * PAGE, PAGE), pages[i]);
}

static void test_random(void **state)
{
	struct rb_areas areas;
	struct rb_random random;
	bool pages[PAGES];
	(void)state;
	rb_random_init(&random, 1, 0);
	memset(pages, true, sizeof(pages));
	assert_int_equal(rb_areas_init(&areas, BASE, BASE + PAGES * PAGE), 0);
	for (int i = 0; i < 20000; i++) {
		uint64_t count = 1 + rb_random_u64(&random) % 5, first = rb_random_u64(&random) % (PAGES - count),
			 start;
		uint64_t address = BASE + first * PAGE;
		switch (rb_random_u64(&random) % 5) {
		case 0:
		case 1: /* give a little more than is taken */
			assert_int_equal(rb_areas_give(&areas, address, count * PAGE), 0);
			memset(pages + first, true, count);
			break;
		case 2:
			assert_int_equal(rb_areas_take_at(&areas, address, count * PAGE),
					 all(pages, first, count) ? 0 : -EEXIST);
			memset(pages + first, false, all(pages, first, count) ? count : 0);
			break;
		default:
			first = highest(pages, count);
			assert_int_equal(rb_areas_take(&areas, count * PAGE, PAGE, &start),
					 first < PAGES ? 0 : -ENOMEM);
			if (first == PAGES)
				break;
			assert_int_equal(start, BASE + first * PAGE);
			memset(pages + first, false, count);
		}
		if (i % 50 == 0)
			check(&areas, pages);
	}
	check(&areas, pages);
	rb_areas_destroy(&areas);
}

/* Every second page: more ranges than there was room for at first. */
static void test_many(void **state)
{
	struct rb_areas areas;
	(void)state;
	assert_int_equal(rb_areas_init(&areas, 0, 1000 * PAGE), 0);
	for (uint64_t i = 1; i < 1000; i += 2)
		assert_int_equal(rb_areas_take_at(&areas, i * PAGE, PAGE), 0);
	assert_int_equal(areas.count, 500);
	for (uint64_t i = 1; i < 1000; i += 2)
		assert_int_equal(rb_areas_give(&areas, i * PAGE, PAGE), 0);
	assert_int_equal(areas.count, 1);
	rb_areas_destroy(&areas);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
