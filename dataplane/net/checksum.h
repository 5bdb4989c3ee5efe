// SPDX-License-Identifier: Apache-2.0
/*
 * The Internet checksum (RFC 1071, RFC 1624), as IPv4, ICMP, TCP and UDP use it.
 *
 *     uint64_t sum = checksum_pseudo4(source, destination, protocol, length);
 *     sum = checksum_add(sum, header, header_length);
 *     sum = checksum_add(sum, payload, payload_length);
 *     field = checksum_finish(sum);
 *
 * Sums begin with 0 or a pseudo-header. Words are added as they lie in memory, so that a result is stored as it is: the
 * byte order takes care of itself (RFC 1071 2 (B)). A packet is good when the sum over all of it, the received field
 * included, finishes as 0. A field that is to be computed counts as 0. What a zero field means to UDP is UDP's affair.
 *
 * A sum may be made of pieces of any length and alignment, 2^20 pieces at most; a piece that begins at an odd offset of
 * the whole counts with its bytes swapped (RFC 1071 2 (B) again). Where the next piece begins is in the sum: its
 * highest bit says that the offset is odd.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CHECKSUM_ODD (UINT64_C(1) << 63)

/* The one's complement sum of the bytes, below 2^34, congruent modulo 2^16 - 1. */
uint64_t checksum_piece(const void *data, size_t length);

/* Continues a sum with a piece. */
static inline uint64_t checksum_add(uint64_t sum, const void *data, size_t length)
{
	/* Modulo 2^16 - 1, a shift by 8 swaps the bytes of each word. */
	const unsigned swap = (unsigned)(sum >> 60) & 8U;

	return (sum + (checksum_piece(data, length) << swap)) ^ ((uint64_t)(length & 1U) << 63);
}

/* The checksum field of what was added, 0 .. 0xffff, to be stored as it is. */
static inline uint16_t checksum_finish(uint64_t sum)
{
	sum &= ~CHECKSUM_ODD;
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffffU) + ((sum >> 16) & 0xffffU) + (sum >> 32);
	sum = (sum & 0xffffU) + (sum >> 16);
	sum = (sum & 0xffffU) + (sum >> 16);
	return (uint16_t)~sum;
}

/* What a device wants in a field that it shall fill in: the folded sum, without complement. */
static inline uint16_t checksum_unfinished(uint64_t sum)
{
	return (uint16_t)~checksum_finish(sum);
}

/* Words of headers, as they add up in a sum. */
static inline uint64_t checksum_load64(const void *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return (word & UINT32_MAX) + (word >> 32);
}

static inline uint64_t checksum_load32(const void *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* The sum of an IPv4 header without options, 20 bytes: as checksum_add(), without its calls and branches. */
static inline uint64_t checksum_ip4_header(const void *header)
{
	const uint8_t *bytes = header;

	return checksum_load64(bytes) + checksum_load64(bytes + 8) + checksum_load32(bytes + 16);
}

/* Protocol and length of a pseudo-header: numbers in network byte order, each in the lower end of its words. */
static inline uint64_t checksum_protocol(uint8_t protocol, uint32_t length)
{
	return __builtin_bswap32(length) + ((uint64_t)protocol << 8);
}

/*
 * The pseudo-header of IPv4 (RFC 9293 3.1): addresses of 4 bytes as in the header, `length` of the TCP or UDP header
 * and the data.
 */
static inline uint64_t checksum_pseudo4(const void *source, const void *destination, uint8_t protocol, uint16_t length)
{
	return checksum_load32(source) + checksum_load32(destination) + checksum_protocol(protocol, length);
}

/* The pseudo-header of IPv6 (RFC 8200 8.1): addresses of 16 bytes; `protocol` is the upper layer's, after extension
 * headers. */
static inline uint64_t checksum_pseudo6(const void *source, const void *destination, uint8_t protocol, uint32_t length)
{
	const uint8_t *from = source, *to = destination;

	return checksum_load64(from) + checksum_load64(from + 8) + checksum_load64(to) + checksum_load64(to + 8) +
	       checksum_protocol(protocol, length);
}

/* The field after a 16-bit word under it has changed, all three as they lie in memory (RFC 1624 3, equation 3). */
static inline uint16_t checksum_update(uint16_t field, uint16_t old, uint16_t new)
{
	uint32_t sum = (uint32_t)(uint16_t)~field + (uint16_t)~old + new;

	sum = (sum & 0xffffU) + (sum >> 16);
	sum = (sum & 0xffffU) + (sum >> 16);
	return (uint16_t)~sum;
}
