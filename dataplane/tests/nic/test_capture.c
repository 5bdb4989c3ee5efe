// SPDX-License-Identifier: Apache-2.0
#include "tests/nic/fixture.h"

#include <errno.h>
#include <pthread.h>

#include <rte_lcore.h>

enum { THREADS = 4, NUMBERS = 2 };

static pthread_barrier_t barrier;

struct result {
	int status;
	unsigned number;
};

/* All have theirs at the same time. */
static void *begin_and_end(void *user)
{
	struct result *result = user;
	result->status = rb_nic_thread_begin();
	result->number = rte_lcore_id();
	pthread_barrier_wait(&barrier);
	rb_nic_thread_end();
	if (rte_lcore_id() != LCORE_ID_ANY)
		result->status = -EBUSY;
	return NULL;
}

/* With capture, threads take the numbers of DPDK's own: each one's alone, and again when they have ended. */
static void test_numbers(void **state)
{
	char why[RB_NIC_ERROR_MAX] = "";
	(void)state;
	if (!fixture_is_shared())
		skip();
	assert_int_equal(rb_nic_capture_enable(why), 0);
	assert_int_equal(rb_nic_capture_enable(why), 0);
	for (unsigned round = 0; round < 3; round++) {
		pthread_t threads[THREADS];
		struct result results[THREADS];
		unsigned seen = 0, refused = 0;
		assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
		for (unsigned i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, begin_and_end, &results[i]), 0);
		for (unsigned i = 0; i < THREADS; i++) {
			assert_int_equal(pthread_join(threads[i], NULL), 0);
			if (results[i].status == -ENOSPC) {
				refused++;
				continue;
			}
			assert_int_equal(results[i].status, 0);
			assert_in_range(results[i].number, 1, NUMBERS);
			seen |= 1U << results[i].number;
		}
		assert_int_equal(seen, 6);
		assert_int_equal(refused, THREADS - NUMBERS);
		pthread_barrier_destroy(&barrier);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers)};
	return cmocka_run_group_tests(tests, fixture_begin_shared, fixture_end);
}
