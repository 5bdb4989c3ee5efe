// SPDX-License-Identifier: Apache-2.0
/*
 * SEGMENT ARRIVES (RFC 9293 3.10.7), as tables: which segments are acceptable, and what each state answers to each kind
 * of segment, with the stricter rules of RFC 5961 and RFC 1337.
 */
#include <errno.h>
#include <string.h>

#include "net/tcb.h"
#include "tests/net/app.h"

/*
 * RFC 9293 3.4, table 6.
 */

enum { WINDOW = 1000 };

struct acceptance {
	uint32_t window;
	int32_t seq; /* from RCV.NXT */
	uint32_t length;
	bool acceptable;
};

static const struct acceptance acceptances[] = {
	/* length 0, window 0: SEG.SEQ = RCV.NXT */
	{0, 0, 0, true},
	{0, 1, 0, false},
	{0, -1, 0, false},
	/* length 0, window > 0: RCV.NXT =< SEG.SEQ < RCV.NXT+RCV.WND, and the edge (test_edge_ack) */
	{WINDOW, 0, 0, true},
	{WINDOW, -1, 0, false},
	{WINDOW, WINDOW - 1, 0, true},
	{WINDOW, WINDOW, 0, true},
	{WINDOW, WINDOW + 1, 0, false},
	{WINDOW, INT32_MAX, 0, false},
	{WINDOW, INT32_MIN, 0, false},
	{1, 0, 0, true},
	{1, 1, 0, true},
	{1, 2, 0, false},
	/* length > 0, window 0: not acceptable */
	{0, 0, 1, false},
	{0, -1, 1, false},
	{0, 0, 500, false},
	/* length > 0, window > 0: the first or the last byte is in the window */
	{WINDOW, 0, 1, true},
	{WINDOW, -1, 1, false},
	{WINDOW, -1, 2, true},
	{WINDOW, -500, 500, false},
	{WINDOW, -500, 501, true},
	{WINDOW, WINDOW - 1, 1, true},
	{WINDOW, WINDOW - 1, 500, true},
	{WINDOW, WINDOW, 1, false},
	{WINDOW, WINDOW, 500, false},
	{WINDOW, 0, 1400, true},
	{WINDOW, INT32_MAX, 500, false},
	{1, 0, 1, true},
	{1, 0, 500, true},
	{1, 1, 1, false},
	{1, -1, 1, false},
};

static void check_acceptance(const struct acceptance *row, uint32_t rcv_nxt)
{
	const uint32_t used = WINDOW - row->window, next = 1 + WINDOW + used;
	app.keeps = true;
	app.peer.iss = rcv_nxt - next;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "P. 1:%u(%u)", 1 + WINDOW, WINDOW);
	app_read(&app, WINDOW);
	if (used > 0)
		peer_send(&app.peer, "P. %u:%u(%u)", next - used, next, used);
	assert_int_equal(app_info(&app).rcv_nxt, rcv_nxt);
	assert_int_equal(app_info(&app).rcv_wnd, row->window);
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	const uint32_t seq = next + (uint32_t)row->seq;
	peer_send(&app.peer, ". %u:%u(%u) ack 1", seq, seq + row->length, row->length);
	const bool accepted = app_counters(&app)->tcp_unacceptable == 0;
	if (accepted != row->acceptable)
		fail_msg("RCV.NXT %u, window %u, SEG.SEQ %+d, length %u", rcv_nxt, row->window, row->seq, row->length);
	if (!accepted) { /* an ACK, at once */
		app.peer.patience_ns = 0;
		peer_expect(&app.peer, ". 1:1(0) ack %u win %u", next, row->window);
	}
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	/* nothing outside the window has come through */
	assert_in_range(app.received, next - 1, next - 1 + row->window);
}

static void test_acceptance(void **state)
{
	const uint32_t edges[] = {1, 0, UINT32_MAX, UINT32_MAX - WINDOW / 2, 0x7fffffff, 0x80000000 - WINDOW / 2};
	(void)state;
	for (unsigned e = 0; e < sizeof(edges) / sizeof(edges[0]); e++) {
		for (unsigned i = 0; i < sizeof(acceptances) / sizeof(acceptances[0]); i++) {
			app_again(&app, &app.config);
			check_acceptance(&acceptances[i], edges[e]);
		}
	}
}

static int setup_small(void **state)
{
	app_config(&app);
	app.config.net.receive_window = WINDOW;
	app_open(&app, *state != NULL);
	return 0;
}

/* 3.10.7.4: with a zero window, acknowledgements and window updates still count; payload does not. */
static void test_zero_window_ack(void **state)
{
	(void)state;
	app.keeps = true;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "P. 1:1001(1000)");
	peer_expect(&app.peer, ". 1:1(0) ack 1001 win 0");
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 1001 win 0");
	peer_send(&app.peer, "P. 1001:1101(100) ack 11 win 77");
	peer_expect(&app.peer, ". 11:11(0) ack 1001 win 0");
	assert_int_equal(app.sent, 10);
	assert_int_equal(app_info(&app).snd_wnd, 77);
	assert_int_equal(app.received, 1000);
	/* of our FIN, too */
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. 11:11(0) ack 1001 win 0");
	peer_send(&app.peer, "P. 1001:1101(100) ack 12");
	peer_expect(&app.peer, ". 12:12(0) ack 1001 win 0");
	assert_int_equal(app_state(&app), TCP_FIN_WAIT_2);
}

/* 2^31 ahead of what was sent is as far behind it: acknowledges nothing, in the window and beyond it. */
static void test_far_ack(void **state)
{
	(void)state;
	app.keeps = true;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, ". 1:1(0) ack %u", 1U + (1U << 31));
	peer_expect(&app.peer, ". 1:1(0) ack 1 win 1000");
	peer_send(&app.peer, "P. 1:1001(1000)");
	peer_expect(&app.peer, ". 1:1(0) ack 1001 win 0");
	peer_send(&app.peer, "P. 1001:1101(100) ack %u", 1U + (1U << 31));
	peer_expect(&app.peer, ". 1:1(0) ack 1001 win 0");
	assert_int_equal(app.sent, 0);
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 1001 win 0");
	peer_send(&app.peer, "P. 1001:1101(100) ack %u", 11U + (1U << 31));
	peer_expect(&app.peer, ". 11:11(0) ack 1001 win 0");
	assert_int_equal(app_info(&app).in_flight, 10);
	peer_send(&app.peer, ". 1001:1001(0) ack 11");
	assert_int_equal(app.sent, 10);
}

/* What filled the window was lost; what its sender acknowledges meanwhile counts, and calls for no answer. */
static void test_edge_ack(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 1");
	peer_send(&app.peer, ". %u:%u(0) ack 11 win 77", 1 + WINDOW, 1 + WINDOW);
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	assert_int_equal(app.sent, 10);
	assert_int_equal(app_info(&app).snd_wnd, 77);
	/* a RST there is none of the connection's */
	peer_send(&app.peer, "R. %u:%u(0) ack 11", 1 + WINDOW, 1 + WINDOW);
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	assert_int_equal(app_state(&app), TCP_ESTABLISHED);
	peer_send(&app.peer, "P. 1:%u(%u) ack 11", 1 + WINDOW, WINDOW);
	assert_int_equal(app.received, WINDOW);
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
}

/* 3.10.7.4: what lies beyond the window is cut off, the FIN behind it too. */
static void test_trim(void **state)
{
	(void)state;
	app.keeps = true;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "P. 1:901(900)");
	peer_send(&app.peer, "FP. 901:1101(200)");
	peer_expect(&app.peer, ". 1:1(0) ack 1001 win 0");
	assert_int_equal(app.received, 1000);
	assert_false(app.fin);
	app_read(&app, 1000);
	peer_expect(&app.peer, ". 1:1(0) ack 1001 win 1000");
	peer_send(&app.peer, "FP. 1001:1101(100)");
	peer_expect(&app.peer, ". 1:1(0) ack 1102");
	assert_true(app.fin);
}

/*
 * States.
 */

static void expect_now(const char *reply)
{
	app.peer.patience_ns = 0;
	if (reply != NULL)
		peer_expect(&app.peer, "%s", reply);
	app.peer.patience_ns = 3 * LINK_NS_PER_S;
}

/* Brings a new connection into a state; from FIN-WAIT-1 on the application has closed its half. */
static void bring(enum tcp_state wanted)
{
	if (wanted == TCP_SYN_SENT) {
		assert_int_equal(app_connect(&app, 0), 0);
		expect_now("S 0:0(0)");
		return;
	}
	if (wanted == TCP_SYN_RECEIVED) {
		peer_send(&app.peer, "S 0:0(0) <mss 1000>");
		expect_now("S. 0:0(0) ack 1");
		return;
	}
	app_established(&app, "mss 1000");
	if (wanted == TCP_CLOSE_WAIT || wanted == TCP_LAST_ACK) {
		peer_send(&app.peer, "F. 1:1(0) ack 1");
		expect_now(". 1:1(0) ack 2");
	}
	if (wanted > TCP_CLOSE_WAIT) {
		app_shut(&app, RB_NET_CLOSE_WRITE);
		expect_now(wanted == TCP_LAST_ACK ? "F. 1:1(0) ack 2" : "F. 1:1(0) ack 1");
	}
	if (wanted == TCP_FIN_WAIT_2 || wanted == TCP_TIME_WAIT)
		peer_send(&app.peer, ". 1:1(0) ack 2");
	if (wanted == TCP_CLOSING)
		peer_send(&app.peer, "F. 1:1(0) ack 1");
	if (wanted == TCP_TIME_WAIT)
		peer_send(&app.peer, "F. 1:1(0) ack 2");
	if (wanted == TCP_CLOSING || wanted == TCP_TIME_WAIT)
		expect_now(". 2:2(0) ack 2");
}

struct step {
	enum tcp_state before;
	const char *segment, *reply; /* NULL: none at once */
	enum tcp_state after;
	int status; /* that the application is told, when this ends the connection */
};

static void check_step(const struct step *step)
{
	bring(step->before);
	if (step->before != TCP_SYN_RECEIVED)
		assert_int_equal(app_state(&app), step->before);
	peer_send(&app.peer, "%s", step->segment);
	if (step->reply == NULL && app.peer.queue_count > 0)
		print_error("state %u, segment %s: no answer was expected\n", step->before, step->segment);
	if (step->reply != NULL && app.peer.queue_count == 0)
		print_error("state %u, segment %s: no answer came\n", step->before, step->segment);
	expect_now(step->reply);
	peer_expect_nothing(&app.peer, 0);
	/* a passive connection in SYN-RECEIVED has no handle yet: it is seen by being there */
	if (step->after == TCP_SYN_RECEIVED && step->before != TCP_SYN_SENT)
		assert_int_equal(app_usage(&app).connections, 1);
	else if (app_state(&app) != step->after)
		fail_msg("state %u, segment %s: now %u", step->before, step->segment, app_state(&app));
	if (step->after == TCP_CLOSED && step->before != TCP_SYN_RECEIVED && step->status != app.status)
		fail_msg("state %u, segment %s: status %d", step->before, step->segment, app.status);
	peer_run(&app.peer, LINK_NS_PER_S / 10);
	peer_forget(&app.peer);
}

static void check_steps(const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		app_again(&app, NULL);
		check_step(&steps[i]);
	}
}

#define CHECK_STEPS(steps) check_steps(steps, sizeof(steps) / sizeof((steps)[0]))

static void test_syn_sent(void **state)
{
	static const struct step steps[] = {
		/* first, an ACK that acknowledges nothing of ours */
		{TCP_SYN_SENT, ". 0:0(0) ack 0", "R 0:0(0)", TCP_SYN_SENT, 0},
		{TCP_SYN_SENT, ". 0:0(0) ack 2", "R 2:2(0)", TCP_SYN_SENT, 0},
		{TCP_SYN_SENT, "S. 0:0(0) ack 2", "R 2:2(0)", TCP_SYN_SENT, 0},
		{TCP_SYN_SENT, "R. 0:0(0) ack 2", NULL, TCP_SYN_SENT, 0},
		/* second, RST: believed with an acceptable ACK only */
		{TCP_SYN_SENT, "R. 0:0(0) ack 1", NULL, TCP_CLOSED, -ECONNREFUSED},
		{TCP_SYN_SENT, "R. 0:0(0) ack 0", NULL, TCP_SYN_SENT, 0},
		{TCP_SYN_SENT, "R 0:0(0)", NULL, TCP_SYN_SENT, 0},
		{TCP_SYN_SENT, "SR. 0:0(0) ack 1", NULL, TCP_CLOSED, -ECONNREFUSED},
		/* fourth, SYN */
		{TCP_SYN_SENT, "S. 0:0(0) ack 1 <mss 1000>", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_SYN_SENT, "S. 0:5(5) ack 1", ". 1:1(0) ack 6", TCP_ESTABLISHED, 0},
		{TCP_SYN_SENT, "SF. 0:0(0) ack 1", ". 1:1(0) ack 2", TCP_CLOSE_WAIT, 0},
		{TCP_SYN_SENT, "S 0:0(0) <mss 1000>", "S. 0:0(0) ack 1", TCP_SYN_RECEIVED, 0},
		/* fifth, neither */
		{TCP_SYN_SENT, ". 0:0(0) ack 1", NULL, TCP_SYN_SENT, 0},
		{TCP_SYN_SENT, "F 0:0(0)", NULL, TCP_SYN_SENT, 0},
		{TCP_SYN_SENT, "- 0:5(5)", NULL, TCP_SYN_SENT, 0},
	};
	(void)state;
	CHECK_STEPS(steps);
}

static void test_syn_received(void **state)
{
	static const struct step steps[] = {
		{TCP_SYN_RECEIVED, "S 0:0(0) <mss 1000>", "S. 0:0(0) ack 1", TCP_SYN_RECEIVED, 0},
		{TCP_SYN_RECEIVED, "S 5:5(0)", ". 1:1(0) ack 1", TCP_SYN_RECEIVED, 0},
		{TCP_SYN_RECEIVED, "R 1:1(0)", NULL, TCP_CLOSED, 0},
		{TCP_SYN_RECEIVED, "R 5:5(0)", ". 1:1(0) ack 1", TCP_SYN_RECEIVED, 0},
		{TCP_SYN_RECEIVED, "R 70000:70000(0)", NULL, TCP_SYN_RECEIVED, 0},
		{TCP_SYN_RECEIVED, ". 1:1(0) ack 2", "R 2:2(0)", TCP_SYN_RECEIVED, 0},
		{TCP_SYN_RECEIVED, ". 1:1(0) ack 0", "R 0:0(0)", TCP_SYN_RECEIVED, 0},
		{TCP_SYN_RECEIVED, ". 70000:70000(0) ack 1", ". 1:1(0) ack 1", TCP_SYN_RECEIVED, 0},
		{TCP_SYN_RECEIVED, "- 1:1(0)", NULL, TCP_SYN_RECEIVED, 0},
		{TCP_SYN_RECEIVED, "F 1:1(0)", NULL, TCP_SYN_RECEIVED, 0},
		{TCP_SYN_RECEIVED, ". 1:1(0) ack 1", NULL, TCP_ESTABLISHED, 0},
		{TCP_SYN_RECEIVED, "P. 1:6(5) ack 1", NULL, TCP_ESTABLISHED, 0},
		{TCP_SYN_RECEIVED, "F. 1:1(0) ack 1", ". 1:1(0) ack 2", TCP_CLOSE_WAIT, 0},
	};
	(void)state;
	CHECK_STEPS(steps);
}

static void test_established(void **state)
{
	static const struct step steps[] = {
		{TCP_ESTABLISHED, "S 1:1(0)", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "S 500:500(0)", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "S 70000:70000(0)", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "S. 0:0(0) ack 1", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "R 1:1(0)", NULL, TCP_CLOSED, -ECONNRESET},
		{TCP_ESTABLISHED, "R. 1:1(0) ack 1", NULL, TCP_CLOSED, -ECONNRESET},
		{TCP_ESTABLISHED, "R 1:6(5)", NULL, TCP_CLOSED, -ECONNRESET},
		{TCP_ESTABLISHED, "R 2:2(0)", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "R 65535:65535(0)", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "R 65536:65536(0)", NULL, TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "R 0:0(0)", NULL, TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "R 0:5(5)", NULL, TCP_ESTABLISHED, 0},
		/* RFC 5961 5.2: (SND.UNA - MAX.SND.WND) =< SEG.ACK =< SND.NXT */
		{TCP_ESTABLISHED, ". 1:1(0) ack 2", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, ". 1:1(0) ack 0", NULL, TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, ". 1:1(0) ack 4294901762", NULL, TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, ". 1:1(0) ack 4294901761", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "- 1:6(5)", NULL, TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "F 1:1(0)", NULL, TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "F. 1:1(0) ack 1", ". 1:1(0) ack 2", TCP_CLOSE_WAIT, 0},
		{TCP_ESTABLISHED, "FP. 1:6(5) ack 1", ". 1:1(0) ack 7", TCP_CLOSE_WAIT, 0},
		/* a FIN beyond a gap waits for what is before it */
		{TCP_ESTABLISHED, "F. 6:6(0) ack 1", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		/* a probe of keep-alive */
		{TCP_ESTABLISHED, ". 0:0(0) ack 1", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, ". 0:1(1) ack 1", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
	};
	(void)state;
	CHECK_STEPS(steps);
}

static void test_closing_states(void **state)
{
	static const struct step steps[] = {
		{TCP_CLOSE_WAIT, "P. 2:7(5) ack 1", ". 1:1(0) ack 2", TCP_CLOSE_WAIT, 0},
		{TCP_CLOSE_WAIT, "F. 1:1(0) ack 1", ". 1:1(0) ack 2", TCP_CLOSE_WAIT, 0},
		{TCP_CLOSE_WAIT, "F. 2:2(0) ack 1", ". 1:1(0) ack 2", TCP_CLOSE_WAIT, 0},
		{TCP_CLOSE_WAIT, "S 2:2(0)", ". 1:1(0) ack 2", TCP_CLOSE_WAIT, 0},
		{TCP_CLOSE_WAIT, ". 2:2(0) ack 2", ". 1:1(0) ack 2", TCP_CLOSE_WAIT, 0},
		{TCP_CLOSE_WAIT, "R 2:2(0)", NULL, TCP_CLOSED, -ECONNRESET},
		{TCP_FIN_WAIT_1, ". 1:1(0) ack 2", NULL, TCP_FIN_WAIT_2, 0},
		{TCP_FIN_WAIT_1, ". 1:1(0) ack 3", ". 2:2(0) ack 1", TCP_FIN_WAIT_1, 0},
		{TCP_FIN_WAIT_1, "P. 1:6(5) ack 1", NULL, TCP_FIN_WAIT_1, 0},
		{TCP_FIN_WAIT_1, "P. 1:6(5) ack 2", NULL, TCP_FIN_WAIT_2, 0},
		{TCP_FIN_WAIT_1, "F. 1:1(0) ack 1", ". 2:2(0) ack 2", TCP_CLOSING, 0},
		{TCP_FIN_WAIT_1, "F. 1:1(0) ack 2", ". 2:2(0) ack 2", TCP_TIME_WAIT, 0},
		{TCP_FIN_WAIT_1, "S 1:1(0)", ". 2:2(0) ack 1", TCP_FIN_WAIT_1, 0},
		{TCP_FIN_WAIT_1, "R 1:1(0)", NULL, TCP_CLOSED, -ECONNRESET},
		{TCP_FIN_WAIT_2, "P. 1:6(5) ack 2", NULL, TCP_FIN_WAIT_2, 0},
		{TCP_FIN_WAIT_2, "F. 1:1(0) ack 2", ". 2:2(0) ack 2", TCP_TIME_WAIT, 0},
		{TCP_FIN_WAIT_2, "FP. 1:6(5) ack 2", ". 2:2(0) ack 7", TCP_TIME_WAIT, 0},
		{TCP_FIN_WAIT_2, "S 1:1(0)", ". 2:2(0) ack 1", TCP_FIN_WAIT_2, 0},
		{TCP_FIN_WAIT_2, "R 1:1(0)", NULL, TCP_CLOSED, -ECONNRESET},
		{TCP_FIN_WAIT_2, "R 2:2(0)", ". 2:2(0) ack 1", TCP_FIN_WAIT_2, 0},
		{TCP_CLOSING, ". 2:2(0) ack 1", NULL, TCP_CLOSING, 0},
		{TCP_CLOSING, ". 2:2(0) ack 2", NULL, TCP_TIME_WAIT, 0},
		{TCP_CLOSING, "F. 1:1(0) ack 1", ". 2:2(0) ack 2", TCP_CLOSING, 0},
		{TCP_CLOSING, "P. 2:7(5) ack 1", ". 2:2(0) ack 2", TCP_CLOSING, 0},
		{TCP_CLOSING, "R 2:2(0)", NULL, TCP_CLOSED, -ECONNRESET},
		{TCP_LAST_ACK, ". 2:2(0) ack 1", NULL, TCP_LAST_ACK, 0},
		{TCP_LAST_ACK, ". 2:2(0) ack 2", NULL, TCP_CLOSED, 0},
		{TCP_LAST_ACK, "F. 1:1(0) ack 1", ". 2:2(0) ack 2", TCP_LAST_ACK, 0},
		{TCP_LAST_ACK, "R 2:2(0)", NULL, TCP_CLOSED, -ECONNRESET},
		{TCP_TIME_WAIT, "F. 1:1(0) ack 2", ". 2:2(0) ack 2", TCP_TIME_WAIT, 0},
		{TCP_TIME_WAIT, ". 2:2(0) ack 2", NULL, TCP_TIME_WAIT, 0},
		{TCP_TIME_WAIT, "P. 2:7(5) ack 2", ". 2:2(0) ack 2", TCP_TIME_WAIT, 0},
		{TCP_TIME_WAIT, "S 2:2(0)", ". 2:2(0) ack 2", TCP_TIME_WAIT, 0},
		{TCP_TIME_WAIT, "S 1:1(0)", ". 2:2(0) ack 2", TCP_TIME_WAIT, 0},
		{TCP_TIME_WAIT, "R 3:3(0)", ". 2:2(0) ack 2", TCP_TIME_WAIT, 0},
	};
	(void)state;
	CHECK_STEPS(steps);
}

/* RFC 1337, fix F1 */
static void test_time_wait_reset(void **state)
{
	static const struct step steps[] = {{TCP_TIME_WAIT, "R 2:2(0)", NULL, TCP_TIME_WAIT, 0}};
	(void)state;
	CHECK_STEPS(steps);
}

/* RFC 5961 4.2: a SYN in the window ends nothing, but is asked about. */
static void test_syn_challenge(void **state)
{
	static const struct step steps[] = {
		{TCP_ESTABLISHED, "S 1:1(0)", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
		{TCP_ESTABLISHED, "SP. 1:6(5) ack 1", ". 1:1(0) ack 1", TCP_ESTABLISHED, 0},
	};
	(void)state;
	CHECK_STEPS(steps);
}

/* 3.10.7.1 and 3.10.7.2: no connection; a listener. */
static void test_closed_and_listen(void **state)
{
	static const struct {
		uint16_t port;
		const char *segment, *reply;
	} rows[] = {
		{81, "S 7:7(0)", "R. 0:0(0) ack 8"},
		{81, "S 7:12(5)", "R. 0:0(0) ack 13"},
		{81, "F 7:12(5)", "R. 0:0(0) ack 13"},
		{81, ". 7:7(0) ack 99", "R 99:99(0)"},
		{81, "S. 7:7(0) ack 99", "R 99:99(0)"},
		{81, "R 7:7(0)", NULL},
		{81, "R. 7:7(0) ack 99", NULL},
		{80, "R 7:7(0)", NULL},
		{80, "R. 7:7(0) ack 99", NULL},
		{80, "SR 7:7(0)", NULL},
		{80, ". 7:7(0) ack 99", "R 99:99(0)"},
		{80, "S. 7:7(0) ack 99", "R 99:99(0)"},
		{80, "- 7:12(5)", NULL},
		{80, "F 7:7(0)", NULL},
		{80, "SF 7:7(0)", NULL},
	};
	(void)state;
	app.peer.absolute = true;
	app.peer.iss = 0;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		app.peer.host_port = rows[i].port;
		peer_send(&app.peer, "%s", rows[i].segment);
		expect_now(rows[i].reply);
		peer_expect_nothing(&app.peer, LINK_NS_PER_S / 10);
	}
	assert_int_equal(app_usage(&app).connections, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_acceptance, setup_small, app_teardown),
		cmocka_unit_test_setup_teardown(test_zero_window_ack, setup_small, app_teardown),
		cmocka_unit_test_setup_teardown(test_far_ack, setup_small, app_teardown),
		cmocka_unit_test_setup_teardown(test_edge_ack, setup_small, app_teardown),
		cmocka_unit_test_setup_teardown(test_trim, setup_small, app_teardown),
		cmocka_unit_test_setup_teardown(test_syn_sent, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_syn_received, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_established, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_closing_states, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_time_wait_reset, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_syn_challenge, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_closed_and_listen, app_setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
