// SPDX-License-Identifier: Apache-2.0
/* Private to the event loop: what loop.c (turns, timers, listeners) and stream.c (one connection) share. */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "user/loop.h"

enum {
	STREAM_PIECES_MAX = 16,	 /* pieces of output the stack holds at a time, per stream */
	STREAM_COMMANDS_MAX = 4, /* commands one stream may need in one turn */
	CHUNK_BYTES = 16384,	 /* of output memory, with its header */
	CHUNKS_CACHED_MAX = 1024,
};

/* Output memory: [0, sent) released, [sent, queued) with the stack, [queued, end) to be handed over. */
struct chunk {
	struct chunk *next;
	uint32_t sent;
	uint32_t queued;
	uint32_t end;
	uint8_t data[];
};

#define CHUNK_CAPACITY ((uint32_t)(CHUNK_BYTES - sizeof(struct chunk)))

struct output {
	struct chunk *head; /* oldest */
	struct chunk *tail;
	size_t bytes;	 /* not yet released */
	size_t unqueued; /* of these, not yet handed over */
	/* lengths of the pieces the stack holds: a ring */
	uint32_t piece[STREAM_PIECES_MAX];
	uint32_t piece_first;
	uint32_t piece_count;
};

/* Input that `data` has not consumed: [start, end) of memory. */
struct input {
	uint8_t *memory;
	size_t capacity;
	size_t start;
	size_t end;
};

enum stream_state {
	STREAM_CONNECTING,
	STREAM_KNOCKED, /* accept or reject is due */
	STREAM_OPEN,
};

struct rb_stream {
	struct rb_list node;  /* in rb_loop.streams */
	struct rb_list dirty; /* in rb_loop.dirty while commands are due */
	struct rb_loop *loop;
	const struct rb_stream_ops *ops;
	void *user;
	rb_handle handle;
	struct rb_address local;
	struct rb_address remote;
	uint8_t state; /* enum stream_state */
	bool wants_connect;
	bool rejected;
	bool wants_shutdown, shut_down;
	bool wants_close, closed;
	bool wants_abort;
	bool fin_received;
	int reason;	   /* replaces the status of `closed` if not 0 */
	size_t unreturned; /* received bytes not yet given back */
	size_t credit;	   /* of these, to be given back in this turn */
	struct input input;
	struct output output;
};

struct rb_loop {
	struct rb_loop_config config;
	struct rb_context *context;
	struct rb_timers timers;
	uint64_t armed_ns; /* the deadline the context has */
	struct rb_list streams;
	size_t streams_count;
	struct rb_list dirty;
	struct rb_sg *sg; /* of this turn's SENDV commands */
	uint32_t sg_count;
	struct chunk *chunks; /* cache */
	uint32_t chunks_count;
	bool destroying;
	atomic_bool stop;
	atomic_bool wake;
};

/* ---- stream.c ---- */

/* Returns NULL without memory. */
struct rb_stream *stream_create(struct rb_loop *loop, enum stream_state state);
void stream_free(struct rb_stream *stream);

/* Puts it on the dirty list. */
void stream_touch(struct rb_stream *stream);

/* Issues the commands that are due; needs STREAM_COMMANDS_MAX free slots. May free the stream. */
void stream_issue(struct rb_stream *stream);

void stream_on_connected(struct rb_stream *stream, const struct rb_event *event);
void stream_on_recv(struct rb_stream *stream, const struct rb_event *event);
void stream_on_sent(struct rb_stream *stream, const struct rb_event *event);
/* Calls `closed`. The caller frees the stream. */
void stream_on_closed(struct rb_stream *stream, int status);
void stream_on_error(struct rb_stream *stream, const struct rb_event *event);

/* ---- output.c ---- */

/* All or nothing: 0 or -ENOMEM. */
int output_append(struct rb_loop *loop, struct output *output, const void *data, size_t length);

/* Describes unqueued bytes as pieces in `sg`, as many as the limit allows, and counts them as queued. */
uint32_t output_queue(struct output *output, struct rb_sg *sg);

/* The stack has released the oldest bytes. */
void output_release(struct rb_loop *loop, struct output *output, uint64_t bytes);
void output_free(struct rb_loop *loop, struct output *output);
