// SPDX-License-Identifier: Apache-2.0
/* Arithmetic of sequence numbers, modulo 2^32 (RFC 9293, section 3.4). Also for other counters that wrap. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? b : a;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? a : b;
}

/*
 * A number of a peer's may be anywhere, also 2^31 away, which is neither less nor more. Whether it lies in a range is asked
 * by the distances from its beginning, never by two comparisons.
 */

/* low <= seq < high */
static inline bool seq_within(uint32_t seq, uint32_t low, uint32_t high)
{
	return seq - low < high - low;
}

/* low <= seq <= high */
static inline bool seq_between(uint32_t seq, uint32_t low, uint32_t high)
{
	return seq - low <= high - low;
}
