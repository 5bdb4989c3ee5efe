// SPDX-License-Identifier: Apache-2.0
/*
 * Event loop over the batch API: callbacks, timers and buffered streams. One loop per thread; every function here is
 * called on that thread, except rb_loop_stop() and rb_loop_wake().
 *
 * A stream owns one connection. Bytes to write are copied (rb_stream_write), or lent (rb_stream_send), and sent once
 * per turn (one SENDV per stream and turn); received bytes are offered to `data` until it has consumed them. Callbacks
 * may write, close and abort any stream and arm any timer; they run one after another, never nested.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/context.h"
#include "user/timer.h"

struct rb_loop;
struct rb_stream;

struct rb_stream_ops {
	/*
	 * The connection is up: called once for an outgoing connection before any data. NULL: not interested.
	 */
	void (*connected)(struct rb_stream *stream);

	/*
	 * Received bytes, oldest first, contiguous. Returns how many were consumed (0..length). The rest is
	 * offered again, with what has come meanwhile, when more bytes arrive or after queued output was sent.
	 * `data` is readable until return.
	 */
	size_t (*data)(struct rb_stream *stream, const uint8_t *data, size_t length);

	/*
	 * The peer sends no more (half-close); what `data` left unconsumed stays readable through
	 * later offers. NULL: close the stream once the unconsumed input can make no more progress.
	 */
	void (*finished)(struct rb_stream *stream);

	/* Queued output has shrunk (see rb_stream_backlog). NULL: not interested. */
	void (*sent)(struct rb_stream *stream);

	/*
	 * Last callback, then the stream is freed. status: 0 after an orderly close, else -errno:
	 * -ECONNREFUSED and others when connecting failed (`connected` was never called), -ECONNRESET,
	 * -ETIMEDOUT, -EMSGSIZE (input limit), …
	 */
	void (*closed)(struct rb_stream *stream, int status);
};

struct rb_loop_config {
	struct rb_context_config context;
	uint32_t stream_input_max;  /* unconsumed bytes kept per stream; 0: 65536 */
	uint32_t stream_output_max; /* unsent bytes kept (copied) per stream; 0: 262144 */

	/*
	 * An incoming connection: set its operations and user pointer with rb_stream_attach() and return true,
	 * or return false to reject it. `cookie` is the one given to rb_loop_listen(). NULL: reject all.
	 */
	bool (*accept)(struct rb_loop *loop, struct rb_stream *stream, uint64_t cookie);

	/* A listener or a command failed (negative errno); NULL: logged, at most once per second. */
	void (*error)(struct rb_loop *loop, int status);

	/* Runs in the loop's thread after each rb_loop_wake(); several wakes may be merged. */
	void (*woken)(struct rb_loop *loop);

	void *user; /* rb_loop_user() */
};

/* Returns 0 or -errno. The caller owns *loop. */
int rb_loop_create(const struct rb_loop_config *config, struct rb_loop **loop);

/* Aborts all streams (their `closed` gets -ECANCELED) and frees the loop. NULL is allowed. */
void rb_loop_destroy(struct rb_loop *loop);

/* Runs turns until rb_loop_stop(). Returns 0 or -errno from the back-end. */
int rb_loop_run(struct rb_loop *loop);

/* One turn: due timers, commands, wait (only with RB_WAIT and nothing due), events. Returns 0 or -errno. */
int rb_loop_turn(struct rb_loop *loop, enum rb_wait wait);

/* Makes rb_loop_run(), running or not yet begun, return after the current turn. Any thread; async-signal-safe. */
void rb_loop_stop(struct rb_loop *loop);

/* Ends a wait and calls `woken`. Any thread; async-signal-safe. */
void rb_loop_wake(struct rb_loop *loop);

uint64_t rb_loop_now(const struct rb_loop *loop); /* reads the clock */
void *rb_loop_user(const struct rb_loop *loop);
struct rb_context *rb_loop_context(const struct rb_loop *loop);
size_t rb_loop_streams(const struct rb_loop *loop); /* open, connecting or closing */

/* Attaches a listener (see rb_context_listen). */
int rb_loop_listen(struct rb_loop *loop, struct rb_listener *listener, uint64_t cookie);

/* Timers on the loop's clock; see user/timer.h. The timer must stay valid while armed. */
void rb_loop_arm(struct rb_loop *loop, struct rb_timer *timer, uint64_t deadline_ns);
void rb_loop_cancel(struct rb_loop *loop, struct rb_timer *timer);

/*
 * Opens a connection; the outcome comes as `connected` or `closed`, never before this call has returned.
 * Output written meanwhile is sent when the connection is up. `local` {0}: by route. Returns 0 and *stream,
 * -ENOBUFS (connections_max reached), -ENOMEM, or -ECANCELED (the loop is being destroyed).
 */
int rb_loop_connect(struct rb_loop *loop, struct rb_address local, struct rb_address remote,
		    const struct rb_stream_ops *ops, void *user, struct rb_stream **stream);

/* Sets operations (borrowed, must outlive the stream) and user pointer. */
void rb_stream_attach(struct rb_stream *stream, const struct rb_stream_ops *ops, void *user);
void *rb_stream_user(const struct rb_stream *stream);
struct rb_loop *rb_stream_loop(const struct rb_stream *stream);
struct rb_address rb_stream_local(const struct rb_stream *stream);
struct rb_address rb_stream_remote(const struct rb_stream *stream);

/*
 * Queues a copy of the bytes. All or nothing: returns 0, -ENOBUFS (would exceed stream_output_max; try again
 * after `sent`), -ENOMEM, or -EPIPE (closed for writing, or broken).
 */
int rb_stream_write(struct rb_stream *stream, const void *data, size_t length);

enum {
	RB_STREAM_PIECES_MAX = 64, /* pieces of rb_stream_send() that a stream has queued at a time */
};

/*
 * Queues memory of the caller without copying it, behind all that was written or sent before. It must stay as it is
 * until the stack has let go of it: then `release` is called with `cookie`, once for all pieces of a call. That is when
 * all of them have been sent, or after the stream has ended, when it comes after `closed`. Before `closed` it may do
 * what callbacks may. NULL: memory that never changes. Empty pieces are left out. All or nothing, and only 0 brings a
 * release: returns 0, -ENOBUFS (more than rb_stream_pieces(); try again after `sent`), -EINVAL (no bytes, or more than
 * 2^63), -EFAULT (a piece is NULL), -ENOMEM, or -EPIPE as for rb_stream_write().
 */
int rb_stream_send(struct rb_stream *stream, const struct rb_sg *pieces, uint32_t count, void (*release)(void *cookie),
		   void *cookie);

/* How many pieces rb_stream_send() would take now. */
uint32_t rb_stream_pieces(const struct rb_stream *stream);

/* Bytes queued and not yet taken by the stack, and how many rb_stream_write() would take now. */
size_t rb_stream_backlog(const struct rb_stream *stream);
size_t rb_stream_space(const struct rb_stream *stream);

/* False once the stream was closed, aborted or shut down by the application: rb_stream_write() gives -EPIPE. */
bool rb_stream_writable(const struct rb_stream *stream);

/* Half-close: FIN after the queued output; input goes on. */
void rb_stream_shutdown(struct rb_stream *stream);

/* Orderly close (FIN) after the queued output; no more `data`, `closed` follows when the peer has closed too. */
void rb_stream_close(struct rb_stream *stream);

/*
 * Drops queued output and resets the connection (RST); `closed` follows. While connecting, close and abort
 * take effect when the outcome is known.
 */
void rb_stream_abort(struct rb_stream *stream);
