// SPDX-License-Identifier: Apache-2.0
/* Two instances that are one host: everything that is for both comes to the first. */
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/nd.h"
#include "net/neighbour.h"
#include "tests/net/below.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct below *first, *second;
static unsigned shared;
static struct rb_net_ops first_ops, second_ops;

static void share(void *context, const struct rb_net_packet *packet)
{
	assert_ptr_equal(context, first);
	shared++;
	below_input(second, packet->data, packet->length, packet->checksum | RB_NET_OVERHEARD);
}

static void share_back(void *context, const struct rb_net_packet *packet)
{
	(void)context;
	(void)packet;
	fail_msg("what was overheard is shared");
}

static int setup(void **state)
{
	void *opened[2];
	(void)state;
	if (below_setup(&opened[0]) != 0 || below_setup(&opened[1]) != 0)
		return -1;
	first = opened[0];
	second = opened[1];
	shared = 0;
	first_ops = second_ops = *first->net->ops;
	first_ops.share = share;
	second_ops.share = share_back;
	first->net->ops = &first_ops;
	second->net->ops = &second_ops;
	return 0;
}

static int teardown(void **state)
{
	void *opened[2] = {first, second};
	(void)state;
	return below_teardown(&opened[0]) | below_teardown(&opened[1]);
}

/* One answers, and all know who has asked. */
static void test_requests(void **state)
{
	struct rb_ip group = nd_solicited_node(&own6);
	struct packet packet = packet_arp(1, peer_mac, PEER4, OWN4);
	(void)state;
	below_put(first, &packet);
	packet = packet_solicitation(&peer6, &group, &own6, peer_mac);
	below_put(first, &packet);
	assert_int_equal(shared, 2);
	assert_int_equal(first->sent_count, 2);
	assert_int_equal(second->sent_count, 0);
	assert_int_equal(below_state_of(second, rb_ip4(PEER4)), NEIGHBOUR_STALE);
	assert_int_equal(below_state_of(second, peer6), NEIGHBOUR_STALE);
	assert_int_equal(second->net->counters.arp_in, 1);
	assert_int_equal(second->net->counters.nd_in, 1);
}

/* The answer comes to one, and the other has asked. */
static void test_answers(void **state)
{
	(void)state;
	assert_int_equal(below_send(second, rb_ip4(PEER4), "four"), 0);
	assert_int_equal(below_send(second, peer6, "six"), 0);
	below_clear(second);
	struct packet packet = packet_arp(2, peer_mac, PEER4, OWN4);
	below_put(first, &packet);
	packet = packet_advertisement(&peer6, &own6, &peer6, 0x60, peer_mac);
	below_put(first, &packet);
	assert_int_equal(second->sent_count, 2);
	assert_memory_equal(second->sent[0].bytes + 42, "four", 4);
	assert_memory_equal(second->sent[1].bytes + 62, "six", 3);
	assert_int_equal(below_state_of(second, rb_ip4(PEER4)), NEIGHBOUR_REACHABLE);
	assert_int_equal(below_state_of(second, peer6), NEIGHBOUR_REACHABLE);
	assert_int_equal(first->net->neighbours.count, 0);
}

/* An address of ours is defended once, not by each. */
static void test_conflicts(void **state)
{
	static const struct rb_ip all_nodes = {.bytes = {0xff, 0x02, [15] = 1}}, unspecified;
	struct rb_ip group = nd_solicited_node(&own6);
	struct packet packet = packet_arp(1, peer_mac, OWN4, OWN4);
	(void)state;
	below_put(first, &packet);
	assert_int_equal(first->sent_count, 1);
	packet = packet_solicitation(&unspecified, &group, &own6, NULL);
	below_put(first, &packet);
	assert_int_equal(first->sent_count, 2);
	below_advance(first, 100 * SECOND_NS);
	below_advance(second, 100 * SECOND_NS);
	below_clear(first);
	below_clear(second);
	packet = packet_advertisement(&peer6, &all_nodes, &own6, 0x20, peer_mac);
	below_put(first, &packet);
	assert_int_equal(first->sent_count, 1);
	assert_int_equal(second->sent_count, 0);
	assert_int_equal(second->net->counters.address_conflicts, 3);
}

/* Whose connection an error is about only its owner knows. */
static void test_errors(void **state)
{
	enum { QUOTE = 28 };
	uint8_t message[8 + QUOTE] = {3, 3}, message6[8 + 40 + 8] = {1, 4};
	uint8_t *quote = message + 8, *quote6 = message6 + 8;
	(void)state;
	quote[0] = 0x45;
	quote[9] = IP_PROTOCOL_TCP;
	store32(quote + 12, OWN4);
	store32(quote + 16, PEER4);
	struct packet packet = packet_sum4(PEER4, OWN4, IP_PROTOCOL_ICMP, message, sizeof(message), 2);
	below_put(first, &packet);
	assert_int_equal(first->errors, 1);
	assert_int_equal(second->errors, 1);
	quote6[0] = 0x60;
	quote6[6] = IP_PROTOCOL_TCP;
	memcpy(quote6 + 8, own6.bytes, 16);
	memcpy(quote6 + 24, peer6.bytes, 16);
	packet = packet_sum6(&peer6, &own6, IP_PROTOCOL_ICMP6, message6, sizeof(message6), 2);
	below_put(first, &packet);
	assert_int_equal(first->errors, 2);
	assert_int_equal(second->errors, 2);
	assert_int_equal(shared, 2);
}

/* The rest is for who gets it. */
static void test_what_is_not_shared(void **state)
{
	const uint8_t echo[8] = {8}, segment[20] = {0}, echo6[8] = {128};
	struct rb_ip group = nd_solicited_node(&own6);
	(void)state;
	struct packet packet = packet_sum4(PEER4, OWN4, IP_PROTOCOL_ICMP, echo, sizeof(echo), 2);
	below_put(first, &packet);
	packet = packet_sum6(&peer6, &own6, IP_PROTOCOL_ICMP6, echo6, sizeof(echo6), 2);
	below_put(first, &packet);
	packet = packet_ip4(PEER4, OWN4, IP_PROTOCOL_TCP, segment, sizeof(segment));
	below_put(first, &packet);
	packet = packet_udp4(PEER4, OWN4, 1, 2, "nobody");
	below_put(first, &packet);
	packet = packet_solicitation(&peer6, &group, &own6, peer_mac);
	packet.bytes[21] = 254; /* from beyond the link */
	below_put(first, &packet);
	assert_int_equal(shared, 0);
	assert_int_equal(first->net->counters.icmp_echoes, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conflicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_not_shared, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
