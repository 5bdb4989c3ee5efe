// SPDX-License-Identifier: Apache-2.0
/* One connection of the epoll back-end: from readiness to events, from queued memory to the socket. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "user/epoll_defs.h"

enum { DISCARD_BYTES = 1 << 20 }; /* per pass, while closing */

static uint32_t index_of(const struct epoll_context *context, const struct connection *connection)
{
	return (uint32_t)(connection - context->connections);
}

/* ---- slots ---- */

/* Generation 0 is skipped: no handle is 0, and epoll data with generation 0 are not handles. */
static uint32_t next_generation(uint32_t generation)
{
	return generation + 1 != 0 ? generation + 1 : 1;
}

struct connection *epoll_connection_take(struct epoll_context *context, enum connection_state state)
{
	uint32_t index;
	if (context->free != 0)
		index = context->free - 1;
	else if (context->untouched < context->config.connections_max)
		index = context->untouched++;
	else
		return NULL;
	struct connection *connection = &context->connections[index];
	if (context->free != 0)
		context->free = connection->next_free;
	uint32_t generation = next_generation(rb_handle_generation(connection->handle));
	*connection = (struct connection){
		.handle = rb_handle_make(context->config.flow_group, index, generation),
		.fd = -1,
		.state = (uint8_t)state,
	};
	rb_list_init(&connection->ready);
	rb_list_init(&connection->closing);
	context->connections_used++;
	return connection;
}

void epoll_connection_give(struct epoll_context *context, struct connection *connection)
{
	RB_ASSERT_EQ(connection->fd, -1);
	rb_list_remove(&connection->ready);
	rb_list_remove(&connection->closing);
	bool returned =
		rx_pool_return(&context->rx, index_of(context, connection), &connection->held, connection->held.bytes);
	RB_ASSERT(returned);
	tx_queue_release(&context->tx, &connection->tx, connection->tx.bytes);
	connection->state = CONNECTION_FREE;
	connection->next_free = context->free;
	context->free = index_of(context, connection) + 1;
	context->connections_used--;
}

struct connection *epoll_connection_find(struct epoll_context *context, rb_handle handle)
{
	uint32_t index = rb_handle_index(handle);
	if (index >= context->untouched)
		return NULL;
	struct connection *connection = &context->connections[index];
	if (connection->handle != handle || connection->state == CONNECTION_FREE ||
	    connection->state >= CONNECTION_DEAD)
		return NULL;
	return connection;
}

/* ---- state changes ---- */

void epoll_connection_ready(struct epoll_context *context, struct connection *connection)
{
	if (rb_list_empty(&connection->ready))
		rb_list_append(&context->ready, &connection->ready);
}

int epoll_connection_watch(struct epoll_context *context, struct connection *connection, bool output)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (output ? EPOLLOUT : 0U),
		.data.u64 = connection->handle,
	};
	bool registered = connection->state == CONNECTION_OPEN || connection->state == CONNECTION_CLOSING;
	context->stats->syscalls[RB_SYS_EPOLL_CTL]++;
	if (epoll_ctl(context->epoll_fd, registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, connection->fd, &event) != 0)
		return -errno;
	connection->watches_output = output;
	return 0;
}

void epoll_connection_set_close_deadline(struct epoll_context *context, struct connection *connection)
{
	connection->unacknowledged = UINT32_MAX;
	epoll_connection_extend_close_deadline(context, connection);
}

void epoll_connection_extend_close_deadline(struct epoll_context *context, struct connection *connection)
{
	/* One timeout for all keeps the list in order. */
	connection->close_deadline_ns = rb_clock_now(context->config.clock) + context->config.close_timeout_ns;
	rb_list_remove(&connection->closing);
	rb_list_append(&context->closing, &connection->closing);
}

static void died(struct epoll_context *context, struct connection *connection, int status)
{
	connection->fd = -1;
	connection->state = CONNECTION_DEAD;
	connection->status = status;
	context->stats->closed++;
	tx_queue_release(&context->tx, &connection->tx, connection->tx.bytes);
	rb_list_remove(&connection->closing);
	epoll_connection_ready(context, connection);
}

void epoll_connection_end(struct epoll_context *context, struct connection *connection, int status)
{
	context->stats->syscalls[RB_SYS_CLOSE]++;
	close(connection->fd);
	died(context, connection, status);
}

void epoll_connection_reset(struct epoll_context *context, struct connection *connection, int status)
{
	rb_socket_abort(connection->fd, context->stats->syscalls);
	died(context, connection, status);
}

void epoll_connection_mark(struct epoll_context *context, struct connection *connection, uint32_t epoll_events)
{
	if (epoll_events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		connection->readable = true;
	if (epoll_events & (EPOLLRDHUP | EPOLLHUP))
		connection->peer_closing = true;
	if (epoll_events & EPOLLOUT)
		connection->writable = true;
	if (epoll_events & EPOLLERR)
		connection->failed = true;
	epoll_connection_ready(context, connection);
}

/* ---- output ---- */

static ssize_t send_pieces(struct epoll_context *context, int fd, struct iovec *vector, uint32_t count)
{
	if (count == 1) {
		context->stats->syscalls[RB_SYS_SENDTO]++;
		return send(fd, vector->iov_base, vector->iov_len, MSG_NOSIGNAL);
	}
	struct msghdr message = {.msg_iov = vector, .msg_iovlen = count};
	context->stats->syscalls[RB_SYS_SENDMSG]++;
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* The socket's buffer is full: from now on epoll tells when there is room. */
static void wait_for_output(struct epoll_context *context, struct connection *connection)
{
	connection->writable = false;
	if (connection->watches_output)
		return;
	int result = epoll_connection_watch(context, connection, true);
	if (result != 0)
		epoll_connection_end(context, connection, result);
}

static void flush(struct epoll_context *context, struct connection *connection)
{
	struct iovec vector[RB_SENDV_ENTRIES_MAX];
	uint32_t count = tx_queue_peek(&context->tx, &connection->tx, vector, RB_SENDV_ENTRIES_MAX);
	ssize_t sent = send_pieces(context, connection->fd, vector, count);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		/* EPIPE: the reset that caused it has been reported to an earlier call */
		epoll_connection_end(context, connection, errno == EPIPE ? -ECONNRESET : -errno);
		return;
	}
	if (sent < 0 && errno == EINTR)
		return;
	uint64_t wanted = 0;
	for (uint32_t i = 0; i < count; i++)
		wanted += vector[i].iov_len;
	uint64_t done = sent > 0 ? (uint64_t)sent : 0;
	tx_queue_release(&context->tx, &connection->tx, done);
	connection->sent += done;
	context->stats->bytes_out += done;
	if (connection->state == CONNECTION_CLOSING && done > 0)
		epoll_connection_set_close_deadline(context, connection);
	if (done < wanted)
		wait_for_output(context, connection);
}

/* Everything queued is with the kernel and the application will send no more. */
static void finish_output(struct epoll_context *context, struct connection *connection)
{
	/* Of datagrams there is no FIN to send or to wait for. */
	if (connection->state == CONNECTION_CLOSING && (connection->fin_received || context->config.datagrams)) {
		epoll_connection_end(context, connection, 0); /* close() sends the FIN if it is still due */
		return;
	}
	if (connection->fin_sent)
		return;
	context->stats->syscalls[RB_SYS_SHUTDOWN]++;
	connection->fin_sent = true;
	if (shutdown(connection->fd, SHUT_WR) != 0)
		epoll_connection_end(context, connection, errno == ENOTCONN ? -ECONNRESET : -errno);
}

/* ---- input ---- */

static void receive(struct epoll_context *context, struct connection *connection)
{
	uint32_t wanted = context->rx.buffer_bytes;
	uint8_t *buffer = rx_pool_next(&context->rx);
	context->stats->syscalls[RB_SYS_RECVFROM]++;
	ssize_t got = recv(connection->fd, buffer, wanted, 0);
	if (got < 0) {
		if (errno == EAGAIN)
			connection->readable = false;
		else if (errno != EINTR)
			epoll_connection_end(context, connection, -errno);
		return;
	}
	struct rb_event *event = epoll_emit(context, RB_EVENT_RECV, connection);
	event->recv.data = buffer;
	event->recv.length = (uint64_t)got;
	if (got == 0) {
		connection->fin_received = true;
		connection->readable = false;
		event->flags = RB_RECV_FIN;
		return;
	}
	rx_pool_commit(&context->rx, index_of(context, connection), &connection->held, (uint32_t)got);
	context->stats->bytes_in += (uint64_t)got;
	/* A short read has emptied the socket (epoll(7), question 9), unless a FIN is waiting behind. That a datagram
	 * ends says nothing of the next one. */
	if ((uint32_t)got < wanted && !connection->peer_closing && !context->config.datagrams)
		connection->readable = false;
}

/* While closing: throw away what the peer still sends, without copying it. */
static void discard(struct epoll_context *context, struct connection *connection)
{
	context->stats->syscalls[RB_SYS_RECVFROM]++;
	ssize_t got = recv(connection->fd, NULL, DISCARD_BYTES, MSG_TRUNC);
	if (got > 0) {
		context->stats->bytes_in += (uint64_t)got;
		return;
	}
	if (got == 0) {
		connection->fin_received = true;
		connection->readable = false;
	} else if (errno == EAGAIN) {
		connection->readable = false;
	} else if (errno != EINTR) {
		epoll_connection_end(context, connection, -errno);
	}
}

/* ---- progress ---- */

static void finish_connect(struct epoll_context *context, struct connection *connection)
{
	int status = rb_socket_error(connection->fd, context->stats->syscalls);
	struct rb_event *event = epoll_emit(context, RB_EVENT_CONNECTED, connection);
	event->status = status;
	event->connected.local = connection->local;
	event->connected.remote = connection->remote;
	if (status == 0) {
		connection->state = CONNECTION_OPEN;
		context->stats->connected++;
		return;
	}
	event->handle = 0;
	context->stats->syscalls[RB_SYS_CLOSE]++;
	close(connection->fd);
	connection->fd = -1;
	epoll_connection_give(context, connection);
}

static bool can_flush(const struct connection *connection)
{
	return connection->tx.bytes > 0 && connection->writable;
}

static bool can_receive(const struct epoll_context *context, const struct connection *connection)
{
	return connection->state == CONNECTION_OPEN && connection->readable &&
	       rx_pool_open(&context->rx, &connection->held);
}

static bool can_discard(const struct connection *connection)
{
	return connection->state == CONNECTION_CLOSING && connection->readable;
}

static void progress_open(struct epoll_context *context, struct connection *connection)
{
	if (connection->failed) {
		connection->failed = false;
		int status = rb_socket_error(connection->fd, context->stats->syscalls);
		if (status != 0) {
			epoll_connection_end(context, connection, status);
			return;
		}
	}
	if (can_flush(connection))
		flush(context, connection);
	if (can_receive(context, connection) && epoll_has_room(context))
		receive(context, connection);
	else if (can_discard(connection))
		discard(context, connection);
	if (connection->state != CONNECTION_DEAD && connection->write_closed && connection->tx.bytes == 0)
		finish_output(context, connection);
}

static void report_sent(struct epoll_context *context, struct connection *connection)
{
	struct rb_event *event = epoll_emit(context, RB_EVENT_SENT, connection);
	event->sent.bytes = connection->sent;
	connection->sent = 0;
}

static void report_closed(struct epoll_context *context, struct connection *connection)
{
	struct rb_event *event = epoll_emit(context, RB_EVENT_CLOSED, connection);
	event->status = connection->status;
	connection->state = CONNECTION_ENDED;
	rb_list_append(&context->ended, &connection->ready);
}

static bool has_more(const struct epoll_context *context, const struct connection *connection)
{
	return connection->state == CONNECTION_DEAD || connection->sent > 0 || can_flush(connection) ||
	       can_receive(context, connection) || can_discard(connection);
}

void epoll_connection_progress(struct epoll_context *context, struct connection *connection)
{
	if (connection->state == CONNECTION_CONNECTING) {
		if (!connection->writable && !connection->failed)
			return;
		if (epoll_has_room(context))
			finish_connect(context, connection);
		else
			epoll_connection_ready(context, connection);
		if (connection->state != CONNECTION_OPEN)
			return;
	}
	if (connection->state == CONNECTION_OPEN || connection->state == CONNECTION_CLOSING)
		progress_open(context, connection);
	if (connection->sent > 0 && epoll_has_room(context))
		report_sent(context, connection);
	if (connection->state == CONNECTION_DEAD && connection->sent == 0 && epoll_has_room(context)) {
		rb_list_remove(&connection->ready);
		report_closed(context, connection);
		return;
	}
	if (has_more(context, connection))
		epoll_connection_ready(context, connection);
}
