// SPDX-License-Identifier: Apache-2.0
#include "user/request.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

struct rb_server {
	struct rb_service_config config;
	struct rb_loop *loop;
	struct rb_service_stats stats;
};

struct rb_reply {
	struct rb_stream *stream;
	size_t written;
	size_t max;
};

void rb_reply_write(struct rb_reply *reply, const void *data, size_t length)
{
	RB_ASSERT_LE(length, reply->max - reply->written);
	reply->written += length;
	/* There is space (see serve); -EPIPE after rb_reply_close() is harmless. */
	if (rb_stream_write(reply->stream, data, length) == -ENOMEM)
		rb_stream_abort(reply->stream);
}

void rb_reply_close(struct rb_reply *reply)
{
	rb_stream_close(reply->stream);
}

/* Serves the first request. Returns its length, or 0 when it is not complete or cannot be served now. */
static size_t serve(struct rb_server *server, struct rb_stream *stream, const uint8_t *data, size_t length)
{
	const struct rb_service *service = server->config.service;
	if (rb_stream_space(stream) < service->reply_max)
		return 0;
	ssize_t size = service->frame(data, length);
	if (size < 0 || (size_t)size > service->request_max) {
		server->stats.refused++;
		rb_stream_abort(stream);
		return 0;
	}
	if (size == 0 || (size_t)size > length)
		return 0;
	struct rb_reply reply = {.stream = stream, .max = service->reply_max};
	service->handle(data, (size_t)size, &reply, server->config.user);
	server->stats.requests++;
	return (size_t)size;
}

static size_t on_data(struct rb_stream *stream, const uint8_t *data, size_t length)
{
	struct rb_server *server = rb_stream_user(stream);
	size_t used = 0;
	while (used < length && rb_stream_writable(stream)) {
		size_t served = serve(server, stream, data + used, length - used);
		if (served == 0)
			break;
		used += served;
	}
	return used;
}

static void on_closed(struct rb_stream *stream, int status)
{
	(void)stream;
	(void)status; /* the client's affair; counted by the context */
}

static bool on_accept(struct rb_loop *loop, struct rb_stream *stream, uint64_t cookie)
{
	static const struct rb_stream_ops ops = {.data = on_data, .closed = on_closed};
	(void)loop;
	rb_stream_attach(stream, &ops, (void *)(uintptr_t)cookie);
	return true;
}

static uint32_t at_least(uint32_t minimum, size_t value)
{
	return value > minimum ? (uint32_t)value : minimum;
}

int rb_server_create(const struct rb_service_config *config, struct rb_server **server)
{
	const struct rb_service *service = config->service;
	if (service->request_max == 0 || service->request_max >= UINT32_MAX || service->reply_max > UINT32_MAX)
		return -EINVAL;
	struct rb_server *made = calloc(1, sizeof(*made));
	if (made == NULL)
		return -ENOMEM;
	made->config = *config;
	struct rb_loop_config loop_config = {
		.context = config->context,
		.stream_input_max = at_least(65536, service->request_max + 1), /* a whole request never fills it */
		.stream_output_max = at_least(262144, service->reply_max),
		.accept = on_accept,
		.woken = config->woken,
		.user = config->user,
	};
	int result = rb_loop_create(&loop_config, &made->loop);
	if (result != 0) {
		free(made);
		return result;
	}
	*server = made;
	return 0;
}

void rb_server_destroy(struct rb_server *server)
{
	if (server == NULL)
		return;
	rb_loop_destroy(server->loop);
	free(server);
}

int rb_server_listen(struct rb_server *server, struct rb_listener *listener)
{
	return rb_loop_listen(server->loop, listener, (uintptr_t)server);
}

struct rb_loop *rb_server_loop(struct rb_server *server)
{
	return server->loop;
}

const struct rb_service_stats *rb_server_stats(const struct rb_server *server)
{
	return &server->stats;
}
