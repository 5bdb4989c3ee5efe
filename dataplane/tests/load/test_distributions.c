// SPDX-License-Identifier: Apache-2.0
/*
 * Service times and key-value workloads: means and tail shares against theory. Seeds are fixed; bounds are a few
 * standard errors.
 */

#include "load/kv.h"
#include "load/service_time.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DRAWS = 1000000 };

struct moments {
	double mean, scv;
	double above; /* share of the draws above a bound */
};

static struct moments draw(const struct rb_service_time *s, double bound)
{
	struct rb_random random;
	double sum = 0, squares = 0, above = 0;

	rb_random_init(&random, 17, 0);
	for (unsigned i = 0; i < DRAWS; i++) {
		const double v = (double)rb_service_time_sample(s, &random);

		sum += v;
		squares += v * v;
		above += v > bound ? 1.0 : 0.0;
	}
	const double mean = sum / DRAWS;
	return (struct moments){mean, squares / DRAWS / mean / mean - 1.0, above / DRAWS};
}

static void near(double value, double expected, double relative)
{
	if (!(fabs(value - expected) <= relative * expected))
		print_error("%.9g is not within %.3g of %.9g\n", value, relative, expected);
	assert_true(fabs(value - expected) <= relative * expected);
}

/* Mean S, squared coefficient of variation by theory, and the share of the long ones. */
static void service_times_have_their_mean(void **state)
{
	static const struct {
		enum rb_service_kind kind;
		double bound, above, mean_error, scv_error;
	} cases[] = {
		{RB_SERVICE_EXPONENTIAL, 46051.7, 0.01, 0.005, 0.02},
		{RB_SERVICE_BIMODAL_1, 5000.5, 0.1, 0.005, 0.01},
		{RB_SERVICE_BIMODAL_2, 2000, 0.005, 0.05, 0.1},
		{RB_SERVICE_BIMODAL_2Z, 5000.5, 0.001, 0.08, 0.15},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rb_service_time s = {.kind = cases[i].kind, .mean_ns = 10000};
		const struct moments m = draw(&s, cases[i].bound);

		near(m.mean, 10000, cases[i].mean_error);
		near(m.above, cases[i].above, 4.0 / sqrt(cases[i].above * DRAWS));
		near(m.scv, rb_service_time_scv(&s), cases[i].scv_error);
	}
}

/* The two points of each bimodal distribution, and that they average to the mean exactly. */
static void bimodal_points_are_exact(void **state)
{
	const struct rb_service_time one = {.kind = RB_SERVICE_BIMODAL_1, .mean_ns = 10000};
	const struct rb_service_time shinjuku = {.kind = RB_SERVICE_BIMODAL_2, .mean_ns = 2997.5};
	const struct rb_service_time zygos = {.kind = RB_SERVICE_BIMODAL_2Z, .mean_ns = 10000};
	struct rb_random random;

	(void)state;
	rb_random_init(&random, 2, 0);
	for (unsigned i = 0; i < 10000; i++) {
		const uint64_t a = rb_service_time_sample(&one, &random);
		const uint64_t b = rb_service_time_sample(&shinjuku, &random);
		const uint64_t c = rb_service_time_sample(&zygos, &random);

		assert_true(a == 5000 || a == 55000);
		assert_true(b == 500 || b == 500000);
		assert_true(c == 5000 || c == 5005000);
	}
	near(0.9 * 5000 + 0.1 * 55000, 10000, 1e-12);
	near(0.995 * 500 + 0.005 * 500000, 2997.5, 1e-12);
	near(0.999 * 5000 + 0.001 * 5005000, 10000, 1e-12);
	near(rb_service_time_scv(&one), 0.9 * 0.25 + 0.1 * 30.25 - 1.0, 1e-12);
}

static void fixed_and_lognormal(void **state)
{
	const struct rb_service_time fixed = {.kind = RB_SERVICE_FIXED, .mean_ns = 12345};
	const struct rb_service_time lognormal = {.kind = RB_SERVICE_LOGNORMAL, .mean_ns = 10000, .sigma = 1.0};

	(void)state;
	assert_true(draw(&fixed, 12344).above == 1.0);
	assert_true(rb_service_time_scv(&fixed) == 0.0);
	/* Median is mean * exp(-1/2); 1 % lie above exp(2.3263 - 1/2) means. */
	const struct moments m = draw(&lognormal, 10000 * exp(-0.5));
	near(m.mean, 10000, 0.01);
	near(m.above, 0.5, 0.01);
	near(draw(&lognormal, 10000 * exp(2.32635 - 0.5)).above, 0.01, 0.05);
	near(rb_service_time_scv(&lognormal), exp(1.0) - 1.0, 1e-12);
}

static void make_kv(struct rb_kv *kv, enum rb_kv_profile profile, uint64_t keys)
{
	const struct rb_kv_config config = {.profile = profile, .keys = keys, .get_share = -1};

	assert_int_equal(rb_kv_init(kv, &config), 0);
}

/* Generalized Extreme Value: mean mu + sigma (Gamma(1 - k) - 1) / k; the quantile function inverts the distribution
 * function. */
static void etc_key_sizes(void **state)
{
	const double mean = 30.7984 + 8.20449 * (tgamma(1 - 0.078688) - 1) / 0.078688;
	struct rb_kv kv;
	char key[RB_KV_KEY_MAX];
	double sum = 0;
	unsigned above = 0;

	(void)state;
	for (unsigned i = 1; i < 1000; i++) {
		const double u = i / 1000.0;
		const double x = rb_kv_etc_key_quantile(u);

		near(exp(-pow(1 + 0.078688 * (x - 30.7984) / 8.20449, -1 / 0.078688)), u, 1e-9);
	}
	make_kv(&kv, RB_KV_ETC, DRAWS);
	for (uint64_t i = 0; i < DRAWS; i++) {
		const uint32_t length = rb_kv_key(&kv, i, key);

		assert_in_range(length, 6, RB_KV_KEY_MAX);
		sum += length;
		above += length > 60 ? 1 : 0;
	}
	near(sum / DRAWS, mean, 0.002);
	near((double)above / DRAWS, 1 - exp(-pow(1 + 0.078688 * (60.5 - 30.7984) / 8.20449, -1 / 0.078688)), 0.03);
	rb_kv_free(&kv);
}

/* The table's shares, and the Pareto tail beyond: P(size >= s | size >= 15) = ((1 + k s/sigma) / (1 + k
 * 15/sigma))^(-1/k). */
static void etc_value_sizes(void **state)
{
	static const double table[15] = {0.00536, 0.00047, 0.17820, 0.09239, 0.00018, 0.02740, 0.00065, 0.00606,
					 0.00023, 0.00837, 0.00837, 0.08989, 0.00092, 0.00326, 0.01980};
	static const double bounds[] = {15, 50, 100, 500, 1000, 5000};
	const double k = 0.348238, sigma = 214.476;
	static unsigned seen[RB_KV_VALUE_MAX + 1];
	struct rb_random random;
	double large = 1.0, mean = 0, sum = 0;
	struct rb_kv kv;

	(void)state;
	make_kv(&kv, RB_KV_ETC, 10);
	rb_random_init(&random, 4, 0);
	for (unsigned i = 0; i < DRAWS; i++) {
		const uint32_t size = rb_kv_pick_value_bytes(&kv, &random);

		seen[size]++;
		sum += size;
	}
	for (unsigned size = 0; size < 15; size++) {
		near((double)seen[size] / DRAWS, table[size], 5.0 / sqrt(table[size] * DRAWS));
		large -= table[size];
		mean += table[size] * size;
	}
	for (size_t b = 0; b < sizeof(bounds) / sizeof(bounds[0]); b++) {
		const double p = large * pow((1 + k * bounds[b] / sigma) / (1 + k * 15 / sigma), -1 / k);
		double at_least = 0;

		for (size_t size = (size_t)bounds[b]; size <= RB_KV_VALUE_MAX; size++)
			at_least += seen[size];
		near(at_least / DRAWS, p, 5.0 / sqrt(p * DRAWS));
	}
	/* Mean of the tail: 15 + (sigma + 15 k) / (1 - k), half a byte less by rounding down. */
	mean += large * (15 + (sigma + 15 * k) / (1 - k) - 0.5);
	near(sum / DRAWS, mean, 0.01);
	assert_int_equal(rb_kv_etc_value_quantile(0.0), 0);
	assert_in_range(rb_kv_etc_value_quantile(0x1.fffffffffffffp-1), 15, RB_KV_VALUE_MAX);
	rb_kv_free(&kv);
}

static void get_shares(void **state)
{
	static const double expected[RB_KV_PROFILES] = {30.0 / 31.0, 0.998, 1.0};
	struct rb_random random;

	(void)state;
	rb_random_init(&random, 8, 0);
	for (unsigned profile = 0; profile < RB_KV_PROFILES; profile++) {
		struct rb_kv_config config = {
			.profile = (enum rb_kv_profile)profile, .keys = 10, .get_share = -1, .fixed_key_bytes = 10};
		struct rb_kv kv;
		unsigned gets = 0;

		assert_int_equal(rb_kv_init(&kv, &config), 0);
		for (unsigned i = 0; i < DRAWS; i++)
			gets += rb_kv_pick_get(&kv, &random) ? 1 : 0;
		near((double)gets / DRAWS, expected[profile], 0.001);
		rb_kv_free(&kv);
		config.get_share = 0.0;
		assert_int_equal(rb_kv_init(&kv, &config), 0);
		assert_false(rb_kv_pick_get(&kv, &random));
		rb_kv_free(&kv);
	}
}

static void usr_sizes(void **state)
{
	struct rb_random random;
	struct rb_kv kv;
	char key[RB_KV_KEY_MAX];
	unsigned longer = 0;

	(void)state;
	make_kv(&kv, RB_KV_USR, 100000);
	rb_random_init(&random, 8, 0);
	for (uint64_t i = 0; i < 100000; i++) {
		const uint32_t length = rb_kv_key(&kv, i, key);

		assert_true(length == 16 || length == 21);
		longer += length == 21 ? 1 : 0;
	}
	near(longer / 100000.0, 0.5, 0.02);
	assert_int_equal(rb_kv_pick_value_bytes(&kv, &random), 2);
	rb_kv_free(&kv);
}

/* Zipf: the share of each of the first ranks is rank^-s / H(n, s). */
static void zipf_popularity(void **state)
{
	static const double exponents[] = {0.5, 0.99, 1.0, 1.5};
	enum { KEYS = 1000 };
	static unsigned seen[KEYS];
	struct rb_random random;

	(void)state;
	rb_random_init(&random, 21, 0);
	for (size_t e = 0; e < sizeof(exponents) / sizeof(exponents[0]); e++) {
		const struct rb_kv_config config = {.profile = RB_KV_ETC,
						    .keys = KEYS,
						    .popularity = RB_KV_ZIPF,
						    .zipf_exponent = exponents[e],
						    .get_share = -1};
		struct rb_kv kv;
		double harmonic = 0;

		assert_int_equal(rb_kv_init(&kv, &config), 0);
		memset(seen, 0, sizeof(seen));
		for (unsigned i = 0; i < DRAWS; i++)
			seen[rb_kv_pick_key(&kv, &random)]++;
		for (unsigned rank = 1; rank <= KEYS; rank++)
			harmonic += pow(rank, -exponents[e]);
		for (unsigned rank = 1; rank <= KEYS; rank *= 3) {
			const double p = pow(rank, -exponents[e]) / harmonic;

			near((double)seen[rank - 1] / DRAWS, p, 5.0 / sqrt(p * DRAWS));
		}
		rb_kv_free(&kv);
	}
}

/* Keys are distinct, the same for everybody, and one key alone is possible. */
static void keys_are_distinct(void **state)
{
	struct rb_kv kv, other;
	char a[RB_KV_KEY_MAX], b[RB_KV_KEY_MAX];
	struct rb_random random;

	(void)state;
	make_kv(&kv, RB_KV_ETC, 5000);
	make_kv(&other, RB_KV_ETC, 5000);
	for (uint64_t i = 0; i < 5000; i++) {
		const uint32_t length = rb_kv_key(&kv, i, a);

		assert_int_equal(rb_kv_key(&other, i, b), length);
		assert_memory_equal(a, b, length);
		uint64_t value = 0;
		for (uint32_t c = 0; c < length; c++)
			value = value * 10 + (uint64_t)(a[c] - '0');
		assert_int_equal(value, i);
		assert_memory_equal(rb_kv_value(&kv, i), rb_kv_value(&other, i), 1000);
	}
	rb_kv_free(&kv);
	rb_kv_free(&other);
	make_kv(&kv, RB_KV_ETC, 1);
	rb_random_init(&random, 1, 0);
	assert_int_equal(rb_kv_pick_key(&kv, &random), 0);
	rb_kv_free(&kv);
}

static void wrong_workloads_are_refused(void **state)
{
	static const struct rb_kv_config bad[] = {
		{.profile = RB_KV_ETC, .keys = 0},
		{.profile = RB_KV_ETC, .keys = 1, .get_share = 1.5},
		{.profile = RB_KV_ETC, .keys = 1, .popularity = RB_KV_ZIPF, .zipf_exponent = 0},
		{.profile = RB_KV_FIXED, .keys = 1000, .fixed_key_bytes = 2},
		{.profile = RB_KV_FIXED, .keys = 1, .fixed_key_bytes = 251},
		{.profile = RB_KV_FIXED, .keys = 1, .fixed_key_bytes = 1, .fixed_value_bytes = RB_KV_VALUE_MAX + 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rb_kv kv;

		assert_int_equal(rb_kv_init(&kv, &bad[i]), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(service_times_have_their_mean),
		cmocka_unit_test(bimodal_points_are_exact),
		cmocka_unit_test(fixed_and_lognormal),
		cmocka_unit_test(etc_key_sizes),
		cmocka_unit_test(etc_value_sizes),
		cmocka_unit_test(get_shares),
		cmocka_unit_test(usr_sizes),
		cmocka_unit_test(zipf_popularity),
		cmocka_unit_test(keys_are_distinct),
		cmocka_unit_test(wrong_workloads_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
