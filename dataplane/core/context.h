// SPDX-License-Identifier: Apache-2.0
/*
 * A context: an application's command array and event array, carried to a TCP/IP instance and back.
 *
 * The arrays are the application's memory, which may hold anything and change at any moment: a command is copied once,
 * checked as a whole, and then carried out or answered by an RB_EVENT_ERROR; what stands in the event array is never
 * read. Handles are those of the instance, with the context's flow group in front of them, so that nothing has to be
 * looked up to translate one. /
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/page.h"
#include "net/net.h"

/* Addresses that an application may name: those of its own memory. */
struct core_range {
	uint64_t base, bytes;
};

static inline bool core_range_has(const struct core_range *range, const void *address, uint64_t length)
{
	uint64_t offset = (uintptr_t)address - range->base; /* huge, if that is less */
	return offset <= range->bytes && length <= range->bytes - offset;
}

struct core_context {
	struct rb_net *net;
	const struct rb_command *commands; /* the application's */
	struct rb_event *events;	   /* the application's */
	struct rb_net_places places;	   /* of `events`: where the next one goes, also of the instance's own */
	uint32_t commands_max, events_max;
	bool accepted; /* a connection, since the last core_context_collect() */
	bool more;     /* events may wait in the instance for room in the array */
	bool nagle;
	uint64_t group; /* of the handles, in its place */
	struct core_range memory;
	uint64_t deadline_ns, deadline_cookie;
	uint32_t close_timeout_us;
	struct rb_gate_counters counters; /* without what the instance has told of directly: core_context_counters() */
};

/* Events in the array since the last crossing. */
static inline uint32_t core_context_count(const struct core_context *context)
{
	return (uint32_t)((const struct rb_event *)(const void *)context->places.next - context->events);
}

/* Whether there are any. */
static inline bool core_context_has(const struct core_context *context)
{
	return (const void *)context->places.next != context->events;
}

/*
 * The instance and the arrays must outlive the context, and the context the instance's last input: it has the context's
 * address from now on. -EINVAL; -EFAULT: arrays outside of `memory`.
 */
int core_context_init(struct core_context *context, struct rb_net *net, const struct rb_gate_context *config,
		      const struct core_range *memory);

/*
 * Carries out the commands at the front of the array; `count` is the application's, unchecked. Events that were in the
 * other array are the application's from now on: it is filled from its front again. /
 */
void core_context_execute(struct core_context *context, uint64_t count);

/* Adds to the event array what the instance has to tell, and has not written there itself, and TIMER when it is due. */
void core_context_collect(struct core_context *context, uint64_t now_ns);

struct rb_gate_counters core_context_counters(const struct core_context *context);

/* ---- between context.c and command.c ---- */

/* The next free slot of the event array, all zeros but for the type. The caller knows that there is one. */
struct rb_event *core_context_event(struct core_context *context, enum rb_event_type type);

/* From the addresses of the ABI to those of the instance: IPv4. */
struct rb_endpoint core_endpoint(struct rb_address address);
