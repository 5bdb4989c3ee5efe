// SPDX-License-Identifier: Apache-2.0
/*
 * What the application is told. A connection with news is in the ring `ready` once, and its events are made from its
 * state when they are asked for. So events can neither overflow nor come out of order. Only the short way makes its
 * events at once, as long as there is room and the connection has nothing else to tell.
 */
#include "net/tcp_closing.h"
#include "net/tcp_handle.h"
#include "net/udp.h"

/* Nothing that the application was told of is still with it. */
static bool all_given_back(struct rb_net *net, const struct tcb *tcb)
{
	return tcb->rx_tail == TCP_NONE || tcp_part(net, tcb->rx_tail)->next == tcb->rx_event;
}

/*
 * The last event, once the application holds nothing any more, or if it was no orderly end; then its buffers go with
 * the flush that follows.
 */
static inline void finished(struct rb_net *net, struct tcb *tcb, uint32_t index, struct rb_net_event *event)
{
	int32_t status = net->tcp.colds[index].status;
	if (status == 0 && !all_given_back(net, tcb))
		return;
	event->bits |= tcb->flags & TCP_OPENING ? RB_NET_CONNECTED : RB_NET_CLOSED;
	event->status = status;
	/* FINISHED stays until the flush, so that nobody frees what the ring `closed` names */
	tcb->flags |= (uint32_t)TCP_ORPHAN;
	tcp_ring_put(&net->tcp.closed, index);
}

static inline void received(struct rb_net *net, struct tcb *tcb, struct rb_net_event *event)
{
	uint32_t index = tcb->rx_event;
	const struct tcp_part *part = tcp_part(net, index);
	event->bits |= RB_NET_RECEIVED;
	event->data = (const uint8_t *)(uintptr_t)part->data;
	event->length = part->length;
	tcb->rx_event = index == tcb->rx_tail ? TCP_NONE : part->next;
}

/* Returns what is left of the flags. */
static uint32_t opened_or_writable(struct rb_net *net, const struct tcb *tcb, uint32_t flags,
				   struct rb_net_event *event)
{
	if (flags & TCP_OPENED)
		event->bits |= RB_NET_CONNECTED;
	if ((flags & (TCP_REFUSED | TCP_FINISHED)) == TCP_REFUSED) {
		if (tcp_send_room(net, tcb)) {
			event->bits |= RB_NET_WRITABLE;
			flags &= ~(uint32_t)TCP_REFUSED;
		} else if (pool_used(&net->tcp.piece_pool) >= net->config.send_pieces) {
			tcp_starved(net); /* others have been faster: it waits for the next pieces */
		}
	}
	return flags & ~(uint32_t)TCP_OPENED;
}

/* Fills one event with what is due now. False: nothing is. */
static inline bool next_event(struct rb_net *net, struct tcb *tcb, uint32_t index, struct rb_net_event *event)
{
	uint32_t flags = tcb->flags;

	*event = (struct rb_net_event){.handle = handle_make(HANDLE_CONNECTION, index, tcb->generation),
				       .cookie = tcb->cookie};
	if (__builtin_expect((flags & (TCP_KNOCKING | (uint32_t)TCP_ORPHAN)) != 0, 0)) {
		if (flags & (uint32_t)TCP_ORPHAN)
			return false;
		tcb->flags = (flags & ~(uint32_t)TCP_KNOCKING) | TCP_KNOWN;
		event->bits = RB_NET_KNOCK; /* the cookie is the listener's until it is accepted */
		return true;
	}
	if (!(flags & (TCP_ACCEPTED | TCP_FINISHED)))
		return false;
	event->sent = tcb->sent;
	tcb->sent = 0;
	event->bits = event->sent > 0 ? RB_NET_SENT : 0;
	if (tcb->rx_event != TCP_NONE && (flags & TCP_ACCEPTED))
		received(net, tcb, event);
	if (__builtin_expect((flags & (TCP_OPENED | TCP_REFUSED)) != 0, 0))
		flags = opened_or_writable(net, tcb, flags, event);
	if ((flags & TCP_ENDED) && tcb->rx_event == TCP_NONE) {
		event->bits |= RB_NET_FIN;
		flags &= ~(uint32_t)TCP_ENDED;
	}
	tcb->flags = flags;
	if (__builtin_expect((flags & TCP_FINISHED) != 0, 0))
		finished(net, tcb, index, event);
	return event->bits != 0;
}

/* May there be more to tell of a connection after an event? A part more, or its end. */
static inline bool may_have_more(const struct tcb *tcb)
{
	return !(tcb->flags & (uint32_t)TCP_ORPHAN) && (tcb->rx_event != TCP_NONE || (tcb->flags & TCP_FINISHED));
}

/* Whoever was refused for want of pieces may have no acknowledgement of its own to wait for. */
static void wake_starved(struct rb_net *net)
{
	struct tcp *tcp = &net->tcp;
	if (pool_used(&tcp->piece_pool) >= tcp->starved_at)
		return; /* who wanted several was refused although some were left, and would be again */
	tcp->starved_at = 0;
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
	bool any = false;

	for (uint32_t i = tcp->told_taken; i < tcp->told_count; i++) {
		if (tcp->told[i].handle != handle) {
			tcp->told[kept++] = tcp->told[i];
			continue;
		}
		const struct rb_net_event *event = &tcp->told[i];
		tcb->sent += event->sent;
		if (event->bits & RB_NET_KNOCK)
			tcb->flags = (tcb->flags & ~(uint32_t)TCP_KNOWN) | TCP_KNOCKING;
		if (event->bits & RB_NET_FIN)
			tcb->flags |= TCP_ENDED;
		if (event->bits & RB_NET_CLOSED) {
			tcp_cold(net, tcb)->status = event->status;
			tcb->flags |= TCP_FINISHED;
			tcp->told_ends--;
		}
		parts += (event->bits & RB_NET_RECEIVED) != 0;
		any = true;
	}
	tcp->told_count = kept;
	if (!any)
		return;
	tcp_ready(net, tcb);
	if (parts == 0 || tcb->rx_tail == TCP_NONE)
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
		uint32_t index = tcp_ring_take(&tcp->ready);
		struct tcb *tcb = tcp_tcb(net, index);
		tcb->flags &= ~(uint32_t)TCP_READY;
		bool more;
		do {
			more = next_event(net, tcb, index, &events[count]);
			count += more;
		} while (__builtin_expect(more && (more = may_have_more(tcb)) && count < max, 0));
		if (__builtin_expect(more, 0))
			tcp_ready(net, tcb);
		else if (__builtin_expect((tcb->flags & (uint32_t)TCP_ORPHAN) && !(tcb->flags & TCP_FINISHED), 0))
			tcp_free(net, tcb);
	}
	while (count < max && udp_event(net, &events[count]))
		count++;
	return count;
}

/*
 * The application takes these events: of CLOSED that was told at once, which leaves nothing that belongs to the
 * connection, it is the end. (What next_event() made has ended its handle already.)
 */
static void take_ends(struct rb_net *net, const struct rb_net_event *events, unsigned count)
{
	for (const struct rb_net_event *event = events; event < events + count; event++) {
		if (!(event->bits & RB_NET_CLOSED))
			continue;
		uint32_t index = (uint32_t)(event->handle >> 32);
		struct tcb *tcb = tcp_tcb(net, index);
		if (tcb->flags & (uint32_t)TCP_ORPHAN)
			continue;
		net->tcp.told_ends--;
		tcb->flags |= (uint32_t)TCP_ORPHAN;
		tcp_free_if_last(net, tcb, index);
	}
}

static __attribute__((noinline)) unsigned events_of_all(struct rb_net *net, const struct rb_net_event **events,
							unsigned max)
{
	struct tcp *tcp = &net->tcp;

	if (__builtin_expect(tcp->starved_at > 0, 0))
		wake_starved(net);
	if (tcp->told_taken == tcp->told_count)
		tcp->told_taken = tcp->told_count = 0;
	uint32_t told = tcp->told_count, room = RB_NET_BURST - told, wanted = max - (told - tcp->told_taken);
	bool news = tcp->ready.head != tcp->ready.tail || net->udp.queued > 0;
	if (__builtin_expect(news, 0) && told - tcp->told_taken < max && room > 0) {
		uint32_t made = make_events(net, &tcp->told[told], wanted < room ? wanted : room);
		/* connections that ended meanwhile may have taken back what they had told */
		if (__builtin_expect(tcp->told_count != told, 0))
			memmove(&tcp->told[tcp->told_count], &tcp->told[told], made * sizeof(tcp->told[0]));
		tcp->told_count += made;
	}
	unsigned left = tcp->told_count - tcp->told_taken, count = left < max ? left : max;
	*events = &tcp->told[tcp->told_taken];
	tcp->told_taken += count;
	if (tcp->told_ends > 0)
		take_ends(net, *events, count);
	return count;
}

/* What is neither data that input has told of at once, nor empty. */
static inline uint32_t others(const struct rb_net *net)
{
	const struct tcp *tcp = &net->tcp;
	return tcp->told_ends | tcp->starved_at | net->udp.queued | (tcp->ready.head ^ tcp->ready.tail);
}

bool rb_net_may_have_events(const struct rb_net *net)
{
	return (others(net) | (net->tcp.told_count ^ net->tcp.told_taken)) != 0;
}

void rb_net_give_places(struct rb_net *net, struct rb_net_places *places)
{
	net->tcp.places = places != NULL ? places : &net->tcp.none;
}

/* Nearly always all events are data that input has told of at once, and there is room for them. */
unsigned rb_net_events(struct rb_net *net, const struct rb_net_event **events, unsigned max)
{
	struct tcp *tcp = &net->tcp;
	const uint32_t count = tcp->told_count;
	if (__builtin_expect((others(net) | tcp->told_taken) != 0 || count > max, 0))
		return events_of_all(net, events, max);
	*events = tcp->told;
	tcp->told_taken = count;
	return count;
}
