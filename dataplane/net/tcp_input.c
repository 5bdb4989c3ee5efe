// SPDX-License-Identifier: Apache-2.0
/*
 * Segments in: whose they are, and the short way for those that are what an established connection expects next (the
 * header prediction of V. Jacobson, 1990). The short way does what tcp_arrives() would do, and nothing else.
 */
#include "net/neighbour.h"
#include "net/tcp_congestion.h"
#include "net/tcp_upcalls.h"

static inline bool is4(const struct tcb *tcb, uint64_t addresses, uint32_t ports)
{
	return tcb->addresses == addresses && tcb->ports == ports; /* those of IPv6 are 0, which no packet has */
}

static uint32_t find4_on(const struct rb_net *net, struct flow_cursor *cursor, uint64_t addresses, uint32_t ports)
{
	uint32_t at;
	while ((at = flow_next(cursor)) != FLOW_NONE && !is4(&net->tcp.tcbs[at], addresses, ports))
		continue;
	return at;
}

static inline uint32_t hash4(const struct rb_net *net, uint64_t addresses, uint32_t ports)
{
	return flow_hash4(&net->tcp.flow_secret, (uint32_t)(addresses >> 32), (uint32_t)addresses, ports);
}

static inline uint32_t find4(const struct rb_net *net, uint64_t addresses, uint32_t ports)
{
	const struct tcp *tcp = &net->tcp;
	struct flow_cursor cursor;
	uint32_t at = flow_first(&cursor, &tcp->flows, hash4(net, addresses, ports));
	if (__builtin_expect(at == FLOW_NONE || is4(&tcp->tcbs[at], addresses, ports), 1))
		return at; /* the first candidate is nearly always the one */
	return find4_on(net, &cursor, addresses, ports);
}

static uint32_t find6(const struct rb_net *net, const struct rb_ip *local, const struct rb_ip *remote, uint32_t ports)
{
	const struct tcp *tcp = &net->tcp;
	struct flow_cursor cursor;
	uint32_t hash = flow_hash6(&tcp->flow_secret, local, remote, ports);
	for (uint32_t at = flow_first(&cursor, &tcp->flows, hash); at != FLOW_NONE; at = flow_next(&cursor)) {
		const struct tcb *tcb = &tcp->tcbs[at];
		if (tcb->ports == ports && (tcb->flags & TCP_IS_6) && ip_equal(&tcp->colds[at].local_ip6, local) &&
		    ip_equal(&tcp->colds[at].remote_ip6, remote))
			return at;
	}
	return TCP_NONE;
}

uint32_t tcp_find(struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote)
{
	uint32_t ports = tcp_ports(local->port, remote->port);
	if (ip_is4(&remote->ip))
		return find4(net, tcp_addresses(ip_to4(&local->ip), ip_to4(&remote->ip)), ports);
	return find6(net, &local->ip, &remote->ip, ports);
}

uint32_t tcp_hash(const struct rb_net *net, const struct tcb *tcb)
{
	const struct tcb_cold *cold = &net->tcp.colds[tcp_index(net, tcb)];
	if (tcb->flags & TCP_IS_6)
		return flow_hash6(&net->tcp.flow_secret, &cold->local_ip6, &cold->remote_ip6, tcb->ports);
	return hash4(net, tcb->addresses, tcb->ports);
}

static inline uint32_t load_raw(const uint8_t *at)
{
	uint32_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

/* Nearly always: one piece, sent once, is all that was outstanding. */
static inline uint32_t release(struct rb_net *net, struct tcb *tcb, uint32_t ack)
{
	uint32_t index = tcb->tx_head;
	const struct tcp_piece *piece = tcp_piece(net, index);
	if (__builtin_expect(index != tcb->tx_tail || ack != piece->seq + piece->length || piece->transmissions != 1 ||
				     (piece->flags & TCP_PIECE_FIN),
			     0))
		return tcp_ack_release(net, tcb, ack, 0);
	uint32_t rtt_us = net->tcp.now_us - piece->sent_us;
	tcb->sent += ack - tcb->snd_una;
	tcb->snd_una = ack;
	tcb->tx_head = tcb->tx_tail = TCP_NONE;
	pool_put(&net->tcp.piece_pool, index);
	tcp_ready(net, tcb);
	return rtt_us == 0 ? 1 : rtt_us;
}

static inline void take_ack(struct rb_net *net, struct tcb *tcb, uint32_t ack)
{
	uint32_t bytes = ack - tcb->snd_una, rtt_us = release(net, tcb, ack);
	if (rtt_us != 0)
		tcp_rtt_sample(net, tcb, rtt_us);
	if (__builtin_expect((tcb->flags & (TCP_CWND_LIMITED | TCP_HAS_ECN)) != 0 || tcb->probed, 0)) {
		/* the short way has no duplicates and no losses: what is left is the window's growth */
		struct tcp_acked acked = {.bytes = bytes, .rtt_us = rtt_us};
		tcp_recovery_ack(net, tcb, &acked, &(struct tcp_sacked){0});
	} else if (tcb->snd_una == tcb->snd_nxt) {
		tcp_timer_stop(tcb); /* RFC 6298 5.2 */
	} else {
		tcp_recovery_arm(net, tcb);
	}
	neighbour_confirm(net, tcb->neighbour);
}

static inline void take_window(struct rb_net *net, struct tcb *tcb, uint32_t seq, uint32_t snd_wnd)
{
	/* in order and inside the window: never older than the last update */
	if (__builtin_expect(snd_wnd > tcb->snd_wnd, 0) && snd_wnd > tcp_cold(net, tcb)->snd_max_wnd)
		tcp_cold(net, tcb)->snd_max_wnd = snd_wnd;
	tcb->snd_wnd = snd_wnd;
	tcb->snd_wl1 = seq;
}

/*
 * The short way. `header`: of a segment of this connection, `length` bytes of it and its payload, at least a header;
 * no mark of congestion came with it. Is it in order, inside both windows, without anything but a payload, an
 * acknowledgement of something new, or both, and timestamps where they belong and nowhere else? Then it is taken, and
 * *kept says whether its buffer is; else nothing has changed.
 */
static inline bool take_expected(struct rb_net *net, struct tcb *tcb, const struct rb_net_packet *packet,
				 const uint8_t *header, uint32_t length, bool *kept)
{
	const uint32_t flags = tcb->flags;
	const uint32_t headers = flags & TCP_HAS_TIMESTAMPS ? TCP_HEADER + TCP_TIMESTAMPS : TCP_HEADER;
	const uint32_t seq = load32(header + 4), ack = load32(header + 8), window = load16(header + 14);
	const uint32_t payload = length - headers, acked = ack - tcb->snd_una;
	uint32_t tsval = 0;

	if (tcb->state != TCP_ESTABLISHED || (flags & TCP_LONG_WAY) || length < headers ||
	    (load16(header + 12) & ~(unsigned)TCP_PSH) != (headers / 4 << 12 | TCP_ACK) || seq != tcb->rcv_nxt ||
	    payload > tcb->rcv_adv - seq || acked > tcb->snd_nxt - tcb->snd_una || (payload | acked) == 0 ||
	    window == 0)
		return false;
	if (flags & TCP_HAS_TIMESTAMPS) {
		tsval = load32(header + TCP_HEADER + 4);
		if (load32(header + TCP_HEADER) != 0x0101080a || seq_lt(tsval, tcb->ts_recent))
			return false;
	}
	*kept = payload > 0;
	if (payload > 0 && __builtin_expect(!tcp_deliver_next(net, tcb, packet, header + headers, payload), 0)) {
		*kept = false; /* no room: the peer sends it again */
		return true;
	}
	net->counters.tcp_fast++;
	/* RFC 7323 4.3 (2) */
	if ((flags & TCP_HAS_TIMESTAMPS) && seq_le(seq, tcb->last_ack_sent))
		tcb->ts_recent = tsval;
	if (acked > 0)
		take_ack(net, tcb, ack);
	take_window(net, tcb, seq, window << tcp_snd_scale(tcb));
	if (__builtin_expect((flags & TCP_KEEPALIVE) != 0, 0))
		tcp_heard(net, tcb);
	if (payload > 0) {
		tcb->flags |= TCP_ACK_DELAYED;
		if (tcb->unacknowledged < 2)
			tcb->unacknowledged++;
		tcp_pend(net, tcb);
	} else if (tcb->tx_next != TCP_NONE) {
		tcp_pend(net, tcb);
	}
	return true;
}

bool tcp_input_short(struct rb_net *net, const struct rb_net_packet *packet, const uint8_t *header, uint32_t length,
		     bool *kept)
{
	uint64_t addresses;
	memcpy(&addresses, header - sizeof(addresses), sizeof(addresses)); /* the end of the IP header */
	uint32_t index = find4(net, addresses, load_raw(header));
	if (index == TCP_NONE || !take_expected(net, tcp_tcb(net, index), packet, header, length, kept))
		return false;
	net->counters.tcp_in++;
	return true;
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
	const uint8_t *header = ip_packet_l4(ip);
	struct tcp_segment segment;
	uint32_t index;
	bool kept;

	if (__builtin_expect(!tcp_segment_read(&segment, ip), 0)) {
		net->counters.malformed++;
		return false;
	}
	net->counters.tcp_in++;
	if (!ip->is6)
		index = find4(net, tcp_addresses(ip->dst4, ip->src4), load_raw(header));
	else
		index = find6(net, &ip->dst6, &ip->src6, load_raw(header));
	if (index == TCP_NONE)
		return take_new(net, &segment);
	struct tcb *tcb = tcp_tcb(net, index);
	if (ip->ecn != IP_ECN_CE && take_expected(net, tcb, ip->packet, header, ip->length, &kept))
		return kept;
	tcp_segment_options(&segment);
	return tcp_arrives(net, tcb, &segment);
}
