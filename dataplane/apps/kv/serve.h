// SPDX-License-Identifier: Apache-2.0
/*
 * The connections of one thread over the batch API: received bytes are read where they are, and given back with the
 * replies to them, in one SENDV of a connection in a turn: the replies to the first event of the turn, if they are short
 * and nothing else is due, else all. What comes behind a short one waits for the next turn.
 *
 * A connection whose output is full is not read from: its input is kept aside and not given back, so that the window
 * closes, until some output was sent.
 */
#pragma once

#include "apps/kv/worker.h"
#include "user/context.h"

struct kv_serve;

/*
 * Makes a context as configured, and serves what is accepted from its listeners with `worker` (borrowed), whose time it keeps.
 * Returns 0 or -errno.
 */
int kv_serve_create(const struct rb_context_config *config, struct kv_worker *worker, struct kv_serve **serve);

/* Aborts all connections. NULL is allowed. */
void kv_serve_destroy(struct kv_serve *serve);

/* One turn: waits for events and handles them. Returns 0 or -errno of a back-end that is broken. */
int kv_serve_turn(struct kv_serve *serve, enum rb_wait wait);

struct rb_context *kv_serve_context(const struct kv_serve *serve);
