// SPDX-License-Identifier: Apache-2.0
/*
 * SEGMENT ARRIVES, RFC 9293 section 3.10.7, in its order; with the stricter rules of RFC 5961 against segments forged
 * by who cannot see the connection, and PAWS (RFC 7323 5).
 */
#include "net/tcp_congestion.h"
#include "net/tcp_opening.h"
#include "net/tcp_upcalls.h"

#include <errno.h>

enum { CHALLENGES_PER_SECOND = 1000 };

/* RFC 5961 7. The limit is drawn anew each second, so that nobody can count with it what others were told. */
void tcp_challenge_ack(struct rb_net *net, struct tcb *tcb)
{
	struct tcp *tcp = &net->tcp;
	if (net->now_ns >= tcp->challenges_until_ns) {
		tcp->challenges_until_ns = net->now_ns + 1000000000;
		tcp->challenges_left =
			CHALLENGES_PER_SECOND / 2 + (uint32_t)(net->ops->random(net->context) % CHALLENGES_PER_SECOND);
	}
	if (MECHANISM(challenge_limit) && tcp->challenges_left == 0) {
		net->counters.tcp_challenge_limited++;
		return;
	}
	tcp->challenges_left -= tcp->challenges_left > 0;
	net->counters.tcp_challenge_acks++;
	tcp_ack_now(net, tcb);
}

/*
 * 3.10.7.2: LISTEN
 */

static bool ack_to_listener(struct rb_net *net, struct tcp_listener *listener, struct tcp_segment *segment)
{
	/* a SYN-ACK brings no cookie back, and would leave a connection that nothing goes on with */
	bool may = net->config.cookies && !(segment->flags & TCP_SYN);
	struct tcb *tcb = may ? tcp_cookie_take(net, listener, segment) : NULL;
	if (tcb != NULL)
		return tcp_arrives(net, tcb, segment);
	/* after a cookie, the segment that brings it back may have been lost, and this is a later one of that connection:
	 * a RST would end what a retransmission can still begin */
	if (net->now_ns >= listener->cookies_until_ns)
		tcp_output_refuse(net, segment);
	return false;
}

/* `before`: the last number that a connection of this 4-tuple used, whose end this SYN is; or NULL. */
static void syn_to_listener(struct rb_net *net, struct tcp_listener *listener, struct tcp_segment *segment,
			    const uint32_t *before)
{
	net->counters.tcp_syns++;
	if (listener->syn_received >= net->config.backlog) {
		if (MECHANISM(cookies) && net->config.cookies)
			tcp_cookie_send(net, listener, segment);
		else
			net->counters.tcp_syns_dropped++;
		return;
	}
	struct tcb *tcb = tcp_make_passive(net, listener, segment);
	if (tcb == NULL)
		return;
	if (before != NULL)
		tcp_iss_after(net, tcb, *before);
	/* data of a SYN is not kept (RFC 9293 3.10.7.2 lets us): the peer sends it again */
	tcp_agree(net, tcb, segment);
	tcp_output_syn(net, tcb);
	tcp_timer_syn(net, tcb);
}

bool tcp_arrives_listen(struct rb_net *net, struct tcp_listener *listener, struct tcp_segment *segment)
{
	if (segment->flags & TCP_RST)
		return false;
	if (segment->flags & TCP_ACK)
		return ack_to_listener(net, listener, segment);
	if ((segment->flags & TCP_SYN) && !(segment->flags & TCP_FIN))
		syn_to_listener(net, listener, segment, NULL);
	return false;
}

/*
 * 3.10.7.4: the other states
 */

/*
 * Who has filled our window acknowledges from its end. If we could not keep what has filled it, nothing that frees room
 * here, which may be what that acknowledges, would ever count: see docs/tcp.md.
 */
static bool is_at_edge(const struct tcb *tcb, const struct tcp_segment *segment)
{
	return MECHANISM(edge_ack) && segment->seq == tcb->rcv_adv && !(segment->flags & TCP_RST);
}

/* First: is the segment in the window? (3.4, table 6) Of a RST only the number counts (3.10.7.4, second). */
static bool is_acceptable(const struct tcb *tcb, const struct tcp_segment *segment)
{
	uint32_t length = segment->flags & TCP_RST ? 0 : tcp_segment_length(segment);
	uint32_t left = tcb->rcv_nxt, window = tcb->rcv_adv - tcb->rcv_nxt;
	if (!MECHANISM(acceptance))
		return true;
	if ((int32_t)window < 0)
		window = 0;
	if (length == 0)
		return segment->seq == left || seq_within(segment->seq, left, left + window) ||
		       is_at_edge(tcb, segment);
	if (window == 0)
		return false;
	return seq_within(segment->seq, left, left + window) ||
	       seq_within(segment->seq + length - 1, left, left + window);
}

/*
 * RFC 7323 5.3 R1: an old timestamp makes a segment unacceptable, unless it is a RST. R1's exception for connections
 * idle for 24 days is not made: see docs/tcp.md.
 */
static bool is_old(struct rb_net *net, const struct tcb *tcb, const struct tcp_segment *segment)
{
	if (!(tcb->flags & TCP_HAS_TIMESTAMPS) || !segment->has_timestamps || (segment->flags & TCP_RST))
		return false;
	if (!MECHANISM(paws) || seq_le(tcb->ts_recent, segment->tsval))
		return false;
	net->counters.tcp_paws++;
	return true;
}

/* RFC 9293 3.10.7.4, TIME-WAIT, with RFC 6191 2: a SYN that must be of a new connection. */
static bool is_reopening(const struct tcb *tcb, const struct tcp_segment *segment)
{
	if (!MECHANISM(time_wait_reuse) || tcb->state != TCP_TIME_WAIT ||
	    (segment->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return false;
	if ((tcb->flags & TCP_HAS_TIMESTAMPS) && segment->has_timestamps)
		return seq_lt(tcb->ts_recent, segment->tsval) ||
		       (tcb->ts_recent == segment->tsval && seq_lt(tcb->rcv_nxt, segment->seq));
	return seq_lt(tcb->rcv_nxt, segment->seq);
}

/* Can a new connection begin? Not where nobody listens; nor with a cookie, whose ISS may lie below the old numbers. */
static bool may_reopen(const struct rb_net *net, uint32_t listener)
{
	return listener != TCP_NONE &&
	       (net->tcp.listeners[listener].syn_received < net->config.backlog || !MECHANISM(iss_after));
}

static bool reopen(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment)
{
	struct rb_ip local = ip_packet_destination(segment->ip);
	uint32_t listener = tcp_listener_find(net, &local, segment->local_port);
	if (!may_reopen(net, listener)) { /* as any SYN is answered, RFC 5961 4.2 */
		tcp_challenge_ack(net, tcb);
		return false;
	}
	net->counters.tcp_time_wait_reused++;
	uint32_t before = tcb->snd_nxt;
	tcp_end(net, tcb, 0);
	syn_to_listener(net, &net->tcp.listeners[listener], segment, &before);
	return false;
}

/* Second: RFC 5961 3.2: only a RST exactly at the next expected number is believed. */
static void arrives_rst(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment)
{
	if (MECHANISM(rst_exact) && segment->seq != tcb->rcv_nxt) {
		tcp_challenge_ack(net, tcb);
		return;
	}
	net->counters.tcp_resets_in++;
	if (MECHANISM(time_wait_reset) && tcb->state == TCP_TIME_WAIT)
		return; /* RFC 1337 (fix F1): not to be killed before its time */
	tcp_end(net, tcb, tcb->flags & TCP_OPENING ? -ECONNREFUSED : -ECONNRESET);
}

/* What an acknowledged FIN leads to. False: the connection is gone. */
static bool arrives_ack_of_fin(struct rb_net *net, struct tcb *tcb)
{
	if (!(tcb->flags & TCP_FIN_SENT) || tcb->snd_una != tcb->snd_nxt)
		return true;
	switch (tcb->state) {
	case TCP_FIN_WAIT_1:
		tcb->state = TCP_FIN_WAIT_2;
		if (tcb->flags & TCP_DISCARD)
			tcp_timer_fin_wait(net, tcb);
		return true;
	case TCP_CLOSING:
		tcp_time_wait(net, tcb);
		return true;
	case TCP_LAST_ACK:
		tcp_end(net, tcb, 0);
		return false;
	default:
		return true;
	}
}

/* Eighth: the peer's FIN has come into order. */
static void arrives_fin(struct rb_net *net, struct tcb *tcb)
{
	if (!(tcb->flags & TCP_DISCARD)) {
		tcb->flags |= TCP_ENDED;
		tcp_ready(net, tcb);
	}
	switch (tcb->state) {
	case TCP_SYN_RECEIVED:
	case TCP_ESTABLISHED:
		tcb->state = TCP_CLOSE_WAIT;
		break;
	case TCP_FIN_WAIT_1: /* our FIN is not acknowledged yet, or arrives_ack_of_fin() would have moved on */
		if (MECHANISM(simultaneous_close))
			tcb->state = TCP_CLOSING;
		break;
	case TCP_FIN_WAIT_2:
		tcp_time_wait(net, tcb);
		break;
	default:
		break;
	}
}

/* RFC 3168 6.1.3; RFC 8257 3.2: DCTCP's echo says exactly which segments were marked. */
static void arrives_ecn(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment)
{
	bool marked = segment->ip->ecn == IP_ECN_CE && MECHANISM(ecn_echo), echoing = tcb->flags & TCP_ECN_ECHO;
	/* what says nothing about the way of data is not echoed: a mark on an acknowledgement alone */
	if (segment->length == 0)
		return;
	if (marked)
		net->counters.tcp_ecn_marked++;
	if (tcp_congestion_of(tcp_cold(net, tcb))->exact_ecn) {
		if (marked != echoing && (tcb->flags & (TCP_ACK_NOW | TCP_ACK_DELAYED)))
			tcp_output_ack(net, tcb); /* with the state so far */
		if (marked || MECHANISM(ecn_exact))
			tcb->flags = marked ? tcb->flags | TCP_ECN_ECHO : tcb->flags & ~(uint32_t)TCP_ECN_ECHO;
		return;
	}
	if (segment->flags & TCP_CWR)
		tcb->flags &= ~(uint32_t)TCP_ECN_ECHO;
	if (marked) {
		tcb->flags |= TCP_ECN_ECHO;
		tcp_ack_now(net, tcb);
	}
}

/* Cuts what lies beyond the window (3.10.7.4, first: "trimming off any portions that lie outside"). */
static void trim(const struct tcb *tcb, struct tcp_segment *segment)
{
	uint32_t room = tcb->rcv_adv - segment->seq;
	if (MECHANISM(trim) && (int32_t)(segment->length - room) > 0) {
		segment->length = (int32_t)room > 0 ? room : 0;
		segment->flags &= (uint8_t)~TCP_FIN;
	}
}

/* `old`: by its timestamp; then nothing in it counts. */
static bool arrives_unacceptable(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment, bool old)
{
	net->counters.tcp_unacceptable++;
	if (segment->flags & TCP_RST)
		return false;
	/* a zero window still takes acknowledgements and window updates (3.10.7.4; 3.8.6: MUST process) */
	if (MECHANISM(zero_window_ack) && !old && (segment->flags & TCP_ACK) && tcb->state >= TCP_ESTABLISHED &&
	    seq_between(segment->ack, tcb->snd_una, tcb->snd_nxt) && segment->seq == tcb->rcv_nxt &&
	    !(segment->flags & TCP_SYN)) {
		tcp_ack(net, tcb, segment);
		if (!arrives_ack_of_fin(net, tcb))
			return false;
	}
	/* 3.10.7.4, eighth: the peer's FIN again, its ACK was lost; nothing else makes this state longer */
	if (MECHANISM(time_wait_again) && tcb->state == TCP_TIME_WAIT && (segment->flags & TCP_FIN) &&
	    segment->seq + tcp_segment_length(segment) == tcb->rcv_nxt)
		tcp_timer_set(net, tcb, TCP_TIMER_TIME_WAIT, net->config.time_wait_us);
	/* RFC 2883 4: an old segment, whole, is a duplicate */
	if ((tcb->flags & TCP_HAS_SACK) && segment->length > 0 &&
	    seq_le(segment->seq + segment->length, tcb->rcv_nxt)) {
		tcp_cold(net, tcb)->duplicate = (struct tcp_range){segment->seq, segment->seq + segment->length};
		net->counters.tcp_duplicates++;
	}
	tcp_ack_now(net, tcb);
	return false;
}

/* Sixth to eighth, for what passed all checks. */
static bool arrives_text(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment)
{
	if (tcb->flags & TCP_HAS_ECN)
		arrives_ecn(net, tcb, segment);
	/* the urgent pointer is ignored: see docs/tcp.md */
	if (tcb->state > TCP_ESTABLISHED && tcb->state != TCP_FIN_WAIT_1 && tcb->state != TCP_FIN_WAIT_2) {
		if (segment->length > 0 || (segment->flags & TCP_FIN))
			tcp_ack_now(net, tcb); /* nothing can follow a FIN */
		return false;
	}
	trim(tcb, segment);
	unsigned delivery = tcp_deliver(net, tcb, segment);
	if (delivery & TCP_DELIVERY_FIN)
		arrives_fin(net, tcb);
	return delivery & TCP_DELIVERY_KEPT;
}

/*
 * 3.10.7.3: SYN-SENT
 */

static bool arrives_syn_sent(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	bool ack = segment->flags & TCP_ACK;

	if (ack && segment->ack != tcb->snd_nxt) { /* first; only the SYN is outstanding */
		tcp_output_refuse(net, segment);
		return false;
	}
	if (segment->flags & TCP_RST) { /* second */
		if (ack) {
			net->counters.tcp_resets_in++;
			tcp_end(net, tcb, -ECONNREFUSED);
		}
		return false;
	}
	if (!(segment->flags & TCP_SYN)) /* fifth */
		return false;
	tcp_agree(net, tcb, segment);		    /* fourth */
	if (MECHANISM(simultaneous_open) && !ack) { /* both sides open at once (3.5) */
		tcb->state = TCP_SYN_RECEIVED;
		tcp_output_syn(net, tcb);
		tcp_timer_syn(net, tcb);
		return false;
	}
	if (cold->syns == 0) /* Karn */
		tcp_rtt_sample(net, tcb, net->tcp.now_us - cold->syn_us);
	tcb->snd_una = segment->ack;
	tcp_established(net, tcb);
	tcp_ack_now(net, tcb);
	/* a payload or FIN with it is next in order */
	segment->seq++;
	segment->flags &= (uint8_t)~TCP_SYN;
	if (segment->length == 0 && !(segment->flags & TCP_FIN))
		return false;
	return arrives_text(net, tcb, segment);
}

/*
 * 3.10.7.4
 */

/* Fifth, before anything that the segment says counts. */
static bool is_ack_believed(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment)
{
	if (tcb->state != TCP_SYN_RECEIVED)
		return tcp_ack_believed(net, tcb, segment);
	if (segment->ack == tcb->snd_nxt)
		return true;
	tcp_output_refuse(net, segment);
	return false;
}

bool tcp_arrives(struct rb_net *net, struct tcb *tcb, struct tcp_segment *segment)
{
	tcp_recovery_settle(net, tcb);
	if (tcb->state == TCP_SYN_SENT)
		return arrives_syn_sent(net, tcb, segment);
	if (is_reopening(tcb, segment))
		return reopen(net, tcb, segment);
	/* both sides have opened at once: the SYN is known, its ACK is what counts (3.5, figure 8) */
	if (tcb->state == TCP_SYN_RECEIVED && (segment->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) &&
	    segment->seq == tcp_cold(net, tcb)->irs) {
		segment->seq++;
		segment->flags &= (uint8_t)~TCP_SYN;
	}
	/* first */
	bool old = is_old(net, tcb, segment);
	if (old || !is_acceptable(tcb, segment)) {
		if (tcb->state == TCP_SYN_RECEIVED && (segment->flags & TCP_SYN)) {
			tcp_output_syn(net, tcb); /* ours was lost */
			return false;
		}
		return arrives_unacceptable(net, tcb, segment, old);
	}
	if (tcb->flags & TCP_KEEPALIVE)
		tcp_heard(net, tcb);
	if (segment->flags & TCP_RST) {
		arrives_rst(net, tcb, segment);
		return false;
	}
	/* fourth, RFC 5961 4.2: a SYN is answered, whatever its number */
	if (MECHANISM(syn_challenge) && (segment->flags & TCP_SYN)) {
		tcp_challenge_ack(net, tcb);
		return false;
	}
	/* fifth */
	if (!(segment->flags & TCP_ACK))
		return false;
	/* RFC 7323 3.2: once agreed, every segment has it */
	if (MECHANISM(timestamps_always) && (tcb->flags & TCP_HAS_TIMESTAMPS) && !segment->has_timestamps)
		return false;
	if (!is_ack_believed(net, tcb, segment))
		return false;
	/* RFC 7323 4.3 (2); not older, or PAWS had refused it. Of what is forged, too, it would make all others look old. */
	if (segment->has_timestamps && (tcb->flags & TCP_HAS_TIMESTAMPS) &&
	    (seq_le(segment->seq, tcb->last_ack_sent) || !MECHANISM(ts_recent)))
		tcb->ts_recent = segment->tsval;
	if (tcb->state == TCP_SYN_RECEIVED) {
		tcp_ack_of_syn(net, tcb, tcp_cold(net, tcb), segment->seq, segment->window);
		tcp_established(net, tcb);
	}
	tcp_ack(net, tcb, segment);
	if (!arrives_ack_of_fin(net, tcb))
		return false;
	return arrives_text(net, tcb, segment);
}

/*
 * Errors from below (RFC 9293 3.9.2.2, RFC 5927).
 */

void tcp_icmp(struct rb_net *net, const struct tcp_icmp *error)
{
	uint32_t index = tcp_find(net, &error->local, &error->remote);
	if (index == TCP_NONE)
		return;
	struct tcb *tcb = tcp_tcb(net, index);
	/* RFC 5927 4.1: only about what is outstanding */
	if (tcb->state < TCP_SYN_SENT || tcb->state == TCP_TIME_WAIT ||
	    (MECHANISM(icmp_sequence) && !seq_within(error->sequence, tcb->snd_una, tcb->snd_nxt)))
		return;
	if (MECHANISM(path_mtu) && error->kind == TCP_ICMP_TOO_BIG) {
		tcp_path_mtu(net, tcb, error->mtu);
		return;
	}
	/* RFC 5461: a connection being opened ends; one that works is left to its timers */
	if ((tcb->state == TCP_SYN_SENT || !MECHANISM(icmp_soft)) && error->kind == TCP_ICMP_HARD &&
	    MECHANISM(icmp_hard))
		tcp_end(net, tcb, error->status);
	else
		tcp_cold(net, tcb)->status = error->status;
}

void tcp_neighbour_failed(struct rb_net *net, uint16_t neighbour)
{
	for (uint32_t index = 0; index < net->tcp.tcb_pool.count; index++) {
		if (!tcb_in_use(tcp_tcb(net, index)))
			continue;
		struct tcb *tcb = tcp_tcb(net, index);
		if (tcb->neighbour != neighbour || tcb->state < TCP_SYN_SENT)
			continue;
		if (tcb->state == TCP_SYN_SENT)
			tcp_end(net, tcb, -EHOSTUNREACH);
		else
			tcp_cold(net, tcb)->status = -EHOSTUNREACH;
	}
}
