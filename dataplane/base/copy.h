// SPDX-License-Identifier: Apache-2.0
/* Copies of messages that mostly are short: where a call of memcpy() would cost more than the copy. */
#pragma once

#include <stdint.h>
#include <string.h>

enum { RB_COPY_SHORT = 256 };

/*
 * memcpy(), done on the spot for 8 to RB_COPY_SHORT bytes: in whole words, of which the last one overlaps the one before.
 * It neither reads nor writes beyond either end.
 */
static inline void rb_copy_short(uint8_t *to, const uint8_t *from, size_t length)
{
	if (__builtin_expect(length >= 32 && length <= 64, 1)) {
		memcpy(to, from, 32);
		memcpy(to + length - 32, from + length - 32, 32);
	} else if (length > 64 && length <= RB_COPY_SHORT) {
		for (size_t i = 0; i < length - 32; i += 32)
			memcpy(to + i, from + i, 32);
		memcpy(to + length - 32, from + length - 32, 32);
	} else if (length >= 16 && length < 32) {
		memcpy(to, from, 16);
		memcpy(to + length - 16, from + length - 16, 16);
	} else if (length >= 8 && length < 16) {
		memcpy(to, from, 8);
		memcpy(to + length - 8, from + length - 8, 8);
	} else {
		memcpy(to, from, length);
	}
}
