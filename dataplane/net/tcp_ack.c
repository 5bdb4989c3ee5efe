// SPDX-License-Identifier: Apache-2.0
/* Acknowledgements: what they release, the round trip they measure (RFC 6298), the window they bring. */
#include "net/neighbour.h"
#include "net/tcp_congestion.h"
#include "net/tcp_parts.h"

enum {
	RTO_SYN_LOST_US = 3000000,
};

__attribute__((noinline)) void tcp_rtt_shorter(struct rb_net *net, struct tcb *tcb, uint32_t rtt_us)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	rtt_us += rtt_us == 0;
	if (rtt_us < cold->min_rtt_us || cold->min_rtt_us == 0)
		cold->min_rtt_us = rtt_us;
	if (rtt_us < tcb_srtt_us(tcb) / 2)
		tcb->timed = false; /* what was early enough may no longer be */
}

void tcp_rtt_sample(struct rb_net *net, struct tcb *tcb, uint32_t rtt_us)
{
	if (MECHANISM(rto_collapse))
		tcb->backoff = 0; /* RFC 6298 5: not before there is a new measurement */
	if (tcb->srtt8_us == 0) {
		tcp_rtt_first(tcb, tcp_cold(net, tcb), rtt_us);
		return;
	}
	if (rtt_us == 0)
		rtt_us = 1;
	tcp_rtt_next(net, tcb, rtt_us > TCP_RTT_MAX_US ? TCP_RTT_MAX_US : rtt_us);
}

uint32_t tcp_rto_unmeasured_us(const struct rb_net *net, const struct tcb *tcb)
{
	if (MECHANISM(rto_syn_lost) && tcb->state >= TCP_ESTABLISHED && net->config.rto_initial_us < RTO_SYN_LOST_US &&
	    net->tcp.colds[tcp_index(net, tcb)].syns > 0)
		return RTO_SYN_LOST_US; /* 5.7 */
	return net->config.rto_initial_us;
}

/*
 * Karn's algorithm (RFC 6298 3): only pieces that were sent once measure, and none when the acknowledgement also covers
 * one that was sent again, for which it may have waited. Those that were sacked have arrived earlier.
 */
uint32_t tcp_ack_release(struct rb_net *net, struct tcb *tcb, uint32_t ack, uint32_t echo_age_us)
{
	uint32_t released = 0, sent_us = 0;
	bool measured = false, again = false;

	while (tcb->tx_head != TCP_NONE) {
		uint32_t index = tcb->tx_head;
		struct tcp_piece *piece = tcp_piece(net, index);
		uint32_t end = tcp_piece_end(piece);
		if (seq_lt(ack, end)) {
			uint32_t part = ack - piece->seq;
			if ((int32_t)part > 0) { /* a piece that was acknowledged in part */
				if (piece->flags & TCP_PIECE_LOST)
					tcp_cold(net, tcb)->lost -= part;
				if (piece->flags & TCP_PIECE_SACKED)
					tcp_cold(net, tcb)->sacked -= part;
				piece->base += part;
				piece->seq += part;
				piece->length -= part;
				released += part;
			}
			break;
		}
		if (piece->transmissions > 1 && MECHANISM(karn)) {
			again = true;
		} else if (!(piece->flags & TCP_PIECE_SACKED)) {
			sent_us = piece->sent_us;
			measured = true;
		}
		if (__builtin_expect((tcb->flags & TCP_SCOREBOARD) != 0, 0))
			tcp_scoreboard_leave(net, tcb, index, echo_age_us);
		released += piece->length;
		tcb->tx_head = piece->next;
		pool_put(&net->tcp.piece_pool, index);
		if (end == ack)
			break;
	}
	if (tcb->tx_head == TCP_NONE)
		tcb->tx_tail = TCP_NONE;
	tcb->snd_una = ack;
	tcb->sent += released;
	if (released > 0 || (tcb->flags & TCP_REFUSED))
		tcp_ready(net, tcb);
	if (!measured || again)
		return 0;
	uint32_t rtt = net->tcp.now_us - sent_us;
	return rtt == 0 ? 1 : rtt;
}

/*
 * RFC 9293 3.10.7.4: SND.WL1 < SEG.SEQ, or equal and SND.WL2 =< SEG.ACK. The caller has made sure of SND.UNA =< SEG.ACK,
 * and SND.WL2, the acknowledgement of an earlier segment, is never above SND.UNA: the second comparison is always true.
 */
void tcp_ack_window(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment)
{
	if (seq_le(tcb->snd_wl1, segment->seq)) {
		struct tcb_cold *cold = tcp_cold(net, tcb);
		bool was_closed = tcb->snd_wnd == 0;
		tcp_window_set(tcb, segment->window);
		tcb->snd_wl1 = segment->seq;
		if (tcb->snd_wnd > cold->snd_max_wnd)
			cold->snd_max_wnd = tcb->snd_wnd;
		/* RFC 9293 3.8.6.1: the window is open again */
		if (was_closed && tcb->timer == TCP_TIMER_PERSIST && tcb->snd_wnd > 0 &&
		    (tcb->flags & TCP_REXMT_ARMED)) {
			tcp_timer_stop(tcb);
			tcb->backoff = 0;
		}
	}
	/* 3.8.6.1: who answers with a closed window lives, and may keep it closed for ever (MUST-37); the next probe is
	 * what it has to answer. But not when the application has closed, and said how long it may take. */
	bool closed = tcb->snd_wnd == 0 || tcb->timer == TCP_TIMER_PERSIST;
	bool limited = (tcb->flags & TCP_DISCARD) && tcp_cold(net, tcb)->user_timeout_us != 0;
	if (MECHANISM(persist_alive) && closed && !limited && (tcb->flags & TCP_REXMT_ARMED))
		tcp_cold(net, tcb)->stalled_at = tcb->rexmt_at;
}

/* What an acknowledgement of new data releases and measures. */
static void ack_new(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment, struct tcp_acked *acked)
{
	uint32_t age_ms = TCP_RTT_MAX_US / 1000; /* of the echoed timestamp; this much: there is none */
	if (segment->has_timestamps && (tcb->flags & TCP_HAS_TIMESTAMPS) && segment->tsecr != 0)
		age_ms = tcp_ts_now(net, tcb) - segment->tsecr;
	bool echoed = age_ms < TCP_RTT_MAX_US / 1000;

	/* the clocks' milliseconds may have begun and ended anywhere in them */
	acked->rtt_us = tcp_ack_release(net, tcb, segment->ack, echoed && age_ms > 1 ? (age_ms - 1) * 1000 : 0);
	if (acked->rtt_us != 0)
		tcp_rtt_sample(net, tcb, acked->rtt_us);
	else if (echoed && MECHANISM(rtt_timestamps)) /* RFC 7323 4.1: what was sent again measures, too */
		tcp_rtt_sample(net, tcb, (age_ms + 1) * 1000);
	neighbour_confirm(net, tcb->neighbour);
}

/*
 * RFC 5961 5.2: an acknowledgement of what was never sent, or of what is older than any window, is answered and otherwise
 * ignored.
 */
bool tcp_ack_believed(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment)
{
	if (!MECHANISM(ack_range) ||
	    seq_between(segment->ack, tcb->snd_una - tcp_cold(net, tcb)->snd_max_wnd, tcb->snd_nxt))
		return true;
	tcp_challenge_ack(net, tcb);
	return false;
}

/* RFC 9293 3.10.7.4, fifth, ESTABLISHED. */
void tcp_ack(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t window = tcb->snd_wnd;
	if (seq_le(tcb->snd_una, segment->ack))
		tcp_ack_window(net, tcb, segment);

	bool repeats = segment->ack == tcb->snd_una && segment->length == 0 &&
		       !(segment->flags & (TCP_SYN | TCP_FIN)) && window == tcb->snd_wnd;
	struct tcp_acked acked = {
		.repeats = repeats,
		.duplicate = repeats && tcb->snd_nxt != tcb->snd_una,
		.sacks = segment->sack_count > 0,
		.echo = (tcb->flags & TCP_HAS_ECN) && (segment->flags & TCP_ECE),
	};
	struct tcp_sacked sacked = {0};
	if (seq_lt(tcb->snd_una, segment->ack)) {
		acked.bytes = segment->ack - tcb->snd_una;
		ack_new(net, tcb, segment, &acked);
		cold->stalled_at = (uint32_t)net->tcp.tick;
	}
	/* after the cumulative part, which is before it in sequence: else that would look reordered (RFC 8985 6.2) */
	if ((tcb->flags & TCP_HAS_SACK) && segment->sack_count > 0)
		tcp_scoreboard_sack(net, tcb, segment, &sacked);
	if (seq_lt(segment->ack, tcb->snd_una))
		return; /* an old duplicate: its payload may still be of use */
	tcp_recovery_ack(net, tcb, &acked, &sacked);
	if (tcb->tx_next != TCP_NONE || (tcb->flags & (TCP_SCOREBOARD | TCP_FIN_QUEUED)))
		tcp_pend(net, tcb);
}
