// SPDX-License-Identifier: Apache-2.0
/*
 * Segments in: whose they are, and the short way for those that are what an established connection expects next (the
 * header prediction of V. Jacobson, 1990). The short way does what tcp_arrives() would do, and nothing else.
 */
#include "net/ip4.h"
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tcp_congestion.h"
#include "net/tcp_taking.h"
#include "net/tcp_upcalls.h"

#include <immintrin.h>

static inline bool is4(const struct tcb *tcb, uint64_t addresses, uint32_t ports)
{
	return tcb->addresses == addresses && tcb->ports == ports; /* those of IPv6 are 0, which no packet has */
}

static inline uint32_t hash4(const struct rb_net *net, uint64_t addresses, uint32_t ports)
{
	return flow_hash4(&net->tcp.flow_secret, (uint32_t)(addresses >> 32), (uint32_t)addresses, ports);
}

static __attribute__((noinline)) uint32_t find4_any(const struct rb_net *net, uint32_t hash, uint64_t addresses,
						    uint32_t ports)
{
	struct flow_cursor cursor;
	uint32_t at = flow_first(&cursor, &net->tcp.flows, hash);
	while (at != FLOW_NONE && !is4(&net->tcp.tcbs[at], addresses, ports))
		at = flow_next(&cursor);
	return at;
}

static inline uint32_t find4(const struct rb_net *net, uint64_t addresses, uint32_t ports)
{
	uint32_t hash = hash4(net, addresses, ports), at;
	if (__builtin_expect(flow_likely(&net->tcp.flows, hash, &at) && is4(&net->tcp.tcbs[at], addresses, ports), 1))
		return at;
	return find4_any(net, hash, addresses, ports);
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

uint32_t tcp_hash6(const struct rb_net *net, const struct tcb *tcb)
{
	const struct tcb_cold *cold = &net->tcp.colds[tcp_index(net, tcb)];
	return flow_hash6(&net->tcp.flow_secret, &cold->local_ip6, &cold->remote_ip6, tcb->ports);
}

static inline uint32_t load_raw(const uint8_t *at)
{
	uint32_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

/* The connection of an IPv4 packet, by TCP's header and what is before it: the end of the IP header. */
static inline uint32_t find4_of(const struct rb_net *net, const uint8_t *header)
{
	uint64_t addresses;
	memcpy(&addresses, header - sizeof(addresses), sizeof(addresses));
	return find4(net, addresses, load_raw(header));
}

void tcp_take_ack_any(struct rb_net *net, struct tcb *tcb, uint32_t ack)
{
	tcp_recovery_settle(net, tcb);
	neighbour_confirm(net, tcb->neighbour);
	uint32_t bytes = ack - tcb->snd_una, rtt_us = tcp_ack_release(net, tcb, ack, 0);
	if (rtt_us != 0)
		tcp_rtt_sample(net, tcb, rtt_us);
	if ((tcb->flags & (TCP_CWND_LIMITED | TCP_HAS_ECN)) != 0 || tcb->probed) {
		/* the short way has no duplicates and no losses: what is left is the window's growth */
		struct tcp_acked acked = {.bytes = bytes, .rtt_us = rtt_us};
		tcp_recovery_ack(net, tcb, &acked, &(struct tcp_sacked){0});
	} else {
		tcp_recovery_arm(net, tcb);
	}
}

/* A place of the caller's is open. */
static inline bool has_place(const struct rb_net *net)
{
	const struct rb_net_places *places = net->tcp.places;
	return places->next < places->end;
}

/* May the event be made at once: is there room, and nothing that the application must be told before or with it? */
static inline bool may_tell(const struct rb_net *net, uint32_t flags)
{
	const uint32_t other = TCP_READY | TCP_REFUSED | (uint32_t)TCP_ORPHAN;
	return (flags & (other | TCP_ACCEPTED)) == TCP_ACCEPTED &&
	       (has_place(net) || net->tcp.told_count < RB_NET_BURST);
}

static inline void fill_event(struct rb_net_event *event, const struct tcb *tcb, uint64_t handle, const uint8_t *data,
			      uint32_t length, uint32_t sent)
{
	event->handle = handle;
	event->cookie = tcb->cookie;
	event->data = data;
	event->length = length;
	event->sent = sent;
}

/* Tells of a part that has just been made of this packet. */
static inline void tell(struct rb_net *net, const struct tcb *tcb, uint32_t index, const uint8_t *data, uint32_t length,
			uint32_t sent)
{
	const rb_net_handle handle = handle_make(HANDLE_CONNECTION, index, tcb->generation);
	struct rb_net_places *places = net->tcp.places;
	if (__builtin_expect(places->next < places->end, 1)) {
		struct rb_net_event *event = places->next++;
		memcpy(event, &places->first, sizeof(places->first));
		fill_event(event, tcb, places->name | handle, data, length, sent);
		event->buffer = event->reserved = 0;
		places->received += length;
		places->sent += sent;
		return;
	}
	struct rb_net_event *event = &net->tcp.told[net->tcp.told_count++];
	event->bits = (uint16_t)(RB_NET_RECEIVED | (sent > 0) * RB_NET_SENT);
	event->offset = 0;
	event->status = 0;
	fill_event(event, tcb, handle, data, length, sent);
}

static inline void take_timestamp(struct tcb *tcb, uint32_t seq, uint32_t tsval)
{
	if (seq == tcb->last_ack_sent) /* RFC 7323 4.3 (2) */
		tcb->ts_recent = tsval;
}

/* An acknowledgement of something new by itself. */
static void take_ack_alone(struct rb_net *net, struct tcb *tcb, uint32_t ack)
{
	uint32_t acked = ack - tcb->snd_una, news = tcb->tx_next != TCP_NONE ? TCP_PENDING : 0;
	if (take_ack(net, tcb, tcb->flags, ack)) {
		tcp_timer_stop(tcb); /* RFC 6298 5.2 */
		tcb->sent += acked;
		news |= TCP_READY;
		neighbour_confirm(net, tcb->neighbour); /* what data bring, the answer confirms: tcp_output_short.c */
	} else {
		tcp_take_ack_any(net, tcb, ack);
	}
	tcp_note(net, tcb, tcb->flags, news);
	if (tcb->flags & TCP_KEEPALIVE)
		tcp_heard(net, tcb);
}

/* Tells what the short way has not told at once. */
static void tell_later(struct rb_net *net, struct tcb *tcb, uint32_t sent)
{
	tcp_part_untold(tcb, tcb->rx_tail);
	tcb->sent += sent;
	if (tcb->flags & TCP_ACCEPTED) /* else rb_net_accept() does */
		tcp_ready(net, tcb);
}

/* Takes the payload of a segment in order, for which there is a part, and what it acknowledges. */
static void take_payload(struct rb_net *net, uint32_t index, struct tcb *tcb, const struct rb_net_packet *packet,
			 const uint8_t *data, uint32_t payload, uint32_t ack)
{
	uint32_t flags = tcb->flags, acked = ack - tcb->snd_una, sent = 0;
	if (acked > 0) {
		if (take_ack(net, tcb, flags, ack)) {
			flags &= ~(uint32_t)TCP_REXMT_ARMED; /* RFC 6298 5.2 */
			sent = acked;
		} else {
			tcp_take_ack_any(net, tcb, ack);
			flags = tcb->flags;
		}
	}
	tcp_note(net, tcb, tcp_ack_later(flags), TCP_PENDING);
	uint32_t part = tcp_part_make(net, packet, data, tcb->rcv_nxt, payload);
	tcp_part_append(net, tcb, part, payload);
	if (may_tell(net, flags))
		tell(net, tcb, index, data, payload, sent);
	else
		tell_later(net, tcb, sent);
	if (flags & TCP_KEEPALIVE)
		tcp_heard(net, tcb);
}

/*
 * The short way. `header`: of a segment of this connection, of the right shape (input_shape()), with `payload` bytes
 * behind it. Is it in order, inside both windows, with a payload, an acknowledgement of something new, or both? Then it
 * is taken; else nothing has changed.
 */
static inline __attribute__((always_inline)) enum input_taken take_as(struct rb_net *net, uint32_t index,
								      const struct rb_net_packet *packet,
								      const uint8_t *header, uint32_t payload,
								      const bool timestamps)
{
	struct tcb *tcb = tcp_tcb(net, index);
	const uint32_t seq = load32(header + 4), ack = load32(header + 8), window = load16(header + 14);
	const uint32_t acked = ack - tcb->snd_una, tsval = timestamps ? load32(header + TCP_HEADER + 4) : 0;

	if (seq != tcb->rcv_nxt || payload > tcb->rcv_adv - seq || acked > tcb->snd_nxt - tcb->snd_una || window == 0 ||
	    (timestamps && seq_lt(tsval, tcb->ts_recent)) || (payload | acked) == 0)
		return INPUT_LEFT;
	if (payload > 0 && net->tcp.part_pool.free == 0) {
		net->counters.tcp_parts_full++;
		return INPUT_TAKEN; /* no room: the peer sends it again */
	}
	net->counters.tcp_fast++;
	if (timestamps)
		take_timestamp(tcb, seq, tsval);
	take_window(net, tcb, window);
	if (payload == 0) {
		take_ack_alone(net, tcb, ack);
		return INPUT_TAKEN;
	}
	take_payload(net, index, tcb, packet, header + (timestamps ? TCP_HEADER + TCP_TIMESTAMPS : TCP_HEADER), payload,
		     ack);
	return INPUT_KEPT;
}

/*
 * Is it the segment that the TCB foresees: the next in order, an acknowledgement of all that we have sent, with the
 * window of the last one? Three words of the header at once, PSH left out.
 */
static inline bool is_foreseen(const struct tcb *tcb, const uint8_t *header)
{
	RB_BUILD_ASSERT(offsetof(struct tcb, foreseen) == offsetof(struct tcb, rcv_nxt) + 8 &&
				offsetof(struct tcb, snd_nxt) == offsetof(struct tcb, rcv_nxt) + 4,
			"as in the header: sequence number, acknowledgement, and what is before the checksum");
	const __m128i host = _mm_set_epi8(-1, -1, -1, -1, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
	const __m128i mask = _mm_set_epi32(0, (int)~((uint32_t)TCP_PSH << 16), -1, -1);
	const __m128i words = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(header + 4)), host);
	const __m128i want = _mm_loadu_si128((const __m128i *)(const void *)&tcb->rcv_nxt);
	return _mm_testz_si128(_mm_xor_si128(words, want), mask);
}

/* Of a connection on which nothing is due: the flags on the left are on the right. */
#define IDLE_FLAGS                                                                                  \
	(TCP_LONG_WAY | TCP_HAS_TIMESTAMPS | TCP_HAS_ECN | TCP_ACCEPTED | TCP_READY | TCP_REFUSED | \
	 (uint32_t)TCP_ORPHAN | TCP_PENDING | TCP_ACK_DELAYED | TCP_CWND_LIMITED | TCP_KEEPALIVE)
#define IDLE_SET (TCP_HAS_TIMESTAMPS | TCP_ACCEPTED)

/*
 * take_as() for what nearly all segments of requests and answers are: foreseen, with a payload, and for a connection
 * with nothing else to do. False: it is something else, and nothing has changed.
 */
static inline __attribute__((always_inline)) bool take_foreseen(struct rb_net *net, uint32_t index, struct tcb *tcb,
								const struct rb_net_packet *packet,
								const uint8_t *header, uint32_t payload)
{
	const uint32_t tsval = load32(header + TCP_HEADER + 4), seq = tcb->rcv_nxt;
	uint32_t flags = tcb->flags, acked = tcb->snd_nxt - tcb->snd_una;
	if ((flags & IDLE_FLAGS) != IDLE_SET || !is_foreseen(tcb, header) || payload - 1 >= tcb->rcv_adv - seq ||
	    seq_lt(tsval, tcb->ts_recent) || net->tcp.part_pool.free == 0 ||
	    (!has_place(net) && net->tcp.told_count == RB_NET_BURST) || (acked > 0 && !is_acked_plainly(tcb)))
		return false;
	net->counters.tcp_fast++;
	take_timestamp(tcb, seq, tsval);
	tcb->snd_wl1 = seq;
	if (__builtin_expect(acked > 0, 1))
		take_ack_plainly(net, tcb, tcb->snd_nxt);
	tcb->flags = (flags & ~(uint32_t)TCP_REXMT_ARMED) | TCP_PENDING | TCP_ACK_DELAYED;
	tcp_ring_put(&net->tcp.pending, index);

	const uint8_t *data = header + TCP_HEADER + TCP_TIMESTAMPS;
	uint32_t part = pool_take(&net->tcp.part_pool);
	tcp_part_fill(net, part, packet, data, tcb->rcv_nxt, payload);
	tcp_part_append(net, tcb, part, payload);
	tell(net, tcb, index, data, payload, acked);
	return true;
}

/* The same for a segment of any shape, `length` bytes of it and its payload, that brought no mark of congestion. */
static enum input_taken take_expected(struct rb_net *net, uint32_t index, const struct rb_net_packet *packet,
				      const uint8_t *header, uint32_t length)
{
	struct tcb *tcb = tcp_tcb(net, index);
	bool timestamps = tcb->flags & TCP_HAS_TIMESTAMPS;
	uint32_t headers = timestamps ? TCP_HEADER + TCP_TIMESTAMPS : TCP_HEADER;
	if ((tcb->flags & TCP_LONG_WAY) || length < headers ||
	    (load16(header + 12) & ~(unsigned)TCP_PSH) != (headers / 4 << 12 | TCP_ACK) ||
	    (timestamps && load32(header + TCP_HEADER) != 0x0101080a))
		return INPUT_LEFT;
	if (timestamps)
		return take_as(net, index, packet, header, length - headers, true);
	return take_as(net, index, packet, header, length - headers, false);
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

/* `index`: of the connection, or TCP_NONE. */
static bool take(struct rb_net *net, uint32_t index, struct tcp_segment *segment)
{
	net->counters.tcp_in++;
	if (index == TCP_NONE)
		return take_new(net, segment);
	tcp_segment_options(segment);
	return tcp_arrives(net, tcp_tcb(net, index), segment);
}

void tcp_input_begin(struct rb_net *net)
{
	struct tcp *tcp = &net->tcp;
	if (tcp->told_taken == tcp->told_count)
		tcp->told_taken = tcp->told_count = 0;
}

enum input_taken tcp_take_in_order(struct rb_net *net, uint32_t index, const struct rb_net_packet *packet,
				   const uint8_t *header, uint32_t length)
{
	enum input_taken taken =
		__builtin_expect((tcp_tcb(net, index)->flags & TCP_HAS_TIMESTAMPS) != 0, 1)
			? take_as(net, index, packet, header, length - TCP_HEADER - TCP_TIMESTAMPS, true)
			: take_as(net, index, packet, header, length - TCP_HEADER, false);
	if (taken != INPUT_LEFT)
		net->counters.tcp_in++;
	return taken;
}

/* What is not foreseen. */
static __attribute__((noinline)) enum input_taken take_other(struct rb_net *net, uint32_t index,
							     const struct rb_net_packet *packet, uint32_t l4,
							     uint32_t payload)
{
	const uint8_t *header = packet->data + l4;
	const uint32_t length = TCP_HEADER + TCP_TIMESTAMPS + payload;
	struct tcb *tcb = tcp_tcb(net, index);
	if ((tcb->flags & (TCP_LONG_WAY | TCP_HAS_TIMESTAMPS)) != TCP_HAS_TIMESTAMPS || (header[13] & TCP_FIN))
		return tcp_turn(net, index, tcb, packet, header, length);
	return tcp_take_in_order(net, index, packet, header, length);
}

enum input_taken tcp_input_short(struct rb_net *net, const struct rb_net_packet *packet, uint32_t l4, uint32_t payload)
{
	const uint8_t *header = packet->data + l4;
	uint32_t index = find4_of(net, header);
	if (__builtin_expect(index == TCP_NONE, 0))
		return INPUT_LEFT;
	if (__builtin_expect(!take_foreseen(net, index, tcp_tcb(net, index), packet, header, payload), 0))
		return take_other(net, index, packet, l4, payload);
	net->counters.tcp_in++;
	return INPUT_KEPT;
}

/*
 * The connection's addresses were checked when it began; whom there is none for may have sent from any (RFC 1122
 * 3.2.1.3), which is for the long way.
 */
static __attribute__((noinline)) enum input_taken take_plain(struct rb_net *net, uint32_t index,
							     const struct rb_net_packet *packet, const uint8_t *header,
							     uint32_t length)
{
	struct tcp_segment segment;
	struct ip_packet ip;
	ip4_describe(&ip, packet, (unsigned)(header - packet->data) - IP4_HEADER, IP4_HEADER, (uint16_t)length);
	if ((index == TCP_NONE && !address_is_peer4(net, ip.src4)) || !tcp_segment_read(&segment, &ip))
		return INPUT_LEFT;
	return take(net, index, &segment) ? INPUT_KEPT : INPUT_TAKEN;
}

enum input_taken tcp_input_plain(struct rb_net *net, const struct rb_net_packet *packet, const uint8_t *header,
				 uint32_t length)
{
	if (header[13] == TCP_SYN && tcp_syn_short(net, header, length))
		return INPUT_TAKEN;
	uint32_t index = find4_of(net, header);
	if (index != TCP_NONE) {
		enum input_taken taken = tcp_turn(net, index, tcp_tcb(net, index), packet, header, length);
		if (taken != INPUT_LEFT)
			return taken;
	}
	return take_plain(net, index, packet, header, length);
}

bool tcp_input(struct rb_net *net, const struct ip_packet *ip)
{
	const uint8_t *header = ip_packet_l4(ip);
	struct tcp_segment segment;
	uint32_t index;

	if (__builtin_expect(!tcp_segment_read(&segment, ip), 0)) {
		net->counters.malformed++;
		return false;
	}
	if (!ip->is6)
		index = find4(net, tcp_addresses(ip->dst4, ip->src4), load_raw(header));
	else
		index = find6(net, &ip->dst6, &ip->src6, load_raw(header));
	if (index != TCP_NONE && ip->ecn != IP_ECN_CE) {
		enum input_taken taken = take_expected(net, index, ip->packet, header, ip->length);
		if (taken != INPUT_LEFT) {
			net->counters.tcp_in++;
			return taken == INPUT_KEPT;
		}
	}
	return take(net, index, &segment);
}
