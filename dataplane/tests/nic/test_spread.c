// SPDX-License-Identifier: Apache-2.0
/* Packets that go from queue to queue, over a device whose queues are rings of their own. */
#include "base/clock.h"
#include "tests/nic/fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_eth_ring.h>
#include <rte_lcore.h>
#include <rte_ring.h>

enum { QUEUES = 2, RING = 1024, BUFFERS = 2 * 64 + 2048 + NIC_INBOX + NIC_SPARE, FRAME = 64 };

static const uint8_t asymmetric_key[RB_NIC_RSS_KEY_BYTES] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

struct device {
	struct rte_ring *rx[QUEUES], *tx[QUEUES];
	char name[48];
	struct rb_nic *nic;
	struct rb_nic_queue *queues[QUEUES];
};

static struct device device;
static cpu_set_t all_cpus;

static int make_device(void **state)
{
	static unsigned made;
	char name[32];
	(void)state;
	for (unsigned i = 0; i < QUEUES; i++) {
		snprintf(name, sizeof(name), "spread%u rx%u", made, i);
		device.rx[i] = rte_ring_create(name, RING, SOCKET_ID_ANY, 0);
		snprintf(name, sizeof(name), "spread%u tx%u", made, i);
		device.tx[i] = rte_ring_create(name, RING, SOCKET_ID_ANY, 0);
		assert_true(device.rx[i] != NULL && device.tx[i] != NULL);
	}
	snprintf(name, sizeof(name), "spread%u", made++);
	assert_return_code(rte_eth_from_rings(name, device.rx, QUEUES, device.tx, QUEUES, 0), 0);
	snprintf(device.name, sizeof(device.name), "net_ring_%s", name);
	return 0;
}

static void open_device(const uint8_t *key)
{
	struct rb_nic_config config = fixture_config(device.name);
	config.queues = QUEUES;
	config.rx_buffers = BUFFERS - 2 * 64 - NIC_INBOX - NIC_SPARE;
	config.rss_key = key;
	device.nic = fixture_open(&config);
	assert_false(rb_nic_has_rss(device.nic));
	for (unsigned i = 0; i < QUEUES; i++)
		device.queues[i] = rb_nic_queue(device.nic, i);
}

static int remove_device(void **state)
{
	(void)state;
	fixture_remove(device.nic, device.name);
	for (unsigned i = 0; i < QUEUES; i++) {
		rte_ring_free(device.rx[i]);
		rte_ring_free(device.tx[i]);
	}
	return 0;
}

/*
 * Frames.
 */

#define OWN  0x0a000001U
#define PEER 0x0a000002U

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

/* TCP from PEER, that port, to OWN:80, with a number behind the ports. */
static void fill(uint8_t frame[FRAME], uint16_t port, uint32_t number)
{
	memset(frame, 0, FRAME);
	put16(frame + 12, 0x0800);
	frame[14] = 0x45;
	put16(frame + 16, FRAME - 14);
	frame[23] = 6;
	put32(frame + 26, PEER);
	put32(frame + 30, OWN);
	put16(frame + 34, port);
	put16(frame + 36, 80);
	put32(frame + 38, number);
}

static unsigned owner_of(uint16_t port)
{
	return rb_nic_queue_of(device.nic, PEER, port, OWN, 80);
}

/* From the device to that queue, which the calling thread has. */
static void deliver(unsigned queue, const uint8_t *frame, unsigned length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(device.queues[queue]->rx_pool);
	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)length), frame, length);
	assert_int_equal(rte_ring_enqueue(device.rx[queue], mbuf), 0);
}

static void deliver_flow(unsigned queue, uint16_t port, uint32_t number)
{
	uint8_t frame[FRAME];
	fill(frame, port, number);
	deliver(queue, frame, FRAME);
}

static void release(unsigned queue, const struct rb_net_packet *packets, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		rb_nic_ops.release(device.queues[queue], &packets[i].buffer, 1);
}

static const struct rb_nic_counters *counters(unsigned queue)
{
	return rb_nic_counters(device.queues[queue]);
}

static void expect_all_back(void)
{
	struct rb_net_packet packets[RB_NET_BURST];
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_int_equal(rb_nic_receive_spread(device.queues[i], packets, RB_NET_BURST), 0);
		assert_int_equal(device.queues[i]->lent, 0);
		assert_int_equal(rte_mempool_avail_count(device.queues[i]->rx_pool) + device.queues[i]->returned_count,
				 BUFFERS);
	}
}

/*
 * Tests.
 */

static void check_packet(unsigned queue, const struct rb_net_packet *packet, uint16_t port, uint32_t number)
{
	uint8_t frame[FRAME];
	const void *base;
	size_t length;
	fill(frame, port, number);
	rb_nic_rx_memory(device.queues[queue], &base, &length);
	assert_int_equal(packet->length, FRAME);
	assert_memory_equal(packet->data, frame, FRAME);
	assert_in_range((uintptr_t)packet->data, (uintptr_t)base, (uintptr_t)base + length - FRAME);
}

static void spread_by(const uint8_t *key)
{
	enum { FLOWS = 40 };
	struct rb_net_packet packets[QUEUES][RB_NET_BURST];
	unsigned counts[QUEUES], next[QUEUES] = {0};
	open_device(key);
	for (unsigned i = 0; i < FLOWS; i++)
		deliver_flow(0, (uint16_t)(40000 + i), (uint16_t)i);
	for (unsigned queue = 0; queue < QUEUES; queue++)
		counts[queue] = rb_nic_receive_spread(device.queues[queue], packets[queue], RB_NET_BURST);
	assert_int_equal(counts[0] + counts[1], FLOWS);
	for (unsigned i = 0; i < FLOWS; i++) {
		const unsigned owner = owner_of((uint16_t)(40000 + i));
		check_packet(owner, &packets[owner][next[owner]++], (uint16_t)(40000 + i), (uint16_t)i);
	}
	assert_in_range(counts[1], 1, FLOWS - 1);
	assert_int_equal(counters(0)->rx_packets, FLOWS);
	assert_int_equal(counters(0)->handed_over, counts[1]);
	assert_int_equal(counters(1)->taken_over, counts[1]);
	assert_int_equal(counters(1)->rx_packets, 0);
	for (unsigned queue = 0; queue < QUEUES; queue++)
		release(queue, packets[queue], counts[queue]);
	expect_all_back();
}

static void test_flows(void **state)
{
	(void)state;
	spread_by(NULL);
}

static void test_flows_by_key(void **state)
{
	(void)state;
	spread_by(asymmetric_key);
}

/* What is in the frame from `at` on is `value`; then where it goes. */
static unsigned receiver_of(const uint8_t *frame, unsigned length)
{
	struct rb_net_packet packet;
	unsigned found = QUEUES;
	deliver(0, frame, length);
	for (unsigned queue = 0; queue < QUEUES; queue++) {
		if (rb_nic_receive_spread(device.queues[queue], &packet, 4) == 0)
			continue;
		assert_int_equal(found, QUEUES);
		found = queue;
		assert_int_equal(packet.length, length);
		assert_memory_equal(packet.data, frame, length);
		release(queue, &packet, 1);
	}
	return found;
}

/* A flow of the other queue's. */
static void fill_other(uint8_t frame[FRAME])
{
	uint16_t port = 40000;
	while (owner_of(port) != 1)
		port++;
	fill(frame, port, 0);
}

/* What has no ports, or has not them all here, is taken where it comes. */
static void test_what_stays(void **state)
{
	static const struct {
		const char *name;
		uint8_t at, value;
	} cases[] = {{"ARP", 13, 0x06},
		     {"ICMP", 23, 1},
		     {"first fragment", 20, 0x20},
		     {"later fragment", 21, 1},
		     {"header length", 14, 0x44}};
	uint8_t frame[FRAME];
	(void)state;
	open_device(NULL);
	fill_other(frame);
	assert_int_equal(receiver_of(frame, FRAME), 1);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].name);
		fill_other(frame);
		frame[cases[i].at] = cases[i].value;
		assert_int_equal(receiver_of(frame, FRAME), 0);
	}
	fill_other(frame);
	for (unsigned length = 1; length < 38; length++)
		assert_int_equal(receiver_of(frame, length), 0);
	assert_int_equal(receiver_of(frame, 38), 1);
	expect_all_back();
}

static void test_options_and_tag(void **state)
{
	uint8_t frame[FRAME], other[FRAME + 4];
	(void)state;
	open_device(NULL);
	fill_other(frame);
	frame[14] = 0x46;
	memmove(frame + 38, frame + 34, 4);
	put32(frame + 34, 0x01010101);
	assert_int_equal(receiver_of(frame, FRAME), 1);
	fill_other(frame);
	memcpy(other, frame, 12);
	put32(other + 12, 0x81000000);
	memcpy(other + 16, frame + 12, FRAME - 12);
	assert_int_equal(receiver_of(other, FRAME + 4), 1);
	/* don't fragment is no fragment; UDP has ports, too */
	frame[20] = 0x40;
	frame[23] = 17;
	assert_int_equal(receiver_of(frame, FRAME), 1);
	expect_all_back();
}

static void test_ip6(void **state)
{
	uint8_t frame[FRAME + 14];
	unsigned counts[QUEUES] = {0};
	(void)state;
	open_device(asymmetric_key);
	for (uint16_t port = 40000; port < 40040; port++) {
		struct rb_endpoint remote = {.port = port}, local = {.port = 80};
		memset(frame, 0, sizeof(frame));
		put16(frame + 12, 0x86dd);
		frame[14] = 0x60;
		frame[20] = 6;
		frame[22] = frame[38] = 0xfd;
		frame[37] = 2;
		frame[53] = 1;
		memcpy(remote.ip.bytes, frame + 22, 16);
		memcpy(local.ip.bytes, frame + 38, 16);
		put16(frame + 54, port);
		put16(frame + 56, 80);
		const unsigned queue = receiver_of(frame, sizeof(frame));
		counts[queue]++;
		assert_true(rb_nic_ops.is_own(device.queues[queue], &local, &remote));
		assert_false(rb_nic_ops.is_own(device.queues[1 - queue], &local, &remote));
	}
	assert_in_range(counts[1], 1, 39);
	frame[20] = 58;
	assert_int_equal(receiver_of(frame, sizeof(frame)), 0);
	expect_all_back();
}

static struct rb_endpoint endpoint4(uint32_t ip, uint16_t port)
{
	struct rb_endpoint endpoint = {.port = port};
	endpoint.ip.bytes[10] = endpoint.ip.bytes[11] = 0xff;
	put32(endpoint.ip.bytes + 12, ip);
	return endpoint;
}

/* What is opened from a port of a queue's own is answered to it. */
static void check_own(const uint8_t *key)
{
	unsigned own = 0;
	uint8_t frame[FRAME];
	open_device(key);
	for (uint16_t port = 32768; port < 32868; port++) {
		const struct rb_endpoint local = endpoint4(OWN, port), remote = endpoint4(PEER, 9000);
		fill(frame, 9000, 0);
		put16(frame + 36, port);
		const bool is_own = rb_nic_ops.is_own(device.queues[0], &local, &remote);
		assert_int_equal(rb_nic_ops.is_own(device.queues[1], &local, &remote), !is_own);
		assert_int_equal(receiver_of(frame, FRAME), is_own ? 0 : 1);
		own += is_own;
	}
	assert_in_range(own, 20, 80);
}

static void test_own_ports(void **state)
{
	(void)state;
	check_own(NULL);
}

static void test_own_ports_by_key(void **state)
{
	(void)state;
	check_own(asymmetric_key);
}

/* What nobody takes is dropped when the inbox is full, and everything comes back. */
static void test_full(void **state)
{
	enum { SENT = NIC_INBOX + 100 };
	struct rb_net_packet packets[RB_NET_BURST];
	uint8_t frame[FRAME];
	unsigned got = 0, count;
	(void)state;
	open_device(NULL);
	fill_other(frame);
	for (unsigned i = 0; i < SENT; i++) {
		put32(frame + 38, i);
		deliver(0, frame, FRAME);
		assert_int_equal(rb_nic_receive_spread(device.queues[0], packets, RB_NET_BURST), 0);
	}
	assert_int_equal(counters(0)->handed_over, NIC_INBOX);
	assert_int_equal(counters(0)->inbox_full, SENT - NIC_INBOX);
	while ((count = rb_nic_receive_spread(device.queues[1], packets, RB_NET_BURST)) > 0) {
		assert_in_range(count, 1, RB_NET_BURST / 2);
		for (unsigned i = 0; i < count; i++) {
			uint8_t number[4];
			put32(number, got++);
			assert_memory_equal(packets[i].data + 38, number, 4);
		}
		release(1, packets, count);
	}
	assert_int_equal(got, NIC_INBOX);
	/* and there is room again */
	assert_int_equal(receiver_of(frame, FRAME), 1);
	expect_all_back();
}

/* Who has no buffers left loses what the others have for him, and only that. */
static void test_no_buffers(void **state)
{
	struct rte_mbuf *held[BUFFERS];
	struct rb_net_packet packet;
	uint8_t frame[FRAME];
	(void)state;
	open_device(NULL);
	fill_other(frame);
	for (unsigned i = 0; i < BUFFERS; i++)
		held[i] = rte_pktmbuf_alloc(device.queues[1]->rx_pool);
	assert_non_null(held[BUFFERS - 1]);
	deliver(0, frame, FRAME);
	assert_int_equal(rb_nic_receive_spread(device.queues[0], &packet, 1), 0);
	assert_int_equal(rb_nic_receive_spread(device.queues[1], &packet, 1), 0);
	assert_int_equal(rb_nic_receive_spread(device.queues[1], &packet, 1), 0);
	assert_int_equal(counters(1)->inbox_lost, 1);
	rte_pktmbuf_free_bulk(held, BUFFERS);
	assert_int_equal(receiver_of(frame, FRAME), 1);
	expect_all_back();
}

/* The device and the others have their share of a turn, whatever its bound. */
static void test_bounds(void **state)
{
	struct rb_net_packet packets[RB_NET_BURST];
	uint8_t frame[FRAME];
	(void)state;
	open_device(NULL);
	fill_other(frame);
	for (unsigned max = 1; max <= RB_NET_BURST; max++) {
		const unsigned each = 2 * max;
		unsigned got = 0, turns = 0, taken;
		for (unsigned i = 0; i < each; i++) {
			deliver(0, frame, FRAME);
			assert_int_equal(rb_nic_receive_spread(device.queues[0], packets, 1), 0);
			deliver(1, frame, FRAME);
		}
		const uint64_t before = counters(1)->taken_over;
		while (got < 2 * each) {
			const unsigned count = rb_nic_receive_spread(device.queues[1], packets, max);
			assert_in_range(count, 0, max);
			release(1, packets, count);
			got += count;
			turns++;
			taken = (unsigned)(counters(1)->taken_over - before);
			if (got < 2 * each - max) /* neither waits for the other */
				assert_in_range(2 * taken + max + 2, got, got + 2 * max + 4);
		}
		assert_in_range(turns, 4, 6);
	}
	expect_all_back();
}

/* A copy for all others, marked, of what one has received; not more than a few on their way. */
static void test_share(void **state)
{
	struct rb_net_packet packet, packets[RB_NET_BURST];
	uint8_t frame[FRAME];
	(void)state;
	open_device(NULL);
	fill(frame, 1, 2);
	put16(frame + 12, 0x0806);
	deliver(0, frame, FRAME);
	assert_int_equal(rb_nic_receive_spread(device.queues[0], &packet, 4), 1);
	for (unsigned i = 0; i < NIC_SHARED_MAX + 10; i++)
		rb_nic_ops.share(device.queues[0], &packet);
	assert_int_equal(counters(0)->shared, NIC_SHARED_MAX);
	assert_int_equal(counters(0)->handed_over, NIC_SHARED_MAX);
	assert_int_equal(counters(0)->inbox_full, 10);
	assert_int_equal(rb_nic_receive_spread(device.queues[0], packets, RB_NET_BURST), 0);
	assert_int_equal(rb_nic_receive_spread(device.queues[1], packets, RB_NET_BURST), RB_NET_BURST / 2);
	assert_memory_equal(packets[0].data, frame, FRAME);
	assert_int_equal(packets[0].checksum, RB_NET_OVERHEARD);
	release(1, packets, NIC_SHARED_MAX);
	release(0, &packet, 1);
	expect_all_back();
}

/* Where the device spreads packets itself what concerns all is told all the same, and nothing else goes round. */
static void test_share_beside_rss(void **state)
{
	struct rb_net_packet packets[RB_NET_BURST];
	(void)state;
	fixture_make("net_null0", "size=60");
	struct rb_nic_config config = fixture_config("net_null0");
	config.queues = 3;
	config.rx_buffers = 1024;
	struct rb_nic *nic = fixture_open(&config);
	assert_true(rb_nic_has_rss(nic));
	assert_int_equal(rb_nic_receive_spread(rb_nic_queue(nic, 1), packets, 8), 8);
	rb_nic_ops.share(rb_nic_queue(nic, 1), &packets[0]);
	for (unsigned i = 0; i < 8; i++)
		rb_nic_ops.release(rb_nic_queue(nic, 1), &packets[i].buffer, 1);
	for (unsigned i = 0; i < 3; i++) {
		struct rb_nic_queue *queue = rb_nic_queue(nic, i);
		assert_int_equal(rb_nic_receive_spread(queue, packets, 8), 8);
		assert_int_equal(packets[0].checksum, i == 1 ? 0 : RB_NET_OVERHEARD);
		assert_int_equal(packets[1].checksum, 0);
		for (unsigned k = 0; k < 8; k++)
			rb_nic_ops.release(queue, &packets[k].buffer, 1);
		assert_int_equal(rb_nic_counters(queue)->taken_over, i == 1 ? 0 : 1);
		assert_int_equal(rb_nic_counters(queue)->handed_over, i == 1 ? 2 : 0);
	}
	fixture_remove(nic, "net_null0");
}

/*
 * Two threads, each with a queue: flows come to either, whosever they are.
 */

enum { FLOWS = 64, ROUNDS = 20000, PER_ROUND = 8 };

struct worker {
	pthread_t id;
	unsigned queue;
	uint32_t next[FLOWS]; /* number that a flow's next packet has at the least */
	uint64_t received;
	bool disorder, astray, failed;
};

/* By both together; and how long to wait for the last of them. */
static atomic_uint all_received;
#define PATIENCE_NS (30 * RB_NS_PER_S)

/* Half of the flows come to each queue, and half of those are its own, about. */
static void send_some(struct worker *worker, struct rte_ring *ring, uint32_t round)
{
	for (unsigned i = 0; i < PER_ROUND; i++) {
		const unsigned flow = (round * PER_ROUND + i) * 2 % FLOWS + worker->queue;
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(device.queues[worker->queue]->rx_pool);
		if (mbuf == NULL) {
			worker->failed = true;
			return;
		}
		fill((uint8_t *)rte_pktmbuf_append(mbuf, FRAME), (uint16_t)(50000 + flow), round);
		worker->failed |= rte_ring_enqueue(ring, mbuf) != 0;
	}
}

static void take_some(struct worker *worker)
{
	struct rb_net_packet packets[RB_NET_BURST];
	struct rb_nic_queue *queue = device.queues[worker->queue];
	const unsigned count = rb_nic_receive_spread(queue, packets, 16);
	for (unsigned i = 0; i < count; i++) {
		uint32_t number;
		uint16_t port;
		memcpy(&number, packets[i].data + 38, sizeof(number));
		memcpy(&port, packets[i].data + 34, sizeof(port));
		number = rte_be_to_cpu_32(number);
		const unsigned flow = rte_be_to_cpu_16(port) - 50000U;
		worker->disorder |= number < worker->next[flow];
		worker->astray |= owner_of(rte_be_to_cpu_16(port)) != worker->queue;
		worker->next[flow] = number;
		rb_nic_ops.release(queue, &packets[i].buffer, 1);
	}
	worker->received += count;
	atomic_fetch_add(&all_received, count);
}

static void *work(void *user)
{
	struct worker *worker = user;
	pthread_setaffinity_np(pthread_self(), sizeof(all_cpus), &all_cpus);
	if (rb_nic_thread_begin() != 0) {
		worker->failed = true;
		return NULL;
	}
	for (uint32_t round = 0; round < ROUNDS && !worker->failed;) {
		/* not faster than the other one, who may have been put to sleep, takes it */
		if (rte_ring_free_count(device.rx[worker->queue]) >= PER_ROUND &&
		    device.queues[worker->queue]->lent < NIC_INBOX / 2)
			send_some(worker, device.rx[worker->queue], round++);
		else
			sched_yield();
		take_some(worker);
	}
	/* what is left, of both: the other one may have something for this one till the end */
	const uint64_t end_ns = rb_clock_now(rb_clock_monotonic()) + PATIENCE_NS;
	while (atomic_load(&all_received) < (unsigned)(QUEUES * ROUNDS * PER_ROUND) &&
	       rb_clock_now(rb_clock_monotonic()) < end_ns) {
		take_some(worker);
		sched_yield();
	}
	take_some(worker); /* and back what the other one has copied */
	rb_nic_thread_end();
	return NULL;
}

static void test_two_threads(void **state)
{
	static struct worker workers[QUEUES];
	uint64_t received = 0;
	(void)state;
	open_device(NULL);
	atomic_store(&all_received, 0);
	for (unsigned i = 0; i < QUEUES; i++) {
		workers[i] = (struct worker){.queue = i};
		assert_int_equal(pthread_create(&workers[i].id, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_int_equal(pthread_join(workers[i].id, NULL), 0);
		assert_false(workers[i].failed);
		assert_false(workers[i].disorder);
		assert_false(workers[i].astray);
		received += workers[i].received;
		assert_int_equal(counters(i)->inbox_full + counters(i)->inbox_lost, 0);
		assert_in_range(counters(i)->handed_over, ROUNDS, ROUNDS * PER_ROUND);
	}
	assert_int_equal(received, QUEUES * ROUNDS * PER_ROUND);
	assert_int_equal(counters(0)->handed_over, counters(1)->taken_over);
	assert_int_equal(counters(1)->handed_over, counters(0)->taken_over);
	expect_all_back();
}

#define WITH_DEVICE(test) cmocka_unit_test_setup_teardown(test, make_device, remove_device)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DEVICE(test_flows),
		WITH_DEVICE(test_flows_by_key),
		WITH_DEVICE(test_what_stays),
		WITH_DEVICE(test_options_and_tag),
		WITH_DEVICE(test_ip6),
		WITH_DEVICE(test_own_ports),
		WITH_DEVICE(test_own_ports_by_key),
		WITH_DEVICE(test_full),
		WITH_DEVICE(test_no_buffers),
		WITH_DEVICE(test_bounds),
		WITH_DEVICE(test_share),
		cmocka_unit_test(test_share_beside_rss),
		WITH_DEVICE(test_two_threads),
	};
	if (sched_getaffinity(0, sizeof(all_cpus), &all_cpus) != 0)
		return 1;
	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
