// SPDX-License-Identifier: Apache-2.0
#include "net/icmp6.h"

#include "net/checksum.h"
#include "net/icmp.h"
#include "net/input.h"
#include "net/ip6.h"
#include "net/mechanism.h"
#include "net/nd.h"
#include "net/route.h"
#include "net/tcp_upcalls.h"

#include <errno.h>

/* Offsets in a message. */
enum { TYPE = 0, CODE = 1, CHECKSUM = 2, VALUE = 4 };
/* An error fits the least MTU (RFC 4443 2.4 c). */
enum { QUOTE_MAX = 1280 - IP6_HEADER - ICMP_HEADER };

bool icmp6_error(struct rb_net *net, const struct ip_packet *ip, enum icmp6_type type, uint8_t code, uint32_t value)
{
	bool option_to_group =
		MECHANISM(icmp6_option_group) && type == ICMP6_PARAMETER_PROBLEM && code == ICMP6_PROBLEM_OPTION;
	/*
	 * 2.4 (e). ICMP itself gets here only behind an extension header, of which our errors have none: no two hosts
	 * can go on answering each other.
	 */
	if ((MECHANISM(icmp6_group) && ip->group && !option_to_group) || !address_is_unicast(net, &ip->src6) ||
	    !icmp_limit_take(net))
		return false;
	unsigned quoted = (unsigned)(ip->l4 - ip->l3) + ip->length;
	struct icmp_message message = {
		.header = {[TYPE] = (uint8_t)type, [CODE] = code},
		.protocol = IP_PROTOCOL_ICMP6,
		.sum = true,
		.data = ip->packet->data + ip->l3,
		.length = (uint16_t)(quoted < QUOTE_MAX || !MECHANISM(icmp6_quote) ? quoted : QUOTE_MAX),
		.local = ip->group ? NULL : &ip->dst6, /* 2.2 */
	};
	store32(message.header + VALUE, value);
	net->counters.icmp_errors_out++;
	return icmp_send(net, ip, &message);
}

/* RFC 5461, by the analogies of RFC 4443 and RFC 1122: what the type and code mean for a connection. */
static void judge(const uint8_t *icmp, struct tcp_icmp *error)
{
	error->kind = TCP_ICMP_SOFT;
	error->status = -EHOSTUNREACH;
	if (icmp[TYPE] == ICMP6_UNREACHABLE && icmp[CODE] == 0) {
		error->status = -ENETUNREACH;
	} else if (icmp[TYPE] == ICMP6_UNREACHABLE && icmp[CODE] == ICMP6_UNREACHABLE_PROHIBITED) {
		error->kind = TCP_ICMP_HARD;
		error->status = -EACCES;
	} else if (icmp[TYPE] == ICMP6_UNREACHABLE && icmp[CODE] == ICMP6_UNREACHABLE_PORT) {
		error->kind = TCP_ICMP_HARD;
		error->status = -ECONNREFUSED;
	} else if (icmp[TYPE] == ICMP6_TOO_BIG) {
		error->kind = TCP_ICMP_TOO_BIG;
		error->status = -EMSGSIZE;
		error->mtu = load32(icmp + VALUE);
	} else if (icmp[TYPE] == ICMP6_PARAMETER_PROBLEM) {
		/* the next header is unknown there: as protocol unreachable (RFC 5461 section 4) */
		error->kind = icmp[CODE] == ICMP6_PROBLEM_NEXT_HEADER ? TCP_ICMP_HARD : TCP_ICMP_SOFT;
		error->status = -EPROTO;
	}
}

/* An error about a packet of ours, which had no extension headers. */
static void take_error(struct rb_net *net, const uint8_t *icmp, unsigned length)
{
	const uint8_t *quote = icmp + ICMP_HEADER;
	unsigned left = length - ICMP_HEADER;
	struct tcp_icmp error = {0};
	if (left < IP6_HEADER || quote[0] >> 4 != 6 || quote[6] != IP_PROTOCOL_TCP)
		return;
	error.local.ip = ip_load6(quote + 8);
	error.remote.ip = ip_load6(quote + 24);
	if (ip_is4(&error.local.ip) || ip_is4(&error.remote.ip) ||
	    !icmp_quoted_tcp(net, quote + IP6_HEADER, left - IP6_HEADER, &error))
		return;
	judge(icmp, &error);
	if (MECHANISM(icmp6_to_tcp))
		tcp_icmp(net, &error);
}

/* 4.2; requests to many are not answered, so that nobody can be flooded with our help. */
static bool answer_echo(struct rb_net *net, const struct ip_packet *ip)
{
	const uint8_t *icmp = ip_packet_l4(ip);
	uint16_t field, old, new;
	struct icmp_message message = {
		.protocol = IP_PROTOCOL_ICMP6,
		.data = icmp + ICMP_HEADER,
		.length = ip->length - ICMP_HEADER,
		.local = &ip->dst6,
	};
	memcpy(message.header, icmp, ICMP_HEADER);
	message.header[TYPE] = ICMP6_ECHO_REPLY;
	/* RFC 1624: only the type has changed; the pseudo-header's sum is the same both ways. */
	memcpy(&field, icmp + CHECKSUM, 2);
	memcpy(&old, icmp, 2);
	memcpy(&new, message.header, 2);
	field = checksum_update(field, old, new);
	memcpy(message.header + CHECKSUM, &field, 2);
	net->counters.icmp_echoes++;
	return icmp_send(net, ip, &message);
}

bool icmp6_input(struct rb_net *net, const struct ip_packet *ip)
{
	const uint8_t *icmp = ip_packet_l4(ip);
	if (ip->length < ICMP_HEADER) { /* none of those taken here is shorter */
		net->counters.malformed++;
		return false;
	}
	if (MECHANISM(icmp6_checksum) && !ip_packet_sum_is_good(ip)) {
		net->counters.bad_checksums++;
		return false;
	}
	net->counters.icmp_in++;
	switch (icmp[TYPE]) {
	case ICMP6_ECHO_REQUEST:
		return MECHANISM(icmp6_echo) && !ip->group && icmp[CODE] == 0 && answer_echo(net, ip);
	case ICMP6_UNREACHABLE:
	case ICMP6_TOO_BIG:
	case ICMP6_TIME_EXCEEDED:
	case ICMP6_PARAMETER_PROBLEM:
		input_share(net, ip->packet); /* whose connection it is about is not known here */
		take_error(net, icmp, ip->length);
		return false;
	case ND_ROUTER_SOLICITATION:
	case ND_ROUTER_ADVERTISEMENT:
	case ND_NEIGHBOUR_SOLICITATION:
	case ND_NEIGHBOUR_ADVERTISEMENT:
	case ND_REDIRECT:
		nd_input(net, ip);
		return false;
	default: /* 2.4 (a), (b): nobody here to tell */
		return false;
	}
}
