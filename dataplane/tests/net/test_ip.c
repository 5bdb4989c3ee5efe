// SPDX-License-Identifier: Apache-2.0
/* IPv4 and IPv6 headers, addresses and routes. */
#include "net/ip4.h"
#include "net/ip6.h"

#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/nd.h"
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tcp_header.h"
#include "tests/net/below.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct rb_ip unspecified;
static const uint8_t tcp[24] = {0x12, 0x34,	   0,	 80,	     0xff, 0xff, 0xff,
				0xfe, [12] = 0x50, 0x10, [20] = 'd', 'a',  't',	 'a'};

static struct packet tcp4(void)
{
	return packet_sum4(PEER4, OWN4, IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
}

static struct packet tcp6(void)
{
	return packet_sum6(&peer6, &own6, IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
}

/* Makes the checksum of the IPv4 header right again. */
static void resum(struct packet *packet)
{
	uint8_t *ip = packet->bytes + 14;
	memset(ip + 10, 0, 2);
	uint16_t sum = checksum_finish(checksum_add(0, ip, (size_t)(ip[0] & 15) * 4));
	memcpy(ip + 10, &sum, 2);
}

/* The long way, which checks, and the short one, of what the device has checked, tell TCP the same. */
static void test_both_ways_to_tcp(void **state)
{
	struct below *below = *state;
	struct packet packet = tcp4();
	packet.bytes[15] = 0x7f; /* traffic class with CE */
	packet.bytes[22] = 3;	 /* TTL */
	resum(&packet);
	memset(packet.bytes + packet.length, 0xaa, 6); /* padding of a short frame */
	packet.length += 6;
	struct ip_packet seen[2];
	for (unsigned i = 0; i < 2; i++) {
		unsigned checked = RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD;
		below_input(below, packet.bytes, packet.length, i == 0 ? 0 : checked);
		assert_int_equal(below->segments, i + 1);
		assert_memory_equal(below->segment_bytes + 20, "data", 4);
		seen[i] = below->segment;
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(seen[i].l3, 14);
		assert_int_equal(seen[i].l4, 34);
		assert_int_equal(seen[i].length, 24);
		assert_int_equal(seen[i].protocol, IP_PROTOCOL_TCP);
		assert_int_equal(seen[i].ecn, IP_ECN_CE);
		assert_int_equal(seen[i].ttl, 3);
		assert_false(seen[i].is6);
		assert_false(seen[i].group);
		assert_int_equal(seen[i].src4, PEER4);
		assert_int_equal(seen[i].dst4, OWN4);
		struct rb_ip source = ip_packet_source(&seen[i]), expected = rb_ip4(PEER4);
		assert_memory_equal(&source, &expected, sizeof(source));
	}
}

static void test_kept_buffers_are_not_released(void **state)
{
	struct below *below = *state;
	struct packet packet = tcp4();
	below->keep = true;
	for (unsigned i = 0; i < 2; i++) {
		below_input(below, packet.bytes, packet.length, i == 0 ? 0 : 3);
		assert_int_equal(below->buffers, 1);
		free((void *)(uintptr_t)below->segment.packet->data);
		below->buffers--;
	}
}

struct change {
	const char *name;
	unsigned at; /* a byte of the frame changed */
	uint8_t value;
	uint64_t counted; /* offset of the counter that counts it */
	bool resum;
};

#define COUNTER(name) offsetof(struct rb_net_counters, name)

static uint64_t counter(const struct below *below, uint64_t offset)
{
	uint64_t value;
	memcpy(&value, (const uint8_t *)&below->net->counters + offset, sizeof(value));
	return value;
}

static void test_ip4_packets_that_are_refused(void **state)
{
	static const struct change cases[] = {
		{"version 5", 14, 0x55, COUNTER(malformed), true},
		{"header of 16", 14, 0x44, COUNTER(malformed), false},
		{"header beyond the packet", 14, 0x4f, COUNTER(malformed), false},
		{"total less than header", 17, 19, COUNTER(malformed), true},
		{"total beyond the packet", 17, 45, COUNTER(malformed), true},
		{"less than a TCP header", 17, 39, COUNTER(malformed), true},
		{"checksum", 24, 0, COUNTER(bad_checksums), false},
		{"checksum of TCP", 50, 0xee, COUNTER(bad_checksums), true},
		{"more fragments", 20, 0x20, COUNTER(fragments), true},
		{"fragment offset", 21, 1, COUNTER(fragments), true},
		{"to another", 33, 9, COUNTER(not_ours), true},
		{"to a group that is not ours", 30, 225, COUNTER(not_ours), true},
		{"from a group", 26, 224, COUNTER(malformed), true},
		{"from 240/4", 26, 240, COUNTER(malformed), true},
		{"from network 0", 26, 0, COUNTER(malformed), true},
		{"from loopback", 26, 127, COUNTER(malformed), true},
		{"from the broadcast address", 29, 255, COUNTER(malformed), true},
		{"from the network's", 29, 0, COUNTER(malformed), true},
		{"from us", 29, 1, COUNTER(malformed), true},
		{"in a broadcast frame", 0, 0xff, COUNTER(not_ours), false},
	};
	struct below *below = *state;
	for (size_t i = 0; i < 2 * COUNT(cases); i++) {
		const struct change *c = &cases[i / 2];
		struct packet packet = tcp4();
		unsigned checked = i % 2 == 0 ? 0U : RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD;
		if (checked != 0 && c->counted == COUNTER(bad_checksums))
			continue; /* the device has said that it is good */
		packet.bytes[c->at] = c->value;
		if (c->at == 0)
			memset(packet.bytes, 0xff, 6);
		if (c->resum)
			resum(&packet);
		below->net->counters = (struct rb_net_counters){0};
		print_message("%s, %s\n", c->name, checked ? "checked" : "unchecked");
		below_input(below, packet.bytes, packet.length, checked);
		assert_int_equal(below->segments, 0);
		assert_int_equal(counter(below, c->counted), 1);
		assert_int_equal(below->sent_count, 0);
	}
}

static void test_ip4_that_is_taken(void **state)
{
	struct below *below = *state;
	struct packet packet = tcp4();
	/* options are skipped: three no-operations and an end of list */
	memmove(packet.bytes + 38, packet.bytes + 34, sizeof(tcp));
	memcpy(packet.bytes + 34, (uint8_t[]){1, 1, 1, 0}, 4);
	packet.bytes[14] = 0x46;
	packet.bytes[17] += 4;
	packet.length += 4;
	resum(&packet);
	below_put(below, &packet);
	assert_int_equal(below->segments, 1);
	assert_int_equal(below->segment.l4, 38);
	/* what the device took for bad is looked at again */
	packet = tcp4();
	below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_BAD);
	assert_int_equal(below->segments, 2);
	/* RFC 9293 3.9.2.3: TCP never talks to many */
	packet = packet_sum4(PEER4, 0x0a0000ff, IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
	below_put(below, &packet);
	packet = packet_sum4(PEER4, 0xe0000001, IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
	below_put(below, &packet);
	assert_int_equal(below->segments, 2);
	assert_int_equal(below->net->counters.not_ours, 0);
	/* with "don't fragment" or without */
	packet = tcp4();
	packet.bytes[20] = 0;
	resum(&packet);
	below_put(below, &packet);
	assert_int_equal(below->segments, 3);
}

static void test_ip6_to_tcp(void **state)
{
	struct below *below = *state;
	struct packet packet = tcp6();
	packet.bytes[15] = 0x20; /* ECT(0) */
	below_put(below, &packet);
	assert_int_equal(below->segments, 1);
	assert_true(below->segment.is6);
	assert_int_equal(below->segment.l4, 54);
	assert_int_equal(below->segment.length, 24);
	assert_int_equal(below->segment.ecn, IP_ECN_ECT0);
	assert_int_equal(below->segment.ttl, 255);
	struct rb_ip destination = ip_packet_destination(&below->segment);
	assert_memory_equal(&destination, &own6, sizeof(destination));
	packet = packet_sum6(&peer_local6, &own_local6, IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
	below_put(below, &packet);
	assert_int_equal(below->segments, 2);
}

static void test_ip6_packets_that_are_refused(void **state)
{
	static const struct change cases[] = {
		{"version 4", 14, 0x45, COUNTER(malformed), false},
		{"payload beyond the packet", 19, 25, COUNTER(malformed), false},
		{"less than a TCP header", 19, 19, COUNTER(malformed), false},
		{"checksum of TCP", 70, 0xee, COUNTER(bad_checksums), false},
		{"to another", 53, 9, COUNTER(not_ours), false},
		{"to a group that is not ours", 38, 0xff, COUNTER(not_ours), false},
		{"from a group", 22, 0xff, COUNTER(malformed), false},
		{"from us", 37, 1, COUNTER(malformed), false},
		{"in a broadcast frame", 0, 0xff, COUNTER(not_ours), false},
	};
	struct below *below = *state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct packet packet = tcp6();
		packet.bytes[cases[i].at] = cases[i].value;
		if (cases[i].at == 0)
			memset(packet.bytes, 0xff, 6);
		below->net->counters = (struct rb_net_counters){0};
		print_message("%s\n", cases[i].name);
		below_put(below, &packet);
		assert_int_equal(below->segments, 0);
		assert_int_equal(counter(below, cases[i].counted), 1);
		assert_int_equal(below->sent_count, 0);
	}
	/* addresses that no packet on a wire has */
	const struct rb_ip loopback = {.bytes = {[15] = 1}}, mapped = rb_ip4(PEER4), own_mapped = rb_ip4(OWN4);
	const struct rb_ip *sources[] = {&loopback, &mapped, &unspecified};
	for (size_t i = 0; i < COUNT(sources); i++) {
		struct packet packet = packet_sum6(sources[i], &own6, IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
		below_put(below, &packet);
	}
	struct packet packet = packet_sum6(&peer6, &own_mapped, IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
	below_put(below, &packet);
	assert_int_equal(below->segments, 0);
}

/* Extension headers in front of a segment, and what becomes of it. */
static void test_ip6_extension_headers(void **state)
{
	static const struct {
		const char *name;
		uint8_t first;	       /* next header of the IPv6 header */
		uint8_t extension[24]; /* next headers included */
		unsigned length;
		bool delivered;
		unsigned problem; /* code of the parameter problem + 1; 0: none */
		unsigned pointer;
		uint64_t counted; /* 0: nothing, as no counter lies there */
	} cases[] = {
		{"padding", 0, {6, 0, 1, 4}, 8, true, 0, 0, 0},
		{"Pad1 and PadN", 60, {6, 0, 0, 0, 1, 2, 9, 9}, 8, true, 0, 0, 0},
		{"hop-by-hop, destination, routing",
		 0,
		 {60, 0, 1, 4, [8] = 43, 0, 1, 4, [16] = 6, 0, 9, 0},
		 24,
		 true,
		 0,
		 0,
		 0},
		{"hop-by-hop after another", 60, {0, 0, 1, 4, [8] = 6, 0, 1, 4}, 16, false, 2, 40, 0},
		{"unknown option to skip", 60, {6, 0, 0x1e, 4}, 8, true, 0, 0, 0},
		{"unknown option to drop", 60, {6, 0, 0x5e, 4}, 8, false, 0, 0, 0},
		{"unknown option to report", 60, {6, 0, 0, 0x9e, 3}, 8, false, 3, 43, 0},
		{"unknown option to report if not many", 60, {6, 0, 0xde, 4}, 8, false, 3, 42, 0},
		{"option beyond its header", 60, {6, 0, 1, 5}, 8, false, 0, 0, COUNTER(malformed)},
		{"option without length", 60, {6, 0, 1, 3, 0, 0, 0, 1}, 8, false, 0, 0, COUNTER(malformed)},
		{"header beyond the packet", 60, {6, 9, 1, 4}, 8, false, 0, 0, COUNTER(malformed)},
		{"header cut", 60, {6, 0, 1, 4}, 4, false, 0, 0, COUNTER(malformed)},
		{"routing header not used up", 43, {6, 0, 0, 1}, 8, false, 1, 42, 0},
		{"whole fragment (RFC 6946)", 44, {6, 0, 0, 0, 1, 2, 3, 4}, 8, true, 0, 0, 0},
		{"first fragment", 44, {6, 0, 0, 1}, 8, false, 0, 0, COUNTER(fragments)},
		{"later fragment", 44, {6, 0, 0, 8}, 8, false, 0, 0, COUNTER(fragments)},
		{"no next header", 60, {59, 0, 1, 4}, 8, false, 0, 0, 0},
		{"unknown header", 60, {200, 0, 1, 4}, 8, false, 2, 40, COUNTER(no_protocol)},
		{"unknown header at once", 200, {0}, 0, false, 2, 6, COUNTER(no_protocol)},
		{"ICMP for IPv4", 1, {0}, 0, false, 2, 6, COUNTER(no_protocol)},
	};
	struct below *below = *state;
	rb_net_neighbour_set(below->net, &peer6, peer_mac);
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t payload[64];
		unsigned length = cases[i].length;
		struct packet whole = tcp6();
		memcpy(payload, cases[i].extension, length);
		/* the one that is cut has nothing behind it */
		memcpy(payload + length, whole.bytes + 54, sizeof(tcp));
		unsigned all = length == 4 ? 4 : length + (unsigned)sizeof(tcp);
		struct packet packet = packet_ip6(&peer6, &own6, cases[i].first, payload, all);
		below->net->counters = (struct rb_net_counters){0};
		below->segments = 0;
		below_clear(below);
		print_message("%s\n", cases[i].name);
		below_put(below, &packet);
		assert_int_equal(below->segments, cases[i].delivered);
		if (cases[i].counted != 0)
			assert_int_equal(counter(below, cases[i].counted), 1);
		assert_int_equal(below->sent_count, cases[i].problem != 0);
		if (cases[i].problem != 0) {
			assert_true(sent_sums_are_good(&below->sent[0]));
			assert_int_equal(below->sent[0].bytes[54], 4);
			assert_int_equal(below->sent[0].bytes[55], cases[i].problem - 1);
			assert_int_equal(load32(below->sent[0].bytes + 58), cases[i].pointer);
			assert_memory_equal(below->sent[0].bytes + 62, packet.bytes + 14, packet.length - 14);
		}
	}
}

static void test_ip6_to_groups(void **state)
{
	struct below *below = *state;
	struct rb_ip node = nd_solicited_node(&own6), other = nd_solicited_node(&peer6);
	const struct rb_ip all = {.bytes = {0xff, 0x02, [15] = 1}}, all_here = {.bytes = {0xff, 0x01, [15] = 1}};
	const struct rb_ip *groups[] = {&node, &all, &all_here};
	static const uint8_t report[] = {6, 0, 0x9e, 4, 0, 0, 0, 0}, report_few[] = {6, 0, 0xde, 4, 0, 0, 0, 0};
	rb_net_neighbour_set(below->net, &peer6, peer_mac);
	for (size_t i = 0; i < COUNT(groups); i++) {
		struct packet packet = packet_sum6(&peer6, groups[i], IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
		below_put(below, &packet);
		assert_int_equal(below->net->counters.not_ours, 0);
	}
	assert_int_equal(below->segments, 0);
	struct packet packet = packet_sum6(&peer6, &other, IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
	below_put(below, &packet);
	assert_int_equal(below->net->counters.not_ours, 1);
	/* RFC 8200 4.2: action 10 is reported even to groups, action 11 not */
	packet = packet_ip6(&peer6, &all, 60, report_few, sizeof(report_few));
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 0);
	packet = packet_ip6(&peer6, &all, 60, report, sizeof(report));
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1);
	assert_memory_equal(below->sent[0].bytes + 22, own6.bytes, 16);
	/* an unknown header for many is nobody's affair */
	packet = packet_ip6(&peer6, &all, 200, report, sizeof(report));
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1);
}

static void test_too_many_extension_headers(void **state)
{
	struct below *below = *state;
	uint8_t payload[72 + sizeof(tcp)] = {0}; /* nine headers of 8 bytes */
	for (size_t i = 0; i < 9; i++)
		memcpy(payload + 8 * i, (uint8_t[]){i == 8 ? 6 : 60, 0, 1, 4}, 4);
	struct packet segment = tcp6();
	memcpy(payload + 72, segment.bytes + 54, sizeof(tcp));
	struct packet packet = packet_ip6(&peer6, &own6, 60, payload, sizeof(payload));
	below_put(below, &packet);
	assert_int_equal(below->net->counters.malformed, 1);
	packet = packet_ip6(&peer6, &own6, 60, payload + 8, sizeof(payload) - 8);
	below_put(below, &packet);
	assert_int_equal(below->segments, 1);
}

static void test_the_header_written(void **state)
{
	static const uint8_t expected[] = {0x45, 0x02, 0x05, 0xdc, 0, 0,   0x40, 0,    64,   6,
					   0,	 0,    0xc0, 0xa8, 1, 254, 0xff, 0xff, 0xff, 0xfe};
	uint8_t header[IP4_HEADER];
	(void)state;
	ip4_write(header, 0xc0a801fe, 0xfffffffe, 6, IP_ECN_ECT0, 1500);
	for (unsigned i = 0; i < IP4_HEADER; i++) {
		if (i != 10 && i != 11)
			assert_int_equal(header[i], expected[i]);
	}
	/* whatever the addresses, the checksum is right */
	uint64_t mix = 1;
	for (unsigned i = 0; i < 1000; i++) {
		mix = mix * 6364136223846793005U + 1442695040888963407U;
		ip4_write(header, (uint32_t)mix, (uint32_t)(mix >> 32), (uint8_t)(mix >> 7), mix & 3,
			  (uint16_t)(mix >> 9));
		assert_int_equal(checksum_finish(checksum_ip4_header(header)), 0);
	}
	uint8_t six[IP6_HEADER];
	ip6_write(six, &own6, &peer6, 17, IP_ECN_CE, 0xfabcde, 9, 0x1234);
	assert_memory_equal(six, ((uint8_t[]){0x60, 0x3a, 0xbc, 0xde, 0x12, 0x34, 17, 9}), 8);
	assert_memory_equal(six + 8, &own6, 16);
	assert_memory_equal(six + 24, &peer6, 16);
}

/* A segment's are written together: IP's checksum is left out, TCP's field has the sum of the pseudo-header. */
static void test_the_tcp_headers_written(void **state)
{
	uint8_t out[IP4_HEADER + TCP_HEADER];
	uint64_t mix = 1;
	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		mix = mix * 6364136223846793005U + 1442695040888963407U;
		const uint64_t addresses = mix * 3;
		const uint32_t ports = (uint32_t)(mix >> 3);
		const unsigned header = TCP_HEADER + 4 * (unsigned)(mix >> 61);
		const struct tcp_header_fields fields = {
			.seq = (uint32_t)(mix >> 5),
			.ack = (uint32_t)(mix >> 9),
			.payload = (uint32_t)(mix >> 40) & 0x3fff,
			.window = (uint16_t)(mix >> 11),
			.flags = (uint8_t)(mix >> 33),
			.ecn = mix & 3,
		};
		tcp_header_write4(out, addresses, ports, header, &fields);
		const uint8_t *segment = out + IP4_HEADER;
		const uint32_t length = header + fields.payload;
		assert_int_equal(out[0], 0x45);
		assert_int_equal(out[1], fields.ecn);
		assert_int_equal(load16(out + 2), IP4_HEADER + length);
		assert_int_equal(load32(out + 4), 0x4000);				 /* DF */
		assert_int_equal(load32(out + 8), IP_TTL << 24 | IP_PROTOCOL_TCP << 16); /* and no checksum */
		assert_memory_equal(out + 12, (const uint8_t *)&addresses + 4, 4);
		assert_memory_equal(out + 16, &addresses, 4);
		assert_memory_equal(segment, (const uint8_t *)&ports + 2, 2);
		assert_memory_equal(segment + 2, &ports, 2);
		assert_int_equal(load32(segment + 4), fields.seq);
		assert_int_equal(load32(segment + 8), fields.ack);
		assert_int_equal(load16(segment + 12), header / 4 << 12 | fields.flags);
		assert_int_equal(load16(segment + 14), fields.window);
		const uint16_t sum =
			checksum_unfinished(checksum_pseudo4(out + 12, out + 16, IP_PROTOCOL_TCP, (uint16_t)length));
		assert_memory_equal(segment + 16, &sum, sizeof(sum));
		assert_int_equal(load16(segment + 18), 0);
	}
}

/*
 * Addresses and routes.
 */

#define IP4(a, b, c, d)                                    \
	{                                                  \
		.bytes = { [10] = 0xff, 0xff, a, b, c, d } \
	}
#define LOCAL_PEER {.bytes = {0xfe, 0x80, [15] = 2}}
#define SITE6(subnet, host)                                                       \
	{                                                                         \
		.bytes = { 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, subnet, [15] = host } \
	}

static void test_routes(void **state)
{
	static const struct rb_ip any4 = IP4(0, 0, 0, 0), own4 = IP4(10, 0, 0, 1), local = SITE6(0, 1);
	static const struct rb_ip local_far = {.bytes = {0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 1}};
	static const struct {
		const char *name;
		struct rb_ip remote;
		const struct rb_ip *local;
		int status;
		struct rb_ip hop, source;
	} cases[] = {
		{"on the link", IP4(10, 0, 0, 2), NULL, 0, IP4(10, 0, 0, 2), IP4(10, 0, 0, 1)},
		{"any of ours", IP4(10, 0, 0, 2), &any4, 0, IP4(10, 0, 0, 2), IP4(10, 0, 0, 1)},
		{"any at all", IP4(10, 0, 0, 2), &unspecified, 0, IP4(10, 0, 0, 2), IP4(10, 0, 0, 1)},
		{"beyond", IP4(198, 51, 100, 1), &own4, 0, IP4(10, 0, 0, 254), IP4(10, 0, 0, 1)},
		{"group", IP4(239, 1, 1, 1), NULL, 0, IP4(239, 1, 1, 1), IP4(10, 0, 0, 1)},
		{"broadcast", IP4(255, 255, 255, 255), NULL, 0, IP4(255, 255, 255, 255), IP4(10, 0, 0, 1)},
		{"ourselves", IP4(10, 0, 0, 1), NULL, -ENETUNREACH, {{{0}}}, {{{0}}}},
		{"loopback", IP4(127, 0, 0, 1), NULL, -ENETUNREACH, {{{0}}}, {{{0}}}},
		{"nobody", IP4(0, 0, 0, 0), NULL, -ENETUNREACH, {{{0}}}, {{{0}}}},
		{"from another", IP4(10, 0, 0, 2), &peer_local6, -EADDRNOTAVAIL, {{{0}}}, {{{0}}}},
		{"on the link, 6", SITE6(0, 2), NULL, 0, SITE6(0, 2), SITE6(0, 1)},
		{"on the second prefix, 6", SITE6(7, 2), NULL, 0, SITE6(7, 2), SITE6(7, 9)},
		{"beyond, 6", SITE6(9, 9), &local, 0, {.bytes = {0xfe, 0x80, [15] = 0xff}}, SITE6(0, 1)},
		{"beyond, nearest prefix, 6", SITE6(6, 9), NULL, 0, {.bytes = {0xfe, 0x80, [15] = 0xff}}, SITE6(7, 9)},
		{"link-local", LOCAL_PEER, NULL, 0, LOCAL_PEER, {.bytes = {0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 1}}},
		{"all nodes",
		 {.bytes = {0xff, 2, [15] = 1}},
		 NULL,
		 0,
		 {.bytes = {0xff, 2, [15] = 1}},
		 {.bytes = {0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 1}}},
		{"global group",
		 {.bytes = {0xff, 0xe, [15] = 1}},
		 NULL,
		 0,
		 {.bytes = {0xff, 0xe, [15] = 1}},
		 SITE6(0, 1)},
		{"loopback, 6", {.bytes = {[15] = 1}}, NULL, -ENETUNREACH, {{{0}}}, {{{0}}}},
		{"of too small a scope", SITE6(9, 9), &local_far, -EADDRNOTAVAIL, {{{0}}}, {{{0}}}},
		{"of the other family", SITE6(0, 2), &own4, -EADDRNOTAVAIL, {{{0}}}, {{{0}}}},
		{"not ours", SITE6(0, 2), &peer_local6, -EADDRNOTAVAIL, {{{0}}}, {{{0}}}},
	};
	struct below below = {0};
	struct rb_net_config config = below_config;
	(void)state;
	config.ip6[2] = (struct rb_ip)SITE6(7, 9);
	below_open(&below, &config);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct route route;
		print_message("%s\n", cases[i].name);
		assert_int_equal(route_find(below.net, &cases[i].remote, cases[i].local, &route), cases[i].status);
		if (cases[i].status != 0)
			continue;
		struct neighbour *entry = &below.net->neighbours.entries[route.neighbour];
		assert_memory_equal(&entry->ip, &cases[i].hop, sizeof(entry->ip));
		assert_memory_equal(&route.local, &cases[i].source, sizeof(route.local));
		assert_int_equal(route.mtu, 1500);
		assert_int_equal(route.is4, ip_is4(&cases[i].remote));
		assert_int_equal(entry->holds, 1);
		neighbour_release(below.net, route.neighbour);
	}
	below_close(&below);
}

static void test_a_host_without_gateways(void **state)
{
	const struct rb_ip far4 = rb_ip4(FAR4), near4 = rb_ip4(0x0a000000);
	struct below below = {0};
	struct rb_net_config config = below_config;
	struct route route;
	(void)state;
	config.ip4_gateway = 0;
	config.ip4_prefix = 31; /* RFC 3021: the two addresses are two hosts */
	config.ip6_gateway = unspecified;
	config.ip6[0] = unspecified;
	config.ip6_link_local = true;
	below_open(&below, &config);
	assert_int_equal(route_find(below.net, &far4, NULL, &route), -ENETUNREACH);
	assert_int_equal(route_find(below.net, &far6, NULL, &route), -ENETUNREACH);
	assert_int_equal(route_find(below.net, &near4, NULL, &route), 0);
	assert_true(address_is_unicast(below.net, &near4));
	/* only a link-local address, which does not reach beyond */
	below.net->config.ip6_gateway = peer_local6;
	assert_int_equal(route_find(below.net, &far6, NULL, &route), -EADDRNOTAVAIL);
	/* none at all */
	below.net->addresses.ip6_count = 0;
	below.net->addresses.ip4 = 0;
	assert_int_equal(route_find(below.net, &peer_local6, NULL, &route), -ENETUNREACH);
	assert_int_equal(route_find(below.net, &near4, NULL, &route), -ENETUNREACH);
	assert_false(address_is_ours(below.net, &unspecified));
	below_close(&below);
}

static void test_a_full_table(void **state)
{
	struct below *below = *state;
	struct route route;
	for (uint32_t i = 0; i < 4; i++) {
		const struct rb_ip ip = rb_ip4(0x0a000010 + i);
		assert_int_equal(route_find(below->net, &ip, NULL, &route), 0);
	}
	assert_int_equal(route_find(below->net, &peer6, NULL, &route), -ENOBUFS);
}

static void test_addresses(void **state)
{
	static const struct {
		struct rb_ip ip;
		bool ours, unicast, on_link;
	} cases[] = {
		{IP4(10, 0, 0, 1), true, true, true},
		{IP4(10, 0, 0, 2), false, true, true},
		{IP4(10, 0, 0, 255), false, false, true},
		{IP4(10, 0, 0, 0), false, false, true},
		{IP4(10, 0, 1, 255), false, true, false},
		{IP4(127, 0, 0, 1), false, false, false},
		{IP4(0, 0, 0, 0), false, false, false},
		{IP4(223, 255, 255, 255), false, true, false},
		{IP4(224, 0, 0, 1), false, false, true},
		{IP4(255, 255, 255, 255), false, false, true},
		{SITE6(0, 1), true, true, true},
		{SITE6(9, 1), false, true, false},
		{LOCAL_PEER, false, true, true},
		{{.bytes = {[15] = 1}}, false, false, false},
		{{.bytes = {0xff, 2}}, false, false, true},
		{{.bytes = {0}}, false, false, false},
	};
	struct below *below = *state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		print_message("%zu\n", i);
		assert_int_equal(address_is_ours(below->net, &cases[i].ip), cases[i].ours);
		assert_int_equal(address_is_unicast(below->net, &cases[i].ip), cases[i].unicast);
		assert_int_equal(address_is_on_link(below->net, &cases[i].ip), cases[i].on_link);
	}
	struct rb_ip four = rb_ip4(0x7f000001);
	assert_true(rb_ip_is_4(&four));
	assert_false(rb_ip_is_any(&four));
	assert_false(rb_ip_is_4(&own6));
	four = rb_ip4(0);
	assert_true(rb_ip_is_any(&four));
	assert_true(rb_ip_is_any(&unspecified));
	assert_true(address_is_ours(below->net, &own_local6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_ways_to_tcp, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_kept_buffers_are_not_released, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_ip4_packets_that_are_refused, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_ip4_that_is_taken, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_ip6_to_tcp, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_ip6_packets_that_are_refused, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_ip6_extension_headers, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_ip6_to_groups, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_too_many_extension_headers, below_setup, below_teardown),
		cmocka_unit_test(test_the_header_written),
		cmocka_unit_test(test_the_tcp_headers_written),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_a_host_without_gateways),
		cmocka_unit_test_setup_teardown(test_a_full_table, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_addresses, below_setup, below_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
