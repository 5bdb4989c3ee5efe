// SPDX-License-Identifier: Apache-2.0
/* Loss recovery without SACK: RFC 5681, 3042, 6582. */
#include "tests/net/credit.h"

static int setup(void **state)
{
	(void)state;
	app_config(&app);
	app.config.net.sack = false;
	app.config.net.congestion = RB_NET_NEWRENO;
	credit_open();
	credit_established("", 100 * CREDIT_MS);
	credit_send(60);
	credit_expect(0, 10); /* RFC 6928: the initial window */
	peer_run(&app.peer, 100 * CREDIT_MS);
	return 0;
}

static void duplicates(unsigned ack, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		peer_send(&app.peer, ". ack %u", SEQ(ack));
}

/* The third duplicate, with two segments from limited transmit under way. */
static void enter(void)
{
	duplicates(0, 2);
	credit_expect(10, 2);
	duplicates(0, 1);
	credit_expect(0, 1);
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 1);
}

/* RFC 5681 3.2, steps 2 and 3: at once, whatever the window says, which is halved without what limited transmit has sent; 4: each further duplicate is a segment that left. */
static void test_fast_retransmit(void **state)
{
	(void)state;
	enter();
	assert_int_equal(app_info(&app).ssthresh, 5000);
	assert_int_equal(credit_cwnd(), 5 + 3);
	duplicates(0, 4);
	peer_expect_nothing(&app.peer, 0); /* twelve are outstanding */
	duplicates(0, 1);
	credit_expect(12, 1);
	assert_int_equal(app_counters(&app)->tcp_retransmitted, 1);
}

/* RFC 6582 3.2 step 3, full acknowledgement: cwnd is min(ssthresh, max(FlightSize, SMSS) + SMSS). */
static void test_full(void **state)
{
	(void)state;
	enter();
	peer_send(&app.peer, ". ack %u", SEQ(12));
	credit_expect(12, 2); /* nothing was outstanding */
	assert_int_equal(credit_cwnd(), 2);
	assert_int_equal(app_info(&app).ssthresh, 5000);
}

/* Partial: what follows is sent at once, and recovery goes on. */
static void test_partial(void **state)
{
	(void)state;
	enter();
	peer_send(&app.peer, ". ack %u", SEQ(4));
	peer_expect(&app.peer, ". %u:%u(1000)", SEQ(4), SEQ(5));
	assert_int_equal(credit_cwnd(), 8 - 4 + 1);
	peer_send(&app.peer, ". ack %u", SEQ(9));
	peer_expect(&app.peer, ". %u:%u(1000)", SEQ(9), SEQ(10));
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 1); /* one reduction for all */
	assert_int_equal(app_counters(&app)->tcp_timeouts, 0);
}

/* RFC 3042: a new segment for each of the first two duplicates, no more. */
static void test_limited_transmit(void **state)
{
	(void)state;
	duplicates(0, 1);
	credit_expect(10, 1);
	duplicates(0, 1);
	credit_expect(11, 1);
	peer_expect_nothing(&app.peer, 0);
	assert_int_equal(credit_cwnd(), 10);
}

/* RFC 5681 2: with another window, or data, it is no duplicate. */
static void test_no_duplicates(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		peer_send(&app.peer, ". ack 1 win %u", 60000 + i);
	peer_expect_nothing(&app.peer, 0);
	peer_send(&app.peer, ". 1:101(100) ack 1 win 60003");
	peer_send(&app.peer, ". 101:201(100) ack 1 win 60003");
	peer_send(&app.peer, ". 201:301(100) ack 1 win 60003");
	peer_send(&app.peer, ". 301:401(100) ack 1 win 60003");
	peer_run(&app.peer, 50 * CREDIT_MS);
	peer_forget(&app.peer); /* acknowledgements */
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 0);
	assert_int_equal(app_counters(&app)->tcp_retransmitted, 0);
}

/* RFC 5681 3.1: after a timeout one segment, half the flight as ssthresh, and slow start. */
static void test_timeout(void **state)
{
	(void)state;
	peer_expect(&app.peer, ". 1:1001(1000)");
	assert_int_equal(app_counters(&app)->tcp_timeouts, 1);
	assert_int_equal(credit_cwnd(), 1);
	assert_int_equal(app_info(&app).ssthresh, 5000);
	peer_send(&app.peer, ". ack %u", SEQ(1));
	credit_expect(1, 2);
	peer_send(&app.peer, ". ack %u", SEQ(2));
	credit_expect(3, 2);
	/* RFC 6582 3.2 step 4, 4: duplicates of what was outstanding then are of the timeout's own making */
	duplicates(2, 3);
	peer_expect_nothing(&app.peer, 0);
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 0);
	peer_send(&app.peer, ". ack %u", SEQ(10));
	credit_expect(10, 3); /* the acknowledgement that ends it lets nothing grow */
	assert_int_equal(credit_cwnd(), 3);
}

/*
 * RFC 6582 3.2 step 1: duplicates of what ended a loss may be of its retransmissions; those of anything later are not.
 */
static void test_recover(void **state)
{
	(void)state;
	credit_expect(0, 1);
	assert_int_equal(app_counters(&app)->tcp_timeouts, 1);
	peer_send(&app.peer, ". ack %u", SEQ(10)); /* the first one alone was lost */
	credit_expect(10, 1);
	duplicates(10, 2);
	credit_expect(11, 2); /* by limited transmit */
	duplicates(10, 2);
	peer_expect_nothing(&app.peer, 0);
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 0);
	peer_send(&app.peer, ". ack %u", SEQ(11));
	peer_forget(&app.peer);
	duplicates(11, 2);
	peer_forget(&app.peer);
	duplicates(11, 1);
	credit_expect(11, 1);
	credit_expect(15, 1); /* three duplicates have inflated the window */
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 1);
	assert_int_equal(app_counters(&app)->tcp_timeouts, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fast_retransmit, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_partial, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_limited_transmit, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_no_duplicates, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_recover, setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
