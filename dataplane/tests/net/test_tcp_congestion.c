// SPDX-License-Identifier: Apache-2.0
/* How the window grows: slow start and congestion avoidance by bytes, and only while it is used. */
#include "tests/net/credit.h"

static int setup(void **state)
{
	(void)state;
	app_config(&app);
	app.config.net.congestion = RB_NET_NEWRENO;
	credit_open();
	credit_established(",sackOK", 100 * CREDIT_MS);
	return 0;
}

/* RFC 6928 2: ten segments, at most 14600 bytes, at least two segments. */
static void test_initial_window(void **state)
{
	static const struct {
		unsigned mss, window;
	} cases[] = {{1000, 10000}, {1460, 14600}, {1461, 14600}, {5000, 14600}, {8000, 16000}};
	(void)state;
	app.config.net.mtu = 9000;
	app_again(&app, &app.config);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		app.peer.port++;
		app.peer.snd_nxt = app.peer.rcv_nxt = 0;
		peer_send(&app.peer, "S 0:0(0) <mss %u>", cases[i].mss);
		peer_expect(&app.peer, "S. 0:0(0) ack 1");
		peer_send(&app.peer, ".");
		app_settle(&app);
		assert_int_equal(app_info(&app).cwnd, cases[i].window);
	}
}

/* RFC 3465 2.2, L = 2: by the bytes acknowledged, at most two segments for an acknowledgement. */
static void test_slow_start(void **state)
{
	(void)state;
	credit_send(200);
	credit_expect(0, 10);
	peer_send(&app.peer, ". ack %u", SEQ(1));
	credit_expect(10, 2);
	assert_int_equal(credit_cwnd(), 11);
	peer_send(&app.peer, ". ack %u", SEQ(3));
	credit_expect(12, 4);
	assert_int_equal(credit_cwnd(), 13);
	peer_send(&app.peer, ". ack %u", SEQ(8));
	credit_expect(16, 7);
	assert_int_equal(credit_cwnd(), 15);
	/* who acknowledges byte by byte gains nothing (S. Savage et al., 1999) */
	for (unsigned i = 1; i <= 10; i++)
		peer_send(&app.peer, ". ack %u", SEQ(8) + 100 * i);
	credit_expect(23, 2);
	assert_int_equal(credit_cwnd(), 16);
}

/* RFC 5681 3.1, equation 2 by bytes: a segment for each window. */
static void test_avoidance(void **state)
{
	(void)state;
	credit_send(200);
	credit_expect(0, 10);
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack 1 <nop,nop,sack %u:%u>", SEQ(1), SEQ(10));
	credit_expect(0, 1); /* ssthresh is 5 now */
	credit_expect(10, 4);
	peer_send(&app.peer, ". ack %u", SEQ(14));
	credit_expect(14, 5);
	for (unsigned round = 0, first = 14; round < 10; round++) {
		const unsigned cwnd = 5 + round;
		assert_int_equal(credit_cwnd(), cwnd);
		for (unsigned i = 0; i < cwnd - 1; i++) {
			peer_send(&app.peer, ". ack %u", SEQ(++first));
			credit_expect(first + cwnd - 1, 1);
		}
		peer_send(&app.peer, ". ack %u", SEQ(++first));
		credit_expect(first + cwnd - 1, 2);
	}
}

/* RFC 7661 4.1: a window that is not used says nothing about the path. */
static void test_validation(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40; i += 4) {
		credit_send(4);
		credit_expect_last(i, 4);
		peer_send(&app.peer, ". ack %u", SEQ(i + 4));
	}
	assert_int_equal(credit_cwnd(), 10);
	credit_send(10);
	credit_expect_last(40, 10);
	peer_send(&app.peer, ". ack %u", SEQ(50));
	assert_int_equal(credit_cwnd(), 12);
}

/* All acknowledgements of a burst count, though nothing is sent between them. */
static void test_burst(void **state)
{
	(void)state;
	app.peer.host.config.period_ns = CREDIT_MS;
	credit_send(200);
	credit_expect(0, 10);
	for (unsigned i = 1; i <= 10; i++)
		peer_send(&app.peer, ". ack %u", SEQ(i));
	credit_expect(10, 20);
	assert_int_equal(credit_cwnd(), 20);
}

/* RFC 5681 4.1: after an RTO without anything sent the window is the initial one; not before. */
static void test_idle(void **state)
{
	(void)state;
	unsigned sent = 0;
	for (unsigned cwnd = 10; cwnd < 20; cwnd += 2, sent += cwnd - 2) {
		credit_send(cwnd);
		credit_expect_last(sent, cwnd);
		peer_run(&app.peer, 100 * CREDIT_MS);
		peer_send(&app.peer, ". ack %u", SEQ(sent + cwnd));
	}
	assert_int_equal(credit_cwnd(), 20);
	peer_run(&app.peer, 150 * CREDIT_MS); /* since the last segment more than a probe would have waited */
	credit_send(20);
	credit_expect_last(sent, 20);
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u", SEQ(sent += 20));
	assert_int_equal(credit_cwnd(), 22);
	peer_run(&app.peer, 600 * CREDIT_MS);
	credit_send(30);
	credit_expect(sent, 10);
	peer_expect_nothing(&app.peer, 0);
	assert_int_equal(credit_cwnd(), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_initial_window, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_slow_start, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_avoidance, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_validation, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_burst, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
