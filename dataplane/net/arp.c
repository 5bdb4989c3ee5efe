// SPDX-License-Identifier: Apache-2.0
#include "net/arp.h"

#include "net/ethernet.h"
#include "net/ip.h"
#include "net/mechanism.h"
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tx.h"

/* Offsets in the packet, RFC 826's names: hardware and protocol, their address lengths, operation, addresses. */
enum { HRD = 0, PRO = 2, HLN = 4, PLN = 5, OP = 6, SHA = 8, SPA = 14, THA = 18, TPA = 24, ARP_LENGTH = 28 };
enum { HRD_ETHERNET = 1, OP_REQUEST = 1, OP_REPLY = 2 };

static void send(struct rb_net *net, unsigned op, uint32_t tpa, const uint8_t tha[6], const uint8_t destination[6])
{
	struct rb_net_frame *frame = tx_frame(net);
	if (frame == NULL)
		return;
	uint8_t *arp = frame->header + ETHERNET_HEADER;
	ethernet_write(frame->header, destination, net->config.mac, ETHERNET_TYPE_ARP);
	store16(arp + HRD, HRD_ETHERNET);
	store16(arp + PRO, ETHERNET_TYPE_IP4);
	arp[HLN] = 6;
	arp[PLN] = 4;
	store16(arp + OP, (uint16_t)op);
	memcpy(arp + SHA, net->config.mac, 6);
	store32(arp + SPA, net->addresses.ip4);
	memcpy(arp + THA, tha, 6);
	store32(arp + TPA, tpa);
	frame->header_length = ETHERNET_HEADER + ARP_LENGTH;
	frame->length = frame->header_length;
	tx_commit_raw(net, frame);
}

void arp_send_request(struct rb_net *net, uint32_t target, const uint8_t *mac)
{
	send(net, OP_REQUEST, target, ethernet_nobody, mac != NULL ? mac : ethernet_broadcast);
}

void arp_send_announcement(struct rb_net *net)
{
	send(net, OP_REQUEST, net->addresses.ip4, ethernet_nobody, ethernet_broadcast);
}

static bool is_well_formed(const uint8_t *arp, unsigned length)
{
	return length >= ARP_LENGTH && load16(arp + HRD) == HRD_ETHERNET && load16(arp + PRO) == ETHERNET_TYPE_IP4 &&
	       arp[HLN] == 6 && arp[PLN] == 4;
}

void arp_input(struct rb_net *net, const uint8_t *arp, unsigned length, bool overheard)
{
	uint32_t own = net->addresses.ip4;
	if (MECHANISM(arp_form) && !is_well_formed(arp, length)) {
		net->counters.malformed++;
		return;
	}
	net->counters.arp_in++;
	uint32_t spa = load32(arp + SPA), tpa = load32(arp + TPA);
	unsigned op = load16(arp + OP);
	if (own == 0 || memcmp(arp + SHA, net->config.mac, 6) == 0)
		return;
	if (spa == own) { /* RFC 5227 2.4 (c): goes on using it and says so, once in a while */
		if (neighbour_conflict(net) && MECHANISM(arp_defence) && !overheard)
			arp_send_announcement(net);
		return;
	}
	bool wants_us = op == OP_REQUEST && tpa == own;
	bool make = MECHANISM(arp_unasked) ? wants_us && MECHANISM(arp_keep) : true;
	struct rb_ip sender = ip_from4(spa);
	/* The sender of a probe has no address yet (RFC 5227 2.1.1), and who is not on the link is never asked for. */
	if (spa != 0 && address_is_unicast(net, &sender) && address_is_on_link(net, &sender)) {
		bool answers_us = op == OP_REPLY && tpa == own;
		neighbour_learn(net, &sender, arp + SHA,
				NEIGHBOUR_OVERRIDE | (answers_us ? NEIGHBOUR_SOLICITED : 0U) |
					(make ? NEIGHBOUR_MAKE : 0U));
	}
	if (MECHANISM(arp_reply) && wants_us && !overheard && ethernet_is_host(arp + SHA))
		send(net, OP_REPLY, spa, arp + SHA, arp + SHA);
}
