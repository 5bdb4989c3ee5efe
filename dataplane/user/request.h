// SPDX-License-Identifier: Apache-2.0
/*
 * Request handlers: the application as a function per request. The library cuts the byte stream into
 * requests with `frame` and calls `handle` once for each; replies leave in request order. A handler sees
 * one request and one reply and nothing of the connection, so that a stack may run it on another core, or
 * preempt it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/loop.h"

struct rb_reply;

struct rb_service {
	/*
	 * Length of the first request in `data` (which may be longer than `length`), 0 if more bytes are needed
	 * to tell, or -errno if this is not a request: the connection is reset. Must be at most request_max.
	 */
	ssize_t (*frame)(const uint8_t *data, size_t length);

	/* One whole request, readable until return. `user` is rb_service_config.user. */
	void (*handle)(const uint8_t *request, size_t length, struct rb_reply *reply, void *user);

	size_t request_max; /* bytes; longer ones reset the connection */
	size_t reply_max;   /* upper bound of one reply: handlers are held back until that much output fits */
};

/* Appends to the reply; copied. The sum of a handler's writes must be at most reply_max. */
void rb_reply_write(struct rb_reply *reply, const void *data, size_t length);

/* Closes the connection in an orderly way after this reply. */
void rb_reply_close(struct rb_reply *reply);

struct rb_service_stats {
	uint64_t requests; /* handled */
	uint64_t refused;  /* connections reset because of framing */
};

struct rb_service_config {
	const struct rb_service *service; /* borrowed */
	struct rb_context_config context;
	void *user;			     /* for handle(); one per loop, so it needs no locks */
	void (*woken)(struct rb_loop *loop); /* as in rb_loop_config */
};

struct rb_server;

/* A loop that serves requests on every listener attached to it. Returns 0 or -errno. The caller owns *server. */
int rb_server_create(const struct rb_service_config *config, struct rb_server **server);
void rb_server_destroy(struct rb_server *server);

/* Attaches a listener; before the loop runs. Returns 0 or -errno. */
int rb_server_listen(struct rb_server *server, struct rb_listener *listener);

/* The loop to run and to stop. rb_loop_user() of it is rb_service_config.user. */
struct rb_loop *rb_server_loop(struct rb_server *server);
const struct rb_service_stats *rb_server_stats(const struct rb_server *server);
