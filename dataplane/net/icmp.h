// SPDX-License-Identifier: Apache-2.0
/*
 * ICMP for IPv4 (RFC 792, RFC 1122 3.2.2), and what it shares with that for IPv6 (net/icmp6.h): the limit on errors and
 * the way an error or an echo is sent, whose data stay in the buffer of the packet they are about.
 */
#pragma once

#include "net/defs.h"
#include "net/packet.h"
#include "net/tcp_upcalls.h"

#include <stdint.h>

enum { ICMP_HEADER = 8 }; /* bytes: type, code, checksum, rest of header */

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
};

/* codes of ICMP_UNREACHABLE */
enum icmp_unreachable {
	ICMP_UNREACHABLE_HOST = 1,
	ICMP_UNREACHABLE_PROTOCOL = 2,
	ICMP_UNREACHABLE_PORT = 3,
	ICMP_UNREACHABLE_TOO_BIG = 4, /* RFC 1191: fragmentation needed and DF set */
};

/* Errors per second, and how many at once after a pause. */
enum { ICMP_LIMIT_RATE = 1000, ICMP_LIMIT_BURST = 50 };

/* The bucket is full. */
void icmp_limit_init(struct rb_net *net);

/* May an error be sent now? Takes a token; if there is none, counts it. */
bool icmp_limit_take(struct rb_net *net);

/* Takes an ICMP message whose IP header was good. True: the buffer was kept. */
bool icmp_input(struct rb_net *net, const struct ip_packet *ip);

/* Sends an error about a packet, if RFC 1122 3.2.2 permits. True: the packet's buffer was kept. */
bool icmp_error(struct rb_net *net, const struct ip_packet *ip, enum icmp_type type, uint8_t code);

/* A message to be sent: its header, and data that are part of the buffer of the packet it answers. */
struct icmp_message {
	uint8_t header[ICMP_HEADER];
	uint8_t protocol;	   /* IP_PROTOCOL_ICMP or IP_PROTOCOL_ICMP6 */
	bool sum;		   /* the checksum is to be computed; else it is in the header */
	const uint8_t *data;	   /* in the packet */
	uint16_t length;	   /* bytes of data */
	const struct rb_ip *local; /* source; NULL: chosen */
};

/* Sends it to the source of `ip`. True: the packet's buffer was kept. */
bool icmp_send(struct rb_net *net, const struct ip_packet *ip, const struct icmp_message *message);

/*
 * The TCP segment that an error quotes, from its TCP header on, of which `length` bytes are there. False: too short,
 * or its addresses are not such as we could have sent it from and to.
 */
bool icmp_quoted_tcp(const struct rb_net *net, const uint8_t *tcp, unsigned length, struct tcp_icmp *error);
