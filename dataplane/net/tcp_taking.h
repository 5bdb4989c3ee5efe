// SPDX-License-Identifier: Apache-2.0
/* Steps of a segment that is taken a short way, for tcp_input.c and tcp_turn.c. */
#pragma once

#include "net/tcp_handle.h"

/* tcp_input.c: an acknowledgement that takes more than take_ack() has. */
__attribute__((noinline)) void tcp_take_ack_any(struct rb_net *net, struct tcb *tcb, uint32_t ack);

/* Is what was sent one piece, which the short way has sent? */
static inline bool is_acked_plainly(const struct tcb *tcb)
{
	return tcb->timer == TCP_TIMER_SENT && !tcb->probed && tcb->tx_head == tcb->tx_tail;
}

/*
 * It has arrived, and the window is not what holds data back: then nothing is left but the measurement of the round trip.
 * Flags and event are the caller's.
 */
static inline void take_ack_plainly(struct rb_net *net, struct tcb *tcb, uint32_t ack)
{
	uint32_t index = tcb->tx_head;
	tcb->snd_una = ack;
	tcb->tx_head = tcb->tx_tail = TCP_NONE;
	pool_put(&net->tcp.piece_pool, index);
	tcp_rtt_next(net, tcb, net->tcp.now_us - tcp_piece(net, index)->sent_us);
}

/* Takes an acknowledgement of something new, if it is no more than that. False: it is more, and nothing has changed. */
static inline bool take_ack(struct rb_net *net, struct tcb *tcb, uint32_t flags, uint32_t ack)
{
	if ((flags & (TCP_CWND_LIMITED | TCP_HAS_ECN)) || ack != tcb->snd_nxt || !is_acked_plainly(tcb))
		return false;
	take_ack_plainly(net, tcb, ack);
	return true;
}

/* In order and inside the window: never older than the last update. `window`: the field, not 0. */
static inline void take_window(struct rb_net *net, struct tcb *tcb, uint32_t window)
{
	if ((uint16_t)tcb->foreseen != window) { /* it is not what it was */
		uint32_t before = tcb->snd_wnd;
		tcp_window_set(tcb, window);
		if (tcb->snd_wnd > before && tcb->snd_wnd > tcp_cold(net, tcb)->snd_max_wnd)
			tcp_cold(net, tcb)->snd_max_wnd = tcb->snd_wnd;
	}
	tcb->snd_wl1 = tcb->rcv_nxt;
}
