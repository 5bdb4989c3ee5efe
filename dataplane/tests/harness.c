// SPDX-License-Identifier: Apache-2.0
#include "tests/harness.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/backend.h"
#include "user/sockets.h"

enum { EXIT_SKIPPED = 77 };

const struct rb_backend *harness_backend;

int harness_choose(int argc, char **argv)
{
	struct rb_context *context;
	harness_backend = argc == 2 ? rb_backend_find(argv[1]) : NULL;
	if (harness_backend == NULL) {
		fprintf(stderr, "usage: %s BACK-END\n", argv[0]);
		return 2;
	}
	const struct rb_context_config config = {.backend = harness_backend, .connections_max = 1};
	int result = rb_context_create(&config, &context);
	if (result != 0) {
		fprintf(stderr, "skipped: the back-end %s is not to be had here: %s\n", argv[1], strerror(-result));
		return EXIT_SKIPPED;
	}
	rb_context_destroy(context);
	return 0;
}

void harness_open(struct harness *harness, const struct rb_context_config *config)
{
	struct rb_context_config filled = {.connections_max = 64};
	struct rb_listen_config listen = {.address = {.ip = HARNESS_LOOPBACK}};
	if (config != NULL)
		filled = *config;
	filled.backend = harness_backend;
	memset(harness, 0, sizeof(*harness));
	assert_int_equal(rb_context_create(&filled, &harness->context), 0);
	assert_int_equal(rb_listener_create(harness_backend, &listen, &harness->listener), 0);
	harness->address = rb_listener_address(harness->listener);
	assert_int_not_equal(harness->address.port, 0);
	assert_int_equal(rb_context_listen(harness->context, harness->listener, 1), 0);
}

void harness_close(struct harness *harness)
{
	rb_context_destroy(harness->context);
	rb_listener_destroy(harness->listener);
}

void harness_poll(struct harness *harness)
{
	const struct rb_event *events;
	int count = rb_context_run_io(harness->context, RB_POLL, &events);
	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		assert_in_range(harness->count, 0, HARNESS_QUEUE - 1);
		harness->queue[(harness->first + harness->count++) % HARNESS_QUEUE] = events[i];
	}
}

static void sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

struct rb_event harness_next(struct harness *harness)
{
	for (int i = 0; harness->count == 0 && i < HARNESS_DEADLINE_MS; i++) {
		harness_poll(harness);
		if (harness->count == 0)
			sleep_ms(1);
	}
	if (harness->count == 0)
		fail_msg("no event came before the deadline");
	struct rb_event event = harness->queue[harness->first];
	harness->first = (harness->first + 1) % HARNESS_QUEUE;
	harness->count--;
	return event;
}

struct rb_event harness_expect(struct harness *harness, enum rb_event_type type)
{
	struct rb_event event = harness_next(harness);
	assert_int_equal(event.type, type);
	return event;
}

void harness_expect_error(struct harness *harness, enum rb_command_type command, int status)
{
	struct rb_event event = harness_expect(harness, RB_EVENT_ERROR);
	assert_int_equal(event.error.command, command);
	assert_int_equal(event.status, status);
	assert_int_equal(event.error.count, 1);
}

void harness_expect_quiet(struct harness *harness)
{
	for (int i = 0; i < 30; i++) {
		harness_poll(harness);
		assert_int_equal(harness->count, 0);
		sleep_ms(1);
	}
}

int harness_accept(struct harness *harness, uint64_t cookie, rb_handle *handle)
{
	int fd = peer_connect(harness->address);
	struct rb_event knock = harness_expect(harness, RB_EVENT_KNOCK);
	assert_int_equal(knock.cookie, 1);
	assert_int_equal(knock.knock.remote.ip, HARNESS_LOOPBACK);
	assert_int_equal(knock.knock.remote.port, rb_socket_local(fd).port);
	assert_int_equal(rb_context_accept(harness->context, knock.handle, cookie), 0);
	harness_poll(harness);
	assert_int_equal(harness->count, 0);
	*handle = knock.handle;
	return fd;
}

/*
 * Some time after an io_uring was closed, the kernel interrupts the thread whose it was. (A connect() that is repeated
 * waits for the connection that the first one began.)
 */
static bool interrupted(ssize_t result)
{
	return result < 0 && errno == EINTR;
}

int peer_connect(struct rb_address address)
{
	struct timeval deadline = {.tv_sec = HARNESS_DEADLINE_MS / 1000};
	struct sockaddr_in name = rb_socket_address(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline)), 0);
	int result;
	do
		result = connect(fd, (const struct sockaddr *)&name, sizeof(name));
	while (interrupted(result));
	assert_int_equal(result, 0);
	return fd;
}

void peer_send(int fd, const void *data, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t sent = send(fd, (const char *)data + done, length - done, MSG_NOSIGNAL);
		assert_true(sent > 0 || interrupted(sent));
		done += sent > 0 ? (size_t)sent : 0;
	}
}

ssize_t peer_receive_some(int fd, void *data, size_t length)
{
	ssize_t got;
	do
		got = recv(fd, data, length, 0);
	while (interrupted(got));
	return got;
}

void peer_receive(int fd, void *data, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t got = peer_receive_some(fd, (char *)data + done, length - done);
		assert_true(got > 0);
		done += (size_t)got;
	}
}

void peer_expect_end(int fd)
{
	char byte;
	assert_int_equal(peer_receive_some(fd, &byte, 1), 0);
}

void peer_discard(int fd)
{
	uint8_t block[65536];
	while (peer_receive_some(fd, block, sizeof(block)) > 0)
		;
}

void peer_expect_reset(int fd)
{
	char byte;
	assert_int_equal(peer_receive_some(fd, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
}

void peer_reset(int fd)
{
	uint64_t uncounted[RB_SYSCALLS_MAX] = {0};
	rb_socket_abort(fd, uncounted);
}

/* 65521 is prime, so the pattern does not repeat with any power of two. */
static uint8_t pattern_at(uint64_t offset)
{
	uint64_t x = offset % 65521;
	return (uint8_t)(x ^ x >> 8);
}

void pattern_fill(uint8_t *data, size_t length, uint64_t offset)
{
	for (size_t i = 0; i < length; i++)
		data[i] = pattern_at(offset + i);
}

void pattern_check(const uint8_t *data, size_t length, uint64_t offset)
{
	for (size_t i = 0; i < length; i++) {
		if (data[i] != pattern_at(offset + i))
			fail_msg("byte %zu is wrong", (size_t)offset + i);
	}
}
