// SPDX-License-Identifier: Apache-2.0
#include "tests/net/host.h"

#include <stdlib.h>
#include <string.h>

#include "tests/net/device.h"
#include "tests/net/fixture.h"
#include "tests/net/host_defs.h"

enum {
	CONNECTIONS = 64,
	TURNS_AT_ONCE_MAX = 10000, /* more without time passing is a loop without end */
	IDLE_TURNS_MAX = 10000,	   /* more without a frame or an event is a deadline that is no deadline */
};

void host_config_default(struct host_config *config, unsigned end)
{
	*config = (struct host_config){.end = end};
	struct rb_net_config *net = &config->net;
	rb_net_config_default(net);
	fixture_mac(net->mac, end + 1);
	const struct rb_ip ip4 = fixture_ip(false, end + 1);
	net->ip4 = (uint32_t)ip4.bytes[12] << 24 | ip4.bytes[15];
	net->ip4_prefix = 24;
	net->ip6[0] = fixture_ip(true, end + 1);
	net->ip6_prefix = 64;
	net->connections = CONNECTIONS;
	net->listeners = 8;
	net->udp_sockets = 4;
	net->neighbours = 16;
	net->send_pieces = 4096;
	net->receive_parts = 4096;
	net->pending = 16;
}

void host_net_open(struct host *host, unsigned instance)
{
	const char *why = NULL;
	if (rb_net_config_check(&host->config.net, &why) != 0)
		fail_msg("configuration: %s", why);
	const size_t size = (rb_net_size(&host->config.net) + 63) / 64 * 64;
	host->memory[instance] = aligned_alloc(64, size);
	assert_non_null(host->memory[instance]);
	memset(host->memory[instance], 0xa5, size); /* nothing may rely on zeroes */
	host->net[instance] =
		rb_net_init(host->memory[instance], &host->config.net, &device_ops, host, host->timeline->now_ns);
	assert_non_null(host->net[instance]);
}

void host_open(struct host *host, struct timeline *timeline, struct link *link, uint64_t seed,
	       const struct host_config *config)
{
	*host = (struct host){.config = *config, .timeline = timeline, .link = link, .due_ns = UINT64_MAX};
	rb_random_init(&host->random, seed, config->end);
	if (host->config.events == 0)
		host->config.events = RB_NET_BURST;
	host_net_open(host, 0);
	link_attach(link, config->end, device_receive, host);
	host_wake(host);
}

static void usage_check(const struct rb_net *net)
{
	struct rb_net_usage usage;
	rb_net_usage(net, &usage);
	assert_int_equal(usage.connections, 0);
	assert_int_equal(usage.listeners, 0);
	assert_int_equal(usage.udp_sockets, 0);
	assert_int_equal(usage.send_pieces, 0);
	assert_int_equal(usage.receive_parts, 0);
	assert_int_equal(usage.pending, 0);
}

void host_close(struct host *host)
{
	unsigned instances = 0;
	for (; instances < HOST_INSTANCES && host->net[instances] != NULL; instances++) {
		usage_check(host->net[instances]);
		assert_int_equal(host->buffers_held, 0);
		rb_net_drop(host->net[instances]);
	}
	/* the library may have header buffers in hand for what it will send next */
	assert_in_range(host->headers_held, 0, instances * RB_NET_BURST);
	host_abandon(host);
}

void host_abandon(struct host *host)
{
	link_attach(host->link, host->config.end, NULL, NULL);
	for (unsigned i = 0; i < HOST_INSTANCES; i++)
		free(host->memory[i]);
	device_close(host);
	free(host->flows);
	free(host->records);
	*host = (struct host){.due_ns = UINT64_MAX};
}

/*
 * Turns.
 */

static void input(struct host *host)
{
	struct rb_net_packet packets[HOST_INSTANCES][RB_NET_BURST];
	const unsigned burst = host->config.burst;
	for (unsigned taken = 0; host->waiting_count > 0 && (burst == 0 || taken < burst);) {
		unsigned counts[HOST_INSTANCES] = {0, 0};
		for (unsigned i = 0; i < RB_NET_BURST && host->waiting_count > 0 && (burst == 0 || taken < burst);
		     i++) {
			const struct rb_net_packet packet = device_take(host);
			const unsigned instance = host_steer(host, &packet);
			packets[instance][counts[instance]++] = packet;
			taken++;
		}
		for (unsigned i = 0; i < HOST_INSTANCES; i++) {
			if (counts[i] > 0)
				rb_net_input(host->net[i], packets[i], counts[i]);
		}
		if (taken > host->batch_max)
			host->batch_max = taken;
	}
}

/* All events: an application that takes fewer at a time comes back for the others. Returns whether there were any. */
static bool events(struct host *host, struct rb_net *net)
{
	const struct rb_net_event *batch;
	const bool quiet = rb_net_is_quiet(net);
	bool any = false;
	unsigned count;
	do {
		count = rb_net_events(net, &batch, host->config.events);
		assert_in_range(count, 0, host->config.events);
		for (unsigned i = 0; i < count; i++) {
			assert_int_not_equal(batch[i].bits, 0);
			if (host->config.app.event != NULL)
				host->config.app.event(host, net, &batch[i], host->config.app.context);
		}
		any = any || count > 0;
	} while (count > 0);
	assert_false(quiet && any);
	return any;
}

static void flush(struct rb_net *net)
{
	const bool quiet = rb_net_is_quiet(net);
	const uint64_t before = rb_net_counters(net)->frames_out;
	rb_net_flush(net);
	assert_false(quiet && rb_net_counters(net)->frames_out != before);
}

/* When the next turn may be, and which of the library's timers asks for it. */
static void arm(struct host *host)
{
	for (unsigned i = 0; i < HOST_INSTANCES && host->net[i] != NULL; i++) {
		const uint64_t deadline_ns = rb_net_deadline_ns(host->net[i]);
		if (deadline_ns != UINT64_MAX)
			host_wake_at(host, deadline_ns);
	}
	if (host->waiting_count > 0)
		host_wake(host);
}

/* The library must not ask for turns that it does not need. */
static void idle_check(struct host *host, bool idle)
{
	host->idle_turns = idle ? host->idle_turns + 1 : 0;
	assert_in_range(host->idle_turns, 0, IDLE_TURNS_MAX);
}

static void turn(void *context, void *argument)
{
	struct host *host = context;
	(void)argument;
	const uint64_t now_ns = host->timeline->now_ns;
	if (now_ns != host->due_ns) /* was called for earlier, and has been; or the host is gone */
		return;
	host->turns_at_once = now_ns == host->last_turn_ns ? host->turns_at_once + 1 : 0;
	assert_in_range(host->turns_at_once, 0, TURNS_AT_ONCE_MAX);
	host->due_ns = UINT64_MAX;
	host->last_turn_ns = now_ns;
	host->turns++;
	bool idle = host->waiting_count == 0;

	for (unsigned i = 0; i < HOST_INSTANCES && host->net[i] != NULL; i++)
		rb_net_advance(host->net[i], now_ns);
	input(host);
	for (unsigned i = 0; i < HOST_INSTANCES && host->net[i] != NULL; i++)
		idle = !events(host, host->net[i]) && idle;
	if (host->config.app.turn != NULL)
		host->config.app.turn(host, host->config.app.context);
	for (unsigned i = 0; i < HOST_INSTANCES && host->net[i] != NULL; i++)
		flush(host->net[i]);
	idle_check(host, idle && host->frames_count == 0);
	device_transmit(host);
	for (unsigned i = 0; i < HOST_INSTANCES && host->net[i] != NULL; i++) {
		/* what the commands have brought about; the answers to it are for another turn */
		if (events(host, host->net[i]))
			host_wake(host);
	}
	arm(host);
}

void host_wake_at(struct host *host, uint64_t time_ns)
{
	const uint64_t now_ns = host->timeline->now_ns;
	uint64_t due_ns = time_ns > now_ns ? time_ns : now_ns;
	if (host->turns > 0 && due_ns < host->last_turn_ns + host->config.period_ns)
		due_ns = host->last_turn_ns + host->config.period_ns;
	if (due_ns >= host->due_ns)
		return;
	host->due_ns = due_ns;
	timeline_at(host->timeline, due_ns, turn, host, NULL);
}

void host_wake(struct host *host)
{
	host_wake_at(host, host->timeline->now_ns);
}
