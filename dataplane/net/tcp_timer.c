// SPDX-License-Identifier: Apache-2.0
/*
 * Timers. A connection has three deadlines: rexmt_at (retransmission, probes, TIME-WAIT), delack_at, keep_at; and one
 * entry in the wheel, which is never later than the earliest of them. A deadline that moves away leaves the entry where
 * it is: when it expires, what is due is done and the entry is set anew. So a timer that is restarted with each segment
 * costs a store.
 */
#include "net/tcp_parts.h"

#include <errno.h>

/* A deadline as the wheel's time; one that has passed is now. */
static uint64_t wheel_tick(const struct rb_net *net, uint32_t at)
{
	int32_t ahead = (int32_t)(at - (uint32_t)net->tcp.tick);
	return net->tcp.tick + (ahead > 0 ? (uint32_t)ahead : 0);
}

void tcp_timer_want(struct rb_net *net, const struct tcb *tcb, uint32_t at)
{
	struct tcp *tcp = &net->tcp;
	uint32_t index = tcp_index(net, tcb);
	uint64_t tick = wheel_tick(net, at);
	if (!rb_wheel_armed(&tcp->wheel, index) || tick < rb_wheel_at(&tcp->wheel, index))
		rb_wheel_set(&tcp->wheel, index, tick);
}

void tcp_timer_set(struct rb_net *net, struct tcb *tcb, enum tcp_timer_kind kind, uint32_t delay_us)
{
	tcb->timer = kind;
	tcb->rexmt_at = (uint32_t)net->tcp.tick + tcp_ticks(delay_us);
	tcb->flags |= TCP_REXMT_ARMED;
	if (kind == TCP_TIMER_PERSIST)
		tcb->flags |= TCP_SLOW;
	tcp_timer_want(net, tcb, tcb->rexmt_at);
}

void tcp_timer_syn(struct rb_net *net, struct tcb *tcb)
{
	uint32_t delay = tcp_ticks(tcp_rto_us(net, tcb));
	tcp_timer_want(net, tcb, tcp_timer_syn_at(net, tcb, delay) + tcp_timer_early(&net->tcp, delay));
}

void tcp_timer_delack(struct rb_net *net, struct tcb *tcb)
{
	uint32_t now = (uint32_t)net->tcp.tick, delay = tcp_ticks(net->config.delayed_ack_us);
	if (MECHANISM(delayed_ack_once) && tcb->delack_at - now - 1 < delay)
		return; /* runs already, since a segment before this one */
	tcb->delack_at = now + delay;
	tcp_timer_want(net, tcb, tcb->delack_at);
}

/* tcp_ticks(), for what may be longer than microseconds can tell in 32 bits. */
static uint32_t ticks_of_ms(uint32_t ms)
{
	return (uint32_t)((ms * UINT64_C(1000000) + TCP_TICK_NS - 1) / TCP_TICK_NS) + 1;
}

void tcp_timer_keepalive(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	cold->heard_at = (uint32_t)net->tcp.tick;
	cold->probes = 0;
	cold->keep_at = (uint32_t)net->tcp.tick + ticks_of_ms(net->config.keepalive_ms);
	tcp_timer_want(net, tcb, cold->keep_at);
}

void tcp_timer_fin_wait(struct rb_net *net, struct tcb *tcb)
{
	uint32_t own_us = tcp_cold(net, tcb)->user_timeout_us;
	tcp_timer_set(net, tcb, TCP_TIMER_TIME_WAIT, own_us != 0 ? own_us : net->config.time_wait_us);
}

static bool passed(const struct rb_net *net, uint32_t at)
{
	return seq_le(at, (uint32_t)net->tcp.tick);
}

/* RFC 9293 3.8.3: has nothing been acknowledged for too long? Then the connection ends. */
static bool gave_up(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t now = (uint32_t)net->tcp.tick;
	if (tcb->backoff == 0) {
		cold->stalled_at = now - tcp_ticks(tcp_rto_us(net, tcb));
		cold->status = 0; /* what ICMP said of an earlier stall */
	}
	uint32_t timeout = cold->user_timeout_us != 0 ? cold->user_timeout_us : net->config.user_timeout_us;
	if (!MECHANISM(user_timeout) || timeout == 0 || (int32_t)(now - cold->stalled_at) < (int32_t)tcp_ticks(timeout))
		return false;
	tcp_end(net, tcb, cold->status != 0 ? cold->status : -ETIMEDOUT); /* 3.9.2.2: a soft error may be the reason */
	return true;
}

/* RFC 6298 5.7, RFC 5681 3.1: after a lost SYN the RTO is 3 s and the window one segment. */
static void syn_again(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	if (cold->syns++ >= net->config.syn_retries) {
		tcp_end(net, tcb, cold->status != 0 ? cold->status : -ETIMEDOUT);
		return;
	}
	if (tcb->backoff < 15)
		tcb->backoff++;
	net->counters.tcp_retransmitted++;
	tcp_output_syn(net, tcb);
	tcp_timer_syn(net, tcb);
}

/* RFC 9293 3.8.6.1: the interval grows as the RTO does. */
static void persist(struct rb_net *net, struct tcb *tcb)
{
	if (gave_up(net, tcb))
		return;
	/* 3.8.6.2.1: a window that stays too small is used after all */
	if (MECHANISM(sws_override) && tcb->snd_wnd > 0 && tcp_output_override(net, tcb))
		return;
	if (tcb->backoff < 15)
		tcb->backoff++;
	net->counters.tcp_window_probes++;
	tcp_output_probe(net, tcb);
	tcp_timer_set(net, tcb, TCP_TIMER_PERSIST, tcp_rto_us(net, tcb));
}

static void expire(struct rb_net *net, struct tcb *tcb)
{
	tcp_timer_stop(tcb);
	switch ((enum tcp_timer_kind)tcb->timer) {
	case TCP_TIMER_SENT:
		break;
	case TCP_TIMER_REXMT:
		if (tcb->state == TCP_SYN_SENT || tcb->state == TCP_SYN_RECEIVED)
			syn_again(net, tcb);
		else if (!gave_up(net, tcb))
			tcp_recovery_timeout(net, tcb);
		break;
	case TCP_TIMER_REORDER:
		tcp_recovery_reorder(net, tcb);
		break;
	case TCP_TIMER_PROBE:
		tcp_recovery_probe(net, tcb);
		break;
	case TCP_TIMER_PERSIST:
		persist(net, tcb);
		break;
	case TCP_TIMER_TIME_WAIT:
		tcp_end(net, tcb, tcb->state == TCP_TIME_WAIT ? 0 : -ETIMEDOUT);
		break;
	}
}

static bool is_kept_alive(const struct tcb *tcb)
{
	return (tcb->flags & TCP_KEEPALIVE) && tcb->state >= TCP_ESTABLISHED && tcb->state < TCP_TIME_WAIT;
}

/* RFC 9293 3.8.4 */
static void keepalive(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t idle = (uint32_t)net->tcp.tick - cold->heard_at, first = ticks_of_ms(net->config.keepalive_ms);
	/* Something came meanwhile? Not after a probe, and the time of all may be more than a count of ticks tells. */
	if (!MECHANISM(keepalive) || (cold->probes == 0 && idle < first)) {
		cold->probes = 0;
		cold->keep_at = cold->heard_at + first;
		return;
	}
	if (cold->probes >= net->config.keepalive_probes) {
		tcp_output_reset(net, tcb);
		tcp_end(net, tcb, -ETIMEDOUT);
		return;
	}
	if (tcb->snd_una == tcb->snd_nxt) { /* else retransmission tells */
		cold->probes++;
		net->counters.tcp_keepalives++;
		tcp_output_probe(net, tcb);
	}
	cold->keep_at = (uint32_t)net->tcp.tick + ticks_of_ms(net->config.keepalive_interval_ms);
}

void tcp_timer_resume(struct rb_net *net, struct tcb *tcb)
{
	if ((tcb->flags & TCP_REXMT_ARMED) && tcb->timer != TCP_TIMER_SENT)
		tcp_timer_want(net, tcb, tcb->rexmt_at);
	if ((tcb->flags & (TCP_ACK_DELAYED | TCP_ACK_NOW)) == TCP_ACK_DELAYED)
		tcp_timer_want(net, tcb, tcb->delack_at);
	if (is_kept_alive(tcb))
		tcp_timer_want(net, tcb, tcp_cold(net, tcb)->keep_at);
}

void tcp_timer_short(struct rb_net *net, struct tcb *tcb)
{
	if (tcb->srtt8_us == 0) { /* the first measurement is none of the short way's */
		tcp_recovery_settle(net, tcb);
		tcp_timer_want(net, tcb, tcb->rexmt_at);
		return;
	}
	tcp_timer_want(net, tcb, tcp_recovery_due(net, tcb));
	tcb->timed = true;
}

/* What the short way has sent since the entry was made has moved the deadline. True: and nothing is due. */
static inline bool run_short(struct rb_net *net, uint32_t index, struct tcb *tcb)
{
	struct tcp *tcp = &net->tcp;
	const uint32_t now = (uint32_t)tcp->tick;
	if (tcb->timer != TCP_TIMER_SENT || !(tcb->flags & TCP_REXMT_ARMED)) {
		tcb->timed = false;
		return tcb->timer == TCP_TIMER_SENT;
	}
	uint32_t due = tcp_recovery_due(net, tcb);
	if (seq_le(due, now)) {
		tcp_recovery_settle(net, tcb); /* and no more `timed` */
		return false;
	}
	rb_wheel_link(&tcp->wheel, index, tcp->tick + (due - now)); /* it has just expired */
	tcb->timed = true;
	return true;
}

/* An entry may be that of a TCB which has gone back to the pool, without a flag and closed: nothing is to be done. */
static void run(struct rb_net *net, uint32_t index)
{
	struct tcb *tcb = tcp_tcb(net, index);

	if (run_short(net, index, tcb)) {
		if (!(tcb->flags & (TCP_ACK_DELAYED | TCP_KEEPALIVE)))
			return;
	} else if ((tcb->flags & TCP_REXMT_ARMED) && passed(net, tcb->rexmt_at)) {
		expire(net, tcb);
	}
	if (tcb->state == TCP_CLOSED)
		return;
	if ((tcb->flags & TCP_ACK_DELAYED) && passed(net, tcb->delack_at))
		tcp_ack_now(net, tcb);
	if (is_kept_alive(tcb) && passed(net, tcp_cold(net, tcb)->keep_at))
		keepalive(net, tcb);
	if (tcb->state != TCP_CLOSED)
		tcp_timer_resume(net, tcb);
}

bool tcp_timer_advance(struct rb_net *net)
{
	enum { BATCH = 64 };
	struct tcp *tcp = &net->tcp;
	uint32_t expired[BATCH], count;

	tcp->now_us = (uint32_t)(net->now_ns / 1000);
	if (net->now_ns < tcp->until_ns)
		return false; /* the tick of the last time, whose timers have expired */
	tcp->tick = (net->now_ns - tcp->start_ns) / TCP_TICK_NS;
	tcp->ts_now = (uint32_t)(net->now_ns / 1000000);
	const uint64_t next_tick_ns = tcp->start_ns + (tcp->tick + 1) * TCP_TICK_NS;
	const uint64_t next_ms_ns = (net->now_ns / 1000000 + 1) * 1000000;
	tcp->until_ns = next_tick_ns < next_ms_ns ? next_tick_ns : next_ms_ns;
	do {
		count = rb_wheel_advance(&tcp->wheel, tcp->tick, expired, BATCH);
		for (uint32_t i = 0; i < count; i++)
			run(net, expired[i]);
	} while (count == BATCH);
	return true;
}

uint64_t tcp_timer_deadline_ns(const struct rb_net *net)
{
	const struct tcp *tcp = &net->tcp;
	/* between turns only what a command has left, or what found no header memory: soon, not at once */
	if (net->tx.next > 0 || tcp_ring_count(&tcp->pending) > 0 || tcp->told_count > tcp->told_taken ||
	    tcp_ring_count(&tcp->ready) > 0 || tcp_ring_count(&tcp->closed) > 0)
		return net->now_ns + TCP_TICK_NS;
	uint64_t next = rb_wheel_next(&tcp->wheel);
	return next == RB_WHEEL_NEVER ? UINT64_MAX : tcp->start_ns + next * TCP_TICK_NS;
}
