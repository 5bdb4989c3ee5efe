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

#define NOT_SHORT (TCP_LONG_WAY | TCP_IS_6 | TCP_ECN_CWR | TCP_FIN_QUEUED)

/* tcp_output() for `piece`: would it be sent now, whole, by itself? */
static inline bool is_plain(const struct rb_net *net, const struct tcb *tcb, const struct tcp_piece *piece)
{
	uint32_t in_flight = tcb->snd_nxt - tcb->snd_una, end = in_flight + piece->length;
	/* the last: after an idle time the window begins anew (RFC 5681 4.1) */
	return piece->length <= tcb->mss && end <= tcb->snd_wnd && end < tcb->cwnd &&
	       (in_flight == 0 || (tcb->flags & TCP_NODELAY)) && seq_le((uint32_t)net->tcp.tick, tcb->rexmt_at);
}

/* Both headers and the frame's fields. The flags are ACK and PSH: it is all that there is to send. */
static inline void fill(struct rb_net *net, struct tcb *tcb, struct rb_net_frame *frame, const struct tcp_piece *piece)
{
	bool timestamps = tcb->flags & TCP_HAS_TIMESTAMPS;
	unsigned header = timestamps ? TCP_HEADER + TCP_TIMESTAMPS : TCP_HEADER;
	uint32_t length = header + piece->length, window = tcp_window_offer(net, tcb) >> tcp_rcv_scale(tcb);
	uint8_t *ip = frame->header + ETHERNET_HEADER, *tcp = ip + IP4_HEADER;

	/* the way back: both pairs the other way round */
	uint32_t local = __builtin_bswap32((uint32_t)(tcb->addresses >> 32));
	uint32_t ports = tcb->ports << 16 | tcb->ports >> 16;
	ip4_write(ip, local, __builtin_bswap32((uint32_t)tcb->addresses), IP_PROTOCOL_TCP,
		  tcb->flags & TCP_HAS_ECN ? IP_ECN_ECT0 : IP_ECN_NOT_ECT, (uint16_t)(IP4_HEADER + length));
	memcpy(tcp, &ports, sizeof(ports));
	store32(tcp + 4, piece->seq);
	store32(tcp + 8, tcb->rcv_nxt);
	store32(tcp + 12, header / 4 << 28 | (TCP_ACK | TCP_PSH) << 16 | (window > UINT16_MAX ? UINT16_MAX : window));
	uint64_t sum = checksum_pseudo4(ip + 12, ip + 16, IP_PROTOCOL_TCP, (uint16_t)length);
	uint32_t unfinished = checksum_unfinished(sum); /* and the urgent pointer, 0 */
	memcpy(tcp + 16, &unfinished, sizeof(unfinished));
	if (timestamps) {
		store32(tcp + TCP_HEADER, 0x0101080a);
		store32(tcp + TCP_HEADER + 4, tcp_ts_now(net, tcb));
		store32(tcp + TCP_HEADER + 8, tcb->ts_recent);
	}
	frame->l3_length = IP4_HEADER;
	frame->header_length = (uint16_t)(ETHERNET_HEADER + IP4_HEADER + header);
	frame->length = frame->header_length + piece->length;
	frame->pieces_count = 1;
	frame->pieces[0].base = (const void *)(uintptr_t)piece->base;
	frame->pieces[0].length = piece->length;
	tx_checksum_tcp(net, frame, ETHERNET_HEADER + IP4_HEADER, ETHERNET_HEADER + IP4_HEADER + 16);
}

bool tcp_output_short(struct rb_net *net, struct tcb *tcb)
{
	uint32_t index = tcb->tx_next;
	if ((tcb->flags & NOT_SHORT) || index == TCP_NONE || index != tcb->tx_tail || tcb->state != TCP_ESTABLISHED)
		return false;
	struct tcp_piece *piece = tcp_piece(net, index);
	if (!is_plain(net, tcb, piece))
		return false;
	struct rb_net_frame *frame = tx_frame(net);
	if (frame == NULL)
		return false;
	fill(net, tcb, frame, piece);
	tx_commit(net, frame, tcb->neighbour);
	net->counters.tcp_out++;
	piece->sent_us = net->tcp.now_us;
	piece->transmissions = 1;
	piece->flags = TCP_PIECE_SENT;
	tcb->snd_nxt += piece->length;
	tcb->tx_next = TCP_NONE;
	tcb->last_ack_sent = tcb->rcv_nxt;
	tcb->unacknowledged = 0;
	tcb->flags &= ~((uint32_t)TCP_ACK_NOW | TCP_ACK_DELAYED | TCP_CWND_LIMITED);
	tcp_recovery_sent(net, tcb);
	return true;
}
