// SPDX-License-Identifier: Apache-2.0
/* The layout of TCP's state, its beginning and its end. */
#include "net/handle.h"
#include "net/input.h"
#include "net/tcp_parts.h"

static uint32_t *take_links(struct layout *layout, uint32_t count)
{
	return layout_take(layout, count, sizeof(uint32_t));
}

static uint32_t pieces_count(const struct rb_net_config *config)
{
	/* beside those that are configured, each connection has one to go on with when the pool is empty: to cut what is
	 * too large (tcp_piece_split()), and when all that is acknowledged, for its FIN (tcp_fin_append()) */
	return config->send_pieces + config->connections;
}

static void lay_ring(struct tcp_ring *ring, uint32_t count, struct layout *layout)
{
	uint32_t size = layout_power_of_two(count);
	*ring = (struct tcp_ring){.slots = take_links(layout, size), .mask = size - 1};
}

void tcp_lay(struct tcp *tcp, const struct rb_net_config *config, struct layout *layout)
{
	uint32_t connections = config->connections, pieces = pieces_count(config);

	tcp->tcbs = layout_take(layout, connections, sizeof(*tcp->tcbs));
	tcp->colds = layout_take(layout, connections, sizeof(*tcp->colds));
	tcp->pieces = layout_take(layout, pieces, sizeof(*tcp->pieces));
	tcp->parts = layout_take(layout, config->receive_parts, sizeof(*tcp->parts));
	tcp->listeners = layout_take(layout, config->listeners, sizeof(*tcp->listeners));
	tcp->chains = take_links(layout, TCP_LISTENER_CHAINS);
	tcp->tcb_pool.stack = take_links(layout, connections);
	tcp->piece_pool.stack = take_links(layout, pieces);
	tcp->part_pool.stack = take_links(layout, config->receive_parts);
	tcp->listener_pool.stack = take_links(layout, config->listeners);
	tcp->flows.buckets = layout_take(layout, 1, flow_table_size(connections));
	tcp->wheel.entries = layout_take(layout, 1, rb_wheel_size(connections));
	lay_ring(&tcp->pending, connections, layout);
	lay_ring(&tcp->ready, connections, layout);
	lay_ring(&tcp->closed, connections, layout);
}

static void draw(struct rb_net *net, void *at, size_t length)
{
	for (size_t done = 0; done < length; done += sizeof(uint64_t)) {
		uint64_t drawn = net->ops->random(net->context);
		memcpy((uint8_t *)at + done, &drawn, sizeof(drawn));
	}
}

void tcp_init(struct rb_net *net)
{
	struct tcp *tcp = &net->tcp;
	const struct rb_net_config *config = &net->config;

	pool_init(&tcp->tcb_pool, tcp->tcb_pool.stack, config->connections);
	pool_init(&tcp->piece_pool, tcp->piece_pool.stack, pieces_count(config));
	pool_init(&tcp->part_pool, tcp->part_pool.stack, config->receive_parts);
	pool_init(&tcp->listener_pool, tcp->listener_pool.stack, config->listeners);
	for (uint32_t i = 0; i < config->connections; i++) {
		tcp->tcbs[i] = (struct tcb){0};
		/* a handle of an instance before this one in the same memory is not one of this */
		tcp->tcbs[i].generation = handle_next_generation((uint32_t)net->ops->random(net->context));
	}
	for (uint32_t i = 0; i < config->listeners; i++)
		tcp->listeners[i] = (struct tcp_listener){.generation = (uint32_t)net->ops->random(net->context)};
	for (uint32_t i = 0; i < TCP_LISTENER_CHAINS; i++)
		tcp->chains[i] = TCP_NONE;
	flow_table_init(&tcp->flows, tcp->flows.buckets, config->connections);
	rb_wheel_init(&tcp->wheel, tcp->wheel.entries, config->connections, 0);
	tcp->offer = (struct tcp_offer){0};
	tcp->places = &tcp->none;
	tcp_make_init(net);
	tcp->time_wait = (struct tcp_order){.head = TCP_NONE, .tail = TCP_NONE};
	tcp->start_ns = net->now_ns;
	tcp->window_half = config->receive_window / 2;
	bool is_whole = config->receive_window % (1U << tcp->own_scale) == 0;
	tcp->window_whole = is_whole ? config->receive_window : 0;
	tcp->rto_min_ticks = config->rto_min_us / (TCP_TICK_NS / 1000);
	tcp->syn_ticks = tcp_ticks(config->rto_initial_us);
	tcp->syn_early = tcp_timer_early(tcp, tcp->syn_ticks);
	draw(net, tcp->flow_secret.words, sizeof(tcp->flow_secret.words));
	draw(net, tcp->beginning_key, sizeof(tcp->beginning_key));
	tcp->beginning = rb_siphash_begin(tcp->beginning_key);
	draw(net, tcp->port_key, sizeof(tcp->port_key));
	draw(net, tcp->cookie_key, sizeof(tcp->cookie_key));
	tcp_timer_advance(net);
}

void tcp_drop(struct rb_net *net)
{
	for (uint32_t index = 0; index < net->tcp.tcb_pool.count; index++) {
		if (tcb_in_use(tcp_tcb(net, index)))
			tcp_deliver_drop(net, tcp_tcb(net, index));
	}
}
