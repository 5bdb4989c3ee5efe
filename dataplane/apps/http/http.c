// SPDX-License-Identifier: Apache-2.0
/*
 * rb-http: serves the files of a directory from memory over HTTP/1.1. Small bodies are copied behind their heads;
 * larger ones are sent from where they lie. A client that does not read holds up its own requests only, and for a
 * bounded amount of memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/http/serve.h"
#include "apps/server.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"
#include "user/loop.h"

enum {
	COPY_MAX = 2048,	/* bytes of a body that are cheaper to copy than to describe */
	ANSWER_MAX = 16 * 1024, /* bytes copied for one answer: a redirect to the longest path is the largest */
	OUTPUT_MAX = 64 * 1024, /* of a connection */
	INPUT_MAX = 2 * HTTP_HEAD_MAX,
};

#define TICK_NS RB_NS_PER_S /* of the Date field and the idle timeout */

struct http_config {
	struct app_options server;
	const char *root;
	uint64_t memory;
	uint64_t idle_timeout_ns;
	struct http_site site;
};

static const struct rb_option http_options[] = {
	APP_OPTION_ROWS(struct http_config, server),
	{.name = "root",
	 .type = RB_OPTION_STRING,
	 .offset = offsetof(struct http_config, root),
	 .required = true,
	 .help = "Directory to serve; read once, at the start."},
	{.name = "memory",
	 .type = RB_OPTION_SIZE,
	 .offset = offsetof(struct http_config, memory),
	 .default_value = "256m",
	 .max = UINT64_C(1) << 40,
	 .help = "What the files may take in all."},
	{.name = "idle-timeout",
	 .type = RB_OPTION_DURATION,
	 .offset = offsetof(struct http_config, idle_timeout_ns),
	 .default_value = "60s",
	 .min = RB_NS_PER_S,
	 .max = 86400 * RB_NS_PER_S,
	 .help = "How long a connection may neither finish a request nor take a "
		 "byte; counted in whole seconds."},
};

static const struct rb_option_table http_table = {
	.program = "rb-http",
	.summary = "HTTP/1.1 server of files in memory",
	.example = "rb-http --root /usr/share/doc --port 8080 --threads 2 --listen "
		   "reuseport --cpus 0-1",
	.options = http_options,
	.count = sizeof(http_options) / sizeof(http_options[0]),
};

/* One thread's. */
struct http {
	struct rb_loop *loop;
	const struct http_site *site;
	struct http_now now;
	struct rb_timer timer; /* armed while there are connections */
	bool ticking;
	uint32_t tick, idle_ticks;
	struct rb_list connections; /* the longest idle first */
	uint64_t requests;
};

struct connection {
	struct rb_list node;
	struct http *http;
	struct rb_stream *stream;
	struct http_connection state;
	uint32_t tick;	/* of the last answer or progress */
	size_t backlog; /* then */
};

/* ---- time ---- */

static void refresh_now(struct http *http)
{
	http->now.seconds = (int64_t)time(NULL);
	http_date_format(http->now.seconds, http->now.text);
}

static void touch(struct connection *connection)
{
	struct http *http = connection->http;
	if (connection->tick == http->tick)
		return;
	connection->tick = http->tick;
	rb_list_remove(&connection->node);
	rb_list_append(&http->connections, &connection->node);
}

/* The connection has been idle, unless the client has taken something of what is queued for it. */
static void expire(struct connection *connection)
{
	size_t backlog = rb_stream_backlog(connection->stream);
	if (backlog != connection->backlog) {
		connection->backlog = backlog;
		touch(connection);
		return;
	}
	rb_list_remove(&connection->node);
	if (backlog > 0)
		rb_stream_abort(connection->stream);
	else
		rb_stream_close(connection->stream);
}

static void on_tick(struct rb_timer *timer, uint64_t now_ns)
{
	struct http *http = RB_CONTAINER_OF(timer, struct http, timer);
	refresh_now(http);
	http->tick++;
	while (!rb_list_empty(&http->connections)) {
		struct connection *oldest = RB_CONTAINER_OF(http->connections.next, struct connection, node);
		if (http->tick - oldest->tick <= http->idle_ticks)
			break;
		expire(oldest);
	}
	http->ticking = !rb_list_empty(&http->connections);
	if (http->ticking)
		rb_loop_arm(http->loop, timer, now_ns + TICK_NS);
}

static void start_ticking(struct http *http)
{
	if (http->ticking)
		return;
	refresh_now(http);
	http->ticking = true;
	rb_loop_arm(http->loop, &http->timer, rb_loop_now(http->loop) + TICK_NS);
}

/* ---- answers ---- */

static bool ready(void *user)
{
	const struct connection *connection = user;
	return rb_stream_writable(connection->stream) && rb_stream_space(connection->stream) >= ANSWER_MAX &&
	       rb_stream_pieces(connection->stream) > 0;
}

static int write_answer(struct rb_stream *stream, const struct http_answer *answer)
{
	const struct rb_sg body = {.base = answer->body, .length = answer->body_length};
	int result = rb_stream_write(stream, answer->start, answer->start_length);
	if (result == 0)
		result = rb_stream_write(stream, answer->tail, answer->tail_length);
	if (result != 0 || body.length == 0)
		return result;
	return body.length <= COPY_MAX
		       ? rb_stream_write(stream, body.base, body.length)
		       : rb_stream_send(stream, &body, 1, NULL, NULL); /* the site outlives the stream */
}

static void put(void *user, const struct http_answer *answer)
{
	struct connection *connection = user;
	int result = write_answer(connection->stream, answer);
	if (result != 0) {
		RB_ASSERT_EQ(result, -ENOMEM); /* ready() has looked after all else */
		rb_stream_abort(connection->stream);
	} else if (answer->close) {
		rb_stream_close(connection->stream);
	}
	connection->http->requests++;
	touch(connection);
}

/* ---- connections ---- */

static size_t on_data(struct rb_stream *stream, const uint8_t *data, size_t length)
{
	struct connection *connection = rb_stream_user(stream);
	const struct http_sink sink = {.ready = ready, .put = put, .user = connection};
	return http_serve(&connection->state, connection->http->site, &connection->http->now, data, length, &sink);
}

static void on_closed(struct rb_stream *stream, int status)
{
	struct connection *connection = rb_stream_user(stream);
	(void)status; /* the client's affair */
	rb_list_remove(&connection->node);
	free(connection);
}

static bool on_accept(struct rb_loop *loop, struct rb_stream *stream, uint64_t cookie)
{
	static const struct rb_stream_ops ops = {.data = on_data, .closed = on_closed};
	(void)loop;
	struct http *http = (struct http *)(uintptr_t)cookie;
	struct connection *connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		return false;
	connection->http = http;
	connection->stream = stream;
	connection->tick = http->tick;
	rb_list_append(&http->connections, &connection->node);
	rb_stream_attach(stream, &ops, connection);
	start_ticking(http);
	return true;
}

/* ---- threads ---- */

static int http_start(struct app_thread *thread, const struct rb_context_config *context)
{
	const struct http_config *config = thread->app->config;
	struct rb_loop_config loop = {
		.context = *context,
		.stream_input_max = INPUT_MAX,
		.stream_output_max = OUTPUT_MAX,
		.accept = on_accept,
	};
	struct http *http = calloc(1, sizeof(*http));
	if (http == NULL)
		return -ENOMEM;
	http->site = &config->site;
	http->idle_ticks = (uint32_t)((config->idle_timeout_ns + TICK_NS - 1) / TICK_NS);
	rb_list_init(&http->connections);
	rb_timer_init(&http->timer, on_tick);
	int result = rb_loop_create(&loop, &http->loop);
	if (result != 0) {
		free(http);
		return result;
	}
	thread->context = rb_loop_context(http->loop);
	thread->state = http;
	return 0;
}

static int http_listen(struct app_thread *thread, struct rb_listener *listener)
{
	struct http *http = thread->state;
	return rb_loop_listen(http->loop, listener, (uintptr_t)http);
}

static int http_turn(struct app_thread *thread)
{
	return rb_loop_turn(((const struct http *)thread->state)->loop, RB_WAIT);
}

static int http_run(struct app_thread *thread)
{
	int result = 0;
	while (result == 0 && app_goes_on(thread))
		result = http_turn(thread);
	return result;
}

static void http_stop(struct app_thread *thread)
{
	struct http *http = thread->state;
	rb_loop_destroy(http->loop);
	free(http);
}

static uint64_t http_requests(const struct app_thread *thread)
{
	return ((const struct http *)thread->state)->requests;
}

static int serve(struct http_config *config)
{
	const struct app app = {.name = "http",
				.start = http_start,
				.listen = http_listen,
				.run = http_run,
				.stop = http_stop,
				.requests = http_requests,
				.config = config};
	http_site_init(&config->site, config->memory);
	int result = http_site_load(&config->site, config->root) != 0;
	if (result == 0) {
		rb_log(RB_LOG_INFO, "%zu names, %zu bytes", config->site.used, config->site.bytes);
		result = app_run(&app, &config->server);
	}
	http_site_free(&config->site);
	return result;
}

int main(int argc, char **argv)
{
	struct http_config config = {0};
	switch (rb_options_parse(&http_table, argc, argv, &config, stdout, stderr)) {
	case RB_OPTIONS_HELP:
		return 0;
	case RB_OPTIONS_ERROR:
		return 2;
	case RB_OPTIONS_OK:
		break;
	}
	rb_log_init("rb-http", (enum rb_log_level)config.server.log);
	return serve(&config);
}
