// SPDX-License-Identifier: Apache-2.0
/* Explicit congestion notification (RFC 3168) and DCTCP (RFC 8257). */
#include "tests/net/credit.h"

static int setup(void **state)
{
	const enum rb_net_congestion congestion = *state == NULL ? RB_NET_NEWRENO : RB_NET_DCTCP;
	app_config(&app);
	app.config.net.ecn = true;
	app.config.net.congestion = congestion;
	app.config.net.tlp = false;
	credit_open();
	return 0;
}

static void establish(void)
{
	peer_send(&app.peer, "SEW 0:0(0) <mss 1000,sackOK>");
	peer_expect(&app.peer, "SE. 0:0(0) ack 1 ecn none"); /* 6.1.1: ECE alone, and not ECT */
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ".");
	app_settle(&app);
	assert_true(app_info(&app).ecn);
}

/* 6.1.1: only ECE and CWR together ask for it. */
static void test_not_asked(void **state)
{
	(void)state;
	peer_send(&app.peer, "SE 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 ecn none");
	peer_send(&app.peer, ".");
	app_settle(&app);
	assert_false(app_info(&app).ecn);
	credit_send(1);
	peer_expect(&app.peer, "P. 1:1001(1000) ecn none");
	peer_send(&app.peer, ". ack %u", SEQ(1));
}

/* 6.1.1: we ask, too; an answer with both flags is that of a peer that mirrors what it does not know. */
static void test_mirrored(void **state)
{
	(void)state;
	assert_int_equal(app_connect(&app, 0), 0);
	peer_expect(&app.peer, "SEW 0:0(0) ecn none");
	peer_send(&app.peer, "SEW. 0:0(0) <mss 1000>");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	assert_false(app_info(&app).ecn);
}

static void test_agreed(void **state)
{
	(void)state;
	assert_int_equal(app_connect(&app, 0), 0);
	peer_expect(&app.peer, "SEW 0:0(0) ecn none");
	peer_send(&app.peer, "SE. 0:0(0) <mss 1000>");
	peer_expect(&app.peer, ". 1:1(0) ack 1 ecn none");
	assert_true(app_info(&app).ecn);
}

/* 6.1.2, 6.1.4, 6.1.5: data are ECT, acknowledgements and what is sent again are not. */
static void test_ect(void **state)
{
	(void)state;
	establish();
	credit_send(1);
	peer_expect(&app.peer, "P. 1:1001(1000) ecn ect0");
	peer_expect(&app.peer, "P. 1:1001(1000) ecn none");
	peer_send(&app.peer, ". ack %u", SEQ(1));
	peer_send(&app.peer, "P. 1:101(100)");
	peer_expect(&app.peer, ". %u:%u(0) ack 101 ecn none", SEQ(1), SEQ(1));
}

/* 6.1.3: a mark is echoed in all acknowledgements until CWR comes. */
static void test_echo(void **state)
{
	(void)state;
	establish();
	peer_send(&app.peer, "P. 1:101(100) ecn ce");
	peer_expect(&app.peer, "E. 1:1(0) ack 101");
	peer_send(&app.peer, "P. 101:201(100) ecn ect0");
	peer_expect(&app.peer, "E. 1:1(0) ack 201");
	credit_send(1);
	peer_expect(&app.peer, "PE. 1:1001(1000) ack 201");
	peer_send(&app.peer, "PW. 201:301(100) ack %u ecn ect0", SEQ(1));
	peer_expect(&app.peer, ". %u:%u(0) ack 301", SEQ(1), SEQ(1));
	/* a marked segment with CWR begins anew */
	peer_send(&app.peer, "PW. 301:401(100) ecn ce");
	peer_expect(&app.peer, "E. %u:%u(0) ack 401", SEQ(1), SEQ(1));
	assert_int_equal(app_counters(&app)->tcp_ecn_marked, 2);
}

/* What has no data is not echoed. */
static void test_marked_ack(void **state)
{
	(void)state;
	establish();
	credit_send(1);
	credit_expect_last(0, 1);
	peer_send(&app.peer, ". ack %u ecn ce", SEQ(1));
	credit_send(1);
	credit_expect_last(1, 1);
	peer_send(&app.peer, ". ack %u", SEQ(2));
}

/* 6.1.2: the echo halves the window, once for all that was outstanding. */
static void test_once(void **state)
{
	(void)state;
	establish();
	credit_send(60);
	credit_expect(0, 10);
	peer_send(&app.peer, "E. ack %u", SEQ(1));
	assert_int_equal(app_info(&app).ssthresh, 4500); /* nine were outstanding */
	for (unsigned i = 2; i <= 9; i++)
		peer_send(&app.peer, "E. ack %u", SEQ(i));
	peer_send(&app.peer, "E. ack %u", SEQ(10)); /* of the last segment that was sent before CWR */
	peer_forget(&app.peer);
	assert_int_equal(app_counters(&app)->tcp_ecn_reduced, 1);
	peer_send(&app.peer, "E. ack %u", SEQ(11));
	peer_forget(&app.peer);
	assert_int_equal(app_counters(&app)->tcp_ecn_reduced, 2);
	assert_int_equal(app_counters(&app)->tcp_retransmitted, 0);
}

/* 6.1.2: the first new segment after the reduction tells of it, and no other. */
static void test_cwr(void **state)
{
	(void)state;
	establish();
	credit_send(60);
	credit_expect(0, 10);
	peer_send(&app.peer, "E. ack %u", SEQ(9));
	peer_expect(&app.peer, "W. %u:%u(1000) ecn ect0", SEQ(10), SEQ(11));
	peer_send(&app.peer, ". ack %u", SEQ(10));
	credit_expect(11, 1);
	peer_send(&app.peer, ". ack %u", SEQ(11));
	peer_forget(&app.peer);
}

/* 6.1.2: so does a loss. */
static void test_cwr_of_loss(void **state)
{
	(void)state;
	establish();
	credit_send(60);
	credit_expect(0, 10);
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack 1 <nop,nop,sack %u:%u>", SEQ(1), SEQ(10));
	peer_expect(&app.peer, ". 1:1001(1000) ecn none");
	peer_expect(&app.peer, "W. %u:%u(1000) ecn ect0", SEQ(10), SEQ(11));
	credit_expect(11, 3);
}

/* 6.1.2: an acknowledgement with an echo lets nothing grow. */
static void test_no_growth(void **state)
{
	(void)state;
	establish();
	credit_send(60);
	credit_expect(0, 10);
	peer_send(&app.peer, "E. ack %u", SEQ(2));
	assert_int_equal(app_info(&app).cwnd, 4000);
	for (unsigned i = 3; i <= 10; i++)
		peer_send(&app.peer, "E. ack %u", SEQ(i));
	peer_forget(&app.peer);
	assert_int_equal(app_info(&app).cwnd, 4000);
	peer_send(&app.peer, ". ack %u", app_info(&app).snd_nxt - app_info(&app).iss);
	peer_forget(&app.peer);
	assert_int_equal(app_info(&app).cwnd, 5000);
}

/*
 * RFC 8257 3.3: alpha is the weighted average of the share of marked bytes, which begins with 1 and is taken once per
 * window; the window shrinks by half of it.
 */
static void test_dctcp(void **state)
{
	(void)state;
	const double g = 1.0 / 16;
	double alpha = 1;
	establish();
	unsigned sent = 0;
	for (unsigned window = 10; window <= 20; window *= 2) { /* slow start without marks */
		credit_send(window);
		credit_expect_last(sent, window);
		for (unsigned i = 0; i < window; i++)
			peer_send(&app.peer, ". ack %u", SEQ(++sent));
		alpha += g * (0 - alpha);
	}
	assert_int_equal(credit_cwnd(), 40);
	credit_send(40);
	credit_expect_last(sent, 40);
	peer_send(&app.peer, "E. ack %u", SEQ(++sent));
	alpha += g * (1.0 / 20 - alpha); /* one of twenty since the last window began */
	credit_near(app_info(&app).cwnd, 40000 * (1 - alpha / 2), 0.001);
	/* a loss is answered as ever (3.5) */
	const uint32_t cwnd = app_info(&app).cwnd;
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u>", SEQ(sent), SEQ(sent + 1), SEQ(sent + 30));
	assert_int_equal(app_info(&app).ssthresh, cwnd - cwnd / 2);
	peer_forget(&app.peer);
}

/* 3.2: the echo says of each segment whether it was marked; at each change what came before is acknowledged at once. */
static void test_exact(void **state)
{
	(void)state;
	establish();
	peer_send(&app.peer, "P. 1:101(100) ecn ect0");
	peer_send(&app.peer, "P. 101:201(100) ecn ce");
	peer_expect(&app.peer, ". 1:1(0) ack 101 ecn ect0");
	peer_expect(&app.peer, "E. 1:1(0) ack 201");
	peer_send(&app.peer, "P. 201:301(100) ecn ce");
	peer_send(&app.peer, "P. 301:401(100) ecn ect0");
	peer_expect(&app.peer, "E. 1:1(0) ack 301");
	peer_expect(&app.peer, ". 1:1(0) ack 401");
}

/* So it is when the acknowledgement was due at once anyway: behind a gap, all in one burst. */
static void test_exact_burst(void **state)
{
	(void)state;
	establish();
	app.peer.host.config.period_ns = CREDIT_MS; /* a turn takes what has come meanwhile */
	peer_send(&app.peer, "P. 201:301(100) ecn ce");
	peer_send(&app.peer, "P. 301:401(100) ecn ect0");
	peer_expect(&app.peer, "E. 1:1(0) ack 1");
	peer_expect(&app.peer, ". 1:1(0) ack 1 <nop,nop,sack 201:401>");
	peer_send(&app.peer, "P. 401:501(100) ecn ce");
	peer_send(&app.peer, "P. 1:201(200) ecn ect0");
	peer_expect(&app.peer, "E. 1:1(0) ack 1");
	peer_expect(&app.peer, ". 1:1(0) ack 501");
	assert_int_equal(app.received, 500);
}

int main(void)
{
	static bool dctcp = true;
#define ECN(test)   cmocka_unit_test_setup_teardown(test, setup, app_teardown)
#define DCTCP(test) {#test, test, setup, app_teardown, &dctcp}
	const struct CMUnitTest tests[] = {
		ECN(test_not_asked),	 ECN(test_mirrored),   ECN(test_agreed),  ECN(test_ect),
		ECN(test_echo),		 ECN(test_marked_ack), ECN(test_once),	  ECN(test_cwr),
		ECN(test_cwr_of_loss),	 ECN(test_no_growth),  DCTCP(test_dctcp), DCTCP(test_exact),
		DCTCP(test_exact_burst),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
