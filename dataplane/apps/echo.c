// SPDX-License-Identifier: Apache-2.0
/*
 * rb-echo: sends every byte back. A request is --message-bytes consecutive bytes of a connection; the size is
 * used for counting only, so one server serves any message size.
 */
#include <errno.h>
#include <stdlib.h>

#include "apps/server.h"
#include "base/log.h"
#include "user/loop.h"

struct echo_config {
	struct app_options server;
	uint64_t message_bytes;
};

static const struct rb_option echo_options[] = {
	APP_OPTION_ROWS(struct echo_config, server),
	{.name = "message-bytes",
	 .type = RB_OPTION_SIZE,
	 .offset = offsetof(struct echo_config, message_bytes),
	 .default_value = "64",
	 .min = 1,
	 .max = UINT32_MAX,
	 .help = "Bytes that count as one request in the statistics."},
};

static const struct rb_option_table echo_table = {
	.program = "rb-echo",
	.summary = "TCP echo server",
	.example = "rb-echo --port 9000 --threads 2 --listen reuseport --cpus 0-1 --stats server.json",
	.options = echo_options,
	.count = sizeof(echo_options) / sizeof(echo_options[0]),
};

/* One thread's. */
struct echo {
	struct rb_loop *loop;
	uint64_t message_bytes;
	uint64_t requests;
};

struct echo_connection {
	struct echo *echo;
	uint64_t bytes; /* of the current message */
};

static size_t on_data(struct rb_stream *stream, const uint8_t *data, size_t length)
{
	struct echo_connection *connection = rb_stream_user(stream);
	size_t space = rb_stream_space(stream);
	size_t part = length < space ? length : space;
	if (part == 0 || rb_stream_write(stream, data, part) != 0)
		return 0; /* offered again when output was sent: a client that does not read is not read from */
	connection->bytes += part;
	connection->echo->requests += connection->bytes / connection->echo->message_bytes;
	connection->bytes %= connection->echo->message_bytes;
	return part;
}

static void on_closed(struct rb_stream *stream, int status)
{
	(void)status; /* the client's affair */
	free(rb_stream_user(stream));
}

static bool on_accept(struct rb_loop *loop, struct rb_stream *stream, uint64_t cookie)
{
	static const struct rb_stream_ops ops = {.data = on_data, .closed = on_closed};
	(void)loop;
	struct echo_connection *connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		return false;
	connection->echo = (struct echo *)(uintptr_t)cookie;
	rb_stream_attach(stream, &ops, connection);
	return true;
}

static int echo_start(struct app_thread *thread, const struct rb_context_config *context, struct rb_listener *listener)
{
	struct rb_loop_config config = {.context = *context, .accept = on_accept};
	struct echo *echo = calloc(1, sizeof(*echo));
	if (echo == NULL)
		return -ENOMEM;
	echo->message_bytes = ((const struct echo_config *)thread->app->config)->message_bytes;
	int result = rb_loop_create(&config, &echo->loop);
	if (result == 0)
		result = rb_loop_listen(echo->loop, listener, (uintptr_t)echo);
	if (result != 0) {
		rb_loop_destroy(echo->loop);
		free(echo);
		return result;
	}
	thread->context = rb_loop_context(echo->loop);
	thread->state = echo;
	return 0;
}

static int echo_turn(struct app_thread *thread)
{
	return rb_loop_turn(((const struct echo *)thread->state)->loop, RB_WAIT);
}

static void echo_stop(struct app_thread *thread)
{
	struct echo *echo = thread->state;
	rb_loop_destroy(echo->loop);
	free(echo);
}

static uint64_t echo_requests(const struct app_thread *thread)
{
	return ((const struct echo *)thread->state)->requests;
}

int main(int argc, char **argv)
{
	struct echo_config config = {0};
	switch (rb_options_parse(&echo_table, argc, argv, &config, stdout, stderr)) {
	case RB_OPTIONS_HELP:
		return 0;
	case RB_OPTIONS_ERROR:
		return 2;
	case RB_OPTIONS_OK:
		break;
	}
	rb_log_init("rb-echo", (enum rb_log_level)config.server.log);
	const struct app app = {.name = "echo",
				.start = echo_start,
				.turn = echo_turn,
				.stop = echo_stop,
				.requests = echo_requests,
				.config = &config};
	return app_run(&app, &config.server);
}
