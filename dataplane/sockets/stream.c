// SPDX-License-Identifier: Apache-2.0
/* The bytes of a connection: read() out of packets, write() into the send buffer, and what poll() says of both. */
#include "sockets/defs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int stream_keep(struct socket *socket, const uint8_t *data, uint32_t length)
{
	if (socket->chunks_first > 0 && socket->chunks_first + socket->chunks_count == socket->chunks_room) {
		memmove(socket->chunks, socket->chunks + socket->chunks_first,
			socket->chunks_count * sizeof(socket->chunks[0]));
		socket->chunks_first = 0;
	}
	if (socket->chunks_count == socket->chunks_room) {
		const size_t room = 2 * socket->chunks_room + 16;
		struct chunk *chunks = realloc(socket->chunks, room * sizeof(chunks[0]));
		if (chunks == NULL)
			return -ENOMEM;
		socket->chunks = chunks;
		socket->chunks_room = room;
	}
	socket->chunks[socket->chunks_first + socket->chunks_count++] = (struct chunk){data, length};
	return 0;
}

size_t stream_unread(const struct socket *socket)
{
	size_t unread = 0;
	for (size_t i = 0; i < socket->chunks_count; i++)
		unread += socket->chunks[socket->chunks_first + i].length;
	return unread;
}

/* A reset does not take away what had come before it: the bytes move from the packets into memory of our own. */
void stream_rescue(struct socket *socket)
{
	const size_t unread = stream_unread(socket);
	if (unread == 0)
		return;
	uint8_t *bytes = malloc(unread);
	size_t at = 0;
	for (size_t i = 0; i < socket->chunks_count && bytes != NULL; i++) {
		const struct chunk *chunk = &socket->chunks[socket->chunks_first + i];
		memcpy(bytes + at, chunk->data, chunk->length);
		at += chunk->length;
	}
	socket->chunks_first = 0;
	socket->chunks_count = bytes != NULL;
	socket->chunks[0] = (struct chunk){bytes, (uint32_t)at};
	socket->rescued = bytes;
}

/* Copies out and gives back; returns the bytes. */
static size_t take(struct rbs *rbs, struct socket *socket, uint8_t *bytes, size_t size)
{
	size_t done = 0;
	while (done < size && socket->chunks_count > 0) {
		struct chunk *chunk = &socket->chunks[socket->chunks_first];
		const uint32_t now = size - done < chunk->length ? (uint32_t)(size - done) : chunk->length;
		memcpy(bytes + done, chunk->data, now);
		done += now;
		chunk->data += now;
		chunk->length -= now;
		if (chunk->length == 0) {
			socket->chunks_first++;
			socket->chunks_count--;
		}
	}
	if (socket->chunks_count == 0)
		socket->chunks_first = 0;
	if (socket->state == SOCKET_OPEN)
		(void)rb_net_received(rbs->net, socket->handle, (uint32_t)done);
	return done;
}

static int error_once(struct socket *socket)
{
	const int error = socket->error;
	socket->error = 0;
	return -error;
}

ssize_t rbs_read(struct rbs *rbs, int fd, void *bytes, size_t size)
{
	struct socket *socket = socket_of(rbs, fd);
	if (socket == NULL)
		return -EBADF;
	if (socket->chunks_count > 0) {
		const size_t done = take(rbs, socket, bytes, size < INT32_MAX ? size : INT32_MAX);
		event_turn(rbs);
		return (ssize_t)done;
	}
	if (socket->error != 0)
		return error_once(socket);
	if (socket->state == SOCKET_NEW || socket->state == SOCKET_LISTENING)
		return -ENOTCONN;
	if (socket->fin || socket->read_shut || socket->state == SOCKET_ENDED)
		return 0;
	return -EAGAIN;
}

/* The library holds places in the ring, so it is never made anew. */
static int ring_make(const struct rbs *rbs, struct socket *socket)
{
	if (socket->ring == NULL)
		socket->ring = malloc(rbs->config.send_buffer);
	return socket->ring == NULL ? -ENOMEM : 0;
}

ssize_t rbs_write(struct rbs *rbs, int fd, const void *bytes, size_t size)
{
	struct socket *socket = socket_of(rbs, fd);
	if (socket == NULL)
		return -EBADF;
	if (socket->error != 0)
		return error_once(socket);
	if (socket->state == SOCKET_NEW || socket->state == SOCKET_LISTENING)
		return -ENOTCONN;
	if (socket->state == SOCKET_ENDED || socket->write_shut)
		return -EPIPE;
	if (ring_make(rbs, socket) != 0)
		return -ENOMEM;
	const uint32_t room = rbs->config.send_buffer - socket->ring_used;
	const uint32_t now = size < room ? (uint32_t)size : room;
	if (now == 0)
		return size == 0 ? 0 : -EAGAIN;
	const uint32_t at = (uint32_t)(((uint64_t)socket->ring_first + socket->ring_used) % rbs->config.send_buffer);
	const uint32_t to_end = rbs->config.send_buffer - at, first = now < to_end ? now : to_end;
	memcpy(socket->ring + at, bytes, first);
	memcpy(socket->ring, (const uint8_t *)bytes + first, now - first);
	const struct rb_net_piece pieces[2] = {{socket->ring + at, first}, {socket->ring, now - first}};
	const int status = rb_net_send(rbs->net, socket->handle, pieces, now > first ? 2 : 1);
	if (status != 0)
		return status == -ENOBUFS ? -EAGAIN : status;
	socket->ring_used += now;
	event_turn(rbs);
	return now;
}

int rbs_shutdown(struct rbs *rbs, int fd, int how)
{
	struct socket *socket = socket_of(rbs, fd);
	if (socket == NULL)
		return -EBADF;
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	if (socket->state != SOCKET_OPEN && socket->state != SOCKET_CONNECTING)
		return -ENOTCONN;
	if (how != SHUT_WR)
		socket->read_shut = true;
	if (how != SHUT_RD && !socket->write_shut) {
		socket->write_shut = true;
		(void)rb_net_close(rbs->net, socket->handle, RB_NET_CLOSE_WRITE);
	}
	event_turn(rbs);
	return 0;
}

static short poll_open(const struct rbs *rbs, const struct socket *socket)
{
	const bool end = socket->fin || socket->read_shut;
	short events = 0;
	if (socket->chunks_count > 0 || end)
		events |= POLLIN | POLLRDNORM;
	if (end)
		events |= POLLRDHUP;
	if (end && socket->write_shut)
		events |= POLLHUP;
	if (socket->ring_used < rbs->config.send_buffer || socket->write_shut)
		events |= POLLOUT | POLLWRNORM;
	return events;
}

short stream_poll(const struct rbs *rbs, const struct socket *socket)
{
	const short error = socket->error != 0 ? POLLERR : 0;
	switch (socket->state) {
	case SOCKET_NEW:
		return POLLOUT | POLLWRNORM | POLLHUP;
	case SOCKET_LISTENING:
		return socket->queue_count > 0 ? POLLIN | POLLRDNORM : 0;
	case SOCKET_CONNECTING:
		return 0;
	case SOCKET_OPEN:
		return (short)(poll_open(rbs, socket) | error);
	case SOCKET_ENDED:
		return (short)(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP | POLLRDHUP | error);
	}
	return 0;
}
