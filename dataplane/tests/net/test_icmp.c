// SPDX-License-Identifier: Apache-2.0
/* ICMP of both versions: echoes, errors sent and received, and their limit. */
#include "net/icmp.h"

#include "net/checksum.h"
#include "net/icmp6.h"
#include "net/ip4.h"
#include "net/ip6.h"
#include "tests/net/below.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct packet echo4(uint32_t destination, unsigned type, const uint8_t *data, unsigned length)
{
	uint8_t message[FRAME_MAX] = {(uint8_t)type, 0, 0, 0, 0x12, 0x34, 0, 7};
	memcpy(message + 8, data, length);
	return packet_sum4(PEER4, destination, IP_PROTOCOL_ICMP, message, 8 + length, 2);
}

static struct packet echo6(const struct rb_ip *destination, unsigned type, const uint8_t *data, unsigned length)
{
	uint8_t message[FRAME_MAX] = {(uint8_t)type, 0, 0, 0, 0x12, 0x34, 0, 7};
	memcpy(message + 8, data, length);
	return packet_sum6(&peer6, destination, IP_PROTOCOL_ICMP6, message, 8 + length, 2);
}

static int setup_with_neighbours(void **state)
{
	struct rb_ip peer4 = rb_ip4(PEER4);
	below_setup(state);
	struct below *below = *state;
	return rb_net_neighbour_set(below->net, &peer4, peer_mac) | rb_net_neighbour_set(below->net, &peer6, peer_mac);
}

static void test_echoes(void **state)
{
	static const unsigned lengths[] = {0, 1, 56, 57, 1400};
	struct below *below = *state;
	uint8_t data[1400];
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (unsigned i = 0; i < 2 * COUNT(lengths); i++) {
		unsigned length = lengths[i / 2], header = i % 2 == 0 ? 34 : 54;
		struct packet packet = i % 2 == 0 ? echo4(OWN4, 8, data, length) : echo6(&own6, 128, data, length);
		below_clear(below);
		below_put(below, &packet);
		assert_int_equal(below->sent_count, 1);
		const struct sent *sent = &below->sent[0];
		assert_true(sent_sums_are_good(sent));
		assert_int_equal(sent->length, packet.length);
		assert_int_equal(sent->bytes[header], i % 2 == 0 ? 0 : 129);
		assert_memory_equal(sent->bytes + header + 4, packet.bytes + header + 4, 4 + length);
		assert_memory_equal(sent->bytes, peer_mac, 6);
		assert_true(sent->transient);
		assert_int_equal(below->buffers, 0);
	}
	assert_int_equal(below->net->counters.icmp_echoes, 2 * COUNT(lengths));
}

/* The checksum of a reply is made from that of the request: what was wrong with the data stays wrong. */
static void test_an_echo_does_not_hide_an_error(void **state)
{
	struct below *below = *state;
	struct packet packet = echo4(OWN4, 8, (const uint8_t *)"data", 4);
	packet.bytes[42] ^= 1;
	below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_L4_GOOD);
	assert_int_equal(below->sent_count, 1);
	assert_false(sent_sums_are_good(&below->sent[0]));
}

static void test_messages_without_an_answer(void **state)
{
	static const uint8_t nothing[1500];
	const struct rb_ip all = {.bytes = {0xff, 2, [15] = 1}};
	struct below *below = *state;
	struct packet packets[] = {
		echo4(OWN4, 0, nothing, 4),	  /* a reply */
		echo4(OWN4, 13, nothing, 12),	  /* a timestamp, which RFC 6918 has done away with */
		echo4(0x0a0000ff, 8, nothing, 4), /* to many */
		echo4(OWN4, 4, nothing, 28),	  /* source quench (RFC 6633) */
		echo4(OWN4, 5, nothing, 28),	  /* redirect */
		echo4(OWN4, 8, nothing, 1473),	  /* longer than our MTU */
		echo6(&own6, 129, nothing, 4),	  /* a reply */
		echo6(&all, 128, nothing, 4),	  /* to many */
		echo6(&own6, 100, nothing, 4),	  /* an unknown error */
		echo6(&own6, 200, nothing, 4),	  /* an unknown message */
		echo6(&own6, 128, nothing, 1453), /* longer than our MTU */
	};
	for (size_t i = 0; i < COUNT(packets); i++) {
		below_put(below, &packets[i]);
		assert_int_equal(below->sent_count, 0);
		assert_int_equal(below->errors, 0);
	}
	assert_int_equal(below->net->counters.icmp_in, COUNT(packets));
	assert_int_equal(below->net->counters.malformed, 0);
	/* with another code */
	struct packet packet = echo4(OWN4, 8, nothing, 4);
	packet.bytes[35] = 1;
	below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_L4_GOOD);
	packet = echo6(&own6, 128, nothing, 4);
	packet.bytes[55] = 1;
	below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_L4_GOOD);
	assert_int_equal(below->sent_count, 0);
}

static void test_broken_messages(void **state)
{
	struct below *below = *state;
	uint8_t message[7] = {8};
	struct packet packet = packet_ip4(PEER4, OWN4, IP_PROTOCOL_ICMP, message, sizeof(message));
	below_put(below, &packet);
	packet = packet_ip6(&peer6, &own6, IP_PROTOCOL_ICMP6, message, sizeof(message));
	below_put(below, &packet);
	assert_int_equal(below->net->counters.malformed, 2);
	packet = echo4(OWN4, 8, message, 4);
	packet.bytes[40] ^= 1;
	below_put(below, &packet);
	packet = echo6(&own6, 128, message, 4);
	packet.bytes[60] ^= 1;
	below_put(below, &packet);
	assert_int_equal(below->net->counters.bad_checksums, 2);
	assert_int_equal(below->sent_count, 0);
}

/* An error that quotes a segment of ours. */
static struct packet error4(unsigned type, unsigned code, unsigned mtu, unsigned tcp_bytes)
{
	uint8_t message[8 + IP4_HEADER + 8] = {(uint8_t)type,	    (uint8_t)code, 0, 0, 0, 0,
					       (uint8_t)(mtu >> 8), (uint8_t)mtu};
	ip4_write(message + 8, OWN4, FAR4, IP_PROTOCOL_TCP, 0, 1500);
	memcpy(message + 28, (uint8_t[]){0x30, 0x39, 0, 80, 0xff, 0xff, 0xff, 0xfe}, 8);
	return packet_sum4(PEER4, OWN4, IP_PROTOCOL_ICMP, message, 28 + tcp_bytes, 2);
}

static struct packet error6(unsigned type, unsigned code, unsigned mtu, unsigned tcp_bytes)
{
	uint8_t message[8 + IP6_HEADER + 8] = {(uint8_t)type, (uint8_t)code};
	store32(message + 4, mtu);
	ip6_write(message + 8, &own6, &far6, IP_PROTOCOL_TCP, 0, 0, 64, 1400);
	memcpy(message + 48, (uint8_t[]){0x30, 0x39, 0, 80, 0xff, 0xff, 0xff, 0xfe}, 8);
	return packet_sum6(&peer6, &own6, IP_PROTOCOL_ICMP6, message, 48 + tcp_bytes, 2);
}

/* RFC 1122 4.2.3.9, RFC 5461 */
static void test_errors_for_tcp(void **state)
{
	static const struct {
		bool is6;
		uint8_t type, code;
		enum tcp_icmp_kind kind;
		int status;
	} cases[] = {
		{false, 3, 0, TCP_ICMP_SOFT, -ENETUNREACH},   {false, 3, 1, TCP_ICMP_SOFT, -EHOSTUNREACH},
		{false, 3, 2, TCP_ICMP_HARD, -ENOPROTOOPT},   {false, 3, 3, TCP_ICMP_HARD, -ECONNREFUSED},
		{false, 3, 4, TCP_ICMP_TOO_BIG, -EMSGSIZE},   {false, 3, 5, TCP_ICMP_SOFT, -EHOSTUNREACH},
		{false, 3, 6, TCP_ICMP_SOFT, -ENETUNREACH},   {false, 3, 11, TCP_ICMP_SOFT, -ENETUNREACH},
		{false, 11, 0, TCP_ICMP_SOFT, -EHOSTUNREACH}, {false, 12, 0, TCP_ICMP_SOFT, -EPROTO},
		{true, 1, 0, TCP_ICMP_SOFT, -ENETUNREACH},    {true, 1, 1, TCP_ICMP_HARD, -EACCES},
		{true, 1, 3, TCP_ICMP_SOFT, -EHOSTUNREACH},   {true, 1, 4, TCP_ICMP_HARD, -ECONNREFUSED},
		{true, 2, 0, TCP_ICMP_TOO_BIG, -EMSGSIZE},    {true, 3, 0, TCP_ICMP_SOFT, -EHOSTUNREACH},
		{true, 4, 0, TCP_ICMP_SOFT, -EPROTO},	      {true, 4, 1, TCP_ICMP_HARD, -EPROTO},
	};
	struct below *below = *state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct packet packet = cases[i].is6 ? error6(cases[i].type, cases[i].code, 1300, 8)
						    : error4(cases[i].type, cases[i].code, 1300, 8);
		const struct rb_ip far = cases[i].is6 ? far6 : rb_ip4(FAR4), own = cases[i].is6 ? own6 : rb_ip4(OWN4);
		below_put(below, &packet);
		assert_int_equal(below->errors, i + 1);
		assert_int_equal(below->error.kind, cases[i].kind);
		assert_int_equal(below->error.status, cases[i].status);
		assert_int_equal(below->error.mtu, cases[i].kind == TCP_ICMP_TOO_BIG ? 1300 : 0);
		assert_int_equal(below->error.local.port, 12345);
		assert_int_equal(below->error.remote.port, 80);
		assert_int_equal(below->error.sequence, 0xfffffffe);
		assert_memory_equal(&below->error.remote.ip, &far, sizeof(far));
		assert_memory_equal(&below->error.local.ip, &own, sizeof(own));
	}
}

static void test_errors_that_are_not_about_us(void **state)
{
	static const struct {
		const char *name;
		bool is6;
		unsigned at; /* a byte of the frame changed; 0: none */
		uint8_t value;
		unsigned tcp_bytes;
	} cases[] = {
		{"sequence number cut", false, 0, 0, 7},
		{"version", false, 42, 0x65, 8},
		{"header of 16", false, 42, 0x44, 8},
		{"header beyond the quote", false, 42, 0x48, 8},
		{"later fragment", false, 49, 1, 8},
		{"UDP", false, 51, 17, 8},
		{"from another host", false, 57, 9, 8},
		{"to a group", false, 58, 224, 8},
		{"sequence number cut, 6", true, 0, 0, 7},
		{"version, 6", true, 62, 0x45, 8},
		{"UDP, 6", true, 68, 17, 8},
		{"from another host, 6", true, 85, 9, 8},
		{"to a group, 6", true, 86, 0xff, 8},
	};
	struct below *below = *state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct packet packet =
			cases[i].is6 ? error6(1, 4, 0, cases[i].tcp_bytes) : error4(3, 3, 0, cases[i].tcp_bytes);
		if (cases[i].at != 0)
			packet.bytes[cases[i].at] = cases[i].value;
		print_message("%s\n", cases[i].name);
		below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_L4_GOOD);
		assert_int_equal(below->errors, 0);
	}
	/* IPv4 addresses in an IPv6 header, and a quote without a header */
	struct packet packet = error6(1, 4, 0, 8);
	const struct rb_ip mapped = rb_ip4(OWN4);
	memcpy(packet.bytes + 70, &mapped, sizeof(mapped));
	below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_L4_GOOD);
	uint8_t short_error[27] = {3, 3};
	packet = packet_ip4(PEER4, OWN4, IP_PROTOCOL_ICMP, short_error, sizeof(short_error));
	below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_L4_GOOD);
	assert_int_equal(below->errors, 0);
	assert_int_equal(below->net->counters.icmp_in, COUNT(cases) + 2);
}

/* RFC 1122 3.2.2, RFC 4443 3.1: the packet is quoted, up to a whole error of 576 or 1280 bytes. */
static void test_errors_we_send(void **state)
{
	struct below *below = *state;
	uint8_t payload[1400] = {1, 2, 3};
	struct packet packet = packet_ip4(PEER4, OWN4, 200, payload, 30);
	below_put(below, &packet);
	const struct sent *sent = &below->sent[0];
	assert_int_equal(below->sent_count, 1);
	assert_true(sent_sums_are_good(sent));
	assert_int_equal(sent->bytes[34], ICMP_UNREACHABLE);
	assert_int_equal(sent->bytes[35], ICMP_UNREACHABLE_PROTOCOL);
	assert_int_equal(sent->length, 42 + 50);
	assert_memory_equal(sent->bytes + 42, packet.bytes + 14, 50);
	packet = packet_ip4(PEER4, OWN4, 200, payload, sizeof(payload));
	below_put(below, &packet);
	assert_int_equal(below->sent[1].length, 14 + 576);
	packet = packet_ip6(&peer6, &own6, 200, payload, sizeof(payload));
	below_put(below, &packet);
	assert_int_equal(below->sent[2].length, 14 + 1280);
	assert_true(sent_sums_are_good(&below->sent[2]));
	packet = packet_udp4(PEER4, OWN4, 9, 7777, "nobody listens");
	below_put(below, &packet);
	assert_int_equal(below->sent[3].bytes[35], ICMP_UNREACHABLE_PORT);
	packet = packet_udp6(&peer6, &own6, 9, 7777, "nobody listens");
	below_put(below, &packet);
	assert_int_equal(below->sent[4].bytes[54], ICMP6_UNREACHABLE);
	assert_int_equal(below->sent[4].bytes[55], ICMP6_UNREACHABLE_PORT);
	assert_int_equal(below->net->counters.icmp_errors_out, 5);
	/* about what came to many: nothing */
	packet = packet_udp4(PEER4, UINT32_MAX, 9, 7777, "nobody listens");
	below_put(below, &packet);
	packet = packet_ip4(PEER4, 0x0a0000ff, 200, payload, 30);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 5);
	assert_int_equal(below->net->counters.no_protocol, 4);
	assert_int_equal(below->net->counters.udp_no_socket, 3);
}

static void test_errors_are_limited(void **state)
{
	struct below *below = *state;
	struct packet packet = packet_udp4(PEER4, OWN4, 9, 7777, "nobody listens");
	for (unsigned i = 0; i < ICMP_LIMIT_BURST + 3; i++)
		below_put(below, &packet);
	assert_int_equal(below->sent_count, ICMP_LIMIT_BURST);
	assert_int_equal(below->net->counters.icmp_limited, 3);
	below->net->now_ns += SECOND_NS / ICMP_LIMIT_RATE - 1;
	below_put(below, &packet);
	assert_int_equal(below->sent_count, ICMP_LIMIT_BURST);
	below->net->now_ns += 1;
	below_put(below, &packet);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, ICMP_LIMIT_BURST + 1);
	/* A long pause earns one burst, not more. */
	below->net->now_ns += 1000 * SECOND_NS;
	below_clear(below);
	for (unsigned i = 0; i < ICMP_LIMIT_BURST + 3; i++)
		below_put(below, &packet);
	assert_int_equal(below->sent_count, ICMP_LIMIT_BURST);
}

static void test_an_answer_that_cannot_be_sent(void **state)
{
	struct below *below = *state;
	struct packet packet = echo4(OWN4, 8, (const uint8_t *)"data", 4);
	below->headers_refused = 1;
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 0);
	assert_int_equal(below->net->counters.no_headers, 1);
	/* no way back */
	memcpy(packet.bytes + 26, (uint8_t[]){198, 51, 100, 1}, 4);
	below->net->addresses.ip4_gateway = 0;
	below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD);
	assert_int_equal(below->sent_count, 0);
	assert_int_equal(below->buffers, 0);
}

/* An echo to somebody whose address is not known waits as a copy; its buffer goes back. */
static void test_an_echo_that_waits(void **state)
{
	struct below *below = *state;
	struct packet packet = echo4(OWN4, 8, (const uint8_t *)"data", 4);
	below_put(below, &packet);
	assert_int_equal(below->buffers, 0);
	below_clear(below);
	packet = packet_arp(2, peer_mac, PEER4, OWN4);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1);
	assert_true(sent_sums_are_good(&below->sent[0]));
	assert_memory_equal(below->sent[0].bytes + 42, "data", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_echoes, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_an_echo_does_not_hide_an_error, setup_with_neighbours,
						below_teardown),
		cmocka_unit_test_setup_teardown(test_messages_without_an_answer, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_broken_messages, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_errors_for_tcp, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_errors_that_are_not_about_us, setup_with_neighbours,
						below_teardown),
		cmocka_unit_test_setup_teardown(test_errors_we_send, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_errors_are_limited, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_an_answer_that_cannot_be_sent, setup_with_neighbours,
						below_teardown),
		cmocka_unit_test_setup_teardown(test_an_echo_that_waits, below_setup, below_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
