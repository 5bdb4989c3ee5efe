// SPDX-License-Identifier: Apache-2.0
/*
 * The scoreboard: which pieces the peer has beyond a gap (RFC 2018), which are lost, which were sent again. While there
 * is nothing to mark, there is no scoreboard: pieces then leave in the order in which they came, which is also the
 * order of their transmission. With the first mark that order is written down as a list of its own, of the pieces that
 * may still be under way: one that is sacked or lost leaves it, one that is sent again is at its end (RFC 8985 6.2 walks
 * it).
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
	cold->scoreboard_end = tcb->snd_nxt;
	cold->lost_from = cold->sack_from = TCP_NONE;
	memset(cold->sacks_seen, 0, sizeof(cold->sacks_seen));
	cold->sacked = cold->lost = cold->resent = 0;
	cold->rack_fack = tcb->snd_una;
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
	/* to begin costs a walk over all that is outstanding: not twice for the same, whatever the peer sends */
	if (seq_lt(tcb->snd_una, cold->scoreboard_end))
		return;
	tcb->flags &= ~(uint32_t)TCP_SCOREBOARD;
}

void tcp_scoreboard_leave(struct rb_net *net, struct tcb *tcb, uint32_t index, uint32_t echo_age_us)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	struct tcp_piece *piece = tcp_piece(net, index);
	if (tcp_piece_timed(piece))
		time_remove(net, cold, index);
	if (piece->flags & TCP_PIECE_SACKED) {
		cold->sacked -= tcp_piece_length(piece);
	} else {
		if (piece->flags & TCP_PIECE_LOST)
			cold->lost -= tcp_piece_length(piece);
		tcp_rack_delivered(net, tcb, piece, echo_age_us);
	}
	if (piece->flags & TCP_PIECE_RESENT)
		cold->resent--;
	if (cold->lost_from == index)
		cold->lost_from = TCP_NONE;
	if (cold->sack_from == index)
		cold->sack_from = TCP_NONE;
}

void tcp_scoreboard_sent(struct rb_net *net, struct tcb *tcb, uint32_t index)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	struct tcp_piece *piece = tcp_piece(net, index);
	if (tcp_piece_timed(piece))
		time_remove(net, cold, index);
	if ((piece->flags & (TCP_PIECE_SENT | TCP_PIECE_RESENT)) == TCP_PIECE_SENT) {
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
	struct tcb_cold *cold = tcp_cold(net, tcb);
	struct tcp_piece *piece = tcp_piece(net, index);
	RB_DEBUG_ASSERT(tcb->flags & TCP_SCOREBOARD);
	if (piece->flags & (TCP_PIECE_LOST | TCP_PIECE_SACKED))
		return;
	time_remove(net, cold, index);
	piece->flags |= TCP_PIECE_LOST;
	if (cold->lost == 0 ||
	    (cold->lost_from != TCP_NONE && seq_lt(piece->seq, tcp_piece(net, cold->lost_from)->seq)))
		cold->lost_from = index;
	cold->lost += tcp_piece_length(piece);
	tcp_pend(net, tcb);
}

uint32_t tcp_scoreboard_first_lost(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	if (cold->lost == 0)
		return TCP_NONE;
	uint32_t at = cold->lost_from == TCP_NONE ? tcb->tx_head : cold->lost_from;
	while ((tcp_piece(net, at)->flags & TCP_PIECE_LOST) == 0)
		at = tcp_piece(net, at)->next;
	cold->lost_from = at;
	return at;
}

void tcp_scoreboard_forget_sacks(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next) {
		struct tcp_piece *piece = tcp_piece(net, at);
		if ((piece->flags & TCP_PIECE_SACKED) == 0)
			continue;
		piece->flags &= (uint8_t)~TCP_PIECE_SACKED;
		time_append(net, cold, at);
	}
	cold->sacked = 0;
	cold->sack_from = TCP_NONE;
	memset(cold->sacks_seen, 0, sizeof(cold->sacks_seen));
}

/*
 * SACK blocks. Nearly always a block is one of the last acknowledgement's, or one of those that has grown at its right
 * end: only what is new is looked for, and from where the last search ended. A search is bounded, so that no peer can
 * buy much work with a segment; the next acknowledgement goes on where this one's ended.
 */

enum { SACK_STEPS_MAX = 1024 }; /* pieces looked at for one segment */

static void piece_sacked(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t at,
			 struct tcp_sacked *sacked)
{
	struct tcp_piece *piece = tcp_piece(net, at);
	uint32_t length = tcp_piece_length(piece);
	if (tcp_piece_timed(piece))
		time_remove(net, cold, at);
	if (piece->flags & TCP_PIECE_LOST)
		cold->lost -= length;
	piece->flags = (uint8_t)((piece->flags & ~TCP_PIECE_LOST) | TCP_PIECE_SACKED);
	cold->sacked += length;
	sacked->bytes += length;
	/* no echo: it is of what was received before the gap (RFC 7323 4.3), so that it always seems an earlier one's */
	tcp_rack_delivered(net, tcb, piece, 0);
}

/*
 * Marks what a block covers whole, looking from `from` on; a piece that it covers in part counts as not received (RFC
 * 2018 5). Returns how far it has come.
 */
static uint32_t sack_block(struct rb_net *net, struct tcb *tcb, struct tcp_range block, uint32_t from, unsigned *steps,
			   struct tcp_sacked *sacked)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t at = cold->sack_from;
	if (at == TCP_NONE || seq_lt(from, tcp_piece(net, at)->seq))
		at = tcb->tx_head;
	while (at != tcb->tx_next) {
		const struct tcp_piece *piece = tcp_piece(net, at);
		if (seq_lt(block.right, tcp_piece_end(piece)))
			break;
		cold->sack_from = at;
		if ((*steps)++ == SACK_STEPS_MAX)
			return piece->seq;
		if (seq_le(block.left, piece->seq) && !(piece->flags & TCP_PIECE_SACKED))
			piece_sacked(net, tcb, cold, at, sacked);
		at = piece->next;
	}
	return block.right;
}

/* Where the part of a block begins that the last acknowledgement did not tell. */
static uint32_t block_news(const struct tcb_cold *cold, struct tcp_range block)
{
	for (unsigned i = 0; i < TCP_SACK_BLOCKS_MAX; i++) {
		const struct tcp_range *seen = &cold->sacks_seen[i];
		if (seq_le(seen->left, block.left) && seq_lt(block.left, seen->right))
			return seq_min(seen->right, block.right);
	}
	return block.left;
}

/* Is it about data that was sent and not acknowledged? Who has the byte at SND.UNA would have acknowledged it. */
static bool block_is_valid(const struct tcb *tcb, struct tcp_range block)
{
	uint32_t left = block.left - tcb->snd_una, right = block.right - tcb->snd_una;
	return left > 0 && left < right && right <= tcb->snd_nxt - tcb->snd_una;
}

/*
 * RFC 2883 4: the first block tells of a duplicate when it is below the acknowledgement, or within the second block.
 * One that is older than any window tells of nothing.
 */
static bool is_duplicate(const struct tcb *tcb, const struct tcb_cold *cold, const struct tcp_segment *segment)
{
	const struct tcp_range *first = &segment->sacks[0], *second = &segment->sacks[1];
	if (!seq_between(first->right, tcb->snd_una - cold->snd_max_wnd, tcb->snd_nxt))
		return false;
	return seq_le(first->right, segment->ack) ||
	       (segment->sack_count > 1 && seq_le(second->left, first->left) && seq_le(first->right, second->right));
}

void tcp_scoreboard_sack(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment,
			 struct tcp_sacked *sacked)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	struct tcp_range blocks[TCP_SACK_BLOCKS_MAX], seen[TCP_SACK_BLOCKS_MAX] = {0};
	unsigned count = 0, steps = 0, i = 0;

	if (is_duplicate(tcb, cold, segment)) {
		sacked->has_duplicate = true;
		sacked->duplicate = segment->sacks[0].right;
		i = 1;
	}
	/* in sequence, so that what one acknowledgement tells does not look reordered (RFC 8985 6.2, step 3) */
	for (; i < segment->sack_count; i++) {
		if (!block_is_valid(tcb, segment->sacks[i]))
			continue;
		unsigned place = count++;
		for (; place > 0 && seq_lt(segment->sacks[i].left, blocks[place - 1].left); place--)
			blocks[place] = blocks[place - 1];
		blocks[place] = segment->sacks[i];
	}
	if (count == 0)
		return;
	tcp_scoreboard_begin(net, tcb);
	for (i = 0; i < count; i++) {
		uint32_t from = block_news(cold, blocks[i]);
		if (from != blocks[i].right)
			from = sack_block(net, tcb, blocks[i], from, &steps, sacked);
		if (seq_lt(blocks[i].left, from))
			seen[i] = (struct tcp_range){blocks[i].left, from};
	}
	memcpy(cold->sacks_seen, seen, sizeof(seen));
}

/* What was never sent, and cut before: its rest takes what is too much, and no piece is used up. */
static bool split_again(struct rb_net *net, struct tcp_piece *piece, uint32_t bytes)
{
	if (piece->next == TCP_NONE || (piece->flags & TCP_PIECE_SENT))
		return false;
	struct tcp_piece *rest = tcp_piece(net, piece->next);
	uint32_t more = piece->length - bytes;
	if ((rest->flags & TCP_PIECE_FIN) || rest->base != piece->base + piece->length ||
	    more > UINT32_MAX - rest->length)
		return false;
	rest->base -= more;
	rest->seq -= more;
	rest->length += more;
	piece->length = bytes;
	return true;
}

bool tcp_piece_split(struct rb_net *net, struct tcb *tcb, uint32_t index, uint32_t bytes)
{
	struct pool *pool = &net->tcp.piece_pool;
	struct tcp_piece *piece = tcp_piece(net, index);
	RB_DEBUG_ASSERT(bytes > 0 && bytes < piece->length);
	if (split_again(net, piece, bytes))
		return true;
	/* each connection has one in reserve, so that all get on, however full the pool is (tcp_lay()) */
	if (pool_used(pool) >= net->config.send_pieces && tcp_pipe(net, tcb) > 0)
		return false;
	uint32_t rest_index = pool_get(pool);
	if (rest_index == POOL_NONE)
		return false;
	struct tcp_piece *rest = tcp_piece(net, rest_index);
	*rest = *piece;
	rest->base += bytes;
	rest->seq += bytes;
	rest->length -= bytes;
	piece->length = bytes;
	piece->next = rest_index;
	if (tcb->tx_tail == index)
		tcb->tx_tail = rest_index;
	struct tcb_cold *cold = tcp_cold(net, tcb);
	if ((tcb->flags & TCP_SCOREBOARD) && (piece->flags & TCP_PIECE_RESENT))
		cold->resent++;
	if ((tcb->flags & TCP_SCOREBOARD) && tcp_piece_timed(piece)) {
		/* the rest was sent at the same time */
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
