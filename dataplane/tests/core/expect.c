// SPDX-License-Identifier: Apache-2.0
#include "tests/core/expect.h"

#include <string.h>

struct pair pair;

int expect_setup(void **state)
{
	(void)state;
	pair_open(&pair, NULL);
	return 0;
}

int expect_teardown(void **state)
{
	(void)state;
	if (pair.memory != NULL)
		pair_abandon(&pair);
	return 0;
}

void expect_end(void)
{
	expect_nothing();
	pair_close(&pair);
}

void expect_again(const struct pair_config *config)
{
	assert_null(pair.memory);
	pair_open(&pair, config);
}

static void differ(const char *file, int line, const char *what, uint64_t is, uint64_t should)
{
	if (is == should)
		return;
	print_error("%s is %lld (0x%llx), not %lld (0x%llx)\n", what, (long long)is, (unsigned long long)is,
		    (long long)should, (unsigned long long)should);
	_fail(file, line);
}

struct rb_event expect_of(const char *file, int line, enum rb_event_type type, rb_handle handle, uint64_t cookie)
{
	const struct rb_event *event = pair_next(&pair);
	if (event == NULL) {
		print_error("no event of type %u\n", (unsigned)type);
		_fail(file, line);
		return (struct rb_event){0};
	}
	differ(file, line, "type", event->type, type);
	if (handle != 0)
		differ(file, line, "handle", event->handle, handle);
	differ(file, line, "cookie", event->cookie, cookie);
	return *event;
}

void expect_recv_of(const char *file, int line, rb_handle handle, uint64_t cookie, uint64_t from, uint64_t to,
		    unsigned flags)
{
	const struct rb_event event = expect_of(file, line, RB_EVENT_RECV, handle, cookie);
	const uint8_t *bytes = event.recv.data;
	differ(file, line, "flags", event.flags, flags);
	differ(file, line, "status", (uint64_t)event.status, 0);
	differ(file, line, "length", event.recv.length, to - from);
	if (from == to)
		differ(file, line, "data", (uintptr_t)bytes, 0);
	for (uint64_t i = from; i < to; i++)
		differ(file, line, "a byte", bytes[i - from], pair_byte(i));
}

void expect_sent_of(const char *file, int line, rb_handle handle, uint64_t cookie, uint64_t bytes)
{
	const struct rb_event event = expect_of(file, line, RB_EVENT_SENT, handle, cookie);
	differ(file, line, "sent", event.sent.bytes, bytes);
	differ(file, line, "status", (uint64_t)event.status, 0);
}

void expect_closed_of(const char *file, int line, rb_handle handle, uint64_t cookie, int status)
{
	const struct rb_event event = expect_of(file, line, RB_EVENT_CLOSED, handle, cookie);
	differ(file, line, "status", (uint64_t)event.status, (uint64_t)status);
}

void expect_error_of(const char *file, int line, unsigned command, rb_handle handle, uint64_t cookie, int status)
{
	const struct rb_event event = expect_of(file, line, RB_EVENT_ERROR, 0, cookie);
	differ(file, line, "handle", event.handle, handle);
	differ(file, line, "status", (uint64_t)event.status, (uint64_t)status);
	differ(file, line, "command", event.error.command, command);
	differ(file, line, "count", event.error.count, 1);
}

void expect_nothing_at(const char *file, int line)
{
	const struct rb_event *event = pair_next(&pair);
	if (event == NULL)
		return;
	print_error("an event of type %u, status %d\n", event->type, event->status);
	_fail(file, line);
}

rb_handle expect_accepted(uint64_t cookie, unsigned *peer)
{
	*peer = pair_peer_connect(&pair, PAIR_PORT);
	pair_settle(&pair);
	const rb_handle handle = expect(RB_EVENT_KNOCK, 0, PAIR_COOKIE).handle;
	pair_accept(&pair, handle, cookie);
	pair_settle(&pair);
	expect_nothing();
	assert_true(pair.peer[*peer].connected);
	return handle;
}

rb_handle expect_connected(uint64_t cookie, unsigned *peer)
{
	pair_connect(&pair, 0, PAIR_PEER_PORT, cookie);
	*peer = pair.peer_count % PAIR_CONNECTIONS;
	pair_settle(&pair);
	const struct rb_event event = expect(RB_EVENT_CONNECTED, 0, cookie);
	assert_int_equal(event.status, 0);
	expect_nothing();
	assert_true(pair.peer[*peer].connected);
	return event.handle;
}

void expect_peer_has(unsigned peer, uint64_t at, uint64_t from, uint64_t to)
{
	const struct pair_connection *connection = &pair.peer[peer];
	assert_int_equal(connection->received, at + to - from);
	for (uint64_t i = from; i < to; i++)
		assert_int_equal(connection->bytes[at + i - from], pair_byte(i));
}
