// SPDX-License-Identifier: Apache-2.0
/* ICMP for IPv6 (RFC 4443). */
#pragma once

#include "net/defs.h"
#include "net/packet.h"

#include <stdint.h>

enum icmp6_type {
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER_PROBLEM = 4,
	ICMP6_INFORMATIONAL = 128, /* this and higher are no errors (2.1) */
	ICMP6_ECHO_REQUEST = 128,
	ICMP6_ECHO_REPLY = 129,
};

/* codes of ICMP6_UNREACHABLE */
enum { ICMP6_UNREACHABLE_PROHIBITED = 1, ICMP6_UNREACHABLE_PORT = 4 };
/* codes of ICMP6_PARAMETER_PROBLEM */
enum { ICMP6_PROBLEM_FIELD = 0, ICMP6_PROBLEM_NEXT_HEADER = 1, ICMP6_PROBLEM_OPTION = 2 };

/* Takes a message whose IP header was good. True: the buffer was kept. */
bool icmp6_input(struct rb_net *net, const struct ip_packet *ip);

/*
 * Sends an error about a packet, if RFC 4443 2.4 (e) permits; `value`: the second word, for parameter problems the
 * offset of what is wrong. True: the packet's buffer was kept.
 */
bool icmp6_error(struct rb_net *net, const struct ip_packet *ip, enum icmp6_type type, uint8_t code, uint32_t value);
