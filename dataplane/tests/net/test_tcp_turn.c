// SPDX-License-Identifier: Apache-2.0
/*
 * The turns of a connection that are taken a short way when a device checks and fills in checksums: what the peer and the
 * application see of them is the same in either case.
 */
#include <errno.h>

#include "net/tcb.h"
#include "tests/net/app.h"

#define TIMESTAMPS "mss 1000,TS val 1 ecr 0,wscale 7"

/* What the application does when it is told something, beside what the usual one does. */
static struct {
	struct host_app usual;
	void (*act)(struct rb_net *net, const struct rb_net_event *event);
} on;

static void on_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	on.usual.event(host, net, event, context);
	on.act(net, event);
}

static void established(void (*act)(struct rb_net *net, const struct rb_net_event *event))
{
	app.peer.timestamps = true;
	app.peer.ts_val = 1;
	app_established(&app, TIMESTAMPS);
	on.usual = app.peer.host.config.app;
	on.act = act;
	app.peer.host.config.app.event = on_event;
}

static void close_on_fin(struct rb_net *net, const struct rb_net_event *event)
{
	if (event->bits & RB_NET_FIN)
		assert_int_equal(rb_net_close(net, event->handle, RB_NET_CLOSE_BOTH), 0);
}

static void assert_gone(void)
{
	struct rb_net_info info;
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, 0);
	assert_int_equal(rb_net_info(app_net(&app), app.handle, &info), -EBADF);
	assert_int_equal(app_usage(&app).connections, 0);
	assert_int_equal(app_usage(&app).send_pieces, 0);
}

/* The answer to a FIN is one segment: the FIN, with the acknowledgement and the whole window. */
static void test_fin_answered(void **state)
{
	(void)state;
	established(close_on_fin);
	const uint32_t window = app.config.net.receive_window >> app_info(&app).rcv_wscale;
	app.peer.ts_val = 7;
	peer_send(&app.peer, "F. 1:1(0)");
	peer_expect(&app.peer, "F. 1:1(0) ack 2 win %u <TS val * ecr 7>", window);
	assert_int_equal(app_state(&app), TCP_LAST_ACK);
	assert_int_equal(app_info(&app).in_flight, 1);
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	peer_send(&app.peer, ". ack 2");
	assert_gone();
}

/* The same behind an exchange, whose last acknowledgement the FIN carries. */
static void test_fin_answered_after_data(void **state)
{
	(void)state;
	app.answer = 10;
	established(close_on_fin);
	peer_send(&app.peer, "P. 1:11(10) ack 1");
	peer_expect(&app.peer, "P. 1:11(10) ack 11");
	peer_send(&app.peer, "F. 11:11(0) ack 11");
	peer_expect(&app.peer, "F. 11:11(0) ack 12");
	assert_int_equal(app.sent, 10);
	peer_send(&app.peer, ". ack 12");
	assert_gone();
}

/* Without a FIN that has just come, the connection has nothing else for the flush. */
static void test_fin_answered_later(void **state)
{
	(void)state;
	app.peer.timestamps = true;
	app.peer.ts_val = 1;
	app_established(&app, TIMESTAMPS);
	peer_send(&app.peer, "F. 1:1(0)");
	peer_expect(&app.peer, ". 1:1(0) ack 2");
	peer_run(&app.peer, LINK_NS_PER_S);
	app_shut(&app, RB_NET_CLOSE_BOTH);
	peer_expect(&app.peer, "F. 1:1(0) ack 2");
	peer_send(&app.peer, ". ack 2");
	assert_gone();
}

/* It comes again until it is acknowledged. */
static void test_fin_lost(void **state)
{
	(void)state;
	established(close_on_fin);
	peer_send(&app.peer, "F. 1:1(0)");
	for (unsigned i = 0; i < 4; i++)
		peer_expect(&app.peer, "F. 1:1(0) ack 2");
	peer_send(&app.peer, ". ack 2");
	assert_gone();
}

/*
 * The same with a limit.
 */

enum { LIMIT_MS = 3000 };

static void close_within_on_fin(struct rb_net *net, const struct rb_net_event *event)
{
	if (event->bits & RB_NET_FIN)
		assert_int_equal(rb_net_close_within(net, event->handle, LIMIT_MS * 1000), 0);
}

/* Nobody acknowledges the FIN: it ends with the first retransmission behind the limit. */
static void assert_ends_in_time(void)
{
	peer_run(&app.peer, (LIMIT_MS - 200) * LINK_NS_PER_MS);
	assert_int_equal(app.closed, 0);
	peer_run(&app.peer, LIMIT_MS * (2 * LINK_NS_PER_MS));
	peer_forget(&app.peer);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ETIMEDOUT);
	assert_int_equal(app_usage(&app).connections, 0);
	assert_int_equal(rb_net_close_within(app_net(&app), app.handle, 1000000), -EBADF);
}

static void test_fin_answered_within(void **state)
{
	(void)state;
	established(close_within_on_fin);
	peer_send(&app.peer, "F. 1:1(0)");
	peer_expect(&app.peer, "F. 1:1(0) ack 2");
	assert_ends_in_time();
}

/* By the long way, for there is something to be sent before. */
static void test_fin_within_behind_data(void **state)
{
	(void)state;
	established(close_within_on_fin);
	assert_int_equal(app_send(&app, 5), 0);
	peer_expect(&app.peer, "P. 1:6(5) ack 1");
	peer_send(&app.peer, "F. 1:1(0) ack 1");
	peer_expect(&app.peer, "F. 6:6(0) ack 2");
	assert_ends_in_time();
}

/* Behind another connection, which has something for the flush and so is the first in its ring. */
static void test_fin_answered_behind_another(void **state)
{
	struct peer *peer = &app.peer;
	(void)state;
	app.keeps = true; /* of the other one */
	established(close_on_fin);
	const rb_net_handle other = app.handle;
	const uint32_t irs = peer->irs;
	peer->port++;
	peer->snd_nxt = peer->rcv_nxt = 0;
	peer_handshake(peer, TIMESTAMPS);
	const uint32_t own = peer->irs;
	peer->host.config.period_ns = LINK_NS_PER_MS; /* both in one burst */
	peer_send(peer, ".");
	peer->port--;
	peer->irs = irs;
	peer_send(peer, "P. 1:11(10) ack 1");
	peer_send(peer, "P. 11:21(10) ack 1");
	peer->port++;
	peer->irs = own;
	peer_send(peer, "F. 1:1(0) ack 1");
	peer_expect(peer, "F. 1:1(0) ack 2"); /* at once, not by the flush */
	assert_int_equal(app_state(&app), TCP_LAST_ACK);
	peer_run(peer, LINK_NS_PER_MS);
	peer_forget(peer); /* the acknowledgement of the other one's */
	peer_send(peer, ". 2:2(0) ack 2");
	peer_run(peer, 10 * LINK_NS_PER_MS);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, 0);
	app.handle = other;
}

/* Between whom a connection is. */
static void test_pair4(void **state)
{
	struct rb_net_pair4 pair;
	(void)state;
	established(close_on_fin);
	const struct rb_net_info info = app_info(&app);
	assert_int_equal(rb_net_pair4(app_net(&app), app.handle, &pair), 0);
	const struct rb_ip local = rb_ip4(pair.local_ip), remote = rb_ip4(pair.remote_ip);
	assert_memory_equal(&local, &info.local.ip, sizeof(local));
	assert_memory_equal(&remote, &info.remote.ip, sizeof(remote));
	assert_int_equal(pair.local_port, info.local.port);
	assert_int_equal(pair.remote_port, info.remote.port);
	assert_int_not_equal(pair.local_port, pair.remote_port);
	assert_int_equal(rb_net_pair4(app_net(&app), 0, &pair), -EBADF);
}

static void test_pair4_of_ip6(void **state)
{
	struct rb_net_pair4 pair;
	(void)state;
	app_established(&app, "mss 1000");
	assert_int_equal(rb_net_pair4(app_net(&app), app.handle, &pair), -EAFNOSUPPORT);
}

/* What is not acknowledged, or not yet given back, goes the long way. */
static void test_fin_behind_data(void **state)
{
	(void)state;
	app.keeps = true;
	established(close_on_fin);
	assert_int_equal(app_send(&app, 5), 0);
	peer_expect(&app.peer, "P. 1:6(5) ack 1");
	peer_send(&app.peer, "FP. 1:11(10) ack 1");
	peer_expect(&app.peer, "F. 6:6(0) ack 12");
	assert_int_equal(app_usage(&app).receive_parts, 0);
	peer_send(&app.peer, ". ack 7");
	assert_gone();
}

static void close_twice(struct rb_net *net, const struct rb_net_event *event)
{
	if (!(event->bits & RB_NET_FIN))
		return;
	assert_int_equal(rb_net_close(net, event->handle, RB_NET_CLOSE_BOTH), 0);
	assert_int_equal(rb_net_close(net, event->handle, RB_NET_CLOSE_BOTH), 0);
	assert_int_equal(rb_net_close(net, event->handle, RB_NET_CLOSE_ABORT), 0);
}

/* Who changes its mind after that resets the connection. */
static void test_fin_and_reset(void **state)
{
	(void)state;
	established(close_twice);
	peer_send(&app.peer, "F. 1:1(0)");
	app_settle(&app);
	peer_run(&app.peer, LINK_NS_PER_MS);
	peer_forget(&app.peer);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ECONNABORTED);
	assert_int_equal(app_usage(&app).connections, 0);
}

static unsigned told;

static void abort_at_first(struct rb_net *net, const struct rb_net_event *event)
{
	if (!(event->bits & RB_NET_RECEIVED))
		return;
	told++;
	assert_int_equal(event->length, 10);
	assert_int_equal(rb_net_close(net, event->handle, RB_NET_CLOSE_ABORT), 0);
	assert_int_equal(rb_net_received(net, event->handle, 11), -EINVAL);
	assert_int_equal(rb_net_received(net, event->handle, 4), 0);
	assert_int_equal(rb_net_received(net, event->handle, 7), -EINVAL);
	assert_int_equal(rb_net_received(net, event->handle, 6), 0);
}

static void take_too_much(struct rb_net *net, const struct rb_net_event *event)
{
	static const uint8_t bytes[1] = {1};
	const struct rb_net_piece piece = {bytes, sizeof(bytes)};
	if (!(event->bits & RB_NET_RECEIVED))
		return;
	told++;
	assert_int_equal(event->length, 10);
	assert_int_equal(rb_net_received(net, event->handle, 11), -EINVAL);
	assert_int_equal(rb_net_reply(net, event->handle, 20, &piece, 1), -EINVAL);
	assert_int_equal(rb_net_received(net, event->handle, 10), 0);
	assert_int_equal(rb_net_received(net, event->handle, 10), -EINVAL);
}

static void burst_taken_singly(struct peer *peer, unsigned segments)
{
	told = 0;
	peer->host.config.events = 1;
	peer->host.config.period_ns = LINK_NS_PER_MS;
	peer_send(peer, ".");
	for (unsigned i = 0; i < segments; i++)
		peer_send(peer, "P. %u:%u(10)", 1 + 10 * i, 11 + 10 * i);
	assert_int_equal(app_usage(&app).receive_parts, 0); /* they wait for the next turn */
}

/* Events are made in the burst, but their bytes are not the application's before it takes them. */
static void test_nothing_in_advance(void **state)
{
	(void)state;
	app.keeps = true;
	established(take_too_much);
	burst_taken_singly(&app.peer, 3);
	peer_run(&app.peer, 100 * LINK_NS_PER_MS);
	peer_forget(&app.peer);
	assert_int_equal(told, 3);
	assert_int_equal(app_usage(&app).receive_parts, 0);
}

/* Of three segments in one burst the application has seen the first: of the others it hears nothing, nor may it give them back. */
static void test_abort_before_the_rest(void **state)
{
	(void)state;
	app.keeps = true;
	established(abort_at_first);
	burst_taken_singly(&app.peer, 3);
	peer_expect(&app.peer, "R. 1:1(0) ack 31");
	app_settle(&app);
	assert_int_equal(told, 1);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ECONNABORTED);
	assert_int_equal(app_usage(&app).receive_parts, 0);
}

/*
 * CLOSED, while the application has not taken it.
 */

static rb_net_handle ending;
static bool aborts;

static void meddle(struct rb_net *net, const struct rb_net_event *event)
{
	uint8_t record[4096];
	struct rb_net_info info;
	if (!(event->bits & RB_NET_KNOCK))
		return;
	/* the other connection's handle is as good as before */
	assert_int_equal(rb_net_info(net, ending, &info), 0);
	assert_int_equal(info.state, TCP_CLOSED);
	assert_int_equal(rb_net_export(net, ending, record, sizeof(record)), -ENOTCONN);
	assert_int_equal(rb_net_received(net, ending, 0), 0);
	if (aborts)
		assert_int_equal(rb_net_close(net, ending, RB_NET_CLOSE_ABORT), 0);
}

/* Two segments in one burst, whose events are taken one by one: the end of a connection behind the beginning of another. */
static void end_behind_beginning(bool meddles, bool with_abort)
{
	struct peer *peer = &app.peer;
	peer->timestamps = true;
	peer->ts_val = 1;
	app_established(&app, TIMESTAMPS);
	peer_send(peer, "F. 1:1(0)");
	peer_expect(peer, ". 1:1(0) ack 2");
	app_shut(&app, RB_NET_CLOSE_BOTH);
	peer_expect(peer, "F. 1:1(0) ack 2");
	const uint32_t irs = peer->irs;
	ending = app.handle;
	aborts = with_abort;

	peer->port++;
	peer->snd_nxt = peer->rcv_nxt = 0;
	peer_send(peer, "S 0:0(0) <" TIMESTAMPS ">");
	peer_expect(peer, "S. 0:0(0) ack 1");
	on.usual = peer->host.config.app;
	on.act = meddle;
	if (meddles)
		peer->host.config.app.event = on_event;
	peer->host.config.events = 1;
	peer->host.config.period_ns = LINK_NS_PER_MS;
	peer_send(peer, ".");
	const uint32_t other_irs = peer->irs;
	peer->port--;
	peer->irs = irs;
	peer_send(peer, ". 2:2(0) ack 2");
	peer_run(peer, 10 * LINK_NS_PER_MS);
	peer->port++;
	peer->irs = other_irs;
	assert_int_equal(app.knocks, 2);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, 0);
	struct rb_net_info info;
	assert_int_equal(rb_net_info(app_net(&app), ending, &info), -EBADF);
	assert_int_equal(app_usage(&app).connections, 1);
}

static void test_closed_waits(void **state)
{
	(void)state;
	end_behind_beginning(false, false);
}

static void test_closed_stays(void **state)
{
	(void)state;
	end_behind_beginning(true, false);
}

static void test_closed_taken_back(void **state)
{
	(void)state;
	end_behind_beginning(true, true);
}

/* Who was never accepted and has been closed with all others waits for the listener no longer. */
static void test_ack_of_fin_unaccepted(void **state)
{
	(void)state;
	app.hesitates = true;
	app.peer.timestamps = true;
	app.peer.ts_val = 1;
	app_established(&app, TIMESTAMPS);
	peer_send(&app.peer, "F. 1:1(0)");
	peer_expect(&app.peer, ". 1:1(0) ack 2");
	assert_int_equal(rb_net_close_all(app_net(&app), RB_NET_CLOSE_BOTH), 1);
	app_settle(&app);
	peer_expect(&app.peer, "F. 1:1(0) ack 2");
	peer_send(&app.peer, ". ack 2");
	assert_gone();
	assert_int_equal(rb_net_close(app_net(&app), app.listener, RB_NET_CLOSE_BOTH), 0);
	app.listener = 0;
}

/*
 * The first request with the ACK of the SYN-ACK, as it comes from who runs to completion.
 */

static void handshake_until_last(void)
{
	app.peer.timestamps = true;
	app.peer.ts_val = 1;
	peer_send(&app.peer, "S 0:0(0) <" TIMESTAMPS ">");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
}

/* Of one segment so far. */
static void assert_by_short_way(void)
{
	const struct rb_net_counters *counters = rb_net_counters(app_net(&app));
	assert_int_equal(counters->tcp_in, 2);
	assert_int_equal(counters->tcp_fast, app.config.checksums);
}

static void test_first_data(void **state)
{
	(void)state;
	app.answer = 10;
	handshake_until_last();
	peer_send(&app.peer, "P. 1:11(10) ack 1");
	peer_expect(&app.peer, "P. 1:11(10) ack 11");
	assert_int_equal(app.knocks, 1);
	assert_int_equal(app.received, 10);
	assert_by_short_way();
}

/* It waits for who does not accept at once, and is acknowledged meanwhile. */
static void test_first_data_waits(void **state)
{
	(void)state;
	app.hesitates = true;
	handshake_until_last();
	peer_send(&app.peer, "P. 1:11(10) ack 1");
	peer_expect(&app.peer, ". 1:1(0) ack 11");
	assert_int_equal(app.knocks, 1);
	assert_int_equal(app.received, 0);
	assert_by_short_way();
	assert_int_equal(rb_net_accept(app_net(&app), app.handle, 0), 0);
	app_settle(&app);
	assert_int_equal(app.received, 10);
	assert_int_equal(app_usage(&app).receive_parts, 0);
}

int main(void)
{
	static bool ip6 = true;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fin_answered, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_answered_after_data, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_answered_later, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_lost, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_answered_within, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_within_behind_data, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_answered_behind_another, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_pair4, app_setup, app_teardown),
		{"test_pair4_of_ip6", test_pair4_of_ip6, app_setup, app_teardown, &ip6},
		cmocka_unit_test_setup_teardown(test_fin_behind_data, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_fin_and_reset, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_ack_of_fin_unaccepted, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_in_advance, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_abort_before_the_rest, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_closed_waits, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_closed_stays, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_closed_taken_back, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_first_data, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_first_data_waits, app_setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
