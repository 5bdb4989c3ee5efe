// SPDX-License-Identifier: Apache-2.0
/*
 * rb-echo: sends every byte back. A request is --message-bytes consecutive bytes of a connection; the size is
 * used for counting and for buffers only, so one server serves any message size.
 *
 * It stands on the batch API itself: what has come is copied to a ring of the connection's own, given back and sent
 * from there. A ring that is too small for its client grows. A client that does not read is not read from: its ring is
 * full, and as large as it gets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apps/server.h"
#include "base/assert.h"
#include "base/copy.h"
#include "base/list.h"
#include "base/log.h"

enum {
	RING_MIN = 512,
	RING_MAX = 1 << 18,
	RING_GROWTH = 8,
	COMMANDS_PER_CONNECTION = 2, /* SENDV or RECV_DONE, CLOSE */
	RETRY_NS = 1000000,
};

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

/* Received bytes that were not given back. */
struct part {
	const uint8_t *data;
	size_t length;
};

/* One thread's. */
struct echo {
	struct rb_context *context;
	uint64_t message_bytes;
	uint64_t requests;
	uint64_t turn;
	uint32_t ring_bytes;
	/* each connection is in one of these */
	struct rb_list due;	/* with something to send or to close */
	struct rb_list refused; /* the stack had no room for what they have to send */
	struct rb_list ended;	/* their memory is the stack's until the next run_io() */
	struct rb_list others;
	struct connection *spare; /* memory of ended ones, for the next: the last one first */
};

struct connection {
	struct rb_list node;	 /* in one of echo's lists */
	struct connection *next; /* spare */
	struct echo *echo;
	rb_handle handle;
	uint64_t in, sent, out; /* bytes that were copied to the ring, given to the stack, and released by it */
	uint64_t base;		/* of these, those before the present ring */
	uint32_t ring_bytes;	/* a power of two */
	uint8_t *ring;
	uint8_t *old_ring; /* the one before, until `base` is out; or NULL */
	uint64_t
		answered; /* the turn in which answer() has sent: one SENDV a turn, so that it is known which was refused */
	/*
	 * Nothing is as it rarely is: nothing is due, waiting or ending, and of the counts above `in`, `sent` and `out` are
	 * one. The last answer, `answer` bytes at the front of the ring, is in none of them: see unfold().
	 */
	bool plain;
	uint32_t answer;  /* 0: it has been released, or there was none */
	uint64_t message; /* bytes of the present one */
	size_t owed;	  /* bytes that were taken from `parts`, and whose giving back was refused */
	/* bytes of the last SENDV, and those it gave back: it may be refused */
	uint32_t last, last_done;
	uint32_t parts_first, parts_count, parts_max;
	struct part *parts;
	bool due;
	bool short_of_room; /* the ring could not take all that had come */
	bool finished;	    /* the client sends no more */
	bool broken;	    /* to be aborted */
	bool closing;	    /* CLOSE was given, or is not needed any more */
	struct rb_sg sg[2];
	uint8_t first_ring[];
};

/* ---- plain connections ---- */

/* Whatever is not answer()'s begins with this: the answer that is under way becomes what others are, part of a ring. */
static void unfold(struct connection *connection)
{
	if (!connection->plain)
		return;
	connection->plain = false;
	connection->base = connection->out;
	connection->in = connection->sent = connection->out + connection->answer;
	connection->last = connection->last_done = connection->answer;
	connection->answer = 0;
}

/* And ends with this, once all is as it nearly always is again. */
static void fold(struct connection *connection)
{
	connection->plain = !connection->due && !connection->closing && !connection->finished && !connection->broken &&
			    connection->parts_count == 0 && connection->owed == 0 &&
			    connection->in == connection->out && connection->old_ring == NULL;
}

/* ---- connections ---- */

static void make_due(struct connection *connection)
{
	if (connection->due || connection->closing)
		return;
	connection->due = true;
	rb_list_remove(&connection->node);
	rb_list_append(&connection->echo->due, &connection->node);
}

static struct connection *take(struct echo *echo)
{
	struct connection *connection = echo->spare;
	if (connection == NULL)
		return malloc(sizeof(*connection) + echo->ring_bytes);
	echo->spare = connection->next;
	return connection;
}

static void give(struct echo *echo, struct connection *connection)
{
	connection->next = echo->spare;
	echo->spare = connection;
}

static void accept_or_reject(struct echo *echo, rb_handle handle)
{
	struct connection *connection = take(echo);
	if (connection == NULL) {
		rb_context_reject(echo->context, handle);
		return;
	}
	*connection = (struct connection){
		.echo = echo,
		.handle = handle,
		.ring = connection->first_ring,
		.ring_bytes = echo->ring_bytes,
		.plain = true,
	};
	if (rb_context_accept(echo->context, handle, (uintptr_t)connection) != 0) {
		give(echo, connection); /* no room for the command: knocked and never accepted, it ends by itself */
		return;
	}
	rb_list_append(&echo->others, &connection->node);
}

static void free_ring(const struct connection *connection, uint8_t *ring)
{
	if (ring != connection->first_ring)
		free(ring);
}

/* The stack has let go of them. */
static void give_all(struct echo *echo, struct rb_list *list)
{
	for (struct rb_list *node = list->next, *next; node != list; node = next) {
		struct connection *connection = RB_CONTAINER_OF(node, struct connection, node);
		next = node->next;
		free_ring(connection, connection->old_ring);
		free_ring(connection, connection->ring);
		free(connection->parts);
		give(echo, connection);
	}
	rb_list_init(list);
}

static void free_spare(struct echo *echo)
{
	while (echo->spare != NULL)
		free(take(echo));
}

/* The stack needs nothing of it any more once run_io() was called again. */
static void on_closed(struct connection *connection)
{
	connection->closing = true; /* whatever was due */
	rb_list_remove(&connection->node);
	rb_list_append(&connection->echo->ended, &connection->node);
}

/* ---- input ---- */

/* Makes room for one more part at the end. */
static bool grow(struct connection *connection)
{
	if (connection->parts_first > 0) {
		memmove(connection->parts, connection->parts + connection->parts_first,
			connection->parts_count * sizeof(*connection->parts));
		connection->parts_first = 0;
		return true;
	}
	uint32_t most = connection->parts_max == 0 ? 4 : 2 * connection->parts_max;
	struct part *parts = realloc(connection->parts, most * sizeof(*parts));
	if (parts == NULL)
		return false;
	connection->parts = parts;
	connection->parts_max = most;
	return true;
}

/* ---- a turn's commands ---- */

static size_t space(const struct connection *connection)
{
	uint64_t from = connection->out > connection->base ? connection->out : connection->base;
	return connection->ring_bytes - (size_t)(connection->in - from);
}

static void drop_old_ring(struct connection *connection)
{
	if (connection->old_ring == NULL || connection->out < connection->base)
		return;
	free_ring(connection, connection->old_ring);
	connection->old_ring = NULL;
}

/*
 * A larger ring for what comes from now on. Only when all of the present one was given to the stack, which needs it a
 * while longer; and when that is not the case of yet another one.
 */
static void grow_ring(struct connection *connection)
{
	if (connection->old_ring != NULL || connection->sent != connection->in || connection->ring_bytes >= RING_MAX)
		return;
	uint8_t *ring = malloc((size_t)connection->ring_bytes * RING_GROWTH);
	if (ring == NULL)
		return; /* slower, but as well */
	connection->old_ring = connection->ring;
	connection->ring = ring;
	connection->ring_bytes *= RING_GROWTH;
	connection->base = connection->in;
	drop_old_ring(connection);
}

static void on_sent(struct connection *connection, uint64_t bytes)
{
	connection->out += bytes;
	drop_old_ring(connection);
	if (connection->parts_count > 0)
		make_due(connection);
}

static void on_received(struct connection *connection, const struct rb_event *event)
{
	unfold(connection);
	if (event->recv.sent > 0)
		on_sent(connection, event->recv.sent);
	uint32_t at = connection->parts_first + connection->parts_count;
	if (connection->closing)
		return; /* CLOSE gives all back */
	connection->finished |= (event->flags & RB_RECV_FIN) != 0;
	make_due(connection);
	if (event->recv.length == 0)
		return;
	if (at == connection->parts_max && !grow(connection)) {
		connection->broken = true;
		return;
	}
	at = connection->parts_first + connection->parts_count++;
	connection->parts[at] = (struct part){event->recv.data, event->recv.length};
}

static void copy_to_ring(struct connection *connection, const uint8_t *data, size_t length)
{
	size_t size = connection->ring_bytes, at = (connection->in - connection->base) & (size - 1);
	size_t first = length < size - at ? length : size - at;
	memcpy(connection->ring + at, data, first);
	if (length > first)
		memcpy(connection->ring, data + first, length - first);
	connection->in += length;
}

/* Copies what there is room for. Returns how many bytes. */
static size_t take_input(struct connection *connection)
{
	size_t taken = 0;
	if (connection->short_of_room)
		grow_ring(connection);
	while (connection->parts_count > 0) {
		struct part *part = &connection->parts[connection->parts_first];
		size_t room = space(connection), length = part->length < room ? part->length : room;
		copy_to_ring(connection, part->data, length);
		taken += length;
		part->data += length;
		part->length -= length;
		if (part->length > 0)
			break;
		connection->parts_first++;
		connection->parts_count--;
	}
	connection->short_of_room = connection->parts_count > 0;
	if (connection->parts_count == 0)
		connection->parts_first = 0;
	return taken;
}

static inline void count(struct echo *echo, struct connection *connection, size_t bytes)
{
	if (__builtin_expect(connection->message == 0 && bytes == echo->message_bytes, 1)) {
		echo->requests++;
		return;
	}
	connection->message += bytes;
	if (connection->message < echo->message_bytes)
		return;
	echo->requests += connection->message / echo->message_bytes;
	connection->message %= echo->message_bytes;
}

static void send_ring(struct connection *connection, size_t done)
{
	size_t size = connection->ring_bytes, at = (connection->sent - connection->base) & (size - 1);
	size_t length = (size_t)(connection->in - connection->sent);
	size_t first = length < size - at ? length : size - at;
	connection->sg[0] = (struct rb_sg){connection->ring + at, first};
	connection->sg[1] = (struct rb_sg){connection->ring, length - first};
	connection->last = (uint32_t)length;
	connection->sent = connection->in;
	connection->last_done = (uint32_t)done;
	int result = rb_context_reply(connection->echo->context, connection->handle, (uint32_t)done, connection->sg,
				      length > first ? 2 : 1);
	RB_ASSERT_EQ(result, 0); /* serve_due() has looked for room */
}

/* Gives back, sends and closes what there is to. */
static void serve(struct connection *connection)
{
	struct rb_context *context = connection->echo->context;
	size_t taken = take_input(connection), done = taken + connection->owed;
	int result = 0;
	if (taken > 0)
		count(connection->echo, connection, taken);
	connection->owed = 0;
	bool sends = connection->in != connection->sent;
	if (sends)
		send_ring(connection, done);
	else if (done > 0)
		result = rb_context_recv_done(context, connection->handle, done);
	if (connection->broken || (connection->finished && connection->parts_count == 0 && !sends)) {
		result |= rb_context_close(context, connection->handle,
					   connection->broken ? RB_CLOSE_ABORT : RB_CLOSE_ORDERLY);
		connection->closing = true;
	} else if (connection->finished && connection->parts_count == 0) {
		make_due(connection); /* in the next turn, when it is known that nothing was refused */
	}
	RB_ASSERT_EQ(result, 0);
}

/*
 * What nearly every event is: a request to a connection that has nothing else to do and nothing under way, but for an
 * answer that the event releases. It is answered at once, from the front of the ring; what else comes in the turn is
 * for the next one. False: it is something else, and nothing has changed.
 */
static inline bool answer(struct echo *echo, struct connection *connection, const struct rb_event *event)
{
	size_t length = event->recv.length;
	if (!connection->plain || event->recv.sent != connection->answer || event->flags != 0 ||
	    length - 1 >= connection->ring_bytes || rb_context_command_space(echo->context) < COMMANDS_PER_CONNECTION)
		return false;
	rb_copy_short(connection->ring, event->recv.data, length);
	connection->answer = (uint32_t)length;
	connection->answered = echo->turn;
	const struct rb_sg sg = {connection->ring, length};
	count(echo, connection, length);
	int result = rb_context_reply(echo->context, connection->handle, (uint32_t)length, &sg, 1);
	RB_ASSERT_EQ(result, 0); /* there is room */
	return true;
}

/* The usual end: the client sends no more, and has all answers. False: it is another, and nothing has changed. */
static inline bool finish(struct echo *echo, struct connection *connection, const struct rb_event *event)
{
	if (!connection->plain || event->recv.sent != connection->answer || event->flags != RB_RECV_FIN ||
	    event->recv.length != 0 || rb_context_command_space(echo->context) < COMMANDS_PER_CONNECTION)
		return false;
	connection->plain = false;
	connection->closing = true;
	int result = rb_context_close(echo->context, connection->handle, RB_CLOSE_ORDERLY);
	RB_ASSERT_EQ(result, 0); /* there is room */
	return true;
}

/* Those that are due by now; one may be due again after it. */
static void serve_due(struct echo *echo)
{
	struct rb_list now, *node;
	rb_list_init(&now);
	rb_list_move(&echo->due, &now);
	while (rb_context_command_space(echo->context) >= COMMANDS_PER_CONNECTION &&
	       (node = rb_list_pop(&now)) != NULL) {
		struct connection *connection = RB_CONTAINER_OF(node, struct connection, node);
		connection->due = false;
		rb_list_append(&echo->others, node);
		if (connection->answered != echo->turn)
			serve(connection);
		else
			make_due(connection);
		fold(connection);
	}
	while ((node = rb_list_pop(&now)) != NULL)
		rb_list_append(&echo->due, node);
}

static void retry(struct echo *echo)
{
	struct rb_list *node;
	while ((node = rb_list_pop(&echo->refused)) != NULL) {
		rb_list_append(&echo->others, node);
		make_due(RB_CONTAINER_OF(node, struct connection, node));
	}
}

/* ---- events ---- */

/* A send that the stack had no room for is tried again a little later; anything else ends the connection. */
static void on_error(struct echo *echo, struct connection *connection, const struct rb_event *event)
{
	if (connection == NULL) {
		RB_LOG_RATELIMITED(RB_LOG_ERROR, "the stack: %s", strerror(-event->status));
		return;
	}
	if (event->error.command == RB_COMMAND_ACCEPT) {
		on_closed(connection); /* gone before it was accepted */
		return;
	}
	unfold(connection);
	if (event->error.command == RB_COMMAND_SENDV && event->status == -ENOBUFS) {
		connection->sent -= connection->last;
		connection->owed += connection->last_done;
		connection->due = false;
		rb_list_remove(&connection->node);
		rb_list_append(&echo->refused, &connection->node);
		rb_context_timer(echo->context, rb_context_now(echo->context) + RETRY_NS, 0);
		return;
	}
	if (event->status != -EBADF) { /* else it has ended meanwhile: CLOSED follows */
		connection->broken = true;
		make_due(connection);
	}
}

static void on_event(struct echo *echo, const struct rb_event *event)
{
	struct connection *connection = (struct connection *)(uintptr_t)event->cookie;
	if (__builtin_expect(event->type == RB_EVENT_RECV, 1)) {
		if (__builtin_expect(!answer(echo, connection, event) && !finish(echo, connection, event), 0))
			on_received(connection, event);
		return;
	}
	switch (event->type) {
	case RB_EVENT_SENT:
		unfold(connection);
		on_sent(connection, event->sent.bytes);
		fold(connection);
		break;
	case RB_EVENT_KNOCK:
		accept_or_reject(echo, event->handle);
		break;
	case RB_EVENT_CLOSED:
		if (connection != NULL) /* else it was never accepted */
			on_closed(connection);
		break;
	case RB_EVENT_TIMER:
		retry(echo);
		break;
	case RB_EVENT_ERROR:
		on_error(echo, connection, event);
		break;
	default:
		break;
	}
}

static inline int echo_turn(struct app_thread *thread)
{
	struct echo *echo = thread->state;
	const struct rb_event *events;
	enum rb_wait wait = rb_list_empty(&echo->due) ? RB_WAIT : RB_POLL;
	int count = rb_context_run_io(echo->context, wait, &events);
	if (__builtin_expect(!rb_list_empty(&echo->ended), 0))
		give_all(echo, &echo->ended);
	echo->turn++;
	for (int i = 0; i < count; i++)
		on_event(echo, &events[i]);
	if (__builtin_expect(!rb_list_empty(&echo->due), 0))
		serve_due(echo);
	return count < 0 ? count : 0;
}

static int echo_run(struct app_thread *thread)
{
	int result = 0;
	while (result == 0 && app_goes_on(thread))
		result = echo_turn(thread);
	return result;
}

/* ---- threads ---- */

/* A power of two, with room for two messages, so that one can come while the other one goes. */
static uint32_t ring_bytes(uint64_t message_bytes)
{
	uint32_t bytes = RING_MIN;
	while (bytes < RING_MAX && bytes < 2 * message_bytes)
		bytes *= 2;
	return bytes;
}

static int echo_start(struct app_thread *thread, const struct rb_context_config *context)
{
	struct echo *echo = calloc(1, sizeof(*echo));
	if (echo == NULL)
		return -ENOMEM;
	echo->message_bytes = ((const struct echo_config *)thread->app->config)->message_bytes;
	echo->ring_bytes = ring_bytes(echo->message_bytes);
	rb_list_init(&echo->due);
	rb_list_init(&echo->refused);
	rb_list_init(&echo->ended);
	rb_list_init(&echo->others);
	int result = rb_context_create(context, &echo->context);
	if (result != 0) {
		free(echo);
		return result;
	}
	thread->context = echo->context;
	thread->state = echo;
	return 0;
}

static int echo_listen(struct app_thread *thread, struct rb_listener *listener)
{
	return rb_context_listen(thread->context, listener, 0);
}

static void echo_stop(struct app_thread *thread)
{
	struct echo *echo = thread->state;
	rb_context_destroy(echo->context);
	give_all(echo, &echo->due);
	give_all(echo, &echo->refused);
	give_all(echo, &echo->ended);
	give_all(echo, &echo->others);
	free_spare(echo);
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
				.listen = echo_listen,
				.run = echo_run,
				.stop = echo_stop,
				.requests = echo_requests,
				.config = &config};
	return app_run(&app, &config.server);
}
