// SPDX-License-Identifier: Apache-2.0
/*
 * From net's frames to the device's descriptors.
 *
 * A frame is a header buffer, with short pieces copied behind the header, or with descriptors of the pieces chained to
 * it. Such a descriptor is an mbuf without memory of its own whose address is set at each use. It does not have the
 * flag of an external buffer, and so costs what any other costs to give back: no shared counter, no callback. That is
 * right as long as nobody clones it, for which it would need them: drivers do not, and captures copy.
 *
 * When the peer has acknowledged bytes their memory is the application's again, while a retransmission of them may
 * still wait in the device's ring. Should the application write there meanwhile, the retransmission goes out with other
 * bytes than the first time. The peer has all bytes that it acknowledged cumulatively, and discards them by their
 * sequence numbers (RFC 9293 3.10.7.4), unread; the bytes of the same frame that it does not have yet are still
 * untouched. Where the device fills in checksums they fit what it reads; where net did they do not, the whole frame is
 * discarded, and what was needed of it is sent again. What is on the wire then is memory of the application that named
 * it to be sent, and its page stays registered: nothing of anybody else's.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/copy.h"
#include "nic/defs.h"
#include "nic/ops.h"
#include "nic/sum.h"

/* What one quadword of an mbuf has: data_off, refcnt 1, nb_segs and no port. */
#define REARM(offset, segments) \
	((uint64_t)(offset) | UINT64_C(1) << 16 | (uint64_t)(segments) << 32 | (uint64_t)RTE_MBUF_PORT_INVALID << 48)

RB_BUILD_ASSERT(NIC_SUM_MAX + NIC_SUM_STEP <= RB_NET_HEADER_MAX + NIC_COPY_MAX, "the least that a header buffer has");

RB_BUILD_ASSERT(offsetof(struct rte_mbuf, refcnt) == offsetof(struct rte_mbuf, rearm_data) + 2, "REARM");
RB_BUILD_ASSERT(offsetof(struct rte_mbuf, nb_segs) == offsetof(struct rte_mbuf, rearm_data) + 4, "REARM");
RB_BUILD_ASSERT(offsetof(struct rte_mbuf, port) == offsetof(struct rte_mbuf, rearm_data) + 6, "REARM");

/* What is to be filled in, as the device is told, for IPv4 headers that it fills in too; see offload_flags(). */
enum { FILL_SHIFT = 3, FILLS = 8 };
static const uint64_t fills[FILLS] = {
	[RB_NET_CHECKSUM_IP4_FILL >> FILL_SHIFT] = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM,
	[(RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL) >> FILL_SHIFT] =
		RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM,
	[(RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_UDP_FILL) >> FILL_SHIFT] =
		RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM,
	[RB_NET_CHECKSUM_TCP_FILL >> FILL_SHIFT] = RTE_MBUF_F_TX_TCP_CKSUM,
	[RB_NET_CHECKSUM_UDP_FILL >> FILL_SHIFT] = RTE_MBUF_F_TX_UDP_CKSUM,
};

/*
 * Sending.
 */

/* The counters have them already. */
static __attribute__((cold, noinline)) void drop(struct rb_nic_queue *queue, struct rte_mbuf **mbufs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		queue->counters.tx_bytes -= mbufs[i]->pkt_len;
		rte_pktmbuf_free(mbufs[i]);
	}
	queue->counters.tx_full += count;
	queue->counters.tx_packets -= count;
}

static inline void give(struct rb_nic_queue *queue, struct rte_mbuf **mbufs, unsigned count, uint64_t bytes)
{
	queue->counters.tx_packets += count;
	queue->counters.tx_bytes += bytes;
	const unsigned sent = rte_eth_tx_burst(queue->port, queue->index, mbufs, (uint16_t)count);
	if (unlikely(sent < count))
		drop(queue, mbufs + sent, count - sent);
}

void rb_nic_return(struct rb_nic_queue *queue, const struct rb_net_packet *packets, unsigned count)
{
	struct rte_mbuf *mbufs[RB_NET_BURST];
	uint64_t bytes = 0;
	RB_DEBUG_ASSERT_LE(count, (unsigned)RB_NET_BURST);
	for (unsigned i = 0; i < count; i++) {
		bytes += packets[i].length;
		mbufs[i] = (struct rte_mbuf *)(uintptr_t)packets[i].buffer;
	}
	if (count > 0)
		give(queue, mbufs, count, bytes);
}

/*
 * Headers.
 */

/* The pool has fewer: what has gone out comes back, and then as many as there are. */
static __attribute__((cold, noinline)) unsigned get_few(struct rb_nic_queue *queue, void **objects, unsigned count)
{
	unsigned got = 0;
	/* Not every driver can; such a one takes buffers back when it is given more to send. */
	(void)rte_eth_tx_done_cleanup(queue->port, queue->index, 0);
	while (got < count && rte_mempool_get(queue->tx_pool, &objects[got]) == 0)
		got++;
	queue->counters.no_tx_buffers += count - got;
	return got;
}

static unsigned nic_headers(void *context, struct rb_net_header *given, unsigned count)
{
	struct rb_nic_queue *queue = context;
	void *objects[RB_NET_BURST];
	RB_DEBUG_ASSERT_LE(count, (unsigned)RB_NET_BURST);
	if (unlikely(rte_mempool_get_bulk(queue->tx_pool, objects, count) != 0))
		count = get_few(queue, objects, count);
	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = objects[i];
		mbuf->pkt_len = NIC_HELD;
		given[i].owner = (uintptr_t)mbuf;
		given[i].header = (uint8_t *)mbuf + sizeof(*mbuf) + RTE_PKTMBUF_HEADROOM;
	}
	return count;
}

static void reclaim(struct rte_mempool *pool, void *user, void *object, unsigned index)
{
	struct rte_mbuf *mbuf = object;
	unsigned *count = user;
	(void)index;
	if (mbuf->pkt_len != NIC_HELD)
		return;
	mbuf->pkt_len = NIC_NOT_HELD;
	rte_mempool_put(pool, mbuf);
	(*count)++;
}

unsigned rb_nic_reclaim(struct rb_nic_queue *queue)
{
	unsigned count = 0;
	rte_mempool_obj_iter(queue->tx_pool, reclaim, &count);
	return count;
}

/*
 * Frames.
 */

/* Copies the pieces from number `first` on behind what `head` has. */
static inline void copy_pieces(struct rb_nic_queue *queue, struct rte_mbuf *head, const struct rb_net_frame *frame,
			       unsigned first)
{
	uint8_t *to = frame->header + head->data_len;
	for (unsigned i = first; i < frame->pieces_count; i++) {
		rb_copy_short(to, frame->pieces[i].base, frame->pieces[i].length);
		to += frame->pieces[i].length;
	}
	head->data_len = (uint16_t)(to - frame->header);
	queue->counters.tx_copied += frame->pieces_count - first;
}

/* All of them, behind the header. */
static inline void copy_all(struct rb_nic_queue *queue, const struct rb_net_frame *frame)
{
	uint8_t *to = frame->header + frame->header_length;
	queue->counters.tx_copied += frame->pieces_count;
	if (likely(frame->pieces_count == 1)) {
		rb_copy_short(to, frame->pieces[0].base, frame->pieces[0].length);
		return;
	}
	for (unsigned i = 0; i < frame->pieces_count; i++) {
		rb_copy_short(to, frame->pieces[i].base, frame->pieces[i].length);
		to += frame->pieces[i].length;
	}
}

/* Copies the leading pieces that are short together. Returns the number of the first that is not. */
static __attribute__((noinline)) unsigned copy_leading(struct rb_nic_queue *queue, struct rte_mbuf *head,
						       const struct rb_net_frame *frame)
{
	uint32_t length = 0;
	unsigned first = 0;
	while (first < frame->pieces_count && length + frame->pieces[first].length <= NIC_COPY_MAX) {
		rb_copy_short(frame->header + head->data_len + length, frame->pieces[first].base,
			      frame->pieces[first].length);
		length += frame->pieces[first++].length;
	}
	head->data_len = (uint16_t)(head->data_len + length);
	queue->counters.tx_copied += first;
	return first;
}

/* Makes `mbuf`, fresh from the pool of such, describe memory elsewhere. */
static inline void describe(struct rte_mbuf *mbuf, uintptr_t base, rte_iova_t iova, uint32_t length)
{
	mbuf->buf_addr = (void *)base;
	rte_mbuf_iova_set(mbuf, iova);
	mbuf->rearm_data[0] = REARM(0, 1);
	mbuf->ol_flags = 0;
	mbuf->pkt_len = length;
	mbuf->data_len = (uint16_t)length;
	mbuf->buf_len = (uint16_t)length;
}

/* Appends a piece to the chain that ends at `last`. Returns the new end; NULL: not registered, or nothing left. */
static inline struct rte_mbuf *chain_piece(struct rb_nic_queue *queue, struct rte_mbuf *head, struct rte_mbuf *last,
					   const struct rb_net_piece *piece)
{
	uintptr_t base = (uintptr_t)piece->base;
	uint32_t length = piece->length;
	const struct nic_region *region = nic_region_of(queue->nic, base, length);
	if (region == NULL)
		return NULL;
	while (length > 0) {
		void *object;
		rte_iova_t iova;
		const uint32_t part = nic_part(region, base, length, &iova);
		if (head->nb_segs == queue->segments_max || rte_mempool_get(queue->piece_pool, &object) != 0)
			return NULL;
		last->next = object;
		last = object;
		describe(last, base, iova, part);
		head->nb_segs++;
		base += part;
		length -= part;
	}
	return last;
}

static __attribute__((cold, noinline)) void unchain(struct rb_nic_queue *queue, struct rte_mbuf *head)
{
	struct rte_mbuf *next = head->next;
	while (next != NULL) {
		struct rte_mbuf *mbuf = next;
		next = mbuf->next;
		mbuf->next = NULL;
		rte_mempool_put(queue->piece_pool, mbuf);
	}
	head->next = NULL;
	head->nb_segs = 1;
}

/* Chains the pieces from number `first` on. False: they have to be copied. */
static inline bool chain_pieces(struct rb_nic_queue *queue, struct rte_mbuf *head, const struct rb_net_frame *frame,
				unsigned first)
{
	struct rte_mbuf *last = head;
	for (unsigned i = first; i < frame->pieces_count; i++) {
		last = chain_piece(queue, head, last, &frame->pieces[i]);
		if (last == NULL) {
			unchain(queue, head);
			return false;
		}
	}
	return true;
}

static __attribute__((noinline)) void add_copied(struct rb_nic_queue *queue, struct rte_mbuf *head,
						 const struct rb_net_frame *frame, unsigned first)
{
	copy_pieces(queue, head, frame, first);
}

static __attribute__((noinline)) void add_long(struct rb_nic_queue *queue, struct rte_mbuf *head,
					       const struct rb_net_frame *frame)
{
	unsigned first = 0;
	if (!(frame->flags & RB_NET_FRAME_TRANSIENT) && queue->segments_max > 1) {
		if (frame->pieces[0].length <= NIC_COPY_MAX)
			first = copy_leading(queue, head, frame);
		if (chain_pieces(queue, head, frame, first))
			return;
	}
	add_copied(queue, head, frame, first);
}

/* A device that fills in the checksum of TCP or UDP alone is told which IP is below. */
static inline uint64_t offload_flags(const struct rb_net_frame *frame)
{
	uint64_t flags = fills[frame->checksum >> FILL_SHIFT & (FILLS - 1)];
	if (unlikely(frame->checksum != 0 && (frame->checksum & RB_NET_CHECKSUM_IP4_FILL) == 0))
		flags |= frame->header[frame->l2_length] >> 4 == 4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	return flags;
}

/* What is all in the header's buffer, and so short that nobody need ask the device for its checksums. */
static inline bool is_summed_here(const struct rte_mbuf *head, const struct rb_net_frame *frame)
{
	return frame->checksum == (RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL) &&
	       head->data_len <= NIC_SUM_MAX;
}

static inline void ask(struct rte_mbuf *head, const struct rb_net_frame *frame)
{
	head->ol_flags = offload_flags(frame);
	head->tx_offload = frame->l2_length | (uint64_t)frame->l3_length << RTE_MBUF_L3_LEN_OFS;
}

static inline struct rte_mbuf *make(struct rb_nic_queue *queue, const struct rb_net_frame *frame)
{
	struct rte_mbuf *head = (struct rte_mbuf *)(uintptr_t)frame->owner;
	RB_DEBUG_ASSERT((frame->flags & RB_NET_FRAME_ANSWER) != 0 ||
			(uintptr_t)frame->header == (uintptr_t)head + sizeof(*head) + RTE_PKTMBUF_HEADROOM);
	head->rearm_data[0] = REARM(0, 1);
	head->data_off = (uint16_t)(frame->header - (const uint8_t *)head->buf_addr);
	head->pkt_len = frame->length;
	if (unlikely(frame->length - frame->header_length > NIC_COPY_MAX)) {
		head->data_len = frame->header_length;
		ask(head, frame);
		add_long(queue, head, frame);
		return head;
	}
	head->data_len = (uint16_t)frame->length;
	copy_all(queue, frame);
	if (likely(is_summed_here(head, frame))) {
		head->ol_flags = 0;
		nic_sum_fill(frame->header, head->data_len);
	} else {
		ask(head, frame);
	}
	return head;
}

static void nic_output(void *context, const struct rb_net_frame *frames, unsigned count)
{
	struct rb_nic_queue *queue = context;
	struct rte_mbuf *mbufs[RB_NET_BURST];
	uint64_t bytes = 0;
	RB_DEBUG_ASSERT_LE(count, (unsigned)RB_NET_BURST);
	for (unsigned i = 0; i < count; i++) {
		bytes += frames[i].length;
		mbufs[i] = make(queue, &frames[i]);
	}
	give(queue, mbufs, count, bytes);
}

static __attribute__((cold, noinline)) void random_refill(struct rb_nic_queue *queue)
{
	uint8_t *bytes = (uint8_t *)queue->random;
	size_t got = 0;
	while (got < sizeof(queue->random)) {
		const ssize_t more = getrandom(bytes + got, sizeof(queue->random) - got, 0);
		RB_ASSERT(more > 0 || errno == EINTR);
		got += more > 0 ? (size_t)more : 0;
	}
	queue->random_left = NIC_RANDOM_WORDS;
}

static uint64_t nic_random(void *context)
{
	struct rb_nic_queue *queue = context;
	if (queue->random_left == 0)
		random_refill(queue);
	return queue->random[--queue->random_left];
}

const struct rb_net_ops rb_nic_ops = {
	.headers = nic_headers,
	.output = nic_output,
	.release = nic_release,
	.random = nic_random,
	.share = nic_share,
	.is_own = nic_is_own,
};
