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

enum { DUP_THRESH = 3 };

static bool uses_rack(const struct rb_net *net, const struct tcb *tcb)
{
	return net->config.rack && (tcb->flags & TCP_HAS_SACK);
}

/* RFC 5681 3.1, equation 4: reduced once per loss event, by what was under way. */
static void reduce(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, bool marked)
{
	uint32_t flight = tcb->snd_nxt - tcb->snd_una;
	cold->ssthresh = tcp_congestion_of(cold)->reduce(net, tcb, cold, flight, marked);
	cold->bytes_acked = 0;
}

static void recovery_enter(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	reduce(net, tcb, cold, false);
	cold->recover = tcb->snd_nxt;
	tcb->flags |= TCP_RECOVERY;
	tcb->cwnd = cold->ssthresh;
	/* RFC 6582 3.2 step 2: the segments that have left the network, where only their number is known */
	if (!(tcb->flags & TCP_HAS_SACK))
		tcb->cwnd += DUP_THRESH * tcb->mss;
	/* RFC 3168 6.1.2: the reduction is told, too */
	if (tcb->flags & TCP_HAS_ECN) {
		tcb->flags |= TCP_ECN_CWR;
		cold->ecn_recover = tcb->snd_nxt;
	}
	net->counters.tcp_fast_recoveries++;
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
		} else if (cold->duplicate_acks == DUP_THRESH && !(tcb->flags & TCP_LOSS) &&
			   seq_lt(cold->recover, tcb->snd_una)) {
			tcp_scoreboard_begin(net, tcb);
			tcp_scoreboard_lose(net, tcb, tcb->tx_head);
		}
		tcb->flags |= TCP_SLOW; /* limited transmit (RFC 3042) */
	} else if (acked->bytes > 0) {
		cold->duplicate_acks = 0;
		if ((tcb->flags & TCP_RECOVERY) && seq_lt(tcb->snd_una, cold->recover)) {
			/* partial: what follows it is lost, too; deflate */
			tcp_scoreboard_lose(net, tcb, tcb->tx_head);
			tcb->cwnd -= acked->bytes < tcb->cwnd ? acked->bytes : tcb->cwnd;
			if (acked->bytes >= tcb->mss || tcb->cwnd < tcb->mss)
				tcb->cwnd += tcb->mss;
		}
	}
}

/*
 * RFC 6675 4, IsLost(): more than DupThresh - 1 segments' worth of bytes are sacked above it. In the sequence this is
 * so up to one piece and for none after it. A piece that went out again is not judged twice: only a timeout sees that.
 */
static void sack_detect(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	uint32_t above = cold->sacked;
	for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next) {
		const struct tcp_piece *piece = tcp_piece(net, at);
		if (piece->flags & TCP_PIECE_SACKED) {
			above -= tcp_piece_length(piece);
			continue;
		}
		if (above <= (DUP_THRESH - 1U) * tcb->mss)
			break;
		if (!(piece->flags & TCP_PIECE_RESENT))
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
	} else if (tcb->timer == TCP_TIMER_REORDER) {
		tcp_timer_stop(tcb);
		tcp_recovery_arm(net, tcb);
	}
}

/* RFC 8985 7.4.2: did the probe repair a loss that nobody saw? Then the window has to know of it. */
static void probe_ack(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, const struct tcp_acked *acked,
		      const struct tcp_sacked *sacked)
{
	if (!tcb->probed || seq_lt(tcb->snd_una, cold->tlp_end_seq))
		return;
	/* both the original and the probe arrived: the peer says so, or answered each */
	bool both = !cold->tlp_is_retrans || (sacked->has_duplicate && sacked->duplicate == cold->tlp_end_seq) ||
		    (acked->duplicate && sacked->bytes == 0);
	bool beyond = seq_lt(cold->tlp_end_seq, tcb->snd_una);
	if (!both && !beyond)
		return;
	tcb->probed = false;
	if (!both && !(tcb->flags & (TCP_RECOVERY | TCP_LOSS))) {
		reduce(net, tcb, cold, false);
		tcb->cwnd = cold->ssthresh;
		net->counters.tcp_fast_recoveries++;
	}
}

/* RFC 3168 6.1.2: an echo is answered once per window of data. DCTCP has its own measure (feedback). */
static void ecn_ack(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	if (!(tcb->flags & TCP_HAS_ECN) || (tcb->flags & (TCP_RECOVERY | TCP_LOSS)) ||
	    seq_lt(tcb->snd_una, cold->ecn_recover))
		return;
	reduce(net, tcb, cold, true);
	tcb->cwnd = cold->ssthresh;
	cold->ecn_recover = tcb->snd_nxt;
	tcb->flags |= TCP_ECN_CWR;
	net->counters.tcp_ecn_reduced++;
}

void tcp_recovery_ack(struct rb_net *net, struct tcb *tcb, const struct tcp_acked *acked,
		      const struct tcp_sacked *sacked)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	const struct tcp_congestion_ops *congestion = tcp_congestion_of(cold);
	bool recovering = tcb->flags & (TCP_RECOVERY | TCP_LOSS);

	if (recovering && acked->bytes > 0 && seq_le(cold->recover, tcb->snd_una))
		recovery_leave(net, tcb, cold);
	if (uses_rack(net, tcb))
		rack_ack(net, tcb, sacked);
	else if ((tcb->flags & TCP_HAS_SACK) && (tcb->flags & TCP_SCOREBOARD))
		sack_detect(net, tcb, cold);
	else if (!(tcb->flags & TCP_HAS_SACK))
		newreno_ack(net, tcb, cold, acked);
	probe_ack(net, tcb, cold, acked, sacked);
	if (congestion->feedback != NULL && acked->bytes > 0)
		congestion->feedback(net, tcb, cold, acked->bytes, acked->echo);
	if (acked->echo)
		ecn_ack(net, tcb, cold);
	if ((tcb->flags & TCP_SCOREBOARD) && cold->lost > 0 && !(tcb->flags & (TCP_RECOVERY | TCP_LOSS)))
		recovery_enter(net, tcb, cold);
	else if (acked->bytes > 0 && !recovering && (tcb->flags & TCP_CWND_LIMITED))
		congestion->acked(net, tcb, cold, acked->bytes, acked->rtt_us);
	else if (acked->bytes > 0 && (tcb->flags & TCP_LOSS))
		(void)tcp_slow_start(tcb, cold, acked->bytes);
	if (acked->bytes > 0)
		tcb->flags &= ~(uint32_t)TCP_CWND_LIMITED;
	tcp_scoreboard_end(net, tcb);
	if (cold->duplicate_acks == 0 && !(tcb->flags & TCP_SCOREBOARD))
		tcp_long_way_end(tcb);
	if (acked->bytes > 0 || sacked->bytes > 0)
		tcp_recovery_arm(net, tcb);
}

/*
 * Timers.
 */

/* RFC 8985 7.2, TLP_calc_PTO() */
static uint32_t probe_timeout_us(struct rb_net *net, const struct tcb *tcb, uint32_t rto)
{
	enum { MAX_ACK_DELAY_US = 200000 }; /* of a peer that may wait for a second segment */
	uint32_t pto = 2 * tcb->srtt_us;
	(void)net;
	if (tcb->snd_nxt - tcb->snd_una <= tcb->mss)
		pto += MAX_ACK_DELAY_US;
	return pto < rto ? pto : rto;
}

void tcp_recovery_arm(struct rb_net *net, struct tcb *tcb)
{
	if (tcb->snd_una == tcb->snd_nxt) {
		tcp_timer_stop(tcb); /* RFC 6298 5.2 */
		return;
	}
	if (tcb->timer == TCP_TIMER_REORDER && (tcb->flags & TCP_REXMT_ARMED))
		return; /* soon; it arms what comes after it */
	uint32_t rto = tcp_rto_us(net, tcb);
	if (net->config.tlp && uses_rack(net, tcb) && !(tcb->flags & (TCP_RECOVERY | TCP_LOSS | TCP_SCOREBOARD)) &&
	    tcb->srtt_us != 0 && tcb->backoff == 0 && !tcb->probed) {
		uint32_t pto = probe_timeout_us(net, tcb, rto);
		if (pto < rto) {
			tcp_timer_set(net, tcb, TCP_TIMER_PROBE, pto);
			return;
		}
	}
	tcp_timer_set(net, tcb, TCP_TIMER_REXMT, rto); /* 5.1, 5.3 */
}

void tcp_recovery_reorder(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	tcp_timer_stop(tcb);
	uint32_t wait = tcp_rack_detect(net, tcb);
	if (cold->lost > 0 && !(tcb->flags & (TCP_RECOVERY | TCP_LOSS)))
		recovery_enter(net, tcb, cold);
	if (wait > 0)
		tcp_timer_set(net, tcb, TCP_TIMER_REORDER, wait);
	else
		tcp_recovery_arm(net, tcb);
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

/* RFC 6298 5.4 to 5.7, RFC 5681 3.1: the loss window is one segment; ssthresh counts once for what is lost twice. */
void tcp_recovery_timeout(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);

	net->counters.tcp_timeouts++;
	tcp_scoreboard_begin(net, tcb);
	if (!(tcb->flags & TCP_LOSS) || tcp_piece(net, tcb->tx_head)->transmissions == 1)
		reduce(net, tcb, cold, false);
	tcb->flags = (tcb->flags & ~(uint32_t)TCP_RECOVERY) | TCP_LOSS;
	tcb->cwnd = tcb->mss;
	cold->recover = tcb->snd_nxt;
	cold->duplicate_acks = 0;
	tcb->probed = false;
	if (uses_rack(net, tcb)) {
		tcp_rack_timeout(net, tcb);
	} else {
		for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next)
			tcp_scoreboard_lose(net, tcb, at);
	}
	if (tcb->backoff < 15)
		tcb->backoff++;
	(void)tcp_output_again(net, tcb, tcb->tx_head);
	tcp_timer_set(net, tcb, TCP_TIMER_REXMT, tcp_rto_us(net, tcb));
}
