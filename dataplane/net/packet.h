// SPDX-License-Identifier: Apache-2.0
/* A received IP packet after its header was checked, as the protocols above get it. */
#pragma once

#include "net/checksum.h"
#include "net/ip.h"
#include "net/net.h"

#include <stdint.h>

enum ip_protocol { IP_PROTOCOL_ICMP = 1, IP_PROTOCOL_TCP = 6, IP_PROTOCOL_UDP = 17, IP_PROTOCOL_ICMP6 = 58 };

/* RFC 3168 section 5 */
enum ip_ecn { IP_ECN_NOT_ECT = 0, IP_ECN_ECT1 = 1, IP_ECN_ECT0 = 2, IP_ECN_CE = 3, IP_ECN_MASK = 3 };

struct ip_packet {
	const struct rb_net_packet *packet;
	uint16_t l3;	     /* offset of the IP header in packet->data */
	uint16_t l4;	     /* offset of what follows it and its options */
	uint16_t length;     /* bytes from there to the packet's end by the IP header; padding is beyond */
	uint16_t next_field; /* IPv6: offset from l3 of the field that names the protocol */
	uint8_t protocol;    /* enum ip_protocol, or any other number */
	uint8_t ecn;	     /* enum ip_ecn */
	uint8_t ttl;	     /* or hop limit */
	bool is6;
	bool group;		 /* to a group or broadcast address, or in such a frame; TCP never sees one */
	uint32_t src4, dst4;	 /* IPv4 only, host byte order */
	struct rb_ip src6, dst6; /* IPv6 only */
};

static inline struct rb_ip ip_packet_source(const struct ip_packet *ip)
{
	return ip->is6 ? ip->src6 : ip_from4(ip->src4);
}

static inline struct rb_ip ip_packet_destination(const struct ip_packet *ip)
{
	return ip->is6 ? ip->dst6 : ip_from4(ip->dst4);
}

/* What follows the IP header. */
static inline const uint8_t *ip_packet_l4(const struct ip_packet *ip)
{
	return ip->packet->data + ip->l4;
}

/* The sum of the pseudo-header for an upper layer of `length` bytes. */
static inline uint64_t ip_packet_pseudo(const struct ip_packet *ip, uint16_t length)
{
	const uint8_t *header = ip->packet->data + ip->l3;
	return ip->is6 ? checksum_pseudo6(header + 8, header + 24, ip->protocol, length)
		       : checksum_pseudo4(header + 12, header + 16, ip->protocol, length);
}

/* Is the checksum of TCP or ICMPv6, which covers all, good? */
static inline bool ip_packet_sum_is_good(const struct ip_packet *ip)
{
	return (ip->packet->checksum & RB_NET_CHECKSUM_L4_GOOD) != 0 ||
	       checksum_finish(checksum_add(ip_packet_pseudo(ip, ip->length), ip_packet_l4(ip), ip->length)) == 0;
}
