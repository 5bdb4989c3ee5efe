// SPDX-License-Identifier: Apache-2.0
/* What the parts of TCP call in each other; who does what is said in tcp.h. */
#pragma once

#include "net/defs.h"
#include "net/layout.h"
#include "net/mechanism.h"
#include "net/seq.h"
#include "net/tcp_segment.h"
#include "net/tcp_upcalls.h"

enum {
	TCP_DUP_THRESH = 3,	       /* RFC 5681 3.2 */
	TCP_RTT_MAX_US = 1 << 26,      /* 67 s: keeps the arithmetic below 2^32 */
	TCP_MAX_ACK_DELAY_US = 200000, /* RFC 8985 7.2: of a peer that may wait for a second segment */
};

/* With one of these, a segment takes the long way. */
#define TCP_LONG_WAY \
	((uint32_t)TCP_SLOW | TCP_RECOVERY | TCP_LOSS | TCP_SCOREBOARD | TCP_OUT_OF_ORDER | TCP_DISCARD | TCP_ECN_ECHO)

static inline struct tcb *tcp_tcb(struct rb_net *net, uint32_t index)
{
	return &net->tcp.tcbs[index];
}

static inline uint32_t tcp_index(const struct rb_net *net, const struct tcb *tcb)
{
	return (uint32_t)(tcb - net->tcp.tcbs);
}

static inline struct tcb_cold *tcp_cold(struct rb_net *net, const struct tcb *tcb)
{
	return &net->tcp.colds[tcp_index(net, tcb)];
}

static inline struct tcp_piece *tcp_piece(struct rb_net *net, uint32_t index)
{
	return &net->tcp.pieces[index];
}

static inline struct tcp_part *tcp_part(struct rb_net *net, uint32_t index)
{
	return &net->tcp.parts[index];
}

/* The bytes `from` as the next ones of the stream; flags, and who sent them when, are left to the caller. */
static inline void tcp_piece_set(struct tcb *tcb, struct tcp_piece *piece, const struct rb_net_piece *from)
{
	piece->base = (uintptr_t)from->base;
	piece->length = from->length;
	piece->seq = tcb->snd_end;
	piece->next = TCP_NONE;
	tcb->snd_end += from->length;
}

/* Addresses and ports as they lie in the header of an arriving packet: the peer's first. */
static inline uint64_t tcp_addresses(uint32_t local_ip, uint32_t remote_ip)
{
	return (uint64_t)__builtin_bswap32(local_ip) << 32 | __builtin_bswap32(remote_ip);
}

static inline uint32_t tcp_ports(uint16_t local_port, uint16_t remote_port)
{
	return (uint32_t)__builtin_bswap16(local_port) << 16 | __builtin_bswap16(remote_port);
}

static inline uint16_t tcp_local_port(const struct tcb *tcb)
{
	return __builtin_bswap16((uint16_t)(tcb->ports >> 16));
}

static inline uint16_t tcp_remote_port(const struct tcb *tcb)
{
	return __builtin_bswap16((uint16_t)tcb->ports);
}

static inline unsigned tcp_snd_scale(const struct tcb *tcb)
{
	return tcb->scale & 0xfU;
}

static inline unsigned tcp_rcv_scale(const struct tcb *tcb)
{
	return tcb->scale >> 4;
}

/* SND.WND by the field of a segment, but a SYN's. */
static inline void tcp_window_set(struct tcb *tcb, uint32_t field)
{
	const uint32_t header = tcb->flags & TCP_HAS_TIMESTAMPS ? TCP_HEADER + TCP_TIMESTAMPS : TCP_HEADER;
	tcb->snd_wnd = field << tcp_snd_scale(tcb);
	tcb->foreseen = field == 0 ? 0 : header / 4 << 28 | TCP_ACK << 16 | field;
}

/* The timestamp that a segment of this connection carries now. */
static inline uint32_t tcp_ts_now(const struct rb_net *net, const struct tcb *tcb)
{
	return net->tcp.ts_now + tcb->ts_offset;
}

/* A segment has come: the peer of a connection that is kept alive lives (RFC 9293 3.8.4). */
static inline void tcp_heard(struct rb_net *net, const struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	cold->heard_at = (uint32_t)net->tcp.tick;
	cold->probes = 0;
}

/* The flush shall look at this connection. */
static inline void tcp_pend(struct rb_net *net, struct tcb *tcb)
{
	if ((tcb->flags & TCP_PENDING) == 0) {
		tcb->flags |= TCP_PENDING;
		tcp_ring_put(&net->tcp.pending, tcp_index(net, tcb));
	}
}

/*
 * The flags when a segment in order waits for its acknowledgement: it may be delayed, but with a second one it is due
 * (RFC 9293 3.8.6.3).
 */
static inline uint32_t tcp_ack_later(uint32_t flags)
{
	RB_BUILD_ASSERT((uint32_t)TCP_ACK_DELAYED == (uint32_t)TCP_ACK_NOW << 1,
			"one shift makes the second segment's");
	if (MECHANISM(ack_every_second))
		flags |= (flags & TCP_ACK_DELAYED) >> 1;
	return flags | TCP_ACK_DELAYED;
}

static inline void tcp_ack_now(struct rb_net *net, struct tcb *tcb)
{
	tcb->flags |= TCP_ACK_NOW;
	tcp_pend(net, tcb);
}

/* The application shall be told something of this connection. */
static inline void tcp_ready(struct rb_net *net, struct tcb *tcb)
{
	if ((tcb->flags & TCP_READY) == 0) {
		tcb->flags |= TCP_READY;
		tcp_ring_put(&net->tcp.ready, tcp_index(net, tcb));
	}
}

/* Both at once, as `news` says, for a connection whose flags are to become `flags`. */
static inline void tcp_note(struct rb_net *net, struct tcb *tcb, uint32_t flags, uint32_t news)
{
	uint32_t index = tcp_index(net, tcb), missing = news & ~flags;
	tcb->flags = flags | news;
	if (missing & TCP_READY)
		tcp_ring_put(&net->tcp.ready, index);
	if (missing & TCP_PENDING)
		tcp_ring_put(&net->tcp.pending, index);
}

/* tcp_event.c: takes back the events of tcp.told that nobody has taken: the connection has still to tell them. */
void tcp_untell(struct rb_net *net, struct tcb *tcb);

/* tcp_arrives.c: RFC 9293 3.10.7. True: the buffer is kept. */
bool tcp_arrives(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment);
bool tcp_arrives_listen(struct rb_net *net, struct tcp_listener *listener, struct tcp_segment *segment);
void tcp_challenge_ack(struct rb_net *net, struct tcb *tcb);

/* tcp_input.c: connections by their 4-tuple; `local` and `remote` as in the packet. */
uint32_t tcp_find(struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote);
uint32_t tcp_hash6(const struct rb_net *net, const struct tcb *tcb);
static inline uint32_t tcp_hash4(const struct rb_net *net, const struct tcb *tcb)
{
	return flow_hash4(&net->tcp.flow_secret, (uint32_t)(tcb->addresses >> 32), (uint32_t)tcb->addresses,
			  tcb->ports);
}
static inline uint32_t tcp_hash(const struct rb_net *net, const struct tcb *tcb)
{
	return __builtin_expect((tcb->flags & TCP_IS_6) != 0, 0) ? tcp_hash6(net, tcb) : tcp_hash4(net, tcb);
}

/*
 * tcp_turn.c: the short way of a segment, `length` bytes of it, at which a connection over IPv4 turns: a step of its
 * beginning or its end. INPUT_LEFT: it is for the long way, and at most the connection has begun by it.
 */
__attribute__((noinline)) enum input_taken tcp_turn(struct rb_net *net, uint32_t index, struct tcb *tcb,
						    const struct rb_net_packet *packet, const uint8_t *header,
						    uint32_t length);

/* tcp_input.c: the short way of a segment of the right form (RFC 7323, appendix A), `length` bytes of it. */
enum input_taken tcp_take_in_order(struct rb_net *net, uint32_t index, const struct rb_net_packet *packet,
				   const uint8_t *header, uint32_t length);

/* tcp_syn.c: the short way of a segment of these bytes with SYN alone. False: it is not for it, nothing has changed. */
__attribute__((noinline)) bool tcp_syn_short(struct rb_net *net, const uint8_t *header, uint32_t length);

/* tcp_deliver.c */
enum tcp_delivery { TCP_DELIVERY_DROPPED = 0, TCP_DELIVERY_KEPT = 1, TCP_DELIVERY_FIN = 2 };
/*
 * Takes a segment's payload and FIN (RFC 9293 3.10.7.4, seventh and eighth): in order to the application, else for
 * later. Bits: the buffer is kept; the FIN has come into order.
 */
unsigned tcp_deliver(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment);
/* The part `index`: `length` bytes at `data` in a packet, which begin at `seq`. */
static inline void tcp_part_fill(struct rb_net *net, uint32_t index, const struct rb_net_packet *packet,
				 const uint8_t *data, uint32_t seq, uint32_t length)
{
	struct tcp_part *part = tcp_part(net, index);
	part->buffer = packet->buffer;
	part->data = (uintptr_t)data;
	part->seq = seq;
	part->next = index;
	part->length = length;
}
/* The same for one that the pool gives, which must not be empty. */
static inline uint32_t tcp_part_make(struct rb_net *net, const struct rb_net_packet *packet, const uint8_t *data,
				     uint32_t seq, uint32_t length)
{
	uint32_t index = pool_get(&net->tcp.part_pool);
	tcp_part_fill(net, index, packet, data, seq, length);
	return index;
}
/* Appends what is next in order to the ring. Who has not told it goes on with tcp_part_untold(). */
static inline void tcp_part_append(struct rb_net *net, struct tcb *tcb, uint32_t index, uint32_t length)
{
	uint32_t last = tcb->rx_tail;
	if (__builtin_expect(last != TCP_NONE, 0)) {
		struct tcp_part *tail = tcp_part(net, last);
		tcp_part(net, index)->next = tail->next;
		tail->next = index;
	}
	tcb->rx_tail = index;
	tcb->rcv_nxt += length;
	tcb->rcv_space -= length;
}
static inline void tcp_part_untold(struct tcb *tcb, uint32_t index)
{
	if (tcb->rx_event == TCP_NONE)
		tcb->rx_event = index;
}
/* The window to advertise: RCV.WND, which never takes back what was offered (RFC 9293 3.8.6.2.2). Sets rcv_adv. */
uint32_t tcp_window_offer(struct rb_net *net, struct tcb *tcb);

/*
 * RFC 9293 3.8.6.2.2: is it worth telling the peer of `more` bytes of window in a segment that goes anyway? When it is a
 * full segment, or half the window; and as long as half the window is free, which is never a silly one: so the offer
 * stays as it is while requests come and are given back, and they all look the same to the peer's short way.
 */
static inline bool tcp_window_worth(const struct rb_net *net, const struct tcb *tcb, uint32_t more)
{
	return tcb->rcv_space >= net->tcp.window_half || more >= tcb->mss || more >= net->tcp.window_half;
}

/* Offers all that there is; what the scale cuts off is not offered, and what was offered stays. Returns the offer. */
static inline uint32_t tcp_window_extend(struct tcb *tcb, uint32_t offered)
{
	uint32_t window = tcb->rcv_space >> tcp_rcv_scale(tcb) << tcp_rcv_scale(tcb);
	if (window <= offered)
		return offered;
	tcb->rcv_adv = tcb->rcv_nxt + window;
	return window;
}

/* Has the application taken events of so many bytes, and not given them back? */
bool tcp_were_told(struct rb_net *net, const struct tcb *tcb, uint32_t bytes);
/* Takes so many back, which were told. */
void tcp_give_back(struct rb_net *net, struct tcb *tcb, uint32_t bytes);
/* Is there so much more room than the peer knows that it should be told? */
bool tcp_window_opened(const struct rb_net *net, const struct tcb *tcb);
/* SACK blocks for the next acknowledgement, at most `max`; a D-SACK first. Returns how many. */
unsigned tcp_sack_report(struct rb_net *net, struct tcb *tcb, struct tcp_range *blocks, unsigned max);
/* Gives back what the application has not been told of, and of what has been told that it has not taken yet. */
void tcp_deliver_drop_untold(struct rb_net *net, struct tcb *tcb);
/* Gives back all received buffers, delivered or not. */
void tcp_deliver_drop_all(struct rb_net *net, struct tcb *tcb);
static inline void tcp_deliver_drop(struct rb_net *net, struct tcb *tcb)
{
	if (tcb->rx_tail != TCP_NONE || (tcb->flags & TCP_OUT_OF_ORDER))
		tcp_deliver_drop_all(net, tcb);
}

/* tcp_ack.c */
/* May the number that a segment of a synchronised connection acknowledges be true? False: drop the segment. */
bool tcp_ack_believed(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment);
/* Processes such an acknowledgement. */
void tcp_ack(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment);
/* Takes the window of a segment, if it is newer (RFC 9293 3.10.7.4: SND.WL1, SND.WL2). */
void tcp_ack_window(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment);
/* Releases what is acknowledged and measures the round trip; 0: nothing to measure by. For echo_age_us see tcp_rack.c. */
uint32_t tcp_ack_release(struct rb_net *net, struct tcb *tcb, uint32_t ack, uint32_t echo_age_us);
/* RFC 6298 2, the first measurement and any other. */
void tcp_rtt_sample(struct rb_net *net, struct tcb *tcb, uint32_t rtt_us);
/* A shorter round trip than the average: a new minimum is always one. */
void tcp_rtt_shorter(struct rb_net *net, struct tcb *tcb, uint32_t rtt_us);
/*
 * RFC 6298 2.3, with alpha = 1/8 and beta = 1/4, on multiples of both, so that no fraction is lost (V. Jacobson, M. Karels,
 * "Congestion avoidance and control", 1988, appendix A). What is kept of SRTT cannot become 0, for it was not.
 */
static inline void tcp_rtt_next(struct rb_net *net, struct tcb *tcb, uint32_t rtt_us)
{
	uint32_t srtt_us = tcb_srtt_us(tcb), differs = rtt_us - srtt_us;
	tcb->srtt8_us += differs;
	if (__builtin_expect(rtt_us < srtt_us, 0)) {
		tcp_rtt_shorter(net, tcb, rtt_us);
		differs = srtt_us - rtt_us;
	}
	tcb->rttvar4_us += differs - tcb->rttvar4_us / 4;
}
uint32_t tcp_rto_unmeasured_us(const struct rb_net *net, const struct tcb *tcb);
static inline uint32_t tcp_rto_us(const struct rb_net *net, const struct tcb *tcb)
{
	const struct rb_net_config *config = &net->config;
	uint64_t rto;
	if (__builtin_expect(tcb->srtt8_us != 0, 1)) {
		/* 2.3, with the least RTO of 2.4 as the least that is added to the round trip: however steady that is,
		 * the peer may delay an acknowledgement */
		uint32_t variation = MECHANISM(rto_variation) ? tcb->rttvar4_us : 0;
		rto = (uint64_t)tcb_srtt_us(tcb) + (variation > config->rto_min_us ? variation : config->rto_min_us);
	} else {
		rto = tcp_rto_unmeasured_us(net, tcb);
	}
	if (MECHANISM(rto_backoff))
		rto <<= tcb->backoff; /* 5.5 */
	return (uint32_t)(rto > config->rto_max_us ? config->rto_max_us : rto);
}
/* The first one of a connection, in its handshake (RFC 6298 2.2). */
static inline void tcp_rtt_first(struct tcb *tcb, struct tcb_cold *cold, uint32_t rtt_us)
{
	if (rtt_us == 0)
		rtt_us = 1;
	if (rtt_us > TCP_RTT_MAX_US)
		rtt_us = TCP_RTT_MAX_US;
	if (rtt_us < cold->min_rtt_us || cold->min_rtt_us == 0)
		cold->min_rtt_us = rtt_us;
	tcb->srtt8_us = 8 * rtt_us;
	tcb->rttvar4_us = 2 * rtt_us;
}

/* tcp_scoreboard.c */
/* Begins to keep marks and the order of transmission; a connection without losses pays for neither. */
void tcp_scoreboard_begin(struct rb_net *net, struct tcb *tcb);
/* Ends it when no piece is marked any more. */
void tcp_scoreboard_end(struct rb_net *net, struct tcb *tcb);
/* A piece leaves the scoreboard because it was acknowledged. */
/* `echo_age_us`: see tcp_rack_delivered(). */
void tcp_scoreboard_leave(struct rb_net *net, struct tcb *tcb, uint32_t piece, uint32_t echo_age_us);
/* A piece was sent or sent again. */
void tcp_scoreboard_sent(struct rb_net *net, struct tcb *tcb, uint32_t piece);
void tcp_scoreboard_lose(struct rb_net *net, struct tcb *tcb, uint32_t piece);
/* The first in the stream that is lost and was not sent again, or TCP_NONE. */
uint32_t tcp_scoreboard_first_lost(struct rb_net *net, struct tcb *tcb);
/* The peer has reneged (RFC 2018 8): what it sacked counts as under way again. */
void tcp_scoreboard_forget_sacks(struct rb_net *net, struct tcb *tcb);
/* What a segment's SACK blocks brought. */
struct tcp_sacked {
	uint32_t bytes;	    /* newly sacked */
	uint32_t duplicate; /* D-SACK: the number after it, when there is one */
	bool has_duplicate;
};
void tcp_scoreboard_sack(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment,
			 struct tcp_sacked *sacked);
/* Cuts a piece after `bytes`. False: no piece is left. */
bool tcp_piece_split(struct rb_net *net, struct tcb *tcb, uint32_t piece, uint32_t bytes);
/* Bytes that are thought to be under way (RFC 6675 4: pipe). */
static inline uint32_t tcp_pipe(struct rb_net *net, const struct tcb *tcb)
{
	uint32_t outstanding = tcb->snd_nxt - tcb->snd_una;
	if ((tcb->flags & TCP_SCOREBOARD) == 0)
		return outstanding;
	const struct tcb_cold *cold = tcp_cold(net, tcb);
	return outstanding - cold->sacked - cold->lost;
}

/* RFC 6675 4, 5: enough is sacked to say that what is before it is lost; bytes, for segments that were acknowledged
 * together, or DupAcks, for small ones. */
static inline bool tcp_sacked_enough(const struct tcb *tcb, const struct tcb_cold *cold)
{
	return cold->duplicate_acks >= TCP_DUP_THRESH || cold->sacked > (TCP_DUP_THRESH - 1U) * tcb->mss;
}

/* tcp_rack.c */
/*
 * A piece has arrived, by what the peer says. `echo_age_us`: the segment whose timestamp the acknowledgement echoes was
 * sent longer ago than that; 0: nothing is known.
 */
void tcp_rack_delivered(struct rb_net *net, struct tcb *tcb, const struct tcp_piece *piece, uint32_t echo_age_us);
void tcp_rack_duplicate(struct rb_net *net, struct tcb *tcb, const struct tcp_sacked *sacked);
void tcp_rack_recovered(struct tcb_cold *cold);
uint32_t tcp_rack_detect(struct rb_net *net, struct tcb *tcb);
void tcp_rack_timeout(struct rb_net *net, struct tcb *tcb);

/* tcp_recovery.c */
struct tcp_acked {
	uint32_t bytes;	 /* newly acknowledged cumulatively */
	uint32_t rtt_us; /* 0: none measured */
	bool repeats;	 /* nothing but the last acknowledgement again */
	bool duplicate;	 /* the same with data outstanding, RFC 5681 2: a duplicate acknowledgement */
	bool sacks;	 /* it has SACK blocks */
	bool echo;	 /* of a congestion mark (RFC 3168 6.1.2) */
};
/* Judges what an acknowledgement says about losses, and lets the window grow or shrink. */
void tcp_recovery_ack(struct rb_net *net, struct tcb *tcb, const struct tcp_acked *acked,
		      const struct tcp_sacked *sacked);
/* The oldest data was not acknowledged in time. */
void tcp_recovery_timeout(struct rb_net *net, struct tcb *tcb);
/* RFC 8985 6.3: the reordering window has passed. */
void tcp_recovery_reorder(struct rb_net *net, struct tcb *tcb);
/* RFC 8985 7.3: sends a tail loss probe. */
void tcp_recovery_probe(struct rb_net *net, struct tcb *tcb);
/* Arms the timer for what is outstanding, probe or retransmission, anew: something was acknowledged, or sent again. */
void tcp_recovery_arm(struct rb_net *net, struct tcb *tcb);
/* New data was sent: arms the timer unless it runs (RFC 6298 5.1). */
void tcp_recovery_sent(struct rb_net *net, struct tcb *tcb);
/*
 * The short way, for which two stores are all that a timer may cost, notes only when it sent (TCP_TIMER_SENT); what is
 * due then is worked out when somebody asks: by this, before anything else reads or sets the timer. tcp_timer_run()
 * does without as long as nothing is due. `timed`: the wheel has an entry that is early enough for all that the short
 * way sends until the round trips become shorter.
 */
void tcp_recovery_settle(struct rb_net *net, struct tcb *tcb);
/* When what the short way has sent is due, in ticks. */
uint32_t tcp_recovery_due(struct rb_net *net, const struct tcb *tcb);

/* tcp_congestion.c: see tcp_congestion.h */

/* tcp_timer.c */
void tcp_timer_set(struct rb_net *net, struct tcb *tcb, enum tcp_timer_kind kind, uint32_t delay_us);
/*
 * After a SYN or SYN-ACK. The entry in the wheel is as early as the first data's has to be: most handshakes are done by
 * then, and it serves for both.
 */
void tcp_timer_syn(struct rb_net *net, struct tcb *tcb);
/* Makes sure of an entry in the wheel that is not later than this tick. */
void tcp_timer_want(struct rb_net *net, const struct tcb *tcb, uint32_t at);
void tcp_timer_delack(struct rb_net *net, struct tcb *tcb);
/* Arms the wheel for what a connection that was moved here waits for. */
void tcp_timer_resume(struct rb_net *net, struct tcb *tcb);
void tcp_timer_keepalive(struct rb_net *net, struct tcb *tcb);
/* Closed both ways by the application, in FIN-WAIT-2: a peer that never closes must not hold us for ever. */
void tcp_timer_fin_wait(struct rb_net *net, struct tcb *tcb);
/* By the instance's time. True: a tick has begun, and what was due in it is done. */
bool tcp_timer_advance(struct rb_net *net);
uint64_t tcp_timer_deadline_ns(const struct rb_net *net);
/* Makes sure of an entry in the wheel for what the short way has just sent. */
__attribute__((noinline)) void tcp_timer_short(struct rb_net *net, struct tcb *tcb);

/* Microseconds in ticks, rounded up, and one for the tick that has begun: a timer may be late, never early. */
static inline uint32_t tcp_ticks(uint32_t us)
{
	return (us + TCP_TICK_NS / 1000 - 1) / (TCP_TICK_NS / 1000) + 1;
}

/* The least delay of the first data's timer, or of the handshake's, when that is less. */
static inline uint32_t tcp_timer_early(const struct tcp *tcp, uint32_t delay)
{
	uint32_t rto = tcp->rto_min_ticks, pto = tcp_ticks(TCP_MAX_ACK_DELAY_US), early = rto < pto ? rto : pto;
	return early < delay ? early : delay;
}

/* tcp_timer_syn(), but for the wheel's entry. Returns now, in ticks. */
static inline uint32_t tcp_timer_syn_at(const struct rb_net *net, struct tcb *tcb, uint32_t delay)
{
	uint32_t now = (uint32_t)net->tcp.tick;
	tcb->timer = TCP_TIMER_REXMT;
	tcb->rexmt_at = now + delay;
	tcb->flags |= TCP_REXMT_ARMED;
	tcb->timed = true;
	return now;
}

/* All that is outstanding was sent just now, on the short way. */
static inline void tcp_timer_sent(struct rb_net *net, struct tcb *tcb)
{
	tcb->flags |= TCP_REXMT_ARMED;
	tcb->timer = TCP_TIMER_SENT;
	tcb->rexmt_at = (uint32_t)net->tcp.tick;
	if (__builtin_expect(!tcb->timed, 0))
		tcp_timer_short(net, tcb);
}

static inline void tcp_timer_stop(struct tcb *tcb)
{
	tcb->flags &= ~(uint32_t)TCP_REXMT_ARMED;
}

/* Nothing unusual is left: segments may take the short way again, if this is an established connection. */
static inline void tcp_long_way_end(struct tcb *tcb)
{
	bool persist = tcb->timer == TCP_TIMER_PERSIST && (tcb->flags & TCP_REXMT_ARMED);
	if (tcb->state == TCP_ESTABLISHED && !persist && !(tcb->flags & (TCP_FIN_QUEUED | TCP_FIN_RECEIVED)))
		tcb->flags &= ~(uint32_t)TCP_SLOW;
}

/* Between whom segments go, and the way there. */
struct tcp_path {
	uint64_t addresses;		      /* IPv4: as in struct tcb; IPv6: 0 */
	uint32_t ports;			      /* as in struct tcb */
	uint16_t neighbour;		      /* of the next hop */
	const struct rb_ip *local6, *remote6; /* NULL: IPv4 */
};

/* tcp_output.c */
/* Sends what the windows allow, or an acknowledgement that is due. False: no header memory, to be tried again. */
__attribute__((noinline)) bool tcp_output(struct rb_net *net, struct tcb *tcb);
/* tcp_output_short.c: true when that was all that there was to do. */
bool tcp_output_short(struct rb_net *net, struct tcb *tcb);
/* Sends the segment of a piece again, whatever the windows say. False: no header memory. */
bool tcp_output_again(struct rb_net *net, struct tcb *tcb, uint32_t piece);
/* Sends new data, at most a segment, whatever the congestion window says. False: there was none, or no memory. */
bool tcp_output_more(struct rb_net *net, struct tcb *tcb);
/* Sends what the peer's window lets go, however little. False: there was nothing, or no memory. */
bool tcp_output_override(struct rb_net *net, struct tcb *tcb);
/* A segment without data that asks for an answer: zero-window and keep-alive probes. */
void tcp_output_probe(struct rb_net *net, struct tcb *tcb);
void tcp_output_ack(struct rb_net *net, struct tcb *tcb);
void tcp_output_syn(struct rb_net *net, struct tcb *tcb);
void tcp_output_reset(struct rb_net *net, struct tcb *tcb);
/* RFC 9293 3.10.7.1: the answer to a segment that belongs to nothing. */
void tcp_output_refuse(struct rb_net *net, const struct tcp_segment *segment);
/* A SYN-ACK without a TCB. */
struct tcp_syn_ack {
	uint32_t seq, tsval;
	uint16_t mss;
	uint8_t scale; /* TCP_SCALE_NONE: none */
	bool timestamps, sack, ecn;
};
void tcp_output_cookie(struct rb_net *net, const struct tcp_segment *segment, const struct tcp_path *path,
		       const struct tcp_syn_ack *syn_ack);

/* tcp_listen.c, tcp_open.c */
uint32_t tcp_listener_find(struct rb_net *net, const struct rb_ip *ip, uint16_t port);
/* Prepares what every TCB begins with. */
void tcp_make_init(struct rb_net *net);
/* Makes a TCB and puts it into the flow table. NULL: none left. The hold of the neighbour is the TCB's, or given up. */
struct tcb *tcp_make(struct rb_net *net, const struct tcp_path *path);
/* Before anything is sent: its ISS is above what an earlier connection of the 4-tuple used (RFC 9293 3.10.7.4). */
void tcp_iss_after(struct rb_net *net, struct tcb *tcb, uint32_t before);
/* The way to `remote`, from where `local` says. 0, with a hold of the neighbour, or as route_find(). */
int tcp_path_to(struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote,
		struct tcp_path *path);
/* The way back to whoever sent a segment, with a hold of the neighbour. False: there is none. */
bool tcp_path_back(struct rb_net *net, const struct tcp_segment *segment, struct tcp_path *path);
/* What nobody must guess of a new connection, by a keyed hash of its 4-tuple. */
struct tcp_beginning {
	/* RFC 6528 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), M by a 4 us clock */
	uint32_t iss;
	/* RFC 7323 5.4, 7.1: hides the uptime; the same for all connections of a 4-tuple, whose timestamps then grow from
	 * one to the next (RFC 6191) */
	uint32_t ts_offset;
};
struct tcp_beginning tcp_beginning(const struct rb_net *net, const struct tcp_path *path);
/* What we offer in a SYN: by the MTU or the configuration. */
uint16_t tcp_own_mss(const struct rb_net *net, bool is6);
/* Takes what a SYN or SYN-ACK agreed to. `offered`: we offered, too. */
void tcp_agree(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment);
void tcp_established(struct rb_net *net, struct tcb *tcb);
/* Makes a connection of a listener whose handshake has begun (SYN-RECEIVED). NULL: no room. */
struct tcb *tcp_make_passive(struct rb_net *net, struct tcp_listener *listener, const struct tcp_segment *segment);

struct tcp_listener *tcp_listener_of(struct rb_net *net, rb_net_handle handle);
int tcp_unlisten(struct rb_net *net, rb_net_handle handle);
/* tcp_send.c */
/* rb_net_reply() the long way, to whatever and whenever. */
__attribute__((noinline)) int tcp_reply(struct rb_net *net, rb_net_handle handle, uint32_t received,
					const struct rb_net_piece *pieces, unsigned count);
/* A segment was too big for a link on the way (RFC 1191, RFC 8201); 0: by how much was not said. */
void tcp_path_mtu(struct rb_net *net, struct tcb *tcb, uint32_t mtu);
/* Is there room for one more piece in the pool and in the connection's queue? */
bool tcp_send_room(const struct rb_net *net, const struct tcb *tcb);

/* Somebody waits for pieces: until fewer are in use than now. */
static inline void tcp_starved(struct rb_net *net)
{
	uint32_t used = pool_used(&net->tcp.piece_pool);
	if (used > net->tcp.starved_at)
		net->tcp.starved_at = used;
}

/* tcp_cookie.c */
void tcp_cookie_send(struct rb_net *net, struct tcp_listener *listener, const struct tcp_segment *segment);
/* The connection that an ACK with a valid cookie makes, or NULL. */
struct tcb *tcp_cookie_take(struct rb_net *net, struct tcp_listener *listener, const struct tcp_segment *segment);

/* tcp_close.c */
/* The connection has ended for this reason: nothing more is sent; the application is told if it knows of it. */
void tcp_end(struct rb_net *net, struct tcb *tcb, int status);
void tcp_time_wait(struct rb_net *net, struct tcb *tcb);
/* Both directions are done, as far as the application is concerned. */
void tcp_finish(struct rb_net *net, struct tcb *tcb, int status);
void tcp_free(struct rb_net *net, struct tcb *tcb);
void tcp_close_flush(struct rb_net *net);
/* rb_net_close() the long way, of whatever and whenever. */
__attribute__((noinline)) int tcp_close(struct rb_net *net, rb_net_handle handle, enum rb_net_close how);
/* Appends the FIN's piece to the stream. False: there is none for it yet. */
bool tcp_fin_append(struct rb_net *net, struct tcb *tcb);
/* Must that still be done? */
static inline bool tcp_fin_waits(struct rb_net *net, const struct tcb *tcb)
{
	return (tcb->flags & (TCP_FIN_QUEUED | TCP_FIN_SENT)) == TCP_FIN_QUEUED &&
	       (tcb->tx_tail == TCP_NONE || !(tcp_piece(net, tcb->tx_tail)->flags & TCP_PIECE_FIN));
}
void tcp_release_pieces(struct rb_net *net, struct tcb *tcb);

static inline void tcp_order_append(struct rb_net *net, struct tcp_order *order, uint32_t index)
{
	struct tcb_cold *colds = net->tcp.colds, *cold = &colds[index];
	cold->order_prev = order->tail;
	cold->order_next = TCP_NONE;
	if (order->tail == TCP_NONE)
		order->head = index;
	else
		colds[order->tail].order_next = index;
	order->tail = index;
	order->count++;
}

static inline void tcp_order_remove(struct rb_net *net, struct tcp_order *order, struct tcb *tcb)
{
	struct tcb_cold *colds = net->tcp.colds, *cold = tcp_cold(net, tcb);
	if (cold->order_prev == TCP_NONE)
		order->head = cold->order_next;
	else
		colds[cold->order_prev].order_next = cold->order_next;
	if (cold->order_next == TCP_NONE)
		order->tail = cold->order_prev;
	else
		colds[cold->order_next].order_prev = cold->order_prev;
	order->count--;
}

/* It is accepted, or ends before. */
static inline void tcp_listener_leave(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	if (cold->listener == TCP_NONE)
		return;
	struct tcp_listener *listener = &net->tcp.listeners[cold->listener];
	listener->waiting--;
	listener->syn_received -= tcb->state == TCP_SYN_RECEIVED;
	cold->listener = TCP_NONE;
}

/* Its 4-tuple as endpoints. */
void tcp_endpoints(const struct tcb *tcb, const struct tcb_cold *cold, struct rb_endpoint *local,
		   struct rb_endpoint *remote);

/* layout and state, for layout.c */
void tcp_lay(struct tcp *tcp, const struct rb_net_config *config, struct layout *layout);
void tcp_init(struct rb_net *net);
void tcp_drop(struct rb_net *net);
