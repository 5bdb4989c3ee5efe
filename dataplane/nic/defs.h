// SPDX-License-Identifier: Apache-2.0
/*
 * Private to nic/: a device, its queues, and what the files of this folder ask of each other.
 *
 *   init.c      DPDK's beginning and end, threads, capture
 *   explain.c   what is missing and what mends it, as sentences
 *   port.c      opening, starting and closing a port; what it can do
 *   rss.c       the hash that spreads packets over queues, and the device's use of it
 *   spread.c    packets that go from queue to queue
 *   pool.c      the memory of packets
 *   memory.c    memory of others that frames may refer to
 *   receive.c, transmit.c   the packet path; sum.h: checksums of short frames
 */
#pragma once

#include <stdatomic.h>
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
	NIC_SEGMENTS_MAX = 16, /* parts of a frame, its header included */
	NIC_REGIONS_MAX = 64,  /* of registered memory */
	NIC_CACHE = 256,       /* buffers that a thread keeps of each pool, at most */
	NIC_RETURNED = 16,     /* receive buffers that a queue keeps for the pool, to give them back together */
	/*
	 * Receive buffers that are there when the ring and the connections have all that they may: those that are kept,
	 * and a turn's. Without one a device receives nothing, nor what would make a connection give others back.
	 */
	NIC_SPARE = NIC_RETURNED + RB_NET_BURST,
	NIC_RETA_MAX = 512,	    /* entries of the redirection table */
	NIC_RSS_KEY_WORDS = 64,	    /* what a device's key may have at most, in words of 32 bits */
	NIC_RANDOM_WORDS = 32,	    /* random numbers that one system call brings */
	NIC_PAGE = 2 * 1024 * 1024, /* what receive buffers are laid out by */
	NIC_ETHERNET_MAX = 14 + 4,  /* bytes of the Ethernet header, with a VLAN tag */
	NIC_FLOW_GROUPS = 128,	    /* entries of the table where queues spread packets themselves */
	NIC_INBOX = 256,	    /* packets on their way from one queue to another; a power of two */
	NIC_SHARED_MAX = 32,	    /* of these, copies; and all, where the device spreads packets */
	NIC_HASHED_MAX = 36,	    /* bytes that are hashed: IPv6 addresses and ports */
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
	bool active;			 /* the device spreads packets */
	bool spreads;			 /* the queues do */
	uint16_t buckets;		 /* entries of `table`; 0: one queue */
	uint8_t key_bytes;		 /* of the device's key */
	uint64_t types;			 /* RTE_ETH_RSS_*: what is hashed */
	uint32_t key[NIC_RSS_KEY_WORDS]; /* in network byte order */
	uint8_t table[NIC_RETA_MAX];	 /* queue of a bucket */
	/* What a byte at a place adds to the hash: the exclusive or of these is the hash. */
	uint32_t parts[NIC_HASHED_MAX][256];
};

/*
 * Packets from one queue to another. One thread fills it, one empties it. The packets stay the sender's: the receiver
 * copies them, and the sender takes back what is behind the tail. Positions count on for ever.
 */
struct nic_inbox {
	/* the sender's own */
	uint64_t filled, taken_back;
	/* up to where packets are there: written by the sender, read by the receiver */
	_Alignas(64) _Atomic uint64_t head;
	/* up to where they were copied: written by the receiver, read by the sender */
	_Alignas(64) _Atomic uint64_t tail;
	_Alignas(64) struct rb_net_packet packets[NIC_INBOX];
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

	/* written by other queues' threads: differs from what it was whenever they have put something into an inbox */
	_Alignas(64) _Atomic uint64_t bell;

	/* the thread's */
	_Alignas(64) struct rb_nic_counters counters;
	uint64_t bell_heard;
	unsigned lent;	      /* packets in inboxes of others, to be taken back */
	uint16_t inbox_first; /* whose inbox is looked at first */
	bool inbox_odd;
	unsigned random_left;
	unsigned returned_count;
	uint64_t random[NIC_RANDOM_WORDS];
	uint64_t returned[NIC_RETURNED]; /* as nic_release() was given them */
};

struct rb_nic {
	uint16_t port;
	uint16_t queues_count;
	uint16_t offloads; /* enum rb_net_checksum, _FILL */
	uint16_t rx_descriptors, tx_descriptors;
	bool owned, set_up, started;
	bool virtual; /* no DMA: its driver reads memory as we do */
	unsigned link_wait_ms;
	struct rte_device *device;
	struct nic_rss rss;
	struct nic_inbox *inboxes; /* from each queue to each, queues_count squared; NULL: there is one queue */
	unsigned regions_count;	   /* grows when the new one is complete */
	struct nic_region regions[NIC_REGIONS_MAX];
	struct rb_nic_queue queues[];
};

/* init.c: rb_nic_capture_enable() has been called. */
bool nic_captures(void);

/* Writes the sentence and returns -error. */
int nic_fail(char why[RB_NIC_ERROR_MAX], int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* explain.c: `sys` is where sysfs is. Each writes to `why` and returns -error. */
int nic_explain_init(const char *sys, int error, int argc, char *const *argv, char why[RB_NIC_ERROR_MAX]);
/* Why DPDK has no port of that name: -ENODEV. */
int nic_explain_missing(const char *sys, const char *device, char why[RB_NIC_ERROR_MAX]);
/* 0: another process may attach to the device and leave it again. -ENOTSUP */
int nic_explain_capture(const char *sys, const char *device, char why[RB_NIC_ERROR_MAX]);
/* The full form of a PCI address ("0000:01:10.0"); false if `device` is none. */
bool nic_pci_address(const char *device, char address[32]);

/* rss.c: before rte_eth_dev_configure(), and after the start. */
void nic_rss_plan(struct rb_nic *nic, const struct rte_eth_dev_info *info, const uint8_t *key);
void nic_rss_configure(struct rb_nic *nic, struct rte_eth_conf *conf);
int nic_rss_apply(struct rb_nic *nic, char why[RB_NIC_ERROR_MAX]);
uint32_t nic_rss_hash(const struct nic_rss *rss, uint32_t source, uint16_t source_port, uint32_t destination,
		      uint16_t destination_port);

/* The hash of so many bytes of addresses (source first) and of 4 bytes of ports, as they are in a packet. */
static inline uint32_t nic_rss_hash_bytes(const struct nic_rss *rss, const uint8_t *addresses, unsigned length,
					  const uint8_t *ports)
{
	uint32_t hash = 0;
	for (unsigned i = 0; i < length; i++)
		hash ^= rss->parts[i][addresses[i]];
	for (unsigned i = 0; i < 4; i++)
		hash ^= rss->parts[length + i][ports[i]];
	return hash;
}

/* spread.c. Inboxes for all queues; and how many buffers of a queue may be in those of others. */
int nic_inboxes_create(struct rb_nic *nic, char why[RB_NIC_ERROR_MAX]);
unsigned nic_lent_max(const struct rb_nic *nic);

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
