// SPDX-License-Identifier: Apache-2.0
/*
 * A core: who runs. One queue pair of the device, one TCP/IP instance, one
 * clock, and the stages of which a policy makes its loop. Nothing in it is
 * written by two threads but what others ask of it, which it looks at once per
 * turn. Packets may come from other cores: core_poll() brings them with the
 * device's (nic/spread.c).
 *
 * A turn of a loop that runs to completion
 *     core_poll()       at most B packets from the queue; the clock
 *     core_timers()     what is due
 *     core_network()    the packets, through TCP/IP
 *     core_events()     what they mean to the application; false: nothing
 *     core_cross()      into the application, and back with its commands
 *     core_commands()   these
 *     core_transmit()   all that this has made, in one burst
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/context.h"
#include "guard/guard.h"
#include "nic/nic.h"

enum { CORE_BATCH_MAX = RB_NET_BURST, CORE_LISTENERS_MAX = RB_LISTENERS_MAX };

/* Where the cycles of a busy turn go. They are counted in one turn of so many. */
enum { CORE_TIMED = 16 };

#define CORE_STAGES(X)                                                \
	X(poll, "taking packets from the device")                     \
	X(timers, "timers that are due")                              \
	X(network, "packets in: Ethernet, IP, TCP")                   \
	X(events, "events for the application")                       \
	X(application, "the application, and the way there and back") \
	X(commands, "commands of the application")                    \
	X(transmit, "segments out, and the device")

enum core_stage {
#define CORE_STAGE(name, text) CORE_STAGE_##name,
	CORE_STAGES(CORE_STAGE)
#undef CORE_STAGE
		CORE_STAGES_COUNT,
};

/* Written by the core's thread; anybody may read, and sees each one a little early or late. */
struct core_counters {
	uint64_t turns, idle_turns;
	uint64_t batches, packets; /* turns that had packets, and these */
	uint64_t crossings;
	uint64_t busy_cycles, idle_cycles;  /* of turns, from one reading of the clock to the next */
	uint64_t cycles[CORE_STAGES_COUNT]; /* of those busy turns that are timed */
};

struct rb_app_thread; /* core/app.h */

struct core_gate {
	/* Carries out a call of the gate that is not the core's own RUN_IO; returns what it gives the caller. */
	int64_t (*call)(void *user, struct rb_app_thread *thread, const struct rb_guard_call *call);
	void *user;
};

struct core {
	struct rb_nic_queue *queue;
	struct rb_net *net;
	const struct core_clock *clock;
	uint64_t tsc;	    /* at the last reading of the clock */
	uint64_t stage_tsc; /* at the end of the last stage, in a turn that is timed */
	uint64_t now_ns;    /* of this turn */
	uint32_t batch_max;
	unsigned packets_count;
	bool busy; /* this turn has found something to do */
	bool was_busy;
	bool timed;
	bool spread; /* the queue is not the only one: some of its packets come from others, or are theirs */
	bool polls;  /* the application wants to come back at once */
	uint64_t commands_count;
	struct core_counters counters;
	struct core_context context;
	struct rb_net_packet packets[CORE_BATCH_MAX];

	unsigned index;
	rb_net_handle listeners[CORE_LISTENERS_MAX];
	unsigned listeners_count;
	int64_t result; /* of the call with which the application's thread has left the core */
	const struct rb_guard_ops *guard;
	struct rb_guard_thread *guard_thread;
	struct rb_app_thread *thread; /* of the application, which runs the core; NULL: none yet */
	struct core_gate gate;
	void *net_memory;
	struct rb_net_counters net_counters; /* of the last instance, once it has gone */
	size_t net_memory_bytes;

	atomic_uint requests __attribute__((aligned(64))); /* enum core_request */
};

/* What other threads ask of a core. */
enum core_request {
	CORE_REQUEST_WAKE = 1,	/* the next turn, or the present one, crosses whether there are events or not */
	CORE_REQUEST_DRAIN = 2, /* no more connections from outside */
	CORE_REQUEST_END = 4,	/* the application ends: cross until its thread has. Without one the loop ends */
	CORE_REQUEST_LEAVE = 8, /* the core's own: its context has gone */
};

/* Before the first turn. */
void core_begin(struct core *core);

void core_poll(struct core *core);
void core_timers(struct core *core);
/* Is there nothing to do in the rest of this turn? What it asks is less than what the stages would, one after the other. */
bool core_is_quiet(const struct core *core);
void core_network(struct core *core);
bool core_events(struct core *core);
/* False: the application's thread has ended, or its context. */
bool core_cross(struct core *core);
void core_commands(struct core *core);
void core_transmit(struct core *core);

/* The end of a turn: counts it. An idle one lets others have the CPU's units for a moment. */
void core_turn_end(struct core *core);

/* What the application asked for in a call of RUN_IO: so many commands, and whether to wait for events. */
void core_asked(struct core *core, const struct rb_guard_call *call);

/* Any thread. */
static inline void core_request(struct core *core, enum core_request request)
{
	atomic_fetch_or_explicit(&core->requests, (unsigned)request, memory_order_release);
}

static inline bool core_is_asked(const struct core *core, enum core_request request)
{
	return (atomic_load_explicit(&core->requests, memory_order_relaxed) & (unsigned)request) != 0;
}

/* What a policy is: the loop of a stack. */
struct core_policy {
	const char *name;
	const char *summary;
	bool application; /* false: it needs none, and runs on a thread of dpos until CORE_REQUEST_END */
	void (*run)(struct core *core);
};
