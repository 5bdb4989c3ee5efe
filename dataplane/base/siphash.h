// SPDX-License-Identifier: Apache-2.0
/*
 * SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012): a keyed
 * pseudo-random function with a 64-bit result. Who does not know the key can neither foretell a result nor learn
 * anything from others: for numbers that an attacker must not guess, such as initial sequence numbers and SYN cookies.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* `data`: any length and alignment. The paper's integers are little-endian, as this machine's. */
uint64_t rb_siphash(const uint8_t key[16], const void *data, size_t length);
