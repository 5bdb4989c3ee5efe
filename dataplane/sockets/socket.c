// SPDX-License-Identifier: Apache-2.0
/* Sockets and their descriptors: from socket() to close(), addresses, listening and connecting. */
#include "sockets/defs.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_FIRST = 49152, PORTS = 16384, BACKLOG_MAX = 4096 }; /* RFC 6335 section 6: dynamic ports */

struct socket *socket_make(struct rbs *rbs, int domain)
{
	if (rbs->sockets_count == rbs->sockets_room) {
		const size_t room = 2 * rbs->sockets_room + 16;
		struct socket **sockets = realloc(rbs->sockets, room * sizeof(sockets[0]));
		if (sockets == NULL)
			return NULL;
		rbs->sockets = sockets;
		rbs->sockets_room = room;
	}
	struct socket *socket = calloc(1, sizeof(*socket));
	if (socket == NULL)
		return NULL;
	socket->domain = domain;
	socket->number = ++rbs->numbers;
	socket->congestion = (uint8_t)rbs->config.net.congestion;
	rbs->sockets[rbs->sockets_count++] = socket;
	return socket;
}

void socket_free(struct rbs *rbs, struct socket *socket)
{
	size_t at = 0;
	while (rbs->sockets[at] != socket)
		at++;
	rbs->sockets[at] = rbs->sockets[--rbs->sockets_count];
	free(socket->chunks);
	free(socket->rescued);
	free(socket->ring);
	free(socket->queue);
	free(socket);
}

struct socket *socket_of(const struct rbs *rbs, int fd)
{
	return fd >= 0 && fd < rbs->fds_room ? rbs->fds[fd] : NULL;
}

int socket_give_fd(struct rbs *rbs, struct socket *socket)
{
	int fd = 0;
	while (fd < rbs->fds_room && rbs->fds[fd] != NULL)
		fd++;
	if (fd == rbs->fds_room) {
		const int room = 2 * rbs->fds_room + 16;
		struct socket **fds = realloc(rbs->fds, (size_t)room * sizeof(fds[0]));
		if (fds == NULL)
			return -ENOMEM;
		memset(fds + rbs->fds_room, 0, (size_t)(room - rbs->fds_room) * sizeof(fds[0]));
		rbs->fds = fds;
		rbs->fds_room = room;
	}
	rbs->fds[fd] = socket;
	socket->has_fd = true;
	return fd;
}

int rbs_socket(struct rbs *rbs, int domain, int type, int protocol)
{
	if (domain != AF_INET && domain != AF_INET6)
		return -EAFNOSUPPORT;
	if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM || (protocol != 0 && protocol != IPPROTO_TCP))
		return -EPROTONOSUPPORT;
	struct socket *socket = socket_make(rbs, domain);
	if (socket == NULL)
		return -ENOMEM;
	const int fd = socket_give_fd(rbs, socket);
	if (fd < 0)
		socket_free(rbs, socket);
	return fd;
}

/*
 * Addresses.
 */

static int address_read(const struct socket *socket, const struct sockaddr *address, socklen_t length,
			struct rb_endpoint *endpoint)
{
	*endpoint = (struct rb_endpoint){0};
	if (socket->domain == AF_INET && length >= sizeof(struct sockaddr_in) && address->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, address, sizeof(in));
		endpoint->ip = rb_ip4(ntohl(in.sin_addr.s_addr));
		endpoint->port = ntohs(in.sin_port);
		return 0;
	}
	if (socket->domain == AF_INET6 && length >= sizeof(struct sockaddr_in6) && address->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, address, sizeof(in6));
		memcpy(endpoint->ip.bytes, &in6.sin6_addr, sizeof(endpoint->ip.bytes));
		endpoint->port = ntohs(in6.sin6_port);
		return 0;
	}
	const bool known = address->sa_family == AF_INET || address->sa_family == AF_INET6;
	return known && address->sa_family == socket->domain ? -EINVAL : -EAFNOSUPPORT;
}

static int address_write(const struct socket *socket, const struct rb_endpoint *endpoint, struct sockaddr *address,
			 socklen_t *length)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(endpoint->port)};
	const bool is4 = socket->domain == AF_INET;
	const socklen_t size = is4 ? sizeof(in) : sizeof(in6);
	memcpy(&in.sin_addr, endpoint->ip.bytes + 12, 4);
	memcpy(&in6.sin6_addr, endpoint->ip.bytes, 16);
	memcpy(address, is4 ? (const void *)&in : (const void *)&in6, *length < size ? *length : size);
	*length = size;
	return 0;
}

/* Two sockets may have one address when both ask for it and neither listens. */
static bool is_taken(const struct rbs *rbs, const struct socket *socket, const struct rb_endpoint *local)
{
	for (size_t i = 0; i < rbs->sockets_count; i++) {
		const struct socket *other = rbs->sockets[i];
		const bool shared = socket->reuse_address && other->reuse_address && other->state != SOCKET_LISTENING;
		const bool overlap = rb_ip_is_any(&local->ip) || rb_ip_is_any(&other->local.ip) ||
				     memcmp(&local->ip, &other->local.ip, sizeof(local->ip)) == 0;
		/* those that a listener has made share its port */
		const bool own = other->state == SOCKET_NEW || other->state == SOCKET_LISTENING;
		if (other != socket && other->bound && own && other->local.port == local->port && overlap && !shared)
			return true;
	}
	return false;
}

static int choose_port(struct rbs *rbs, const struct socket *socket, struct rb_endpoint *local)
{
	const uint64_t start = rb_random_below(&rbs->random, PORTS);
	for (unsigned i = 0; i < PORTS; i++) {
		local->port = (uint16_t)(PORT_FIRST + (start + i) % PORTS);
		if (!is_taken(rbs, socket, local))
			return 0;
	}
	return -EADDRINUSE;
}

static bool is_ours(const struct rbs *rbs, const struct rb_ip *ip)
{
	const struct rb_net_config *config = &rbs->config.net;
	const struct rb_ip ip4 = rb_ip4(config->ip4);
	return rb_ip_is_any(ip) || (config->ip4 != 0 && memcmp(ip, &ip4, sizeof(ip4)) == 0) ||
	       memcmp(ip, &config->ip6[0], sizeof(*ip)) == 0;
}

int rbs_bind(struct rbs *rbs, int fd, const struct sockaddr *address, socklen_t length)
{
	struct socket *socket = socket_of(rbs, fd);
	struct rb_endpoint local;
	if (socket == NULL)
		return -EBADF;
	int status = address_read(socket, address, length, &local);
	if (status != 0)
		return status;
	if (socket->state != SOCKET_NEW || socket->bound)
		return -EINVAL;
	if (!is_ours(rbs, &local.ip))
		return -EADDRNOTAVAIL;
	if (local.port == 0)
		status = choose_port(rbs, socket, &local);
	else if (is_taken(rbs, socket, &local))
		status = -EADDRINUSE;
	if (status != 0)
		return status;
	socket->local = local;
	socket->bound = true;
	return 0;
}

int rbs_getsockname(struct rbs *rbs, int fd, struct sockaddr *address, socklen_t *length)
{
	const struct socket *socket = socket_of(rbs, fd);
	return socket == NULL ? -EBADF : address_write(socket, &socket->local, address, length);
}

int rbs_getpeername(struct rbs *rbs, int fd, struct sockaddr *address, socklen_t *length)
{
	const struct socket *socket = socket_of(rbs, fd);
	if (socket == NULL)
		return -EBADF;
	if (socket->state != SOCKET_OPEN)
		return -ENOTCONN;
	return address_write(socket, &socket->remote, address, length);
}

/*
 * Listening and connecting.
 */

/* IPv4 at any address is the one IPv4 address; the library's "any" is that of both families. */
static struct rb_endpoint listening_address(const struct rbs *rbs, const struct socket *socket)
{
	struct rb_endpoint local = socket->local;
	if (socket->domain == AF_INET && rb_ip_is_any(&local.ip))
		local.ip = rb_ip4(rbs->config.net.ip4);
	return local;
}

int rbs_listen(struct rbs *rbs, int fd, int backlog)
{
	struct socket *socket = socket_of(rbs, fd);
	if (socket == NULL)
		return -EBADF;
	if (socket->state != SOCKET_NEW && socket->state != SOCKET_LISTENING)
		return -EINVAL;
	const unsigned room = backlog < 1 ? 1U : backlog > BACKLOG_MAX ? (unsigned)BACKLOG_MAX : (unsigned)backlog;
	struct socket **queue = socket->queue;
	if (queue == NULL)
		queue = calloc(BACKLOG_MAX, sizeof(queue[0]));
	if (queue == NULL)
		return -ENOMEM;
	socket->queue = queue;
	socket->backlog = room;
	if (socket->state == SOCKET_LISTENING)
		return 0;
	int status = socket->bound ? 0 : choose_port(rbs, socket, &socket->local);
	const struct rb_endpoint local = listening_address(rbs, socket);
	if (status == 0 && rb_ip_is_any(&local.ip) && socket->domain == AF_INET)
		status = -EADDRNOTAVAIL; /* the host has no IPv4 */
	if (status == 0)
		status = rb_net_listen(rbs->net, &local, socket->number, &socket->handle);
	if (status != 0)
		return status;
	socket->bound = true;
	socket->state = SOCKET_LISTENING;
	option_apply(rbs, socket);
	return 0;
}

int rbs_accept(struct rbs *rbs, int fd, struct sockaddr *address, socklen_t *length)
{
	struct socket *listener = socket_of(rbs, fd);
	if (listener == NULL)
		return -EBADF;
	if (listener->state != SOCKET_LISTENING)
		return -EINVAL;
	if (listener->queue_count == 0)
		return -EAGAIN;
	struct socket *socket = listener->queue[0];
	const int accepted = socket_give_fd(rbs, socket);
	if (accepted < 0)
		return accepted;
	listener->queue_count--;
	memmove(listener->queue, listener->queue + 1, listener->queue_count * sizeof(listener->queue[0]));
	if (address != NULL)
		(void)address_write(socket, &socket->remote, address, length);
	return accepted;
}

/* connect() to a socket that has had one before. */
static int connect_again(struct socket *socket)
{
	const int error = socket->error;
	switch (socket->state) {
	case SOCKET_CONNECTING:
		return -EALREADY;
	case SOCKET_OPEN:
		if (!socket->fresh)
			return -EISCONN;
		socket->fresh = false;
		return 0;
	case SOCKET_ENDED:
		socket->error = 0;
		return error != 0 ? -error : -ECONNABORTED;
	default:
		return -EINVAL;
	}
}

int rbs_connect(struct rbs *rbs, int fd, const struct sockaddr *address, socklen_t length)
{
	struct socket *socket = socket_of(rbs, fd);
	struct rb_endpoint remote;
	if (socket == NULL)
		return -EBADF;
	if (socket->state != SOCKET_NEW)
		return connect_again(socket);
	int status = address_read(socket, address, length, &remote);
	if (status != 0)
		return status;
	option_offer(rbs, socket);
	status = rb_net_connect(rbs->net, &socket->local, &remote, socket->number, &socket->handle);
	if (status != 0)
		return status;
	struct rb_net_info info;
	if (rb_net_info(rbs->net, socket->handle, &info) == 0)
		socket->local = info.local;
	socket->remote = remote;
	socket->bound = true;
	socket->state = SOCKET_CONNECTING;
	option_apply(rbs, socket);
	event_turn(rbs);
	return socket->state == SOCKET_CONNECTING ? -EINPROGRESS : connect_again(socket);
}

/*
 * The end.
 */

static void connection_close(struct rbs *rbs, struct socket *socket)
{
	/* RFC 1122 4.2.2.13: who closes without having read all says so with a reset */
	const bool abort = socket->linger || socket->chunks_count > 0;
	(void)rb_net_close(rbs->net, socket->handle, abort ? RB_NET_CLOSE_ABORT : RB_NET_CLOSE_BOTH);
	socket->chunks_count = 0;
}

/* Listeners take those with them that nobody has accepted. */
static void listener_close(struct rbs *rbs, struct socket *socket)
{
	(void)rb_net_close(rbs->net, socket->handle, RB_NET_CLOSE_BOTH);
	for (unsigned i = 0; i < socket->queue_count; i++) {
		struct socket *waiting = socket->queue[i];
		if (waiting->state == SOCKET_OPEN)
			(void)rb_net_close(rbs->net, waiting->handle, RB_NET_CLOSE_ABORT);
		else
			socket_free(rbs, waiting);
	}
	socket->queue_count = 0;
}

int rbs_close(struct rbs *rbs, int fd)
{
	struct socket *socket = socket_of(rbs, fd);
	if (socket == NULL)
		return -EBADF;
	rbs->fds[fd] = NULL;
	socket->has_fd = false;
	const enum socket_state state = socket->state;
	if (state == SOCKET_LISTENING)
		listener_close(rbs, socket);
	else if (state == SOCKET_OPEN)
		connection_close(rbs, socket);
	else if (state == SOCKET_CONNECTING)
		(void)rb_net_close(rbs->net, socket->handle, RB_NET_CLOSE_ABORT);
	if (state != SOCKET_OPEN && state != SOCKET_CONNECTING)
		socket_free(rbs, socket);
	event_turn(rbs);
	return 0;
}

int rbs_poll(struct rbs *rbs, struct pollfd *fds, nfds_t count)
{
	int ready = 0;
	for (nfds_t i = 0; i < count; i++) {
		const struct socket *socket = socket_of(rbs, fds[i].fd);
		const short always = POLLERR | POLLHUP;
		fds[i].revents = 0;
		if (fds[i].fd >= 0 && socket == NULL)
			fds[i].revents = POLLNVAL;
		else if (socket != NULL)
			fds[i].revents = (short)(stream_poll(rbs, socket) & (fds[i].events | always));
		ready += fds[i].revents != 0;
	}
	return ready;
}
