// SPDX-License-Identifier: Apache-2.0
/*
 * The end of connections. A TCB is freed when three have let go of it: the protocol (state CLOSED), the application
 * (TCP_ORPHAN) and the rings, in which its index may still lie; whoever is last frees it.
 */
#include "net/input.h"
#include "net/neighbour.h"
#include "net/tcp_closing.h"
#include "net/tcp_handle.h"
#include "net/udp.h"

#include <errno.h>

void tcp_release_pieces(struct rb_net *net, struct tcb *tcb)
{
	while (tcb->tx_head != TCP_NONE) {
		uint32_t index = tcb->tx_head;
		tcb->tx_head = tcp_piece(net, index)->next;
		pool_put(&net->tcp.piece_pool, index);
	}
	tcb->tx_tail = tcb->tx_next = TCP_NONE;
	tcb->flags &= ~((uint32_t)TCP_SCOREBOARD | TCP_RECOVERY | TCP_LOSS);
	tcb->snd_end = tcb->snd_nxt = tcb->snd_una;
}

void tcp_free(struct rb_net *net, struct tcb *tcb)
{
	tcp_free_if_last(net, tcb, tcp_index(net, tcb));
}

/* The protocol lets go: the 4-tuple is free. */
static inline void leave(struct rb_net *net, struct tcb *tcb)
{
	uint32_t index = tcp_index(net, tcb);
	if (tcb->state == TCP_TIME_WAIT)
		tcp_order_remove(net, &net->tcp.time_wait, tcb);
	flow_remove(&net->tcp.flows, tcp_hash(net, tcb), index);
	neighbour_release(net, tcb->neighbour);
	rb_wheel_cancel(&net->tcp.wheel, index);
	tcp_release_pieces(net, tcb);
	tcb->state = TCP_CLOSED;
	tcb->flags = (tcb->flags & ~TCP_CLOSED_CLEAR) | TCP_SLOW;
}

void tcp_finish(struct rb_net *net, struct tcb *tcb, int status)
{
	if (tcb->flags & (uint32_t)TCP_ORPHAN)
		return;
	tcp_cold(net, tcb)->status = status;
	tcb->flags |= TCP_FINISHED;
	tcp_ready(net, tcb);
}

void tcp_end(struct rb_net *net, struct tcb *tcb, int status)
{
	bool told = tcb->flags & TCP_FINISHED; /* in TIME-WAIT, and the event not yet taken */
	if (__builtin_expect(!(tcb->flags & TCP_ACCEPTED), 0)) {
		tcp_untell(net, tcb); /* KNOCK: of what nobody has heard, nobody is told */
		tcp_listener_leave(net, tcb);
		tcb->flags &= ~(uint32_t)TCP_ENDED; /* nor of more than the end, who has not accepted it */
	}
	leave(net, tcb);
	if (!(tcb->flags & TCP_KNOWN)) { /* nobody has heard of it */
		tcb->flags &= ~(uint32_t)TCP_KNOCKING;
		tcb->flags |= (uint32_t)TCP_ORPHAN;
		tcp_free(net, tcb);
	} else if (tcb->flags & (uint32_t)TCP_ORPHAN) {
		tcp_free(net, tcb);
	} else if (!told) {
		tcp_finish(net, tcb, status);
	}
}

void tcp_time_wait(struct rb_net *net, struct tcb *tcb)
{
	if (!MECHANISM(time_wait)) {
		tcp_end(net, tcb, 0);
		return;
	}
	tcp_listener_leave(net, tcb);
	tcb->state = TCP_TIME_WAIT;
	tcp_order_append(net, &net->tcp.time_wait, tcp_index(net, tcb));
	tcb->flags |= TCP_SLOW;
	tcp_timer_set(net, tcb, TCP_TIMER_TIME_WAIT, net->config.time_wait_us);
	if (tcb->flags & TCP_KNOWN)
		tcp_finish(net, tcb, 0);
}

void tcp_close_flush(struct rb_net *net)
{
	while (tcp_ring_count(&net->tcp.closed) > 0) {
		uint32_t index = tcp_ring_take(&net->tcp.closed);
		struct tcb *tcb = tcp_tcb(net, index);
		tcp_deliver_drop(net, tcb);
		tcb->flags &= ~(uint32_t)TCP_FINISHED;
		tcp_free_if_last(net, tcb, index);
	}
}

/*
 * The FIN is a piece of its own at the end of the stream. Each connection has one in reserve (tcp_lay()), which may be
 * needed to cut what is before the FIN: then the FIN waits until that is acknowledged.
 */
static inline bool fin_append(struct rb_net *net, struct tcb *tcb)
{
	struct pool *pool = &net->tcp.piece_pool;
	if (tcb->tx_head != TCP_NONE && pool_used(pool) >= net->config.send_pieces)
		return false;
	uint32_t index = pool_get(pool);
	if (index == POOL_NONE)
		return false;
	*tcp_piece(net, index) = (struct tcp_piece){.seq = tcb->snd_end, .next = TCP_NONE, .flags = TCP_PIECE_FIN};
	if (tcb->tx_tail == TCP_NONE)
		tcb->tx_head = index;
	else
		tcp_piece(net, tcb->tx_tail)->next = index;
	tcb->tx_tail = index;
	if (tcb->tx_next == TCP_NONE)
		tcb->tx_next = index;
	return true;
}

bool tcp_fin_append(struct rb_net *net, struct tcb *tcb)
{
	return fin_append(net, tcb);
}

static inline void queue_fin(struct rb_net *net, struct tcb *tcb)
{
	uint32_t slow = fin_append(net, tcb) ? 0 : TCP_SLOW; /* acknowledgements bring a piece */
	tcb->flags |= TCP_FIN_QUEUED | slow;
}

/* What the application will not read any more. */
static inline void stop_reading(struct rb_net *net, struct tcb *tcb)
{
	if (__builtin_expect(net->tcp.told_taken != net->tcp.told_count, 0))
		tcp_untell(net, tcb); /* its FIN, perhaps */
	tcp_deliver_drop(net, tcb);
	tcb->rcv_space = tcp_cold(net, tcb)->rcv_window;
	uint32_t news = tcb->flags & TCP_FINISHED ? TCP_PENDING | TCP_READY : TCP_PENDING;
	/* CLOSED may have waited for what was held */
	tcp_note(net, tcb, (tcb->flags & ~(uint32_t)TCP_ENDED) | TCP_DISCARD, news);
	if (tcb->state == TCP_FIN_WAIT_2)
		tcp_timer_fin_wait(net, tcb);
}

/* Who aborts wants to hear of the end, and of nothing that came before it. What it was told of stays with it till then. */
static void stop_telling(struct rb_net *net, struct tcb *tcb)
{
	tcp_deliver_drop_untold(net, tcb);
	tcb->flags &= ~(uint32_t)TCP_ENDED;
}

static inline int connection_close(struct rb_net *net, struct tcb *tcb, enum rb_net_close how)
{
	bool over = tcb->state == TCP_CLOSED || tcb->state == TCP_TIME_WAIT;
	if (how == RB_NET_CLOSE_ABORT) {
		if (over) {
			stop_reading(net, tcb);
			return 0;
		}
		if (tcb->state != TCP_SYN_SENT) /* RFC 9293 3.10.5 */
			tcp_output_reset(net, tcb);
		stop_telling(net, tcb);
		tcp_end(net, tcb, -ECONNABORTED);
		return 0;
	}
	/* in SYN-SENT, too: what was queued goes out when the connection is there (RFC 9293 3.10.4 would drop it) */
	bool fin = !over && !(tcb->flags & TCP_FIN_QUEUED);
	if (fin)
		queue_fin(net, tcb);
	if (how == RB_NET_CLOSE_BOTH && !(tcb->flags & TCP_DISCARD))
		stop_reading(net, tcb);
	else if (fin)
		tcp_pend(net, tcb);
	return 0;
}

static int close_other(struct rb_net *net, rb_net_handle handle)
{
	switch (handle_kind(handle)) {
	case HANDLE_LISTENER:
		return tcp_unlisten(net, handle);
	case HANDLE_UDP:
		return udp_close(net, handle);
	default:
		return -EBADF;
	}
}

int tcp_close(struct rb_net *net, rb_net_handle handle, enum rb_net_close how)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	if (tcb == NULL)
		return close_other(net, handle);
	if (!(tcb->flags & TCP_ACCEPTED))
		return -EBADF;
	if (how != RB_NET_CLOSE_BOTH && how != RB_NET_CLOSE_WRITE && how != RB_NET_CLOSE_ABORT)
		return -EINVAL;
	return connection_close(net, tcb, how);
}

int rb_net_reject(struct rb_net *net, rb_net_handle handle)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	if (tcb == NULL || (tcb->flags & TCP_ACCEPTED) || !(tcb->flags & TCP_KNOWN))
		return -EBADF;
	tcb->flags |= (uint32_t)TCP_ORPHAN;
	tcb->flags &= ~(uint32_t)TCP_FINISHED;
	if (tcb->state == TCP_CLOSED) {
		tcp_free(net, tcb);
		return 0;
	}
	tcp_output_reset(net, tcb);
	tcp_end(net, tcb, -ECONNABORTED);
	return 0;
}

unsigned rb_net_close_all(struct rb_net *net, enum rb_net_close how)
{
	unsigned count = 0;
	for (uint32_t index = 0; index < net->tcp.tcb_pool.count; index++) {
		struct tcb *tcb = tcp_tcb(net, index);
		if (!tcb_in_use(tcb) || (tcb->flags & (uint32_t)TCP_ORPHAN))
			continue;
		int result = connection_close(net, tcb, how);
		RB_ASSERT_EQ(result, 0);
		count++;
	}
	return count;
}
