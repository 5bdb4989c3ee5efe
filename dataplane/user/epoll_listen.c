// SPDX-License-Identifier: Apache-2.0
/*
 * Listen sockets of the epoll back-end. They are level-triggered: what one poll does not accept is there
 * at the next. A shared socket is registered with EPOLLEXCLUSIVE, so a connection wakes one thread and not all.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "user/epoll_defs.h"

/* With no descriptor or slot left, accept() fails at once as long as the queue is not empty: look again later. */
#define ACCEPT_PAUSE_NS (10 * RB_NS_PER_MS)

int epoll_listener_create(const struct rb_listen_config *config, void **listener)
{
	struct epoll_listener *made = calloc(1, sizeof(*made));
	if (made == NULL)
		return -ENOMEM;
	made->config = *config;
	made->fd = rb_socket_listen(config, config->address);
	if (made->fd < 0) {
		int result = made->fd;
		free(made);
		return result;
	}
	made->address = rb_socket_local(made->fd);
	*listener = made;
	return 0;
}

void epoll_listener_destroy(void *listener)
{
	struct epoll_listener *own = listener;
	close(own->fd);
	free(own);
}

struct rb_address epoll_listener_address(const void *listener)
{
	return ((const struct epoll_listener *)listener)->address;
}

static int watch(struct epoll_context *context, const struct listening *listening)
{
	uint32_t number = (uint32_t)(listening - context->listening);
	bool shared = listening->listener->config.mode == RB_LISTEN_SHARED;
	struct epoll_event event = {
		.events = EPOLLIN | (shared ? EPOLLEXCLUSIVE : 0U),
		.data.u64 = epoll_data_listening(number),
	};
	context->stats->syscalls[RB_SYS_EPOLL_CTL]++;
	return epoll_ctl(context->epoll_fd, EPOLL_CTL_ADD, listening->fd, &event) != 0 ? -errno : 0;
}

int epoll_listen(void *state, void *listener, uint64_t cookie)
{
	struct epoll_context *context = state;
	struct epoll_listener *own = listener;
	if (context->listening_count == EPOLL_LISTENERS_MAX)
		return -ENOSPC;
	struct listening *listening = &context->listening[context->listening_count];
	*listening = (struct listening){.listener = own, .fd = own->fd, .cookie = cookie};
	if (own->config.mode == RB_LISTEN_REUSEPORT && own->fd_taken) {
		listening->fd = rb_socket_listen(&own->config, own->address);
		listening->owns_fd = true;
		if (listening->fd < 0)
			return listening->fd;
	}
	int result = watch(context, listening);
	if (result != 0) {
		if (listening->owns_fd)
			close(listening->fd);
		return result;
	}
	own->fd_taken = true;
	context->listening_count++;
	return 0;
}

static void pause_accepting(struct epoll_context *context, struct listening *listening, int status)
{
	struct rb_event *event = epoll_emit(context, RB_EVENT_ERROR, NULL);
	event->cookie = listening->cookie;
	event->status = status;
	event->error.command = RB_COMMAND_ACCEPT;
	event->error.count = 1;
	/* EPOLL_CTL_MOD is not allowed with EPOLLEXCLUSIVE */
	context->stats->syscalls[RB_SYS_EPOLL_CTL]++;
	int result = epoll_ctl(context->epoll_fd, EPOLL_CTL_DEL, listening->fd, NULL);
	RB_ASSERT_EQ(result, 0);
	listening->paused = true;
	listening->resume_ns = rb_clock_now(context->config.clock) + ACCEPT_PAUSE_NS;
}

/* accept(2): these concern the one connection, which is gone; treat them like EAGAIN by trying again. */
static bool connection_is_gone(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

/* Takes one connection from the kernel. Returns false when there is no more, or no more is possible now. */
static bool accept_one(struct epoll_context *context, struct listening *listening)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	struct connection *connection = epoll_connection_take(context, CONNECTION_KNOCKED);
	if (connection == NULL) {
		pause_accepting(context, listening, -ENOBUFS);
		return false;
	}
	context->stats->syscalls[RB_SYS_ACCEPT4]++;
	connection->fd = accept4(listening->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (connection->fd < 0) {
		int error = errno;
		epoll_connection_give(context, connection);
		if (error != EAGAIN && !connection_is_gone(error))
			pause_accepting(context, listening, -error);
		return connection_is_gone(error);
	}
	context->stats->accepted++;
	connection->cookie = listening->cookie;
	connection->local = listening->listener->address;
	connection->remote = rb_socket_address_of(&peer);
	struct rb_event *event = epoll_emit(context, RB_EVENT_KNOCK, connection);
	event->knock.local = connection->local;
	event->knock.remote = connection->remote;
	return true;
}

void epoll_listen_accept(struct epoll_context *context, struct listening *listening)
{
	listening->ready = false;
	for (uint32_t i = 0; i < listening->listener->config.accept_batch && epoll_has_room(context); i++) {
		if (!accept_one(context, listening))
			return;
	}
}

void epoll_listen_resume(struct epoll_context *context, uint64_t now_ns)
{
	for (uint32_t i = 0; i < context->listening_count; i++) {
		struct listening *listening = &context->listening[i];
		if (!listening->paused || now_ns < listening->resume_ns)
			continue;
		listening->paused = watch(context, listening) != 0;
		listening->resume_ns = now_ns + ACCEPT_PAUSE_NS;
	}
}

void epoll_listen_hurry(struct epoll_context *context)
{
	for (uint32_t i = 0; i < context->listening_count; i++)
		context->listening[i].resume_ns = 0;
}

void epoll_listen_close(struct epoll_context *context)
{
	for (uint32_t i = 0; i < context->listening_count; i++) {
		if (context->listening[i].owns_fd)
			close(context->listening[i].fd);
	}
}
