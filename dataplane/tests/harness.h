// SPDX-License-Identifier: Apache-2.0
/*
 * For tests over loopback sockets: a context whose events are taken one by one in order, and peers that are
 * plain blocking sockets. Every wait has a deadline; a missed one fails the test.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the above and setjmp.h */
#include <setjmp.h>
#include <sys/types.h>

#include <cmocka.h>

#include "user/context.h"

enum { HARNESS_DEADLINE_MS = 5000, HARNESS_QUEUE = 4096 };

#define HARNESS_LOOPBACK 0x7f000001U

struct harness {
	struct rb_context *context;
	struct rb_listener *listener;
	struct rb_address address; /* of the listener */
	struct rb_event queue[HARNESS_QUEUE];
	unsigned first, count;
};

/*
 * The back-end under test, for contexts and listeners of the test's own as well; NULL is the default one.
 * harness_choose() sets it to the one that the command line names. Where this machine does not permit that one, it says
 * why, and gives the exit status that tells meson so; else 0, or 2 for what is no name.
 */
extern const struct rb_backend *harness_backend;
int harness_choose(int argc, char **argv);

/* A context with a listener on a free loopback port; `config` NULL: all defaults. */
void harness_open(struct harness *harness, const struct rb_context_config *config);
void harness_close(struct harness *harness);

/* One run_io(RB_POLL); its events are queued. */
void harness_poll(struct harness *harness);

/* The next event in order; waits for it. */
struct rb_event harness_next(struct harness *harness);

/* The next event, which must be of this type. */
struct rb_event harness_expect(struct harness *harness, enum rb_event_type type);

/* The next event must be an error of this command with this status. */
void harness_expect_error(struct harness *harness, enum rb_command_type command, int status);

/* No event comes within about 30 ms. */
void harness_expect_quiet(struct harness *harness);

/* Connects a peer and accepts it with `cookie`; returns the peer and sets the handle. */
int harness_accept(struct harness *harness, uint64_t cookie, rb_handle *handle);

/* Peers: blocking sockets with a deadline. */
int peer_connect(struct rb_address address);
void peer_send(int fd, const void *data, size_t length);
void peer_receive(int fd, void *data, size_t length);	      /* exactly */
ssize_t peer_receive_some(int fd, void *data, size_t length); /* like recv() */
void peer_discard(int fd);    /* all that comes, up to the end or an error, which is in errno */
void peer_expect_end(int fd); /* orderly */
void peer_expect_reset(int fd);
void peer_reset(int fd); /* closes with RST */

/* Bytes that differ at every position in any block up to 64 KiB. */
void pattern_fill(uint8_t *data, size_t length, uint64_t offset);
void pattern_check(const uint8_t *data, size_t length, uint64_t offset);
