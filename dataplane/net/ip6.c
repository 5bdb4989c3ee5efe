// SPDX-License-Identifier: Apache-2.0
#include "net/ip6.h"

#include "net/icmp6.h"
#include "net/input.h"
#include "net/mechanism.h"
#include "net/nd.h"
#include "net/route.h"

/* Offsets in the header. */
enum { PAYLOAD_LENGTH = 4, NEXT_HEADER = 6, HOP_LIMIT = 7, SOURCE = 8, DESTINATION = 24 };

/* Extension headers (RFC 8200 section 4); more than these bound a packet no honest host sends. */
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, NO_NEXT_HEADER = 59, DESTINATION_OPTIONS = 60 };
enum { EXTENSIONS_MAX = 8, EXTENSION_UNIT = 8 };

/* How walking the extension headers ended. */
enum verdict { DELIVER, DROP, MALFORMED, ERROR };

struct walk {
	struct ip_packet *ip; /* protocol, l4, length and next_field are where the walk is */
	uint8_t code;	      /* ERROR: of the parameter problem */
	unsigned pointer;     /* ERROR: offset from the IP header of what is wrong */
};

static enum verdict problem(struct walk *walk, unsigned code, unsigned pointer)
{
	walk->code = (uint8_t)code;
	walk->pointer = pointer;
	return ERROR;
}

/* An option that nobody here knows: its two highest bits say what to do (4.2). */
static enum verdict unknown_option(struct walk *walk, unsigned type, unsigned pointer)
{
	switch (type >> 6) {
	case 0:
		return DELIVER;
	case 1:
		return DROP;
	case 2:
		return problem(walk, ICMP6_PROBLEM_OPTION, pointer);
	default:
		return walk->ip->group ? DROP : problem(walk, ICMP6_PROBLEM_OPTION, pointer);
	}
}

/* The options of a header of `bytes` at l4. Pad1 and PadN (4.2), unknown, are all skipped. */
static enum verdict walk_options(struct walk *walk, unsigned bytes)
{
	const uint8_t *at = ip_packet_l4(walk->ip);
	unsigned base = (unsigned)(walk->ip->l4 - walk->ip->l3);
	for (unsigned i = 2; i < bytes;) {
		unsigned type = at[i];
		if (type == 0) {
			i++;
			continue;
		}
		if (i + 1 >= bytes || i + 2 + at[i + 1] > bytes)
			return MALFORMED;
		enum verdict verdict = unknown_option(walk, type, base + i);
		if (MECHANISM(ip6_options) && verdict != DELIVER)
			return verdict;
		i += 2U + at[i + 1];
	}
	return DELIVER;
}

/* The routing header (4.4): this is the last hop, or its type is unknown. */
static enum verdict walk_routing(struct walk *walk)
{
	unsigned base = (unsigned)(walk->ip->l4 - walk->ip->l3);
	if (!MECHANISM(ip6_routing) || ip_packet_l4(walk->ip)[3] == 0) /* segments left */
		return DELIVER;
	return problem(walk, ICMP6_PROBLEM_FIELD, base + 2);
}

/* The fragment header (4.5): a packet that is whole may have one (RFC 6946). */
static enum verdict walk_fragment(struct rb_net *net, const struct walk *walk)
{
	bool whole = MECHANISM(ip6_atomic) && (load16(ip_packet_l4(walk->ip) + 2) & 0xfff9) == 0; /* offset, and M */
	net->counters.fragments += !whole;
	return whole || !MECHANISM(ip6_fragments) ? DELIVER : DROP;
}

/* One extension header, at l4; steps over it. */
static enum verdict walk_one(struct rb_net *net, struct walk *walk)
{
	struct ip_packet *ip = walk->ip;
	const uint8_t *at = ip_packet_l4(ip);
	if (ip->length < EXTENSION_UNIT)
		return MALFORMED;
	unsigned bytes = ip->protocol == FRAGMENT ? EXTENSION_UNIT : (at[1] + 1U) * EXTENSION_UNIT;
	if (bytes > ip->length)
		return MALFORMED;
	enum verdict verdict;
	if (ip->protocol == FRAGMENT)
		verdict = walk_fragment(net, walk);
	else if (ip->protocol == ROUTING)
		verdict = walk_routing(walk);
	else
		verdict = walk_options(walk, bytes);
	if (verdict != DELIVER)
		return verdict;
	ip->next_field = (uint16_t)(ip->l4 - ip->l3);
	ip->protocol = at[0];
	ip->l4 = (uint16_t)(ip->l4 + bytes);
	ip->length = (uint16_t)(ip->length - bytes);
	return DELIVER;
}

static bool is_extension(unsigned protocol)
{
	return protocol == HOP_BY_HOP || protocol == ROUTING || protocol == FRAGMENT || protocol == DESTINATION_OPTIONS;
}

static enum verdict walk_all(struct rb_net *net, struct walk *walk)
{
	struct ip_packet *ip = walk->ip;
	for (unsigned i = 0; MECHANISM(ip6_extensions) && is_extension(ip->protocol); i++) {
		if (i == EXTENSIONS_MAX)
			return MALFORMED;
		/* 4.3: hop-by-hop options only come first */
		if (MECHANISM(ip6_hop_by_hop) && i > 0 && ip->protocol == HOP_BY_HOP)
			return problem(walk, ICMP6_PROBLEM_NEXT_HEADER, ip->next_field);
		enum verdict verdict = walk_one(net, walk);
		if (verdict != DELIVER)
			return verdict;
	}
	return MECHANISM(ip6_no_next_header) && ip->protocol == NO_NEXT_HEADER ? DROP : DELIVER; /* 4.7 */
}

/* Is the packet for us? Sets ip->group when it is for others too. */
static bool destination_is_ours(const struct rb_net *net, struct ip_packet *ip, bool group)
{
	const struct addresses *own = &net->addresses;
	if (!ip6_is_group(&ip->dst6))
		return !group && !ip_is4(&ip->dst6) && address_is_ours(net, &ip->dst6);
	ip->group = true;
	/* RFC 4291 2.8: all nodes, of the interface or the link, and the solicited-node groups */
	struct rb_ip all_nodes = {.bytes = {0xff, ip->dst6.bytes[1] == 1 ? 1 : 2, [15] = 1}};
	if (ip_equal(&ip->dst6, &all_nodes))
		return own->ip6_count > 0;
	for (uint32_t i = 0; i < own->ip6_count; i++) {
		struct rb_ip node = nd_solicited_node(&own->ip6[i]);
		if (ip_equal(&ip->dst6, &node))
			return true;
	}
	return false;
}

/* The source is a host elsewhere, or, for discovery (RFC 4861 7.1.1), nobody yet. An IPv4 address is no IPv6 one. */
static bool source_is_good(const struct rb_net *net, const struct ip_packet *ip)
{
	static const struct rb_ip unspecified;
	if (ip_equal(&ip->src6, &unspecified))
		return ip->protocol == IP_PROTOCOL_ICMP6;
	return !ip_is4(&ip->src6) && address_is_unicast(net, &ip->src6) && !address_is_ours(net, &ip->src6);
}

static bool parse(const struct rb_net_packet *packet, unsigned l3, struct ip_packet *ip)
{
	const uint8_t *header = packet->data + l3;
	unsigned left = packet->length - l3;
	if (left < IP6_HEADER || header[0] >> 4 != 6 || load16(header + PAYLOAD_LENGTH) > left - IP6_HEADER)
		return false;
	*ip = (struct ip_packet){
		.packet = packet,
		.l3 = (uint16_t)l3,
		.l4 = (uint16_t)(l3 + IP6_HEADER),
		.length = load16(header + PAYLOAD_LENGTH),
		.next_field = NEXT_HEADER,
		.protocol = header[NEXT_HEADER],
		.ecn = (header[1] >> 4) & IP_ECN_MASK,
		.ttl = header[HOP_LIMIT],
		.is6 = true,
		.src6 = ip_load6(header + SOURCE),
		.dst6 = ip_load6(header + DESTINATION),
	};
	return true;
}

bool ip6_input(struct rb_net *net, const struct rb_net_packet *packet, unsigned l3, bool group)
{
	struct ip_packet ip;
	struct walk walk = {.ip = &ip};
	if (!parse(packet, l3, &ip)) {
		net->counters.malformed++;
		return false;
	}
	if (!destination_is_ours(net, &ip, group) && MECHANISM(ip6_destination)) {
		net->counters.not_ours++;
		return false;
	}
	enum verdict verdict = walk_all(net, &walk);
	if (verdict == DROP)
		return false;
	if (verdict == MALFORMED || (MECHANISM(ip6_source) && !source_is_good(net, &ip))) {
		net->counters.malformed++;
		return false;
	}
	if (verdict == ERROR)
		return icmp6_error(net, &ip, ICMP6_PARAMETER_PROBLEM, walk.code, walk.pointer);
	return input_deliver(net, &ip);
}
