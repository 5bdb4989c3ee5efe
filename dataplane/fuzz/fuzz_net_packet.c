// SPDX-License-Identifier: Apache-2.0
/*
 * Everything below TCP that reads a packet: Ethernet, ARP, IPv4, IPv6, ICMP, neighbour discovery, UDP. The input is a
 * series of packets, each behind two bytes: a flag and how many more bytes it has, in units of eight. Bit 0 of the flag
 * says that the device has found the checksums good, so that the fuzzer need not compute them; bits 1 and up are
 * seconds that pass before the packet. Promises: each received buffer goes back once, each header too, no frame is
 * longer than the MTU permits, and the payload of a datagram is within its packet.
 */
#include "fuzz/target.h"

#include "net/udp.h"
#include "tests/net/below.h"

enum { UNIT = 8 };

static void take_events(struct below *below)
{
	struct rb_net_event event;
	struct rb_endpoint source;
	volatile uint8_t sum = 0;
	while (udp_event(below->net, &event)) {
		for (uint32_t i = 0; i < event.length; i++)
			sum = (uint8_t)(sum + event.data[i]);
		RB_ASSERT_EQ(rb_net_datagram_source(&event, &source), 0);
		rb_net_datagram_done(below->net, &event);
	}
}

static void check_frames(struct below *below)
{
	for (unsigned i = 0; i < below->sent_count; i++)
		RB_ASSERT_LE(below->sent[i].length, 14U + below->net->config.mtu);
	below_clear(below);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct below below;
	static const struct rb_endpoint local = {.port = 7};
	rb_net_handle handle;
	below = (struct below){0};
	below_open(&below, &below_config);
	RB_ASSERT_EQ(rb_net_udp_bind(below.net, &local, 0, &handle), 0);
	below_send(&below, rb_ip4(PEER4), "waits");
	below_send(&below, peer6, "waits");
	while (size >= 2) {
		size_t length = (size_t)data[1] * UNIT;
		uint8_t flag = data[0];
		data += 2;
		size -= 2;
		if (length > size)
			length = size;
		below_advance(&below, (flag >> 1) * SECOND_NS);
		unsigned checked = RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD;
		below_input(&below, data, (unsigned)length, (flag & 1) != 0 ? checked : RB_NET_CHECKSUM_UNKNOWN);
		take_events(&below);
		check_frames(&below);
		data += length;
		size -= length;
	}
	below_close(&below);
	return 0;
}
