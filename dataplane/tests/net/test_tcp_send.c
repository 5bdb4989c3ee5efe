// SPDX-License-Identifier: Apache-2.0
/*
 * When data go out, and when a silent peer is given up: Nagle's algorithm (RFC 9293 3.7.4), the sender's silly window
 * avoidance (3.8.6.2.1), the persist timer (3.8.6.1), keep-alive (3.8.4), the user timeout (3.8.3).
 */
#include <errno.h>

#include "net/tcb.h"
#include "tests/net/app.h"

#define KEEPALIVE_NS (10 * LINK_NS_PER_S)
#define INTERVAL_NS  (2 * LINK_NS_PER_S)
#define HOUR_NS	     (3600 * LINK_NS_PER_S)

static int setup(void **state)
{
	app_config(&app);
	app.config.net.keepalive_ms = KEEPALIVE_NS / LINK_NS_PER_MS;
	app.config.net.keepalive_interval_ms = INTERVAL_NS / LINK_NS_PER_MS;
	app.config.net.keepalive_probes = 3;
	app.config.net.user_timeout_us = 60000000;
	app.config.net.tlp = false; /* its probes are for other tests */
	app_open(&app, *state != NULL);
	return 0;
}

static void test_nagle(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 1");
	/* small ones wait for the acknowledgement, and go together */
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(app_send(&app, 10), 0);
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	peer_send(&app.peer, ". ack 11");
	peer_expect(&app.peer, "P. 11:61(50) ack 1");
	/* a full one does not wait */
	assert_int_equal(app_send(&app, 1010), 0);
	peer_expect(&app.peer, ". 61:1061(1000) ack 1");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	peer_send(&app.peer, ". ack 1061");
	peer_expect(&app.peer, "P. 1061:1071(10) ack 1");
	/* nor does the end of the stream */
	assert_int_equal(app_send(&app, 10), 0);
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "FP. 1071:1081(10) ack 1");
}

static void test_nodelay(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 10), 0);
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 1");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	/* switched on, it lets go what waits */
	app_set(&app, RB_NET_OPTION_NODELAY, 1);
	peer_expect(&app.peer, "P. 11:21(10) ack 1");
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 21:31(10) ack 1");
	peer_send(&app.peer, ". ack 31");
}

/* No small segments because the window is small, unless it is half of the largest one. */
static void test_sender_silly_window(void **state)
{
	(void)state;
	app.peer.window = 4000;
	app_established(&app, "mss 1000");
	app_set(&app, RB_NET_OPTION_NODELAY, 1);
	assert_int_equal(app_send(&app, 10000), 0);
	for (unsigned i = 0; i < 4; i++)
		peer_expect(&app.peer, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
	peer_send(&app.peer, ". ack 4001 win 500");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	peer_send(&app.peer, ". ack 4001 win 999");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	peer_send(&app.peer, ". ack 4001 win 2500");
	peer_expect(&app.peer, ". 4001:5001(1000) ack 1");
	peer_expect(&app.peer, ". 5001:6001(1000) ack 1");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	peer_send(&app.peer, ". ack 6001 win 4000");
	for (unsigned i = 6; i < 9; i++)
		peer_expect(&app.peer, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
	peer_expect(&app.peer, "P. 9001:10001(1000) ack 1");
	peer_send(&app.peer, ". ack 10001");
}

/* 3.8.6.2.1: a timeout lets data go when a window stays small for ever; here of 10 bytes. */
static void test_small_window_for_ever(void **state)
{
	(void)state;
	app.peer.window = 2000;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, ". 1:1(0) ack 1 win 10");
	assert_int_equal(app_send(&app, 30), 0);
	app.peer.window = 10;
	for (unsigned i = 0; i < 3; i++) {
		peer_expect(&app.peer, "%s %u:%u(10) ack 1", i == 2 ? "P." : ".", 1 + 10 * i, 11 + 10 * i);
		peer_send(&app.peer, ". ack %u", 11 + 10 * i);
	}
	assert_int_equal(app.sent, 30);
}

static void test_persist(void **state)
{
	(void)state;
	app.peer.window = 1000;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 2000), 0);
	peer_expect(&app.peer, ". 1:1001(1000) ack 1");
	app.peer.window = 0;
	peer_send(&app.peer, ". ack 1001");
	/* the interval is the RTO, and doubles */
	uint64_t interval_ns = (uint64_t)app_info(&app).rto_us * 1000;
	for (unsigned i = 0; i < 4; i++) {
		peer_expect_between(&app.peer, interval_ns, interval_ns + LINK_NS_PER_MS, ". 1000:1000(0) ack 1");
		peer_send(&app.peer, ". ack 1001");
		interval_ns *= 2;
	}
	assert_int_equal(app_counters(&app)->tcp_window_probes, 4);
	/* the window opens: at once, and the next closing begins with short intervals */
	app.peer.window = 1000;
	peer_send(&app.peer, ". ack 1001");
	peer_expect_between(&app.peer, 0, 0, "P. 1001:2001(1000) ack 1");
	peer_send(&app.peer, ". ack 2001");
	peer_expect_nothing(&app.peer, 10 * LINK_NS_PER_S);
}

/* MUST-37: a peer that answers probes is never given up. */
static void test_persist_for_ever(void **state)
{
	(void)state;
	app.peer.window = 0;
	app_established(&app, "mss 1000");
	app_set(&app, RB_NET_OPTION_USER_TIMEOUT, 5000000);
	assert_int_equal(app_send(&app, 1000), 0);
	app.peer.patience_ns = 61 * LINK_NS_PER_S;
	for (unsigned i = 0; i < 100; i++) {
		peer_expect(&app.peer, ". 0:0(0) ack 1");
		peer_send(&app.peer, ". ack 1");
	}
	app.peer.window = 1000;
	peer_send(&app.peer, ". ack 1");
	peer_expect_between(&app.peer, 0, 0, "P. 1:1001(1000) ack 1");
	peer_send(&app.peer, ". ack 1001");
	assert_int_equal(app.closed, 0);
}

/* But who has closed, and said how long it may take, is not held up by it; who has not said so, is. */
static void test_persist_closed(void **state)
{
	(void)state;
	app.peer.window = 0;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 1000), 0);
	app_shut(&app, RB_NET_CLOSE_BOTH);
	app.peer.patience_ns = 61 * LINK_NS_PER_S;
	for (unsigned i = 0; i < 20; i++) {
		peer_expect(&app.peer, ". 0:0(0) ack 1");
		peer_send(&app.peer, ". ack 1");
	}
	assert_int_equal(app.closed, 0);
	app_set(&app, RB_NET_OPTION_USER_TIMEOUT, 5000000);
	peer_expect(&app.peer, ". 0:0(0) ack 1");
	peer_send(&app.peer, ". ack 1");
	peer_run(&app.peer, 61 * LINK_NS_PER_S);
	peer_forget(&app.peer);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ETIMEDOUT);
}

/* One that does not is, after the user timeout. */
static void test_persist_gives_up(void **state)
{
	(void)state;
	app.peer.window = 0;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 1000), 0);
	peer_run(&app.peer, 50 * LINK_NS_PER_S);
	assert_int_equal(app.closed, 0);
	peer_run(&app.peer, 100 * LINK_NS_PER_S);
	peer_forget(&app.peer);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ETIMEDOUT);
}

/* A FIN takes a sequence number, so that it waits for a window like a byte. */
static void test_fin_waits_for_window(void **state)
{
	(void)state;
	app.peer.window = 0;
	app_established(&app, "mss 1000");
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, ". 0:0(0) ack 1"); /* a probe */
	peer_send(&app.peer, ". ack 1");
	app.peer.window = 1;
	peer_send(&app.peer, ". ack 1");
	peer_expect_between(&app.peer, 0, 0, "F. 1:1(0) ack 1");
	peer_send(&app.peer, ". ack 2");
	peer_expect_nothing(&app.peer, 10 * LINK_NS_PER_S);
}

/* Nor does it go along with data that fill the window, though it has no length. */
static void test_fin_waits_behind_data(void **state)
{
	(void)state;
	app.peer.window = 100;
	app_established(&app, "mss 1000");
	const struct rb_net_piece piece = {app.bytes, 100};
	assert_int_equal(rb_net_send(app_net(&app), app.handle, &piece, 1), 0);
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "P. 1:101(100) ack 1");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	app.peer.window = 0;
	peer_send(&app.peer, ". ack 101");
	peer_expect(&app.peer, ". 100:100(0) ack 1"); /* a probe */
	app.peer.window = 1;
	peer_send(&app.peer, ". ack 101");
	peer_expect_between(&app.peer, 0, 0, "F. 101:101(0) ack 1");
	peer_send(&app.peer, ". ack 102");
}

/* Nor is it what probes for a loss: that is what was sent last (RFC 8985 7.3). */
static void test_fin_waits_for_no_probe(void **state)
{
	(void)state;
	app.config.net.tlp = true;
	app_again(&app, &app.config);
	app.peer.window = 100;
	app_established(&app, "mss 1000,sackOK");
	assert_int_equal(app_send(&app, 100), 0);
	peer_expect(&app.peer, "P. 1:101(100) ack 1");
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "P. 1:101(100) ack 1");
	peer_send(&app.peer, ". ack 101");
	peer_expect(&app.peer, "F. 101:101(0) ack 1");
	peer_send(&app.peer, ". ack 102");
}

/* Nor when a timeout lets a segment go that fills a small window (3.8.6.2.1). */
static void test_fin_waits_for_small_window(void **state)
{
	(void)state;
	app.peer.window = 2000;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, ". 1:1(0) ack 1 win 10");
	app.peer.window = 10;
	assert_int_equal(app_send(&app, 20), 0);
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, ". 1:11(10) ack 1");
	peer_send(&app.peer, ". ack 11");
	peer_expect(&app.peer, "P. 11:21(10) ack 1");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	peer_send(&app.peer, ". ack 21");
	peer_expect(&app.peer, "F. 21:21(0) ack 1");
	peer_send(&app.peer, ". ack 22");
}

/* The window goes back under what was sent: nothing more is, and the old data are repeated until it opens. */
static void test_window_shrinks(void **state)
{
	(void)state;
	app.peer.window = 4000;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 6000), 0);
	for (unsigned i = 0; i < 4; i++)
		peer_expect(&app.peer, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
	peer_send(&app.peer, ". ack 1001 win 1000");
	peer_expect(&app.peer, ". 1001:2001(1000) ack 1"); /* by the timeout */
	peer_send(&app.peer, ". ack 4001 win 2000");
	peer_expect(&app.peer, ". 4001:5001(1000) ack 1");
	peer_send(&app.peer, ". ack 5001");
	peer_expect(&app.peer, "P. 5001:6001(1000) ack 1");
	peer_send(&app.peer, ". ack 6001");
	assert_int_equal(app.sent, 6000);
}

static void test_keepalive(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	peer_expect_nothing(&app.peer, 3 * KEEPALIVE_NS); /* off at first (MUST-25) */
	app_set(&app, RB_NET_OPTION_KEEPALIVE, 1);
	peer_expect_between(&app.peer, KEEPALIVE_NS, KEEPALIVE_NS + LINK_NS_PER_MS, ". 0:0(0) ack 1");
	peer_send(&app.peer, ". ack 1");
	/* whatever the peer says puts the next one off */
	peer_run(&app.peer, KEEPALIVE_NS / 2);
	peer_send(&app.peer, "P. 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 11");
	peer_expect_nothing(&app.peer, KEEPALIVE_NS - LINK_NS_PER_S);
	app.peer.patience_ns = 2 * LINK_NS_PER_S;
	/* no answer to so many: it is gone */
	for (unsigned i = 0; i < 3; i++) {
		peer_expect(&app.peer, ". 0:0(0) ack 11");
		app.peer.patience_ns = INTERVAL_NS + LINK_NS_PER_MS;
	}
	assert_int_equal(app.closed, 0);
	peer_expect(&app.peer, "R. 1:1(0) ack 11");
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ETIMEDOUT);
	assert_int_equal(app_counters(&app)->tcp_keepalives, 4);
}

/* MUST-28: by default not before two hours; far more microseconds than 32 bits hold. */
static void test_keepalive_default(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app_set(&app, RB_NET_OPTION_KEEPALIVE, 1);
	peer_expect_between(&app.peer, 2 * HOUR_NS, 2 * HOUR_NS + LINK_NS_PER_MS, ". 0:0(0) ack 1");
	peer_send(&app.peer, ". ack 1");
	peer_run(&app.peer, HOUR_NS);
	peer_send(&app.peer, "P. 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 11");
	peer_expect_nothing(&app.peer, 2 * HOUR_NS - LINK_NS_PER_S);
	peer_expect(&app.peer, ". 0:0(0) ack 11");
	peer_send(&app.peer, ". ack 1");
}

/* The longest that can be set; all probes together take longer than ticks are counted in 32 bits (19 h). */
static void test_keepalive_longest(void **state)
{
	const char *why;
	(void)state;
	app_config(&app);
	app.config.net.keepalive_interval_ms = app.config.net.keepalive_ms = 9 * HOUR_NS / LINK_NS_PER_MS + 1;
	assert_int_equal(rb_net_config_check(&app.config.net, &why), -EINVAL);
	assert_string_equal(why, "keepalive_ms must be 1 ms to 9 h");
	app.config.net.keepalive_interval_ms = --app.config.net.keepalive_ms;
	app.config.net.keepalive_probes = 2;
	app_open(&app, false);
	app_established(&app, "mss 1000");
	app_set(&app, RB_NET_OPTION_KEEPALIVE, 1);
	for (unsigned i = 0; i < 2; i++)
		peer_expect_between(&app.peer, 9 * HOUR_NS, 9 * HOUR_NS + LINK_NS_PER_MS, ". 0:0(0) ack 1");
	peer_expect_between(&app.peer, 9 * HOUR_NS, 9 * HOUR_NS + LINK_NS_PER_MS, "R. 1:1(0) ack 1");
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ETIMEDOUT);
	app_close(&app);
}

static void test_user_timeout(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app_set(&app, RB_NET_OPTION_USER_TIMEOUT, 5000000);
	assert_int_equal(app_send(&app, 10), 0);
	peer_run(&app.peer, 4900 * LINK_NS_PER_MS);
	assert_int_equal(app.closed, 0);
	peer_run(&app.peer, 10 * LINK_NS_PER_S); /* the timer's backoff */
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ETIMEDOUT);
	peer_forget(&app.peer);
}

/* What an ICMP error said of the way is the reason, when the connection ends (RFC 9293 3.9.2.2). */
static void test_user_timeout_reason(void **state)
{
	const struct segment_icmp unreachable = {.type = 3, .code = 0};
	(void)state;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 10), 0);
	peer_run(&app.peer, 10 * LINK_NS_PER_S);
	peer_send_icmp(&app.peer, &unreachable, 1);
	assert_int_equal(app.closed, 0);
	peer_run(&app.peer, 200 * LINK_NS_PER_S);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ENETUNREACH);
	peer_forget(&app.peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nagle, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_nodelay, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_sender_silly_window, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_small_window_for_ever, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_persist, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_persist_for_ever, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_persist_closed, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_persist_gives_up, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_waits_for_window, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_waits_behind_data, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_waits_for_no_probe, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_waits_for_small_window, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_window_shrinks, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_keepalive, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_keepalive_default, app_setup, app_teardown),
		cmocka_unit_test(test_keepalive_longest),
		cmocka_unit_test_setup_teardown(test_user_timeout, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_user_timeout_reason, setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
