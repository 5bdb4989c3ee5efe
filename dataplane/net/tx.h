// SPDX-License-Identifier: Apache-2.0
/*
 * Frames on their way out. A sender does
 *     frame = tx_frame(net)                  a header buffer; NULL: none left
 *     ... writes the IP packet from frame->header + ETHERNET_HEADER on, and sets header_length, l3_length, length,
 *         pieces_count and the pieces; the other fields are set already
 *     tx_commit(net, frame, neighbour)       adds the Ethernet header and queues it
 * and nothing leaves before tx_flush(), except when the burst is full. A frame that is not committed costs nothing: the
 * next tx_frame() returns it again, so one frame at a time.
 *
 * Pieces are read when the burst goes to the device. Who cannot promise the memory for as long as TCP can (until it is
 * acknowledged) sets RB_NET_FRAME_TRANSIENT, and the device copies before output() returns.
 */
#pragma once

#include "net/defs.h"
#include "net/neighbour.h"

#include <stdint.h>
#include <string.h>

/* Empty; no callback is called. */
void tx_init(struct rb_net *net);

/* Gives what is complete to the device. */
void tx_flush(struct rb_net *net);

/* Forgets frames that are complete, and releases the received buffers they refer to, for rb_net_drop(). */
void tx_drop(struct rb_net *net);

/* Out of line: gets more header buffers, flushes first when the burst is full. False: counted in no_headers. */
bool tx_refill(struct rb_net *net);

/* Out of line: the neighbour is not, or no more, known to be reachable. May queue the frame, or copy it to the pending
 * pool, or drop it with a count. */
void tx_commit_slow(struct rb_net *net, struct rb_net_frame *frame, uint16_t neighbour);

/* The next free frame, with a header in the caller's received buffer, which goes with it. There must be one. */
static inline struct rb_net_frame *tx_answer(struct rb_net *net, uint64_t buffer, uint8_t *header)
{
	struct tx *tx = &net->tx;
	RB_DEBUG_ASSERT_LT(tx->next, (uint32_t)RB_NET_BURST);
	struct rb_net_frame *frame = &tx->burst[tx->next++];
	frame->header = header;
	frame->owner = buffer;
	return frame;
}

/* Is there a frame with a header buffer, whose checksums the device fills in? */
static inline bool tx_is_ready(const struct tx *tx)
{
	return tx->stock_next < tx->ready && tx->next < RB_NET_BURST;
}

/* Such a frame, with nothing else set, which is committed already. */
static inline struct rb_net_frame *tx_ready(struct rb_net *net)
{
	struct tx *tx = &net->tx;
	RB_DEBUG_ASSERT(tx_is_ready(tx));
	const struct rb_net_header *header = &tx->stock[tx->stock_next++];
	struct rb_net_frame *frame = &tx->burst[tx->next++];
	frame->header = header->header;
	frame->owner = header->owner;
	return frame;
}

/* The next free frame, with a header buffer and nothing else set. NULL: no memory (counted). */
static inline struct rb_net_frame *tx_frame_bare(struct rb_net *net)
{
	struct tx *tx = &net->tx;
	if (__builtin_expect(tx->stock_next == tx->stock_end || tx->next == RB_NET_BURST, 0) && !tx_refill(net))
		return NULL;
	const struct rb_net_header *header = &tx->stock[tx->stock_next];
	struct rb_net_frame *frame = &tx->burst[tx->next];
	frame->header = header->header;
	frame->owner = header->owner;
	return frame;
}

/* The next free frame, with a header buffer and without pieces. NULL: no memory (counted). */
static inline struct rb_net_frame *tx_frame(struct rb_net *net)
{
	struct rb_net_frame *frame = tx_frame_bare(net);
	if (__builtin_expect(frame == NULL, 0))
		return NULL;
	frame->header_length = 0;
	frame->checksum = RB_NET_CHECKSUM_UNKNOWN;
	frame->l2_length = ETHERNET_HEADER;
	frame->l3_length = 0;
	frame->pieces_count = 0;
	frame->flags = 0;
	return frame;
}

/*
 * After a commit of a frame with pieces in a received buffer, which the caller owns: true, and the buffer is kept until
 * the frame has gone; false: it has gone already.
 */
bool tx_hold(struct rb_net *net, uint64_t buffer);

/* Queues the frame as it is, Ethernet header included: for frames without a neighbour entry (ARP, discovery). */
static inline void tx_commit_raw(struct rb_net *net, struct rb_net_frame *frame)
{
	RB_DEBUG_ASSERT(frame == &net->tx.burst[net->tx.next] && net->tx.stock_next < net->tx.stock_end);
	(void)frame;
	net->tx.next++;
	net->tx.stock_next++;
}

/* Queues the frame for this neighbour, whose index the caller holds. */
static inline void tx_commit(struct rb_net *net, struct rb_net_frame *frame, uint16_t neighbour)
{
	const struct neighbour *to = &net->neighbours.entries[neighbour];
	if (__builtin_expect(net->now_ns >= to->fresh_until_ns, 0)) {
		tx_commit_slow(net, frame, neighbour);
		return;
	}
	memcpy(frame->header, to->ethernet, ETHERNET_HEADER);
	tx_commit_raw(net, frame);
}

/*
 * A part of it, before the rest of the header is written: two bytes more than the Ethernet header, to a neighbour that is
 * known to be reachable.
 */
static inline void tx_begin(const struct rb_net *net, struct rb_net_frame *frame, uint16_t neighbour)
{
	const struct neighbour *to = &net->neighbours.entries[neighbour];
	memcpy(frame->header, to->ethernet, sizeof(to->ethernet));
}

/*
 * Computes a TCP or UDP checksum over the rest of the header and the pieces. `field` is the offset in the header of the
 * checksum field, which holds the folded sum of the pseudo-header without complement; `l4` that of the TCP or UDP
 * header. A result of 0 is stored as 0xffff for UDP (RFC 768), as it is for TCP.
 */
void tx_checksum(struct rb_net_frame *frame, unsigned l4, unsigned field, bool udp);

/* The same, or leaves it to the device where that can do it. */
static inline void tx_checksum_tcp(struct rb_net *net, struct rb_net_frame *frame, unsigned l4, unsigned field)
{
	if (__builtin_expect((net->config.checksum_offload & RB_NET_CHECKSUM_TCP_FILL) != 0, 1))
		frame->checksum |= RB_NET_CHECKSUM_TCP_FILL;
	else
		tx_checksum(frame, l4, field, false);
}
