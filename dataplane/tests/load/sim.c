// SPDX-License-Identifier: Apache-2.0

#include "sim.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_START_NS RB_NS_PER_S

static struct sim *only;

struct sim *sim_new(void)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	RB_ASSERT(sim != NULL);
	RB_ASSERT(only == NULL);
	rb_virtual_clock_init(&sim->clock, CLOCK_START_NS);
	sim->delay_ns = 10000;
	sim->service_ns = 1000;
	sim->message_bytes = 64;
	sim->timer_ns = RB_DEADLINE_NONE;
	only = sim;
	return sim;
}

static void free_delivered(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->delivered_count; i++)
		free(sim->delivered[i]);
	sim->delivered_count = 0;
}

void sim_free(struct sim *sim)
{
	free_delivered(sim);
	free(sim->delivered);
	for (uint32_t i = 0; i < sim->events_count; i++)
		free(sim->events[i].data);
	free(sim->events);
	for (unsigned i = 0; i < SIM_CONNECTIONS_MAX; i++)
		free(sim->connections[i].input);
	free(sim);
	only = NULL;
}

/* ---- the queue of things to come ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

static void swap(struct sim_event *a, struct sim_event *b)
{
	const struct sim_event t = *a;

	*a = *b;
	*b = t;
}

static void push(struct sim *sim, struct sim_event event)
{
	if (sim->events_count == sim->events_capacity) {
		sim->events_capacity = sim->events_capacity == 0 ? 1024 : sim->events_capacity * 2;
		struct sim_event *events = realloc(sim->events, sim->events_capacity * sizeof(*events));
		RB_ASSERT(events != NULL);
		sim->events = events;
	}
	event.order = sim->order++;
	uint32_t at = sim->events_count++;
	sim->events[at] = event;
	while (at > 0 && before(&sim->events[at], &sim->events[(at - 1) / 2])) {
		swap(&sim->events[at], &sim->events[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
}

static struct sim_event pop(struct sim *sim)
{
	const struct sim_event first = sim->events[0];
	uint32_t at = 0;

	sim->events[0] = sim->events[--sim->events_count];
	for (;;) {
		uint32_t least = at;

		for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < sim->events_count; child++) {
			if (before(&sim->events[child], &sim->events[least]))
				least = child;
		}
		if (least == at)
			return first;
		swap(&sim->events[at], &sim->events[least]);
		at = least;
	}
}

static void later(struct sim *sim, uint64_t time_ns, const struct sim_connection *c, enum rb_event_type type,
		  int32_t status)
{
	struct sim_event e = {.time_ns = time_ns};

	e.event.type = (uint16_t)type;
	e.event.status = status;
	e.event.handle = c->handle;
	e.event.cookie = c->cookie;
	push(sim, e);
}

/* ---- the server ---- */

static void deliver(struct sim *sim, struct sim_connection *c, uint64_t time_ns, const uint8_t *bytes, uint32_t length)
{
	const uint32_t step = sim->fragment_bytes == 0 ? length : sim->fragment_bytes;

	for (uint32_t at = 0; at < length; at += step) {
		const uint32_t n = length - at < step ? length - at : step;
		struct sim_event e = {.time_ns = time_ns, .data = malloc(n)};

		RB_ASSERT(e.data != NULL);
		memcpy(e.data, bytes + at, n);
		e.event = (struct rb_event){.type = RB_EVENT_RECV, .handle = c->handle, .cookie = c->cookie};
		e.event.recv.data = e.data;
		e.event.recv.length = n;
		push(sim, e);
	}
}

static void end_from_server(struct sim *sim, struct sim_connection *c, uint64_t time_ns, int32_t status)
{
	if (status != 0) {
		later(sim, time_ns, c, RB_EVENT_CLOSED, status);
	} else {
		struct sim_event e = {.time_ns = time_ns};

		e.event = (struct rb_event){
			.type = RB_EVENT_RECV, .flags = RB_RECV_FIN, .handle = c->handle, .cookie = c->cookie};
		push(sim, e);
	}
}

static void serve(struct sim *sim, struct sim_connection *c, uint64_t now_ns)
{
	bool silent = sim->silent_after_ns != 0 && now_ns >= sim->silent_after_ns;
	uint64_t start = now_ns > sim->server_free_ns ? now_ns : sim->server_free_ns;

	if (sim->messages < sizeof(sim->message_times) / sizeof(sim->message_times[0]))
		sim->message_times[sim->messages] = now_ns;
	sim->messages++;
	silent = silent || (sim->lose_every != 0 && sim->messages % sim->lose_every == 0);
	if (silent)
		return;
	if (start < sim->stall_until_ns && start + sim->service_ns > sim->stall_from_ns)
		start = sim->stall_until_ns;
	sim->server_free_ns = start + sim->service_ns;
	if (sim->messages == sim->corrupt_message)
		c->input[sim->message_bytes - 1] ^= 1U;
	c->served++;
	const uint64_t arrival_ns = sim->server_free_ns + sim->delay_ns;
	deliver(sim, c, arrival_ns, c->input, sim->message_bytes);
	if (sim->reset_after != 0 && c->served == sim->reset_after)
		end_from_server(sim, c, arrival_ns + 1, -ECONNRESET);
	if (sim->fin_after != 0 && c->served == sim->fin_after)
		end_from_server(sim, c, arrival_ns + 1, 0);
}

static void server_input(struct sim *sim, struct sim_connection *c, const uint8_t *bytes, uint64_t length,
			 uint64_t now_ns)
{
	if (!c->open)
		return;
	for (uint64_t i = 0; i < length; i++) {
		c->input[c->input_bytes++] = bytes[i];
		if (c->input_bytes == sim->message_bytes) {
			serve(sim, c, now_ns);
			c->input_bytes = 0;
		}
	}
}

/* ---- commands ---- */

static struct sim_connection *find(struct sim *sim, rb_handle handle)
{
	struct sim_connection *c = &sim->connections[rb_handle_index(handle)];

	RB_ASSERT_EQ(c->handle, handle);
	return c;
}

static struct sim_connection *unused(struct sim *sim)
{
	for (unsigned i = 0; i < SIM_CONNECTIONS_MAX; i++) {
		if (sim->connections[i].handle == 0)
			return &sim->connections[i];
	}
	rb_assert_failed(__FILE__, __LINE__, "more connections than the test allows for");
}

static void do_connect(struct sim *sim, const struct rb_command *command, uint64_t now_ns)
{
	struct sim_connection *c = unused(sim);
	int32_t status = 0;

	if (c->input == NULL)
		c->input = malloc(65536);
	RB_ASSERT(c->input != NULL);
	if (sim->connects < SIM_CONNECTIONS_MAX)
		sim->connects_at_ns[sim->connects] = now_ns;
	sim->connects++;
	if (sim->refuse_all || sim->refuse_connects > 0) {
		status = -ECONNREFUSED;
		sim->refuse_connects -= sim->refuse_connects > 0 ? 1U : 0U;
	}
	uint8_t *const input = c->input;
	*c = (struct sim_connection){.handle = rb_handle_make(0, (uint32_t)(c - sim->connections), ++sim->generation),
				     .cookie = command->cookie,
				     .input = input,
				     .local = command->connect.local,
				     .remote = command->connect.remote};
	later(sim, now_ns + 2 * sim->delay_ns + sim->connect_delay_ns, c, RB_EVENT_CONNECTED, status);
}

static void do_sendv(struct sim *sim, const struct rb_command *command, uint64_t now_ns)
{
	struct sim_connection *c = find(sim, command->handle);
	struct sim_event e = {.time_ns = now_ns + sim->delay_ns, .server = true};
	const struct rb_sg *sg = rb_sendv_pieces(command);
	uint64_t length = 0;

	RB_ASSERT(c->open && !c->closing);
	for (uint32_t i = 0; i < command->sendv.count; i++)
		length += sg[i].length;
	e.data = malloc(length);
	RB_ASSERT(e.data != NULL);
	uint64_t at = 0;
	for (uint32_t i = 0; i < command->sendv.count; i++) {
		memcpy(e.data + at, sg[i].base, sg[i].length);
		at += sg[i].length;
	}
	e.event.handle = c->handle;
	e.event.recv.length = length;
	c->sent_unreleased += length;
	RB_ASSERT_LE(command->sendv.done, c->unreturned);
	c->unreturned -= command->sendv.done;
	/* Released when acknowledged: one round trip later. */
	struct sim_event sent = {.time_ns = now_ns + 2 * sim->delay_ns};
	sent.event = (struct rb_event){.type = RB_EVENT_SENT, .handle = c->handle, .cookie = c->cookie};
	sent.event.sent.bytes = length;
	if (command->sendv.count == 1) {
		sent.held = sg[0].base;
		sent.data = malloc(length);
		RB_ASSERT(sent.data != NULL);
		memcpy(sent.data, e.data, length);
	}
	push(sim, sent);
	push(sim, e);
}

static void do_close(struct sim *sim, const struct rb_command *command, uint64_t now_ns)
{
	struct sim_connection *c = find(sim, command->handle);
	const bool abort = (command->flags & RB_CLOSE_ABORT) != 0;

	RB_ASSERT(c->open && !c->closing);
	c->closing = true;
	(*(abort ? &sim->aborts : &sim->fins))++;
	later(sim, now_ns + (abort ? 0 : 2 * sim->delay_ns), c, RB_EVENT_CLOSED, abort ? -ECONNABORTED : 0);
}

static void carry_out(struct sim *sim, const struct rb_command *command, uint64_t now_ns)
{
	switch (command->type) {
	case RB_COMMAND_CONNECT:
		do_connect(sim, command, now_ns);
		break;
	case RB_COMMAND_SENDV:
		do_sendv(sim, command, now_ns);
		break;
	case RB_COMMAND_RECV_DONE: {
		struct sim_connection *c = find(sim, command->handle);
		RB_ASSERT_LE(command->recv_done.bytes, c->unreturned);
		c->unreturned -= command->recv_done.bytes;
		sim->returns++;
		break;
	}
	case RB_COMMAND_CLOSE:
		do_close(sim, command, now_ns);
		break;
	case RB_COMMAND_TIMER:
		sim->timer_ns = command->timer.deadline_ns;
		break;
	default:
		rb_assert_failed(__FILE__, __LINE__, "unexpected command");
	}
}

/* ---- events ---- */

/* Updates the connection for an event on its way to the client. False: the client must not see it. */
static bool apply(struct sim *sim, const struct rb_event *event)
{
	struct sim_connection *c = &sim->connections[rb_handle_index(event->handle)];

	if (c->handle != event->handle)
		return false;
	switch (event->type) {
	case RB_EVENT_CONNECTED:
		c->open = event->status == 0;
		if (!c->open)
			c->handle = 0;
		sim->open_now += c->open ? 1U : 0U;
		sim->open_most = sim->open_now > sim->open_most ? sim->open_now : sim->open_most;
		return true;
	case RB_EVENT_RECV:
		c->unreturned += c->closing ? 0 : event->recv.length;
		return !c->closing;
	case RB_EVENT_SENT:
		c->sent_unreleased -= event->sent.bytes;
		return true;
	case RB_EVENT_CLOSED:
		c->handle = 0;
		c->open = false;
		sim->open_now--;
		sim->closes++;
		return true;
	default:
		return true;
	}
}

static void keep_until_next(struct sim *sim, uint8_t *data)
{
	if (sim->delivered_count == sim->delivered_capacity) {
		sim->delivered_capacity = sim->delivered_capacity == 0 ? 256 : 2 * sim->delivered_capacity;
		uint8_t **delivered = realloc(sim->delivered, sim->delivered_capacity * sizeof(*delivered));
		RB_ASSERT(delivered != NULL);
		sim->delivered = delivered;
	}
	sim->delivered[sim->delivered_count++] = data;
}

/* Takes what is due until now; returns how many events were filled in. */
static uint32_t collect(struct sim *sim, struct rb_event *events, uint32_t max)
{
	const uint64_t now_ns = sim->clock.ns;
	uint32_t count = 0;

	while (count < max && sim->events_count > 0 && sim->events[0].time_ns <= now_ns) {
		struct sim_event e = pop(sim);

		if (e.server) {
			struct sim_connection *c = &sim->connections[rb_handle_index(e.event.handle)];
			if (c->handle == e.event.handle)
				server_input(sim, c, e.data, e.event.recv.length, e.time_ns);
			free(e.data);
			continue;
		}
		if (e.held != NULL && sim->connections[rb_handle_index(e.event.handle)].handle == e.event.handle)
			RB_ASSERT_EQ(memcmp(e.held, e.data, e.event.sent.bytes), 0);
		if (e.data != NULL)
			keep_until_next(sim, e.data);
		if (apply(sim, &e.event))
			events[count++] = e.event;
	}
	if (count < max && sim->timer_ns <= now_ns) {
		events[count] = (struct rb_event){.type = RB_EVENT_TIMER, .cookie = UINT64_MAX};
		events[count++].timer.deadline_ns = sim->timer_ns;
		sim->timer_ns = RB_DEADLINE_NONE;
	}
	return count;
}

static void pass_time(struct sim *sim, uint64_t until_ns)
{
	if (until_ns >= sim->pause_from_ns && until_ns < sim->pause_until_ns)
		until_ns = sim->pause_until_ns;
	rb_virtual_clock_advance_to(&sim->clock, until_ns);
}

static int run_io(void *state, const struct rb_command *commands, uint32_t commands_count, struct rb_event *events,
		  uint32_t events_max, enum rb_wait wait)
{
	struct sim *sim = state;

	free_delivered(sim);
	for (uint32_t i = 0; i < commands_count; i++)
		carry_out(sim, &commands[i], sim->clock.ns);
	pass_time(sim, sim->clock.ns + sim->turn_cost_ns);
	uint32_t count = collect(sim, events, events_max);
	while (count == 0 && wait == RB_WAIT) {
		const uint64_t next_ns = sim->events_count > 0 ? sim->events[0].time_ns : RB_DEADLINE_NONE;
		const uint64_t until_ns = next_ns < sim->timer_ns ? next_ns : sim->timer_ns;

		if (until_ns == RB_DEADLINE_NONE) {
			RB_ASSERT(sim->idle != NULL && sim->idle(sim, sim->idle_arg));
			return 0;
		}
		pass_time(sim, until_ns);
		count = collect(sim, events, events_max);
	}
	return (int)count;
}

static int context_create(const struct rb_context_config *config, struct rb_context_stats *stats, void **state)
{
	(void)stats;
	RB_ASSERT(only != NULL && config->clock == &only->clock.clock);
	*state = only;
	return 0;
}

static void context_destroy(void *state)
{
	(void)state;
}

static void wake(void *state)
{
	(void)state;
}

static const char *const no_syscalls[] = {NULL};

const struct rb_backend sim_backend = {.name = "sim",
				       .syscall_names = no_syscalls,
				       .context_create = context_create,
				       .context_destroy = context_destroy,
				       .run_io = run_io,
				       .wake = wake};
