// SPDX-License-Identifier: Apache-2.0
/* Making a context, and the way up: from the instance's events to those of the ABI. */
#include "core/context.h"

#include "base/assert.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>

/* One event of the instance may become so many: CONNECTED or KNOCK, SENT or RECV, CLOSED. */
enum { EVENTS_PER_NET_EVENT = 3, NET_EVENTS_MAX = 64, ROOM_MAX = EVENTS_PER_NET_EVENT * NET_EVENTS_MAX };
RB_BUILD_ASSERT((int)RB_EVENTS_SPARE > (int)EVENTS_PER_NET_EVENT,
		"there is room for one, and for TIMER, whatever fails");

static bool is_line(const void *pointer)
{
	return (uintptr_t)pointer % 64 == 0;
}

int core_context_init(struct core_context *context, struct rb_net *net, const struct rb_gate_context *config,
		      const struct core_range *memory)
{
	uint64_t commands = config->commands_max, events = config->events_max;
	if (commands == 0 || events < commands + RB_EVENTS_SPARE || config->flow_group >= RB_FLOW_GROUPS_MAX ||
	    !is_line(config->commands) || !is_line(config->events))
		return -EINVAL;
	if (!core_range_has(memory, config->commands, commands * sizeof(struct rb_command)) ||
	    !core_range_has(memory, config->events, events * sizeof(struct rb_event)))
		return -EFAULT;
	/* in us, rounded up: one that was asked for is never none */
	uint64_t close_timeout_us = config->close_timeout_ns / RB_NS_PER_US;
	close_timeout_us += config->close_timeout_ns % RB_NS_PER_US != 0;
	if (close_timeout_us > UINT32_MAX)
		return -EINVAL; /* more than the instance can wait for */
	*context = (struct core_context){
		.net = net,
		.commands = config->commands,
		.events = config->events,
		.commands_max = config->commands_max,
		.events_max = config->events_max,
		.group = rb_handle_make(config->flow_group, 0, 0),
		.memory = *memory,
		.deadline_ns = RB_DEADLINE_NONE,
		.close_timeout_us = (uint32_t)close_timeout_us,
		.nagle = config->nagle != 0,
	};
	return 0;
}

struct rb_endpoint core_endpoint(struct rb_address address)
{
	if (address.ip == 0)
		return (struct rb_endpoint){.port = address.port};
	return (struct rb_endpoint){.ip = rb_ip4(address.ip), .port = address.port};
}

/* The next free slot of the event array, as it lies there. */
static inline struct rb_event *next_slot(struct core_context *context)
{
	RB_DEBUG_ASSERT_LT(context->events_count, context->events_max);
	return &context->events[context->events_count++];
}

struct rb_event *core_context_event(struct core_context *context, enum rb_event_type type)
{
	struct rb_event *event = next_slot(context);
	*event = (struct rb_event){.type = (uint16_t)type};
	return event;
}

static struct rb_event *tell(struct core_context *context, enum rb_event_type type, const struct rb_net_event *from)
{
	struct rb_event *event = core_context_event(context, type);
	event->handle = context->group | from->handle;
	event->cookie = from->cookie;
	return event;
}

static void tell_addresses(struct core_context *context, const struct rb_net_event *from, struct rb_address *local,
			   struct rb_address *remote)
{
	struct rb_net_pair4 pair;
	if (rb_net_pair4(context->net, from->handle, &pair) != 0)
		return; /* over already: CLOSED follows */
	*local = (struct rb_address){.ip = pair.local_ip, .port = pair.local_port};
	*remote = (struct rb_address){.ip = pair.remote_ip, .port = pair.remote_port};
}

static void tell_beginning(struct core_context *context, const struct rb_net_event *from)
{
	if (from->bits & RB_NET_KNOCK) {
		struct rb_event *event = tell(context, RB_EVENT_KNOCK, from);
		tell_addresses(context, from, &event->knock.local, &event->knock.remote);
		return;
	}
	struct rb_event *event = tell(context, RB_EVENT_CONNECTED, from);
	if (from->status != 0 && !(from->bits & RB_NET_CLOSED)) {
		event->status = from->status;
		event->handle = 0; /* is void */
		return;
	}
	/* a status that comes with CLOSED is that of the end: it was connected before */
	context->counters.connected++;
	tell_addresses(context, from, &event->connected.local, &event->connected.remote);
}

static void tell_end(struct core_context *context, const struct rb_net_event *from)
{
	tell(context, RB_EVENT_CLOSED, from)->status = from->status;
	context->counters.closed++;
}

static void tell_sent(struct core_context *context, const struct rb_net_event *from)
{
	tell(context, RB_EVENT_SENT, from)->sent.bytes = from->sent;
	context->counters.bytes_out += from->sent;
}

/*
 * A request nearly always acknowledges the answer before it. Both events have their fields in the same places from the
 * cookie on.
 */
static inline void fill_received(struct rb_event *event, const struct rb_net_event *from, uint64_t group)
{
	enum {
		SAME = offsetof(struct rb_event, cookie),
		REST = offsetof(struct rb_event, recv.sent) + sizeof(uint64_t),
	};
	RB_BUILD_ASSERT(offsetof(struct rb_net_event, cookie) == offsetof(struct rb_event, cookie) &&
				offsetof(struct rb_net_event, data) == offsetof(struct rb_event, recv.data) &&
				offsetof(struct rb_net_event, length) == offsetof(struct rb_event, recv.length) &&
				offsetof(struct rb_net_event, sent) == offsetof(struct rb_event, recv.sent),
			"copied from the cookie on");
	const struct {
		uint16_t type, flags;
		int32_t status;
	} first = {.type = RB_EVENT_RECV};
	memcpy(event, &first, sizeof(first));
	event->handle = group | from->handle;
	memcpy((char *)event + SAME, (const char *)from + SAME, REST - SAME);
	memset((char *)event + REST, 0, sizeof(*event) - REST);
}

static void tell_received(struct core_context *context, const struct rb_net_event *from)
{
	fill_received(next_slot(context), from, context->group);
	context->counters.bytes_in += from->length;
	context->counters.bytes_out += from->sent;
}

/* With the end of the peer's stream, behind what it has sent if it has. */
static __attribute__((noinline)) void tell_fin(struct core_context *context, const struct rb_net_event *from)
{
	struct rb_event *event = tell(context, RB_EVENT_RECV, from);
	event->flags = RB_RECV_FIN;
	event->recv.sent = from->sent;
	context->counters.bytes_out += from->sent;
	if (from->bits & RB_NET_RECEIVED) {
		event->recv.data = from->data;
		event->recv.length = from->length;
		context->counters.bytes_in += from->length;
	}
}

static void translate_other(struct core_context *context, const struct rb_net_event *from)
{
	if (from->bits & (RB_NET_KNOCK | RB_NET_CONNECTED))
		tell_beginning(context, from);
	if (from->bits & RB_NET_FIN)
		tell_fin(context, from);
	else if (from->bits & RB_NET_RECEIVED)
		tell_received(context, from);
	else if (from->bits & RB_NET_SENT)
		tell_sent(context, from);
	if (from->bits & RB_NET_CLOSED)
		tell_end(context, from);
}

/* Of bytes that were received, and of nothing but that others were sent: so are most. */
static inline bool is_received(const struct rb_net_event *event)
{
	return (event->bits & ~(unsigned)RB_NET_SENT) == RB_NET_RECEIVED;
}

/* Of others, of which there is at least one. Returns how many, from the first on, are such. */
static __attribute__((noinline)) unsigned translate_others(struct core_context *context,
							   const struct rb_net_event *from, unsigned count)
{
	unsigned i = 0;
	do
		translate_other(context, &from[i]);
	while (++i < count && !is_received(&from[i]));
	return i;
}

/* Those of received bytes are counted together, and in registers. */
static inline void translate(struct core_context *context, const struct rb_net_event *from, unsigned count)
{
	const struct rb_net_event *end = from + count;
	struct rb_event *to = &context->events[context->events_count];
	const uint64_t group = context->group;
	uint64_t in = 0, out = 0;
	while (from < end) {
		if (__builtin_expect(is_received(from), 1)) {
			fill_received(to++, from, group);
			in += from->length;
			out += from->sent;
			from++;
			continue;
		}
		context->events_count = (uint32_t)(to - context->events);
		from += translate_others(context, from, (unsigned)(end - from));
		to = &context->events[context->events_count];
	}
	context->events_count = (uint32_t)(to - context->events);
	RB_DEBUG_ASSERT_LE(context->events_count, context->events_max);
	context->counters.bytes_in += in;
	context->counters.bytes_out += out;
}

static void tell_deadline(struct core_context *context)
{
	struct rb_event *event = core_context_event(context, RB_EVENT_TIMER);
	event->cookie = context->deadline_cookie;
	event->timer.deadline_ns = context->deadline_ns;
	context->deadline_ns = RB_DEADLINE_NONE;
}

void core_context_collect(struct core_context *context, uint64_t now_ns)
{
	context->accepted = false;
	if (now_ns >= context->deadline_ns && context->events_count < context->events_max)
		tell_deadline(context);
	for (;;) {
		const struct rb_net_event *events;
		const uint32_t room = context->events_max - context->events_count;
		const uint32_t most = room >= ROOM_MAX ? (uint32_t)NET_EVENTS_MAX : room / EVENTS_PER_NET_EVENT;
		context->more = most == 0;
		if (most == 0)
			return;
		unsigned count = rb_net_events(context->net, &events, most);
		translate(context, events, count);
		if (count < most)
			return; /* should there be more after all, the next turn has them */
	}
}
