// SPDX-License-Identifier: Apache-2.0
/*
 * Two TCP/IP instances joined back to back, in virtual time and without a device. At end 0 an application's arrays are
 * carried to and fro by a context (core/context.h), in the order of policy ix; at end 1 there is a peer, who uses the
 * library itself. Nothing here knows cmocka: a fuzz target uses it, too.
 *
 * A turn: the application's commands, what they send, the peer with what has come for it, then what has come for the
 * application, and its events. It is checked in each turn that nothing is written outside of the event array, and that
 * events are zero but for their fields; and when a buffer is given back, that nobody has written to it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/context.h"

enum {
	PAIR_COMMANDS = 96,
	PAIR_EVENTS = 160,
	PAIR_BYTES = 1 << 17,
	PAIR_TOLD = 4096, /* events that wait to be looked at */
	PAIR_CONNECTIONS = 16,
	PAIR_HEADERS = 256,
	PAIR_PORT = 80,	     /* where the application listens, and */
	PAIR_PEER_PORT = 90, /* the peer */
	PAIR_COOKIE = 7,     /* of the application's listener */
	PAIR_GROUP = 5,
};

/* 10.0.0.1 and 10.0.0.2 */
#define PAIR_ADDRESS	  0x0a000001U
#define PAIR_PEER_ADDRESS 0x0a000002U

/* All memory that the application may name. */
struct pair_memory {
	struct rb_command commands[PAIR_COMMANDS];
	uint8_t front[64];
	struct rb_event events[PAIR_EVENTS];
	uint8_t back[64];
	struct rb_sg lists[PAIR_COMMANDS][RB_SENDV_ENTRIES_MAX];
	uint8_t bytes[PAIR_BYTES]; /* to be sent; pair_byte() */
};

/* Byte number `at` of what both sides send. */
uint8_t pair_byte(uint64_t at);

struct pair_frame;

struct pair_end {
	struct pair *pair;
	struct rb_net *net;
	void *memory; /* of the instance */
	size_t size;
	uint64_t random;
	struct pair_frame *first, **last; /* on their way to it */
	unsigned waiting;		  /* these */
	unsigned buffers;		  /* held by the library */
	uint8_t *header[PAIR_HEADERS];	  /* likewise */
	bool deaf;			  /* what is on its way to it is lost */
	uint64_t frames, hash;		  /* that it has sent: how many, and all their bytes and times */
};

/* A connection of the peer. */
struct pair_connection {
	rb_net_handle handle; /* 0: a free slot */
	bool connected, fin, closed;
	int status; /* of CONNECTED or CLOSED */
	uint64_t queued, sent, received, unread;
	uint8_t bytes[PAIR_BYTES]; /* what it has received, from its beginning */
};

struct pair {
	uint64_t now_ns;
	struct pair_end end[2];
	struct pair_memory *memory;
	struct core_context context;
	rb_net_handle listener; /* of the application */
	uint64_t commands_count;
	struct rb_event told[PAIR_TOLD]; /* a ring */
	uint64_t told_first, told_last;
	uint64_t told_both;   /* RECV that were SENT, too, and are the two in `told` */
	uint32_t events_most; /* in one turn */
	/* the peer */
	rb_net_handle peer_listener;
	bool peer_rejects, peer_keeps; /* does not accept; does not give back */
	struct pair_connection peer[PAIR_CONNECTIONS];
	unsigned peer_count; /* connections that there were */
};

struct pair_config {
	struct rb_net_config net;    /* of both, but for the addresses */
	struct rb_gate_context gate; /* but for the arrays */
};

/* Small: 16 connections, 64 pieces, 64 parts; and a context of all slots. */
void pair_config_default(struct pair_config *config);

/* `config` NULL: the default. Both sides listen. */
void pair_open(struct pair *pair, const struct pair_config *config);

/* Takes the application's listener away, resets all that is left, lets time pass. Aborts if anything is left then. */
void pair_close(struct pair *pair);

/* After a failure: frees memory. */
void pair_abandon(struct pair *pair);

/* A turn at once. */
void pair_turn(struct pair *pair);

/* Its parts: the commands, whose answers are the first events of the array; the peer's turn; all but the commands. */
void pair_turn_commands(struct pair *pair);
void pair_turn_peer(struct pair *pair);
void pair_turn_rest(struct pair *pair);

/* Turns until nothing is under way; without time passing. */
void pair_settle(struct pair *pair);

/* Lets time pass. */
void pair_run(struct pair *pair, uint64_t ns);

/*
 * The application.
 */

/* The next command of the next turn, all zeros but for the type, which may be any. */
struct rb_command *pair_command(struct pair *pair, unsigned type, rb_handle handle);

void pair_connect(struct pair *pair, uint16_t local, uint16_t remote, uint64_t cookie);
void pair_accept(struct pair *pair, rb_handle handle, uint64_t cookie);
void pair_recv_done(struct pair *pair, rb_handle handle, uint64_t bytes);
/* The last command, a SENDV, gives so many back, too. */
void pair_answers(struct pair *pair, uint32_t done);
void pair_shut(struct pair *pair, rb_handle handle, enum rb_close_flags flags);
void pair_timer(struct pair *pair, uint64_t deadline_ns, uint64_t cookie);
/* Bytes from..to of the application's, in so many pieces; the list is the pair's next one. */
void pair_sendv(struct pair *pair, rb_handle handle, uint32_t from, uint32_t to, uint32_t pieces);

/* The oldest event not looked at; NULL: there is none. */
const struct rb_event *pair_next(struct pair *pair);

/*
 * The peer. Connections are numbers. What it does goes out with the next turn.
 */

/* Returns the number, or -ENOBUFS. */
int pair_peer_connect(struct pair *pair, uint16_t port);
/* The next so many bytes. Returns what rb_net_send() does. */
int pair_peer_send(struct pair *pair, unsigned connection, uint32_t length);
int pair_peer_read(struct pair *pair, unsigned connection, uint32_t length);
int pair_peer_shut(struct pair *pair, unsigned connection, enum rb_net_close how);

struct rb_net_usage pair_usage(const struct pair *pair, unsigned end);
