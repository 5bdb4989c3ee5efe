// SPDX-License-Identifier: Apache-2.0
/* What the parts of a host share (host.h): host.c is its loop, host_steer.c and host_move.c its second instance. */
#pragma once

#include "tests/net/host.h"

/* A 4-tuple seen from here, and the instance that has it. */
struct host_flow {
	struct rb_endpoint local, remote;
	unsigned instance;
};

void host_net_open(struct host *host, unsigned instance);

/* The instance that gets a frame: as the device's own tables do, by the 4-tuple, and all else to the first one. */
unsigned host_steer(struct host *host, const struct rb_net_packet *packet);

/* From now on that instance gets the segments of that connection. */
void host_flow_set(struct host *host, const struct rb_net_info *info, unsigned instance);
