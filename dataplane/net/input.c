// SPDX-License-Identifier: Apache-2.0
#include "net/input.h"

#include "net/arp.h"
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/icmp6.h"
#include "net/ip4.h"
#include "net/ip6.h"
#include "net/route.h"
#include "net/tcp_upcalls.h"
#include "net/udp.h"

/* Packets ahead to fetch the headers of: what one packet costs is about what memory takes to answer. */
enum { PREFETCH_AHEAD = 2 };
enum { TCP_HEADER = 20 };

void input_release_flush(struct rb_net *net)
{
	struct released *released = &net->released;
	if (released->count > 0)
		net->ops->release(net->context, released->buffers, released->count);
	released->count = 0;
}

static bool deliver_tcp(struct rb_net *net, const struct ip_packet *ip)
{
	if (ip->group) /* RFC 9293 3.9.2.3, MUST-57 */
		return false;
	if (ip->length < TCP_HEADER) {
		net->counters.malformed++;
		return false;
	}
	if (!ip_packet_sum_is_good(ip)) {
		net->counters.bad_checksums++;
		return false;
	}
	return tcp_input(net, ip);
}

bool input_deliver(struct rb_net *net, const struct ip_packet *ip)
{
	if (ip->protocol == IP_PROTOCOL_TCP)
		return deliver_tcp(net, ip);
	if (ip->protocol == IP_PROTOCOL_UDP)
		return udp_input(net, ip);
	if (ip->protocol == IP_PROTOCOL_ICMP && !ip->is6)
		return icmp_input(net, ip);
	if (ip->protocol == IP_PROTOCOL_ICMP6 && ip->is6)
		return icmp6_input(net, ip);
	net->counters.no_protocol++;
	if (ip->is6) /* RFC 8200 section 4 */
		return icmp6_error(net, ip, ICMP6_PARAMETER_PROBLEM, ICMP6_PROBLEM_NEXT_HEADER, ip->next_field);
	return icmp_error(net, ip, ICMP_UNREACHABLE, ICMP_UNREACHABLE_PROTOCOL); /* RFC 1122 3.2.2.1 */
}

static __attribute__((noinline)) bool input_any(struct rb_net *net, const struct rb_net_packet *packet)
{
	struct ethernet_frame frame;
	if (!ethernet_parse(net, packet, &frame))
		return false;
	switch (frame.type) {
	case ETHERNET_TYPE_IP4:
		return ip4_input(net, packet, frame.l3, frame.group);
	case ETHERNET_TYPE_IP6:
		return ip6_input(net, packet, frame.l3, frame.group);
	default:
		arp_input(net, packet->data + frame.l3, packet->length - frame.l3);
		return false;
	}
}

/*
 * The short way of what nearly all packets are: TCP over IPv4 without options, to us, whole, checked by the device.
 *
 * All that must be exactly so is compared in one go: words as they lie in memory, of which a mask leaves what matters.
 * What it does not take, the long way judges.
 */

static inline uint64_t load_word(const uint8_t *at)
{
	uint64_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

/* What a packet on the short way looks like, as words at these offsets of the frame. */
enum { AT_DESTINATION = 0, AT_TYPE = 12, AT_FRAGMENT = 20, AT_ADDRESSES = 26, AT_TOTAL = 16, AT_TOS = 15 };

struct pattern {
	uint64_t mac; /* destination, in the lower six bytes */
	uint64_t ip4; /* destination, in the upper four bytes */
};

static struct pattern make_pattern(const struct rb_net *net)
{
	uint8_t words[16] = {0};
	memcpy(words, net->config.mac, 6);
	store32(words + 12, net->addresses.ip4);
	return (struct pattern){.mac = load_word(words), .ip4 = load_word(words + 8)};
}

/* Not 0: something is different. */
static inline __attribute__((always_inline)) uint64_t compare(const struct pattern *pattern, const uint8_t *data)
{
	const uint64_t type = ETHERNET_TYPE_IP4 >> 8 | (uint64_t)0x45 << 16; /* low byte is the first in memory */
	uint64_t differ = (load_word(data + AT_DESTINATION) ^ pattern->mac) << 16;
	differ |= (load_word(data + AT_TYPE) ^ type) << 40; /* type, version, header length */
	/* fragment offset and "more fragments", in two bytes without "don't fragment"; then TTL; protocol */
	differ |= (load_word(data + AT_FRAGMENT) ^ (uint64_t)IP_PROTOCOL_TCP << 24) & 0xff00ff3fU;
	return differ | (load_word(data + AT_ADDRESSES) ^ pattern->ip4) >> 32;
}

/* Is it one for the short way? Then `*length` is that of TCP's header and payload. */
static inline __attribute__((always_inline)) bool is_short(const struct pattern *pattern,
							   const struct rb_net_packet *packet, uint32_t *length)
{
	enum { GOOD = RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD, SHORTEST = IP4_HEADER + TCP_HEADER };
	const uint8_t *data = packet->data;
	uint32_t room = packet->length - (ETHERNET_HEADER + SHORTEST + 0U);
	if (room > UINT16_MAX || (~packet->checksum & GOOD) != 0 || compare(pattern, data) != 0 ||
	    (data[AT_TOS] & IP_ECN_MASK) == IP_ECN_CE)
		return false;
	uint32_t total = load16(data + AT_TOTAL);
	*length = total - IP4_HEADER;
	return total - SHORTEST <= room;
}

void rb_net_input(struct rb_net *net, const struct rb_net_packet *packets, unsigned count)
{
	const struct pattern pattern = make_pattern(net);
	const struct rb_net_packet *end = packets + count;
	net->counters.packets_in += count;
	for (const struct rb_net_packet *packet = packets; packet < end; packet++) {
		uint32_t length;
		bool kept;
		if (end - packet > PREFETCH_AHEAD)
			__builtin_prefetch(packet[PREFETCH_AHEAD].data);
		if (!is_short(&pattern, packet, &length) ||
		    !tcp_input_short(net, packet, packet->data + ETHERNET_HEADER + IP4_HEADER, length, &kept))
			kept = input_any(net, packet);
		if (!kept)
			input_release(net, packet->buffer);
	}
	input_release_flush(net);
}
