// SPDX-License-Identifier: Apache-2.0
/*
 * What the application is told. A connection with news is in the ring `ready` once, and its events are made from its
 * state when they are asked for. So events can neither overflow nor come out of order. Only the short way makes its
 * events at once, as long as there is room and the connection has nothing else to tell.
 */
#include "net/tcp_handle.h"
#include "net/udp.h"

/* Nothing that the application was told of is still with it. */
static bool all_given_back(struct rb_net *net, const struct tcb *tcb)
{
	return tcb->rx_tail == TCP_NONE || tcp_part(net, tcb->rx_tail)->next == tcb->rx_event;
}

static bool knock(struct tcb *tcb, struct rb_net_event *event)
{
	tcb->flags = (tcb->flags & ~(uint32_t)TCP_KNOCKING) | TCP_KNOWN;
	event->bits = RB_NET_KNOCK; /* the cookie is the listener's until it is accepted */
	return true;
}

/* The last event; the application's buffers go with the flush that follows. */
static void finished(struct rb_net *net, struct tcb *tcb, struct rb_net_event *event)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	bool opened = tcb->flags & TCP_OPENING;
	event->bits |= opened ? RB_NET_CONNECTED : RB_NET_CLOSED;
	event->status = cold->status;
	/* FINISHED stays until the flush, so that nobody frees what the ring `closed` names */
	tcb->flags |= (uint32_t)TCP_ORPHAN;
	tcp_ring_put(&net->tcp.closed, tcp_index(net, tcb));
}

static void received(struct rb_net *net, struct tcb *tcb, struct rb_net_event *event)
{
	uint32_t index = tcb->rx_event;
	const struct tcp_part *part = tcp_part(net, index);
	event->bits |= RB_NET_RECEIVED;
	event->buffer = part->buffer;
	event->data = (const uint8_t *)(uintptr_t)part->data;
	event->offset = part->offset;
	event->length = part->length;
	tcb->rx_event = index == tcb->rx_tail ? TCP_NONE : part->next;
}

/* Fills one event with what is due now. False: nothing is. */
static bool next_event(struct rb_net *net, struct tcb *tcb, struct rb_net_event *event)
{
	uint32_t flags = tcb->flags;

	*event = (struct rb_net_event){.handle = tcp_handle_of(net, tcb), .cookie = tcb->cookie};
	if (__builtin_expect((flags & (uint32_t)TCP_ORPHAN) != 0, 0))
		return false;
	if (__builtin_expect((flags & TCP_KNOCKING) != 0, 0))
		return knock(tcb, event);
	if (!(flags & (TCP_ACCEPTED | TCP_FINISHED)))
		return false;
	if (flags & TCP_OPENED)
		event->bits |= RB_NET_CONNECTED;
	if (tcb->sent > 0) {
		event->bits |= RB_NET_SENT;
		event->sent = tcb->sent;
		tcb->sent = 0;
	}
	if (tcb->rx_event != TCP_NONE && (flags & TCP_ACCEPTED))
		received(net, tcb, event);
	tcb->flags = flags & ~(uint32_t)TCP_OPENED;
	if (__builtin_expect((flags & (TCP_ENDED | TCP_FINISHED | TCP_REFUSED)) != 0, 0)) {
		if ((flags & (TCP_REFUSED | TCP_FINISHED)) == TCP_REFUSED && tcp_send_room(net, tcb)) {
			event->bits |= RB_NET_WRITABLE;
			tcb->flags &= ~(uint32_t)TCP_REFUSED;
		}
		if ((flags & TCP_ENDED) && tcb->rx_event == TCP_NONE) {
			event->bits |= RB_NET_FIN;
			tcb->flags &= ~(uint32_t)TCP_ENDED;
		}
		if ((flags & TCP_FINISHED) && (tcp_cold(net, tcb)->status != 0 || all_given_back(net, tcb)))
			finished(net, tcb, event);
	}
	return event->bits != 0;
}

/* Whoever was refused for want of pieces may have no acknowledgement of its own to wait for. */
static void wake_starved(struct rb_net *net)
{
	struct tcp *tcp = &net->tcp;
	if (pool_used(&tcp->piece_pool) >= net->config.send_pieces)
		return;
	tcp->starved = false;
	for (uint32_t index = 0; index < tcp->tcb_pool.count; index++) {
		if (tcb_in_use(&tcp->tcbs[index]) && (tcp_tcb(net, index)->flags & TCP_REFUSED))
			tcp_ready(net, tcp_tcb(net, index));
	}
}

void tcp_untell(struct rb_net *net, struct tcb *tcb)
{
	struct tcp *tcp = &net->tcp;
	rb_net_handle handle = tcp_handle_of(net, tcb);
	uint32_t kept = tcp->told_taken, parts = 0, told = 0;

	for (uint32_t i = tcp->told_taken; i < tcp->told_count; i++) {
		if (tcp->told[i].handle != handle) {
			tcp->told[kept++] = tcp->told[i];
			continue;
		}
		tcb->sent += tcp->told[i].sent;
		parts++;
	}
	tcp->told_count = kept;
	if (parts == 0)
		return;
	tcp_ready(net, tcb);
	if (tcb->rx_tail == TCP_NONE)
		return;
	/* they were the last that were told, a part each */
	uint32_t first = tcp_part(net, tcb->rx_tail)->next, at = first;
	do {
		if (at == tcb->rx_event)
			break;
		told++;
		at = tcp_part(net, at)->next;
	} while (at != first);
	for (at = first; told > parts; told--)
		at = tcp_part(net, at)->next;
	tcb->rx_event = at;
}

/* Makes the events of those connections that have news, and of UDP. */
static unsigned make_events(struct rb_net *net, struct rb_net_event *events, unsigned max)
{
	struct tcp *tcp = &net->tcp;
	unsigned count = 0;

	for (uint32_t end = tcp->ready.tail; tcp->ready.head != end && count < max;) {
		struct tcb *tcb = tcp_tcb(net, tcp_ring_take(&tcp->ready));
		tcb->flags &= ~(uint32_t)TCP_READY;
		bool more = true;
		while (count < max && (more = next_event(net, tcb, &events[count])))
			count++;
		if (more)
			tcp_ready(net, tcb);
		else if (__builtin_expect(tcb->state == TCP_CLOSED, 0))
			tcp_free(net, tcb);
	}
	while (count < max && udp_event(net, &events[count]))
		count++;
	return count;
}

unsigned rb_net_events(struct rb_net *net, const struct rb_net_event **events, unsigned max)
{
	struct tcp *tcp = &net->tcp;

	if (__builtin_expect(tcp->starved, 0))
		wake_starved(net);
	if (tcp->told_taken == tcp->told_count) {
		tcp->told_taken = 0;
		tcp->told_count = make_events(net, tcp->told, max < RB_NET_BURST ? max : RB_NET_BURST);
	}
	unsigned left = tcp->told_count - tcp->told_taken, count = left < max ? left : max;
	*events = &tcp->told[tcp->told_taken];
	tcp->told_taken += count;
	return count;
}
