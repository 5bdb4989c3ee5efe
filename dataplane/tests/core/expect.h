// SPDX-License-Identifier: Apache-2.0
/* What the tests of a context share: the pair, and what its application is told. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the above and setjmp.h */
#include <setjmp.h>

#include <cmocka.h>

#include "tests/core/pair.h"

extern struct pair pair;

/* For cmocka: opens the default pair; and frees what a test that failed has left. A test that is through says so. */
int expect_setup(void **state);
int expect_teardown(void **state);
void expect_end(void);

/* Another pair in the same test; the one before must be closed. */
void expect_again(const struct pair_config *config);

/* The next event must be of that type, and of that connection where there is one. */
struct rb_event expect_of(const char *file, int line, enum rb_event_type type, rb_handle handle, uint64_t cookie);
#define expect(type, handle, cookie) expect_of(__FILE__, __LINE__, type, handle, cookie)

/* RECV of the peer's bytes from..to. */
void expect_recv_of(const char *file, int line, rb_handle handle, uint64_t cookie, uint64_t from, uint64_t to,
		    unsigned flags);
#define expect_recv(handle, cookie, from, to, flags) expect_recv_of(__FILE__, __LINE__, handle, cookie, from, to, flags)

void expect_sent_of(const char *file, int line, rb_handle handle, uint64_t cookie, uint64_t bytes);
#define expect_sent(handle, cookie, bytes) expect_sent_of(__FILE__, __LINE__, handle, cookie, bytes)

void expect_closed_of(const char *file, int line, rb_handle handle, uint64_t cookie, int status);
#define expect_closed(handle, cookie, status) expect_closed_of(__FILE__, __LINE__, handle, cookie, status)

void expect_error_of(const char *file, int line, unsigned command, rb_handle handle, uint64_t cookie, int status);
#define expect_error(command, handle, cookie, status) \
	expect_error_of(__FILE__, __LINE__, command, handle, cookie, status)

/* No event is left. */
void expect_nothing_at(const char *file, int line);
#define expect_nothing() expect_nothing_at(__FILE__, __LINE__)

/* A connection of the peer's, accepted with that cookie; or of the application's. The peer's number of it is `*peer`. */
rb_handle expect_accepted(uint64_t cookie, unsigned *peer);
rb_handle expect_connected(uint64_t cookie, unsigned *peer);

/* The peer has received the application's bytes from..to at that place of its stream, and no more. */
void expect_peer_has(unsigned peer, uint64_t at, uint64_t from, uint64_t to);
