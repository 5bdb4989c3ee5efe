// SPDX-License-Identifier: Apache-2.0
#include "net/icmp.h"

#include "net/checksum.h"
#include "net/input.h"
#include "net/ip4.h"
#include "net/ip6.h"
#include "net/mechanism.h"
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tx.h"

#include <errno.h>

/* Offsets in a message. */
enum { TYPE = 0, CODE = 1, CHECKSUM = 2, NEXT_HOP_MTU = 6 };
/* Quoted at most: a whole error has 576 bytes at most (RFC 1812 4.3.2.3). */
enum { QUOTE_MAX = 576 - IP4_HEADER - ICMP_HEADER };
/* Of a quoted TCP header; RFC 792 promises 8 bytes of it. */
enum { TCP_SEQUENCE = 4, TCP_QUOTE_MIN = 8 };

/*
 * The limit.
 */

#define LIMIT_INTERVAL_NS (1000000000ULL / ICMP_LIMIT_RATE)

void icmp_limit_init(struct rb_net *net)
{
	net->icmp_limit = (struct icmp_limit){.since_ns = net->now_ns, .tokens = ICMP_LIMIT_BURST};
}

bool icmp_limit_take(struct rb_net *net)
{
	struct icmp_limit *limit = &net->icmp_limit;
	uint64_t earned = (net->now_ns - limit->since_ns) / LIMIT_INTERVAL_NS;
	limit->since_ns += earned * LIMIT_INTERVAL_NS;
	limit->tokens =
		earned >= ICMP_LIMIT_BURST - limit->tokens ? ICMP_LIMIT_BURST : limit->tokens + (uint32_t)earned;
	if (MECHANISM(icmp_limit) && limit->tokens == 0) {
		net->counters.icmp_limited++;
		return false;
	}
	limit->tokens--;
	return true;
}

/*
 * Out.
 */

/* Writes the IP header, and returns the sum of the pseudo-header, which only ICMPv6 has (RFC 4443 2.3). */
static uint64_t write_ip(uint8_t *at, const struct route *route, const struct rb_ip *to, uint8_t protocol,
			 uint16_t length)
{
	if (route->is4) {
		ip4_write(at, ip_to4(&route->local), ip_to4(to), protocol, IP_ECN_NOT_ECT, IP4_HEADER + length);
		return 0;
	}
	ip6_write(at, &route->local, to, protocol, IP_ECN_NOT_ECT, 0, IP_TTL, length);
	return checksum_pseudo6(route->local.bytes, to->bytes, protocol, length);
}

/* Fills the frame; the data follow as a piece. */
static void build(struct rb_net_frame *frame, const struct route *route, const struct rb_ip *to,
		  const struct icmp_message *message)
{
	frame->l3_length = route->is4 ? IP4_HEADER : IP6_HEADER;
	uint8_t *ip = frame->header + ETHERNET_HEADER, *icmp = ip + frame->l3_length;
	uint64_t sum = write_ip(ip, route, to, message->protocol, ICMP_HEADER + message->length);
	memcpy(icmp, message->header, ICMP_HEADER);
	if (message->sum) {
		memset(icmp + CHECKSUM, 0, 2);
		sum = checksum_add(sum, icmp, ICMP_HEADER);
		uint16_t checksum = checksum_finish(checksum_add(sum, message->data, message->length));
		memcpy(icmp + CHECKSUM, &checksum, sizeof(checksum));
	}
	frame->header_length = ETHERNET_HEADER + frame->l3_length + ICMP_HEADER;
	frame->length = frame->header_length + message->length;
	frame->pieces[0] = (struct rb_net_piece){.base = message->data, .length = message->length};
	frame->pieces_count = message->length > 0;
	frame->flags = RB_NET_FRAME_TRANSIENT;
}

bool icmp_send(struct rb_net *net, const struct ip_packet *ip, const struct icmp_message *message)
{
	struct route route;
	struct rb_ip to = ip_packet_source(ip);
	if (route_find(net, &to, message->local, &route) != 0)
		return false;
	struct rb_net_frame *frame = tx_frame(net);
	unsigned room = route.mtu - ICMP_HEADER - (route.is4 ? IP4_HEADER : IP6_HEADER);
	bool send = frame != NULL && message->length <= room;
	if (send) {
		build(frame, &route, &to, message);
		tx_commit(net, frame, route.neighbour);
	}
	neighbour_release(net, route.neighbour);
	return send && tx_hold(net, ip->packet->buffer);
}

bool icmp_error(struct rb_net *net, const struct ip_packet *ip, enum icmp_type type, uint8_t code)
{
	/* RFC 1122 3.2.2: not about what came to many. ICMP never gets here, nor do fragments and sources of many. */
	if (ip->group || !icmp_limit_take(net))
		return false;
	struct rb_ip local = ip_packet_destination(ip);
	unsigned quoted = (unsigned)(ip->l4 - ip->l3) + ip->length;
	struct icmp_message message = {
		.header = {[TYPE] = (uint8_t)type, [CODE] = code},
		.protocol = IP_PROTOCOL_ICMP,
		.sum = true,
		.data = ip->packet->data + ip->l3,
		.length = (uint16_t)(quoted < QUOTE_MAX || !MECHANISM(icmp_quote) ? quoted : QUOTE_MAX),
		.local = &local,
	};
	net->counters.icmp_errors_out++;
	return icmp_send(net, ip, &message);
}

/*
 * In.
 */

bool icmp_quoted_tcp(const struct rb_net *net, const uint8_t *tcp, unsigned length, struct tcp_icmp *error)
{
	if (length < TCP_QUOTE_MIN || !address_is_ours(net, &error->local.ip) ||
	    !address_is_unicast(net, &error->remote.ip))
		return false;
	error->local.port = load16(tcp);
	error->remote.port = load16(tcp + 2);
	error->sequence = load32(tcp + TCP_SEQUENCE);
	return true;
}

/* RFC 1122 4.2.3.9, RFC 5461: what the type and code mean for a connection. */
static void judge(const uint8_t *icmp, struct tcp_icmp *error)
{
	error->kind = TCP_ICMP_SOFT;
	error->status = -EHOSTUNREACH;
	if (icmp[TYPE] == ICMP_PARAMETER_PROBLEM)
		error->status = -EPROTO;
	if (icmp[TYPE] != ICMP_UNREACHABLE)
		return;
	switch (icmp[CODE]) {
	case ICMP_UNREACHABLE_PROTOCOL:
		error->kind = TCP_ICMP_HARD;
		error->status = -ENOPROTOOPT;
		break;
	case ICMP_UNREACHABLE_PORT:
		error->kind = TCP_ICMP_HARD;
		error->status = -ECONNREFUSED;
		break;
	case ICMP_UNREACHABLE_TOO_BIG:
		error->kind = TCP_ICMP_TOO_BIG;
		error->status = -EMSGSIZE;
		error->mtu = load16(icmp + NEXT_HOP_MTU);
		break;
	case 0:	 /* net */
	case 6:	 /* net unknown */
	case 11: /* net unreachable for this type of service */
		error->status = -ENETUNREACH;
		break;
	default:
		break;
	}
}

/* An error about a packet of ours; only TCP has a use for it. */
static void take_error(struct rb_net *net, const uint8_t *icmp, unsigned length)
{
	const uint8_t *quote = icmp + ICMP_HEADER;
	unsigned left = length - ICMP_HEADER;
	struct tcp_icmp error = {0};
	if (left < IP4_HEADER || quote[0] >> 4 != 4)
		return;
	unsigned header = (quote[0] & 0x0fU) * 4;
	bool first_fragment = (load16(quote + 6) & 0x1fff) == 0;
	if (header < IP4_HEADER || header > left || !first_fragment || quote[9] != IP_PROTOCOL_TCP)
		return;
	error.local.ip = ip_from4(load32(quote + 12));
	error.remote.ip = ip_from4(load32(quote + 16));
	if (!icmp_quoted_tcp(net, quote + header, left - header, &error))
		return;
	judge(icmp, &error);
	if (MECHANISM(icmp_to_tcp))
		tcp_icmp(net, &error);
}

/* RFC 1122 3.2.2.6; requests to many are not answered, which it permits. */
static bool answer_echo(struct rb_net *net, const struct ip_packet *ip)
{
	const uint8_t *icmp = ip_packet_l4(ip);
	struct rb_ip local = ip_from4(ip->dst4);
	uint16_t field, old, new;
	struct icmp_message message = {
		.protocol = IP_PROTOCOL_ICMP,
		.data = icmp + ICMP_HEADER,
		.length = ip->length - ICMP_HEADER,
		.local = &local,
	};
	memcpy(message.header, icmp, ICMP_HEADER);
	message.header[TYPE] = ICMP_ECHO_REPLY;
	/* RFC 1624: only the type has changed, so what the sender's checksum protected stays protected by it. */
	memcpy(&field, icmp + CHECKSUM, 2);
	memcpy(&old, icmp, 2);
	memcpy(&new, message.header, 2);
	field = checksum_update(field, old, new);
	memcpy(message.header + CHECKSUM, &field, 2);
	net->counters.icmp_echoes++;
	return icmp_send(net, ip, &message);
}

bool icmp_input(struct rb_net *net, const struct ip_packet *ip)
{
	const uint8_t *icmp = ip_packet_l4(ip);
	if (ip->length < ICMP_HEADER) {
		net->counters.malformed++;
		return false;
	}
	bool checked = (ip->packet->checksum & RB_NET_CHECKSUM_L4_GOOD) != 0;
	if (MECHANISM(icmp_checksum) && !checked && checksum_finish(checksum_add(0, icmp, ip->length)) != 0) {
		net->counters.bad_checksums++;
		return false;
	}
	net->counters.icmp_in++;
	switch (icmp[TYPE]) {
	case ICMP_ECHO_REQUEST:
		return MECHANISM(icmp_echo) && !ip->group && icmp[CODE] == 0 && answer_echo(net, ip);
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER_PROBLEM:
		input_share(net, ip->packet); /* whose connection it is about is not known here */
		take_error(net, icmp, ip->length);
		return false;
	default: /* RFC 1122 3.2.2: unknown types are discarded silently; redirects and quenches too (RFC 6633) */
		return false;
	}
}
