// SPDX-License-Identifier: Apache-2.0
/*
 * Key-value workloads: which key, how long a key and a value, GET or SET.
 *
 *   etc   Facebook's general pool, by the model of Atikoglu, Xu, Frachtenberg, Jiang, Paleczny, "Workload analysis
 *         of a large-scale key-value store" (SIGMETRICS 2012): key size Generalized Extreme Value(mu 30.7984, sigma
 *         8.20449, k 0.078688); value size 0..14 bytes by the paper's table, larger ones Generalized Pareto(theta 0,
 *         sigma 214.476, k 0.348238) given that they are 15 bytes or more (so that the table's shares stay exact);
 *         GET:SET 30:1.
 *   usr   user-account pool of the same paper: keys of 16 and 21 bytes, values of 2 bytes, 99.8 % GET. The paper
 *         names the two key sizes but not their shares; here each has half.
 *   fixed sizes and GET share as configured.
 *
 * Key i (0 … keys-1) is its decimal number padded with zeroes on the left to the key's length. The length is a
 * function of the workload and i only, so every thread and every run names the same keys. The value of key i is a
 * slice, starting at a place given by i, of one fixed pseudo-random text: a GET reply can be verified byte by byte
 * whatever length was stored last.
 */
#pragma once

#include "base/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RB_KV_KEY_MAX = 250,	     /* memcached's limit */
	RB_KV_VALUE_MAX = 1000000,   /* below memcached's default item limit of 1 MiB */
	RB_KV_SLICE_STARTS = 1 << 16 /* places where a value may start in the text */
};

enum rb_kv_profile { RB_KV_ETC, RB_KV_USR, RB_KV_FIXED, RB_KV_PROFILES };
enum rb_kv_popularity { RB_KV_UNIFORM, RB_KV_ZIPF };

extern const char *const rb_kv_profile_names[];	   /* ends with NULL */
extern const char *const rb_kv_popularity_names[]; /* ends with NULL */

struct rb_kv_config {
	enum rb_kv_profile profile;
	uint64_t keys; /* >= 1 */
	enum rb_kv_popularity popularity;
	double zipf_exponent;	  /* > 0; share of the key of rank r is proportional to r^-exponent, rank = index + 1 */
	uint32_t fixed_key_bytes; /* profile fixed: 1..250, and enough for the digits of keys-1 */
	uint32_t fixed_value_bytes; /* profile fixed: 0..1000000 */
	double get_share;	    /* 0..1; negative: the profile's own (etc 30/31, usr 0.998, fixed 1) */
};

struct rb_kv {
	struct rb_kv_config config;
	double get_share;
	uint32_t digits;			/* of keys-1 */
	uint8_t *text;				/* owned: RB_KV_SLICE_STARTS + RB_KV_VALUE_MAX bytes */
	double zipf_high, zipf_low, zipf_shift; /* constants of the sampling below */
};

/* Returns 0, -EINVAL (configuration out of the ranges above) or -ENOMEM. */
int rb_kv_init(struct rb_kv *kv, const struct rb_kv_config *config);
void rb_kv_free(struct rb_kv *kv);

/*
 * Draws a key by popularity. Zipf by rejection-inversion (W. Hörmann, G. Derflinger, ACM TOMACS 6(3), 1996): no table,
 * any number of keys.
 */
uint64_t rb_kv_pick_key(const struct rb_kv *kv, struct rb_random *random);

/* Draws the size of a value to be stored, in bytes. */
uint32_t rb_kv_pick_value_bytes(const struct rb_kv *kv, struct rb_random *random);

/* True: the next operation is a GET. */
bool rb_kv_pick_get(const struct rb_kv *kv, struct rb_random *random);

/* Writes the key's bytes (no NUL) and returns their number, 1..RB_KV_KEY_MAX. */
uint32_t rb_kv_key(const struct rb_kv *kv, uint64_t index, char key[RB_KV_KEY_MAX]);

/* The longest value of key `index`; every prefix is a value of it. Lives as long as kv. */
const uint8_t *rb_kv_value(const struct rb_kv *kv, uint64_t index);

/* The quantile functions behind the sizes, for 0 <= u < 1; exposed for the tests. */
double rb_kv_etc_key_quantile(double u);
uint32_t rb_kv_etc_value_quantile(double u);
