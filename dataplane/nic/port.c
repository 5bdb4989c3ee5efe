// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "nic/defs.h"
#include "nic/ops.h"

enum { LINK_POLL_US = 10000 };

#define RX_CHECKSUMS (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define TX_CHECKSUMS (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)

/*
 * Opening.
 */

static int find_port(const char *device, uint16_t *port, char why[RB_NIC_ERROR_MAX])
{
	char address[32];
	const char *name = nic_pci_address(device, address) ? address : device;
	if (rte_eth_dev_get_port_by_name(name, port) == 0)
		return 0;
	return nic_explain_missing("/sys", device, why);
}

static int check_config(const struct rb_nic_config *config, const struct rte_eth_dev_info *info,
			char why[RB_NIC_ERROR_MAX])
{
	const unsigned device = RTE_MIN(info->max_rx_queues, info->max_tx_queues);
	const unsigned most = RTE_MIN(device, (unsigned)RB_NIC_QUEUES_MAX);
	if (config->queues < 1 || config->queues > most)
		return nic_fail(why, EINVAL, "%u queues: %s (driver %s) can be used with 1 .. %u", config->queues,
				config->device, info->driver_name, most);
	if (config->mtu < info->min_mtu || config->mtu > info->max_mtu || config->mtu < 576 || config->mtu > 9000)
		return nic_fail(why, EINVAL, "an MTU of %u: %s (driver %s) can be used with %u .. %u", config->mtu,
				config->device, info->driver_name, RTE_MAX(info->min_mtu, 576U),
				RTE_MIN(info->max_mtu, 9000U));
	return 0;
}

/* By port. Not an owner as DPDK knows them: dpdk-dumpcap sees no port that has one. */
static bool taken[RTE_MAX_ETHPORTS];

static int own(struct rb_nic *nic, const char *device, char why[RB_NIC_ERROR_MAX])
{
	if (taken[nic->port])
		return nic_fail(why, EBUSY, "%s is open already in this process", device);
	taken[nic->port] = nic->owned = true;
	return 0;
}

static uint16_t fills_of(uint64_t offloads)
{
	unsigned fills = 0;
	if ((offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0)
		fills |= RB_NET_CHECKSUM_IP4_FILL;
	if ((offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0)
		fills |= RB_NET_CHECKSUM_TCP_FILL;
	if ((offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0)
		fills |= RB_NET_CHECKSUM_UDP_FILL;
	return (uint16_t)fills;
}

/* Parts that a frame may have: what the device states, if it can take several at all. */
static uint16_t segments_of(const struct rte_eth_dev_info *info)
{
	unsigned most = NIC_SEGMENTS_MAX;
	if ((info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) == 0)
		return 1;
	if (info->tx_desc_lim.nb_mtu_seg_max > 0)
		most = RTE_MIN(most, (unsigned)info->tx_desc_lim.nb_mtu_seg_max);
	if (info->tx_desc_lim.nb_seg_max > 0)
		most = RTE_MIN(most, (unsigned)info->tx_desc_lim.nb_seg_max);
	return (uint16_t)most;
}

/*
 * Not asked for: MBUF_FAST_FREE, under which a driver gives buffers back without a look at them. All of a queue would
 * have to be of one pool, and received ones that are returned are not, nor are descriptors of pieces.
 */
static int configure(struct rb_nic *nic, const struct rb_nic_config *config, const struct rte_eth_dev_info *info,
		     char why[RB_NIC_ERROR_MAX])
{
	struct rte_eth_conf conf = {.rxmode.mtu = config->mtu};
	conf.txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (config->offload) {
		conf.rxmode.offloads |= info->rx_offload_capa & RX_CHECKSUMS;
		conf.txmode.offloads |= info->tx_offload_capa & TX_CHECKSUMS;
	}
	nic->offloads = fills_of(conf.txmode.offloads);
	nic_rss_configure(nic, &conf);
	int error = rte_eth_dev_configure(nic->port, nic->queues_count, nic->queues_count, &conf);
	if (error == 0)
		error = rte_eth_dev_adjust_nb_rx_tx_desc(nic->port, &nic->rx_descriptors, &nic->tx_descriptors);
	if (error != 0)
		return nic_fail(why, -error, "%s (driver %s) cannot be configured with %u queues: %s", config->device,
				info->driver_name, nic->queues_count, rte_strerror(-error));
	for (unsigned i = 0; i < nic->queues_count; i++) {
		nic->queues[i].rx_checksums = (conf.rxmode.offloads & RX_CHECKSUMS) != 0 ? nic_rx_checksums() : 0;
		nic->queues[i].segments_max = segments_of(info);
	}
	return 0;
}

static int set_up_queue(struct rb_nic *nic, struct rb_nic_queue *queue, const struct rb_nic_config *config,
			char why[RB_NIC_ERROR_MAX])
{
	const int socket = rte_eth_dev_socket_id(nic->port);
	nic->set_up = true;
	int error = nic_pools_create(queue, config, why);
	if (error != 0)
		return error;
	error = rte_eth_rx_queue_setup(nic->port, queue->index, nic->rx_descriptors, (unsigned)socket, NULL,
				       queue->rx_pool);
	if (error == 0)
		error = rte_eth_tx_queue_setup(nic->port, queue->index, nic->tx_descriptors, (unsigned)socket, NULL);
	if (error != 0)
		return nic_fail(why, -error, "queue %u of %s cannot be set up: %s", queue->index, config->device,
				rte_strerror(-error));
	return 0;
}

static int set_up(struct rb_nic *nic, const struct rb_nic_config *config, const struct rte_eth_dev_info *info,
		  char why[RB_NIC_ERROR_MAX])
{
	int error = own(nic, config->device, why);
	nic_rss_plan(nic, info, config->rss_key);
	if (error == 0)
		error = configure(nic, config, info, why);
	if (error == 0)
		error = nic_inboxes_create(nic, why);
	for (unsigned i = 0; i < nic->queues_count && error == 0; i++)
		error = set_up_queue(nic, &nic->queues[i], config, why);
	return error;
}

static struct rb_nic *allocate(const struct rb_nic_config *config, uint16_t port, struct rte_device *device)
{
	const size_t size = sizeof(struct rb_nic) + config->queues * sizeof(struct rb_nic_queue);
	struct rb_nic *nic = rte_zmalloc("rb_nic", size, _Alignof(struct rb_nic));
	if (nic == NULL)
		return NULL;
	nic->port = port;
	nic->queues_count = config->queues;
	nic->rx_descriptors = config->rx_descriptors;
	nic->tx_descriptors = config->tx_descriptors;
	nic->link_wait_ms = config->link_wait_ms;
	nic->device = device;
	nic->virtual = strcmp(rte_bus_name(rte_dev_bus(device)), "vdev") == 0;
	for (uint16_t i = 0; i < config->queues; i++) {
		nic->queues[i].nic = nic;
		nic->queues[i].port = port;
		nic->queues[i].index = i;
	}
	return nic;
}

int rb_nic_open(const struct rb_nic_config *config, struct rb_nic **nic, char why[RB_NIC_ERROR_MAX])
{
	struct rte_eth_dev_info info;
	uint16_t port;
	int error = find_port(config->device, &port, why);
	if (error == 0 && nic_captures())
		error = nic_explain_capture("/sys", config->device, why);
	if (error == 0 && rte_eth_dev_info_get(port, &info) != 0)
		error = nic_fail(why, ENODEV, "%s is gone", config->device);
	if (error == 0)
		error = check_config(config, &info, why);
	if (error != 0)
		return error;
	struct rb_nic *made = allocate(config, port, info.device);
	if (made == NULL)
		return nic_fail(why, ENOMEM, "no memory for the state of %u queues", config->queues);
	error = set_up(made, config, &info, why);
	if (error != 0) {
		rb_nic_close(made);
		return error;
	}
	*nic = made;
	return 0;
}

/*
 * Starting and ending.
 */

bool rb_nic_link_up(const struct rb_nic *nic)
{
	struct rte_eth_link link;
	return rte_eth_link_get_nowait(nic->port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

static void wait_for_link(const struct rb_nic *nic)
{
	for (uint64_t waited = 0; waited < nic->link_wait_ms * UINT64_C(1000); waited += LINK_POLL_US) {
		if (rb_nic_link_up(nic))
			return;
		rte_delay_us_sleep(LINK_POLL_US);
	}
}

int rb_nic_start(struct rb_nic *nic, char why[RB_NIC_ERROR_MAX])
{
	int error = rte_eth_dev_start(nic->port);
	if (error != 0)
		return nic_fail(why, -error, "the device cannot be started: %s", rte_strerror(-error));
	nic->started = true;
	/* The rings are full of buffers now. What this thread has left over is for the queues' threads. */
	nic_pools_uncache();
	error = nic_rss_apply(nic, why);
	if (error != 0)
		return error;
	/* For neighbour discovery, which is multicast. A device that cannot choose takes all, or none that matters. */
	(void)rte_eth_allmulticast_enable(nic->port);
	wait_for_link(nic);
	return 0;
}

void rb_nic_close(struct rb_nic *nic)
{
	if (nic == NULL)
		return;
	if (nic->started)
		(void)rte_eth_dev_stop(nic->port);
	nic_memory_drop(nic);
	if (nic->owned)
		taken[nic->port] = false;
	/* One that was refused before it had memory of ours may be opened in another way. */
	if (nic->set_up)
		(void)rte_eth_dev_close(nic->port);
	for (unsigned i = 0; i < nic->queues_count; i++)
		nic_pools_destroy(&nic->queues[i]);
	rte_free(nic->inboxes);
	rte_free(nic);
}

/*
 * Questions.
 */

void rb_nic_mac(const struct rb_nic *nic, uint8_t mac[6])
{
	struct rte_ether_addr address = {0};
	(void)rte_eth_macaddr_get(nic->port, &address);
	memcpy(mac, address.addr_bytes, sizeof(address.addr_bytes));
}

uint16_t rb_nic_offloads(const struct rb_nic *nic)
{
	return nic->offloads;
}

struct rb_nic_queue *rb_nic_queue(struct rb_nic *nic, unsigned index)
{
	return &nic->queues[index];
}

const struct rb_nic_counters *rb_nic_counters(const struct rb_nic_queue *queue)
{
	return &queue->counters;
}

void rb_nic_missed(const struct rb_nic *nic, uint64_t *missed, uint64_t *no_buffers)
{
	struct rte_eth_stats stats = {0};
	(void)rte_eth_stats_get(nic->port, &stats);
	*missed = stats.imissed;
	*no_buffers = stats.rx_nombuf;
}
