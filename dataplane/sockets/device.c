// SPDX-License-Identifier: Apache-2.0
/*
 * The link layer under the library: one neighbour whose address is known from the beginning, the gateway to everything.
 * Only IP comes out: announcements and neighbour discovery have nobody to talk to.
 */
#include "sockets/defs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	TYPE_IP4 = 0x0800,
	TYPE_IP6 = 0x86dd,
	ICMP6 = 58,
	IP6_HEADER = 40,
	ND_FIRST = 133, /* RFC 4861 section 4: 133 .. 137 */
	ND_LAST = 137,
};

static const uint8_t own_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 0, 2};

static struct rb_ip other_of_two(struct rb_ip ip)
{
	ip.bytes[15] ^= 1;
	return ip;
}

void device_open(struct rbs *rbs)
{
	const struct rb_net_config *config = &rbs->config.net;
	const struct rb_ip gateway4 = rb_ip4(config->ip4_gateway);
	for (unsigned i = 0; i < DEVICE_HEADERS; i++)
		rbs->headers_free[rbs->headers_free_count++] = (uint8_t)i;
	rbs->net = rb_net_init(rbs->memory, config, &device_ops, rbs, rbs->now_ns);
	/* cannot fail: the table is empty */
	if (config->ip4 != 0)
		(void)rb_net_neighbour_set(rbs->net, &gateway4, gateway_mac);
	if (!rb_ip_is_any(&config->ip6[0]))
		(void)rb_net_neighbour_set(rbs->net, &config->ip6_gateway, gateway_mac);
}

void device_configure(struct rb_net_config *config)
{
	memcpy(config->mac, own_mac, sizeof(own_mac));
	config->ip4_prefix = 31;  /* RFC 3021 */
	config->ip6_prefix = 127; /* RFC 6164 */
	config->ip6_link_local = false;
	config->ip4_gateway = config->ip4 ^ (config->ip4 != 0);
	if (!rb_ip_is_any(&config->ip6[0]))
		config->ip6_gateway = other_of_two(config->ip6[0]);
}

int device_input(struct rbs *rbs, const uint8_t *packet, size_t length)
{
	const unsigned version = length > 0 ? packet[0] >> 4 : 0;
	if ((version != 4 && version != 6) || length > UINT16_MAX - DEVICE_ETHERNET)
		return -EINVAL;
	uint8_t *frame = malloc(DEVICE_ETHERNET + length);
	if (frame == NULL)
		return -ENOMEM;
	const unsigned type = version == 4 ? TYPE_IP4 : TYPE_IP6;
	memcpy(frame, own_mac, 6);
	memcpy(frame + 6, gateway_mac, 6);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
	memcpy(frame + DEVICE_ETHERNET, packet, length);
	const struct rb_net_packet in = {
		.data = frame,
		.buffer = (uint64_t)(uintptr_t)frame,
		.length = (uint16_t)(DEVICE_ETHERNET + length),
	};
	rb_net_input(rbs->net, &in, 1);
	return 0;
}

static void release(void *context, const uint64_t *buffers, unsigned count)
{
	(void)context;
	for (unsigned i = 0; i < count; i++)
		free((void *)(uintptr_t)buffers[i]);
}

static unsigned headers(void *context, struct rb_net_header *list, unsigned count)
{
	struct rbs *rbs = context;
	unsigned given = 0;
	for (; given < count && rbs->headers_free_count > 0; given++) {
		list[given].owner = rbs->headers_free[--rbs->headers_free_count];
		list[given].header = rbs->headers[list[given].owner];
	}
	return given;
}

/* ARP and neighbour discovery stay on the link. */
static bool leaves_link(const uint8_t *frame, size_t length)
{
	const unsigned type = (unsigned)frame[12] << 8 | frame[13];
	const uint8_t *ip = frame + DEVICE_ETHERNET;
	if (type == TYPE_IP4)
		return true;
	if (type != TYPE_IP6)
		return false;
	const bool icmp = length > DEVICE_ETHERNET + IP6_HEADER && ip[6] == ICMP6;
	return !icmp || ip[IP6_HEADER] < ND_FIRST || ip[IP6_HEADER] > ND_LAST;
}

static void output(void *context, const struct rb_net_frame *frames, unsigned count)
{
	struct rbs *rbs = context;
	uint8_t bytes[DEVICE_ETHERNET + 9000]; /* struct rb_net_config: the greatest MTU */
	for (unsigned i = 0; i < count; i++) {
		const struct rb_net_frame *frame = &frames[i];
		size_t length = frame->header_length;
		memcpy(bytes, frame->header, length);
		for (unsigned k = 0; k < frame->pieces_count; k++) {
			memcpy(bytes + length, frame->pieces[k].base, frame->pieces[k].length);
			length += frame->pieces[k].length;
		}
		rbs->headers_free[rbs->headers_free_count++] = (uint8_t)frame->owner;
		if (leaves_link(bytes, length))
			rbs->output(rbs->context, bytes + DEVICE_ETHERNET, length - DEVICE_ETHERNET);
	}
}

static uint64_t random_number(void *context)
{
	struct rbs *rbs = context;
	return rb_random_u64(&rbs->random);
}

const struct rb_net_ops device_ops = {
	.headers = headers,
	.output = output,
	.release = release,
	.random = random_number,
};
