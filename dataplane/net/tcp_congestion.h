// SPDX-License-Identifier: Apache-2.0
/*
 * Congestion control: how large the window is. One table of functions per algorithm; a connection names its row. What
 * is lost and what is sent again is none of its business (tcp_recovery.c), which keeps each algorithm to its RFC.
 */
#pragma once

#include "net/tcp_parts.h"

enum tcp_congestion_event {
	TCP_CONGESTION_LOSS,	/* seen by acknowledgements */
	TCP_CONGESTION_MARK,	/* an ECN echo */
	TCP_CONGESTION_TIMEOUT, /* slow start follows */
};

struct tcp_congestion_ops {
	const char *name;

	/* The connection is established, or changes its algorithm: set up cold->control, which is 0. May be NULL. */
	void (*start)(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold);

	/*
	 * `bytes` (> 0) were acknowledged outside of loss recovery while the window was what limited the sender
	 * (RFC 5681 3.1, RFC 7661): let cwnd grow. rtt_us: the sample of this acknowledgement, 0: none.
	 */
	void (*acked)(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t bytes, uint32_t rtt_us);

	/*
	 * A congestion event with `flight` bytes outstanding: returns the new ssthresh, at least two segments.
	 */
	uint32_t (*reduce)(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t flight,
			   enum tcp_congestion_event event);

	/* Each acknowledgement of new data, in recovery too; `echo`: it carried ECE. May be NULL. */
	void (*feedback)(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t bytes, bool echo);

	/* ECN by RFC 8257: ECE mirrors each CE mark, and all segments are ECT; else by RFC 3168. */
	bool exact_ecn;
};

extern const struct tcp_congestion_ops tcp_newreno, tcp_cubic, tcp_dctcp;

extern const struct tcp_congestion_ops *const tcp_congestion_rows[RB_NET_CONGESTIONS];

/* The row of a connection. */
static inline const struct tcp_congestion_ops *tcp_congestion_of(const struct tcb_cold *cold)
{
	return tcp_congestion_rows[cold->congestion];
}

/* Starts, or changes to, an algorithm. */
static inline void tcp_congestion_start(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold,
					enum rb_net_congestion which)
{
	cold->congestion = (uint8_t)which;
	cold->control = (struct tcp_congestion_state){0};
	cold->bytes_acked = 0;
	if (tcp_congestion_rows[which]->start != NULL)
		tcp_congestion_rows[which]->start(net, tcb, cold);
}

/* RFC 5681 3.1 with RFC 3465 (L = 2) below ssthresh; what is left of `bytes` above it is returned. For the rows. */
uint32_t tcp_slow_start(struct tcb *tcb, const struct tcb_cold *cold, uint32_t bytes);

/* RFC 6928: min(10 MSS, max(2 MSS, 14600)), with the configured number of segments. */
static inline uint32_t tcp_initial_window(const struct rb_net *net, const struct tcb *tcb)
{
	uint32_t segments = net->config.initial_window * tcb->mss, two = 2U * tcb->mss;
	uint32_t most = two > 14600 ? two : 14600;
	return segments < most || !MECHANISM(initial_window) ? segments : most;
}
