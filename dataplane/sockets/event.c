// SPDX-License-Identifier: Apache-2.0
/* What the library tells, as states of sockets. */
#include "sockets/defs.h"

#include <stdlib.h>
#include <string.h>

static struct socket *by_number(const struct rbs *rbs, uint64_t number)
{
	for (size_t i = 0; i < rbs->sockets_count; i++) {
		if (rbs->sockets[i]->number == number)
			return rbs->sockets[i];
	}
	return NULL;
}

/* A new connection is accepted from the library at once, so that its data is here when accept() comes. */
static void knock(struct rbs *rbs, const struct rb_net_event *event)
{
	struct socket *listener = by_number(rbs, event->cookie);
	struct socket *socket = NULL;
	struct rb_net_info info;
	if (listener != NULL && listener->state == SOCKET_LISTENING && listener->queue_count < listener->backlog)
		socket = socket_make(rbs, listener->domain);
	if (socket == NULL || rb_net_info(rbs->net, event->handle, &info) != 0) {
		if (socket != NULL)
			socket_free(rbs, socket);
		(void)rb_net_reject(rbs->net, event->handle); /* -EBADF: it is over already */
		return;
	}
	socket->state = SOCKET_OPEN;
	socket->handle = event->handle;
	socket->bound = true;
	socket->local = info.local;
	socket->remote = info.remote;
	socket->nodelay = listener->nodelay;
	socket->keepalive = listener->keepalive;
	socket->reuse_address = listener->reuse_address;
	socket->linger = listener->linger;
	socket->congestion = listener->congestion;
	socket->user_timeout_ms = listener->user_timeout_ms;
	socket->receive_window = listener->receive_window;
	socket->mss = listener->mss;
	listener->queue[listener->queue_count++] = socket;
	(void)rb_net_accept(rbs->net, event->handle, socket->number);
}

static void connected(struct rbs *rbs, struct socket *socket, const struct rb_net_event *event)
{
	struct rb_net_info info;
	if (event->status != 0) {
		socket->state = SOCKET_ENDED;
		socket->error = -event->status;
		return;
	}
	socket->state = SOCKET_OPEN;
	socket->fresh = true;
	if (rb_net_info(rbs->net, socket->handle, &info) == 0)
		socket->local = info.local;
}

static void received(struct rbs *rbs, struct socket *socket, const struct rb_net_event *event)
{
	const bool wanted = socket->has_fd || socket->state == SOCKET_OPEN;
	if (wanted && stream_keep(socket, event->data, event->length) == 0)
		return;
	/* nobody will read it; after close() the library gives it back itself, -EBADF or -EINVAL then */
	(void)rb_net_received(rbs->net, socket->handle, event->length);
}

static void closed(struct socket *socket, const struct rb_net_event *event)
{
	stream_rescue(socket);
	socket->state = SOCKET_ENDED;
	socket->fin = true;
	socket->error = -event->status;
	socket->ring_used = 0;
}

static void take(struct rbs *rbs, const struct rb_net_event *event)
{
	if ((event->bits & RB_NET_KNOCK) != 0) {
		knock(rbs, event);
		return;
	}
	struct socket *socket = by_number(rbs, event->cookie);
	if (socket == NULL)
		return;
	if ((event->bits & RB_NET_CONNECTED) != 0)
		connected(rbs, socket, event);
	if ((event->bits & RB_NET_SENT) != 0) {
		socket->ring_first = (socket->ring_first + event->sent) % rbs->config.send_buffer;
		socket->ring_used -= event->sent;
	}
	if ((event->bits & RB_NET_RECEIVED) != 0)
		received(rbs, socket, event);
	if ((event->bits & RB_NET_FIN) != 0)
		socket->fin = true;
	if ((event->bits & RB_NET_CLOSED) != 0)
		closed(socket, event);
}

static bool in_a_queue(const struct rbs *rbs, const struct socket *socket)
{
	for (size_t i = 0; i < rbs->sockets_count; i++) {
		const struct socket *listener = rbs->sockets[i];
		for (unsigned k = 0; k < listener->queue_count; k++) {
			if (listener->queue[k] == socket)
				return true;
		}
	}
	return false;
}

/* Sockets that were closed and have nothing more to send. */
static void sweep(struct rbs *rbs)
{
	for (size_t i = 0; i < rbs->sockets_count;) {
		struct socket *socket = rbs->sockets[i];
		if (!socket->has_fd && socket->state == SOCKET_ENDED && !in_a_queue(rbs, socket))
			socket_free(rbs, socket);
		else
			i++;
	}
}

void event_turn(struct rbs *rbs)
{
	const struct rb_net_event *events;
	unsigned count;
	bool ended = false;
	rb_net_flush(rbs->net);
	while ((count = rb_net_events(rbs->net, &events, RB_NET_BURST)) > 0) {
		for (unsigned i = 0; i < count; i++) {
			take(rbs, &events[i]);
			ended = ended || (events[i].bits & (RB_NET_CLOSED | RB_NET_CONNECTED)) != 0;
		}
		rb_net_flush(rbs->net);
	}
	if (ended)
		sweep(rbs);
}
