// SPDX-License-Identifier: Apache-2.0
/* Timestamps and window scaling (RFC 7323): what is agreed, what is echoed, and the protection against old segments. */
#include "net/tcb.h"
#include "tests/net/app.h"

enum { NOW = 1000 };

static void establish(void)
{
	app.peer.timestamps = true;
	app.peer.ts_val = NOW;
	app_established(&app, "mss 1012,TS val 1000 ecr 0");
	app.peer.patience_ns = 0;
}

static void set_val(uint32_t val)
{
	app.peer.ts_val = val;
}

/* 5.3 R1: an old timestamp makes a segment unacceptable: it is answered, and nothing in it counts. */
static void test_paws(void **state)
{
	(void)state;
	establish();
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 1 <TS val * ecr 1000>");
	set_val(NOW - 1);
	peer_send(&app.peer, "P. 1:11(10) ack 11 win 5");
	peer_expect(&app.peer, ". 11:11(0) ack 1 <TS val * ecr 1000>");
	peer_send(&app.peer, ". 1:1(0) ack 11 win 5");
	peer_expect(&app.peer, ". 11:11(0) ack 1 <TS val * ecr 1000>");
	assert_int_equal(app.received, 0);
	assert_int_equal(app.sent, 0);
	assert_int_equal(app_info(&app).snd_wnd, 65535);
	assert_int_equal(app_counters(&app)->tcp_paws, 2);
	set_val(NOW);
	peer_send(&app.peer, "P. 1:11(10) ack 11");
	app.peer.patience_ns = LINK_NS_PER_S;
	peer_expect(&app.peer, ". 11:11(0) ack 11 <TS val * ecr 1000>");
	assert_int_equal(app.received, 10);
}

/* Modulo 2^32, like sequence numbers. */
static void test_paws_wraps(void **state)
{
	(void)state;
	app.peer.timestamps = true;
	app.peer.ts_val = UINT32_MAX;
	app_established(&app, "mss 1012,TS val 4294967295 ecr 0");
	set_val(1);
	peer_send(&app.peer, "P. 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 11 <TS val * ecr 1>");
	set_val(UINT32_MAX);
	peer_send(&app.peer, "P. 11:21(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 11 <TS val * ecr 1>");
	assert_int_equal(app.received, 10);
}

/* 5.2: a RST is not judged by its timestamp. */
static void test_paws_reset(void **state)
{
	(void)state;
	establish();
	set_val(NOW - 1);
	peer_send(&app.peer, "R 1:1(0)");
	assert_int_equal(app.closed, 1);
}

/* 3.2: once agreed, a segment without them is dropped, but for a RST. */
static void test_missing(void **state)
{
	(void)state;
	establish();
	peer_send(&app.peer, "P. 1:11(10) <>");
	peer_send(&app.peer, "F. 1:1(0) <>");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app.received, 0);
	assert_false(app.fin);
	peer_send(&app.peer, "R 1:1(0) <>");
	assert_int_equal(app.closed, 1);
}

/* 2.2, 3.2: not agreed when one side does not offer; then they are ignored. */
static void test_not_agreed(void **state)
{
	(void)state;
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 <mss 1460>");
	peer_send(&app.peer, ". ack 1");
	peer_send(&app.peer, "P. 1:11(10) <TS val 5 ecr 5>");
	peer_expect(&app.peer, ". 1:1(0) ack 11 <>");
	peer_send(&app.peer, "P. 11:21(10) <TS val 1 ecr 5>");
	peer_expect(&app.peer, ". 1:1(0) ack 21 <>");
	assert_int_equal(app.received, 20);
}

/* 4.3: TS.Recent is of the segment at the left edge: of a delayed ACK the first one's, and not of one beyond a gap. */
static void test_recent(void **state)
{
	(void)state;
	establish();
	set_val(NOW + 1);
	peer_send(&app.peer, "P. 1:11(10)");
	set_val(NOW + 2);
	peer_send(&app.peer, "P. 11:21(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 21 <TS val * ecr 1001>");
	set_val(NOW + 3);
	peer_send(&app.peer, "P. 31:41(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 21 <TS val * ecr 1001>");
	set_val(NOW + 4);
	peer_send(&app.peer, "P. 21:31(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 41 <TS val * ecr 1004>");
}

/* Of a segment whose acknowledgement cannot be true (RFC 5961 5.2), or that opens nothing, the timestamp is none. */
static void test_recent_forged(void **state)
{
	(void)state;
	set_val(NOW);
	peer_send(&app.peer, "S 0:0(0) <mss 1000,TS val 1000 ecr 0>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 <mss 1460,TS val * ecr 1000>");
	app.peer.timestamps = true;
	set_val(NOW + 0x7fffffffU);
	peer_send(&app.peer, ". 1:1(0) ack 5000");
	peer_expect(&app.peer, "R 5000:5000(0)");
	set_val(NOW);
	peer_send(&app.peer, ". 1:1(0) ack 1");
	app_settle(&app);
	assert_int_equal(app.knocks, 1);
	/* the window is all that must be hit, from below as well */
	peer_send(&app.peer, "P. 1:11(10) ack 1");
	peer_expect(&app.peer, ". 1:1(0) ack 11 <TS val * ecr 1000>");
	set_val(NOW + 0x7fffffffU);
	peer_send(&app.peer, "P. 9:19(10) ack 5000");
	peer_expect(&app.peer, ". 1:1(0) ack 11 <TS val * ecr 1000>");
	set_val(NOW + 1);
	peer_send(&app.peer, "P. 11:21(10) ack 1");
	peer_expect(&app.peer, ". 1:1(0) ack 21 <TS val * ecr 1001>");
	assert_int_equal(app.received, 20);
	assert_int_equal(app_counters(&app)->tcp_paws, 0);
}

/* A SYN is answered, and that is all. Returns the timestamp that the answer has. */
static uint32_t tsval_to(uint16_t port)
{
	app.peer.port = port;
	app.peer.snd_nxt = app.peer.rcv_nxt = 0;
	peer_send(&app.peer, "S 0:0(0) <mss 1012,TS val 1000 ecr 0>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 <mss 1460,TS val * ecr 1000>");
	peer_send(&app.peer, "R 1:1(0)");
	return app.peer.ts_recent;
}

/* 5.4: where the clock starts differs from peer to peer, and tells nothing of the uptime; to each it goes on. */
static void test_offset(void **state)
{
	enum { PORTS = 16 };
	uint32_t first[PORTS];
	(void)state;
	for (unsigned i = 0; i < PORTS; i++) {
		first[i] = tsval_to((uint16_t)(1000 + i));
		for (unsigned j = 0; j < i; j++)
			assert_true(first[i] - first[j] > 1000 && first[j] - first[i] > 1000);
	}
	peer_run(&app.peer, LINK_NS_PER_S);
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(tsval_to((uint16_t)(1000 + i)) - first[i], 1000);
}

/* Our own clock: milliseconds. */
static void test_clock(void **state)
{
	(void)state;
	establish();
	const uint32_t before = app.peer.ts_recent;
	peer_run(&app.peer, 5 * LINK_NS_PER_S);
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 1");
	assert_int_equal(app.peer.ts_recent - before, 5000);
	peer_send(&app.peer, ". ack 11");
}

/* 2.2: both or none; the window of a SYN is as it stands there. */
static void test_scale(void **state)
{
	(void)state;
	app.peer.window = 1000;
	app_established(&app, "mss 1000,wscale 3");
	struct rb_net_info info = app_info(&app);
	assert_true(info.window_scaling);
	assert_int_equal(info.snd_wscale, 3);
	assert_int_equal(info.rcv_wscale, 3); /* for 256 KiB */
	assert_int_equal(info.snd_wnd, 8000);
	assert_int_equal(info.rcv_wnd, 65535);
	peer_send(&app.peer, "P. 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 11 win 32768"); /* 256 KiB by 8 */
	app_again(&app, NULL);
	app.peer.window = 1000;
	peer_send(&app.peer, "S 0:0(0) <mss 1000,wscale 3>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 win 65535 <mss 1460,wscale 3>");
	peer_send(&app.peer, ". ack 1");
	app_again(&app, NULL);
	app_established(&app, "mss 1000");
	info = app_info(&app);
	assert_false(info.window_scaling);
	assert_int_equal(info.snd_wnd, 65535);
	assert_int_equal(info.rcv_wnd, 65535);
}

/* 2.3: more than 14 is 14. */
static void test_scale_too_large(void **state)
{
	(void)state;
	app_established(&app, "mss 1000,wscale 200");
	assert_int_equal(app_info(&app).snd_wscale, 14);
	assert_int_equal(app_info(&app).snd_wnd, 65535 << 14);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_paws, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_paws_wraps, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_paws_reset, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_missing, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_not_agreed, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_recent, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_recent_forged, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_offset, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_clock, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_scale, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_scale_too_large, app_setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
