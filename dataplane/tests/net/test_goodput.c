// SPDX-License-Identifier: Apache-2.0
/*
 * What bulk transfers achieve: on lossy, marking and reordering links, alone and beside each other. The figures are
 * printed; what is asserted follows from theory, with room for a single seed.
 */
#include "tests/net/fixture.h"

#include <math.h>
#include <stdio.h>

#include "tests/net/goodput.h"

#define SECOND LINK_NS_PER_S
#define MS     LINK_NS_PER_MS

static const char *const names[] = {[RB_NET_NEWRENO] = "NewReno", [RB_NET_CUBIC] = "CUBIC", [RB_NET_DCTCP] = "DCTCP"};

/* 20 Mbit/s and 20 ms from end to end and back, with a queue of one bandwidth-delay product. */
static void common(struct goodput_config *config, enum rb_net_congestion congestion)
{
	*config = (struct goodput_config){.settle_ns = 5 * SECOND, .measure_ns = 10 * SECOND};
	world_config_default(&config->world);
	config->world.seed = 3;
	config->world.label = names[congestion];
	config->world.link = (struct link_config){.rate_bps = 20000000, .delay_ns = 10 * MS, .queue_bytes = 50000};
	for (unsigned host = 0; host < 2; host++) {
		config->world.host[host].net.congestion = congestion;
		config->world.host[host].net.receive_window = 1 << 20;
		config->world.host[host].net.send_queue = 1 << 20;
	}
}

static void show(const struct goodput_config *config, const struct goodput_result *result)
{
	printf("%s: %.2f Mbit/s, queue %llu bytes on average and %llu at most, %llu of %llu segments sent again, "
	       "%llu timeouts, %llu probes, %llu duplicates\n",
	       config->world.label, result->goodput_bps / 1e6, (unsigned long long)result->queue_bytes_mean,
	       (unsigned long long)result->queue_bytes_max, (unsigned long long)result->sender.tcp_retransmitted,
	       (unsigned long long)result->sender.tcp_out, (unsigned long long)result->sender.tcp_timeouts,
	       (unsigned long long)result->sender.tcp_tail_probes, (unsigned long long)result->receiver.tcp_duplicates);
}

/* Nothing in the way but the rate: it is used up, but for headers (66 of 1514 bytes with timestamps). */
static void test_full_rate(void **state)
{
	(void)state;
	for (unsigned congestion = 0; congestion < RB_NET_CONGESTIONS; congestion++) {
		struct goodput_config config;
		struct goodput_result result;
		common(&config, congestion);
		config.world.link.queue_bytes = 0;
		goodput_measure(&config, &result);
		show(&config, &result);
		assert_true(result.goodput_bps > 0.99 * 2e7 * 1448 / 1514);
		assert_int_equal(result.sender.tcp_retransmitted, 0);
	}
}

/* What fits the link, without headers. */
static double capacity_bps(uint64_t rate_bps)
{
	return (double)rate_bps * 1448 / 1514;
}

/*
 * M. Mathis et al., "The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm", 1997: a window that grows by a
 * segment per round trip and is halved with each loss transfers MSS / RTT * sqrt(3 / 2) / sqrt(p). Queues and the rest
 * of the recovery take their part.
 */
static double mathis_bps(double loss, double rtt_s)
{
	return 1448 * 8 / rtt_s * sqrt(1.5 / loss);
}

static double lossy_bps(enum rb_net_congestion congestion, uint64_t rate_bps, double loss)
{
	struct goodput_config config;
	struct goodput_result result;
	common(&config, congestion);
	config.world.link.rate_bps = rate_bps;
	config.world.link.queue_bytes = (uint32_t)(rate_bps / 8 / 50); /* 20 ms */
	config.world.link.loss = loss;
	config.settle_ns = 10 * SECOND;
	config.measure_ns = (rate_bps > 50000000 ? 30 : 100) * SECOND;
	goodput_measure(&config, &result);
	printf("%llu Mbit/s, 20 ms, loss %.1f %%: ", (unsigned long long)(rate_bps / 1000000), 100 * loss);
	show(&config, &result);
	/* all losses are seen by acknowledgements, but for those of a retransmission's own and of probes */
	assert_true(result.sender.tcp_timeouts <= 1 + result.sender.tcp_retransmitted / 100);
	/* nothing is sent again that was not lost, but for probes; and the queue drops few */
	assert_true((double)result.sender.tcp_retransmitted < (loss * 1.2 + 0.01) * (double)result.sender.tcp_out);
	assert_true(result.receiver.tcp_duplicates <= result.sender.tcp_tail_probes);
	return result.goodput_bps;
}

/* NewReno does what theory says, and CUBIC no worse (RFC 9438 1). */
static void test_loss(void **state)
{
	(void)state;
	static const uint64_t rates_bps[] = {20000000, 100000000};
	static const double losses[] = {0.001, 0.01};
	for (unsigned i = 0; i < 4; i++) {
		const uint64_t rate_bps = rates_bps[i / 2];
		const double loss = losses[i % 2];
		const double theory_bps = fmin(mathis_bps(loss, 0.02), capacity_bps(rate_bps));
		const double newreno_bps = lossy_bps(RB_NET_NEWRENO, rate_bps, loss);
		const double cubic_bps = lossy_bps(RB_NET_CUBIC, rate_bps, loss);
		assert_true(newreno_bps > 0.65 * theory_bps && newreno_bps < 1.25 * theory_bps);
		assert_true(cubic_bps > 0.95 * newreno_bps);
	}
}

/* Two flows that share a link get the same, over time. */
static void test_fair(void **state)
{
	(void)state;
	for (unsigned congestion = 0; congestion <= RB_NET_CUBIC; congestion++) {
		struct goodput_config config;
		struct goodput_result result;
		common(&config, congestion);
		config.flows = 2;
		config.settle_ns = 30 * SECOND;
		config.measure_ns = 120 * SECOND;
		goodput_measure(&config, &result);
		printf("two flows, %.2f and %.2f Mbit/s: ", result.flow_bps[0] / 1e6, result.flow_bps[1] / 1e6);
		show(&config, &result);
		assert_true(result.goodput_bps > 0.9 * capacity_bps(20000000));
		const double ratio = result.flow_bps[0] / result.flow_bps[1];
		assert_true(ratio > 1 / 1.6 && ratio < 1.6);
	}
}

/*
 * RFC 8257: a queue that marks from K on stays about K: M. Alizadeh et al., "Analysis of DCTCP", 2011: it swings below K
 * by an amplitude of the order of sqrt(bandwidth-delay product * flows), and rises above it by what the flows add in a
 * round trip, a segment each. With K above a seventh of the bandwidth-delay product the link is never idle.
 */
static void test_marking(void **state)
{
	enum { K = 30 * 1514 };
	(void)state;
	for (unsigned flows = 1; flows <= 4; flows += 3) {
		struct goodput_config config;
		struct goodput_result result;
		common(&config, RB_NET_DCTCP);
		config.world.link = (struct link_config){.rate_bps = 100000000, .delay_ns = 2 * MS, .mark_bytes = K};
		config.flows = flows;
		goodput_measure(&config, &result);
		printf("%u flows, marked from %u bytes on: ", flows, (unsigned)K);
		show(&config, &result);
		assert_true(result.goodput_bps > 0.98 * capacity_bps(100000000));
		assert_true(result.queue_bytes_mean > K / 2 && result.queue_bytes_mean < K + flows * 2 * 1514);
		assert_true(result.queue_bytes_max < K + flows * 4 * 1514);
		assert_int_equal(result.sender.tcp_retransmitted, 0);
	}
}

/* 1 % of frames are late, both ways; the round trip without queues is 20 ms, and a write 27 ms on the wire. */
static void reordered(struct goodput_result *result, uint64_t seed, uint64_t late_ns, bool rack)
{
	struct goodput_config config;
	common(&config, RB_NET_CUBIC);
	config.world.seed = seed;
	config.world.label = rack ? "RACK" : "RFC 6675";
	config.world.link.queue_bytes = 0;
	config.world.link.reorder = 0.01;
	config.world.link.reorder_ns = late_ns;
	config.world.host[0].net.rack = config.world.host[0].net.tlp = rack;
	config.world.host[0].net.send_queue = 200000; /* four bandwidth-delay products: never idle */
	config.settle_ns = 20 * SECOND;
	config.measure_ns = 60 * SECOND;
	goodput_measure(&config, result);
	printf("1 %% of frames %.1f ms late, %llu of %llu segments sent again in the first 20 s, then ",
	       (double)late_ns / 1e6, (unsigned long long)result->settling.tcp_retransmitted,
	       (unsigned long long)result->settling.tcp_out);
	show(&config, result);
}

/*
 * RFC 8985 6.2. One segment in a hundred comes late, and so does one acknowledgement, for which the sender then waits.
 * Nothing is lost, and all that is sent again is sent for nothing. RACK has to learn that: before it has seen a segment
 * arrive late that it had not yet sent again, it waits no longer than who counts segments (step 4); and then a quarter of
 * the least round trip more with each round that had a D-SACK. Is all of it learned, nothing is sent again any more: when
 * the window holds what a segment and its acknowledgement may be late, and by how much a round trip may be shorter than
 * that of a segment before (step 5 takes the latest one's): the last segment of a write queues behind the whole of it,
 * the first one of the next does not.
 */
static void reordering_learned(uint64_t seed, uint64_t late_ns)
{
	const uint64_t write_ns = UINT64_C(50) * 65536 * 8; /* at 20 Mbit/s */
	const uint64_t steps = (write_ns + 2 * late_ns) / (5 * MS);
	struct goodput_result result;
	reordered(&result, seed, late_ns, true);
	/* at first: of those late not more than a quarter */
	assert_true(400 * result.settling.tcp_retransmitted <= result.settling.tcp_out);
	/* then: each recovery that was for nothing is a step, and beyond the last one there is none */
	const uint64_t recoveries = result.sender.tcp_fast_recoveries;
	assert_true(recoveries == 0 || result.settling.tcp_fast_recoveries + recoveries <= steps);
	assert_true(result.sender.tcp_retransmitted <= 2 * recoveries);
	assert_int_equal(result.sender.tcp_timeouts, 0);
	assert_true(result.goodput_bps > 0.98 * capacity_bps(20000000));
}

static void test_reordering(void **state)
{
	enum { SEEDS = 4 };
	struct goodput_result result;
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		reordering_learned(seed, 2 * MS);  /* less than a quarter of the round trip */
		reordering_learned(seed, 10 * MS); /* more */
	}
	/* who counts segments never learns */
	reordered(&result, 1, 10 * MS, false);
	assert_true(result.sender.tcp_retransmitted > 100);
	assert_true(400 * result.settling.tcp_retransmitted > result.settling.tcp_out);
}

/* An argument is a pattern of tests: each of them takes seconds, and so is run beside the others. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_rate), cmocka_unit_test(test_loss),	     cmocka_unit_test(test_fair),
		cmocka_unit_test(test_marking),	  cmocka_unit_test(test_reordering),
	};
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
