// SPDX-License-Identifier: Apache-2.0
/* Neighbour discovery: what is answered, believed and refused (RFC 4861 7.1, 7.2). */
#include "net/nd.h"

#include "net/ethernet.h"
#include "net/neighbour.h"
#include "net/tx.h"
#include "tests/net/below.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SOLICITED = 0x40, OVERRIDE = 0x20 };

static const struct rb_ip all_nodes = {.bytes = {0xff, 0x02, [15] = 1}};
static const struct rb_ip unspecified;
static const uint8_t group_mac[6] = {0x33, 0x33, 0, 0, 0, 1};

static void test_a_solicitation_is_answered(void **state)
{
	struct below *below = *state;
	struct rb_ip group = nd_solicited_node(&own6);
	struct packet packet = packet_solicitation(&peer6, &group, &own6, peer_mac);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1);
	const struct sent *sent = &below->sent[0];
	assert_true(sent_sums_are_good(sent));
	assert_memory_equal(sent->bytes, peer_mac, 6);
	assert_memory_equal(sent->bytes + 22, own6.bytes, 16);
	assert_memory_equal(sent->bytes + 38, peer6.bytes, 16);
	assert_int_equal(sent->bytes[21], 255);
	assert_int_equal(sent->bytes[54], ND_NEIGHBOUR_ADVERTISEMENT);
	assert_int_equal(sent->bytes[58], SOLICITED | OVERRIDE);
	assert_memory_equal(sent->bytes + 62, own6.bytes, 16);
	assert_memory_equal(sent->bytes + 78, ((uint8_t[]){2, 1, 0x02, 0, 0, 0, 0, 1}), 8);
	assert_int_equal(below_state_of(below, peer6), NEIGHBOUR_STALE);
	/* One for the link-local address, from a prober that knows us: no option, no entry. */
	packet = packet_solicitation(&peer_local6, &own_local6, &own_local6, NULL);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 2);
	assert_memory_equal(below->sent[1].bytes, peer_mac, 6);
	assert_int_equal(below_state_of(below, peer_local6), NEIGHBOUR_FREE);
	/* A sender beyond the gateway is answered and not kept. */
	packet = packet_solicitation(&far6, &group, &own6, peer_mac);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 3);
	assert_int_equal(below_state_of(below, far6), NEIGHBOUR_FREE);
	assert_int_equal(below->net->counters.nd_in, 3);
}

/* RFC 4862 5.4.3, RFC 4861 7.2.4: all are told when somebody wants the address. */
static void test_a_duplicate_is_told(void **state)
{
	struct below *below = *state;
	struct rb_ip group = nd_solicited_node(&own6), other = peer6;
	struct packet packet = packet_solicitation(&unspecified, &group, &own6, NULL);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1);
	assert_memory_equal(below->sent[0].bytes, group_mac, 6);
	assert_memory_equal(below->sent[0].bytes + 38, all_nodes.bytes, 16);
	assert_int_equal(below->sent[0].bytes[58], OVERRIDE);
	assert_int_equal(below->net->counters.address_conflicts, 1);
	/* An address with the same end is another's. */
	other.bytes[15] = 1;
	other.bytes[8] = 1;
	packet = packet_solicitation(&unspecified, &group, &other, NULL);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 1);
	assert_int_equal(below->net->counters.malformed, 0);
	/* An advertisement for our address is a conflict, answered once in a while. */
	packet = packet_advertisement(&peer6, &all_nodes, &own6, OVERRIDE, peer_mac);
	below_put(below, &packet);
	below_put(below, &packet);
	assert_int_equal(below->net->counters.address_conflicts, 3);
	assert_int_equal(below->sent_count, 2);
	assert_int_equal(below->sent[1].bytes[54], ND_NEIGHBOUR_ADVERTISEMENT);
}

struct refused {
	const char *name;
	unsigned at; /* a byte of the frame changed; 0: none */
	uint8_t value;
	unsigned cut; /* bytes off the end */
	bool unspecified, malformed, advertisement;
};

static void test_messages_that_are_refused(void **state)
{
	static const struct refused cases[] = {
		{"from beyond the link", 21, 254, 0, false, true, false},
		{"code", 55, 1, 0, false, true, false},
		{"target is a group", 62, 0xff, 0, false, true, false},
		{"target is another's", 70, 9, 0, false, false, false},
		{"option without length", 79, 0, 0, false, true, false},
		{"option beyond the end", 79, 2, 0, false, true, false},
		{"half an option", 0, 0, 7, false, true, false},
		{"half a target", 0, 0, 9, false, true, false},
		{"unspecified, with an option", 0, 0, 0, true, true, false},
		{"unspecified, not to the group", 0, 0, 8, true, true, false},
		{"solicited, to all", 58, SOLICITED, 0, false, true, true},
		{"advertisement with a bad option", 79, 0, 0, false, true, true},
	};
	struct below *below = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct refused *c = &cases[i];
		const struct rb_ip *source = c->unspecified ? &unspecified : &peer6;
		struct packet packet = packet_solicitation(source, &own6, &own6, peer_mac);
		if (c->advertisement)
			packet = packet_advertisement(source, &all_nodes, &peer6, 0, peer_mac);
		print_message("%s\n", c->name);
		packet.length -= c->cut;
		store16(packet.bytes + 18, (uint16_t)(packet.length - 54));
		if (c->at != 0)
			packet.bytes[c->at] = c->value;
		below->net->counters.malformed = 0;
		below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_L4_GOOD);
		assert_int_equal(below->sent_count, 0);
		assert_int_equal(below->net->neighbours.count, 0);
		assert_int_equal(below->net->counters.malformed, c->malformed);
	}
}

/* RFC 4861 7.2.5, its table. */
static void test_what_advertisements_change(void **state)
{
	static const struct {
		const char *name;
		unsigned from, flags;
		bool mac, other; /* the option is there; with another address */
		unsigned to;
		bool changed;
	} cases[] = {
		{"unsolicited, first", NEIGHBOUR_INCOMPLETE, 0, true, false, NEIGHBOUR_DELAY, false},
		{"solicited, first", NEIGHBOUR_INCOMPLETE, SOLICITED, true, false, NEIGHBOUR_REACHABLE, false},
		{"first, without address", NEIGHBOUR_INCOMPLETE, SOLICITED, false, false, NEIGHBOUR_INCOMPLETE, false},
		{"no override, other", NEIGHBOUR_REACHABLE, SOLICITED, true, true, NEIGHBOUR_STALE, false},
		{"no override, other, stale", NEIGHBOUR_STALE, 0, true, true, NEIGHBOUR_STALE, false},
		{"override, other", NEIGHBOUR_REACHABLE, OVERRIDE, true, true, NEIGHBOUR_STALE, true},
		{"override, same", NEIGHBOUR_REACHABLE, OVERRIDE, true, false, NEIGHBOUR_REACHABLE, false},
		{"late answer", NEIGHBOUR_STALE, SOLICITED | OVERRIDE, true, false, NEIGHBOUR_REACHABLE, false},
		{"late answer, no override", NEIGHBOUR_STALE, SOLICITED, true, false, NEIGHBOUR_REACHABLE, false},
		{"late answer without address", NEIGHBOUR_STALE, SOLICITED, false, false, NEIGHBOUR_REACHABLE, false},
		{"late answer, delay", NEIGHBOUR_DELAY, SOLICITED, true, false, NEIGHBOUR_REACHABLE, false},
		{"unsolicited, stale", NEIGHBOUR_STALE, OVERRIDE, true, false, NEIGHBOUR_STALE, false},
		/* here the RFC says REACHABLE: see the deviations in docs/tcp.md */
		{"answer nobody asked for, other", NEIGHBOUR_STALE, SOLICITED | OVERRIDE, true, true, NEIGHBOUR_STALE,
		 true},
		{"the same, reachable", NEIGHBOUR_REACHABLE, SOLICITED | OVERRIDE, true, true, NEIGHBOUR_STALE, true},
		{"probe answered", NEIGHBOUR_PROBE, SOLICITED, true, false, NEIGHBOUR_REACHABLE, false},
		{"probe answered without address", NEIGHBOUR_PROBE, SOLICITED, false, false, NEIGHBOUR_REACHABLE,
		 false},
		{"probe answered, other", NEIGHBOUR_PROBE, SOLICITED | OVERRIDE, true, true, NEIGHBOUR_REACHABLE, true},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct below *below;
		print_message("%s\n", cases[i].name);
		below_setup(state);
		below = *state;
		struct rb_ip group = nd_solicited_node(&own6);
		struct packet packet = packet_solicitation(&peer6, &group, &own6, peer_mac);
		if (cases[i].from != NEIGHBOUR_INCOMPLETE)
			below_put(below, &packet);
		if (cases[i].from != NEIGHBOUR_STALE)
			below_send(below, peer6, "waits");
		if (cases[i].from == NEIGHBOUR_PROBE || cases[i].from == NEIGHBOUR_REACHABLE)
			below_advance(below, NEIGHBOUR_DELAY_NS);
		if (cases[i].from == NEIGHBOUR_REACHABLE) {
			packet = packet_advertisement(&peer6, &own6, &peer6, SOLICITED, peer_mac);
			below_put(below, &packet);
		}
		assert_int_equal(below_state_of(below, peer6), cases[i].from);
		const uint8_t *mac = cases[i].other ? other_mac : peer_mac;
		packet = packet_advertisement(&peer6, &own6, &peer6, cases[i].flags, cases[i].mac ? mac : NULL);
		below_put(below, &packet);
		assert_int_equal(below_state_of(below, peer6), cases[i].to);
		below_clear(below);
		below_send(below, peer6, "now");
		if (cases[i].to != NEIGHBOUR_INCOMPLETE)
			assert_memory_equal(below->sent[0].bytes, cases[i].changed ? other_mac : peer_mac, 6);
		below_teardown(state);
	}
}

static void test_resolution(void **state)
{
	struct below *below = *state;
	struct rb_ip group = nd_solicited_node(&peer6);
	assert_int_equal(below_send(below, peer6, "waits"), 0);
	const struct sent *sent = &below->sent[0];
	assert_int_equal(below->sent_count, 1);
	assert_true(sent_sums_are_good(sent));
	assert_memory_equal(sent->bytes, ((uint8_t[]){0x33, 0x33, 0xff, 0, 0, 2}), 6);
	assert_memory_equal(sent->bytes + 22, own6.bytes, 16);
	assert_memory_equal(sent->bytes + 38, group.bytes, 16);
	assert_int_equal(sent->bytes[54], ND_NEIGHBOUR_SOLICITATION);
	assert_memory_equal(sent->bytes + 62, peer6.bytes, 16);
	assert_memory_equal(sent->bytes + 78, ((uint8_t[]){1, 1, 0x02, 0, 0, 0, 0, 1}), 8);
	struct packet packet = packet_advertisement(&peer6, &own6, &peer6, SOLICITED, peer_mac);
	below_put(below, &packet);
	assert_int_equal(below->sent_count, 2);
	assert_true(sent_sums_are_good(&below->sent[1]));
	assert_memory_equal(below->sent[1].bytes + 62, "waits", 5);
	/* A probe goes to the neighbour itself. */
	below_advance(below, NEIGHBOUR_REACHABLE_NS);
	below_send(below, peer6, "again");
	below_clear(below);
	below_advance(below, NEIGHBOUR_DELAY_NS);
	assert_memory_equal(below->sent[0].bytes, peer_mac, 6);
	assert_memory_equal(below->sent[0].bytes + 38, peer6.bytes, 16);
	/* An advertisement that nobody asked for makes no entry. */
	packet = packet_advertisement(&peer_local6, &all_nodes, &peer_local6, OVERRIDE, peer_mac);
	below_put(below, &packet);
	assert_int_equal(below_state_of(below, peer_local6), NEIGHBOUR_FREE);
}

static void test_routers_are_counted(void **state)
{
	static const uint8_t types[] = {ND_ROUTER_SOLICITATION, ND_ROUTER_ADVERTISEMENT, ND_REDIRECT};
	struct below *below = *state;
	for (unsigned i = 0; i < sizeof(types); i++) {
		uint8_t message[16] = {types[i]};
		struct packet packet =
			packet_sum6(&peer_local6, &all_nodes, IP_PROTOCOL_ICMP6, message, sizeof(message), 2);
		below_put(below, &packet);
	}
	assert_int_equal(below->net->counters.nd_in, 3);
	assert_int_equal(below->net->counters.nd_router_advertisements, 1);
	assert_int_equal(below->sent_count, 0);
}

/* Without a header buffer nothing is sent, and nothing breaks. */
static void test_no_headers(void **state)
{
	struct below *below = *state;
	below->headers_refused = 4;
	below->net->neighbours.announce_ns = 0;
	below_advance(below, 1);
	assert_int_equal(below->sent_count, 0);
	assert_int_equal(below->net->counters.no_headers, 3);
	assert_int_equal(below_send(below, peer6, "x"), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_solicitation_is_answered, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_a_duplicate_is_told, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_messages_that_are_refused, below_setup, below_teardown),
		cmocka_unit_test(test_what_advertisements_change),
		cmocka_unit_test_setup_teardown(test_resolution, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_routers_are_counted, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_no_headers, below_setup, below_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
