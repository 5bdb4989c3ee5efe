// SPDX-License-Identifier: Apache-2.0
/*
 * What goes out: data by the windows and by the rules against small segments (RFC 9293 3.7.4, 3.8.6.2.1),
 * acknowledgements, and segments that belong to no data. A segment carries one or several whole pieces; a piece that
 * does not fit is cut in two, so that what was sent, acknowledged or lost is always whole pieces.
 */
#include "net/neighbour.h"
#include "net/tcp_congestion.h"
#include "net/tcp_making.h"

static void make_sack(struct making *making, const struct tcp_range *blocks, unsigned count)
{
	uint8_t *at = making->tcp + TCP_HEADER + making->options;
	store32(at, 0x01010500 | (2 + 8 * count));
	at += 4;
	for (unsigned i = 0; i < count; i++, at += 8) {
		store32(at, blocks[i].left);
		store32(at + 4, blocks[i].right);
	}
	making->options += 4 + 8 * count;
}

void tcp_make_end(struct rb_net *net, const struct making *making, const struct tcp_path *path,
		  const struct tcp_header_fields *fields)
{
	unsigned header = TCP_HEADER + making->options;
	uint32_t length = header + fields->payload;

	if (path->local6 == NULL) {
		make_end4(net, making, path->addresses, path->ports, path->neighbour, fields);
		return;
	}
	uint8_t *tcp = making->tcp, *ip = tcp - IP6_HEADER;
	ip6_write(ip, path->local6, path->remote6, IP_PROTOCOL_TCP, fields->ecn, 0, IP_TTL, (uint16_t)length);
	tcp_header_write(tcp, path->ports, header, fields);
	/* and the urgent pointer, 0 */
	tcp_store32_raw(tcp + 16, checksum_unfinished(checksum_pseudo6(ip + 8, ip + 24, IP_PROTOCOL_TCP, length)));
	struct rb_net_frame *frame = making->frame;
	const unsigned l4 = ETHERNET_HEADER + IP6_HEADER;
	frame_set(frame, l4 + header, IP6_HEADER, making->entries, fields->payload);
	frame->checksum = RB_NET_CHECKSUM_UNKNOWN;
	tx_checksum_tcp(net, frame, l4, l4 + 16);
	tx_commit(net, frame, path->neighbour);
	net->counters.tcp_out++;
}

/*
 * The header of a synchronised connection's segment: with the acknowledgement, the window and the echo of congestion
 * that every one carries.
 */
static inline struct tcp_header_fields synchronised(struct rb_net *net, struct tcb *tcb, uint32_t seq, uint8_t flags,
						    uint8_t ecn, uint32_t payload)
{
	return (struct tcp_header_fields){
		.seq = seq,
		.ack = tcb->rcv_nxt,
		.payload = payload,
		.window = tcp_window_field(net, tcb),
		.flags = (uint8_t)(flags | TCP_ACK | (tcb->flags & TCP_ECN_ECHO ? TCP_ECE : 0)),
		.ecn = ecn,
	};
}

/* It has gone. */
static inline void acknowledged(const struct rb_net *net, struct tcb *tcb)
{
	tcb->last_ack_sent = tcb->rcv_nxt;
	tcb->delack_at = (uint32_t)net->tcp.tick;
	tcb->flags &= ~((uint32_t)TCP_ACK_NOW | TCP_ACK_DELAYED);
}

static void make_end_synchronised(struct rb_net *net, struct tcb *tcb, const struct making *making, uint32_t seq,
				  uint8_t flags, uint8_t ecn, uint32_t payload)
{
	struct tcp_path path = tcp_path_of(net, tcb);
	struct tcp_header_fields fields = synchronised(net, tcb, seq, flags, ecn, payload);
	tcp_make_end(net, making, &path, &fields);
	acknowledged(net, tcb);
}

/* Options of a synchronised connection's segment. `sack`: bytes that SACK blocks may take. */
static void make_options(struct rb_net *net, struct tcb *tcb, struct making *making, unsigned sack)
{
	if (tcb->flags & TCP_HAS_TIMESTAMPS)
		make_timestamps(making, tcp_ts_now(net, tcb), tcb->ts_recent);
	if (__builtin_expect((tcb->flags & TCP_HAS_SACK) && sack >= 12, 0)) {
		struct tcp_range blocks[TCP_SACK_BLOCKS_MAX];
		unsigned max = (sack - 4) / 8;
		unsigned count =
			tcp_sack_report(net, tcb, blocks, max < TCP_SACK_BLOCKS_MAX ? max : TCP_SACK_BLOCKS_MAX);
		if (count > 0)
			make_sack(making, blocks, count);
	}
}

static bool output_ack(struct rb_net *net, struct tcb *tcb, uint32_t seq)
{
	struct making making;
	if (!make_begin(net, &making, tcb->flags & TCP_IS_6))
		return false;
	unsigned room = TCP_OPTIONS_MAX - ((tcb->flags & TCP_HAS_TIMESTAMPS) ? TCP_TIMESTAMPS : 0);
	make_options(net, tcb, &making, room);
	/* RFC 8257 3.3: all segments of DCTCP are ECT; RFC 3168 6.1.4: pure acknowledgements are not */
	bool ect = (tcb->flags & TCP_HAS_ECN) && tcp_congestion_of(tcp_cold(net, tcb))->exact_ecn;
	make_end_synchronised(net, tcb, &making, seq, 0, ect ? IP_ECN_ECT0 : IP_ECN_NOT_ECT, 0);
	return true;
}

void tcp_output_ack(struct rb_net *net, struct tcb *tcb)
{
	(void)output_ack(net, tcb, tcb->snd_nxt);
}

/*
 * Data.
 */

/* What the peer's window has room for. */
static uint32_t window_left(const struct tcb *tcb)
{
	uint32_t in_flight = tcb->snd_nxt - tcb->snd_una;
	return tcb->snd_wnd > in_flight ? tcb->snd_wnd - in_flight : 0;
}

/* Cuts pieces so that whole ones make up at most `limit` bytes from `first` on, and counts those that go together. */
static uint32_t segment_measure(struct rb_net *net, struct tcb *tcb, uint32_t first, uint32_t limit, unsigned *count,
				bool again)
{
	uint32_t bytes = 0;
	*count = 0;
	for (uint32_t at = first; at != TCP_NONE && *count < RB_NET_PIECES_MAX;) {
		struct tcp_piece *piece = tcp_piece(net, at);
		/* what is sent again is what was lost, and nothing that was never sent */
		if (again && (piece->flags & (TCP_PIECE_SENT | TCP_PIECE_LOST)) != (TCP_PIECE_SENT | TCP_PIECE_LOST) &&
		    *count > 0)
			break;
		if (piece->length > limit - bytes && (limit == bytes || !tcp_piece_split(net, tcb, at, limit - bytes)))
			break;
		/* RFC 9293 3.4: a FIN takes a number, which the window must have room for */
		if ((piece->flags & TCP_PIECE_FIN) && !again && window_left(tcb) <= bytes && MECHANISM(fin_window))
			break;
		bytes += piece->length;
		(*count)++;
		if (piece->flags & TCP_PIECE_FIN)
			break;
		at = piece->next;
	}
	return bytes;
}

/* RFC 9293 3.10.4: the states that a CLOSE leads to. */
static void fin_sent(struct tcb *tcb)
{
	tcb->snd_nxt++;
	tcb->state = tcb->state == TCP_CLOSE_WAIT ? TCP_LAST_ACK : TCP_FIN_WAIT_1;
	tcb->flags |= TCP_FIN_SENT | TCP_SLOW;
}

/* Sends `count` whole pieces from `first` on as one segment. */
static bool segment_send(struct rb_net *net, struct tcb *tcb, uint32_t first, unsigned count, uint32_t bytes,
			 bool again)
{
	struct making making;
	if (!make_begin(net, &making, tcb->flags & TCP_IS_6))
		return false;
	make_options(net, tcb, &making, (tcb->flags & TCP_OUT_OF_ORDER) ? 12 : 0);

	uint32_t seq = tcp_piece(net, first)->seq, at = first;
	uint8_t flags = 0;
	unsigned entries = 0;
	for (unsigned i = 0; i < count; i++) {
		struct tcp_piece *piece = tcp_piece(net, at);
		if (piece->length > 0) {
			making.frame->pieces[entries].base = (const void *)(uintptr_t)piece->base;
			making.frame->pieces[entries++].length = piece->length;
		}
		if (piece->flags & TCP_PIECE_FIN)
			flags |= TCP_FIN;
		piece->sent_us = net->tcp.now_us;
		if (piece->transmissions < UINT8_MAX)
			piece->transmissions++;
		if (__builtin_expect((tcb->flags & TCP_SCOREBOARD) != 0, 0))
			tcp_scoreboard_sent(net, tcb, at);
		piece->flags |= TCP_PIECE_SENT;
		at = piece->next;
	}
	making.entries = entries;
	/* the end of what was handed over: the receiver need not wait for more (RFC 9293 3.9.1.2); a FIN may be left */
	if (bytes > 0 && (at == TCP_NONE || (flags & TCP_FIN) || (tcp_piece(net, at)->flags & TCP_PIECE_FIN)))
		flags |= TCP_PSH;

	uint8_t ecn = IP_ECN_NOT_ECT;
	if (__builtin_expect((tcb->flags & TCP_HAS_ECN) != 0, 0)) {
		/* RFC 3168 6.1.5: what is sent again is not ECT, DCTCP's is */
		if ((bytes > 0 && !(again && MECHANISM(ecn_not_again))) ||
		    tcp_congestion_of(tcp_cold(net, tcb))->exact_ecn)
			ecn = IP_ECN_ECT0;
		if (bytes > 0 && !again && (tcb->flags & TCP_ECN_CWR) && MECHANISM(ecn_cwr)) {
			flags |= TCP_CWR;
			tcb->flags &= ~(uint32_t)TCP_ECN_CWR;
		}
	}
	make_end_synchronised(net, tcb, &making, seq, flags, ecn, bytes);
	if (again) {
		net->counters.tcp_retransmitted++;
		tcp_cold(net, tcb)->retransmissions++;
		return true;
	}
	tcb->tx_next = at;
	tcb->snd_nxt = seq + bytes;
	if (flags & TCP_FIN)
		fin_sent(tcb);
	return true;
}

/* The largest payload now: SACK blocks of a gap in what we receive take their part. */
static uint32_t segment_limit(const struct tcb *tcb)
{
	return (tcb->flags & TCP_OUT_OF_ORDER) && (tcb->flags & TCP_HAS_SACK) ? tcb->mss - 12U : tcb->mss;
}

/*
 * How much new data may go as the next segment, by everything but the congestion window. RFC 9293 3.8.6.2.1 (sender's
 * silly window avoidance), with Nagle's rule (3.7.4): a full segment; or all there is, if nothing is unacknowledged, or
 * the application wants no delay, or the stream ends; or at least half of the largest window ever offered.
 * Sets *blocked when the peer's window is the reason.
 */
static uint32_t output_usable(struct rb_net *net, const struct tcb *tcb, bool *blocked)
{
	uint32_t queued = tcb->snd_end - tcb->snd_nxt; /* without the FIN */
	uint32_t in_flight = tcb->snd_nxt - tcb->snd_una;
	uint32_t window = window_left(tcb);
	uint32_t limit = segment_limit(tcb);

	if (queued > limit)
		queued = limit;
	uint32_t usable = queued < window ? queued : window;
	if (usable == limit)
		return usable;
	if (usable == tcb->snd_end - tcb->snd_nxt &&
	    (in_flight == 0 || (tcb->flags & (TCP_NODELAY | TCP_FIN_QUEUED)) || !MECHANISM(nagle)))
		return usable;
	*blocked = usable < queued;
	if (!MECHANISM(sender_sws))
		return usable;
	if (usable > 0 && usable >= tcp_cold(net, tcb)->snd_max_wnd / 2)
		return usable;
	return 0;
}

/* RFC 5681 4.1: after an idle time of an RTO the window is no more than the initial one. */
static void output_idle_restart(struct rb_net *net, struct tcb *tcb)
{
	uint32_t restart = tcp_initial_window(net, tcb);
	if (tcb->cwnd <= restart || tcb->srtt8_us == 0 || !MECHANISM(idle_restart))
		return;
	/* rexmt_at was a timeout after the last segment, and stays when the timer is stopped; a probe's, two round trips,
	 * is sooner */
	uint32_t rto = tcp_rto_us(net, tcb), end = tcb->rexmt_at;
	if (tcb->timer == TCP_TIMER_PROBE && tcb->srtt8_us / 4 < rto)
		end += (rto - tcb->srtt8_us / 4) / (TCP_TICK_NS / 1000);
	if (seq_lt(end, (uint32_t)net->tcp.tick))
		tcb->cwnd = restart;
}

/* NO_PIECES: a piece is too large, and none is left to cut it; acknowledgements of what is in flight bring some. */
enum sending { SENDING_DONE, SENDING_WINDOW, SENDING_CONGESTION, SENDING_NO_PIECES, SENDING_NO_MEMORY };

enum { BURST_MAX = 4 }; /* "maxburst", RFC 6582 3.2 */

/*
 * What is sent again is no larger than what the application once wrote at a time. So many small segments as there is
 * room for by bytes would be a burst that a short queue loses again: a window of n full segments lets n and a few go,
 * and acknowledgements the next ones.
 */
static enum sending output_lost(struct rb_net *net, struct tcb *tcb)
{
	uint32_t at, left = tcb->cwnd / tcb->mss + BURST_MAX;
	while ((at = tcp_scoreboard_first_lost(net, tcb)) != TCP_NONE) {
		if (left-- == 0)
			return SENDING_CONGESTION;
		const struct tcp_piece *piece = tcp_piece(net, at);
		uint32_t pipe = tcp_pipe(net, tcb);
		if (pipe > 0 && pipe + piece->length > tcb->cwnd)
			return SENDING_CONGESTION;
		unsigned count;
		uint32_t bytes = segment_measure(net, tcb, at, segment_limit(tcb), &count, true);
		if (count == 0)
			return SENDING_NO_PIECES;
		if (!segment_send(net, tcb, at, count, bytes, true))
			return SENDING_NO_MEMORY;
	}
	return SENDING_DONE;
}

/* RFC 3042: each of the first two duplicate acknowledgements lets a new segment go. SACK's pipe says the same. */
static uint32_t limited_transmit(struct rb_net *net, const struct tcb *tcb)
{
	if ((tcb->flags & (TCP_HAS_SACK | TCP_RECOVERY | TCP_LOSS | TCP_SLOW)) != TCP_SLOW ||
	    !MECHANISM(limited_transmit))
		return 0;
	uint8_t duplicates = tcp_cold(net, tcb)->duplicate_acks;
	return (duplicates < 2 ? duplicates : 2U) * tcb->mss;
}

static enum sending output_new(struct rb_net *net, struct tcb *tcb)
{
	if (tcb->snd_nxt == tcb->snd_una)
		output_idle_restart(net, tcb);
	while (tcb->tx_next != TCP_NONE) {
		bool blocked = false;
		uint32_t usable = output_usable(net, tcb, &blocked);
		bool fin = tcp_piece(net, tcb->tx_next)->flags & TCP_PIECE_FIN;
		/* segment_measure() would let none of it go */
		if (usable == 0 && fin && MECHANISM(fin_window) && window_left(tcb) == 0)
			return SENDING_WINDOW;
		if (usable == 0 && !fin)
			return blocked ? SENDING_WINDOW : SENDING_DONE;
		uint32_t pipe = tcp_pipe(net, tcb);
		if (pipe > 0 && pipe + usable > tcb->cwnd + limited_transmit(net, tcb))
			return SENDING_CONGESTION;
		unsigned count;
		uint32_t bytes = segment_measure(net, tcb, tcb->tx_next, usable, &count, false);
		if (count == 0)
			return SENDING_NO_PIECES;
		if (!segment_send(net, tcb, tcb->tx_next, count, bytes, false))
			return SENDING_NO_MEMORY;
	}
	return SENDING_DONE;
}

/*
 * RFC 7661 4.1, RFC 5681 3.1: only a window that is used up may grow. Whether it is, is seen when data is sent, and
 * holds for all acknowledgements until then, however many come in a burst.
 */
static void output_validate(struct rb_net *net, struct tcb *tcb, enum sending sending)
{
	if (sending == SENDING_CONGESTION || tcp_pipe(net, tcb) >= tcb->cwnd || !MECHANISM(cwnd_limited))
		tcb->flags |= TCP_CWND_LIMITED;
	else if (sending < SENDING_NO_PIECES)
		tcb->flags &= ~(uint32_t)TCP_CWND_LIMITED;
}

bool tcp_output_more(struct rb_net *net, struct tcb *tcb)
{
	bool blocked;
	if (tcb->tx_next == TCP_NONE)
		return false;
	uint32_t usable = output_usable(net, tcb, &blocked);
	if (usable == 0 && !(tcp_piece(net, tcb->tx_next)->flags & TCP_PIECE_FIN))
		return false;
	unsigned count;
	uint32_t bytes = segment_measure(net, tcb, tcb->tx_next, usable, &count, false);
	return count > 0 && segment_send(net, tcb, tcb->tx_next, count, bytes, false);
}

bool tcp_output_override(struct rb_net *net, struct tcb *tcb)
{
	uint32_t limit = segment_limit(tcb), window = window_left(tcb);
	unsigned count;
	if (tcb->tx_next == TCP_NONE || window == 0)
		return false;
	uint32_t bytes = segment_measure(net, tcb, tcb->tx_next, window < limit ? window : limit, &count, false);
	if (count == 0 || !segment_send(net, tcb, tcb->tx_next, count, bytes, false))
		return false;
	tcp_recovery_arm(net, tcb);
	return true;
}

bool tcp_output_again(struct rb_net *net, struct tcb *tcb, uint32_t piece)
{
	unsigned count;
	uint32_t bytes = segment_measure(net, tcb, piece, segment_limit(tcb), &count, true);
	return count > 0 && segment_send(net, tcb, piece, count, bytes, true);
}

/* An acknowledgement that no data carried: now, or when the timer says so (RFC 9293 3.8.6.3: every second segment). */
static bool output_ack_due(struct rb_net *net, struct tcb *tcb)
{
	if ((tcb->flags & TCP_ACK_NOW) || tcp_window_opened(net, tcb) || !MECHANISM(delayed_ack))
		return output_ack(net, tcb, tcb->snd_nxt);
	if (tcb->flags & TCP_ACK_DELAYED)
		tcp_timer_delack(net, tcb);
	return true;
}

static __attribute__((noinline)) bool output_any(struct rb_net *net, struct tcb *tcb)
{
	uint32_t snd_nxt = tcb->snd_nxt;
	enum sending sending = SENDING_DONE;

	if (tcb->state < TCP_ESTABLISHED || tcb->state == TCP_TIME_WAIT) {
		if ((tcb->flags & TCP_ACK_NOW) && tcb->state > TCP_SYN_SENT)
			return output_ack(net, tcb, tcb->snd_nxt);
		return true;
	}
	if (tcp_fin_waits(net, tcb) && !tcp_fin_append(net, tcb) && tcb->tx_head == TCP_NONE)
		return false;
	tcp_recovery_settle(net, tcb);
	if (__builtin_expect((tcb->flags & TCP_SCOREBOARD) != 0, 0)) {
		uint32_t lost = tcp_cold(net, tcb)->lost;
		sending = output_lost(net, tcb);
		/* RFC 6675 6: for what is sent again the timer starts anew; here, only for the oldest */
		if (tcp_cold(net, tcb)->lost != lost &&
		    (!(tcb->flags & TCP_REXMT_ARMED) || tcp_piece(net, tcb->tx_head)->sent_us == net->tcp.now_us))
			tcp_recovery_arm(net, tcb);
	}
	if (sending == SENDING_DONE && tcb->tx_next != TCP_NONE) {
		sending = output_new(net, tcb);
		output_validate(net, tcb, sending);
	}
	if (tcb->snd_nxt != snd_nxt)
		tcp_recovery_sent(net, tcb);
	else if (MECHANISM(persist) && sending == SENDING_WINDOW && tcb->snd_nxt == tcb->snd_una &&
		 !(tcb->flags & TCP_REXMT_ARMED))
		tcp_timer_set(net, tcb, TCP_TIMER_PERSIST, tcp_rto_us(net, tcb));
	/* without anything in flight nothing else would wake it */
	if (sending == SENDING_NO_MEMORY || (sending == SENDING_NO_PIECES && tcb->snd_nxt == tcb->snd_una))
		return false;
	if (tcb->flags & (TCP_ACK_NOW | TCP_ACK_DELAYED) || tcp_window_opened(net, tcb))
		return output_ack_due(net, tcb);
	return true;
}

/*
 * Is a FIN by itself all that there is to send, on an IPv4 connection to which nothing unusual has happened? Nothing is
 * outstanding: it is synchronised, for its SYN was acknowledged.
 */
static inline bool is_fin_alone(struct rb_net *net, const struct tcb *tcb)
{
	const uint32_t unusual = TCP_IS_6 | TCP_HAS_ECN | TCP_SCOREBOARD | TCP_OUT_OF_ORDER | TCP_REXMT_ARMED;
	return (tcb->flags & (TCP_FIN_QUEUED | unusual)) == TCP_FIN_QUEUED && tcb->backoff == 0 &&
	       tcb->tx_next != TCP_NONE && tcb->tx_next == tcb->tx_tail && tcb->snd_nxt == tcb->snd_una &&
	       tcb->snd_wnd > 0 && (tcp_piece(net, tcb->tx_next)->flags & TCP_PIECE_FIN);
}

/* The same as by segment_send(); the congestion window matters no more. */
static __attribute__((noinline)) bool output_fin(struct rb_net *net, struct tcb *tcb)
{
	struct making making;
	if (!make_begin(net, &making, false))
		return false;
	if (tcb->flags & TCP_HAS_TIMESTAMPS)
		make_timestamps(&making, tcp_ts_now(net, tcb), tcb->ts_recent);
	struct tcp_header_fields fields = synchronised(net, tcb, tcb->snd_nxt, TCP_FIN, IP_ECN_NOT_ECT, 0);
	make_end4(net, &making, tcb->addresses, tcb->ports, tcb->neighbour, &fields);
	acknowledged(net, tcb);
	struct tcp_piece *piece = tcp_piece(net, tcb->tx_next);
	piece->sent_us = net->tcp.now_us;
	piece->transmissions = 1;
	piece->flags |= TCP_PIECE_SENT;
	tcb->tx_next = TCP_NONE;
	fin_sent(tcb);
	tcp_timer_sent(net, tcb);
	return true;
}

/* Has it gone already, with its acknowledgement, and was it the last that there is to say (tcp_close_short.c)? */
static inline bool is_fin_gone(const struct tcb *tcb)
{
	const uint32_t due = TCP_ACK_NOW | TCP_ACK_DELAYED | TCP_SCOREBOARD;
	return tcb->state == TCP_LAST_ACK &&
	       (tcb->flags & (TCP_FIN_SENT | TCP_DISCARD | due)) == (TCP_FIN_SENT | TCP_DISCARD) &&
	       tcb->tx_next == TCP_NONE;
}

bool tcp_output(struct rb_net *net, struct tcb *tcb)
{
	if (is_fin_gone(tcb))
		return true;
	return is_fin_alone(net, tcb) ? output_fin(net, tcb) : output_any(net, tcb);
}

void tcp_output_probe(struct rb_net *net, struct tcb *tcb)
{
	/* a sequence number that was acknowledged already makes the peer answer (RFC 9293 3.8.6.1, 3.8.4) */
	(void)output_ack(net, tcb, tcb->snd_una - 1);
}

/*
 * Resets.
 */

void tcp_output_reset(struct rb_net *net, struct tcb *tcb)
{
	struct making making;
	if (!make_begin(net, &making, tcb->flags & TCP_IS_6))
		return;			     /* the peer learns it from its own retransmission */
	if (tcb->flags & TCP_HAS_TIMESTAMPS) /* RFC 7323 3.2 */
		make_timestamps(&making, tcp_ts_now(net, tcb), tcb->ts_recent);
	struct tcp_header_fields fields = {.seq = tcb->snd_nxt, .ack = tcb->rcv_nxt, .flags = TCP_RST | TCP_ACK};
	struct tcp_path path = tcp_path_of(net, tcb);
	tcp_make_end(net, &making, &path, &fields);
	net->counters.tcp_resets_out++;
}

void tcp_output_refuse(struct rb_net *net, const struct tcp_segment *segment)
{
	struct tcp_path path;
	struct making making;

	if ((segment->flags & TCP_RST) || !tcp_path_back(net, segment, &path))
		return;
	if (make_begin(net, &making, segment->ip->is6)) {
		/* RFC 9293 3.10.7.1 */
		struct tcp_header_fields fields = {.flags = TCP_RST};
		if (segment->flags & TCP_ACK) {
			fields.seq = segment->ack;
		} else {
			fields.ack = segment->seq + tcp_segment_length(segment);
			fields.flags |= TCP_ACK;
		}
		tcp_make_end(net, &making, &path, &fields);
		net->counters.tcp_resets_out++;
	}
	neighbour_release(net, path.neighbour);
}
