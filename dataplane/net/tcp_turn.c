// SPDX-License-Identifier: Apache-2.0
/*
 * The short way of the segments at which a connection turns: the ACK that ends the handshake, with the first payload or
 * without; the peer's FIN behind all that it has sent; the ACK of our FIN behind all that we have sent. All that must be exactly so is
 * compared first; what differs goes through the steps of RFC 9293 (tcp_arrives.c). What is rarely to be done beside is
 * done last, so that nothing has to be kept meanwhile.
 */
#include "net/neighbour.h"
#include "net/tcp_closing.h"
#include "net/tcp_opening.h"
#include "net/tcp_taking.h"

/* Of a segment in the form of this connection: bytes before the payload. */
static inline uint32_t headers_of(const struct tcb *tcb)
{
	return tcb->flags & TCP_HAS_TIMESTAMPS ? TCP_HEADER + TCP_TIMESTAMPS : TCP_HEADER;
}

/* Is it next in order, with these flags (PSH left out), a window, in the form of this connection, and not old (PAWS)? */
static inline bool is_next_as(const struct tcb *tcb, const uint8_t *header, uint32_t length, uint32_t flags,
			      const bool timestamps)
{
	const uint32_t headers = timestamps ? TCP_HEADER + TCP_TIMESTAMPS : TCP_HEADER;
	return length >= headers && (load16(header + 12) & ~(uint32_t)TCP_PSH) == (headers / 4 << 12 | flags) &&
	       load32(header + 4) == tcb->rcv_nxt && load16(header + 14) != 0 &&
	       (!timestamps ||
		(load32(header + TCP_HEADER) == 0x0101080a && seq_le(tcb->ts_recent, load32(header + TCP_HEADER + 4))));
}

static inline bool is_next(const struct tcb *tcb, const uint8_t *header, uint32_t length, uint32_t flags)
{
	return __builtin_expect((tcb->flags & TCP_HAS_TIMESTAMPS) != 0, 1)
		       ? is_next_as(tcb, header, length, flags, true)
		       : is_next_as(tcb, header, length, flags, false);
}

/* And without a payload? */
static inline bool is_bare(const struct tcb *tcb, const uint8_t *header, uint32_t length, uint32_t flags)
{
	return length == headers_of(tcb) && is_next(tcb, header, length, flags);
}

/* RFC 7323 4.3 (2) */
static inline void take_timestamp(struct tcb *tcb, const uint8_t *header)
{
	if ((tcb->flags & TCP_HAS_TIMESTAMPS) && seq_le(tcb->rcv_nxt, tcb->last_ack_sent))
		tcb->ts_recent = load32(header + TCP_HEADER + 4);
}

/* May the event be made at once: is there room, and nothing that the application must be told before or with it? */
static inline bool may_tell(const struct rb_net *net, uint32_t flags)
{
	return !(flags & (TCP_READY | TCP_REFUSED | (uint32_t)TCP_ORPHAN)) && net->tcp.told_count < RB_NET_BURST;
}

/* Makes the event of a turn, as tell() does for data. */
static inline void tell(struct rb_net *net, const struct tcb *tcb, uint32_t index, uint32_t bits, uint32_t sent)
{
	net->tcp.told[net->tcp.told_count++] = (struct rb_net_event){
		.handle = handle_make(HANDLE_CONNECTION, index, tcb->generation),
		.cookie = tcb->cookie,
		.sent = sent,
		.bits = (uint16_t)bits,
	};
}

/*
 * In SYN-RECEIVED of a listener, the ACK of our SYN-ACK. A payload with it is the first of an established connection; one
 * that is not taken as such, because it is longer than the window, goes the long way of those.
 */
static __attribute__((noinline)) enum input_taken take_ack_of_syn(struct rb_net *net, uint32_t index, struct tcb *tcb,
								  const struct rb_net_packet *packet,
								  const uint8_t *header, uint32_t length)
{
	struct tcb_cold *cold = &net->tcp.colds[index];
	uint32_t flags = tcb->flags;
	if (!is_next(tcb, header, length, TCP_ACK) || load32(header + 8) != tcb->snd_nxt || !may_tell(net, flags) ||
	    (flags & (TCP_OPENING | TCP_FIN_QUEUED)) || cold->listener == TCP_NONE)
		return INPUT_LEFT;
	take_timestamp(tcb, header);
	tcp_ack_of_syn(net, tcb, cold, tcb->rcv_nxt, load16(header + 14));
	tcb->flags = (tcp_establish(net, tcb, cold) & ~(uint32_t)TCP_KNOCKING) | TCP_KNOWN;
	tell(net, tcb, index, RB_NET_KNOCK, 0);
	tcp_establish_beside(net, tcb, cold);
	if (length > headers_of(tcb))
		return tcp_take_in_order(net, index, packet, header, length);
	net->counters.tcp_in++;
	return INPUT_TAKEN;
}

/* The neighbour of a connection that has ended, where that is more than a count. */
static __attribute__((noinline)) enum input_taken leave_neighbour(struct rb_net *net, uint16_t neighbour)
{
	neighbour_confirm(net, neighbour);
	neighbour_release(net, neighbour);
	return INPUT_TAKEN;
}

/*
 * In LAST-ACK, the ACK of our FIN. The application is told of the end at once, if it holds nothing any more. Of one that
 * it has not accepted, the listener must hear as well: see tcp_end().
 */
static __attribute__((noinline)) enum input_taken take_ack_of_fin(struct rb_net *net, uint32_t index, struct tcb *tcb,
								  const uint8_t *header, uint32_t length)
{
	uint32_t ack = load32(header + 8);
	if (!is_bare(tcb, header, length, TCP_ACK) || ack != tcb->snd_nxt || ack != tcb->snd_una + 1 ||
	    !(tcb->flags & TCP_ACCEPTED) || !may_tell(net, tcb->flags) || tcb->rx_tail != TCP_NONE)
		return INPUT_LEFT;
	net->counters.tcp_in++;
	tell(net, tcb, index, RB_NET_CLOSED, 0);
	net->tcp.told_ends++;
	tcp_last_ack(net, tcb, index);
	struct neighbour *neighbour = &net->neighbours.entries[tcb->neighbour];
	if (__builtin_expect(neighbour->holds == 1 || neighbour->fresh_until_ns < net->neighbours.confirm_below_ns, 0))
		return leave_neighbour(net, tcb->neighbour);
	neighbour->holds--;
	return INPUT_TAKEN;
}

/* Of an established connection; what it acknowledges may be new, too. */
static __attribute__((noinline)) enum input_taken take_fin(struct rb_net *net, uint32_t index, struct tcb *tcb,
							   const uint8_t *header, uint32_t length)
{
	const uint32_t ack = load32(header + 8), acked = ack - tcb->snd_una;
	if (!is_bare(tcb, header, length, TCP_ACK | TCP_FIN) || acked > tcb->snd_nxt - tcb->snd_una ||
	    (tcb->flags & TCP_LONG_WAY) || !seq_lt(tcb->rcv_nxt, tcb->rcv_adv))
		return INPUT_LEFT;
	net->counters.tcp_in++;
	take_timestamp(tcb, header);
	if (__builtin_expect((tcb->flags & TCP_KEEPALIVE) != 0, 0))
		tcp_heard(net, tcb);
	uint32_t sent = 0;
	if (acked > 0) {
		if (__builtin_expect(take_ack(net, tcb, tcb->flags, ack), 1)) {
			tcp_timer_stop(tcb); /* RFC 6298 5.2 */
			sent = acked;
		} else {
			tcp_take_ack_any(net, tcb, ack);
		}
	}
	take_window(net, tcb, load16(header + 14));
	/* what tcp_deliver() and tcp_arrives() do where nothing is beyond a gap */
	tcb->rcv_nxt++;
	tcb->state = TCP_CLOSE_WAIT;
	uint32_t flags = tcb->flags | TCP_FIN_RECEIVED | TCP_SLOW | TCP_ACK_NOW;
	if ((flags & TCP_ACCEPTED) && may_tell(net, flags)) {
		tell(net, tcb, index, sent > 0 ? RB_NET_FIN | RB_NET_SENT : RB_NET_FIN, sent);
		tcp_note(net, tcb, flags, TCP_PENDING);
	} else {
		tcb->sent += sent;
		tcp_note(net, tcb, flags | TCP_ENDED, TCP_READY | TCP_PENDING);
	}
	return INPUT_TAKEN;
}

enum input_taken tcp_turn(struct rb_net *net, uint32_t index, struct tcb *tcb, const struct rb_net_packet *packet,
			  const uint8_t *header, uint32_t length)
{
	switch (tcb->state) {
	case TCP_SYN_RECEIVED:
		return take_ack_of_syn(net, index, tcb, packet, header, length);
	case TCP_ESTABLISHED:
		return take_fin(net, index, tcb, header, length);
	case TCP_LAST_ACK:
		return take_ack_of_fin(net, index, tcb, header, length);
	default:
		return INPUT_LEFT;
	}
}
