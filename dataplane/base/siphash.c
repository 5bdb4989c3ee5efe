// SPDX-License-Identifier: Apache-2.0
#include "base/siphash.h"

uint64_t rb_siphash(const uint8_t key[16], const void *data, size_t length)
{
	struct rb_siphash s = rb_siphash_begin(key);
	const uint8_t *bytes = data;
	size_t left = length;

	for (; left >= 8U; left -= 8U, bytes += 8) {
		uint64_t m;

		memcpy(&m, bytes, sizeof(m));
		rb_siphash_compress(&s, m);
	}
	/* What is left, then zeros. */
	uint64_t last = (uint64_t)length << 56;
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)bytes[i] << (8U * i);
	return rb_siphash_end(&s, last);
}
