// SPDX-License-Identifier: Apache-2.0
/* Addresses as numbers and bytes, and big-endian fields of headers at any alignment. */
#pragma once

#include "net/net.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load16(const void *at)
{
	uint16_t value;
	memcpy(&value, at, sizeof(value));
	return __builtin_bswap16(value);
}

static inline uint32_t load32(const void *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return __builtin_bswap32(value);
}

static inline void store16(void *at, uint16_t value)
{
	value = __builtin_bswap16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void store32(void *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, sizeof(value));
}

static inline struct rb_ip ip_from4(uint32_t address)
{
	struct rb_ip ip = {.bytes = {[10] = 0xff, [11] = 0xff}};
	store32(&ip.bytes[12], address);
	return ip;
}

/* The number of an address that is IPv4. */
static inline uint32_t ip_to4(const struct rb_ip *ip)
{
	return load32(&ip->bytes[12]);
}

static inline bool ip_is4(const struct rb_ip *ip)
{
	return ip->words[0] == 0 && load32(&ip->bytes[8]) == 0xffff;
}

static inline bool ip_equal(const struct rb_ip *a, const struct rb_ip *b)
{
	return ((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1])) == 0;
}

static inline struct rb_ip ip_load6(const uint8_t *at)
{
	struct rb_ip ip;
	memcpy(ip.bytes, at, sizeof(ip.bytes));
	return ip;
}

/* RFC 1112 section 4 */
static inline bool ip4_is_group(uint32_t address)
{
	return address >> 28 == 0xe;
}

/* RFC 4291 2.7 */
static inline bool ip6_is_group(const struct rb_ip *ip)
{
	return ip->bytes[0] == 0xff;
}

/* RFC 4291 2.5.6: fe80::/10 */
static inline bool ip6_is_link_local(const struct rb_ip *ip)
{
	return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}
