// SPDX-License-Identifier: Apache-2.0
/* The life of connections as abi/abi.h tells it, seen through the arrays of a context. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "tests/core/expect.h"

enum { COOKIE = 42 };

#define DELAYED_NS (50 * RB_NS_PER_MS) /* an acknowledgement may be, for so long */

static void expect_gone(rb_handle handle)
{
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	pair_settle(&pair);
	expect_error(RB_COMMAND_CLOSE, handle, 0, -EBADF);
}

/*
 * Passive connections.
 */

static void test_knock(void **state)
{
	(void)state;
	const unsigned peer = pair_peer_connect(&pair, PAIR_PORT);
	pair_settle(&pair);
	const struct rb_event event = expect(RB_EVENT_KNOCK, 0, PAIR_COOKIE);
	assert_int_equal(event.status, 0);
	assert_int_equal(rb_handle_group(event.handle), PAIR_GROUP);
	assert_int_equal(event.knock.local.ip, PAIR_ADDRESS);
	assert_int_equal(event.knock.local.port, PAIR_PORT);
	assert_int_equal(event.knock.remote.ip, PAIR_PEER_ADDRESS);
	assert_int_not_equal(event.knock.remote.port, 0);
	/* nothing is told before it is accepted */
	assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
	pair_run(&pair, DELAYED_NS);
	expect_nothing();
	assert_int_equal(pair.context.counters.accepted, 0);
	pair_accept(&pair, event.handle, COOKIE);
	pair_settle(&pair);
	expect_recv(event.handle, COOKIE, 0, 10, 0);
	assert_int_equal(pair.context.counters.accepted, 1);
	assert_int_equal(core_context_counters(&pair.context).bytes_in, 10);
	pair_shut(&pair, event.handle, RB_CLOSE_ABORT);
	pair_settle(&pair);
	expect_closed(event.handle, COOKIE, -ECONNABORTED);
	expect_end();
}

static void test_reject(void **state)
{
	(void)state;
	const unsigned peer = pair_peer_connect(&pair, PAIR_PORT);
	pair_settle(&pair);
	const rb_handle handle = expect(RB_EVENT_KNOCK, 0, PAIR_COOKIE).handle;
	pair_command(&pair, RB_COMMAND_REJECT, handle);
	pair_settle(&pair);
	assert_true(pair.peer[peer].closed);
	assert_int_equal(pair.peer[peer].status, -ECONNRESET);
	assert_int_equal(pair_usage(&pair, 0).connections, 0);
	expect_gone(handle);
	assert_int_equal(pair.context.counters.closed, 0);
	expect_end();
}

/* Who knocks and goes away: CLOSED comes all the same, with the cookie that there is. */
static void test_knock_and_reset(void **state)
{
	(void)state;
	const unsigned peer = pair_peer_connect(&pair, PAIR_PORT);
	pair_settle(&pair);
	const rb_handle handle = expect(RB_EVENT_KNOCK, 0, PAIR_COOKIE).handle;
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_WRITE), 0);
	pair_settle(&pair);
	expect_nothing();
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_ABORT), 0);
	pair_settle(&pair);
	expect_closed(handle, PAIR_COOKIE, -ECONNRESET);
	pair_accept(&pair, handle, COOKIE);
	pair_settle(&pair);
	expect_error(RB_COMMAND_ACCEPT, handle, COOKIE, -EBADF);
	assert_int_equal(pair.context.counters.accepted, 0);
	expect_end();
}

/* The whole life of one that the peer opens and closes first. */
static void test_exchange(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	assert_int_equal(pair_peer_send(&pair, peer, 100), 0);
	pair_settle(&pair);
	expect_recv(handle, COOKIE, 0, 100, 0);
	pair_recv_done(&pair, handle, 60);
	pair_recv_done(&pair, handle, 40);
	pair_sendv(&pair, handle, 1000, 1300, 3);
	pair_run(&pair, DELAYED_NS);
	expect_peer_has(peer, 0, 1000, 1300);
	expect_sent(handle, COOKIE, 300);
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_BOTH), 0);
	pair_settle(&pair);
	expect_recv(handle, COOKIE, 100, 100, RB_RECV_FIN);
	pair_run(&pair, DELAYED_NS);
	expect_nothing();
	assert_false(pair.peer[peer].closed);
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	pair_settle(&pair);
	expect_closed(handle, COOKIE, 0);
	assert_true(pair.peer[peer].closed);
	assert_int_equal(pair.peer[peer].status, 0);
	expect_gone(handle);
	assert_int_equal(pair.context.counters.accepted, 1);
	assert_int_equal(pair.context.counters.connected, 0);
	assert_int_equal(pair.context.counters.closed, 1);
	assert_int_equal(core_context_counters(&pair.context).bytes_in, 100);
	assert_int_equal(core_context_counters(&pair.context).bytes_out, 300);
	expect_end();
}

/* What comes together with the FIN; and the same in several segments. */
static void test_fin_with_data(void **state)
{
	(void)state;
	unsigned peer;
	rb_handle handle = expect_accepted(COOKIE, &peer);
	assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_WRITE), 0);
	pair_settle(&pair);
	expect_recv(handle, COOKIE, 0, 10, RB_RECV_FIN);
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	pair_settle(&pair);
	expect_closed(handle, COOKIE, 0);

	handle = expect_accepted(COOKIE + 1, &peer);
	assert_int_equal(pair_peer_send(&pair, peer, 4000), 0);
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_WRITE), 0);
	pair_settle(&pair);
	uint64_t at = 0;
	for (unsigned flags = 0; flags == 0;) {
		const struct rb_event event = expect(RB_EVENT_RECV, handle, COOKIE + 1);
		const uint8_t *bytes = event.recv.data;
		for (uint64_t i = 0; i < event.recv.length; i++)
			assert_int_equal(bytes[i], pair_byte(at + i));
		at += event.recv.length;
		flags = event.flags;
		assert_true(event.recv.length > 0);
	}
	assert_int_equal(at, 4000);
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	pair_settle(&pair);
	expect_closed(handle, COOKIE + 1, 0);
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 0);
	expect_end();
}

/*
 * Active connections.
 */

static void test_connect(void **state)
{
	(void)state;
	unsigned peer = 0;
	pair_connect(&pair, 0, PAIR_PEER_PORT, COOKIE);
	pair_settle(&pair);
	const struct rb_event event = expect(RB_EVENT_CONNECTED, 0, COOKIE);
	const rb_handle handle = event.handle;
	assert_int_equal(event.status, 0);
	assert_int_equal(rb_handle_group(handle), PAIR_GROUP);
	assert_int_equal(event.connected.local.ip, PAIR_ADDRESS);
	assert_int_not_equal(event.connected.local.port, 0);
	assert_int_equal(event.connected.remote.ip, PAIR_PEER_ADDRESS);
	assert_int_equal(event.connected.remote.port, PAIR_PEER_PORT);
	assert_int_equal(pair.context.counters.connected, 1);
	pair_sendv(&pair, handle, 0, 64, 1);
	pair_run(&pair, DELAYED_NS);
	expect_sent(handle, COOKIE, 64);
	expect_peer_has(peer, 0, 0, 64);
	assert_int_equal(pair_peer_send(&pair, peer, 30), 0);
	pair_settle(&pair);
	expect_recv(handle, COOKIE, 0, 30, 0);
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	pair_settle(&pair);
	assert_true(pair.peer[peer].fin);
	expect_nothing();
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_BOTH), 0);
	pair_settle(&pair);
	expect_closed(handle, COOKIE, 0);
	assert_int_equal(pair.peer[peer].status, 0);
	expect_gone(handle);
	assert_int_equal(pair.context.counters.accepted, 0);
	assert_int_equal(pair.context.counters.closed, 1);
	expect_end();
}

/* The handle is void, and no CLOSED follows. */
static void expect_failed(uint64_t cookie, int status)
{
	const struct rb_event event = expect(RB_EVENT_CONNECTED, 0, cookie);
	assert_int_equal(event.status, status);
	assert_int_equal(event.handle, 0);
	assert_int_equal(pair.context.counters.connected, 0);
	assert_int_equal(pair.context.counters.closed, 0);
	expect_nothing();
}

static void test_connect_fails(void **state)
{
	(void)state;
	pair_connect(&pair, 0, PAIR_PEER_PORT + 1, 1);
	pair_run(&pair, DELAYED_NS);
	expect_failed(1, -ECONNREFUSED);
	pair.end[1].deaf = true;
	pair_connect(&pair, 0, PAIR_PEER_PORT, 2);
	pair_run(&pair, RB_NS_PER_S);
	expect_nothing();
	pair_run(&pair, 300 * RB_NS_PER_S);
	expect_failed(2, -ETIMEDOUT);
	assert_int_equal(pair_usage(&pair, 0).connections, 0);
	expect_end();
}

/* Attempts that never begin: the addresses are those that were asked for. */
static void test_connect_refused_at_once(void **state)
{
	(void)state;
	static const struct {
		struct rb_address local, remote;
		uint16_t flags;
		int status;
	} attempts[] = {
		{{0}, {0, PAIR_PEER_PORT, 0}, 0, -EINVAL},
		{{0}, {PAIR_PEER_ADDRESS, 0, 0}, 0, -EINVAL},
		{{0}, {UINT32_MAX, PAIR_PEER_PORT, 0}, 0, -EINVAL},
		{{0}, {0xe0000001U, PAIR_PEER_PORT, 0}, 0, -EINVAL},
		{{0}, {0xc0000201U, PAIR_PEER_PORT, 0}, 0, -ENETUNREACH},
		{{0xc0000201U, 0, 0}, {PAIR_PEER_ADDRESS, PAIR_PEER_PORT, 0}, 0, -EADDRNOTAVAIL},
		{{0}, {PAIR_PEER_ADDRESS, PAIR_PEER_PORT, 0}, 1, -EINVAL},
		{{PAIR_ADDRESS, 1000, 0}, {PAIR_PEER_ADDRESS, PAIR_PEER_PORT, 0}, UINT16_MAX, -EINVAL},
	};
	for (unsigned i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		const uint64_t frames = pair.end[0].frames;
		struct rb_command *command = pair_command(&pair, RB_COMMAND_CONNECT, 0);
		command->cookie = COOKIE + i;
		command->flags = attempts[i].flags;
		command->connect.local = attempts[i].local;
		command->connect.remote = attempts[i].remote;
		pair_run(&pair, DELAYED_NS);
		const struct rb_event event = expect(RB_EVENT_CONNECTED, 0, COOKIE + i);
		assert_int_equal(event.handle, 0);
		assert_int_equal(event.status, attempts[i].status);
		assert_memory_equal(&event.connected.local, &attempts[i].local, sizeof(struct rb_address));
		assert_memory_equal(&event.connected.remote, &attempts[i].remote, sizeof(struct rb_address));
		expect_nothing();
		assert_int_equal(pair.end[0].frames, frames);
	}
	assert_int_equal(pair_usage(&pair, 0).connections, 0);
	expect_end();
}

/* A port of one's own, which can be had once; and as many connections as there may be. */
static void test_connect_local(void **state)
{
	(void)state;
	pair_connect(&pair, 5000, PAIR_PEER_PORT, 1);
	pair_settle(&pair);
	const struct rb_event event = expect(RB_EVENT_CONNECTED, 0, 1);
	assert_int_equal(event.status, 0);
	assert_int_equal(event.connected.local.port, 5000);
	pair_connect(&pair, 5000, PAIR_PEER_PORT, 2);
	pair_settle(&pair);
	assert_int_equal(expect(RB_EVENT_CONNECTED, 0, 2).status, -EADDRINUSE);
	for (unsigned i = 1; i < PAIR_CONNECTIONS; i++)
		pair_connect(&pair, 0, PAIR_PEER_PORT, 3);
	pair_settle(&pair);
	for (unsigned i = 1; i < PAIR_CONNECTIONS; i++)
		assert_int_equal(expect(RB_EVENT_CONNECTED, 0, 3).status, 0);
	pair_connect(&pair, 0, PAIR_PEER_PORT, 4);
	pair_settle(&pair);
	assert_int_equal(expect(RB_EVENT_CONNECTED, 0, 4).status, -ENOBUFS);
	assert_int_equal(pair.context.counters.connected, PAIR_CONNECTIONS);
	expect_end();
}

/* Opened and reset in one burst: it was connected, and it is closed. */
static void test_connected_and_reset(void **state)
{
	(void)state;
	pair.end[1].deaf = true; /* the SYN is the test's to deliver */
	pair_connect(&pair, 0, PAIR_PEER_PORT, COOKIE);
	pair_turn(&pair);
	pair.end[1].deaf = false;
	pair.now_ns += 1100 * RB_NS_PER_MS; /* it comes again */
	core_context_execute(&pair.context, 0);
	rb_net_advance(pair.end[0].net, pair.now_ns);
	rb_net_flush(pair.end[0].net);
	assert_int_equal(pair.end[1].waiting, 1);
	pair_turn_peer(&pair);
	assert_int_equal(rb_net_close(pair.end[1].net, pair.peer_listener, RB_NET_CLOSE_BOTH), 0);
	rb_net_flush(pair.end[1].net);
	assert_int_equal(pair.end[0].waiting, 2); /* SYN-ACK and RST */
	pair_settle(&pair);
	const struct rb_event event = expect(RB_EVENT_CONNECTED, 0, COOKIE);
	assert_int_equal(event.status, 0);
	expect_closed(event.handle, COOKIE, -ECONNRESET);
	assert_int_equal(pair.context.counters.connected, 1);
	assert_int_equal(pair.context.counters.closed, 1);
	expect_end();
}

/*
 * The end.
 */

/* Everything queued goes out, then FIN; what was received is given back; what still comes is nobody's. */
static void test_close_orderly(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	assert_int_equal(pair_peer_send(&pair, peer, 3000), 0);
	pair_settle(&pair);
	expect(RB_EVENT_RECV, handle, COOKIE);
	expect(RB_EVENT_RECV, handle, COOKIE);
	expect(RB_EVENT_RECV, handle, COOKIE);
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 3);
	pair_sendv(&pair, handle, 0, 40000, 7);
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	pair_recv_done(&pair, handle, 1);
	pair_turn(&pair);
	expect_error(RB_COMMAND_RECV_DONE, handle, COOKIE, -EINVAL);
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 0);
	assert_int_equal(pair_peer_send(&pair, peer, 500), 0);
	pair_run(&pair, DELAYED_NS);
	expect_peer_has(peer, 0, 0, 40000);
	assert_true(pair.peer[peer].fin);
	uint64_t sent = 0;
	while (sent < 40000)
		sent += expect(RB_EVENT_SENT, handle, COOKIE).sent.bytes;
	assert_int_equal(sent, 40000);
	expect_nothing();
	assert_int_equal(core_context_counters(&pair.context).bytes_out, 40000);
	assert_int_equal(core_context_counters(&pair.context).bytes_in, 3000);
	pair_sendv(&pair, handle, 0, 1, 1);
	pair_settle(&pair);
	expect_error(RB_COMMAND_SENDV, handle, COOKIE, -EPIPE);
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_BOTH), 0);
	pair_settle(&pair);
	expect_closed(handle, COOKIE, 0);
	expect_gone(handle);
	expect_end();
}

static void test_half_close(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	pair_sendv(&pair, handle, 0, 10, 1);
	pair_shut(&pair, handle, RB_CLOSE_WRITE);
	pair_sendv(&pair, handle, 10, 20, 1);
	pair_run(&pair, DELAYED_NS);
	expect_error(RB_COMMAND_SENDV, handle, COOKIE, -EPIPE);
	expect_sent(handle, COOKIE, 10);
	expect_peer_has(peer, 0, 0, 10);
	assert_true(pair.peer[peer].fin);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pair_peer_send(&pair, peer, 1000), 0);
		pair_run(&pair, 10 * RB_NS_PER_S); /* longer than the timeout of a close */
		expect_recv(handle, COOKIE, (uint64_t)1000 * i, (uint64_t)1000 * (i + 1), 0);
		pair_recv_done(&pair, handle, 1000);
		pair_settle(&pair);
		expect_nothing();
	}
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	assert_int_equal(pair_peer_send(&pair, peer, 1000), 0);
	pair_settle(&pair);
	expect_nothing();
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_BOTH), 0);
	pair_settle(&pair);
	expect_closed(handle, COOKIE, 0);
	expect_end();
}

/* The timeout is that of a full close: who still listens waits for as long as TCP does. */
static void test_half_close_unanswered(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	pair.end[1].deaf = true;
	pair_sendv(&pair, handle, 0, 10, 1);
	pair_shut(&pair, handle, RB_CLOSE_WRITE);
	pair_run(&pair, 30 * RB_NS_PER_S);
	expect_nothing();
	pair.end[1].deaf = false;
	pair_run(&pair, 30 * RB_NS_PER_S);
	expect_sent(handle, COOKIE, 10);
	assert_true(pair.peer[peer].fin);
	expect_peer_has(peer, 0, 0, 10);
	expect_end();
}

static void test_abort(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
	pair_settle(&pair);
	const struct rb_event event = expect(RB_EVENT_RECV, handle, COOKIE);
	pair_sendv(&pair, handle, 0, 30000, 4);
	pair_shut(&pair, handle, RB_CLOSE_ABORT);
	pair_turn(&pair);
	expect_closed(handle, COOKIE, -ECONNABORTED);
	assert_true(pair.peer[peer].closed);
	assert_int_equal(pair.peer[peer].status, -ECONNRESET);
	expect_peer_has(peer, 0, 0, 0);
	assert_int_equal(*(const uint8_t *)event.recv.data, pair_byte(0)); /* until the next crossing */
	pair_settle(&pair);
	assert_int_equal(pair_usage(&pair, 0).send_pieces, 0);
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 0);
	assert_int_equal(pair_usage(&pair, 0).connections, 0);
	expect_gone(handle);
	expect_end();
}

static void test_reset_by_peer(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
	pair_turn(&pair);
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_ABORT), 0);
	pair_turn(&pair);
	expect_recv(handle, COOKIE, 0, 10, 0);
	expect_closed(handle, COOKIE, -ECONNRESET);
	pair_settle(&pair);
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 0);
	expect_gone(handle);
	assert_int_equal(pair.context.counters.closed, 1);
	expect_end();
}

/* The peer that closes, whose FIN is answered by a half-close: all was said. CLOSED is the last event, once. */
static void test_half_close_answers(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_BOTH), 0);
	pair_settle(&pair);
	expect_recv(handle, COOKIE, 0, 10, RB_RECV_FIN);
	pair_shut(&pair, handle, RB_CLOSE_WRITE);
	pair_run(&pair, DELAYED_NS);
	expect_nothing(); /* it waits for what was received */
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	pair_settle(&pair);
	expect_closed(handle, COOKIE, 0);
	expect_end();
}

/*
 * Closing and nobody there.
 */

static void closes_within(rb_handle handle, uint64_t from_ns, uint64_t to_ns)
{
	const uint64_t start_ns = pair.now_ns;
	pair_run(&pair, from_ns);
	expect_nothing();
	while (pair.context.counters.closed == 0 && pair.now_ns < start_ns + to_ns)
		pair_run(&pair, RB_NS_PER_MS);
	expect_closed(handle, COOKIE, -ETIMEDOUT);
	assert_int_equal(pair.context.counters.closed, 1);
	pair_settle(&pair);
	assert_int_equal(pair_usage(&pair, 0).connections, 0);
	assert_int_equal(pair_usage(&pair, 0).send_pieces, 0);
}

/* Nothing is acknowledged any more. The retransmission timer is what notices: up to twice as late. */
static void test_close_unanswered(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	pair.end[1].deaf = true;
	pair_sendv(&pair, handle, 0, 100, 1);
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	closes_within(handle, 5 * RB_NS_PER_S, 10 * RB_NS_PER_S);
	expect_end();
}

/* The peer lives, and takes nothing: its window stays closed. */
static void test_close_untaken(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	pair.peer_keeps = true;
	for (unsigned i = 0; i < 2; i++) {
		pair_sendv(&pair, handle, 0, 60000, 1);
		pair_run(&pair, RB_NS_PER_S);
	}
	while (pair.told_first != pair.told_last)
		expect(RB_EVENT_SENT, handle, COOKIE);
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	closes_within(handle, 4 * RB_NS_PER_S, 11 * RB_NS_PER_S);
	expect_end();
}

/* The same, but it takes something now and then: it may take its time. */
static void test_close_taken_slowly(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	pair.peer_keeps = true;
	for (unsigned i = 0; i < 2; i++) {
		pair_sendv(&pair, handle, 60000 * i, 60000 * (i + 1), 1);
		pair_run(&pair, DELAYED_NS);
	}
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	unsigned reads = 0;
	while (pair.peer[peer].received < 120000) {
		assert_int_equal(pair_peer_read(&pair, peer, 5000), 0);
		pair_run(&pair, 3 * RB_NS_PER_S);
		assert_int_equal(pair.context.counters.closed, 0);
		reads++;
	}
	assert_in_range(reads, 8, 20);
	expect_peer_has(peer, 0, 0, 120000);
	while (pair.told_first != pair.told_last)
		expect(RB_EVENT_SENT, handle, COOKIE);
	assert_int_equal(core_context_counters(&pair.context).bytes_out, 120000);
	assert_int_equal(pair_peer_shut(&pair, peer, RB_NET_CLOSE_BOTH), 0);
	pair_settle(&pair);
	expect_closed(handle, COOKIE, 0);
	expect_end();
}

/* The peer lives, and does not close. */
static void test_close_one_sided(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	closes_within(handle, 4900 * RB_NS_PER_MS, 5100 * RB_NS_PER_MS);
	expect_end();
}

/* The same when the FIN has been acknowledged long before. */
static void test_close_one_sided_later(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	pair_shut(&pair, handle, RB_CLOSE_WRITE);
	pair_run(&pair, 100 * RB_NS_PER_S);
	expect_nothing();
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	closes_within(handle, 4900 * RB_NS_PER_MS, 5100 * RB_NS_PER_MS);
	expect_end();
}

/* A timeout below the clock's unit is not none. */
static void test_close_timeout_small(void **state)
{
	(void)state;
	struct pair_config config;
	unsigned peer;
	expect_end();
	pair_config_default(&config);
	config.gate.close_timeout_ns = 1;
	expect_again(&config);
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	pair_shut(&pair, handle, RB_CLOSE_ORDERLY);
	closes_within(handle, 0, RB_NS_PER_MS);
	expect_end();
}

/*
 * Handles of several contexts.
 */

static void test_groups(void **state)
{
	(void)state;
	static const uint32_t groups[] = {0, 1, 15, 16, RB_FLOW_GROUPS_MAX - 1};
	struct pair_config config;
	expect_end();
	pair_config_default(&config);
	for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		unsigned peer;
		config.gate.flow_group = groups[i];
		expect_again(&config);
		const rb_handle handle = expect_accepted(COOKIE, &peer), own = rb_handle_make(groups[i], 0, 0);
		assert_int_equal(rb_handle_group(handle), groups[i]);
		for (unsigned bit = 0; bit < RB_HANDLE_GROUP_BITS; bit++) {
			const rb_handle other = handle ^ rb_handle_make(1U << bit, 0, 0);
			pair_shut(&pair, other, RB_CLOSE_ABORT);
			pair_settle(&pair);
			expect_error(RB_COMMAND_CLOSE, other, 0, -EBADF);
		}
		/* the listener is none of the application's, and no handle is 0 */
		const rb_handle forged[] = {own, own | pair.listener, own | (uint32_t)pair.listener, 0, UINT64_MAX};
		for (unsigned j = 0; j < sizeof(forged) / sizeof(forged[0]); j++) {
			pair_shut(&pair, forged[j], j % 2 == 0 ? RB_CLOSE_ORDERLY : RB_CLOSE_ABORT);
			pair_settle(&pair);
			expect_error(RB_COMMAND_CLOSE, forged[j], 0, -EBADF);
		}
		assert_int_equal(pair_usage(&pair, 0).listeners, 1);
		pair_shut(&pair, handle, RB_CLOSE_ABORT);
		pair_settle(&pair);
		expect_closed(handle, COOKIE, -ECONNABORTED);
		expect_end();
	}
}

/* Nagle's algorithm is off for what the application opens, unless it asks for it. */
static void test_nagle(void **state)
{
	(void)state;
	struct pair_config config;
	expect_end();
	pair_config_default(&config);
	for (uint32_t nagle = 0; nagle < 2; nagle++) {
		unsigned peer;
		config.gate.nagle = nagle;
		expect_again(&config);
		const rb_handle handle = expect_connected(COOKIE, &peer);
		pair_sendv(&pair, handle, 0, 10, 1);
		pair_turn(&pair);
		pair_sendv(&pair, handle, 10, 20, 1);
		pair_turn(&pair);
		assert_int_equal(pair.peer[peer].received, nagle ? 10 : 20);
		pair_run(&pair, 2 * DELAYED_NS);
		expect_peer_has(peer, 0, 0, 20);
		while (core_context_counters(&pair.context).bytes_out < 20 || pair.told_first != pair.told_last)
			expect(RB_EVENT_SENT, handle, COOKIE);
		expect_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_knock, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_reject, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_knock_and_reset, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_exchange, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_fin_with_data, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_connect, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_connect_fails, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_connect_refused_at_once, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_connect_local, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_connected_and_reset, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_close_orderly, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_half_close, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_half_close_unanswered, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_abort, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_reset_by_peer, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_half_close_answers, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_close_unanswered, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_close_untaken, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_close_taken_slowly, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_close_one_sided, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_close_one_sided_later, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_close_timeout_small, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_groups, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_nagle, expect_setup, expect_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
