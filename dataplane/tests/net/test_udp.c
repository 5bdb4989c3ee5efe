// SPDX-License-Identifier: Apache-2.0
/* UDP sockets and datagrams. */
#include "net/udp.h"

#include "net/handle.h"
#include "net/input.h"
#include "tests/net/below.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup_with_neighbours(void **state)
{
	struct rb_ip peer4 = rb_ip4(PEER4);
	below_setup(state);
	struct below *below = *state;
	return rb_net_neighbour_set(below->net, &peer4, peer_mac) | rb_net_neighbour_set(below->net, &peer6, peer_mac);
}

static rb_net_handle bind_to(struct below *below, struct rb_ip ip, uint16_t port, uint64_t cookie)
{
	struct rb_endpoint local = {.ip = ip, .port = port};
	rb_net_handle handle = 0;
	assert_int_equal(rb_net_udp_bind(below->net, &local, cookie, &handle), 0);
	return handle;
}

static int try_to_bind(struct below *below, struct rb_ip ip, uint16_t port)
{
	struct rb_endpoint local = {.ip = ip, .port = port};
	rb_net_handle handle;
	return rb_net_udp_bind(below->net, &local, 0, &handle);
}

static const struct rb_ip any;

static void test_datagrams_come_as_events(void **state)
{
	struct below *below = *state;
	rb_net_handle handle = bind_to(below, any, 7, 42), only6 = bind_to(below, own6, 8, 43);
	struct rb_net_event events[2];
	struct rb_endpoint source;
	struct packet four = packet_udp4(PEER4, OWN4, 5000, 7, "over IPv4"),
		      six = packet_udp6(&peer6, &own6, 5001, 8, "six");
	assert_false(udp_event(below->net, &events[0]));
	below_put(below, &four);
	below_put(below, &six);
	assert_int_equal(below->net->counters.udp_in, 2);
	assert_true(udp_event(below->net, &events[0]));
	assert_true(udp_event(below->net, &events[1]));
	assert_false(udp_event(below->net, &events[1]));
	assert_int_equal(events[0].handle, handle);
	assert_int_equal(events[0].cookie, 42);
	assert_int_equal(events[0].bits, RB_NET_DATAGRAM);
	assert_int_equal(events[0].length, 9);
	assert_int_equal(events[0].offset, 42);
	assert_memory_equal(events[0].data, "over IPv4", 9);
	assert_int_equal(rb_net_datagram_source(&events[0], &source), 0);
	assert_int_equal(source.port, 5000);
	assert_int_equal(ip_to4(&source.ip), PEER4);
	assert_int_equal(events[1].handle, only6);
	assert_int_equal(rb_net_datagram_source(&events[1], &source), 0);
	assert_int_equal(source.port, 5001);
	assert_memory_equal(&source.ip, &peer6, sizeof(peer6));
	assert_int_equal(below->buffers, 2);
	rb_net_datagram_done(below->net, &events[0]);
	rb_net_datagram_done(below->net, &events[1]);
	below_flush(below);
	assert_int_equal(below->buffers, 0);
	/* what is no datagram has no sender */
	struct rb_net_event other = {.bits = RB_NET_RECEIVED};
	assert_int_equal(rb_net_datagram_source(&other, &source), -EINVAL);
}

/* A priority tag and IP options move the payload, and the sender is found all the same. */
static void test_the_source_behind_a_tag(void **state)
{
	struct below *below = *state;
	struct rb_net_event event;
	struct rb_endpoint source;
	bind_to(below, any, 7, 0);
	struct packet packet = packet_udp4(PEER4, OWN4, 5000, 7, "x");
	memmove(packet.bytes + 16, packet.bytes + 12, packet.length - 12);
	memcpy(packet.bytes + 12, (uint8_t[]){0x81, 0, 0, 0}, 4);
	packet.length += 4;
	below_put(below, &packet);
	assert_true(udp_event(below->net, &event));
	assert_int_equal(rb_net_datagram_source(&event, &source), 0);
	assert_int_equal(ip_to4(&source.ip), PEER4);
	assert_int_equal(event.offset, 46);
	rb_net_datagram_done(below->net, &event);
}

static void test_a_full_queue_drops(void **state)
{
	struct below *below = *state;
	struct rb_net_event event;
	struct packet packet = packet_udp4(PEER4, OWN4, 5000, 7, "x");
	bind_to(below, any, 7, 0);
	for (unsigned round = 0; round < 3; round++) { /* so that the ring comes round */
		for (unsigned i = 0; i < 3; i++)
			below_put(below, &packet);
		assert_int_equal(below->net->counters.udp_queue_full, round + 1);
		for (unsigned i = 0; i < 2; i++) {
			assert_true(udp_event(below->net, &event));
			rb_net_datagram_done(below->net, &event);
		}
		below_put(below, &packet);
		assert_true(udp_event(below->net, &event));
		rb_net_datagram_done(below->net, &event);
	}
	below_put(below, &packet); /* stays for the teardown to release */
}

static void test_datagrams_that_are_refused(void **state)
{
	struct below *below = *state;
	bind_to(below, any, 7, 0);
	struct rb_net_counters *counters = &below->net->counters;
	struct packet packet = packet_udp4(PEER4, OWN4, 5000, 7, "data");
	packet.bytes[42] ^= 1;
	below_put(below, &packet);
	assert_int_equal(counters->bad_checksums, 1);
	/* RFC 768: none, over IPv4; RFC 8200 8.1: refused over IPv6, whatever the device says */
	memset(packet.bytes + 40, 0, 2);
	below_put(below, &packet);
	assert_int_equal(counters->udp_in, 1);
	packet = packet_udp6(&peer6, &own6, 5000, 7, "data");
	memset(packet.bytes + 60, 0, 2);
	below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_L4_GOOD);
	assert_int_equal(counters->bad_checksums, 2);
	/* a bad one that the device has found good */
	packet = packet_udp6(&peer6, &own6, 5000, 7, "data");
	packet.bytes[62] ^= 1;
	below_input(below, packet.bytes, packet.length, RB_NET_CHECKSUM_L4_GOOD);
	assert_int_equal(counters->udp_in, 2);
	/* lengths */
	packet = packet_udp4(PEER4, OWN4, 5000, 7, "data");
	packet.bytes[39] = 7;
	below_put(below, &packet);
	packet.bytes[39] = 13;
	below_put(below, &packet);
	assert_int_equal(counters->malformed, 2);
	packet = packet_ip4(PEER4, OWN4, IP_PROTOCOL_UDP, "1234567", 7);
	below_put(below, &packet);
	assert_int_equal(counters->malformed, 3);
	assert_int_equal(counters->udp_in, 2);
}

static void test_sockets(void **state)
{
	struct below *below = *state;
	const struct rb_ip own4 = rb_ip4(OWN4), peer4 = rb_ip4(PEER4);
	rb_net_handle first = bind_to(below, own4, 7, 1);
	assert_int_equal(handle_kind(first), HANDLE_UDP);
	assert_int_equal(try_to_bind(below, own4, 7), -EADDRINUSE);
	assert_int_equal(try_to_bind(below, any, 7), -EADDRINUSE);
	assert_int_equal(try_to_bind(below, peer4, 8), -EADDRNOTAVAIL);
	/* the same port at another address, and a port in the same bucket */
	rb_net_handle second = bind_to(below, own6, 7, 2), third = bind_to(below, any, 7 + 8, 3);
	assert_int_equal(try_to_bind(below, own6, 15), -EADDRINUSE);
	assert_int_equal(try_to_bind(below, any, 9), -ENOBUFS);
	struct packet packet = packet_udp6(&peer6, &own6, 1, 7, "x");
	struct rb_net_event event;
	below_put(below, &packet);
	assert_true(udp_event(below->net, &event));
	assert_int_equal(event.cookie, 2);
	rb_net_datagram_done(below->net, &event);
	assert_int_equal(udp_close(below->net, first), 0);
	assert_int_equal(udp_close(below->net, first), -EBADF);
	rb_net_handle again = bind_to(below, own4, 7, 4);
	assert_int_equal(handle_index(again), handle_index(first));
	assert_int_not_equal(again, first);
	const rb_net_handle nonsense[] = {0, first, again + ((uint64_t)1 << 56), again + ((uint64_t)9 << 32),
					  ~(uint64_t)0};
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		assert_int_equal(udp_close(below->net, nonsense[i]), -EBADF);
	assert_int_equal(udp_close(below->net, second), 0);
	assert_int_equal(udp_close(below->net, third), 0);
	assert_int_equal(below->net->udp.used, 1);
	assert_int_equal(handle_next_generation(UINT32_MAX), 1);
}

static void test_chosen_ports(void **state)
{
	struct below *below = *state;
	rb_net_handle first = bind_to(below, any, 0, 0), second = bind_to(below, any, 0, 0);
	uint16_t a = below->net->udp.sockets[handle_index(first)].port;
	uint16_t b = below->net->udp.sockets[handle_index(second)].port;
	assert_in_range(a, 49152, 65535);
	assert_in_range(b, 49152, 65535);
	assert_int_not_equal(a, b);
	/* one that is taken is passed over */
	below->net->udp.next_port = (uint16_t)(a - 49152U - 1U) % 16384U;
	rb_net_handle third = bind_to(below, any, 0, 0);
	uint16_t c = below->net->udp.sockets[handle_index(third)].port;
	assert_int_not_equal(c, a);
}

/* What came before a close is nobody's, also when the socket's place is taken again. */
static void test_a_close_drops_what_waits(void **state)
{
	struct below *below = *state;
	struct rb_net_event event;
	rb_net_handle handle = bind_to(below, any, 7, 1);
	struct packet packet = packet_udp4(PEER4, OWN4, 5000, 7, "old");
	below_put(below, &packet);
	assert_int_equal(udp_close(below->net, handle), 0);
	bind_to(below, any, 7, 2);
	packet = packet_udp4(PEER4, OWN4, 5000, 7, "new");
	below_put(below, &packet);
	assert_true(udp_event(below->net, &event));
	assert_int_equal(event.cookie, 2);
	assert_memory_equal(event.data, "new", 3);
	rb_net_datagram_done(below->net, &event);
	below_flush(below);
	assert_int_equal(below->buffers, 0);
}

static void test_datagrams_go_out(void **state)
{
	struct below *below = *state;
	rb_net_handle handle = bind_to(below, any, 7, 0);
	const struct rb_net_piece pieces[] = {{"odd", 3}, {"", 0}, {"even", 4}, {"!", 1}};
	for (unsigned i = 0; i < 2; i++) {
		struct rb_endpoint to = {.ip = i == 0 ? rb_ip4(PEER4) : peer6, .port = 0x1234};
		unsigned l4 = i == 0 ? 34 : 54;
		assert_int_equal(rb_net_udp_send(below->net, handle, &to, pieces, 4), 0);
		assert_int_equal(below->sent_count, i); /* at the flush, not before */
		below_flush(below);
		const struct sent *sent = &below->sent[i];
		assert_true(sent_sums_are_good(sent));
		assert_true(sent->transient);
		assert_int_equal(sent->checksum, 0);
		assert_int_equal(load16(sent->bytes + l4), 7);
		assert_int_equal(load16(sent->bytes + l4 + 2), 0x1234);
		assert_int_equal(load16(sent->bytes + l4 + 4), 16);
		assert_memory_equal(sent->bytes + l4 + 8, "oddeven!", 8);
	}
	assert_int_equal(below->net->counters.udp_out, 2);
	/* an empty one */
	struct rb_endpoint to = {.ip = peer6, .port = 1};
	assert_int_equal(rb_net_udp_send(below->net, handle, &to, NULL, 0), 0);
	below_flush(below);
	assert_true(sent_sums_are_good(&below->sent[2]));
	assert_int_equal(below->sent[2].length, 62);
}

/* RFC 768: a sum of 0 is sent as all ones, because 0 means none. */
static void test_no_checksum_is_sent_as_zero(void **state)
{
	struct below *below = *state;
	rb_net_handle handle = bind_to(below, any, 7, 0);
	struct rb_endpoint to = {.ip = rb_ip4(PEER4), .port = 9};
	uint8_t word[2] = {0, 0};
	const struct rb_net_piece piece = {word, 2};
	assert_int_equal(rb_net_udp_send(below->net, handle, &to, &piece, 1), 0);
	below_flush(below);
	memcpy(word, below->sent[0].bytes + 40, 2); /* with its own checksum as data the sum is all ones */
	assert_int_equal(rb_net_udp_send(below->net, handle, &to, &piece, 1), 0);
	below_flush(below);
	assert_int_equal(load16(below->sent[1].bytes + 40), 0xffff);
	assert_true(sent_sums_are_good(&below->sent[1]));
}

static void test_the_device_may_fill_it_in(void **state)
{
	struct below *below = *state;
	rb_net_handle handle = bind_to(below, any, 7, 0);
	struct rb_endpoint to = {.ip = rb_ip4(PEER4), .port = 9};
	const struct rb_net_piece piece = {"data", 4};
	below->net->config.checksum_offload = RB_NET_CHECKSUM_UDP_FILL;
	assert_int_equal(rb_net_udp_send(below->net, handle, &to, &piece, 1), 0);
	below_flush(below);
	struct sent *sent = &below->sent[0];
	assert_int_equal(sent->checksum, RB_NET_CHECKSUM_UDP_FILL);
	/* as a device does: sum from the UDP header on, the field's pseudo-header included */
	uint16_t sum = checksum_finish(checksum_add(0, sent->bytes + 34, 12));
	memcpy(sent->bytes + 40, &sum, 2);
	assert_true(sent_sums_are_good(sent));
}

static void test_datagrams_that_cannot_be_sent(void **state)
{
	static const uint8_t zeros[1473];
	struct below *below = *state;
	rb_net_handle handle = bind_to(below, any, 7, 0), only6 = bind_to(below, own6, 8, 0);
	struct rb_endpoint to = {.ip = rb_ip4(PEER4), .port = 9}, nowhere = {.ip = rb_ip4(PEER4)};
	struct rb_endpoint self = {.ip = rb_ip4(OWN4), .port = 7}, six = {.ip = peer6, .port = 9};
	struct rb_net_piece pieces[RB_NET_PIECES_MAX + 1] = {{zeros, 1472}};
	struct rb_net *net = below->net;
	assert_int_equal(rb_net_udp_send(net, 0, &to, pieces, 1), -EBADF);
	assert_int_equal(rb_net_udp_send(net, handle, &nowhere, pieces, 1), -EINVAL);
	assert_int_equal(rb_net_udp_send(net, handle, &to, pieces, RB_NET_PIECES_MAX + 1), -EINVAL);
	assert_int_equal(rb_net_udp_send(net, handle, &self, pieces, 1), -ENETUNREACH);
	assert_int_equal(rb_net_udp_send(net, only6, &to, pieces, 1), -EADDRNOTAVAIL);
	assert_int_equal(rb_net_udp_send(net, handle, &to, pieces, 1), 0);
	assert_int_equal(rb_net_udp_send(net, handle, &six, pieces, 1), -EMSGSIZE);
	pieces[0].length = 1473;
	assert_int_equal(rb_net_udp_send(net, handle, &to, pieces, 1), -EMSGSIZE);
	pieces[1].length = UINT32_MAX; /* 2^32 + ... is not small */
	assert_int_equal(rb_net_udp_send(net, handle, &to, pieces, 2), -EMSGSIZE);
	assert_int_equal(net->counters.udp_out, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_datagrams_come_as_events, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_the_source_behind_a_tag, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_a_full_queue_drops, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_datagrams_that_are_refused, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_sockets, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_chosen_ports, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_a_close_drops_what_waits, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_datagrams_go_out, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_no_checksum_is_sent_as_zero, setup_with_neighbours,
						below_teardown),
		cmocka_unit_test_setup_teardown(test_the_device_may_fill_it_in, setup_with_neighbours, below_teardown),
		cmocka_unit_test_setup_teardown(test_datagrams_that_cannot_be_sent, setup_with_neighbours,
						below_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
