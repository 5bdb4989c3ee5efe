// SPDX-License-Identifier: Apache-2.0
/*
 * The instance, private to net/: the parts and what they share. Each part's state is a struct of its own *_defs.h, so
 * that its functions can be inline, with arrays that lie in the instance's block of memory (layout.h); elements refer
 * to each other by index.
 */
#pragma once

#include "base/assert.h"
#include "net/icmp_defs.h"
#include "net/input_defs.h"
#include "net/neighbour_defs.h"
#include "net/net.h"
#include "net/route_defs.h"
#include "net/tcp.h"
#include "net/tx_defs.h"
#include "net/udp_defs.h"

struct rb_net {
	struct rb_net_config config;
	const struct rb_net_ops *ops;
	void *context;
	uint64_t now_ns;
	struct rb_net_counters counters;
	struct addresses addresses;	   /* our own */
	struct tx tx;			   /* frames on their way out */
	struct shape shape;		   /* of frames on the short way */
	struct released released;	   /* buffers on their way back */
	struct neighbour_table neighbours; /* link-layer addresses */
	struct icmp_limit icmp_limit;	   /* errors per second */
	struct udp udp;
	struct tcp tcp;
};
