// SPDX-License-Identifier: Apache-2.0
/* Life and death of connections on Linux sockets, seen through the batch API: test_backend_life BACK-END */
#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

static void send_text(rb_handle handle, const char *text)
{
	const struct rb_sg sg = {.base = text, .length = strlen(text)};
	assert_int_equal(rb_context_sendv(harness.context, handle, &sg, 1), 0);
	harness_poll(&harness);
}

static void test_echo_and_orderly_end(void **state)
{
	(void)state;
	rb_handle handle;
	char text[5];
	int fd = harness_accept(&harness, 42, &handle);
	peer_send(fd, "hello", 5);
	struct rb_event received = harness_expect(&harness, RB_EVENT_RECV);
	assert_int_equal(received.handle, handle);
	assert_int_equal(received.cookie, 42);
	assert_int_equal(received.recv.length, 5);
	/* the received buffer itself is sent: no copy */
	const struct rb_sg sg = {.base = received.recv.data, .length = received.recv.length};
	rb_context_sendv(harness.context, handle, &sg, 1);
	struct rb_event sent = harness_expect(&harness, RB_EVENT_SENT);
	assert_int_equal(sent.sent.bytes, 5);
	rb_context_recv_done(harness.context, handle, 5);
	peer_receive(fd, text, 5);
	assert_memory_equal(text, "hello", 5);

	shutdown(fd, SHUT_WR);
	struct rb_event end = harness_expect(&harness, RB_EVENT_RECV);
	assert_int_equal(end.flags, RB_RECV_FIN);
	assert_int_equal(end.recv.length, 0);
	rb_context_close(harness.context, handle, RB_CLOSE_ORDERLY);
	assert_int_equal(harness_expect(&harness, RB_EVENT_CLOSED).status, 0);
	peer_expect_end(fd);
	close(fd);
	assert_int_equal(rb_context_stats(harness.context)->closed, 1);
}

static void test_data_and_fin_together(void **state)
{
	(void)state;
	rb_handle handle;
	int fd = harness_accept(&harness, 0, &handle);
	peer_send(fd, "last", 4);
	close(fd);
	assert_int_equal(harness_expect(&harness, RB_EVENT_RECV).recv.length, 4);
	assert_int_equal(harness_expect(&harness, RB_EVENT_RECV).flags, RB_RECV_FIN);
	harness_expect_quiet(&harness);
}

static void test_connect(void **state)
{
	(void)state;
	struct rb_address local = {.ip = HARNESS_LOOPBACK + 1}; /* 127.0.0.2 */
	rb_context_connect(harness.context, local, harness.address, 7);
	struct rb_event first = harness_next(&harness);
	struct rb_event second = harness_next(&harness);
	struct rb_event connected = first.type == RB_EVENT_CONNECTED ? first : second;
	struct rb_event knock = first.type == RB_EVENT_KNOCK ? first : second;
	assert_int_equal(connected.type, RB_EVENT_CONNECTED);
	assert_int_equal(connected.status, 0);
	assert_int_equal(connected.cookie, 7);
	assert_int_equal(connected.connected.remote.port, harness.address.port);
	assert_int_equal(knock.type, RB_EVENT_KNOCK);
	assert_int_equal(knock.knock.remote.ip, HARNESS_LOOPBACK + 1);
	rb_context_accept(harness.context, knock.handle, 8);
	send_text(connected.handle, "ping");
	assert_int_equal(harness_expect(&harness, RB_EVENT_SENT).cookie, 7);
	assert_int_equal(harness_expect(&harness, RB_EVENT_RECV).cookie, 8);
	assert_int_equal(rb_context_stats(harness.context)->connected, 1);
}

static void test_connect_refused(void **state)
{
	(void)state;
	struct rb_listen_config taken = {.address = {.ip = HARNESS_LOOPBACK}};
	struct rb_listener *listener;
	assert_int_equal(rb_listener_create(harness_backend, &taken, &listener), 0);
	struct rb_address closed_port = rb_listener_address(listener);
	rb_listener_destroy(listener);
	rb_context_connect(harness.context, (struct rb_address){0}, closed_port, 9);
	struct rb_event event = harness_expect(&harness, RB_EVENT_CONNECTED);
	assert_int_equal(event.status, -ECONNREFUSED);
	assert_int_equal(event.cookie, 9);
	assert_int_equal(event.handle, 0);
}

static void test_connect_checks(void **state)
{
	(void)state;
	struct rb_address no_port = {.ip = HARNESS_LOOPBACK};
	struct rb_address foreign = {.ip = 0xc0000201}; /* TEST-NET-1: not ours */
	rb_context_connect(harness.context, (struct rb_address){0}, no_port, 1);
	assert_int_equal(harness_expect(&harness, RB_EVENT_CONNECTED).status, -EINVAL);
	rb_context_connect(harness.context, foreign, harness.address, 2);
	assert_int_equal(harness_expect(&harness, RB_EVENT_CONNECTED).status, -EADDRNOTAVAIL);
}

static void test_half_close_by_peer(void **state)
{
	(void)state;
	rb_handle handle;
	char text[5];
	int fd = harness_accept(&harness, 0, &handle);
	shutdown(fd, SHUT_WR);
	assert_int_equal(harness_expect(&harness, RB_EVENT_RECV).flags, RB_RECV_FIN);
	send_text(handle, "still");
	harness_expect(&harness, RB_EVENT_SENT);
	peer_receive(fd, text, 5);
	rb_context_close(harness.context, handle, RB_CLOSE_ORDERLY);
	assert_int_equal(harness_expect(&harness, RB_EVENT_CLOSED).status, 0);
	peer_expect_end(fd);
	close(fd);
}

static void test_half_close_by_us(void **state)
{
	(void)state;
	rb_handle handle;
	int fd = harness_accept(&harness, 0, &handle);
	rb_context_close(harness.context, handle, RB_CLOSE_WRITE);
	harness_poll(&harness);
	peer_expect_end(fd);
	send_text(handle, "too late");
	harness_expect_error(&harness, RB_COMMAND_SENDV, -EPIPE);
	rb_context_close(harness.context, handle, RB_CLOSE_WRITE);
	harness_expect_error(&harness, RB_COMMAND_CLOSE, -EALREADY);
	peer_send(fd, "abc", 3);
	assert_int_equal(harness_expect(&harness, RB_EVENT_RECV).recv.length, 3);
	close(fd);
	assert_int_equal(harness_expect(&harness, RB_EVENT_RECV).flags, RB_RECV_FIN);
	harness_expect_quiet(&harness); /* both directions are finished, yet the handle lives until CLOSE */
	rb_context_close(harness.context, handle, RB_CLOSE_ORDERLY);
	assert_int_equal(harness_expect(&harness, RB_EVENT_CLOSED).status, 0);
}

/* A close with unread input must not become a reset, which would destroy what the peer has not read yet. */
static void test_close_discards_and_is_orderly(void **state)
{
	(void)state;
	rb_handle handle;
	char text[7];
	uint8_t block[65536] = {0};
	int fd = harness_accept(&harness, 0, &handle);
	send_text(handle, "goodbye");
	harness_expect(&harness, RB_EVENT_SENT);
	rb_context_close(harness.context, handle, RB_CLOSE_ORDERLY);
	harness_poll(&harness);
	for (int i = 0; i < 32; i++) {
		peer_send(fd, block, sizeof(block));
		harness_poll(&harness);
	}
	assert_int_equal(harness.count, 0); /* no RECV after CLOSE */
	peer_receive(fd, text, 7);
	peer_expect_end(fd);
	close(fd);
	assert_int_equal(harness_expect(&harness, RB_EVENT_CLOSED).status, 0);
}

static void test_close_waits_with_a_deadline(void **state)
{
	(void)state;
	struct harness own;
	struct rb_context_config config = {.connections_max = 4, .close_timeout_ns = 20 * RB_NS_PER_MS};
	rb_handle handle;
	harness_open(&own, &config);
	int fd = harness_accept(&own, 0, &handle);
	rb_context_close(own.context, handle, RB_CLOSE_ORDERLY);
	assert_int_equal(harness_expect(&own, RB_EVENT_CLOSED).status, -ETIMEDOUT);
	peer_expect_end(fd); /* the FIN came first */
	close(fd);
	harness_close(&own);
}

/* The peer gets so many bytes, exactly, while the context goes on; its clock stands still. */
static void receive_beside(struct harness *own, int fd, uint8_t *data, size_t length)
{
	size_t done = 0;
	for (int i = 0; done < length && i < HARNESS_DEADLINE_MS; i++) {
		ssize_t got;
		harness_poll(own);
		while (done < length && (got = recv(fd, data + done, length - done, MSG_DONTWAIT)) > 0)
			done += (size_t)got;
		if (done < length)
			usleep(1000);
	}
	assert_int_equal(done, length);
}

/*
 * What the kernel has taken is not with the peer yet: the deadline of a close moves as long as the peer takes some of it,
 * and passes when it does not.
 */
static void close_with_a_slow_peer(bool stops)
{
	enum { BYTES = 2 << 20, PART = 256 << 10, BUFFER = 64 << 10 };
	static uint8_t block[BYTES], part[PART];
	struct rb_virtual_clock clock;
	rb_virtual_clock_init(&clock, RB_NS_PER_S);
	struct rb_context_config config = {
		.connections_max = 4, .close_timeout_ns = RB_NS_PER_MS, .clock = &clock.clock};
	struct harness own;
	rb_handle handle;
	const int buffer = BUFFER;
	harness_open(&own, &config);
	int fd = harness_accept(&own, 0, &handle);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)), 0);
	pattern_fill(block, BYTES, 0);
	const struct rb_sg sg = {block, BYTES};
	assert_int_equal(rb_context_sendv(own.context, handle, &sg, 1), 0);
	rb_context_close(own.context, handle, RB_CLOSE_ORDERLY);
	harness_poll(&own);
	for (unsigned at = 0; at < BYTES && !(stops && at > 0); at += PART) {
		receive_beside(&own, fd, part, PART);
		pattern_check(part, PART, at);
		rb_virtual_clock_advance_to(&clock, clock.ns + config.close_timeout_ns);
		harness_poll(&own);
	}
	for (int i = 0; stops && i < 6; i++) {
		rb_virtual_clock_advance_to(&clock, clock.ns + config.close_timeout_ns);
		harness_poll(&own);
	}
	if (!stops)
		peer_expect_end(fd);
	close(fd);
	struct rb_event event = harness_next(&own);
	while (event.type == RB_EVENT_SENT)
		event = harness_next(&own);
	assert_int_equal(event.type, RB_EVENT_CLOSED);
	assert_int_equal(event.status, stops ? -ETIMEDOUT : 0);
	harness_close(&own);
}

static void test_close_waits_for_a_slow_peer(void **state)
{
	(void)state;
	close_with_a_slow_peer(false);
	close_with_a_slow_peer(true);
}

static void test_close_twice(void **state)
{
	(void)state;
	rb_handle handle;
	int fd = harness_accept(&harness, 0, &handle);
	rb_context_close(harness.context, handle, RB_CLOSE_ORDERLY);
	rb_context_close(harness.context, handle, RB_CLOSE_ORDERLY);
	harness_expect_error(&harness, RB_COMMAND_CLOSE, -EALREADY);
	rb_context_close(harness.context, handle, RB_CLOSE_ABORT); /* impatience is allowed */
	assert_int_equal(harness_expect(&harness, RB_EVENT_CLOSED).status, -ECONNABORTED);
	close(fd);
}

static void test_abort(void **state)
{
	(void)state;
	rb_handle handle;
	int fd = harness_accept(&harness, 0, &handle);
	rb_context_close(harness.context, handle, RB_CLOSE_ABORT);
	assert_int_equal(harness_expect(&harness, RB_EVENT_CLOSED).status, -ECONNABORTED);
	peer_expect_reset(fd);
	close(fd);
}

static void test_reject(void **state)
{
	(void)state;
	int fd = peer_connect(harness.address);
	struct rb_event knock = harness_expect(&harness, RB_EVENT_KNOCK);
	rb_context_reject(harness.context, knock.handle);
	harness_expect_quiet(&harness);
	peer_expect_reset(fd);
	close(fd);
}

static void test_reset_by_peer(void **state)
{
	(void)state;
	rb_handle handle;
	int fd = harness_accept(&harness, 5, &handle);
	peer_send(fd, "kept", 4);
	struct rb_event received = harness_expect(&harness, RB_EVENT_RECV);
	peer_reset(fd);
	struct rb_event closed = harness_expect(&harness, RB_EVENT_CLOSED);
	assert_int_equal(closed.status, -ECONNRESET);
	assert_int_equal(closed.cookie, 5);
	assert_memory_equal(received.recv.data, "kept", 4); /* readable until the next run_io() */
	rb_context_recv_done(harness.context, handle, 4);
	harness_expect_error(&harness, RB_COMMAND_RECV_DONE, -EBADF);
	send_text(handle, "x");
	harness_expect_error(&harness, RB_COMMAND_SENDV, -EBADF);
}

static void test_reset_while_window_closed(void **state)
{
	(void)state;
	struct harness own;
	struct rb_context_config config = {.connections_max = 4, .rx_buffer_bytes = 16, .rx_buffers_per_connection = 1};
	rb_handle handle;
	harness_open(&own, &config);
	int fd = harness_accept(&own, 0, &handle);
	peer_send(fd, "more than sixteen bytes", 23);
	harness_expect(&own, RB_EVENT_RECV);
	peer_reset(fd);
	assert_int_equal(harness_expect(&own, RB_EVENT_CLOSED).status, -ECONNRESET);
	harness_close(&own);
}

/* A slot is used again at once, its old name never. */
static void test_handles_are_not_reused(void **state)
{
	enum { ROUNDS = 200 };
	rb_handle seen[ROUNDS];
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		int fd = harness_accept(&harness, 0, &seen[i]);
		assert_int_not_equal(rb_handle_generation(seen[i]), 0);
		for (int j = 0; j < i; j++)
			assert_true(seen[j] != seen[i]);
		rb_context_close(harness.context, seen[i], RB_CLOSE_ABORT);
		harness_expect(&harness, RB_EVENT_CLOSED);
		close(fd);
		if (i > 0) {
			rb_context_recv_done(harness.context, seen[i - 1], 1);
			harness_expect_error(&harness, RB_COMMAND_RECV_DONE, -EBADF);
		}
	}
	assert_int_equal(rb_handle_index(seen[0]), rb_handle_index(seen[ROUNDS - 1]));
}

#define LIFE_TEST(name) cmocka_unit_test_setup_teardown(name, open_default, close_it)

/* Open connections, their queued data included, end with the context. */
static void test_destroy_resets(void **state)
{
	enum { TOTAL = 64 * 1024 * 1024 };
	(void)state;
	struct harness own;
	rb_handle handle;
	harness_open(&own, NULL);
	int idle = harness_accept(&own, 0, &handle), busy = harness_accept(&own, 0, &handle);
	int unanswered = peer_connect(own.address);
	harness_expect(&own, RB_EVENT_KNOCK);
	uint8_t *data = calloc(1, TOTAL);
	const struct rb_sg all = {.base = data, .length = TOTAL};
	rb_context_sendv(own.context, handle, &all, 1);
	harness_expect(&own, RB_EVENT_SENT); /* a part of it */
	harness_poll(&own);
	harness_close(&own);
	free(data);
	peer_expect_reset(idle);
	peer_expect_reset(unanswered);
	peer_discard(busy);
	assert_int_equal(errno, ECONNRESET);
	close(idle);
	close(busy);
	close(unanswered);
}

/* Also when the peer has already ended its side, and nothing is sent or received. */
static void test_reset_after_fin(void **state)
{
	(void)state;
	rb_handle handle;
	int fd = harness_accept(&harness, 0, &handle);
	shutdown(fd, SHUT_WR);
	assert_int_equal(harness_expect(&harness, RB_EVENT_RECV).flags, RB_RECV_FIN);
	harness_expect_quiet(&harness);
	peer_reset(fd);
	assert_int_equal(harness_expect(&harness, RB_EVENT_CLOSED).status, -ECONNRESET);
}

/* Commands of one turn that contradict each other must not touch a descriptor that is another connection's by then. */
static void test_abort_after_send_in_one_turn(void **state)
{
	enum { ROUNDS = 50 };
	(void)state;
	static const struct rb_sg hello = {.base = "hello", .length = 5};
	char text[5];
	for (int i = 0; i < ROUNDS; i++) {
		rb_handle first, second;
		int one = harness_accept(&harness, 1, &first), two = harness_accept(&harness, 2, &second);
		peer_send(one, "x", 1);
		assert_int_equal(harness_expect(&harness, RB_EVENT_RECV).cookie, 1);
		rb_context_recv_done(harness.context, first, 1);
		rb_context_sendv(harness.context, first, &hello, 1);
		rb_context_close(harness.context, first, RB_CLOSE_ABORT);
		rb_context_connect(harness.context, (struct rb_address){0}, harness.address, 3);
		rb_context_sendv(harness.context, second, &hello, 1);
		rb_handle connected = 0, knocked = 0;
		for (unsigned seen = 0; seen != 15;) {
			struct rb_event event = harness_next(&harness);
			switch (event.type) {
			case RB_EVENT_CLOSED:
				assert_int_equal(event.cookie, 1);
				assert_int_equal(event.status, -ECONNABORTED);
				seen |= 1;
				break;
			case RB_EVENT_CONNECTED:
				assert_int_equal(event.status, 0);
				connected = event.handle;
				seen |= 2;
				break;
			case RB_EVENT_KNOCK:
				knocked = event.handle;
				seen |= 4;
				break;
			default:
				assert_int_equal(event.type, RB_EVENT_SENT);
				seen |= event.cookie == 2 ? 8U : 0U;
				break;
			}
		}
		peer_receive(two, text, 5);
		assert_memory_equal(text, "hello", 5);
		rb_context_reject(harness.context, knocked);
		assert_int_equal(harness_expect(&harness, RB_EVENT_CLOSED).handle, connected);
		rb_context_close(harness.context, second, RB_CLOSE_ABORT);
		assert_int_equal(harness_expect(&harness, RB_EVENT_CLOSED).handle, second);
		close(one);
		close(two);
	}
}

int main(int argc, char **argv)
{
	int status = harness_choose(argc, argv);
	if (status != 0)
		return status;
	const struct CMUnitTest tests[] = {
		LIFE_TEST(test_echo_and_orderly_end),
		LIFE_TEST(test_data_and_fin_together),
		LIFE_TEST(test_connect),
		LIFE_TEST(test_connect_refused),
		LIFE_TEST(test_connect_checks),
		LIFE_TEST(test_half_close_by_peer),
		LIFE_TEST(test_half_close_by_us),
		LIFE_TEST(test_close_discards_and_is_orderly),
		LIFE_TEST(test_close_waits_with_a_deadline),
		LIFE_TEST(test_close_waits_for_a_slow_peer),
		LIFE_TEST(test_close_twice),
		LIFE_TEST(test_abort),
		LIFE_TEST(test_reject),
		LIFE_TEST(test_reset_by_peer),
		LIFE_TEST(test_reset_while_window_closed),
		LIFE_TEST(test_destroy_resets),
		LIFE_TEST(test_reset_after_fin),
		LIFE_TEST(test_abort_after_send_in_one_turn),
		LIFE_TEST(test_handles_are_not_reused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
