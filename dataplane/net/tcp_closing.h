// SPDX-License-Identifier: Apache-2.0
/* Steps of how a connection ends, that the short way (tcp_turn.c) and all others (tcp_close.c) share. */
#pragma once

#include "net/handle.h"
#include "net/tcp_parts.h"

/*
 * Frees a TCB when the last of the three that hold it has let go: protocol (state CLOSED), application (TCP_ORPHAN), and
 * the rings.
 */
static inline void tcp_free_if_last(struct rb_net *net, struct tcb *tcb, uint32_t index)
{
	if (tcb->state != TCP_CLOSED || !(tcb->flags & (uint32_t)TCP_ORPHAN) ||
	    (tcb->flags & (TCP_READY | TCP_PENDING | TCP_FINISHED)))
		return;
	tcp_deliver_drop(net, tcb);
	RB_DEBUG_ASSERT(tcb->tx_head == TCP_NONE && !rb_wheel_armed(&net->tcp.wheel, index)); /* since it has ended */
	tcb->flags = 0;
	tcb->generation = handle_next_generation(tcb->generation); /* its handles are void from now on */
	pool_put(&net->tcp.tcb_pool, index);
}

/* What is not due any more once the protocol has let go. */
#define TCP_CLOSED_CLEAR \
	((uint32_t)TCP_REXMT_ARMED | TCP_ACK_NOW | TCP_ACK_DELAYED | TCP_SCOREBOARD | TCP_RECOVERY | TCP_LOSS)

/*
 * tcp_end() for IPv4 in LAST-ACK, when the FIN is acknowledged that is all that was outstanding, but for what the
 * application is told and for the neighbour, which is left to the caller.
 */
static inline void tcp_last_ack(struct rb_net *net, struct tcb *tcb, uint32_t index)
{
	struct tcp *tcp = &net->tcp;
	flow_remove(&tcp->flows, tcp_hash4(net, tcb), index);
	rb_wheel_cancel(&tcp->wheel, index);
	pool_put(&tcp->piece_pool, tcb->tx_head);
	tcb->tx_head = tcb->tx_tail = tcb->tx_next = TCP_NONE;
	tcb->snd_una = tcb->snd_end = tcb->snd_nxt;
	tcb->state = TCP_CLOSED;
	tcb->flags = (tcb->flags & ~TCP_CLOSED_CLEAR) | TCP_SLOW;
}
