// SPDX-License-Identifier: Apache-2.0
/* The retransmission timeout (RFC 6298): measured, backed off, restarted. Without probes, which would come first. */
#include <errno.h>

#include "tests/net/credit.h"

static int setup(void **state)
{
	(void)state;
	app_config(&app);
	app.config.net.tlp = false;
	app.config.net.sack = false;
	app.config.net.congestion = RB_NET_NEWRENO;
	app.config.net.rto_max_us = 4000000;
	credit_open();
	return 0;
}

/* Sections 2.2 and 2.3: SRTT = R, RTTVAR = R / 2, and then with weights 1/8 and 1/4. */
static void test_variation(void **state)
{
	(void)state;
	credit_established("", 200 * CREDIT_MS);
	credit_near(app_info(&app).rto_us, 200000 + 4 * 100000, 0.001);
	credit_send(1);
	credit_expect_last(0, 1);
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u", SEQ(1));
	credit_near(app_info(&app).srtt_us, 187500, 0.001);
	credit_near(app_info(&app).rttvar_us, 100000, 0.001);
	credit_send(1);
	credit_expect_last(1, 1);
	peer_expect_between(&app.peer, 587500000, 588000000, "P. %u:%u(1000)", SEQ(1), SEQ(2));
}

/* The least that is added to the round trip, however steady it is. */
static void test_least(void **state)
{
	(void)state;
	credit_established("", 50 * CREDIT_MS);
	for (unsigned i = 0; i < 30; i++) {
		credit_send(1);
		credit_expect_last(i, 1);
		peer_run(&app.peer, 50 * CREDIT_MS);
		peer_send(&app.peer, ". ack %u", SEQ(i + 1));
	}
	credit_near(app_info(&app).rto_us, 250000, 0.001);
}

/* 5.5: doubled each time, up to the limit. */
static void test_backoff(void **state)
{
	(void)state;
	app.peer.patience_ns = 5 * LINK_NS_PER_S;
	credit_established("", 200 * CREDIT_MS);
	credit_send(1);
	credit_expect_last(0, 1);
	const uint64_t expected_ms[] = {600, 1200, 2400, 4000, 4000};
	for (unsigned i = 0; i < 5; i++)
		peer_expect_between(&app.peer, expected_ms[i] * CREDIT_MS, (expected_ms[i] + 1) * CREDIT_MS,
				    "P. 1:1001(1000)");
	assert_int_equal(app_counters(&app)->tcp_timeouts, 5);
}

/* 5.4: one segment, the earliest, however small it is; the others follow its acknowledgement, and then theirs. */
static void test_one_segment(void **state)
{
	(void)state;
	credit_established("", 200 * CREDIT_MS);
	app_set(&app, RB_NET_OPTION_NODELAY, 1);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(app_send(&app, 1), 0);
		peer_expect(&app.peer, "P. %u:%u(1)", 1 + i, 2 + i);
	}
	peer_expect_between(&app.peer, 599 * CREDIT_MS, 601 * CREDIT_MS, ". 1:9(8)");
	peer_expect_nothing(&app.peer, 500 * CREDIT_MS);
	peer_send(&app.peer, ". ack 9");
	peer_expect(&app.peer, ". 9:17(8)");
	peer_expect(&app.peer, ". 17:25(8)");
	peer_expect_nothing(&app.peer, 500 * CREDIT_MS);
	peer_send(&app.peer, ". ack 25");
	peer_expect(&app.peer, ". 25:33(8)");
	peer_expect(&app.peer, "P. 33:41(8)");
	peer_send(&app.peer, ". ack 41");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	/* and a full segment goes, though the window has grown to less */
	credit_near(app_info(&app).cwnd, 48, 0.5);
	assert_int_equal(app_send(&app, 1000), 0);
	peer_expect_between(&app.peer, 0, 0, "P. 41:1041(1000)");
	assert_int_equal(app_counters(&app)->tcp_timeouts, 1);
}

/* Section 5: what was backed off stays so until there is a measurement, which only new data make (Karn). */
static void test_collapse(void **state)
{
	(void)state;
	credit_established("", 200 * CREDIT_MS);
	credit_send(2);
	credit_expect_last(0, 2);
	peer_expect_between(&app.peer, 600 * CREDIT_MS, 601 * CREDIT_MS, ". 1:1001(1000)");
	peer_send(&app.peer, ". ack %u", SEQ(1)); /* of the second transmission: measures nothing */
	credit_expect_last(1, 1);
	credit_near(app_info(&app).rto_us, 1200000, 0.001);
	peer_expect_between(&app.peer, 1200 * CREDIT_MS, 1201 * CREDIT_MS, "P. %u:%u(1000)", SEQ(1), SEQ(2));
	peer_send(&app.peer, ". ack %u", SEQ(2));
	credit_near(app_info(&app).rto_us, 2400000, 0.001);
	credit_send(1);
	credit_expect_last(2, 1);
	peer_run(&app.peer, 200 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u", SEQ(3));
	credit_near(app_info(&app).rto_us, 500000, 0.001); /* 200 + 4 * 75 */
}

/* Section 3: what was sent twice measures nothing. */
static void test_karn(void **state)
{
	(void)state;
	credit_established("", 200 * CREDIT_MS);
	credit_send(1);
	credit_expect_last(0, 1);
	peer_expect(&app.peer, "P. 1:1001(1000)");
	peer_run(&app.peer, CREDIT_MS);
	peer_send(&app.peer, ". ack %u", SEQ(1));
	credit_near(app_info(&app).srtt_us, 200000, 0.001);
}

/* RFC 7323 4.1: with timestamps it does measure, from the transmission that the peer has seen. */
static void test_timestamps(void **state)
{
	(void)state;
	app.peer.timestamps = true;
	app.peer.ts_val = 5;
	credit_established(",TS val 5 ecr 0", 200 * CREDIT_MS);
	assert_true(app_info(&app).timestamps);
	assert_int_equal(app_send(&app, 500), 0);
	peer_expect(&app.peer, "P. 1:501(500)");
	const uint32_t rttvar_us = app_info(&app).rttvar_us;
	peer_expect(&app.peer, "P. 1:501(500)");
	peer_run(&app.peer, 40 * CREDIT_MS);
	peer_send(&app.peer, ". ack 501");
	credit_near(app_info(&app).srtt_us, 200000 - 160000 / 8.0, 0.01);
	assert_int_not_equal(app_info(&app).rttvar_us, rttvar_us);
	/* an echo of what was never sent measures nothing */
	assert_int_equal(app_send(&app, 500), 0);
	peer_expect(&app.peer, "P. 501:1001(500)");
	peer_expect(&app.peer, "P. 501:1001(500)");
	peer_send(&app.peer, ". ack 1001 <TS val 5 ecr 77>");
	credit_near(app_info(&app).srtt_us, 180000, 0.01);
}

/* 5.7, and RFC 5681 3.1: after a lost SYN-ACK the RTO is 3 s and the window one segment. */
static void test_syn_lost(void **state)
{
	(void)state;
	app.peer.patience_ns = 5 * LINK_NS_PER_S;
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_expect_between(&app.peer, 1000 * CREDIT_MS, 1001 * CREDIT_MS, "S. 0:0(0) ack 1");
	peer_send(&app.peer, ".");
	app_settle(&app);
	credit_send(2);
	credit_expect(0, 1);
	peer_expect_between(&app.peer, 3000 * CREDIT_MS, 3001 * CREDIT_MS, ". 1:1001(1000)");
}

/* 5.1: sending does not start a timer anew that runs; 5.3: an acknowledgement of something new does. */
static void test_not_restarted(void **state)
{
	(void)state;
	credit_established("", 200 * CREDIT_MS);
	credit_send(1);
	credit_expect_last(0, 1);
	peer_run(&app.peer, 400 * CREDIT_MS);
	credit_send(1);
	credit_expect_last(1, 1);
	peer_expect_between(&app.peer, 200 * CREDIT_MS, 201 * CREDIT_MS, ". 1:1001(1000)");
}

static void test_restarted(void **state)
{
	(void)state;
	credit_established("", 200 * CREDIT_MS);
	credit_send(2);
	credit_expect_last(0, 2);
	peer_run(&app.peer, 200 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u", SEQ(1)); /* RTTVAR is 75 ms now */
	peer_expect_between(&app.peer, 500 * CREDIT_MS, 501 * CREDIT_MS, "P. %u:%u(1000)", SEQ(1), SEQ(2));
	peer_send(&app.peer, ". ack %u", SEQ(2));
	peer_expect_nothing(&app.peer, 10 * LINK_NS_PER_S); /* 5.2: nothing is outstanding */
}

/* RFC 9293 3.8.6.1 (MUST-37): who answers probes of its window may keep it closed for any time. */
static void test_zero_window(void **state)
{
	(void)state;
	app.peer.patience_ns = 5 * LINK_NS_PER_S;
	app.peer.window = 0;
	credit_established("", 200 * CREDIT_MS);
	credit_send(1);
	for (unsigned i = 0; i < 60; i++) { /* twice the user timeout */
		peer_expect(&app.peer, ". 0:0(0)");
		peer_send(&app.peer, ". ack 1");
	}
	assert_int_equal(app.closed, 0);
	peer_send(&app.peer, ". ack 1 win 5000");
	credit_expect_last(0, 1);
	peer_send(&app.peer, ". ack %u win 5000", SEQ(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_variation, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_least, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_backoff, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_one_segment, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_collapse, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_karn, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_timestamps, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_syn_lost, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_not_restarted, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_restarted, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_zero_window, setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
