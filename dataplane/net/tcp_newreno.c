// SPDX-License-Identifier: Apache-2.0
/* The congestion control of RFC 5681, with appropriate byte counting (RFC 3465). */
#include "net/tcp_congestion.h"

static void acked(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t bytes, uint32_t rtt_us)
{
	(void)net;
	(void)rtt_us;
	bytes = tcp_slow_start(tcb, cold, bytes);
	if (tcb->cwnd < cold->ssthresh)
		return;
	/* RFC 5681 3.1: a segment for each window of bytes that was acknowledged */
	cold->bytes_acked += bytes;
	if (cold->bytes_acked >= tcb->cwnd) {
		cold->bytes_acked -= tcb->cwnd;
		tcb->cwnd += tcb->mss;
	}
}

/* RFC 5681 3.1, equation 4 */
static uint32_t reduce(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t flight,
		       enum tcp_congestion_event event)
{
	uint32_t least = 2U * tcb->mss;
	(void)net;
	(void)cold;
	(void)event;
	return flight / 2 > least ? flight / 2 : least;
}

const struct tcp_congestion_ops tcp_newreno = {.name = "newreno", .acked = acked, .reduce = reduce};
