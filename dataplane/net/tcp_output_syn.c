// SPDX-License-Identifier: Apache-2.0
/* The segments of the handshake: SYN, SYN-ACK, and the SYN-ACK of a SYN cookie. */
#include "net/tcp_making.h"

/* A SYN offers what is configured; one that had no answer asks for less (RFC 3168 6.1.1.1: without ECN). */
static void make_syn(struct rb_net *net, const struct tcb *tcb, const struct tcb_cold *cold, struct making *making,
		     struct tcp_header_fields *fields)
{
	const struct rb_net_config *config = &net->config;
	if (config->timestamps)
		make_timestamps(making, tcp_ts_now(net, tcb), 0);
	make_syn_options(making, cold->own_mss, config->window_scaling ? net->tcp.own_scale : TCP_SCALE_NONE,
			 config->sack);
	*fields = (struct tcp_header_fields){
		.seq = cold->iss,
		.window = syn_window(tcb),
		/* RFC 3168 6.1.1 */
		.flags = config->ecn && cold->syns < 2 ? TCP_SYN | TCP_ECE | TCP_CWR : TCP_SYN,
	};
}

void tcp_output_syn(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	struct making making;
	if (!make_begin(net, &making, tcb->flags & TCP_IS_6))
		return; /* the timer sends it again */
	if (cold->syns == 0)
		cold->syn_us = net->tcp.now_us == 0 ? 1 : net->tcp.now_us;
	struct tcp_header_fields fields;
	if (tcb->state == TCP_SYN_RECEIVED)
		make_syn_ack(net, tcb, cold, &making, &fields);
	else
		make_syn(net, tcb, cold, &making, &fields);
	struct tcp_path path = tcp_path_of(net, tcb);
	tcp_make_end(net, &making, &path, &fields);
	syn_sent(tcb, fields.window);
}

void tcp_output_cookie(struct rb_net *net, const struct tcp_segment *segment, const struct tcp_path *path,
		       const struct tcp_syn_ack *syn_ack)
{
	struct making making;
	if (!make_begin(net, &making, segment->ip->is6))
		return; /* the peer's SYN comes again */
	if (syn_ack->timestamps)
		make_timestamps(&making, syn_ack->tsval, segment->tsval);
	make_syn_options(&making, syn_ack->mss, syn_ack->scale, syn_ack->sack);
	uint32_t window = net->config.receive_window;
	struct tcp_header_fields fields = {
		.seq = syn_ack->seq,
		.ack = segment->seq + 1,
		.window = (uint16_t)(window > UINT16_MAX ? UINT16_MAX : window),
		.flags = TCP_SYN | TCP_ACK | (syn_ack->ecn ? TCP_ECE : 0),
	};
	tcp_make_end(net, &making, path, &fields);
}
