// SPDX-License-Identifier: Apache-2.0
/* What the parts below TCP call in it. */
#pragma once

#include "net/net.h"
#include "net/packet.h"

#include <stdint.h>

/* Before a burst: events that were taken are no longer the application's to read. */
void tcp_input_begin(struct rb_net *net);

/*
 * A packet for TCP: to one of our unicast addresses, from a unicast address, checksum good, at least 20 bytes of it
 * (the data offset is not checked). True: the buffer is kept, and will be released with input_release(); false: it
 * will be released after this burst.
 */
bool tcp_input(struct rb_net *net, const struct ip_packet *ip);

enum input_taken {
	INPUT_LEFT,  /* it is nothing for this way, and nothing has changed */
	INPUT_TAKEN, /* the buffer is to be released */
	INPUT_KEPT,  /* it will be released later */
};

/*
 * The same for IPv4 by a shorter way, before the addresses were looked at: TCP's header is at offset `l4`, right behind
 * an IP header without options and of the shape that net->shape says, with `payload` bytes behind it.
 */
enum input_taken tcp_input_short(struct rb_net *net, const struct rb_net_packet *packet, uint32_t l4, uint32_t payload);

/* The same for a TCP segment of any shape, `length` bytes of header and payload, at least 20; no mark of congestion. */
enum input_taken tcp_input_plain(struct rb_net *net, const struct rb_net_packet *packet, const uint8_t *header,
				 uint32_t length);

/* RFC 5461, RFC 9293 3.9.2.2: which errors end a connection, if they are believed. */
enum tcp_icmp_kind {
	TCP_ICMP_SOFT,	  /* unreachable net or host, time exceeded, parameter problem */
	TCP_ICMP_HARD,	  /* unreachable protocol or port, administratively prohibited (IPv6) */
	TCP_ICMP_TOO_BIG, /* RFC 1191, RFC 8201 */
};

/* An ICMP error about a segment of ours; everything in it was said by whoever sent it (RFC 5927). */
struct tcp_icmp {
	struct rb_endpoint local, remote;
	uint32_t sequence; /* of the quoted segment */
	enum tcp_icmp_kind kind;
	uint32_t mtu;	/* TOO_BIG: bytes of an IP packet that fits; 0: the router did not say (RFC 1191 section 4) */
	int32_t status; /* -ENETUNREACH, -EHOSTUNREACH, -ECONNREFUSED, ... */
};

void tcp_icmp(struct rb_net *net, const struct tcp_icmp *error);

/* Nobody answers for this neighbour: as an ICMP host unreachable for whoever holds it. */
void tcp_neighbour_failed(struct rb_net *net, uint16_t neighbour);
