// SPDX-License-Identifier: Apache-2.0
/*
 * The contract between an application (ring 3) and the network stack under it.
 *
 * Per context there is one command array, written by the application, and one event array, written by
 * the stack. Both are bounded. One call of run_io() hands over all commands and returns all events; in
 * split stacks the same arrays are rings that another core polls. The stack never trusts a command: it
 * copies the descriptor once, checks all of it, then acts. A command that cannot be carried out is
 * answered by an RB_EVENT_ERROR, never ignored.
 *
 * Life of a connection
 *   passive:  KNOCK -> accept | reject -> RECV*, SENT* -> close -> CLOSED
 *   active:   connect -> CONNECTED (status 0) -> RECV*, SENT* -> close -> CLOSED
 *             connect -> CONNECTED (status < 0): the handle is void, no CLOSED follows
 * CLOSED is the last event of a handle. It comes once for every connection that was knocked and not
 * rejected, or connected with status 0, whether the application, the peer or an error ended it. A
 * connection that the peer has reset, or that timed out, is CLOSED without a close command. Received
 * buffers and memory queued for sending belong to their owners again at the run_io() that follows CLOSED.
 *
 * Descriptors are one cache line each, so that two cores of a split stack never share a line that both
 * write. Addresses and lengths are 64 bits wide. Status fields are 0 or a negative errno value.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

enum { RB_ABI_VERSION = 1 };

/*
 * A connection's checked name: flow group, index in it, generation. The value 0 is never a handle. The
 * generation of an index changes on each reuse, so that a stale handle is recognised (-EBADF).
 */
typedef uint64_t rb_handle;

enum {
	RB_HANDLE_GENERATION_BITS = 32,
	RB_HANDLE_INDEX_BITS = 20,
	RB_HANDLE_GROUP_BITS = 12,
	RB_CONNECTIONS_PER_GROUP_MAX = 1 << RB_HANDLE_INDEX_BITS,
	RB_FLOW_GROUPS_MAX = 1 << RB_HANDLE_GROUP_BITS,
};

static inline rb_handle rb_handle_make(uint32_t group, uint32_t index, uint32_t generation)
{
	return (uint64_t)group << 52 | (uint64_t)index << 32 | generation;
}

static inline uint32_t rb_handle_group(rb_handle handle)
{
	return (uint32_t)(handle >> 52);
}

static inline uint32_t rb_handle_index(rb_handle handle)
{
	return (uint32_t)(handle >> 32) & (RB_CONNECTIONS_PER_GROUP_MAX - 1);
}

static inline uint32_t rb_handle_generation(rb_handle handle)
{
	return (uint32_t)handle;
}

/* IPv4 address and TCP port, both in host byte order. ip 0 is "any", port 0 is "let the stack choose". */
struct rb_address {
	uint32_t ip;
	uint16_t port;
	uint16_t reserved;
};

/* One piece of application memory to send. */
struct rb_sg {
	const void *base;
	uint64_t length; /* bytes */
};

enum {
	RB_SENDV_ENTRIES_MAX = 64, /* pieces per sendv */
	RB_LISTENERS_MAX = 16,	   /* of a context */
	RB_EVENTS_SPARE = 4, /* slots that events need beyond commands: each may fail, and then something may happen */
};

#define RB_DEADLINE_NONE UINT64_MAX

enum rb_command_type {
	RB_COMMAND_CONNECT = 1, /* open a connection; cookie names it from now on */
	RB_COMMAND_ACCEPT,	/* take a knocked connection; cookie names it from now on */
	RB_COMMAND_REJECT,	/* refuse a knocked connection (RST); the handle is void */
	/*
	 * Queue memory for sending; untouched until SENT released it. A stack takes half a MiB of a connection at a
	 * time, and may refuse more with -ENOBUFS: then none of it is queued, and SENT tells of room. An answer gives
	 * its request back (`done`): both, or neither.
	 */
	RB_COMMAND_SENDV,
	RB_COMMAND_RECV_DONE, /* give the oldest received bytes back: opens the window */
	RB_COMMAND_CLOSE,     /* see enum rb_close_flags */
	RB_COMMAND_TIMER,     /* set the context's one deadline (replaces the previous one) */
};

/*
 * CLOSE without flags is orderly: everything queued is sent, then FIN; what the peer still sends is
 * discarded; CLOSED follows when the peer's FIN has come, or with -ETIMEDOUT when nothing has moved for the
 * close timeout. It gives all received bytes back; no RECV follows, SENT events do. After ABORT they are the
 * application's until the run_io() that follows CLOSED, as they are when the peer resets.
 */
enum rb_close_flags {
	RB_CLOSE_ORDERLY = 0,
	RB_CLOSE_WRITE = 1, /* half-close: send FIN after the queued data, keep receiving; a full CLOSE follows later */
	RB_CLOSE_ABORT = 2, /* drop queued data and send RST; CLOSED with -ECONNABORTED */
};

struct rb_command {
	uint16_t type;	/* enum rb_command_type */
	uint16_t flags; /* enum rb_close_flags for CLOSE, else 0 */
	uint32_t reserved;
	rb_handle handle; /* all but CONNECT and TIMER */
	uint64_t cookie;  /* CONNECT, ACCEPT; TIMER: returned in the event */
	union {
		struct {
			struct rb_address local; /* source; ip 0: by route; port 0: any free one */
			struct rb_address remote;
		} connect;
		struct {
			struct rb_sg one;	/* the piece, where count is 1 */
			const struct rb_sg *sg; /* the pieces, where it is more; read during run_io() only */
			uint32_t count;		/* 1..RB_SENDV_ENTRIES_MAX */
			uint32_t done;		/* bytes to give back with it, as by RECV_DONE; 0: none */
		} sendv;
		struct {
			uint64_t bytes; /* > 0, at most what was received and not yet given back */
		} recv_done;
		struct {
			uint64_t deadline_ns; /* on the context's clock; RB_DEADLINE_NONE disarms */
		} timer;
		uint8_t pad[40];
	};
};

/* The pieces of a SENDV of the own side; a stack that does not trust the command reads it otherwise. */
static inline const struct rb_sg *rb_sendv_pieces(const struct rb_command *command)
{
	return command->sendv.count == 1 ? &command->sendv.one : command->sendv.sg;
}

enum rb_event_type {
	RB_EVENT_KNOCK = 1, /* a peer asks for a connection; cookie is the listener's */
	RB_EVENT_CONNECTED, /* outcome of CONNECT in status */
	RB_EVENT_RECV,	    /* bytes in order; with RB_RECV_FIN the peer sends no more. May be a SENT, too */
	RB_EVENT_SENT,	    /* the oldest queued bytes are released: the memory is the application's again */
	RB_EVENT_CLOSED,    /* last event of the handle; reason in status: 0 orderly, -ECONNRESET, -ETIMEDOUT, … */
	RB_EVENT_TIMER,	    /* the context's deadline has passed */
	/*
	 * A command was refused, or a listener cannot accept. The cookie is the connection's; the command's own for
	 * ACCEPT and TIMER, and when the handle is void.
	 */
	RB_EVENT_ERROR,
};

enum rb_recv_flags {
	RB_RECV_FIN = 1, /* end of the peer's stream, after the bytes of this event (which may be none) */
};

struct rb_event {
	uint16_t type;	/* enum rb_event_type */
	uint16_t flags; /* enum rb_recv_flags for RECV, else 0 */
	int32_t status; /* 0 or -errno */
	rb_handle handle;
	uint64_t cookie;
	union {
		/* `local` is the listener's address, or the one asked for in CONNECT: its ip and port may be 0 */
		struct {
			struct rb_address local;
			struct rb_address remote;
		} knock;
		struct {
			struct rb_address local;
			struct rb_address remote;
		} connected;
		struct {
			const void *data; /* readable, never writable, until given back with RECV_DONE */
			uint64_t length;  /* bytes; 0 only with RB_RECV_FIN */
			uint64_t sent; /* bytes that are released, as by SENT, before these; mostly what they answer */
		} recv;
		struct {
			uint64_t bytes; /* released by this event */
		} sent;
		struct {
			uint64_t deadline_ns; /* as set; the lateness is clock - deadline */
		} timer;
		struct {
			uint32_t command; /* enum rb_command_type; ACCEPT with handle 0: the listener */
			uint32_t count;	  /* how many commands this event stands for (overflow: -ENOBUFS) */
		} error;
		uint8_t pad[40];
	};
};

static_assert(sizeof(struct rb_command) == 64, "a command is one cache line");
static_assert(sizeof(struct rb_event) == 64, "an event is one cache line");
static_assert(RB_HANDLE_GENERATION_BITS + RB_HANDLE_INDEX_BITS + RB_HANDLE_GROUP_BITS == 64, "handle");
