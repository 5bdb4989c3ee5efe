// SPDX-License-Identifier: Apache-2.0
/*
 * Private to the io_uring back-end.
 *
 * A turn is one io_uring_enter(), which submits what the commands have asked for, lets the kernel finish what has become
 * possible, and waits. A connection has one multishot recv under way while its window is open, and at most one send. A
 * completion only changes the state of its connection and puts it on the ready list; from there it makes events while
 * there is room for them, and submits what is next.
 *
 * Sockets are closed when nothing of theirs is under way any more. So every entry that is submitted names a socket that
 * is still the one it was, and memory belongs to the application again when CLOSED says so.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "user/context.h"
#include "user/ring.h"
#include "user/socket_listener.h"
#include "user/sockets.h"
#include "user/tx_queue.h"
#include "user/uring_rx.h"

enum {
	URING_ACCEPTS_MAX = 32, /* under way at a time, per listener */
	URING_SUBMISSIONS = 256,
	URING_COMPLETIONS = 4096,
};

/* What a completion is of: the first part of its user_data, in place of a handle's flow group. */
enum uring_operation {
	URING_IGNORED,
	URING_WAKE,
	URING_ACCEPT, /* index: listening; generation: accept */
	/* index and generation are those of the connection's handle */
	URING_RECV,
	URING_SEND,
	URING_POLL, /* CONNECTING: for the outcome; else: for errors while nothing is received */
};

enum uring_state {
	URING_FREE,
	URING_CONNECTING,
	URING_KNOCKED, /* taken from the kernel, not yet accepted by the application; nothing is under way */
	URING_OPEN,
	URING_CLOSING, /* CLOSE seen: send the rest, then FIN, then discard until the peer's FIN */
	URING_DEAD,    /* what is under way is being cancelled; then the socket is closed and CLOSED delivered */
	URING_ENDED,   /* CLOSED delivered; the application may still read its buffers until the next run_io */
};

struct uring_connection {
	struct rb_list ready;	/* in uring_context.ready while something can be done; in .ended when ENDED */
	struct rb_list closing; /* in uring_context.closing, oldest deadline first */
	rb_handle handle;	/* of the current or the previous use */
	uint64_t cookie;
	int fd;	       /* -1 if none */
	int status;    /* DEAD: the reason */
	uint8_t state; /* enum uring_state */
	/* under way */
	bool receiving, sending, polling;
	bool cancelling; /* the recv */
	bool polled;	 /* CONNECTING: the outcome is known; else: there is an error */
	bool fin_received, fin_reported;
	bool write_closed; /* no SENDV any more; FIN when the queue is empty */
	bool fin_sent;
	bool reset; /* DEAD: close with RST */
	struct uring_held held;
	struct tx_queue tx;
	uint64_t sent; /* bytes released and not yet reported */
	uint64_t close_deadline_ns;
	uint32_t unacknowledged; /* when the last deadline has passed; UINT32_MAX: none has */
	struct rb_address local;
	struct rb_address remote;
	uint32_t next_free; /* index + 1 */
};

/* One accept: under way, or done and not yet a connection, or neither. */
struct uring_accept {
	struct sockaddr_in peer;
	socklen_t length;
	int fd; /* -1: none */
	bool armed;
};

/* A listener as seen by one context. */
struct uring_listening {
	const struct socket_listener *listener;
	int fd;
	bool owns_fd;
	bool paused; /* until resume_ns */
	int error;   /* to be reported */
	uint64_t resume_ns;
	uint64_t cookie;
	uint32_t accepts_count;
	uint32_t armed, arrived; /* of these */
	struct uring_accept accepts[URING_ACCEPTS_MAX];
};

/* What a sendmsg needs until it is submitted. */
struct uring_message {
	struct msghdr header;
	struct iovec vector[RB_SENDV_ENTRIES_MAX];
};

struct uring_context {
	struct rb_context_config config;
	struct rb_context_stats *stats;
	struct rb_ring ring;
	struct uring_message *messages; /* one for each submission slot */
	struct io_uring_sqe lost;	/* takes what cannot be submitted once the ring has failed */
	int failure;			/* of the ring, for good */
	bool enabled;
	int wake_fd;
	uint64_t wake_count; /* read from it */
	bool wake_armed;
	bool woken;
	bool skipped_enter; /* the previous run_io() returned without asking the kernel */

	/* the event array of the current run_io() */
	struct rb_event *events;
	uint32_t events_count;
	uint32_t events_max;

	/* outcomes that belong to no connection, kept until there is room for them */
	struct rb_event *pending; /* ring of pending_max */
	uint32_t pending_first, pending_count, pending_max;

	uint64_t timer_deadline_ns;
	uint64_t timer_cookie;

	struct uring_connection *connections;
	uint32_t untouched; /* slots from this number on have never been used */
	uint32_t free;	    /* list of free slots: index + 1 */
	struct rb_list ready;
	struct rb_list closing;
	struct rb_list ended;
	struct uring_rx rx;
	struct tx_pool tx;

	struct uring_listening listening[RB_LISTENERS_MAX];
	uint32_t listening_count;
};

/* ---- submissions and events (uring.c) ---- */

/* The next submission entry, zeroed but for these fields. */
struct io_uring_sqe *uring_submit(struct uring_context *context, uint8_t opcode, int fd, enum uring_operation operation,
				  rb_handle handle);

/* The message that goes with an entry. */
struct uring_message *uring_message(struct uring_context *context, const struct io_uring_sqe *sqe);

/* The next free event, zeroed but for type, handle and cookie; there must be room. */
struct rb_event *uring_emit(struct uring_context *context, enum rb_event_type type,
			    const struct uring_connection *connection);
static inline bool uring_has_room(const struct uring_context *context)
{
	return context->events_count < context->events_max;
}

/* ---- connections (uring_connection.c) ---- */

/* A free slot with a new handle, or NULL. */
struct uring_connection *uring_connection_take(struct uring_context *context, enum uring_state state);

/* Gives the slot back. The socket must be closed and nothing under way. */
void uring_connection_give(struct uring_context *context, struct uring_connection *connection);

/* The live connection of that name, or NULL. */
struct uring_connection *uring_connection_find(struct uring_context *context, rb_handle handle);

/* Puts it on the ready list. */
void uring_connection_ready(struct uring_context *context, struct uring_connection *connection);

/* Notes the outcome of an operation: `result` and `flags` are the completion's. */
void uring_connection_complete(struct uring_context *context, struct uring_connection *connection,
			       enum uring_operation operation, int result, uint32_t flags);

/* Does what can be done, and emits events while there is room. Keeps itself on the ready list if more is left. */
void uring_connection_progress(struct uring_context *context, struct uring_connection *connection);

/* Waits for the outcome of connect(). */
void uring_connection_await(struct uring_context *context, struct uring_connection *connection);

/* Ends it, with RST if `reset`; CLOSED with `status` follows. */
void uring_connection_end(struct uring_context *context, struct uring_connection *connection, int status, bool reset);

/* Starts or renews the close timeout. */
void uring_connection_set_close_deadline(struct uring_context *context, struct uring_connection *connection);
/* The same, of a connection that has reached it, but for what is known of its peer. */
void uring_connection_extend_close_deadline(struct uring_context *context, struct uring_connection *connection);

/* ---- commands (uring_command.c) ---- */

/* Carries out one command; what is wrong with it becomes a pending event. */
void uring_command_execute(struct uring_context *context, const struct rb_command *command);

/* ---- listening (uring_listen.c) ---- */

int uring_listen(void *state, void *listener, uint64_t cookie);

/* Sees to it that connections can come. */
void uring_listen_arm(struct uring_context *context);
void uring_listen_complete(struct uring_context *context, uint32_t number, uint32_t accept, int result);

/* Emits what has come, while there is room. */
void uring_listen_deliver(struct uring_context *context);
void uring_listen_resume(struct uring_context *context, uint64_t now_ns);

/* A descriptor and a slot have become free: paused listeners need not wait longer. */
void uring_listen_hurry(struct uring_context *context);
void uring_listen_close(struct uring_context *context);
