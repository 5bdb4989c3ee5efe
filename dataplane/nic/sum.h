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
	NIC_SUM_MAX = 14 + 20 + 32 + 128, /* bytes of a frame that is added up here */
	NIC_SUM_STEP = 32,		  /* bytes that may be written behind it */
};

static inline uint64_t nic_sum_load(const uint8_t *at)
{
	uint64_t word;
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

static inline uint64_t nic_sum_step(uint64_t sum, const uint8_t *at)
{
	uint64_t carry = 0;
	sum = nic_sum_carry(sum, nic_sum_load(at), &carry);
	sum = nic_sum_carry(sum, nic_sum_load(at + 8), &carry);
	sum = nic_sum_carry(sum, nic_sum_load(at + 16), &carry);
	sum = nic_sum_carry(sum, nic_sum_load(at + 24), &carry);
	return nic_sum_carry(sum, 0, &carry); /* a sum that has carried is not all ones */
}

static inline void nic_sum_store(uint8_t *at, uint64_t sum)
{
	uint16_t field = (uint16_t)~nic_sum_fold(sum);
	memcpy(at, &field, sizeof(field));
}

/*
 * Fills in what a device would have to (net.h): IPv4's checksum, and that of the TCP behind it, in whose field is the sum
 * of the pseudo-header. The NIC_SUM_STEP bytes behind the frame must be the buffer's, too.
 */
static inline void nic_sum_fill(uint8_t *frame, uint32_t length)
{
	uint8_t *ip = frame + NIC_SUM_ETHERNET, *tcp = ip + NIC_SUM_IP4, *end = frame + length;
	uint64_t sum, carry = 0;
	uint32_t last;
	memcpy(&last, ip + 16, sizeof(last));
	sum = nic_sum_carry(nic_sum_load(ip), nic_sum_load(ip + 8), &carry);
	sum = nic_sum_carry(sum, last, &carry);
	nic_sum_store(ip + 10, nic_sum_carry(sum, 0, &carry));

	sum = 0;
	memset(end, 0, NIC_SUM_STEP); /* whole steps */
	for (const uint8_t *at = tcp; at < end; at += NIC_SUM_STEP)
		sum = nic_sum_step(sum, at);
	nic_sum_store(tcp + 16, sum);
}
