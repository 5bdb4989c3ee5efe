// SPDX-License-Identifier: Apache-2.0
/*
 * Packets that go from queue to queue: those of flows that are another queue's, where the device does not spread
 * packets itself; and copies of what concerns all, wherever the device has delivered it.
 *
 * From each queue to each other one there is an inbox, a ring that one thread fills and one empties: no lock and no
 * locked instruction, only the order in which x86 makes stores visible anyway. A queue's threads look at one word per
 * turn, its bell, which whoever has filled an inbox of it changes. The bell is no flag, which would have to be taken
 * down, and so could be missed by who does that while another one puts it up: it is the sender and how far it has come,
 * never the same value twice, and differs from the one that was heard last as long as there is something to be looked
 * at.
 *
 * The receiver copies a packet into a buffer of its own, and the sender then takes its buffer back. Thus each pool stays
 * one thread's, with nothing to be looked up when a buffer is released; an application that keeps what it has received
 * keeps its own core's buffers only; and all that it reads lies in its own queue's memory. For the requests of a few
 * hundred bytes that are what several cores are for, the copy costs less than a second way back would.
 *
 * A flow's packets take one way, so they stay in order: a device that does not change its mind delivers them to one
 * queue, and there is one inbox from there to where they belong.
 *
 * What finds its inbox full is dropped and counted, as by a device whose ring is full.
 */
#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_malloc.h>

#include "base/assert.h"
#include "nic/defs.h"
#include "nic/ops.h"

enum { BELL_QUEUE_BITS = 8 }; /* of the bell: who rings. The rest is how far it has come. */

RB_BUILD_ASSERT((NIC_INBOX & (NIC_INBOX - 1)) == 0, "positions wrap round");
RB_BUILD_ASSERT((NIC_FLOW_GROUPS & (NIC_FLOW_GROUPS - 1)) == 0, "a mask finds the group");
RB_BUILD_ASSERT(RB_NIC_QUEUES_MAX <= 1 << BELL_QUEUE_BITS && RB_NIC_QUEUES_MAX <= 32, "a bit of 32 for each");
RB_BUILD_ASSERT(NIC_SHARED_MAX <= NIC_INBOX, "copies fit");

static inline struct nic_inbox *inbox(const struct rb_nic *nic, unsigned from, unsigned to)
{
	return &nic->inboxes[from * nic->queues_count + to];
}

int nic_inboxes_create(struct rb_nic *nic, char why[RB_NIC_ERROR_MAX])
{
	const size_t count = (size_t)nic->queues_count * nic->queues_count;
	if (nic->queues_count == 1)
		return 0;
	nic->inboxes = rte_zmalloc("rb_nic_inboxes", count * sizeof(nic->inboxes[0]), _Alignof(struct nic_inbox));
	return nic->inboxes != NULL ? 0
				    : nic_fail(why, ENOMEM, "no memory for inboxes of %u queues", nic->queues_count);
}

unsigned nic_lent_max(const struct rb_nic *nic)
{
	return (nic->queues_count - 1U) * (nic->rss.spreads ? NIC_INBOX : NIC_SHARED_MAX);
}

/*
 * The sender.
 */

/* Buffers that the receiver has done with. */
static void take_back(struct rb_nic_queue *queue, struct nic_inbox *box)
{
	const uint64_t tail = atomic_load_explicit(&box->tail, memory_order_acquire);
	while (box->taken_back != tail) {
		uint64_t buffers[RB_NET_BURST];
		unsigned count = 0;
		while (box->taken_back != tail && count < RB_NET_BURST)
			buffers[count++] = box->packets[box->taken_back++ % NIC_INBOX].buffer;
		nic_release(queue, buffers, count);
		queue->lent -= count;
	}
}

static __attribute__((noinline)) void take_back_all(struct rb_nic_queue *queue)
{
	for (unsigned to = 0; to < queue->nic->queues_count; to++) {
		if (to != queue->index)
			take_back(queue, inbox(queue->nic, queue->index, to));
	}
}

/* False: there is no room, for so many on their way at a time. The packet is the receiver's to see after tell(). */
static inline bool give(struct rb_nic_queue *queue, unsigned to, const struct rb_net_packet *packet, unsigned most)
{
	struct nic_inbox *box = inbox(queue->nic, queue->index, to);
	if (unlikely(box->filled - box->taken_back >= most)) {
		take_back(queue, box);
		if (box->filled - box->taken_back >= most)
			return false;
	}
	box->packets[box->filled++ % NIC_INBOX] = *packet;
	queue->lent++;
	return true;
}

/* The stores pair with the loads of take_over() and of rb_nic_receive_spread(). */
static inline void tell(struct rb_nic_queue *queue, unsigned to)
{
	struct nic_inbox *box = inbox(queue->nic, queue->index, to);
	atomic_store_explicit(&box->head, box->filled, memory_order_release);
	atomic_store_explicit(&queue->nic->queues[to].bell, box->filled << BELL_QUEUE_BITS | queue->index,
			      memory_order_release);
}

/* ---- flows ---- */

enum {
	TYPE_AT = 12,
	L3_AT = 14,
	TAG_BYTES = 4,
	TYPE_IP4 = 0x0800,
	TYPE_IP6 = 0x86dd,
	TYPE_VLAN = 0x8100,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PORTS_BYTES = 4,
};

static inline unsigned load16(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

static inline bool has_ports(unsigned protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;
}

/* Which queue a packet is for. What is of no flow, or not whole, is taken by who has received it. */
static inline unsigned queue_of_ip4(const struct rb_nic_queue *queue, const uint8_t *ip, unsigned length)
{
	enum { HEADER_MIN = 20, FRAGMENT_AT = 6, FRAGMENT_MASK = 0x3fff, PROTOCOL_AT = 9, ADDRESSES_AT = 12 };
	const struct nic_rss *rss = &queue->nic->rss;
	if (length < HEADER_MIN + PORTS_BYTES)
		return queue->index;
	const unsigned header = (ip[0] & 0x0fU) * 4;
	if (header < HEADER_MIN || length < header + PORTS_BYTES || !has_ports(ip[PROTOCOL_AT]) ||
	    (load16(ip + FRAGMENT_AT) & FRAGMENT_MASK) != 0)
		return queue->index;
	return rss->table[nic_rss_hash_bytes(rss, ip + ADDRESSES_AT, 8, ip + header) % NIC_FLOW_GROUPS];
}

static unsigned queue_of_ip6(const struct rb_nic_queue *queue, const uint8_t *ip, unsigned length)
{
	enum { HEADER = 40, NEXT_AT = 6, ADDRESSES_AT = 8 };
	const struct nic_rss *rss = &queue->nic->rss;
	if (length < HEADER + PORTS_BYTES || !has_ports(ip[NEXT_AT]))
		return queue->index;
	return rss->table[nic_rss_hash_bytes(rss, ip + ADDRESSES_AT, 32, ip + HEADER) % NIC_FLOW_GROUPS];
}

static inline unsigned queue_of(const struct rb_nic_queue *queue, const struct rb_net_packet *packet)
{
	unsigned at = L3_AT;
	if (packet->length < L3_AT + TAG_BYTES)
		return queue->index;
	unsigned type = load16(packet->data + TYPE_AT);
	if (unlikely(type == TYPE_VLAN)) {
		type = load16(packet->data + TYPE_AT + TAG_BYTES);
		at += TAG_BYTES;
	}
	if (type == TYPE_IP4)
		return queue_of_ip4(queue, packet->data + at, packet->length - at);
	return type == TYPE_IP6 ? queue_of_ip6(queue, packet->data + at, packet->length - at) : queue->index;
}

static __attribute__((cold, noinline)) void drop(struct rb_nic_queue *queue, const struct rb_net_packet *packet)
{
	queue->counters.inbox_full++;
	nic_release(queue, &packet->buffer, 1);
}

/* Hands over what is of others' flows. Returns how many are left, in order. */
static unsigned spread(struct rb_nic_queue *queue, struct rb_net_packet *packets, unsigned count)
{
	uint32_t told = 0;
	unsigned kept = 0;
	for (unsigned i = 0; i < count; i++) {
		const unsigned to = queue_of(queue, &packets[i]);
		if (to == queue->index) {
			packets[kept++] = packets[i];
		} else if (likely(give(queue, to, &packets[i], NIC_INBOX))) {
			told |= UINT32_C(1) << to;
			queue->counters.handed_over++;
		} else {
			drop(queue, &packets[i]);
		}
	}
	for (; told != 0; told &= told - 1)
		tell(queue, (unsigned)__builtin_ctz(told));
	return kept;
}

/* ---- what concerns all ---- */

/* A copy of a packet, in a buffer of the queue's; false: there is none, or it is too long for one. */
static bool copy(struct rb_nic_queue *queue, const struct rb_net_packet *from, struct rb_net_packet *to)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(queue->rx_pool);
	if (unlikely(mbuf == NULL))
		return false;
	char *data = rte_pktmbuf_append(mbuf, from->length);
	if (unlikely(data == NULL)) {
		rte_mempool_put(queue->rx_pool, mbuf);
		return false;
	}
	memcpy(data, from->data, from->length);
	*to = (struct rb_net_packet){.data = (const uint8_t *)data,
				     .buffer = (uintptr_t)mbuf,
				     .length = from->length,
				     .checksum = from->checksum};
	return true;
}

void nic_share(void *context, const struct rb_net_packet *packet)
{
	struct rb_nic_queue *queue = context;
	for (unsigned to = 0; to < queue->nic->queues_count; to++) {
		struct rb_net_packet copied;
		if (to == queue->index)
			continue;
		if (!copy(queue, packet, &copied)) {
			queue->counters.inbox_lost++;
			continue;
		}
		copied.checksum |= RB_NET_OVERHEARD;
		if (!give(queue, to, &copied, NIC_SHARED_MAX)) {
			drop(queue, &copied);
			continue;
		}
		tell(queue, to);
		queue->counters.handed_over++;
		queue->counters.shared++;
	}
}

/*
 * The receiver.
 */

/* Copies what is in one inbox, at most `max`. False: there is more. */
static bool empty(struct rb_nic_queue *queue, struct nic_inbox *box, struct rb_net_packet *packets, unsigned max,
		  unsigned *count)
{
	const uint64_t head = atomic_load_explicit(&box->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed);
	while (tail != head && *count < max) {
		if (likely(copy(queue, &box->packets[tail++ % NIC_INBOX], &packets[*count])))
			(*count)++;
		else
			queue->counters.inbox_lost++;
	}
	atomic_store_explicit(&box->tail, tail, memory_order_release); /* pairs with take_back() */
	return tail == head;
}

/* The bell was `rung` before the first inbox is looked at: what is put in later rings it again. */
static __attribute__((noinline)) unsigned take_over(struct rb_nic_queue *queue, uint64_t rung,
						    struct rb_net_packet *packets, unsigned max)
{
	const unsigned queues = queue->nic->queues_count;
	unsigned count = 0;
	bool all = true;
	RB_DEBUG_ASSERT_GT(queues, 1U);
	for (unsigned i = 0; i < queues; i++) {
		const unsigned from = (queue->inbox_first + i) % queues;
		if (from != queue->index)
			all &= empty(queue, inbox(queue->nic, from, queue->index), packets, max, &count);
	}
	if (all)
		queue->bell_heard = rung;
	if (++queue->inbox_first == queues)
		queue->inbox_first = 0;
	queue->counters.taken_over += count;
	return count;
}

/* While the inboxes have more than a turn takes, they and the device have half of it each. */
unsigned rb_nic_receive_spread(struct rb_nic_queue *queue, struct rb_net_packet *packets, unsigned max)
{
	unsigned count = 0;
	if (max > RB_NET_BURST)
		max = RB_NET_BURST;
	if (queue->lent > 0)
		take_back_all(queue);
	const uint64_t rung = atomic_load_explicit(&queue->bell, memory_order_acquire);
	if (unlikely(rung != queue->bell_heard)) {
		queue->inbox_odd = !queue->inbox_odd;
		count = take_over(queue, rung, packets, (max + queue->inbox_odd) / 2);
	}
	if (count == max)
		return count;
	const unsigned received = rb_nic_receive(queue, packets + count, max - count);
	return count + (queue->nic->rss.spreads ? spread(queue, packets + count, received) : received);
}
