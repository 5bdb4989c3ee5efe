// SPDX-License-Identifier: Apache-2.0
/* CUBIC's arithmetic in integers against RFC 9438 in double: the row of the table alone, without a connection. */
#include "tests/net/credit.h"

#include <math.h>
#include <string.h>

#include "net/tcp_congestion.h"

enum { MSS = 1448 };

static const double C = 0.4, BETA = 0.7;

/* The library's side; the reference in segments and seconds. */
static struct rb_net net;
static struct tcb tcb;
static struct tcb_cold cold;
static struct {
	double cwnd, w_max, w_est, prior, epoch, k;
	bool avoiding;
} reference;
static double now_s, rtt_s;

static int setup(void **state)
{
	(void)state;
	memset(&net, 0, sizeof(net));
	memset(&tcb, 0, sizeof(tcb));
	memset(&cold, 0, sizeof(cold));
	memset(&reference, 0, sizeof(reference));
	net.tcp.tcbs = &tcb;
	net.tcp.colds = &cold;
	tcb.mss = MSS;
	now_s = 1000;
	tcp_congestion_start(&net, &tcb, &cold, RB_NET_CUBIC);
	return 0;
}

static void begin(double cwnd, double rtt)
{
	rtt_s = rtt;
	tcb.srtt8_us = (uint32_t)(rtt * 8e6);
	tcb.cwnd = (uint32_t)(cwnd * MSS);
	reference.cwnd = cwnd;
}

/* 4.6, 4.7: a loss with the whole window under way. */
static void lose(enum tcp_congestion_event event)
{
	cold.ssthresh = tcp_cubic.reduce(&net, &tcb, &cold, tcb.cwnd, event);
	cold.bytes_acked = 0;
	credit_near((double)cold.ssthresh / MSS, reference.cwnd * BETA, 0.02);
	reference.prior = reference.cwnd;
	reference.w_max = reference.cwnd < reference.w_max ? reference.cwnd * (1 + BETA) / 2 : reference.cwnd;
	reference.avoiding = false;
	reference.cwnd *= BETA;
	tcb.cwnd = cold.ssthresh;
	if (event == TCP_CONGESTION_TIMEOUT) { /* 4.8; slow start to ssthresh is not what is tested here */
		reference.w_max = 0;
	}
}

static double w_cubic(double t)
{
	return C * pow(t - reference.k, 3) + reference.w_max;
}

/* Sections 4.2 to 4.5 for an acknowledgement of `segments`. */
static void reference_acked(double segments)
{
	if (!reference.avoiding) {
		reference.avoiding = true;
		reference.epoch = now_s;
		reference.w_est = reference.cwnd;
		reference.w_max = fmax(reference.w_max, reference.cwnd);
		reference.k = cbrt((reference.w_max - reference.cwnd) / C);
	}
	const double t = now_s - reference.epoch;
	const double alpha = reference.w_est < reference.prior ? 3 * (1 - BETA) / (1 + BETA) : 1;
	reference.w_est += alpha * segments / reference.cwnd;
	if (w_cubic(t) < reference.w_est) {
		reference.cwnd = fmax(reference.cwnd, reference.w_est);
		return;
	}
	const double target = fmin(fmax(w_cubic(t + rtt_s), reference.cwnd), 1.5 * reference.cwnd);
	reference.cwnd += (target - reference.cwnd) / reference.cwnd * segments;
}

/* Acknowledgements of two segments each, spread over the round trips; both windows stay together. */
static void grow(double seconds, double tolerance)
{
	for (const double end = now_s + seconds; now_s < end;) {
		now_s += rtt_s * 2 / reference.cwnd;
		net.now_ns = (uint64_t)(now_s * 1e9);
		tcp_cubic.acked(&net, &tcb, &cold, 2 * MSS, tcb_srtt_us(&tcb));
		reference_acked(2);
		credit_near((double)tcb.cwnd / MSS, reference.cwnd, tolerance);
	}
}

static double segments(void)
{
	return (double)tcb.cwnd / MSS;
}

/* 4.4, 4.5: concave up to W_max at K, then convex. */
static void test_curve(void **state)
{
	(void)state;
	begin(1000, 0.1);
	lose(TCP_CONGESTION_LOSS);
	const double k = cbrt(1000 * (1 - BETA) / C);
	double before = segments(), steps[4];
	for (unsigned i = 0; i < 4; i++) {
		grow(k / 2, 0.005);
		steps[i] = segments() - before;
		before = segments();
		if (i == 1)
			credit_near(before, 1000, 0.01);
	}
	assert_true(steps[0] > 4 * steps[1] && steps[3] > 4 * steps[2]);
}

/* 4.3: where that is more, what Reno would have. */
static void test_friendly(void **state)
{
	(void)state;
	begin(40, 0.005);
	lose(TCP_CONGESTION_LOSS);
	grow(0.25, 0.03);
	credit_near(segments(), 40 + 50 - 12 * 17.0 / 9, 0.02); /* up to cwnd_prior by 9/17, then by 1 a round trip */
	grow(0.5, 0.03);
	assert_true(segments() > 100);
}

/* 4.7: who loses before it has got back what it had leaves room. */
static void test_convergence(void **state)
{
	(void)state;
	begin(1000, 0.1);
	lose(TCP_CONGESTION_LOSS);
	grow(3, 0.005);
	const double cwnd = segments();
	assert_true(cwnd < 950);
	lose(TCP_CONGESTION_LOSS);
	grow(cbrt((0.85 - BETA) * cwnd / C), 0.01);
	credit_near(segments(), 0.85 * cwnd, 0.01);
	grow(5, 0.02);
}

/* 4.8: after a timeout the curve begins convex, from where slow start has ended. */
static void test_timeout(void **state)
{
	(void)state;
	begin(1000, 0.1);
	lose(TCP_CONGESTION_TIMEOUT);
	grow(3, 0.005);
	credit_near(segments(), 700 + C * 27, 0.02);
	grow(5, 0.01);
}

/* 4.2: time in which nothing could grow, for want of data, does not count. */
static void test_idle(void **state)
{
	(void)state;
	begin(1000, 0.1);
	lose(TCP_CONGESTION_LOSS);
	grow(2, 0.005);
	now_s += 30;
	reference.epoch += 30;
	grow(2, 0.01);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_curve, setup),	 cmocka_unit_test_setup(test_friendly, setup),
		cmocka_unit_test_setup(test_convergence, setup), cmocka_unit_test_setup(test_timeout, setup),
		cmocka_unit_test_setup(test_idle, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
