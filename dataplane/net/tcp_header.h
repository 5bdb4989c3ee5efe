// SPDX-License-Identifier: Apache-2.0
/*
 * The headers of a segment over IPv4 (RFC 791 3.1, RFC 9293 3.1), written as the words that lie in memory, lowest byte
 * first: addresses and ports come from the TCB as they lie in what arrives, and the sum of the pseudo-header is an
 * addition of such words (RFC 1071 2 (B)).
 */
#pragma once

#include "net/checksum.h"
#include "net/ip4.h"
#include "net/tcp_segment.h"

/* RFC 1071: one's complement sums of 64 and of 32 bits, as one of half the bits. */
static inline uint32_t tcp_fold64(uint64_t sum)
{
	return (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);
}

/* Adds, the carry included. */
static inline uint32_t tcp_add_around(uint32_t sum, uint32_t word)
{
	uint32_t result;
	return __builtin_add_overflow(sum, word, &result) ? result + 1 : result;
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

/* RFC 7323, appendix A: NOP, NOP, kind, length; `tcp`: what they follow, and begins with a header. */
static inline void tcp_header_timestamps(uint8_t *tcp, uint32_t tsval, uint32_t tsecr)
{
	store32(tcp + TCP_HEADER, 0x0101080a);
	store32(tcp + TCP_HEADER + 4, tsval);
	store32(tcp + TCP_HEADER + 8, tsecr);
}

/*
 * Both headers. The checksum of IP is left 0, in TCP's there is the sum of the pseudo-header, for whoever fills them in.
 * `ip`: where the IP header goes; TCP's options are behind both; `addresses` as in struct tcb.
 */
static inline void tcp_header_write4(uint8_t *ip, uint64_t addresses, uint32_t ports, unsigned header,
				     const struct tcp_header_fields *fields)
{
	const uint32_t length = header + fields->payload;
	const uint64_t back = addresses << 32 | addresses >> 32;
	uint8_t *tcp = ip + IP4_HEADER;
	const uint32_t protocol = (uint32_t)checksum_protocol(IP_PROTOCOL_TCP, length << 16);

	tcp_store32_raw(tcp + 16, tcp_fold32(tcp_add_around(tcp_fold64(addresses), protocol))); /* urgent pointer 0 */
	memcpy(ip, ip4_start, sizeof(ip4_start));
	ip[1] = fields->ecn;
	memcpy(ip + 12, &back, sizeof(back));
	store16(ip + 2, (uint16_t)(IP4_HEADER + length));
	tcp_header_write(tcp, ports, header, fields);
}

/* tcp_output_short.c: fills in the checksums of these headers in a frame that the device does not fill in. */
__attribute__((noinline)) void tcp_fill_checksums(const struct rb_net *net, struct rb_net_frame *frame);
