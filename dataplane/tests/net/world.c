// SPDX-License-Identifier: Apache-2.0
#include "tests/net/world.h"

void world_config_default(struct world_config *config)
{
	*config = (struct world_config){.label = "world"};
	for (unsigned end = 0; end < 2; end++)
		host_config_default(&config->host[end], end);
}

void world_open(struct world *world, const struct world_config *config)
{
	timeline_open(&world->timeline, LINK_NS_PER_S);
	link_open(&world->link, &world->timeline, config->seed, config->label, &config->link);
	for (unsigned end = 0; end < 2; end++)
		host_open(&world->host[end], &world->timeline, &world->link, config->seed, &config->host[end]);
}

static void close_rest(struct world *world)
{
	link_close(&world->link);
	timeline_close(&world->timeline);
}

void world_close(struct world *world)
{
	for (unsigned end = 0; end < 2; end++)
		host_close(&world->host[end]);
	close_rest(world);
}

void world_abandon(struct world *world)
{
	for (unsigned end = 0; end < 2; end++)
		host_abandon(&world->host[end]);
	close_rest(world);
}

bool world_run(struct world *world, uint64_t ns, bool (*done)(void *context), void *context)
{
	return timeline_run(&world->timeline, world->timeline.now_ns + ns, done, context);
}
