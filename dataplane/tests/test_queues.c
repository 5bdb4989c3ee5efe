// SPDX-License-Identifier: Apache-2.0
/* The bookkeeping under the back-end: receive buffers and queued output. */
#include "tests/harness.h"

#include <errno.h>
#include <string.h>

#include "user/rx_pool.h"
#include "user/tx_queue.h"

static void test_rx_window_and_order(void **state)
{
	(void)state;
	struct rx_pool pool;
	struct rx_held held[2] = {{0}};
	assert_int_equal(rx_pool_init(&pool, 2, 2, 8), 0);
	uint8_t *first = rx_pool_next(&pool);
	rx_pool_commit(&pool, 0, &held[0], 8);
	uint8_t *second = rx_pool_next(&pool);
	rx_pool_commit(&pool, 0, &held[0], 3);
	assert_ptr_not_equal(first, second);
	assert_false(rx_pool_open(&pool, &held[0]));
	assert_true(rx_pool_open(&pool, &held[1])); /* one connection cannot take the other's buffers */
	rx_pool_commit(&pool, 1, &held[1], 1);
	rx_pool_commit(&pool, 1, &held[1], 1);
	assert_false(rx_pool_return(&pool, 0, &held[0], 12)); /* more than is held */
	assert_int_equal(held[0].bytes, 11);
	assert_true(rx_pool_return(&pool, 0, &held[0], 7));
	assert_false(rx_pool_open(&pool, &held[0])); /* one byte of the buffer is still in use */
	assert_true(rx_pool_return(&pool, 0, &held[0], 2));
	assert_true(rx_pool_open(&pool, &held[0]));
	assert_ptr_equal(rx_pool_next(&pool), first); /* the last one returned is used next */
	rx_pool_commit(&pool, 0, &held[0], 8);
	assert_true(rx_pool_return(&pool, 0, &held[0], 10));
	assert_int_equal(held[0].count, 0);
	rx_pool_free(&pool);
}

static void test_rx_limits(void **state)
{
	(void)state;
	struct rx_pool pool;
	assert_int_equal(rx_pool_init(&pool, UINT32_MAX, 2, 1), -EINVAL);
}

static void expect_bytes(const struct tx_pool *pool, const struct tx_queue *queue, const char *expected)
{
	struct iovec vector[8];
	char text[32] = "";
	uint32_t count = tx_queue_peek(pool, queue, vector, 8);
	for (uint32_t i = 0; i < count; i++)
		strncat(text, vector[i].iov_base, vector[i].iov_len);
	assert_string_equal(text, expected);
	assert_int_equal(queue->bytes, strlen(expected));
}

static void test_tx_queue(void **state)
{
	(void)state;
	struct tx_pool pool;
	struct tx_queue queue = {0}, other = {0};
	const struct rb_sg abc[3] = {{"aaa", 3}, {"", 0}, {"cc", 2}};
	const struct rb_sg four[4] = {{"1", 1}, {"2", 1}, {"3", 1}, {"4", 1}};
	assert_int_equal(tx_pool_init(&pool, 5), 0);
	for (int round = 0; round < 10; round++) {
		assert_int_equal(tx_queue_append(&pool, &queue, abc, 3), 0);
		assert_int_equal(tx_queue_append(&pool, &other, four, 4), -ENOBUFS);
		assert_int_equal(other.bytes, 0);
		assert_int_equal(tx_queue_append(&pool, &other, four, 3), 0);
		expect_bytes(&pool, &queue, "aaacc");
		tx_queue_release(&pool, &queue, 2);
		expect_bytes(&pool, &queue, "acc");
		assert_int_equal(tx_queue_append(&pool, &queue, abc, 3), -ENOBUFS);
		tx_queue_release(&pool, &queue, 2);
		expect_bytes(&pool, &queue, "c");
		tx_queue_release(&pool, &queue, 1);
		expect_bytes(&pool, &queue, "");
		expect_bytes(&pool, &other, "123");
		tx_queue_release(&pool, &other, 3);
		assert_int_equal(pool.used, 0);
	}
	tx_pool_free(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rx_window_and_order),
		cmocka_unit_test(test_rx_limits),
		cmocka_unit_test(test_tx_queue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
