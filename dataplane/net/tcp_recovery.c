// SPDX-License-Identifier: Apache-2.0
/*
 * Loss: how it is seen and how it is repaired.
 *
 *   seen by     three duplicate acknowledgements (RFC 5681, 6582), where there is no SACK
 *               the number of bytes sacked above (RFC 6675), with SACK and without RACK
 *               time (RFC 8985), with both: tcp_rack.c
 *               the retransmission timeout (RFC 6298)
 *   repaired by fast recovery (TCP_RECOVERY): the window is reduced once, pieces marked lost go out again as the pipe
 *               allows, until what was outstanding when it began is acknowledged (`recover`)
 *               or, after a timeout (TCP_LOSS), from one segment on in slow start
 */
#include "net/tcp_congestion.h"

static bool uses_rack(const struct rb_net *net, const struct tcb *tcb)
{
	return (tcb->flags & TCP_HAS_SACK) && net->config.rack;
}

/*
 * Timers of what is outstanding.
 */

/* What is left of the RTO for the oldest piece. */
static uint32_t rto_left_us(struct rb_net *net, const struct tcb *tcb)
{
	uint32_t rto = tcp_rto_us(net, tcb), age = net->tcp.now_us - tcp_piece(net, tcb->tx_head)->sent_us;
	return age < rto ? rto - age : 1;
}

/* RFC 8985 7.2, TLP_calc_PTO() */
static uint32_t probe_timeout_us(const struct tcb *tcb, uint32_t rto)
{
	uint32_t pto = tcb->srtt8_us / 4; /* 2 SRTT */
	if (tcb->srtt8_us == 0)
		pto = 1000000;
	else if (tcb->snd_nxt - tcb->snd_una <= tcb->mss)
		pto += TCP_MAX_ACK_DELAY_US;
	return pto < rto ? pto : rto;
}

/* RFC 8985 7.1: one probe, and only where nothing tells of a loss. */
static bool may_probe(const struct rb_net *net, const struct tcb *tcb)
{
	return uses_rack(net, tcb) && net->config.tlp && MECHANISM(tlp) && tcb->backoff == 0 && !tcb->probed &&
	       !(tcb->flags & (TCP_RECOVERY | TCP_LOSS | TCP_SCOREBOARD));
}

static void arm(struct rb_net *net, struct tcb *tcb, uint32_t rto)
{
	if (may_probe(net, tcb))
		tcp_timer_set(net, tcb, TCP_TIMER_PROBE, probe_timeout_us(tcb, rto));
	else
		tcp_timer_set(net, tcb, TCP_TIMER_REXMT, rto);
}

/* How much older than the last piece the oldest is. */
static uint32_t oldest_us(struct rb_net *net, const struct tcb *tcb)
{
	uint32_t since_us = ((uint32_t)net->tcp.tick - tcb->rexmt_at) * (TCP_TICK_NS / 1000);
	uint32_t age = net->tcp.now_us - tcp_piece(net, tcb->tx_head)->sent_us;
	return age > since_us ? age - since_us : 0;
}

/* What arm() would have done when the last segment was sent: its delay; of a probe, or of the retransmission. */
static inline uint32_t sent_delay_us(struct rb_net *net, const struct tcb *tcb, bool probe)
{
	uint32_t rto = tcp_rto_us(net, tcb);
	if (tcb->tx_head != tcb->tx_tail) {
		uint32_t age = oldest_us(net, tcb);
		rto = age < rto ? rto - age : 1;
	}
	return probe ? probe_timeout_us(tcb, rto) : rto;
}

uint32_t tcp_recovery_due(struct rb_net *net, const struct tcb *tcb)
{
	return tcb->rexmt_at + tcp_ticks(sent_delay_us(net, tcb, may_probe(net, tcb)));
}

void tcp_recovery_settle(struct rb_net *net, struct tcb *tcb)
{
	uint32_t delay_us;
	if (tcb->timer != TCP_TIMER_SENT)
		return;
	if (tcb->flags & TCP_REXMT_ARMED) {
		bool probe = may_probe(net, tcb);
		tcb->timer = probe ? TCP_TIMER_PROBE : TCP_TIMER_REXMT;
		delay_us = sent_delay_us(net, tcb, probe);
	} else {
		tcb->timer = TCP_TIMER_REXMT;
		delay_us = tcp_rto_us(net, tcb);
	}
	tcb->rexmt_at += tcp_ticks(delay_us);
	tcb->timed = false;
	/* round trips may have become shorter since the entry was made */
	if (tcb->flags & TCP_REXMT_ARMED)
		tcp_timer_want(net, tcb, tcb->rexmt_at);
}

void tcp_recovery_arm(struct rb_net *net, struct tcb *tcb)
{
	tcp_recovery_settle(net, tcb);
	if (tcb->snd_una == tcb->snd_nxt)
		tcp_timer_stop(tcb); /* RFC 6298 5.2 */
	else if (tcb->timer != TCP_TIMER_REORDER || !(tcb->flags & TCP_REXMT_ARMED))
		arm(net, tcb, tcp_rto_us(net, tcb)); /* 5.1, 5.3; the other one comes soon, and arms what is next */
}

void tcp_recovery_sent(struct rb_net *net, struct tcb *tcb)
{
	bool armed = (tcb->flags & TCP_REXMT_ARMED) && tcb->timer != TCP_TIMER_PERSIST;
	if (!armed || !MECHANISM(rto_not_restarted))
		tcp_recovery_arm(net, tcb);
	else if (tcb->timer == TCP_TIMER_PROBE) /* RFC 8985 7.1: from the last new data on, but within the RTO */
		arm(net, tcb, rto_left_us(net, tcb));
}

/*
 * A congestion event: the window is reduced by what was under way (RFC 5681 3.1, equation 4), and an ECN peer is told
 * of it, whatever the reason (RFC 3168 6.1.2). An outstanding probe has nothing to add (RFC 8985 7.4). What is
 * outstanding beyond the window does not count: it was sent by limited transmit (RFC 5681 3.2 step 2), or is sacked and
 * waits for a hole to be filled, and a second event would make the window larger.
 */
static void reduce(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, enum tcp_congestion_event event)
{
	uint32_t flight = tcb->snd_nxt - tcb->snd_una;
	if (MECHANISM(reduce_by_window) && flight > tcb->cwnd)
		flight = tcb->cwnd;
	cold->ssthresh = tcp_congestion_of(cold)->reduce(net, tcb, cold, flight, event);
	cold->bytes_acked = 0;
	tcb->cwnd = cold->ssthresh;
	tcb->probed = false;
	if (tcb->flags & TCP_HAS_ECN) {
		tcb->flags |= TCP_ECN_CWR;
		cold->ecn_recover = tcb->snd_nxt;
	}
}

/* Sends the first lost piece whatever the window says (RFC 5681 3.2 step 3, RFC 6675 5 step 4.3). */
static void retransmit_first(struct rb_net *net, struct tcb *tcb)
{
	uint32_t piece = tcp_scoreboard_first_lost(net, tcb);
	if (MECHANISM(fast_retransmit) && piece != TCP_NONE)
		(void)tcp_output_again(net, tcb, piece);
}

static void recovery_enter(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	reduce(net, tcb, cold, TCP_CONGESTION_LOSS);
	cold->recover = tcb->snd_nxt;
	tcb->flags |= TCP_RECOVERY;
	/* RFC 6582 3.2 step 2: the segments that have left the network, where only their number is known */
	if (!(tcb->flags & TCP_HAS_SACK))
		tcb->cwnd += TCP_DUP_THRESH * tcb->mss;
	net->counters.tcp_fast_recoveries++;
	retransmit_first(net, tcb);
}

static void recovery_leave(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	if (tcb->flags & TCP_RECOVERY) {
		uint32_t flight = tcb->snd_nxt - tcb->snd_una, cwnd = cold->ssthresh;
		/* RFC 6582 3.2 step 3, the first choice, against a burst */
		if (!(tcb->flags & TCP_HAS_SACK)) {
			uint32_t least = (flight > tcb->mss ? flight : tcb->mss) + tcb->mss;
			cwnd = least < cwnd ? least : cwnd;
		}
		tcb->cwnd = cwnd;
	}
	tcb->flags &= ~((uint32_t)TCP_RECOVERY | TCP_LOSS);
	cold->duplicate_acks = 0;
	tcp_rack_recovered(cold);
	(void)net;
}

/* Without SACK: RFC 6582 3.2. */
static void newreno_ack(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, const struct tcp_acked *acked)
{
	if (acked->duplicate) {
		if (cold->duplicate_acks < UINT8_MAX)
			cold->duplicate_acks++;
		if (tcb->flags & TCP_RECOVERY) {
			tcb->cwnd += tcb->mss; /* a segment has left the network */
		} else if (cold->duplicate_acks == TCP_DUP_THRESH && !(tcb->flags & TCP_LOSS) &&
			   (seq_lt(cold->recover, tcb->snd_una) || !MECHANISM(newreno_recover))) {
			/* step 1: not for duplicates of what was sent before the last timeout or recovery */
			tcp_scoreboard_begin(net, tcb);
			tcp_scoreboard_lose(net, tcb, tcb->tx_head);
		}
		tcb->flags |= TCP_SLOW; /* limited transmit (RFC 3042) */
	} else if (acked->bytes > 0) {
		cold->duplicate_acks = 0;
		if ((tcb->flags & TCP_RECOVERY) && seq_lt(tcb->snd_una, cold->recover)) {
			/* partial: what follows it is lost, too; deflate */
			if (MECHANISM(newreno_partial))
				tcp_scoreboard_lose(net, tcb, tcb->tx_head);
			tcb->cwnd -= acked->bytes < tcb->cwnd ? acked->bytes : tcb->cwnd;
			if (acked->bytes >= tcb->mss || tcb->cwnd < tcb->mss)
				tcb->cwnd += tcb->mss;
			retransmit_first(net, tcb);
		}
	}
}

static uint32_t sacked_runs(struct rb_net *net, const struct tcb *tcb)
{
	uint32_t runs = 0;
	bool in_run = false;
	for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next) {
		bool sacked = tcp_piece(net, at)->flags & TCP_PIECE_SACKED;
		runs += sacked && !in_run;
		in_run = sacked;
	}
	return runs;
}

/*
 * RFC 6675 4, IsLost(): three discontiguous ranges, or more than two segments' worth of bytes, are sacked above it. In
 * the sequence this is so up to one piece and for none after it. With the third of the DupAcks the first is lost,
 * however small (5 step 1). A piece that went out again is not judged twice: only a timeout sees that.
 */
static void sack_detect(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	uint32_t above = cold->sacked, runs = sacked_runs(net, tcb);
	bool in_run = false;
	if (cold->duplicate_acks >= TCP_DUP_THRESH && tcp_piece(net, tcb->tx_head)->transmissions == 1)
		tcp_scoreboard_lose(net, tcb, tcb->tx_head);
	for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next) {
		const struct tcp_piece *piece = tcp_piece(net, at);
		bool is_sacked = piece->flags & TCP_PIECE_SACKED;
		if (is_sacked)
			above -= tcp_piece_length(piece);
		runs -= is_sacked && !in_run;
		in_run = is_sacked;
		if (above <= (TCP_DUP_THRESH - 1U) * tcb->mss && runs < TCP_DUP_THRESH)
			break;
		if (MECHANISM(sack_is_lost) && !(piece->flags & (TCP_PIECE_RESENT | TCP_PIECE_SACKED)))
			tcp_scoreboard_lose(net, tcb, at);
	}
}

static void rack_ack(struct rb_net *net, struct tcb *tcb, const struct tcp_sacked *sacked)
{
	tcp_rack_duplicate(net, tcb, sacked);
	if (!(tcb->flags & TCP_SCOREBOARD))
		return;
	uint32_t wait = tcp_rack_detect(net, tcb);
	if (wait > 0) {
		tcp_timer_set(net, tcb, TCP_TIMER_REORDER, wait);
	} else if (tcb->timer == TCP_TIMER_REORDER && (tcb->flags & TCP_REXMT_ARMED)) {
		tcp_timer_stop(tcb);
		if (tcb->snd_una != tcb->snd_nxt)
			arm(net, tcb, rto_left_us(net, tcb));
	}
}

/* RFC 8985 7.4.2: did the probe repair a loss that nobody saw? Then the window has to know of it. */
static void probe_ack(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, const struct tcp_acked *acked,
		      const struct tcp_sacked *sacked)
{
	if (!tcb->probed || seq_lt(tcb->snd_una, cold->tlp_end_seq))
		return;
	/* both the original and the probe arrived: the peer says so, or was not asked twice, or answered each */
	bool both = !cold->tlp_is_retrans || (sacked->has_duplicate && sacked->duplicate == cold->tlp_end_seq);
	bool beyond = seq_lt(cold->tlp_end_seq, tcb->snd_una);
	if (!both && !beyond && (!acked->repeats || acked->sacks))
		return;
	tcb->probed = false;
	if (!both && beyond && MECHANISM(tlp_loss) && !(tcb->flags & (TCP_RECOVERY | TCP_LOSS))) {
		reduce(net, tcb, cold, TCP_CONGESTION_LOSS);
		net->counters.tcp_fast_recoveries++;
	}
}

/*
 * RFC 3168 6.1.2: an echo is answered once per window of data. What was sent before the reduction was told is echoed,
 * too, up to and including the acknowledgement of its last byte. DCTCP has its own measure (feedback).
 */
static void ecn_ack(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	if ((tcb->flags & (TCP_RECOVERY | TCP_LOSS)) ||
	    (MECHANISM(ecn_once) && seq_le(tcb->snd_una, cold->ecn_recover)))
		return;
	reduce(net, tcb, cold, TCP_CONGESTION_MARK);
	net->counters.tcp_ecn_reduced++;
}

/* Lets the window grow: never by an acknowledgement that tells of congestion (RFC 3168 6.1.2). */
static void grow(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, const struct tcp_acked *acked,
		 bool recovering)
{
	if (acked->bytes == 0 || (acked->echo && MECHANISM(ecn_no_growth)))
		return;
	if (!recovering && (tcb->flags & TCP_CWND_LIMITED))
		tcp_congestion_of(cold)->acked(net, tcb, cold, acked->bytes, acked->rtt_us);
	else if (tcb->flags & TCP_LOSS)
		(void)tcp_slow_start(tcb, cold, acked->bytes);
}

/* What the acknowledgement says about losses. */
static void detect(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, const struct tcp_acked *acked,
		   const struct tcp_sacked *sacked)
{
	if (!(tcb->flags & TCP_HAS_SACK)) {
		newreno_ack(net, tcb, cold, acked);
		return;
	}
	if (acked->bytes > 0)
		cold->duplicate_acks = 0;
	else if (sacked->bytes > 0 && cold->duplicate_acks < UINT8_MAX)
		cold->duplicate_acks++;
	if (uses_rack(net, tcb))
		rack_ack(net, tcb, sacked);
	else if ((tcb->flags & TCP_SCOREBOARD) && tcb->snd_una != tcb->snd_nxt)
		sack_detect(net, tcb, cold);
}

void tcp_recovery_ack(struct rb_net *net, struct tcb *tcb, const struct tcp_acked *acked,
		      const struct tcp_sacked *sacked)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	const struct tcp_congestion_ops *congestion = tcp_congestion_of(cold);
	bool recovering = tcb->flags & (TCP_RECOVERY | TCP_LOSS);

	if (recovering && acked->bytes > 0 && seq_le(cold->recover, tcb->snd_una))
		recovery_leave(net, tcb, cold);
	detect(net, tcb, cold, acked, sacked);
	probe_ack(net, tcb, cold, acked, sacked);
	if (congestion->feedback != NULL && acked->bytes > 0)
		congestion->feedback(net, tcb, cold, acked->bytes, acked->echo);
	if (acked->echo)
		ecn_ack(net, tcb, cold);
	if ((tcb->flags & TCP_SCOREBOARD) && cold->lost > 0 && !(tcb->flags & (TCP_RECOVERY | TCP_LOSS)))
		recovery_enter(net, tcb, cold);
	else
		grow(net, tcb, cold, acked, recovering);
	tcp_scoreboard_end(net, tcb);
	if (cold->duplicate_acks == 0 && !(tcb->flags & TCP_SCOREBOARD))
		tcp_long_way_end(tcb);
	if (acked->bytes > 0)
		tcp_recovery_arm(net, tcb);
	/* RFC 8985 7.1: no probe while something is sacked; the timeout is then where it would have been */
	if (sacked->bytes > 0 && tcb->timer == TCP_TIMER_PROBE && (tcb->flags & TCP_REXMT_ARMED))
		arm(net, tcb, rto_left_us(net, tcb));
}

void tcp_recovery_reorder(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	tcp_timer_stop(tcb);
	if (!(tcb->flags & TCP_SCOREBOARD)) { /* what it was to judge has arrived meanwhile */
		tcp_recovery_arm(net, tcb);
		return;
	}
	uint32_t wait = tcp_rack_detect(net, tcb);
	if (cold->lost > 0 && !(tcb->flags & (TCP_RECOVERY | TCP_LOSS)))
		recovery_enter(net, tcb, cold);
	if (wait > 0)
		tcp_timer_set(net, tcb, TCP_TIMER_REORDER, wait);
	else
		arm(net, tcb, rto_left_us(net, tcb));
}

/* RFC 8985 7.3, TLP_send_probe(): new data if there is any that may go, else the last segment again. */
void tcp_recovery_probe(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	tcp_timer_stop(tcb);
	bool sent = tcp_output_more(net, tcb);
	cold->tlp_is_retrans = !sent;
	if (!sent) {
		uint32_t last = tcb->tx_head;
		while (tcp_piece(net, last)->next != tcb->tx_next)
			last = tcp_piece(net, last)->next;
		tcp_scoreboard_begin(net, tcb);
		sent = tcp_output_again(net, tcb, last);
	}
	if (sent) {
		tcb->probed = true;
		cold->tlp_end_seq = tcb->snd_nxt;
		net->counters.tcp_tail_probes++;
	}
	tcp_timer_set(net, tcb, TCP_TIMER_REXMT, tcp_rto_us(net, tcb));
}

/*
 * RFC 2018 8: who has sacked the oldest outstanding byte and does not acknowledge it has dropped it. Then its other
 * blocks are not believed either (RFC 6675 5.1).
 */
static bool has_reneged(struct rb_net *net, const struct tcb *tcb)
{
	return MECHANISM(sack_reneging) && (tcp_piece(net, tcb->tx_head)->flags & TCP_PIECE_SACKED);
}

/*
 * RFC 6298 5.4, RFC 5681 3.1: the earliest segment, and no other, is sent at a timeout. Where the application writes
 * little at a time that is less than a full one; a full one's bytes would be a burst of many.
 */
static uint32_t loss_window(struct rb_net *net, const struct tcb *tcb)
{
	uint32_t bytes = 0, at = tcb->tx_head;
	for (unsigned i = 0; i < RB_NET_PIECES_MAX && at != tcb->tx_next; i++) {
		bytes += tcp_piece(net, at)->length;
		at = tcp_piece(net, at)->next;
	}
	return bytes == 0 || bytes > tcb->mss ? tcb->mss : bytes; /* none: a FIN alone */
}

/* RFC 6298 5.4 to 5.7, RFC 5681 3.1: the loss window is one segment; ssthresh counts once for what is lost twice. */
void tcp_recovery_timeout(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	bool reneged;

	net->counters.tcp_timeouts++;
	tcp_scoreboard_begin(net, tcb);
	reneged = has_reneged(net, tcb);
	if (reneged)
		tcp_scoreboard_forget_sacks(net, tcb);
	if (!(tcb->flags & TCP_LOSS) || tcp_piece(net, tcb->tx_head)->transmissions == 1)
		reduce(net, tcb, cold, TCP_CONGESTION_TIMEOUT);
	if (uses_rack(net, tcb) && !reneged) {
		tcp_rack_timeout(net, tcb);
	} else {
		for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next)
			tcp_scoreboard_lose(net, tcb, at);
	}
	tcb->flags = (tcb->flags & ~(uint32_t)TCP_RECOVERY) | TCP_LOSS;
	if (MECHANISM(loss_window))
		tcb->cwnd = loss_window(net, tcb);
	cold->recover = tcb->snd_nxt;
	cold->duplicate_acks = 0;
	tcb->probed = false;
	if (tcb->backoff < 15)
		tcb->backoff++;
	(void)tcp_output_again(net, tcb, tcb->tx_head);
	tcp_timer_set(net, tcb, TCP_TIMER_REXMT, tcp_rto_us(net, tcb));
}
