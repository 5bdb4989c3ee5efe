// SPDX-License-Identifier: Apache-2.0
/* A store with one session on it and a clock that moves only by hand; no sockets. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the above and setjmp.h */
#include <setjmp.h>

#include <cmocka.h>

#include "apps/kv/session.h"

enum { TALK_REPLY_MAX = 1 << 22 };

#define TALK_UNIX_S UINT64_C(1700000000) /* when the store's clock is KV_START_S */

struct talk {
	struct kv_shared shared;
	struct kv_worker worker;
	struct kv_session session;
	uint8_t *reply; /* what was sent since the last talk_begin() */
	size_t reply_bytes;
};

/* `config` NULL: 16 MiB, items up to 1 MiB, one thread. */
void talk_open(struct talk *talk, const struct kv_store_config *config);
void talk_close(struct talk *talk);

/* Forgets the connection and what it has said, and begins a new one. */
void talk_begin(struct talk *talk);

/*
 * Hands over all of the input in pieces of so many bytes (0: in one), each in memory of its own size; what is not used
 * comes again with the next. Whenever output is due it is taken as sent. Returns how many bytes were left over.
 */
size_t talk_input(struct talk *talk, const void *data, size_t length, size_t piece);

/* Takes all output. */
void talk_flush(struct talk *talk);

/* A new connection says `input`, whole; the reply must be `expected`. */
void talk_expect(struct talk *talk, const char *input, const char *expected);
