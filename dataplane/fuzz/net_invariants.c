// SPDX-License-Identifier: Apache-2.0
#include "fuzz/net_invariants.h"

#include "net/tcp_handle.h"

/* All connections together. */
struct totals {
	uint32_t tcbs, open, pieces, parts, pending, ready, time_wait;
};

/* The send queue: contiguous, from SND.UNA to the end, what was sent first; its marks add up. */
static void check_pieces(struct rb_net *net, const struct tcb *tcb, struct totals *totals)
{
	const struct tcb_cold *cold = tcp_cold(net, tcb);
	bool syn = tcb->state == TCP_SYN_SENT || tcb->state == TCP_SYN_RECEIVED; /* it is no piece */
	uint32_t next = tcb->snd_una + syn, last = TCP_NONE, sacked = 0, lost = 0, resent = 0;
	bool fin = false, unsent = false;
	for (uint32_t at = tcb->tx_head; at != TCP_NONE; at = tcp_piece(net, at)->next) {
		const struct tcp_piece *piece = tcp_piece(net, at);
		RB_ASSERT(!fin);
		RB_ASSERT_EQ(piece->seq, next);
		RB_ASSERT(tcp_piece_length(piece) > 0);
		if (at == tcb->tx_next) {
			unsent = true;
			RB_ASSERT_EQ(piece->seq, tcb->snd_nxt);
		}
		RB_ASSERT_EQ(unsent, !(piece->flags & TCP_PIECE_SENT));
		fin = piece->flags & TCP_PIECE_FIN;
		next = tcp_piece_end(piece);
		sacked += piece->flags & TCP_PIECE_SACKED ? tcp_piece_length(piece) : 0;
		lost += piece->flags & TCP_PIECE_LOST ? tcp_piece_length(piece) : 0;
		resent += (piece->flags & TCP_PIECE_RESENT) != 0;
		last = at;
		totals->pieces++;
	}
	RB_ASSERT_EQ(last, tcb->tx_tail);
	RB_ASSERT_EQ(unsent, tcb->tx_next != TCP_NONE);
	if (tcb->tx_head != TCP_NONE)
		RB_ASSERT_EQ(next, tcb->snd_end + fin);
	if (tcb->flags & TCP_SCOREBOARD) {
		RB_ASSERT_EQ(sacked, cold->sacked);
		RB_ASSERT_EQ(lost, cold->lost);
		RB_ASSERT_EQ(resent, cold->resent);
		RB_ASSERT_LE(sacked + lost, tcb->snd_nxt - tcb->snd_una);
	}
	RB_ASSERT(seq_le(tcb->snd_una, tcb->snd_nxt));
	/* what is foreseen of the window is the window */
	if (tcb->foreseen != 0)
		RB_ASSERT_EQ((tcb->foreseen & UINT16_MAX) << tcp_snd_scale(tcb), tcb->snd_wnd);
}

/* What is in order: a ring that ends at RCV.NXT, and takes its part of the window; of a connection that has ended, less. */
static void check_ring(struct rb_net *net, const struct tcb *tcb, struct totals *totals)
{
	const struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t bytes = 0, next = 0;
	bool told = tcb->rx_event != TCP_NONE;
	if (tcb->rx_tail != TCP_NONE) {
		uint32_t at = tcb->rx_tail;
		do {
			at = tcp_part(net, at)->next;
			const struct tcp_part *part = tcp_part(net, at);
			RB_ASSERT(part->length > 0);
			if (bytes > 0)
				RB_ASSERT_EQ(part->seq, next);
			next = part->seq + part->length;
			bytes += part->length;
			told = told && at != tcb->rx_event;
			totals->parts++;
		} while (at != tcb->rx_tail);
		const uint32_t end = tcb->rcv_nxt - ((tcb->flags & TCP_FIN_RECEIVED) != 0);
		/* one that was aborted has only what was told */
		RB_ASSERT(tcb->state == TCP_CLOSED ? seq_le(next, end) : next == end);
	}
	RB_ASSERT(!told); /* the event's part is in the ring */
	if (tcb->state != TCP_CLOSED)
		RB_ASSERT_EQ(bytes, cold->rcv_window - tcb->rcv_space);
}

/* What is beyond gaps: sorted, apart from each other, in the window; SACK blocks are made of it. */
static void check_later(struct rb_net *net, const struct tcb *tcb, struct totals *totals)
{
	const struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t edge = tcb->rcv_nxt + 1;
	bool near = cold->ooo_near == TCP_NONE;
	for (uint32_t at = cold->ooo_head; at != TCP_NONE; at = tcp_part(net, at)->next) {
		const struct tcp_part *part = tcp_part(net, at);
		RB_ASSERT(part->length > 0);
		RB_ASSERT(seq_le(edge, part->seq));
		edge = part->seq + part->length;
		RB_ASSERT(seq_le(edge, tcb->rcv_adv));
		totals->parts++;
		near |= at == cold->ooo_near && cold->sack_count > 0 && seq_le(cold->reported[0].left, part->seq) &&
			seq_le(edge, cold->reported[0].right);
	}
	RB_ASSERT(near);
	RB_ASSERT(cold->ooo_head == TCP_NONE || (tcb->flags & TCP_OUT_OF_ORDER));
	for (unsigned i = 0; i < cold->sack_count; i++) {
		RB_ASSERT(seq_lt(tcb->rcv_nxt, cold->reported[i].left));
		RB_ASSERT(seq_lt(cold->reported[i].left, cold->reported[i].right));
		RB_ASSERT(seq_le(cold->reported[i].right, edge));
	}
}

static void check_tcb(struct rb_net *net, uint32_t index, struct totals *totals)
{
	const struct tcb *tcb = tcp_tcb(net, index);
	totals->tcbs++;
	totals->open += tcb->state != TCP_CLOSED;
	totals->pending += (tcb->flags & TCP_PENDING) != 0;
	totals->ready += (tcb->flags & TCP_READY) != 0;
	totals->time_wait += tcb->state == TCP_TIME_WAIT;
	RB_ASSERT_LE(tcb->state, (unsigned)TCP_TIME_WAIT);
	check_pieces(net, tcb, totals);
	check_ring(net, tcb, totals);
	check_later(net, tcb, totals);
	/* a deadline has an entry in the wheel, which is not later */
	if (tcb->flags & TCP_REXMT_ARMED) {
		RB_ASSERT(rb_wheel_armed(&net->tcp.wheel, index));
		RB_ASSERT(tcb->timer != TCP_TIMER_SENT ? seq_le((uint32_t)rb_wheel_at(&net->tcp.wheel, index),
								seq_max(tcb->rexmt_at, (uint32_t)net->tcp.tick))
						       : tcb->timed);
	}
	/* what waits for an answer, or for its end, has a deadline */
	bool waits = tcb->state == TCP_SYN_SENT || tcb->state == TCP_SYN_RECEIVED || tcb->state == TCP_TIME_WAIT ||
		     (tcb->state != TCP_CLOSED && tcb->snd_una != tcb->snd_nxt);
	RB_ASSERT(!waits || (tcb->flags & (TCP_REXMT_ARMED | TCP_PENDING)));
}

/* Ends that were told and not taken: the TCB is there still, and there is nothing more to tell of it. */
static void check_ends(struct rb_net *net)
{
	const struct tcp *tcp = &net->tcp;
	uint32_t ends = 0;
	for (uint32_t i = tcp->told_taken; i < tcp->told_count; i++) {
		if (!(tcp->told[i].bits & RB_NET_CLOSED))
			continue;
		const struct tcb *tcb = tcp_of_handle(net, tcp->told[i].handle);
		RB_ASSERT(tcb != NULL && tcb->state == TCP_CLOSED && !(tcb->flags & TCP_FINISHED));
		ends++;
	}
	RB_ASSERT_EQ(ends, tcp->told_ends);
}

void net_invariants_check(struct rb_net *net)
{
	const struct tcp *tcp = &net->tcp;
	struct totals totals = {0};
	for (uint32_t index = 0; index < tcp->tcb_pool.count; index++) {
		if (tcb_in_use(&tcp->tcbs[index]))
			check_tcb(net, index, &totals);
	}
	RB_ASSERT_EQ(totals.tcbs, pool_used(&tcp->tcb_pool));
	RB_ASSERT_EQ(totals.open, tcp->flows.used);
	RB_ASSERT_EQ(totals.pieces, pool_used(&tcp->piece_pool));
	RB_ASSERT_EQ(totals.parts, pool_used(&tcp->part_pool));
	RB_ASSERT_EQ(totals.pending, tcp_ring_count(&tcp->pending));
	RB_ASSERT_EQ(totals.ready, tcp_ring_count(&tcp->ready));
	RB_ASSERT_EQ(totals.time_wait, tcp->time_wait.count);
	check_ends(net);
	for (uint32_t i = 0; i < tcp->listener_pool.count; i++) {
		if (!tcp->listeners[i].used)
			continue;
		uint32_t half_open = 0, waiting = 0;
		for (uint32_t at = 0; at < tcp->tcb_pool.count; at++) {
			if (!tcb_in_use(&tcp->tcbs[at]) || tcp->colds[at].listener != i)
				continue;
			half_open += tcp->tcbs[at].state == TCP_SYN_RECEIVED;
			waiting++;
		}
		RB_ASSERT_EQ(half_open, tcp->listeners[i].syn_received);
		RB_ASSERT_EQ(waiting, tcp->listeners[i].waiting);
	}
}
