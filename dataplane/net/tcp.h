// SPDX-License-Identifier: Apache-2.0
/*
 * The state of TCP in an instance, private to net/. What its parts do:
 *
 *     tcp_segment.c      a segment's header and options, in
 *     tcp_input.c        whose it is; the short way of a segment that is just what was expected
 *     tcp_turn.c         the short way of those at which a connection begins or ends
 *     tcp_arrives.c      all others, by the steps of RFC 9293 3.10.7
 *   segment delivery
 *     tcp_deliver.c      payload in order, reassembly, SACK blocks to report, the receive window
 *   credit
 *     tcp_ack.c          acknowledgements: what is released, round trips, windows
 *     tcp_scoreboard.c   pieces sacked, lost, sent again (RFC 2018, 6675)
 *     tcp_recovery.c     loss detection and repair (RFC 5681, 6582, 6675)
 *     tcp_rack.c         loss detection by time (RFC 8985)
 *     tcp_congestion.c   the table of congestion controls; tcp_newreno.c, tcp_cubic.c, tcp_dctcp.c
 *     tcp_timer.c        the timers of a connection over one wheel
 *     tcp_output.c       what goes out: data, acknowledgements, resets
 *     tcp_output_short.c the short way out, and answers
 *     tcp_send.c         what the application sends
 *   connection management
 *     tcp_listen.c       listeners, and who waits to be accepted
 *     tcp_syn.c          the short way of a SYN for a listener
 *     tcp_open.c         connect; initial sequence numbers, ports, what a handshake agrees to
 *     tcp_output_syn.c   SYN and SYN-ACK, out
 *     tcp_cookie.c       SYN cookies
 *     tcp_close.c        closing, resets, TIME-WAIT, the end of a TCB
 *     tcp_close_short.c  the short way of a close that answers the peer's
 *     tcp_event.c        what the application is told
 *     tcp_record.c       export and import
 *     tcp_state.c        layout, beginning and end of it all
 */
#pragma once

#include "base/siphash.h"
#include "base/wheel.h"
#include "net/flow.h"
#include "net/net.h"
#include "net/pool.h"
#include "net/tcb.h"

enum {
	TCP_TICK_NS = 16000,
	TCP_LISTENER_CHAINS = 1024, /* hash chains by port */
};

/* A list through order_prev and order_next of the cold parts, oldest first. */
struct tcp_order {
	uint32_t head, tail, count;
};

/* What SYNs tell instead of the configuration's; 0: that. */
struct tcp_offer {
	uint32_t receive_window; /* bytes */
	uint16_t mss;
};

struct tcp_listener {
	struct rb_endpoint local;
	uint64_t cookie;
	uint32_t generation;
	uint32_t next;	/* in its chain */
	bool used, any; /* any: at all addresses of the port */
	uint8_t congestion;
	uint32_t options; /* TCP_NODELAY, TCP_KEEPALIVE for its connections */
	uint32_t user_timeout_us;
	struct tcp_offer offer;
	uint32_t waiting;	   /* connections that nobody has accepted, in SYN-RECEIVED or established */
	uint32_t syn_received;	   /* those of them in SYN-RECEIVED: the backlog */
	uint64_t cookies_until_ns; /* until then, cookies that it has sent may come back */
};

/* A ring of connections, each in it at most once, so that it cannot overflow. */
struct tcp_ring {
	uint32_t *slots;
	uint32_t mask;
	uint32_t head, tail; /* both wrap: next to be taken, next to be put */
};

struct tcp {
	struct tcb *tcbs;
	struct tcb_cold *colds;
	struct tcp_piece *pieces;
	struct tcp_part *parts;
	struct tcp_listener *listeners;
	uint32_t *chains; /* heads of listeners by port */
	struct pool tcb_pool, piece_pool, part_pool, listener_pool;
	struct flow_table flows;
	struct flow_secret flow_secret;
	struct rb_wheel wheel;

	uint32_t rto_min_ticks; /* no RTO is less */
	uint32_t syn_ticks;	/* until a first SYN or SYN-ACK is sent again */
	uint32_t syn_early;	/* ticks: until the wheel's entry for it, see tcp_timer_syn() */
	uint32_t window_half;	/* bytes: half the receive window */
	uint32_t window_whole;	/* bytes: the receive window, if its scale cuts nothing off; or 0 */
	uint64_t start_ns;	/* tick 0 */
	uint64_t tick;		/* now */
	uint64_t until_ns;	/* as long as neither `tick` nor `ts_now` moves */
	uint32_t now_us;	/* now, wraps */
	uint32_t ts_now;	/* the timestamp clock: milliseconds, to which each connection adds its offset */

	/*
	 * Events, which the application reads here. Those of the short ways are made while they have all that they say at
	 * hand: to their connections they are told, and what these have to tell after that waits in `ready`. From
	 * `told_taken` on nobody has taken them yet.
	 */
	struct rb_net_event told[RB_NET_BURST];
	uint32_t told_taken, told_count;
	struct rb_net_places *places; /* the caller's, which are filled before `told` is */
	struct rb_net_places none;    /* where it has given none */
	uint32_t told_ends;	      /* those of them that end a handle, made at once: see take_ends() */
	struct tcp_ring pending;      /* what the flush has to look at */
	struct tcp_ring ready;	      /* what has events */
	uint32_t starved_at;	/* pieces in use, at most, when somebody was refused for want of them; 0: nobody was */
	struct tcp_ring closed; /* what the application was told the end of: to be freed with the flush */
	struct tcp_order time_wait;
	struct tcb fresh; /* what every TCB begins with, by the configuration */
	struct tcb_cold fresh_cold;
	uint8_t own_scale;	/* that SYNs offer */
	uint32_t port_next;	/* RFC 6056 3.3.3 */
	struct tcp_offer offer; /* of rb_net_connect() */

	uint8_t beginning_key[16], port_key[16], cookie_key[16];
	struct rb_siphash beginning; /* of beginning_key */
	/* RFC 5961 7: at most so many challenge ACKs per second, the number drawn anew each time (RFC 5961 is silent,
	 * but a fixed one is a side channel: Y. Cao et al., USENIX Security 2016) */
	uint32_t challenges_left;
	uint64_t challenges_until_ns;
};

static inline void tcp_ring_put(struct tcp_ring *ring, uint32_t index)
{
	ring->slots[ring->tail++ & ring->mask] = index;
}

static inline uint32_t tcp_ring_take(struct tcp_ring *ring)
{
	return ring->slots[ring->head++ & ring->mask];
}

static inline uint32_t tcp_ring_count(const struct tcp_ring *ring)
{
	return ring->tail - ring->head;
}
