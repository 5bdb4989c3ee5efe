// SPDX-License-Identifier: Apache-2.0
/*
 * The checksums of a short frame, by ourselves. To ask a device for them costs instructions that do not depend on the
 * length: with DPDK's igb 65, beside those that describe the wish. A frame that lies in one buffer and is short enough
 * is added up in fewer.
 */
#pragma once

#include <stdint.h>
#include <string.h>

enum {
	NIC_SUM_ETHERNET = 14,
	NIC_SUM_IP4 = 20,		  /* no options: nobody sends any */
	NIC_SUM_HEADER = 32,		  /* TCP's, with timestamps */
	NIC_SUM_MAX = 14 + 20 + 32 + 128, /* bytes of a frame that is added up here */
	NIC_SUM_STEP = 64,		  /* bytes that may be written behind it */
};

static inline uint64_t nic_sum_load(const uint8_t *at)
{
	uint64_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint32_t nic_sum_load16(const uint8_t *at)
{
	uint16_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

/* One's complement sums (RFC 1071) of 64 bits, as one of 16. */
static inline uint16_t nic_sum_fold(uint64_t sum)
{
	uint32_t half = (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);
	return (uint16_t)((half + (half << 16 | half >> 16)) >> 16);
}

/* As compilers recognise it: one add-with-carry instruction. */
static inline uint64_t nic_sum_carry(uint64_t sum, uint64_t word, uint64_t *carry)
{
	uint64_t with_word, result;
	const uint64_t first = __builtin_add_overflow(sum, word, &with_word);
	const uint64_t second = __builtin_add_overflow(with_word, *carry, &result);
	*carry = first | second;
	return result;
}

static inline uint64_t nic_sum_32(uint64_t sum, const uint8_t *at, uint64_t *carry)
{
	sum = nic_sum_carry(sum, nic_sum_load(at), carry);
	sum = nic_sum_carry(sum, nic_sum_load(at + 8), carry);
	sum = nic_sum_carry(sum, nic_sum_load(at + 16), carry);
	return nic_sum_carry(sum, nic_sum_load(at + 24), carry);
}

/* A sum that has carried is not all ones. */
static inline uint64_t nic_sum_end(uint64_t sum, uint64_t carry)
{
	return nic_sum_carry(sum, 0, &carry);
}

static inline void nic_sum_store(uint8_t *at, uint16_t sum)
{
	uint16_t field = (uint16_t)~sum;
	memcpy(at, &field, sizeof(field));
}

/*
 * The sum of IPv4's header from that of the pseudo-header, which has the addresses already, TCP's number, and a length that
 * is 20 less.
 */
static inline uint16_t nic_sum_ip4(const uint8_t *ip, uint32_t pseudo)
{
	const uint32_t rest = (NIC_SUM_IP4 - 6) << 8; /* in network byte order */
	const uint32_t sum = nic_sum_load16(ip) + nic_sum_load16(ip + 4) + nic_sum_load16(ip + 6) +
			     nic_sum_load16(ip + 8) + pseudo + rest;
	return (uint16_t)((sum + (sum << 16 | sum >> 16)) >> 16);
}

/*
 * Fills in what a device would have to (net.h): IPv4's checksum, and that of the TCP behind it, in whose field is the sum
 * of the pseudo-header. The NIC_SUM_STEP bytes behind the frame must be the buffer's, too.
 */
static inline void nic_sum_fill(uint8_t *frame, uint32_t length)
{
	uint8_t *ip = frame + NIC_SUM_ETHERNET, *tcp = ip + NIC_SUM_IP4, *end = frame + length;
	nic_sum_store(ip + 10, nic_sum_ip4(ip, nic_sum_load16(tcp + 16)));

	uint64_t carry = 0;
	memset(end, 0, NIC_SUM_STEP); /* whole steps */
	uint64_t sum = nic_sum_32(0, tcp, &carry);
	sum = nic_sum_end(sum, carry);
	for (const uint8_t *at = tcp + NIC_SUM_HEADER; at < end; at += NIC_SUM_STEP) {
		carry = 0;
		sum = nic_sum_32(sum, at, &carry);
		sum = nic_sum_32(sum, at + NIC_SUM_STEP / 2, &carry);
		sum = nic_sum_end(sum, carry);
	}
	nic_sum_store(tcp + 16, nic_sum_fold(sum));
}
