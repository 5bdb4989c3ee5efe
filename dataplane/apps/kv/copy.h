// SPDX-License-Identifier: Apache-2.0
/*
 * memcpy() of some hundred bytes at most, 16 at a time: where the compiler knows such a bound it makes a string
 * instruction of memcpy(), which takes long to begin.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void kv_copy(uint8_t *to, const uint8_t *from, size_t length)
{
	enum { BLOCK = 16 };

	if (length >= BLOCK) {
		for (size_t at = 0; at < length - BLOCK; at += BLOCK)
			memcpy(to + at, from + at, BLOCK);
		memcpy(to + length - BLOCK, from + length - BLOCK, BLOCK);
	} else if (length >= 8) { /* two that overlap */
		memcpy(to, from, 8);
		memcpy(to + length - 8, from + length - 8, 8);
	} else if (length >= 4) {
		memcpy(to, from, 4);
		memcpy(to + length - 4, from + length - 4, 4);
	} else {
		for (size_t at = 0; at < length; at++)
			to[at] = from[at];
	}
}
