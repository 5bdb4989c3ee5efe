// SPDX-License-Identifier: Apache-2.0
/*
 * Commands of the epoll back-end: decode and check everything, then act. The descriptor is copied first,
 * because in principle the application may change it while it is being looked at.
 */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "base/assert.h"
#include "user/epoll_defs.h"

static struct rb_event *add_pending(struct epoll_context *context, enum rb_event_type type,
				    const struct rb_command *command, int status)
{
	/* Each run_io() delivers more pending events than it can make, see rb_context_config.events_max. */
	RB_ASSERT_LT(context->pending_count, context->pending_max);
	uint32_t slot = (context->pending_first + context->pending_count++) % context->pending_max;
	struct rb_event *event = &context->pending[slot];
	*event = (struct rb_event){.type = (uint16_t)type, .status = status, .cookie = command->cookie};
	return event;
}

static void execute_connect(struct epoll_context *context, const struct rb_command *command)
{
	struct rb_address local = command->connect.local;
	struct rb_address remote = command->connect.remote;
	struct connection *connection = NULL;
	int result = -EINVAL;
	if (remote.ip != 0 && remote.port != 0) {
		connection = epoll_connection_take(context, CONNECTION_CONNECTING);
		result = connection == NULL
				 ? -ENOBUFS
				 : rb_socket_connect(&context->config, local, remote, context->stats->syscalls);
	}
	if (result >= 0) {
		connection->fd = result;
		connection->cookie = command->cookie;
		connection->local = local;
		connection->remote = remote;
		result = epoll_connection_watch(context, connection, true);
	}
	if (result == 0)
		return;
	struct rb_event *event = add_pending(context, RB_EVENT_CONNECTED, command, result);
	event->connected.local = local;
	event->connected.remote = remote;
	if (connection == NULL)
		return;
	if (connection->fd >= 0) {
		context->stats->syscalls[RB_SYS_CLOSE]++;
		close(connection->fd);
		connection->fd = -1;
	}
	epoll_connection_give(context, connection);
}

static int execute_accept(struct epoll_context *context, struct connection *connection, uint64_t cookie)
{
	if (connection->state != CONNECTION_KNOCKED)
		return -EINVAL;
	connection->cookie = cookie;
	connection->writable = true;
	int result = epoll_connection_watch(context, connection, false);
	if (result != 0) {
		epoll_connection_end(context, connection, result);
		return 0; /* said by CLOSED */
	}
	connection->state = CONNECTION_OPEN;
	return 0;
}

static int execute_reject(struct epoll_context *context, struct connection *connection)
{
	if (connection->state != CONNECTION_KNOCKED)
		return -EINVAL;
	rb_socket_abort(connection->fd, context->stats->syscalls);
	connection->fd = -1;
	context->stats->closed++;
	epoll_connection_give(context, connection);
	epoll_listen_hurry(context);
	return 0;
}

static int execute_recv_done(struct epoll_context *context, struct connection *connection, uint64_t bytes)
{
	uint32_t index = rb_handle_index(connection->handle);
	if (bytes == 0 || !rx_pool_return(&context->rx, index, &connection->held, bytes))
		return -EINVAL;
	if (connection->readable)
		epoll_connection_ready(context, connection);
	return 0;
}

static int execute_sendv(struct epoll_context *context, struct connection *connection, const struct rb_command *command)
{
	const struct rb_sg *sg = rb_sendv_pieces(command);
	uint32_t count = command->sendv.count, done = command->sendv.done;
	if (done > connection->held.bytes)
		return -EINVAL;
	if (connection->state != CONNECTION_OPEN || connection->write_closed)
		return -EPIPE;
	if (sg == NULL)
		return -EFAULT;
	if (count == 0 || count > RB_SENDV_ENTRIES_MAX)
		return -EINVAL;
	int result = tx_queue_append(&context->tx, &connection->tx, sg, count);
	if (result == 0 && done > 0)
		result = execute_recv_done(context, connection, done); /* it has so many */
	if (result == 0)
		epoll_connection_ready(context, connection);
	return result;
}

static int execute_close(struct epoll_context *context, struct connection *connection, uint16_t flags)
{
	bool closing = connection->state == CONNECTION_CLOSING;
	if (connection->state != CONNECTION_OPEN && !closing)
		return -EINVAL;
	switch (flags) {
	case RB_CLOSE_ABORT:
		epoll_connection_reset(context, connection, -ECONNABORTED);
		return 0;
	case RB_CLOSE_WRITE:
		if (connection->write_closed)
			return -EALREADY;
		break;
	case RB_CLOSE_ORDERLY:
		if (closing)
			return -EALREADY;
		connection->state = CONNECTION_CLOSING;
		rx_pool_return(&context->rx, rb_handle_index(connection->handle), &connection->held,
			       connection->held.bytes);
		epoll_connection_set_close_deadline(context, connection);
		break;
	default:
		return -EINVAL;
	}
	connection->write_closed = true;
	epoll_connection_ready(context, connection);
	return 0;
}

static int execute_on_connection(struct epoll_context *context, struct connection *connection,
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

void epoll_command_execute(struct epoll_context *context, const struct rb_command *source)
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
	struct connection *connection = epoll_connection_find(context, command.handle);
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
