// SPDX-License-Identifier: Apache-2.0
/* Selective acknowledgements (RFC 2018, 2883) and recovery by counting them (RFC 6675), with RACK off. */
#include "tests/net/credit.h"

static int setup(void **state)
{
	(void)state;
	app_config(&app);
	app.config.net.rack = app.config.net.tlp = false;
	app.config.net.congestion = RB_NET_NEWRENO;
	credit_open();
	return 0;
}

static void begin(unsigned segments)
{
	credit_established(",sackOK", 100 * CREDIT_MS);
	credit_send(segments);
	if (segments > 10)
		credit_expect(0, 10);
	else
		credit_expect_last(0, segments);
	peer_run(&app.peer, 100 * CREDIT_MS);
}

static void sack(unsigned ack, unsigned left, unsigned right)
{
	peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u>", SEQ(ack), SEQ(left), SEQ(right));
}

static void sack2(unsigned ack, unsigned left, unsigned right, unsigned left2, unsigned right2)
{
	peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u %u:%u>", SEQ(ack), SEQ(left), SEQ(right), SEQ(left2),
		  SEQ(right2));
}

/* RFC 6675 4 and 5: each hole is repaired when three segments beyond it are there, within the pipe. */
static void test_holes(void **state)
{
	(void)state;
	begin(60); /* 0 and 4 are lost */
	sack(0, 1, 2);
	credit_expect(10, 1); /* limited transmit: what is sacked has left the pipe */
	sack(0, 1, 3);
	credit_expect(11, 1);
	sack(0, 1, 4);
	credit_expect(0, 1); /* at once (step 4.3) */
	assert_int_equal(credit_cwnd(), 5);
	sack2(0, 5, 6, 1, 4);
	sack2(0, 5, 7, 1, 4);
	peer_expect_nothing(&app.peer, 0);
	sack2(0, 5, 8, 1, 4); /* it is lost now, but the pipe is five */
	peer_expect_nothing(&app.peer, 0);
	sack2(0, 5, 9, 1, 4);
	credit_expect(4, 1);
	sack(4, 5, 9);
	credit_expect(12, 1); /* nothing lost is left: new data */
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 1);
	peer_send(&app.peer, ". ack %u", SEQ(12)); /* all that was outstanding then: the end */
	credit_expect(13, 4);
	assert_int_equal(credit_cwnd(), 5);
	assert_int_equal(app_counters(&app)->tcp_retransmitted, 2);
}

/* 5 step 1: three DupAcks do, however small what they sack. */
static void test_small(void **state)
{
	(void)state;
	credit_established(",sackOK", 100 * CREDIT_MS);
	app_set(&app, RB_NET_OPTION_NODELAY, 1);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(app_send(&app, 10), 0);
		peer_expect(&app.peer, "P. %u:%u(10)", 1 + 10 * i, 11 + 10 * i);
	}
	peer_send(&app.peer, ". ack 1 <nop,nop,sack 11:21>");
	peer_send(&app.peer, ". ack 1 <nop,nop,sack 11:31>");
	peer_send(&app.peer, ". ack 1 <nop,nop,sack 11:31>"); /* nothing new: no DupAck */
	peer_expect_nothing(&app.peer, 0);
	peer_send(&app.peer, ". ack 1 <nop,nop,sack 11:41>");
	peer_expect(&app.peer, ". 1:11(10)");
}

/* RFC 2018 8: the peer drops what it had sacked. It is found out when that is the oldest, and nothing is lost. */
static void test_reneging(void **state)
{
	(void)state;
	begin(5);
	sack(0, 1, 3);
	peer_expect(&app.peer, ". 1:1001(1000)"); /* the timeout */
	peer_send(&app.peer, ". ack %u", SEQ(1)); /* 1 and 2 are forgotten */
	peer_expect(&app.peer, ". %u:%u(1000)", SEQ(3), SEQ(4));
	peer_expect(&app.peer, "P. %u:%u(1000)", SEQ(4), SEQ(5));
	peer_expect(&app.peer, ". %u:%u(1000)", SEQ(1), SEQ(2));
	peer_send(&app.peer, ". ack %u", SEQ(2));
	credit_expect(2, 2);
	peer_send(&app.peer, ". ack %u", SEQ(5));
	assert_int_equal(app_info(&app).queued, 0);
}

/* Blocks that contradict the acknowledgement, or name what was never sent, change nothing. */
static void test_nonsense(void **state)
{
	(void)state;
	begin(10);
	sack(0, 0, 5);
	sack(0, 5, 11);
	sack(0, 2000, 2001);
	peer_send(&app.peer, ". ack 1 <nop,nop,sack 3000:2000>");
	peer_send(&app.peer, ". ack 1 <nop,nop,sack 1500:2500>"); /* no segment whole (RFC 2018 5) */
	peer_expect_nothing(&app.peer, 0);
	assert_int_equal(app_info(&app).in_flight, 10000);
	sack2(0, 7, 8, 2, 3);
	assert_int_equal(app_info(&app).in_flight, 8000);
	peer_send(&app.peer, ". ack 1 <nop,nop,sack %u:%u>", SEQ(2), SEQ(4) - 500);
	assert_int_equal(app_info(&app).in_flight, 8000);
	peer_send(&app.peer, ". ack 1 <nop,nop,sack %u:%u>", SEQ(2), SEQ(4)); /* its first half was told before */
	credit_expect(0, 1); /* three are sacked: 0 is under way again, 1 is lost */
	assert_int_equal(app_info(&app).in_flight, 6000);
}

enum { MANY = 1200, SMALL = 100 };

/* What a segment costs is bounded, and what that leaves undone the next one does: a block behind 1200 pieces. */
static void test_many_pieces(void **state)
{
	(void)state;
	struct rb_net_info info;
	uint32_t una = 1;
	peer_send(&app.peer, "S 0:0(0) <mss %u,sackOK,wscale 4>", SMALL);
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_send(&app.peer, ".");
	app_settle(&app);
	assert_int_equal(app_send(&app, APP_BYTES - SMALL), 0);
	do { /* slow start */
		peer_run(&app.peer, CREDIT_MS);
		peer_forget(&app.peer);
		peer_send(&app.peer, ". ack %u", una += SMALL);
		info = app_info(&app);
	} while (info.in_flight < MANY * SMALL);
	const uint32_t nxt = info.snd_nxt - info.iss;
	for (unsigned i = 0; i < 2; i++) {
		peer_forget(&app.peer);
		assert_int_equal(app_info(&app).snd_nxt, info.snd_nxt);
		peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u>", una, nxt - SMALL, nxt);
	}
	peer_expect(&app.peer, ". %u:%u(100)", nxt, nxt + SMALL); /* for the one that has left the pipe */
	peer_expect_nothing(&app.peer, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_holes, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_small, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_reneging, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_many_pieces, setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
