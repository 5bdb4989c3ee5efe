// SPDX-License-Identifier: Apache-2.0
/*
 * Segment delivery: reassembly with every overlap, what SACK and D-SACK say of it (RFC 2018, 2883), delayed
 * acknowledgements (RFC 9293 3.8.6.3, RFC 5681 4.2), the receive window (3.8.6.2.2), and timestamps (RFC 7323).
 */
#include <string.h>

#include "base/random.h"
#include "net/tcb.h"
#include "tests/net/app.h"

#define DELAY_NS (40 * LINK_NS_PER_MS)

enum { DELAY_SLACK_NS = 100000 }; /* ticks of the timer */

/* RFC 5681 4.2: at once when a segment is out of order, or fills a gap. */
static void test_reorder_ack(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app.peer.patience_ns = 0;
	peer_send(&app.peer, ". 11:21(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	peer_send(&app.peer, ". 31:41(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	peer_send(&app.peer, ". 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 21");
	peer_send(&app.peer, ". 21:31(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 41");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app.received, 40);
	assert_int_equal(app_usage(&app).receive_parts, 0);
}

/* Without reassembly, what lies beyond a gap would have to come again. */
static void test_reassembly(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	for (unsigned i = 9; i >= 1; i--)
		peer_send(&app.peer, ". %u:%u(10)", 1 + 10 * i, 11 + 10 * i);
	peer_forget(&app.peer);
	peer_send(&app.peer, ". 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 101");
	assert_int_equal(app.received, 100);
}

/* Every pair and triple of ranges over a few units, in any order: all bytes come once and right, nothing is left. */
static void play_ranges(unsigned first, unsigned second, unsigned third)
{
	enum { UNITS = 5, UNIT = 3 };
	const unsigned choice[3] = {first, second, third};
	const uint32_t base = app.received + 1;
	peer_run(&app.peer, LINK_NS_PER_US);
	for (unsigned i = 0; i < 3; i++) {
		const unsigned left = choice[i] / UNITS, right = choice[i] % UNITS + 1;
		if (left < right)
			peer_send(&app.peer, ". %u:%u(%u)", base + UNIT * (left + 1), base + UNIT * (right + 1),
				  UNIT * (right - left));
	}
	/* no part overlaps another, and none is empty: there are as many bytes kept as lie beyond the gap */
	assert_in_range(app_usage(&app).receive_parts, 0, 5);
	peer_send(&app.peer, ". %u:%u(%u)", base, base + UNIT * (UNITS + 1), UNIT * (UNITS + 1));
	assert_int_equal(app.received, base - 1 + UNIT * (UNITS + 1));
	assert_int_equal(app_usage(&app).receive_parts, 0);
	peer_forget(&app.peer);
}

static void test_overlaps(void **state)
{
	(void)state;
	app_established(&app, "mss 1000,sackOK");
	for (unsigned first = 0; first < 25; first++) {
		for (unsigned second = 0; second < 25; second++) {
			for (unsigned third = 0; third < 25; third += 1 + (first + second) % 3)
				play_ranges(first, second, third);
		}
	}
}

/* A range that ends inside a part which begins where an earlier one ended brings nothing new (and no empty part). */
static void test_overlap_of_neighbours(void **state)
{
	(void)state;
	app_established(&app, "mss 1000,sackOK");
	app.peer.patience_ns = 0;
	peer_send(&app.peer, ". 11:21(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <sack 11:21>");
	peer_send(&app.peer, ". 21:31(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <sack 11:31>");
	peer_send(&app.peer, ". 16:26(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <sack 16:26 11:31>");
	assert_int_equal(app_usage(&app).receive_parts, 2);
	assert_int_equal(app_counters(&app)->tcp_duplicates, 1);
}

/* RFC 2018 4: the block with the latest segment first, then the others, the latest first. */
static void test_sack_blocks(void **state)
{
	(void)state;
	app_established(&app, "mss 1000,sackOK");
	app.peer.patience_ns = 0;
	peer_send(&app.peer, ". 101:111(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <sack 101:111>");
	peer_send(&app.peer, ". 121:131(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <sack 121:131 101:111>");
	peer_send(&app.peer, ". 141:151(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <sack 141:151 121:131 101:111>");
	peer_send(&app.peer, ". 161:171(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <sack 161:171 141:151 121:131 101:111>");
	peer_send(&app.peer, ". 181:191(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <sack 181:191 161:171 141:151 121:131>");
	/* two blocks become one */
	peer_send(&app.peer, ". 131:141(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <sack 121:151 181:191 161:171>");
	/* the gap closes up to a block */
	peer_send(&app.peer, ". 1:121(120)");
	peer_expect(&app.peer, ". 1:1(0) ack 151 <sack 181:191 161:171>");
	peer_send(&app.peer, ". 151:201(50)");
	peer_expect(&app.peer, ". 1:1(0) ack 201 <>");
	assert_int_equal(app.received, 200);
}

/* RFC 2018 3: three blocks fit beside timestamps. */
static void test_sack_with_timestamps(void **state)
{
	(void)state;
	app.peer.timestamps = true;
	app.peer.ts_val = 7;
	peer_send(&app.peer, "S 0:0(0) <mss 1000,sackOK,TS val 7 ecr 0>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_send(&app.peer, ". ack 1");
	app.peer.patience_ns = 0;
	for (unsigned i = 1; i <= 4; i++) {
		peer_forget(&app.peer);
		peer_send(&app.peer, ". %u:%u(10)", 20 * i, 20 * i + 10);
	}
	peer_expect(&app.peer, ". 1:1(0) ack 1 <TS val * ecr 7,sack 80:90 60:70 40:50>");
}

/* RFC 2018 2: no SACK without the other side's permission. */
static void test_no_sack(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, ". 101:111(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <>");
	peer_send(&app.peer, ". 101:111(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <>");
}

/* RFC 2883 4: the first block is what came twice, once; the second is the block it lies in. */
static void test_dsack(void **state)
{
	(void)state;
	app_established(&app, "mss 1000,sackOK");
	app.peer.patience_ns = 0;
	peer_send(&app.peer, ". 1:101(100)");
	peer_forget(&app.peer);
	/* 4.1: below the cumulative ACK, whole */
	peer_send(&app.peer, ". 1:51(50)");
	peer_expect(&app.peer, ". 1:1(0) ack 101 <sack 1:51>");
	/* in part: what is new counts */
	peer_send(&app.peer, ". 51:121(70)");
	peer_expect(&app.peer, ". 1:1(0) ack 121 <sack 51:101>");
	/* above a gap, whole: 4.2 */
	peer_send(&app.peer, ". 201:301(100)");
	peer_expect(&app.peer, ". 1:1(0) ack 121 <sack 201:301>");
	peer_send(&app.peer, ". 401:501(100)");
	peer_expect(&app.peer, ". 1:1(0) ack 121 <sack 401:501 201:301>");
	peer_send(&app.peer, ". 221:241(20)");
	peer_expect(&app.peer, ". 1:1(0) ack 121 <sack 221:241 201:301 401:501>");
	/* above a gap, in part: at its front, and at its end */
	peer_send(&app.peer, ". 281:321(40)");
	peer_expect(&app.peer, ". 1:1(0) ack 121 <sack 281:301 201:321 401:501>");
	peer_send(&app.peer, ". 381:421(40)");
	peer_expect(&app.peer, ". 1:1(0) ack 121 <sack 401:421 381:501 201:321>");
	/* the next one says nothing of it any more */
	peer_send(&app.peer, ". 601:611(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 121 <sack 601:611 381:501 201:321>");
}

/* The FIN of a segment that came too early need not come again. */
static void test_early_fin(void **state)
{
	(void)state;
	app_established(&app, "mss 1000,sackOK");
	app.peer.patience_ns = 0;
	peer_send(&app.peer, "FP. 11:21(10) ack 1");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	assert_false(app.fin);
	peer_send(&app.peer, ". 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 22");
	assert_true(app.fin);
	assert_int_equal(app_state(&app), TCP_CLOSE_WAIT);
	/* and without data */
	app_again(&app, NULL);
	app_established(&app, "mss 1000");
	app.peer.patience_ns = 0;
	peer_send(&app.peer, "F. 11:11(0) ack 1");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	peer_send(&app.peer, "P. 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 12");
	assert_true(app.fin);
	assert_int_equal(app.received, 10);
}

/*
 * Acknowledgements.
 */

static void test_delayed_ack(void **state)
{
	(void)state;
	app.keeps = true; /* or a larger window would be a reason, too */
	app_established(&app, "mss 1000");
	/* one segment waits, not for 500 ms */
	peer_send(&app.peer, "P. 1:11(10)");
	peer_expect_between(&app.peer, DELAY_NS, DELAY_NS + DELAY_SLACK_NS, ". 1:1(0) ack 11");
	/* every second one does not */
	peer_send(&app.peer, ". 11:1011(1000)");
	peer_expect_nothing(&app.peer, DELAY_NS / 2);
	peer_send(&app.peer, ". 1011:2011(1000)");
	peer_expect_between(&app.peer, 0, 0, ". 1:1(0) ack 2011");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
}

/* What is done meanwhile does not put the acknowledgement off. */
static void test_delayed_ack_is_not_put_off(void **state)
{
	(void)state;
	app.peer.window = 10;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 5000), 0); /* which the window holds back */
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	peer_send(&app.peer, "P. 1:11(10)");
	const uint64_t from_ns = app.peer.timeline.now_ns;
	for (unsigned i = 0; i < 3; i++) {
		peer_expect_nothing(&app.peer, DELAY_NS / 4);
		app_set(&app, RB_NET_OPTION_NODELAY, 1);
	}
	peer_expect_between(&app.peer, 0, DELAY_NS, ". 11:11(0) ack 11");
	assert_in_range(app.peer.last_ns - from_ns, DELAY_NS, DELAY_NS + DELAY_SLACK_NS);
}

/* An acknowledgement rides on data. */
static void test_piggyback(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "P. 1:11(10)");
	assert_int_equal(app_send(&app, 5), 0);
	peer_expect_between(&app.peer, 0, 0, "P. 1:6(5) ack 11");
	peer_send(&app.peer, ". ack 6");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
}

/* One acknowledgement for all segments of a burst. */
static void test_burst_ack(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app.peer.host.config.period_ns = LINK_NS_PER_MS; /* a turn takes what has come meanwhile */
	for (unsigned i = 0; i < 20; i++)
		peer_send(&app.peer, ". %u:%u(100)", 1 + 100 * i, 101 + 100 * i);
	peer_expect(&app.peer, ". 1:1(0) ack 2001");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
}

/*
 * Events that are made while a burst comes in, and that the application has not taken yet when it changes its mind.
 */

static struct {
	struct host_app app; /* what is told to it first */
	unsigned received;   /* events so far */
	bool moves;	     /* with the first one: out and in again; else it closes */
} told;

static void told_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	told.app.event(host, net, event, context);
	if (!(event->bits & RB_NET_RECEIVED) || ++told.received > 1)
		return;
	if (told.moves)
		host_move(host, &net, &app.handle, false);
	else
		assert_int_equal(rb_net_close(net, event->handle, RB_NET_CLOSE_BOTH), 0);
}

/* An established connection, with data under way, whose events are taken one by one. */
static void told_established(const char *options, bool moves)
{
	app_established(&app, options);
	told.app = app.peer.host.config.app;
	told.received = 0;
	told.moves = moves;
	app.peer.host.config.app.event = told_event;
	app.peer.host.config.events = 1;
	app.peer.host.config.period_ns = LINK_NS_PER_MS;
	assert_int_equal(app_send(&app, 5), 0);
	peer_expect(&app.peer, "P. 1:6(5)");
}

/* Three segments in one burst. */
static void told_three(bool moves)
{
	told_established("mss 1000", moves);
	for (unsigned i = 0; i < 3; i++)
		peer_send(&app.peer, ". %u:%u(10) ack 6", 1 + 10 * i, 11 + 10 * i);
}

/* A connection that goes elsewhere takes them with it: each byte is told once, and what was acknowledged, too. */
static void test_events_move(void **state)
{
	(void)state;
	told_three(true);
	peer_expect(&app.peer, ". 6:6(0) ack 31");
	assert_int_equal(app.received, 30);
	assert_int_equal(app.received_events, 3);
	assert_int_equal(app.sent, 5);
}

/* Who has closed both ways is not told of bytes that are no more. */
static void test_events_after_close(void **state)
{
	(void)state;
	told_three(false);
	peer_expect(&app.peer, "F. 6:6(0) ack 31");
	assert_int_equal(app.received, 10);
	assert_int_equal(app.sent, 5);
	assert_int_equal(app_usage(&app).receive_parts, 0);
	peer_send(&app.peer, "F. 31:31(0) ack 7");
	peer_expect(&app.peer, ". 7:7(0) ack 32");
	assert_int_equal(app.received, 10);
	assert_int_equal(app.closed, 1);
}

/* The same of a FIN in the burst. */
static void told_fin(bool moves)
{
	app.peer.timestamps = true;
	app.peer.ts_val = 1;
	told_established("mss 1000,TS val 1 ecr 0", moves);
	peer_send(&app.peer, ". 1:11(10) ack 1");
	peer_send(&app.peer, "F. 11:11(0) ack 6");
}

static void test_fin_moves(void **state)
{
	(void)state;
	told_fin(true);
	peer_expect(&app.peer, ". 6:6(0) ack 12");
	assert_int_equal(app.received, 10);
	assert_int_equal(app.sent, 5);
	assert_true(app.fin);
	assert_int_equal(app_state(&app), TCP_CLOSE_WAIT);
}

static void test_fin_after_close(void **state)
{
	(void)state;
	told_fin(false);
	peer_expect(&app.peer, "F. 6:6(0) ack 12");
	assert_int_equal(app.received, 10);
	assert_int_equal(app.sent, 5);
	assert_false(app.fin);
	peer_send(&app.peer, ". 12:12(0) ack 7");
	peer_run(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, 0);
}

/*
 * The receive window.
 */

static int setup_window(void **state)
{
	app_config(&app);
	app.config.net.receive_window = 10000;
	app_open(&app, *state != NULL);
	app.keeps = true;
	return 0;
}

/* 3.8.6.2.2: the window opens by full segments (or half of it), not by what a slow reader reads at a time. */
static void test_receiver_silly_window(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	for (unsigned i = 0; i < 10; i++)
		peer_send(&app.peer, ". %u:%u(1000)", 1 + 1000 * i, 1001 + 1000 * i);
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	assert_int_equal(app_info(&app).rcv_wnd, 0);
	for (unsigned i = 0; i < 9; i++) {
		app_read(&app, 100);
		peer_send(&app.peer, ". 10000:10000(0)"); /* a probe: the window is still closed */
		peer_expect(&app.peer, ". 1:1(0) ack 10001 win 0");
	}
	app_read(&app, 100);
	peer_send(&app.peer, ". 10000:10000(0)");
	peer_expect(&app.peer, ". 1:1(0) ack 10001 win 1000");
	/* two segments are worth a segment of their own */
	app_read(&app, 1900);
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	app_read(&app, 100);
	peer_expect(&app.peer, ". 1:1(0) ack 10001 win 3000");
	app_read(&app, 7000);
	peer_expect(&app.peer, ". 1:1(0) ack 10001 win 10000");
}

/* The same, while half the window is free: it stays as it is when requests come and are read, and follows what is left. */
static void test_receiver_open_window(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	for (unsigned i = 0; i < 10; i++) {
		peer_send(&app.peer, "P. %u:%u(100) ack %u", 1 + 100 * i, 101 + 100 * i, 1 + 10 * i);
		app_read(&app, 100);
		assert_int_equal(app_send(&app, 10), 0);
		peer_expect(&app.peer, "P. %u:%u(10) ack %u win 10000", 1 + 10 * i, 11 + 10 * i, 101 + 100 * i);
	}
	/* and not when the reader is far behind */
	peer_send(&app.peer, "P. 1001:1901(900) ack 101");
	for (unsigned i = 0; i < 5; i++)
		peer_send(&app.peer, ". %u:%u(1000)", 1901 + 1000 * i, 2901 + 1000 * i);
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	assert_int_equal(app_info(&app).rcv_wnd, 4100);
	app_read(&app, 899);
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 101:111(10) ack 6901 win 4100");
	app_read(&app, 1);
	peer_send(&app.peer, ". 6901:6901(0) ack 111");
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 111:121(10) ack 6901 win 5000");
}

/* 3.8.6: what was offered is not taken back. */
static void test_window_never_shrinks(void **state)
{
	struct rb_random random;
	(void)state;
	rb_random_init(&random, 1, 1);
	app_established(&app, "mss 1000,wscale 7");
	uint32_t next = 1, edge = 0;
	for (unsigned i = 0; i < 2000; i++) {
		const struct rb_net_info info = app_info(&app);
		if (edge != 0)
			assert_true((int32_t)(info.rcv_nxt + info.rcv_wnd - edge) >= 0);
		edge = info.rcv_nxt + info.rcv_wnd;
		const uint32_t length = (uint32_t)rb_random_below(&random, 999) + 1;
		if (length <= info.rcv_wnd) {
			peer_send(&app.peer, "P. %u:%u(%u)", next, next + length, length);
			next += length;
		}
		const uint32_t read = (uint32_t)rb_random_below(&random, 1500);
		app_read(&app, read < app.unread ? read : app.unread);
		peer_forget(&app.peer);
	}
	assert_int_equal(app.received, next - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reorder_ack, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_reassembly, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_overlaps, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_overlap_of_neighbours, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_sack_blocks, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_sack_with_timestamps, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_no_sack, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_dsack, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_early_fin, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_delayed_ack, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_delayed_ack_is_not_put_off, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_piggyback, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_burst_ack, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_events_move, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_events_after_close, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_moves, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_after_close, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_receiver_silly_window, setup_window, app_teardown),
		cmocka_unit_test_setup_teardown(test_receiver_open_window, setup_window, app_teardown),
		cmocka_unit_test_setup_teardown(test_window_never_shrinks, setup_window, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
