// SPDX-License-Identifier: Apache-2.0
/* What the parts of TCP call in each other; who does what is said in tcp.h. */
#pragma once

#include "net/defs.h"
#include "net/layout.h"
#include "net/mechanism.h"
#include "net/seq.h"
#include "net/tcp_segment.h"

enum { TCP_DUP_THRESH = 3 }; /* RFC 5681 3.2 */

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

/* tcp_arrives.c: RFC 9293 3.10.7. True: the buffer is kept. */
bool tcp_arrives(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment);
bool tcp_arrives_listen(struct rb_net *net, struct tcp_listener *listener, struct tcp_segment *segment);
void tcp_challenge_ack(struct rb_net *net, struct tcb *tcb);

/* tcp_input.c: connections by their 4-tuple; `local` and `remote` as in the packet. */
uint32_t tcp_find(struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote);
uint32_t tcp_hash(const struct rb_net *net, const struct tcb *tcb);

/* tcp_deliver.c */
enum tcp_delivery { TCP_DELIVERY_DROPPED = 0, TCP_DELIVERY_KEPT = 1, TCP_DELIVERY_FIN = 2 };
/*
 * Takes a segment's payload and FIN (RFC 9293 3.10.7.4, seventh and eighth): in order to the application, else for
 * later. Bits: the buffer is kept; the FIN has come into order.
 */
unsigned tcp_deliver(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment);
/* Appends a payload that is next in order. False: no part is left (counted). */
bool tcp_deliver_next(struct rb_net *net, struct tcb *tcb, const struct rb_net_packet *packet, const uint8_t *data,
		      uint32_t length);
/* The window to advertise: RCV.WND, which never takes back what was offered (RFC 9293 3.8.6.2.2). Sets rcv_adv. */
uint32_t tcp_window_offer(struct rb_net *net, struct tcb *tcb);
/* Is there so much more room than the peer knows that it should be told? */
bool tcp_window_opened(const struct rb_net *net, const struct tcb *tcb);
/* SACK blocks for the next acknowledgement, at most `max`; a D-SACK first. Returns how many. */
unsigned tcp_sack_report(struct rb_net *net, struct tcb *tcb, struct tcp_range *blocks, unsigned max);
/* Gives back all received buffers, delivered or not. */
void tcp_deliver_drop(struct rb_net *net, struct tcb *tcb);

/* tcp_ack.c */
/* Processes an acceptable ACK of a synchronised connection; see there. False: drop the segment. */
bool tcp_ack(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment);
/* Takes the window of a segment, if it is newer (RFC 9293 3.10.7.4: SND.WL1, SND.WL2). */
void tcp_ack_window(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment);
/* Releases what is acknowledged and measures the round trip; 0: nothing to measure by. For echo_age_us see tcp_rack.c. */
uint32_t tcp_ack_release(struct rb_net *net, struct tcb *tcb, uint32_t ack, uint32_t echo_age_us);
/* RFC 6298 2 */
void tcp_rtt_sample(struct rb_net *net, struct tcb *tcb, uint32_t rtt_us);
uint32_t tcp_rto_us(const struct rb_net *net, const struct tcb *tcb);

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

/* tcp_congestion.c: see tcp_congestion.h */

/* tcp_timer.c */
void tcp_timer_set(struct rb_net *net, struct tcb *tcb, enum tcp_timer_kind kind, uint32_t delay_us);
void tcp_timer_delack(struct rb_net *net, struct tcb *tcb);
/* Arms the wheel for what a connection that was moved here waits for. */
void tcp_timer_resume(struct rb_net *net, struct tcb *tcb);
void tcp_timer_keepalive(struct rb_net *net, struct tcb *tcb);
void tcp_timer_advance(struct rb_net *net);
uint64_t tcp_timer_deadline_ns(const struct rb_net *net);
static inline void tcp_timer_stop(struct tcb *tcb)
{
	tcb->flags &= ~(uint32_t)TCP_REXMT_ARMED;
}

/* Nothing unusual is left: segments may take the short way again, if this is an established connection. */
static inline void tcp_long_way_end(struct tcb *tcb)
{
	bool persist = tcb->timer == TCP_TIMER_PERSIST && (tcb->flags & TCP_REXMT_ARMED);
	if (tcb->state == TCP_ESTABLISHED && !persist && !(tcb->flags & (TCP_FIN_SENT | TCP_FIN_RECEIVED)))
		tcb->flags &= ~(uint32_t)TCP_SLOW;
}

/* tcp_output.c */
/* Sends what the windows allow, or an acknowledgement that is due. False: no header memory, to be tried again. */
bool tcp_output(struct rb_net *net, struct tcb *tcb);
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
void tcp_output_cookie(struct rb_net *net, const struct tcp_segment *segment, const struct tcp_syn_ack *syn_ack);

/* tcp_listen.c, tcp_open.c */
uint32_t tcp_listener_find(struct rb_net *net, const struct rb_ip *ip, uint16_t port);
/* Makes a TCB for a 4-tuple and puts it into the flow table; NULL: none left, or no way to the peer. `*error` says. */
struct tcb *tcp_make(struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote, int *error);
/* Before anything is sent: its ISS is above what an earlier connection of the 4-tuple used (RFC 9293 3.10.7.4). */
void tcp_iss_after(struct rb_net *net, struct tcb *tcb, uint32_t before);
uint32_t tcp_iss(const struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote);
/*
 * RFC 7323 5.4: hides the uptime; the same for all connections of two hosts, whose timestamps then grow from one to the
 * next (RFC 6191).
 */
uint32_t tcp_ts_offset(const struct rb_net *net, const struct rb_ip *local, const struct rb_ip *remote);
/* What we offer in a SYN: by the MTU or the configuration. */
uint16_t tcp_own_mss(const struct rb_net *net, bool is6);
/* Before the SYN: the connection shall offer that. */
void tcp_offer(struct rb_net *net, struct tcb *tcb, const struct tcp_offer *offer);
uint8_t tcp_own_scale(const struct rb_net *net);
/* Takes what a SYN or SYN-ACK agreed to. `offered`: we offered, too. */
void tcp_agree(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment);
void tcp_established(struct rb_net *net, struct tcb *tcb);
/* Makes a connection of a listener whose handshake has begun (SYN-RECEIVED). NULL: no room. */
struct tcb *tcp_make_passive(struct rb_net *net, struct tcp_listener *listener, const struct tcp_segment *segment);
void tcp_listener_leave(struct rb_net *net, struct tcb *tcb);

struct tcp_listener *tcp_listener_of(struct rb_net *net, rb_net_handle handle);
int tcp_unlisten(struct rb_net *net, rb_net_handle handle);
/* tcp_send.c */
/* A segment was too big for a link on the way (RFC 1191, RFC 8201); 0: by how much was not said. */
void tcp_path_mtu(struct rb_net *net, struct tcb *tcb, uint32_t mtu);
/* Is there room for one more piece in the pool and in the connection's queue? */
bool tcp_send_room(const struct rb_net *net, const struct tcb *tcb);

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
void tcp_release_pieces(struct rb_net *net, struct tcb *tcb);

static inline void tcp_order_append(struct rb_net *net, struct tcp_order *order, struct tcb *tcb)
{
	struct tcb_cold *colds = net->tcp.colds;
	uint32_t index = tcp_index(net, tcb);
	colds[index].order_prev = order->tail;
	colds[index].order_next = TCP_NONE;
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

/* Its 4-tuple as endpoints. */
void tcp_endpoints(struct rb_net *net, const struct tcb *tcb, struct rb_endpoint *local, struct rb_endpoint *remote);

/* layout and state, for layout.c */
void tcp_lay(struct tcp *tcp, const struct rb_net_config *config, struct layout *layout);
void tcp_init(struct rb_net *net);
void tcp_drop(struct rb_net *net);
