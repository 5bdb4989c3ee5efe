// SPDX-License-Identifier: Apache-2.0
/* rb_net_reply(): what rb_net_received() and rb_net_send() do, at once and all or nothing. */
#include <errno.h>

#include "net/defs.h"
#include "net/seq.h"
#include "net/tcb.h"
#include "net/tcp_handle.h"
#include "tests/net/app.h"

enum { PIECES = 4, BYTES = 64 };

#define OPTIONS "mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7"

static void stamp(void)
{
	app.peer.timestamps = true;
	app.peer.ts_val = 1000;
}

static int setup(void **state)
{
	app_config(&app);
	app.config.net.send_pieces = PIECES;
	app_open(&app, *state != NULL);
	stamp();
	return 0;
}

/* After a change of app.config. */
static void again(void)
{
	app_again(&app, &app.config);
	stamp();
}

static void established(void)
{
	app_established(&app, OPTIONS);
	app.peer.ts_val++;
}

/* One segment, which acknowledges, too; nothing is left of it when it has arrived. */
static void test_exchange(void **state)
{
	(void)state;
	app.answer = BYTES;
	established();
	for (unsigned i = 0; i < 200; i++) {
		const unsigned at = 1 + BYTES * i;
		peer_send(&app.peer, "P. %u:%u(%u) ack %u", at, at + BYTES, BYTES, at);
		peer_expect_between(&app.peer, 0, 0, "P. %u:%u(%u) ack %u", at, at + BYTES, BYTES, at + BYTES);
		peer_check_payload(&app.peer, 1);
		assert_int_equal(app_usage(&app).receive_parts, 0);
		assert_int_equal(app_usage(&app).send_pieces, 1);
	}
	peer_send(&app.peer, ". ack %u", 1 + BYTES * 200);
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app.sent, BYTES * 200);
	assert_int_equal(app_usage(&app).send_pieces, 0);
	assert_int_equal(app_info(&app).unread, 0);
}

/* Who closes after the answer, in the same turn, is twice in what the flush looks at: of all connections there may be. */
static void test_close(void **state)
{
	(void)state;
	app.config.net.connections = 1;
	again();
	app.answer = BYTES;
	app.shuts = true;
	established();
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	if (app.config.checksums) { /* the short way has made the segment when the application closes */
		peer_expect(&app.peer, "P. 1:65(64) ack 65");
		peer_expect(&app.peer, "F. 65:65(0) ack 65");
	} else {
		peer_expect(&app.peer, "FP. 1:65(64) ack 65");
	}
	peer_send(&app.peer, "F. 65:65(0) ack 66");
	peer_expect(&app.peer, ". ack 66");
	app_settle(&app);
	assert_int_equal(app.closed, 1);
}

/* An answer carries the acknowledgement that was delayed: the next one is delayed from its own segment on, and comes. */
static void test_delayed_ack(void **state)
{
	(void)state;
	app.config.net.receive_window = 32768; /* no more than the SYN-ACK tells, or that would be a reason, too */
	again();
	established();
	peer_run(&app.peer, 180 * LINK_NS_PER_MS);
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	peer_run(&app.peer, 10 * LINK_NS_PER_MS);
	app.answer = BYTES;
	peer_send(&app.peer, "P. 65:129(64) ack 1");
	peer_expect(&app.peer, "P. 1:65(64) ack 129");
	app.answer = 0;
	peer_run(&app.peer, 5 * LINK_NS_PER_MS);
	peer_send(&app.peer, ". ack 65");
	peer_run(&app.peer, 10 * LINK_NS_PER_MS);
	peer_send(&app.peer, "P. 129:193(64) ack 65");
	peer_expect_between(&app.peer, 39 * LINK_NS_PER_MS, 41 * LINK_NS_PER_MS, ". 65:65(0) ack 193");
}

/* RFC 6298 2.2: the first measurement is SRTT, also where an answer brings it, as the SYN-ACK was sent twice. */
static void test_first_measurement(void **state)
{
	(void)state;
	app.answer = BYTES;
	peer_send(&app.peer, "S 0:0(0) <" OPTIONS ">");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_send(&app.peer, ".");
	app_settle(&app);
	app.peer.ts_val++;
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	peer_expect(&app.peer, "P. 1:65(64) ack 65");
	peer_run(&app.peer, 100 * LINK_NS_PER_MS);
	peer_send(&app.peer, "P. 65:129(64) ack 65");
	peer_expect(&app.peer, "P. 65:129(64) ack 129");
	assert_in_range(app_info(&app).srtt_us, 99000, 101000);
	assert_in_range(app_info(&app).rttvar_us, 49000, 51000);
}

/* What is answered opens the window, however it went out: the peer is never left with little (RFC 9293 3.8.6.2.2). */
static void test_window(void **state)
{
	(void)state;
	app.config.net.receive_window = 8192;
	again();
	app.answer = 1;
	established();
	for (unsigned i = 0; i < 100; i++) {
		struct rb_net_info info;
		peer_send(&app.peer, "P. %u:%u(1000) ack %u", 1 + 1000 * i, 1001 + 1000 * i, 1 + i);
		peer_expect(&app.peer, "P. %u:%u(1) ack %u", 1 + i, 2 + i, 1001 + 1000 * i);
		info = app_info(&app);
		assert_in_range(info.rcv_wnd, 8192 - 2 * 1448, 8192);
	}
}

/* The answer that is lost comes again, by a probe (RFC 8985 7), and so does the next that is lost. */
static void test_lost(void **state)
{
	(void)state;
	app.answer = BYTES;
	peer_send(&app.peer, "S 0:0(0) <" OPTIONS ">");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_run(&app.peer, 300 * LINK_NS_PER_MS); /* a round trip so long that probes come before timeouts */
	peer_send(&app.peer, ".");
	app_settle(&app);
	for (unsigned i = 0; i < 5; i++) {
		const unsigned at = 1 + BYTES * i;
		peer_send(&app.peer, "P. %u:%u(%u) ack %u", at, at + BYTES, BYTES, at);
		peer_expect(&app.peer, "P. %u:%u(%u) ack %u", at, at + BYTES, BYTES, at + BYTES);
		if (i % 2 == 0) /* lost; the one between ends the probe (7.4.2) */
			peer_expect(&app.peer, "P. %u:%u(%u) ack %u", at, at + BYTES, BYTES, at + BYTES);
		peer_check_payload(&app.peer, 1);
		assert_int_equal(app_counters(&app)->tcp_tail_probes, i / 2 + 1);
		peer_send(&app.peer, ". ack %u", at + BYTES);
		peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	}
	peer_expect_nothing(&app.peer, 3 * LINK_NS_PER_S);
	assert_int_equal(app_usage(&app).send_pieces, 0);
}

/* An idle time, which ends with an answer: it goes at once, and the timeout is its own (RFC 6298 5.1). */
static void test_seldom(void **state)
{
	(void)state;
	app.answer = BYTES;
	established();
	for (unsigned i = 0; i < 5; i++) {
		const unsigned at = 1 + BYTES * i;
		peer_run(&app.peer, (i + 1) * LINK_NS_PER_S);
		peer_send(&app.peer, "P. %u:%u(%u) ack %u", at, at + BYTES, BYTES, at);
		peer_expect_between(&app.peer, 0, 0, "P. %u:%u(%u) ack %u", at, at + BYTES, BYTES, at + BYTES);
		peer_expect_between(&app.peer, 200 * LINK_NS_PER_MS, 210 * LINK_NS_PER_MS, "P. %u:%u(%u) ack %u", at,
				    at + BYTES, BYTES, at + BYTES);
		peer_check_payload(&app.peer, 1);
		peer_send(&app.peer, ". ack %u", at + BYTES);
	}
	assert_int_equal(app_counters(&app)->tcp_retransmitted, 5);
}

/* RFC 5681 4.1 is for answers, too: a window that has grown begins anew after an idle time. */
static void test_seldom_much(void **state)
{
	(void)state;
	established();
	const uint32_t initial = app_info(&app).cwnd;
	app.answer = BYTES;
	tcp_tcb(app_net(&app), (uint32_t)(app.handle >> 32))->cwnd = initial + 1;
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	peer_expect(&app.peer, "P. 1:65(64) ack 65");
	peer_send(&app.peer, ". ack 65");
	app_settle(&app);
	assert_int_equal(app_info(&app).cwnd, initial + 1);
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_send(&app.peer, "P. 65:129(64) ack 65");
	peer_expect(&app.peer, "P. 65:129(64) ack 129");
	assert_int_equal(app_info(&app).cwnd, initial);
}

/* RFC 4861 7.3.1: what was acknowledged before an idle time says nothing of the neighbour now; the next does. */
static void test_seldom_neighbour(void **state)
{
	(void)state;
	app.answer = BYTES;
	established();
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	peer_expect(&app.peer, "P. 1:65(64) ack 65");
	peer_send(&app.peer, ". ack 65");
	struct rb_net *net = app_net(&app);
	struct neighbour *entry = &net->neighbours.entries[tcp_tcb(net, (uint32_t)(app.handle >> 32))->neighbour];
	entry->state = NEIGHBOUR_REACHABLE; /* as one that was asked for */
	entry->fresh_until_ns = app.peer.timeline.now_ns + LINK_NS_PER_S;
	peer_run(&app.peer, 2 * LINK_NS_PER_S);
	peer_send(&app.peer, "P. 65:129(64) ack 65");
	peer_expect(&app.peer, "P. 65:129(64) ack 129");
	assert_int_equal(entry->state, NEIGHBOUR_DELAY);
	peer_send(&app.peer, ". ack 129");
	app_settle(&app);
	assert_int_equal(entry->state, NEIGHBOUR_REACHABLE);
}

static struct host_app usual;
static unsigned deadlines;

static void deadline_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	usual.event(host, net, event, context);
	if (event->bits & RB_NET_RECEIVED) {
		assert_in_range(rb_net_deadline_ns(net), 0, app.peer.timeline.now_ns + LINK_NS_PER_MS / 10);
		deadlines++;
	}
}

/* What a reply has made waits for the flush: whoever asks when to come back is told to come soon. */
static void test_deadline(void **state)
{
	(void)state;
	app.answer = BYTES;
	established();
	peer_run(&app.peer, LINK_NS_PER_S);
	usual = app.peer.host.config.app;
	app.peer.host.config.app.event = deadline_event;
	deadlines = 0;
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	peer_expect(&app.peer, "P. 1:65(64) ack 65");
	assert_int_equal(deadlines, 1);
}

/* After the peer's FIN no window is told: no more will come. */
static void test_after_fin(void **state)
{
	(void)state;
	app.config.net.receive_window = 8192;
	again();
	app.keeps = true;
	established();
	for (unsigned i = 0; i < 4; i++)
		peer_send(&app.peer, "P. %u:%u(1400) ack 1", 1 + 1400 * i, 1401 + 1400 * i);
	peer_send(&app.peer, "F. 5601:5601(0) ack 1");
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	app_read(&app, 5600);
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
}

/* With an answer under way the next one waits for its acknowledgement (RFC 9293 3.7.4), unless there shall be no delay. */
static void test_nagle(void **state)
{
	(void)state;
	app.answer = BYTES;
	established();
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	peer_expect(&app.peer, "P. 1:65(64) ack 65");
	peer_send(&app.peer, "P. 65:129(64) ack 1");
	peer_expect(&app.peer, ". 65:65(0) ack 129"); /* delayed, and no data with it */
	peer_send(&app.peer, ". ack 65");
	peer_expect(&app.peer, "P. 65:129(64) ack 129");
	app_set(&app, RB_NET_OPTION_NODELAY, 1);
	peer_send(&app.peer, "P. 129:193(64) ack 65");
	peer_expect_between(&app.peer, 0, 0, "P. 129:193(64) ack 193");
	peer_check_payload(&app.peer, 1);
}

/* Requests that came together, each in a segment of its own, are answered together. */
static void test_together(void **state)
{
	(void)state;
	app.keeps = true;
	established();
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	peer_send(&app.peer, "P. 65:129(64) ack 1");
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	for (unsigned i = 0; i < 2; i++) {
		const struct rb_net_piece piece = {app.bytes + (size_t)BYTES * i, BYTES};
		assert_int_equal(rb_net_reply(app_net(&app), app.handle, BYTES, &piece, 1), 0);
	}
	app_settle(&app);
	peer_expect(&app.peer, "P. 1:129(128) ack 129");
	peer_check_payload(&app.peer, 1);
	assert_int_equal(app_info(&app).unread, 0);
}

/* Some pieces, or none; more than is there, or less; and all or nothing. */
static void test_bounds(void **state)
{
	(void)state;
	const struct rb_net_piece pieces[PIECES + 1] = {
		{app.bytes, 10}, {app.bytes + 10, 20}, {app.bytes + 30, 0}, {app.bytes + 30, 70}, {app.bytes + 100, 1}};
	app.keeps = true;
	established();
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	assert_int_equal(rb_net_reply(app_net(&app), app.handle, 65, pieces, 1), -EINVAL);
	assert_int_equal(rb_net_reply(app_net(&app), app.handle + 1, 64, pieces, 1), -EBADF);
	assert_int_equal(rb_net_reply(app_net(&app), UINT64_MAX, 64, pieces, 1), -EBADF);
	assert_int_equal(app_info(&app).unread, 64);
	assert_int_equal(app_info(&app).queued, 0);
	assert_int_equal(rb_net_reply(app_net(&app), app.handle, 4, NULL, 0), 0);
	assert_int_equal(app_info(&app).unread, 60);
	assert_int_equal(rb_net_reply(app_net(&app), app.handle, 50, pieces, 4), 0);
	app_settle(&app);
	peer_expect(&app.peer, "P. 1:101(100) ack 65");
	peer_check_payload(&app.peer, 1);
	/* three of four pieces are in use */
	assert_int_equal(rb_net_reply(app_net(&app), app.handle, 10, pieces, 2), -ENOBUFS);
	assert_int_equal(app_info(&app).unread, 10);
	assert_int_equal(rb_net_reply(app_net(&app), app.handle, 10, &pieces[4], 1), 0);
	assert_int_equal(app_info(&app).unread, 0);
	peer_send(&app.peer, ". ack 101");
	peer_expect(&app.peer, "P. 101:102(1) ack 65");
}

/* After a close there is no answer, and what was received is not given back by it. */
static void test_closed(void **state)
{
	(void)state;
	const struct rb_net_piece piece = {app.bytes, BYTES};
	app.keeps = true;
	established();
	peer_send(&app.peer, "P. 1:65(64) ack 1");
	peer_run(&app.peer, LINK_NS_PER_S);
	peer_forget(&app.peer);
	app_shut(&app, RB_NET_CLOSE_WRITE);
	peer_expect(&app.peer, "F. 1:1(0) ack 65");
	assert_int_equal(rb_net_reply(app_net(&app), app.handle, BYTES, &piece, 1), -EPIPE);
	assert_int_equal(app_info(&app).unread, BYTES);
	app_read(&app, BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exchange, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_close, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_delayed_ack, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_first_measurement, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_window, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_lost, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_seldom, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_seldom_much, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_seldom_neighbour, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_after_fin, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_nagle, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_together, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_closed, setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
