// SPDX-License-Identifier: Apache-2.0
/*
 * IPv6 (RFC 8200). Extension headers are walked, options judged by their action bits, fragments dropped and counted
 * unless atomic (RFC 6946). What is sent has no extension headers and is never fragmented.
 */
#pragma once

#include "net/defs.h"
#include "net/ip.h"
#include "net/packet.h"

#include <stdint.h>

enum { IP6_HEADER = 40 }; /* bytes */

/* Takes the packet of a frame whose Ethernet header was good. True: the buffer was kept. */
__attribute__((noinline)) bool ip6_input(struct rb_net *net, const struct rb_net_packet *packet, unsigned l3,
					 bool group);

/*
 * Writes the header. `length`: bytes of payload; `ecn`: enum ip_ecn; `flow`: the flow label, 20 bits (RFC 6437), 0:
 * none.
 */
static inline void ip6_write(uint8_t *at, const struct rb_ip *src, const struct rb_ip *dst, uint8_t protocol,
			     uint8_t ecn, uint32_t flow, uint8_t hop_limit, uint16_t length)
{
	store32(at, 0x60000000U | (uint32_t)ecn << 20 | (flow & 0xfffff));
	store32(at + 4, (uint32_t)length << 16 | (uint32_t)protocol << 8 | hop_limit);
	memcpy(at + 8, src->bytes, sizeof(src->bytes));
	memcpy(at + 24, dst->bytes, sizeof(dst->bytes));
}
