// SPDX-License-Identifier: Apache-2.0
#include "net/udp.h"

#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/handle.h"
#include "net/icmp.h"
#include "net/icmp6.h"
#include "net/input.h"
#include "net/ip4.h"
#include "net/ip6.h"
#include "net/mechanism.h"
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tx.h"

#include <errno.h>

/* Offsets in the header. */
enum { SOURCE_PORT = 0, DESTINATION_PORT = 2, LENGTH = 4, CHECKSUM = 6 };
/* RFC 6335 section 6: dynamic ports */
enum { EPHEMERAL_FIRST = 49152, EPHEMERAL_COUNT = 65536 - EPHEMERAL_FIRST };

void udp_lay(struct udp *udp, const struct rb_net_config *config, struct layout *layout)
{
	uint32_t buckets = layout_power_of_two(2 * config->udp_sockets);
	udp->bucket_mask = buckets - 1;
	udp->sockets = layout_take(layout, config->udp_sockets, sizeof(udp->sockets[0]));
	udp->buckets = layout_take(layout, buckets, sizeof(udp->buckets[0]));
	udp->queue = layout_take(layout, config->udp_queue, sizeof(udp->queue[0]));
}

void udp_init(struct rb_net *net)
{
	struct udp *udp = &net->udp;
	udp->used = udp->read = udp->queued = 0;
	udp->next_port = (uint16_t)(net->ops->random(net->context) % EPHEMERAL_COUNT);
	udp->free = UDP_NONE;
	for (uint32_t i = net->config.udp_sockets; i-- > 0;) {
		udp->sockets[i] = (struct udp_socket){.generation = 1, .next = udp->free};
		udp->free = (uint16_t)i;
	}
	for (uint32_t i = 0; i <= udp->bucket_mask; i++)
		udp->buckets[i] = UDP_NONE;
}

/*
 * Sockets.
 */

static uint16_t *bucket_of(struct udp *udp, uint16_t port)
{
	return &udp->buckets[port & udp->bucket_mask];
}

/* The socket that a datagram to this address and port is for; UDP_NONE: none. */
static uint16_t find(struct udp *udp, const struct rb_ip *ip, uint16_t port)
{
	uint16_t index = *bucket_of(udp, port);
	while (index != UDP_NONE) {
		const struct udp_socket *socket = &udp->sockets[index];
		if (socket->port == port && (rb_ip_is_any(&socket->local) || ip_equal(&socket->local, ip)))
			break;
		index = socket->next;
	}
	return index;
}

/* Would a datagram find two sockets if there were one at this address and port? */
static bool is_taken(struct udp *udp, const struct rb_ip *ip, uint16_t port)
{
	if (!rb_ip_is_any(ip))
		return find(udp, ip, port) != UDP_NONE;
	uint16_t index = *bucket_of(udp, port);
	while (index != UDP_NONE && udp->sockets[index].port != port)
		index = udp->sockets[index].next;
	return index != UDP_NONE;
}

/* RFC 6056 3.3.1, with a start that nobody can foretell; 0: all are taken. */
static uint16_t choose_port(struct rb_net *net, const struct rb_ip *ip)
{
	struct udp *udp = &net->udp;
	for (unsigned i = 0; i < EPHEMERAL_COUNT; i++) {
		udp->next_port = (uint16_t)((udp->next_port + 1) % EPHEMERAL_COUNT);
		uint16_t port = (uint16_t)(EPHEMERAL_FIRST + udp->next_port);
		if (!is_taken(udp, ip, port))
			return port;
	}
	return 0;
}

int rb_net_udp_bind(struct rb_net *net, const struct rb_endpoint *local, uint64_t cookie, rb_net_handle *handle)
{
	struct udp *udp = &net->udp;
	if (!rb_ip_is_any(&local->ip) && !address_is_ours(net, &local->ip))
		return -EADDRNOTAVAIL;
	if (local->port != 0 && is_taken(udp, &local->ip, local->port))
		return -EADDRINUSE;
	uint16_t index = udp->free;
	uint16_t port = local->port != 0 ? local->port : choose_port(net, &local->ip);
	if (index == UDP_NONE || port == 0)
		return -ENOBUFS;
	struct udp_socket *socket = &udp->sockets[index];
	uint16_t *bucket = bucket_of(udp, port);
	udp->free = socket->next;
	socket->local = local->ip;
	socket->port = port;
	socket->cookie = cookie;
	socket->next = *bucket;
	*bucket = index;
	udp->used++;
	*handle = handle_make(HANDLE_UDP, index, socket->generation);
	return 0;
}

/* NULL: the handle is void. */
static struct udp_socket *socket_of(struct rb_net *net, rb_net_handle handle)
{
	uint32_t index = handle_index(handle);
	if (handle_kind(handle) != HANDLE_UDP || index >= net->config.udp_sockets)
		return NULL;
	struct udp_socket *socket = &net->udp.sockets[index];
	return socket->port != 0 && socket->generation == handle_generation(handle) ? socket : NULL;
}

int udp_close(struct rb_net *net, rb_net_handle handle)
{
	struct udp *udp = &net->udp;
	struct udp_socket *socket = socket_of(net, handle);
	if (socket == NULL)
		return -EBADF;
	uint16_t index = (uint16_t)handle_index(handle);
	uint16_t *link = bucket_of(udp, socket->port);
	while (*link != index)
		link = &udp->sockets[*link].next;
	*link = socket->next;
	/* What it had received is released when its turn comes: the generation is another then. */
	*socket = (struct udp_socket){.generation = handle_next_generation(socket->generation), .next = udp->free};
	udp->free = index;
	udp->used--;
	return 0;
}

void udp_drop(struct rb_net *net)
{
	struct udp *udp = &net->udp;
	for (uint32_t i = 0; i < net->config.udp_sockets; i++) {
		if (udp->sockets[i].port != 0)
			udp_close(net, handle_make(HANDLE_UDP, i, udp->sockets[i].generation));
	}
	for (; udp->queued > 0; udp->queued--) {
		input_release(net, udp->queue[udp->read].buffer);
		udp->read = udp->read + 1 == net->config.udp_queue ? 0 : udp->read + 1;
	}
	input_release_flush(net);
}

/*
 * In.
 */

/* RFC 768: over IPv4 a checksum of 0 means none; RFC 8200 8.1: over IPv6 there must be one. */
static bool sum_is_good(const struct ip_packet *ip, uint16_t length)
{
	const uint8_t *udp = ip_packet_l4(ip);
	if (MECHANISM(udp_without_checksum) && load16(udp + CHECKSUM) == 0)
		return !(MECHANISM(udp6_checksum) && ip->is6);
	return !MECHANISM(udp_checksum) || (ip->packet->checksum & RB_NET_CHECKSUM_L4_GOOD) != 0 ||
	       checksum_finish(checksum_add(ip_packet_pseudo(ip, length), udp, length)) == 0;
}

static bool no_socket(struct rb_net *net, const struct ip_packet *ip)
{
	net->counters.udp_no_socket++;
	if (!(ip->is6 ? MECHANISM(icmp6_port) : MECHANISM(icmp_port)))
		return false;
	return ip->is6 ? icmp6_error(net, ip, ICMP6_UNREACHABLE, ICMP6_UNREACHABLE_PORT, 0)
		       : icmp_error(net, ip, ICMP_UNREACHABLE, ICMP_UNREACHABLE_PORT); /* RFC 1122 4.1.3.1 */
}

bool udp_input(struct rb_net *net, const struct ip_packet *ip)
{
	struct udp *udp = &net->udp;
	const uint8_t *header = ip_packet_l4(ip);
	uint16_t length = ip->length >= UDP_HEADER ? load16(header + LENGTH) : 0;
	if (length < UDP_HEADER || (MECHANISM(udp_length) && length > ip->length)) {
		net->counters.malformed++;
		return false;
	}
	if (!sum_is_good(ip, length)) {
		net->counters.bad_checksums++;
		return false;
	}
	struct rb_ip local = ip_packet_destination(ip);
	uint16_t socket = find(udp, &local, load16(header + DESTINATION_PORT));
	if (socket == UDP_NONE)
		return no_socket(net, ip);
	if (udp->queued == net->config.udp_queue) {
		net->counters.udp_queue_full++;
		return false;
	}
	uint32_t at = udp->read + udp->queued++;
	if (at >= net->config.udp_queue)
		at -= net->config.udp_queue;
	udp->queue[at] = (struct udp_datagram){
		.data = ip->packet->data,
		.buffer = ip->packet->buffer,
		.generation = udp->sockets[socket].generation,
		.socket = socket,
		.offset = ip->l4 + UDP_HEADER,
		.length = length - UDP_HEADER,
	};
	net->counters.udp_in++;
	return true;
}

bool udp_event(struct rb_net *net, struct rb_net_event *event)
{
	struct udp *udp = &net->udp;
	while (udp->queued > 0) {
		const struct udp_datagram *datagram = &udp->queue[udp->read];
		const struct udp_socket *socket = &udp->sockets[datagram->socket];
		udp->read = udp->read + 1 == net->config.udp_queue ? 0 : udp->read + 1;
		udp->queued--;
		if (socket->generation != datagram->generation) {
			input_release(net, datagram->buffer);
			continue;
		}
		*event = (struct rb_net_event){
			.handle = handle_make(HANDLE_UDP, datagram->socket, datagram->generation),
			.cookie = socket->cookie,
			.buffer = datagram->buffer,
			.data = datagram->data + datagram->offset,
			.length = datagram->length,
			.offset = datagram->offset,
			.bits = RB_NET_DATAGRAM,
		};
		return true;
	}
	return false;
}

int rb_net_datagram_source(const struct rb_net_event *event, struct rb_endpoint *source)
{
	if ((event->bits & RB_NET_DATAGRAM) == 0)
		return -EINVAL;
	const uint8_t *frame = event->data - event->offset;
	unsigned l3 = load16(frame + 12) == ETHERNET_TYPE_VLAN ? ETHERNET_HEADER + 4 : ETHERNET_HEADER;
	const uint8_t *ip = frame + l3;
	source->ip = ip[0] >> 4 == 4 ? ip_from4(load32(ip + 12)) : ip_load6(ip + 8);
	source->port = load16(event->data - UDP_HEADER + SOURCE_PORT);
	return 0;
}

void rb_net_datagram_done(struct rb_net *net, const struct rb_net_event *event)
{
	input_release(net, event->buffer);
}

/*
 * Out.
 */

/* Writes the IP header, and returns the sum of the pseudo-header. */
static uint64_t write_ip(uint8_t *at, const struct route *route, const struct rb_ip *to, uint16_t length)
{
	if (route->is4) {
		ip4_write(at, ip_to4(&route->local), ip_to4(to), IP_PROTOCOL_UDP, IP_ECN_NOT_ECT, IP4_HEADER + length);
		return checksum_pseudo4(at + 12, at + 16, IP_PROTOCOL_UDP, length);
	}
	ip6_write(at, &route->local, to, IP_PROTOCOL_UDP, IP_ECN_NOT_ECT, 0, IP_TTL, length);
	return checksum_pseudo6(at + 8, at + 24, IP_PROTOCOL_UDP, length);
}

/* Fills the frame, whose pieces are there, for a datagram of `length` bytes with its header. */
static void build(struct rb_net *net, struct rb_net_frame *frame, const struct route *route, uint16_t source_port,
		  const struct rb_endpoint *to, uint16_t length)
{
	frame->l3_length = route->is4 ? IP4_HEADER : IP6_HEADER;
	unsigned l4 = ETHERNET_HEADER + frame->l3_length;
	uint8_t *header = frame->header + l4;
	uint64_t sum = write_ip(frame->header + ETHERNET_HEADER, route, &to->ip, length);
	uint16_t unfinished = checksum_unfinished(sum);
	store16(header + SOURCE_PORT, source_port);
	store16(header + DESTINATION_PORT, to->port);
	store16(header + LENGTH, length);
	memcpy(header + CHECKSUM, &unfinished, sizeof(unfinished));
	frame->header_length = (uint16_t)(l4 + UDP_HEADER);
	frame->length = ETHERNET_HEADER + frame->l3_length + length;
	frame->flags = RB_NET_FRAME_TRANSIENT;
	if ((net->config.checksum_offload & RB_NET_CHECKSUM_UDP_FILL) != 0)
		frame->checksum = RB_NET_CHECKSUM_UDP_FILL;
	else
		tx_checksum(frame, l4, l4 + CHECKSUM, true);
}

/* Bytes of a datagram's payload that the route's MTU permits. */
static unsigned payload_max(const struct route *route)
{
	return route->mtu - UDP_HEADER - (unsigned)(route->is4 ? IP4_HEADER : IP6_HEADER);
}

int rb_net_udp_send(struct rb_net *net, rb_net_handle handle, const struct rb_endpoint *to,
		    const struct rb_net_piece *pieces, unsigned count)
{
	const struct udp_socket *socket = socket_of(net, handle);
	struct route route;
	uint64_t payload = 0;
	if (socket == NULL)
		return -EBADF;
	if (to->port == 0 || count > RB_NET_PIECES_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++)
		payload += pieces[i].length;
	int status = route_find(net, &to->ip, &socket->local, &route);
	if (status != 0)
		return status;
	struct rb_net_frame *frame = payload <= payload_max(&route) ? tx_frame(net) : NULL;
	if (frame != NULL) {
		for (unsigned i = 0; i < count; i++)
			frame->pieces[i] = pieces[i];
		frame->pieces_count = (uint8_t)count;
		build(net, frame, &route, socket->port, to, (uint16_t)(UDP_HEADER + payload));
		tx_commit(net, frame, route.neighbour);
		net->counters.udp_out++;
	} else {
		status = payload > payload_max(&route) ? -EMSGSIZE : -ENOBUFS;
	}
	neighbour_release(net, route.neighbour);
	return status;
}
