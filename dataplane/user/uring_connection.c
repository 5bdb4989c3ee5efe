// SPDX-License-Identifier: Apache-2.0
/* One connection of the io_uring back-end: from completions to events, from queued memory to submissions. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/assert.h"
#include "user/uring_defs.h"

enum { SEND_BYTES_MAX = 1 << 30 }; /* of one piece in one go: the length of an entry has 32 bits */

static uint32_t index_of(const struct uring_context *context, const struct uring_connection *connection)
{
	return (uint32_t)(connection - context->connections);
}

/* ---- slots ---- */

/* Generation 0 is skipped: no handle is 0. */
static uint32_t next_generation(uint32_t generation)
{
	return generation + 1 != 0 ? generation + 1 : 1;
}

struct uring_connection *uring_connection_take(struct uring_context *context, enum uring_state state)
{
	uint32_t index;
	if (context->free != 0)
		index = context->free - 1;
	else if (context->untouched < context->config.connections_max)
		index = context->untouched++;
	else
		return NULL;
	struct uring_connection *connection = &context->connections[index];
	if (context->free != 0)
		context->free = connection->next_free;
	uint32_t generation = next_generation(rb_handle_generation(connection->handle));
	*connection = (struct uring_connection){
		.handle = rb_handle_make(context->config.flow_group, index, generation),
		.fd = -1,
		.state = (uint8_t)state,
	};
	rb_list_init(&connection->ready);
	rb_list_init(&connection->closing);
	return connection;
}

static bool under_way(const struct uring_connection *connection)
{
	return connection->receiving || connection->sending || connection->polling;
}

void uring_connection_give(struct uring_context *context, struct uring_connection *connection)
{
	RB_ASSERT_EQ(connection->fd, -1);
	RB_ASSERT(!under_way(connection));
	rb_list_remove(&connection->ready);
	rb_list_remove(&connection->closing);
	uring_rx_drop_all(&context->rx, &connection->held);
	tx_queue_release(&context->tx, &connection->tx, connection->tx.bytes);
	connection->state = URING_FREE;
	connection->next_free = context->free;
	context->free = index_of(context, connection) + 1;
}

struct uring_connection *uring_connection_find(struct uring_context *context, rb_handle handle)
{
	uint32_t index = rb_handle_index(handle);
	if (index >= context->untouched)
		return NULL;
	struct uring_connection *connection = &context->connections[index];
	if (connection->handle != handle || connection->state == URING_FREE || connection->state >= URING_DEAD)
		return NULL;
	return connection;
}

void uring_connection_ready(struct uring_context *context, struct uring_connection *connection)
{
	if (rb_list_empty(&connection->ready))
		rb_list_append(&context->ready, &connection->ready);
}

void uring_connection_set_close_deadline(struct uring_context *context, struct uring_connection *connection)
{
	connection->unacknowledged = UINT32_MAX;
	uring_connection_extend_close_deadline(context, connection);
}

void uring_connection_extend_close_deadline(struct uring_context *context, struct uring_connection *connection)
{
	/* One timeout for all keeps the list in order. */
	connection->close_deadline_ns = rb_clock_now(context->config.clock) + context->config.close_timeout_ns;
	rb_list_remove(&connection->closing);
	rb_list_append(&context->closing, &connection->closing);
}

/* ---- submissions ---- */

static void cancel(struct uring_context *context, const struct uring_connection *connection,
		   enum uring_operation operation)
{
	struct io_uring_sqe *sqe = uring_submit(context, IORING_OP_ASYNC_CANCEL, -1, URING_IGNORED, 0);
	sqe->addr = rb_handle_make(operation, rb_handle_index(connection->handle),
				   rb_handle_generation(connection->handle));
}

static struct io_uring_sqe *start_poll(struct uring_context *context, struct uring_connection *connection)
{
	connection->polling = true;
	return uring_submit(context, IORING_OP_POLL_ADD, connection->fd, URING_POLL, connection->handle);
}

void uring_connection_await(struct uring_context *context, struct uring_connection *connection)
{
	start_poll(context, connection)->poll32_events = POLLOUT;
}

/* Errors need no naming; the peer's FIN is told of as well, so this goes on after the first. */
static void watch_for_errors(struct uring_context *context, struct uring_connection *connection)
{
	start_poll(context, connection)->len = IORING_POLL_ADD_MULTI;
}

static void receive(struct uring_context *context, struct uring_connection *connection)
{
	struct io_uring_sqe *sqe =
		uring_submit(context, IORING_OP_RECV, connection->fd, URING_RECV, connection->handle);
	sqe->ioprio = IORING_RECV_MULTISHOT;
	sqe->flags = IOSQE_BUFFER_SELECT;
	connection->receiving = true;
}

/*
 * Lets bytes come while the window is open; a closed one is watched for errors only. While closing, all that comes is
 * discarded.
 */
static void keep_receiving(struct uring_context *context, struct uring_connection *connection)
{
	bool open = connection->state == URING_CLOSING ||
		    connection->held.count < context->config.rx_buffers_per_connection;
	if (!connection->fin_received && open && !connection->receiving) {
		receive(context, connection);
	} else if (!open && connection->receiving && !connection->cancelling) {
		cancel(context, connection, URING_RECV);
		connection->cancelling = true;
	} else if (!connection->receiving && !connection->polling) {
		watch_for_errors(context, connection);
	}
}

static void flush(struct uring_context *context, struct uring_connection *connection)
{
	struct iovec vector[2];
	if (connection->sending || connection->tx.bytes == 0)
		return;
	bool one = tx_queue_peek(&context->tx, &connection->tx, vector, 2) == 1;
	struct io_uring_sqe *sqe = uring_submit(context, one ? IORING_OP_SEND : IORING_OP_SENDMSG, connection->fd,
						URING_SEND, connection->handle);
	sqe->msg_flags = MSG_NOSIGNAL;
	connection->sending = true;
	if (one) {
		size_t length = vector[0].iov_len;
		sqe->addr = (uintptr_t)vector[0].iov_base;
		sqe->len = length < SEND_BYTES_MAX ? (uint32_t)length : SEND_BYTES_MAX;
		return;
	}
	struct uring_message *message = uring_message(context, sqe);
	uint32_t count = tx_queue_peek(&context->tx, &connection->tx, message->vector, RB_SENDV_ENTRIES_MAX);
	message->header = (struct msghdr){.msg_iov = message->vector, .msg_iovlen = count};
	sqe->addr = (uintptr_t)&message->header;
	sqe->len = 1;
}

/* ---- the end ---- */

void uring_connection_end(struct uring_context *context, struct uring_connection *connection, int status, bool reset)
{
	if (connection->receiving && !connection->cancelling)
		cancel(context, connection, URING_RECV);
	if (connection->sending)
		cancel(context, connection, URING_SEND);
	if (connection->polling)
		cancel(context, connection, URING_POLL);
	connection->state = URING_DEAD;
	connection->status = status;
	connection->reset = reset;
	context->stats->closed++;
	tx_queue_release(&context->tx, &connection->tx, connection->tx.bytes);
	rb_list_remove(&connection->closing);
	uring_connection_ready(context, connection);
}

static void close_socket(struct uring_context *context, struct uring_connection *connection)
{
	if (connection->reset) {
		rb_socket_abort(connection->fd, context->stats->syscalls);
	} else {
		context->stats->syscalls[RB_SYS_CLOSE]++;
		close(connection->fd);
	}
	connection->fd = -1;
}

/* Everything queued is with the kernel and the application will send no more. */
static void finish_output(struct uring_context *context, struct uring_connection *connection)
{
	/* Of datagrams there is no FIN to send or to wait for. */
	if (connection->state == URING_CLOSING && (connection->fin_received || context->config.datagrams)) {
		uring_connection_end(context, connection, 0, false); /* close() sends the FIN if it is still due */
		return;
	}
	if (connection->fin_sent)
		return;
	context->stats->syscalls[RB_SYS_SHUTDOWN]++;
	connection->fin_sent = true;
	if (shutdown(connection->fd, SHUT_WR) != 0)
		uring_connection_end(context, connection, errno == ENOTCONN ? -ECONNRESET : -errno, false);
}

/* ---- completions ---- */

static bool alive(const struct uring_connection *connection)
{
	return connection->state == URING_OPEN || connection->state == URING_CLOSING;
}

static void received_bytes(struct uring_context *context, struct uring_connection *connection, uint32_t buffer,
			   uint32_t bytes)
{
	context->stats->bytes_in += bytes;
	if (connection->state == URING_OPEN)
		uring_rx_hold(&context->rx, &connection->held, buffer, bytes);
	else
		uring_rx_drop(&context->rx, buffer);
}

static void complete_recv(struct uring_context *context, struct uring_connection *connection, int result,
			  uint32_t flags)
{
	if ((flags & IORING_CQE_F_MORE) == 0) {
		connection->receiving = false;
		connection->cancelling = false;
	}
	if ((flags & IORING_CQE_F_BUFFER) != 0) {
		uint32_t buffer = uring_rx_filled(&context->rx, (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT));
		if (result > 0)
			received_bytes(context, connection, buffer, (uint32_t)result);
		else
			uring_rx_drop(&context->rx, buffer);
	}
	if (!alive(connection) || result > 0)
		return;
	switch (-result) {
	case 0:
		connection->fin_received = true;
		break;
	case ENOBUFS: /* the kernel had used up its buffers: it has others at the next try */
	case ECANCELED:
	case EINTR:
	case EAGAIN:
		break;
	default:
		uring_connection_end(context, connection, result, false);
		break;
	}
}

static void complete_send(struct uring_context *context, struct uring_connection *connection, int result)
{
	connection->sending = false;
	if (!alive(connection))
		return;
	if (result < 0) {
		/* EPIPE: the reset that caused it has been reported to an earlier call */
		if (result != -EINTR && result != -EAGAIN)
			uring_connection_end(context, connection, result == -EPIPE ? -ECONNRESET : result, false);
		return;
	}
	tx_queue_release(&context->tx, &connection->tx, (uint64_t)result);
	connection->sent += (uint64_t)result;
	context->stats->bytes_out += (uint64_t)result;
	if (connection->state == URING_CLOSING)
		uring_connection_set_close_deadline(context, connection);
}

static void complete_poll(struct uring_connection *connection, int result, uint32_t flags)
{
	if ((flags & IORING_CQE_F_MORE) == 0)
		connection->polling = false;
	if (connection->state == URING_CONNECTING || result < 0 || (result & POLLERR) != 0)
		connection->polled = true;
}

void uring_connection_complete(struct uring_context *context, struct uring_connection *connection,
			       enum uring_operation operation, int result, uint32_t flags)
{
	switch (operation) {
	case URING_RECV:
		complete_recv(context, connection, result, flags);
		break;
	case URING_SEND:
		complete_send(context, connection, result);
		break;
	default:
		complete_poll(connection, result, flags);
		break;
	}
	uring_connection_ready(context, connection);
}

/* ---- progress ---- */

static void finish_connect(struct uring_context *context, struct uring_connection *connection)
{
	int status = rb_socket_error(connection->fd, context->stats->syscalls);
	struct rb_event *event = uring_emit(context, RB_EVENT_CONNECTED, connection);
	event->status = status;
	event->connected.local = connection->local;
	event->connected.remote = connection->remote;
	connection->polled = false;
	if (status == 0) {
		connection->state = URING_OPEN;
		context->stats->connected++;
		return;
	}
	event->handle = 0;
	close_socket(context, connection);
	uring_connection_give(context, connection);
}

static bool can_show(const struct uring_context *context, const struct uring_connection *connection)
{
	return connection->held.waiting != 0 && connection->held.shown < context->config.rx_buffers_per_connection;
}

static bool can_show_fin(const struct uring_connection *connection)
{
	return connection->state == URING_OPEN && connection->fin_received && !connection->fin_reported &&
	       connection->held.waiting == 0;
}

static void report_received(struct uring_context *context, struct uring_connection *connection)
{
	while (can_show(context, connection) && uring_has_room(context)) {
		uint32_t bytes;
		const uint8_t *data = uring_rx_show(&context->rx, &connection->held, &bytes);
		struct rb_event *event = uring_emit(context, RB_EVENT_RECV, connection);
		event->recv.data = data;
		event->recv.length = bytes;
	}
	if (can_show_fin(connection) && uring_has_room(context)) {
		uring_emit(context, RB_EVENT_RECV, connection)->flags = RB_RECV_FIN;
		connection->fin_reported = true;
	}
}

static void progress_open(struct uring_context *context, struct uring_connection *connection)
{
	if (connection->polled) {
		connection->polled = false;
		int status = rb_socket_error(connection->fd, context->stats->syscalls);
		if (status != 0) {
			uring_connection_end(context, connection, status, false);
			return;
		}
	}
	report_received(context, connection);
	flush(context, connection);
	if (connection->write_closed && connection->tx.bytes == 0)
		finish_output(context, connection);
	if (alive(connection))
		keep_receiving(context, connection);
}

static void report_sent(struct uring_context *context, struct uring_connection *connection)
{
	struct rb_event *event = uring_emit(context, RB_EVENT_SENT, connection);
	event->sent.bytes = connection->sent;
	connection->sent = 0;
}

static void report_closed(struct uring_context *context, struct uring_connection *connection)
{
	struct rb_event *event = uring_emit(context, RB_EVENT_CLOSED, connection);
	event->status = connection->status;
	connection->state = URING_ENDED;
	rb_list_remove(&connection->ready);
	rb_list_append(&context->ended, &connection->ready);
}

static bool has_more(const struct uring_context *context, const struct uring_connection *connection)
{
	if (connection->sent > 0)
		return true;
	if (connection->state == URING_DEAD)
		return !under_way(connection);
	return can_show(context, connection) || can_show_fin(connection);
}

void uring_connection_progress(struct uring_context *context, struct uring_connection *connection)
{
	if (connection->state == URING_CONNECTING) {
		if (connection->polled && uring_has_room(context))
			finish_connect(context, connection);
		else if (connection->polled)
			uring_connection_ready(context, connection);
		if (connection->state != URING_OPEN)
			return;
	}
	if (alive(connection))
		progress_open(context, connection);
	if (connection->sent > 0 && uring_has_room(context))
		report_sent(context, connection);
	if (connection->state == URING_DEAD && !under_way(connection)) {
		if (connection->fd >= 0)
			close_socket(context, connection);
		if (connection->sent == 0 && uring_has_room(context)) {
			report_closed(context, connection);
			return;
		}
	}
	if (has_more(context, connection))
		uring_connection_ready(context, connection);
}
