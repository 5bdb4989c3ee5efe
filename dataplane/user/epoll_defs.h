// SPDX-License-Identifier: Apache-2.0
/*
 * Private to the epoll back-end.
 *
 * Readiness is edge-triggered and remembered per connection (`readable`, `writable`), so that a closed window
 * or a full event array costs no system call: the connection stays on the ready list until what can be done
 * has been done. EPOLLOUT is asked for only once a send has come up short. In the steady state of request and
 * reply that makes three system calls: epoll_pwait2, recvfrom, sendto.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "user/context.h"
#include "user/rx_pool.h"
#include "user/socket_listener.h"
#include "user/sockets.h"
#include "user/tx_queue.h"

enum connection_state {
	CONNECTION_FREE,
	CONNECTION_CONNECTING,
	CONNECTION_KNOCKED, /* taken from the kernel, not yet accepted by the application; not in epoll */
	CONNECTION_OPEN,
	CONNECTION_CLOSING, /* CLOSE seen: send the rest, then FIN, then discard until the peer's FIN */
	CONNECTION_DEAD,    /* socket closed, CLOSED not yet delivered */
	CONNECTION_ENDED,   /* CLOSED delivered; the application may still read its buffers until the next run_io */
};

struct connection {
	struct rb_list ready;	/* in epoll_context.ready while something can be done; in .ended when ENDED */
	struct rb_list closing; /* in epoll_context.closing, oldest deadline first */
	rb_handle handle;	/* of the current or the previous use */
	uint64_t cookie;
	int fd;	       /* -1 if none */
	int status;    /* DEAD: the reason */
	uint8_t state; /* enum connection_state */
	bool readable;
	bool writable;
	bool peer_closing; /* a FIN is queued behind the data */
	bool failed;	   /* EPOLLERR seen */
	bool fin_received;
	bool write_closed; /* no SENDV any more; FIN when the queue is empty */
	bool fin_sent;
	bool watches_output; /* registered for EPOLLOUT */
	struct rx_held held;
	struct tx_queue tx;
	uint64_t sent; /* bytes released and not yet reported */
	uint64_t close_deadline_ns;
	uint32_t unacknowledged; /* when the last deadline has passed; UINT32_MAX: none has */
	struct rb_address local;
	struct rb_address remote;
	uint32_t next_free; /* index + 1 */
};

/* A listener as seen by one context. */
struct listening {
	const struct socket_listener *listener;
	int fd;
	bool owns_fd;
	bool ready;
	bool paused; /* out of epoll until resume_ns */
	uint64_t resume_ns;
	uint64_t cookie;
};

struct epoll_context {
	struct rb_context_config config;
	struct rb_context_stats *stats;
	int epoll_fd;
	int wake_fd;
	bool woken;
	bool skipped_poll; /* the previous run_io() returned without looking at epoll */
	bool slack_set;

	/* the event array of the current run_io() */
	struct rb_event *events;
	uint32_t events_count;
	uint32_t events_max;

	/* outcomes that belong to no connection, kept until there is room for them */
	struct rb_event *pending; /* ring of pending_max */
	uint32_t pending_first, pending_count, pending_max;

	uint64_t timer_deadline_ns;
	uint64_t timer_cookie;

	struct connection *connections;
	uint32_t connections_used; /* slots in use */
	uint32_t untouched;	   /* slots from this number on have never been used */
	uint32_t free;		   /* list of free slots: index + 1 */
	struct rb_list ready;
	struct rb_list closing;
	struct rb_list ended;
	struct rx_pool rx;
	struct tx_pool tx;

	struct listening listening[RB_LISTENERS_MAX];
	uint32_t listening_count;
};

/* ---- events (epoll.c) ---- */

/* The next free event, zeroed but for type, handle and cookie; there must be room. */
struct rb_event *epoll_emit(struct epoll_context *context, enum rb_event_type type,
			    const struct connection *connection);
static inline bool epoll_has_room(const struct epoll_context *context)
{
	return context->events_count < context->events_max;
}

/* ---- connections (epoll_connection.c) ---- */

/* A free slot with a new handle, or NULL. */
struct connection *epoll_connection_take(struct epoll_context *context, enum connection_state state);

/* Gives the slot back. The socket must be closed. */
void epoll_connection_give(struct epoll_context *context, struct connection *connection);

/* The live connection of that name, or NULL. */
struct connection *epoll_connection_find(struct epoll_context *context, rb_handle handle);

/* Notes what epoll has said. */
void epoll_connection_mark(struct epoll_context *context, struct connection *connection, uint32_t epoll_events);

/*
 * Does what can be done, and emits events, while there is room. Keeps itself on the ready list if more is
 * left.
 */
void epoll_connection_progress(struct epoll_context *context, struct connection *connection);

/* Closes the socket now; CLOSED with `status` follows. */
void epoll_connection_end(struct epoll_context *context, struct connection *connection, int status);

/* Puts it on the ready list. */
void epoll_connection_ready(struct epoll_context *context, struct connection *connection);

/* Starts or renews the close timeout. */
void epoll_connection_set_close_deadline(struct epoll_context *context, struct connection *connection);
/* The same, of a connection that has reached it, but for what is known of its peer. */
void epoll_connection_extend_close_deadline(struct epoll_context *context, struct connection *connection);

/* Registers the socket. Returns 0 or -errno. */
int epoll_connection_watch(struct epoll_context *context, struct connection *connection, bool output);

/* The same with RST, at any time. */
void epoll_connection_reset(struct epoll_context *context, struct connection *connection, int status);

/* ---- commands (epoll_command.c) ---- */

/* Carries out one command; what is wrong with it becomes a pending event. */
void epoll_command_execute(struct epoll_context *context, const struct rb_command *command);

/* ---- listening (epoll_listen.c) ---- */

int epoll_listen(void *state, void *listener, uint64_t cookie);
void epoll_listen_accept(struct epoll_context *context, struct listening *listening);
void epoll_listen_resume(struct epoll_context *context, uint64_t now_ns);
/* A descriptor and a slot have become free: paused listeners need not wait longer. */
void epoll_listen_hurry(struct epoll_context *context);
void epoll_listen_close(struct epoll_context *context);

/* epoll_event.data: a handle, or one of these, which no handle equals (generation 0) */
#define EPOLL_DATA_WAKE UINT64_C(0)
static inline uint64_t epoll_data_listening(uint32_t number)
{
	return (uint64_t)(number + 1) << 32;
}
