// SPDX-License-Identifier: Apache-2.0
/* Dates of HTTP (RFC 9110, 5.6.7). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_DATE_LENGTH = 29 };

/* "Sun, 06 Nov 1994 08:49:37 GMT", without a NUL. `seconds` since 1970, up to the year 9999. */
void http_date_format(int64_t seconds, char text[HTTP_DATE_LENGTH]);

/*
 * The three forms that a client may send: the one above, that of RFC 850 (whose year of two digits is taken to be no
 * more than 50 years after `now`, seconds since 1970) and that of asctime(). False for anything else.
 */
bool http_date_parse(const char *text, size_t length, int64_t now, int64_t *seconds);
