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

/*
 * The array as the instance sees it. From the cookie on, both kinds of event have their fields in the same places, and
 * before it the type, which comes first, stands for itself.
 */
static struct rb_net_event *place(struct rb_event *event)
{
	RB_BUILD_ASSERT(sizeof(struct rb_net_event) == sizeof(struct rb_event) &&
				offsetof(struct rb_net_event, handle) == offsetof(struct rb_event, handle) &&
				offsetof(struct rb_net_event, cookie) == offsetof(struct rb_event, cookie) &&
				offsetof(struct rb_net_event, data) == offsetof(struct rb_event, recv.data) &&
				offsetof(struct rb_net_event, length) == offsetof(struct rb_event, recv.length) &&
				offsetof(struct rb_net_event, sent) == offsetof(struct rb_event, recv.sent),
			"the instance writes a RECV as it stands");
	RB_BUILD_ASSERT(offsetof(struct rb_event, type) == 0 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
			"a type is what 8 bytes begin with");
	return (struct rb_net_event *)(void *)event;
}

/* All that are left are the instance's to fill; or none, while it has something to tell that comes before. */
static void open_places(struct core_context *context)
{
	context->places.end = place(context->events) + context->events_max;
}

static void close_places(struct core_context *context)
{
	context->places.end = place(context->events);
}

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
	const uint64_t group = rb_handle_make(config->flow_group, 0, 0);
	*context = (struct core_context){
		.net = net,
		.commands = config->commands,
		.events = config->events,
		.places = {.next = place(config->events), .first = RB_EVENT_RECV, .name = group},
		.commands_max = config->commands_max,
		.events_max = config->events_max,
		.group = group,
		.memory = *memory,
		.deadline_ns = RB_DEADLINE_NONE,
		.close_timeout_us = (uint32_t)close_timeout_us,
		.nagle = config->nagle != 0,
	};
	open_places(context);
	rb_net_give_places(net, &context->places);
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
	RB_DEBUG_ASSERT_LT(core_context_count(context), context->events_max);
	return (struct rb_event *)(void *)context->places.next++;
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

/* A request nearly always acknowledges the answer before it. */
static void tell_received(struct core_context *context, const struct rb_net_event *from)
{
	struct rb_event *event = tell(context, RB_EVENT_RECV, from);
	event->recv.data = from->data;
	event->recv.length = from->length;
	event->recv.sent = from->sent;
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

static void translate(struct core_context *context, const struct rb_net_event *from)
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

static void tell_deadline(struct core_context *context)
{
	struct rb_event *event = core_context_event(context, RB_EVENT_TIMER);
	event->cookie = context->deadline_cookie;
	event->timer.deadline_ns = context->deadline_ns;
	context->deadline_ns = RB_DEADLINE_NONE;
}

/* What the instance has not written itself. */
static __attribute__((noinline)) void collect(struct core_context *context)
{
	for (;;) {
		const struct rb_net_event *events;
		const uint32_t room = context->events_max - core_context_count(context);
		const uint32_t most = room >= ROOM_MAX ? (uint32_t)NET_EVENTS_MAX : room / EVENTS_PER_NET_EVENT;
		context->more = most == 0;
		if (context->more) {
			close_places(context);
			return;
		}
		unsigned count = rb_net_events(context->net, &events, most);
		if (count == 0)
			break;
		for (unsigned i = 0; i < count; i++)
			translate(context, &events[i]);
	}
	open_places(context);
}

void core_context_collect(struct core_context *context, uint64_t now_ns)
{
	context->accepted = false;
	if (now_ns >= context->deadline_ns && core_context_count(context) < context->events_max)
		tell_deadline(context);
	if (__builtin_expect(rb_net_may_have_events(context->net) || context->more, 0))
		collect(context);
}

struct rb_gate_counters core_context_counters(const struct core_context *context)
{
	struct rb_gate_counters counters = context->counters;
	counters.bytes_in += context->places.received;
	counters.bytes_out += context->places.sent;
	return counters;
}
