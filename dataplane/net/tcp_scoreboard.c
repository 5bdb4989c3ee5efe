// SPDX-License-Identifier: Apache-2.0
/*
 * The scoreboard: which pieces the peer has beyond a gap (RFC 2018), which are lost, which were sent again. While there
 * is nothing to mark, there is no scoreboard: pieces then leave in the order in which they came, which is also the
 * order of their transmission. With the first mark that order is written down as a list of its own, in which a piece
 * that is sent again moves to the end (RFC 8985 6.2 walks it).
 */
#include "net/tcp_parts.h"

static void time_append(struct rb_net *net, struct tcb_cold *cold, uint32_t index)
{
	struct tcp_piece *piece = tcp_piece(net, index);
	piece->time_prev = cold->time_tail;
	piece->time_next = TCP_NONE;
	if (cold->time_tail == TCP_NONE)
		cold->time_head = index;
	else
		tcp_piece(net, cold->time_tail)->time_next = index;
	cold->time_tail = index;
}

static void time_remove(struct rb_net *net, struct tcb_cold *cold, uint32_t index)
{
	struct tcp_piece *piece = tcp_piece(net, index);
	if (piece->time_prev == TCP_NONE)
		cold->time_head = piece->time_next;
	else
		tcp_piece(net, piece->time_prev)->time_next = piece->time_next;
	if (piece->time_next == TCP_NONE)
		cold->time_tail = piece->time_prev;
	else
		tcp_piece(net, piece->time_next)->time_prev = piece->time_prev;
}

void tcp_scoreboard_begin(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	if (tcb->flags & TCP_SCOREBOARD)
		return;
	tcb->flags |= TCP_SCOREBOARD;
	cold->time_head = cold->time_tail = TCP_NONE;
	cold->sacked = cold->lost = cold->resent = 0;
	cold->high_sacked = cold->rack_fack = tcb->snd_una;
	cold->rack_xmit_us = 0;
	cold->rack_end_seq = tcb->snd_una;
	cold->rack_rtt_us = 0;
	for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next)
		time_append(net, cold, at);
}

void tcp_scoreboard_end(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	if ((tcb->flags & (TCP_SCOREBOARD | TCP_RECOVERY | TCP_LOSS)) != TCP_SCOREBOARD || cold->sacked > 0 ||
	    cold->lost > 0 || cold->resent > 0)
		return; /* what was sent again and is still under way keeps its place in the order */
	tcb->flags &= ~(uint32_t)TCP_SCOREBOARD;
}

void tcp_scoreboard_leave(struct rb_net *net, struct tcb *tcb, uint32_t index)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	struct tcp_piece *piece = tcp_piece(net, index);
	if (piece->flags & TCP_PIECE_SACKED) {
		cold->sacked -= tcp_piece_length(piece);
	} else {
		if (piece->flags & TCP_PIECE_LOST)
			cold->lost -= tcp_piece_length(piece);
		tcp_rack_delivered(net, tcb, piece);
	}
	if (piece->flags & TCP_PIECE_RESENT)
		cold->resent--;
	time_remove(net, cold, index);
}

void tcp_scoreboard_sent(struct rb_net *net, struct tcb *tcb, uint32_t index)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	struct tcp_piece *piece = tcp_piece(net, index);
	if (piece->flags & TCP_PIECE_SENT) {
		time_remove(net, cold, index);
		if (!(piece->flags & TCP_PIECE_RESENT))
			cold->resent++;
		piece->flags |= TCP_PIECE_RESENT;
	}
	if (piece->flags & TCP_PIECE_LOST) {
		piece->flags &= (uint8_t)~TCP_PIECE_LOST;
		cold->lost -= tcp_piece_length(piece);
	}
	time_append(net, cold, index);
}

void tcp_scoreboard_lose(struct rb_net *net, struct tcb *tcb, uint32_t index)
{
	struct tcp_piece *piece = tcp_piece(net, index);
	RB_DEBUG_ASSERT(tcb->flags & TCP_SCOREBOARD);
	if (piece->flags & (TCP_PIECE_LOST | TCP_PIECE_SACKED))
		return;
	piece->flags |= TCP_PIECE_LOST;
	tcp_cold(net, tcb)->lost += tcp_piece_length(piece);
	tcp_pend(net, tcb);
}

/* Marks what one block covers whole; a piece that it covers in part counts as not received (RFC 2018 5). */
static void sack_block(struct rb_net *net, struct tcb *tcb, struct tcp_range block, struct tcp_sacked *sacked)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next) {
		struct tcp_piece *piece = tcp_piece(net, at);
		uint32_t end = tcp_piece_end(piece);
		if (seq_lt(block.right, end))
			break;
		if (seq_lt(piece->seq, block.left) || (piece->flags & TCP_PIECE_SACKED))
			continue;
		uint32_t length = tcp_piece_length(piece);
		if (piece->flags & TCP_PIECE_LOST)
			cold->lost -= length;
		piece->flags = (uint8_t)((piece->flags & ~TCP_PIECE_LOST) | TCP_PIECE_SACKED);
		cold->sacked += length;
		sacked->bytes += length;
		cold->high_sacked = seq_max(cold->high_sacked, end);
		tcp_rack_delivered(net, tcb, piece);
	}
}

void tcp_scoreboard_sack(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment,
			 struct tcp_sacked *sacked)
{
	for (unsigned i = 0; i < segment->sack_count; i++) {
		struct tcp_range block = segment->sacks[i];
		/* RFC 2883 4: the first block tells of a duplicate when it is below the acknowledgement, or within
		 * the second block */
		if (i == 0 && (seq_le(block.right, segment->ack) ||
			       (segment->sack_count > 1 && seq_le(segment->sacks[1].left, block.left) &&
				seq_le(block.right, segment->sacks[1].right)))) {
			sacked->has_duplicate = seq_lt(tcb->snd_una - tcp_cold(net, tcb)->snd_max_wnd, block.right);
			sacked->duplicate = block.right;
			continue;
		}
		/* what was never sent, or is acknowledged, says nothing */
		if (seq_lt(tcb->snd_nxt, block.right) || seq_le(block.right, tcb->snd_una))
			continue;
		tcp_scoreboard_begin(net, tcb);
		sack_block(net, tcb, block, sacked);
	}
}

bool tcp_piece_split(struct rb_net *net, struct tcb *tcb, uint32_t index, uint32_t bytes)
{
	struct pool *pool = &net->tcp.piece_pool;
	/* each connection has one in reserve, so that all get on, however full the pool is (tcp_lay()) */
	if (pool->used >= net->config.send_pieces && tcb->snd_nxt != tcb->snd_una)
		return false;
	uint32_t rest_index = pool_get(pool);
	RB_ASSERT_NE(rest_index, POOL_NONE);
	struct tcp_piece *piece = tcp_piece(net, index), *rest = tcp_piece(net, rest_index);
	RB_DEBUG_ASSERT(bytes > 0 && bytes < piece->length);
	*rest = *piece;
	rest->base += bytes;
	rest->seq += bytes;
	rest->length -= bytes;
	piece->length = bytes;
	piece->next = rest_index;
	if (tcb->tx_tail == index)
		tcb->tx_tail = rest_index;
	if ((tcb->flags & TCP_SCOREBOARD) && (piece->flags & TCP_PIECE_SENT)) {
		/* the rest was sent at the same time */
		struct tcb_cold *cold = tcp_cold(net, tcb);
		if (piece->flags & TCP_PIECE_RESENT)
			cold->resent++;
		rest->time_prev = index;
		rest->time_next = piece->time_next;
		if (piece->time_next == TCP_NONE)
			cold->time_tail = rest_index;
		else
			tcp_piece(net, piece->time_next)->time_prev = rest_index;
		piece->time_next = rest_index;
	}
	return true;
}
