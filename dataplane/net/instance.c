// SPDX-License-Identifier: Apache-2.0
/* The instance as a whole: its memory, its turn. */
#include "net/icmp.h"
#include "net/input.h"
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tcp_parts.h"
#include "net/tx.h"
#include "net/udp.h"

static void lay(struct rb_net *net, const struct rb_net_config *config, struct layout *layout)
{
	neighbour_lay(&net->neighbours, config, layout);
	udp_lay(&net->udp, config, layout);
	tcp_lay(&net->tcp, config, layout);
}

size_t rb_net_size(const struct rb_net_config *config)
{
	struct rb_net counting = {0};
	struct layout layout = {0};
	(void)layout_take(&layout, 1, sizeof(struct rb_net));
	lay(&counting, config, &layout);
	return layout.used;
}

struct rb_net *rb_net_init(void *memory, const struct rb_net_config *config, const struct rb_net_ops *ops,
			   void *context, uint64_t now_ns)
{
	struct layout layout = {.base = memory};
	RB_ASSERT_EQ((uintptr_t)memory % LAYOUT_ALIGN, 0U);
	struct rb_net *net = layout_take(&layout, 1, sizeof(*net));
	*net = (struct rb_net){.config = *config, .ops = ops, .context = context, .now_ns = now_ns};
	lay(net, config, &layout);
	tx_init(net);
	route_init(net);
	input_shape(net);
	icmp_limit_init(net);
	neighbour_init(net);
	udp_init(net);
	tcp_init(net);
	neighbour_start(net);
	return net;
}

void rb_net_drop(struct rb_net *net)
{
	tcp_drop(net);
	udp_drop(net);
	tx_drop(net);
	input_release_flush(net);
}

/* Neighbours' timers count in TCP's ticks, too: whose time comes between two of them waits for the second. */
bool rb_net_advance(struct rb_net *net, uint64_t now_ns)
{
	if (now_ns > net->now_ns)
		net->now_ns = now_ns;
	bool due = tcp_timer_advance(net);
	if (due)
		neighbour_advance(net);
	return due;
}

uint64_t rb_net_deadline_ns(const struct rb_net *net)
{
	uint64_t tcp = tcp_timer_deadline_ns(net), neighbours = neighbour_deadline_ns(net);
	if (neighbours < net->tcp.until_ns)
		neighbours = net->tcp.until_ns; /* not before the next tick: see rb_net_advance() */
	return tcp < neighbours ? tcp : neighbours;
}

void rb_net_flush(struct rb_net *net)
{
	struct tcp_ring *pending = &net->tcp.pending;
	for (uint32_t end = pending->tail; pending->head != end;) {
		uint32_t index = tcp_ring_take(pending);
		struct tcb *tcb = tcp_tcb(net, index);
		if (__builtin_expect(tcp_output_short(net, tcb), 1))
			continue;
		if (__builtin_expect(!tcp_output(net, tcb), 0)) {
			tcp_ring_put(pending, index); /* no header memory now: with the next flush */
			continue;
		}
		tcb->flags &= ~(uint32_t)TCP_PENDING;
		if (__builtin_expect(tcb->state == TCP_CLOSED, 0))
			tcp_free(net, tcb);
	}
	if (__builtin_expect(tcp_ring_count(&net->tcp.closed) > 0, 0))
		tcp_close_flush(net);
	tx_flush(net);
	if (net->released.count > 0)
		input_release_flush(net);
}

bool rb_net_is_quiet(const struct rb_net *net)
{
	const struct tcp *tcp = &net->tcp;
	const struct tx *tx = &net->tx;
	const bool told = tcp->told_taken == tcp->told_count && tcp->ready.head == tcp->ready.tail &&
			  tcp->starved_at == 0 && net->udp.queued == 0;
	return told && tcp->pending.head == tcp->pending.tail && tcp->closed.head == tcp->closed.tail &&
	       tx->next == 0 && tx->sent_pending == PENDING_NONE && tx->held_count == 0 && net->released.count == 0;
}

const struct rb_net_counters *rb_net_counters(const struct rb_net *net)
{
	return &net->counters;
}

void rb_net_usage(const struct rb_net *net, struct rb_net_usage *usage)
{
	const struct tcp *tcp = &net->tcp;
	*usage = (struct rb_net_usage){
		.connections = pool_used(&tcp->tcb_pool),
		.listeners = pool_used(&tcp->listener_pool),
		.udp_sockets = net->udp.used,
		.send_pieces = pool_used(&tcp->piece_pool),
		.receive_parts = pool_used(&tcp->part_pool),
		.pending = net->neighbours.pending.used,
		.neighbours = net->neighbours.count,
	};
}
