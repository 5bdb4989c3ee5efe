// SPDX-License-Identifier: Apache-2.0
/* Which instance of a host gets a frame. */
#include <string.h>

#include "tests/net/fixture.h"
#include "tests/net/host_defs.h"

static struct host_flow *flow_find(struct host *host, const struct rb_endpoint *local, const struct rb_endpoint *remote)
{
	for (unsigned i = 0; i < host->flows_count; i++) {
		struct host_flow *flow = &host->flows[i];
		if (memcmp(&flow->local.ip, &local->ip, sizeof(local->ip)) == 0 && flow->local.port == local->port &&
		    memcmp(&flow->remote.ip, &remote->ip, sizeof(remote->ip)) == 0 && flow->remote.port == remote->port)
			return flow;
	}
	return NULL;
}

void host_flow_set(struct host *host, const struct rb_net_info *info, unsigned instance)
{
	struct host_flow *flow = flow_find(host, &info->local, &info->remote);
	if (flow == NULL) {
		if (host->flows_count == host->flows_room) {
			host->flows_room = host->flows_room == 0 ? 16 : 2 * host->flows_room;
			host->flows = fixture_resize(host->flows, host->flows_room, sizeof(host->flows[0]));
		}
		flow = &host->flows[host->flows_count++];
		flow->local = info->local;
		flow->remote = info->remote;
	}
	flow->instance = instance;
}

unsigned host_steer(struct host *host, const struct rb_net_packet *packet)
{
	struct segment segment;
	const char *why;
	if (host->flows_count == 0 || segment_parse(&segment, packet->data, packet->length, &why) != 0)
		return 0;
	const struct rb_endpoint local = {segment.target, segment.target_port};
	const struct rb_endpoint remote = {segment.source, segment.source_port};
	const struct host_flow *flow = flow_find(host, &local, &remote);
	return flow == NULL ? 0 : flow->instance;
}
