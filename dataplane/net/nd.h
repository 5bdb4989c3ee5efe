// SPDX-License-Identifier: Apache-2.0
/*
 * Neighbour discovery (RFC 4861), the part of a host whose addresses and gateway are configured: solicitations and
 * advertisements of neighbours. Those of routers are counted and ignored, redirects ignored.
 */
#pragma once

#include "net/defs.h"
#include "net/packet.h"

#include <stdint.h>

enum nd_type {
	ND_ROUTER_SOLICITATION = 133,
	ND_ROUTER_ADVERTISEMENT = 134,
	ND_NEIGHBOUR_SOLICITATION = 135,
	ND_NEIGHBOUR_ADVERTISEMENT = 136,
	ND_REDIRECT = 137,
};

/* The group of all whose addresses end like this one (RFC 4291 2.7.1). */
struct rb_ip nd_solicited_node(const struct rb_ip *ip);

/* Takes an ICMPv6 message of these types, checksum good, at least 4 bytes. Keeps nothing of it. */
void nd_input(struct rb_net *net, const struct ip_packet *ip);

/* Asks who has `target`: everybody, or only who had it, at `mac`. */
void nd_send_solicitation(struct rb_net *net, const struct rb_ip *target, const uint8_t *mac);

/* Asks whether somebody else has our address (RFC 4862 5.4.2). */
void nd_send_duplicate_probe(struct rb_net *net, const struct rb_ip *own);

/* Tells all nodes that the address is ours (RFC 4861 7.2.6). */
void nd_send_announcement(struct rb_net *net, const struct rb_ip *own);
