// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/number.h"

#include <string.h>

size_t kv_number_format(uint8_t *to, uint64_t value)
{
	uint8_t digits[KV_DECIMAL_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (uint8_t)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	memcpy(to, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}

/* As the C library's isspace(). */
static bool is_blank(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool magnitude(const uint8_t *text, size_t length, uint64_t *value, bool *negative)
{
	size_t at = 0;

	while (at < length && is_blank(text[at]))
		at++;
	*negative = at < length && text[at] == '-';
	if (at < length && (text[at] == '-' || text[at] == '+'))
		at++;
	const size_t first = at;
	uint64_t sum = 0;
	for (; at < length && text[at] >= '0' && text[at] <= '9'; at++) {
		if (__builtin_mul_overflow(sum, UINT64_C(10), &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(text[at] - '0'), &sum))
			return false;
	}
	*value = sum;
	return at > first && (at == length || is_blank(text[at]));
}

bool kv_number_unsigned(const uint8_t *text, size_t length, uint64_t *value)
{
	bool negative;

	return magnitude(text, length, value, &negative) && (!negative || *value == 0);
}

bool kv_number_signed(const uint8_t *text, size_t length, int64_t *value)
{
	uint64_t size;
	bool negative;

	if (!magnitude(text, length, &size, &negative) || size > (uint64_t)INT64_MAX)
		return false;
	*value = negative ? -(int64_t)size : (int64_t)size;
	return true;
}
