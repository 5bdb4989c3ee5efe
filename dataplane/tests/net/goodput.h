// SPDX-License-Identifier: Apache-2.0
/*
 * Bulk transfers over a link: what they achieve in bytes per virtual second, once they have settled. Each flow sends
 * without end from host 0 to host 1, which reads at once.
 */
#pragma once

#include "tests/net/world.h"

enum { GOODPUT_FLOWS = 8, GOODPUT_PORT = 5001 };

struct goodput_config {
	struct world_config world; /* congestion control, link, windows: as world_config_default() and then as wanted */
	unsigned flows;		   /* 1 .. GOODPUT_FLOWS; 0: 1 */
	bool ip6;
	uint64_t settle_ns;  /* not measured: from the beginning */
	uint64_t measure_ns; /* measured: after that */
};

/* All but `settling` is of the measured time alone. */
struct goodput_result {
	double goodput_bps;		/* bits/s that the application got, all flows */
	double flow_bps[GOODPUT_FLOWS]; /* of each */
	uint64_t queue_bytes_mean;	/* in the direction of the data, seen by arriving frames */
	uint64_t queue_bytes_max;
	struct rb_net_counters sender, receiver; /* of the hosts */
	struct link_counters link;		 /* in the direction of the data */
	struct rb_net_info info;		 /* of flow 0 at the sender, at the end */
	struct rb_net_counters settling;	 /* of the sender, before */
};

/* Measures; fails the test when a connection fails, a byte is wrong, or anything is left. */
void goodput_measure(const struct goodput_config *config, struct goodput_result *result);
