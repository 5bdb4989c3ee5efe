// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apps/kv/session.h"
#include "base/assert.h"
#include "base/log.h"

enum {
	COMMANDS_MAX = 256,
	EVENTS_MAX = 512,
	COMMANDS_PER_CONNECTION = 4, /* accept or reject, RECV_DONE, SENDV, CLOSE */
	PIECES_MAX = 4096,	     /* of a turn */
	KEPT_MIN = 4096,	     /* bytes of input kept aside */
};

#define TICK_NS RB_NS_PER_S

struct connection {
	struct connection *next; /* free, or ended */
	rb_handle handle;
	uint64_t owed;	    /* received bytes that were not given back */
	uint32_t last_done; /* given back with the last SENDV, which may be refused */
	uint8_t *kept;	    /* input that could not be used yet */
	size_t kept_bytes, kept_max;
	uint64_t answered; /* the turn of the last answer(): one SENDV a turn, so that it is known which was refused */
	bool plain;    /* all is as it nearly always is: nothing is due, kept, owed or ending, and a request begins */
	bool dirty;    /* in serve.dirty: commands are due */
	bool ended;    /* by the stack: CLOSED was seen */
	bool finished; /* the peer sends no more */
	bool closing;  /* CLOSE was sent */
	bool broken;   /* to be aborted */
	struct kv_session session;
};

struct kv_serve {
	struct rb_context *context;
	struct kv_worker *worker;
	struct connection *connections; /* connections_max of them */
	uint32_t connections_max, untouched;
	struct connection *free;
	struct connection *ended;  /* the stack may still read their memory until the next run_io() */
	struct connection **dirty; /* a ring of connections_max */
	uint64_t turn;
	uint32_t dirty_first, dirty_count;
	uint64_t started_ns;
	uint64_t tick_ns; /* deadline that is to be set; 0: it is */
	uint32_t pieces_used;
	struct rb_sg pieces[PIECES_MAX];
};

/* ---- connections ---- */

static struct connection *take(struct kv_serve *serve)
{
	struct connection *connection = serve->free;

	if (connection != NULL)
		serve->free = connection->next;
	else if (serve->untouched < serve->connections_max)
		connection = &serve->connections[serve->untouched++];
	else
		return NULL;
	*connection = (struct connection){.next = NULL};
	kv_session_init(&connection->session, serve->worker);
	return connection;
}

static void give(struct kv_serve *serve, struct connection *connection)
{
	kv_session_clear(&connection->session);
	free(connection->kept);
	connection->kept = NULL;
	connection->next = serve->free;
	serve->free = connection;
}

static void mark(struct kv_serve *serve, struct connection *connection)
{
	if (connection->dirty)
		return;
	connection->plain = false;
	connection->dirty = true;
	uint32_t at = serve->dirty_first + serve->dirty_count++;
	if (at >= serve->connections_max)
		at -= serve->connections_max;
	serve->dirty[at] = connection;
}

/* Those that ended in an earlier turn: their memory is ours again. One that is still in the ring leaves it first. */
static void free_ended(struct kv_serve *serve)
{
	struct connection *connection = serve->ended;

	serve->ended = NULL;
	while (connection != NULL) {
		struct connection *next = connection->next;
		if (connection->dirty) {
			connection->next = serve->ended;
			serve->ended = connection;
		} else {
			give(serve, connection);
		}
		connection = next;
	}
}

static void end(struct kv_serve *serve, struct connection *connection)
{
	connection->ended = true;
	connection->next = serve->ended;
	serve->ended = connection;
	kv_count(&serve->worker->counters.closed);
}

/* ---- input ---- */

static bool keep(struct connection *connection, const uint8_t *data, size_t length)
{
	const size_t wanted = connection->kept_bytes + length;

	if (wanted > connection->kept_max) {
		size_t size = connection->kept_max == 0 ? KEPT_MIN : connection->kept_max;
		while (size < wanted)
			size *= 2;
		uint8_t *grown = realloc(connection->kept, size);
		if (grown == NULL)
			return false;
		connection->kept = grown;
		connection->kept_max = size;
	}
	memcpy(connection->kept + connection->kept_bytes, data, length);
	connection->kept_bytes = wanted;
	return true;
}

static void drop_kept(struct connection *connection, size_t used)
{
	connection->kept_bytes -= used;
	if (connection->kept_bytes > 0) {
		memmove(connection->kept, connection->kept + used, connection->kept_bytes);
		return;
	}
	free(connection->kept);
	connection->kept = NULL;
	connection->kept_max = 0;
}

/* The input that was kept aside, as far as it can be used now. */
static void use_kept(struct connection *connection)
{
	if (connection->kept_bytes > 0)
		drop_kept(connection, kv_session_input(&connection->session, connection->kept, connection->kept_bytes));
}

/* All but the bytes that are used. */
static void keep_rest(struct connection *connection, const uint8_t *data, size_t length, size_t used)
{
	if (used < length && !keep(connection, data + used, length - used))
		connection->broken = true;
}

static __attribute__((noinline)) void use_with_kept(struct connection *connection, const uint8_t *data, size_t length)
{
	if (!keep(connection, data, length)) {
		connection->broken = true;
		return;
	}
	use_kept(connection);
}

static void on_recv(struct kv_serve *serve, struct connection *connection, const struct rb_event *event)
{
	const uint8_t *data = event->recv.data;
	const size_t length = event->recv.length;

	mark(serve, connection);
	connection->owed += length;
	if (event->flags & RB_RECV_FIN)
		connection->finished = true;
	if (connection->kept_bytes > 0)
		use_with_kept(connection, data, length);
	else
		keep_rest(connection, data, length, kv_session_input(&connection->session, data, length));
}

static void on_sent(struct kv_serve *serve, struct connection *connection, uint64_t bytes)
{
	const bool was_full = kv_output_full(&connection->session.output);

	kv_output_release(&connection->session.output, bytes);
	if (was_full && !kv_output_full(&connection->session.output)) {
		use_kept(connection);
		mark(serve, connection);
	} else if (connection->session.state == KV_ENDED || connection->finished) {
		mark(serve, connection);
	}
}

/*
 * The usual turn of a connection: what was answered before has been sent, whole requests have come, and their answers
 * are one short piece. That goes at once; everything else waits until all events were seen.
 */
static inline bool may_answer(const struct kv_serve *serve, const struct connection *connection,
			      const struct rb_event *event)
{
	/* Half of the commands are left to others. */
	return connection->plain && event->flags == 0 && connection->answered != serve->turn &&
	       rb_context_command_space(serve->context) > COMMANDS_MAX / 2;
}

/* It has turned out not to be that. */
static __attribute__((noinline)) void answer_later(struct kv_serve *serve, struct connection *connection,
						   const struct rb_event *event, size_t used)
{
	mark(serve, connection);
	connection->owed = event->recv.length;
	keep_rest(connection, event->recv.data, event->recv.length, used);
}

static inline void answer(struct kv_serve *serve, struct connection *connection, const struct rb_event *event)
{
	struct kv_output *output = &connection->session.output;
	const size_t length = event->recv.length;

	if (event->recv.sent > 0)
		kv_output_release(output, event->recv.sent);
	const size_t used = kv_session_input(&connection->session, event->recv.data, length);
	if (used < length || connection->session.state != KV_HEAD || !kv_output_is_copied(output)) {
		answer_later(serve, connection, event, used);
		return;
	}
	const struct rb_sg sg = kv_output_queue_copied(output);
	connection->answered = serve->turn;
	connection->last_done = (uint32_t)length;
	(void)rb_context_reply(serve->context, connection->handle, connection->last_done, &sg, 1);
}

/* ---- events ---- */

static void on_knock(struct kv_serve *serve, const struct rb_event *event)
{
	struct connection *connection = take(serve);

	if (connection == NULL) {
		kv_count(&serve->worker->counters.rejected);
		if (rb_context_reject(serve->context, event->handle) != 0)
			RB_LOG_RATELIMITED(RB_LOG_ERROR, "a connection stays unanswered");
		return;
	}
	connection->handle = event->handle;
	if (rb_context_accept(serve->context, event->handle, (uintptr_t)connection) != 0) {
		RB_LOG_RATELIMITED(RB_LOG_ERROR, "a connection stays unanswered");
		give(serve, connection);
		return;
	}
	connection->plain = true;
	kv_count(&serve->worker->counters.connections);
}

static void on_error(struct kv_serve *serve, struct connection *connection, const struct rb_event *event)
{
	if (connection == NULL) {
		if (event->handle == 0)
			RB_LOG_RATELIMITED(RB_LOG_WARNING, "cannot accept connections now: %s",
					   strerror(-event->status));
		return; /* else: a command to a connection that has ended meanwhile */
	}
	if (event->error.command == RB_COMMAND_ACCEPT) {
		end(serve, connection);
	} else if (event->error.command == RB_COMMAND_SENDV) {
		if (event->status == -ENOBUFS) { /* tried again in the next turn */
			kv_output_refused(&connection->session.output);
			connection->owed += connection->last_done;
		} else {
			connection->broken = true;
		}
		mark(serve, connection);
	}
}

static void on_timer(struct kv_serve *serve)
{
	const uint64_t now_ns = rb_context_now(serve->context);

	serve->worker->now_s = KV_START_S + (uint32_t)((now_ns - serve->started_ns) / RB_NS_PER_S);
	serve->tick_ns = now_ns - (now_ns - serve->started_ns) % TICK_NS + TICK_NS;
}

static void handle(struct kv_serve *serve, const struct rb_event *event)
{
	struct connection *connection = (struct connection *)(uintptr_t)event->cookie;

	switch (event->type) {
	case RB_EVENT_RECV:
		if (may_answer(serve, connection, event)) {
			answer(serve, connection, event);
			break;
		}
		if (event->recv.sent > 0)
			on_sent(serve, connection, event->recv.sent);
		on_recv(serve, connection, event);
		break;
	case RB_EVENT_SENT:
		on_sent(serve, connection, event->sent.bytes);
		break;
	case RB_EVENT_KNOCK:
		on_knock(serve, event);
		break;
	case RB_EVENT_CLOSED:
		end(serve, connection);
		break;
	case RB_EVENT_TIMER:
		on_timer(serve);
		break;
	case RB_EVENT_ERROR:
		on_error(serve, connection, event);
		break;
	default:
		RB_LOG_ONCE(RB_LOG_ERROR, "the back-end delivered an unknown event of type %u", event->type);
		break;
	}
}

/* ---- commands ---- */

/* Nothing more will be said, or nothing more that was said can be answered. */
static bool is_over(const struct connection *connection)
{
	if (connection->closing)
		return false;
	return connection->session.state == KV_ENDED ||
	       (connection->finished && !kv_output_full(&connection->session.output));
}

static void close_connection(struct kv_serve *serve, struct connection *connection, enum rb_close_flags flags)
{
	connection->closing = true;
	connection->finished = true;
	connection->session.state = KV_ENDED;
	(void)rb_context_close(serve->context, connection->handle, flags); /* there was space: flush() has looked */
}

static void give_back(struct kv_serve *serve, struct connection *connection)
{
	(void)rb_context_recv_done(serve->context, connection->handle, connection->owed);
	connection->owed = 0;
}

/* Gives back `done` bytes with them. */
static void send_replies(struct kv_serve *serve, struct connection *connection, uint32_t done)
{
	struct rb_sg *sg = &serve->pieces[serve->pieces_used];
	const uint32_t count = kv_output_queue(&connection->session.output, sg);

	serve->pieces_used += count;
	connection->last_done = done;
	connection->owed -= done;
	(void)rb_context_reply(serve->context, connection->handle, done, sg, count);
}

static __attribute__((noinline)) void flush_odd(struct kv_serve *serve, struct connection *connection)
{
	struct kv_output *output = &connection->session.output;

	if (connection->ended || (connection->closing && !connection->broken && output->unqueued == NULL))
		return;
	if (connection->broken || output->failed) {
		connection->broken = false;
		output->failed = false;
		close_connection(serve, connection, RB_CLOSE_ABORT);
		return;
	}
	const bool full = kv_output_full(output);
	if (full)
		kv_count(&serve->worker->counters.pauses);
	const uint32_t done = full || connection->closing ? 0 : (uint32_t)connection->owed;
	if (output->unqueued != NULL)
		send_replies(serve, connection, done);
	else if (done > 0)
		give_back(serve, connection);
	if (is_over(connection))
		close_connection(serve, connection, RB_CLOSE_ORDERLY);
}

static inline void flush_one(struct kv_serve *serve, struct connection *connection)
{
	const struct kv_output *output = &connection->session.output;

	if (connection->ended || connection->closing || connection->broken || connection->finished || output->failed ||
	    connection->session.state == KV_ENDED || kv_output_full(output)) {
		flush_odd(serve, connection);
		return;
	}
	if (output->unqueued != NULL)
		send_replies(serve, connection, (uint32_t)connection->owed);
	else if (connection->owed > 0)
		give_back(serve, connection);
	connection->plain = connection->kept_bytes == 0 && connection->session.state == KV_HEAD;
}

/* Returns true when nothing is left to be said: only then may the thread wait. */
static bool flush(struct kv_serve *serve)
{
	serve->pieces_used = 0;
	if (serve->tick_ns != 0 && rb_context_timer(serve->context, serve->tick_ns, 0) == 0)
		serve->tick_ns = 0;
	uint32_t again = 0;
	while (serve->dirty_count > again) {
		if (serve->pieces_used + KV_OUTPUT_PIECES_MAX > PIECES_MAX ||
		    rb_context_command_space(serve->context) < COMMANDS_PER_CONNECTION)
			return false;
		struct connection *connection = serve->dirty[serve->dirty_first];
		if (++serve->dirty_first == serve->connections_max)
			serve->dirty_first = 0;
		serve->dirty_count--;
		connection->dirty = false;
		if (connection->answered == serve->turn) {
			mark(serve, connection);
			again++;
		} else {
			flush_one(serve, connection);
		}
	}
	return again == 0 && serve->tick_ns == 0;
}

int kv_serve_turn(struct kv_serve *serve, enum rb_wait wait)
{
	const struct rb_event *events;

	if (!flush(serve))
		wait = RB_POLL;
	const int count = rb_context_run_io(serve->context, wait, &events);
	if (count < 0)
		return count;
	if (serve->ended != NULL)
		free_ended(serve);
	serve->turn++;
	for (int i = 0; i < count; i++)
		handle(serve, &events[i]);
	return 0;
}

/* ---- life ---- */

int kv_serve_create(const struct rb_context_config *config, struct kv_worker *worker, struct kv_serve **serve)
{
	struct rb_context_config filled = *config;
	struct kv_serve *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return -ENOMEM;
	if (filled.connections_max == 0)
		filled.connections_max = 16384;
	filled.commands_max = COMMANDS_MAX;
	filled.events_max = EVENTS_MAX;
	if (filled.tx_entries_max == 0) /* so that a SENDV never finds the pool empty */
		filled.tx_entries_max = KV_OUTPUT_PIECES_MAX * filled.connections_max;
	made->worker = worker;
	made->connections_max = filled.connections_max;
	made->connections = calloc(filled.connections_max, sizeof(*made->connections));
	made->dirty = calloc(filled.connections_max, sizeof(struct connection *));
	int result = made->connections == NULL || made->dirty == NULL ? -ENOMEM : 0;
	if (result == 0)
		result = rb_context_create(&filled, &made->context);
	if (result != 0) {
		kv_serve_destroy(made);
		return result;
	}
	made->started_ns = rb_context_now(made->context);
	worker->now_s = KV_START_S;
	made->tick_ns = made->started_ns + TICK_NS;
	*serve = made;
	return 0;
}

void kv_serve_destroy(struct kv_serve *serve)
{
	if (serve == NULL)
		return;
	rb_context_destroy(serve->context);
	for (uint32_t i = 0; serve->connections != NULL && i < serve->untouched; i++) {
		struct connection *connection = &serve->connections[i];
		if (connection->session.worker == NULL)
			continue;
		kv_session_clear(&connection->session);
		free(connection->kept);
	}
	free(serve->connections);
	free(serve->dirty);
	free(serve);
}

struct rb_context *kv_serve_context(const struct kv_serve *serve)
{
	return serve->context;
}
