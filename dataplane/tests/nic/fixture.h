// SPDX-License-Identifier: Apache-2.0
/*
 * DPDK without hugepages, PCI or root, and devices for one test each. Most are rings of mbufs that the test fills and
 * empties, so that it sees what a driver would.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the above and setjmp.h */
#include <setjmp.h>

#include <cmocka.h>

#include "nic/defs.h"
#include "nic/nic.h"

/* Group setup and teardown: starts and ends DPDK. */
int fixture_begin(void **state);
int fixture_end(void **state);

/* The same with memory that other processes may attach to, and two threads of DPDK's own beside the first. */
int fixture_begin_shared(void **state);
/* Whether it could: it needs a place for sockets. */
bool fixture_is_shared(void);

/* One queue, 64 descriptors, 64 buffers each way, MTU 1500, checksums left to the device. */
struct rb_nic_config fixture_config(const char *device);

/* Opens and starts; fails the test with the message if it cannot. */
struct rb_nic *fixture_open(const struct rb_nic_config *config);

/* A device of DPDK's own kinds, such as "net_null0". */
void fixture_make(const char *name, const char *arguments);
/* Closes the NIC, if not NULL, and removes the device. */
void fixture_remove(struct rb_nic *nic, const char *name);

enum { FIXTURE_RING = 64 }; /* packets that a ring holds, less one */

/* A device that delivers what is put into `rx`, and puts what is sent into `tx`; all its queues the same. */
struct fixture_rings {
	struct rte_ring *rx, *tx;
	char device[48];
};

void fixture_rings_make(struct fixture_rings *rings, unsigned queues); /* 1 or 2 */
/* Frees what is still in `tx`. */
void fixture_rings_remove(struct fixture_rings *rings, struct rb_nic *nic);

/* A packet from the queue's own pool into the ring `rx`, with these flags of the driver's. */
void fixture_deliver(struct fixture_rings *rings, struct rb_nic_queue *queue, const void *data, uint16_t length,
		     uint64_t flags);
/* What was sent next; NULL: nothing. The caller frees it. */
struct rte_mbuf *fixture_sent(struct fixture_rings *rings);
/* The bytes of a packet, from all its parts; returns how many. */
size_t fixture_bytes(const struct rte_mbuf *mbuf, uint8_t *bytes, size_t size);

/*
 * Packet traces in files, as net_pcap reads and writes them. (tests/net/pcap.h has names that are libpcap's, too.)
 */
void fixture_trace_add(const char *path, const void *frame, size_t length); /* begins an empty file */
/* The frame at place `at`, 0 being the first, has these bytes; returns the place of the next. */
size_t fixture_trace_expect(const char *path, size_t at, const void *frame, size_t length);
void fixture_trace_expect_end(const char *path, size_t at);

/* Bytes that differ at each place. */
void fixture_pattern(uint8_t *bytes, size_t length, unsigned seed);
