// SPDX-License-Identifier: Apache-2.0
#include "tests/nic/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFERS = 192 + NIC_SPARE }; /* fixture_config(): descriptors, buffers of both rings, and spare ones */

static unsigned available(const struct rb_nic_queue *queue)
{
	return rte_mempool_avail_count(queue->rx_pool) + queue->returned_count;
}

static void release(struct rb_nic_queue *queue, const struct rb_net_packet *packets, unsigned count)
{
	uint64_t buffers[RB_NET_BURST];
	for (unsigned i = 0; i < count; i++)
		buffers[i] = packets[i].buffer;
	rb_nic_ops.release(queue, buffers, count);
}

static void test_packets(void **state)
{
	struct fixture_rings rings;
	struct rb_net_packet packets[8];
	uint8_t data[3][1514];
	static const uint16_t lengths[] = {60, 590, 1514};
	(void)state;
	fixture_rings_make(&rings, 1);
	const struct rb_nic_config config = fixture_config(rings.device);
	struct rb_nic *nic = fixture_open(&config);
	struct rb_nic_queue *queue = rb_nic_queue(nic, 0);
	assert_int_equal(available(queue), BUFFERS);
	assert_true(rb_nic_link_up(nic));
	for (unsigned i = 0; i < 3; i++) {
		fixture_pattern(data[i], lengths[i], i);
		fixture_deliver(&rings, queue, data[i], lengths[i], 0);
	}
	assert_int_equal(rb_nic_receive(queue, packets, 2), 2);
	assert_int_equal(rb_nic_receive(queue, packets + 2, 8), 1);
	assert_int_equal(rb_nic_receive(queue, packets + 3, 5), 0);
	const void *base;
	size_t length;
	rb_nic_rx_memory(queue, &base, &length);
	assert_int_equal((uintptr_t)base % NIC_PAGE, 0);
	assert_int_equal(length % NIC_PAGE, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(packets[i].length, lengths[i]);
		assert_memory_equal(packets[i].data, data[i], lengths[i]);
		assert_ptr_equal(rb_nic_data(&packets[i]), packets[i].data);
		assert_in_range((uintptr_t)packets[i].data, (uintptr_t)base, (uintptr_t)base + length - lengths[i]);
	}
	struct rb_nic_buffers used;
	assert_int_equal(available(queue), BUFFERS - 3);
	rb_nic_buffers(queue, &used);
	assert_int_equal(used.rx, 3);
	assert_int_equal(used.tx, 0);
	assert_int_equal(used.pieces, 0);
	release(queue, packets, 3);
	release(queue, packets, 0);
	assert_int_equal(available(queue), BUFFERS);
	assert_int_equal(rb_nic_counters(queue)->rx_packets, 3);
	assert_int_equal(rb_nic_counters(queue)->rx_bytes, 60 + 590 + 1514);
	fixture_rings_remove(&rings, nic);
}

/* Nobody can write to a descriptor through what is shown of packets. */
static void test_descriptors_apart(void **state)
{
	struct fixture_rings rings;
	struct rb_net_packet packet;
	const void *base;
	size_t length;
	(void)state;
	fixture_rings_make(&rings, 1);
	const struct rb_nic_config config = fixture_config(rings.device);
	struct rb_nic *nic = fixture_open(&config);
	struct rb_nic_queue *queue = rb_nic_queue(nic, 0);
	rb_nic_rx_memory(queue, &base, &length);
	fixture_deliver(&rings, queue, "hello", 5, 0);
	assert_int_equal(rb_nic_receive(queue, &packet, 1), 1);
	assert_not_in_range(packet.buffer, (uintptr_t)base, (uintptr_t)base + length - 1);
	release(queue, &packet, 1);
	fixture_rings_remove(&rings, nic);
}

static void test_checksums(void **state)
{
	static const struct {
		uint64_t flags;
		uint16_t verdict;
	} cases[] = {
		{0, RB_NET_CHECKSUM_UNKNOWN},
		{RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_VLAN, RB_NET_CHECKSUM_UNKNOWN},
		{RTE_MBUF_F_RX_IP_CKSUM_GOOD, RB_NET_CHECKSUM_IP4_GOOD},
		{RTE_MBUF_F_RX_L4_CKSUM_GOOD, RB_NET_CHECKSUM_L4_GOOD},
		{RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD,
		 RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD},
		{RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD, RB_NET_CHECKSUM_BAD},
		{RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_GOOD, RB_NET_CHECKSUM_BAD},
		{RTE_MBUF_F_RX_IP_CKSUM_BAD, RB_NET_CHECKSUM_BAD},
		{RTE_MBUF_F_RX_L4_CKSUM_NONE, RB_NET_CHECKSUM_L4_GOOD}, /* virtio: verified, not filled in */
		{RTE_MBUF_F_RX_IP_CKSUM_NONE | RTE_MBUF_F_RX_L4_CKSUM_NONE,
		 RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD},
	};
	struct fixture_rings rings;
	struct rb_net_packet packet;
	(void)state;
	fixture_rings_make(&rings, 1);
	const struct rb_nic_config config = fixture_config(rings.device);
	struct rb_nic *nic = fixture_open(&config);
	struct rb_nic_queue *queue = rb_nic_queue(nic, 0);
	/* This device checks nothing, and what it says does not count. Then as if it did. */
	for (unsigned checks = 0; checks < 2; checks++) {
		queue->rx_checksums = checks ? UINT16_MAX & 0x33 : 0;
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			fixture_deliver(&rings, queue, "packet", 6, cases[i].flags);
			assert_int_equal(rb_nic_receive(queue, &packet, 1), 1);
			assert_int_equal(packet.checksum, checks ? cases[i].verdict : RB_NET_CHECKSUM_UNKNOWN);
			release(queue, &packet, 1);
		}
	}
	fixture_rings_remove(&rings, nic);
}

static void test_too_long(void **state)
{
	struct fixture_rings rings;
	struct rb_net_packet packets[4];
	(void)state;
	fixture_rings_make(&rings, 1);
	const struct rb_nic_config config = fixture_config(rings.device);
	struct rb_nic *nic = fixture_open(&config);
	struct rb_nic_queue *queue = rb_nic_queue(nic, 0);
	struct rte_mbuf *parts[2];
	for (unsigned i = 0; i < 2; i++) {
		parts[i] = rte_pktmbuf_alloc(queue->rx_pool);
		assert_non_null(parts[i]);
		assert_non_null(rte_pktmbuf_append(parts[i], 1000));
	}
	assert_int_equal(rte_pktmbuf_chain(parts[0], parts[1]), 0);
	fixture_deliver(&rings, queue, "first", 5, 0);
	assert_int_equal(rte_ring_enqueue(rings.rx, parts[0]), 0);
	fixture_deliver(&rings, queue, "third", 5, 0);
	assert_int_equal(rb_nic_receive(queue, packets, 4), 2);
	assert_memory_equal(packets[0].data, "first", 5);
	assert_memory_equal(packets[1].data, "third", 5);
	assert_int_equal(rb_nic_counters(queue)->rx_too_long, 1);
	assert_int_equal(rb_nic_counters(queue)->rx_packets, 2);
	release(queue, packets, 2);
	assert_int_equal(available(queue), BUFFERS);
	fixture_rings_remove(&rings, nic);
}

/* Whoever keeps all buffers gets no more packets, and gets some again when it gives them back. */
static void test_exhaustion(void **state)
{
	static struct rb_net_packet packets[2 * BUFFERS];
	unsigned held = 0, got;
	uint64_t missed, no_buffers;
	(void)state;
	fixture_make("net_null0", "size=60,copy=1");
	const struct rb_nic_config config = fixture_config("net_null0");
	struct rb_nic *nic = fixture_open(&config);
	struct rb_nic_queue *queue = rb_nic_queue(nic, 0);
	for (unsigned round = 0; round < 3; round++) {
		while ((got = rb_nic_receive(queue, packets + held, 16)) > 0)
			held += got;
		assert_in_range(held, BUFFERS - 15, BUFFERS); /* the driver takes 16 buffers or none */
		assert_int_equal(available(queue), BUFFERS - held);
		release(queue, packets, 16);
		assert_int_equal(rb_nic_receive(queue, packets, 16), 16);
		for (unsigned i = 0; i < held; i += 16)
			release(queue, packets + i, held - i < 16 ? held - i : 16);
		assert_int_equal(available(queue), BUFFERS);
		held = 0;
	}
	rb_nic_missed(nic, &missed, &no_buffers);
	assert_int_equal(missed, 0);
	fixture_remove(nic, "net_null0");
}

/* With all buffers held that connections may hold, and some waiting for the pool, what comes is still received. */
static void test_all_held(void **state)
{
	struct rte_mbuf *held[128], *more[RB_NET_BURST];
	static struct rb_net_packet packets[RB_NET_BURST];
	(void)state;
	fixture_make("net_null0", "size=60,copy=1");
	const struct rb_nic_config config = fixture_config("net_null0");
	struct rb_nic *nic = fixture_open(&config);
	struct rb_nic_queue *queue = rb_nic_queue(nic, 0);
	/* as a ring and connections do */
	assert_int_equal(rte_pktmbuf_alloc_bulk(queue->rx_pool, held, 128), 0);
	assert_int_equal(rb_nic_receive(queue, packets, NIC_RETURNED), NIC_RETURNED);
	for (unsigned i = 0; i < NIC_RETURNED; i++)
		release(queue, &packets[i], 1); /* they wait */
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(rb_nic_receive(queue, packets, RB_NET_BURST), RB_NET_BURST);
		release(queue, packets, RB_NET_BURST);
	}
	assert_int_equal(rte_pktmbuf_alloc_bulk(queue->rx_pool, more, RB_NET_BURST), 0);
	rte_pktmbuf_free_bulk(more, RB_NET_BURST);
	rte_pktmbuf_free_bulk(held, 128);
	assert_int_equal(available(queue), BUFFERS);
	fixture_remove(nic, "net_null0");
}

/* More than net asks for at once, and more than a thread's cache holds. */
static void test_many(void **state)
{
	static struct rb_net_packet packets[RB_NET_BURST];
	(void)state;
	fixture_make("net_null0", "size=1514");
	struct rb_nic_config config = fixture_config("net_null0");
	config.rx_buffers = 4096;
	struct rb_nic *nic = fixture_open(&config);
	struct rb_nic_queue *queue = rb_nic_queue(nic, 0);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(rb_nic_receive(queue, packets, RB_NET_BURST), RB_NET_BURST);
		release(queue, packets, RB_NET_BURST);
	}
	assert_int_equal(available(queue), 4096 + 2 * 64 + NIC_SPARE);
	assert_int_equal(rb_nic_counters(queue)->rx_bytes, UINT64_C(1000) * RB_NET_BURST * 1514);
	fixture_remove(nic, "net_null0");
}

/* As a forwarder of frames does it: changed in place and sent, by a driver that keeps a copy. */
static void test_return(void **state)
{
	char in[] = "/tmp/rb-nic-in-XXXXXX", out[] = "/tmp/rb-nic-out-XXXXXX", arguments[128];
	struct rb_net_packet packets[8];
	uint8_t frames[3][600];
	(void)state;
	assert_return_code(close(mkstemp(in)), 0);
	assert_return_code(close(mkstemp(out)), 0);
	for (unsigned i = 0; i < 3; i++) {
		fixture_pattern(frames[i], sizeof(frames[i]), i);
		fixture_trace_add(in, frames[i], 200 + 200 * (size_t)i);
	}
	snprintf(arguments, sizeof(arguments), "rx_pcap=%s,tx_pcap=%s", in, out);
	fixture_make("net_pcap0", arguments);
	const struct rb_nic_config config = fixture_config("net_pcap0");
	struct rb_nic *nic = fixture_open(&config);
	struct rb_nic_queue *queue = rb_nic_queue(nic, 0);
	assert_int_equal(rb_nic_receive(queue, packets, 8), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(packets[i].length, 200 + 200 * i);
		assert_memory_equal(packets[i].data, frames[i], packets[i].length);
		rb_nic_data(&packets[i])[0] ^= 0xff;
	}
	rb_nic_return(queue, packets, 3);
	assert_int_equal(available(queue), BUFFERS);
	assert_int_equal(rb_nic_counters(queue)->tx_packets, 3);
	assert_int_equal(rb_nic_counters(queue)->tx_bytes, 200 + 400 + 600);
	fixture_remove(nic, "net_pcap0");
	size_t at = 0;
	for (unsigned i = 0; i < 3; i++) {
		frames[i][0] ^= 0xff;
		at = fixture_trace_expect(out, at, frames[i], 200 + 200 * (size_t)i);
	}
	fixture_trace_expect_end(out, at);
	assert_return_code(unlink(in), 0);
	assert_return_code(unlink(out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets),	   cmocka_unit_test(test_descriptors_apart),
		cmocka_unit_test(test_checksums),  cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_exhaustion), cmocka_unit_test(test_all_held),
		cmocka_unit_test(test_many),	   cmocka_unit_test(test_return),
	};
	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
