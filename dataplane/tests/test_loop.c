// SPDX-License-Identifier: Apache-2.0
/*
 * The event loop: timers on virtual time with a back-end that only moves the clock, and streams over loopback,
 * where one loop plays both sides: test_loop BACK-END
 */
#include "tests/harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "user/backend.h"
#include "user/loop.h"
#include "user/sockets.h"

/* ---- timers on virtual time ---- */

/* Does nothing but let time pass: a wait lasts until the deadline. */
struct passing {
	struct rb_virtual_clock *clock;
	uint64_t deadline_ns;
	unsigned runs;
};

static struct rb_virtual_clock virtual_time;
static struct passing passing;
static const char *const no_names[] = {NULL};

static int passing_create(const struct rb_context_config *config, struct rb_context_stats *stats, void **state)
{
	(void)stats;
	assert_ptr_equal(config->clock, &virtual_time.clock);
	passing = (struct passing){.clock = &virtual_time, .deadline_ns = RB_DEADLINE_NONE};
	*state = &passing;
	return 0;
}

static void passing_destroy(void *state)
{
	(void)state;
}

static int passing_run_io(void *state, const struct rb_command *commands, uint32_t commands_count,
			  struct rb_event *events, uint32_t events_max, enum rb_wait wait)
{
	struct passing *own = state;
	(void)events_max;
	own->runs++;
	for (uint32_t i = 0; i < commands_count; i++) {
		assert_int_equal(commands[i].type, RB_COMMAND_TIMER);
		own->deadline_ns = commands[i].timer.deadline_ns;
	}
	if (own->deadline_ns == RB_DEADLINE_NONE)
		return 0;
	if (wait == RB_WAIT)
		rb_virtual_clock_advance_to(own->clock, own->deadline_ns);
	if (own->deadline_ns > own->clock->ns)
		return 0;
	events[0] = (struct rb_event){.type = RB_EVENT_TIMER};
	own->deadline_ns = RB_DEADLINE_NONE;
	return 1;
}

static void passing_wake(void *state)
{
	(void)state;
}

static const struct rb_backend passing_backend = {
	.name = "passing",
	.syscall_names = no_names,
	.context_create = passing_create,
	.context_destroy = passing_destroy,
	.run_io = passing_run_io,
	.wake = passing_wake,
};

struct alarm {
	struct rb_timer timer;
	struct rb_loop *loop;
	char name;
	uint64_t period_ns; /* 0: once */
	struct alarm *cancels;
};

static char fired[64];
static uint64_t fired_ns[64];
static size_t fired_count;

static void on_alarm(struct rb_timer *timer, uint64_t now_ns)
{
	struct alarm *alarm = RB_CONTAINER_OF(timer, struct alarm, timer);
	assert_true(now_ns >= timer->deadline_ns);
	fired_ns[fired_count] = now_ns;
	fired[fired_count++] = alarm->name;
	if (alarm->period_ns != 0)
		rb_loop_arm(alarm->loop, timer, timer->deadline_ns + alarm->period_ns);
	if (alarm->cancels != NULL)
		rb_loop_cancel(alarm->loop, &alarm->cancels->timer);
	if (fired_count == 9)
		rb_loop_stop(alarm->loop);
}

static void set_alarm(struct alarm *alarm, struct rb_loop *loop, char name, uint64_t deadline_ns, uint64_t period_ns)
{
	rb_timer_init(&alarm->timer, on_alarm);
	alarm->loop = loop;
	alarm->name = name;
	alarm->period_ns = period_ns;
	alarm->cancels = NULL;
	rb_loop_arm(loop, &alarm->timer, deadline_ns);
}

static void test_timers(void **state)
{
	(void)state;
	struct rb_loop_config config = {.context = {.backend = &passing_backend, .clock = &virtual_time.clock}};
	struct rb_loop *loop;
	struct alarm a, b, c, d;
	rb_virtual_clock_init(&virtual_time, 1000);
	assert_int_equal(rb_loop_create(&config, &loop), 0);
	set_alarm(&a, loop, 'a', 1300, 0);
	set_alarm(&b, loop, 'b', 1100, 100);
	set_alarm(&c, loop, 'c', 1300, 0);
	set_alarm(&d, loop, 'd', 1450, 0);
	a.cancels = &d;
	memset(fired, 0, sizeof(fired));
	fired_count = 0;
	assert_int_equal(rb_loop_run(loop), 0);
	/* b re-arms behind a and c, which had the same deadline first */
	assert_string_equal(fired, "bbacbbbbb");
	assert_int_equal(fired_ns[0], 1100); /* exactly on time */
	assert_int_equal(fired_ns[2], 1300);
	assert_int_equal(fired_ns[8], 1700);
	assert_int_equal(passing.runs, 8); /* one per deadline, one in the turn that stops */
	rb_loop_destroy(loop);
}

/* ---- streams ---- */

struct side {
	struct rb_stream *stream;
	uint8_t *received;
	size_t length;
	size_t take;  /* consume at most this per call; 0: all */
	size_t block; /* consume only whole blocks of this size; 0: any */
	unsigned connected, finished, sent, closed, offers;
	int status;
};

enum { RECEIVED_MAX = 8 * 1024 * 1024 };

struct pair {
	struct rb_loop *loop;
	struct rb_listener *listener;
	struct rb_address address;
	struct side client, server;
	const struct rb_stream_ops *server_ops;
	bool refuse;
	int errors;
};

static struct pair pair;

static size_t on_data(struct rb_stream *stream, const uint8_t *data, size_t length)
{
	struct side *side = rb_stream_user(stream);
	side->offers++;
	if (side->take != 0 && length > side->take)
		length = side->take;
	if (side->block != 0)
		length -= length % side->block;
	assert_true(side->length + length <= RECEIVED_MAX);
	memcpy(side->received + side->length, data, length);
	side->length += length;
	return length;
}

static size_t on_data_never(struct rb_stream *stream, const uint8_t *data, size_t length)
{
	(void)stream;
	(void)data;
	(void)length;
	return 0;
}

static size_t on_data_echo(struct rb_stream *stream, const uint8_t *data, size_t length)
{
	size_t space = rb_stream_space(stream);
	size_t part = length < space ? length : space;
	on_data(stream, data, part);
	assert_int_equal(rb_stream_write(stream, data, part), 0);
	return part;
}

static void on_connected(struct rb_stream *stream)
{
	((struct side *)rb_stream_user(stream))->connected++;
}

static void on_sent(struct rb_stream *stream)
{
	((struct side *)rb_stream_user(stream))->sent++;
}

static void on_finished(struct rb_stream *stream)
{
	((struct side *)rb_stream_user(stream))->finished++;
}

static void on_closed(struct rb_stream *stream, int status)
{
	struct side *side = rb_stream_user(stream);
	side->closed++;
	side->status = status;
	side->stream = NULL;
}

static const struct rb_stream_ops watcher = {
	.connected = on_connected, .data = on_data, .finished = on_finished, .sent = on_sent, .closed = on_closed};
static const struct rb_stream_ops plain = {.data = on_data, .closed = on_closed};
static const struct rb_stream_ops echo = {.data = on_data_echo, .closed = on_closed};
static const struct rb_stream_ops deaf = {.data = on_data_never, .closed = on_closed};

static bool on_accept(struct rb_loop *loop, struct rb_stream *stream, uint64_t cookie)
{
	assert_ptr_equal(rb_loop_user(loop), &pair);
	assert_int_equal(cookie, 77);
	if (pair.refuse)
		return false;
	pair.server.stream = stream;
	rb_stream_attach(stream, pair.server_ops, &pair.server);
	return true;
}

static int open_pair(void **state)
{
	(void)state;
	struct rb_loop_config config = {
		.context = {.backend = harness_backend, .connections_max = 16},
		.stream_input_max = 100000,
		.stream_output_max = 150000,
		.accept = on_accept,
		.user = &pair,
	};
	struct rb_listen_config listen = {.address = {.ip = HARNESS_LOOPBACK}};
	memset(&pair, 0, sizeof(pair));
	pair.client.received = malloc(RECEIVED_MAX);
	pair.server.received = malloc(RECEIVED_MAX);
	pair.server_ops = &plain;
	assert_int_equal(rb_loop_create(&config, &pair.loop), 0);
	assert_int_equal(rb_listener_create(harness_backend, &listen, &pair.listener), 0);
	pair.address = rb_listener_address(pair.listener);
	assert_int_equal(rb_loop_listen(pair.loop, pair.listener, 77), 0);
	return 0;
}

static int close_pair(void **state)
{
	(void)state;
	rb_loop_destroy(pair.loop);
	rb_listener_destroy(pair.listener);
	free(pair.client.received);
	free(pair.server.received);
	return 0;
}

/* Turns until the condition holds. */
#define TURN_UNTIL(condition)                                                                         \
	do {                                                                                          \
		uint64_t turn_deadline = rb_loop_now(pair.loop) + HARNESS_DEADLINE_MS * RB_NS_PER_MS; \
		while (!(condition)) {                                                                \
			if (rb_loop_now(pair.loop) > turn_deadline)                                   \
				fail_msg("not in time: %s", #condition);                              \
			assert_int_equal(rb_loop_turn(pair.loop, RB_POLL), 0);                        \
		}                                                                                     \
	} while (0)

static struct rb_stream *connect_client(const struct rb_stream_ops *ops)
{
	struct rb_stream *stream;
	assert_int_equal(rb_loop_connect(pair.loop, (struct rb_address){0}, pair.address, ops, &pair.client, &stream),
			 0);
	pair.client.stream = stream;
	return stream;
}

static void test_write_before_connected(void **state)
{
	(void)state;
	struct rb_stream *stream = connect_client(&watcher);
	assert_int_equal(rb_stream_write(stream, "early", 5), 0);
	assert_int_equal(pair.client.connected, 0);
	TURN_UNTIL(pair.server.length == 5);
	assert_int_equal(pair.client.connected, 1);
	assert_memory_equal(pair.server.received, "early", 5);
	assert_int_equal(rb_stream_remote(stream).port, pair.address.port);
	assert_int_equal(rb_stream_remote(pair.server.stream).ip, HARNESS_LOOPBACK);
	rb_stream_close(stream);
	assert_int_equal(rb_stream_write(stream, "x", 1), -EPIPE);
	TURN_UNTIL(pair.client.closed && pair.server.closed);
	assert_int_equal(pair.client.status, 0);
	assert_int_equal(pair.server.status, 0); /* without `finished` a stream closes by itself */
	assert_int_equal(rb_loop_streams(pair.loop), 0);
}

/* Far more than all limits, through an echo that is held back by its own output. */
static void test_big_echo(void **state)
{
	enum { TOTAL = 5 * 1024 * 1024 };
	(void)state;
	pair.server_ops = &echo;
	uint8_t *data = malloc(TOTAL);
	pattern_fill(data, TOTAL, 0);
	struct rb_stream *stream = connect_client(&watcher);
	size_t written = 0;
	while (written < TOTAL) {
		size_t space = rb_stream_space(stream);
		size_t part = TOTAL - written < space ? TOTAL - written : space;
		assert_int_equal(rb_stream_write(stream, data + written, space + 1), -ENOBUFS);
		assert_int_equal(rb_stream_write(stream, data + written, part), 0);
		written += part;
		TURN_UNTIL(rb_stream_space(stream) > 0);
	}
	rb_stream_shutdown(stream);
	TURN_UNTIL(pair.client.finished);
	assert_int_equal(pair.client.length, TOTAL);
	assert_memory_equal(pair.client.received, data, TOTAL);
	assert_true(pair.client.sent > 0);
	rb_stream_close(stream);
	TURN_UNTIL(pair.client.closed && pair.server.closed);
	assert_int_equal(pair.client.status, 0);
	assert_int_equal(pair.server.status, 0);
	free(data);
}

/* A client that writes and never reads must not make the server's memory grow. */
static void test_backpressure(void **state)
{
	enum { TOTAL = 32 * 1024 * 1024 };
	(void)state;
	pair.server_ops = &echo;
	int fd = peer_connect(pair.address);
	uint8_t block[65536] = {0};
	size_t put = 0, idle = 0;
	while (put < TOTAL && idle < 200) {
		ssize_t sent = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		put += sent > 0 ? (size_t)sent : 0;
		idle = sent > 0 ? 0 : idle + 1;
		assert_int_equal(rb_loop_turn(pair.loop, RB_POLL), 0);
	}
	assert_true(put < TOTAL); /* the window has closed */
	assert_true(rb_stream_backlog(pair.server.stream) <= 150000);
	pair.server.length = 0;
	for (size_t got = 0; got < put;) { /* now read: all comes back */
		ssize_t part = recv(fd, block, sizeof(block), MSG_DONTWAIT);
		got += part > 0 ? (size_t)part : 0;
		pair.server.length = 0; /* keeps on_data within its array */
		assert_int_equal(rb_loop_turn(pair.loop, RB_POLL), 0);
	}
	close(fd);
	TURN_UNTIL(pair.server.closed);
}

static void test_unconsumed_input_is_offered_again(void **state)
{
	(void)state;
	uint8_t data[1000];
	pattern_fill(data, sizeof(data), 0);
	pair.server.block = 7;
	int fd = peer_connect(pair.address);
	for (size_t i = 0; i < sizeof(data); i += 10) {
		peer_send(fd, data + i, 10);
		TURN_UNTIL(pair.server.length == (i + 10) / 7 * 7);
	}
	assert_memory_equal(pair.server.received, data, pair.server.length);
	close(fd);
	TURN_UNTIL(pair.server.closed); /* the incomplete rest makes no more progress */
	assert_int_equal(pair.server.status, 0);
	assert_int_equal(pair.server.length, 994);
}

static void test_input_limit(void **state)
{
	(void)state;
	uint8_t *data = calloc(1, 200000);
	pair.server_ops = &deaf;
	int fd = peer_connect(pair.address);
	peer_send(fd, data, 99999);
	for (int i = 0; i < 100; i++)
		assert_int_equal(rb_loop_turn(pair.loop, RB_POLL), 0);
	assert_int_equal(pair.server.closed, 0);
	peer_send(fd, data, 1);
	TURN_UNTIL(pair.server.closed);
	assert_int_equal(pair.server.status, -EMSGSIZE);
	peer_expect_reset(fd);
	close(fd);
	free(data);
}

/* Many writes of one turn leave in one system call. */
static void test_writes_are_gathered(void **state)
{
	(void)state;
	struct rb_stream *stream = connect_client(&watcher);
	TURN_UNTIL(pair.client.connected);
	const uint64_t *calls = rb_context_stats(rb_loop_context(pair.loop))->syscalls;
	uint64_t before = calls[RB_SYS_SENDTO] + calls[RB_SYS_SENDMSG];
	uint64_t expected = harness_backend == &rb_backend_epoll ? 1 : 0; /* io_uring submits it with others */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(rb_stream_write(stream, "0123456789", 10), 0);
	assert_int_equal(rb_stream_backlog(stream), 10000);
	TURN_UNTIL(pair.server.length == 10000);
	assert_int_equal(pair.server.offers, 1);
	assert_int_equal(calls[RB_SYS_SENDTO] + calls[RB_SYS_SENDMSG] - before, expected);
	assert_int_equal(rb_stream_backlog(stream), 0);
}

/* ---- lent memory ---- */

enum { LOANS_MAX = 1000 };

static struct {
	size_t count;		  /* made */
	size_t released;	  /* in the order they were made */
	struct rb_stream *stream; /* lends once more inside a release, or NULL */
} loans;

static void lend(struct rb_stream *stream, const void *data, size_t length);

static void on_release(void *cookie)
{
	assert_int_equal((uintptr_t)cookie, loans.released);
	loans.released++;
	if (loans.stream != NULL) {
		struct rb_stream *stream = loans.stream;
		loans.stream = NULL;
		lend(stream, "again", 5);
	}
}

/* In three pieces, one of them empty. */
static void lend(struct rb_stream *stream, const void *data, size_t length)
{
	size_t half = length / 2;
	const struct rb_sg pieces[3] = {{.base = data, .length = half},
					{.base = NULL, .length = 0},
					{.base = (const uint8_t *)data + half, .length = length - half}};
	assert_int_equal(rb_stream_send(stream, pieces, 3, on_release, (void *)loans.count), 0);
	loans.count++;
}

/* Copies and loans of all sizes, mixed at random: the peer sees them in order, and each loan ends once. */
static void test_send_among_writes(void **state)
{
	enum { TOTAL = 6 * 1024 * 1024 };
	(void)state;
	memset(&loans, 0, sizeof(loans));
	uint8_t *data = malloc(TOTAL);
	uint64_t random = 1;
	pattern_fill(data, TOTAL, 0);
	struct rb_stream *stream = connect_client(&watcher);
	for (size_t written = 0; written < TOTAL;) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
		size_t length = (random >> 40) % ((random >> 33) % 4 == 0 ? 100000 : 700) + 1;
		if (length > TOTAL - written)
			length = TOTAL - written;
		bool borrowed = (random >> 60) % 3 == 0 && loans.count < LOANS_MAX && rb_stream_pieces(stream) >= 3;
		if (borrowed) {
			size_t space = rb_stream_space(stream);
			lend(stream, data + written, length);
			assert_int_equal(rb_stream_space(stream), space); /* it is not kept here */
		} else {
			TURN_UNTIL(rb_stream_space(stream) >= length);
			assert_int_equal(rb_stream_write(stream, data + written, length), 0);
		}
		written += length;
		if (random >> 58 == 0)
			TURN_UNTIL(rb_stream_backlog(stream) < 50000);
	}
	TURN_UNTIL(pair.server.length == TOTAL && loans.released == loans.count);
	assert_memory_equal(pair.server.received, data, TOTAL);
	assert_true(loans.count > 50);
	assert_int_equal(rb_stream_backlog(stream), 0);
	assert_int_equal(rb_stream_pieces(stream), RB_STREAM_PIECES_MAX);
	rb_stream_close(stream);
	TURN_UNTIL(pair.client.closed && pair.server.closed);
	assert_int_equal(loans.released, loans.count);
	free(data);
}

static void test_send_checks(void **state)
{
	(void)state;
	memset(&loans, 0, sizeof(loans));
	struct rb_stream *stream = connect_client(&watcher);
	struct rb_sg pieces[RB_STREAM_PIECES_MAX + 1];
	const struct rb_sg empty = {.base = "x", .length = 0}, null = {.base = NULL, .length = 1};
	const struct rb_sg wrapping[2] = {{.base = "x", .length = UINT64_MAX}, {.base = "y", .length = 2}};
	for (size_t i = 0; i <= RB_STREAM_PIECES_MAX; i++)
		pieces[i] = (struct rb_sg){.base = "p", .length = 1};
	assert_int_equal(rb_stream_send(stream, pieces, 0, on_release, NULL), -EINVAL);
	assert_int_equal(rb_stream_send(stream, &empty, 1, on_release, NULL), -EINVAL);
	assert_int_equal(rb_stream_send(stream, &null, 1, on_release, NULL), -EFAULT);
	assert_int_equal(rb_stream_send(stream, wrapping, 2, on_release, NULL), -EINVAL);
	assert_int_equal(rb_stream_send(stream, pieces, RB_STREAM_PIECES_MAX + 1, on_release, NULL), -ENOBUFS);
	assert_int_equal(rb_stream_backlog(stream), 0);
	assert_int_equal(rb_stream_send(stream, pieces, RB_STREAM_PIECES_MAX, on_release, NULL), 0);
	assert_int_equal(rb_stream_send(stream, pieces, 1, NULL, NULL), -ENOBUFS);
	loans.count = 1;
	loans.stream = stream; /* from inside the release */
	TURN_UNTIL(loans.released == 2);
	TURN_UNTIL(pair.server.length == RB_STREAM_PIECES_MAX + 5);
	assert_memory_equal(pair.server.received + RB_STREAM_PIECES_MAX, "again", 5);
	rb_stream_shutdown(stream);
	assert_int_equal(rb_stream_send(stream, pieces, 1, on_release, NULL), -EPIPE);
	assert_int_equal(loans.released, 2);
}

static unsigned released_before_closed;

static void on_early_release(void *cookie)
{
	(void)cookie;
	released_before_closed += pair.client.closed == 0;
	loans.released++;
}

/* What has not been sent comes back when the stack has let go of it: after `closed`. */
static void test_send_is_released_by_the_end(void **state)
{
	enum { TOTAL = 64 * 1024 * 1024 };
	(void)state;
	memset(&loans, 0, sizeof(loans));
	released_before_closed = 0;
	pair.server_ops = &deaf;
	uint8_t *data = calloc(1, TOTAL);
	const struct rb_sg all = {.base = data, .length = TOTAL};
	struct rb_stream *stream = connect_client(&watcher);
	for (int i = 0; i < 20; i++)
		assert_int_equal(rb_stream_send(stream, &all, 1, on_early_release, NULL), 0);
	TURN_UNTIL(pair.server.closed); /* more than the deaf side takes: -EMSGSIZE, RST */
	TURN_UNTIL(pair.client.closed);
	TURN_UNTIL(loans.released == 20);
	assert_int_equal(released_before_closed, 0);
	connect_client(&watcher);
	assert_int_equal(rb_stream_send(pair.client.stream, &all, 1, on_early_release, NULL), 0);
	rb_loop_destroy(pair.loop);
	pair.loop = NULL;
	assert_int_equal(loans.released, 21);
	free(data);
}

static void test_connect_refused(void **state)
{
	(void)state;
	struct rb_listen_config taken = {.address = {.ip = HARNESS_LOOPBACK}};
	struct rb_listener *listener;
	assert_int_equal(rb_listener_create(harness_backend, &taken, &listener), 0);
	pair.address = rb_listener_address(listener);
	rb_listener_destroy(listener);
	connect_client(&watcher);
	TURN_UNTIL(pair.client.closed);
	assert_int_equal(pair.client.status, -ECONNREFUSED);
	assert_int_equal(pair.client.connected, 0);
}

static void test_reject(void **state)
{
	(void)state;
	pair.refuse = true;
	connect_client(&watcher);
	TURN_UNTIL(pair.client.closed);
	assert_int_equal(pair.client.status, -ECONNRESET);
	assert_int_equal(rb_loop_streams(pair.loop), 0);
}

static size_t on_data_abort(struct rb_stream *stream, const uint8_t *data, size_t length)
{
	(void)data;
	rb_stream_write(stream, "lost", 4);
	rb_stream_abort(stream);
	return length;
}

static void test_abort_inside_a_callback(void **state)
{
	static const struct rb_stream_ops aborting = {.data = on_data_abort, .closed = on_closed};
	(void)state;
	pair.server_ops = &aborting;
	rb_stream_write(connect_client(&watcher), "x", 1);
	TURN_UNTIL(pair.client.closed && pair.server.closed);
	assert_int_equal(pair.server.status, -ECONNABORTED);
	assert_int_equal(pair.client.status, -ECONNRESET);
	assert_int_equal(pair.client.length, 0);
}

static void test_close_and_abort_while_connecting(void **state)
{
	(void)state;
	struct rb_stream *stream = connect_client(&watcher);
	rb_stream_write(stream, "bye", 3);
	rb_stream_close(stream);
	TURN_UNTIL(pair.client.closed && pair.server.closed);
	assert_int_equal(pair.client.status, 0);
	assert_int_equal(pair.client.connected, 0);
	assert_memory_equal(pair.server.received, "bye", 3); /* written before the close */
	pair.server.closed = 0;
	pair.client.closed = 0;
	rb_stream_abort(connect_client(&watcher));
	TURN_UNTIL(pair.client.closed && pair.server.closed);
	assert_int_equal(pair.client.status, -ECONNABORTED);
	assert_int_equal(pair.server.status, -ECONNRESET);
}

static void test_half_close_keeps_the_other_half(void **state)
{
	(void)state;
	pair.server_ops = &watcher;
	struct rb_stream *stream = connect_client(&watcher);
	rb_stream_write(stream, "question", 8);
	rb_stream_shutdown(stream);
	assert_int_equal(rb_stream_write(stream, "x", 1), -EPIPE);
	TURN_UNTIL(pair.server.finished);
	assert_int_equal(pair.server.length, 8);
	rb_stream_write(pair.server.stream, "answer", 6);
	rb_stream_close(pair.server.stream);
	TURN_UNTIL(pair.client.finished);
	assert_memory_equal(pair.client.received, "answer", 6);
	rb_stream_close(stream);
	TURN_UNTIL(pair.client.closed && pair.server.closed);
	assert_int_equal(pair.client.status, 0);
	assert_int_equal(pair.server.status, 0);
}

static void test_reset_by_peer(void **state)
{
	(void)state;
	int fd = peer_connect(pair.address);
	TURN_UNTIL(pair.server.stream != NULL);
	rb_stream_write(pair.server.stream, "x", 1);
	peer_reset(fd);
	TURN_UNTIL(pair.server.closed);
	assert_int_equal(pair.server.status, -ECONNRESET);
}

static void test_destroy_with_open_streams(void **state)
{
	(void)state;
	struct rb_stream *stream = connect_client(&watcher);
	TURN_UNTIL(pair.client.connected && pair.server.stream != NULL);
	rb_stream_write(stream, "unsent", 6);
	rb_loop_destroy(pair.loop);
	pair.loop = NULL;
	assert_int_equal(pair.client.closed, 1);
	assert_int_equal(pair.client.status, -ECANCELED);
	assert_int_equal(pair.server.status, -ECANCELED);
}

static void test_streams_are_bounded(void **state)
{
	(void)state;
	struct side sides[17];
	struct rb_stream *stream;
	memset(sides, 0, sizeof(sides));
	for (int i = 0; i < 16; i++)
		assert_int_equal(
			rb_loop_connect(pair.loop, (struct rb_address){0}, pair.address, &watcher, &sides[i], &stream),
			0);
	assert_int_equal(
		rb_loop_connect(pair.loop, (struct rb_address){0}, pair.address, &watcher, &sides[16], &stream),
		-ENOBUFS);
	rb_loop_destroy(pair.loop);
	pair.loop = NULL;
	for (int i = 0; i < 16; i++)
		assert_int_equal(sides[i].status, -ECANCELED);
}

/* More wishes in a turn than the command array holds. */
static void test_more_streams_than_command_slots(void **state)
{
	enum { STREAMS = 300 };
	(void)state;
	static struct side sides[STREAMS];
	struct rb_loop *loop;
	struct rb_loop_config config = {
		.context = {
			.backend = harness_backend, .connections_max = STREAMS, .commands_max = 8, .events_max = 12}};
	struct rb_stream *stream;
	uint8_t received[1000];
	assert_int_equal(rb_loop_create(&config, &loop), 0);
	memset(sides, 0, sizeof(sides));
	pair.refuse = true;
	for (int i = 0; i < STREAMS; i++) {
		sides[i].received = received;
		assert_int_equal(
			rb_loop_connect(loop, (struct rb_address){0}, pair.address, &watcher, &sides[i], &stream), 0);
	}
	uint64_t deadline = rb_loop_now(loop) + HARNESS_DEADLINE_MS * RB_NS_PER_MS;
	while (rb_loop_streams(loop) > 0) {
		assert_true(rb_loop_now(loop) < deadline);
		assert_int_equal(rb_loop_turn(loop, RB_POLL), 0);
		assert_int_equal(rb_loop_turn(pair.loop, RB_POLL), 0);
	}
	for (int i = 0; i < STREAMS; i++)
		assert_int_equal(sides[i].closed, 1);
	rb_loop_destroy(loop);
}

/* ---- other threads ---- */

static unsigned wakes;

static void on_woken(struct rb_loop *loop)
{
	(void)loop;
	__atomic_add_fetch(&wakes, 1, __ATOMIC_RELEASE);
}

static void *run_loop(void *loop)
{
	return (void *)(intptr_t)rb_loop_run(loop);
}

static void test_wake_and_stop_from_elsewhere(void **state)
{
	(void)state;
	struct rb_loop_config config = {.context = {.backend = harness_backend, .connections_max = 1},
					.woken = on_woken};
	struct rb_loop *loop;
	pthread_t thread;
	void *result;
	assert_int_equal(rb_loop_create(&config, &loop), 0);
	pthread_create(&thread, NULL, run_loop, loop);
	for (unsigned i = 0; i < 100; i++) {
		rb_loop_wake(loop);
		while (__atomic_load_n(&wakes, __ATOMIC_ACQUIRE) <= i)
			usleep(10);
	}
	rb_loop_stop(loop);
	pthread_join(thread, &result);
	assert_ptr_equal(result, NULL);
	rb_loop_stop(loop); /* before the run begins */
	assert_int_equal(rb_loop_run(loop), 0);
	rb_loop_destroy(loop);
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int main(int argc, char **argv)
{
	int status = harness_choose(argc, argv);
	if (status != 0)
		return status;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers),
		STREAM_TEST(test_write_before_connected),
		STREAM_TEST(test_big_echo),
		STREAM_TEST(test_backpressure),
		STREAM_TEST(test_unconsumed_input_is_offered_again),
		STREAM_TEST(test_input_limit),
		STREAM_TEST(test_writes_are_gathered),
		STREAM_TEST(test_send_among_writes),
		STREAM_TEST(test_send_checks),
		STREAM_TEST(test_send_is_released_by_the_end),
		STREAM_TEST(test_connect_refused),
		STREAM_TEST(test_reject),
		STREAM_TEST(test_abort_inside_a_callback),
		STREAM_TEST(test_close_and_abort_while_connecting),
		STREAM_TEST(test_half_close_keeps_the_other_half),
		STREAM_TEST(test_reset_by_peer),
		STREAM_TEST(test_destroy_with_open_streams),
		STREAM_TEST(test_streams_are_bounded),
		STREAM_TEST(test_more_streams_than_command_slots),
		cmocka_unit_test(test_wake_and_stop_from_elsewhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
