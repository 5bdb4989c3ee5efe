// SPDX-License-Identifier: Apache-2.0
/* How dpos is started: one table for the command line, the configuration file and --help. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"
#include "nic/nic.h"

struct dpos_config {
	/* the device */
	const char *device;
	struct rb_cpu_list cpus; /* a core on each */
	uint64_t rx_descriptors, tx_descriptors, rx_buffers, tx_buffers, mtu;
	bool offload;
	const char *rss_key;
	uint64_t link_wait_ns;
	/* memory */
	uint64_t huge_memory, plain_memory, app_memory;
	unsigned iova;
	/* the network */
	struct rb_address address, gateway;
	uint64_t prefix;
	uint64_t connections, receive_window, send_queue, backlog, time_wait_ns;
	unsigned congestion;
	bool ecn;
	/* the loop */
	unsigned policy;
	uint64_t batch;
	/* life */
	uint64_t drain_ns;
	const char *control, *stats;
	bool capture;
	unsigned log;
	const char *file;

	/* what stands after "--": the application and its arguments, NULL-terminated / */
	char *const *application;
	uint8_t rss_key_bytes[RB_NIC_RSS_KEY_BYTES];
};

enum dpos_iova { DPOS_IOVA_AUTO, DPOS_IOVA_VIRTUAL, DPOS_IOVA_PHYSICAL };

/* Reads argv, and the file that it names; what stands on the command line wins. / */
enum rb_options_outcome dpos_config_read(int argc, char **argv, struct dpos_config *config);
