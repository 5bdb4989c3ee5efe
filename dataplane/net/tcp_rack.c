// SPDX-License-Identifier: Apache-2.0
/*
 * RACK: a piece is lost when one that was sent enough later has arrived (RFC 8985). Function by function section 6.2;
 * names are those of its section 5, in lower case.
 */
#include "net/tcp_parts.h"

enum {
	REO_WND_PERSIST = 16, /* recoveries after which a widened window narrows again */
	REO_WND_MULT_MAX = 250,
};

/* RACK_sent_after(): times are of one clock, and pieces of one time are in sequence. */
static bool sent_after(uint32_t us1, uint32_t end1, uint32_t us2, uint32_t end2)
{
	return seq_lt(us2, us1) || (us1 == us2 && seq_lt(end2, end1));
}

/*
 * Steps 1 to 3. A piece that was sent again says something only when it is the last transmission that has arrived: not
 * when that is younger than any round trip, nor when the acknowledgement echoes the timestamp of an earlier one.
 */
void tcp_rack_delivered(struct rb_net *net, struct tcb *tcb, const struct tcp_piece *piece, uint32_t echo_age_us)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t end = tcp_piece_end(piece), rtt = net->tcp.now_us - piece->sent_us;
	bool again = piece->transmissions > 1;

	/* step 3, RACK_detect_reordering() */
	if (seq_lt(cold->rack_fack, end))
		cold->rack_fack = end;
	else if (MECHANISM(rack_reordering) && seq_lt(end, cold->rack_fack) && !again)
		cold->rack_reordering_seen = true;
	/* step 1 */
	if (!again && (cold->min_rtt_us == 0 || rtt < cold->min_rtt_us))
		cold->min_rtt_us = rtt == 0 ? 1 : rtt;
	/* step 2 */
	if (MECHANISM(rack_ambiguous) && again && (rtt < cold->min_rtt_us || rtt <= echo_age_us))
		return;
	if (cold->rack_rtt_us == 0 || sent_after(piece->sent_us, end, cold->rack_xmit_us, cold->rack_end_seq)) {
		cold->rack_xmit_us = piece->sent_us;
		cold->rack_end_seq = end;
	}
	cold->rack_rtt_us = rtt == 0 ? 1 : rtt;
}

/* Step 4, RACK_update_reo_wnd(): a D-SACK widens the window once per round. */
void tcp_rack_duplicate(struct rb_net *net, struct tcb *tcb, const struct tcp_sacked *sacked)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	if (cold->rack_dsack_seen && seq_le(cold->rack_dsack_round, tcb->snd_una))
		cold->rack_dsack_seen = false;
	if (!sacked->has_duplicate || cold->rack_dsack_seen || !MECHANISM(rack_dsack))
		return;
	cold->rack_dsack_seen = true;
	cold->rack_dsack_round = tcb->snd_nxt;
	if (cold->rack_reo_wnd_mult < REO_WND_MULT_MAX)
		cold->rack_reo_wnd_mult++;
	cold->rack_reo_wnd_persist = REO_WND_PERSIST;
}

/* At the end of a recovery. */
void tcp_rack_recovered(struct tcb_cold *cold)
{
	if (cold->rack_reo_wnd_persist > 0 && --cold->rack_reo_wnd_persist == 0)
		cold->rack_reo_wnd_mult = 1;
}

static uint32_t reo_wnd_us(const struct tcb *tcb, const struct tcb_cold *cold)
{
	if (!cold->rack_reordering_seen && ((tcb->flags & (TCP_RECOVERY | TCP_LOSS)) || tcp_sacked_enough(tcb, cold)))
		return 0;
	if (!MECHANISM(rack_window))
		return 0;
	uint32_t window = cold->rack_reo_wnd_mult * (cold->min_rtt_us / 4);
	return window < tcb_srtt_us(tcb) ? window : tcb_srtt_us(tcb);
}

/*
 * Step 5, RACK_detect_loss(). Returns microseconds until the next piece is to be judged, 0: none waits. The RFC waits for
 * the last of those that are to be judged; here each gets its turn, and the walk ends at the first that waits, as all
 * behind it were sent later: however many they are, an acknowledgement does not pay for them. A REORDER timer that fires
 * a tick early would find nothing lost, hence the tick on top.
 */
uint32_t tcp_rack_detect(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);

	if (cold->rack_rtt_us == 0 || !MECHANISM(rack_loss))
		return 0;
	uint32_t patience = cold->rack_rtt_us + reo_wnd_us(tcb, cold);
	for (uint32_t at = cold->time_head, next; at != TCP_NONE; at = next) {
		const struct tcp_piece *piece = tcp_piece(net, at);
		next = piece->time_next;
		if (!sent_after(cold->rack_xmit_us, cold->rack_end_seq, piece->sent_us, tcp_piece_end(piece)))
			return 0;
		int32_t remaining = (int32_t)(piece->sent_us + patience - net->tcp.now_us);
		if (remaining > 0)
			return (uint32_t)remaining + TCP_TICK_NS / 1000;
		tcp_scoreboard_lose(net, tcb, at);
	}
	return 0;
}

/* RFC 8985 6.3, RACK_mark_losses_on_RTO() */
void tcp_rack_timeout(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	/* before anything has arrived there is no RACK.rtt */
	uint32_t rtt = cold->rack_rtt_us != 0 ? cold->rack_rtt_us : tcb_srtt_us(tcb),
		 patience = rtt + reo_wnd_us(tcb, cold);
	for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next) {
		const struct tcp_piece *piece = tcp_piece(net, at);
		if (at == tcb->tx_head || (int32_t)(piece->sent_us + patience - net->tcp.now_us) <= 0 ||
		    !MECHANISM(rack_timeout))
			tcp_scoreboard_lose(net, tcb, at);
	}
}
