// SPDX-License-Identifier: Apache-2.0
/*
 * The event loop. A turn: due timers fire; what streams want becomes commands; one run_io() carries them
 * out and waits; its events become callbacks, whose wishes are the next turn's commands.
 */
#include "user/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "user/loop_defs.h"

enum { RETRY_NS = RB_NS_PER_MS };

static void append_all(struct rb_list *from, struct rb_list *to)
{
	struct rb_list *node;
	while ((node = rb_list_pop(from)) != NULL)
		rb_list_append(to, node);
}

static void retry(struct rb_timer *timer, uint64_t now_ns)
{
	struct rb_loop *loop = RB_CONTAINER_OF(timer, struct rb_loop, retry);
	(void)now_ns;
	append_all(&loop->refused, &loop->dirty);
}

void loop_retry(struct rb_loop *loop, struct rb_stream *stream)
{
	if (rb_list_empty(&loop->refused))
		rb_loop_arm(loop, &loop->retry, rb_loop_now(loop) + RETRY_NS);
	rb_list_remove(&stream->dirty);
	rb_list_append(&loop->refused, &stream->dirty);
}

static int fill_config(struct rb_loop_config *config)
{
	if (config->stream_input_max == 0)
		config->stream_input_max = 65536;
	if (config->stream_output_max == 0)
		config->stream_output_max = 262144;
	struct rb_context_config *context = &config->context;
	if (context->connections_max == 0)
		context->connections_max = 16384;
	if (context->commands_max == 0)
		context->commands_max = 256;
	if (context->commands_max < 2 * STREAM_COMMANDS_MAX)
		return -EINVAL;
	/* so that a SENDV of a stream never finds the pool empty */
	if (context->tx_entries_max == 0)
		context->tx_entries_max = STREAM_PIECES_MAX * context->connections_max;
	return 0;
}

int rb_loop_create(const struct rb_loop_config *config, struct rb_loop **loop)
{
	struct rb_loop *made = calloc(1, sizeof(*made));
	if (made == NULL)
		return -ENOMEM;
	made->config = *config;
	made->armed_ns = RB_DEADLINE_NONE;
	rb_timers_init(&made->timers);
	rb_list_init(&made->streams);
	rb_list_init(&made->dirty);
	rb_list_init(&made->later);
	rb_list_init(&made->refused);
	rb_timer_init(&made->retry, retry);
	rb_list_init(&made->ended);
	int result = fill_config(&made->config);
	if (result == 0) {
		made->sg = calloc((size_t)made->config.context.commands_max * STREAM_PIECES_MAX, sizeof(*made->sg));
		result = made->sg == NULL ? -ENOMEM : rb_context_create(&made->config.context, &made->context);
	}
	if (result != 0) {
		free(made->sg);
		free(made);
		return result;
	}
	*loop = made;
	return 0;
}

static void free_ended(struct rb_loop *loop)
{
	struct rb_list *node;
	while ((node = rb_list_pop(&loop->ended)) != NULL)
		stream_free(RB_CONTAINER_OF(node, struct rb_stream, node));
}

void rb_loop_destroy(struct rb_loop *loop)
{
	if (loop == NULL)
		return;
	loop->destroying = true;
	struct rb_list *head = &loop->streams;
	for (struct rb_list *node = head->next; node != head; node = node->next) {
		struct rb_stream *stream = RB_CONTAINER_OF(node, struct rb_stream, node);
		if (!stream->rejected)
			stream_on_closed(stream, -ECANCELED);
	}
	rb_context_destroy(loop->context); /* the stack lets go of the streams' memory */
	while (!rb_list_empty(head))
		stream_retire(RB_CONTAINER_OF(head->next, struct rb_stream, node));
	free_ended(loop);
	output_trim(loop);
	free(loop->sg);
	free(loop);
}

/* ---- one turn ---- */

static void fire_timers(struct rb_loop *loop)
{
	if (rb_timers_next(&loop->timers) == RB_DEADLINE_NONE)
		return; /* saves reading the clock */
	uint64_t now_ns = rb_loop_now(loop);
	struct rb_timer *timer;
	while ((timer = rb_timers_pop(&loop->timers, now_ns)) != NULL)
		timer->fire(timer, now_ns);
}

/* Returns true when no stream is left with wishes: only then the loop may block. */
static bool issue_commands(struct rb_loop *loop)
{
	struct rb_list *node;
	loop->sg_count = 0;
	/* one slot is kept for the deadline */
	while (rb_context_command_space(loop->context) > STREAM_COMMANDS_MAX) {
		node = rb_list_pop(&loop->dirty);
		if (node == NULL)
			break;
		stream_issue(RB_CONTAINER_OF(node, struct rb_stream, dirty));
	}
	append_all(&loop->later, &loop->dirty);
	uint64_t deadline = rb_timers_next(&loop->timers);
	if (deadline != loop->armed_ns) {
		rb_context_timer(loop->context, deadline, 0);
		loop->armed_ns = deadline;
	}
	return rb_list_empty(&loop->dirty);
}

static void on_knock(struct rb_loop *loop, const struct rb_event *event)
{
	struct rb_stream *stream = stream_create(loop, STREAM_KNOCKED);
	if (stream == NULL) {
		/*
		 * There is a command slot: nothing has been issued since run_io() emptied the array but such
		 * rejections.
		 */
		if (rb_context_reject(loop->context, event->handle) != 0)
			RB_LOG_RATELIMITED(RB_LOG_ERROR, "out of memory: a connection stays unanswered");
		return;
	}
	stream->handle = event->handle;
	stream->local = event->knock.local;
	stream->remote = event->knock.remote;
	stream->rejected = loop->config.accept == NULL || !loop->config.accept(loop, stream, event->cookie);
	RB_ASSERT(stream->rejected || stream->ops != NULL); /* accept must have called rb_stream_attach() */
	stream_touch(stream);
}

static void on_error(struct rb_loop *loop, const struct rb_event *event)
{
	bool of_stream = event->cookie != 0 && event->handle != 0;
	if (of_stream)
		stream_on_error((struct rb_stream *)(uintptr_t)event->cookie, event);
	else if (event->handle != 0)
		return; /* a command to a connection that has ended meanwhile */
	else if (loop->config.error != NULL)
		loop->config.error(loop, event->status);
	else
		RB_LOG_RATELIMITED(RB_LOG_WARNING, "cannot accept connections now: %s", strerror(-event->status));
}

static void dispatch(struct rb_loop *loop, const struct rb_event *event)
{
	struct rb_stream *stream = (struct rb_stream *)(uintptr_t)event->cookie;
	switch (event->type) {
	case RB_EVENT_KNOCK:
		on_knock(loop, event);
		break;
	case RB_EVENT_CONNECTED:
		stream_on_connected(stream, event);
		break;
	case RB_EVENT_RECV:
		if (event->recv.sent > 0)
			stream_on_sent(stream, event->recv.sent);
		stream_on_recv(stream, event);
		break;
	case RB_EVENT_SENT:
		stream_on_sent(stream, event->sent.bytes);
		break;
	case RB_EVENT_CLOSED:
		stream_on_closed(stream, event->status);
		stream_retire(stream);
		break;
	case RB_EVENT_TIMER:
		loop->armed_ns = RB_DEADLINE_NONE; /* timers fire at the start of the next turn */
		break;
	case RB_EVENT_ERROR:
		on_error(loop, event);
		break;
	default:
		RB_LOG_ONCE(RB_LOG_ERROR, "the back-end delivered an unknown event of type %u", event->type);
		break;
	}
}

int rb_loop_turn(struct rb_loop *loop, enum rb_wait wait)
{
	const struct rb_event *events;
	fire_timers(loop);
	if (!issue_commands(loop) || atomic_load_explicit(&loop->stop, memory_order_relaxed))
		wait = RB_POLL;
	int count = rb_context_run_io(loop->context, wait, &events);
	if (count < 0)
		return count;
	free_ended(loop);
	for (int i = 0; i < count; i++)
		dispatch(loop, &events[i]);
	/* Pairs with the release in rb_loop_wake(): `woken` sees what its caller wrote before. */
	if (atomic_load_explicit(&loop->wake, memory_order_relaxed) &&
	    atomic_exchange_explicit(&loop->wake, false, memory_order_acquire) && loop->config.woken != NULL)
		loop->config.woken(loop);
	return 0;
}

int rb_loop_run(struct rb_loop *loop)
{
	while (!atomic_exchange_explicit(&loop->stop, false, memory_order_acquire)) {
		int result = rb_loop_turn(loop, RB_WAIT);
		if (result != 0)
			return result;
	}
	return 0;
}

void rb_loop_stop(struct rb_loop *loop)
{
	atomic_store_explicit(&loop->stop, true, memory_order_release);
	rb_context_wake(loop->context);
}

void rb_loop_wake(struct rb_loop *loop)
{
	atomic_store_explicit(&loop->wake, true, memory_order_release);
	rb_context_wake(loop->context);
}

/* ---- for the application ---- */

uint64_t rb_loop_now(const struct rb_loop *loop)
{
	return rb_context_now(loop->context);
}

void *rb_loop_user(const struct rb_loop *loop)
{
	return loop->config.user;
}

struct rb_context *rb_loop_context(const struct rb_loop *loop)
{
	return loop->context;
}

size_t rb_loop_streams(const struct rb_loop *loop)
{
	return loop->streams_count;
}

int rb_loop_listen(struct rb_loop *loop, struct rb_listener *listener, uint64_t cookie)
{
	return rb_context_listen(loop->context, listener, cookie);
}

void rb_loop_arm(struct rb_loop *loop, struct rb_timer *timer, uint64_t deadline_ns)
{
	rb_timers_arm(&loop->timers, timer, deadline_ns);
}

void rb_loop_cancel(struct rb_loop *loop, struct rb_timer *timer)
{
	rb_timers_cancel(&loop->timers, timer);
}

int rb_loop_connect(struct rb_loop *loop, struct rb_address local, struct rb_address remote,
		    const struct rb_stream_ops *ops, void *user, struct rb_stream **stream)
{
	if (loop->destroying)
		return -ECANCELED;
	if (loop->streams_count >= loop->config.context.connections_max)
		return -ENOBUFS;
	struct rb_stream *made = stream_create(loop, STREAM_CONNECTING);
	if (made == NULL)
		return -ENOMEM;
	made->local = local;
	made->remote = remote;
	made->wants_connect = true;
	rb_stream_attach(made, ops, user);
	stream_touch(made);
	*stream = made;
	return 0;
}
