// SPDX-License-Identifier: Apache-2.0
/* The state of net/route.h. */
#pragma once

#include "net/net.h"

#include <stdint.h>

enum { ADDRESSES_IP6_MAX = RB_NET_IP6_ADDRESSES_MAX + 1 }; /* and the link-local one that was formed */

/* The own addresses, from the configuration. IPv4 in host byte order. */
struct addresses {
	uint32_t ip4; /* 0: none */
	uint32_t ip4_mask;
	uint32_t ip4_broadcast; /* of the subnet, all ones; 0: it has none (RFC 3021) */
	uint32_t ip4_network;	/* all zeros, an old form of broadcast (RFC 1122 3.3.6); 0: it has none */
	uint32_t ip4_gateway;	/* where what is not on the link goes; 0: nowhere */
	uint32_t ip6_count;
	struct rb_ip ip6[ADDRESSES_IP6_MAX];
};
