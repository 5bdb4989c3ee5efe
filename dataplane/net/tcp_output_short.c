// SPDX-License-Identifier: Apache-2.0
/*
 * The short way out, the counterpart of the one in (tcp_input.c): a reply that is one piece, alone in the queue, inside
 * a segment and all windows, on an IPv4 connection to which nothing unusual happens. It does what tcp_output() would do
 * for it, and nothing else; what it does not take goes there.
 */
#include "net/checksum.h"
#include "net/ip4.h"
#include "net/tcp_congestion.h"
#include "net/tx.h"

/* TCP_SLOW is one: the state is ESTABLISHED. */
#define NOT_SHORT (TCP_LONG_WAY | TCP_IS_6 | TCP_ECN_CWR | TCP_FIN_QUEUED)

/*
 * Does the timer ask for more than the two stores of the short way? It does after an idle time, when the window begins
 * anew (RFC 5681 4.1); without looking at the RTO, by the least that it can be.
 */
static inline bool is_timely(const struct rb_net *net, const struct tcb *tcb)
{
	uint32_t tick = (uint32_t)net->tcp.tick;
	if (__builtin_expect(tcb->timer == TCP_TIMER_SENT && tcb->backoff == 0, 1))
		return tick - tcb->rexmt_at <= net->tcp.rto_min_ticks;
	return tcb->backoff == 0 && seq_le(tick, tcb->rexmt_at);
}

/* tcp_output() for `piece`: would it be sent now, whole, by itself, and with no more than a segment under way? */
static inline bool is_plain(const struct rb_net *net, const struct tcb *tcb, const struct tcp_piece *piece)
{
	uint32_t in_flight = tcb->snd_nxt - tcb->snd_una, end = in_flight + piece->length;
	return end <= tcb->mss && end <= tcb->snd_wnd && end < tcb->cwnd &&
	       (in_flight == 0 || (tcb->flags & TCP_NODELAY)) && is_timely(net, tcb);
}

/* RFC 1071: a sum of at most 32 bits as one of 16. */
static inline uint16_t fold(uint32_t sum)
{
	return (uint16_t)((sum + (sum << 16 | sum >> 16)) >> 16);
}

static inline void store64_raw(uint8_t *at, uint64_t word)
{
	memcpy(at, &word, sizeof(word));
}

static inline void store32_raw(uint8_t *at, uint32_t word)
{
	memcpy(at, &word, sizeof(word));
}

/* The window that this segment offers: nearly always what is left of the last offer (RFC 9293 3.8.6.2.2). */
static inline uint32_t window_field(struct rb_net *net, struct tcb *tcb)
{
	uint32_t window = tcb->rcv_adv - tcb->rcv_nxt, more = tcb->rcv_space - window;
	if (__builtin_expect(more >= tcb->mss || more >= net->tcp.window_half, 0))
		window = tcp_window_offer(net, tcb);
	window >>= tcp_rcv_scale(tcb);
	return window > UINT16_MAX ? UINT16_MAX : window;
}

/*
 * Both headers, as words that lie in memory, lowest byte first. The flags are ACK and PSH: it is all that there is to
 * send.
 */
static inline __attribute__((always_inline)) void fill_headers(struct rb_net *net, struct tcb *tcb, uint8_t *ip,
							       const struct tcp_piece *piece, const bool timestamps)
{
	const uint32_t header = timestamps ? TCP_HEADER + TCP_TIMESTAMPS : TCP_HEADER;
	const uint32_t length = header + piece->length;
	const uint32_t ip_length = __builtin_bswap16((uint16_t)(IP4_HEADER + length));
	const uint32_t ecn = tcb->flags & TCP_HAS_ECN ? IP_ECN_ECT0 : IP_ECN_NOT_ECT;
	const uint32_t start = 0x45 | ecn << 8, fragment = 0x40 /* DF */, ttl_protocol = IP_TTL | IP_PROTOCOL_TCP << 8;
	/* the way back: both pairs the other way round */
	const uint64_t addresses = tcb->addresses << 32 | tcb->addresses >> 32;
	const uint32_t sum = fold((uint32_t)addresses) + fold((uint32_t)(addresses >> 32));
	uint8_t *tcp = ip + IP4_HEADER;

	store64_raw(ip, start | ip_length << 16 | (uint64_t)fragment << 48);
	store32_raw(ip + 8, ttl_protocol | (uint32_t)(uint16_t)~fold(sum + start + ip_length + fragment + ttl_protocol)
						   << 16);
	store64_raw(ip + 12, addresses);
	store32_raw(tcp, tcb->ports << 16 | tcb->ports >> 16);
	store32(tcp + 4, piece->seq);
	store32(tcp + 8, tcb->rcv_nxt);
	store32(tcp + 12, header / 4 << 28 | (TCP_ACK | TCP_PSH) << 16 | window_field(net, tcb));
	/* the pseudo-header's sum, for whoever fills in the rest; and the urgent pointer, 0 */
	store32_raw(tcp + 16, fold(sum + (uint32_t)checksum_protocol(IP_PROTOCOL_TCP, length << 16)));
	if (timestamps) {
		store32(tcp + TCP_HEADER, 0x0101080a);
		store32(tcp + TCP_HEADER + 4, tcp_ts_now(net, tcb));
		store32(tcp + TCP_HEADER + 8, tcb->ts_recent);
	}
}

static inline __attribute__((always_inline)) void fill(struct rb_net *net, struct tcb *tcb, struct rb_net_frame *frame,
						       const struct tcp_piece *piece, const bool timestamps)
{
	const uint16_t headers = ETHERNET_HEADER + IP4_HEADER + TCP_HEADER + (timestamps ? TCP_TIMESTAMPS : 0);
	fill_headers(net, tcb, frame->header + ETHERNET_HEADER, piece, timestamps);
	frame->header_length = headers;
	frame->l2_length = ETHERNET_HEADER;
	frame->l3_length = IP4_HEADER;
	frame->pieces_count = 1;
	frame->transient = false;
	frame->length = headers + piece->length;
	frame->pieces[0].base = (const void *)(uintptr_t)piece->base;
	frame->pieces[0].length = piece->length;
	frame->checksum = RB_NET_CHECKSUM_TCP_FILL;
	if (__builtin_expect(!(net->config.checksum_offload & RB_NET_CHECKSUM_TCP_FILL), 0)) {
		frame->checksum = RB_NET_CHECKSUM_UNKNOWN;
		tx_checksum(frame, ETHERNET_HEADER + IP4_HEADER, ETHERNET_HEADER + IP4_HEADER + 16, false);
	}
}

bool tcp_output_short(struct rb_net *net, struct tcb *tcb)
{
	uint32_t index = tcb->tx_next;
	if ((tcb->flags & NOT_SHORT) || index == TCP_NONE || index != tcb->tx_tail)
		return false;
	struct tcp_piece *piece = tcp_piece(net, index);
	if (!is_plain(net, tcb, piece))
		return false;
	struct rb_net_frame *frame = tx_frame_bare(net);
	if (__builtin_expect(frame == NULL, 0))
		return false;
	/* all was acknowledged, and it was sent no longer ago than is_timely() permits */
	bool fresh = tcb->snd_nxt == tcb->snd_una && tx_begin(net, frame, tcb->neighbour);
	if (__builtin_expect((tcb->flags & TCP_HAS_TIMESTAMPS) != 0, 1))
		fill(net, tcb, frame, piece, true);
	else
		fill(net, tcb, frame, piece, false);
	if (__builtin_expect(fresh, 1))
		tx_commit_raw(net, frame);
	else
		tx_commit(net, frame, tcb->neighbour);
	net->counters.tcp_out++;
	piece->sent_us = net->tcp.now_us;
	piece->transmissions = 1;
	piece->flags = TCP_PIECE_SENT;
	tcb->snd_nxt += piece->length;
	tcb->tx_next = TCP_NONE;
	tcb->last_ack_sent = tcb->rcv_nxt;
	tcb->flags = (tcb->flags & ~((uint32_t)TCP_PENDING | TCP_ACK_NOW | TCP_ACK_DELAYED | TCP_CWND_LIMITED)) |
		     TCP_REXMT_ARMED;
	tcb->timer = TCP_TIMER_SENT;
	tcb->rexmt_at = (uint32_t)net->tcp.tick;
	if (__builtin_expect(!tcb->timed, 0))
		tcp_timer_short(net, tcb);
	return true;
}
