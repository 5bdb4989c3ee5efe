// SPDX-License-Identifier: Apache-2.0
/* The store: order, memory bound, expiry on a clock moved by hand, cas, references, pages that change their class. */
#include "tests/kv/fixture.h"

#include <stdio.h>

#include "apps/kv/number.h"

static struct kv_key key_of(const struct talk *talk, const char *name)
{
	return kv_store_key(talk->shared.store, (const uint8_t *)name, strlen(name));
}

static enum kv_result put(struct talk *talk, const char *name, uint32_t value_bytes, int64_t expiry)
{
	const struct kv_key key = key_of(talk, name);
	struct kv_item *item;
	uint64_t cas = 0;
	const enum kv_result result =
		kv_store_begin(&talk->worker, &key, KV_SET, 0, kv_expiry(&talk->worker, expiry), value_bytes, &item);

	if (result != KV_DONE)
		return result;
	memset(kv_item_value(item), name[0], value_bytes);
	memcpy(kv_item_value(item) + value_bytes, "\r\n", KV_TAIL);
	return kv_store_end(&talk->worker, item, KV_SET, false, &cas);
}

static struct kv_item *get(struct talk *talk, const char *name)
{
	const struct kv_key key = key_of(talk, name);
	struct kv_item *item = kv_get(&talk->worker, &key);

	if (item != NULL)
		kv_get_end(&talk->worker, item);
	return item;
}

static struct kv_shard_counters counters(const struct talk *talk)
{
	struct kv_shard_counters sum;

	kv_store_count(talk->shared.store, &sum);
	return sum;
}

/* Memory for `pages` items of the largest size. */
static void open_small(struct talk *talk, unsigned pages)
{
	const struct kv_store_config config = {
		.memory_bytes = (uint64_t)pages * (10000 + 256), .item_bytes_max = 10000, .threads = 1, .seed = 7};

	talk_open(talk, &config);
}

static void test_oldest_goes_first(void **state)
{
	struct talk talk;
	char name[16];

	(void)state;
	open_small(&talk, 4);
	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "k%u", i);
		assert_int_equal(put(&talk, name, 9000, 0), KV_DONE);
	}
	assert_int_equal(counters(&talk).evictions, 0);
	assert_non_null(get(&talk, "k1")); /* in the second in which it was stored: k0 stays the oldest */
	talk.worker.now_s++;
	assert_non_null(get(&talk, "k0")); /* now k1 is */
	assert_int_equal(put(&talk, "k4", 9000, 0), KV_DONE);
	assert_null(get(&talk, "k1"));
	assert_non_null(get(&talk, "k0"));
	assert_non_null(get(&talk, "k2"));
	assert_int_equal(put(&talk, "k5", 9000, 0), KV_DONE);
	assert_null(get(&talk, "k3")); /* the only one that was not asked for */
	assert_int_equal(counters(&talk).evictions, 2);
	assert_int_equal(counters(&talk).items, 4);
	talk_close(&talk);
}

static bool put_over(struct talk *talk, const char *name, const char *value, uint32_t flags, int64_t expiry)
{
	const struct kv_key key = key_of(talk, name);

	return kv_set_over(&talk->worker, &key, flags, kv_expiry(&talk->worker, expiry), (const uint8_t *)value,
			   (uint32_t)strlen(value));
}

/* A value is replaced where it is: only one of the same form, and never while somebody sends it. */
static void test_values_are_written_over(void **state)
{
	struct talk talk;

	(void)state;
	open_small(&talk, 4);
	assert_false(put_over(&talk, "a", "12345", 0, 0)); /* there is none */
	assert_int_equal(put(&talk, "a", 5, 0), KV_DONE);
	struct kv_item *item = get(&talk, "a");
	const uint64_t cas = item->cas;
	assert_false(put_over(&talk, "a", "1234", 0, 0));
	assert_false(put_over(&talk, "a", "123456", 0, 0));
	assert_false(put_over(&talk, "a", "12345", 1, 0));
	assert_memory_equal(kv_item_value(item), "aaaaa\r\n", 7);
	assert_int_equal(item->cas, cas);
	kv_item_hold(item);
	assert_false(put_over(&talk, "a", "12345", 0, 0));
	kv_store_release(talk.shared.store, item);

	talk.worker.now_s += 7;
	assert_true(put_over(&talk, "a", "12345", 0, 10));
	assert_ptr_equal(get(&talk, "a"), item);
	assert_memory_equal(kv_item_value(item), "12345\r\n", 7);
	assert_true(item->cas > cas);
	assert_int_equal(item->linked_s, talk.worker.now_s);
	assert_int_equal(counters(&talk).items, 1);
	assert_int_equal(counters(&talk).items_total, 2);
	assert_int_equal(talk.worker.counters.sets, 2);
	talk.worker.now_s += 10;
	assert_false(put_over(&talk, "a", "54321", 0, 0)); /* it has expired */
	assert_int_equal(counters(&talk).items, 0);
	talk_close(&talk);
}

static void test_memory_is_bounded(void **state)
{
	struct talk talk;
	char name[16];

	(void)state;
	open_small(&talk, 20);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(put(&talk, name, i * 7919 % 9000, 0), KV_DONE);
		assert_non_null(get(&talk, name));
		assert_true(counters(&talk).bytes <= (uint64_t)20 * (10000 + 256));
	}
	assert_true(counters(&talk).evictions > 10000);
	assert_true(counters(&talk).pages_moved > 0);
	assert_int_equal(counters(&talk).items_total, 20000);
	talk_close(&talk);
}

/* Nothing but items of one size, and then of another one. */
static void test_pages_change_their_class(void **state)
{
	struct talk talk;
	char name[16];

	(void)state;
	open_small(&talk, 3);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(put(&talk, name, 10, 0), KV_DONE);
	}
	const uint64_t small = counters(&talk).items;
	assert_true(small > 200 && small < 1000);
	assert_int_equal(put(&talk, "large", 9000, 0), KV_DONE);
	assert_int_equal(counters(&talk).pages_moved, 1);
	assert_non_null(get(&talk, "large"));
	assert_true(counters(&talk).items > small / 2 && counters(&talk).items < small);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "t%u", i);
		assert_int_equal(put(&talk, name, 10, 0), KV_DONE);
		assert_non_null(get(&talk, name));
	}
	talk_close(&talk);
}

static void test_expiry(void **state)
{
	struct talk talk;

	(void)state;
	talk_open(&talk, NULL);
	put(&talk, "never", 1, 0);
	put(&talk, "past", 1, -1);
	put(&talk, "relative", 1, 10);
	put(&talk, "month", 1, (int64_t)30 * 24 * 3600);
	put(&talk, "absolute", 1, (int64_t)TALK_UNIX_S + 20);
	put(&talk, "long ago", 1, (int64_t)30 * 24 * 3600 + 1);
	assert_null(get(&talk, "past"));
	assert_null(get(&talk, "long ago"));
	assert_non_null(get(&talk, "relative"));
	talk.worker.now_s = KV_START_S + 9;
	assert_non_null(get(&talk, "relative"));
	talk.worker.now_s++;
	assert_null(get(&talk, "relative"));
	talk.worker.now_s = KV_START_S + 19;
	assert_non_null(get(&talk, "absolute"));
	talk.worker.now_s++;
	assert_null(get(&talk, "absolute"));
	talk.worker.now_s = KV_START_S + 30 * 24 * 3600 - 1;
	assert_non_null(get(&talk, "month"));
	talk.worker.now_s++;
	assert_null(get(&talk, "month"));
	assert_non_null(get(&talk, "never"));
	assert_int_equal(counters(&talk).items, 1);
	assert_int_equal(counters(&talk).evictions, 0);
	talk_close(&talk);
}

static void test_touch(void **state)
{
	struct talk talk;

	(void)state;
	talk_open(&talk, NULL);
	put(&talk, "a", 1, 5);
	const struct kv_key key = key_of(&talk, "a"), none = key_of(&talk, "b");
	assert_int_equal(kv_touch(&talk.worker, &none, 0), KV_NOT_FOUND);
	assert_int_equal(kv_touch(&talk.worker, &key, kv_expiry(&talk.worker, 50)), KV_DONE);
	talk.worker.now_s += 49;
	assert_non_null(get(&talk, "a"));
	struct kv_item *item = kv_get_and_touch(&talk.worker, &key, kv_expiry(&talk.worker, 2));
	assert_non_null(item);
	kv_get_end(&talk.worker, item);
	talk.worker.now_s += 2;
	assert_null(get(&talk, "a"));
	talk_close(&talk);
}

static void test_flush(void **state)
{
	struct talk talk;

	(void)state;
	talk_open(&talk, NULL);
	talk.worker.now_s = 100;
	put(&talk, "a", 1, 0);
	kv_flush(&talk.worker, 0);
	put(&talk, "b", 1, 0); /* in the same second */
	assert_null(get(&talk, "a"));
	assert_non_null(get(&talk, "b"));
	kv_flush(&talk.worker, 10);
	talk.worker.now_s = 105;
	put(&talk, "c", 1, 0);
	assert_non_null(get(&talk, "b"));
	talk.worker.now_s = 110;
	assert_null(get(&talk, "b"));
	assert_null(get(&talk, "c"));
	put(&talk, "d", 1, 0);
	assert_non_null(get(&talk, "d"));
	talk_close(&talk);
}

static void test_cas(void **state)
{
	struct talk talk;

	(void)state;
	talk_open(&talk, NULL);
	put(&talk, "a", 1, 0);
	const struct kv_key key = key_of(&talk, "a"), none = key_of(&talk, "b");
	const uint64_t first = get(&talk, "a")->cas;
	struct kv_item *item;
	uint64_t cas = first + 1000;
	assert_int_equal(kv_store_begin(&talk.worker, &key, KV_SET, 0, 0, 1, &item), KV_DONE);
	assert_int_equal(kv_store_end(&talk.worker, item, KV_SET, true, &cas), KV_EXISTS);
	assert_int_equal(get(&talk, "a")->cas, first);
	cas = first;
	assert_int_equal(kv_store_begin(&talk.worker, &key, KV_SET, 0, 0, 1, &item), KV_DONE);
	assert_int_equal(kv_store_end(&talk.worker, item, KV_SET, true, &cas), KV_DONE);
	assert_true(cas > first);
	assert_int_equal(get(&talk, "a")->cas, cas);
	assert_int_equal(kv_store_begin(&talk.worker, &none, KV_SET, 0, 0, 1, &item), KV_DONE);
	assert_int_equal(kv_store_end(&talk.worker, item, KV_SET, true, &cas), KV_NOT_FOUND);
	assert_int_equal(kv_delete(&talk.worker, &key, first), KV_EXISTS);
	assert_int_equal(kv_delete(&talk.worker, &key, get(&talk, "a")->cas), KV_DONE);
	assert_int_equal(kv_delete(&talk.worker, &key, 0), KV_NOT_FOUND);
	talk_close(&talk);
}

static void test_arithmetic(void **state)
{
	struct talk talk;

	(void)state;
	talk_open(&talk, NULL);
	talk_expect(&talk,
		    "set n 0 0 20\r\n18446744073709551615\r\nincr n 1\r\nget n\r\nincr n 18446744073709551615\r\n"
		    "incr n 2\r\ndecr n 5\r\nget n\r\n",
		    "STORED\r\n0\r\nVALUE n 0 20\r\n0                   \r\nEND\r\n18446744073709551615\r\n1\r\n0\r\n"
		    "VALUE n 0 20\r\n0                   \r\nEND\r\n");
	talk_expect(&talk, "set n 0 0 1\r\n9\r\nincr n 1\r\nget n\r\n", "STORED\r\n10\r\nVALUE n 0 2\r\n10\r\nEND\r\n");
	talk_expect(&talk, "set n 0 0 2\r\nx1\r\nincr n 1\r\n",
		    "STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
	talk_close(&talk);
}

/* An item that is being sent stays whole whatever happens to its key, and its memory is freed after that. */
static void test_references(void **state)
{
	struct talk talk;
	struct rb_sg sg[KV_OUTPUT_PIECES_MAX];

	(void)state;
	open_small(&talk, 2);
	assert_int_equal(put(&talk, "abc", 9000, 0), KV_DONE);
	assert_int_equal(kv_session_input(&talk.session, (const uint8_t *)"get abc\r\n", 9), 9);
	assert_int_equal(kv_output_queue(&talk.session.output, sg), 3);
	assert_int_equal(sg[1].length, 9002);
	assert_int_equal(get(&talk, "abc")->references, 1);
	const struct kv_key key = key_of(&talk, "abc");
	assert_int_equal(kv_delete(&talk.worker, &key, 0), KV_DONE);
	/* The other page serves all these; the held one cannot. */
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(put(&talk, i % 2 == 0 ? "x" : "y", 9000, 0), KV_DONE);
	assert_int_equal(counters(&talk).items, 1);
	for (unsigned i = 0; i < 9000; i++)
		assert_int_equal(((const uint8_t *)sg[1].base)[i], 'a');
	/* And if all is held, nothing can be stored. */
	assert_int_equal(kv_session_input(&talk.session, (const uint8_t *)"get y\r\n", 7), 7);
	assert_int_equal(put(&talk, "z", 9000, 0), KV_NO_MEMORY);
	assert_int_equal(counters(&talk).out_of_memory, 1);
	kv_output_queue(&talk.session.output, sg);
	kv_output_release(&talk.session.output, sg[0].length); /* nothing yet */
	kv_output_clear(&talk.session.output);
	assert_int_equal(put(&talk, "z", 9000, 0), KV_DONE);
	assert_int_equal(put(&talk, "w", 9000, 0), KV_DONE);
	assert_int_equal(counters(&talk).items, 2);
	talk_close(&talk);
}

static void test_several_shards(void **state)
{
	const struct kv_store_config config = {
		.memory_bytes = 128 << 20, .item_bytes_max = 10000, .threads = 4, .seed = 3};
	struct talk talk;
	char name[16];

	(void)state;
	talk_open(&talk, &config);
	assert_int_equal(talk.shared.store->shards_count, 8);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "k%u", i);
		assert_int_equal(put(&talk, name, 100, 0), KV_DONE);
	}
	for (unsigned i = 0; i < 8; i++) {
		const uint64_t items = talk.shared.store->shards[i].counters.items;
		assert_true(items > 1000 && items < 1500);
		assert_false(talk.shared.store->shards[i].locked);
	}
	assert_int_equal(counters(&talk).items, 10000);
	kv_flush(&talk.worker, 0);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "k%u", i);
		assert_null(get(&talk, name));
	}
	assert_int_equal(counters(&talk).items, 0);
	assert_int_equal(counters(&talk).bytes, 0);
	talk_close(&talk);
}

static void test_numbers(void **state)
{
	uint8_t text[KV_DECIMAL_MAX];
	uint64_t value;
	int64_t number;

	(void)state;
	assert_int_equal(kv_number_format(text, UINT64_MAX), 20);
	assert_memory_equal(text, "18446744073709551615", 20);
	assert_int_equal(kv_number_format(text, 0), 1);
	assert_true(kv_number_unsigned((const uint8_t *)"18446744073709551615", 20, &value));
	assert_true(value == UINT64_MAX);
	assert_false(kv_number_unsigned((const uint8_t *)"18446744073709551616", 20, &value));
	assert_false(kv_number_unsigned((const uint8_t *)"-1", 2, &value));
	assert_false(kv_number_unsigned((const uint8_t *)"", 0, &value));
	assert_false(kv_number_unsigned((const uint8_t *)"1x", 2, &value));
	assert_true(kv_number_unsigned((const uint8_t *)" +12 x", 6, &value) && value == 12);
	assert_true(kv_number_signed((const uint8_t *)"-9223372036854775807", 20, &number));
	assert_true(number == -INT64_MAX);
	assert_false(kv_number_signed((const uint8_t *)"9223372036854775808", 19, &number));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oldest_goes_first),
		cmocka_unit_test(test_values_are_written_over),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_pages_change_their_class),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_touch),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_cas),
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_several_shards),
		cmocka_unit_test(test_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
