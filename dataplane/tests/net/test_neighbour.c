// SPDX-License-Identifier: Apache-2.0
/* The table of neighbours: resolution, states, eviction, what waits. */
#include "net/neighbour.h"

#include "net/ethernet.h"
#include "net/route.h"
#include "net/tx.h"
#include "tests/net/below.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static uint16_t hold(struct below *below, struct rb_ip ip)
{
	uint16_t index;
	assert_int_equal(neighbour_find(below->net, &ip, &index), 0);
	return index;
}

static void answer4(struct below *below, uint32_t ip, const uint8_t mac[6])
{
	struct packet packet = packet_arp(2, mac, ip, OWN4);
	below_put(below, &packet);
}

static bool is_arp_request(const struct sent *sent, uint32_t target, const uint8_t destination[6])
{
	return load16(sent->bytes + 12) == ETHERNET_TYPE_ARP && load16(sent->bytes + 20) == 1 &&
	       load32(sent->bytes + 38) == target && memcmp(sent->bytes, destination, 6) == 0;
}

/* Payload of a sent IPv4 datagram. */
static bool carries(const struct sent *sent, const char *text)
{
	return sent->length == 42 + strlen(text) && memcmp(sent->bytes + 42, text, strlen(text)) == 0;
}

static void test_packets_wait_for_the_address(void **state)
{
	struct below *below = *state;
	assert_int_equal(below_send(below, rb_ip4(PEER4), "first"), 0);
	assert_int_equal(below_send(below, rb_ip4(PEER4), "second"), 0);
	assert_int_equal(below->sent_count, 1);
	assert_true(is_arp_request(&below->sent[0], PEER4, ethernet_broadcast));
	assert_int_equal(below->net->neighbours.pending.used, 2);
	assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_INCOMPLETE);
	below_clear(below);
	answer4(below, PEER4, peer_mac);
	assert_int_equal(below->sent_count, 2);
	assert_true(carries(&below->sent[0], "first"));
	assert_true(carries(&below->sent[1], "second"));
	assert_memory_equal(below->sent[0].bytes, peer_mac, 6);
	assert_memory_equal(below->sent[0].bytes + 6, own_mac, 6);
	assert_true(sent_sums_are_good(&below->sent[1]));
	assert_int_equal(below->net->neighbours.pending.used, 0);
	assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_REACHABLE);
	assert_int_equal(below_send(below, rb_ip4(PEER4), "third"), 0);
	assert_int_equal(below->sent_count, 3);
}

/* RFC 4861 7.2.2: an address for what waits, though nothing says that it is reachable. */
static void test_a_request_of_theirs_is_an_answer_too(void **state)
{
	struct below *below = *state;
	below_send(below, rb_ip4(PEER4), "waits");
	below_clear(below);
	struct packet packet = packet_arp(1, peer_mac, PEER4, OWN4);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 2);
	assert_true(carries(&below->sent[0], "waits"));
	assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_DELAY);
}

static void test_no_answer(void **state)
{
	struct below *below = *state;
	uint16_t index = hold(below, rb_ip4(PEER4));
	for (unsigned round = 1; round <= 2; round++) {
		below_clear(below);
		below_send(below, rb_ip4(PEER4), "lost");
		assert_int_equal(neighbour_deadline_ns(below->net), below->net->now_ns + SECOND_NS);
		below_advance(below, SECOND_NS - 1);
		assert_int_equal(below->sent_count, 1);
		below_advance(below, 1);
		below_advance(below, SECOND_NS);
		assert_int_equal(below->sent_count, 3);
		for (unsigned i = 0; i < 3; i++)
			assert_true(is_arp_request(&below->sent[i], PEER4, ethernet_broadcast));
		assert_int_equal(below->failures, round - 1);
		below_advance(below, SECOND_NS);
		assert_int_equal(below->sent_count, 3);
		assert_int_equal(below->failures, round);
		assert_int_equal(below->failed, index);
		assert_int_equal(below->net->counters.neighbour_failures, round);
		assert_int_equal(below->net->counters.pending_dropped, round);
		assert_int_equal(neighbour_deadline_ns(below->net), UINT64_MAX);
		assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_UNKNOWN);
		/* A late answer is one that nobody waits for. */
		answer4(below, PEER4, peer_mac);
		assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_UNKNOWN);
	}
	neighbour_release(below->net, index);
	below_send(below, rb_ip4(PEER4), "lost");
	for (unsigned i = 0; i < 3; i++)
		below_advance(below, SECOND_NS);
	assert_int_equal(below->failures, 2); /* nobody holds it: nobody to tell */
	assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_FREE);
}

/* RFC 4861 7.3.3 */
static void test_what_becomes_of_a_reachable_one(void **state)
{
	struct below *below = *state;
	struct rb_ip peer = rb_ip4(PEER4);
	uint16_t index = hold(below, peer);
	below_send(below, peer, "a");
	answer4(below, PEER4, peer_mac);
	below_advance(below, NEIGHBOUR_REACHABLE_NS - 1);
	below_send(below, peer, "b");
	assert_int_equal(below_state_of(below, peer), NEIGHBOUR_REACHABLE);
	neighbour_confirm(below->net, index);
	below_advance(below, NEIGHBOUR_REACHABLE_NS - 1);
	below_send(below, peer, "c");
	assert_int_equal(below_state_of(below, peer), NEIGHBOUR_REACHABLE);
	below_advance(below, 1);
	below_clear(below);
	below_send(below, peer, "d");
	assert_true(carries(&below->sent[0], "d"));
	assert_int_equal(below_state_of(below, peer), NEIGHBOUR_DELAY);
	assert_int_equal(neighbour_deadline_ns(below->net), below->net->now_ns + NEIGHBOUR_DELAY_NS);
	/* TCP has news of it: no probe is needed. */
	neighbour_confirm(below->net, index);
	assert_int_equal(below_state_of(below, peer), NEIGHBOUR_REACHABLE);
	assert_int_equal(neighbour_deadline_ns(below->net), UINT64_MAX);
	/* TCP has none. */
	below_advance(below, NEIGHBOUR_REACHABLE_NS);
	below_send(below, peer, "e");
	below_clear(below);
	below_advance(below, NEIGHBOUR_DELAY_NS);
	assert_int_equal(below_state_of(below, peer), NEIGHBOUR_PROBE);
	assert_true(is_arp_request(&below->sent[0], PEER4, peer_mac));
	below_send(below, peer, "f");
	assert_true(carries(&below->sent[1], "f"));
	answer4(below, PEER4, peer_mac);
	assert_int_equal(below_state_of(below, peer), NEIGHBOUR_REACHABLE);
	neighbour_release(below->net, index);
}

static void test_probes_without_an_answer(void **state)
{
	struct below *below = *state;
	struct rb_ip peer = rb_ip4(PEER4);
	uint16_t index = hold(below, peer);
	struct packet packet = packet_arp(1, peer_mac, PEER4, OWN4);
	below_put(below, &packet);
	below_send(below, peer, "a");
	below_clear(below);
	below_advance(below, NEIGHBOUR_DELAY_NS);
	for (unsigned i = 0; i < 3; i++)
		below_advance(below, SECOND_NS);
	assert_int_equal(below->sent_count, 3);
	assert_int_equal(below_state_of(below, peer), NEIGHBOUR_UNKNOWN);
	/* It may have another address now: the next packet asks everybody. Not yet a failure. */
	assert_int_equal(below->failures, 0);
	below_send(below, peer, "b");
	assert_true(is_arp_request(&below->sent[3], PEER4, ethernet_broadcast));
	neighbour_confirm(below->net, index); /* of something sent long ago: no address comes from it */
	assert_int_equal(below_state_of(below, peer), NEIGHBOUR_INCOMPLETE);
	neighbour_release(below->net, index);
}

static void test_the_oldest_of_too_many_goes(void **state)
{
	struct below *below = *state;
	char text[8];
	for (unsigned i = 0; i < NEIGHBOUR_PENDING_MAX + 2; i++) {
		snprintf(text, sizeof(text), "%u", i);
		below_send(below, rb_ip4(PEER4), text);
	}
	assert_int_equal(below->net->counters.pending_dropped, 2);
	/* The pool has 10; its last two go to another, whose third takes the place of its own first. */
	for (unsigned i = 0; i < 3; i++)
		below_send(below, rb_ip4(OTHER4), "o");
	assert_int_equal(below->net->counters.pending_dropped, 3);
	assert_int_equal(below->net->neighbours.pending.used, 10);
	/* A third finds the pool empty. */
	below_send(below, rb_ip4(0x0a000004), "n");
	assert_int_equal(below->net->counters.pending_dropped, 4);
	below_clear(below);
	answer4(below, PEER4, peer_mac);
	assert_int_equal(below->sent_count, NEIGHBOUR_PENDING_MAX);
	assert_true(carries(&below->sent[0], "2"));
	assert_true(carries(&below->sent[7], "9"));
}

static void test_what_waits_finds_no_header(void **state)
{
	struct below *below = *state;
	below_send(below, rb_ip4(PEER4), "a");
	struct tx *tx = &below->net->tx; /* nothing in store: the test gives the headers back itself */
	while (tx->stock_next < tx->stock_end)
		below->free_headers[below->free_count++] = tx->stock[--tx->stock_end].owner;
	below->headers_refused = 1;
	answer4(below, PEER4, peer_mac);
	assert_int_equal(below->net->counters.pending_dropped, 1);
	assert_int_equal(below->net->counters.no_headers, 1);
	assert_int_equal(below->net->neighbours.pending.used, 0);
}

static void test_eviction_is_by_least_recent_use(void **state)
{
	struct below *below = *state;
	uint16_t index, held[4];
	for (uint32_t i = 0; i < 4; i++)
		held[i] = hold(below, rb_ip4(0x0a000010 + i));
	struct rb_ip ip = rb_ip4(PEER4);
	assert_int_equal(neighbour_find(below->net, &ip, &index), -ENOBUFS);
	assert_int_equal(below->net->counters.neighbours_full, 1);
	assert_int_equal(below_send(below, ip, "x"), -ENOBUFS);
	struct packet packet = packet_arp(1, peer_mac, PEER4, OWN4);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1); /* answered, but not kept */
	neighbour_hold(below->net, held[1]);
	for (uint32_t i = 0; i < 4; i++)
		neighbour_release(below->net, held[i]);
	below_send(below, rb_ip4(0x0a000010), "uses it"); /* which makes [2] the oldest: [1] is held once more */
	index = hold(below, ip);
	assert_int_equal(index, held[2]);
	assert_int_equal(below_state_of(below, rb_ip4(0x0a000012)), NEIGHBOUR_FREE);
	assert_int_equal(below_state_of(below, rb_ip4(0x0a000010)), NEIGHBOUR_INCOMPLETE);
	/* What waits for an evicted one is dropped, and its timer gone. */
	hold(below, rb_ip4(0x0a000020));
	hold(below, rb_ip4(0x0a000021));
	assert_int_equal(below_state_of(below, rb_ip4(0x0a000010)), NEIGHBOUR_FREE);
	assert_int_equal(below->net->counters.pending_dropped, 1);
	assert_int_equal(neighbour_deadline_ns(below->net), UINT64_MAX);
	assert_int_equal(below->net->neighbours.count, 4);
}

static void test_static_entries(void **state)
{
	struct below *below = *state;
	struct rb_ip peer = rb_ip4(PEER4), group = rb_ip4(0xe0000001);
	static const uint8_t group_mac[6] = {1};
	below_send(below, peer, "waits");
	below_clear(below);
	assert_int_equal(rb_net_neighbour_set(below->net, &peer, peer_mac), 0);
	below_flush(below);
	assert_int_equal(below->sent_count, 1);
	assert_true(carries(&below->sent[0], "waits"));
	/* Nothing changes it: neither messages, nor time, nor want of room. */
	struct packet packet = packet_arp(1, other_mac, PEER4, OWN4);
	below_put(below, &packet);
	below_advance(below, 1000 * SECOND_NS);
	for (uint32_t i = 0; i < 8; i++)
		below_send(below, rb_ip4(0x0a000010 + i), "x");
	below_clear(below);
	below_send(below, peer, "y");
	assert_memory_equal(below->sent[0].bytes, peer_mac, 6);
	uint16_t index = hold(below, peer);
	neighbour_confirm(below->net, index);
	neighbour_release(below->net, index);
	assert_int_equal(below_state_of(below, peer), NEIGHBOUR_STATIC);
	/* It may be set again. */
	assert_int_equal(rb_net_neighbour_set(below->net, &peer, other_mac), 0);
	below_send(below, peer, "z");
	assert_memory_equal(below->sent[1].bytes, other_mac, 6);
	assert_int_equal(rb_net_neighbour_set(below->net, &peer, group_mac), -EINVAL);
	assert_int_equal(rb_net_neighbour_set(below->net, &group, peer_mac), -EINVAL);
	for (uint32_t i = 0; i < 3; i++)
		hold(below, rb_ip4(0x0a000010 + i));
	struct rb_ip one_more = rb_ip4(OTHER4);
	assert_int_equal(rb_net_neighbour_set(below->net, &one_more, other_mac), -ENOBUFS);
}

static void test_groups_need_no_resolution(void **state)
{
	static const struct {
		struct rb_ip ip;
		uint8_t mac[6];
	} cases[] = {
		{{.bytes = {[10] = 0xff, 0xff, 255, 255, 255, 255}}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{{.bytes = {[10] = 0xff, 0xff, 10, 0, 0, 255}}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{{.bytes = {[10] = 0xff, 0xff, 239, 129, 2, 3}}, {0x01, 0x00, 0x5e, 0x01, 2, 3}},
		{{.bytes = {0xff, 0x02, [12] = 1, 2, 3, 4}}, {0x33, 0x33, 1, 2, 3, 4}},
	};
	struct below *below = *state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		below_clear(below);
		assert_int_equal(below_send(below, cases[i].ip, "all"), 0);
		assert_int_equal(below->sent_count, 1);
		assert_memory_equal(below->sent[0].bytes, cases[i].mac, 6);
		assert_true(sent_sums_are_good(&below->sent[0]));
	}
}

static void test_the_own_addresses_are_announced(void **state)
{
	struct below *below = *state;
	neighbour_start(below->net);
	assert_int_equal(neighbour_deadline_ns(below->net), below->net->now_ns);
	below_advance(below, 0);
	/* an announcement by ARP, and a probe for duplicates of each IPv6 address */
	assert_int_equal(below->sent_count, 3);
	assert_true(is_arp_request(&below->sent[0], OWN4, ethernet_broadcast));
	assert_int_equal(below->sent[1].bytes[54], 135);
	assert_int_equal(below->sent[1].length, 14 + 40 + 24);
	assert_true(sent_sums_are_good(&below->sent[1]));
	below_clear(below);
	below_advance(below, 2 * SECOND_NS - 1);
	assert_int_equal(below->sent_count, 0);
	below_advance(below, 1);
	assert_int_equal(below->sent_count, 3);
	assert_int_equal(below->sent[2].bytes[54], 136);
	assert_true(sent_sums_are_good(&below->sent[2]));
	assert_int_equal(neighbour_deadline_ns(below->net), UINT64_MAX);
}

/* Deadlines are in order whatever the order of events. */
static void test_deadlines_of_two_lists(void **state)
{
	struct below *below = *state;
	struct packet packet = packet_arp(1, peer_mac, PEER4, OWN4);
	below_put(below, &packet);
	below_send(below, rb_ip4(PEER4), "delay");
	uint64_t delay_ns = below->net->now_ns + NEIGHBOUR_DELAY_NS;
	below_advance(below, 4 * SECOND_NS + 1);
	below_send(below, rb_ip4(OTHER4), "incomplete");
	assert_int_equal(neighbour_deadline_ns(below->net), delay_ns);
	below_advance(below, SECOND_NS);
	assert_int_equal(below_state_of(below, rb_ip4(PEER4)), NEIGHBOUR_PROBE);
	below_clear(below);
	below_advance(below, 100 * SECOND_NS); /* a long pause is one probe each, not all at once */
	assert_int_equal(below->sent_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_packets_wait_for_the_address, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_a_request_of_theirs_is_an_answer_too, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_no_answer, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_what_becomes_of_a_reachable_one, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_probes_without_an_answer, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_the_oldest_of_too_many_goes, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_what_waits_finds_no_header, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_eviction_is_by_least_recent_use, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_static_entries, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_groups_need_no_resolution, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_the_own_addresses_are_announced, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_deadlines_of_two_lists, below_setup, below_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
