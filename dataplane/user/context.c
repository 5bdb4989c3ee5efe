// SPDX-License-Identifier: Apache-2.0
#include "user/context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "user/backend.h"

struct rb_context {
	const struct rb_backend *backend;
	void *state; /* the back-end's */
	struct rb_context_config config;
	uint32_t commands_count;
	uint32_t overflowed; /* commands refused since the last run_io() */
	struct rb_command *commands;
	struct rb_event *events; /* one more than events_max: the first is for what report_overflow() has to say */
	struct rb_context_stats stats;
};

struct rb_listener {
	const struct rb_backend *backend;
	void *state;
};

static void set_default(uint32_t *field, uint32_t value)
{
	if (*field == 0)
		*field = value;
}

static int fill_config(struct rb_context_config *config)
{
	if (config->backend == NULL)
		config->backend = rb_backend_default();
	if (config->clock == NULL)
		config->clock = config->backend->clock != NULL ? config->backend->clock() : rb_clock_monotonic();
	set_default(&config->commands_max, 256);
	set_default(&config->events_max, 512);
	set_default(&config->batch_max, 64);
	set_default(&config->connections_max, 16384);
	set_default(&config->rx_buffer_bytes, 16384);
	set_default(&config->rx_buffers_per_connection, 4);
	if (config->close_timeout_ns == 0)
		config->close_timeout_ns = 5 * RB_NS_PER_S;
	if (config->flow_group >= RB_FLOW_GROUPS_MAX || config->connections_max > RB_CONNECTIONS_PER_GROUP_MAX)
		return -EINVAL;
	if (config->events_max < (uint64_t)config->commands_max + RB_EVENTS_SPARE)
		return -EINVAL;
	/* all counts of buffers and entries fit 32 bits */
	if (config->rx_buffers_per_connection > 1024)
		return -EINVAL;
	set_default(&config->tx_entries_max, 4 * config->connections_max);
	return 0;
}

/* Zeroed, each element at the beginning of a cache line. */
static void *allocate_lines(size_t count, size_t size)
{
	void *lines = aligned_alloc(64, count * size);
	if (lines != NULL)
		memset(lines, 0, count * size);
	return lines;
}

int rb_context_create(const struct rb_context_config *config, struct rb_context **context)
{
	struct rb_context *made = calloc(1, sizeof(*made));
	if (made == NULL)
		return -ENOMEM;
	made->config = *config;
	int result = fill_config(&made->config);
	if (result != 0)
		goto fail;
	result = -ENOMEM;
	made->backend = made->config.backend;
	made->commands = allocate_lines(made->config.commands_max, sizeof(*made->commands));
	made->events = allocate_lines((size_t)made->config.events_max + 1, sizeof(*made->events));
	if (made->commands == NULL || made->events == NULL)
		goto fail;
	result = made->backend->context_create(&made->config, &made->stats, &made->state);
	if (result != 0)
		goto fail;
	if (made->backend->arrays != NULL)
		result = made->backend->arrays(made->state, made->commands, made->events + 1);
	if (result != 0) {
		made->backend->context_destroy(made->state);
		goto fail;
	}
	*context = made;
	return 0;
fail:
	free(made->commands);
	free(made->events);
	free(made);
	return result;
}

void rb_context_destroy(struct rb_context *context)
{
	if (context == NULL)
		return;
	context->backend->context_destroy(context->state);
	free(context->commands);
	free(context->events);
	free(context);
}

/* As it was left. */
static inline struct rb_command *next_slot(struct rb_context *context)
{
	if (context->commands_count == context->config.commands_max) {
		context->overflowed++;
		return NULL;
	}
	return &context->commands[context->commands_count++];
}

struct rb_command *rb_context_command(struct rb_context *context)
{
	struct rb_command *command = next_slot(context);
	if (command != NULL)
		*command = (struct rb_command){0};
	return command;
}

uint32_t rb_context_command_space(const struct rb_context *context)
{
	return context->config.commands_max - context->commands_count;
}

/* Uses the slot in front of the back-end's for the commands that found none. */
static uint32_t report_overflow(struct rb_context *context)
{
	if (context->overflowed == 0)
		return 0;
	context->events[0] = (struct rb_event){.type = RB_EVENT_ERROR, .status = -ENOBUFS};
	context->events[0].error.count = context->overflowed;
	context->overflowed = 0;
	return 1;
}

int rb_context_run_io(struct rb_context *context, enum rb_wait wait, const struct rb_event **events)
{
	uint32_t first = report_overflow(context);
	uint32_t commands = context->commands_count;
	context->commands_count = 0;
	int count = context->backend->run_io(context->state, context->commands, commands, context->events + 1,
					     context->config.events_max, first > 0 ? RB_POLL : wait);
	*events = context->events + 1 - first;
	context->stats.commands += commands;
	if (count < 0)
		return count;
	RB_DEBUG_ASSERT_LE((uint32_t)count, context->config.events_max);
	context->stats.events += (uint32_t)count + first;
	return count + (int)first;
}

void rb_context_wake(struct rb_context *context)
{
	context->backend->wake(context->state);
}

uint64_t rb_context_now(const struct rb_context *context)
{
	return rb_clock_now(context->config.clock);
}

/* ---- filling commands ---- */

static struct rb_command *next_command(struct rb_context *context, enum rb_command_type type, rb_handle handle)
{
	struct rb_command *command = rb_context_command(context);
	if (command != NULL) {
		command->type = (uint16_t)type;
		command->handle = handle;
	}
	return command;
}

int rb_context_connect(struct rb_context *context, struct rb_address local, struct rb_address remote, uint64_t cookie)
{
	struct rb_command *command = next_command(context, RB_COMMAND_CONNECT, 0);
	if (command == NULL)
		return -ENOBUFS;
	command->cookie = cookie;
	command->connect.local = local;
	command->connect.remote = remote;
	return 0;
}

int rb_context_accept(struct rb_context *context, rb_handle handle, uint64_t cookie)
{
	struct rb_command *command = next_command(context, RB_COMMAND_ACCEPT, handle);
	if (command == NULL)
		return -ENOBUFS;
	command->cookie = cookie;
	return 0;
}

int rb_context_reject(struct rb_context *context, rb_handle handle)
{
	return next_command(context, RB_COMMAND_REJECT, handle) != NULL ? 0 : -ENOBUFS;
}

int rb_context_sendv(struct rb_context *context, rb_handle handle, const struct rb_sg *sg, uint32_t count)
{
	return rb_context_reply(context, handle, 0, sg, count);
}

/* Most commands are answers: what nobody reads of one is left as it was. */
int rb_context_reply(struct rb_context *context, rb_handle handle, uint32_t done, const struct rb_sg *sg,
		     uint32_t count)
{
	struct rb_command *command = next_slot(context);
	if (command == NULL)
		return -ENOBUFS;
	command->type = RB_COMMAND_SENDV;
	command->flags = 0;
	command->reserved = 0;
	command->handle = handle;
	command->cookie = 0;
	if (count == 1)
		command->sendv.one = *sg;
	else
		command->sendv.sg = sg;
	command->sendv.count = count;
	command->sendv.done = done;
	return 0;
}

int rb_context_recv_done(struct rb_context *context, rb_handle handle, uint64_t bytes)
{
	struct rb_command *command = next_command(context, RB_COMMAND_RECV_DONE, handle);
	if (command == NULL)
		return -ENOBUFS;
	command->recv_done.bytes = bytes;
	return 0;
}

int rb_context_close(struct rb_context *context, rb_handle handle, enum rb_close_flags flags)
{
	struct rb_command *command = next_command(context, RB_COMMAND_CLOSE, handle);
	if (command == NULL)
		return -ENOBUFS;
	command->flags = (uint16_t)flags;
	return 0;
}

int rb_context_timer(struct rb_context *context, uint64_t deadline_ns, uint64_t cookie)
{
	struct rb_command *command = next_command(context, RB_COMMAND_TIMER, 0);
	if (command == NULL)
		return -ENOBUFS;
	command->cookie = cookie;
	command->timer.deadline_ns = deadline_ns;
	return 0;
}

/* ---- listening ---- */

int rb_listener_create(const struct rb_backend *backend, const struct rb_listen_config *config,
		       struct rb_listener **listener)
{
	if (backend == NULL)
		backend = rb_backend_default();
	if (backend->listener_create == NULL)
		return -EOPNOTSUPP;
	struct rb_listen_config filled = *config;
	if (filled.backlog == 0)
		filled.backlog = 4096;
	if (filled.accept_batch == 0)
		filled.accept_batch = filled.mode == RB_LISTEN_SHARED ? 1 : 16;
	struct rb_listener *made = calloc(1, sizeof(*made));
	if (made == NULL)
		return -ENOMEM;
	made->backend = backend;
	int result = backend->listener_create(&filled, &made->state);
	if (result != 0) {
		free(made);
		return result;
	}
	*listener = made;
	return 0;
}

void rb_listener_destroy(struct rb_listener *listener)
{
	if (listener == NULL)
		return;
	listener->backend->listener_destroy(listener->state);
	free(listener);
}

struct rb_address rb_listener_address(const struct rb_listener *listener)
{
	return listener->backend->listener_address(listener->state);
}

int rb_context_listen(struct rb_context *context, struct rb_listener *listener, uint64_t cookie)
{
	if (listener->backend != context->backend)
		return -EINVAL;
	return context->backend->listen(context->state, listener->state, cookie);
}

const struct rb_context_stats *rb_context_stats(const struct rb_context *context)
{
	if (context->backend->count != NULL)
		context->backend->count(context->state);
	return &context->stats;
}

const struct rb_backend *rb_context_backend(const struct rb_context *context)
{
	return context->backend;
}
