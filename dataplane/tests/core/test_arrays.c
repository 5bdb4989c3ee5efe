// SPDX-License-Identifier: Apache-2.0
/* The two arrays as such: their bounds, pairs of commands that are done in one, the deadline, and what makes a context. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "tests/core/expect.h"

enum { COOKIE = 42 };

/*
 * A request is given back and answered.
 */

enum how { AS_ONE, AS_TWO };

/* A request of 100 bytes and its answer, and 10 bytes more. Returns how many segments went out. */
static uint64_t exchange(rb_handle handle, unsigned peer, uint64_t at, enum how how)
{
	assert_int_equal(pair_peer_send(&pair, peer, 100), 0);
	pair_turn(&pair);
	expect_recv(handle, COOKIE, at, at + 100, 0);
	const uint64_t frames = pair.end[0].frames;
	if (how == AS_TWO)
		pair_recv_done(&pair, handle, 100);
	pair_sendv(&pair, handle, 0, 200, 1);
	if (how == AS_ONE)
		pair_answers(&pair, 100);
	pair_sendv(&pair, handle, 200, 210, 1);
	pair_turn(&pair);
	const uint64_t segments = pair.end[0].frames - frames;
	pair_run(&pair, 60 * RB_NS_PER_MS); /* the acknowledgement may be delayed */
	uint64_t sent = 0;
	while (sent < 210)
		sent += expect(RB_EVENT_SENT, handle, COOKIE).sent.bytes;
	assert_int_equal(sent, 210);
	expect_nothing();
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 0);
	return segments;
}

/* As one, the answer is a segment of its own, at once; as two it waits for what else there may be. All else is the same. */
static void test_answer(void **state)
{
	(void)state;
	uint64_t counters[2][2];
	for (unsigned i = 0; i < 2; i++) {
		unsigned peer;
		if (i > 0)
			expect_again(NULL);
		const rb_handle handle = expect_connected(COOKIE, &peer);
		(void)exchange(handle, peer, 0, i == 0 ? AS_ONE : AS_TWO);
		assert_int_equal(exchange(handle, peer, 100, i == 0 ? AS_ONE : AS_TWO), i == 0 ? 2 : 1);
		expect_peer_has(peer, 210, 0, 210);
		counters[i][0] = core_context_counters(&pair.context).bytes_in;
		counters[i][1] = core_context_counters(&pair.context).bytes_out;
		pair_shut(&pair, handle, RB_CLOSE_ABORT);
		pair_settle(&pair);
		expect_closed(handle, COOKIE, -ECONNABORTED);
		expect_end();
	}
	assert_memory_equal(counters[0], counters[1], sizeof(counters[0]));
}

/* Of an answer that is not right, nothing is done, and its request is not given back. */
static void test_wrong_answers(void **state)
{
	(void)state;
	static const struct {
		uint32_t done, count;
		uint16_t flags;
		int status;
	} answers[] = {
		{10, 0, 0, -EINVAL}, {11, 1, 0, -EINVAL},  {UINT32_MAX, 1, 0, -EINVAL},
		{10, 1, 1, -EINVAL}, {10, 65, 0, -EINVAL}, {1, 1, 0, 0},
		{9, 1, 0, 0},
	};
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	uint64_t sent = 0;
	assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
	pair_settle(&pair);
	expect_recv(handle, COOKIE, 0, 10, 0);
	for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		pair_sendv(&pair, handle, 0, 5, 1);
		pair_answers(&pair, answers[i].done);
		pair.memory->commands[0].flags = answers[i].flags;
		pair.memory->commands[0].sendv.count = answers[i].count;
		pair_turn(&pair);
		if (answers[i].status != 0)
			expect_error(RB_COMMAND_SENDV, handle, COOKIE, answers[i].status);
		pair_run(&pair, RB_NS_PER_S);
		if (answers[i].status == 0) {
			expect_sent(handle, COOKIE, 5);
			sent += 5;
		}
		expect_nothing();
		assert_int_equal(pair_usage(&pair, 0).receive_parts, answers[i].done != 9);
		assert_int_equal(pair.peer[peer].received, sent);
	}
	expect_end();
}

/* An answer that can no longer be sent leaves its request where it is. */
static void test_late_answer(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
	pair_settle(&pair);
	expect_recv(handle, COOKIE, 0, 10, 0);
	pair_shut(&pair, handle, RB_CLOSE_WRITE);
	pair_sendv(&pair, handle, 0, 5, 1);
	pair_answers(&pair, 10);
	pair_settle(&pair);
	expect_error(RB_COMMAND_SENDV, handle, COOKIE, -EPIPE);
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 1);
	pair_recv_done(&pair, handle, 10);
	pair_settle(&pair);
	expect_nothing();
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 0);
	expect_end();
}

/* A request acknowledges the answer before it: one event for both. */
static void test_both_in_one(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	for (uint64_t i = 0; i < 10; i++) {
		assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
		pair_settle(&pair);
		if (i > 0)
			expect_sent(handle, COOKIE, 20);
		expect_recv(handle, COOKIE, 10 * i, 10 * i + 10, 0);
		expect_nothing();
		assert_int_equal(pair.told_both, i);
		pair_sendv(&pair, handle, 0, 20, 1);
		pair_answers(&pair, 10);
		pair_turn(&pair);
	}
	pair_run(&pair, RB_NS_PER_S);
	expect_sent(handle, COOKIE, 20);
	expect_end();
}

/* Commands of two connections, beside those of another context. */
static void test_two_connections(void **state)
{
	(void)state;
	unsigned peer[2];
	rb_handle handle[2];
	for (unsigned i = 0; i < 2; i++) {
		handle[i] = expect_accepted(COOKIE, &peer[i]);
		assert_int_equal(pair_peer_send(&pair, peer[i], 10), 0);
		pair_settle(&pair);
		expect_recv(handle[i], COOKIE, 0, 10, 0);
	}
	const rb_handle other = handle[0] ^ rb_handle_make(1, 0, 0);
	pair_recv_done(&pair, other, 10);
	pair_sendv(&pair, other, 0, 10, 1);
	pair_recv_done(&pair, handle[0], 10);
	pair_sendv(&pair, handle[1], 5, 25, 1);
	pair_turn(&pair);
	expect_error(RB_COMMAND_RECV_DONE, other, 0, -EBADF);
	expect_error(RB_COMMAND_SENDV, other, 0, -EBADF);
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 1);
	pair_recv_done(&pair, handle[0], 1);
	pair_recv_done(&pair, handle[1], 10);
	pair_run(&pair, RB_NS_PER_S);
	expect_error(RB_COMMAND_RECV_DONE, handle[0], COOKIE, -EINVAL);
	expect_sent(handle[1], COOKIE, 20);
	expect_peer_has(peer[0], 0, 0, 0);
	expect_peer_has(peer[1], 0, 5, 25);
	expect_end();
}

/* What stands behind the last command in the array is none. */
static void test_the_last_command(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
	pair_settle(&pair);
	expect_recv(handle, COOKIE, 0, 10, 0);
	pair_recv_done(&pair, handle, 10);
	pair_sendv(&pair, handle, 0, 10, 1);
	pair.commands_count = 1;
	pair_run(&pair, RB_NS_PER_S);
	expect_peer_has(peer, 0, 0, 0);
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 0);
	expect_end();
}

/* Many of them, of several connections, as one and as two, in one array. */
static void test_many_answers(void **state)
{
	(void)state;
	enum { COUNT = 12, ROUNDS = 5 };
	unsigned peer[COUNT];
	rb_handle handle[COUNT];
	for (unsigned i = 0; i < COUNT; i++)
		handle[i] = expect_accepted(i, &peer[i]);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < COUNT; i++)
			assert_int_equal(pair_peer_send(&pair, peer[i], 100 + i), 0);
		pair_settle(&pair);
		for (unsigned i = 0; i < COUNT; i++) {
			const struct rb_event event =
				expect(RB_EVENT_RECV, 0, pair.told[pair.told_first % PAIR_TOLD].cookie);
			const unsigned of = (unsigned)event.cookie;
			assert_in_range(of, 0, COUNT - 1);
			assert_int_equal(event.handle, handle[of]);
			assert_int_equal(event.recv.length, 100 + of);
			if (of % 2 == 0)
				pair_recv_done(&pair, event.handle, event.recv.length);
			pair_sendv(&pair, event.handle, of, of + 50, 1);
			if (of % 2 == 1)
				pair_answers(&pair, (uint32_t)event.recv.length);
		}
		pair_run(&pair, RB_NS_PER_S);
		for (unsigned i = 0; i < COUNT; i++)
			assert_int_equal(
				expect(RB_EVENT_SENT, 0, pair.told[pair.told_first % PAIR_TOLD].cookie).sent.bytes, 50);
		expect_nothing();
	}
	for (unsigned i = 0; i < COUNT; i++)
		expect_peer_has(peer[i], (uint64_t)50 * (ROUNDS - 1), i, i + 50);
	assert_int_equal(pair_usage(&pair, 0).receive_parts, 0);
	expect_end();
}

/*
 * Too much.
 */

static void test_too_many_commands(void **state)
{
	(void)state;
	static const uint64_t counts[] = {PAIR_COMMANDS + 1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (unsigned j = 0; j < PAIR_COMMANDS; j++)
			pair_shut(&pair, handle, RB_CLOSE_ABORT);
		pair.commands_count = counts[i];
		pair_run(&pair, RB_NS_PER_MS);
		const struct rb_event event = expect(RB_EVENT_ERROR, 0, 0);
		assert_int_equal(event.status, -EINVAL);
		assert_int_equal(event.handle, 0);
		assert_int_equal(event.error.command, 0);
		assert_int_equal(event.error.count, counts[i] < UINT32_MAX ? counts[i] : UINT32_MAX);
		expect_nothing();
	}
	/* and as many as there may be; the last one counts */
	for (unsigned j = 0; j < PAIR_COMMANDS - 1; j++)
		pair_timer(&pair, UINT64_MAX - 1 - j, j);
	pair_shut(&pair, handle, RB_CLOSE_ABORT);
	pair_turn(&pair);
	expect_closed(handle, COOKIE, -ECONNABORTED);
	assert_int_equal(pair.context.deadline_ns, UINT64_MAX - PAIR_COMMANDS + 1);
	pair_timer(&pair, RB_DEADLINE_NONE, 0);
	pair_turn(&pair);
	expect_end();
}

static void open_small(uint32_t commands_max, uint32_t events_max)
{
	struct pair_config config;
	pair_close(&pair);
	pair_config_default(&config);
	config.gate.commands_max = commands_max;
	config.gate.events_max = events_max;
	expect_again(&config);
}

/* Every command of the array fails, and every failing one is told; and there is room for something to happen. */
static void test_all_fail(void **state)
{
	(void)state;
	enum { COMMANDS = 8 };
	open_small(COMMANDS, COMMANDS + 4);
	unsigned peer;
	const rb_handle handle = expect_accepted(COOKIE, &peer);
	for (unsigned round = 0; round < 10; round++) {
		assert_int_equal(pair_peer_send(&pair, peer, 10), 0);
		for (unsigned i = 0; i < COMMANDS; i++) {
			const unsigned type = i % 2 == 0 ? RB_COMMAND_ACCEPT : RB_COMMAND_CONNECT;
			pair_command(&pair, type, i)->cookie = i;
		}
		pair_turn(&pair);
		for (unsigned i = 0; i < COMMANDS; i++) {
			if (i % 2 == 0)
				expect_error(RB_COMMAND_ACCEPT, i, i, -EBADF);
			else
				assert_int_equal(expect(RB_EVENT_CONNECTED, 0, i).status, -EINVAL);
		}
		expect_recv(handle, COOKIE, (uint64_t)10 * round, (uint64_t)10 * (round + 1), 0);
		pair_run(&pair, RB_NS_PER_S);
		expect_nothing();
	}
	expect_end();
}

/* More happens than fits: it comes later, in order, and nothing is lost. */
static void test_small_array(void **state)
{
	(void)state;
	enum { COUNT = 12, SEGMENTS = 3, BYTES = 100 };
	open_small(1, 5);
	unsigned peer[COUNT];
	rb_handle handle[COUNT];
	for (unsigned i = 0; i < COUNT; i++)
		peer[i] = pair_peer_connect(&pair, PAIR_PORT);
	pair_settle(&pair);
	for (unsigned i = 0; i < COUNT; i++)
		handle[i] = expect(RB_EVENT_KNOCK, 0, PAIR_COOKIE).handle;
	expect_nothing();
	assert_in_range(pair.events_most, 2, 5);
	for (unsigned i = 0; i < COUNT; i++) {
		pair_accept(&pair, handle[i], i);
		pair_turn(&pair);
		pair_sendv(&pair, handle[i], 0, 10, 1);
		pair_turn(&pair);
		if (i < COUNT / 2)
			continue;
		pair_sendv(&pair, handle[i], 0, 1 << 16, 1); /* after which nothing is told before all is known */
		pair_turn(&pair);
		expect_error(RB_COMMAND_SENDV, handle[i], i, -ENOBUFS);
	}
	/* acknowledgement, data and end of all of them in one turn: SENT, RECV, CLOSED */
	for (unsigned i = 0; i < COUNT; i++) {
		for (unsigned j = 0; j < SEGMENTS; j++)
			assert_int_equal(pair_peer_send(&pair, peer[i], BYTES), 0);
		if (i < COUNT / 2)
			assert_int_equal(pair_peer_shut(&pair, peer[i], RB_NET_CLOSE_WRITE), 0);
	}
	pair_turn_peer(&pair);
	for (unsigned i = COUNT / 2; i < COUNT; i++)
		assert_int_equal(pair_peer_shut(&pair, peer[i], RB_NET_CLOSE_ABORT), 0);
	pair_settle(&pair);
	uint64_t received[COUNT] = {0}, sent[COUNT] = {0};
	unsigned ends[COUNT] = {0};
	const struct rb_event *event;
	while ((event = pair_next(&pair)) != NULL) {
		const unsigned of = (unsigned)event->cookie;
		assert_in_range(of, 0, COUNT - 1);
		assert_int_equal(event->handle, handle[of]);
		assert_int_equal(ends[of], 0);
		if (event->type == RB_EVENT_SENT)
			sent[of] += event->sent.bytes;
		else if (event->type == RB_EVENT_RECV)
			received[of] += event->recv.length;
		ends[of] += event->flags == RB_RECV_FIN || event->type == RB_EVENT_CLOSED;
	}
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(received[i], BYTES * SEGMENTS);
		assert_int_equal(sent[i], 10);
		assert_int_equal(ends[i], 1);
	}
	assert_int_equal(pair.context.counters.closed, COUNT / 2);
	assert_in_range(pair.events_most, 3, 5);
	expect_end();
}

/* An event of four: opened, acknowledged, with data, and reset. Fits exactly. */
static void test_everything_at_once(void **state)
{
	(void)state;
	enum { COUNT = 8 };
	open_small(COUNT, COUNT + 4);
	for (unsigned i = 0; i < COUNT; i++)
		pair_connect(&pair, 0, PAIR_PEER_PORT, i);
	core_context_execute(&pair.context, COUNT);
	pair.commands_count = 0;
	rb_net_flush(pair.end[0].net);
	pair_turn_peer(&pair); /* SYN-ACKs, which wait */
	assert_int_equal(rb_net_close(pair.end[1].net, pair.peer_listener, RB_NET_CLOSE_BOTH), 0);
	rb_net_flush(pair.end[1].net);
	pair_settle(&pair);
	for (unsigned i = 0; i < COUNT; i++) {
		const struct rb_event event = expect(RB_EVENT_CONNECTED, 0, i);
		assert_int_equal(event.status, 0);
		expect_closed(event.handle, i, -ECONNRESET);
	}
	assert_in_range(pair.events_most, 2, COUNT + 4);
	expect_end();
}

/* What was not told when a connection is closed or aborted is not told any more. */
static void test_closed_untold(void **state)
{
	(void)state;
	enum { COUNT = 6 };
	open_small(COUNT, COUNT + 4);
	for (unsigned how = RB_CLOSE_ORDERLY; how <= RB_CLOSE_ABORT; how += RB_CLOSE_ABORT) {
		unsigned peer[COUNT];
		rb_handle handle[COUNT];
		for (unsigned i = 0; i < COUNT; i++)
			handle[i] = expect_accepted(i, &peer[i]);
		for (unsigned i = 0; i < COUNT; i++) {
			assert_int_equal(pair_peer_send(&pair, peer[i], 3000), 0);
			assert_int_equal(pair_peer_shut(&pair, peer[i], RB_NET_CLOSE_WRITE), 0);
		}
		pair_turn(&pair);
		unsigned told = 0;
		for (; pair.told_first != pair.told_last; told++)
			assert_int_equal(pair_next(&pair)->type, RB_EVENT_RECV);
		assert_in_range(told, 1, COUNT + 4);
		for (unsigned i = 0; i < COUNT; i++)
			pair_shut(&pair, handle[i], (enum rb_close_flags)how);
		pair_run(&pair, RB_NS_PER_S);
		for (unsigned i = 0; i < COUNT; i++) {
			const struct rb_event event =
				expect(RB_EVENT_CLOSED, 0, pair.told[pair.told_first % PAIR_TOLD].cookie);
			assert_int_equal(event.status, how == RB_CLOSE_ABORT ? -ECONNABORTED : 0);
		}
		expect_nothing();
		assert_int_equal(pair_usage(&pair, 0).receive_parts, 0);
	}
	expect_end();
}

/*
 * The deadline.
 */

static void expect_timer(uint64_t deadline_ns, uint64_t cookie)
{
	const struct rb_event event = expect(RB_EVENT_TIMER, 0, cookie);
	assert_int_equal(event.status, 0);
	assert_int_equal(event.handle, 0);
	assert_int_equal(event.timer.deadline_ns, deadline_ns);
}

static void test_timer(void **state)
{
	(void)state;
	const uint64_t at_ns = pair.now_ns + RB_NS_PER_MS;
	pair_timer(&pair, at_ns, 1);
	pair_turn(&pair);
	pair.now_ns = at_ns - 1;
	pair_turn(&pair);
	expect_nothing();
	pair.now_ns = at_ns;
	pair_turn(&pair);
	expect_timer(at_ns, 1);
	pair_run(&pair, RB_NS_PER_S);
	expect_nothing(); /* once */
	/* late */
	pair_timer(&pair, pair.now_ns + 5, 2);
	pair_turn(&pair);
	pair.now_ns += 100;
	pair_turn(&pair);
	expect_timer(pair.now_ns - 95, 2);
	/* one that has passed; whatever else is in the command */
	struct rb_command *command = pair_command(&pair, RB_COMMAND_TIMER, UINT64_MAX);
	command->cookie = 3;
	command->reserved = UINT32_MAX;
	pair_turn(&pair);
	expect_timer(0, 3);
	expect_end();
}

static void test_timer_replaced(void **state)
{
	(void)state;
	const uint64_t start_ns = pair.now_ns;
	pair_timer(&pair, start_ns + 100, 1);
	pair_timer(&pair, start_ns + 5000, 2);
	pair_turn(&pair);
	pair.now_ns = start_ns + 4999;
	pair_turn(&pair);
	expect_nothing();
	pair_timer(&pair, start_ns + 6000, 3);
	pair_turn(&pair);
	pair.now_ns = start_ns + 6000;
	pair_turn(&pair);
	expect_timer(start_ns + 6000, 3);
	/* disarmed */
	pair_timer(&pair, start_ns + 7000, 4);
	pair_turn(&pair);
	pair_timer(&pair, RB_DEADLINE_NONE, 5);
	pair_turn(&pair);
	pair_run(&pair, RB_NS_PER_S);
	/* nor at the end of time */
	core_context_collect(&pair.context, UINT64_MAX - 1);
	assert_int_equal(core_context_count(&pair.context), 0);
	/* a refused one leaves the one before */
	pair_timer(&pair, pair.now_ns + 1, 6);
	pair_timer(&pair, pair.now_ns, 7);
	pair.memory->commands[1].flags = 1;
	pair_turn(&pair);
	expect_error(RB_COMMAND_TIMER, 0, 7, -EINVAL);
	pair.now_ns++;
	pair_turn(&pair);
	expect_timer(pair.now_ns, 6);
	expect_end();
}

/* Without room for it, it comes with the next ones. */
static void test_timer_waits(void **state)
{
	(void)state;
	open_small(1, 5);
	struct rb_net_event *const places = pair.context.places.next;
	assert_int_equal(core_context_count(&pair.context), 0);
	pair_timer(&pair, pair.now_ns + 100, 1);
	pair_turn(&pair);
	for (unsigned i = 0; i < PAIR_CONNECTIONS; i++)
		(void)pair_peer_connect(&pair, PAIR_PORT);
	while (core_context_count(&pair.context) < 2) /* as many as there is room for now */
		pair_turn(&pair);
	pair.context.places.next = places + 5;
	core_context_collect(&pair.context, pair.now_ns + 100);
	assert_int_equal(core_context_count(&pair.context), 5);
	assert_true(pair.context.more);
	pair.context.places.next = places + 4;
	core_context_collect(&pair.context, pair.now_ns + 100);
	assert_int_equal(core_context_count(&pair.context), 5);
	assert_int_equal(pair.memory->events[4].type, RB_EVENT_TIMER);
	assert_int_equal(pair.context.deadline_ns, RB_DEADLINE_NONE);
	while (pair_next(&pair) != NULL)
		;
	pair_close(&pair);
}

/*
 * Making one.
 */

static struct core_range between(uint64_t base, uint64_t end)
{
	return (struct core_range){base, end - base};
}

static int make(const struct rb_gate_context *gate, struct core_range range)
{
	struct core_context made = {.events_max = 77};
	const int result = core_context_init(&made, pair.end[0].net, gate, &range);
	if (result != 0)
		assert_int_equal(made.events_max, 77); /* is left alone */
	return result;
}

static void test_init(void **state)
{
	(void)state;
	const struct core_range range = between((uintptr_t)pair.memory, (uintptr_t)pair.memory->bytes);
	const struct rb_gate_context good = {
		.commands = pair.memory->commands,
		.events = pair.memory->events,
		.commands_max = 10,
		.events_max = 14,
		.flow_group = RB_FLOW_GROUPS_MAX - 1,
		.close_timeout_ns = UINT64_C(1000) * UINT32_MAX,
	};
	assert_int_equal(make(&good, range), 0);
	struct rb_gate_context gate = good;
	gate.commands_max = 0;
	assert_int_equal(make(&gate, range), -EINVAL);
	gate = good;
	gate.events_max = 13;
	assert_int_equal(make(&gate, range), -EINVAL);
	gate = good;
	gate.commands_max = UINT32_MAX;
	gate.events_max = 2; /* less than 4 more, around 2^32 */
	assert_int_equal(make(&gate, range), -EINVAL);
	gate = good;
	gate.flow_group = RB_FLOW_GROUPS_MAX;
	assert_int_equal(make(&gate, range), -EINVAL);
	gate = good;
	gate.close_timeout_ns++;
	assert_int_equal(make(&gate, range), -EINVAL);
	gate = good;
	gate.commands = (struct rb_command *)((uintptr_t)good.commands + 32);
	assert_int_equal(make(&gate, range), -EINVAL);
	gate = good;
	gate.events = (struct rb_event *)((uintptr_t)good.events + 8);
	assert_int_equal(make(&gate, range), -EINVAL);
	expect_end();
}

static void test_init_memory(void **state)
{
	(void)state;
	const uint64_t commands = (uintptr_t)pair.memory->commands, events = (uintptr_t)pair.memory->events;
	const struct rb_gate_context good = {
		.commands = pair.memory->commands,
		.events = pair.memory->events,
		.commands_max = 10,
		.events_max = 14,
	};
	const uint64_t end = events + 14 * sizeof(struct rb_event);
	assert_int_equal(make(&good, between(commands, end)), 0);
	assert_int_equal(make(&good, between(commands + 1, end)), -EFAULT);
	assert_int_equal(make(&good, between(commands, end - 1)), -EFAULT);
	assert_int_equal(make(&good, between(commands, events)), -EFAULT);
	assert_int_equal(make(&good, between(events, end)), -EFAULT);
	assert_int_equal(make(&good, between(0, commands + 10 * sizeof(struct rb_command) - 1)), -EFAULT);
	assert_int_equal(make(&good, between(end, UINT64_MAX)), -EFAULT);
	struct rb_gate_context gate = good;
	gate.commands_max = UINT32_MAX - 4;
	gate.events_max = UINT32_MAX;
	assert_int_equal(make(&gate, between(commands, end)), -EFAULT);
	gate = good;
	gate.events = (struct rb_event *)(UINTPTR_MAX - 63); /* wraps */
	assert_int_equal(make(&gate, between(commands, end)), -EFAULT);
	assert_int_equal(make(&gate, between(0, UINT64_MAX)), -EFAULT);
	gate = good;
	gate.commands = NULL;
	assert_int_equal(make(&gate, between(commands, end)), -EFAULT);
	expect_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answer, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_wrong_answers, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_late_answer, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_both_in_one, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_two_connections, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_the_last_command, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_many_answers, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_too_many_commands, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_all_fail, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_small_array, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_everything_at_once, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_closed_untold, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_timer, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_timer_replaced, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_timer_waits, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_init, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_init_memory, expect_setup, expect_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
