// SPDX-License-Identifier: Apache-2.0
#include "net/nd.h"

#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/input.h"
#include "net/ip6.h"
#include "net/mechanism.h"
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tx.h"

/* Offsets in a message (RFC 4861 4.3, 4.4). */
enum { TYPE = 0, CODE = 1, CHECKSUM = 2, FLAGS = 4, TARGET = 8, OPTIONS = 24 };
enum { FLAG_SOLICITED = 0x40, FLAG_OVERRIDE = 0x20 };
/* Options (4.6): type, length in units of 8 bytes, value. */
enum { OPTION_UNIT = 8, OPTION_SOURCE = 1, OPTION_TARGET = 2 };
enum { HOP_LIMIT = 255 }; /* a packet from beyond the link would have less (7.1) */

static const struct rb_ip unspecified;
static const struct rb_ip all_nodes = {.bytes = {0xff, 0x02, [15] = 1}};

struct rb_ip nd_solicited_node(const struct rb_ip *ip)
{
	const uint8_t *end = &ip->bytes[13];
	return (struct rb_ip){.bytes = {0xff, 0x02, [11] = 1, 0xff, end[0], end[1], end[2]}};
}

/*
 * Out.
 */

struct message {
	enum nd_type type;
	const struct rb_ip *source, *destination, *target;
	uint8_t flags;	    /* FLAG_... */
	uint8_t option;	    /* that tells our link-layer address; 0: none */
	const uint8_t *mac; /* of the destination; NULL: that of the group which the destination is */
};

static void send(struct rb_net *net, const struct message *m)
{
	uint8_t mac[6];
	struct rb_net_frame *frame = tx_frame(net);
	if (frame == NULL)
		return;
	uint16_t length = m->option != 0 ? OPTIONS + OPTION_UNIT : OPTIONS;
	uint8_t *header = frame->header, *icmp = header + ETHERNET_HEADER + IP6_HEADER;
	ethernet_group6(m->destination, mac);
	ethernet_write(header, m->mac != NULL ? m->mac : mac, net->config.mac, ETHERNET_TYPE_IP6);
	ip6_write(header + ETHERNET_HEADER, m->source, m->destination, IP_PROTOCOL_ICMP6, IP_ECN_NOT_ECT, 0, HOP_LIMIT,
		  length);
	memset(icmp, 0, length);
	icmp[TYPE] = (uint8_t)m->type;
	icmp[FLAGS] = m->flags;
	memcpy(icmp + TARGET, m->target->bytes, sizeof(m->target->bytes));
	if (m->option != 0) {
		icmp[OPTIONS] = m->option;
		icmp[OPTIONS + 1] = 1;
		memcpy(icmp + OPTIONS + 2, net->config.mac, 6);
	}
	uint64_t sum = checksum_pseudo6(m->source, m->destination, IP_PROTOCOL_ICMP6, length);
	uint16_t checksum = checksum_finish(checksum_add(sum, icmp, length));
	memcpy(icmp + CHECKSUM, &checksum, sizeof(checksum));
	frame->l3_length = IP6_HEADER;
	frame->header_length = ETHERNET_HEADER + IP6_HEADER + length;
	frame->length = frame->header_length;
	tx_commit_raw(net, frame);
}

void nd_send_solicitation(struct rb_net *net, const struct rb_ip *target, const uint8_t *mac)
{
	struct rb_ip source, group = nd_solicited_node(target);
	if (!route_source6(net, target, &source))
		return;
	send(net, &(struct message){.type = ND_NEIGHBOUR_SOLICITATION,
				    .source = &source,
				    .destination = mac != NULL ? target : &group,
				    .target = target,
				    .option = OPTION_SOURCE,
				    .mac = mac});
}

void nd_send_duplicate_probe(struct rb_net *net, const struct rb_ip *own)
{
	struct rb_ip group = nd_solicited_node(own);
	send(net,
	     &(struct message){
		     .type = ND_NEIGHBOUR_SOLICITATION, .source = &unspecified, .destination = &group, .target = own});
}

void nd_send_announcement(struct rb_net *net, const struct rb_ip *own)
{
	send(net, &(struct message){.type = ND_NEIGHBOUR_ADVERTISEMENT,
				    .source = own,
				    .destination = &all_nodes,
				    .target = own,
				    .flags = FLAG_OVERRIDE,
				    .option = OPTION_TARGET});
}

/*
 * In.
 */

/*
 * Finds the link-layer address in an option of that type; NULL: there is none, or one of another length than Ethernet's
 * (RFC 2464 section 6). False: the options are malformed (7.1).
 */
static bool find_option(const uint8_t *icmp, unsigned length, unsigned type, const uint8_t **mac)
{
	*mac = NULL;
	for (unsigned at = OPTIONS; at < length;) {
		unsigned left = length - at;
		unsigned bytes = left >= 2 ? icmp[at + 1] * OPTION_UNIT : 0U;
		if (bytes == 0 || bytes > left)
			return !MECHANISM(nd_options);
		if (icmp[at] == type && bytes == OPTION_UNIT && *mac == NULL)
			*mac = icmp + at + 2;
		at += bytes;
	}
	return true;
}

/* 7.2.4 */
static void answer(struct rb_net *net, const struct ip_packet *ip, const struct rb_ip *target, const uint8_t *mac)
{
	bool to_somebody = !ip_equal(&ip->src6, &unspecified);
	if (input_is_overheard(ip->packet))
		return;
	send(net, &(struct message){.type = ND_NEIGHBOUR_ADVERTISEMENT,
				    .source = target,
				    .destination = to_somebody ? &ip->src6 : &all_nodes,
				    .target = target,
				    .flags = FLAG_OVERRIDE | (to_somebody ? FLAG_SOLICITED : 0),
				    .option = OPTION_TARGET,
				    .mac = to_somebody ? mac : NULL});
}

/* 7.2.3. False: malformed. */
static bool take_solicitation(struct rb_net *net, const struct ip_packet *ip, const struct rb_ip *target)
{
	const uint8_t *mac;
	if (!find_option(ip_packet_l4(ip), ip->length, OPTION_SOURCE, &mac))
		return false;
	if (ip_equal(&ip->src6, &unspecified)) { /* somebody wants to use the address (RFC 4862 5.4.3) */
		struct rb_ip group = nd_solicited_node(target);
		if (mac != NULL || !ip_equal(&ip->dst6, &group))
			return false;
		if (!address_is_ours(net, target))
			return true;
		net->counters.address_conflicts++;
		if (MECHANISM(duplicate_told))
			answer(net, ip, target, NULL);
		return true;
	}
	if (!address_is_ours(net, target))
		return true;
	if (MECHANISM(nd_keep) && mac != NULL && address_is_on_link(net, &ip->src6))
		neighbour_learn(net, &ip->src6, mac, NEIGHBOUR_OVERRIDE | NEIGHBOUR_MAKE);
	/* Without the option, which only multicast solicitations must have (4.3), the frame says where it came from. */
	if (mac == NULL)
		mac = ip->packet->data + 6;
	if (MECHANISM(nd_answer) && ethernet_is_host(mac))
		answer(net, ip, target, mac);
	return true;
}

/* 7.2.5. False: malformed. */
static bool take_advertisement(struct rb_net *net, const struct ip_packet *ip, const struct rb_ip *target)
{
	const uint8_t *icmp = ip_packet_l4(ip), *mac;
	bool solicited = (icmp[FLAGS] & FLAG_SOLICITED) != 0, override = (icmp[FLAGS] & FLAG_OVERRIDE) != 0;
	if (!find_option(icmp, ip->length, OPTION_TARGET, &mac) || (ip6_is_group(&ip->dst6) && solicited))
		return false;
	if (address_is_ours(net, target)) { /* as RFC 5227 2.4 (c) for ARP */
		if (neighbour_conflict(net) && !input_is_overheard(ip->packet))
			nd_send_announcement(net, target);
		return true;
	}
	neighbour_learn(net, target, mac,
			(solicited ? NEIGHBOUR_SOLICITED : 0U) | (override ? NEIGHBOUR_OVERRIDE : 0U) |
				(MECHANISM(nd_unasked) ? 0U : NEIGHBOUR_MAKE));
	return true;
}

void nd_input(struct rb_net *net, const struct ip_packet *ip)
{
	const uint8_t *icmp = ip_packet_l4(ip);
	bool good = (!MECHANISM(nd_hop_limit) || ip->ttl == HOP_LIMIT) && icmp[CODE] == 0; /* 6.1, 7.1, 8.1 */
	unsigned type = icmp[TYPE];
	net->counters.nd_in++;
	if (type == ND_ROUTER_ADVERTISEMENT && good)
		net->counters.nd_router_advertisements++;
	if (type == ND_NEIGHBOUR_SOLICITATION || type == ND_NEIGHBOUR_ADVERTISEMENT) {
		good = good && ip->length >= OPTIONS;
		struct rb_ip target = good ? ip_load6(icmp + TARGET) : unspecified;
		good = good && !ip6_is_group(&target);
		if (good && type == ND_NEIGHBOUR_SOLICITATION)
			good = take_solicitation(net, ip, &target);
		else if (good)
			good = take_advertisement(net, ip, &target);
		if (good)
			input_share(net, ip->packet);
	}
	net->counters.malformed += !good;
}
