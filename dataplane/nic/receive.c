// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>
#include <string.h>

#include <rte_prefetch.h>

#include "base/assert.h"
#include "nic/defs.h"
#include "nic/ops.h"

/*
 * The device's verdicts by the bits of ol_flags from RX_SHIFT on. Both bits of a pair say that the sum in the packet is
 * not right but its content is, as between virtual machines of one host: good, too.
 */
enum { RX_SHIFT = 3 };
#define RX_BIT(flag) ((unsigned)((flag) >> RX_SHIFT))
#define L4_BAD	     RX_BIT(RTE_MBUF_F_RX_L4_CKSUM_BAD)
#define L4_GOOD	     RX_BIT(RTE_MBUF_F_RX_L4_CKSUM_GOOD)
#define IP_BAD	     RX_BIT(RTE_MBUF_F_RX_IP_CKSUM_BAD)
#define IP_GOOD	     RX_BIT(RTE_MBUF_F_RX_IP_CKSUM_GOOD)
#define RX_IS_BAD(i) (((i) & (L4_BAD | L4_GOOD)) == L4_BAD || ((i) & (IP_BAD | IP_GOOD)) == IP_BAD)
#define RX_GOOD(i) \
	((((i) & L4_GOOD) != 0 ? RB_NET_CHECKSUM_L4_GOOD : 0) | (((i) & IP_GOOD) != 0 ? RB_NET_CHECKSUM_IP4_GOOD : 0))
#define RX_ONE(i)     (RX_IS_BAD(i) ? RB_NET_CHECKSUM_BAD : RX_GOOD(i))
#define RX_FOUR(i)    RX_ONE(i), RX_ONE((i) + 1), RX_ONE((i) + 2), RX_ONE((i) + 3)
#define RX_SIXTEEN(i) RX_FOUR(i), RX_FOUR((i) + 4), RX_FOUR((i) + 8), RX_FOUR((i) + 12)

static const uint8_t verdicts[] = {RX_SIXTEEN(0U), RX_SIXTEEN(16U), RX_SIXTEEN(32U), RX_SIXTEEN(48U)};

RB_BUILD_ASSERT((L4_BAD | L4_GOOD | IP_BAD | IP_GOOD) < sizeof(verdicts), "an index of the table");

uint16_t nic_rx_checksums(void)
{
	return L4_BAD | L4_GOOD | IP_BAD | IP_GOOD;
}

/* Buffers are as large as any packet should be: larger ones are not for us. */
static __attribute__((cold, noinline)) void drop_segmented(struct rb_nic_queue *queue, struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
	queue->counters.rx_too_long++;
}

unsigned rb_nic_receive(struct rb_nic_queue *queue, struct rb_net_packet *packets, unsigned max)
{
	struct rte_mbuf *mbufs[RB_NET_BURST];
	RB_DEBUG_ASSERT_LE(max, (unsigned)RB_NET_BURST);
	const unsigned received = rte_eth_rx_burst(queue->port, queue->index, mbufs, (uint16_t)max);
	const uint64_t mask = queue->rx_checksums;
	struct rb_net_packet *packet = packets;
	uint64_t bytes = 0;
	unsigned count = received;
	for (unsigned i = 0; i < received; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		if (unlikely(mbuf->nb_segs != 1)) {
			drop_segmented(queue, mbuf);
			count--;
			continue;
		}
		const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
		rte_prefetch0(data);
		packet->data = data;
		packet->buffer = (uintptr_t)mbuf;
		packet->length = mbuf->data_len;
		packet->checksum = verdicts[mbuf->ol_flags >> RX_SHIFT & mask];
		bytes += mbuf->data_len;
		packet++;
	}
	queue->counters.rx_packets += count;
	queue->counters.rx_bytes += bytes;
	return count;
}

/*
 * A received packet is one buffer with one user, as it came from the pool, so it goes back into it as it is: nothing is
 * to be looked up or reset, and a name of net's is the pointer that the pool takes.
 */
static __attribute__((noinline)) void put(struct rb_nic_queue *queue, const uint64_t *buffers, unsigned count)
{
	RB_BUILD_ASSERT(sizeof(buffers[0]) == sizeof(void *), "a buffer's name is a pointer");
	rte_mempool_put_bulk(queue->rx_pool, (void *const *)(uintptr_t)buffers, count);
}

/* They are many; or there is no room for them behind those that wait, which then go together. */
static __attribute__((noinline)) void put_many(struct rb_nic_queue *queue, const uint64_t *buffers, unsigned count)
{
	if (count > NIC_RETURNED / 2) {
		put(queue, buffers, count);
		return;
	}
	put(queue, queue->returned, queue->returned_count);
	memcpy(queue->returned, buffers, count * sizeof(buffers[0]));
	queue->returned_count = count;
}

/* A few at a time would cost the pool as much as many: they wait for others. */
void nic_release(void *context, const uint64_t *buffers, unsigned count)
{
	struct rb_nic_queue *queue = context;
	const unsigned waiting = queue->returned_count;
	if (unlikely(count > NIC_RETURNED / 2 || waiting + count > NIC_RETURNED)) {
		put_many(queue, buffers, count);
		return;
	}
	uint64_t *to = &queue->returned[waiting];
	for (const uint64_t *end = buffers + count; buffers < end; buffers++)
		*to++ = *buffers;
	queue->returned_count = waiting + count;
}

uint8_t *rb_nic_data(const struct rb_net_packet *packet)
{
	return rte_pktmbuf_mtod((struct rte_mbuf *)(uintptr_t)packet->buffer, uint8_t *);
}
