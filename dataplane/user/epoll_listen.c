// SPDX-License-Identifier: Apache-2.0
/*
 * Listen sockets of the epoll back-end. They are level-triggered: what one poll does not accept is there
 * at the next. A shared socket is registered with EPOLLEXCLUSIVE, so a connection wakes one thread and not all.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "user/epoll_defs.h"

/* With no descriptor or slot left, accept() fails at once as long as the queue is not empty: look again later. */
#define ACCEPT_PAUSE_NS (10 * RB_NS_PER_MS)

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
	struct socket_listener *own = listener;
	if (context->listening_count == RB_LISTENERS_MAX)
		return -ENOSPC;
	struct listening *listening = &context->listening[context->listening_count];
	*listening = (struct listening){.listener = own, .cookie = cookie};
	listening->fd = socket_listener_attach(own, &listening->owns_fd);
	if (listening->fd < 0)
		return listening->fd;
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
		if (error != EAGAIN && !socket_listener_lost_one(error))
			pause_accepting(context, listening, -error);
		return socket_listener_lost_one(error);
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
