// SPDX-License-Identifier: Apache-2.0
/*
 * How connections begin: the TCB, initial sequence numbers (RFC 6528), source ports (RFC 6056), what a handshake
 * agrees to.
 */
#include "net/ip4.h"
#include "net/ip6.h"
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tcp_congestion.h"
#include "net/tcp_handle.h"
#include "net/tcp_opening.h"

#include <errno.h>

enum {
	PORT_FIRST = 32768, /* RFC 6056 3.2 asks for a large range; listeners' ports are below */
	PORTS = 65536 - PORT_FIRST,
};

static uint64_t keyed_hash(const uint8_t key[16], const struct rb_ip *local, const struct rb_ip *remote, uint32_t ports)
{
	struct {
		struct rb_ip ips[2];
		uint32_t ports;
	} tuple = {.ips = {*local, *remote}, .ports = ports};
	return rb_siphash(key, &tuple, sizeof(tuple.ips) + sizeof(tuple.ports));
}

struct tcp_beginning tcp_beginning(const struct rb_net *net, const struct tcp_path *path)
{
	if (path->local6 == NULL)
		return tcp_beginning4(net, path->addresses, path->ports);
	return tcp_beginning_from(net, keyed_hash(net->tcp.beginning_key, path->local6, path->remote6, path->ports));
}

int tcp_path_to(struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote,
		struct tcp_path *path)
{
	struct route route;
	int error = route_find(net, &remote->ip, &local->ip, &route);
	if (error != 0)
		return error;
	*path = (struct tcp_path){
		.addresses = route.is4 ? tcp_addresses(ip_to4(&route.local), ip_to4(&remote->ip)) : 0,
		.ports = tcp_ports(local->port, remote->port),
		.neighbour = route.neighbour,
		.local6 = route.is4 ? NULL : &local->ip,
		.remote6 = route.is4 ? NULL : &remote->ip,
	};
	return 0;
}

bool tcp_path_back(struct rb_net *net, const struct tcp_segment *segment, struct tcp_path *path)
{
	const struct ip_packet *ip = segment->ip;
	path->ports = tcp_ports(segment->local_port, segment->remote_port);
	if (!ip->is6) {
		path->addresses = tcp_addresses(ip->dst4, ip->src4);
		path->local6 = path->remote6 = NULL;
		return route_find4(net, ip->src4, &path->neighbour) == 0;
	}
	struct route route;
	if (route_find(net, &ip->src6, &ip->dst6, &route) != 0)
		return false;
	path->addresses = 0;
	path->local6 = &ip->dst6;
	path->remote6 = &ip->src6;
	path->neighbour = route.neighbour;
	return true;
}

static unsigned ip_header(bool is6)
{
	return is6 ? IP6_HEADER : IP4_HEADER;
}

uint16_t tcp_own_mss(const struct rb_net *net, bool is6)
{
	unsigned by_mtu = net->config.mtu - ip_header(is6) - TCP_HEADER;
	return (uint16_t)(net->config.mss != 0 && net->config.mss < by_mtu ? net->config.mss : by_mtu);
}

/* RFC 7323 2.3: the least shift by which the whole window can be told. */
static uint8_t own_scale(uint32_t receive_window)
{
	uint8_t scale = 0;
	while (scale < TCP_SCALE_MAX && receive_window >> scale > UINT16_MAX)
		scale++;
	return scale;
}

/* When the pool is empty, the oldest connection in TIME-WAIT gives way, if the application is done with it. */
static uint32_t tcb_get(struct rb_net *net)
{
	struct tcp *tcp = &net->tcp;
	uint32_t index = pool_get(&tcp->tcb_pool);
	if (index != POOL_NONE)
		return index;
	if (MECHANISM(time_wait_gives_way) && tcp->time_wait.head != TCP_NONE) {
		struct tcb *oldest = tcp_tcb(net, tcp->time_wait.head);
		if ((oldest->flags & (uint32_t)TCP_ORPHAN) &&
		    !(oldest->flags & (TCP_READY | TCP_PENDING | TCP_FINISHED))) {
			net->counters.tcp_time_wait_reused++;
			tcp_end(net, oldest, 0);
			return pool_get(&tcp->tcb_pool);
		}
	}
	net->counters.tcp_connections_full++;
	return POOL_NONE;
}

void tcp_iss_after(struct rb_net *net, struct tcb *tcb, uint32_t before)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	/* 250 kB/s of the ISS clock may be less than the earlier connection has sent */
	if (MECHANISM(iss_after) && seq_le(cold->iss, before))
		tcp_begin_at(tcb, cold, before + UINT16_MAX);
}

void tcp_make_init(struct rb_net *net)
{
	struct tcb *tcb = &net->tcp.fresh;
	struct tcb_cold *cold = &net->tcp.fresh_cold;
	net->tcp.own_scale = own_scale(net->config.receive_window);
	*tcb = (struct tcb){
		.rcv_space = net->config.receive_window,
		.tx_head = TCP_NONE,
		.tx_tail = TCP_NONE,
		.tx_next = TCP_NONE,
		.rx_tail = TCP_NONE,
		.rx_event = TCP_NONE,
		.mss = TCP_MSS_DEFAULT,
	};
	memset(cold, 0, sizeof(*cold)); /* the padding, too: records are compared */
	cold->rcv_window = net->config.receive_window;
	cold->own_mss = tcp_own_mss(net, false);
	cold->listener = TCP_NONE;
	cold->congestion = (uint8_t)net->config.congestion;
	cold->ssthresh = UINT32_MAX; /* RFC 5681 3.1: arbitrarily high */
	cold->peer_mss = TCP_MSS_DEFAULT;
	cold->rack_reo_wnd_mult = 1;
	cold->ooo_head = cold->ooo_near = cold->time_head = cold->time_tail = TCP_NONE;
}

static void make_6(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, const struct tcp_path *path)
{
	tcb->flags = TCP_IS_6;
	tcb->mss = cold->peer_mss = TCP_MSS_DEFAULT6;
	cold->own_mss = tcp_own_mss(net, true);
	cold->local_ip6 = *path->local6;
	cold->remote_ip6 = *path->remote6;
}

struct tcb *tcp_make(struct rb_net *net, const struct tcp_path *path)
{
	struct tcp *tcp = &net->tcp;
	uint32_t index = tcb_get(net);
	if (index == POOL_NONE) {
		neighbour_release(net, path->neighbour);
		return NULL;
	}
	struct tcb *tcb = tcp_tcb(net, index);
	struct tcb_cold *cold = tcp_cold(net, tcb);
	tcp_make_at(net, tcb, cold, path->addresses, path->ports, path->neighbour, tcp_beginning(net, path));
	if (path->local6 != NULL)
		make_6(net, tcb, cold, path);
	flow_insert(&tcp->flows, tcp_hash(net, tcb), index);
	return tcb;
}

void tcp_agree(struct rb_net *net, struct tcb *tcb, const struct tcp_segment *segment)
{
	tcp_agree_to(net, tcb, tcp_cold(net, tcb), segment, tcb->rcv_adv - tcb->rcv_nxt);
}

void tcp_established(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t flags = tcp_establish(net, tcb, cold);
	bool queued = tcb->tx_next != TCP_NONE || (flags & TCP_FIN_QUEUED);
	tcp_note(net, tcb, flags, queued ? TCP_READY | TCP_PENDING : TCP_READY);
	tcp_establish_beside(net, tcb, cold);
}

void tcp_endpoints(const struct tcb *tcb, const struct tcb_cold *cold, struct rb_endpoint *local,
		   struct rb_endpoint *remote)
{
	bool is6 = tcb->flags & TCP_IS_6;
	local->ip = is6 ? cold->local_ip6 : ip_from4(__builtin_bswap32((uint32_t)(tcb->addresses >> 32)));
	remote->ip = is6 ? cold->remote_ip6 : ip_from4(__builtin_bswap32((uint32_t)tcb->addresses));
	local->port = tcp_local_port(tcb);
	remote->port = tcp_remote_port(tcb);
}

/* Of several instances of this host the one that opens a connection has to be the one that gets the answers. */
static bool is_own(const struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote)
{
	return net->ops->is_own == NULL || net->ops->is_own(net->context, local, remote);
}

/* RFC 6056 3.3.3, algorithm 3: ports follow each other per peer, from a start that only we know. */
static int choose_port(struct rb_net *net, struct rb_endpoint *local, const struct rb_endpoint *remote)
{
	uint32_t offset = 0;
	if (MECHANISM(port_hash))
		offset = (uint32_t)keyed_hash(net->tcp.port_key, &local->ip, &remote->ip, remote->port);
	for (uint32_t i = 0; i < PORTS; i++) {
		local->port = (uint16_t)(PORT_FIRST + (offset + net->tcp.port_next++) % PORTS);
		if (is_own(net, local, remote) && tcp_find(net, local, remote) == TCP_NONE &&
		    tcp_listener_find(net, &local->ip, local->port) == TCP_NONE)
			return 0;
	}
	return -EADDRINUSE;
}

/* A connection in TIME-WAIT gives way to a new one of ours when timestamps tell them apart (RFC 6191 2). */
static int reuse_time_wait(struct rb_net *net, uint32_t index, uint32_t *before)
{
	struct tcb *old = tcp_tcb(net, index);
	if (old->state != TCP_TIME_WAIT || !(old->flags & TCP_HAS_TIMESTAMPS) || !net->config.timestamps)
		return -EADDRINUSE;
	net->counters.tcp_time_wait_reused++;
	*before = old->snd_nxt;
	tcp_end(net, old, 0);
	return 1;
}

/* 0; 1: it was a connection's in TIME-WAIT, which ended at `*before`; or an error. */
static int choose_local(struct rb_net *net, const struct rb_endpoint *asked, const struct rb_endpoint *remote,
			struct rb_endpoint *local, uint32_t *before)
{
	struct route route;
	int error = route_find(net, &remote->ip, asked == NULL ? NULL : &asked->ip, &route);
	if (error != 0)
		return error;
	neighbour_release(net, route.neighbour);
	*local = (struct rb_endpoint){.ip = route.local, .port = asked == NULL ? 0 : asked->port};
	if (local->port == 0)
		return choose_port(net, local, remote);
	if (!is_own(net, local, remote))
		return -EADDRNOTAVAIL;
	uint32_t index = tcp_find(net, local, remote);
	return index == TCP_NONE ? 0 : reuse_time_wait(net, index, before);
}

int rb_net_connect(struct rb_net *net, const struct rb_endpoint *asked, const struct rb_endpoint *remote,
		   uint64_t cookie, rb_net_handle *handle)
{
	struct rb_endpoint local = {.port = 0};
	if (remote->port == 0 || !address_is_unicast(net, &remote->ip))
		return -EINVAL;
	uint32_t before = 0;
	int chosen = choose_local(net, asked, remote, &local, &before);
	if (chosen < 0)
		return chosen;
	struct tcp_path path;
	int error = tcp_path_to(net, &local, remote, &path);
	if (error != 0)
		return error;
	struct tcb *tcb = tcp_make(net, &path);
	if (tcb == NULL)
		return -ENOBUFS;
	if (chosen > 0)
		tcp_iss_after(net, tcb, before);
	tcp_offer(tcb, tcp_cold(net, tcb), &net->tcp.offer);
	tcb->state = TCP_SYN_SENT;
	tcb->cookie = cookie;
	tcb->flags |= TCP_SLOW | TCP_OPENING | TCP_ACCEPTED | TCP_KNOWN;
	tcp_output_syn(net, tcb);
	tcp_timer_syn(net, tcb);
	*handle = tcp_handle_of(net, tcb);
	return 0;
}
