// SPDX-License-Identifier: Apache-2.0
/* Frames and ARP. */
#include "net/ethernet.h"

#include "net/neighbour.h"
#include "tests/net/below.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_frames_that_are_not_for_us(void **state)
{
	static const struct {
		const char *name;
		uint8_t destination[6];
		uint8_t type[8]; /* from the type field on */
		unsigned bytes;	 /* of `type` */
		unsigned dropped, malformed;
	} cases[] = {
		{"other host", {0x02, 0, 0, 0, 0, 9}, {0x08, 0x06}, 8, 1, 0},
		{"group of another protocol", {0x01, 0x80, 0xc2, 0, 0, 0}, {0x08, 0x06}, 8, 1, 0},
		{"unknown type", {0x02, 0, 0, 0, 0, 1}, {0x88, 0xcc}, 8, 1, 0},
		{"802.3 length", {0x02, 0, 0, 0, 0, 1}, {0x00, 0x26}, 8, 1, 0},
		{"VLAN 5", {0x02, 0, 0, 0, 0, 1}, {0x81, 0, 0, 5, 0x08, 0x06}, 8, 1, 0},
		{"two tags", {0x02, 0, 0, 0, 0, 1}, {0x81, 0, 0, 0, 0x81, 0, 0, 0}, 8, 1, 0},
		{"cut in the tag", {0x02, 0, 0, 0, 0, 1}, {0x81, 0, 0, 0, 0x08}, 5, 0, 1},
		{"cut in the header", {0x02, 0, 0, 0, 0, 1}, {0x08}, 1, 0, 1},
		{"ARP without a byte", {0x02, 0, 0, 0, 0, 1}, {0x08, 0x06}, 2, 0, 1},
		{"IPv4 without a byte", {0x02, 0, 0, 0, 0, 1}, {0x08, 0x00}, 2, 0, 1},
		{"IPv6 without a byte", {0x02, 0, 0, 0, 0, 1}, {0x86, 0xdd}, 2, 0, 1},
	};
	struct below *below = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t frame[20];
		struct rb_net_counters *counters = &below->net->counters;
		*counters = (struct rb_net_counters){0};
		memcpy(frame, cases[i].destination, 6);
		memcpy(frame + 6, peer_mac, 6);
		memcpy(frame + 12, cases[i].type, cases[i].bytes);
		print_message("%s\n", cases[i].name);
		below_input(below, frame, 12 + cases[i].bytes, 0);
		assert_int_equal(counters->ethernet_dropped, cases[i].dropped);
		assert_int_equal(counters->malformed, cases[i].malformed);
		assert_int_equal(counters->packets_in, 1);
		assert_int_equal(below->sent_count, 0);
	}
	below_input(below, NULL, 0, 0);
	assert_int_equal(below->net->counters.malformed, 2);
}

static void test_a_priority_tag_is_skipped(void **state)
{
	struct below *below = *state;
	struct packet packet = packet_arp(1, peer_mac, PEER4, OWN4);
	memmove(packet.bytes + 16, packet.bytes + 12, packet.length - 12);
	memcpy(packet.bytes + 12, (uint8_t[]){0x81, 0x00, 0xe0, 0x00}, 4); /* priority 7, VLAN 0 */
	packet.length += 4;
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1);
}

static void test_a_request_is_answered(void **state)
{
	struct below *below = *state;
	static const uint8_t reply[] = {0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x06, /* Ethernet */
					0,    1, 8, 0, 6, 4, 0,	   2,			      /* a reply */
					0x02, 0, 0, 0, 0, 1, 10,   0, 0, 1,		      /* from us */
					0x02, 0, 0, 0, 0, 2, 10,   0, 0, 2};		      /* to the peer */
	struct packet packet = packet_arp(1, peer_mac, PEER4, OWN4);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1);
	assert_int_equal(below->sent[0].length, sizeof(reply));
	assert_memory_equal(below->sent[0].bytes, reply, sizeof(reply));
	/* RFC 826: who asks will be answered, so its address is kept, but unconfirmed. */
	assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_STALE);
	assert_int_equal(below->net->counters.arp_in, 1);
}

static void test_arp_that_is_not_answered(void **state)
{
	static const struct {
		const char *name;
		unsigned at; /* a byte changed */
		uint8_t value;
		unsigned malformed;
	} cases[] = {
		{"hardware", 15, 2, 1},	       {"protocol", 16, 0x86, 1}, {"hardware length", 18, 8, 1},
		{"protocol length", 19, 6, 1}, {"operation", 21, 3, 0},	  {"another target", 41, 77, 0},
	};
	struct below *below = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet packet = packet_arp(1, peer_mac, PEER4, OWN4);
		packet.bytes[cases[i].at] = cases[i].value;
		below->net->counters.malformed = 0;
		print_message("%s\n", cases[i].name);
		below_put(below, &packet);
		assert_int_equal(below->sent_count, 0);
		assert_int_equal(below->net->counters.malformed, cases[i].malformed);
		assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_FREE);
	}
	struct packet packet = packet_arp(1, peer_mac, PEER4, OWN4);
	packet.length--;
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 0);
}

static void test_who_makes_an_entry(void **state)
{
	static const uint8_t group_mac[6] = {0x01, 0, 0x5e, 0, 0, 1};
	struct below *below = *state;
	/* an answer nobody asked for */
	struct packet packet = packet_arp(2, peer_mac, PEER4, OWN4);
	below_put(below, &packet);
	/* a gratuitous announcement */
	packet = packet_arp(1, peer_mac, PEER4, PEER4);
	below_put(below, &packet);
	assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_FREE);
	/* a sender beyond the gateway */
	packet = packet_arp(1, peer_mac, FAR4, OWN4);
	below_put(below, &packet);
	assert_int_equal(below_state_of(below, rb_ip4(FAR4)), NEIGHBOUR_FREE);
	/* a sender that is many */
	packet = packet_arp(1, peer_mac, 0x0a0000ff, OWN4);
	below_put(below, &packet);
	assert_int_equal(below_state_of(below, rb_ip4(0x0a0000ff)), NEIGHBOUR_FREE);
	assert_int_equal(below->sent_count, 2);
	packet = packet_arp(1, group_mac, OTHER4, OWN4);
	below_put(below, &packet);
	assert_int_equal(below_state_of(below, rb_ip4(OTHER4)), NEIGHBOUR_FREE);
	assert_int_equal(below->sent_count, 2);
	/* an answer to no question does not confirm what a request has told */
	packet = packet_arp(1, peer_mac, PEER4, OWN4);
	below_put(below, &packet);
	packet = packet_arp(2, peer_mac, PEER4, OWN4);
	below_put(below, &packet);
	assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_STALE);
}

/* RFC 5227 2.1.1: who probes for our address has none yet, and learns that it is taken. */
static void test_a_probe_is_answered(void **state)
{
	struct below *below = *state;
	struct packet packet = packet_arp(1, peer_mac, 0, OWN4);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1);
	assert_int_equal(below->net->neighbours.count, 0);
}

static void test_the_address_is_defended(void **state)
{
	struct below *below = *state;
	struct packet packet = packet_arp(2, peer_mac, OWN4, OTHER4);
	for (unsigned i = 0; i < 3; i++)
		below_put(below, &packet);
	assert_int_equal(below->net->counters.address_conflicts, 3);
	assert_int_equal(below->sent_count, 1);
	assert_memory_equal(below->sent[0].bytes, ethernet_broadcast, 6);
	assert_int_equal(load32(below->sent[0].bytes + 28), OWN4);
	assert_int_equal(load32(below->sent[0].bytes + 38), OWN4);
	below->net->now_ns += 10 * SECOND_NS;
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 2);
	/* Our own frames, come back through a loop, are no conflict. */
	packet = packet_arp(1, own_mac, OWN4, OWN4);
	below_put(below, &packet);
	assert_int_equal(below->net->counters.address_conflicts, 4);
}

static void test_without_ip4(void **state)
{
	struct below below = {0};
	struct rb_net_config config = below_config;
	(void)state;
	config.ip4 = 0;
	below_open(&below, &config);
	struct packet packet = packet_arp(1, peer_mac, PEER4, 0);
	below_put(&below, &packet);
	packet = packet_udp4(PEER4, UINT32_MAX, 1, 2, "x");
	below_put(&below, &packet);
	assert_int_equal(below.sent_count, 0);
	assert_int_equal(below.net->counters.not_ours, 1);
	below_close(&below);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frames_that_are_not_for_us, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_a_priority_tag_is_skipped, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_a_request_is_answered, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_arp_that_is_not_answered, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_who_makes_an_entry, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_a_probe_is_answered, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_the_address_is_defended, below_setup, below_teardown),
		cmocka_unit_test(test_without_ip4),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
