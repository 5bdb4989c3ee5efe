// SPDX-License-Identifier: Apache-2.0
/* Two hosts and the link between them, on one clock. */
#pragma once

#include "tests/net/host.h"
#include "tests/net/link.h"
#include "tests/net/timeline.h"

struct world {
	struct timeline timeline;
	struct link link;
	struct host host[2]; /* at ends 0 and 1 */
};

struct world_config {
	uint64_t seed;
	const char *label;	 /* of traces */
	struct link_config link; /* both ways, at first */
	struct host_config host[2];
};

/* A link without limit or fault, and host_config_default() at both ends. */
void world_config_default(struct world_config *config);

void world_open(struct world *world, const struct world_config *config);

/* Fails the test when a host has something left (host.h). */
void world_close(struct world *world);

/* After a failure: frees memory. */
void world_abandon(struct world *world);

/* Lets time pass, `ns` at most, until `done` (or NULL) says so. Returns whether it did. */
bool world_run(struct world *world, uint64_t ns, bool (*done)(void *context), void *context);
