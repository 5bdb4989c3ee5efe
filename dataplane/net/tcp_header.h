// SPDX-License-Identifier: Apache-2.0
/*
 * The headers of a segment over IPv4 (RFC 791 3.1, RFC 9293 3.1), written as the words that lie in memory, lowest byte
 * first: addresses and ports come from the TCB as they lie in what arrives, and both checksums are additions of such
 * words (RFC 1071 2 (B)), most of them constant.
 */
#pragma once

#include "net/ip4.h"
#include "net/tcp_segment.h"

/* RFC 1071: one's complement sums of 64 and of 32 bits, as one of half the bits. */
static inline uint32_t tcp_fold64(uint64_t sum)
{
	return (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);
}

static inline uint16_t tcp_fold32(uint32_t sum)
{
	return (uint16_t)((sum + (sum << 16 | sum >> 16)) >> 16);
}

static inline void tcp_store32_raw(uint8_t *at, uint32_t word)
{
	memcpy(at, &word, sizeof(word));
}

/* What is different in each header. */
struct tcp_header_fields {
	uint32_t seq, ack;
	uint32_t payload; /* bytes */
	uint16_t window;
	uint8_t flags; /* enum tcp_header_flags */
	uint8_t ecn;   /* enum ip_ecn */
};

/* The TCP header without its checksum. `header`: bytes of it, options included; `ports` as in struct tcb. */
static inline void tcp_header_write(uint8_t *tcp, uint32_t ports, unsigned header,
				    const struct tcp_header_fields *fields)
{
	tcp_store32_raw(tcp, ports << 16 | ports >> 16); /* the way back: ours first */
	store32(tcp + 4, fields->seq);
	store32(tcp + 8, fields->ack);
	store32(tcp + 12, header / 4 << 28 | (uint32_t)fields->flags << 16 | fields->window);
}

/*
 * Both headers; the checksum is the sum of the pseudo-header, for whoever fills in the rest. `ip`: where the IP header
 * goes, with TCP's options behind both already; `addresses` as in struct tcb.
 */
static inline void tcp_header_write4(uint8_t *ip, uint64_t addresses, uint32_t ports, unsigned header,
				     const struct tcp_header_fields *fields)
{
	const uint32_t length = header + fields->payload, ip_length = IP4_HEADER + length;
	const uint32_t ttl_protocol = IP_TTL | IP_PROTOCOL_TCP << 8, start = 0x45 | (uint32_t)fields->ecn << 8;
	const uint32_t fragment = 0x40; /* DF; identification 0 */
	const uint32_t sum = tcp_fold32(tcp_fold64(addresses));
	const uint64_t back = addresses << 32 | addresses >> 32;
	uint8_t *tcp = ip + IP4_HEADER;

	store32(ip, 0x45000000U | (uint32_t)fields->ecn << 16 | ip_length);
	tcp_store32_raw(ip + 4, fragment << 16);
	tcp_store32_raw(ip + 8, ttl_protocol | (uint32_t)(uint16_t)~tcp_fold32(sum + start + fragment + ttl_protocol +
									       __builtin_bswap16((uint16_t)ip_length))
						       << 16);
	memcpy(ip + 12, &back, sizeof(back));
	tcp_header_write(tcp, ports, header, fields);
	/* and the urgent pointer, 0 */
	tcp_store32_raw(tcp + 16, tcp_fold32(sum + (IP_PROTOCOL_TCP << 8) + __builtin_bswap16((uint16_t)length)));
}
