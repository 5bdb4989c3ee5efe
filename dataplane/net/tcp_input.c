// SPDX-License-Identifier: Apache-2.0
/*
 * Segments in: whose they are, and the short way for those that are what an established connection expects next (the
 * header prediction of V. Jacobson, 1990). The short way does what tcp_arrives() would do, and nothing else.
 */
#include "net/neighbour.h"
#include "net/tcp_congestion.h"
#include "net/tcp_upcalls.h"

static inline uint32_t ports_of(uint16_t local, uint16_t remote)
{
	return (uint32_t)local << 16 | remote;
}

static inline bool is4(const struct tcb *tcb, uint32_t local_ip, uint32_t remote_ip, uint32_t ports)
{
	return tcb->local_ip == local_ip && tcb->remote_ip == remote_ip &&
	       ports_of(tcb->local_port, tcb->remote_port) == ports && !(tcb->flags & TCP_IS_6);
}

static uint32_t find4_on(const struct rb_net *net, struct flow_cursor *cursor, uint32_t local_ip, uint32_t remote_ip,
			 uint32_t ports)
{
	uint32_t at;
	while ((at = flow_next(cursor)) != FLOW_NONE && !is4(&net->tcp.tcbs[at], local_ip, remote_ip, ports))
		continue;
	return at;
}

static inline uint32_t find4(const struct rb_net *net, uint32_t local_ip, uint32_t remote_ip, uint32_t ports)
{
	const struct tcp *tcp = &net->tcp;
	struct flow_cursor cursor;
	uint32_t hash = flow_hash4(&tcp->flow_secret, local_ip, remote_ip, ports);
	uint32_t at = flow_first(&cursor, &tcp->flows, hash);
	if (__builtin_expect(at == FLOW_NONE || is4(&tcp->tcbs[at], local_ip, remote_ip, ports), 1))
		return at; /* the first candidate is nearly always the one */
	return find4_on(net, &cursor, local_ip, remote_ip, ports);
}

static uint32_t find6(const struct rb_net *net, const struct rb_ip *local, const struct rb_ip *remote,
		      uint16_t local_port, uint16_t remote_port)
{
	const struct tcp *tcp = &net->tcp;
	struct flow_cursor cursor;
	uint32_t hash = flow_hash6(&tcp->flow_secret, local, remote, ports_of(local_port, remote_port));
	for (uint32_t at = flow_first(&cursor, &tcp->flows, hash); at != FLOW_NONE; at = flow_next(&cursor)) {
		const struct tcb *tcb = &tcp->tcbs[at];
		if (tcb->local_port == local_port && tcb->remote_port == remote_port && (tcb->flags & TCP_IS_6) &&
		    ip_equal(&tcp->colds[at].local_ip6, local) && ip_equal(&tcp->colds[at].remote_ip6, remote))
			return at;
	}
	return TCP_NONE;
}

uint32_t tcp_find(struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote)
{
	if (ip_is4(&remote->ip))
		return find4(net, ip_to4(&local->ip), ip_to4(&remote->ip), ports_of(local->port, remote->port));
	return find6(net, &local->ip, &remote->ip, local->port, remote->port);
}

uint32_t tcp_hash(const struct rb_net *net, const struct tcb *tcb)
{
	const struct tcb_cold *cold = &net->tcp.colds[tcp_index(net, tcb)];
	uint32_t ports = ports_of(tcb->local_port, tcb->remote_port);
	if (tcb->flags & TCP_IS_6)
		return flow_hash6(&net->tcp.flow_secret, &cold->local_ip6, &cold->remote_ip6, ports);
	return flow_hash4(&net->tcp.flow_secret, tcb->local_ip, tcb->remote_ip, ports);
}

/*
 * Is this segment in order, inside both windows, without anything but a payload, an acknowledgement of something new,
 * or both? Reads the timestamps on the way, where they are the only option and in the usual place.
 */
static inline bool is_expected(const struct tcb *tcb, struct tcp_segment *segment)
{
	if (tcb->state != TCP_ESTABLISHED || (tcb->flags & TCP_LONG_WAY) ||
	    (segment->flags & ~(unsigned)TCP_PSH) != TCP_ACK || segment->ip->ecn == IP_ECN_CE || segment->window == 0)
		return false;
	if (tcb->flags & TCP_HAS_TIMESTAMPS) {
		const uint8_t *options = ip_packet_l4(segment->ip) + TCP_HEADER;
		if (segment->options_length != TCP_TIMESTAMPS || load32(options) != 0x0101080a)
			return false;
		segment->tsval = load32(options + 4);
		if (seq_lt(segment->tsval, tcb->ts_recent))
			return false;
	} else if (segment->options_length != 0) {
		return false;
	}
	return segment->seq == tcb->rcv_nxt && segment->length <= tcb->rcv_adv - tcb->rcv_nxt &&
	       segment->ack - tcb->snd_una <= tcb->snd_nxt - tcb->snd_una &&
	       (segment->length > 0 || segment->ack != tcb->snd_una);
}

static inline void take_ack(struct rb_net *net, struct tcb *tcb, uint32_t ack)
{
	uint32_t bytes = ack - tcb->snd_una, rtt_us = tcp_ack_release(net, tcb, ack, 0);
	if (rtt_us != 0)
		tcp_rtt_sample(net, tcb, rtt_us);
	if (__builtin_expect((tcb->flags & (TCP_CWND_LIMITED | TCP_HAS_ECN)) != 0 || tcb->probed, 0)) {
		/* the short way has no duplicates and no losses: what is left is the window's growth */
		struct tcp_acked acked = {.bytes = bytes, .rtt_us = rtt_us};
		tcp_recovery_ack(net, tcb, &acked, &(struct tcp_sacked){0});
	} else {
		tcp_recovery_arm(net, tcb);
	}
	neighbour_confirm(net, tcb->neighbour);
}

static bool take_expected(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment)
{
	bool kept = segment->length > 0;

	if (__builtin_expect(kept && !tcp_deliver_next(net, tcb, segment), 0))
		return false; /* no room: the peer sends it again */
	net->counters.tcp_fast++;
	/* RFC 7323 4.3 (2) */
	if ((tcb->flags & TCP_HAS_TIMESTAMPS) && seq_le(segment->seq, tcb->last_ack_sent))
		tcb->ts_recent = segment->tsval;
	if (segment->ack != tcb->snd_una)
		take_ack(net, tcb, segment->ack);
	/* in order and inside the window: never older than the last update */
	uint32_t snd_wnd = (uint32_t)segment->window << tcp_snd_scale(tcb);
	if (__builtin_expect(snd_wnd > tcb->snd_wnd, 0) && snd_wnd > tcp_cold(net, tcb)->snd_max_wnd)
		tcp_cold(net, tcb)->snd_max_wnd = snd_wnd;
	tcb->snd_wnd = snd_wnd;
	tcb->snd_wl1 = segment->seq;
	if (__builtin_expect((tcb->flags & TCP_KEEPALIVE) != 0, 0))
		tcp_heard(net, tcb);
	if (kept) {
		tcb->flags |= TCP_ACK_DELAYED;
		if (tcb->unacknowledged < 2)
			tcb->unacknowledged++;
		tcp_pend(net, tcb);
	} else if (tcb->tx_next != TCP_NONE) {
		tcp_pend(net, tcb);
	}
	return kept;
}

/* A segment for no connection: a listener's, or nobody's. */
static bool take_new(struct rb_net *net, struct tcp_segment *segment)
{
	struct rb_ip local = ip_packet_destination(segment->ip);
	uint32_t listener = tcp_listener_find(net, &local, segment->local_port);
	tcp_segment_options(segment);
	if (listener != TCP_NONE)
		return tcp_arrives_listen(net, &net->tcp.listeners[listener], segment);
	net->counters.tcp_no_connection++;
	tcp_output_refuse(net, segment);
	return false;
}

bool tcp_input(struct rb_net *net, const struct ip_packet *ip)
{
	struct tcp_segment segment;
	uint32_t index;

	if (__builtin_expect(!tcp_segment_read(&segment, ip), 0)) {
		net->counters.malformed++;
		return false;
	}
	net->counters.tcp_in++;
	segment.tsval = 0; /* where there are none */
	if (__builtin_expect(!ip->is6, 1))
		index = find4(net, ip->dst4, ip->src4, ports_of(segment.local_port, segment.remote_port));
	else
		index = find6(net, &ip->dst6, &ip->src6, segment.local_port, segment.remote_port);
	if (__builtin_expect(index == TCP_NONE, 0))
		return take_new(net, &segment);
	struct tcb *tcb = tcp_tcb(net, index);
	if (__builtin_expect(is_expected(tcb, &segment), 1))
		return take_expected(net, tcb, &segment);
	tcp_segment_options(&segment);
	return tcp_arrives(net, tcb, &segment);
}
