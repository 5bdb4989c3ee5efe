// SPDX-License-Identifier: Apache-2.0
#include "dpos/machine.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { EAL_WORDS_MAX = 16, EAL_WORD_MAX = 256 };

/* ---- DPDK ---- */

struct eal {
	char words[EAL_WORDS_MAX][EAL_WORD_MAX];
	char *argv[EAL_WORDS_MAX + 2];
	int argc;
};

__attribute__((format(printf, 2, 3))) static void add_word(struct eal *eal, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(eal->words[eal->argc], EAL_WORD_MAX, format, arguments);
	va_end(arguments);
	eal->argv[eal->argc] = eal->words[eal->argc];
	eal->argc++;
}

/*
 * The main thread, which only waits, is DPDK's main one. Others get numbers of their own when they begin; but not where
 * another process may attach for a capture: then they take those of threads that DPDK makes for it.
 */
static void add_lcores(struct eal *eal, const struct dpos_config *config)
{
	add_word(eal, "--lcores=0@%u", config->cpus.cpu[0]);
	char *word = eal->words[eal->argc - 1];
	for (unsigned i = 0; config->capture && i < config->cpus.count; i++) {
		size_t length = strlen(word);
		snprintf(word + length, EAL_WORD_MAX - length, ",%u@%u", i + 1, config->cpus.cpu[i]);
	}
}

static bool is_virtual_device(const char *device)
{
	return strncmp(device, "net_", 4) == 0 || strncmp(device, "virtio_user", 11) == 0;
}

/* Everything of DPDK's that has to be said before it begins. */
static int begin_dpdk(const struct dpos_config *config)
{
	static struct eal eal; /* DPDK keeps pointers to it */
	char why[RB_NIC_ERROR_MAX];
	static char device[256];
	uint64_t memory = config->plain_memory > 0 ? config->plain_memory : config->huge_memory;
	add_word(&eal, "dpos");
	add_lcores(&eal, config);
	add_word(&eal, "--no-telemetry");
	/* of DPDK's own messages those that tell of something wrong */
	add_word(&eal, "--log-level=warning");
	add_word(&eal, "-m");
	add_word(&eal, "%llu", (unsigned long long)(memory >> 20U));
	if (config->plain_memory > 0)
		add_word(&eal, "--no-huge");
	if (!config->capture)
		add_word(&eal, config->plain_memory > 0 ? "--no-shconf" : "--in-memory");
	if (config->iova != DPOS_IOVA_AUTO)
		add_word(&eal, "--iova-mode=%s", config->iova == DPOS_IOVA_VIRTUAL ? "va" : "pa");
	if (is_virtual_device(config->device)) {
		add_word(&eal, "--no-pci");
		snprintf(device, sizeof(device), "--vdev=%s", config->device);
	} else {
		snprintf(device, sizeof(device), "--allow=%s", config->device);
	}
	eal.argv[eal.argc++] = device;
	int result = rb_nic_init(eal.argc, eal.argv, why);
	if (result == 0 && config->capture)
		result = rb_nic_capture_enable(why);
	if (result != 0)
		rb_log(RB_LOG_ERROR, "%s", why);
	return result;
}

static int open_device(struct dpos *dpos)
{
	const struct dpos_config *config = dpos->config;
	char why[RB_NIC_ERROR_MAX], name[256];
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(config->device, ","), config->device);
	struct rb_nic_config nic = {
		.device = name,
		.queues = (uint16_t)config->cpus.count,
		.rx_descriptors = (uint16_t)config->rx_descriptors,
		.tx_descriptors = (uint16_t)config->tx_descriptors,
		.rx_buffers = (uint32_t)config->rx_buffers,
		.tx_buffers = (uint32_t)config->tx_buffers,
		.mtu = (uint16_t)config->mtu,
		.offload = config->offload,
		.rss_key = config->rss_key != NULL ? config->rss_key_bytes : NULL,
		.link_wait_ms = (unsigned)(config->link_wait_ns / RB_NS_PER_MS),
	};
	int result = rb_nic_open(&nic, &dpos->nic, why);
	if (result != 0)
		rb_log(RB_LOG_ERROR, "%s", why);
	else if (nic.queues > 1 && !rb_nic_has_rss(dpos->nic))
		rb_log(RB_LOG_INFO, "%s does not spread packets over queues as it is told: the cores do", name);
	return result;
}

int dpos_open(struct dpos *dpos, const struct dpos_config *config)
{
	*dpos = (struct dpos){.config = config, .policy = policies[config->policy], .last_port = UINT16_MAX};
	pthread_mutex_init(&dpos->lock, NULL);
	int result = begin_dpdk(config);
	if (result != 0)
		return result;
	result = open_device(dpos);
	if (result != 0)
		return result;
	core_clock_init(&dpos->clock, rb_nic_tsc_hz());
	dpos->cores = aligned_alloc(64, config->cpus.count * sizeof(*dpos->cores));
	if (dpos->cores == NULL)
		return -ENOMEM;
	memset(dpos->cores, 0, config->cpus.count * sizeof(*dpos->cores));
	for (unsigned i = 0; i < config->cpus.count; i++) {
		dpos->cores[i].index = i;
		dpos->cores[i].queue = rb_nic_queue(dpos->nic, i);
		dpos->cores[i].spread = config->cpus.count > 1;
		dpos->cores[i].clock = &dpos->clock;
		dpos->cores[i].batch_max = (uint32_t)config->batch;
		dpos->cores[i].gate = (struct core_gate){.call = dpos_call, .user = dpos};
	}
	return 0;
}

void dpos_close(struct dpos *dpos)
{
	for (unsigned i = 0; dpos->cores != NULL && i < dpos->config->cpus.count; i++)
		dpos_net_close(&dpos->cores[i]);
	if (dpos->nic != NULL)
		rb_nic_close(dpos->nic);
	free(dpos->cores);
	rb_nic_exit();
	pthread_mutex_destroy(&dpos->lock);
}

int dpos_pin(unsigned cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	int error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	if (error != 0)
		rb_log(RB_LOG_ERROR, "cannot run on CPU %u: %s", cpu, strerror(error));
	return -error;
}

uint64_t dpos_connections(const struct dpos *dpos)
{
	uint64_t open = 0;
	for (unsigned i = 0; i < dpos->config->cpus.count; i++) {
		const struct rb_gate_counters *counters = &dpos->cores[i].context.counters;
		open += counters->accepted + counters->connected - counters->closed;
	}
	return open;
}

/* ---- TCP/IP ---- */

static void describe_net(const struct dpos *dpos, struct rb_net_config *net)
{
	const struct dpos_config *config = dpos->config;
	uint32_t connections = (uint32_t)config->connections;
	rb_net_config_default(net);
	rb_nic_mac(dpos->nic, net->mac);
	net->mtu = (uint16_t)config->mtu;
	net->checksum_offload = rb_nic_offloads(dpos->nic);
	net->answer_max = RB_NIC_ANSWER_MAX;
	net->ip4 = config->address.ip;
	net->ip4_prefix = (uint8_t)config->prefix;
	net->ip4_gateway = config->gateway.ip;
	net->connections = connections;
	net->listeners = CORE_LISTENERS_MAX;
	net->udp_sockets = 0;
	net->send_pieces = 4 * connections > 65536 ? 4 * connections : 65536;
	net->receive_parts = (uint32_t)config->rx_buffers;
	net->congestion = (enum rb_net_congestion)config->congestion;
	net->ecn = config->ecn || net->congestion == RB_NET_DCTCP;
	net->receive_window = (uint32_t)config->receive_window;
	net->send_queue = (uint32_t)config->send_queue;
	net->backlog = (uint16_t)config->backlog;
	net->time_wait_us = (uint32_t)(config->time_wait_ns / RB_NS_PER_US);
}

int dpos_net_open(struct dpos *dpos, struct core *core)
{
	struct rb_net_config config;
	const char *why;
	describe_net(dpos, &config);
	if (rb_net_config_check(&config, &why) != 0) {
		rb_log(RB_LOG_ERROR, "%s", why);
		return -EINVAL;
	}
	size_t bytes = rb_net_size(&config);
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED) {
		rb_log(RB_LOG_ERROR, "no memory for %u connections: %zu MiB", config.connections, bytes >> 20U);
		return -ENOMEM;
	}
	core->net_memory = memory;
	core->net_memory_bytes = bytes;
	core->net = rb_net_init(memory, &config, &rb_nic_ops, core->queue, core_clock_ns(core->clock, core_tsc()));
	return 0;
}

void dpos_net_close(struct core *core)
{
	if (core->net == NULL)
		return;
	rb_net_close_all(core->net, RB_NET_CLOSE_ABORT);
	rb_net_flush(core->net);
	core->net_counters = *rb_net_counters(core->net);
	rb_net_drop(core->net);
	rb_nic_reclaim(core->queue);
	munmap(core->net_memory, core->net_memory_bytes);
	core->net = NULL;
}

void dpos_page(const struct dpos *dpos, struct rb_page *page)
{
	*page = (struct rb_page){
		.clock_base_ns = dpos->clock.base_ns,
		.clock_base_tsc = dpos->clock.base_tsc,
		.clock_multiplier = dpos->clock.multiplier,
		.cores = dpos->config->cpus.count,
		.batch_max = (uint32_t)dpos->config->batch,
	};
	snprintf(page->stack, sizeof(page->stack), "%s", dpos->policy->name);
}
