// SPDX-License-Identifier: Apache-2.0
#include "tests/nic/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>

enum { BUFFERS = 2 * 64 + 512 + NIC_SPARE };

static struct rb_nic *nic;

/*
 * Every buffer there is goes through this thread, whoever had them before, but for those that the queue keeps for the
 * pool. Returns how many there are.
 */
static unsigned use_all(void)
{
	static struct rb_net_packet packets[BUFFERS];
	struct rb_nic_queue *queue = rb_nic_queue(nic, 0);
	unsigned held = 0, got;
	const unsigned kept = queue->returned_count;
	while ((got = rb_nic_receive(queue, packets + held, 1)) > 0)
		held += got;
	for (unsigned i = 0; i < held; i++)
		rb_nic_ops.release(queue, &packets[i].buffer, 1);
	return held + kept;
}

static void *use_queue(void *user)
{
	unsigned *used = user;
	if (rb_nic_thread_begin() != 0 || rte_lcore_id() == LCORE_ID_ANY)
		return NULL;
	*used = use_all();
	rb_nic_thread_end();
	if (rte_lcore_id() != LCORE_ID_ANY)
		*used = 0;
	return NULL;
}

static void test_handover(void **state)
{
	char why[RB_NIC_ERROR_MAX] = "";
	struct rte_mbuf *mbufs[64];
	(void)state;
	fixture_make("net_null0", "size=60");
	struct rb_nic_config config = fixture_config("net_null0");
	config.rx_buffers = BUFFERS - 2 * 64 - NIC_SPARE;
	assert_int_equal(rb_nic_open(&config, &nic, why), 0);
	/* as a driver that fills its ring in this thread */
	assert_int_equal(rte_pktmbuf_alloc_bulk(rb_nic_queue(nic, 0)->rx_pool, mbufs, 64), 0);
	rte_pktmbuf_free_bulk(mbufs, 64);
	assert_int_equal(rb_nic_start(nic, why), 0);
	for (unsigned i = 0; i < 4; i++) {
		pthread_t thread;
		unsigned used = 0;
		assert_int_equal(pthread_create(&thread, NULL, use_queue, &used), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(used, BUFFERS);
		assert_int_equal(use_all(), BUFFERS);
		rb_nic_thread_end();
	}
	fixture_remove(nic, "net_null0");
}

/* DPDK's first thread has a number already, and keeps it. */
static void test_first_thread(void **state)
{
	(void)state;
	const unsigned number = rte_lcore_id();
	assert_int_equal(rb_nic_thread_begin(), 0);
	assert_int_equal(rte_lcore_id(), number);
	rb_nic_thread_end();
	assert_int_equal(rte_lcore_id(), number);
}

static void test_capture_refused(void **state)
{
	char why[RB_NIC_ERROR_MAX] = "";
	(void)state;
	assert_int_equal(rb_nic_capture_enable(why), -ENOTSUP);
	assert_non_null(strstr(why, "--no-shconf"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handover),
		cmocka_unit_test(test_first_thread),
		cmocka_unit_test(test_capture_refused),
	};
	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
