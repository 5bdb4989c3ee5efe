// SPDX-License-Identifier: Apache-2.0
#include "tests/net/streams.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/net/fixture.h"

enum {
	PIECES = 4,
	ACKNOWLEDGED = 0xdd, /* what memory holds that is the application's again */
	RANDOM_STREAM = 20,  /* apart from those of link and hosts */
};

static uint64_t seed_of(const struct streams_end *end)
{
	return end->streams->config.seed * 1000 + end->number * UINT64_C(2) +
	       (end == &end->streams->end[end->number][1]);
}

static struct streams_end *other_of(const struct streams_end *end)
{
	struct streams_end *pair = end->streams->end[end->number];
	return &pair[end == pair];
}

static uint64_t below(struct streams *streams, uint64_t bound)
{
	return rb_random_below(&streams->random, bound);
}

static uint64_t pause_until(struct streams_end *end, uint64_t most_ns)
{
	return end->streams->world->timeline.now_ns + below(end->streams, most_ns + 1);
}

/* The cookie of an end; 0 is the listener's. */
static uint64_t cookie_of(const struct streams_end *end)
{
	return 1 + 2 * (uint64_t)end->number + (end == &end->streams->end[end->number][1]);
}

static struct streams_end *end_of(struct streams *streams, uint64_t cookie)
{
	assert_in_range(cookie, 1, 2 * streams->config.connections);
	return &streams->end[(cookie - 1) / 2][(cookie - 1) % 2];
}

static void end_begin(struct streams_end *end, struct rb_net *net, rb_net_handle handle)
{
	end->net = net;
	end->handle = handle;
	end->exists = true;
	assert_int_equal(rb_net_set(net, handle, RB_NET_OPTION_KEEPALIVE, 1), 0);
	assert_int_equal(rb_net_set(net, handle, RB_NET_OPTION_NODELAY, end->plan.nodelay), 0);
	if (end->plan.congestion >= 0)
		assert_int_equal(
			rb_net_set(net, handle, RB_NET_OPTION_CONGESTION, (uint64_t)(unsigned)end->plan.congestion), 0);
}

static void end_over(struct streams_end *end, int status)
{
	assert_true(end->exists);
	end->exists = false;
	end->over = true;
	end->status = status;
}

/*
 * Events.
 */

/* Which connection has knocked: by the client's port. One that is known already, or over, is an old duplicate. */
static struct streams_end *knocked(struct streams *streams, const struct host *host, const struct rb_net_info *info)
{
	for (unsigned i = 0; i < streams->config.connections; i++) {
		struct streams_end *end = &streams->end[i][1];
		if (&streams->world->host[end->host] == host && streams->port[i] == info->remote.port &&
		    streams->config.ip6[i] == !rb_ip_is_4(&info->remote.ip) && !end->exists && !end->over)
			return end;
	}
	return NULL;
}

static void knock(struct streams *streams, struct host *host, struct rb_net *net, rb_net_handle handle)
{
	struct rb_net_info info;
	assert_int_equal(rb_net_info(net, handle, &info), 0);
	struct streams_end *end = knocked(streams, host, &info);
	if (end == NULL || end->plan.ending == STREAMS_REJECT) {
		assert_int_equal(rb_net_reject(net, handle), 0);
		return;
	}
	assert_int_equal(rb_net_accept(net, handle, cookie_of(end)), 0);
	end_begin(end, net, handle);
	end->connected = true;
}

static void sent(struct streams_end *end, uint32_t bytes)
{
	assert_in_range(bytes, 1, end->queued - end->acked);
	memset(end->bytes + end->acked, ACKNOWLEDGED, bytes);
	end->acked += bytes;
}

static void received(struct streams_end *end, const struct rb_net_event *event)
{
	size_t at;
	assert_int_not_equal(event->length, 0);
	assert_false(end->fin || (end->ended && end->plan.ending == STREAMS_BOTH));
	assert_in_range(end->received + event->length, 1, other_of(end)->plan.total);
	if (!fixture_check(event->data, event->length, seed_of(other_of(end)), end->received, &at))
		fail_msg("connection %u: received byte %" PRIu64 " is wrong", end->number, end->received + at);
	if (end->received == end->returned)
		end->read_at_ns = pause_until(end, end->plan.read_ns);
	end->received += event->length;
}

static void on_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	struct streams *streams = context;
	if ((event->bits & RB_NET_KNOCK) != 0) {
		assert_int_equal(event->bits, RB_NET_KNOCK);
		knock(streams, host, net, event->handle);
		return;
	}
	struct streams_end *end = end_of(streams, event->cookie);
	assert_true(end->exists && end->handle == event->handle && end->net == net);
	if ((event->bits & RB_NET_CONNECTED) != 0) {
		assert_false(end->connected);
		end->connected = event->status == 0;
		if (event->status != 0) {
			assert_int_equal(event->bits, RB_NET_CONNECTED);
			end_over(end, event->status);
			return;
		}
	}
	if ((event->bits & RB_NET_SENT) != 0)
		sent(end, event->sent);
	if ((event->bits & RB_NET_RECEIVED) != 0)
		received(end, event);
	if ((event->bits & RB_NET_FIN) != 0) {
		assert_false(end->fin);
		end->fin = true;
	}
	if ((event->bits & RB_NET_WRITABLE) != 0)
		end->refused = false;
	if ((event->bits & RB_NET_CLOSED) != 0)
		end_over(end, event->status);
}

/*
 * Turns.
 */

static void end_connect(struct streams_end *end)
{
	struct streams *streams = end->streams;
	struct host *host = &streams->world->host[end->host];
	const bool ip6 = streams->config.ip6[end->number];
	const struct rb_endpoint remote = {fixture_ip(ip6, 2 - end->host), STREAMS_PORT};
	struct rb_net_info info;
	rb_net_handle handle;
	assert_int_equal(rb_net_connect(host->net[0], NULL, &remote, cookie_of(end), &handle), 0);
	assert_int_equal(rb_net_info(host->net[0], handle, &info), 0);
	streams->port[end->number] = info.local.port;
	end_begin(end, host->net[0], handle);
}

/* Offers so many of the next bytes, in some pieces, and gives so many of those received back. */
static int end_offer(struct streams_end *end, size_t size, uint64_t read)
{
	struct rb_net_piece pieces[PIECES];
	unsigned count = 0;
	for (size_t done = 0; done < size; count++) {
		size_t length = size - done;
		if (count < PIECES - 1)
			length = 1 + below(end->streams, length);
		pieces[count] = (struct rb_net_piece){end->bytes + end->queued + done, (uint32_t)length};
		done += length;
	}
	if (read == 0)
		return rb_net_send(end->net, end->handle, pieces, count);
	return rb_net_reply(end->net, end->handle, (uint32_t)read, pieces, count);
}

/* How much of what was received goes back with what is written: mostly nothing; else all of it, or some. */
static uint64_t end_answers(struct streams_end *end)
{
	const uint64_t unread = end->received - end->returned;
	if (unread == 0 || end->read_at_ns > end->streams->world->timeline.now_ns || below(end->streams, 2) == 0)
		return 0;
	return below(end->streams, 4) > 0 ? unread : 1 + below(end->streams, unread);
}

static void end_write(struct streams_end *end)
{
	const size_t left = end->plan.total - end->queued;
	size_t size = 1 + below(end->streams, end->plan.write_max);
	size = size < left ? size : left;
	const uint64_t read = end_answers(end);
	int status = end_offer(end, size, read);
	/* with nothing under way it may be more than the queue can ever hold */
	while (status == -ENOBUFS && end->acked == end->queued && size > 1) {
		size /= 2;
		status = end_offer(end, size, read);
	}
	end->refused = status == -ENOBUFS;
	if (!end->refused) {
		assert_int_equal(status, 0);
		end->queued += size;
		end->returned += read;
		if (read > 0)
			end->read_at_ns = pause_until(end, end->plan.read_ns);
	}
	end->write_at_ns = pause_until(end, end->plan.write_ns);
}

static void end_finish(struct streams_end *end)
{
	static const enum rb_net_close how[] = {
		[STREAMS_HALF] = RB_NET_CLOSE_WRITE,
		[STREAMS_BOTH] = RB_NET_CLOSE_BOTH,
		[STREAMS_ABORT] = RB_NET_CLOSE_ABORT,
		[STREAMS_REJECT] = RB_NET_CLOSE_WRITE, /* of the client */
	};
	assert_int_equal(rb_net_close(end->net, end->handle, how[end->plan.ending]), 0);
	end->ended = true;
	if (end->plan.ending == STREAMS_BOTH)
		end->returned = end->received; /* what was not given back has been taken */
}

static void end_read(struct streams_end *end)
{
	const uint64_t unread = end->received - end->returned;
	uint64_t size = 1 + below(end->streams, end->plan.read_max);
	size = size < unread ? size : unread;
	assert_int_equal(rb_net_received(end->net, end->handle, (uint32_t)size), 0);
	end->returned += size;
	end->read_at_ns = pause_until(end, end->plan.read_ns);
}

static void wake_at(struct streams_end *end, uint64_t time_ns)
{
	host_wake_at(&end->streams->world->host[end->host], time_ns);
}

/* Reads and writes as far as the plan and the time allow, and asks to be called again. */
static void end_turn(struct streams_end *end)
{
	const uint64_t now_ns = end->streams->world->timeline.now_ns;
	const bool aborts = end->plan.ending == STREAMS_ABORT;
	const bool answers = !end->ended && !end->refused && end->write_at_ns <= now_ns &&
			     end->queued < end->plan.total && !(aborts && end->queued >= end->plan.abort_after);
	if (answers)
		end_write(end);
	while (end->received > end->returned && end->read_at_ns <= now_ns)
		end_read(end);
	if (end->received > end->returned)
		wake_at(end, end->read_at_ns);
	while (!end->ended && !end->refused && end->write_at_ns <= now_ns && end->queued < end->plan.total &&
	       !(aborts && end->queued >= end->plan.abort_after))
		end_write(end);
	if (end->ended || end->refused)
		return;
	if (end->queued < end->plan.total && !(aborts && end->queued >= end->plan.abort_after))
		wake_at(end, end->write_at_ns);
	else if (end->connected || end->plan.ending != STREAMS_BOTH)
		end_finish(end); /* to close both ways before gives the connection up (RFC 9293 3.10.4) */
}

/* A move is a reason for another turn, and a turn for another move. */
enum { MOVES_MAX = 300 };

static void on_turn(struct host *host, void *context)
{
	struct streams *streams = context;
	const uint64_t now_ns = streams->world->timeline.now_ns;
	for (unsigned i = 0; i < streams->config.connections; i++) {
		for (unsigned side = 0; side < 2; side++) {
			struct streams_end *end = &streams->end[i][side];
			if (&streams->world->host[end->host] != host)
				continue;
			const bool client = side == 0 && !end->over && !end->exists;
			if (client && end->write_at_ns <= now_ns)
				end_connect(end);
			else if (client)
				wake_at(end, end->write_at_ns);
			if (!end->exists)
				continue;
			if (streams->config.mover != NULL && streams->moves < MOVES_MAX &&
			    rb_random_unit(&streams->random) < streams->config.move) {
				streams->config.mover(host, &end->net, &end->handle, below(streams, 2));
				streams->moves++;
			}
			end_turn(end);
		}
	}
}

/*
 * The whole.
 */

void streams_prepare(struct streams *streams, struct world_config *world)
{
	for (unsigned host = 0; host < 2; host++)
		world->host[host].app = (struct host_app){.event = on_event, .turn = on_turn, .context = streams};
}

static void dead(void *context, void *argument)
{
	struct streams *streams = context;
	(void)argument;
	for (unsigned end = 0; end < 2; end++) {
		struct link_config config = streams->world->link.to[end].config;
		config.loss = 1.0;
		if (streams->config.dead_way == 2 || streams->config.dead_way == end)
			link_configure(&streams->world->link, end, &config);
	}
}

static void end_open(struct streams *streams, unsigned number, unsigned side)
{
	struct streams_end *end = &streams->end[number][side];
	const unsigned client = streams->config.client[number];
	*end = (struct streams_end){
		.plan = streams->config.plan[number][side],
		.streams = streams,
		.number = number,
		.host = side == 0 ? client : 1 - client,
		.write_at_ns = side == 0 ? streams->world->timeline.now_ns + streams->config.start_ns[number] : 0,
	};
	end->bytes = malloc(end->plan.total + 1);
	RB_ASSERT(end->bytes != NULL);
	fixture_fill(end->bytes, end->plan.total, seed_of(end), 0);
}

void streams_open(struct streams *streams, struct world *world, const struct streams_config *config)
{
	*streams = (struct streams){.config = *config, .world = world};
	rb_random_init(&streams->random, config->seed, RANDOM_STREAM);
	for (unsigned i = 0; i < config->connections; i++) {
		end_open(streams, i, 0);
		end_open(streams, i, 1);
	}
	for (unsigned host = 0; host < 2; host++) {
		const struct rb_endpoint local = {.port = STREAMS_PORT};
		assert_int_equal(rb_net_listen(world->host[host].net[0], &local, 0, &streams->listener[host]), 0);
		host_wake(&world->host[host]);
	}
	if (config->dead_ns > 0)
		timeline_at(&world->timeline, world->timeline.now_ns + config->dead_ns, dead, streams, NULL);
}

static bool all_over(void *context)
{
	struct streams *streams = context;
	for (unsigned i = 0; i < streams->config.connections; i++) {
		/* the server of a client that has failed may never have heard of it */
		if (!streams->end[i][0].over || streams->end[i][1].exists)
			return false;
	}
	return true;
}

bool streams_run(struct streams *streams, uint64_t ns)
{
	return world_run(streams->world, ns, all_over, streams);
}

static bool forgotten(void *context)
{
	struct streams *streams = context;
	uint32_t connections = 0;
	for (unsigned i = 0; i < 2 * HOST_INSTANCES; i++) {
		const struct rb_net *net = streams->world->host[i / HOST_INSTANCES].net[i % HOST_INSTANCES];
		struct rb_net_usage usage = {0};
		if (net != NULL)
			rb_net_usage(net, &usage);
		connections += usage.connections + usage.pending;
	}
	return connections == 0 && all_over(context);
}

void streams_close(struct streams *streams, uint64_t ns)
{
	assert_true(world_run(streams->world, ns, forgotten, streams));
	for (unsigned host = 0; host < 2; host++) {
		struct rb_net *net = streams->world->host[host].net[0];
		assert_int_equal(rb_net_close(net, streams->listener[host], RB_NET_CLOSE_BOTH), 0);
		host_wake(&streams->world->host[host]);
	}
	world_run(streams->world, 0, NULL, NULL);
}

/* An end that says that all is well has sent all, and has heard all that it wanted to. */
static void end_check(const struct streams_end *end, bool must)
{
	const struct streams_end *other = other_of(end);
	const enum streams_ending worst = end->plan.ending > other->plan.ending ? end->plan.ending : other->plan.ending;
	if (must && worst == STREAMS_HALF)
		assert_true(end->over && end->status == 0);
	/* who does not read any more waits for the other's end for a limited time only (FIN-WAIT-2) */
	if (must && worst == STREAMS_BOTH)
		assert_true(end->over && (end->status == 0 || end->status == -ETIMEDOUT || end->status == -ECONNRESET));
	if (!end->over)
		return;
	assert_in_range(-end->status, 0, 4095);
	if (end->status != 0)
		return;
	assert_int_equal(end->acked, end->plan.total);
	if (end->plan.ending != STREAMS_BOTH) {
		assert_true(end->fin);
		assert_int_equal(end->received, other->plan.total);
	}
}

void streams_check(const struct streams *streams, bool must)
{
	for (unsigned i = 0; i < streams->config.connections; i++) {
		end_check(&streams->end[i][0], must);
		end_check(&streams->end[i][1], must);
	}
}

static void usage_print(const struct streams *streams, unsigned host, unsigned instance)
{
	const struct rb_net *net = streams->world->host[host].net[instance];
	struct rb_net_usage usage;
	if (net == NULL)
		return;
	rb_net_usage(net, &usage);
	print_error("host %u, instance %u: %u connections, %u pieces, %u parts, %u pending\n", host, instance,
		    usage.connections, usage.send_pieces, usage.receive_parts, usage.pending);
}

void streams_print(const struct streams *streams)
{
	for (unsigned i = 0; i < streams->config.connections; i++) {
		for (unsigned side = 0; side < 2; side++) {
			const struct streams_end *end = &streams->end[i][side];
			print_error(
				"connection %u, %s at host %u%s:%s%s%s%s%s queued %zu acked %zu of %zu, received %" PRIu64
				" returned %" PRIu64 " of %zu, status %d\n",
				i, side == 0 ? "client" : "server", end->host, streams->config.ip6[i] ? ", IPv6" : "",
				end->connected ? " connected" : "", end->over ? " over" : "",
				end->ended ? " ended" : "", end->fin ? " fin" : "", end->refused ? " refused" : "",
				end->queued, end->acked, end->plan.total, end->received, end->returned,
				other_of(end)->plan.total, end->status);
		}
	}
	for (unsigned host = 0; host < 2; host++) {
		for (unsigned instance = 0; instance < HOST_INSTANCES; instance++)
			usage_print(streams, host, instance);
	}
	print_error("at %" PRIu64 " us\n", streams->world->timeline.now_ns / LINK_NS_PER_US);
}

void streams_free(struct streams *streams)
{
	for (unsigned i = 0; i < streams->config.connections; i++) {
		for (unsigned side = 0; side < 2; side++) {
			free(streams->end[i][side].bytes);
			streams->end[i][side].bytes = NULL;
		}
	}
}
