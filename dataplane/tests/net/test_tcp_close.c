// SPDX-License-Identifier: Apache-2.0
/*
 * The end of connections (RFC 9293 3.6): orderly from either side, both at once, half-closed in both directions,
 * aborted; TIME-WAIT, how long it lasts, and what may take its place (RFC 6191).
 */
#include <errno.h>

#include "net/tcb.h"
#include "tests/net/app.h"

#define TIME_WAIT_NS (60 * LINK_NS_PER_S)

/* Figure 12: the application closes first. */
static void test_active(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app_shut(&app, RB_NET_CLOSE_BOTH);
	peer_expect(&app.peer, "F. 1:1(0) ack 1");
	peer_send(&app.peer, ". ack 2");
	peer_send(&app.peer, "F. 1:1(0)");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, 0);
	assert_false(app.fin); /* it has closed both ways and does not want to know */
	peer_expect_nothing(&app.peer, TIME_WAIT_NS - LINK_NS_PER_S);
	assert_int_equal(app_usage(&app).connections, 1);
	peer_run(&app.peer, 2 * LINK_NS_PER_S);
	assert_int_equal(app_usage(&app).connections, 0);
}

/* The peer closes first. */
static void test_passive(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "FP. 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 12");
	assert_true(app.fin);
	app_shut(&app, RB_NET_CLOSE_BOTH);
	peer_expect(&app.peer, "F. 1:1(0) ack 12");
	peer_send(&app.peer, ". ack 2");
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, 0);
	assert_int_equal(app_usage(&app).connections, 0);
}

/* Figure 13: both at once. */
static void test_simultaneous(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. 1:1(0) ack 1");
	peer_send(&app.peer, "F. 1:1(0) ack 1");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	assert_int_equal(app_state(&app), TCP_CLOSING);
	peer_send(&app.peer, ". 2:2(0) ack 2");
	assert_int_equal(app_state(&app), TCP_TIME_WAIT);
	assert_int_equal(app.closed, 1);
	peer_expect_nothing(&app.peer, 2 * TIME_WAIT_NS);
	assert_int_equal(app_usage(&app).connections, 0);
}

/* The application has closed its half, and goes on to receive, as long as it takes. */
static void test_half_closed_by_us(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. 1:1(0) ack 1");
	peer_send(&app.peer, ". ack 2");
	assert_int_equal(app_send(&app, 1), -EPIPE);
	for (unsigned i = 0; i < 10; i++) {
		peer_run(&app.peer, 1000 * LINK_NS_PER_S);
		peer_send(&app.peer, "P. %u:%u(10) ack 2", 1 + 10 * i, 11 + 10 * i);
		peer_expect(&app.peer, ". 2:2(0) ack %u", 11 + 10 * i);
	}
	assert_int_equal(app.received, 100);
	peer_send(&app.peer, "F. 101:101(0) ack 2");
	peer_expect(&app.peer, ". 2:2(0) ack 102");
	assert_true(app.fin);
	assert_int_equal(app.closed, 1);
}

/* The peer has closed its half; the application goes on to send. */
static void test_half_closed_by_peer(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "F. 1:1(0)");
	peer_expect(&app.peer, ". 1:1(0) ack 2");
	for (unsigned i = 0; i < 10; i++) {
		peer_run(&app.peer, 1000 * LINK_NS_PER_S);
		assert_int_equal(app_send(&app, 10), 0);
		peer_expect(&app.peer, "P. %u:%u(10) ack 2", 1 + 10 * i, 11 + 10 * i);
		peer_check_payload(&app.peer, 1);
		peer_send(&app.peer, ". 2:2(0) ack %u", 11 + 10 * i);
	}
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. 101:101(0) ack 2");
	peer_send(&app.peer, ". 2:2(0) ack 102");
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.sent, 100);
}

/* Our FIN was lost: it comes again; and so does our last ACK. */
static void test_lost_fin(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. 1:1(0) ack 1");
	peer_expect(&app.peer, "F. 1:1(0) ack 1");
	peer_send(&app.peer, "F. 1:1(0) ack 2");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	peer_send(&app.peer, "F. 1:1(0) ack 2");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
}

/* After a full close what still comes is acknowledged and dropped, for 2 MSL after our FIN was acknowledged. */
static void test_peer_never_closes(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app_shut(&app, RB_NET_CLOSE_BOTH);
	peer_expect(&app.peer, "F. 1:1(0) ack 1");
	peer_send(&app.peer, "P. 1:11(10) ack 2");
	peer_expect(&app.peer, ". 2:2(0) ack 11");
	assert_int_equal(app.received, 0);
	peer_run(&app.peer, TIME_WAIT_NS + LINK_NS_PER_S);
	assert_int_equal(app_usage(&app).connections, 0);
	assert_int_equal(app.closed, 1);
	peer_send(&app.peer, "P. 11:21(10) ack 2");
	peer_expect(&app.peer, "R 2:2(0)");
}

/* As long as the application says, who has closed both ways; while it listens it does not matter. */
static void test_peer_never_closes_timed(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. 1:1(0) ack 1");
	peer_send(&app.peer, ". ack 2");
	app_set(&app, RB_NET_OPTION_USER_TIMEOUT, 5000000);
	peer_run(&app.peer, 2 * TIME_WAIT_NS);
	assert_int_equal(app.closed, 0);
	app_shut(&app, RB_NET_CLOSE_BOTH);
	peer_run(&app.peer, 4900 * LINK_NS_PER_MS);
	assert_int_equal(app.closed, 0);
	app_set(&app, RB_NET_OPTION_USER_TIMEOUT, 1000000);
	peer_run(&app.peer, 900 * LINK_NS_PER_MS);
	assert_int_equal(app.closed, 0);
	peer_run(&app.peer, 200 * LINK_NS_PER_MS);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ETIMEDOUT);
	assert_int_equal(app_usage(&app).connections, 0);
}

static void test_abort(void **state)
{
	(void)state;
	app.keeps = true;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "P. 1:11(10)");
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 11");
	app_shut(&app, RB_NET_CLOSE_ABORT);
	peer_expect(&app.peer, "R. 11:11(0) ack 11");
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ECONNABORTED);
	assert_int_equal(app_usage(&app).connections, 0);
	assert_int_equal(app_usage(&app).send_pieces, 0);
	assert_int_equal(app_usage(&app).receive_parts, 0);
}

/* What was received is the application's until the flush after CLOSED, and may be given back till then; once. */
static void test_abort_and_give_back(void **state)
{
	(void)state;
	app.keeps = true;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "P. 1:11(10)");
	assert_int_equal(rb_net_close(app_net(&app), app.handle, RB_NET_CLOSE_ABORT), 0);
	assert_int_equal(rb_net_received(app_net(&app), app.handle, 11), -EINVAL);
	assert_int_equal(rb_net_received(app_net(&app), app.handle, 4), 0);
	assert_int_equal(rb_net_received(app_net(&app), app.handle, 6), 0);
	assert_int_equal(rb_net_received(app_net(&app), app.handle, 1), -EINVAL);
	app_settle(&app);
	peer_expect(&app.peer, "R. 1:1(0) ack 11");
	assert_int_equal(app.closed, 1);
	assert_int_equal(app_usage(&app).receive_parts, 0);
}

/*
 * TIME-WAIT.
 */

static void to_time_wait(void)
{
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. 1:1(0) ack 1");
	peer_send(&app.peer, "F. 1:1(0) ack 2");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	assert_int_equal(app_state(&app), TCP_TIME_WAIT);
}

/* 2 MSL count anew when the peer's FIN comes again, and for nothing else. */
static void test_time_wait_lasts(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	to_time_wait();
	peer_run(&app.peer, TIME_WAIT_NS / 2);
	peer_send(&app.peer, "F. 1:1(0) ack 2");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	peer_run(&app.peer, TIME_WAIT_NS / 2 + LINK_NS_PER_S);
	assert_int_equal(app_usage(&app).connections, 1);
	/* an attacker, an old duplicate: answered only */
	peer_send(&app.peer, "P. 70000:70010(10) ack 2");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	peer_send(&app.peer, "P. 2:12(10) ack 2");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	peer_run(&app.peer, TIME_WAIT_NS / 2);
	assert_int_equal(app_usage(&app).connections, 0);
}

/* RFC 9293 3.10.7.4: a SYN above all that went before begins a new connection. */
static void test_time_wait_reuse(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	to_time_wait();
	peer_send(&app.peer, "S 3:3(0) <mss 1000>");
	peer_expect(&app.peer, "S. ack 4");
	peer_send(&app.peer, ". 4:4(0) ack 1");
	assert_int_equal(app.knocks, 2);
	assert_int_equal(app_counters(&app)->tcp_time_wait_reused, 1);
}

/* RFC 6191 2: with timestamps a later one is enough, whatever the sequence number; an earlier one never is. */
static void test_time_wait_reuse_timestamps(void **state)
{
	(void)state;
	app.peer.timestamps = true;
	app.peer.ts_val = 1000;
	app_established(&app, "mss 1000,TS val 1000 ecr 0");
	to_time_wait();
	peer_send(&app.peer, "S 100:100(0) <mss 1000,TS val 999 ecr 0>");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	peer_send(&app.peer, "S 2:2(0) <mss 1000,TS val 1000 ecr 0>");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	peer_send(&app.peer, "S 4294900000:4294900000(0) <mss 1000,TS val 1001 ecr 0>");
	peer_expect(&app.peer, "S. ack 4294900001 <mss 1460,TS val * ecr 1001>");
	assert_int_equal(app_counters(&app)->tcp_time_wait_reused, 1);
}

/* Where nobody listens any more, the SYN is answered as any other (RFC 5961 4.2). */
static void test_time_wait_reuse_refused(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	to_time_wait();
	assert_int_equal(rb_net_close(app_net(&app), app.listener, RB_NET_CLOSE_BOTH), 0);
	app.listener = 0;
	peer_send(&app.peer, "S 3:3(0) <mss 1000>");
	peer_expect(&app.peer, ". 2:2(0) ack 2");
	assert_int_equal(app_state(&app), TCP_TIME_WAIT);
}

/* One that has sent more than the ISS clock has counted. Returns the last number. */
static uint32_t to_time_wait_far(void)
{
	enum { ROUNDS = 60, BYTES = 1000 };
	app_established(&app, "mss 1000");
	for (unsigned i = 0; i < ROUNDS; i++) { /* in no time: the ISS clock stands */
		assert_int_equal(app_send(&app, BYTES), 0);
		peer_expect(&app.peer, "P. %u:%u(1000) ack 1", 1 + BYTES * i, 1 + BYTES * (i + 1));
		peer_send(&app.peer, ". ack %u", 1 + BYTES * (i + 1));
	}
	const uint32_t last = app_info(&app).snd_nxt;
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. ack 1");
	peer_send(&app.peer, "F. 1:1(0)");
	peer_expect(&app.peer, ". ack 2");
	return last;
}

/* The new connection's numbers are above those of the old one, however many those were. */
static void test_time_wait_reuse_iss(void **state)
{
	(void)state;
	const uint32_t last = to_time_wait_far();
	peer_send(&app.peer, "S 3:3(0) <mss 1000>");
	peer_expect(&app.peer, "S. ack 4");
	assert_true((int32_t)(app.peer.irs - last) > 0);
}

/* Between the peer's connections: another port, other numbers of ours. */
static void turn_to(uint16_t port, uint32_t irs, uint32_t rcv_nxt)
{
	app.peer.port = port;
	app.peer.irs = irs;
	app.peer.rcv_nxt = rcv_nxt;
}

/* A cookie's would not be: while the backlog is full, the SYN is answered as any other, and TIME-WAIT stays. */
static void test_time_wait_reuse_iss_backlog(void **state)
{
	(void)state;
	app.config.net.backlog = 1;
	app_again(&app, &app.config);
	const uint32_t last = to_time_wait_far(), irs = app.peer.irs, rcv_nxt = app.peer.rcv_nxt;
	const uint16_t port = app.peer.port;
	app.peer.port++;
	app.peer.irs_known = false;
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. ack 1");
	const uint32_t other = app.peer.irs;
	turn_to(port, irs, rcv_nxt);
	peer_send(&app.peer, "S 3:3(0) <mss 1000>");
	peer_expect(&app.peer, ". %u:%u(0) ack 2", rcv_nxt, rcv_nxt);
	/* that handshake ends: there is room */
	turn_to((uint16_t)(port + 1), other, 1);
	peer_send(&app.peer, ". 1:1(0) ack 1");
	app_settle(&app);
	assert_int_equal(app.knocks, 2);
	turn_to(port, irs, rcv_nxt);
	peer_send(&app.peer, "S 3:3(0) <mss 1000>");
	peer_expect(&app.peer, "S. ack 4");
	assert_true((int32_t)(app.peer.irs - last) > 0);
}

/* A full pool: the oldest one in TIME-WAIT makes room. */
static void test_time_wait_gives_way(void **state)
{
	(void)state;
	app.config.net.connections = 2;
	app_again(&app, &app.config);
	for (unsigned i = 0; i < 10; i++) {
		app.peer.snd_nxt = app.peer.rcv_nxt = 0;
		app_established(&app, "mss 1000");
		to_time_wait();
		app.peer.port++;
	}
	assert_int_equal(app.closed, 10);
	assert_int_equal(app_counters(&app)->tcp_time_wait_reused, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_active, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_passive, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_simultaneous, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_half_closed_by_us, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_half_closed_by_peer, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_lost_fin, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_peer_never_closes, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_peer_never_closes_timed, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_abort, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_abort_and_give_back, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_time_wait_lasts, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_time_wait_reuse, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_time_wait_reuse_timestamps, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_time_wait_reuse_refused, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_time_wait_reuse_iss, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_time_wait_reuse_iss_backlog, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_time_wait_gives_way, app_setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
