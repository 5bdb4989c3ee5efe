// SPDX-License-Identifier: Apache-2.0
/*
 * Network devices: the only folder that knows DPDK's ports, queues and packet buffers.
 *
 * A device has one queue pair per core. A queue, with its buffers and counters, belongs to one thread at a time: no lock,
 * no atomic instruction between a poll and a transmission. What one queue has received for another goes over by an inbox
 * that one thread fills and one empties (spread.c). A queue's functions speak net/net.h's language: rb_nic_receive() fills rb_net_packets, and rb_nic_ops() is the ops table of
 * a TCP/IP instance whose context is the queue.
 *
 * Received payloads are in buffers apart from DPDK's descriptors of them (pinned external buffers), so that the former
 * can be shown to an application and the latter not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/net.h"

struct rb_nic;
struct rb_nic_queue;

enum {
	RB_NIC_QUEUES_MAX = 16,
	RB_NIC_ERROR_MAX = 512,
	RB_NIC_RSS_KEY_BYTES = 40,
	RB_NIC_ANSWER_MAX = 256, /* bytes: rb_net_config's answer_max, for which received buffers have room */
};

struct rb_nic_config {
	const char *device; /* DPDK's name of it: a PCI address, or a virtual device's ("net_tap0") */
	uint16_t queues;    /* 1 .. RB_NIC_QUEUES_MAX, and what the device has */
	uint16_t rx_descriptors, tx_descriptors; /* per queue; cut to what the device permits, and rounded */
	uint32_t rx_buffers; /* per queue, beyond the descriptors: what connections may hold unread */
	uint32_t tx_buffers; /* per queue, beyond the descriptors */
	uint16_t mtu;	     /* bytes of an IP packet */
	bool offload;	     /* leave checksums to the device where it can do them */
	/* The key of the Toeplitz hash, RB_NIC_RSS_KEY_BYTES; NULL: a symmetric one, under which both directions hash
	 * alike. */
	const uint8_t *rss_key;
	unsigned link_wait_ms; /* how long start() waits for the link, which may be down after it; 0: not at all */
};

/*
 * DPDK itself, with its own command line; once per process. 0 or -errno; `why` gets a message that says what is missing
 * and what mends it. From then on DPDK's delays sleep.
 */
int rb_nic_init(int argc, char **argv, char why[RB_NIC_ERROR_MAX]);
/* After all devices are closed; does nothing where the beginning failed. */
void rb_nic_exit(void);

/* Ticks of the time stamp counter per second, as DPDK has found them; after rb_nic_init(). */
uint64_t rb_nic_tsc_hz(void);

/*
 * From now on dpdk-dumpcap may attach and capture a queue; before the first rb_nic_thread_begin(). Then threads take the
 * numbers of DPDK's own, which sleep: -l on its command line must name one more than there are threads with queues.
 * -ENOTSUP where DPDK's memory is private.
 */
int rb_nic_capture_enable(char why[RB_NIC_ERROR_MAX]);

/* 0; or -errno, and `why` says what is missing and what mends it. Receives from rb_nic_start() on. */
int rb_nic_open(const struct rb_nic_config *config, struct rb_nic **nic, char why[RB_NIC_ERROR_MAX]);
int rb_nic_start(struct rb_nic *nic, char why[RB_NIC_ERROR_MAX]);
/*
 * No thread may use a queue any more, nor anybody a buffer of it. The device is DPDK's to drive until rb_nic_exit(), but
 * cannot be opened again by this process. NULL is allowed.
 */
void rb_nic_close(struct rb_nic *nic);

void rb_nic_mac(const struct rb_nic *nic, uint8_t mac[6]);
/* enum rb_net_checksum: the _FILL bits that the device does. */
uint16_t rb_nic_offloads(const struct rb_nic *nic);
bool rb_nic_link_up(const struct rb_nic *nic);
/* Whether the device spreads packets over its queues itself; not asked to with one queue. If not, the queues do it. */
bool rb_nic_has_rss(const struct rb_nic *nic);
/* The queue whose thread gets the TCP packets of that source and destination. IPv4, host byte order */
unsigned rb_nic_queue_of(const struct rb_nic *nic, uint32_t source, uint16_t source_port, uint32_t destination,
			 uint16_t destination_port);

/*
 * Registers memory that frames may refer to: [base, base + length), whole pages of `page_bytes`, which must not go away
 * before rb_nic_close(). Pieces that lie in it go out from where they are, if they are long; others are copied. One
 * thread at a time; queues may run. -ENOTSUP: the device cannot be told of it (`why`), among others of pages below
 * 2 MiB where no IOMMU is: the kernel may move them. -EINVAL, -ENOSPC, -ENOMEM.
 */
int rb_nic_register(struct rb_nic *nic, void *base, size_t length, size_t page_bytes, char why[RB_NIC_ERROR_MAX]);

struct rb_nic_queue *rb_nic_queue(struct rb_nic *nic, unsigned index);

/* Where the bytes of all packets are that the queue receives: whole pages of 2 MiB that hold nothing else. */
void rb_nic_rx_memory(const struct rb_nic_queue *queue, const void **base, size_t *length);

/*
 * The calling thread becomes one that DPDK knows (pools keep caches by thread); before its first packet. 0 or -errno;
 * -ENOSPC: no number is left for it. After the end its queues may be another thread's.
 */
int rb_nic_thread_begin(void);
void rb_nic_thread_end(void);

/*
 * At most `max` packets, which is at most RB_NET_BURST. Each buffer goes back through the ops' release(), or rb_nic_return(),
 * of the same queue. Some drivers (none of e1000, virtio, tap) give nothing to who asks for fewer than 4.
 */
unsigned rb_nic_receive(struct rb_nic_queue *queue, struct rb_net_packet *packets, unsigned max);

/*
 * The same for a queue that is not the only one: packets that others have received for it are among them, and those that
 * it has received for others have gone to these. In the order in which the device has delivered them to each queue.
 */
unsigned rb_nic_receive_spread(struct rb_nic_queue *queue, struct rb_net_packet *packets, unsigned max);

/* All of rb_net_ops; the context is the queue. */
extern const struct rb_net_ops rb_nic_ops;

/*
 * Takes header buffers back that headers() gave and output() has not got: after rb_net_drop(), where the queue is to
 * serve another instance. Returns how many. Slow.
 */
unsigned rb_nic_reclaim(struct rb_nic_queue *queue);

/* Sends received packets as they stand, RB_NET_BURST at most, in order; what the device has no room for is dropped and counted. For l2. */
void rb_nic_return(struct rb_nic_queue *queue, const struct rb_net_packet *packets, unsigned count);
/* The bytes of a received packet, to be written by their holder. */
uint8_t *rb_nic_data(const struct rb_net_packet *packet);

/* One table, as net's: X(name, text). */
#define RB_NIC_COUNTERS(X)                                                \
	X(rx_packets, "packets received from the device")                 \
	X(rx_bytes, "bytes received")                                     \
	X(rx_too_long, "packets dropped: longer than the MTU allows")     \
	X(handed_over, "packets given to other queues' inboxes")          \
	X(shared, "of these: copies, because they concern all")           \
	X(taken_over, "packets got from other queues")                    \
	X(inbox_full, "packets dropped: no room in another's inbox")      \
	X(inbox_lost, "packets dropped: no buffer for what others gave")  \
	X(tx_packets, "packets handed to the device")                     \
	X(tx_bytes, "bytes handed to the device")                         \
	X(tx_full, "packets dropped: no room in the transmit queue")      \
	X(tx_copied, "pieces copied: not in registered memory, or short") \
	X(no_tx_buffers, "frames not made: no transmit buffer left")

struct rb_nic_counters {
#define RB_NIC_COUNTER(name, text) uint64_t name;
	RB_NIC_COUNTERS(RB_NIC_COUNTER)
#undef RB_NIC_COUNTER
};

const struct rb_nic_counters *rb_nic_counters(const struct rb_nic_queue *queue);

/* Buffers of the queue's pools that are not free: in the device's rings, with connections, or in frames under way. */
struct rb_nic_buffers {
	unsigned rx, tx, pieces;
};

/* Any thread; of a queue that runs the numbers are a little early or late. Slow. */
void rb_nic_buffers(const struct rb_nic_queue *queue, struct rb_nic_buffers *used);

/* Packets the device dropped for want of descriptors, and packets for want of receive buffers; since the start. */
void rb_nic_missed(const struct rb_nic *nic, uint64_t *missed, uint64_t *no_buffers);
