// SPDX-License-Identifier: Apache-2.0
/*
 * The own addresses and the way to others, for a host with one port: on the link directly, else through the gateway
 * (RFC 1122 3.3.1, RFC 4861 5.2); source addresses as RFC 6724 section 5 chooses among those of one interface.
 */
#pragma once

#include "net/ip.h"
#include "net/neighbour.h"

#include <stdint.h>

struct route {
	struct rb_ip local; /* source address */
	uint16_t neighbour; /* next hop; held: neighbour_release() when done */
	uint16_t mtu;	    /* bytes of an IP packet */
	bool is4;
};

/* Fills net->addresses from the configuration. */
void route_init(struct rb_net *net);

/*
 * The way to `remote` from `local` (NULL or the unspecified address: chosen). Groups and broadcasts have one too; what
 * must not talk to them asks address_is_unicast() before. 0, or
 * -ENETUNREACH: no address of that family, no gateway, or an own or loopback address: nothing here talks to itself;
 * -EADDRNOTAVAIL: `local` is not ours, or of the other family, or of too small a scope;
 * -ENOBUFS: no neighbour entry free.
 */
int route_find(struct rb_net *net, const struct rb_ip *remote, const struct rb_ip *local, struct route *route);

/* The same for IPv4, from the own address, of which there is one: only the next hop. Host byte order. */
int route_find4(struct rb_net *net, uint32_t remote, uint16_t *neighbour);

static inline bool route_on_link4(const struct addresses *own, uint32_t ip)
{
	return own->ip4 != 0 && (((ip ^ own->ip4) & own->ip4_mask) == 0 || ip4_is_group(ip) || ip == UINT32_MAX);
}

/* Is this one of the own unicast addresses? */
bool address_is_ours(const struct rb_net *net, const struct rb_ip *ip);

/* Is it reached without a gateway? */
bool address_is_on_link(const struct rb_net *net, const struct rb_ip *ip);

/* Our source address for an IPv6 destination (RFC 6724 section 5). False: none fits. */
bool route_source6(const struct rb_net *net, const struct rb_ip *remote, struct rb_ip *source);

/* Can this be the address of one host elsewhere? Not: unspecified, loopback, groups, broadcasts. */
bool address_is_unicast(const struct rb_net *net, const struct rb_ip *ip);

/* The same for IPv4, host byte order (RFC 1122 3.2.1.3; 240/4 has never been given out). */
static inline bool address_is_unicast4(const struct rb_net *net, uint32_t ip)
{
	const struct addresses *own = &net->addresses;
	bool outside = ip - 0x01000000U >= 0xdf000000U || ip >> 24 == 127; /* 0/8; 224/3 */
	return !outside && ip != own->ip4_broadcast && ip != own->ip4_network;
}

/* Can a packet to us come from there? RFC 1122 3.2.1.3: from a single host; and nobody else is us. */
static inline bool address_is_peer4(const struct rb_net *net, uint32_t ip)
{
	return address_is_unicast4(net, ip) && ip != net->addresses.ip4;
}

/*
 * route_find4() for a peer (address_is_peer4()), if that goes where the last one went and somebody else goes; false: it
 * does not, nothing is held.
 */
static inline bool route_again4(struct rb_net *net, uint32_t peer, uint16_t *neighbour)
{
	const struct addresses *own = &net->addresses;
	uint32_t hop = ((peer ^ own->ip4) & own->ip4_mask) == 0 ? peer : own->ip4_gateway;
	return own->ip4 != 0 && hop != 0 && neighbour_again4(net, hop, neighbour);
}
