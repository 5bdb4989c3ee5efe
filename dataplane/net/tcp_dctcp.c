// SPDX-License-Identifier: Apache-2.0
/*
 * DCTCP, RFC 8257: the window shrinks by the share of bytes that were marked, so that a switch that marks at a small
 * queue keeps it small. For paths whose queues all mark so.
 */
#include "net/tcp_congestion.h"

enum {
	SHIFT = 20,  /* shares are of 2^20 */
	G_SHIFT = 4, /* 4.2: g = 1/16 */
};

struct dctcp {
	uint32_t alpha;	     /* DCTCP.Alpha, of 2^SHIFT */
	uint32_t window_end; /* DCTCP.WindowEnd */
	uint32_t bytes_acked, bytes_marked;
};

static struct dctcp *dctcp_of(struct tcb_cold *cold)
{
	return (struct dctcp *)(void *)cold->control.words;
}

static void start(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold)
{
	(void)net;
	/* 3.3: begins with 1, as if all were marked: the first reduction is a halving */
	*dctcp_of(cold) = (struct dctcp){.alpha = 1U << SHIFT, .window_end = tcb->snd_nxt};
}

/* 3.3: DCTCP.Alpha = DCTCP.Alpha * (1 - g) + g * M, once per window of data */
static void feedback(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t bytes, bool echo)
{
	struct dctcp *dctcp = dctcp_of(cold);
	(void)net;
	dctcp->bytes_acked += bytes;
	if (echo)
		dctcp->bytes_marked += bytes;
	if (seq_le(tcb->snd_una, dctcp->window_end))
		return;
	uint32_t m = (uint32_t)(((uint64_t)dctcp->bytes_marked << SHIFT) / dctcp->bytes_acked);
	dctcp->alpha = dctcp->alpha - (dctcp->alpha >> G_SHIFT) + (m >> G_SHIFT);
	if (dctcp->alpha > 1U << SHIFT)
		dctcp->alpha = 1U << SHIFT;
	dctcp->window_end = tcb->snd_nxt;
	dctcp->bytes_acked = dctcp->bytes_marked = 0;
}

/* 3.3: cwnd = cwnd * (1 - DCTCP.Alpha / 2) for marks; 3.5: a loss is answered as ever. */
static uint32_t reduce(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t flight,
		       enum tcp_congestion_event event)
{
	uint32_t least = 2U * tcb->mss, cut = flight / 2, from = flight;
	(void)net;
	if (event == TCP_CONGESTION_MARK && MECHANISM(dctcp_alpha)) {
		from = tcb->cwnd;
		cut = (uint32_t)(((uint64_t)tcb->cwnd * dctcp_of(cold)->alpha) >> (SHIFT + 1));
	}
	return from - cut > least ? from - cut : least;
}

static void acked(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t bytes, uint32_t rtt_us)
{
	tcp_newreno.acked(net, tcb, cold, bytes, rtt_us);
}

const struct tcp_congestion_ops tcp_dctcp = {
	.name = "dctcp", .start = start, .acked = acked, .reduce = reduce, .feedback = feedback, .exact_ecn = true};
