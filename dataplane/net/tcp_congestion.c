// SPDX-License-Identifier: Apache-2.0
#include "net/tcp_congestion.h"

static const struct tcp_congestion_ops *const rows[RB_NET_CONGESTIONS] = {
	[RB_NET_NEWRENO] = &tcp_newreno,
	[RB_NET_CUBIC] = &tcp_cubic,
	[RB_NET_DCTCP] = &tcp_dctcp,
};

const struct tcp_congestion_ops *tcp_congestion_of(const struct tcb_cold *cold)
{
	return rows[cold->congestion];
}

void tcp_congestion_start(struct rb_net *net, struct tcb *tcb, enum rb_net_congestion which)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	cold->congestion = (uint8_t)which;
	cold->control = (struct tcp_congestion_state){0};
	cold->bytes_acked = 0;
	rows[which]->start(net, tcb, cold);
}

uint32_t tcp_slow_start(struct tcb *tcb, const struct tcb_cold *cold, uint32_t bytes)
{
	if (tcb->cwnd >= cold->ssthresh)
		return bytes;
	/* RFC 3465 2.2 with L = 2; after a timeout L = 1 (2.3), as an ACK may then stand for old segments */
	uint32_t limit = (tcb->flags & TCP_LOSS ? 1U : 2U) * tcb->mss;
	if (!MECHANISM(byte_counting))
		bytes = limit;
	uint32_t grow = bytes < limit ? bytes : limit, room = cold->ssthresh - tcb->cwnd;
	if (grow > room)
		grow = room;
	tcb->cwnd += grow;
	return bytes - grow;
}

uint32_t tcp_initial_window(const struct rb_net *net, const struct tcb *tcb)
{
	uint32_t segments = net->config.initial_window * tcb->mss, two = 2U * tcb->mss;
	uint32_t most = two > 14600 ? two : 14600;
	return segments < most ? segments : most;
}
