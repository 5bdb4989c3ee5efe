// SPDX-License-Identifier: Apache-2.0
/* The library at one end of a link in real time, a device of this machine at the other. */
#include "tests/net/tap/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "tests/net/fixture.h"
#include "tests/net/host.h"

enum { RING = 1 << 20, PIECE_MAX = 1 << 15, PEER = 2 }; /* the peer is host number 2 (fixture.h) */

/* A connection: its send buffer is a ring, in which the bytes stay until they are acknowledged. */
struct stream {
	struct work work;
	rb_net_handle handle;
	uint8_t *ring;
	uint64_t acknowledged;
	bool open, write_closed, closed;
	int status;
};

struct library {
	const struct tap_config *config;
	struct realtime realtime;
	struct host host;
	rb_net_handle listener;
	struct stream *streams;
	unsigned begun, closed;
};

/* Queues what there is room for, and the end after the last byte. */
static void stream_write(struct rb_net *net, struct stream *stream)
{
	while (stream->open && stream->work.sent < stream->work.to_send) {
		const uint64_t used = stream->work.sent - stream->acknowledged;
		const size_t at = stream->work.sent % RING, to_end = RING - at;
		size_t room = RING - used < to_end ? (size_t)(RING - used) : to_end;
		room = room < PIECE_MAX ? room : PIECE_MAX;
		const size_t size = work_fill(&stream->work, stream->ring + at, room);
		const struct rb_net_piece piece = {stream->ring + at, (uint32_t)size};
		if (size == 0 || rb_net_send(net, stream->handle, &piece, 1) != 0)
			return; /* SENT or WRITABLE comes */
		work_sent(&stream->work, size);
	}
	if (stream->open && !stream->write_closed) {
		stream->write_closed = true;
		assert_int_equal(rb_net_close(net, stream->handle, RB_NET_CLOSE_WRITE), 0);
	}
}

static void knock(struct library *library, struct rb_net *net, const struct rb_net_event *event)
{
	const struct tap_config *config = library->config;
	struct rb_net_info info;
	if (library->begun == config->connections || rb_net_info(net, event->handle, &info) != 0) {
		(void)rb_net_reject(net, event->handle);
		return;
	}
	struct stream *stream = &library->streams[library->begun];
	work_begin(&stream->work, config->seed, info.remote.port, false, config->send, config->receive);
	stream->handle = event->handle;
	stream->open = true;
	assert_int_equal(rb_net_accept(net, event->handle, library->begun++), 0);
	stream_write(net, stream);
}

static void closed(struct library *library, struct stream *stream, int status)
{
	stream->closed = true;
	stream->open = false;
	stream->status = status;
	library->closed++;
	if (status != 0 && stream->work.fault == NULL)
		stream->work.fault = strerror(-status);
}

static void connect_one(struct library *library, unsigned index)
{
	const struct tap_config *config = library->config;
	struct stream *stream = &library->streams[index];
	const uint16_t own = (uint16_t)(TAP_OWN_PORT + index);
	const struct rb_endpoint local = {.port = own};
	const struct rb_endpoint remote = {fixture_ip(config->ip6, PEER), (uint16_t)config->port};
	work_begin(&stream->work, config->seed, own, true, config->send, config->receive);
	const int status = rb_net_connect(library->host.net[0], &local, &remote, index, &stream->handle);
	if (status != 0)
		closed(library, stream, status);
}

/*
 * The first one goes ahead, on both sides: while an address is being resolved only few packets wait
 * (RFC 4861 7.2.2), and who was not among them would begin with a timeout that no loss explains.
 */
static void connect_others(struct library *library)
{
	for (unsigned i = 1; i < library->config->connections; i++)
		connect_one(library, i);
}

static void take(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	struct library *library = context;
	if ((event->bits & RB_NET_KNOCK) != 0) {
		knock(library, net, event);
		return;
	}
	struct stream *stream = &library->streams[event->cookie];
	if ((event->bits & RB_NET_CONNECTED) != 0) {
		stream->open = event->status == 0;
		if (event->status != 0)
			closed(library, stream, event->status);
		if (event->cookie == 0)
			connect_others(library);
	}
	stream->acknowledged += event->sent;
	if ((event->bits & RB_NET_RECEIVED) != 0) {
		work_receive(&stream->work, event->data, event->length, host->timeline->now_ns);
		assert_int_equal(rb_net_received(net, event->handle, event->length), 0);
	}
	if ((event->bits & RB_NET_FIN) != 0)
		work_end(&stream->work);
	if ((event->bits & RB_NET_CLOSED) != 0)
		closed(library, stream, event->status);
	stream_write(net, stream);
}

static int open_all(struct library *library)
{
	const struct tap_config *config = library->config;
	struct host_config host;
	const uint32_t connections = (uint32_t)config->connections;
	if (realtime_open(&library->realtime, config, NULL, config->device) != 0)
		return -EINVAL;
	host_config_default(&host, 0);
	host.net.congestion = (enum rb_net_congestion)config->congestion;
	host.net.connections = connections + 16;
	host.net.backlog = (uint16_t)(connections + 16);
	host.net.receive_window = (uint32_t)config->window;
	host.net.send_queue = RING;
	host.net.send_pieces = 1024 * connections + 1024;
	host.net.receive_parts = 1024 * connections + 1024;
	host.app = (struct host_app){.event = take, .context = library};
	host_open(&library->host, &library->realtime.timeline, &library->realtime.link, config->seed, &host);
	library->streams = calloc(connections, sizeof(library->streams[0]));
	assert_non_null(library->streams);
	for (unsigned i = 0; i < connections; i++) {
		library->streams[i].ring = malloc(RING);
		assert_non_null(library->streams[i].ring);
	}
	return 0;
}

static void begin(struct library *library)
{
	const struct rb_endpoint local = {.port = (uint16_t)library->config->port};
	if (library->config->listen) {
		assert_int_equal(rb_net_listen(library->host.net[0], &local, 0, &library->listener), 0);
		printf("listening\n"); /* for who waits to connect */
		(void)fflush(stdout);
	} else {
		connect_one(library, 0);
	}
	host_wake(&library->host);
}

static int report(struct library *library)
{
	const unsigned count = (unsigned)library->config->connections;
	struct work *work = calloc(count, sizeof(*work));
	struct rb_json json;
	assert_non_null(work);
	for (unsigned i = 0; i < count; i++)
		work[i] = library->streams[i].work;
	rb_json_init(&json, stdout);
	rb_json_object_begin(&json, NULL);
	int status = work_report(&json, work, count);
	realtime_report(&library->realtime, &json);
	const struct rb_net_counters *counters = rb_net_counters(library->host.net[0]);
	rb_json_object_begin(&json, "counters");
#define TAP_COUNTER(name, text) rb_json_uint(&json, #name, counters->name);
	RB_NET_COUNTERS(TAP_COUNTER)
#undef TAP_COUNTER
	rb_json_object_end(&json);
	rb_json_object_end(&json);
	if (rb_json_finish(&json) != 0)
		status = 1;
	free(work);
	return status;
}

/* Nothing has moved for so long: it never will. */
static bool is_stuck(const struct library *library, uint64_t *moved, uint64_t *since_ns)
{
	uint64_t sum = library->begun + library->closed;
	for (unsigned i = 0; i < library->config->connections; i++)
		sum += library->streams[i].work.received + library->streams[i].acknowledged;
	if (sum != *moved) {
		*moved = sum;
		*since_ns = library->realtime.timeline.now_ns;
	}
	return library->realtime.timeline.now_ns > *since_ns + library->config->patience;
}

int library_run(const struct tap_config *config)
{
	static struct library library;
	uint64_t moved = 0, since_ns = RB_NS_PER_S;
	library.config = config;
	if (config->device == NULL || open_all(&library) != 0) {
		fprintf(stderr, "net-tap: the library needs a --device\n");
		return 2;
	}
	begin(&library);
	while (!tap_is_stopped() && library.closed < config->connections && !is_stuck(&library, &moved, &since_ns))
		realtime_turn(&library.realtime);
	/* answers what the peer may still ask: the last acknowledgement may be lost */
	const uint64_t end_ns = library.realtime.timeline.now_ns + config->linger;
	while (!tap_is_stopped() && library.realtime.timeline.now_ns < end_ns)
		realtime_turn(&library.realtime);
	const int status = report(&library);
	rb_net_drop(library.host.net[0]);
	host_abandon(&library.host);
	for (unsigned i = 0; i < config->connections; i++)
		free(library.streams[i].ring);
	free(library.streams);
	realtime_close(&library.realtime);
	return status;
}
