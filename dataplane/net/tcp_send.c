// SPDX-License-Identifier: Apache-2.0
/* What the application sends, and what it may set and ask. */
#include "net/ip4.h"
#include "net/ip6.h"
#include "net/tcp_congestion.h"
#include "net/tcp_handle.h"

#include <errno.h>

static uint32_t queued(const struct tcb *tcb)
{
	return tcb->snd_end - tcb->snd_una;
}

bool tcp_send_room(const struct rb_net *net, const struct tcb *tcb)
{
	return pool_used(&net->tcp.piece_pool) < net->config.send_pieces && queued(tcb) < net->config.send_queue;
}

static inline void queue_piece(struct rb_net *net, struct tcb *tcb, const struct rb_net_piece *from)
{
	uint32_t index = pool_get(&net->tcp.piece_pool);
	struct tcp_piece *piece = tcp_piece(net, index);
	tcp_piece_set(tcb, piece, from);
	piece->flags = 0;
	piece->transmissions = 0;
	if (tcb->tx_tail == TCP_NONE)
		tcb->tx_head = index;
	else
		tcp_piece(net, tcb->tx_tail)->next = index;
	tcb->tx_tail = index;
	if (tcb->tx_next == TCP_NONE)
		tcb->tx_next = index;
}

/* Why a send must be refused; 0: it need not. */
static int refusal(struct rb_net *net, struct tcb *tcb, uint64_t bytes, uint32_t pieces)
{
	if (!(tcb->flags & TCP_ACCEPTED))
		return -EBADF;
	if ((tcb->flags & TCP_FIN_QUEUED) || tcb->state < TCP_SYN_SENT || tcb->state > TCP_CLOSE_WAIT)
		return -EPIPE;
	if (queued(tcb) + bytes > net->config.send_queue) {
		tcb->flags |= TCP_REFUSED;
		return -ENOBUFS;
	}
	uint32_t used = pool_used(&net->tcp.piece_pool);
	if (used + pieces > net->config.send_pieces) {
		net->counters.tcp_pieces_full++;
		tcb->flags |= TCP_REFUSED;
		tcp_starved(net);
		return -ENOBUFS;
	}
	return 0;
}

static __attribute__((noinline)) int send_any(struct rb_net *net, struct tcb *tcb, const struct rb_net_piece *pieces,
					      unsigned count)
{
	uint64_t bytes = 0;
	unsigned used = 0;
	for (unsigned i = 0; i < count; i++) {
		bytes += pieces[i].length;
		used += pieces[i].length > 0;
	}
	int status = refusal(net, tcb, bytes, used);
	if (status != 0)
		return status;
	for (unsigned i = 0; i < count; i++) {
		if (pieces[i].length > 0)
			queue_piece(net, tcb, &pieces[i]);
	}
	if (tcb->tx_next != TCP_NONE)
		tcp_pend(net, tcb);
	return 0;
}

/* Is there nothing to refuse, and nothing queued, for a piece of that many bytes? */
static inline bool is_plain(const struct rb_net *net, const struct tcb *tcb, uint32_t bytes)
{
	const struct pool *pool = &net->tcp.piece_pool;
	/* without TCP_SLOW the state is ESTABLISHED */
	return (tcb->flags & (TCP_ACCEPTED | TCP_FIN_QUEUED | TCP_SLOW)) == TCP_ACCEPTED && tcb->tx_head == TCP_NONE &&
	       bytes - 1 < net->config.send_queue && pool->free > pool->count - net->config.send_pieces;
}

int rb_net_send(struct rb_net *net, rb_net_handle handle, const struct rb_net_piece *pieces, unsigned count)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	if (tcb == NULL)
		return -EBADF;
	if (__builtin_expect(count != 1 || !is_plain(net, tcb, pieces[0].length), 0))
		return send_any(net, tcb, pieces, count);
	queue_piece(net, tcb, &pieces[0]);
	tcp_pend(net, tcb);
	return 0;
}

int tcp_reply(struct rb_net *net, rb_net_handle handle, uint32_t received, const struct rb_net_piece *pieces,
	      unsigned count)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	if (tcb == NULL)
		return -EBADF;
	if (!tcp_were_told(net, tcb, received))
		return -EINVAL;
	int status = send_any(net, tcb, pieces, count);
	if (status == 0)
		tcp_give_back(net, tcb, received);
	return status;
}

void tcp_path_mtu(struct rb_net *net, struct tcb *tcb, uint32_t mtu)
{
	bool is6 = tcb->flags & TCP_IS_6;
	uint32_t least = is6 ? 1280 : 576; /* RFC 8200 5; RFC 1122 3.3.3: smaller ones are not believed */
	if (mtu < least)
		mtu = least;
	uint32_t mss = mtu - (is6 ? IP6_HEADER : IP4_HEADER) - TCP_HEADER;
	if (tcb->flags & TCP_HAS_TIMESTAMPS)
		mss -= TCP_TIMESTAMPS;
	if (mss >= tcb->mss)
		return;
	tcb->mss = (uint16_t)mss;
	if (tcb->snd_una == tcb->snd_nxt || tcb->state < TCP_ESTABLISHED)
		return;
	/* RFC 1191 6.5: what was too big goes out again at once, and it was not congestion that lost it */
	tcp_scoreboard_begin(net, tcb);
	for (uint32_t at = tcb->tx_head; at != tcb->tx_next; at = tcp_piece(net, at)->next)
		tcp_scoreboard_lose(net, tcb, at);
	tcb->flags |= TCP_LOSS;
	tcp_cold(net, tcb)->recover = tcb->snd_nxt;
}

static int set_flag(uint32_t *flags, uint32_t flag, uint64_t value)
{
	if (value > 1)
		return -EINVAL;
	*flags = value ? *flags | flag : *flags & ~flag;
	return 0;
}

/* Two full segments at least, or the window would not be worth opening (tcp_window_opened()). */
static int offer_set(const struct rb_net *net, struct tcp_offer *offer, enum rb_net_option option, uint64_t value)
{
	enum { MSS_MIN = 64, MSS_MAX = 8960 };
	bool window = option == RB_NET_OPTION_RECEIVE_WINDOW;
	uint64_t min = window ? 2U * tcp_own_mss(net, false) : MSS_MIN;
	uint64_t max = window ? net->config.receive_window : MSS_MAX;
	if ((!window && option != RB_NET_OPTION_MSS) || (value != 0 && (value < min || value > max)))
		return -EINVAL;
	if (window)
		offer->receive_window = (uint32_t)value;
	else
		offer->mss = (uint16_t)value;
	return 0;
}

static int listener_set(const struct rb_net *net, struct tcp_listener *listener, enum rb_net_option option,
			uint64_t value)
{
	switch (option) {
	case RB_NET_OPTION_NODELAY:
		return set_flag(&listener->options, TCP_NODELAY, value);
	case RB_NET_OPTION_KEEPALIVE:
		return set_flag(&listener->options, TCP_KEEPALIVE, value);
	case RB_NET_OPTION_CONGESTION:
		if (value >= RB_NET_CONGESTIONS)
			return -EINVAL;
		listener->congestion = (uint8_t)value;
		return 0;
	case RB_NET_OPTION_USER_TIMEOUT:
		if (value > UINT32_MAX)
			return -EINVAL;
		listener->user_timeout_us = (uint32_t)value;
		return 0;
	case RB_NET_OPTION_MSS:
	case RB_NET_OPTION_RECEIVE_WINDOW:
		return offer_set(net, &listener->offer, option, value);
	}
	return -EINVAL;
}

int rb_net_set(struct rb_net *net, rb_net_handle handle, enum rb_net_option option, uint64_t value)
{
	struct tcp_listener *listener = tcp_listener_of(net, handle);
	if (listener != NULL)
		return listener_set(net, listener, option, value);
	if (handle == 0)
		return offer_set(net, &net->tcp.offer, option, value);
	struct tcb *tcb = tcp_of_handle(net, handle);
	int error;
	if (tcb == NULL)
		return -EBADF;
	switch (option) {
	case RB_NET_OPTION_NODELAY:
		error = set_flag(&tcb->flags, TCP_NODELAY, value);
		if (error == 0 && tcb->tx_next != TCP_NONE)
			tcp_pend(net, tcb);
		return error;
	case RB_NET_OPTION_KEEPALIVE:
		error = set_flag(&tcb->flags, TCP_KEEPALIVE, value);
		if (error == 0 && value && tcb->state >= TCP_ESTABLISHED)
			tcp_timer_keepalive(net, tcb);
		return error;
	case RB_NET_OPTION_CONGESTION:
		if (value >= RB_NET_CONGESTIONS)
			return -EINVAL;
		tcp_congestion_start(net, tcb, tcp_cold(net, tcb), (enum rb_net_congestion)value);
		return 0;
	case RB_NET_OPTION_USER_TIMEOUT:
		if (value > UINT32_MAX)
			return -EINVAL;
		tcp_cold(net, tcb)->user_timeout_us = (uint32_t)value;
		if (tcb->state == TCP_FIN_WAIT_2 && (tcb->flags & TCP_DISCARD))
			tcp_timer_fin_wait(net, tcb);
		return 0;
	case RB_NET_OPTION_MSS:
	case RB_NET_OPTION_RECEIVE_WINDOW:
		return -EINVAL;
	}
	return -EINVAL;
}

int rb_net_pair4(struct rb_net *net, rb_net_handle handle, struct rb_net_pair4 *pair)
{
	const struct tcb *tcb = tcp_of_handle(net, handle);
	if (tcb == NULL)
		return -EBADF;
	if (tcb->flags & TCP_IS_6)
		return -EAFNOSUPPORT;
	*pair = (struct rb_net_pair4){
		.local_ip = __builtin_bswap32((uint32_t)(tcb->addresses >> 32)),
		.remote_ip = __builtin_bswap32((uint32_t)tcb->addresses),
		.local_port = tcp_local_port(tcb),
		.remote_port = tcp_remote_port(tcb),
	};
	return 0;
}

int rb_net_info(struct rb_net *net, rb_net_handle handle, struct rb_net_info *info)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	if (tcb == NULL)
		return -EBADF;
	const struct tcb_cold *cold = tcp_cold(net, tcb);
	*info = (struct rb_net_info){
		.cookie = tcb->cookie,
		.state = tcb->state,
		.timestamps = tcb->flags & TCP_HAS_TIMESTAMPS,
		.sack = tcb->flags & TCP_HAS_SACK,
		.ecn = tcb->flags & TCP_HAS_ECN,
		.window_scaling = cold->scaling,
		.snd_wscale = (uint8_t)tcp_snd_scale(tcb),
		.rcv_wscale = (uint8_t)tcp_rcv_scale(tcb),
		.mss = tcb->mss,
		.iss = cold->iss,
		.irs = cold->irs,
		.snd_una = tcb->snd_una,
		.snd_nxt = tcb->snd_nxt,
		.snd_wnd = tcb->snd_wnd,
		.rcv_nxt = tcb->rcv_nxt,
		.rcv_wnd = tcb->rcv_adv - tcb->rcv_nxt,
		.cwnd = tcb->cwnd,
		.ssthresh = cold->ssthresh,
		.in_flight = tcp_pipe(net, tcb),
		.queued = queued(tcb),
		.unread = cold->rcv_window - tcb->rcv_space,
		.srtt_us = tcb_srtt_us(tcb),
		.rttvar_us = tcb->rttvar4_us / 4,
		.rto_us = tcp_rto_us(net, tcb),
		.retransmissions = cold->retransmissions,
		.congestion = (enum rb_net_congestion)cold->congestion,
	};
	tcp_endpoints(tcb, cold, &info->local, &info->remote);
	return 0;
}
