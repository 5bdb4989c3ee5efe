// SPDX-License-Identifier: Apache-2.0
/*
 * rb-hello: answers whatever comes with "hello". The least that a server needs on the batch API, to begin an application
 * with; docs/dataplane.md goes through it.
 */
#include <stdio.h>

#include "user/context.h"

enum { PORT = 9000 };

static const struct rb_sg hello = {.base = "hello\n", .length = 6};

/* A command that finds the array full is refused; with 1,024 slots, what 64 packets bring does not fill it. */
static void handle(struct rb_context *context, const struct rb_event *event)
{
	switch (event->type) {
	case RB_EVENT_KNOCK:
		(void)rb_context_accept(context, event->handle, 0);
		break;
	case RB_EVENT_RECV:
		/* gives the bytes back, and sends; `hello` is there for good, so no SENT is waited for */
		if (event->recv.length > 0)
			(void)rb_context_reply(context, event->handle, (uint32_t)event->recv.length, &hello, 1);
		if (event->flags & RB_RECV_FIN)
			(void)rb_context_close(context, event->handle, RB_CLOSE_ORDERLY);
		break;
	case RB_EVENT_ERROR:
		if (event->error.command == RB_COMMAND_SENDV) /* no room: this client does not read */
			(void)rb_context_close(context, event->handle, RB_CLOSE_ABORT);
		break;
	default:
		break;
	}
}

int main(void)
{
	const struct rb_context_config config = {.commands_max = 1024, .events_max = 1024 + RB_EVENTS_SPARE};
	const struct rb_listen_config listen = {.address = {.port = PORT}};
	struct rb_listener *listener;
	struct rb_context *context;
	const struct rb_event *events;
	int count = 0;

	if (rb_context_create(&config, &context) != 0 || rb_listener_create(NULL, &listen, &listener) != 0 ||
	    rb_context_listen(context, listener, 0) != 0) {
		fprintf(stderr, "rb-hello: cannot listen on port %d\n", PORT);
		return 1;
	}
	printf("ready port=%d\n", PORT);
	fflush(stdout);
	while (count >= 0) { /* until SIGTERM */
		count = rb_context_run_io(context, RB_WAIT, &events);
		for (int i = 0; i < count; i++)
			handle(context, &events[i]);
	}
	rb_context_destroy(context);
	rb_listener_destroy(listener);
	return 1;
}
