// SPDX-License-Identifier: Apache-2.0
#include "dpos/config.h"

#include "base/log.h"
#include "core/core.h"
#include "policy/policy.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char *const iova_names[] = {"auto", "virtual", "physical", NULL};
static const char *const congestion_names[] = {"newreno", "cubic", "dctcp", NULL};

#define AT(field) .offset = offsetof(struct dpos_config, field)

static const struct rb_option options[] = {
	{.name = "device",
	 .type = RB_OPTION_STRING,
	 AT(device),
	 .help = "The network device, as DPDK names it: 0000:01:10.0, or a virtual "
		 "one like net_af_packet0,iface=veth0."},
	{.name = "cpus",
	 .type = RB_OPTION_CPUS,
	 AT(cpus),
	 .help = "CPUs of the cores, each with a queue pair of the device and a thread of the application."},
	{.name = "address", .type = RB_OPTION_ADDRESS, AT(address), .help = "The own address."},
	{.name = "prefix",
	 .type = RB_OPTION_UINT,
	 AT(prefix),
	 .default_value = "24",
	 .unit = "bits",
	 .min = 1,
	 .max = 31,
	 .help = "Of the address, which the whole subnet has in common."},
	{.name = "gateway",
	 .type = RB_OPTION_ADDRESS,
	 AT(gateway),
	 .default_value = "0.0.0.0",
	 .help = "The way to other subnets; 0.0.0.0: none."},
	{.name = "stack",
	 .type = RB_OPTION_CHOICE,
	 AT(policy),
	 .default_value = "ix",
	 .choices = policy_names,
	 .help = "The loop of each core: ix runs packets to completion through the "
		 "application, l2 sends them back."},
	{.name = "batch",
	 .type = RB_OPTION_UINT,
	 AT(batch),
	 .default_value = "64",
	 .unit = "packets",
	 .min = 1,
	 .max = CORE_BATCH_MAX,
	 .help = "The bound B: what one turn takes at most."},
	{.name = "connections",
	 .type = RB_OPTION_UINT,
	 AT(connections),
	 .default_value = "65536",
	 .unit = "per core",
	 .min = 1,
	 .max = RB_CONNECTIONS_PER_GROUP_MAX,
	 .help = "Connections at a time, those in TIME-WAIT included."},
	{.name = "receive-window",
	 .type = RB_OPTION_SIZE,
	 AT(receive_window),
	 .default_value = "64k",
	 .min = 2048,
	 .max = 1U << 30U,
	 .help = "Bytes that a peer may have under way."},
	{.name = "send-queue",
	 .type = RB_OPTION_SIZE,
	 AT(send_queue),
	 .default_value = "1m",
	 .min = 2048,
	 .max = 1U << 30U,
	 .help = "Bytes that a connection may have queued or unacknowledged."},
	{.name = "backlog",
	 .type = RB_OPTION_UINT,
	 AT(backlog),
	 .default_value = "1024",
	 .unit = "connections",
	 .max = 65535,
	 .help = "Half-open connections of a listener before it answers with SYN "
		 "cookies; 0: always."},
	{.name = "time-wait",
	 .type = RB_OPTION_DURATION,
	 AT(time_wait_ns),
	 .default_value = "60s",
	 .min = 1000,
	 .max = UINT64_C(600000000000),
	 .help = "How long a connection that was closed from here stays in "
		 "TIME-WAIT: two segment lifetimes."},
	{.name = "congestion",
	 .type = RB_OPTION_CHOICE,
	 AT(congestion),
	 .default_value = "cubic",
	 .choices = congestion_names,
	 .help = "Congestion control of new connections."},
	{.name = "ecn",
	 .type = RB_OPTION_FLAG,
	 AT(ecn),
	 .default_value = "no",
	 .help = "Offer and accept explicit congestion notification (RFC 3168); dctcp needs it."},
	{.name = "mtu",
	 .type = RB_OPTION_UINT,
	 AT(mtu),
	 .default_value = "1500",
	 .unit = "bytes",
	 .min = 576,
	 .max = 9000,
	 .help = "Of an IP packet."},
	{.name = "offload",
	 .type = RB_OPTION_FLAG,
	 AT(offload),
	 .default_value = "yes",
	 .help = "Leave checksums to the device where it can do them."},
	{.name = "rss-key",
	 .type = RB_OPTION_STRING,
	 AT(rss_key),
	 .help = "80 hexadecimal digits: key of the hash that spreads connections. "
		 "Default: a symmetric one."},
	{.name = "rx-descriptors",
	 .type = RB_OPTION_UINT,
	 AT(rx_descriptors),
	 .default_value = "1024",
	 .unit = "per core",
	 .min = 32,
	 .max = 32768,
	 .help = "Slots of the device's receive queue."},
	{.name = "tx-descriptors",
	 .type = RB_OPTION_UINT,
	 AT(tx_descriptors),
	 .default_value = "1024",
	 .unit = "per core",
	 .min = 32,
	 .max = 32768,
	 .help = "Slots of the device's transmit queue."},
	{.name = "rx-buffers",
	 .type = RB_OPTION_UINT,
	 AT(rx_buffers),
	 .default_value = "8192",
	 .unit = "per core",
	 .min = 64,
	 .max = 1U << 22U,
	 .help = "Packets that connections may hold, received and not given back yet."},
	{.name = "tx-buffers",
	 .type = RB_OPTION_UINT,
	 AT(tx_buffers),
	 .default_value = "2048",
	 .unit = "per core",
	 .min = 64,
	 .max = 1U << 22U,
	 .help = "Frames that may be on their way, beside those in the device's "
		 "queue."},
	{.name = "link-wait",
	 .type = RB_OPTION_DURATION,
	 AT(link_wait_ns),
	 .default_value = "10s",
	 .max = UINT64_C(600000000000),
	 .help = "How long to wait for the device's link at the start."},
	{.name = "huge-memory",
	 .type = RB_OPTION_SIZE,
	 AT(huge_memory),
	 .default_value = "128m",
	 .min = 1U << 24U,
	 .max = UINT64_C(1) << 40U,
	 .help = "Huge pages for the device's rings and buffers."},
	{.name = "plain-memory",
	 .type = RB_OPTION_SIZE,
	 AT(plain_memory),
	 .default_value = "0",
	 .max = UINT64_C(1) << 40U,
	 .help = "Ordinary memory instead of all huge pages, for virtual devices; "
		 "0: huge pages."},
	{.name = "app-memory",
	 .type = RB_OPTION_SIZE,
	 AT(app_memory),
	 .default_value = "64m",
	 .min = 1U << 21U,
	 .max = UINT64_C(1) << 39U,
	 .help = "Memory of the application: program, heap, stacks; all of it can "
		 "be sent from."},
	{.name = "iova",
	 .type = RB_OPTION_CHOICE,
	 AT(iova),
	 .default_value = "auto",
	 .choices = iova_names,
	 .help = "Addresses that the device is given: virtual ones need an IOMMU."},
	{.name = "drain",
	 .type = RB_OPTION_DURATION,
	 AT(drain_ns),
	 .default_value = "2s",
	 .max = UINT64_C(600000000000),
	 .help = "After SIGTERM: how long connections may go on before the "
		 "application is told to end."},
	{.name = "control",
	 .type = RB_OPTION_STRING,
	 AT(control),
	 .help = "Path of a UNIX socket at which `ringbed top` and others read the "
		 "counters (JSON)."},
	{.name = "stats",
	 .type = RB_OPTION_STRING,
	 AT(stats),
	 .help = "Counters file (JSON), written at the end and on SIGUSR1."},
	{.name = "capture",
	 .type = RB_OPTION_FLAG,
	 AT(capture),
	 .default_value = "no",
	 .help = "Let dpdk-dumpcap attach to the device, which vfio-pci must have. "
		 "It shares DPDK's memory with other processes of the user."},
	{.name = "log",
	 .type = RB_OPTION_CHOICE,
	 AT(log),
	 .default_value = "info",
	 .choices = rb_log_level_names,
	 .help = "Messages to print on standard error."},
	{.name = "config",
	 .type = RB_OPTION_STRING,
	 AT(file),
	 .help = "A file with a line NAME VALUE for each option; # begins a "
		 "comment. The command line wins."},
};

static const struct rb_option_table table = {
	.program = "dpos",
	.summary = "the dataplane: drives a network device, and runs an "
		   "application on it (after --)",
	.example = "dpos --device 0000:01:10.0 --cpus 1 --address 10.0.0.2 -- "
		   "rb-echo --port 9000",
	.options = options,
	.count = sizeof(options) / sizeof(options[0]),
};

static enum rb_options_outcome wrong(const char *text)
{
	fprintf(stderr, "dpos: %s\n", text);
	return RB_OPTIONS_ERROR;
}

static int hex_digit(char digit)
{
	const char *digits = "0123456789abcdef", *found = strchr(digits, digit | 0x20);
	return digit != '\0' && found != NULL ? (int)(found - digits) : -1;
}

static bool read_key(struct dpos_config *config)
{
	const char *text = config->rss_key;
	if (strlen(text) != (size_t)2 * RB_NIC_RSS_KEY_BYTES)
		return false;
	for (size_t i = 0; i < RB_NIC_RSS_KEY_BYTES; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		config->rss_key_bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* What one option alone does not tell. */
static enum rb_options_outcome check(struct dpos_config *config)
{
	bool application = policies[config->policy]->application;
	if (config->device == NULL)
		return wrong("--device is required: see --help, and dpdk-devbind.py "
			     "--status for those there are");
	if (config->cpus.count == 0)
		return wrong("--cpus is required: the CPUs of the cores, like 1 or 1-4");
	if (config->cpus.count > RB_NIC_QUEUES_MAX)
		return wrong("--cpus: at most 16, which is what a device has queues for");
	if (application && config->address.ip == 0)
		return wrong("--address is required: the address at which the application "
			     "is to be reached");
	if (application && config->application[0] == NULL)
		return wrong("the application is missing: dpos … -- PROGRAM ARGUMENT…");
	if (!application && config->application[0] != NULL)
		return wrong("this --stack runs without an application: leave out -- and "
			     "what follows it");
	if (config->rss_key != NULL && !read_key(config))
		return wrong("--rss-key: expected 80 hexadecimal digits");
	return RB_OPTIONS_OK;
}

enum rb_options_outcome dpos_config_read(int argc, char **argv, struct dpos_config *config)
{
	int own = 1;
	while (own < argc && strcmp(argv[own], "--") != 0)
		own++;
	*config = (struct dpos_config){.application = own < argc ? argv + own + 1 : argv + argc};
	enum rb_options_outcome outcome = rb_options_parse(&table, own, argv, config, stdout, stderr);
	if (outcome == RB_OPTIONS_OK && config->file != NULL) {
		outcome = rb_options_file(&table, config->file, config, stderr);
		if (outcome == RB_OPTIONS_OK)
			outcome = rb_options_again(&table, own, argv, config, stderr);
	}
	return outcome == RB_OPTIONS_OK ? check(config) : outcome;
}
