// SPDX-License-Identifier: Apache-2.0
/*
 * The device hashes the addresses and ports of a packet (Toeplitz) and looks the queue up in a table. So do we: to know
 * which ports bring answers to a queue; and for each packet where the device does not (spread.c).
 */
#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_errno.h>

#include "base/assert.h"
#include "nic/defs.h"
#include "nic/ops.h"

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

/* 32 bits of the key from bit `at` on. */
static uint32_t key_window(const struct nic_rss *rss, unsigned at)
{
	uint64_t word;
	memcpy(&word, (const uint8_t *)rss->key + at / 8, sizeof(word));
	return (uint32_t)(rte_be_to_cpu_64(word) << at % 8 >> 32);
}

/* The hash is the exclusive or of the windows at all bits that are set, hence that of what each byte gives. */
static void set_parts(struct nic_rss *rss)
{
	for (unsigned place = 0; place < NIC_HASHED_MAX; place++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			uint32_t part = 0;
			for (unsigned bit = 0; bit < 8; bit++)
				part ^= (byte << bit & 0x80U) != 0 ? key_window(rss, 8 * place + bit) : 0;
			rss->parts[place][byte] = part;
		}
	}
}

/* Whether the device spreads in a way that can be set, so that ours is the same. */
static bool can_spread(const struct rte_eth_dev_info *info)
{
	return (info->flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0 && info->reta_size > 0 &&
	       info->reta_size <= NIC_RETA_MAX && info->hash_key_size >= RB_NIC_RSS_KEY_BYTES;
}

void nic_rss_plan(struct rb_nic *nic, const struct rte_eth_dev_info *info, const uint8_t *key)
{
	struct nic_rss *rss = &nic->rss;
	set_key(rss, key);
	set_parts(rss);
	if (nic->queues_count == 1)
		return;
	rss->active = can_spread(info);
	rss->spreads = !rss->active;
	rss->buckets = rss->active ? info->reta_size : NIC_FLOW_GROUPS;
	rss->key_bytes = info->hash_key_size;
	rss->types = RSS_TYPES & info->flow_type_rss_offloads;
	for (unsigned i = 0; i < rss->buckets; i++)
		rss->table[i] = (uint8_t)(i % nic->queues_count);
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
	const uint32_t addresses[] = {rte_cpu_to_be_32(source), rte_cpu_to_be_32(destination)};
	const uint16_t ports[] = {rte_cpu_to_be_16(source_port), rte_cpu_to_be_16(destination_port)};
	return nic_rss_hash_bytes(rss, (const uint8_t *)addresses, sizeof(addresses), (const uint8_t *)ports);
}

unsigned rb_nic_queue_of(const struct rb_nic *nic, uint32_t source, uint16_t source_port, uint32_t destination,
			 uint16_t destination_port)
{
	const struct nic_rss *rss = &nic->rss;
	if (rss->buckets == 0)
		return 0;
	return rss->table[nic_rss_hash(rss, source, source_port, destination, destination_port) % rss->buckets];
}

static bool is_mapped4(const struct rb_ip *ip)
{
	static const uint8_t prefix[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	return memcmp(ip->bytes, prefix, sizeof(prefix)) == 0;
}

/* What comes from `remote` to `local`. Ports of IPv6 may not be hashed by the device: then none is better. */
bool nic_is_own(void *context, const struct rb_endpoint *local, const struct rb_endpoint *remote)
{
	const struct rb_nic_queue *queue = context;
	const struct nic_rss *rss = &queue->nic->rss;
	const bool is4 = is_mapped4(&remote->ip);
	const unsigned length = is4 ? 4 : 16, skip = 16 - length;
	const uint16_t ports[] = {rte_cpu_to_be_16(remote->port), rte_cpu_to_be_16(local->port)};
	uint8_t addresses[2 * sizeof(local->ip.bytes)];
	if (rss->buckets == 0 || (!is4 && rss->active && (rss->types & RTE_ETH_RSS_NONFRAG_IPV6_TCP) == 0))
		return true;
	memcpy(addresses, remote->ip.bytes + skip, length);
	memcpy(addresses + length, local->ip.bytes + skip, length);
	return rss->table[nic_rss_hash_bytes(rss, addresses, 2 * length, (const uint8_t *)ports) % rss->buckets] ==
	       queue->index;
}
