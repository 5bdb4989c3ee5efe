// SPDX-License-Identifier: Apache-2.0
/* Decimal numbers of the text protocol, as memcached takes them (strtoull and the like, without a locale). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KV_DECIMAL_MAX = 20 }; /* digits of 2^64 - 1 */

/* Writes the digits, at most KV_DECIMAL_MAX, no NUL; returns how many. */
size_t kv_number_format(uint8_t *to, uint64_t value);

/*
 * The number at the front of the text, which a blank or the end must follow. Blanks and a sign may come before it.
 * Returns false if there is none or it does not fit. A negative one is taken modulo 2^64 by the unsigned form only if
 * it is 0.
 */
bool kv_number_unsigned(const uint8_t *text, size_t length, uint64_t *value);
bool kv_number_signed(const uint8_t *text, size_t length, int64_t *value);
