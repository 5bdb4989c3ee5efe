// SPDX-License-Identifier: Apache-2.0
/* Every pool runs out once: a counter or an error says so, nothing breaks, and all goes on when there is room again. */
#include <errno.h>

#include "net/tcb.h"
#include "tests/net/app.h"

enum { PARTS = 64, PIECES = 8, CONNECTIONS = 4 };

static int setup(void **state)
{
	app_config(&app);
	app.config.net.receive_parts = PARTS;
	app.config.net.send_pieces = PIECES;
	app.config.net.connections = CONNECTIONS;
	app_open(&app, *state != NULL);
	return 0;
}

/* Received parts, by an application that does not read. */
static void test_parts(void **state)
{
	(void)state;
	app.keeps = true;
	app_established(&app, "mss 1000");
	for (unsigned i = 0; i < PARTS + 20; i++)
		peer_send(&app.peer, "P. %u:%u(1)", 1 + i, 2 + i);
	peer_forget(&app.peer);
	assert_int_equal(app.received, PARTS);
	assert_int_equal(app_counters(&app)->tcp_parts_full, 20);
	assert_int_equal(app_usage(&app).receive_parts, PARTS);
	/* what was dropped was not acknowledged: the peer sends it again, when there is room */
	assert_int_equal(app_info(&app).rcv_nxt, app.peer.iss + 1 + PARTS);
	app_read(&app, PARTS);
	peer_forget(&app.peer);
	for (unsigned i = PARTS; i < PARTS + 20; i++)
		peer_send(&app.peer, "P. %u:%u(1)", 1 + i, 2 + i);
	assert_int_equal(app.received, PARTS + 20);
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	app_read(&app, 20);
}

/* Parts beyond gaps leave a quarter for what closes the gaps. */
static void test_parts_beyond_gaps(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	for (unsigned i = 1; i <= PARTS + 20; i++)
		peer_send(&app.peer, ". %u:%u(1)", 1 + 2 * i, 2 + 2 * i);
	assert_int_equal(app_usage(&app).receive_parts, PARTS - PARTS / 4);
	assert_int_equal(app_counters(&app)->tcp_parts_full, 20 + PARTS / 4);
	peer_forget(&app.peer);
	peer_send(&app.peer, ". 1:3(2)");
	peer_expect(&app.peer, ". 1:1(0) ack 4");
	assert_int_equal(app.received, 3);
}

/* Who wants more pieces than are left is refused, though some are; and is not told to try again until more are. */
static void test_several_pieces(void **state)
{
	(void)state;
	struct rb_net_piece pieces[4];
	for (unsigned i = 0; i < 4; i++)
		pieces[i] = (struct rb_net_piece){app.bytes + (size_t)10 * (PIECES - 2 + i), 10};
	app.peer.window = 0;
	app_established(&app, "mss 1000");
	for (unsigned i = 0; i < PIECES - 2; i++)
		assert_int_equal(app_send(&app, 10), 0);
	assert_int_equal(rb_net_send(app_net(&app), app.handle, pieces, 4), -ENOBUFS);
	app_settle(&app);
	assert_int_equal(app.writable, 0);
	app.peer.window = 65535;
	peer_send(&app.peer, ". ack 1");
	peer_run(&app.peer, LINK_NS_PER_MS);
	peer_forget(&app.peer);
	peer_send(&app.peer, ". ack 61");
	peer_run(&app.peer, LINK_NS_PER_MS);
	assert_int_equal(app.writable, 1);
	assert_int_equal(rb_net_send(app_net(&app), app.handle, pieces, 4), 0);
	app_settle(&app);
	peer_expect(&app.peer, "P. 61:101(40) ack 1");
	peer_check_payload(&app.peer, 1);
	peer_send(&app.peer, ". ack 101");
}

static void test_pieces(void **state)
{
	(void)state;
	app.peer.window = 0;
	app_established(&app, "mss 1000");
	for (unsigned i = 0; i < PIECES; i++)
		assert_int_equal(app_send(&app, 10), 0);
	assert_int_equal(app_send(&app, 10), -ENOBUFS);
	assert_int_equal(app_counters(&app)->tcp_pieces_full, 1);
	assert_int_equal(app.writable, 0);
	/* its FIN has a place of its own */
	app.peer.window = 65535;
	peer_send(&app.peer, ". ack 1");
	peer_expect(&app.peer, "P. 1:81(80) ack 1");
	peer_send(&app.peer, ". ack 81");
	assert_int_equal(app.writable, 1);
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 81:91(10) ack 1");
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. 91:91(0) ack 1");
	peer_send(&app.peer, ". ack 92");
}

/*
 * While another connection keeps the pool full, what is too large for a segment is cut by the one piece that each has in
 * reserve, and the FIN takes it when all is acknowledged.
 */
static void test_reserve(void **state)
{
	(void)state;
	app.peer.window = 0;
	app_established(&app, "mss 1000");
	for (unsigned i = 1; i < PIECES; i++)
		assert_int_equal(app_send(&app, 10), 0);
	app.peer.window = 65535;
	app.peer.port++;
	app.peer.snd_nxt = app.peer.rcv_nxt = 0;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 2500), 0);
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, ". 1:1001(1000) ack 1");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	assert_int_equal(app_usage(&app).send_pieces, PIECES + 1);
	peer_send(&app.peer, ". ack 1001");
	peer_expect(&app.peer, ". 1001:2001(1000) ack 1");
	peer_expect(&app.peer, "P. 2001:2501(500) ack 1");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	assert_int_equal(app_send(&app, 1), -EPIPE);
	peer_send(&app.peer, ". ack 2501");
	assert_int_equal(app_usage(&app).send_pieces, PIECES);
	peer_expect(&app.peer, "F. 2501:2501(0) ack 1");
	peer_send(&app.peer, ". ack 2502");
	assert_int_equal(app_usage(&app).send_pieces, PIECES - 1);
	peer_forget(&app.peer);
}

/* Each connection's FIN comes through, whatever the others hold. */
static void test_reserve_of_each(void **state)
{
	(void)state;
	app.peer.window = 0;
	app_established(&app, "mss 1000");
	for (unsigned i = 0; i < PIECES; i++)
		assert_int_equal(app_send(&app, 10), 0);
	app.peer.window = 65535;
	for (unsigned i = 1; i < CONNECTIONS; i++) {
		app.peer.port++;
		app.peer.snd_nxt = app.peer.rcv_nxt = 0;
		app_established(&app, "mss 1000");
		app_shut(&app, RB_NET_CLOSE_WRITE);
		peer_expect(&app.peer, "F. 1:1(0) ack 1");
	}
	assert_int_equal(app_usage(&app).send_pieces, PIECES + CONNECTIONS - 1);
	peer_forget(&app.peer);
}

/* Who was refused because of another connection is told as well. */
static void test_pieces_of_another(void **state)
{
	(void)state;
	app.peer.window = 0;
	app_established(&app, "mss 1000");
	for (unsigned i = 0; i < PIECES; i++)
		assert_int_equal(app_send(&app, 10), 0);
	const rb_net_handle first = app.handle;
	app.peer.port++;
	app.peer.snd_nxt = app.peer.rcv_nxt = 0;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 10), -ENOBUFS);
	const rb_net_handle second = app.handle;
	app.handle = first;
	app_shut(&app, RB_NET_CLOSE_ABORT);
	assert_int_equal(app.writable, 1);
	app.handle = second;
	assert_int_equal(app_send(&app, 10), 0);
	peer_forget(&app.peer);
}

static void test_send_queue(void **state)
{
	(void)state;
	app.config.net.send_queue = 1000;
	app_again(&app, &app.config);
	app.peer.window = 100;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 1001), -ENOBUFS);
	assert_int_equal(app_send(&app, 1000), 0);
	assert_int_equal(app_send(&app, 1), -ENOBUFS);
	peer_expect(&app.peer, ". 1:101(100) ack 1");
	peer_send(&app.peer, ". ack 101");
	assert_int_equal(app.writable, 1);
	assert_int_equal(app_send(&app, 100), 0);
	peer_run(&app.peer, LINK_NS_PER_MS);
	peer_forget(&app.peer);
}

static void test_connections(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		app_established(&app, "mss 1000");
		app.peer.port++;
		app.peer.snd_nxt = app.peer.rcv_nxt = 0;
	}
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app_connect(&app, 0), -ENOBUFS);
	assert_int_equal(app_counters(&app)->tcp_connections_full, 2);
	assert_int_equal(app_counters(&app)->tcp_syns_dropped, 1);
	/* one goes: the peer's next SYN is taken */
	app_shut(&app, RB_NET_CLOSE_ABORT);
	peer_forget(&app.peer);
	app.peer.host_port = 80;
	app.peer.snd_nxt = app.peer.rcv_nxt = 0;
	app_established(&app, "mss 1000");
}

/* Never as much header memory as asked for, and often none: all comes through, later. */
static void test_headers(void **state)
{
	(void)state;
	app.peer.host.config.headers_missing = 1.0;
	app_established(&app, "mss 1000");
	for (unsigned i = 0; i < 500; i++) {
		peer_send(&app.peer, "P. %u:%u(100)", 1 + 100 * i, 101 + 100 * i);
		peer_expect(&app.peer, ". ack %u", 101 + 100 * i);
	}
	assert_int_equal(app.received, 50000);
	assert_true(app_counters(&app)->no_headers > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_parts, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_parts_beyond_gaps, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_several_pieces, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_reserve, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_reserve_of_each, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_pieces_of_another, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_send_queue, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_connections, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_headers, setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
