// SPDX-License-Identifier: Apache-2.0
/* A segment that is being made, for tcp_output.c and tcp_output_syn.c: begun, options, pieces, ended. */
#pragma once

#include "net/checksum.h"
#include "net/ip6.h"
#include "net/tcp_header.h"
#include "net/tcp_parts.h"
#include "net/tx.h"

struct making {
	struct rb_net_frame *frame;
	uint8_t *tcp;	  /* its header */
	unsigned options; /* bytes of options so far */
	unsigned entries; /* of the frame's pieces */
};

static inline bool make_begin(struct rb_net *net, struct making *making, bool is6)
{
	making->frame = tx_frame_bare(net);
	if (__builtin_expect(making->frame == NULL, 0))
		return false;
	making->tcp = making->frame->header + ETHERNET_HEADER + (is6 ? IP6_HEADER : IP4_HEADER);
	making->options = making->entries = 0;
	return true;
}

static inline void make_timestamps(struct making *making, uint32_t tsval, uint32_t tsecr)
{
	tcp_header_timestamps(making->tcp + making->options, tsval, tsecr);
	making->options += TCP_TIMESTAMPS;
}

/* The window that a segment offers. */
static inline uint16_t tcp_window_field(struct rb_net *net, struct tcb *tcb)
{
	uint32_t window = tcb->rcv_adv - tcb->rcv_nxt;
	if (window != tcb->rcv_space)
		window = tcp_window_offer(net, tcb);
	window >>= tcp_rcv_scale(tcb);
	return (uint16_t)(window > UINT16_MAX ? UINT16_MAX : window);
}

/* What is told of a frame, but for its pieces; checksums are the device's. */
static inline void frame_set(struct rb_net_frame *frame, unsigned header_length, unsigned l3_length, unsigned pieces,
			     uint32_t payload)
{
	frame->header_length = (uint16_t)header_length;
	frame->checksum = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL;
	frame->l2_length = ETHERNET_HEADER;
	frame->l3_length = (uint8_t)l3_length;
	frame->pieces_count = (uint8_t)pieces;
	frame->flags = 0;
	frame->length = header_length + payload;
}

/* Fills in both headers and queues the frame. */
static inline __attribute__((always_inline)) void make_end4(struct rb_net *net, const struct making *making,
							    uint64_t addresses, uint32_t ports, uint16_t neighbour,
							    const struct tcp_header_fields *fields)
{
	struct rb_net_frame *frame = making->frame;
	unsigned header = TCP_HEADER + making->options;
	tcp_header_write4(making->tcp - IP4_HEADER, addresses, ports, header, fields);
	frame_set(frame, ETHERNET_HEADER + IP4_HEADER + header, IP4_HEADER, making->entries, fields->payload);
	if (__builtin_expect(!net->tx.fills, 0))
		tcp_fill_checksums(net, frame);
	tx_commit(net, frame, neighbour);
	net->counters.tcp_out++;
}

/* The same for either version of IP. */
void tcp_make_end(struct rb_net *net, const struct making *making, const struct tcp_path *path,
		  const struct tcp_header_fields *fields);

static inline struct tcp_path tcp_path_of(struct rb_net *net, const struct tcb *tcb)
{
	struct tcp_path path = {
		.addresses = tcb->addresses,
		.ports = tcb->ports,
		.neighbour = tcb->neighbour,
	};
	if (tcb->flags & TCP_IS_6) {
		const struct tcb_cold *cold = tcp_cold(net, tcb);
		path.local6 = &cold->local_ip6;
		path.remote6 = &cold->remote_ip6;
	}
	return path;
}

/*
 * For the segments of the handshake.
 */

static inline void make_syn_options(struct making *making, uint16_t mss, uint8_t scale, bool sack)
{
	uint8_t *at = making->tcp + TCP_HEADER + making->options;
	store32(at, (uint32_t)TCP_OPTION_MSS << 24 | 4U << 16 | mss);
	at += 4;
	if (sack) {
		store32(at, 0x01010000U | TCP_OPTION_SACK_PERMITTED << 8 | 2);
		at += 4;
	}
	if (scale != TCP_SCALE_NONE) {
		store32(at, 0x01000000U | TCP_OPTION_SCALE << 16 | 3 << 8 | scale);
		at += 4;
	}
	making->options = (unsigned)(at - making->tcp) - TCP_HEADER;
}

/* The window of a SYN is never scaled (RFC 7323 2.2). */
static inline uint16_t syn_window(const struct tcb *tcb)
{
	return (uint16_t)(tcb->rcv_space > UINT16_MAX ? UINT16_MAX : tcb->rcv_space);
}

/* A SYN-ACK tells what both sides want: options and fields. */
static inline void make_syn_ack(struct rb_net *net, const struct tcb *tcb, const struct tcb_cold *cold,
				struct making *making, struct tcp_header_fields *fields)
{
	if (tcb->flags & TCP_HAS_TIMESTAMPS)
		make_timestamps(making, tcp_ts_now(net, tcb), tcb->ts_recent);
	make_syn_options(making, cold->own_mss, cold->scaling ? net->tcp.own_scale : TCP_SCALE_NONE,
			 tcb->flags & TCP_HAS_SACK);
	fields->seq = cold->iss;
	fields->ack = tcb->rcv_nxt;
	fields->payload = 0;
	fields->window = syn_window(tcb);
	fields->flags = tcb->flags & TCP_HAS_ECN ? TCP_SYN | TCP_ACK | TCP_ECE : TCP_SYN | TCP_ACK;
	fields->ecn = IP_ECN_NOT_ECT;
}

/* It has gone. */
static inline void syn_sent(struct tcb *tcb, uint16_t window)
{
	tcb->rcv_adv = tcb->rcv_nxt + window;
	tcb->last_ack_sent = tcb->rcv_nxt;
	tcb->flags &= ~((uint32_t)TCP_ACK_NOW | TCP_ACK_DELAYED);
}
