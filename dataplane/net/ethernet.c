// SPDX-License-Identifier: Apache-2.0
#include "net/ethernet.h"

#include "net/defs.h"
#include "net/ip.h"

enum { TAG = 4, VLAN_ID = 0x0fff };

/*
 * Groups that we listen to: broadcast, and what IPv4 and IPv6 groups map to. Which of these are ours is for the IP
 * layer to say, because many groups share an address.
 */
static bool group_is_wanted(const uint8_t mac[6])
{
	bool ip6 = mac[0] == 0x33 && mac[1] == 0x33;
	bool ip4 = mac[0] == 0x01 && mac[1] == 0x00 && mac[2] == 0x5e;
	return ip6 || ip4 || memcmp(mac, ethernet_broadcast, 6) == 0;
}

bool ethernet_parse(struct rb_net *net, const struct rb_net_packet *packet, struct ethernet_frame *frame)
{
	const uint8_t *data = packet->data;
	if (packet->length < ETHERNET_HEADER) {
		net->counters.malformed++;
		return false;
	}
	frame->group = ethernet_is_group(data);
	frame->l3 = ETHERNET_HEADER;
	frame->type = load16(data + 12);
	bool wanted = frame->group ? group_is_wanted(data) : memcmp(data, net->config.mac, 6) == 0;
	/* IEEE 802.1Q 6.9: VLAN 0 says that the tag has a priority only; others are not for an untagged port. */
	if (frame->type == ETHERNET_TYPE_VLAN) {
		if (packet->length < ETHERNET_HEADER + TAG) {
			net->counters.malformed++;
			return false;
		}
		wanted = wanted && (load16(data + 14) & VLAN_ID) == 0;
		frame->type = load16(data + 16);
		frame->l3 = ETHERNET_HEADER + TAG;
	}
	/* A type below 1536 is a length: IEEE 802.3, which nothing here speaks (RFC 1122 2.3.3 asks for Ethernet II). */
	wanted = wanted && (frame->type == ETHERNET_TYPE_IP4 || frame->type == ETHERNET_TYPE_ARP ||
			    frame->type == ETHERNET_TYPE_IP6);
	net->counters.ethernet_dropped += !wanted;
	return wanted;
}
