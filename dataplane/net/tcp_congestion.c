// SPDX-License-Identifier: Apache-2.0
#include "net/tcp_congestion.h"

const struct tcp_congestion_ops *const tcp_congestion_rows[RB_NET_CONGESTIONS] = {
	[RB_NET_NEWRENO] = &tcp_newreno,
	[RB_NET_CUBIC] = &tcp_cubic,
	[RB_NET_DCTCP] = &tcp_dctcp,
};

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
