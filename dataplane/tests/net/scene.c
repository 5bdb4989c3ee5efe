// SPDX-License-Identifier: Apache-2.0
#include "tests/net/scene.h"

#include <inttypes.h>
#include <stdio.h>

#include "tests/net/fixture.h"
#include "tests/net/seeds.h"

#define SECOND LINK_NS_PER_S
#define MS     LINK_NS_PER_MS

enum { SEEDS = 100, SEED_STREAM = 40 };

struct scene {
	struct world_config world;
	struct streams_config streams;
	bool must;
};

static struct scene scene;
static struct world world;
static struct streams streams;
static uint64_t seed_now;
static bool running, failed;

static bool chance(struct rb_random *random, unsigned percent)
{
	return rb_random_below(random, 100) < percent;
}

static uint64_t between(struct rb_random *random, uint64_t least, uint64_t most)
{
	return least + rb_random_below(random, most - least + 1);
}

/* Between the two, each order of magnitude as likely as the others. */
static uint64_t magnitude(struct rb_random *random, uint64_t least, uint64_t most)
{
	uint64_t bound = least;
	unsigned doublings = 0;
	while (bound < most / 2) {
		bound *= 2;
		doublings++;
	}
	const uint64_t low = least << rb_random_below(random, doublings + 1);
	return between(random, low, low < most / 2 ? 2 * low : most);
}

static void draw_link(struct rb_random *random, struct link_config *link, enum scene_weather weather)
{
	static const uint64_t rates[] = {0, 0, 256000, 2000000, 10000000, 100000000, 1000000000};
	const double worst = weather == SCENE_GENTLE ? 0.02 : 0.15;
	*link = (struct link_config){
		.rate_bps = rates[rb_random_below(random, sizeof(rates) / sizeof(rates[0]))],
		.delay_ns = chance(random, 20) ? 0 : magnitude(random, 1000, 100 * MS),
	};
	if (chance(random, 30))
		link->jitter_ns = rb_random_below(random, link->delay_ns / 2 + 1);
	if (chance(random, 30))
		link->ordered_jitter_ns = rb_random_below(random, link->delay_ns + 1);
	if (chance(random, 50))
		link->queue_packets = (uint32_t)magnitude(random, 8, 256);
	if (chance(random, 30))
		link->mark_bytes = (uint32_t)magnitude(random, 3000, 100000);
	link->mark_drops = weather == SCENE_HARSH && chance(random, 20);
	if (chance(random, 50))
		link->loss = worst * rb_random_unit(random);
	if (chance(random, 30))
		link->duplicate = 0.2 * rb_random_unit(random);
	if (chance(random, 30))
		link->corrupt = worst * rb_random_unit(random);
	if (chance(random, 30))
		link->truncate = worst * rb_random_unit(random);
	if (chance(random, 40)) {
		link->reorder = 0.2 * rb_random_unit(random);
		link->reorder_packets = (unsigned)rb_random_below(random, 20);
		link->reorder_ns = magnitude(random, 1000, 200 * MS);
	}
}

static void draw_tcp(struct rb_random *random, struct rb_net_config *net)
{
	net->congestion = (enum rb_net_congestion)rb_random_below(random, RB_NET_CONGESTIONS);
	net->receive_window = (uint32_t)magnitude(random, 1000, 1 << 20);
	net->send_queue = (uint32_t)magnitude(random, 1000, 1 << 20);
	net->timestamps = chance(random, 70);
	net->window_scaling = chance(random, 70);
	net->sack = chance(random, 70);
	net->ecn = chance(random, 50);
	net->rack = chance(random, 70);
	net->tlp = net->rack && chance(random, 70);
	net->cookies = chance(random, 50);
	net->backlog = net->cookies && chance(random, 50) ? 0 : 64;
	net->delayed_ack_us = (uint32_t)between(random, 1000, 200000);
	net->keepalive_ms = 10000;
	net->keepalive_interval_ms = 5000;
	net->keepalive_probes = 9;
}

static void draw_host(struct rb_random *random, struct host_config *host)
{
	draw_tcp(random, &host->net);
	host->net.mtu = chance(random, 50) ? 1500 : (uint16_t)between(random, 1280, 9000);
	host->net.checksum_offload = 0;
	if (chance(random, 50)) {
		host->net.checksum_offload = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL;
		host->net.answer_max = 1000;
	}
	host->checksums = chance(random, 50);
	host->burst = chance(random, 30) ? 0 : (unsigned)between(random, 1, RB_NET_BURST);
	host->events = chance(random, 50) ? 0 : (unsigned)between(random, 1, RB_NET_BURST);
	if (chance(random, 50))
		host->period_ns = magnitude(random, 1000, MS);
	if (chance(random, 20))
		host->headers_missing = 0.1 * rb_random_unit(random);
	if (chance(random, 20)) { /* pools that run out */
		host->net.send_pieces = (uint32_t)magnitude(random, 64, 512);
		host->net.receive_parts = (uint32_t)magnitude(random, 64, 512);
	}
}

/* Between writes or reads of up to `most` bytes: a slow one takes minutes, not days, for so many in all. */
static uint64_t slow_pause(uint64_t bytes, uint64_t most)
{
	const uint64_t pause_ns = 60 * SECOND / (bytes / most + 1);
	return pause_ns < 5 * SECOND ? pause_ns : 5 * SECOND;
}

/* What it reads is what the other sends, a window's half at a time at most. */
static void slow_down(struct streams_plan *plan, const struct streams_plan *other, const struct host_config *host)
{
	const uint64_t half = host->net.receive_window / 2 + 1;
	if (plan->reads_slowly)
		plan->read_ns = slow_pause(other->total, plan->read_max < half ? plan->read_max : half);
}

static void draw_plan(struct rb_random *random, struct streams_plan *plan, bool may_fail)
{
	*plan = (struct streams_plan){
		.total = chance(random, 10) ? 0 : magnitude(random, 1, chance(random, 5) ? 1 << 20 : 1 << 17),
		.read_max = magnitude(random, 100, 100000),
		.nodelay = chance(random, 50),
		.congestion = chance(random, 50) ? -1 : (int)rb_random_below(random, RB_NET_CONGESTIONS),
		.ending = chance(random, 10) ? STREAMS_BOTH : STREAMS_HALF,
	};
	plan->write_max = plan->total < 4000 && chance(random, 30) ? 1 : magnitude(random, 100, 100000);
	if (chance(random, 40))
		plan->write_ns = slow_pause(plan->total, plan->write_max);
	plan->reads_slowly = chance(random, 40);
	if (may_fail && chance(random, 20)) {
		plan->ending = STREAMS_ABORT;
		plan->abort_after = rb_random_below(random, plan->total + 1);
	}
}

static void draw_streams(struct rb_random *random, struct streams_config *config, enum scene_weather weather)
{
	const bool may_fail = weather == SCENE_HARSH;
	*config = (struct streams_config){
		.seed = seed_now,
		.connections = chance(random, 50) ? 1 : (unsigned)between(random, 1, STREAMS_CONNECTIONS),
	};
	for (unsigned i = 0; i < config->connections; i++) {
		config->client[i] = (unsigned)rb_random_below(random, 2);
		config->ip6[i] = chance(random, 50);
		config->start_ns[i] = chance(random, 50) ? 0 : rb_random_below(random, SECOND);
		draw_plan(random, &config->plan[i][0], may_fail);
		draw_plan(random, &config->plan[i][1], may_fail);
		for (unsigned j = 0; j < 2; j++)
			slow_down(&config->plan[i][j], &config->plan[i][1 - j],
				  &scene.world.host[j == 0 ? config->client[i] : 1 - config->client[i]]);
		if (may_fail && chance(random, 5))
			config->plan[i][1].ending = STREAMS_REJECT;
	}
	if (may_fail && chance(random, 15)) {
		config->dead_ns = magnitude(random, MS, 20 * SECOND);
		config->dead_way = (unsigned)rb_random_below(random, 3);
	}
}

static void draw(uint64_t seed, enum scene_weather weather, scene_mover *mover)
{
	static char label[32];
	struct rb_random random;
	rb_random_init(&random, seed, SEED_STREAM);
	seed_now = seed;
	snprintf(label, sizeof(label), "seed-%" PRIu64, seed);
	world_config_default(&scene.world);
	scene.world.seed = seed;
	scene.world.label = label;
	for (unsigned end = 0; end < 2; end++) {
		draw_host(&random, &scene.world.host[end]);
		/* without timestamps a timeout stays a minute until something new is acknowledged (RFC 6298 3): on a link on
		 * which all must arrive, losing twice in a row is no reason to give up */
		if (weather == SCENE_GENTLE)
			scene.world.host[end].net.user_timeout_us = 1000000000;
	}
	/* both ends of one link */
	scene.world.host[1].net.mtu = scene.world.host[0].net.mtu;
	draw_streams(&random, &scene.streams, weather);
	scene.streams.mover = mover;
	scene.streams.move = 0.3 * rb_random_unit(&random);
	scene.must = weather == SCENE_GENTLE && scene.streams.dead_ns == 0;
	streams_prepare(&streams, &scene.world);
	world_open(&world, &scene.world);
	for (unsigned end = 0; end < 2; end++) {
		struct link_config link;
		draw_link(&random, &link, weather);
		link_configure(&world.link, end, &link);
	}
}

uint64_t scene_play(uint64_t seed, enum scene_weather weather, scene_mover *mover)
{
	if (failed)
		skip(); /* what has failed is still there, for a debugger */
	draw(seed, weather, mover);
	running = true;
	streams_open(&streams, &world, &scene.streams);
	if (!streams_run(&streams, 14400 * SECOND))
		fail_msg("some connection neither ends nor fails");
	streams_check(&streams, scene.must);
	streams_close(&streams, 3600 * SECOND);
	streams_free(&streams);
	const uint64_t hash = world.link.hash;
	world_close(&world);
	running = false;
	return hash;
}

void scene_play_all(const char *test, enum scene_weather weather, scene_mover *mover)
{
	const uint64_t first = seeds_first(test);
	const uint64_t count = fixture_number("NET_SEEDS", SEEDS);
	for (uint64_t seed = first; seed < first + count; seed++)
		scene_play(seed, weather, mover);
}

int scene_report(void **state)
{
	(void)state;
	if (!running || failed)
		return 0;
	failed = true;
	print_error("seed %" PRIu64 " has failed; again: NET_SEED=%" PRIu64 " NET_SEEDS=1\n", seed_now, seed_now);
	streams_print(&streams);
	return 0;
}
