// SPDX-License-Identifier: Apache-2.0
/* Request handlers, on a toy protocol: one length byte, then that many bytes; the reply has them reversed. */
#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apps/spin_protocol.h"
#include "user/request.h"

enum { REPLY_MAX = 256 };

static struct rb_server *server;
static struct rb_listener *listener;
static struct rb_address address;
static unsigned handled;

static ssize_t frame(const uint8_t *data, size_t length)
{
	assert_true(length > 0);
	return data[0] == 0 ? -EPROTO : data[0] + 1;
}

static void handle(const uint8_t *request, size_t length, struct rb_reply *reply, void *user)
{
	uint8_t reversed[256];
	assert_ptr_equal(user, &handled);
	assert_int_equal(length, request[0] + 1);
	for (size_t i = 1; i < length; i++)
		reversed[length - 1 - i] = request[i];
	rb_reply_write(reply, request, 1);
	rb_reply_write(reply, reversed, length - 1);
	if (request[1] == 'Q')
		rb_reply_close(reply);
	handled++;
}

static const struct rb_service service = {.frame = frame, .handle = handle, .request_max = 201, .reply_max = REPLY_MAX};

static int open_server(void **state)
{
	(void)state;
	struct rb_service_config config = {.service = &service, .context = {.connections_max = 8}, .user = &handled};
	struct rb_listen_config listen = {.address = {.ip = HARNESS_LOOPBACK}};
	handled = 0;
	assert_int_equal(rb_server_create(&config, &server), 0);
	assert_int_equal(rb_listener_create(NULL, &listen, &listener), 0);
	assert_int_equal(rb_server_listen(server, listener), 0);
	assert_ptr_equal(rb_loop_user(rb_server_loop(server)), &handled);
	address = rb_listener_address(listener);
	return 0;
}

static int close_server(void **state)
{
	(void)state;
	rb_server_destroy(server);
	rb_listener_destroy(listener);
	return 0;
}

static void turn(void)
{
	assert_int_equal(rb_loop_turn(rb_server_loop(server), RB_POLL), 0);
}

static void turn_until_handled(unsigned count)
{
	uint64_t deadline = rb_loop_now(rb_server_loop(server)) + HARNESS_DEADLINE_MS * RB_NS_PER_MS;
	while (handled < count) {
		assert_true(rb_loop_now(rb_server_loop(server)) < deadline);
		turn();
	}
	turn(); /* the replies leave */
}

static void test_byte_by_byte(void **state)
{
	(void)state;
	static const char request[] = "\x05"
				      "hello";
	char reply[6];
	int fd = peer_connect(address);
	for (int i = 0; i < 6; i++) {
		peer_send(fd, request + i, 1);
		for (int j = 0; j < 20; j++)
			turn();
		assert_int_equal(handled, i == 5);
	}
	peer_receive(fd, reply, 6);
	assert_memory_equal(reply,
			    "\x05"
			    "olleh",
			    6);
	close(fd);
}

/* Several requests and a half in one segment: replies in order. */
static void test_pipelined(void **state)
{
	(void)state;
	char reply[10];
	int fd = peer_connect(address);
	peer_send(fd,
		  "\x02"
		  "ab"
		  "\x03"
		  "cde"
		  "\x02"
		  "f",
		  9);
	turn_until_handled(2);
	assert_int_equal(handled, 2);
	peer_send(fd, "g", 1);
	turn_until_handled(3);
	peer_receive(fd, reply, 10);
	assert_memory_equal(reply,
			    "\x02"
			    "ba"
			    "\x03"
			    "edc"
			    "\x02"
			    "gf",
			    10);
	assert_int_equal(rb_server_stats(server)->requests, 3);
	close(fd);
}

/* A client that sends and does not read: handlers are held back, nothing is lost. */
static void test_handlers_wait_for_output_space(void **state)
{
	enum { REQUESTS = 60000, SIZE = 201 };
	(void)state;
	uint8_t request[SIZE], reply[SIZE];
	size_t put = 0, total = (size_t)REQUESTS * SIZE, got = 0;
	memset(request, 'x', SIZE);
	request[0] = SIZE - 1;
	int fd = peer_connect(address);
	unsigned idle = 0;
	while (got < total) {
		size_t offset = put % SIZE;
		ssize_t sent = put < total ? send(fd, request + offset, SIZE - offset, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
		put += sent > 0 ? (size_t)sent : 0;
		idle = sent > 0 ? 0 : idle + 1;
		turn();
		if (idle < 100 && put < total)
			continue; /* first fill everything up */
		ssize_t part = recv(fd, reply, SIZE - got % SIZE, MSG_DONTWAIT);
		got += part > 0 ? (size_t)part : 0;
	}
	assert_int_equal(handled, REQUESTS);
	close(fd);
}

static void expect_refused(const char *bytes, size_t length)
{
	int fd = peer_connect(address);
	uint64_t refused = rb_server_stats(server)->refused;
	peer_send(fd, bytes, length);
	for (int i = 0; rb_server_stats(server)->refused == refused && i < 100000; i++)
		turn();
	turn();
	assert_int_equal(rb_server_stats(server)->refused, refused + 1);
	peer_expect_reset(fd);
	close(fd);
}

static void test_bad_frames(void **state)
{
	(void)state;
	expect_refused("\0", 1); /* not a request */
	expect_refused("\xff"
		       "x",
		       2); /* longer than request_max */
	assert_int_equal(handled, 0);
}

static void test_close_after_reply(void **state)
{
	(void)state;
	char reply[3];
	int fd = peer_connect(address);
	peer_send(fd,
		  "\x02"
		  "Qx"
		  "\x02"
		  "no",
		  6); /* what follows a close is not served */
	turn_until_handled(1);
	turn(); /* and the end, once it is known that they have */
	peer_receive(fd, reply, 3);
	peer_expect_end(fd);
	close(fd);
	for (int i = 0; i < 100; i++)
		turn();
	assert_int_equal(handled, 1);
	assert_int_equal(rb_loop_streams(rb_server_loop(server)), 0);
}

static void test_spin_frames(void **state)
{
	(void)state;
	uint8_t header[RB_SPIN_MESSAGE_MIN];
	rb_spin_encode(header, 64, 12345);
	assert_int_equal(rb_spin_frame(header, sizeof(header)), 64);
	assert_int_equal(rb_spin_frame(header, sizeof(header) - 1), 0);
	assert_int_equal(rb_spin_service_ns(header), 12345);
	static const uint8_t wire[] = {64, 0, 0, 0, 'S', 'P', 'I', 'N', 0x39, 0x30, 0, 0, 0, 0, 0, 0};
	assert_memory_equal(header, wire, sizeof(wire));
	rb_spin_encode(header, RB_SPIN_MESSAGE_MIN - 1, 0);
	assert_int_equal(rb_spin_frame(header, sizeof(header)), -EPROTO);
	rb_spin_encode(header, RB_SPIN_MESSAGE_MAX + 1, 0);
	assert_int_equal(rb_spin_frame(header, sizeof(header)), -EPROTO);
	rb_spin_encode(header, 64, RB_SPIN_SERVICE_MAX_NS + 1);
	assert_int_equal(rb_spin_frame(header, sizeof(header)), -EPROTO);
	rb_spin_encode(header, 64, RB_SPIN_SERVICE_MAX_NS);
	assert_int_equal(rb_spin_frame(header, sizeof(header)), 64);
	header[4] ^= 1;
	assert_int_equal(rb_spin_frame(header, sizeof(header)), -EPROTO);
}

#define REQUEST_TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REQUEST_TEST(test_byte_by_byte),
		REQUEST_TEST(test_pipelined),
		REQUEST_TEST(test_handlers_wait_for_output_space),
		REQUEST_TEST(test_bad_frames),
		REQUEST_TEST(test_close_after_reply),
		cmocka_unit_test(test_spin_frames),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
