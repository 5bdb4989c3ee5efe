// SPDX-License-Identifier: Apache-2.0
/*
 * IPv4 (RFC 791, RFC 1122 3.2.1, 3.3). Options are skipped, fragments dropped and counted. What is sent has no options,
 * is never to be fragmented, and so needs no identification (RFC 6864 4.1: any value for atomic datagrams; ours is 0).
 */
#pragma once

#include "net/defs.h"
#include "net/ip.h"
#include "net/packet.h"

#include <stdint.h>

enum {
	IP4_HEADER = 20, /* bytes, without options */
	IP_TTL = 64,	 /* RFC 1122 3.2.1.7 */
};

/*
 * What the headers of TCP's packets begin with, as ip4_write() has it: without ECN, length, checksum and addresses, which
 * are 0. In one word of 16 bytes.
 */
static const uint8_t ip4_start[16] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, IP_TTL, IP_PROTOCOL_TCP};

/*
 * Takes the packet of a frame whose Ethernet header was good; `group`: the frame was to a group or broadcast address.
 * True: the buffer was kept.
 */
__attribute__((noinline)) bool ip4_input(struct rb_net *net, const struct rb_net_packet *packet, unsigned l3,
					 bool group);

/* Describes a packet whose header, at `l3` and of `header_length` bytes, was checked; `length`: bytes behind it. */
static inline void ip4_describe(struct ip_packet *ip, const struct rb_net_packet *packet, unsigned l3,
				unsigned header_length, uint16_t length)
{
	const uint8_t *header = packet->data + l3;
	ip->packet = packet;
	ip->l3 = (uint16_t)l3;
	ip->l4 = (uint16_t)(l3 + header_length); /* options are skipped */
	ip->length = length;
	ip->next_field = 0;
	ip->protocol = header[9];
	ip->ecn = header[1] & IP_ECN_MASK;
	ip->ttl = header[8];
	ip->is6 = ip->group = false;
	ip->src4 = load32(header + 12);
	ip->dst4 = load32(header + 16);
}

/*
 * Writes the header, checksum included (a few additions; cheaper than telling a device to). `length`: bytes of header
 * and payload; `ecn`: enum ip_ecn; addresses in host byte order. TCP has its own: tcp_header_write4().
 */
static inline void ip4_write(uint8_t *at, uint32_t src, uint32_t dst, uint8_t protocol, uint8_t ecn, uint16_t length)
{
	/* RFC 1071: the sum of all 16-bit words but the checksum, then folded: at most 9 * 0xffff */
	uint32_t sum = (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff) + protocol + length + ecn + 0x4500 +
		       0x4000 + (IP_TTL << 8);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	store32(at, 0x45000000U | (uint32_t)ecn << 16 | length);
	store32(at + 4, 0x00004000); /* identification 0; DF */
	store32(at + 8, (uint32_t)IP_TTL << 24 | (uint32_t)protocol << 16 | (~sum & 0xffff));
	store32(at + 12, src);
	store32(at + 16, dst);
}
