// SPDX-License-Identifier: Apache-2.0

#include "load/pool.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint32_t rb_pool_objects(const struct rb_pool_config *config)
{
	/* Twice: every connection may have a predecessor that is still closing. */
	return 2U * config->connections;
}

uint32_t rb_pool_pieces(const struct rb_pool_config *config)
{
	return rb_pool_objects(config) * config->ring * RB_REQUEST_PIECES_MAX;
}

static bool config_is_valid(const struct rb_pool_config *c)
{
	if (c->connections == 0 || c->depth == 0 || c->ring < c->depth ||
	    c->connections > RB_CONNECTIONS_PER_GROUP_MAX / 2)
		return false;
	if (c->reply_timeout_ns != 0 && c->ring != 1)
		return false;
	return (uint64_t)rb_pool_objects(c) * c->ring * RB_REQUEST_PIECES_MAX <= INT32_MAX;
}

int rb_pool_init(struct rb_pool *pool, const struct rb_pool_config *config, const struct rb_pool_owner *owner,
		 struct rb_load_counters *counters)
{
	memset(pool, 0, sizeof(*pool));
	rb_list_init(&pool->available);
	rb_list_init(&pool->work);
	rb_list_init(&pool->free);
	rb_list_init(&pool->waiting);
	if (!config_is_valid(config))
		return -EINVAL;
	pool->config = *config;
	pool->owner = *owner;
	pool->counters = counters;
	pool->objects = rb_pool_objects(config);
	pool->paced = config->connections;
	pool->next_path = config->first_path;
	pool->depth = config->depth;
	pool->limited = true;
	/* Slots keep the alignment of the structure. */
	const size_t align = _Alignof(struct rb_request);
	const size_t bytes = sizeof(struct rb_request) + config->protocol->ops->inline_max;
	pool->request_bytes = (uint32_t)((bytes + align - 1U) / align * align);
	pool->connections = calloc(pool->objects, sizeof(*pool->connections));
	pool->requests = calloc((size_t)pool->objects * config->ring, pool->request_bytes);
	if (pool->connections == NULL || pool->requests == NULL) {
		rb_pool_free(pool);
		return -ENOMEM;
	}
	const size_t slots_bytes = (size_t)config->ring * pool->request_bytes;
	for (uint32_t i = 0; i < pool->objects; i++) {
		pool->connections[i].slots = pool->requests + i * slots_bytes;
		rb_list_init(&pool->connections[i].available);
		rb_list_init(&pool->connections[i].work);
		rb_list_init(&pool->connections[i].waiting);
		rb_list_append(&pool->free, &pool->connections[i].work);
	}
	return 0;
}

void rb_pool_free(struct rb_pool *pool)
{
	free(pool->connections);
	free(pool->requests);
	memset(pool, 0, sizeof(*pool));
}

static uint32_t index_of(const struct rb_pool *pool, const struct rb_connection *c)
{
	return (uint32_t)(c - pool->connections);
}

static struct rb_request *slot(const struct rb_pool *pool, const struct rb_connection *c, uint64_t number)
{
	const size_t at = number % pool->config.ring;

	return (struct rb_request *)(void *)(c->slots + at * pool->request_bytes);
}

static bool is_used_up(const struct rb_pool *pool, const struct rb_connection *c)
{
	return pool->limited && pool->config.rpcs_per_connection != 0 &&
	       c->sent_requests >= pool->config.rpcs_per_connection;
}

/* Who wants to close is not OPEN; and the ring is no shorter than the depth. */
static bool has_room(const struct rb_pool *pool, const struct rb_connection *c)
{
	return c->state == RB_CONNECTION_OPEN && !is_used_up(pool, c) && c->filled - c->replied < pool->depth &&
	       c->filled - c->released < pool->config.ring;
}

/* Joins the end of the queue when there is room, leaves it when there is not. */
static void update_available(struct rb_pool *pool, struct rb_connection *c)
{
	const bool room = has_room(pool, c);

	if (room && rb_list_empty(&c->available))
		rb_list_append(&pool->available, &c->available);
	else if (!room && !rb_list_empty(&c->available))
		rb_list_remove(&c->available);
}

void rb_pool_set_room(struct rb_pool *pool, uint32_t depth, bool limited)
{
	RB_ASSERT_LE(depth, pool->config.ring);
	pool->depth = depth;
	pool->limited = limited;
	for (uint32_t i = 0; i < pool->objects; i++) {
		struct rb_connection *c = &pool->connections[i];

		RB_ASSERT_EQ(c->filled, c->replied);
		c->sent_requests = 0;
		update_available(pool, c);
	}
}

static void leave_live(struct rb_pool *pool, struct rb_connection *c)
{
	pool->live--;
	if (c->state == RB_CONNECTION_OPEN)
		pool->open--;
}

static void want_work(struct rb_pool *pool, struct rb_connection *c)
{
	if (rb_list_empty(&c->work))
		rb_list_append(&pool->work, &c->work);
}

/* Starts the end of an open connection; the command leaves with the next flush. */
static void start_close(struct rb_pool *pool, struct rb_connection *c, uint8_t flags)
{
	leave_live(pool, c);
	c->state = RB_CONNECTION_CLOSING;
	c->close_flags = flags;
	c->close_wanted = true;
	rb_list_remove(&c->waiting);
	update_available(pool, c);
	want_work(pool, c);
}

static void to_free(struct rb_pool *pool, struct rb_connection *c)
{
	c->state = RB_CONNECTION_FREE;
	c->handle = 0;
	rb_list_remove(&c->waiting);
	update_available(pool, c);
	rb_list_remove(&c->work);
	rb_list_append(&pool->free, &c->work);
	pool->busy--;
}

/* Takes the oldest connection out of a list that is not empty: `work` or `free`. */
static struct rb_connection *pop_work(struct rb_list *list)
{
	struct rb_list *node = rb_list_pop(list);

	RB_ASSERT(node != NULL);
	return RB_CONTAINER_OF(node, struct rb_connection, work);
}

/* The connection that has waited longest among those with room; there is one. */
static struct rb_connection *first_available(const struct rb_pool *pool)
{
	RB_ASSERT(!rb_list_empty(&pool->available));
	return RB_CONTAINER_OF(pool->available.next, struct rb_connection, available);
}

bool rb_pool_flush(struct rb_pool *pool, struct rb_context *context)
{
	while (!rb_list_empty(&pool->work) && rb_context_command_space(context) > 1U) {
		struct rb_connection *c = pop_work(&pool->work);

		/* CLOSE gives all received bytes back by itself. */
		if (c->close_wanted)
			(void)rb_context_close(context, c->handle, (enum rb_close_flags)c->close_flags);
		else if (c->owed_bytes > 0)
			(void)rb_context_recv_done(context, c->handle, c->owed_bytes);
		c->close_wanted = false;
		c->owed_bytes = 0;
	}
	return rb_list_empty(&pool->work);
}

/* A source and a port of the target: every pair of them in turn. */
static void pick_path(struct rb_pool *pool, struct rb_address *source, struct rb_address *target)
{
	const struct rb_pool_config *config = &pool->config;
	uint32_t path = pool->next_path++;

	*source = (struct rb_address){0};
	if (config->sources_count > 0) {
		*source = config->sources[path % config->sources_count];
		path /= config->sources_count;
	}
	*target = config->target;
	target->port = (uint16_t)(target->port + path % config->target_ports);
}

static void open_one(struct rb_pool *pool, struct rb_context *context)
{
	struct rb_connection *c = pop_work(&pool->free);
	struct rb_address source, target;

	c->state = RB_CONNECTION_CONNECTING;
	c->close_wanted = false;
	c->owed_bytes = 0;
	c->sent_requests = 0;
	c->filled = c->replied = c->released = c->released_bytes = 0;
	memset(&c->parser, 0, sizeof(c->parser));
	pool->busy++;
	pool->live++;
	pick_path(pool, &source, &target);
	(void)rb_context_connect(context, source, target, index_of(pool, c));
}

static bool wants_open(const struct rb_pool *pool)
{
	return !pool->closing && pool->live < pool->config.connections && !rb_list_empty(&pool->free);
}

void rb_pool_open(struct rb_pool *pool, struct rb_context *context, uint64_t now_ns)
{
	while (wants_open(pool) && now_ns >= pool->next_open_ns && rb_context_command_space(context) > 1U) {
		if (pool->paced > 0) {
			pool->paced--;
			/* The pace is kept from the due time, not from now, or sleeping would lower it. */
			const uint64_t from = pool->next_open_ns == 0 ? now_ns : pool->next_open_ns;
			pool->next_open_ns = from + pool->config.open_interval_ns;
		}
		open_one(pool, context);
	}
}

uint64_t rb_pool_next_open(const struct rb_pool *pool)
{
	return wants_open(pool) ? pool->next_open_ns : RB_DEADLINE_NONE;
}

struct rb_request *rb_pool_begin(struct rb_pool *pool, struct rb_context *context)
{
	if (rb_list_empty(&pool->available) || rb_context_command_space(context) <= 1U)
		return NULL;
	struct rb_connection *c = first_available(pool);

	return slot(pool, c, c->filled);
}

void rb_pool_send(struct rb_pool *pool, struct rb_context *context, struct rb_request *request, uint64_t now_ns)
{
	struct rb_connection *c = first_available(pool);

	RB_DEBUG_ASSERT(slot(pool, c, c->filled) == request);
	/* To the end of the queue, if it keeps room. */
	rb_list_remove(&c->available);
	c->filled++;
	c->sent_requests++;
	(void)rb_context_reply(context, c->handle, (uint32_t)c->owed_bytes, request->sg, request->pieces);
	c->owed_bytes = 0;
	rb_list_remove(&c->work); /* with room it is not closing: that was all */
	if (pool->config.reply_timeout_ns != 0) {
		c->sent_ns = now_ns;
		rb_list_append(&pool->waiting, &c->waiting);
	}
	update_available(pool, c);
}

uint64_t rb_pool_next_expiry(const struct rb_pool *pool)
{
	if (rb_list_empty(&pool->waiting))
		return RB_DEADLINE_NONE;
	return RB_CONTAINER_OF(pool->waiting.next, struct rb_connection, waiting)->sent_ns +
	       pool->config.reply_timeout_ns;
}

/* Reports all outstanding requests of a connection as lost. */
static void lose_requests(struct rb_pool *pool, struct rb_connection *c, enum rb_load_error error)
{
	while (c->replied < c->filled) {
		const struct rb_request *request = slot(pool, c, c->replied);

		c->replied++;
		pool->owner.lost(pool->owner.user, request, error);
	}
}

static enum rb_load_error error_of_status(int32_t status)
{
	switch (status) {
	case 0:
		return RB_LOAD_ERROR_SHORT;
	case -ECONNRESET:
	case -EPIPE:
	case -ECONNREFUSED: /* nobody listens for datagrams there (any more) */
		return RB_LOAD_ERROR_RESET;
	case -ETIMEDOUT:
		return RB_LOAD_ERROR_TIMEOUT;
	default:
		return RB_LOAD_ERROR_OTHER;
	}
}

/*
 * After an end that the generator did not want: the replacement waits and is spread like the first openings. A peer
 * that refuses or ends every connection at once must not be flooded with new ones.
 */
static void delay_replacement(struct rb_pool *pool, uint64_t now_ns)
{
	pool->next_open_ns = now_ns + pool->config.retry_ns;
	pool->paced++;
}

static void on_connect_failed(struct rb_pool *pool, struct rb_connection *c, uint64_t now_ns)
{
	pool->counters->errors[RB_LOAD_ERROR_CONNECT]++;
	delay_replacement(pool, now_ns);
	leave_live(pool, c);
	to_free(pool, c);
}

static void on_connected(struct rb_pool *pool, struct rb_connection *c, const struct rb_event *event, uint64_t now_ns)
{
	if (event->status != 0) {
		on_connect_failed(pool, c, now_ns);
		return;
	}
	pool->counters->connections_opened++;
	c->handle = event->handle;
	c->state = RB_CONNECTION_OPEN;
	pool->open++;
	if (pool->closing)
		start_close(pool, c, 0);
	else
		update_available(pool, c);
}

/* A reply is complete: tells the owner; the connection may be used up now. */
static void finish_reply(struct rb_pool *pool, struct rb_connection *c, const struct rb_request *request,
			 enum rb_reply_status status, uint64_t bytes)
{
	c->replied++;
	if (pool->config.reply_timeout_ns != 0)
		rb_list_remove(&c->waiting);
	pool->owner.replied(pool->owner.user, request, status, bytes);
	update_available(pool, c);
}

/* Hands received bytes to the parser, reply by reply. False: the stream is out of step. */
static bool take_bytes(struct rb_pool *pool, struct rb_connection *c, const uint8_t *data, uint64_t length)
{
	const struct rb_protocol *protocol = pool->config.protocol;

	while (length > 0) {
		enum rb_reply_status status;

		if (c->replied == c->filled) {
			pool->counters->errors[RB_LOAD_ERROR_PROTOCOL]++;
			return false;
		}
		const struct rb_request *request = slot(pool, c, c->replied);
		const size_t used = protocol->ops->parse(protocol, &c->parser, request, data, (size_t)length, &status);
		data += used;
		length -= used;
		if (status != RB_REPLY_MORE && status != RB_REPLY_BAD) {
			finish_reply(pool, c, request, status, used);
			continue;
		}
		pool->owner.received(pool->owner.user, request, used);
		if (status == RB_REPLY_BAD)
			return false;
		update_available(pool, c); /* by what the event has released */
	}
	return true;
}

static void abort_connection(struct rb_pool *pool, struct rb_connection *c, enum rb_load_error error)
{
	pool->counters->connections_aborted++;
	start_close(pool, c, RB_CLOSE_ABORT);
	lose_requests(pool, c, error);
}

void rb_pool_expire(struct rb_pool *pool, uint64_t now_ns)
{
	while (rb_pool_next_expiry(pool) <= now_ns) {
		struct rb_connection *c = RB_CONTAINER_OF(pool->waiting.next, struct rb_connection, waiting);

		/* Replaced at once: a new socket sends nothing, and the timeout itself spaces them. */
		abort_connection(pool, c, RB_LOAD_ERROR_TIMEOUT);
	}
}

static void on_recv(struct rb_pool *pool, struct rb_connection *c, const struct rb_event *event, uint64_t now_ns)
{
	if (c->state != RB_CONNECTION_OPEN)
		return;
	c->owed_bytes += event->recv.length;
	want_work(pool, c);
	if (!take_bytes(pool, c, event->recv.data, event->recv.length)) {
		delay_replacement(pool, now_ns);
		abort_connection(pool, c, RB_LOAD_ERROR_PROTOCOL);
	} else if (event->flags & RB_RECV_FIN) {
		delay_replacement(pool, now_ns);
		start_close(pool, c, 0);
		lose_requests(pool, c, RB_LOAD_ERROR_SHORT);
	} else if (is_used_up(pool, c) && c->replied == c->filled) {
		start_close(pool, c, 0);
	}
}

/* Who calls it calls update_available() sooner or later. */
static void release(const struct rb_pool *pool, struct rb_connection *c, uint64_t bytes)
{
	c->released_bytes += bytes;
	while (c->released < c->filled && c->released_bytes >= slot(pool, c, c->released)->bytes) {
		c->released_bytes -= slot(pool, c, c->released)->bytes;
		c->released++;
	}
}

static void on_closed(struct rb_pool *pool, struct rb_connection *c, int32_t status, uint64_t now_ns)
{
	const bool aborted = c->state == RB_CONNECTION_CLOSING && (c->close_flags & RB_CLOSE_ABORT) != 0;

	if (c->state == RB_CONNECTION_OPEN) {
		delay_replacement(pool, now_ns);
		leave_live(pool, c);
	}
	if (c->state == RB_CONNECTION_CLOSING && status == 0 && !aborted)
		pool->counters->connections_closed++;
	else if (!aborted)
		pool->counters->connections_lost++;
	/* Not OPEN any more before the requests are reported: the owner may ask for room. */
	c->state = RB_CONNECTION_CLOSING;
	update_available(pool, c);
	lose_requests(pool, c, error_of_status(status));
	to_free(pool, c);
}

/* A refused command. One for a connection that is ending anyway is followed by its CLOSED, which tells more. */
static void on_error(struct rb_pool *pool, struct rb_connection *c, const struct rb_event *event, uint64_t now_ns)
{
	if (event->error.command == RB_COMMAND_CONNECT && c->state == RB_CONNECTION_CONNECTING) {
		on_connect_failed(pool, c, now_ns);
		return;
	}
	const bool ending = event->status == -EBADF || event->status == -EPIPE || event->status == -ENOTCONN;
	if (event->error.command == RB_COMMAND_SENDV && c->state == RB_CONNECTION_OPEN && !ending) {
		delay_replacement(pool, now_ns);
		abort_connection(pool, c, RB_LOAD_ERROR_OTHER);
	}
}

void rb_pool_event(struct rb_pool *pool, const struct rb_event *event, uint64_t now_ns)
{
	if (event->cookie >= pool->objects)
		return;
	struct rb_connection *c = &pool->connections[event->cookie];

	if (event->type == RB_EVENT_CONNECTED && c->state == RB_CONNECTION_CONNECTING)
		on_connected(pool, c, event, now_ns);
	else if (event->type == RB_EVENT_ERROR)
		on_error(pool, c, event, now_ns);
	else if (c->handle == 0 || c->handle != event->handle)
		return;
	else if (event->type == RB_EVENT_RECV) {
		release(pool, c, event->recv.sent);
		on_recv(pool, c, event, now_ns);
	} else if (event->type == RB_EVENT_SENT) {
		release(pool, c, event->sent.bytes);
		update_available(pool, c);
	} else if (event->type == RB_EVENT_CLOSED)
		on_closed(pool, c, event->status, now_ns);
}

void rb_pool_end(struct rb_pool *pool, void (*visit)(void *user, const struct rb_request *request))
{
	pool->closing = true;
	for (uint32_t i = 0; i < pool->objects; i++) {
		struct rb_connection *c = &pool->connections[i];
		const bool outstanding = c->replied < c->filled;

		for (; c->replied < c->filled; c->replied++)
			visit(pool->owner.user, slot(pool, c, c->replied));
		if (c->state != RB_CONNECTION_OPEN)
			continue;
		if (outstanding)
			pool->counters->connections_aborted++;
		start_close(pool, c, outstanding ? RB_CLOSE_ABORT : 0);
	}
}

bool rb_pool_idle(const struct rb_pool *pool)
{
	return pool->busy == 0;
}
