// SPDX-License-Identifier: Apache-2.0
/* What all tests of the TCP/IP library share: cmocka, addresses, and bytes to send. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the above and setjmp.h */
#include <setjmp.h>

#include <cmocka.h>

#include "net/net.h"

/* Addresses of host `number`: 10.0.0.NUMBER or fd00::NUMBER, and 02:00:00:00:00:NUMBER. */
struct rb_ip fixture_ip(bool ip6, unsigned number);
void fixture_mac(uint8_t mac[6], unsigned number);

/* Bytes number `offset` and on of the endless stream of that seed; no two places of a stream look alike. */
void fixture_fill(uint8_t *bytes, size_t length, uint64_t seed, uint64_t offset);

/* Whether they are that; else `*at` is the first that is not. */
bool fixture_check(const uint8_t *bytes, size_t length, uint64_t seed, uint64_t offset, size_t *at);

/* realloc() for `count` elements of `size` bytes, which does not fail. */
void *fixture_resize(void *array, size_t count, size_t size);

/* The number in an environment variable; `otherwise` when there is none. */
uint64_t fixture_number(const char *variable, uint64_t otherwise);
