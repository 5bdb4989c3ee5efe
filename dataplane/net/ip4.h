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
 * Takes the packet of a frame whose Ethernet header was good; `group`: the frame was to a group or broadcast address.
 * True: the buffer was kept.
 */
bool ip4_input(struct rb_net *net, const struct rb_net_packet *packet, unsigned l3, bool group);

/*
 * Writes the header, checksum included (a few additions; cheaper than telling a device to). `length`: bytes of header
 * and payload; `ecn`: enum ip_ecn; addresses in host byte order.
 */
static inline void ip4_write(uint8_t *at, uint32_t src, uint32_t dst, uint8_t protocol, uint8_t ecn, uint16_t length)
{
	/* RFC 1071: the sum of all 16-bit words but the checksum, then folded: at most 9 * 0xffff */
	uint32_t sum = 0x4500 + 0x4000 + (IP_TTL << 8);
	sum += (uint32_t)ecn + length + protocol;
	sum += (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	store32(at, 0x45000000U | (uint32_t)ecn << 16 | length);
	store32(at + 4, 0x00004000); /* identification 0; DF */
	store32(at + 8, (uint32_t)IP_TTL << 24 | (uint32_t)protocol << 16 | (~sum & 0xffff));
	store32(at + 12, src);
	store32(at + 16, dst);
}
