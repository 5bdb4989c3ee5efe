// SPDX-License-Identifier: Apache-2.0
/* net/flow: the table against a plain one, full, under churn and with colliding hashes; how its hashes spread. */
#include "base/random.h"
#include "net/flow.h"
#include "tests/net/seeds.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 100, STEPS = 3000, CHECKED = 50, MILLION = 1000000 };

static void make(struct flow_table *table, uint32_t entries)
{
	void *memory = aligned_alloc(64, flow_table_size(entries));

	assert_non_null(memory);
	memset(memory, 0xa5, flow_table_size(entries));
	flow_table_init(table, memory, entries);
}

/* As it was made: nothing is left behind of what came and went. */
static void end(struct flow_table *table)
{
	assert_int_equal(table->used, 0);
	for (uint32_t i = 0; i < table->buckets_count; i++) {
		assert_int_equal(table->buckets[i].passed, 0);
		assert_int_equal(flow_bucket_match(&table->buckets[i], 0), FLOW_SLOTS_MASK);
	}
	free(table->buckets);
}

/* How often a lookup yields the index, and how many others. */
static unsigned found(const struct flow_table *table, uint32_t hash, uint32_t index, uint64_t *others)
{
	struct flow_cursor cursor;
	unsigned count = 0;

	for (uint32_t i = flow_first(&cursor, table, hash); i != FLOW_NONE; i = flow_next(&cursor)) {
		count += i == index ? 1U : 0U;
		*others += i != index ? 1U : 0U;
	}
	return count;
}

static void memory_is_bounded(void **state)
{
	(void)state;
	for (uint64_t entries = 12; entries <= MILLION; entries = entries * 5 / 4)
		assert_true(flow_table_size((uint32_t)entries) <= entries * 32);
	assert_int_equal(flow_table_size(1), 64);
}

struct model {
	uint32_t *hashes;
	bool *present;
	uint32_t count;
};

static uint32_t some_hash(struct rb_random *random, unsigned kind)
{
	const uint32_t hash = (uint32_t)rb_random_u64(random);

	switch (kind) {
	case 0: /* as they should be */
		return hash;
	case 1: /* all in one bucket */
		return hash & 0xffU;
	case 2: /* all the same */
		return 0x12345600U;
	case 3: /* all at the end, whence they go to the beginning */
		return hash | 0xffffff00U;
	default: /* two crowds */
		return hash % 2U == 0 ? 0x80000000U | (hash & 0x7ffffffU) : hash & 0xffU;
	}
}

static void check_all(const struct flow_table *table, const struct model *model)
{
	uint64_t others = 0;

	for (uint32_t i = 0; i < model->count; i++)
		assert_int_equal(found(table, model->hashes[i], i, &others), model->present[i]);
}

/* Runs at `percent` of what the table was made for. */
static void churn(struct rb_random *random, uint32_t entries, unsigned percent, unsigned kind)
{
	struct model model = {.count = entries};
	struct flow_table table;
	const uint64_t wanted = (uint64_t)entries * percent / 100;

	model.hashes = calloc(entries, sizeof(*model.hashes));
	model.present = calloc(entries, sizeof(*model.present));
	assert_non_null(model.hashes);
	assert_non_null(model.present);
	make(&table, entries);
	for (unsigned step = 0; step < STEPS; step++) {
		const uint32_t i = (uint32_t)rb_random_below(random, entries);

		if (model.present[i]) {
			flow_remove(&table, model.hashes[i], i);
			model.present[i] = false;
		} else if (table.used < wanted || rb_random_below(random, 2) == 0) {
			model.hashes[i] = some_hash(random, kind);
			flow_insert(&table, model.hashes[i], i);
			model.present[i] = true;
		}
		if (step % CHECKED == 0)
			check_all(&table, &model);
	}
	for (uint32_t i = 0; i < entries; i++) /* full */
		if (!model.present[i]) {
			model.hashes[i] = some_hash(random, kind);
			flow_insert(&table, model.hashes[i], i);
			model.present[i] = true;
		}
	assert_int_equal(table.used, entries);
	check_all(&table, &model);
	for (uint32_t i = 0; i < entries; i++)
		flow_remove(&table, model.hashes[i], i);
	end(&table);
	free(model.hashes);
	free(model.present);
}

static void agrees_with_a_plain_table(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {1, 2, 6, 7, 12, 13, 40, 100, 333};
	static const unsigned percents[] = {10, 50, 90, 100};
	const uint64_t first = seeds_first(__func__);

	for (uint64_t seed = first; seed < first + SEEDS; seed++) {
		struct rb_random random;

		rb_random_init(&random, seed, 0);
		churn(&random, sizes[seed % (sizeof(sizes) / sizeof(sizes[0]))], percents[seed % 4],
		      (unsigned)(seed % 5));
	}
}

/* What the header promises of a full table of a million, with hashes of neighbouring 4-tuples. */
static void a_million_flows(void **state)
{
	(void)state;
	struct rb_random random;
	struct flow_table table;
	struct flow_secret secret;
	uint32_t *hashes = calloc(MILLION, sizeof(*hashes));
	uint64_t others = 0, others_absent = 0;
	uint32_t passed = 0;

	assert_non_null(hashes);
	rb_random_init(&random, seeds_first(__func__), 0);
	secret = (struct flow_secret){{rb_random_u64(&random), rb_random_u64(&random)}};
	make(&table, MILLION);
	for (uint32_t i = 0; i < MILLION; i++) {
		hashes[i] = flow_hash4(&secret, 0x0a000001U, 0x0a000100U + i / 50000, (80U << 16) | (i % 50000 + 1024));
		flow_insert(&table, hashes[i], i);
	}
	for (uint32_t i = 0; i < MILLION; i++) {
		assert_int_equal(found(&table, hashes[i], i, &others), 1);
		assert_int_equal(found(&table, flow_hash4(&secret, 0x0a000001U, 0x0b000000U + i, 80U << 16), FLOW_NONE,
				       &others_absent),
				 0);
	}
	for (uint32_t i = 0; i < table.buckets_count; i++)
		passed += table.buckets[i].passed != 0 ? 1U : 0U;
	print_message("%u of %u buckets passed; %.4f and %.4f wrong candidates per hit and miss\n", passed,
		      table.buckets_count, (double)others / MILLION, (double)others_absent / MILLION);
	assert_true(passed < table.buckets_count / 100);
	/* 6 tags of 255 */
	assert_true((double)others / MILLION < 6.0 / 255.0 * 1.1);
	assert_true((double)others_absent / MILLION < 6.0 / 255.0 * 1.1);
	for (uint32_t i = 0; i < MILLION; i++)
		flow_remove(&table, hashes[i], i);
	end(&table);
	free(hashes);
}

/*
 * Spread. Keys that differ in few bits, as those of one client or one network do, must fall into bins as random numbers
 * would. Chi-square of k bins has mean k - 1 and variance 2 (k - 1) and is near a normal distribution; the bound is six
 * standard deviations. Too even is no fault here, but neither is it one that random numbers would have: both sides.
 */

enum { KEYS = 1 << 16, BINS = 1024 };

static void check_bins(const uint32_t *bins, unsigned count, const char *what, uint64_t seed)
{
	const double expected = (double)KEYS / count, freedom = (double)count - 1;
	double chi_square = 0;

	for (unsigned i = 0; i < count; i++)
		chi_square += (bins[i] - expected) * (bins[i] - expected) / expected;
	if (fabs(chi_square - freedom) > 6 * sqrt(2 * freedom))
		fail_msg("%s, seed %" PRIu64 ": chi-square %.0f with %.0f degrees of freedom", what, seed, chi_square,
			 freedom);
}

static struct rb_ip ip6(uint64_t prefix, uint64_t interface)
{
	return (struct rb_ip){.words = {__builtin_bswap64(prefix), __builtin_bswap64(interface)}};
}

/* The i-th key of a pattern. */
static uint32_t hash_of(const struct flow_secret *secret, unsigned pattern, uint32_t i)
{
	const struct rb_ip local = ip6(UINT64_C(0x20010db800000000), 1), remote = ip6(UINT64_C(0x20010db800000000), 2);
	struct rb_ip other;

	switch (pattern) {
	case 0: /* one client's ports */
		return flow_hash4(secret, 0x0a000001U, 0x0a000002U, (80U << 16) | i);
	case 1: /* a network's addresses */
		return flow_hash4(secret, 0x0a000001U, 0x0a010000U + i, (80U << 16) | 1024U);
	case 2: /* the same in network byte order */
		return flow_hash4(secret, 0x0100000aU, __builtin_bswap32(0x0a010000U + i), 0x00500400U);
	case 3: /* 256 clients with 256 ports each */
		return flow_hash4(secret, 0x0a000001U, 0x0a010000U + i / 256U, (80U << 16) | (i % 256U));
	case 4: /* addresses and ports in step */
		return flow_hash4(secret, 0x0a000001U, 0x0a010000U + i, (80U << 16) | i);
	case 5: /* local ports */
		return flow_hash4(secret, 0x0a000001U, 0x0a000002U, (i << 16) | 80U);
	case 6:
		return flow_hash6(secret, &local, &remote, (80U << 16) | i);
	case 7:
		return flow_hash6(secret, &local, &remote, (i << 16) | 80U);
	case 8:
		other = ip6(UINT64_C(0x20010db800000000), i);
		return flow_hash6(secret, &local, &other, (80U << 16) | 1024U);
	case 9: /* one peer of each of many networks */
		other = ip6(UINT64_C(0x20010db800000000) + i, 1);
		return flow_hash6(secret, &local, &other, (80U << 16) | 1024U);
	default:
		other = ip6(UINT64_C(0x20010db800000000) + i / 256U, i % 256U);
		return flow_hash6(secret, &local, &other, (80U << 16) | 1024U);
	}
}

static int by_value(const void *a, const void *b)
{
	const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static void check_spread(unsigned pattern, uint64_t seed, uint32_t *hashes)
{
	static const struct flow_table table = {.buckets_count = BINS - 24}; /* no power of two */
	uint32_t buckets[BINS] = {0}, tags[256] = {0}, equal = 0;
	struct flow_secret secret;
	struct rb_random random;
	char what[32];

	rb_random_init(&random, seed, 0);
	secret = (struct flow_secret){{rb_random_u64(&random), rb_random_u64(&random)}};
	for (uint32_t i = 0; i < KEYS; i++) {
		hashes[i] = hash_of(&secret, pattern, i);
		buckets[flow_bucket_of(&table, hashes[i])]++;
		tags[hashes[i] & 0xffU]++;
	}
	snprintf(what, sizeof(what), "buckets of pattern %u", pattern);
	check_bins(buckets, table.buckets_count, what, seed);
	snprintf(what, sizeof(what), "tags of pattern %u", pattern);
	check_bins(tags, 256, what, seed);
	/* Equal hashes: KEYS^2 / 2^33 = 0.5 pairs are to be expected. */
	qsort(hashes, KEYS, sizeof(*hashes), by_value);
	for (uint32_t i = 1; i < KEYS; i++)
		equal += hashes[i] == hashes[i - 1] ? 1U : 0U;
	assert_true(equal <= 8);
}

static void neighbours_spread_like_random_numbers(void **state)
{
	(void)state;
	const uint64_t first = seeds_first(__func__);
	uint32_t *hashes = calloc(KEYS, sizeof(*hashes));

	assert_non_null(hashes);
	for (uint64_t seed = first; seed < first + 10; seed++)
		for (unsigned pattern = 0; pattern <= 10; pattern++)
			check_spread(pattern, seed, hashes);
	free(hashes);
}

/* Any bit of the input or of the secret changes each bit of the hash in about half of all cases. */
static void every_bit_counts(void **state)
{
	(void)state;
	enum { TRIALS = 4096, BITS = 96 + 128 };
	struct rb_random random;

	rb_random_init(&random, seeds_first(__func__), 0);
	for (unsigned bit = 0; bit < BITS; bit++) {
		unsigned flips[32] = {0};

		for (unsigned trial = 0; trial < TRIALS; trial++) {
			uint32_t words[BITS / 32];
			uint32_t hash[2];

			for (unsigned i = 0; i < BITS / 32; i++)
				words[i] = (uint32_t)rb_random_u64(&random);
			for (unsigned side = 0; side < 2; side++) {
				struct flow_secret secret;

				memcpy(&secret, words + 3, sizeof(secret));
				hash[side] = flow_hash4(&secret, words[0], words[1], words[2]);
				words[bit / 32] ^= 1U << (bit % 32);
			}
			for (unsigned i = 0; i < 32; i++)
				flips[i] += ((hash[0] ^ hash[1]) >> i) & 1U;
		}
		for (unsigned i = 0; i < 32; i++) /* ± 8 standard deviations */
			assert_in_range(flips[i], TRIALS / 2 - 256, TRIALS / 2 + 256);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_bounded), cmocka_unit_test(agrees_with_a_plain_table),
		cmocka_unit_test(a_million_flows),   cmocka_unit_test(neighbours_spread_like_random_numbers),
		cmocka_unit_test(every_bit_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
