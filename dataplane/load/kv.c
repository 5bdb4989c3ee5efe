// SPDX-License-Identifier: Apache-2.0

#include "load/kv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const rb_kv_profile_names[] = {"etc", "usr", "fixed", NULL};
const char *const rb_kv_popularity_names[] = {"uniform", "zipf", NULL};

/* Atikoglu et al. 2012, section 5: key size, small value sizes, large value sizes. */
#define ETC_KEY_MU	30.7984
#define ETC_KEY_SIGMA	8.20449
#define ETC_KEY_K	0.078688
#define ETC_VALUE_SIGMA 214.476
#define ETC_VALUE_K	0.348238

static const double etc_small_values[15] = {0.00536, 0.00047, 0.17820, 0.09239, 0.00018, 0.02740, 0.00065, 0.00606,
					    0.00023, 0.00837, 0.00837, 0.08989, 0.00092, 0.00326, 0.01980};

static const double profile_get_share[RB_KV_PROFILES] = {30.0 / 31.0, 0.998, 1.0};

enum { USR_KEY_SHORT = 16, USR_KEY_LONG = 21, USR_VALUE = 2 };

/* Start values that keep the hashes of one key for different purposes apart. */
#define SALT_KEY_SIZE	 UINT64_C(0x6b65792d73697a65)
#define SALT_VALUE_START UINT64_C(0x76616c2d73746172)
#define SALT_TEXT	 UINT64_C(0x76616c2d74657874)

static uint32_t count_digits(uint64_t n)
{
	uint32_t digits = 1;

	while (n >= 10U) {
		n /= 10U;
		digits++;
	}
	return digits;
}

static uint64_t hash(uint64_t index, uint64_t salt)
{
	uint64_t state = index ^ salt;

	return rb_splitmix64(&state);
}

/* Integral of x^-s, and its inverse; s = 1 is the logarithm. */
static double zipf_integral(double s, double x)
{
	return s == 1.0 ? log(x) : (pow(x, 1.0 - s) - 1.0) / (1.0 - s);
}

static double zipf_inverse(double s, double y)
{
	return s == 1.0 ? exp(y) : pow(1.0 + y * (1.0 - s), 1.0 / (1.0 - s));
}

static void zipf_prepare(struct rb_kv *kv)
{
	const double s = kv->config.zipf_exponent;

	kv->zipf_low = zipf_integral(s, 1.5) - 1.0;
	kv->zipf_high = zipf_integral(s, (double)kv->config.keys + 0.5);
	kv->zipf_shift = 2.0 - zipf_inverse(s, zipf_integral(s, 2.5) - pow(2.0, -s));
}

static bool config_is_valid(const struct rb_kv_config *c)
{
	if (c->keys == 0 || c->get_share > 1.0 || isnan(c->get_share))
		return false;
	if (c->popularity == RB_KV_ZIPF && !(c->zipf_exponent > 0.0 && isfinite(c->zipf_exponent)))
		return false;
	if (c->profile == RB_KV_USR && count_digits(c->keys - 1U) > USR_KEY_SHORT)
		return false;
	if (c->profile != RB_KV_FIXED)
		return true;
	return c->fixed_key_bytes <= RB_KV_KEY_MAX && c->fixed_key_bytes >= count_digits(c->keys - 1U) &&
	       c->fixed_value_bytes <= RB_KV_VALUE_MAX;
}

int rb_kv_init(struct rb_kv *kv, const struct rb_kv_config *config)
{
	const size_t length = (size_t)RB_KV_SLICE_STARTS + RB_KV_VALUE_MAX;

	memset(kv, 0, sizeof(*kv));
	if (!config_is_valid(config))
		return -EINVAL;
	kv->config = *config;
	kv->get_share = config->get_share < 0.0 ? profile_get_share[config->profile] : config->get_share;
	kv->digits = count_digits(config->keys - 1U);
	if (config->popularity == RB_KV_ZIPF)
		zipf_prepare(kv);
	kv->text = malloc(length);
	if (kv->text == NULL)
		return -ENOMEM;
	uint64_t state = SALT_TEXT;
	for (size_t at = 0; at < length; at += sizeof(uint64_t)) {
		const uint64_t word = rb_splitmix64(&state);

		memcpy(kv->text + at, &word, length - at < sizeof(word) ? length - at : sizeof(word));
	}
	return 0;
}

void rb_kv_free(struct rb_kv *kv)
{
	free(kv->text);
	memset(kv, 0, sizeof(*kv));
}

static uint64_t pick_zipf(const struct rb_kv *kv, struct rb_random *random)
{
	const double s = kv->config.zipf_exponent;

	for (;;) {
		const double y = kv->zipf_high + rb_random_unit(random) * (kv->zipf_low - kv->zipf_high);
		const double x = zipf_inverse(s, y);
		const double rank = fmin(fmax(floor(x + 0.5), 1.0), (double)kv->config.keys);

		if (rank - x <= kv->zipf_shift || y >= zipf_integral(s, rank + 0.5) - pow(rank, -s))
			return (uint64_t)rank - 1U;
	}
}

uint64_t rb_kv_pick_key(const struct rb_kv *kv, struct rb_random *random)
{
	if (kv->config.popularity == RB_KV_ZIPF)
		return pick_zipf(kv, random);
	return rb_random_below(random, kv->config.keys);
}

double rb_kv_etc_key_quantile(double u)
{
	/* u = 0 would be the infinitely far lower tail: the support's end. */
	const double minus_log = u > 0.0 ? -log(u) : INFINITY;

	return ETC_KEY_MU + ETC_KEY_SIGMA * (pow(minus_log, -ETC_KEY_K) - 1.0) / ETC_KEY_K;
}

uint32_t rb_kv_etc_value_quantile(double u)
{
	for (uint32_t size = 0; size < 15U; size++) {
		if (u < etc_small_values[size])
			return size;
		u -= etc_small_values[size];
	}
	double large_share = 1.0;
	for (uint32_t size = 0; size < 15U; size++)
		large_share -= etc_small_values[size];
	/* Survival of the Pareto part beyond 15 bytes, then its inverse at the share of it that u leaves. */
	const double beyond = pow(1.0 + ETC_VALUE_K * 15.0 / ETC_VALUE_SIGMA, -1.0 / ETC_VALUE_K);
	const double survival = beyond * fmax(1.0 - u / large_share, 0x1.0p-53);
	const double size = ETC_VALUE_SIGMA * (pow(survival, -ETC_VALUE_K) - 1.0) / ETC_VALUE_K;

	return (uint32_t)fmin(fmax(floor(size), 15.0), (double)RB_KV_VALUE_MAX);
}

uint32_t rb_kv_pick_value_bytes(const struct rb_kv *kv, struct rb_random *random)
{
	switch (kv->config.profile) {
	case RB_KV_ETC:
		return rb_kv_etc_value_quantile(rb_random_unit(random));
	case RB_KV_USR:
		return USR_VALUE;
	default:
		return kv->config.fixed_value_bytes;
	}
}

bool rb_kv_pick_get(const struct rb_kv *kv, struct rb_random *random)
{
	return rb_random_unit(random) < kv->get_share;
}

static uint32_t key_bytes(const struct rb_kv *kv, uint64_t index)
{
	double size = kv->config.fixed_key_bytes;

	if (kv->config.profile == RB_KV_ETC)
		size = nearbyint(rb_kv_etc_key_quantile((double)(hash(index, SALT_KEY_SIZE) >> 11) * 0x1.0p-53));
	else if (kv->config.profile == RB_KV_USR)
		size = (hash(index, SALT_KEY_SIZE) & 1U) ? USR_KEY_LONG : USR_KEY_SHORT;
	return (uint32_t)fmin(fmax(size, kv->digits), RB_KV_KEY_MAX);
}

uint32_t rb_kv_key(const struct rb_kv *kv, uint64_t index, char key[RB_KV_KEY_MAX])
{
	const uint32_t length = key_bytes(kv, index);

	for (uint32_t at = length; at > 0; at--) {
		key[at - 1U] = (char)('0' + index % 10U);
		index /= 10U;
	}
	return length;
}

const uint8_t *rb_kv_value(const struct rb_kv *kv, uint64_t index)
{
	return kv->text + hash(index, SALT_VALUE_START) % RB_KV_SLICE_STARTS;
}
