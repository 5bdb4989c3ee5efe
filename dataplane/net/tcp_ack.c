// SPDX-License-Identifier: Apache-2.0
/* Acknowledgements: what they release, the round trip they measure (RFC 6298), the window they bring. */
#include "net/neighbour.h"
#include "net/tcp_congestion.h"
#include "net/tcp_parts.h"

enum { RTT_MAX_US = 1 << 26 }; /* 67 s, more than any RTO: keeps the arithmetic below 2^32 */

void tcp_rtt_sample(struct rb_net *net, struct tcb *tcb, uint32_t rtt_us)
{
	if (rtt_us == 0)
		rtt_us = 1;
	if (rtt_us > RTT_MAX_US)
		rtt_us = RTT_MAX_US;
	/* a new minimum is below any average; most samples need not look at the cold part */
	if (rtt_us < tcb->srtt_us || tcb->srtt_us == 0) {
		struct tcb_cold *cold = tcp_cold(net, tcb);
		if (rtt_us < cold->min_rtt_us || cold->min_rtt_us == 0)
			cold->min_rtt_us = rtt_us;
	}
	if (tcb->srtt_us == 0) { /* RFC 6298 2.2 */
		tcb->srtt_us = rtt_us;
		tcb->rttvar_us = rtt_us / 2;
		return;
	}
	/* 2.3, with alpha = 1/8 and beta = 1/4 */
	uint32_t difference = tcb->srtt_us > rtt_us ? tcb->srtt_us - rtt_us : rtt_us - tcb->srtt_us;
	tcb->rttvar_us = tcb->rttvar_us - tcb->rttvar_us / 4 + difference / 4;
	tcb->srtt_us = tcb->srtt_us - tcb->srtt_us / 8 + rtt_us / 8;
	if (tcb->srtt_us == 0)
		tcb->srtt_us = 1;
}

uint32_t tcp_rto_us(const struct rb_net *net, const struct tcb *tcb)
{
	const struct rb_net_config *config = &net->config;
	uint64_t rto = config->rto_initial_us;
	if (tcb->srtt_us != 0) {
		uint32_t variation = 4 * tcb->rttvar_us, granularity = TCP_TICK_NS / 1000;
		rto = (uint64_t)tcb->srtt_us + (variation > granularity ? variation : granularity); /* 2.3 */
	}
	if (rto < config->rto_min_us)
		rto = config->rto_min_us; /* 2.4 */
	rto <<= tcb->backoff;		  /* 5.5 */
	return (uint32_t)(rto > config->rto_max_us ? config->rto_max_us : rto);
}

/*
 * Karn's algorithm (RFC 6298 3): only pieces that were sent once measure, and none when the acknowledgement also covers
 * one that was sent again, for which it may have waited.
 */
uint32_t tcp_ack_release(struct rb_net *net, struct tcb *tcb, uint32_t ack)
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
		if (piece->transmissions == 1) {
			sent_us = piece->sent_us;
			measured = true;
		} else {
			again = true;
		}
		if (__builtin_expect((tcb->flags & TCP_SCOREBOARD) != 0, 0))
			tcp_scoreboard_leave(net, tcb, index);
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
		tcb->snd_wnd = (uint32_t)segment->window << tcp_snd_scale(tcb);
		tcb->snd_wl1 = segment->seq;
		if (tcb->snd_wnd > cold->snd_max_wnd)
			cold->snd_max_wnd = tcb->snd_wnd;
		/* RFC 9293 3.8.6.1: the window is open again */
		if (tcb->timer == TCP_TIMER_PERSIST && tcb->snd_wnd > 0 && (tcb->flags & TCP_REXMT_ARMED)) {
			tcp_timer_stop(tcb);
			tcb->backoff = 0;
		}
	}
}

/*
 * RFC 9293 3.10.7.4, fifth, ESTABLISHED; RFC 5961 5.2: an acknowledgement of what was never sent, or of what is older
 * than any window, is answered and otherwise ignored.
 */
bool tcp_ack(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);

	if (seq_lt(tcb->snd_nxt, segment->ack) || seq_lt(segment->ack, tcb->snd_una - cold->snd_max_wnd)) {
		tcp_challenge_ack(net, tcb);
		return false;
	}
	struct tcp_sacked sacked = {0};
	uint32_t window = tcb->snd_wnd;
	if (seq_le(tcb->snd_una, segment->ack))
		tcp_ack_window(net, tcb, segment);
	if ((tcb->flags & TCP_HAS_SACK) && segment->sack_count > 0)
		tcp_scoreboard_sack(net, tcb, segment, &sacked);
	if (seq_lt(segment->ack, tcb->snd_una))
		return true; /* an old duplicate: its payload may still be of use */

	struct tcp_acked acked = {
		.bytes = segment->ack - tcb->snd_una,
		.echo = segment->flags & TCP_ECE,
		/* RFC 5681 2 */
		.duplicate = segment->ack == tcb->snd_una && segment->length == 0 && tcb->snd_nxt != tcb->snd_una &&
			     !(segment->flags & (TCP_SYN | TCP_FIN)) && window == tcb->snd_wnd,
	};
	if (acked.bytes > 0) {
		acked.rtt_us = tcp_ack_release(net, tcb, segment->ack);
		/* RFC 7323 4.1: with timestamps, what was sent again measures too, by the millisecond */
		if (acked.rtt_us == 0 && segment->has_timestamps && (tcb->flags & TCP_HAS_TIMESTAMPS) &&
		    segment->tsecr != 0 && (int32_t)(tcp_ts_now(net, tcb) - segment->tsecr) >= 0)
			tcp_rtt_sample(net, tcb, (tcp_ts_now(net, tcb) - segment->tsecr + 1) * 1000);
		else if (acked.rtt_us != 0)
			tcp_rtt_sample(net, tcb, acked.rtt_us);
		tcb->backoff = 0;
		neighbour_confirm(net, tcb->neighbour);
	}
	tcp_recovery_ack(net, tcb, &acked, &sacked);
	if (tcb->tx_next != TCP_NONE || (tcb->flags & TCP_SCOREBOARD))
		tcp_pend(net, tcb);
	return true;
}
