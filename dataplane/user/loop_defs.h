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
	SEGMENTS_CACHED_MAX = 1024,
	QUEUED_MAX = 512 * 1024, /* bytes of output the stack holds at a time, per stream: it need not take more */
};

/*
 * Bytes to send, in order: [0, sent) released, [sent, queued) with the stack, [queued, end) to be handed over. They lie
 * in a chunk, or are the application's own (rb_stream_send).
 */
struct segment {
	struct segment *next;
	const uint8_t *base;
	uint64_t sent;
	uint64_t queued;
	uint64_t end;
	struct chunk *chunk;	       /* NULL: the application's */
	void (*release)(void *cookie); /* when all of it is released, or NULL */
	void *cookie;
};

/* Memory for copied bytes. */
struct chunk {
	struct chunk *next; /* in the cache */
	uint32_t used;
	uint32_t segments;    /* that lie in it */
	struct segment first; /* of these, which therefore needs no memory of its own */
	uint8_t data[];
};

#define CHUNK_CAPACITY ((uint32_t)(CHUNK_BYTES - sizeof(struct chunk)))

struct output {
	struct segment *head; /* oldest */
	struct segment *tail;
	struct chunk *open;  /* the newest chunk, whose free end takes further bytes, or NULL */
	size_t bytes;	     /* not yet released */
	size_t copied;	     /* of these, in chunks */
	size_t unqueued;     /* of these, not yet handed over */
	uint32_t lent;	     /* segments of the application's memory */
	uint32_t last_count; /* pieces of the last SENDV, which may be refused */
	/* lengths of the pieces the stack holds: a ring */
	uint32_t piece_first;
	uint32_t piece_count;
	uint32_t piece[STREAM_PIECES_MAX];
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
	struct rb_list node;  /* in rb_loop.streams, or in rb_loop.ended */
	struct rb_list dirty; /* in rb_loop.dirty while commands are due, or in .later or .refused */
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
	int reason;	      /* replaces the status of `closed` if not 0 */
	size_t unreturned;    /* received bytes not yet given back */
	size_t credit;	      /* of these, to be given back in this turn */
	uint32_t last_credit; /* given back with the last SENDV, which may be refused */
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
	struct rb_list later;	/* dirty in the next turn */
	struct rb_list refused; /* dirty when `retry` fires: the stack had no room for their output */
	struct rb_timer retry;
	struct rb_list ended; /* their memory may be with the stack until the next run_io() */
	struct rb_sg *sg;     /* of this turn's SENDV commands */
	uint32_t sg_count;
	struct chunk *chunks; /* cache */
	uint32_t chunks_count;
	struct segment *segments; /* cache */
	uint32_t segments_count;
	bool destroying;
	atomic_bool stop;
	atomic_bool wake;
};

/* ---- stream.c ---- */

/* Returns NULL without memory. */
struct rb_stream *stream_create(struct rb_loop *loop, enum stream_state state);

/* Nothing more will come of it: it is freed when the stack has let go of its memory. */
void stream_retire(struct rb_stream *stream);

/* Frees a retired one. */
void stream_free(struct rb_stream *stream);

/* Puts it on the dirty list. */
void stream_touch(struct rb_stream *stream);

/* loop.c: the stack had no room for its output, which is tried again a little later. */
void loop_retry(struct rb_loop *loop, struct rb_stream *stream);

/* Issues the commands that are due; needs STREAM_COMMANDS_MAX free slots. May retire the stream. */
void stream_issue(struct rb_stream *stream);

void stream_on_connected(struct rb_stream *stream, const struct rb_event *event);
void stream_on_recv(struct rb_stream *stream, const struct rb_event *event);
void stream_on_sent(struct rb_stream *stream, uint64_t bytes);
/* Calls `closed`. The caller retires the stream. */
void stream_on_closed(struct rb_stream *stream, int status);
void stream_on_error(struct rb_stream *stream, const struct rb_event *event);

/* ---- output.c ---- */

/* All or nothing: 0 or -ENOMEM. */
int output_append(struct rb_loop *loop, struct output *output, const void *data, size_t length);

/* The same without a copy. `release` may be NULL. */
int output_lend(struct rb_loop *loop, struct output *output, const struct rb_sg *pieces, uint32_t count,
		void (*release)(void *cookie), void *cookie);

/* The stack has refused the last SENDV: its bytes are unqueued again. */
void output_unqueue(struct output *output);

/* Describes unqueued bytes as pieces in `sg`, as many as the limit allows, and counts them as queued. */
uint32_t output_queue(struct output *output, struct rb_sg *sg);

/* The stack has released the oldest bytes. */
void output_release(struct rb_loop *loop, struct output *output, uint64_t bytes);

/* Drops everything. The stack must have let go of it. */
void output_free(struct rb_loop *loop, struct output *output);

/* Frees the caches. */
void output_trim(struct rb_loop *loop);
