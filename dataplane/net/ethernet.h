// SPDX-License-Identifier: Apache-2.0
/* Ethernet II headers and addresses (RFC 894, RFC 2464). */
#pragma once

#include "net/neighbour_defs.h"
#include "net/net.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	ETHERNET_TYPE_IP4 = 0x0800,
	ETHERNET_TYPE_ARP = 0x0806,
	ETHERNET_TYPE_VLAN = 0x8100, /* IEEE 802.1Q */
	ETHERNET_TYPE_IP6 = 0x86dd,
};

static const uint8_t ethernet_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t ethernet_nobody[6];

/* Group addresses have the lowest bit of the first byte set, broadcast too. */
static inline bool ethernet_is_group(const uint8_t mac[6])
{
	return (mac[0] & 1) != 0;
}

/* Can it be the address of one host? */
static inline bool ethernet_is_host(const uint8_t mac[6])
{
	return !ethernet_is_group(mac) && memcmp(mac, ethernet_nobody, 6) != 0;
}

static inline void ethernet_write(uint8_t *at, const uint8_t destination[6], const uint8_t source[6], uint16_t type)
{
	memcpy(at, destination, 6);
	memcpy(at + 6, source, 6);
	at[12] = (uint8_t)(type >> 8);
	at[13] = (uint8_t)type;
}

/* The group that packets to an IPv6 group go to (RFC 2464 section 7). */
static inline void ethernet_group6(const struct rb_ip *ip, uint8_t mac[6])
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, ip->bytes + 12, 4);
}

/* What follows the Ethernet header of a received frame; a priority tag (VLAN 0) is part of the header. */
struct ethernet_frame {
	uint16_t l3;   /* offset */
	uint16_t type; /* ETHERNET_TYPE_... */
	bool group;    /* to a group or broadcast address */
};

/* False: not for us, or not a frame we know; counted. */
bool ethernet_parse(struct rb_net *net, const struct rb_net_packet *packet, struct ethernet_frame *frame);
