// SPDX-License-Identifier: Apache-2.0
/*
 * The short way of a SYN: over IPv4, with the options that nearly all have, for a listener that has room for it, from a
 * peer on the way that the last one took. It does what tcp_arrives_listen() would do for it, by the same steps; all
 * that must be so is compared first, and what differs goes there.
 */
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tcp_making.h"
#include "net/tcp_opening.h"
#include "net/tcp_upcalls.h"

enum {
	OPTIONS_LEAST = 20, /* bytes: timestamps, MSS and window scale at the beginnings of words */
	MSS = TCP_OPTION_MSS << 8 | 4,
	SCALE = 0x010000 | TCP_OPTION_SCALE << 8 | 3,
	SACK_TIMESTAMPS = 0x0402080a,
	NOP_TIMESTAMPS = 0x0101080a,
	NOP_SACK = 0x01010402,
};

/*
 * `length` bytes of options in one of these orders: MSS, SACK-permitted with timestamps, scale; or timestamps
 * (RFC 7323, appendix A), MSS, perhaps SACK-permitted, scale. False: in another one.
 */
static inline bool read_options(struct tcp_segment *syn, const uint8_t *at, uint32_t length)
{
	const uint8_t *timestamps = at, *mss = at + TCP_TIMESTAMPS, *scale = at + length - 4;
	bool sack = length == OPTIONS_LEAST + 4;
	if (load32(at) != NOP_TIMESTAMPS) {
		mss = at;
		timestamps = at + 4;
		if (sack || load32(timestamps) != SACK_TIMESTAMPS)
			return false;
		sack = true;
	} else if (sack && load32(mss + 4) != NOP_SACK) {
		return false;
	}
	if (load16(mss) != MSS || load32(scale) >> 8 != SCALE)
		return false;
	syn->has_timestamps = true;
	syn->tsval = load32(timestamps + 4);
	syn->sack_permitted = sack;
	syn->mss = load16(mss + 2);
	syn->scale = scale[3] > TCP_SCALE_MAX ? TCP_SCALE_MAX : scale[3]; /* RFC 7323 2.3 */
	return true;
}

/*
 * The listener of the address and port, if it is alone in its chain and has room; else the long way looks. `local` as in
 * the header.
 */
static inline uint32_t listener_of(const struct rb_net *net, uint32_t local, uint16_t port)
{
	uint32_t at = net->tcp.chains[port % TCP_LISTENER_CHAINS];
	if (at == TCP_NONE)
		return TCP_NONE;
	const struct tcp_listener *listener = &net->tcp.listeners[at];
	bool ours = listener->any || (ip_is4(&listener->local.ip) && ip_to4(&listener->local.ip) == local);
	bool takes = ours && listener->local.port == port && listener->next == TCP_NONE;
	return takes && listener->syn_received < net->config.backlog ? at : TCP_NONE;
}

/* As tcp_output_syn() in SYN-RECEIVED, for the first time. */
static inline void output_syn_ack(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	struct making making;
	if (!make_begin(net, &making, false))
		return; /* the timer sends it again */
	cold->syn_us = net->tcp.now_us == 0 ? 1 : net->tcp.now_us;
	struct tcp_header_fields fields;
	make_syn_ack(net, tcb, cold, &making, &fields);
	make_end4(net, &making, tcb->addresses, tcb->ports, tcb->neighbour, &fields);
	syn_sent(tcb, fields.window);
}

bool tcp_syn_short(struct rb_net *net, const uint8_t *header, uint32_t length)
{
	struct tcp *tcp = &net->tcp;
	struct tcp_segment syn = {.flags = TCP_SYN, .seq = load32(header + 4), .window = load16(header + 14)};
	uint64_t addresses;
	uint32_t ports;
	uint16_t neighbour;

	if ((length != TCP_HEADER + OPTIONS_LEAST && length != TCP_HEADER + OPTIONS_LEAST + 4) ||
	    header[12] != length << 2 || !read_options(&syn, header + TCP_HEADER, length - TCP_HEADER))
		return false;
	memcpy(&addresses, header - sizeof(addresses), sizeof(addresses));
	memcpy(&ports, header, sizeof(ports));
	uint32_t listener = listener_of(net, load32(header - 4), load16(header + 2));
	uint32_t hash = flow_hash4(&tcp->flow_secret, (uint32_t)(addresses >> 32), (uint32_t)addresses, ports);
	uint32_t remote = __builtin_bswap32((uint32_t)addresses);
	struct flow_bucket *bucket = flow_bucket_new(&tcp->flows, hash);
	if (listener == TCP_NONE || tcp->tcb_pool.free == 0 || bucket == NULL || !address_is_peer4(net, remote) ||
	    !route_again4(net, remote, &neighbour))
		return false;

	net->counters.tcp_in++;
	net->counters.tcp_syns++;
	uint32_t index = pool_take(&tcp->tcb_pool);
	struct tcb *tcb = tcp_tcb(net, index);
	struct tcb_cold *cold = &tcp->colds[index];
	tcp_make_at(net, tcb, cold, addresses, ports, neighbour, tcp_beginning4(net, addresses, ports));
	flow_insert_new(&tcp->flows, bucket, hash, index);
	tcp_listener_join(net, listener, tcb, cold);
	tcp_agree_to(net, tcb, cold, &syn, 0);
	output_syn_ack(net, tcb, cold);
	(void)tcp_timer_syn_at(net, tcb, tcp->syn_ticks);
	rb_wheel_link(&tcp->wheel, index, tcp->tick + tcp->syn_early); /* a fresh one has no entry */
	return true;
}
