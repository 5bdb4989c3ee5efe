// SPDX-License-Identifier: Apache-2.0
/* SYN cookies (RFC 4987 3.6): a listener under pressure keeps nothing of a SYN, and refuses what it has not sent. */
#include <errno.h>

#include "net/tcb.h"
#include "tests/net/app.h"

#define SLOT_NS (UINT64_C(1) << 36) /* a cookie is good for the slot it was made in, and the next one */

/* A backlog of none: cookies always. */
static int setup(void **state)
{
	app_config(&app);
	app.config.net.backlog = 0;
	app_open(&app, *state != NULL);
	return 0;
}

static void next_port(void)
{
	app.peer.port++;
	app.peer.snd_nxt = app.peer.rcv_nxt = 0;
	app.peer.irs_known = app.peer.timestamps = false;
}

/* Nothing is kept, and the connection works all the same; here one without options, whose MSS the cookie has. */
static void test_plain(void **state)
{
	(void)state;
	peer_send(&app.peer, "S 0:0(0) <mss 1400,sackOK,wscale 5>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 win 65535 <mss *>"); /* there is no room for more without timestamps */
	assert_int_equal(app_usage(&app).connections, 0);
	peer_expect_nothing(&app.peer, 10 * LINK_NS_PER_S); /* nor is it repeated */
	peer_send(&app.peer, ". ack 1");
	const struct rb_net_info info = app_info(&app);
	assert_int_equal(info.state, TCP_ESTABLISHED);
	assert_int_equal(info.mss, 1400);
	assert_false(info.sack || info.timestamps || info.window_scaling);
	assert_int_equal(info.snd_wnd, 65535);
	assert_int_equal(info.srtt_us, 0); /* nobody knows when the SYN-ACK went out */
	peer_send(&app.peer, "P. 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 11");
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 11");
	peer_send(&app.peer, ". ack 11");
	assert_int_equal(app.received, 10);
	assert_int_equal(app_counters(&app)->tcp_cookies_sent, 1);
	assert_int_equal(app_counters(&app)->tcp_cookies_good, 1);
}

/* The options ride in the timestamp. */
static void test_options(void **state)
{
	static const struct {
		const char *options;
		unsigned scale;
		bool sack, scaling;
	} rows[] = {
		{"mss 1460,TS val 7 ecr 0", 0, false, false},
		{"mss 1460,sackOK,TS val 7 ecr 0", 0, true, false},
		{"mss 1460,TS val 7 ecr 0,wscale 0", 0, false, true},
		{"mss 1460,sackOK,TS val 7 ecr 0,wscale 14", 14, true, true},
		{"mss 1460,sackOK,TS val 7 ecr 0,wscale 7", 7, true, true},
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		next_port();
		peer_send(&app.peer, "S 0:0(0) <%s>", rows[i].options);
		peer_expect(&app.peer, "S. 0:0(0) ack 1");
		assert_int_equal(app_usage(&app).connections, i);
		app.peer.timestamps = true;
		app.peer.ts_val = 8;
		peer_send(&app.peer, ". ack 1");
		const struct rb_net_info info = app_info(&app);
		assert_int_equal(info.state, TCP_ESTABLISHED);
		assert_true(info.timestamps);
		assert_int_equal(info.sack, rows[i].sack);
		assert_int_equal(info.window_scaling, rows[i].scaling);
		assert_int_equal(info.snd_wscale, rows[i].scale);
		assert_int_equal(info.mss, 1460 - 12);
		/* later timestamps of ours are not older than the one with the options in it */
		const uint32_t ts_recent = app.peer.ts_recent;
		assert_int_equal(app_send(&app, 1), 0);
		peer_expect(&app.peer, "P. 1:2(1) ack 1");
		assert_true((int32_t)(app.peer.ts_recent - ts_recent) >= 0);
		peer_send(&app.peer, ". ack 2");
	}
}

/* The cookie comes back with data: the ACK before was lost. Or with a FIN. */
static void test_with_data(void **state)
{
	(void)state;
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_send(&app.peer, "FP. 1:11(10) ack 1");
	peer_expect(&app.peer, ". 1:1(0) ack 12");
	assert_int_equal(app.received, 10);
	assert_true(app.fin);
}

static void test_expiry(void **state)
{
	(void)state;
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_run(&app.peer, SLOT_NS);
	peer_send(&app.peer, ". ack 1");
	assert_int_equal(app.knocks, 1);
	next_port();
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_run(&app.peer, 2 * SLOT_NS);
	peer_send(&app.peer, ". ack 1");
	peer_expect(&app.peer, "R 1:1(0)");
	/* the slot's number in the cookie wraps after 32: it is not good again */
	peer_run(&app.peer, 30 * SLOT_NS);
	peer_send(&app.peer, ". 1:1(0) ack 1");
	peer_expect(&app.peer, "R 1:1(0)");
	assert_int_equal(app.knocks, 1);
	assert_int_equal(app_counters(&app)->tcp_cookies_bad, 2);
}

/* What differs in anything from what was sent is no cookie: other ports, other numbers, any bit. */
static void test_forged(void **state)
{
	(void)state;
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	for (unsigned bit = 0; bit < 32; bit++)
		peer_send(&app.peer, ". 1:1(0) ack %u", 1U + (1U << bit));
	peer_send(&app.peer, ". 2:2(0) ack 1");
	peer_send(&app.peer, ". 0:0(0) ack 1");
	app.peer.port++;
	peer_send(&app.peer, ". 1:1(0) ack 1");
	app.peer.port--;
	/* while cookies may come back there is no RST, which would end a connection whose ACK was lost */
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app.knocks, 0);
	assert_int_equal(app_counters(&app)->tcp_cookies_bad, 35);
	/* a SYN-ACK brings none back */
	peer_send(&app.peer, "S. 1:1(0) ack 1");
	assert_int_equal(app_usage(&app).connections, 0);
	peer_send(&app.peer, ". 1:1(0) ack 1");
	assert_int_equal(app.knocks, 1);
}

/* A flood of SYNs from everywhere: a client gets through, and nothing is kept of the others. */
static void test_flood(void **state)
{
	struct segment syn = {
		.source_port = 1, .flags = SEGMENT_SYN, .window = 1000, .options = SEGMENT_MSS, .mss = 1460};
	(void)state;
	app.config.net.backlog = 16;
	app.config.net.neighbours = 64;
	app_again(&app, &app.config);
	for (unsigned i = 0; i < 2000; i++) {
		syn.source = fixture_ip(app.peer.ip6, 100 + i % 20);
		syn.source_port = (uint16_t)(1000 + i);
		syn.seq = i * 12345;
		peer_send_segment(&app.peer, &syn);
		if (i % 100 == 0)
			peer_run(&app.peer, LINK_NS_PER_MS);
	}
	assert_int_equal(app_usage(&app).connections, 16);
	assert_int_equal(app_counters(&app)->tcp_cookies_sent, 2000 - 16);
	peer_forget(&app.peer);
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "P. 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 11");
	assert_int_equal(app.received, 10);
	/* the flood's own handshakes run out, and the backlog has room again */
	peer_run(&app.peer, 300 * LINK_NS_PER_S);
	assert_int_equal(app_usage(&app).connections, 1);
}

int main(void)
{
	static bool ip6 = true;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_options, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_with_data, setup, app_teardown),
		{"test_with_data over IPv6", test_with_data, setup, app_teardown, &ip6},
		cmocka_unit_test_setup_teardown(test_expiry, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_forged, setup, app_teardown),
		{"test_forged over IPv6", test_forged, setup, app_teardown, &ip6},
		cmocka_unit_test_setup_teardown(test_flood, setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
