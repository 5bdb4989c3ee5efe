// SPDX-License-Identifier: Apache-2.0
/*
 * The short way out, the counterpart of the one in (tcp_input.c): a piece that is alone in the queue, inside a segment
 * and all windows, on an IPv4 connection to which nothing unusual happens. It does what tcp_output() would do for it, and
 * nothing else; what it does not take goes there. An answer that takes it (rb_net_reply()) is not even queued.
 */
#include "net/checksum.h"
#include "net/input.h"
#include "net/ip4.h"
#include "net/tcp_congestion.h"
#include "net/tcp_handle.h"
#include "net/tcp_header.h"
#include "net/tx.h"

#include <errno.h>

/* TCP_SLOW is one: the state is ESTABLISHED. */
#define NOT_SHORT (TCP_LONG_WAY | TCP_IS_6 | TCP_ECN_CWR | TCP_FIN_QUEUED)

/*
 * Does the timer ask for more than the two stores of the short way? It does after an idle time, when the window begins
 * anew (RFC 5681 4.1); without looking at the RTO, by the least that it can be.
 */
static inline bool is_timely(const struct rb_net *net, const struct tcb *tcb)
{
	uint32_t tick = (uint32_t)net->tcp.tick;
	if (__builtin_expect(tcb->timer == TCP_TIMER_SENT && tcb->backoff == 0, 1))
		return tick - tcb->rexmt_at <= net->tcp.rto_min_ticks;
	return tcb->backoff == 0 && seq_le(tick, tcb->rexmt_at);
}

/*
 * After a longer idle time, too, the two stores do when nothing is under way and the window has never grown beyond what it
 * would begin anew with: so it is with who asks for little and seldom, and there can be very many of them.
 */
static inline bool is_unchanged(const struct rb_net *net, const struct tcb *tcb)
{
	return __builtin_expect(is_timely(net, tcb), 1) ||
	       (tcb->backoff == 0 && tcb->snd_nxt == tcb->snd_una && tcb->cwnd <= tcp_initial_window(net, tcb));
}

/* tcp_output() for `piece`: would it be sent now, whole, by itself, and with no more than a segment under way? */
static inline bool is_plain(const struct rb_net *net, const struct tcb *tcb, const struct tcp_piece *piece)
{
	uint32_t in_flight = tcb->snd_nxt - tcb->snd_una, end = in_flight + piece->length;
	return end <= tcb->mss && end <= tcb->snd_wnd && end < tcb->cwnd &&
	       (in_flight == 0 || (tcb->flags & TCP_NODELAY)) && is_unchanged(net, tcb);
}

/* tcp_window_offer(), where RCV.WND is not closed. Nearly always all was given back, and all is offered. */
static inline void offer(const struct rb_net *net, struct tcb *tcb)
{
	uint32_t space = tcb->rcv_space;
	if (__builtin_expect(space == net->tcp.window_whole, 1)) {
		tcb->rcv_adv = tcb->rcv_nxt + space;
		return;
	}
	uint32_t offered = tcb->rcv_adv - tcb->rcv_nxt;
	if (tcp_window_worth(net, tcb, space - offered))
		(void)tcp_window_extend(tcb, offered);
}

/*
 * Both headers, as tcp_header_write4() would write them, in a few instructions less: there is no ECN in them, and no field
 * goes through memory. The flags are ACK and PSH: it is all that there is to send.
 */
static inline __attribute__((always_inline)) void fill_headers(const struct rb_net *net, const struct tcb *tcb,
							       uint8_t *ip, uint32_t payload, const bool timestamps)
{
	const uint32_t header = timestamps ? TCP_HEADER + TCP_TIMESTAMPS : TCP_HEADER, length = header + payload;
	/* the way back: both pairs the other way round */
	const uint64_t addresses = tcb->addresses << 32 | tcb->addresses >> 32;
	uint8_t *tcp = ip + IP4_HEADER;
	uint32_t sum = (uint32_t)((addresses + tcb->addresses) >> 32); /* of both words, as in tcp_fold64() */

	sum = tcp_add_around(sum, (uint32_t)checksum_protocol(IP_PROTOCOL_TCP, length << 16));
	tcp_store32_raw(tcp + 16, tcp_fold32(sum));
	memcpy(ip, ip4_start, sizeof(ip4_start));
	memcpy(ip + 12, &addresses, sizeof(addresses));
	store16(ip + 2, (uint16_t)(IP4_HEADER + length));
	tcp_header_write(tcp, tcb->ports, header,
			 &(struct tcp_header_fields){
				 .seq = tcb->snd_nxt,
				 .ack = tcb->rcv_nxt,
				 .window = (uint16_t)((tcb->rcv_adv - tcb->rcv_nxt) >> tcp_rcv_scale(tcb)),
				 .flags = TCP_ACK | TCP_PSH,
			 });
	if (timestamps)
		tcp_header_timestamps(tcp, tcp_ts_now(net, tcb), tcb->ts_recent);
}

enum { BOTH_FILL = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL };

/* What the device does not do. */
void tcp_fill_checksums(const struct rb_net *net, struct rb_net_frame *frame)
{
	const unsigned tcp = ETHERNET_HEADER + IP4_HEADER;
	uint8_t *ip = frame->header + ETHERNET_HEADER;
	frame->checksum = net->config.checksum_offload & BOTH_FILL;
	if (!(frame->checksum & RB_NET_CHECKSUM_IP4_FILL)) {
		uint16_t checksum = checksum_finish(checksum_ip4_header(ip));
		memcpy(ip + 10, &checksum, sizeof(checksum));
	}
	if (!(frame->checksum & RB_NET_CHECKSUM_TCP_FILL))
		tx_checksum(frame, tcp, tcp + 16, false);
}

static inline __attribute__((always_inline)) void fill(const struct rb_net *net, const struct tcb *tcb,
						       struct rb_net_frame *frame, const void *base, uint32_t payload,
						       const bool timestamps, const uint8_t flags)
{
	const uint16_t headers = ETHERNET_HEADER + IP4_HEADER + TCP_HEADER + (timestamps ? TCP_TIMESTAMPS : 0);
	fill_headers(net, tcb, frame->header + ETHERNET_HEADER, payload, timestamps);
	frame->header_length = headers;
	frame->checksum = BOTH_FILL;
	frame->l2_length = ETHERNET_HEADER;
	frame->l3_length = IP4_HEADER;
	frame->pieces_count = 1;
	frame->flags = flags;
	frame->length = headers + payload;
	frame->pieces[0].base = base;
	frame->pieces[0].length = payload;
}

/* What the segment of a piece, which has just been made, leaves in the TCB. */
static inline void made(struct rb_net *net, struct tcb *tcb, uint32_t payload)
{
	net->counters.tcp_out++;
	tcb->snd_nxt += payload;
	tcb->last_ack_sent = tcb->rcv_nxt;
	tcb->timer = TCP_TIMER_SENT;
	uint32_t tick = (uint32_t)net->tcp.tick;
	tcb->rexmt_at = tick;
	tcb->delack_at = tick; /* what was delayed went along: see tcp_timer_delack() */
}

/*
 * All was acknowledged; where that was sent not long ago, the neighbour is there. Unless its address has changed since it
 * answered: then that is of the address before (RFC 4861 7.3.3).
 */
static void confirm(struct rb_net *net, const struct tcb *tcb)
{
	if (is_timely(net, tcb) && net->neighbours.entries[tcb->neighbour].fresh_until_ns != 0)
		neighbour_confirm(net, tcb->neighbour);
}

/* Makes the segment of a piece that may go (is_plain()). */
static void make(struct rb_net *net, struct tcb *tcb, struct rb_net_frame *frame, const struct tcp_piece *piece)
{
	const void *base = (const void *)(uintptr_t)piece->base;
	offer(net, tcb);
	if (__builtin_expect((tcb->flags & TCP_HAS_TIMESTAMPS) != 0, 1))
		fill(net, tcb, frame, base, piece->length, true, 0);
	else
		fill(net, tcb, frame, base, piece->length, false, 0);
	if (tcb->flags & TCP_HAS_ECN)
		frame->header[ETHERNET_HEADER + 1] = IP_ECN_ECT0;
	if (!net->tx.fills)
		tcp_fill_checksums(net, frame);
	if (tcb->snd_nxt == tcb->snd_una)
		confirm(net, tcb);
	tx_commit(net, frame, tcb->neighbour);
	made(net, tcb, piece->length);
}

static inline void mark_sent(const struct rb_net *net, struct tcp_piece *piece)
{
	piece->sent_us = net->tcp.now_us;
	piece->transmissions = 1;
	piece->flags = TCP_PIECE_SENT;
}

bool tcp_output_short(struct rb_net *net, struct tcb *tcb)
{
	const uint32_t done = TCP_PENDING | TCP_ACK_NOW | TCP_ACK_DELAYED | TCP_CWND_LIMITED;
	uint32_t index = tcb->tx_next;
	if (index == TCP_NONE && (tcb->flags & (NOT_SHORT | TCP_ACK_NOW | TCP_ACK_DELAYED)) == 0) {
		tcb->flags &= ~(uint32_t)TCP_PENDING; /* it was answered: see answered() */
		return true;
	}
	if ((tcb->flags & NOT_SHORT) || index == TCP_NONE || index != tcb->tx_tail)
		return false;
	struct tcp_piece *piece = tcp_piece(net, index);
	if (!is_plain(net, tcb, piece))
		return false;
	struct rb_net_frame *frame = tx_frame_bare(net);
	if (__builtin_expect(frame == NULL, 0))
		return false;
	make(net, tcb, frame, piece);
	mark_sent(net, piece);
	tcb->tx_next = TCP_NONE;
	tcb->flags = (tcb->flags & ~done) | TCP_REXMT_ARMED;
	if (__builtin_expect(!tcb->timed, 0))
		tcp_timer_short(net, tcb);
	return true;
}

/*
 * Answers.
 */

/* Is all that was received in one part, which has been told, and has it that many bytes? */
static inline bool is_all(struct rb_net *net, const struct tcb *tcb, uint32_t bytes)
{
	uint32_t tail = tcb->rx_tail;
	if (tail == TCP_NONE || tcb->rx_event != TCP_NONE || net->tcp.told_taken != net->tcp.told_count)
		return false;
	const struct tcp_part *part = tcp_part(net, tail);
	return part->next == tail && part->length == bytes;
}

/*
 * Is nothing queued or under way, and may so many bytes go at once, by the tests of rb_net_send() and is_plain()? Who has
 * no timestamps, or ECN, is answered by the flush.
 */
static inline bool is_next(const struct rb_net *net, const struct tcb *tcb, uint32_t bytes)
{
	const uint32_t set = TCP_ACCEPTED | TCP_PENDING | TCP_HAS_TIMESTAMPS,
		       unset = TCP_HAS_ECN | (uint32_t)TCP_ORPHAN;
	return (tcb->flags & (NOT_SHORT | set | unset)) == set && tcb->tx_head == TCP_NONE && bytes - 1 < tcb->mss &&
	       bytes <= tcb->snd_wnd && bytes < tcb->cwnd && bytes <= net->config.send_queue &&
	       net->tcp.piece_pool.free > net->config.connections && is_unchanged(net, tcb);
}

/* Is the neighbour known to be there, and need not be confirmed by what is done now? */
static inline bool is_fresh(const struct rb_net *net, const struct tcb *tcb)
{
	const struct neighbour_table *table = &net->neighbours;
	return table->entries[tcb->neighbour].fresh_until_ns >= table->confirm_below_ns;
}

/* Can it go in the buffer of its request? */
static inline bool fits_request(const struct rb_net *net, uint32_t payload)
{
	return payload <= net->tx.answer_max && net->tx.next < RB_NET_BURST;
}

/* All that was received is the application's no more. Returns what it was in, which nobody changes in this turn. */
static inline const struct tcp_part *take_all_back(struct rb_net *net, struct tcb *tcb, uint32_t bytes)
{
	uint32_t tail = tcb->rx_tail;
	tcb->rx_tail = TCP_NONE;
	tcb->rcv_space += bytes;
	pool_put(&net->tcp.part_pool, tail);
	return tcp_part(net, tail);
}

/* A piece that is sent just now, as the only one. */
static inline void keep_alone(struct rb_net *net, struct tcb *tcb, const struct rb_net_piece *from)
{
	uint32_t index = pool_take(&net->tcp.piece_pool);
	struct tcp_piece *piece = tcp_piece(net, index);
	tcp_piece_set(tcb, piece, from);
	mark_sent(net, piece);
	tcb->tx_head = tcb->tx_tail = index;
}

static __attribute__((noinline)) int arm(struct rb_net *net, struct tcb *tcb)
{
	tcp_timer_short(net, tcb);
	return 0;
}

/*
 * Answers mostly come in the order of what they answer, which is that of the ring: then the flush has nothing more to do
 * with this connection.
 */
static inline void answered(struct rb_net *net, struct tcb *tcb, uint32_t index)
{
	struct tcp_ring *pending = &net->tcp.pending;
	uint32_t done = TCP_ACK_NOW | TCP_ACK_DELAYED | TCP_CWND_LIMITED;
	if (__builtin_expect(pending->slots[pending->head & pending->mask] == index, 1)) {
		pending->head++;
		done |= TCP_PENDING;
	}
	tcb->flags = (tcb->flags & ~done) | TCP_REXMT_ARMED;
}

/* The segment of a reply, in a frame that has a header's memory. */
static inline __attribute__((always_inline)) int reply_send(struct rb_net *net, struct tcb *tcb,
							    struct rb_net_frame *frame, const void *base,
							    uint32_t payload, const uint8_t flags)
{
	offer(net, tcb);
	tx_begin(net, frame, tcb->neighbour);
	fill(net, tcb, frame, base, payload, true, flags);
	made(net, tcb, payload);
	return __builtin_expect(tcb->timed, 1) ? 0 : arm(net, tcb);
}

static __attribute__((noinline)) int reply_answer(struct rb_net *net, struct tcb *tcb, const struct tcp_part *part,
						  const struct rb_net_piece *piece)
{
	enum { HEADERS = ETHERNET_HEADER + IP4_HEADER + TCP_HEADER + TCP_TIMESTAMPS };
	uint8_t *header = (uint8_t *)(uintptr_t)part->data - HEADERS;
	struct rb_net_frame *frame = tx_answer(net, part->buffer, header);
	return reply_send(net, tcb, frame, piece->base, piece->length, RB_NET_FRAME_ANSWER);
}

static inline const struct tcp_part *reply_begin(struct rb_net *net, struct tcb *tcb, uint32_t index, uint32_t received,
						 const struct rb_net_piece *piece)
{
	const struct tcp_part *part = take_all_back(net, tcb, received);
	keep_alone(net, tcb, piece);
	answered(net, tcb, index);
	return part;
}

/* Where something is not as it is for most answers, which is made sure of. */
static __attribute__((noinline)) int reply_other(struct rb_net *net, rb_net_handle handle, uint32_t received,
						 const struct rb_net_piece *piece)
{
	const uint32_t index = (uint32_t)(handle >> 32);
	struct tcb *tcb = tcp_tcb(net, index);
	confirm(net, tcb);
	if (is_fresh(net, tcb) && fits_request(net, piece->length))
		return reply_answer(net, tcb, reply_begin(net, tcb, index, received, piece), piece);
	(void)tx_frame_bare(net);
	if (!tx_is_ready(&net->tx) || !is_fresh(net, tcb))
		return tcp_reply(net, handle, received, piece, 1);
	input_release(net, reply_begin(net, tcb, index, received, piece)->buffer);
	return reply_send(net, tcb, tx_ready(net), piece->base, piece->length, 0);
}

/*
 * Whatever is not as it nearly always is, another function does, and that as its last thing; and the way is cut in two.
 * So neither half has more values at a time than there are registers that need not be saved.
 */
int rb_net_reply(struct rb_net *net, rb_net_handle handle, uint32_t received, const struct rb_net_piece *pieces,
		 unsigned count)
{
	uint64_t index = handle >> 32;
	if (__builtin_expect(count != 1 || index >= net->tcp.tcb_pool.count, 0))
		return tcp_reply(net, handle, received, pieces, count);
	struct tcb *tcb = tcp_tcb(net, (uint32_t)index);
	if (__builtin_expect(tcb->generation != handle_generation(handle) || !is_next(net, tcb, pieces->length) ||
				     !is_all(net, tcb, received),
			     0))
		return tcp_reply(net, handle, received, pieces, count);
	if (__builtin_expect(!fits_request(net, pieces->length) || !is_fresh(net, tcb), 0))
		return reply_other(net, handle, received, pieces);
	return reply_answer(net, tcb, reply_begin(net, tcb, (uint32_t)index, received, pieces), pieces);
}
