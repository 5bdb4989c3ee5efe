// SPDX-License-Identifier: Apache-2.0
#include "net/input.h"

#include "net/arp.h"
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/icmp6.h"
#include "net/ip4.h"
#include "net/ip6.h"
#include "net/mechanism.h"
#include "net/route.h"
#include "net/tcp_segment.h"
#include "net/tcp_upcalls.h"
#include "net/udp.h"

#include <immintrin.h>

/* Packets ahead to fetch the headers of: what one packet costs is about what memory takes to answer. */
void input_release_flush(struct rb_net *net)
{
	struct released *released = &net->released;
	if (released->count > 0)
		net->ops->release(net->context, released->buffers, released->count);
	released->count = 0;
}

static bool deliver_tcp(struct rb_net *net, const struct ip_packet *ip)
{
	if (MECHANISM(tcp_group) && ip->group) /* RFC 9293 3.9.2.3, MUST-57 */
		return false;
	if (ip->length < TCP_HEADER) {
		net->counters.malformed++;
		return false;
	}
	if (!ip_packet_sum_is_good(ip)) {
		net->counters.bad_checksums++;
		return false;
	}
	return tcp_input(net, ip);
}

bool input_deliver(struct rb_net *net, const struct ip_packet *ip)
{
	if (ip->protocol == IP_PROTOCOL_TCP)
		return deliver_tcp(net, ip);
	if (ip->protocol == IP_PROTOCOL_UDP)
		return udp_input(net, ip);
	if (ip->protocol == IP_PROTOCOL_ICMP && !ip->is6)
		return icmp_input(net, ip);
	if (ip->protocol == IP_PROTOCOL_ICMP6 && ip->is6)
		return icmp6_input(net, ip);
	net->counters.no_protocol++;
	if (ip->is6) /* RFC 8200 section 4 */
		return MECHANISM(ip6_next_header) &&
		       icmp6_error(net, ip, ICMP6_PARAMETER_PROBLEM, ICMP6_PROBLEM_NEXT_HEADER, ip->next_field);
	return MECHANISM(icmp_protocol) &&
	       icmp_error(net, ip, ICMP_UNREACHABLE, ICMP_UNREACHABLE_PROTOCOL); /* RFC 1122 3.2.2.1 */
}

static bool input_any(struct rb_net *net, const struct rb_net_packet *packet)
{
	struct ethernet_frame frame;
	if (!ethernet_parse(net, packet, &frame))
		return false;
	switch (frame.type) {
	case ETHERNET_TYPE_IP4:
		return ip4_input(net, packet, frame.l3, frame.group);
	case ETHERNET_TYPE_IP6:
		return ip6_input(net, packet, frame.l3, frame.group);
	default:
		input_share(net, packet);
		arp_input(net, packet->data + frame.l3, packet->length - frame.l3, input_is_overheard(packet));
		return false;
	}
}

/*
 * The short way of what nearly all packets are: TCP over IPv4 to us, whole, checked by the device, of the shape that
 * segments of an established connection have.
 *
 * All that must be exactly so is compared in one go: the first 64 bytes as they lie in memory, of which a mask leaves
 * what matters. What it does not take, the long way judges.
 */

/* A frame with timestamps and nothing else that is optional. */
enum { SHAPE_TCP = ETHERNET_HEADER + IP4_HEADER, SHAPE_HEADERS = SHAPE_TCP + TCP_HEADER + TCP_TIMESTAMPS };

static void shape_set(struct shape *shape, unsigned at, uint8_t mask, uint8_t byte)
{
	shape->mask[at] = mask;
	shape->want[at] = byte;
}

static void shape_set_all(struct shape *shape, unsigned at, const void *bytes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		shape_set(shape, at + i, 0xff, ((const uint8_t *)bytes)[i]);
}

void input_shape(struct rb_net *net)
{
	enum { ACK = 16, PSH = 8, FIN = 1 };
	static const uint8_t type_version[] = {ETHERNET_TYPE_IP4 >> 8, ETHERNET_TYPE_IP4 & 0xff, 0x45};
	static const uint8_t timestamps[] = {1, 1, 8, 10}; /* RFC 7323, appendix A */
	struct shape *shape = &net->shape;
	uint8_t address[4];

	store32(address, net->addresses.ip4);
	*shape = (struct shape){0};
	shape_set_all(shape, 0, net->config.mac, sizeof(net->config.mac));
	shape_set_all(shape, 12, type_version, sizeof(type_version));
	shape_set(shape, 15, 1, 0);    /* CE (RFC 3168 5) and ECT(1) have this bit */
	shape_set(shape, 20, 0x3f, 0); /* more fragments, and the offset */
	shape_set(shape, 21, 0xff, 0);
	shape_set(shape, 23, 0xff, IP_PROTOCOL_TCP);
	shape_set_all(shape, 30, address, sizeof(address));
	shape_set(shape, SHAPE_TCP + 12, 0xff, (TCP_HEADER + TCP_TIMESTAMPS) / 4 << 4);
	shape_set(shape, SHAPE_TCP + 13, (uint8_t)~(PSH | FIN), ACK);
	shape_set_all(shape, SHAPE_TCP + TCP_HEADER, timestamps, sizeof(timestamps));
}

static inline bool has_shape(const struct shape *shape, const uint8_t *frame)
{
	const __m256i *want = (const __m256i *)shape->want, *mask = (const __m256i *)shape->mask;
	const __m256i first = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)frame), want[0]);
	const __m256i second = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(frame + 32)), want[1]);
	const __m256i differ = _mm256_or_si256(_mm256_and_si256(first, mask[0]), _mm256_and_si256(second, mask[1]));
	return _mm256_testz_si256(differ, differ);
}

static inline __attribute__((always_inline)) enum input_taken take_short(struct rb_net *net,
									 const struct rb_net_packet *packet)
{
	enum { GOOD = RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD };
	const uint8_t *frame = packet->data;
	uint32_t room = packet->length - (SHAPE_HEADERS + 0U); /* what a payload may have */
	if (room > UINT16_MAX || (~packet->checksum & GOOD) != 0 || !has_shape(&net->shape, frame))
		return INPUT_LEFT;
	uint32_t payload = load16(frame + ETHERNET_HEADER + 2) - (IP4_HEADER + TCP_HEADER + TCP_TIMESTAMPS + 0U);
	return payload <= room ? tcp_input_short(net, packet, SHAPE_TCP, payload) : INPUT_LEFT;
}

/* As far as IP goes: TCP of any shape to us, from anybody. */
static inline bool is_plain(const struct shape *shape, const uint8_t *frame)
{
	const __m256i first = _mm256_loadu_si256((const __m256i *)frame);
	const __m256i differ = _mm256_xor_si256(first, *(const __m256i *)shape->want);
	uint16_t last, want; /* of the destination address */
	memcpy(&last, frame + 32, sizeof(last));
	memcpy(&want, shape->want + 32, sizeof(want));
	return _mm256_testz_si256(differ, *(const __m256i *)shape->mask) && last == want;
}

/* What has another shape, as a SYN or a FIN, or was not taken for another reason: IP's part is as good as done. */
static __attribute__((noinline)) bool take_any(struct rb_net *net, const struct rb_net_packet *packet)
{
	enum { GOOD = RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD, SHORTEST = SHAPE_TCP + TCP_HEADER };
	const uint8_t *frame = packet->data;
	if (packet->length >= SHORTEST && (~packet->checksum & GOOD) == 0 && is_plain(&net->shape, frame)) {
		uint32_t total = load16(frame + ETHERNET_HEADER + 2);
		if (total >= IP4_HEADER + TCP_HEADER && total <= packet->length - ETHERNET_HEADER + 0U) {
			enum input_taken taken = tcp_input_plain(net, packet, frame + SHAPE_TCP, total - IP4_HEADER);
			if (taken != INPUT_LEFT)
				return taken == INPUT_KEPT;
		}
	}
	return input_any(net, packet);
}

void rb_net_input(struct rb_net *net, const struct rb_net_packet *packets, unsigned count)
{
	const struct rb_net_packet *end = packets + count;
	net->counters.packets_in += count;
	tcp_input_begin(net);
	for (const struct rb_net_packet *packet = packets; packet < end; packet++) {
		enum input_taken taken = take_short(net, packet);
		if (taken == INPUT_KEPT || (taken == INPUT_LEFT && take_any(net, packet)))
			continue;
		input_release(net, packet->buffer);
	}
	if (net->released.count > 0)
		input_release_flush(net);
}
