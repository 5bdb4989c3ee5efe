// SPDX-License-Identifier: Apache-2.0
#include "tests/net/goodput.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "tests/net/fixture.h"

enum {
	BLOCK = 1 << 16, /* bytes of a piece; all flows send the same block again and again */
	SEED = 5001,
};

struct flow {
	rb_net_handle handle; /* at the sender; 0: none any more */
	uint64_t sent, received;
	uint64_t received_before; /* when the measurement began */
};

struct goodput {
	struct world world;
	struct flow flows[GOODPUT_FLOWS];
	unsigned count;
	bool ip6;
	bool stopping;
	unsigned ended; /* ends of connections */
	uint8_t block[BLOCK];
};

static const struct rb_net_counters *counters_of(const struct goodput *goodput, unsigned host)
{
	return rb_net_counters(goodput->world.host[host].net[0]);
}

static void counters_subtract(uint64_t *from, const uint64_t *what, size_t size)
{
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		from[i] -= what[i];
}

/* Sends whole blocks, as many as the queue takes. */
static void sender_turn(struct host *host, void *context)
{
	struct goodput *goodput = context;
	const struct rb_endpoint remote = {fixture_ip(goodput->ip6, 2), GOODPUT_PORT};
	const struct rb_net_piece piece = {goodput->block, BLOCK};
	for (unsigned i = 0; i < goodput->count; i++) {
		struct flow *flow = &goodput->flows[i];
		if (flow->handle == 0 && !goodput->stopping)
			assert_int_equal(rb_net_connect(host->net[0], NULL, &remote, i, &flow->handle), 0);
		int status = goodput->stopping ? -ENOBUFS : 0;
		while (status == 0)
			status = rb_net_send(host->net[0], flow->handle, &piece, 1);
		assert_int_equal(status, -ENOBUFS);
	}
}

static void sender_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	struct goodput *goodput = context;
	struct flow *flow = &goodput->flows[event->cookie];
	(void)host;
	(void)net;
	if ((event->bits & RB_NET_CONNECTED) != 0)
		assert_int_equal(event->status, 0);
	flow->sent += event->sent;
	if ((event->bits & RB_NET_CLOSED) != 0) {
		assert_true(goodput->stopping);
		goodput->ended++;
	}
}

/* The receiver knows flows by the order in which they have come. */
static void receiver_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	struct goodput *goodput = context;
	(void)host;
	if ((event->bits & RB_NET_KNOCK) != 0) {
		unsigned number = 0;
		while (goodput->flows[number].received_before != UINT64_MAX)
			number++;
		assert_in_range(number, 0, goodput->count - 1);
		goodput->flows[number].received_before = 0;
		assert_int_equal(rb_net_accept(net, event->handle, number), 0);
		return;
	}
	struct flow *flow = &goodput->flows[event->cookie];
	if ((event->bits & RB_NET_RECEIVED) != 0) {
		size_t at;
		const uint64_t place = flow->received % BLOCK;
		const size_t first = event->length < BLOCK - place ? event->length : BLOCK - (size_t)place;
		assert_true(fixture_check(event->data, first, SEED, place, &at));
		assert_true(fixture_check(event->data + first, event->length - first, SEED, 0, &at));
		flow->received += event->length;
		assert_int_equal(rb_net_received(net, event->handle, event->length), 0);
	}
	if ((event->bits & RB_NET_CLOSED) != 0) {
		assert_true(goodput->stopping);
		goodput->ended++;
	}
}

static bool all_ended(void *context)
{
	const struct goodput *goodput = context;
	struct rb_net_usage usage[2];
	for (unsigned host = 0; host < 2; host++)
		rb_net_usage(goodput->world.host[host].net[0], &usage[host]);
	return goodput->ended == 2 * goodput->count && usage[0].connections + usage[1].connections == 0;
}

/* Ends all flows at once: what is still to be sent is of no interest. */
static void stop(struct goodput *goodput, rb_net_handle listener)
{
	struct world *world = &goodput->world;
	const struct link_config perfect = {0};
	goodput->stopping = true;
	for (unsigned end = 0; end < 2; end++)
		link_configure(&world->link, end, &perfect); /* a lost RST would leave the receiver waiting */
	for (unsigned i = 0; i < goodput->count; i++)
		assert_int_equal(rb_net_close(world->host[0].net[0], goodput->flows[i].handle, RB_NET_CLOSE_ABORT), 0);
	host_wake(&world->host[0]);
	assert_true(world_run(world, 3600 * LINK_NS_PER_S, all_ended, goodput));
	assert_int_equal(rb_net_close(world->host[1].net[0], listener, RB_NET_CLOSE_BOTH), 0);
	host_wake(&world->host[1]);
	world_run(world, 0, NULL, NULL);
}

static void begin(struct goodput *goodput, const struct goodput_config *config, rb_net_handle *listener)
{
	struct world_config world = config->world;
	const struct rb_endpoint local = {.port = GOODPUT_PORT};
	world.host[0].app = (struct host_app){.event = sender_event, .turn = sender_turn, .context = goodput};
	world.host[1].app = (struct host_app){.event = receiver_event, .context = goodput};
	goodput->count = config->flows == 0 ? 1 : config->flows;
	goodput->ip6 = config->ip6;
	RB_ASSERT_GE(world.host[0].net.send_queue, (uint32_t)BLOCK);
	fixture_fill(goodput->block, BLOCK, SEED, 0);
	for (unsigned i = 0; i < goodput->count; i++)
		goodput->flows[i].received_before = UINT64_MAX; /* has not come */
	world_open(&goodput->world, &world);
	assert_int_equal(rb_net_listen(goodput->world.host[1].net[0], &local, 0, listener), 0);
}

void goodput_measure(const struct goodput_config *config, struct goodput_result *result)
{
	struct goodput *goodput = calloc(1, sizeof(*goodput));
	rb_net_handle listener;
	RB_ASSERT(goodput != NULL);
	begin(goodput, config, &listener);

	world_run(&goodput->world, config->settle_ns, NULL, NULL);
	struct link_direction *way = &goodput->world.link.to[1];
	const struct rb_net_counters sender = *counters_of(goodput, 0), receiver = *counters_of(goodput, 1);
	const struct link_counters link = way->counters;
	way->queued_bytes_max = 0;
	for (unsigned i = 0; i < goodput->count; i++) {
		assert_true(goodput->flows[i].received_before != UINT64_MAX);
		goodput->flows[i].received_before = goodput->flows[i].received;
	}

	world_run(&goodput->world, config->measure_ns, NULL, NULL);
	*result = (struct goodput_result){
		.queue_bytes_max = way->queued_bytes_max,
		.sender = *counters_of(goodput, 0),
		.receiver = *counters_of(goodput, 1),
		.link = way->counters,
		.settling = sender,
	};
	counters_subtract((uint64_t *)&result->sender, (const uint64_t *)&sender, sizeof(sender));
	counters_subtract((uint64_t *)&result->receiver, (const uint64_t *)&receiver, sizeof(receiver));
	counters_subtract((uint64_t *)&result->link, (const uint64_t *)&link, sizeof(link));
	if (result->link.sent > 0)
		result->queue_bytes_mean = result->link.queued_sum / result->link.sent;
	for (unsigned i = 0; i < goodput->count; i++) {
		const struct flow *flow = &goodput->flows[i];
		const double seconds = (double)config->measure_ns / (double)LINK_NS_PER_S;
		result->flow_bps[i] = 8.0 * (double)(flow->received - flow->received_before) / seconds;
		result->goodput_bps += result->flow_bps[i];
	}
	assert_int_equal(rb_net_info(goodput->world.host[0].net[0], goodput->flows[0].handle, &result->info), 0);
	stop(goodput, listener);
	world_close(&goodput->world);
	free(goodput);
}
