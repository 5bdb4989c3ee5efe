// SPDX-License-Identifier: Apache-2.0
/*
 * The short way of the close that answers the peer's FIN, when all that was sent is acknowledged and all that was received
 * given back: the FIN is all that is left to be said. As an answer of the short way (tcp_output_short.c), its segment is
 * made at once, and the flush, which sends it, has nothing to do with the connection any more.
 */
#include "net/ip4.h"
#include "net/neighbour.h"
#include "net/tcp_handle.h"
#include "net/tcp_making.h"

enum { HEADERS = ETHERNET_HEADER + IP4_HEADER + TCP_HEADER + TCP_TIMESTAMPS };

/* Is it such a close, on an IPv4 connection to which nothing unusual has happened? */
static inline bool is_last(const struct rb_net *net, const struct tcb *tcb)
{
	const uint32_t set = TCP_ACCEPTED | TCP_HAS_TIMESTAMPS, unset = TCP_IS_6 | TCP_HAS_ECN | TCP_SCOREBOARD |
									TCP_OUT_OF_ORDER | TCP_REXMT_ARMED |
									TCP_FIN_QUEUED | TCP_DISCARD;
	return tcb->state == TCP_CLOSE_WAIT && (tcb->flags & (set | unset)) == set && tcb->tx_head == TCP_NONE &&
	       tcb->rx_tail == TCP_NONE && tcb->backoff == 0 && tcb->snd_wnd > 0 &&
	       net->tcp.told_taken == net->tcp.told_count;
}

/* Is there all that it takes? */
static inline bool is_prepared(const struct rb_net *net, const struct tcb *tcb)
{
	return tx_is_ready(&net->tx) && net->tcp.piece_pool.free > 0 &&
	       net->now_ns < net->neighbours.entries[tcb->neighbour].fresh_until_ns;
}

/* The piece of a FIN that is sent just now, as the only one. */
static inline void keep_fin(struct rb_net *net, struct tcb *tcb)
{
	uint32_t index = pool_take(&net->tcp.piece_pool);
	*tcp_piece(net, index) = (struct tcp_piece){
		.seq = tcb->snd_end,
		.next = TCP_NONE,
		.sent_us = net->tcp.now_us,
		.flags = TCP_PIECE_FIN | TCP_PIECE_SENT,
		.transmissions = 1,
	};
	tcb->tx_head = tcb->tx_tail = index;
}

/* Its segment. */
static inline void output_fin(struct rb_net *net, struct tcb *tcb)
{
	struct rb_net_frame *frame = tx_ready(net);
	uint8_t *ip = frame->header + ETHERNET_HEADER;
	uint32_t seq = tcb->snd_nxt, ack = tcb->rcv_nxt;
	struct tcp_header_fields fields = {
		.seq = seq,
		.ack = ack,
		.window = tcp_window_field(net, tcb),
		.flags = TCP_FIN | TCP_ACK,
	};
	tx_begin(net, frame, tcb->neighbour);
	tcp_header_write4(ip, tcb->addresses, tcb->ports, TCP_HEADER + TCP_TIMESTAMPS, &fields);
	tcp_header_timestamps(ip + IP4_HEADER, tcp_ts_now(net, tcb), tcb->ts_recent);
	frame_set(frame, HEADERS, IP4_HEADER, 0, 0);
	net->counters.tcp_out++;
	tcb->snd_nxt = seq + 1;
	tcb->last_ack_sent = ack;
}

static __attribute__((noinline)) int arm(struct rb_net *net, struct tcb *tcb)
{
	tcp_timer_short(net, tcb);
	return 0;
}

/* Both directions are closed. The peer's FIN, which brought it there, has mostly put the connection at the ring's head. */
static inline void closed(struct rb_net *net, struct tcb *tcb, uint32_t index)
{
	struct tcp_ring *pending = &net->tcp.pending;
	uint32_t done = TCP_ENDED | TCP_ACK_NOW | TCP_ACK_DELAYED, tick = (uint32_t)net->tcp.tick;
	if (__builtin_expect((tcb->flags & TCP_PENDING) && pending->slots[pending->head & pending->mask] == index, 1)) {
		pending->head++;
		done |= TCP_PENDING;
	}
	tcb->state = TCP_LAST_ACK;
	tcb->flags = (tcb->flags & ~done) | TCP_DISCARD | TCP_FIN_QUEUED | TCP_FIN_SENT | TCP_SLOW | TCP_REXMT_ARMED;
	tcb->timer = TCP_TIMER_SENT;
	tcb->rexmt_at = tcb->delack_at = tick;
}

static inline int close_last(struct rb_net *net, struct tcb *tcb, uint32_t index)
{
	tcb->rcv_space = net->tcp.colds[index].rcv_window; /* nothing will be read any more */
	keep_fin(net, tcb);
	output_fin(net, tcb);
	closed(net, tcb, index);
	return tcb->timed ? 0 : arm(net, tcb);
}

/* Makes sure of a frame. */
static __attribute__((noinline)) int close_prepare(struct rb_net *net, rb_net_handle handle, enum rb_net_close how)
{
	uint32_t index = (uint32_t)(handle >> 32);
	(void)tx_frame_bare(net);
	return is_prepared(net, tcp_tcb(net, index)) ? close_last(net, tcp_tcb(net, index), index)
						     : tcp_close(net, handle, how);
}

int rb_net_close(struct rb_net *net, rb_net_handle handle, enum rb_net_close how)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	if (__builtin_expect(tcb == NULL || how != RB_NET_CLOSE_BOTH || !is_last(net, tcb), 0))
		return tcp_close(net, handle, how);
	if (__builtin_expect(!is_prepared(net, tcb), 0))
		return close_prepare(net, handle, how);
	return close_last(net, tcb, (uint32_t)(handle >> 32));
}

int rb_net_close_within(struct rb_net *net, rb_net_handle handle, uint32_t timeout_us)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	const uint32_t index = (uint32_t)(handle >> 32);
	if (__builtin_expect(tcb != NULL && is_last(net, tcb) && is_prepared(net, tcb), 1)) {
		net->tcp.colds[index].user_timeout_us = timeout_us;
		return close_last(net, tcb, index);
	}
	int result = rb_net_close(net, handle, RB_NET_CLOSE_BOTH);
	/* only now: of one that may not be closed, nothing changes */
	return result == 0 ? rb_net_set(net, handle, RB_NET_OPTION_USER_TIMEOUT, timeout_us) : result;
}
