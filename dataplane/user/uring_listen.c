// SPDX-License-Identifier: Apache-2.0
/*
 * Accepting connections. As many accepts are under way as a poll may take connections; each has an address of its own to
 * be filled in, which a multishot accept has not, and so costs no system call. The kernel wakes one waiter of a shared
 * socket for a connection, whether its thread waits or computes.
 */
#include <errno.h>
#include <unistd.h>

#include "base/assert.h"
#include "user/uring_defs.h"

/* With no descriptor or slot left, accept() fails at once as long as the queue is not empty: look again later. */
#define ACCEPT_PAUSE_NS (10 * RB_NS_PER_MS)

int uring_listen(void *state, void *listener, uint64_t cookie)
{
	struct uring_context *context = state;
	struct socket_listener *own = listener;
	if (context->listening_count == RB_LISTENERS_MAX)
		return -ENOSPC;
	struct uring_listening *listening = &context->listening[context->listening_count];
	*listening = (struct uring_listening){.listener = own, .cookie = cookie};
	listening->fd = socket_listener_attach(own, &listening->owns_fd);
	if (listening->fd < 0)
		return listening->fd;
	uint32_t batch = own->config.accept_batch;
	listening->accepts_count = batch < URING_ACCEPTS_MAX ? batch : URING_ACCEPTS_MAX;
	for (uint32_t i = 0; i < listening->accepts_count; i++)
		listening->accepts[i].fd = -1;
	own->fd_taken = true;
	context->listening_count++;
	return 0;
}

static void arm(struct uring_context *context, struct uring_listening *listening, uint32_t number)
{
	struct uring_accept *accept = &listening->accepts[number];
	rb_handle name = rb_handle_make(0, (uint32_t)(listening - context->listening), number);
	struct io_uring_sqe *sqe = uring_submit(context, IORING_OP_ACCEPT, listening->fd, URING_ACCEPT, name);
	accept->length = sizeof(accept->peer);
	sqe->addr = (uintptr_t)&accept->peer;
	sqe->addr2 = (uintptr_t)&accept->length;
	sqe->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
	accept->armed = true;
	listening->armed++;
}

void uring_listen_arm(struct uring_context *context)
{
	for (uint32_t i = 0; i < context->listening_count; i++) {
		struct uring_listening *listening = &context->listening[i];
		if (listening->paused || listening->error != 0 ||
		    listening->armed + listening->arrived == listening->accepts_count)
			continue;
		for (uint32_t j = 0; j < listening->accepts_count; j++) {
			if (!listening->accepts[j].armed && listening->accepts[j].fd < 0)
				arm(context, listening, j);
		}
	}
}

void uring_listen_complete(struct uring_context *context, uint32_t number, uint32_t which, int result)
{
	struct uring_listening *listening = &context->listening[number];
	struct uring_accept *accept = &listening->accepts[which];
	accept->armed = false;
	listening->armed--;
	if (result >= 0) {
		accept->fd = result;
		listening->arrived++;
	} else if (!socket_listener_lost_one(-result)) {
		listening->error = result;
	}
}

static void pause_accepting(struct uring_context *context, struct uring_listening *listening, int status)
{
	struct rb_event *event = uring_emit(context, RB_EVENT_ERROR, NULL);
	event->cookie = listening->cookie;
	event->status = status;
	event->error.command = RB_COMMAND_ACCEPT;
	event->error.count = 1;
	listening->error = 0;
	listening->paused = true;
	listening->resume_ns = rb_clock_now(context->config.clock) + ACCEPT_PAUSE_NS;
}

/* Returns false if there is no slot for the connection. */
static bool knock(struct uring_context *context, struct uring_listening *listening, struct uring_accept *accept)
{
	struct uring_connection *connection = uring_connection_take(context, URING_KNOCKED);
	if (connection == NULL)
		return false;
	context->stats->accepted++;
	connection->fd = accept->fd;
	connection->cookie = listening->cookie;
	connection->local = listening->listener->address;
	connection->remote = rb_socket_address_of(&accept->peer);
	accept->fd = -1;
	listening->arrived--;
	struct rb_event *event = uring_emit(context, RB_EVENT_KNOCK, connection);
	event->knock.local = connection->local;
	event->knock.remote = connection->remote;
	return true;
}

static void deliver(struct uring_context *context, struct uring_listening *listening)
{
	for (uint32_t i = 0; listening->arrived > 0 && i < listening->accepts_count; i++) {
		if (listening->accepts[i].fd < 0)
			continue;
		if (!uring_has_room(context))
			return;
		if (!knock(context, listening, &listening->accepts[i])) {
			pause_accepting(context, listening, -ENOBUFS);
			return;
		}
	}
	if (listening->error != 0 && uring_has_room(context))
		pause_accepting(context, listening, listening->error);
}

void uring_listen_deliver(struct uring_context *context)
{
	for (uint32_t i = 0; i < context->listening_count; i++) {
		struct uring_listening *listening = &context->listening[i];
		if (!listening->paused && (listening->arrived > 0 || listening->error != 0))
			deliver(context, listening);
	}
}

void uring_listen_resume(struct uring_context *context, uint64_t now_ns)
{
	for (uint32_t i = 0; i < context->listening_count; i++) {
		struct uring_listening *listening = &context->listening[i];
		if (listening->paused && now_ns >= listening->resume_ns)
			listening->paused = false;
	}
}

void uring_listen_hurry(struct uring_context *context)
{
	for (uint32_t i = 0; i < context->listening_count; i++)
		context->listening[i].resume_ns = 0;
}

void uring_listen_close(struct uring_context *context)
{
	for (uint32_t i = 0; i < context->listening_count; i++) {
		struct uring_listening *listening = &context->listening[i];
		for (uint32_t j = 0; j < listening->accepts_count; j++) {
			if (listening->accepts[j].fd >= 0)
				rb_socket_abort(listening->accepts[j].fd, context->stats->syscalls);
		}
		if (listening->owns_fd)
			close(listening->fd);
	}
}
