// SPDX-License-Identifier: Apache-2.0
/* Defaults and limits of the configuration. */
#include "net/ip.h"
#include "net/net.h"
#include "net/route.h"

#include <errno.h>

enum {
	HOUR_MS = 3600000,
	KEEPALIVE_MAX_MS = 9 * HOUR_MS, /* a deadline is less than 2^31 ticks of 16 us ahead: 9.5 h */
};

void rb_net_config_default(struct rb_net_config *config)
{
	*config = (struct rb_net_config){
		.mtu = 1500,
		.ip4_prefix = 24,
		.ip6_prefix = 64,
		.ip6_link_local = true,
		.connections = 4096,
		.listeners = 16,
		.udp_sockets = 16,
		.neighbours = 256,
		.send_pieces = 16384,
		.receive_parts = 16384,
		.pending = 64,
		.udp_queue = 1024,
		.congestion = RB_NET_CUBIC,
		.receive_window = 256 << 10,
		.send_queue = 1 << 20,
		.backlog = 256,
		.initial_window = 10,
		.delayed_ack_us = 40000,
		.rto_initial_us = 1000000,
		.rto_min_us = 200000,
		.rto_max_us = 60000000,
		.time_wait_us = 60000000,
		.user_timeout_us = 120000000,
		.keepalive_ms = 2 * HOUR_MS, /* RFC 9293 3.8.4, MUST-28 */
		.keepalive_interval_ms = 75000,
		.keepalive_probes = 9,
		.syn_retries = 8, /* the last one after 183 s: RFC 9293 3.8.3, MUST-23, wants 3 minutes */
		.timestamps = true,
		.window_scaling = true,
		.sack = true,
		.ecn = true,
		.rack = true,
		.tlp = true,
		.cookies = true,
	};
}

struct limit {
	const char *why;
	uint64_t value, min, max;
};

int rb_net_config_check(const struct rb_net_config *config, const char **why)
{
	const struct limit limits[] = {
		{"mtu must be 576 to 9000 bytes", config->mtu, 576, 9000},
		{"ip4_prefix must be 0 to 32 bits", config->ip4_prefix, 0, 32},
		{"ip6_prefix must be 0 to 128 bits", config->ip6_prefix, 0, 128},
		{"connections must be 1 to 1048576", config->connections, 1, 1 << 20},
		{"listeners must be 1 to 1024", config->listeners, 1, 1024},
		{"udp_sockets must be at most 1024", config->udp_sockets, 0, 1024},
		{"neighbours must be 1 to 65535", config->neighbours, 1, UINT16_MAX},
		{"send_pieces must be 1 to 16777216", config->send_pieces, 1, 1 << 24},
		{"receive_parts must be 1 to 16777216", config->receive_parts, 1, 1 << 24},
		{"pending must be at most 65536", config->pending, 0, 1 << 16},
		{"udp_queue must be 1 to 1048576", config->udp_queue, config->udp_sockets > 0, 1 << 20},
		{"congestion must be newreno, cubic or dctcp", config->congestion, 0, RB_NET_CONGESTIONS - 1},
		{"receive_window must be 1 byte to 1 GiB", config->receive_window, 1, 1 << 30},
		{"send_queue must be 1 byte to 1 GiB", config->send_queue, 1, 1 << 30},
		{"mss must be 0 or 64 to 8960 bytes", config->mss == 0 ? 64 : config->mss, 64, 8960},
		{"initial_window must be 1 to 64 segments", config->initial_window, 1, 64},
		{"delayed_ack_us must be below 500 ms", config->delayed_ack_us, 0, 499999},
		{"rto_min_us must be 1 ms to 60 s", config->rto_min_us, 1000, 60000000},
		{"rto_initial_us must be between rto_min_us and rto_max_us", config->rto_initial_us, config->rto_min_us,
		 config->rto_max_us},
		{"rto_max_us must be at least rto_min_us, at most 20 min", config->rto_max_us, config->rto_min_us,
		 1200000000},
		{"keepalive_ms must be 1 ms to 9 h", config->keepalive_ms, 1, KEEPALIVE_MAX_MS},
		{"keepalive_interval_ms must be 1 ms to 9 h", config->keepalive_interval_ms, 1, KEEPALIVE_MAX_MS},
		{"tlp needs rack", config->tlp && !config->rack, 0, 0},
	};
	for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (limits[i].value < limits[i].min || limits[i].value > limits[i].max) {
			*why = limits[i].why;
			return -EINVAL;
		}
	}
	if (ip4_is_group(config->ip4)) {
		*why = "ip4 must be the address of one host";
		return -EINVAL;
	}
	for (unsigned i = 0; i < RB_NET_IP6_ADDRESSES_MAX; i++) {
		if (ip6_is_group(&config->ip6[i]) || rb_ip_is_4(&config->ip6[i])) {
			*why = "ip6 must be IPv6 addresses of one host each";
			return -EINVAL;
		}
	}
	if (config->mac[0] & 1) {
		*why = "mac must be the address of one station";
		return -EINVAL;
	}
	return 0;
}
