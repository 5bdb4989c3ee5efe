// SPDX-License-Identifier: Apache-2.0
/*
 * Private to nic/: a device, its queues, and what the files of this folder ask of each other.
 *
 *   init.c      DPDK's beginning and end, threads, capture
 *   explain.c   what is missing and what mends it, as sentences
 *   port.c      opening, starting and closing a port; what it can do
 *   rss.c       the spreading of packets over queues
 *   pool.c      the memory of packets
 *   memory.c    memory of others that frames may refer to
 *   receive.c, transmit.c   the packet path
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_memzone.h>

#include "net/net.h"
#include "nic/nic.h"

enum {
	/*
	 * Pieces of a frame of at most so many bytes together are copied behind its header: the copy costs fewer
	 * instructions than a second descriptor of the device's and its buffer, from here to its release.
	 */
	NIC_COPY_MAX = 256,
	NIC_SEGMENTS_MAX = 16,	    /* parts of a frame, its header included */
	NIC_REGIONS_MAX = 64,	    /* of registered memory */
	NIC_CACHE = 256,	    /* buffers that a thread keeps of each pool, at most */
	NIC_RETA_MAX = 512,	    /* entries of the redirection table */
	NIC_RSS_KEY_WORDS = 64,	    /* what a device's key may have at most, in words of 32 bits */
	NIC_RANDOM_WORDS = 32,	    /* random numbers that one system call brings */
	NIC_PAGE = 2 * 1024 * 1024, /* what receive buffers are laid out by */
	NIC_ETHERNET_MAX = 14 + 4,  /* bytes of the Ethernet header, with a VLAN tag */
	NIC_HELD = 0,		    /* pkt_len of a header buffer that headers() has given away */
	NIC_NOT_HELD = 1,	    /* any other */
};

/* Memory that frames may refer to. */
struct nic_region {
	uintptr_t base;
	size_t length;
	uint64_t *pages;    /* the device's address of each page; NULL: it is the pointer itself */
	unsigned page_bits; /* of a page's size */
	bool registered;    /* with DPDK, by us */
	bool mapped;	    /* for the device, by us */
};

struct nic_rss {
	bool active;
	uint16_t buckets;		 /* entries of `table` */
	uint8_t key_bytes;		 /* of the device's key */
	uint64_t types;			 /* RTE_ETH_RSS_*: what is hashed */
	uint32_t key[NIC_RSS_KEY_WORDS]; /* in network byte order */
	uint8_t table[NIC_RETA_MAX];	 /* queue of a bucket */
};

/* What the packet path writes belongs to the queue's thread. */
struct rb_nic_queue {
	/* constant after opening */
	struct rb_nic *nic;
	struct rte_mempool *rx_pool;
	struct rte_mempool *tx_pool;	/* headers, with room for a whole frame behind them */
	struct rte_mempool *piece_pool; /* no room: descriptors of memory elsewhere */
	uint16_t port, index;
	uint16_t rx_checksums; /* which of the device's verdicts count, an index mask into receive.c's table */
	uint16_t segments_max; /* parts of a frame that the device takes; 1: only whole ones */
	const struct rte_memzone *rx_memory;

	/* the thread's */
	_Alignas(64) struct rb_nic_counters counters;
	unsigned tx_count;
	struct rte_mbuf *tx[RB_NET_BURST]; /* made, and not yet given to the device */
	unsigned random_left;
	uint64_t random[NIC_RANDOM_WORDS];
};

struct rb_nic {
	uint16_t port;
	uint16_t queues_count;
	uint16_t offloads; /* enum rb_net_checksum, _FILL */
	uint16_t rx_descriptors, tx_descriptors;
	bool owned, set_up, started;
	bool virtual; /* no DMA: its driver reads memory as we do */
	unsigned link_wait_ms;
	uint64_t owner;
	struct rte_device *device;
	struct nic_rss rss;
	unsigned regions_count; /* grows when the new one is complete */
	struct nic_region regions[NIC_REGIONS_MAX];
	struct rb_nic_queue queues[];
};

/* Writes the sentence and returns -error. */
int nic_fail(char why[RB_NIC_ERROR_MAX], int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* explain.c: `sys` is where sysfs is. Each writes to `why` and returns -error. */
int nic_explain_init(const char *sys, int error, int argc, char *const *argv, char why[RB_NIC_ERROR_MAX]);
/* Why DPDK has no port of that name: -ENODEV. */
int nic_explain_missing(const char *sys, const char *device, char why[RB_NIC_ERROR_MAX]);
/* The full form of a PCI address ("0000:01:10.0"); false if `device` is none. */
bool nic_pci_address(const char *device, char address[32]);

/* rss.c: before rte_eth_dev_configure(), and after the start. */
int nic_rss_plan(struct rb_nic *nic, const struct rte_eth_dev_info *info, const uint8_t *key,
		 char why[RB_NIC_ERROR_MAX]);
void nic_rss_configure(struct rb_nic *nic, struct rte_eth_conf *conf);
int nic_rss_apply(struct rb_nic *nic, char why[RB_NIC_ERROR_MAX]);
uint32_t nic_rss_hash(const struct nic_rss *rss, uint32_t source, uint16_t source_port, uint32_t destination,
		      uint16_t destination_port);

/* pool.c */
int nic_pools_create(struct rb_nic_queue *queue, const struct rb_nic_config *config, char why[RB_NIC_ERROR_MAX]);
void nic_pools_destroy(struct rb_nic_queue *queue);
/* Buffers that the calling thread keeps for itself go back to the pools. */
void nic_pools_uncache(void);

/* memory.c */
void nic_memory_drop(struct rb_nic *nic);
/* The region that holds these bytes; NULL: none does. */
const struct nic_region *nic_region_of(const struct rb_nic *nic, uintptr_t base, uint32_t length);
/* How many of the bytes are next to each other for the device, and its address of the first. */
uint32_t nic_part(const struct nic_region *region, uintptr_t base, uint32_t length, rte_iova_t *iova);
