// SPDX-License-Identifier: Apache-2.0
/*
 * Batch API: a context is one command array, one event array and a back-end that carries them across.
 *
 *   for (;;) {
 *           int n = rb_context_run_io(context, RB_WAIT, &events);   // one crossing for the whole batch
 *           for (int i = 0; i < n; i++)
 *                   ... handle events[i], put commands with rb_context_command() ...
 *   }
 *
 * A context belongs to one thread at a time; only rb_context_wake() may be called from elsewhere. The
 * arrays, handles and rules are those of abi/abi.h. Nothing is allocated after rb_context_create() and
 * rb_context_listen().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/abi.h"
#include "base/clock.h"

struct rb_context;
struct rb_listener;
struct rb_backend; /* user/backend.h */

struct rb_context_config {
	/* NULL: rb_backend_default() */
	const struct rb_backend *backend;

	/* Borrowed. NULL: rb_clock_monotonic() */
	const struct rb_clock *clock;

	/* First part of this context's handles; unique per context. */
	uint32_t flow_group;

	/* Slots in the command array; 0: 256. */
	uint32_t commands_max;

	/* Slots in the event array; 0: 512. At least commands_max + RB_EVENTS_SPARE. */
	uint32_t events_max;

	/* Connections whose readiness one poll takes (the bound B of a batch); 0: 64. */
	uint32_t batch_max;

	/* 0: 16384; at most RB_CONNECTIONS_PER_GROUP_MAX. */
	uint32_t connections_max;

	/*
	 * Size of one receive buffer (0: 16384), and how many of them a connection may hold before reading
	 * stops (0: 4): the receive window. Address space is taken for all buffers of all connections, memory
	 * only when used.
	 */
	uint32_t rx_buffer_bytes;
	uint32_t rx_buffers_per_connection;

	/* Pieces queued for sending in the whole context; 0: 4 * connections_max. */
	uint32_t tx_entries_max;

	/* How long an orderly close waits for progress and the peer's FIN; 0: 5 s. */
	uint64_t close_timeout_ns;

	/*
	 * Poll instead of blocking when the deadline is nearer than this. 0: always block; UINT64_MAX: never
	 * block.
	 */
	uint64_t spin_ns;

	/*
	 * Kernel timer slack of the thread that calls run_io(); 1 is the most precise, 0 leaves it (50 us by
	 * default).
	 */
	uint64_t timer_slack_ns;

	/* Leave Nagle's algorithm on for outgoing connections. */
	bool nagle;

	/*
	 * Outgoing connections are UDP sockets with a peer instead of TCP streams. What is queued for sending
	 * when the stack gets to it leaves as one datagram: queue one message at a time. Nothing is repeated,
	 * so a lost message stays lost; CLOSE sends nothing and needs no answer.
	 */
	bool datagrams;
};

/* Returns 0, -EINVAL, -ENOMEM, or what the back-end could not set up (-EMFILE, …). The caller owns *context. */
int rb_context_create(const struct rb_context_config *config, struct rb_context **context);

/* Aborts open connections (RST) and frees everything. NULL is allowed. */
void rb_context_destroy(struct rb_context *context);

/*
 * The next free command slot, zeroed, or NULL when the array is full. The refused commands are counted and
 * reported by one RB_EVENT_ERROR (-ENOBUFS) of the next run_io().
 */
struct rb_command *rb_context_command(struct rb_context *context);

/* Slots left before rb_context_command() returns NULL. */
uint32_t rb_context_command_space(const struct rb_context *context);

enum rb_wait {
	RB_POLL, /* return at once */
	RB_WAIT, /* block until there is an event, the deadline has passed, or rb_context_wake() */
};

/*
 * Carries out all commands, in order, then collects events. *events points to the context's array and is
 * valid until the next call. Returns the number of events (0 after a wake or an interrupted wait), or
 * -errno when the back-end is broken for good.
 */
int rb_context_run_io(struct rb_context *context, enum rb_wait wait, const struct rb_event **events);

/* Makes a blocked or the next run_io(RB_WAIT) return. Any thread; async-signal-safe. */
void rb_context_wake(struct rb_context *context);

uint64_t rb_context_now(const struct rb_context *context);

/*
 * These fill the next command slot, which the next run_io() carries out. Each returns 0, or -ENOBUFS when the array is
 * full, and then the next run_io() begins with an ERROR without a handle that counts them. What is refused later, with
 * nothing changed, is told by an ERROR with the connection's cookie: -EBADF (no such connection any more), -EINVAL,
 * -EFAULT (memory that is not the application's), -ENOBUFS (no room in the stack).
 */

/*
 * Opens a connection. `local`: IP or port 0 for any. `cookie` is in all its events, of which CONNECTED, with 0 or -errno
 * in `status`, is the first. /
 */
int rb_context_connect(struct rb_context *context, struct rb_address local, struct rb_address remote, uint64_t cookie);

/* Takes the connection of a KNOCK; `cookie` is in all further events. */
int rb_context_accept(struct rb_context *context, rb_handle handle, uint64_t cookie);

/* Resets the connection of a KNOCK: no event follows. */
int rb_context_reject(struct rb_context *context, rb_handle handle);

/*
 * Queues 1 to RB_SENDV_ENTRIES_MAX pieces of memory, all of them or none. They stay the application's to keep as they are
 * until SENT (or RECV) events have told of so many bytes, or until the run_io() that follows CLOSED. The list itself is
 * read in run_io() if it has more than one piece, and must be there until then.
 */
int rb_context_sendv(struct rb_context *context, rb_handle handle, const struct rb_sg *sg, uint32_t count);

/* Gives back the oldest `bytes` of those received: their buffers must not be read any more, and the window opens. */
int rb_context_recv_done(struct rb_context *context, rb_handle handle, uint64_t bytes);

/* Both in one: `done` received bytes are given back and the answer to them is sent; or neither. */
int rb_context_reply(struct rb_context *context, rb_handle handle, uint32_t done, const struct rb_sg *sg,
		     uint32_t count);

/*
 * Ends the connection: RB_CLOSE_WRITE only our stream, RB_CLOSE_ORDERLY both after what was queued, RB_CLOSE_ABORT at once.
 * What was received and not given back is given back by the last two. CLOSED follows.
 */
int rb_context_close(struct rb_context *context, rb_handle handle, enum rb_close_flags flags);

/* Sets the context's one deadline, on the clock of rb_context_now(); TIMER tells of it, once. RB_DEADLINE_NONE: none. */
int rb_context_timer(struct rb_context *context, uint64_t deadline_ns, uint64_t cookie);

/* ---- listening ---- */

enum rb_listen_mode {
	/*
	 * One listen socket that every context waits on (on Linux with EPOLLEXCLUSIVE: a connection wakes one
	 * waiting thread, and the thread that gets there first takes it; busy threads take fewer, and the
	 * kernel does not aim at balance).
	 */
	RB_LISTEN_SHARED,
	/* One listen socket per context; the kernel spreads connections over them by hash (SO_REUSEPORT). */
	RB_LISTEN_REUSEPORT,
};

struct rb_listen_config {
	struct rb_address address; /* port 0: an ephemeral one, see rb_listener_address() */
	enum rb_listen_mode mode;
	int backlog;	       /* 0: 4096 (the kernel's somaxconn may cut it) */
	uint32_t accept_batch; /* connections taken per poll; 0: 1 if shared (balance), 16 if reuseport */
	bool nagle;	       /* leave Nagle's algorithm on for accepted connections */
};

/*
 * Claims the address; connections are knocked at the contexts that rb_context_listen() has attached. A
 * listener is made for one back-end (NULL: the default one) and must outlive the contexts attached to it.
 * Returns 0 or -errno (-EADDRINUSE, -EACCES, …).
 */
int rb_listener_create(const struct rb_backend *backend, const struct rb_listen_config *config,
		       struct rb_listener **listener);
void rb_listener_destroy(struct rb_listener *listener);

/* The bound address with its real port. */
struct rb_address rb_listener_address(const struct rb_listener *listener);

/*
 * Attaches a context: its KNOCK events carry `cookie`. Not thread-safe with respect to the listener; call
 * before the thread starts. Returns 0; -EINVAL (the listener is another back-end's), -ENOSPC (RB_LISTENERS_MAX),
 * on dpos -EBUSY (after the first run_io()), or what the kernel says.
 */
int rb_context_listen(struct rb_context *context, struct rb_listener *listener, uint64_t cookie);

/* ---- statistics ---- */

enum { RB_SYSCALLS_MAX = 16 };

/* Counters since creation. Written by the context's thread only; read them there. */
struct rb_context_stats {
	uint64_t polls;	      /* run_io() calls and re-polls inside them */
	uint64_t empty_polls; /* of these, without readiness */
	uint64_t events;      /* delivered to the application */
	uint64_t commands;    /* carried out or refused */
	uint64_t accepted;
	uint64_t connected;
	uint64_t closed;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t syscalls[RB_SYSCALLS_MAX]; /* named by the back-end's syscall_names */
};

const struct rb_context_stats *rb_context_stats(const struct rb_context *context);
const struct rb_backend *rb_context_backend(const struct rb_context *context);
