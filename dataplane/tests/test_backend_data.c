// SPDX-License-Identifier: Apache-2.0
/* Data, windows, bounds and errors on Linux sockets, seen through the batch API: test_backend_data BACK-END */
#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "user/backend.h"
#include "user/sockets.h"

static struct harness harness;

static int open_default(void **state)
{
	(void)state;
	harness_open(&harness, NULL);
	return 0;
}

static int close_it(void **state)
{
	(void)state;
	harness_close(&harness);
	return 0;
}

static uint64_t syscalls(enum rb_linux_syscall which)
{
	return rb_context_stats(harness.context)->syscalls[which];
}

/* ---- amounts ---- */

/* More than the socket buffers hold, in uneven pieces; the peer reads slowly. */
static void test_big_send_in_pieces(void **state)
{
	enum { TOTAL = 12 * 1024 * 1024, PIECES = 7 };
	(void)state;
	rb_handle handle;
	struct rb_sg sg[PIECES];
	uint8_t *data = malloc(TOTAL);
	uint8_t block[8192];
	uint64_t released = 0, read_back = 0;
	pattern_fill(data, TOTAL, 0);
	int fd = harness_accept(&harness, 0, &handle);
	uint64_t offset = 0;
	for (uint64_t i = 0; i < PIECES; i++) {
		uint64_t length = i + 1 < PIECES ? 1000003 * (i % 3) : TOTAL - offset; /* some are empty */
		sg[i] = (struct rb_sg){.base = data + offset, .length = length};
		offset += length;
	}
	rb_context_sendv(harness.context, handle, sg, PIECES);
	while (read_back < TOTAL) {
		harness_poll(&harness);
		ssize_t got = peer_receive_some(fd, block, sizeof(block));
		assert_true(got > 0);
		pattern_check(block, (size_t)got, read_back);
		read_back += (uint64_t)got;
		while (harness.count > 0)
			released += harness_expect(&harness, RB_EVENT_SENT).sent.bytes;
		assert_true(released >= read_back); /* what the peer has, the stack has released */
	}
	assert_int_equal(released, TOTAL);
	assert_int_equal(rb_context_stats(harness.context)->bytes_out, TOTAL);
	free(data);
	close(fd);
}

/* CLOSE straight after SENDV: everything arrives, then the end. */
static void test_close_flushes(void **state)
{
	enum { TOTAL = 8 * 1024 * 1024 };
	(void)state;
	rb_handle handle;
	uint8_t block[65536];
	uint8_t *data = malloc(TOTAL);
	uint64_t read_back = 0;
	pattern_fill(data, TOTAL, 3);
	int fd = harness_accept(&harness, 0, &handle);
	const struct rb_sg sg = {.base = data, .length = TOTAL};
	rb_context_sendv(harness.context, handle, &sg, 1);
	rb_context_close(harness.context, handle, RB_CLOSE_ORDERLY);
	for (;;) {
		harness_poll(&harness);
		ssize_t got = peer_receive_some(fd, block, sizeof(block));
		assert_true(got >= 0);
		if (got == 0)
			break;
		pattern_check(block, (size_t)got, read_back + 3);
		read_back += (uint64_t)got;
	}
	assert_int_equal(read_back, TOTAL);
	close(fd);
	for (;;) {
		struct rb_event event = harness_next(&harness);
		if (event.type == RB_EVENT_CLOSED) {
			assert_int_equal(event.status, 0);
			break;
		}
		assert_int_equal(event.type, RB_EVENT_SENT);
	}
	free(data);
}

/* What is not given back closes the window; giving it back opens it. */
static void test_window(void **state)
{
	enum { BUFFER = 1024, BUFFERS = 4, TOTAL = 3 * 1024 * 1024 };
	(void)state;
	struct harness own;
	struct rb_context_config config = {
		.connections_max = 4, .rx_buffer_bytes = BUFFER, .rx_buffers_per_connection = BUFFERS};
	rb_handle handle;
	uint8_t *data = malloc(TOTAL);
	uint64_t received = 0, queued = 0;
	pattern_fill(data, TOTAL, 0);
	harness_open(&own, &config);
	int fd = harness_accept(&own, 0, &handle);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (received < TOTAL) {
		ssize_t put = queued < TOTAL ? send(fd, data + queued, TOTAL - queued, MSG_NOSIGNAL) : 0;
		queued += put > 0 ? (uint64_t)put : 0;
		uint64_t held = 0;
		for (int buffers = 0; buffers < BUFFERS && received < queued; buffers++) {
			struct rb_event event = harness_expect(&own, RB_EVENT_RECV);
			pattern_check(event.recv.data, event.recv.length, received);
			received += event.recv.length;
			held += event.recv.length;
		}
		harness_poll(&own);
		assert_int_equal(own.count, 0); /* closed */
		/* an odd part first: buffers are given back byte by byte, not one by one */
		rb_context_recv_done(own.context, handle, 1);
		if (held > 1)
			rb_context_recv_done(own.context, handle, held - 1);
	}
	assert_true(queued == TOTAL);
	harness_expect_quiet(&own);
	harness_close(&own);
	close(fd);
	free(data);
}

/* ---- bounds ---- */

static void test_command_overflow(void **state)
{
	(void)state;
	struct harness own;
	struct rb_context_config config = {.connections_max = 4, .commands_max = 4, .events_max = 4 + RB_EVENTS_SPARE};
	harness_open(&own, &config);
	assert_int_equal(rb_context_command_space(own.context), 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(rb_context_timer(own.context, RB_DEADLINE_NONE, 0), 0);
	assert_int_equal(rb_context_command_space(own.context), 0);
	assert_int_equal(rb_context_timer(own.context, 0, 0), -ENOBUFS);
	assert_null(rb_context_command(own.context));
	struct rb_event event = harness_expect(&own, RB_EVENT_ERROR);
	assert_int_equal(event.status, -ENOBUFS);
	assert_int_equal(event.error.count, 2);
	assert_int_equal(rb_context_command_space(own.context), 4);
	harness_expect_quiet(&own); /* the refused timer is not set */
	harness_close(&own);
}

/* Every command fails and every peer has news, with hardly any event slots: nothing is lost. */
static void test_event_array_is_bounded(void **state)
{
	enum { PEERS = 20 };
	(void)state;
	struct harness own;
	struct rb_context_config config = {
		.connections_max = PEERS, .commands_max = 2, .events_max = 2 + RB_EVENTS_SPARE};
	const struct rb_event *events;
	int fd[PEERS];
	rb_handle handle;
	int received = 0, errors = 0;
	harness_open(&own, &config);
	for (int i = 0; i < PEERS; i++)
		fd[i] = harness_accept(&own, (uint64_t)i, &handle);
	for (int i = 0; i < PEERS; i++)
		peer_send(fd[i], "x", 1);
	for (int i = 0; i < PEERS * 4; i++) {
		rb_context_close(own.context, 0, RB_CLOSE_ORDERLY);
		rb_context_close(own.context, 0, RB_CLOSE_ORDERLY);
		int count = rb_context_run_io(own.context, RB_POLL, &events);
		assert_in_range(count, 2, 2 + RB_EVENTS_SPARE);
		for (int j = 0; j < count; j++) {
			errors += events[j].type == RB_EVENT_ERROR;
			received += events[j].type == RB_EVENT_RECV;
		}
	}
	assert_int_equal(errors, PEERS * 8);
	assert_int_equal(received, PEERS);
	for (int i = 0; i < PEERS; i++)
		close(fd[i]);
	harness_close(&own);
}

static void expect_sendv_error(rb_handle handle, const struct rb_sg *sg, uint32_t count, int status)
{
	rb_context_sendv(harness.context, handle, sg, count);
	harness_expect_error(&harness, RB_COMMAND_SENDV, status);
}

static void test_bad_commands(void **state)
{
	(void)state;
	rb_handle handle;
	static const struct rb_sg good = {.base = "ok", .length = 2};
	static const struct rb_sg null = {.base = NULL, .length = 2};
	static const struct rb_sg wrapping[2] = {{.base = "a", .length = UINT64_MAX}, {.base = "b", .length = 2}};
	static const struct rb_sg empty = {.base = "a", .length = 0};
	int fd = harness_accept(&harness, 11, &handle);
	expect_sendv_error(handle, NULL, 2, -EFAULT);
	expect_sendv_error(handle, &null, 1, -EFAULT);
	expect_sendv_error(handle, &good, 0, -EINVAL);
	expect_sendv_error(handle, &good, RB_SENDV_ENTRIES_MAX + 1, -EINVAL);
	expect_sendv_error(handle, wrapping, 2, -EINVAL);
	expect_sendv_error(handle, &empty, 1, -EINVAL);
	expect_sendv_error(0, &good, 1, -EBADF);
	expect_sendv_error(handle ^ UINT64_C(1) << 52, &good, 1, -EBADF); /* another context's */
	expect_sendv_error(handle ^ UINT64_C(1) << 50, &good, 1, -EBADF); /* an index out of range */
	rb_context_recv_done(harness.context, handle, 1);
	harness_expect_error(&harness, RB_COMMAND_RECV_DONE, -EINVAL);
	rb_context_accept(harness.context, handle, 0);
	harness_expect_error(&harness, RB_COMMAND_ACCEPT, -EINVAL);
	rb_context_reject(harness.context, handle);
	harness_expect_error(&harness, RB_COMMAND_REJECT, -EINVAL);
	rb_context_close(harness.context, handle, RB_CLOSE_ABORT | RB_CLOSE_WRITE);
	harness_expect_error(&harness, RB_COMMAND_CLOSE, -EINVAL);
	struct rb_command *unknown = rb_context_command(harness.context);
	unknown->type = 99;
	unknown->handle = handle;
	struct rb_event event = harness_expect(&harness, RB_EVENT_ERROR);
	assert_int_equal(event.error.command, 99);
	assert_int_equal(event.status, -EINVAL);
	assert_int_equal(event.cookie, 11);
	/* nothing of this has harmed the connection */
	char text[2];
	rb_context_sendv(harness.context, handle, &good, 1);
	harness_expect(&harness, RB_EVENT_SENT);
	peer_receive(fd, text, 2);
	close(fd);
}

static void test_tx_entries_are_bounded(void **state)
{
	(void)state;
	struct harness own;
	struct rb_context_config config = {.connections_max = 2, .tx_entries_max = 3};
	const struct rb_sg sg[2] = {{.base = "a", .length = 1}, {.base = "b", .length = 1}};
	char text[4];
	rb_handle handle;
	harness_open(&own, &config);
	int fd = harness_accept(&own, 0, &handle);
	rb_context_sendv(own.context, handle, sg, 2);
	rb_context_sendv(own.context, handle, sg, 2); /* all or nothing */
	harness_expect_error(&own, RB_COMMAND_SENDV, -ENOBUFS);
	harness_expect(&own, RB_EVENT_SENT);
	rb_context_sendv(own.context, handle, sg, 2);
	harness_expect(&own, RB_EVENT_SENT);
	peer_receive(fd, text, 4);
	assert_memory_equal(text, "abab", 4);
	harness_close(&own);
	close(fd);
}

static void test_connections_max(void **state)
{
	(void)state;
	struct harness own;
	struct rb_context_config config = {.connections_max = 1};
	rb_handle handle;
	harness_open(&own, &config);
	int first = harness_accept(&own, 0, &handle);
	int second = peer_connect(own.address);
	struct rb_event event = harness_expect(&own, RB_EVENT_ERROR);
	assert_int_equal(event.error.command, RB_COMMAND_ACCEPT);
	assert_int_equal(event.status, -ENOBUFS);
	assert_int_equal(event.handle, 0);
	rb_context_connect(own.context, (struct rb_address){0}, own.address, 3);
	do {
		event = harness_next(&own); /* the listener may complain again */
	} while (event.type == RB_EVENT_ERROR);
	assert_int_equal(event.type, RB_EVENT_CONNECTED);
	assert_int_equal(event.status, -ENOBUFS);
	rb_context_close(own.context, handle, RB_CLOSE_ABORT);
	do {
		event = harness_next(&own);
	} while (event.type != RB_EVENT_KNOCK);
	close(first);
	close(second);
	harness_close(&own);
}

/* ---- running out of descriptors ---- */

static void limit_descriptors(rlim_t limit)
{
	struct rlimit descriptors;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &descriptors), 0);
	descriptors.rlim_cur = limit < descriptors.rlim_max ? limit : descriptors.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
}

static void test_emfile(void **state)
{
	(void)state;
	struct rlimit before;
	getrlimit(RLIMIT_NOFILE, &before);
	int fd = peer_connect(harness.address);
	int lowest_free = dup(fd);
	close(lowest_free);
	limit_descriptors((rlim_t)lowest_free);
	struct rb_event event = harness_expect(&harness, RB_EVENT_ERROR);
	assert_int_equal(event.error.command, RB_COMMAND_ACCEPT);
	assert_int_equal(event.status, -EMFILE);
	rb_context_connect(harness.context, (struct rb_address){0}, harness.address, 4);
	do {
		event = harness_next(&harness);
	} while (event.type == RB_EVENT_ERROR);
	assert_int_equal(event.type, RB_EVENT_CONNECTED);
	assert_int_equal(event.status, -EMFILE);
	/* it tries again now and then, not all the time */
	unsigned tries = 0;
	for (int i = 0; i < 135; i++) {
		harness_poll(&harness);
		poll(NULL, 0, i < 35 ? 1 : 0);
	}
	while (harness.count > 0) {
		assert_int_equal(harness_expect(&harness, RB_EVENT_ERROR).status, -EMFILE);
		tries++;
	}
	assert_in_range(tries, 1, 20);
	limit_descriptors(before.rlim_cur);
	do {
		event = harness_next(&harness);
	} while (event.type == RB_EVENT_ERROR);
	assert_int_equal(event.type, RB_EVENT_KNOCK);
	close(fd);
}

/* ---- many connections ---- */

static void test_thousand_connections(void **state)
{
	enum { CONNECTIONS = 1000 };
	(void)state;
	static struct harness own; /* big */
	struct rb_context_config config = {.connections_max = 2 * CONNECTIONS};
	static const struct rb_sg hello = {.base = "hello", .length = 5};
	rb_handle client[CONNECTIONS];
	unsigned connected = 0, echoed = 0, closed = 0;
	limit_descriptors(2 * CONNECTIONS + 100);
	harness_open(&own, &config);
	for (unsigned started = 0; closed < 2 * CONNECTIONS;) {
		for (; started < CONNECTIONS && rb_context_command_space(own.context) > 64; started++)
			rb_context_connect(own.context, (struct rb_address){0}, own.address, started);
		struct rb_event event = harness_next(&own);
		switch (event.type) {
		case RB_EVENT_KNOCK:
			rb_context_accept(own.context, event.handle, CONNECTIONS);
			break;
		case RB_EVENT_CONNECTED:
			assert_int_equal(event.status, 0);
			client[event.cookie] = event.handle;
			if (++connected == CONNECTIONS) { /* all are open at the same time */
				for (unsigned i = 0; i < CONNECTIONS; i++) {
					if (rb_context_command_space(own.context) == 0)
						harness_poll(&own);
					rb_context_sendv(own.context, client[i], &hello, 1);
				}
			}
			break;
		case RB_EVENT_RECV:
			if (event.flags & RB_RECV_FIN) {
				rb_context_close(own.context, event.handle, RB_CLOSE_ORDERLY);
			} else if (event.cookie == CONNECTIONS) { /* server side: echo */
				rb_context_sendv(own.context, event.handle, &hello, 1);
			} else {
				echoed++;
				rb_context_close(own.context, event.handle, RB_CLOSE_ORDERLY);
			}
			break;
		case RB_EVENT_CLOSED:
			assert_int_equal(event.status, 0);
			closed++;
			break;
		default:
			assert_int_equal(event.type, RB_EVENT_SENT);
			break;
		}
		if (rb_context_command_space(own.context) < 16)
			harness_poll(&own);
	}
	assert_int_equal(echoed, CONNECTIONS);
	assert_int_equal(rb_context_stats(own.context)->accepted, CONNECTIONS);
	harness_close(&own);
}

/* ---- listening ---- */

static void check_two_contexts(enum rb_listen_mode mode, unsigned *first, unsigned *second)
{
	enum { PEERS = 64 };
	struct rb_context_config config[2] = {
		{.backend = harness_backend, .connections_max = PEERS},
		{.backend = harness_backend, .connections_max = PEERS, .flow_group = 1},
	};
	struct rb_listen_config listen = {.address = {.ip = HARNESS_LOOPBACK}, .mode = mode};
	struct rb_listener *listener;
	struct rb_context *context[2];
	unsigned knocks[2] = {0, 0};
	int fd[PEERS];
	assert_int_equal(rb_listener_create(harness_backend, &listen, &listener), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rb_context_create(&config[i], &context[i]), 0);
		assert_int_equal(rb_context_listen(context[i], listener, 0), 0);
	}
	for (int i = 0; i < PEERS; i++)
		fd[i] = peer_connect(rb_listener_address(listener));
	for (int round = 0; round < 2 * PEERS; round++) {
		const struct rb_event *events;
		int count = rb_context_run_io(context[round % 2], RB_POLL, &events);
		for (int i = 0; i < count; i++) {
			assert_int_equal(events[i].type, RB_EVENT_KNOCK);
			assert_int_equal(rb_handle_group(events[i].handle), round % 2);
		}
		knocks[round % 2] += (unsigned)count;
	}
	assert_int_equal(knocks[0] + knocks[1], PEERS); /* each exactly once */
	*first = knocks[0];
	*second = knocks[1];
	for (int i = 0; i < PEERS; i++)
		close(fd[i]);
	rb_context_destroy(context[0]);
	rb_context_destroy(context[1]);
	rb_listener_destroy(listener);
}

static void test_listen_shared(void **state)
{
	unsigned first, second;
	(void)state;
	check_two_contexts(RB_LISTEN_SHARED, &first, &second);
	/* one per poll and turn about: both get their share */
	assert_int_equal(first, 32);
	assert_int_equal(second, 32);
}

static void test_listen_reuseport(void **state)
{
	unsigned first, second;
	(void)state;
	check_two_contexts(RB_LISTEN_REUSEPORT, &first, &second);
	/* by hash: that all 64 fall on one side has a chance of 2^-63 */
	assert_true(first > 0 && second > 0);
}

static void test_address_in_use(void **state)
{
	(void)state;
	struct rb_listen_config listen = {.address = harness.address};
	struct rb_listener *listener;
	assert_int_equal(rb_listener_create(harness_backend, &listen, &listener), -EADDRINUSE);
}

/* ---- waiting ---- */

static void *wake_later(void *context)
{
	poll(NULL, 0, 20);
	rb_context_wake(context);
	return NULL;
}

static void test_wake(void **state)
{
	(void)state;
	const struct rb_event *events;
	pthread_t thread;
	pthread_create(&thread, NULL, wake_later, harness.context);
	assert_int_equal(rb_context_run_io(harness.context, RB_WAIT, &events), 0);
	pthread_join(thread, NULL);
	rb_context_wake(harness.context); /* before waiting */
	assert_int_equal(rb_context_run_io(harness.context, RB_WAIT, &events), 0);
}

static void check_timer(const struct rb_context_config *config)
{
	struct rb_context *context;
	const struct rb_event *events;
	assert_int_equal(rb_context_create(config, &context), 0);
	uint64_t deadline = rb_context_now(context) + 3 * RB_NS_PER_MS + 1;
	rb_context_timer(context, deadline + 3600 * RB_NS_PER_S, 1);
	rb_context_timer(context, deadline, 2); /* replaces the other */
	assert_int_equal(rb_context_run_io(context, RB_WAIT, &events), 1);
	assert_true(rb_context_now(context) >= deadline);
	assert_int_equal(events[0].type, RB_EVENT_TIMER);
	assert_int_equal(events[0].cookie, 2);
	assert_true(events[0].timer.deadline_ns == deadline);
	assert_int_equal(rb_context_run_io(context, RB_POLL, &events), 0); /* once */
	rb_context_timer(context, 0, 3);				   /* long past */
	assert_int_equal(rb_context_run_io(context, RB_WAIT, &events), 1);
	rb_context_destroy(context);
}

static void test_timer(void **state)
{
	(void)state;
	check_timer(&(struct rb_context_config){.backend = harness_backend, .connections_max = 1, .timer_slack_ns = 1});
	check_timer(
		&(struct rb_context_config){.backend = harness_backend, .connections_max = 1, .spin_ns = RB_NS_PER_MS});
	check_timer(
		&(struct rb_context_config){.backend = harness_backend, .connections_max = 1, .spin_ns = UINT64_MAX});
}

/* ---- what it costs ---- */

/* One request at a time: with epoll a wait, a recv and a send; with io_uring a wait, and a send at once. */
static void test_system_calls_per_request(void **state)
{
	enum { REQUESTS = 100 };
	(void)state;
	static const struct rb_sg pong = {.base = "pong", .length = 4};
	bool uring = strcmp(harness_backend->name, "io_uring") == 0;
	const struct rb_event *events;
	rb_handle handle;
	char text[4];
	int fd = harness_accept(&harness, 0, &handle);
	harness_poll(&harness);
	uint64_t before[RB_SYS_COUNT], expected[RB_SYS_COUNT] = {0};
	memcpy(before, rb_context_stats(harness.context)->syscalls, sizeof(before));
	for (int i = 0; i < REQUESTS; i++) {
		peer_send(fd, "ping", 4);
		assert_int_equal(rb_context_run_io(harness.context, RB_WAIT, &events), 1);
		assert_int_equal(events[0].type, RB_EVENT_RECV);
		rb_context_recv_done(harness.context, handle, 4);
		rb_context_sendv(harness.context, handle, &pong, 1);
		assert_int_equal(rb_context_run_io(harness.context, RB_WAIT, &events), 1);
		assert_int_equal(events[0].type, RB_EVENT_SENT);
		peer_receive(fd, text, 4);
	}
	if (uring) {
		expected[RB_SYS_IO_URING_ENTER] = UINT64_C(2) * REQUESTS;
	} else {
		expected[RB_SYS_EPOLL_PWAIT2] = REQUESTS;
		expected[RB_SYS_RECVFROM] = REQUESTS;
		expected[RB_SYS_SENDTO] = REQUESTS;
	}
	for (unsigned i = 0; i < RB_SYS_COUNT; i++)
		assert_int_equal(syscalls((enum rb_linux_syscall)i) - before[i], expected[i]);
	close(fd);
}

/* A peer that floods a connection whose window is closed takes nothing from the others. */
static void test_window_is_the_connections_own(void **state)
{
	enum { BUFFER = 4096, FLOODERS = 8, ROUNDS = 300 };
	(void)state;
	struct harness own;
	struct rb_context_config config = {
		.connections_max = FLOODERS + 1, .rx_buffer_bytes = BUFFER, .rx_buffers_per_connection = 2};
	rb_handle handle[FLOODERS + 1];
	int fd[FLOODERS + 1];
	uint8_t block[65536] = {0};
	harness_open(&own, &config);
	for (unsigned i = 0; i <= FLOODERS; i++)
		fd[i] = harness_accept(&own, i, &handle[i]);
	for (unsigned round = 0, received = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < FLOODERS; i++)
			(void)!send(fd[i], block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		peer_send(fd[FLOODERS], "ping", 4);
		while (received <= round) {
			struct rb_event event = harness_expect(&own, RB_EVENT_RECV);
			assert_in_range(event.recv.length, 1, BUFFER);
			if (event.cookie != FLOODERS)
				continue; /* never given back */
			assert_int_equal(event.recv.length, 4);
			rb_context_recv_done(own.context, event.handle, 4);
			received++;
		}
	}
	for (unsigned i = 0; i <= FLOODERS; i++)
		close(fd[i]);
	harness_close(&own);
}

#define DATA_TEST(name) cmocka_unit_test_setup_teardown(name, open_default, close_it)

int main(int argc, char **argv)
{
	int status = harness_choose(argc, argv);
	if (status != 0)
		return status;
	const struct CMUnitTest tests[] = {
		DATA_TEST(test_big_send_in_pieces),
		DATA_TEST(test_close_flushes),
		DATA_TEST(test_window),
		DATA_TEST(test_command_overflow),
		DATA_TEST(test_event_array_is_bounded),
		DATA_TEST(test_bad_commands),
		DATA_TEST(test_tx_entries_are_bounded),
		DATA_TEST(test_connections_max),
		DATA_TEST(test_emfile),
		DATA_TEST(test_thousand_connections),
		DATA_TEST(test_listen_shared),
		DATA_TEST(test_listen_reuseport),
		DATA_TEST(test_address_in_use),
		DATA_TEST(test_wake),
		DATA_TEST(test_timer),
		DATA_TEST(test_system_calls_per_request),
		DATA_TEST(test_window_is_the_connections_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
