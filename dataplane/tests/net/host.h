// SPDX-License-Identifier: Apache-2.0
/*
 * A host at one end of a link: struct rb_net in a loop of its own, in virtual time, with a device that keeps the
 * library to its promises:
 *   - a received buffer is a block of memory of exactly the frame's size, released once and then freed, and must not
 *     have changed by then
 *   - header buffers likewise; some of them may be wanting (headers_missing)
 *   - what is sent is read when the turn is over, as a device does, unless the frame says that it is transient
 *   - checksums that the device shall fill in begin as the sum of the pseudo-header
 *   - frames fit the MTU; those in flight at the same time are bounded by nothing but the link
 * host_close() checks that nothing is left: connections, pieces, parts, buffers.
 *
 * The application is two callbacks, called in each turn: one per event, and one after all of them. It is called as often
 * as there is something to do; host_wake() asks for another turn.
 *
 * A second instance (a second core) may take connections over, with host_move(): the device steers their segments there
 * from then on. It shares the buffers, and has the address of the other host from the beginning.
 */
#pragma once

#include "base/random.h"
#include "net/net.h"
#include "tests/net/link.h"
#include "tests/net/timeline.h"

enum { HOST_INSTANCES = 2, HOST_HEADERS = 1024 };

struct host;

struct host_app {
	void (*event)(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context);
	void (*turn)(struct host *host, void *context); /* or NULL */
	void *context;
};

struct host_config {
	struct rb_net_config net;
	unsigned end;		/* of the link; the host's number is one more (fixture.h) */
	unsigned burst;		/* packets per turn, 1 .. RB_NET_BURST; 0: all that have come */
	uint64_t period_ns;	/* at least so long from turn to turn: what comes meanwhile makes a batch. 0: at once */
	unsigned events;	/* taken at a time; 0: 64 */
	bool checksums;		/* the device checks those of received frames, and says so */
	double headers_missing; /* probability that headers() gives fewer than asked for */
	struct host_app app;
};

struct host_buffer;
struct host_frame;
struct host_flow;

struct host {
	struct host_config config;
	struct timeline *timeline;
	struct link *link;
	struct rb_net *net[HOST_INSTANCES]; /* net[1] once something has moved */
	void *memory[HOST_INSTANCES];
	struct rb_random random;
	/* received buffers, by index; those that wait for a turn, and the free ones, are in lists */
	struct host_buffer *buffers;
	uint32_t buffers_room, buffers_free;
	uint32_t waiting_first, waiting_last, waiting_count;
	uint32_t buffers_held;		/* by the library */
	uint8_t *headers[HOST_HEADERS]; /* held by the library */
	uint32_t headers_held, headers_next;
	/* to send when the turn is over */
	struct host_frame *frames;
	unsigned frames_count, frames_room;
	struct host_flow *flows; /* that have moved */
	unsigned flows_count, flows_room;
	uint8_t *records; /* of host_move() */
	uint64_t due_ns;  /* of the next turn */
	uint64_t last_turn_ns;
	unsigned turns_at_once; /* without time passing */
	unsigned idle_turns;	/* without anything to be seen */
	uint64_t turns;
	unsigned batch_max; /* packets in a turn */
};

/* The library's defaults, and addresses by the number; sizes for some 64 connections. */
void host_config_default(struct host_config *config, unsigned end);

void host_open(struct host *host, struct timeline *timeline, struct link *link, uint64_t seed,
	       const struct host_config *config);

/* Fails the test when something is left. Takes the host away from the link. */
void host_close(struct host *host);

/* After a failure: frees memory and asks nothing, not even the library, which may be in the middle of something. */
void host_abandon(struct host *host);

/* A turn as soon as possible, or at that time. After each command that was not given in a turn. */
void host_wake(struct host *host);
void host_wake_at(struct host *host, uint64_t time_ns);

/*
 * Moves a connection from the instance it is at to the other one (`to_other`), or out and in again at the same one.
 * Only outside callbacks of events, with no event of the connection waiting: in host_app.turn. Sets *handle and *net;
 * leaves them when the connection has ended, or where it is when the other instance has no room.
 * The record must come out the same from the place where it went in; else the test fails.
 */
void host_move(struct host *host, struct rb_net **net, rb_net_handle *handle, bool to_other);
