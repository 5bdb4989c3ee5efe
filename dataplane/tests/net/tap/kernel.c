// SPDX-License-Identifier: Apache-2.0
/* The same work over this machine's own sockets. */
#include "tests/net/tap/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"

enum { CHUNK = 1 << 16, EVENTS = 64, WAIT_MS = 100 };

struct stream {
	struct work work;
	int fd;
	bool connecting, shut, closed;
};

struct side {
	const struct tap_config *config;
	int epoll, listener;
	struct stream *streams;
	struct work *work; /* for the report */
	unsigned begun, closed;
	uint64_t moved;	  /* grows whenever something has happened */
	struct late late; /* in times of the machine's clock */
};

union address {
	struct sockaddr generic;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t address_make(union address *address, bool ip6, const char *text, uint16_t port)
{
	*address = (union address){0};
	address->generic.sa_family = ip6 ? AF_INET6 : AF_INET;
	/* the port is at the same place in both */
	address->in.sin_port = htons(port);
	void *at = ip6 ? (void *)&address->in6.sin6_addr : (void *)&address->in.sin_addr;
	if (text != NULL && inet_pton(address->generic.sa_family, text, at) != 1)
		return 0;
	return ip6 ? sizeof(address->in6) : sizeof(address->in);
}

static void watch(const struct side *side, int fd, uint64_t what)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = what};
	RB_ASSERT(epoll_ctl(side->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static int socket_make(const struct side *side)
{
	static const char *const names[] = {"reno", "cubic", "dctcp"};
	const char *congestion = names[side->config->congestion];
	const int yes = 1;
	const int fd = socket(side->config->ip6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	RB_ASSERT(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion)) != 0)
		fprintf(stderr, "net-tap: %s: %s\n", congestion, strerror(errno));
	return fd;
}

static void finish(struct side *side, struct stream *stream, const char *fault)
{
	if (stream->closed)
		return;
	if (fault != NULL && stream->work.fault == NULL)
		stream->work.fault = fault;
	stream->closed = true;
	side->closed++;
	(void)close(stream->fd);
}

static void receive(struct side *side, struct stream *stream)
{
	static uint8_t bytes[CHUNK];
	while (!stream->work.ended && !stream->closed) {
		const ssize_t size = read(stream->fd, bytes, sizeof(bytes));
		if (size < 0 && errno == EAGAIN)
			return;
		side->moved++;
		if (size > 0)
			work_receive(&stream->work, bytes, (size_t)size, rb_clock_now(rb_clock_monotonic()));
		else if (size == 0)
			work_end(&stream->work);
		else
			finish(side, stream, strerror(errno));
	}
}

static void send_all(struct side *side, struct stream *stream)
{
	static uint8_t bytes[CHUNK];
	while (!stream->shut && !stream->closed) {
		const size_t size = work_fill(&stream->work, bytes, sizeof(bytes));
		if (size == 0) {
			stream->shut = true;
			(void)shutdown(stream->fd, SHUT_WR);
			return;
		}
		const ssize_t written = send(stream->fd, bytes, size, MSG_NOSIGNAL);
		if (written < 0 && errno == EAGAIN)
			return;
		side->moved++;
		if (written < 0)
			finish(side, stream, strerror(errno));
		else
			work_sent(&stream->work, (size_t)written);
	}
}

static struct stream *stream_begin(struct side *side, int fd, uint16_t connecting_port)
{
	struct stream *stream = &side->streams[side->begun];
	const struct tap_config *config = side->config;
	stream->fd = fd;
	work_begin(&stream->work, config->seed, connecting_port, !config->listen, config->send, config->receive);
	watch(side, fd, ++side->begun);
	side->moved++;
	return stream;
}

/* The next one. The first goes ahead, as in library.c. */
static void connect_one(struct side *side)
{
	const struct tap_config *config = side->config;
	const uint16_t port = (uint16_t)(TAP_OWN_PORT + side->begun);
	const int fd = socket_make(side);
	union address own, address;
	const socklen_t own_length = address_make(&own, config->ip6, NULL, port);
	const socklen_t length = address_make(&address, config->ip6, config->to, (uint16_t)config->port);
	struct stream *stream = stream_begin(side, fd, port);
	stream->connecting = true;
	if (bind(fd, &own.generic, own_length) != 0 ||
	    (connect(fd, &address.generic, length) != 0 && errno != EINPROGRESS))
		finish(side, stream, strerror(errno));
}

static void work_on(struct side *side, struct stream *stream)
{
	if (stream->closed)
		return;
	if (stream->connecting) {
		int error = 0;
		socklen_t length = sizeof(error);
		union address peer;
		socklen_t peer_length = sizeof(peer);
		(void)getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &length);
		if (error != 0)
			finish(side, stream, strerror(error));
		if (error != 0 || getpeername(stream->fd, &peer.generic, &peer_length) != 0)
			return;
		stream->connecting = false;
		while (side->begun < side->config->connections)
			connect_one(side);
	}
	receive(side, stream);
	send_all(side, stream);
	if (!stream->closed && stream->shut && stream->work.ended)
		finish(side, stream, NULL);
}

static void accept_all(struct side *side)
{
	while (side->begun < side->config->connections) {
		union address from = {0};
		socklen_t length = sizeof(from);
		const int fd = accept4(side->listener, &from.generic, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		work_on(side, stream_begin(side, fd, ntohs(from.in.sin_port)));
	}
}

/* 0, or -errno after a message. */
static int begin(struct side *side)
{
	const struct tap_config *config = side->config;
	union address address;
	const socklen_t length = address_make(&address, config->ip6, config->to, (uint16_t)config->port);
	if (length == 0) {
		fprintf(stderr, "net-tap: %s is no address\n", config->to);
		return -EINVAL;
	}
	if (config->listen) {
		side->listener = socket_make(side);
		if (bind(side->listener, &address.generic, length) != 0 ||
		    listen(side->listener, (int)config->connections) != 0) {
			fprintf(stderr, "net-tap: listen: %s\n", strerror(errno));
			return -errno;
		}
		watch(side, side->listener, 0);
		printf("listening\n");
		return fflush(stdout);
	}
	connect_one(side);
	return 0;
}

static int report(struct side *side)
{
	struct rb_json json;
	for (unsigned i = 0; i < side->config->connections; i++)
		side->work[i] = side->streams[i].work;
	rb_json_init(&json, stdout);
	rb_json_object_begin(&json, NULL);
	int status = work_report(&json, side->work, (unsigned)side->config->connections);
	late_report(&side->late, &json);
	rb_json_object_end(&json);
	return rb_json_finish(&json) != 0 ? 1 : status;
}

static void turn(struct side *side)
{
	struct epoll_event events[EVENTS];
	const int count = epoll_wait(side->epoll, events, EVENTS, WAIT_MS);
	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 == 0)
			accept_all(side);
		else
			work_on(side, &side->streams[events[i].data.u64 - 1]);
	}
}

int linux_run(const struct tap_config *config)
{
	static struct side side;
	uint64_t moved = UINT64_MAX, since_ns = 0;
	side.config = config;
	side.epoll = epoll_create1(EPOLL_CLOEXEC);
	side.listener = -1;
	late_open(&side.late);
	side.streams = calloc(config->connections, sizeof(side.streams[0]));
	side.work = calloc(config->connections, sizeof(side.work[0]));
	RB_ASSERT(side.epoll >= 0 && side.streams != NULL && side.work != NULL);
	if (begin(&side) != 0)
		return 1;
	while (!tap_is_stopped() && side.closed < config->connections) {
		const uint64_t now_ns = rb_clock_now(rb_clock_monotonic());
		late_look(&side.late, now_ns);
		if (moved != side.moved) {
			moved = side.moved;
			since_ns = now_ns;
		}
		if (now_ns > since_ns + config->patience)
			break;
		turn(&side);
	}
	const int status = report(&side);
	late_close(&side.late);
	free(side.streams);
	free(side.work);
	return status;
}
