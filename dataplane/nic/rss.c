// SPDX-License-Identifier: Apache-2.0
/* The device hashes the addresses and ports of a packet (Toeplitz) and looks the queue up in a table. So do we. */
#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_thash.h>

#include "base/assert.h"
#include "nic/defs.h"

/* What we ask for, as far as the device has it. Segments of TCP by ports; the rest need not be of one queue. */
#define RSS_TYPES                                                                                            \
	(RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6 | \
	 RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP)

/* Both directions of a connection hash alike under a key of equal halfwords: each bit's word of the key is the same for
 * source and destination. These two bytes spread well. */
static const uint8_t symmetric[2] = {0x6d, 0x5a};

RB_BUILD_ASSERT(sizeof(((struct nic_rss *)NULL)->key) > UINT8_MAX, "any device's key");

static void set_key(struct nic_rss *rss, const uint8_t *given)
{
	uint8_t key[sizeof(rss->key)] = {0};
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = symmetric[i % sizeof(symmetric)];
	if (given != NULL) {
		memset(key, 0, sizeof(key));
		memcpy(key, given, RB_NIC_RSS_KEY_BYTES);
	}
	memcpy(rss->key, key, sizeof(key));
}

int nic_rss_plan(struct rb_nic *nic, const struct rte_eth_dev_info *info, const uint8_t *key,
		 char why[RB_NIC_ERROR_MAX])
{
	struct nic_rss *rss = &nic->rss;
	set_key(rss, key);
	if (nic->queues_count == 1)
		return 0;
	if ((info->flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_TCP) == 0 || info->reta_size == 0 ||
	    info->reta_size > NIC_RETA_MAX || info->hash_key_size < RB_NIC_RSS_KEY_BYTES)
		return nic_fail(
			why, ENOTSUP,
			"%u queues: the device (driver %s) does not spread packets over queues in a way that can be "
			"set; it can be used with 1 queue",
			nic->queues_count, info->driver_name);
	rss->active = true;
	rss->buckets = info->reta_size;
	rss->key_bytes = info->hash_key_size;
	rss->types = RSS_TYPES & info->flow_type_rss_offloads;
	for (unsigned i = 0; i < rss->buckets; i++)
		rss->table[i] = (uint8_t)(i % nic->queues_count);
	return 0;
}

static struct rte_eth_rss_conf hash_conf(struct nic_rss *rss)
{
	return (struct rte_eth_rss_conf){
		.rss_key = (uint8_t *)rss->key, .rss_key_len = rss->key_bytes, .rss_hf = rss->types};
}

void nic_rss_configure(struct rb_nic *nic, struct rte_eth_conf *conf)
{
	if (!nic->rss.active)
		return;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf = hash_conf(&nic->rss);
}

static bool has_key(const struct rb_nic *nic)
{
	uint8_t key[UINT8_MAX];
	struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = nic->rss.key_bytes};
	return rte_eth_dev_rss_hash_conf_get(nic->port, &conf) == 0 &&
	       memcmp(key, nic->rss.key, nic->rss.key_bytes) == 0 && (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0;
}

static int set_table(const struct rb_nic *nic)
{
	struct rte_eth_rss_reta_entry64 entries[NIC_RETA_MAX / RTE_ETH_RETA_GROUP_SIZE] = {0};
	for (unsigned i = 0; i < nic->rss.buckets; i++) {
		entries[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << i % RTE_ETH_RETA_GROUP_SIZE;
		entries[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = nic->rss.table[i];
	}
	return rte_eth_dev_rss_reta_update(nic->port, entries, nic->rss.buckets);
}

int nic_rss_apply(struct rb_nic *nic, char why[RB_NIC_ERROR_MAX])
{
	struct rte_eth_rss_conf conf = hash_conf(&nic->rss);
	if (!nic->rss.active)
		return 0;
	/* Some drivers leave the key of the configuration out. Ours would then be another hash than the device's. */
	if (!has_key(nic) && (rte_eth_dev_rss_hash_update(nic->port, &conf) != 0 || !has_key(nic)))
		return nic_fail(why, EIO, "the device does not take the key of the hash that spreads packets");
	const int error = set_table(nic);
	if (error != 0)
		return nic_fail(why, -error, "the device does not take the table of %u queues: %s", nic->queues_count,
				rte_strerror(-error));
	return 0;
}

bool rb_nic_has_rss(const struct rb_nic *nic)
{
	return nic->rss.active;
}

uint32_t nic_rss_hash(const struct nic_rss *rss, uint32_t source, uint16_t source_port, uint32_t destination,
		      uint16_t destination_port)
{
	uint32_t tuple[] = {source, destination, (uint32_t)source_port << 16 | destination_port};
	return rte_softrss(tuple, RTE_DIM(tuple), (const uint8_t *)rss->key);
}

unsigned rb_nic_queue_of(const struct rb_nic *nic, uint32_t source, uint16_t source_port, uint32_t destination,
			 uint16_t destination_port)
{
	if (!nic->rss.active)
		return 0;
	return nic->rss
		.table[nic_rss_hash(&nic->rss, source, source_port, destination, destination_port) % nic->rss.buckets];
}
