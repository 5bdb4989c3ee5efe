// SPDX-License-Identifier: Apache-2.0
#include "net/checksum.h"
#include "tests/nic/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	BUFFERS = 128, /* fixture_config(): descriptors and buffers */
	PAGE = 4096,
	MEMORY = 8 * PAGE,
	FRAME_MAX = 1514,
};

struct world {
	struct fixture_rings rings;
	struct rb_nic *nic;
	struct rb_nic_queue *queue;
	uint8_t *memory; /* registered but for the last page; behind it is nothing */
};

static void begin(struct world *world)
{
	char why[RB_NIC_ERROR_MAX] = "";
	fixture_rings_make(&world->rings, 1);
	const struct rb_nic_config config = fixture_config(world->rings.device);
	world->nic = fixture_open(&config);
	world->queue = rb_nic_queue(world->nic, 0);
	world->memory = mmap(NULL, MEMORY + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(world->memory != MAP_FAILED);
	assert_return_code(mprotect(world->memory + MEMORY, PAGE, PROT_NONE), errno);
	fixture_pattern(world->memory, MEMORY, 1);
	assert_int_equal(rb_nic_register(world->nic, world->memory, MEMORY - PAGE, PAGE, why), 0);
}

static void end(struct world *world)
{
	struct rte_mbuf *mbuf;
	while ((mbuf = fixture_sent(&world->rings)) != NULL)
		rte_pktmbuf_free(mbuf);
	assert_int_equal(rte_mempool_avail_count(world->queue->tx_pool), BUFFERS);
	assert_int_equal(rte_mempool_in_use_count(world->queue->piece_pool), 0);
	fixture_rings_remove(&world->rings, world->nic);
	munmap(world->memory, MEMORY + PAGE);
}

/* Frames with a header each and nothing else. Returns how many. */
static unsigned frames_get(struct world *world, struct rb_net_frame *frames, unsigned count)
{
	struct rb_net_header headers[RB_NET_BURST];
	assert_in_range(count, 1, RB_NET_BURST);
	const unsigned got = rb_nic_ops.headers(world->queue, headers, count);
	for (unsigned i = 0; i < got; i++)
		frames[i] = (struct rb_net_frame){.header = headers[i].header, .owner = headers[i].owner};
	return got;
}

/* A frame with a header of so many bytes; pieces are added with add(). */
static struct rb_net_frame frame_make(struct world *world, uint16_t header_length)
{
	struct rb_net_frame frame;
	assert_int_equal(frames_get(world, &frame, 1), 1);
	fixture_pattern(frame.header, RB_NET_HEADER_MAX, header_length);
	frame.header_length = header_length;
	frame.length = header_length;
	return frame;
}

static void add(struct rb_net_frame *frame, const uint8_t *base, uint32_t length)
{
	frame->pieces[frame->pieces_count++] = (struct rb_net_piece){base, length};
	frame->length += length;
}

/* Sends the frame, and looks at it as the driver gets it. */
static void expect_sent(struct world *world, const struct rb_net_frame *frame, unsigned parts)
{
	uint8_t expected[FRAME_MAX], sent[FRAME_MAX];
	size_t length = frame->header_length;
	memcpy(expected, frame->header, length);
	for (unsigned i = 0; i < frame->pieces_count; i++) {
		memcpy(expected + length, frame->pieces[i].base, frame->pieces[i].length);
		length += frame->pieces[i].length;
	}
	rb_nic_ops.output(world->queue, frame, 1);
	struct rte_mbuf *mbuf = fixture_sent(&world->rings);
	assert_non_null(mbuf);
	rte_mbuf_sanity_check(mbuf, 1);
	assert_int_equal(mbuf->pkt_len, length);
	assert_int_equal(mbuf->nb_segs, parts);
	assert_int_equal(fixture_bytes(mbuf, sent, sizeof(sent)), length);
	assert_memory_equal(sent, expected, length);
	rte_pktmbuf_free(mbuf);
}

static void test_copied(void **state)
{
	static const uint32_t lengths[] = {1,  2,  3,  4,  5,  7,  8,  9,   15,	 16,  17,  31, 32,
					   33, 47, 63, 64, 65, 96, 97, 127, 128, 129, 255, 256};
	struct world world;
	(void)state;
	begin(&world);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct rb_net_frame frame = frame_make(&world, 66);
		/* to the end of all there is: a read beyond it faults */
		add(&frame, world.memory + MEMORY - lengths[i], lengths[i]);
		expect_sent(&world, &frame, 1);
	}
	assert_int_equal(rb_nic_counters(world.queue)->tx_copied, sizeof(lengths) / sizeof(lengths[0]));
	struct rb_net_frame frame = frame_make(&world, 54);
	for (unsigned i = 0; i < RB_NET_PIECES_MAX; i++)
		add(&frame, world.memory + 100 * (size_t)i, 32);
	expect_sent(&world, &frame, 1);
	frame = frame_make(&world, 42);
	expect_sent(&world, &frame, 1);
	end(&world);
}

static void test_chained(void **state)
{
	struct world world;
	(void)state;
	begin(&world);
	struct rb_net_frame frame = frame_make(&world, 66);
	add(&frame, world.memory + 5, 1448);
	expect_sent(&world, &frame, 2);
	assert_int_equal(rb_nic_counters(world.queue)->tx_copied, 0);
	/* over the end of a page, to the end of what is registered, and all of them */
	frame = frame_make(&world, 66);
	add(&frame, world.memory + PAGE - 100, 300);
	add(&frame, world.memory + MEMORY - PAGE - 400, 400);
	expect_sent(&world, &frame, 3);
	frame = frame_make(&world, 128);
	for (unsigned i = 0; i < RB_NET_PIECES_MAX; i++)
		add(&frame, world.memory + PAGE * (size_t)i / 2, 170);
	expect_sent(&world, &frame, 8); /* the first is short enough to be copied */
	/* short ones in front are copied, short ones behind stay in order */
	frame = frame_make(&world, 66);
	add(&frame, world.memory, 10);
	add(&frame, world.memory + 20, 200);
	add(&frame, world.memory + 300, 1000);
	add(&frame, world.memory + 2000, 7);
	expect_sent(&world, &frame, 3);
	end(&world);
}

/* Changed memory goes out changed: nothing has been copied. */
static void test_zero_copy(void **state)
{
	struct world world;
	(void)state;
	begin(&world);
	struct rb_net_frame frame = frame_make(&world, 66);
	add(&frame, world.memory, 1000);
	rb_nic_ops.output(world.queue, &frame, 1);
	struct rte_mbuf *mbuf = fixture_sent(&world.rings);
	assert_ptr_equal(rte_pktmbuf_mtod(mbuf->next, uint8_t *), world.memory);
	assert_int_equal(rte_mbuf_iova_get(mbuf->next), (uintptr_t)world.memory);
	rte_pktmbuf_free(mbuf);
	end(&world);
}

static void test_not_registered(void **state)
{
	struct world world;
	(void)state;
	begin(&world);
	/* one byte beyond */
	struct rb_net_frame frame = frame_make(&world, 66);
	add(&frame, world.memory + MEMORY - PAGE - 399, 400);
	expect_sent(&world, &frame, 1);
	/* in front of it, and with one that is */
	frame = frame_make(&world, 66);
	add(&frame, world.memory, 700);
	add(&frame, world.memory + MEMORY - 700, 700);
	expect_sent(&world, &frame, 1);
	static uint8_t other[1448];
	fixture_pattern(other, sizeof(other), 9);
	frame = frame_make(&world, 66);
	add(&frame, other, sizeof(other));
	expect_sent(&world, &frame, 1);
	/* what will change is copied wherever it is */
	frame = frame_make(&world, 42);
	frame.flags = RB_NET_FRAME_TRANSIENT;
	add(&frame, world.memory, 1472);
	expect_sent(&world, &frame, 1);
	assert_int_equal(rb_nic_counters(world.queue)->tx_copied, 5);
	end(&world);
}

static void test_transient_is_copied_at_once(void **state)
{
	struct world world;
	uint8_t bytes[1000], sent[FRAME_MAX];
	(void)state;
	begin(&world);
	struct rb_net_frame frame = frame_make(&world, 42);
	frame.flags = RB_NET_FRAME_TRANSIENT;
	memcpy(bytes, world.memory, sizeof(bytes));
	add(&frame, world.memory, sizeof(bytes));
	rb_nic_ops.output(world.queue, &frame, 1);
	memset(world.memory, 0, sizeof(bytes));
	struct rte_mbuf *mbuf = fixture_sent(&world.rings);
	assert_int_equal(fixture_bytes(mbuf, sent, sizeof(sent)), 42 + sizeof(bytes));
	assert_memory_equal(sent + 42, bytes, sizeof(bytes));
	rte_pktmbuf_free(mbuf);
	end(&world);
}

/* Without descriptors for pieces, or more parts than the device takes, frames are whole, and right. */
static void test_no_descriptors(void **state)
{
	struct world world;
	void *objects[512];
	unsigned count = 0;
	(void)state;
	begin(&world);
	while (rte_mempool_get(world.queue->piece_pool, &objects[count]) == 0)
		count++;
	assert_int_equal(count, 64 + 2 * RB_NET_BURST);
	struct rb_net_frame frame = frame_make(&world, 66);
	add(&frame, world.memory, 100);
	add(&frame, world.memory + 1000, 1000);
	expect_sent(&world, &frame, 1);
	rte_mempool_put_bulk(world.queue->piece_pool, objects, count);
	world.queue->segments_max = 3;
	frame = frame_make(&world, 66);
	for (unsigned i = 0; i < 3; i++)
		add(&frame, world.memory + PAGE * (size_t)i, 400);
	expect_sent(&world, &frame, 1);
	frame = frame_make(&world, 66);
	for (unsigned i = 0; i < 2; i++)
		add(&frame, world.memory + PAGE * (size_t)i, 400);
	expect_sent(&world, &frame, 3);
	world.queue->segments_max = 1;
	frame = frame_make(&world, 66);
	add(&frame, world.memory, 1448);
	expect_sent(&world, &frame, 1);
	end(&world);
}

/* Physical pages, as a device without an IOMMU sees them: a part ends where a page does. */
static void test_physical(void **state)
{
	static const struct {
		uint32_t at, length;
		unsigned parts;
		rte_iova_t iova[3];
		uint32_t lengths[3];
	} cases[] = {
		{0, 1400, 1, {0x70000}, {1400}},
		{PAGE - 500, 1000, 2, {0x71000 - 500, 0x20000}, {500, 500}},
		{2 * PAGE - 1000, 1000, 1, {0x21000 - 1000}, {1000}},
		{3 * PAGE - 1, 258, 2, {0x21fff, 0x90000}, {1, 257}},
	};
	uint64_t pages[] = {0x70000, 0x20000, 0x21000, 0x90000, 0, 0, 0};
	struct world world;
	(void)state;
	begin(&world);
	struct nic_region *region = &world.nic->regions[0];
	region->pages = pages;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rb_net_frame frame = frame_make(&world, 66);
		add(&frame, world.memory + cases[i].at, cases[i].length);
		rb_nic_ops.output(world.queue, &frame, 1);
		struct rte_mbuf *head = fixture_sent(&world.rings), *mbuf = head->next;
		uint32_t at = cases[i].at;
		assert_int_equal(head->nb_segs, 1 + cases[i].parts);
		for (unsigned part = 0; part < cases[i].parts; part++, mbuf = mbuf->next) {
			assert_ptr_equal(rte_pktmbuf_mtod(mbuf, uint8_t *), world.memory + at);
			assert_int_equal(rte_pktmbuf_iova(mbuf), cases[i].iova[part]);
			assert_int_equal(mbuf->data_len, cases[i].lengths[part]);
			at += cases[i].lengths[part];
		}
		assert_null(mbuf);
		rte_pktmbuf_free(head);
	}
	region->pages = NULL;
	end(&world);
}

static void test_regions(void **state)
{
	struct world world;
	char why[RB_NIC_ERROR_MAX] = "";
	(void)state;
	begin(&world);
	assert_int_equal(rb_nic_register(world.nic, world.memory + 1, PAGE, PAGE, why), -EINVAL);
	assert_non_null(strstr(why, "whole pages of 4096 bytes"));
	assert_int_equal(rb_nic_register(world.nic, world.memory, PAGE + 1, PAGE, why), -EINVAL);
	assert_int_equal(rb_nic_register(world.nic, world.memory, PAGE, 3000, why), -EINVAL);
	assert_int_equal(rb_nic_register(world.nic, world.memory, 0, PAGE, why), -EINVAL);
	for (unsigned i = 1; i < NIC_REGIONS_MAX; i++)
		assert_int_equal(rb_nic_register(world.nic, world.memory + MEMORY - PAGE, PAGE, PAGE, why), 0);
	assert_int_equal(rb_nic_register(world.nic, world.memory, PAGE, PAGE, why), -ENOSPC);
	struct rb_net_frame frame = frame_make(&world, 66);
	add(&frame, world.memory + MEMORY - 400, 400);
	expect_sent(&world, &frame, 2);
	end(&world);
}

static void test_checksums(void **state)
{
	static const struct {
		uint16_t fill;
		uint8_t version;
		uint64_t flags;
	} cases[] = {
		{0, 4, 0},
		{RB_NET_CHECKSUM_IP4_FILL, 4, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM},
		{RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL, 4,
		 RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM},
		{RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_UDP_FILL, 4,
		 RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM},
		{RB_NET_CHECKSUM_TCP_FILL, 4, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM},
		{RB_NET_CHECKSUM_TCP_FILL, 6, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM},
		{RB_NET_CHECKSUM_UDP_FILL, 6, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM},
	};
	struct world world;
	(void)state;
	begin(&world);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rb_net_frame frame = frame_make(&world, 74);
		frame.l2_length = 14;
		frame.l3_length = cases[i].version == 4 ? 20 : 40;
		frame.header[14] = (uint8_t)(cases[i].version << 4 | 5);
		frame.checksum = cases[i].fill;
		add(&frame, world.memory, 1000);
		rb_nic_ops.output(world.queue, &frame, 1);
		struct rte_mbuf *mbuf = fixture_sent(&world.rings);
		assert_int_equal(mbuf->ol_flags, cases[i].flags);
		assert_int_equal(mbuf->next->ol_flags, 0);
		assert_int_equal(mbuf->l2_len, 14);
		assert_int_equal(mbuf->l3_len, cases[i].version == 4 ? 20 : 40);
		assert_int_equal(mbuf->tso_segsz, 0);
		assert_int_equal(rte_validate_tx_offload(mbuf), 0);
		rte_pktmbuf_free(mbuf);
	}
	end(&world);
}

/* A segment with this payload, as TCP/IP makes it where a device fills in the checksums. */
static struct rb_net_frame segment_make(struct world *world, unsigned options, uint32_t payload)
{
	struct rb_net_frame frame = frame_make(world, (uint16_t)(54 + options));
	uint8_t *ip = frame.header + 14, *tcp = ip + 20;
	frame.l2_length = 14;
	frame.l3_length = 20;
	frame.checksum = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL;
	ip[0] = 0x45;
	ip[2] = (uint8_t)((40 + options + payload) >> 8);
	ip[3] = (uint8_t)(40 + options + payload);
	ip[9] = 6;
	memset(ip + 10, 0, 2);
	const uint64_t pseudo = checksum_pseudo4(ip + 12, ip + 16, 6, (uint16_t)(20 + options + payload));
	const uint16_t sum = checksum_unfinished(pseudo);
	memcpy(tcp + 16, &sum, sizeof(sum));
	if (payload > 0)
		add(&frame, world->memory + MEMORY - payload, payload);
	return frame;
}

/* Those of short frames are filled in before the device has them; a longer one's are asked for. */
static void test_short_checksums(void **state)
{
	struct world world;
	uint8_t sent[FRAME_MAX];
	(void)state;
	begin(&world);
	for (uint32_t payload = 0; payload <= 200; payload++) {
		const unsigned options = payload % 11 * 4;
		struct rb_net_frame frame = segment_make(&world, options, payload);
		const uint64_t pseudo =
			checksum_pseudo4(frame.header + 26, frame.header + 30, 6, (uint16_t)(20 + options + payload));
		const bool here = frame.length <= 194;
		rb_nic_ops.output(world.queue, &frame, 1);
		struct rte_mbuf *mbuf = fixture_sent(&world.rings);
		assert_int_equal(fixture_bytes(mbuf, sent, sizeof(sent)), frame.length);
		assert_memory_equal(sent + frame.header_length, world.memory + MEMORY - payload, payload);
		assert_int_equal(mbuf->ol_flags,
				 here ? 0 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM);
		if (here) {
			assert_int_equal(checksum_finish(checksum_add(0, sent + 14, 20)), 0);
			assert_int_equal(checksum_finish(checksum_add(pseudo, sent + 34, frame.length - 34)), 0);
		}
		rte_pktmbuf_free(mbuf);
	}
	end(&world);
}

/* All ones, and all but: sums that carry, and those that are zero. */
static void test_short_checksums_of_extremes(void **state)
{
	struct world world;
	uint8_t sent[FRAME_MAX];
	(void)state;
	begin(&world);
	for (unsigned i = 0; i < 64; i++) {
		memset(world.memory + MEMORY - 64, 0xff, 64);
		world.memory[MEMORY - 64 + i] = (uint8_t)(i % 3 == 0 ? 0 : 0xfe);
		struct rb_net_frame frame = segment_make(&world, 12, 64);
		memset(frame.header + 34 + 18, 0xff, 12 + 2); /* urgent pointer and options */
		const uint64_t pseudo = checksum_pseudo4(frame.header + 26, frame.header + 30, 6, 20 + 12 + 64);
		rb_nic_ops.output(world.queue, &frame, 1);
		struct rte_mbuf *mbuf = fixture_sent(&world.rings);
		assert_int_equal(fixture_bytes(mbuf, sent, sizeof(sent)), frame.length);
		assert_int_equal(checksum_finish(checksum_add(0, sent + 14, 20)), 0);
		assert_int_equal(checksum_finish(checksum_add(pseudo, sent + 34, frame.length - 34)), 0);
		rte_pktmbuf_free(mbuf);
	}
	end(&world);
}

/*
 * In the buffer of what it answers, whatever was in it; and wherever in a packet that was, there is room for the longest
 * one. The buffer comes back to where packets come from.
 */
static void test_answers(void **state)
{
	static const uint16_t from[] = {54, 66, 600, FRAME_MAX - 1};
	static const uint32_t lengths[] = {1, 64, RB_NIC_ANSWER_MAX};
	struct world world;
	uint8_t data[FRAME_MAX];
	(void)state;
	begin(&world);
	const unsigned available = rte_mempool_avail_count(world.queue->rx_pool);
	fixture_pattern(data, sizeof(data), 5);
	for (unsigned i = 0; i < 12; i++) {
		struct rb_net_packet packet;
		fixture_deliver(&world.rings, world.queue, data, sizeof(data), RTE_MBUF_F_RX_L4_CKSUM_GOOD);
		assert_int_equal(rb_nic_receive(world.queue, &packet, 1), 1);
		const struct rte_mbuf *mbuf = (const struct rte_mbuf *)(uintptr_t)packet.buffer;
		const uint8_t *begin = mbuf->buf_addr, *request = packet.data + from[i % 4];
		struct rb_net_frame frame = {
			.header = rb_nic_data(&packet) + from[i % 4] - 66,
			.owner = packet.buffer,
			.header_length = 66,
			.length = 66,
			.flags = RB_NET_FRAME_ANSWER,
		};
		assert_true(request - RB_NET_HEADER_MAX >= begin);
		assert_true(request + RB_NIC_ANSWER_MAX <= begin + mbuf->buf_len);
		fixture_pattern(frame.header, 66, i);
		add(&frame, world.memory, lengths[i / 4]);
		expect_sent(&world, &frame, 1);
		assert_int_equal(rte_mempool_avail_count(world.queue->rx_pool), available);
	}
	end(&world);
}

/* The ring has room for one less than it is long: what is more is lost, not kept. */
static void test_full(void **state)
{
	struct world world;
	struct rb_net_frame frames[RB_NET_BURST];
	(void)state;
	begin(&world);
	for (unsigned round = 0; round < 2; round++) {
		const unsigned more = round == 0 ? 60 : 10;
		assert_int_equal(frames_get(&world, frames, more), more);
		for (unsigned i = 0; i < more; i++) {
			frames[i].header_length = 60;
			frames[i].length = 60;
			if (i % 2 == 0)
				add(&frames[i], world.memory, 1000);
		}
		rb_nic_ops.output(world.queue, frames, more);
	}
	const struct rb_nic_counters *counters = rb_nic_counters(world.queue);
	assert_int_equal(rte_ring_count(world.rings.tx), FIXTURE_RING - 1);
	assert_int_equal(counters->tx_packets, FIXTURE_RING - 1);
	assert_int_equal(counters->tx_full, 70 - (FIXTURE_RING - 1));
	assert_int_equal(counters->tx_bytes, 63 * 60 + (30 + 2) * 1000);
	end(&world);
}

/* The longest burst that there is. */
static void test_burst(void **state)
{
	struct world world;
	struct rb_net_frame frames[RB_NET_BURST];
	(void)state;
	begin(&world);
	assert_int_equal(frames_get(&world, frames, RB_NET_BURST - 1), RB_NET_BURST - 1);
	for (unsigned i = 0; i < RB_NET_BURST - 1; i++) {
		frames[i].header_length = 60;
		frames[i].length = 60;
		frames[i].header[0] = (uint8_t)i;
	}
	rb_nic_ops.output(world.queue, frames, RB_NET_BURST - 1);
	assert_int_equal(rte_ring_count(world.rings.tx), RB_NET_BURST - 1);
	for (unsigned i = 0; i < RB_NET_BURST - 1; i++) {
		struct rte_mbuf *mbuf = fixture_sent(&world.rings);
		assert_int_equal(rte_pktmbuf_mtod(mbuf, uint8_t *)[0], i);
		rte_pktmbuf_free(mbuf);
	}
	end(&world);
}

static void test_no_headers(void **state)
{
	struct world world;
	static struct rb_net_frame frames[BUFFERS];
	unsigned got = 0;
	(void)state;
	begin(&world);
	while (got < BUFFERS - 10)
		got += frames_get(&world, frames + got, BUFFERS - 10 - got < 16 ? BUFFERS - 10 - got : 16);
	assert_int_equal(frames_get(&world, frames + got, 16), 10);
	assert_int_equal(frames_get(&world, frames, 16), 0);
	assert_int_equal(rb_nic_counters(world.queue)->no_tx_buffers, 6 + 16);
	for (unsigned i = 0; i < 20; i++)
		frames[i].length = frames[i].header_length = 60;
	rb_nic_ops.output(world.queue, frames, 20);
	assert_int_equal(frames_get(&world, frames, 1), 0); /* sends them, but the device has them still */
	for (unsigned i = 0; i < 20; i++)
		rte_pktmbuf_free(fixture_sent(&world.rings));
	assert_int_equal(frames_get(&world, frames, 16), 16);
	/* An instance that ends leaves what it had; what the device has is not taken from it. */
	for (unsigned i = 0; i < 4; i++)
		frames[i].length = frames[i].header_length = 60;
	rb_nic_ops.output(world.queue, frames, 4);
	assert_int_equal(rb_nic_reclaim(world.queue), BUFFERS - 20 + 16 - 4);
	assert_int_equal(rb_nic_reclaim(world.queue), 0);
	assert_int_equal(rte_mempool_avail_count(world.queue->tx_pool), BUFFERS - 4);
	end(&world);
}

/* Byte for byte in what a driver of another kind has written. */
static void test_file(void **state)
{
	char in[] = "/tmp/rb-nic-in-XXXXXX", out[] = "/tmp/rb-nic-out-XXXXXX", arguments[128];
	char why[RB_NIC_ERROR_MAX] = "";
	static uint8_t memory[4 * PAGE] __attribute__((aligned(PAGE)));
	static uint8_t expected[300][FRAME_MAX];
	uint32_t lengths[300];
	(void)state;
	fixture_pattern(memory, sizeof(memory), 3);
	assert_return_code(close(mkstemp(in)), 0);
	assert_return_code(close(mkstemp(out)), 0);
	fixture_trace_add(in, memory, 60); /* the driver wants something to receive */
	snprintf(arguments, sizeof(arguments), "rx_pcap=%s,tx_pcap=%s", in, out);
	fixture_make("net_pcap0", arguments);
	const struct rb_nic_config config = fixture_config("net_pcap0");
	struct rb_nic *nic = fixture_open(&config);
	assert_int_equal(rb_nic_register(nic, memory, sizeof(memory) / 2, PAGE, why), 0);
	struct world world = {.nic = nic, .queue = rb_nic_queue(nic, 0)};
	for (unsigned i = 0; i < 300; i++) {
		struct rb_net_frame frame = frame_make(&world, (uint16_t)(42 + i % 86));
		memcpy(expected[i], frame.header, frame.header_length);
		frame.flags = i % 7 == 0 ? RB_NET_FRAME_TRANSIENT : 0;
		for (unsigned piece = 0; piece < i % 5; piece++) {
			const uint32_t length = 1 + (i * 37 + piece * 101) % 330;
			const uint8_t *base = memory + (size_t)(i * 997 + piece * 4001) % (sizeof(memory) - 330);
			memcpy(expected[i] + frame.length, base, length);
			add(&frame, base, length);
		}
		lengths[i] = frame.length;
		rb_nic_ops.output(world.queue, &frame, 1);
	}
	assert_int_equal(rte_mempool_avail_count(world.queue->tx_pool), BUFFERS);
	assert_int_equal(rte_mempool_in_use_count(world.queue->piece_pool), 0);
	fixture_remove(nic, "net_pcap0");
	size_t at = 0;
	for (unsigned i = 0; i < 300; i++)
		at = fixture_trace_expect(out, at, expected[i], lengths[i]);
	fixture_trace_expect_end(out, at);
	assert_return_code(unlink(in), 0);
	assert_return_code(unlink(out), 0);
}

static void test_random(void **state)
{
	struct world world;
	uint64_t seen[200];
	(void)state;
	begin(&world);
	for (unsigned i = 0; i < 200; i++) {
		seen[i] = rb_nic_ops.random(world.queue);
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(seen[i], seen[j]);
	}
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copied),
		cmocka_unit_test(test_chained),
		cmocka_unit_test(test_zero_copy),
		cmocka_unit_test(test_not_registered),
		cmocka_unit_test(test_transient_is_copied_at_once),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_physical),
		cmocka_unit_test(test_regions),
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_short_checksums),
		cmocka_unit_test(test_short_checksums_of_extremes),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_no_headers),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
