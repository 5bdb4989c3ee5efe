// SPDX-License-Identifier: Apache-2.0
/* Listeners, by port in a hash table, and the connections that nobody has accepted yet. */
#include "net/route.h"
#include "net/tcp_handle.h"
#include "net/tcp_opening.h"

#include <errno.h>

static uint32_t *chain_of(struct rb_net *net, uint16_t port)
{
	return &net->tcp.chains[port % TCP_LISTENER_CHAINS];
}

static bool takes(const struct tcp_listener *listener, const struct rb_ip *ip, uint16_t port)
{
	return listener->local.port == port && (listener->any || ip_equal(&listener->local.ip, ip));
}

uint32_t tcp_listener_find(struct rb_net *net, const struct rb_ip *ip, uint16_t port)
{
	uint32_t found = TCP_NONE;
	for (uint32_t at = *chain_of(net, port); at != TCP_NONE; at = net->tcp.listeners[at].next) {
		const struct tcp_listener *listener = &net->tcp.listeners[at];
		if (!takes(listener, ip, port))
			continue;
		if (!listener->any)
			return at; /* the more exact one */
		found = at;
	}
	return found;
}

static bool taken(struct rb_net *net, const struct rb_endpoint *local, bool any)
{
	for (uint32_t at = *chain_of(net, local->port); at != TCP_NONE; at = net->tcp.listeners[at].next) {
		const struct tcp_listener *listener = &net->tcp.listeners[at];
		if (listener->local.port == local->port && listener->any == any &&
		    (any || ip_equal(&listener->local.ip, &local->ip)))
			return true;
	}
	return false;
}

int rb_net_listen(struct rb_net *net, const struct rb_endpoint *local, uint64_t cookie, rb_net_handle *handle)
{
	struct tcp *tcp = &net->tcp;
	bool any = rb_ip_is_any(&local->ip);

	if (local->port == 0)
		return -EINVAL;
	if (!any && !address_is_ours(net, &local->ip))
		return -EADDRNOTAVAIL;
	if (taken(net, local, any))
		return -EADDRINUSE;
	uint32_t index = pool_get(&tcp->listener_pool);
	if (index == POOL_NONE)
		return -ENOBUFS;
	struct tcp_listener *listener = &tcp->listeners[index];
	uint32_t *chain = chain_of(net, local->port);
	*listener = (struct tcp_listener){
		.local = *local,
		.cookie = cookie,
		.generation = handle_next_generation(listener->generation),
		.next = *chain,
		.used = true,
		.any = any,
		.congestion = (uint8_t)net->config.congestion,
	};
	*chain = index;
	*handle = handle_make(HANDLE_LISTENER, index, listener->generation);
	return 0;
}

struct tcp_listener *tcp_listener_of(struct rb_net *net, rb_net_handle handle)
{
	uint32_t index = handle_index(handle);
	if (handle_kind(handle) != HANDLE_LISTENER || index >= net->tcp.listener_pool.count ||
	    !net->tcp.listeners[index].used || net->tcp.listeners[index].generation != handle_generation(handle))
		return NULL;
	return &net->tcp.listeners[index];
}

int tcp_unlisten(struct rb_net *net, rb_net_handle handle)
{
	struct tcp_listener *listener = tcp_listener_of(net, handle);
	if (listener == NULL)
		return -EBADF;
	uint32_t index = handle_index(handle), *link = chain_of(net, listener->local.port);
	for (uint32_t at = 0; listener->waiting > 0; at++) {
		RB_ASSERT(at < net->tcp.tcb_pool.count);
		struct tcb *tcb = tcp_tcb(net, at);
		if (!tcb_in_use(tcb) || tcp_cold(net, tcb)->listener != index)
			continue;
		tcp_output_reset(net, tcb);
		tcp_end(net, tcb, -ECONNABORTED);
	}
	while (*link != index)
		link = &net->tcp.listeners[*link].next;
	*link = listener->next;
	listener->used = false;
	pool_put(&net->tcp.listener_pool, index);
	return 0;
}

struct tcb *tcp_make_passive(struct rb_net *net, struct tcp_listener *listener, const struct tcp_segment *segment)
{
	struct tcp_path path;
	struct tcb *tcb = tcp_path_back(net, segment, &path) ? tcp_make(net, &path) : NULL;
	if (tcb == NULL) {
		net->counters.tcp_syns_dropped++;
		return NULL;
	}
	tcp_listener_join(net, (uint32_t)(listener - net->tcp.listeners), tcb, tcp_cold(net, tcb));
	return tcb;
}

int rb_net_accept(struct rb_net *net, rb_net_handle handle, uint64_t cookie)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	if (tcb == NULL || (tcb->flags & TCP_ACCEPTED) || !(tcb->flags & TCP_KNOWN))
		return -EBADF;
	tcb->cookie = cookie;
	tcb->flags |= TCP_ACCEPTED;
	tcp_listener_leave(net, tcb);
	if (tcb->rx_event != TCP_NONE || (tcb->flags & (TCP_ENDED | TCP_FINISHED)))
		tcp_ready(net, tcb);
	return 0;
}
