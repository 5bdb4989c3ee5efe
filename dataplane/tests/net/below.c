// SPDX-License-Identifier: Apache-2.0
#include "tests/net/below.h"

#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/input.h"
#include "net/ip4.h"
#include "net/ip6.h"
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tx.h"
#include "net/udp.h"

#include <stdlib.h>

const uint8_t own_mac[6] = {0x02, 0, 0, 0, 0, 1}, peer_mac[6] = {0x02, 0, 0, 0, 0, 2},
	      other_mac[6] = {0x02, 0, 0, 0, 0, 3};
const struct rb_ip own6 = {.bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
const struct rb_ip own_local6 = {.bytes = {0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 1}};
const struct rb_ip peer6 = {.bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 2}};
const struct rb_ip peer_local6 = {.bytes = {0xfe, 0x80, [15] = 2}};
const struct rb_ip far6 = {.bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 9, [15] = 9}};

const struct rb_net_config below_config = {
	.mac = {0x02, 0, 0, 0, 0, 1},
	.mtu = 1500,
	.ip4 = OWN4,
	.ip4_prefix = 24,
	.ip4_gateway = 0x0a0000feU,
	.ip6 = {{.bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}}},
	.ip6_prefix = 64,
	.ip6_gateway = {.bytes = {0xfe, 0x80, [15] = 0xff}},
	.ip6_link_local = true,
	.udp_sockets = 3,
	.udp_queue = 2,
	.neighbours = 4,
	.pending = 10,
};

/* TCP's calls have no context of their own: it is the instance's. */
void tcp_input_begin(struct rb_net *net)
{
	(void)net;
}

/* No connections here: all go the long way. */
enum input_taken tcp_input_short(struct rb_net *net, const struct rb_net_packet *packet, uint32_t l4, uint32_t payload)
{
	(void)net;
	(void)packet;
	(void)l4;
	(void)payload;
	return INPUT_LEFT;
}

enum input_taken tcp_input_plain(struct rb_net *net, const struct rb_net_packet *packet, const uint8_t *header,
				 uint32_t length)
{
	(void)header;
	return tcp_input_short(net, packet, 0, length);
}

bool tcp_input(struct rb_net *net, const struct ip_packet *ip)
{
	struct below *below = net->context;
	below->segments++;
	below->segment = *ip;
	below->segment_packet = *ip->packet;
	below->segment.packet = &below->segment_packet;
	memcpy(below->segment_bytes, ip_packet_l4(ip), ip->length);
	return below->keep;
}

void tcp_icmp(struct rb_net *net, const struct tcp_icmp *error)
{
	struct below *below = net->context;
	below->errors++;
	below->error = *error;
}

void tcp_neighbour_failed(struct rb_net *net, uint16_t neighbour)
{
	struct below *below = net->context;
	below->failures++;
	below->failed = neighbour;
}

static unsigned headers(void *context, struct rb_net_header *given, unsigned count)
{
	struct below *below = context;
	unsigned got = 0;
	if (below->headers_refused > 0) {
		below->headers_refused--;
		return 0;
	}
	for (; got < count && below->free_count > 0; got++) {
		uint64_t index = below->free_headers[--below->free_count];
		given[got].header = below->headers[index];
		given[got].owner = index;
	}
	return got;
}

static void output(void *context, const struct rb_net_frame *frames, unsigned count)
{
	struct below *below = context;
	below->outputs++;
	for (unsigned i = 0; i < count; i++) {
		const struct rb_net_frame *frame = &frames[i];
		RB_ASSERT_LT(below->sent_count, (unsigned)SENT_MAX);
		struct sent *sent = &below->sent[below->sent_count++];
		uint32_t at = frame->header_length;
		memcpy(sent->bytes, frame->header, at);
		for (unsigned piece = 0; piece < frame->pieces_count; piece++) {
			memcpy(sent->bytes + at, frame->pieces[piece].base, frame->pieces[piece].length);
			at += frame->pieces[piece].length;
		}
		RB_ASSERT_EQ(at, frame->length);
		sent->length = at;
		sent->checksum = frame->checksum;
		sent->l3_length = frame->l3_length;
		sent->transient = (frame->flags & RB_NET_FRAME_TRANSIENT) != 0;
		memset(frame->header, 0xee, RB_NET_HEADER_MAX);
		below->free_headers[below->free_count++] = frame->owner;
	}
}

static void release(void *context, const uint64_t *buffers, unsigned count)
{
	struct below *below = context;
	for (unsigned i = 0; i < count; i++)
		free((void *)(uintptr_t)buffers[i]);
	below->buffers -= count;
}

static uint64_t random_bits(void *context)
{
	struct below *below = context;
	return below->random += 0x9e3779b97f4a7c15U;
}

static const struct rb_net_ops ops = {
	.headers = headers,
	.output = output,
	.release = release,
	.random = random_bits,
};

static void lay(struct rb_net *net, const struct rb_net_config *config, struct layout *layout)
{
	neighbour_lay(&net->neighbours, config, layout);
	udp_lay(&net->udp, config, layout);
}

void below_open(struct below *below, const struct rb_net_config *config)
{
	struct layout layout = {0};
	below->net = aligned_alloc(_Alignof(struct rb_net), sizeof(*below->net));
	RB_ASSERT(below->net != NULL);
	memset(below->net, 0, sizeof(*below->net));
	lay(below->net, config, &layout);
	below->memory = layout.base = aligned_alloc(LAYOUT_ALIGN, layout.used);
	RB_ASSERT(below->memory != NULL);
	memset(below->memory, 0xdd, layout.used);
	layout.used = 0;
	lay(below->net, config, &layout);
	for (unsigned i = 0; i < HEADERS_MAX; i++)
		below->free_headers[below->free_count++] = i;
	below->net->config = *config;
	below->net->ops = &ops;
	below->net->context = below;
	below->net->now_ns = 1000;
	tx_init(below->net);
	route_init(below->net);
	neighbour_init(below->net);
	icmp_limit_init(below->net);
	udp_init(below->net);
}

void below_close(struct below *below)
{
	struct rb_net *net = below->net;
	below_flush(below);
	udp_drop(net);
	RB_ASSERT_EQ(below->buffers, 0U);
	RB_ASSERT_EQ(net->udp.used, 0U);
	RB_ASSERT_EQ(below->free_count + net->tx.stock_end - net->tx.stock_next, (unsigned)HEADERS_MAX);
	free(below->memory);
	free(net);
}

void below_flush(struct below *below)
{
	tx_flush(below->net);
	input_release_flush(below->net);
}

void below_advance(struct below *below, uint64_t ns)
{
	below->net->now_ns += ns;
	neighbour_advance(below->net);
	below_flush(below);
}

void below_clear(struct below *below)
{
	below->sent_count = 0;
}

void below_input(struct below *below, const void *data, unsigned length, unsigned checksum)
{
	uint8_t *copy = malloc(length > 0 ? length : 1);
	RB_ASSERT(copy != NULL);
	if (length > 0)
		memcpy(copy, data, length);
	below->buffers++;
	struct rb_net_packet packet = {
		.data = copy, .buffer = (uintptr_t)copy, .length = (uint16_t)length, .checksum = (uint16_t)checksum};
	rb_net_input(below->net, &packet, 1);
	below_flush(below);
}

void below_put(struct below *below, const struct packet *packet)
{
	below_input(below, packet->bytes, packet->length, RB_NET_CHECKSUM_UNKNOWN);
}

int below_setup(void **state)
{
	struct below *below = calloc(1, sizeof(*below));
	RB_ASSERT(below != NULL);
	below_open(below, &below_config);
	*state = below;
	return 0;
}

int below_teardown(void **state)
{
	below_close(*state);
	free(*state);
	return 0;
}

unsigned below_state_of(const struct below *below, struct rb_ip ip)
{
	uint16_t index = neighbour_lookup(below->net, &ip);
	return index == NEIGHBOUR_NONE ? (unsigned)NEIGHBOUR_FREE : below->net->neighbours.entries[index].state;
}

int below_send(struct below *below, struct rb_ip to, const char *text)
{
	struct rb_endpoint local = {.port = 1000}, remote = {.ip = to, .port = 2000};
	char *copy = strdup(text); /* gone after the flush, as the interface permits */
	struct rb_net_piece piece = {.base = copy, .length = (uint32_t)strlen(text)};
	rb_net_handle handle;
	RB_ASSERT(copy != NULL);
	RB_ASSERT_EQ(rb_net_udp_bind(below->net, &local, 0, &handle), 0);
	int status = rb_net_udp_send(below->net, handle, &remote, &piece, 1);
	below_flush(below);
	RB_ASSERT_EQ(udp_close(below->net, handle), 0);
	free(copy);
	return status;
}

/*
 * Packets.
 */

static void append(struct packet *packet, const void *bytes, unsigned length)
{
	RB_ASSERT_LE(packet->length + length, (unsigned)FRAME_MAX);
	if (length > 0)
		memcpy(packet->bytes + packet->length, bytes, length);
	packet->length += length;
}

struct packet packet_ethernet(const uint8_t destination[6], const uint8_t source[6], unsigned type)
{
	struct packet packet = {.length = ETHERNET_HEADER};
	ethernet_write(packet.bytes, destination, source, (uint16_t)type);
	return packet;
}

struct packet packet_ip4(uint32_t source, uint32_t destination, unsigned protocol, const void *payload, unsigned length)
{
	struct packet packet = packet_ethernet(own_mac, peer_mac, ETHERNET_TYPE_IP4);
	ip4_write(packet.bytes + packet.length, source, destination, (uint8_t)protocol, 0,
		  (uint16_t)(IP4_HEADER + length));
	packet.length += IP4_HEADER;
	append(&packet, payload, length);
	return packet;
}

struct packet packet_ip6(const struct rb_ip *source, const struct rb_ip *destination, unsigned protocol,
			 const void *payload, unsigned length)
{
	uint8_t mac[6];
	ethernet_group6(destination, mac);
	struct packet packet = packet_ethernet(ip6_is_group(destination) ? mac : own_mac, peer_mac, ETHERNET_TYPE_IP6);
	ip6_write(packet.bytes + packet.length, source, destination, (uint8_t)protocol, 0, 0, 255, (uint16_t)length);
	packet.length += IP6_HEADER;
	append(&packet, payload, length);
	return packet;
}

static void fill_sum(struct packet *packet, uint64_t pseudo, unsigned length, unsigned field)
{
	uint8_t *payload = packet->bytes + packet->length - length;
	memset(payload + field, 0, 2);
	uint16_t sum = checksum_finish(checksum_add(pseudo, payload, length));
	memcpy(payload + field, &sum, 2);
}

struct packet packet_sum4(uint32_t source, uint32_t destination, unsigned protocol, const void *payload,
			  unsigned length, unsigned field)
{
	struct packet packet = packet_ip4(source, destination, protocol, payload, length);
	uint64_t pseudo = protocol == IP_PROTOCOL_ICMP ? 0
						       : checksum_pseudo4(packet.bytes + 26, packet.bytes + 30,
									  (uint8_t)protocol, (uint16_t)length);
	fill_sum(&packet, pseudo, length, field);
	return packet;
}

struct packet packet_sum6(const struct rb_ip *source, const struct rb_ip *destination, unsigned protocol,
			  const void *payload, unsigned length, unsigned field)
{
	struct packet packet = packet_ip6(source, destination, protocol, payload, length);
	fill_sum(&packet, checksum_pseudo6(source, destination, (uint8_t)protocol, length), length, field);
	return packet;
}

static unsigned make_datagram(uint8_t *at, uint16_t source_port, uint16_t port, const char *text)
{
	unsigned length = UDP_HEADER + (unsigned)strlen(text);
	store16(at, source_port);
	store16(at + 2, port);
	store16(at + 4, (uint16_t)length);
	memcpy(at + UDP_HEADER, text, strlen(text));
	return length;
}

struct packet packet_udp4(uint32_t source, uint32_t destination, uint16_t source_port, uint16_t port, const char *text)
{
	uint8_t datagram[FRAME_MAX];
	unsigned length = make_datagram(datagram, source_port, port, text);
	return packet_sum4(source, destination, IP_PROTOCOL_UDP, datagram, length, 6);
}

struct packet packet_udp6(const struct rb_ip *source, const struct rb_ip *destination, uint16_t source_port,
			  uint16_t port, const char *text)
{
	uint8_t datagram[FRAME_MAX];
	unsigned length = make_datagram(datagram, source_port, port, text);
	return packet_sum6(source, destination, IP_PROTOCOL_UDP, datagram, length, 6);
}

struct packet packet_arp(unsigned op, const uint8_t sha[6], uint32_t spa, uint32_t tpa)
{
	struct packet packet = packet_ethernet(ethernet_broadcast, sha, ETHERNET_TYPE_ARP);
	uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, (uint8_t)op};
	memcpy(arp + 8, sha, 6);
	store32(arp + 14, spa);
	store32(arp + 24, tpa);
	append(&packet, arp, sizeof(arp));
	return packet;
}

static struct packet discovery(const struct rb_ip *source, const struct rb_ip *destination, unsigned type,
			       unsigned flags, const struct rb_ip *target, unsigned option, const uint8_t *mac)
{
	uint8_t message[32] = {(uint8_t)type, 0, 0, 0, (uint8_t)flags};
	memcpy(message + 8, target->bytes, 16);
	message[24] = (uint8_t)option;
	message[25] = 1;
	if (mac != NULL)
		memcpy(message + 26, mac, 6);
	return packet_sum6(source, destination, IP_PROTOCOL_ICMP6, message, mac != NULL ? 32 : 24, 2);
}

struct packet packet_advertisement(const struct rb_ip *source, const struct rb_ip *destination,
				   const struct rb_ip *target, unsigned flags, const uint8_t *mac)
{
	return discovery(source, destination, 136, flags, target, 2, mac);
}

struct packet packet_solicitation(const struct rb_ip *source, const struct rb_ip *destination,
				  const struct rb_ip *target, const uint8_t *mac)
{
	return discovery(source, destination, 135, 0, target, 1, mac);
}

bool sent_sums_are_good(const struct sent *sent)
{
	const uint8_t *ip = sent->bytes + ETHERNET_HEADER;
	if (load16(sent->bytes + 12) == ETHERNET_TYPE_IP6) {
		uint16_t length = load16(ip + 4);
		uint64_t pseudo = checksum_pseudo6(ip + 8, ip + 24, ip[6], length);
		return length + 54U == sent->length && sent->l3_length == 40 &&
		       checksum_finish(checksum_add(pseudo, ip + 40, length)) == 0;
	}
	uint16_t length = (uint16_t)(load16(ip + 2) - 20);
	uint64_t pseudo = ip[9] == IP_PROTOCOL_ICMP ? 0 : checksum_pseudo4(ip + 12, ip + 16, ip[9], length);
	return length + 34U == sent->length && sent->l3_length == 20 && checksum_finish(checksum_ip4_header(ip)) == 0 &&
	       checksum_finish(checksum_add(pseudo, ip + 20, length)) == 0;
}
