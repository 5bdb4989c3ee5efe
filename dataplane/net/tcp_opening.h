// SPDX-License-Identifier: Apache-2.0
/*
 * Steps of how a connection begins, that the short way of a SYN (tcp_syn.c) and all others (tcp_open.c, tcp_listen.c)
 * share. Inline, as the short way is one row of them.
 */
#pragma once

#include "base/siphash.h"
#include "net/neighbour.h"
#include "net/tcp_congestion.h"

/* One hash for both: neither half says anything about the other. */
static inline struct tcp_beginning tcp_beginning_from(const struct rb_net *net, uint64_t f)
{
	uint32_t m = MECHANISM(iss_clock) ? (uint32_t)(net->now_ns / 4000) : 0;
	return (struct tcp_beginning){
		.iss = m + (MECHANISM(iss_hash) ? (uint32_t)f : 0),
		.ts_offset = MECHANISM(ts_offset) ? (uint32_t)(f >> 32) : 0,
	};
}

/* Of IPv4, the 4-tuple is twelve bytes. */
static inline struct tcp_beginning tcp_beginning4(const struct rb_net *net, uint64_t addresses, uint32_t ports)
{
	return tcp_beginning_from(net, rb_siphash_12(&net->tcp.beginning, addresses, ports));
}

static inline void tcp_begin_at(struct tcb *tcb, struct tcb_cold *cold, uint32_t iss)
{
	cold->iss = cold->recover = cold->ecn_recover = iss;
	tcb->snd_una = iss;
	tcb->snd_nxt = tcb->snd_end = iss + 1; /* the SYN */
}

/* Makes a TCB as that of every IPv4 connection begins; whoever finds it by its 4-tuple is not its affair. */
static inline void tcp_make_at(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint64_t addresses,
			       uint32_t ports, uint16_t neighbour, struct tcp_beginning beginning)
{
	const struct tcp *tcp = &net->tcp;
	uint32_t generation = tcb->generation;

	*tcb = tcp->fresh;
	memcpy(cold, &tcp->fresh_cold, sizeof(*cold));
	tcb->addresses = addresses;
	tcb->ports = ports;
	tcb->generation = generation;
	tcb->neighbour = neighbour;
	tcb->ts_offset = beginning.ts_offset;
	tcb->rexmt_at = (uint32_t)tcp->tick;
	tcp_begin_at(tcb, cold, beginning.iss);
}

/* Before the SYN: the connection shall offer that. */
static inline void tcp_offer(struct tcb *tcb, struct tcb_cold *cold, const struct tcp_offer *offer)
{
	if (offer->mss != 0 && offer->mss < cold->own_mss)
		cold->own_mss = offer->mss;
	if (offer->receive_window != 0)
		tcb->rcv_space = cold->rcv_window = offer->receive_window;
}

/* A fresh TCB becomes one whose handshake with the listener `at` has begun (SYN-RECEIVED). */
static inline void tcp_listener_join(struct rb_net *net, uint32_t at, struct tcb *tcb, struct tcb_cold *cold)
{
	struct tcp_listener *listener = &net->tcp.listeners[at];
	tcp_offer(tcb, cold, &listener->offer);
	tcb->state = TCP_SYN_RECEIVED;
	tcb->flags |= listener->options | TCP_SLOW;
	tcb->cookie = listener->cookie;
	cold->listener = at;
	cold->user_timeout_us = listener->user_timeout_us;
	cold->congestion = listener->congestion;
	listener->waiting++;
	listener->syn_received++;
}

/*
 * RFC 9293 3.7.1 with RFC 6691: the peer's MSS counts no options, so those of each segment come off; and not more than
 * we would offer ourselves, as our link is the peer's.
 */
static inline void tcp_agree_mss(struct tcb *tcb, struct tcb_cold *cold, uint32_t flags,
				 const struct tcp_segment *segment)
{
	enum { MSS_LEAST = 64 }; /* less is an attack on the cost of a segment */
	if (MECHANISM(mss) && segment->mss != 0)
		cold->peer_mss = segment->mss < MSS_LEAST ? MSS_LEAST : segment->mss;
	unsigned mss = cold->peer_mss < cold->own_mss ? cold->peer_mss : cold->own_mss;
	if (flags & TCP_HAS_TIMESTAMPS)
		mss -= TCP_TIMESTAMPS;
	tcb->mss = (uint16_t)mss;
}

/* Takes what a SYN or SYN-ACK agreed to. `offered`: bytes, by our SYN, if there was one: a SYN-ACK may carry data. */
static inline void tcp_agree_to(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold,
				const struct tcp_segment *segment, uint32_t offered)
{
	const struct rb_net_config *config = &net->config;
	uint32_t flags = tcb->flags;

	cold->irs = segment->seq;
	tcb->rcv_nxt = segment->seq + 1;
	tcb->rcv_adv = segment->seq + 1 + offered;
	if (config->timestamps && segment->has_timestamps) {
		flags |= TCP_HAS_TIMESTAMPS;
		tcb->ts_recent = segment->tsval;
	}
	if (config->sack && segment->sack_permitted)
		flags |= TCP_HAS_SACK;
	/* RFC 7323 2.2: both or none */
	bool scaling = MECHANISM(window_scale) && config->window_scaling && segment->scale != TCP_SCALE_NONE;
	unsigned own_scale = scaling ? net->tcp.own_scale : 0;
	cold->scaling = scaling;
	tcb->scale = scaling ? (uint8_t)(segment->scale | own_scale << 4) : 0;
	/* more than can be told is not there */
	uint32_t most = (uint32_t)UINT16_MAX << own_scale;
	if (cold->rcv_window > most)
		tcb->rcv_space = cold->rcv_window = most;
	/* RFC 3168 6.1.1: a SYN has ECE and CWR, a SYN-ACK ECE alone */
	uint8_t ecn = segment->flags & (TCP_ECE | TCP_CWR),
		wanted = segment->flags & TCP_ACK ? TCP_ECE : TCP_ECE | TCP_CWR;
	if (config->ecn && MECHANISM(ecn_agree) && (ecn == wanted || (!MECHANISM(ecn_mirrored) && ecn != 0)))
		flags |= TCP_HAS_ECN;
	tcb->flags = flags;
	tcp_agree_mss(tcb, cold, flags, segment);
	/* RFC 7323 2.2: the window of a SYN is not scaled */
	tcb->snd_wnd = segment->window;
	tcb->foreseen = 0;
	tcb->snd_wl1 = segment->seq;
	cold->snd_max_wnd = tcb->snd_wnd;
}

/*
 * The handshake is done. What must also be done, tcp_establish_beside() does. Returns the flags that are to be those of
 * the connection, which has news for the application.
 */
static inline uint32_t tcp_establish(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	uint32_t flags = tcb->flags & ~((uint32_t)TCP_REXMT_ARMED | TCP_OPENING);

	if (__builtin_expect(cold->listener != TCP_NONE, 1))
		net->tcp.listeners[cold->listener].syn_received--;
	tcb->state = TCP_ESTABLISHED;
	tcb->backoff = 0;
	if (tcb->srtt8_us == 0)
		tcb->timed = false; /* the first measurement is none of the short way's: see tcp_timer_short() */
	/* RFC 5681 3.1: a lost SYN or SYN-ACK leaves one segment */
	tcb->cwnd = cold->syns > 0 ? tcb->mss : tcp_initial_window(net, tcb);
	flags |= tcb->flags & TCP_OPENING ? TCP_OPENED : TCP_KNOCKING;
	return flags & TCP_FIN_QUEUED ? flags : flags & ~(uint32_t)TCP_SLOW;
}

/* What is mostly nothing. */
static inline void tcp_establish_beside(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	if (__builtin_expect(tcp_congestion_of(cold)->start != NULL, 0))
		tcp_congestion_start(net, tcb, cold, cold->congestion);
	if (__builtin_expect((tcb->flags & TCP_KEEPALIVE) != 0, 0))
		tcp_timer_keepalive(net, tcb);
	neighbour_confirm(net, tcb->neighbour);
}

/* RFC 9293 3.10.7.4, fifth, for SYN-RECEIVED: the acknowledgement of our SYN, before tcp_establish(). */
static inline void tcp_ack_of_syn(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t seq,
				  uint32_t window)
{
	if (cold->syns == 0 && cold->syn_us != 0)
		tcp_rtt_first(tcb, cold, net->tcp.now_us - cold->syn_us);
	tcb->snd_una = tcb->snd_nxt;
	tcp_window_set(tcb, window);
	tcb->snd_wl1 = seq;
	if (tcb->snd_wnd > cold->snd_max_wnd)
		cold->snd_max_wnd = tcb->snd_wnd;
}
