// SPDX-License-Identifier: Apache-2.0
/* The short way of segments that are just what was expected: in plain traffic nearly all of them take it. */
#include "tests/net/fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/net/goodput.h"

enum { PORT = 7, EXCHANGES = 1000, REQUEST = 64 };

/* A client that sends the next request when the answer to the last one has come, and a server that answers. */
struct exchange {
	struct world world;
	rb_net_handle client, server, listener;
	unsigned answers, request_bytes, answer_bytes;
	bool keepalive;
	unsigned ended;
	uint8_t bytes[REQUEST];
};

static void send_one(struct exchange *exchange, struct rb_net *net, rb_net_handle handle)
{
	const struct rb_net_piece piece = {exchange->bytes, REQUEST};
	assert_int_equal(rb_net_send(net, handle, &piece, 1), 0);
}

static void client_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	struct exchange *exchange = context;
	(void)host;
	if ((event->bits & RB_NET_CONNECTED) != 0) {
		assert_int_equal(event->status, 0);
		if (exchange->keepalive)
			assert_int_equal(rb_net_set(net, event->handle, RB_NET_OPTION_KEEPALIVE, 1), 0);
		send_one(exchange, net, event->handle);
	}
	if ((event->bits & RB_NET_RECEIVED) != 0) {
		assert_int_equal(rb_net_received(net, event->handle, event->length), 0);
		exchange->answer_bytes += event->length;
		if (exchange->answer_bytes % REQUEST == 0 && ++exchange->answers < EXCHANGES)
			send_one(exchange, net, event->handle);
	}
	exchange->ended += (event->bits & RB_NET_CLOSED) != 0;
}

static void server_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	struct exchange *exchange = context;
	(void)host;
	if ((event->bits & RB_NET_KNOCK) != 0) {
		exchange->server = event->handle;
		assert_int_equal(rb_net_accept(net, event->handle, 0), 0);
		if (exchange->keepalive)
			assert_int_equal(rb_net_set(net, event->handle, RB_NET_OPTION_KEEPALIVE, 1), 0);
	}
	if ((event->bits & RB_NET_RECEIVED) != 0) {
		assert_int_equal(rb_net_received(net, event->handle, event->length), 0);
		exchange->request_bytes += event->length;
		if (exchange->request_bytes % REQUEST == 0)
			send_one(exchange, net, event->handle);
	}
	exchange->ended += (event->bits & RB_NET_CLOSED) != 0;
}

static bool all_answered(void *context)
{
	const struct exchange *exchange = context;
	return exchange->answers == EXCHANGES;
}

static bool all_ended(void *context)
{
	const struct exchange *exchange = context;
	return exchange->ended == 2;
}

static void open_exchange(struct exchange *exchange, uint64_t delay_ns)
{
	struct world_config config;
	const struct rb_endpoint local = {.port = PORT}, remote = {fixture_ip(false, 2), PORT};
	world_config_default(&config);
	config.seed = 1;
	config.label = "fast";
	config.link.delay_ns = delay_ns;
	config.host[0].app = (struct host_app){.event = client_event, .context = exchange};
	config.host[1].app = (struct host_app){.event = server_event, .context = exchange};
	world_open(&exchange->world, &config);
	assert_int_equal(rb_net_listen(exchange->world.host[1].net[0], &local, 0, &exchange->listener), 0);
	assert_int_equal(rb_net_connect(exchange->world.host[0].net[0], NULL, &remote, 0, &exchange->client), 0);
	host_wake(&exchange->world.host[0]);
}

static void close_exchange(struct exchange *exchange)
{
	struct world *world = &exchange->world;
	assert_int_equal(rb_net_close(world->host[0].net[0], exchange->client, RB_NET_CLOSE_ABORT), 0);
	host_wake(&world->host[0]);
	assert_true(world_run(world, 10 * LINK_NS_PER_S, all_ended, exchange));
	assert_int_equal(rb_net_close(world->host[1].net[0], exchange->listener, RB_NET_CLOSE_BOTH), 0);
	host_wake(&world->host[1]);
	world_run(world, LINK_NS_PER_S, NULL, NULL);
	world_close(world);
	free(exchange);
}

/* The handshake, and what ends the connection, are few. */
static void assert_fast(const char *what, const struct rb_net_counters *counters, double least)
{
	const double share = (double)counters->tcp_fast / (double)counters->tcp_in;
	printf("%s: %.2f %% of %llu segments by the short way\n", what, 100 * share,
	       (unsigned long long)counters->tcp_in);
	assert_true(share >= least);
}

static void play_exchange(uint64_t delay_ns, bool keepalive)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	assert_non_null(exchange);
	exchange->keepalive = keepalive;
	open_exchange(exchange, delay_ns);
	assert_true(world_run(&exchange->world, 1000 * LINK_NS_PER_S, all_answered, exchange));
	assert_fast("client", rb_net_counters(exchange->world.host[0].net[0]), 0.99);
	assert_fast("server", rb_net_counters(exchange->world.host[1].net[0]), 0.99);
	close_exchange(exchange);
}

/* Requests that follow each other at once, and with a way so long that acknowledgements do not wait for the answer. */
static void test_exchange(void **state)
{
	(void)state;
	play_exchange(20 * LINK_NS_PER_US, false);
	play_exchange(10 * LINK_NS_PER_MS, false);
	play_exchange(100 * LINK_NS_PER_MS, false);
}

/* Keep-alive costs a store, not the short way. */
static void test_keepalive(void **state)
{
	(void)state;
	play_exchange(20 * LINK_NS_PER_US, true);
}

static void test_bulk(void **state)
{
	(void)state;
	struct goodput_config config = {.settle_ns = LINK_NS_PER_S, .measure_ns = 3 * LINK_NS_PER_S};
	struct goodput_result result;
	world_config_default(&config.world);
	config.world.seed = 1;
	config.world.label = "fast";
	config.world.link = (struct link_config){.rate_bps = 100000000, .delay_ns = 2 * LINK_NS_PER_MS};
	goodput_measure(&config, &result);
	assert_fast("sender", &result.sender, 0.99);
	assert_fast("receiver", &result.receiver, 0.99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_bulk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
