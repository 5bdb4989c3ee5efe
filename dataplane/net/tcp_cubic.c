// SPDX-License-Identifier: Apache-2.0
/*
 * CUBIC, RFC 9438. Windows are bytes, times milliseconds, and the constants C = 0.4 and beta = 0.7 fractions of
 * integers: no floating point, whose state a dataplane would have to save at each crossing.
 *
 *     W_cubic(t) = C * (t - K)^3 + W_max     (section 4.2, equation 1; windows in segments, times in seconds)
 */
#include "net/tcp_congestion.h"

struct cubic {
	uint32_t epoch_ms;   /* when this congestion avoidance began; 0: it has not */
	uint32_t last_ms;    /* of the last growth */
	uint32_t w_max;	     /* bytes */
	uint32_t cwnd_prior; /* bytes: cwnd before the last reduction */
	uint32_t k_ms;
	uint32_t w_est; /* bytes: what Reno would have */
	uint32_t part;	/* bytes squared over cwnd that W_est's growth has left over */
};

RB_BUILD_ASSERT(sizeof(struct cubic) <= sizeof(struct tcp_congestion_state), "it fits");

enum {
	DISTANCE_MAX_MS = 100000, /* the cube of more would leave 64 bits */
};

static struct cubic *cubic_of(struct tcb_cold *cold)
{
	return (struct cubic *)(void *)cold->control.words;
}

/* The largest integer whose cube is at most `n`, by bits. */
static uint32_t cube_root(uint64_t n)
{
	uint64_t root = 0;
	for (int bit = 20; bit >= 0; bit--) {
		uint64_t next = root | 1U << bit;
		if (next * next * next <= n)
			root = next;
	}
	return (uint32_t)root;
}

/* Wraps after 49 days, in which a connection that grows has long had its next loss. */
static uint32_t now_ms(const struct rb_net *net)
{
	uint32_t ms = (uint32_t)(net->now_ns / 1000000);
	return ms == 0 ? 1 : ms; /* 0 means none */
}

/* 4.2: K = cbrt((W_max - cwnd_epoch) / C) */
static void epoch_begin(struct cubic *cubic, const struct tcb *tcb, uint32_t now)
{
	cubic->epoch_ms = now;
	cubic->w_est = tcb->cwnd;
	cubic->part = 0;
	if (tcb->cwnd >= cubic->w_max) { /* 4.8: after slow start, or when what was lost has come back */
		cubic->w_max = tcb->cwnd;
		cubic->k_ms = 0;
		return;
	}
	/* seconds^3 = segments / 0.4, so ms^3 = segments * 2.5e9 */
	uint64_t missing = cubic->w_max - tcb->cwnd;
	cubic->k_ms = cube_root(missing * 2500000000 / tcb->mss);
}

/* W_cubic at `ms` after the beginning of the epoch. */
static uint32_t w_cubic(const struct cubic *cubic, const struct tcb *tcb, uint32_t ms)
{
	int64_t distance = (int64_t)ms - cubic->k_ms;
	if (distance > DISTANCE_MAX_MS)
		distance = DISTANCE_MAX_MS;
	if (distance < -DISTANCE_MAX_MS)
		distance = -DISTANCE_MAX_MS;
	int64_t window = cubic->w_max + distance * distance * distance / 10000 * 4 * tcb->mss / 1000000;
	if (window < tcb->mss)
		return tcb->mss;
	return window > INT32_MAX ? INT32_MAX : (uint32_t)window;
}

/* 4.3, equation 4: alpha_cubic = 3 (1 - beta) / (1 + beta) = 9/17 until W_est has reached cwnd_prior, then 1. */
static void grow_reno(struct cubic *cubic, const struct tcb *tcb, uint32_t bytes)
{
	uint64_t growth = (uint64_t)bytes * tcb->mss;
	if (cubic->w_est < cubic->cwnd_prior)
		growth = growth * 9 / 17;
	growth += cubic->part;
	cubic->w_est += (uint32_t)(growth / tcb->cwnd);
	cubic->part = (uint32_t)(growth % tcb->cwnd);
}

static void acked(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t bytes, uint32_t rtt_us)
{
	struct cubic *cubic = cubic_of(cold);
	uint32_t now = now_ms(net);
	(void)rtt_us;

	bytes = tcp_slow_start(tcb, cold, bytes);
	if (tcb->cwnd < cold->ssthresh || bytes == 0)
		return;
	if (cubic->epoch_ms == 0)
		epoch_begin(cubic, tcb, now);
	else if (MECHANISM(cubic_idle) && now - cubic->last_ms > (tcb_srtt_us(tcb) + tcb->rttvar4_us) / 1000 + 1)
		cubic->epoch_ms += now - cubic->last_ms; /* 4.2, 5.8: time without data to send does not count */
	cubic->last_ms = now;

	uint32_t t = now - cubic->epoch_ms;
	grow_reno(cubic, tcb, bytes);
	if (MECHANISM(cubic_friendly) && w_cubic(cubic, tcb, t) < cubic->w_est) { /* 4.3: Reno-friendly */
		if (cubic->w_est > tcb->cwnd)
			tcb->cwnd = cubic->w_est;
		return;
	}
	/* 4.4, 4.5: towards the target of one round trip from now, at most half the window per round trip */
	uint32_t target = w_cubic(cubic, tcb, t + tcb_srtt_us(tcb) / 1000), most = tcb->cwnd + tcb->cwnd / 2;
	if (target > most)
		target = most;
	if (target <= tcb->cwnd || !MECHANISM(cubic_growth))
		return;
	uint64_t grown = (uint64_t)(target - tcb->cwnd) * bytes + cold->bytes_acked;
	cold->bytes_acked = (uint32_t)(grown % tcb->cwnd); /* what is left over, for the next one */
	tcb->cwnd += (uint32_t)(grown / tcb->cwnd);
}

/* 4.6 to 4.8 */
static uint32_t reduce(struct rb_net *net, struct tcb *tcb, struct tcb_cold *cold, uint32_t flight,
		       enum tcp_congestion_event event)
{
	struct cubic *cubic = cubic_of(cold);
	uint32_t w_max = cubic->w_max, least = 2U * tcb->mss;
	uint32_t ssthresh = (uint32_t)((uint64_t)flight * (MECHANISM(cubic_decrease) ? 7 : 5) / 10);
	(void)net;
	cubic->epoch_ms = 0;
	cubic->cwnd_prior = tcb->cwnd;
	/* fast convergence: who has not got back what it had leaves room for others: (1 + beta) / 2 */
	cubic->w_max = tcb->cwnd;
	if (MECHANISM(cubic_convergence) && tcb->cwnd < w_max)
		cubic->w_max = (uint32_t)((uint64_t)tcb->cwnd * 17 / 20);
	/* 4.8: after a timeout W_max is where slow start ends, and K is 0 */
	if (MECHANISM(cubic_timeout) && event == TCP_CONGESTION_TIMEOUT)
		cubic->w_max = 0;
	return ssthresh > least ? ssthresh : least;
}

const struct tcp_congestion_ops tcp_cubic = {.name = "cubic", .acked = acked, .reduce = reduce};
