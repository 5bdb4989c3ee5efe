// SPDX-License-Identifier: Apache-2.0
#include "net/ip4.h"

#include "net/checksum.h"
#include "net/input.h"
#include "net/mechanism.h"
#include "net/route.h"

/* Offsets in the header. */
enum { VERSION_IHL = 0, TOTAL_LENGTH = 2, FRAGMENT = 6 };
/* Fragment offset and "more fragments": a packet that is whole has neither. */
enum { FRAGMENT_MASK = 0x3fff };

#define ALL_HOSTS 0xe0000001U /* 224.0.0.1, RFC 1112 section 4 */

/* Reads a header whose lengths agree with the packet's; false: malformed. */
static bool parse(const struct rb_net_packet *packet, unsigned l3, struct ip_packet *ip)
{
	const uint8_t *header = packet->data + l3;
	unsigned left = packet->length - l3;
	if (left < IP4_HEADER || header[VERSION_IHL] >> 4 != 4) /* RFC 1122 3.2.1.1 */
		return false;
	unsigned header_length = (header[VERSION_IHL] & 0x0fU) * 4, total = load16(header + TOTAL_LENGTH);
	if (header_length < IP4_HEADER || total < header_length || total > left)
		return false;
	if (!MECHANISM(ip4_options))
		header_length = IP4_HEADER;
	ip4_describe(ip, packet, l3, header_length, (uint16_t)(total - header_length));
	return true;
}

/* RFC 1122 3.2.1.2 */
static bool header_sum_is_good(const struct ip_packet *ip)
{
	const uint8_t *header = ip->packet->data + ip->l3;
	return (ip->packet->checksum & RB_NET_CHECKSUM_IP4_GOOD) != 0 ||
	       checksum_finish(checksum_add(0, header, (unsigned)(ip->l4 - ip->l3))) == 0;
}

/* Is the packet for us? Sets ip->group when it is for others too. */
static bool destination_is_ours(const struct rb_net *net, struct ip_packet *ip, bool group)
{
	const struct addresses *own = &net->addresses;
	if (own->ip4 == 0)
		return false;
	/* RFC 1122 3.3.6: a unicast packet in a broadcast frame is a mistake or an attack. */
	if (ip->dst4 == own->ip4)
		return !(MECHANISM(ip4_group_frame) && group);
	ip->group = true;
	return ip->dst4 == UINT32_MAX || ip->dst4 == ALL_HOSTS ||
	       (own->ip4_broadcast != 0 && ip->dst4 == own->ip4_broadcast);
}

bool ip4_input(struct rb_net *net, const struct rb_net_packet *packet, unsigned l3, bool group)
{
	struct ip_packet ip;
	if (!parse(packet, l3, &ip)) {
		net->counters.malformed++;
		return false;
	}
	if (MECHANISM(ip4_checksum) && !header_sum_is_good(&ip)) {
		net->counters.bad_checksums++;
		return false;
	}
	if (!destination_is_ours(net, &ip, group) && MECHANISM(ip4_destination)) {
		net->counters.not_ours++;
		return false;
	}
	/* RFC 1122 3.2.1.3: the source is a single host; and nobody else is us. */
	if (MECHANISM(ip4_source) && !address_is_peer4(net, ip.src4)) {
		net->counters.malformed++;
		return false;
	}
	if (MECHANISM(ip4_fragments) && (load16(packet->data + l3 + FRAGMENT) & FRAGMENT_MASK) != 0) {
		net->counters.fragments++;
		return false;
	}
	return input_deliver(net, &ip);
}
