// SPDX-License-Identifier: Apache-2.0
/*
 * Streams: what the application does to a stream is noted in it and turned into commands once per turn
 * (stream_issue), so that any number of writes in a turn cost one SENDV.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "user/loop_defs.h"

struct rb_stream *stream_create(struct rb_loop *loop, enum stream_state state)
{
	struct rb_stream *stream = calloc(1, sizeof(*stream));
	if (stream == NULL)
		return NULL;
	stream->loop = loop;
	stream->state = (uint8_t)state;
	rb_list_init(&stream->dirty);
	rb_list_append(&loop->streams, &stream->node);
	loop->streams_count++;
	return stream;
}

void stream_retire(struct rb_stream *stream)
{
	struct rb_loop *loop = stream->loop;
	rb_list_remove(&stream->node);
	rb_list_remove(&stream->dirty);
	loop->streams_count--;
	rb_list_append(&loop->ended, &stream->node);
}

void stream_free(struct rb_stream *stream)
{
	output_free(stream->loop, &stream->output);
	free(stream->input.memory);
	free(stream);
}

void stream_touch(struct rb_stream *stream)
{
	if (rb_list_empty(&stream->dirty))
		rb_list_append(&stream->loop->dirty, &stream->dirty);
}

/* ---- commands ---- */

static void took_credit(struct rb_stream *stream)
{
	stream->unreturned -= stream->credit;
	stream->credit = 0;
}

static void issue_credit(struct rb_stream *stream)
{
	if (stream->credit == 0)
		return;
	rb_context_recv_done(stream->loop->context, stream->handle, stream->credit);
	took_credit(stream);
}

/* Gives back what there is to, with the same command. Returns whether there was one. */
static bool issue_output(struct rb_stream *stream)
{
	struct rb_loop *loop = stream->loop;
	if (stream->output.unqueued == 0)
		return false;
	if (stream->credit > UINT32_MAX)
		issue_credit(stream);
	struct rb_sg *sg = &loop->sg[loop->sg_count];
	uint32_t count = output_queue(&stream->output, sg);
	if (count == 0)
		return false; /* SENT brings us back */
	loop->sg_count += count;
	stream->last_credit = (uint32_t)stream->credit;
	rb_context_reply(loop->context, stream->handle, stream->last_credit, sg, count);
	took_credit(stream);
	return true;
}

static void issue_open(struct rb_stream *stream)
{
	struct rb_context *context = stream->loop->context;
	if (stream->wants_abort) {
		rb_context_close(context, stream->handle, RB_CLOSE_ABORT);
		stream->wants_abort = false;
		stream->closed = true;
		return;
	}
	if (stream->closed)
		return;
	bool sends = issue_output(stream);
	if (!sends)
		issue_credit(stream);
	bool closes = stream->wants_close || (stream->wants_shutdown && !stream->shut_down);
	if (!closes || stream->output.unqueued > 0)
		return; /* closing waits for it; SENT brings us back */
	if (sends) {
		/* in the next turn, when it is known that nothing was refused: or the end would be cut off */
		rb_list_append(&stream->loop->later, &stream->dirty);
	} else if (stream->wants_close) {
		rb_context_close(context, stream->handle, RB_CLOSE_ORDERLY);
		stream->closed = true;
	} else {
		rb_context_close(context, stream->handle, RB_CLOSE_WRITE);
		stream->shut_down = true;
	}
}

void stream_issue(struct rb_stream *stream)
{
	struct rb_context *context = stream->loop->context;
	switch (stream->state) {
	case STREAM_CONNECTING:
		if (stream->wants_connect)
			rb_context_connect(context, stream->local, stream->remote, (uintptr_t)stream);
		stream->wants_connect = false;
		break;
	case STREAM_KNOCKED:
		if (stream->rejected) {
			rb_context_reject(context, stream->handle);
			stream_retire(stream);
			return;
		}
		rb_context_accept(context, stream->handle, (uintptr_t)stream);
		stream->state = STREAM_OPEN;
		issue_open(stream);
		break;
	default:
		issue_open(stream);
		break;
	}
}

/* ---- input ---- */

static size_t input_length(const struct input *input)
{
	return input->end - input->start;
}

/* Makes room for `length` more bytes behind the unconsumed ones. */
static int input_reserve(struct input *input, size_t length)
{
	size_t used = input_length(input);
	if (input->end + length <= input->capacity)
		return 0;
	if (used > 0 && input->start > 0)
		memmove(input->memory, input->memory + input->start, used);
	input->start = 0;
	input->end = used;
	if (used + length <= input->capacity)
		return 0;
	size_t capacity = input->capacity > 0 ? input->capacity : 1024;
	while (capacity < used + length)
		capacity *= 2;
	uint8_t *memory = realloc(input->memory, capacity);
	if (memory == NULL)
		return -ENOMEM;
	input->memory = memory;
	input->capacity = capacity;
	return 0;
}

static int input_append(struct input *input, const uint8_t *data, size_t length)
{
	int result = input_reserve(input, length);
	if (result != 0)
		return result;
	memcpy(input->memory + input->end, data, length);
	input->end += length;
	return 0;
}

static bool ending(const struct rb_stream *stream)
{
	return stream->wants_close || stream->wants_abort || stream->closed;
}

static void fail(struct rb_stream *stream, int reason)
{
	if (!ending(stream) || stream->reason == 0)
		stream->reason = reason;
	rb_stream_abort(stream);
}

static size_t offer(struct rb_stream *stream, const uint8_t *data, size_t length)
{
	size_t consumed = stream->ops->data(stream, data, length);
	RB_ASSERT_LE(consumed, length);
	return consumed;
}

/* Offers what is kept. */
static void offer_kept(struct rb_stream *stream)
{
	struct input *input = &stream->input;
	size_t length = input_length(input);
	if (length == 0)
		return;
	size_t consumed = offer(stream, input->memory + input->start, length);
	input->start += consumed;
	if (consumed == length) {
		/* An idle connection keeps no memory. */
		free(input->memory);
		*input = (struct input){0};
	}
}

/* After bytes have been consumed, or not: return credit, notice the end of the stream and dead ends. */
static void settle(struct rb_stream *stream)
{
	if (ending(stream))
		return;
	size_t kept = input_length(&stream->input);
	bool waits_for_output = stream->output.bytes > 0;
	if (kept < stream->loop->config.stream_input_max) {
		stream->credit = stream->unreturned;
		if (stream->credit > 0)
			stream_touch(stream);
	} else if (!waits_for_output) {
		fail(stream, -EMSGSIZE);
		return;
	}
	if (stream->fin_received && stream->ops->finished == NULL && (kept == 0 || !waits_for_output))
		rb_stream_close(stream);
}

void stream_on_recv(struct rb_stream *stream, const struct rb_event *event)
{
	const uint8_t *data = event->recv.data;
	size_t length = event->recv.length;
	stream->unreturned += length;
	if (ending(stream))
		return; /* CLOSE gives everything back */
	if (length > 0 && input_length(&stream->input) == 0) {
		size_t consumed = offer(stream, data, length);
		data += consumed;
		length -= consumed;
		if (length > 0 && input_append(&stream->input, data, length) != 0)
			fail(stream, -ENOMEM);
	} else if (length > 0) {
		if (input_append(&stream->input, data, length) != 0)
			fail(stream, -ENOMEM);
		else
			offer_kept(stream);
	}
	if (event->flags & RB_RECV_FIN) {
		stream->fin_received = true;
		if (stream->ops->finished != NULL && !ending(stream))
			stream->ops->finished(stream);
	}
	settle(stream);
}

/* ---- other events ---- */

void stream_on_connected(struct rb_stream *stream, const struct rb_event *event)
{
	if (event->status != 0) {
		stream_on_closed(stream, event->status);
		stream_retire(stream);
		return;
	}
	stream->handle = event->handle;
	stream->state = STREAM_OPEN;
	stream_touch(stream);
	if (stream->ops->connected != NULL && !ending(stream))
		stream->ops->connected(stream);
}

void stream_on_sent(struct rb_stream *stream, uint64_t bytes)
{
	output_release(stream->loop, &stream->output, bytes);
	if (stream->output.unqueued > 0)
		stream_touch(stream);
	if (ending(stream))
		return;
	if (stream->ops->sent != NULL)
		stream->ops->sent(stream);
	if (!ending(stream))
		offer_kept(stream);
	settle(stream);
}

void stream_on_closed(struct rb_stream *stream, int status)
{
	stream->ops->closed(stream, stream->reason != 0 ? stream->reason : status);
}

void stream_on_error(struct rb_stream *stream, const struct rb_event *event)
{
	if (event->error.command == RB_COMMAND_SENDV && event->status == -ENOBUFS) {
		output_unqueue(&stream->output);
		stream->unreturned += stream->last_credit;
		stream->credit += stream->last_credit;
		loop_retry(stream->loop, stream);
		return;
	}
	if (event->status != -EBADF) /* the connection has ended meanwhile: CLOSED is on its way */
		fail(stream, event->status);
}

/* ---- for the application ---- */

void rb_stream_attach(struct rb_stream *stream, const struct rb_stream_ops *ops, void *user)
{
	RB_ASSERT(ops->data != NULL && ops->closed != NULL);
	stream->ops = ops;
	stream->user = user;
}

void *rb_stream_user(const struct rb_stream *stream)
{
	return stream->user;
}

struct rb_loop *rb_stream_loop(const struct rb_stream *stream)
{
	return stream->loop;
}

struct rb_address rb_stream_local(const struct rb_stream *stream)
{
	return stream->local;
}

struct rb_address rb_stream_remote(const struct rb_stream *stream)
{
	return stream->remote;
}

bool rb_stream_writable(const struct rb_stream *stream)
{
	return !ending(stream) && !stream->wants_shutdown;
}

int rb_stream_write(struct rb_stream *stream, const void *data, size_t length)
{
	if (!rb_stream_writable(stream))
		return -EPIPE;
	if (length > rb_stream_space(stream))
		return -ENOBUFS;
	int result = output_append(stream->loop, &stream->output, data, length);
	if (result == 0)
		stream_touch(stream);
	return result;
}

int rb_stream_send(struct rb_stream *stream, const struct rb_sg *pieces, uint32_t count, void (*release)(void *cookie),
		   void *cookie)
{
	if (!rb_stream_writable(stream))
		return -EPIPE;
	if (count > rb_stream_pieces(stream))
		return -ENOBUFS;
	int result = output_lend(stream->loop, &stream->output, pieces, count, release, cookie);
	if (result == 0)
		stream_touch(stream);
	return result;
}

uint32_t rb_stream_pieces(const struct rb_stream *stream)
{
	return RB_STREAM_PIECES_MAX - stream->output.lent;
}

size_t rb_stream_backlog(const struct rb_stream *stream)
{
	return stream->output.bytes;
}

size_t rb_stream_space(const struct rb_stream *stream)
{
	size_t max = stream->loop->config.stream_output_max;
	return stream->output.copied < max ? max - stream->output.copied : 0;
}

void rb_stream_shutdown(struct rb_stream *stream)
{
	stream->wants_shutdown = true;
	stream_touch(stream);
}

void rb_stream_close(struct rb_stream *stream)
{
	stream->wants_close = true;
	stream_touch(stream);
}

void rb_stream_abort(struct rb_stream *stream)
{
	stream->wants_abort = true;
	stream_touch(stream);
}
