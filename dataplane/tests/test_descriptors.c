// SPDX-License-Identifier: Apache-2.0
#include "tests/harness.h"

#include <sys/resource.h>

#include "base/descriptors.h"

static void set(uint64_t soft, uint64_t hard)
{
	const struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
	assert_return_code(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void expect(uint64_t soft, uint64_t hard)
{
	struct rlimit limit;
	assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(limit.rlim_cur, soft);
	assert_int_equal(limit.rlim_max, hard);
}

static void test_raise(void **state)
{
	(void)state;
	set(64, 512);
	assert_int_equal(rb_descriptors_raise(200), 200);
	expect(200, 512);
	assert_int_equal(rb_descriptors_raise(100), 200); /* it is never lowered */
	expect(200, 512);
	/* more than the kernel lets anybody have */
	assert_int_equal(rb_descriptors_raise(UINT64_C(1) << 40), 512);
	expect(512, 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
