// SPDX-License-Identifier: Apache-2.0
/*
 * Each queue has pools of its own, and one thread: they are rings for one producer and one consumer, with the thread's
 * cache in front, and neither has an atomic instruction.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_mbuf_pool_ops.h>

#include "base/assert.h"
#include "nic/defs.h"

#define POOL_OPS    "ring_sp_sc"
#define POOL_PREFIX "rb_nic"

static void pool_name(char name[RTE_MEMPOOL_NAMESIZE], const struct rb_nic_queue *queue, const char *what)
{
	snprintf(name, RTE_MEMPOOL_NAMESIZE, POOL_PREFIX "%u_%u_%s", queue->port, queue->index, what);
}

static int no_memory(char why[RB_NIC_ERROR_MAX], const char *what, unsigned count, size_t bytes)
{
	return nic_fail(why, ENOMEM,
			"no memory for %u %s buffers of %zu bytes (%s): more hugepages, with "
			"echo N > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages, or fewer buffers",
			count, what, bytes, rte_strerror(rte_errno));
}

/* DPDK wants one and a half caches in a pool; and a small pool all in one cache would starve other threads. */
static unsigned cache_size(unsigned count)
{
	return count / 4 < NIC_CACHE ? count / 4 : NIC_CACHE;
}

/*
 * Receive buffers: whole pages that hold nothing else.
 */

static uint32_t rx_room(const struct rb_nic_config *config)
{
	/* Whole KiB, as devices count; with room for two tags, for which some drivers look, and for an answer. */
	const uint32_t frame = config->mtu + NIC_ETHERNET_MAX + 4U + RTE_ETHER_CRC_LEN;
	RB_BUILD_ASSERT(RTE_PKTMBUF_HEADROOM >= RB_NET_HEADER_MAX, "headers in front of a packet");
	return RTE_PKTMBUF_HEADROOM + RTE_ALIGN_CEIL(frame + RB_NIC_ANSWER_MAX, 1024U);
}

/* Cuts the memory where the device's addresses jump. Returns how many parts. */
static unsigned rx_parts(const struct rte_memzone *memory, uint16_t room, struct rte_pktmbuf_extmem *parts)
{
	unsigned count = 0;
	for (size_t at = 0; at < memory->len; at += NIC_PAGE) {
		uint8_t *page = (uint8_t *)memory->addr + at;
		const rte_iova_t iova = rte_mem_virt2iova(page);
		if (count > 0 && iova == parts[count - 1].buf_iova + parts[count - 1].buf_len) {
			parts[count - 1].buf_len += NIC_PAGE;
			continue;
		}
		parts[count++] = (struct rte_pktmbuf_extmem){
			.buf_ptr = page, .buf_iova = iova, .buf_len = NIC_PAGE, .elt_size = room};
	}
	return count;
}

/* DPDK's function for such pools takes the kind of ring from a setting. */
static struct rte_mempool *create_pinned(const char *name, unsigned count, uint16_t room, int socket,
					 const struct rte_pktmbuf_extmem *parts, unsigned parts_count)
{
	char before[RTE_MEMPOOL_OPS_NAMESIZE];
	snprintf(before, sizeof(before), "%s", rte_mbuf_best_mempool_ops());
	if (rte_mbuf_set_user_mempool_ops(POOL_OPS) != 0)
		return NULL;
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create_extbuf(name, count, cache_size(count), 0, room, socket, parts, parts_count);
	rte_mbuf_set_user_mempool_ops(before);
	return pool;
}

static int rx_pool_create(struct rb_nic_queue *queue, const struct rb_nic_config *config, int socket,
			  char why[RB_NIC_ERROR_MAX])
{
	char name[RTE_MEMPOOL_NAMESIZE];
	const uint16_t room = (uint16_t)rx_room(config);
	/* answers stay in the transmit ring until others take their places */
	const unsigned rings = queue->nic->rx_descriptors + queue->nic->tx_descriptors;
	const unsigned count = rings + config->rx_buffers + nic_lent_max(queue->nic) + NIC_SPARE;
	const unsigned per_page = NIC_PAGE / room;
	const unsigned pages = (count + per_page - 1) / per_page;
	struct rte_pktmbuf_extmem *parts = calloc(pages, sizeof(parts[0]));
	if (parts == NULL)
		return no_memory(why, "receive", count, room);
	pool_name(name, queue, "rx");
	queue->rx_memory = rte_memzone_reserve_aligned(name, (size_t)pages * NIC_PAGE, socket, 0, NIC_PAGE);
	if (queue->rx_memory != NULL) {
		const unsigned parts_count = rx_parts(queue->rx_memory, room, parts);
		queue->rx_pool = create_pinned(name, count, room, socket, parts, parts_count);
	}
	free(parts);
	return queue->rx_pool != NULL ? 0 : no_memory(why, "receive", count, room);
}

/*
 * Transmit buffers.
 */

static void mark_not_held(struct rte_mempool *pool, void *user, void *object, unsigned index)
{
	struct rte_mbuf *mbuf = object;
	(void)pool;
	(void)user;
	(void)index;
	mbuf->pkt_len = NIC_NOT_HELD;
}

/*
 * A header buffer has room for a whole frame behind the header: what cannot be sent from where it is, for whatever
 * reason, is copied there, and no frame needs memory of a second kind.
 */
static int tx_pool_create(struct rb_nic_queue *queue, const struct rb_nic_config *config, int socket,
			  char why[RB_NIC_ERROR_MAX])
{
	char name[RTE_MEMPOOL_NAMESIZE];
	const uint32_t frame = config->mtu + (uint32_t)NIC_ETHERNET_MAX;
	const uint32_t least = RB_NET_HEADER_MAX + NIC_COPY_MAX;
	const uint16_t room = (uint16_t)(RTE_PKTMBUF_HEADROOM + RTE_ALIGN_CEIL(RTE_MAX(frame, least), 64U));
	const unsigned count = queue->nic->tx_descriptors + config->tx_buffers;
	pool_name(name, queue, "tx");
	queue->tx_pool = rte_pktmbuf_pool_create_by_ops(name, count, cache_size(count), 0, room, socket, POOL_OPS);
	if (queue->tx_pool == NULL)
		return no_memory(why, "transmit", count, room);
	rte_mempool_obj_iter(queue->tx_pool, mark_not_held, NULL);
	return 0;
}

/* As many as the device's ring and our array can hold; with fewer left, pieces are copied. */
static int piece_pool_create(struct rb_nic_queue *queue, int socket, char why[RB_NIC_ERROR_MAX])
{
	char name[RTE_MEMPOOL_NAMESIZE];
	const unsigned count = queue->nic->tx_descriptors + 2U * RB_NET_BURST;
	pool_name(name, queue, "piece");
	queue->piece_pool = rte_pktmbuf_pool_create_by_ops(name, count, cache_size(count), 0, 0, socket, POOL_OPS);
	return queue->piece_pool != NULL ? 0 : no_memory(why, "piece", count, sizeof(struct rte_mbuf));
}

int nic_pools_create(struct rb_nic_queue *queue, const struct rb_nic_config *config, char why[RB_NIC_ERROR_MAX])
{
	const int socket = rte_eth_dev_socket_id(queue->port);
	int error = rx_pool_create(queue, config, socket, why);
	if (error == 0)
		error = tx_pool_create(queue, config, socket, why);
	if (error == 0)
		error = piece_pool_create(queue, socket, why);
	return error;
}

void nic_pools_destroy(struct rb_nic_queue *queue)
{
	rte_mempool_free(queue->rx_pool);
	rte_mempool_free(queue->tx_pool);
	rte_mempool_free(queue->piece_pool);
	rte_memzone_free(queue->rx_memory);
	queue->rx_pool = queue->tx_pool = queue->piece_pool = NULL;
	queue->rx_memory = NULL;
}

/* Who has something of a pool in its cache is its user, so that nobody else is at the ring behind it. */
static void uncache(struct rte_mempool *pool, void *user)
{
	(void)user;
	if (strncmp(pool->name, POOL_PREFIX, strlen(POOL_PREFIX)) == 0)
		rte_mempool_cache_flush(NULL, pool);
}

void nic_pools_uncache(void)
{
	rte_mempool_walk(uncache, NULL);
}

void rb_nic_buffers(const struct rb_nic_queue *queue, struct rb_nic_buffers *used)
{
	used->rx = rte_mempool_in_use_count(queue->rx_pool) - queue->returned_count;
	used->tx = rte_mempool_in_use_count(queue->tx_pool);
	used->pieces = rte_mempool_in_use_count(queue->piece_pool);
}

void rb_nic_rx_memory(const struct rb_nic_queue *queue, const void **base, size_t *length)
{
	*base = queue->rx_memory->addr;
	*length = queue->rx_memory->len;
}
