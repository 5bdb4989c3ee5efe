// SPDX-License-Identifier: Apache-2.0

#include "base/histogram.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int rb_histogram_init(struct rb_histogram *h, unsigned precision_bits, uint64_t max_value)
{
	memset(h, 0, sizeof(*h));
	if (precision_bits < 1U || precision_bits > RB_HISTOGRAM_PRECISION_MAX)
		return -EINVAL;
	h->precision_bits = precision_bits;
	h->buckets = rb_histogram_index(precision_bits, max_value) + 1U;
	h->counts = calloc(h->buckets, sizeof(*h->counts));
	if (h->counts == NULL)
		return -ENOMEM;
	/* Written, not only zero-mapped: the first value of an octave must not cost a page fault while recording. */
	rb_histogram_reset(h);
	return 0;
}

void rb_histogram_free(struct rb_histogram *h)
{
	free(h->counts);
	memset(h, 0, sizeof(*h));
}

void rb_histogram_reset(struct rb_histogram *h)
{
	memset(h->counts, 0, (size_t)h->buckets * sizeof(*h->counts));
	h->count = 0;
	h->sum = 0;
	h->min = UINT64_MAX;
	h->max = 0;
}

int rb_histogram_merge(struct rb_histogram *into, const struct rb_histogram *from)
{
	if (into->precision_bits != from->precision_bits || into->buckets != from->buckets)
		return -EINVAL;
	for (uint32_t i = 0; i < from->buckets; i++)
		into->counts[i] += from->counts[i];
	into->count += from->count;
	into->sum = (into->sum + from->sum < into->sum) ? UINT64_MAX : into->sum + from->sum;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	return 0;
}

uint64_t rb_histogram_bucket_low(unsigned precision_bits, uint32_t index)
{
	const uint32_t octave = index >> precision_bits;

	if (octave == 0)
		return index;
	const uint64_t mantissa = (index & ((UINT32_C(1) << precision_bits) - 1U)) + (UINT64_C(1) << precision_bits);
	return mantissa << (octave - 1U);
}

uint64_t rb_histogram_bucket_high(unsigned precision_bits, uint32_t index)
{
	const uint32_t octave = index >> precision_bits;

	if (octave == 0)
		return index;
	return rb_histogram_bucket_low(precision_bits, index) + ((UINT64_C(1) << (octave - 1U)) - 1U);
}

/* Middle of a bucket, kept inside what was really seen. */
static uint64_t bucket_value(const struct rb_histogram *h, uint32_t index)
{
	const uint64_t low = rb_histogram_bucket_low(h->precision_bits, index);
	const uint64_t high = rb_histogram_bucket_high(h->precision_bits, index);
	const uint64_t middle = low + (high - low) / 2U;

	if (middle < h->min)
		return h->min;
	/* The last bucket also holds what was beyond the range; max is then the only honest value. */
	if (middle > h->max || (index == h->buckets - 1U && h->max > high))
		return h->max;
	return middle;
}

uint64_t rb_histogram_quantile(const struct rb_histogram *h, double q)
{
	if (h->count == 0)
		return 0;
	uint64_t rank = (uint64_t)ceil(q * (double)h->count);
	if (rank < 1U)
		rank = 1U;
	if (rank > h->count)
		rank = h->count;
	uint64_t seen = 0;
	for (uint32_t i = 0; i < h->buckets; i++) {
		seen += h->counts[i];
		if (seen >= rank)
			return bucket_value(h, i);
	}
	return h->max;
}

double rb_histogram_mean(const struct rb_histogram *h)
{
	return h->count == 0 ? 0.0 : (double)h->sum / (double)h->count;
}
