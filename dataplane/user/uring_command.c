// SPDX-License-Identifier: Apache-2.0
/*
 * Commands of the io_uring back-end: decode and check everything, then act. The descriptor is copied first, because in
 * principle the application may change it while it is being looked at.
 */
#include <errno.h>
#include <stddef.h>

#include "base/assert.h"
#include "user/uring_defs.h"

static struct rb_event *add_pending(struct uring_context *context, enum rb_event_type type,
				    const struct rb_command *command, int status)
{
	/* Each run_io() delivers more pending events than it can make, see rb_context_config.events_max. */
	RB_ASSERT_LT(context->pending_count, context->pending_max);
	uint32_t slot = (context->pending_first + context->pending_count++) % context->pending_max;
	struct rb_event *event = &context->pending[slot];
	*event = (struct rb_event){.type = (uint16_t)type, .status = status, .cookie = command->cookie};
	return event;
}

/* Returns 0 if the outcome is yet to come. */
static int start_connect(struct uring_context *context, const struct rb_command *command)
{
	struct rb_address local = command->connect.local;
	struct rb_address remote = command->connect.remote;
	if (remote.ip == 0 || remote.port == 0)
		return -EINVAL;
	struct uring_connection *connection = uring_connection_take(context, URING_CONNECTING);
	if (connection == NULL)
		return -ENOBUFS;
	int fd = rb_socket_connect(&context->config, local, remote, context->stats->syscalls);
	if (fd < 0) {
		uring_connection_give(context, connection);
		return fd;
	}
	connection->fd = fd;
	connection->cookie = command->cookie;
	connection->local = local;
	connection->remote = remote;
	uring_connection_await(context, connection);
	return 0;
}

static void execute_connect(struct uring_context *context, const struct rb_command *command)
{
	int result = start_connect(context, command);
	if (result == 0)
		return;
	struct rb_event *event = add_pending(context, RB_EVENT_CONNECTED, command, result);
	event->connected.local = command->connect.local;
	event->connected.remote = command->connect.remote;
}

static int execute_accept(struct uring_context *context, struct uring_connection *connection, uint64_t cookie)
{
	if (connection->state != URING_KNOCKED)
		return -EINVAL;
	connection->cookie = cookie;
	connection->state = URING_OPEN;
	uring_connection_ready(context, connection);
	return 0;
}

static int execute_reject(struct uring_context *context, struct uring_connection *connection)
{
	if (connection->state != URING_KNOCKED)
		return -EINVAL;
	rb_socket_abort(connection->fd, context->stats->syscalls);
	connection->fd = -1;
	context->stats->closed++;
	uring_connection_give(context, connection);
	uring_listen_hurry(context);
	return 0;
}

static int execute_recv_done(struct uring_context *context, struct uring_connection *connection, uint64_t bytes)
{
	if (bytes == 0 || !uring_rx_return(&context->rx, &connection->held, bytes))
		return -EINVAL;
	if (connection->held.waiting != 0 || !connection->receiving)
		uring_connection_ready(context, connection);
	return 0;
}

static int execute_sendv(struct uring_context *context, struct uring_connection *connection,
			 const struct rb_command *command)
{
	const struct rb_sg *sg = rb_sendv_pieces(command);
	uint32_t count = command->sendv.count, done = command->sendv.done;
	if (done > connection->held.bytes)
		return -EINVAL;
	if (connection->state != URING_OPEN || connection->write_closed)
		return -EPIPE;
	if (sg == NULL)
		return -EFAULT;
	if (count == 0 || count > RB_SENDV_ENTRIES_MAX)
		return -EINVAL;
	int result = tx_queue_append(&context->tx, &connection->tx, sg, count);
	if (result == 0 && done > 0)
		result = execute_recv_done(context, connection, done); /* it has so many */
	if (result == 0)
		uring_connection_ready(context, connection);
	return result;
}

static int execute_close(struct uring_context *context, struct uring_connection *connection, uint16_t flags)
{
	bool closing = connection->state == URING_CLOSING;
	if (connection->state != URING_OPEN && !closing)
		return -EINVAL;
	switch (flags) {
	case RB_CLOSE_ABORT:
		uring_connection_end(context, connection, -ECONNABORTED, true);
		return 0;
	case RB_CLOSE_WRITE:
		if (connection->write_closed)
			return -EALREADY;
		break;
	case RB_CLOSE_ORDERLY:
		if (closing)
			return -EALREADY;
		connection->state = URING_CLOSING;
		uring_rx_drop_all(&context->rx, &connection->held);
		uring_connection_set_close_deadline(context, connection);
		break;
	default:
		return -EINVAL;
	}
	connection->write_closed = true;
	uring_connection_ready(context, connection);
	return 0;
}

static int execute_on_connection(struct uring_context *context, struct uring_connection *connection,
				 const struct rb_command *command)
{
	switch (command->type) {
	case RB_COMMAND_ACCEPT:
		return execute_accept(context, connection, command->cookie);
	case RB_COMMAND_REJECT:
		return execute_reject(context, connection);
	case RB_COMMAND_SENDV:
		return execute_sendv(context, connection, command);
	case RB_COMMAND_RECV_DONE:
		return execute_recv_done(context, connection, command->recv_done.bytes);
	case RB_COMMAND_CLOSE:
		return execute_close(context, connection, command->flags);
	default:
		return -EINVAL;
	}
}

void uring_command_execute(struct uring_context *context, const struct rb_command *source)
{
	struct rb_command command = *source;
	if (command.type == RB_COMMAND_CONNECT) {
		execute_connect(context, &command);
		return;
	}
	if (command.type == RB_COMMAND_TIMER) {
		context->timer_deadline_ns = command.timer.deadline_ns;
		context->timer_cookie = command.cookie;
		return;
	}
	struct uring_connection *connection = uring_connection_find(context, command.handle);
	int result = connection == NULL ? -EBADF : execute_on_connection(context, connection, &command);
	if (result == 0)
		return;
	/* ACCEPT carries the new cookie; for the others the connection's own says more. */
	if (connection != NULL && command.type != RB_COMMAND_ACCEPT)
		command.cookie = connection->cookie;
	struct rb_event *event = add_pending(context, RB_EVENT_ERROR, &command, result);
	event->handle = command.handle;
	event->error.command = command.type;
	event->error.count = 1;
}
