// SPDX-License-Identifier: Apache-2.0
/*
 * Segment delivery: the payload of segments as parts that refer to packet buffers. Parts in order hang in a ring at
 * rx_tail, oldest first, until the application has given their bytes back; parts beyond a gap lie sorted in a list at
 * ooo_head, never overlapping, until the gap closes. What SACK reports is read off that list (RFC 2018).
 */
#include "net/input.h"
#include "net/tcp_handle.h"
#include "net/tcp_parts.h"

#include <errno.h>

/* Is there a part? (Counted.) */
static bool part_left(struct rb_net *net)
{
	if (__builtin_expect(net->tcp.part_pool.free > 0, 1))
		return true;
	net->counters.tcp_parts_full++;
	return false;
}

static void part_free(struct rb_net *net, uint32_t index)
{
	input_release(net, tcp_part(net, index)->buffer);
	pool_put(&net->tcp.part_pool, index);
}

/*
 * Reassembly.
 */

/* RFC 2018 4: the block that this segment made or joined is reported first; blocks it swallowed are no more. */
static void sack_remember(struct tcb_cold *cold, struct tcp_range range)
{
	struct tcp_range kept[TCP_SACK_BLOCKS_MAX] = {range};
	unsigned count = 1;
	for (unsigned i = 0; i < cold->sack_count && count < TCP_SACK_BLOCKS_MAX; i++) {
		struct tcp_range old = cold->reported[i];
		if (seq_lt(old.right, range.left) || seq_lt(range.right, old.left))
			kept[count++] = old;
	}
	memcpy(cold->reported, kept, sizeof(kept));
	cold->sack_count = (uint8_t)count;
}

/* The contiguous run of parts around `index`, whose run begins at `run_left`. */
static struct tcp_range run_around(struct rb_net *net, uint32_t index, uint32_t run_left)
{
	struct tcp_range run = {.left = run_left};
	for (uint32_t at = index;; at = tcp_part(net, at)->next) {
		const struct tcp_part *part = tcp_part(net, at);
		run.right = part->seq + part->length;
		if (part->next == TCP_NONE || tcp_part(net, part->next)->seq != run.right)
			return run;
	}
}

/* Where a range fits into the sorted list. */
struct place {
	uint32_t before;   /* the last part that begins at or before it, or TCP_NONE */
	uint32_t run_left; /* where the contiguous run that ends with `before` begins */
};

/* Segments beyond a gap mostly follow each other: the list is searched from the last one on, or else from its head. */
static struct place place_find(struct rb_net *net, const struct tcb_cold *cold, uint32_t seq)
{
	struct place place = {.before = TCP_NONE, .run_left = seq};
	uint32_t end = 0, first = cold->ooo_head;
	if (cold->ooo_near != TCP_NONE && seq_le(tcp_part(net, cold->ooo_near)->seq, seq)) {
		const struct tcp_part *near = tcp_part(net, cold->ooo_near);
		place = (struct place){.before = cold->ooo_near, .run_left = cold->reported[0].left};
		end = near->seq + near->length;
		first = near->next;
	}
	for (uint32_t at = first; at != TCP_NONE; at = tcp_part(net, at)->next) {
		const struct tcp_part *part = tcp_part(net, at);
		if (seq_lt(seq, part->seq))
			break;
		if (place.before == TCP_NONE || part->seq != end)
			place.run_left = part->seq;
		end = part->seq + part->length;
		place.before = at;
	}
	return place;
}

static uint32_t *place_link(struct rb_net *net, struct tcb_cold *cold, uint32_t before)
{
	return before == TCP_NONE ? &cold->ooo_head : &tcp_part(net, before)->next;
}

/* RFC 2883 4: reports what came twice. */
static void report_duplicate(struct tcb *tcb, struct tcb_cold *cold, struct tcp_range twice)
{
	if (MECHANISM(dsack) && (tcb->flags & TCP_HAS_SACK) && twice.left != twice.right)
		cold->duplicate = twice;
}

/* Of several ranges that came twice in a segment the first one counts, as far as it reaches. */
static void range_extend(struct tcp_range *range, uint32_t left, uint32_t right)
{
	if (range->left == range->right)
		range->left = left;
	else if (range->right != left)
		return;
	range->right = right;
}

/*
 * Makes room in the list after `link` for `range`: parts that it covers whole go, and it ends where one begins that
 * reaches farther.
 */
static void later_clear(struct rb_net *net, uint32_t *link, struct tcp_range *range, struct tcp_range *twice)
{
	while (*link != TCP_NONE) {
		uint32_t index = *link;
		struct tcp_part *part = tcp_part(net, index);
		uint32_t end = part->seq + part->length;
		if (seq_le(range->right, part->seq))
			return;
		range_extend(twice, part->seq, seq_min(range->right, end));
		if (seq_lt(range->right, end)) {
			range->right = part->seq;
			return;
		}
		*link = part->next;
		part_free(net, index);
	}
}

/* A quarter of the parts is for what comes in order, or gaps could fill the pool and never close. */
static bool later_has_room(struct rb_net *net)
{
	const struct pool *pool = &net->tcp.part_pool;
	if (!MECHANISM(part_reserve) || pool_used(pool) < pool->count - pool->count / 4)
		return true;
	net->counters.tcp_parts_full++;
	return false;
}

/* Keeps a segment that lies beyond a gap. Returns whether its buffer is kept. */
static bool keep_for_later(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold,
			   const struct tcp_segment *segment)
{
	struct tcp_range range = {segment->seq, segment->seq + segment->length}, twice = {0};
	struct place place = place_find(net, cold, range.left);
	if (!later_has_room(net))
		return false;
	cold->ooo_near = TCP_NONE; /* it may go */
	if (place.before != TCP_NONE) {
		const struct tcp_part *before = tcp_part(net, place.before);
		uint32_t end = before->seq + before->length;
		if (seq_lt(end, range.left))
			place.run_left = range.left;
		if (seq_lt(range.left, end)) {
			twice = (struct tcp_range){range.left, seq_min(range.right, end)};
			range.left = twice.right;
		}
	}
	uint32_t *link = place_link(net, cold, place.before);
	if (range.left != range.right)
		later_clear(net, link, &range, &twice);
	report_duplicate(tcb, cold, twice);
	if (range.left == range.right) {
		net->counters.tcp_duplicates++;
		sack_remember(cold, run_around(net, place.before, place.run_left));
		cold->ooo_near = place.before;
		return false;
	}
	const uint8_t *data = segment->data + (range.left - segment->seq);
	if (!part_left(net))
		return false;
	uint32_t index = tcp_part_make(net, segment->ip->packet, data, range.left, range.right - range.left);
	tcp_part(net, index)->next = *link;
	*link = index;
	tcb->flags |= TCP_OUT_OF_ORDER;
	sack_remember(cold, run_around(net, index, place.run_left));
	cold->ooo_near = index;
	net->counters.tcp_out_of_order++;
	return true;
}

/* Moves what has come into order from the list to the ring. */
static void close_gap(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	while (cold->ooo_head != TCP_NONE) {
		uint32_t index = cold->ooo_head;
		struct tcp_part *part = tcp_part(net, index);
		if (seq_lt(tcb->rcv_nxt, part->seq))
			break;
		cold->ooo_head = part->next;
		if (cold->ooo_near == index)
			cold->ooo_near = TCP_NONE;
		uint32_t known = tcb->rcv_nxt - part->seq;
		if (known >= part->length) {
			part_free(net, index);
			continue;
		}
		part->seq += known;
		part->data += known;
		part->length -= known;
		part->next = index;
		tcp_part_append(net, tcb, index, part->length);
		tcp_part_untold(tcb, index);
	}
	unsigned count = 0;
	for (unsigned i = 0; i < cold->sack_count; i++) {
		if (seq_lt(tcb->rcv_nxt, cold->reported[i].left))
			cold->reported[count++] = cold->reported[i];
	}
	cold->sack_count = (uint8_t)count;
	if (cold->ooo_head == TCP_NONE && !cold->fin_early)
		tcb->flags &= ~(uint32_t)TCP_OUT_OF_ORDER;
}

static void later_drop(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	while (cold->ooo_head != TCP_NONE) {
		uint32_t index = cold->ooo_head;
		cold->ooo_head = tcp_part(net, index)->next;
		part_free(net, index);
	}
	cold->ooo_near = TCP_NONE;
	cold->sack_count = 0;
	tcb->flags &= ~(uint32_t)TCP_OUT_OF_ORDER;
}

/* Takes bytes that nobody will read, in order (RFC 9293 3.6.1: a full close of the application). */
static void discard(struct tcb *tcb, uint32_t bytes)
{
	tcb->rcv_nxt += bytes;
}

static bool deliver_in_order(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, struct tcp_segment *segment)
{
	if (tcb->flags & TCP_DISCARD) {
		discard(tcb, segment->length);
		return false;
	}
	if (!part_left(net))
		return false;
	uint32_t index = tcp_part_make(net, segment->ip->packet, segment->data, segment->seq, segment->length);
	tcp_part_append(net, tcb, index, segment->length);
	tcp_part_untold(tcb, index);
	tcp_ready(net, tcb);
	if (cold->ooo_head != TCP_NONE) {
		close_gap(net, tcb, cold);
		/* RFC 5681 4.2: a segment that fills a gap is acknowledged at once */
		if (MECHANISM(gap_ack))
			tcb->flags |= TCP_ACK_NOW;
	}
	return true;
}

/* Cuts what was delivered before. */
static void cut_old(struct tcb *tcb, struct tcb_cold *cold, struct tcp_segment *segment)
{
	uint32_t old = tcb->rcv_nxt - segment->seq, cut = old < segment->length ? old : segment->length;
	report_duplicate(tcb, cold, (struct tcp_range){segment->seq, segment->seq + cut});
	segment->seq += cut;
	segment->data += cut;
	segment->length -= cut;
	tcb->flags |= TCP_ACK_NOW;
}

static void take_fin(struct rb_net *net, struct tcb *tcb)
{
	tcb->rcv_nxt++;
	if (tcb->flags & TCP_OUT_OF_ORDER) {
		struct tcb_cold *cold = tcp_cold(net, tcb);
		cold->fin_early = false;
		later_drop(net, tcb, cold); /* what lies beyond a FIN is nothing */
	}
	tcb->flags |= TCP_FIN_RECEIVED | TCP_SLOW;
	tcp_ack_now(net, tcb);
}

/* Has the peer's stream come to its end? `fin`: this segment says that it ends at `end`; a gap may be before it. */
static bool deliver_fin(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, bool fin, uint32_t end)
{
	if (tcb->flags & TCP_FIN_RECEIVED)
		return false;
	if (MECHANISM(early_fin) && fin && seq_lt(tcb->rcv_nxt, end)) {
		cold->fin_early = true;
		cold->fin_at = end;
		tcb->flags |= TCP_OUT_OF_ORDER; /* keeps what closes the gap from the short way */
	}
	if (!(fin && end == tcb->rcv_nxt) && !(cold->fin_early && cold->fin_at == tcb->rcv_nxt))
		return false;
	take_fin(net, tcb);
	return true;
}

unsigned tcp_deliver(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t rcv_nxt = tcb->rcv_nxt;
	bool kept = false, fin = segment->flags & TCP_FIN;
	uint32_t end = segment->seq + segment->length; /* before the FIN */

	if (segment->length == 0 && !fin)
		return TCP_DELIVERY_DROPPED;
	tcp_pend(net, tcb);
	if (seq_lt(segment->seq, tcb->rcv_nxt))
		cut_old(tcb, cold, segment);
	if (segment->length > 0 && segment->seq == tcb->rcv_nxt)
		kept = deliver_in_order(net, tcb, cold, segment);
	else if (MECHANISM(reassembly) && segment->length > 0 && !(tcb->flags & TCP_DISCARD))
		kept = keep_for_later(net, tcb, cold, segment);
	if (tcb->rcv_nxt == rcv_nxt || segment->length == 0) {
		/* RFC 5681 4.2: out of order, or a duplicate: at once */
		tcb->flags |= TCP_ACK_NOW;
	} else {
		tcb->flags = tcp_ack_later(tcb->flags);
	}
	if (deliver_fin(net, tcb, cold, fin, end))
		return TCP_DELIVERY_FIN | (kept ? TCP_DELIVERY_KEPT : 0U);
	return kept ? TCP_DELIVERY_KEPT : TCP_DELIVERY_DROPPED;
}

/*
 * What is told to the peer.
 */

unsigned tcp_sack_report(struct rb_net *net, struct tcb *tcb, struct tcp_range *blocks, unsigned max)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	unsigned count = 0;
	if (cold->duplicate.left != cold->duplicate.right && count < max) {
		blocks[count++] = cold->duplicate;
		cold->duplicate.right = cold->duplicate.left;
	}
	for (unsigned i = 0; MECHANISM(sack_blocks) && i < cold->sack_count && count < max; i++)
		blocks[count++] = cold->reported[i];
	return count;
}

uint32_t tcp_window_offer(struct rb_net *net, struct tcb *tcb)
{
	uint32_t offered = seq_lt(tcb->rcv_nxt, tcb->rcv_adv) ? tcb->rcv_adv - tcb->rcv_nxt : 0;
	if (tcb->rcv_space > offered &&
	    (tcp_window_worth(net, tcb, tcb->rcv_space - offered) || !MECHANISM(receiver_sws)))
		return tcp_window_extend(tcb, offered);
	return offered;
}

bool tcp_window_opened(const struct rb_net *net, const struct tcb *tcb)
{
	uint32_t offered = seq_lt(tcb->rcv_nxt, tcb->rcv_adv) ? tcb->rcv_adv - tcb->rcv_nxt : 0;
	if (tcb->rcv_space <= offered)
		return false;
	/* a segment of its own for it only when the peer may be about to run out, or every two segments */
	uint32_t more = tcb->rcv_space - offered, half = net->config.receive_window / 2;
	uint32_t two = 2U * tcb->mss;
	return more >= (half < two ? half : two);
}

void tcp_deliver_drop_all(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	tcp_untell(net, tcb);
	later_drop(net, tcb, cold);
	while (tcb->rx_tail != TCP_NONE) {
		uint32_t index = tcp_part(net, tcb->rx_tail)->next;
		tcp_part(net, tcb->rx_tail)->next = tcp_part(net, index)->next;
		if (index == tcb->rx_tail)
			tcb->rx_tail = TCP_NONE;
		part_free(net, index);
	}
	tcb->rx_event = TCP_NONE;
}

void tcp_deliver_drop_untold(struct rb_net *net, struct tcb *tcb)
{
	if (net->tcp.told_taken != net->tcp.told_count)
		tcp_untell(net, tcb);
	if (tcb->rx_event == TCP_NONE)
		return;
	const uint32_t first = tcp_part(net, tcb->rx_tail)->next, last = tcb->rx_tail;
	uint32_t told = TCP_NONE; /* the last that was */
	for (uint32_t at = first; at != tcb->rx_event; at = tcp_part(net, at)->next)
		told = at;
	for (uint32_t at = tcb->rx_event, next;; at = next) {
		next = tcp_part(net, at)->next;
		part_free(net, at);
		if (at == last)
			break;
	}
	if (told != TCP_NONE)
		tcp_part(net, told)->next = first;
	tcb->rx_tail = told;
	tcb->rx_event = TCP_NONE;
}

/* Gives back `bytes` of the oldest part; the part goes when these are its last. */
static void give_back(struct rb_net *net, struct tcb *tcb, uint32_t bytes)
{
	uint32_t index = tcp_part(net, tcb->rx_tail)->next;
	struct tcp_part *part = tcp_part(net, index);
	if (bytes < part->length) {
		part->length -= bytes;
		part->seq += bytes;
		part->data += bytes;
		return;
	}
	tcp_part(net, tcb->rx_tail)->next = part->next;
	if (index == tcb->rx_tail)
		tcb->rx_tail = TCP_NONE;
	part_free(net, index);
}

/* Received bytes of events that were made, and that the application has not taken: its newest. */
static uint32_t not_taken(const struct rb_net *net, const struct tcb *tcb)
{
	const struct tcp *tcp = &net->tcp;
	const rb_net_handle handle = tcp_handle_of(net, tcb);
	uint32_t bytes = 0;
	for (uint32_t i = tcp->told_taken; i < tcp->told_count; i++) {
		if (tcp->told[i].handle == handle && (tcp->told[i].bits & RB_NET_RECEIVED))
			bytes += (uint32_t)tcp->told[i].length;
	}
	return bytes;
}

bool tcp_were_told(struct rb_net *net, const struct tcb *tcb, uint32_t bytes)
{
	uint64_t left = bytes;
	if (bytes == 0)
		return true;
	if (net->tcp.told_taken != net->tcp.told_count)
		left += not_taken(net, tcb);
	if (tcb->rx_tail == TCP_NONE)
		return false;
	uint32_t first = tcp_part(net, tcb->rx_tail)->next, at = first;
	do {
		const struct tcp_part *part = tcp_part(net, at);
		if (at == tcb->rx_event)
			return false;
		if (left <= part->length)
			return true;
		left -= part->length;
		at = part->next;
	} while (at != first);
	return false;
}

void tcp_give_back(struct rb_net *net, struct tcb *tcb, uint32_t bytes)
{
	tcb->rcv_space += bytes;
	while (bytes > 0) {
		uint32_t first = tcp_part(net, tcp_part(net, tcb->rx_tail)->next)->length;
		uint32_t now = bytes < first ? bytes : first;
		give_back(net, tcb, now);
		bytes -= now;
	}
	if (!(tcb->flags & TCP_FIN_RECEIVED) && tcp_window_opened(net, tcb))
		tcp_ack_now(net, tcb);
	if (tcb->flags & TCP_FINISHED)
		tcp_ready(net, tcb); /* CLOSED waits for the last byte to be given back */
}

static __attribute__((noinline)) int received_any(struct rb_net *net, struct tcb *tcb, uint32_t bytes)
{
	if (!tcp_were_told(net, tcb, bytes))
		return -EINVAL;
	tcp_give_back(net, tcb, bytes);
	return 0;
}

int rb_net_received(struct rb_net *net, rb_net_handle handle, uint32_t bytes)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	if (tcb == NULL)
		return -EBADF;
	/* nearly always: all there is, which is one part, and a flush that will look at the window is due anyway */
	const uint32_t due = TCP_PENDING | TCP_ACK_DELAYED;
	uint32_t tail = tcb->rx_tail;
	if (__builtin_expect((tcb->flags & (TCP_FINISHED | due)) != due || tail == TCP_NONE ||
				     tcb->rx_event != TCP_NONE || net->tcp.told_taken != net->tcp.told_count,
			     0))
		return received_any(net, tcb, bytes);
	const struct tcp_part *part = tcp_part(net, tail);
	if (__builtin_expect(part->next != tail || part->length != bytes, 0))
		return received_any(net, tcb, bytes);
	tcb->rx_tail = TCP_NONE;
	tcb->rcv_space += bytes;
	pool_put(&net->tcp.part_pool, tail);
	input_release(net, part->buffer);
	return 0;
}
