// SPDX-License-Identifier: Apache-2.0
/* What bulk transfers achieve. */
#include "tests/net/fixture.h"

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
	config->world.seed = 1;
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
	       "%llu timeouts\n",
	       config->world.label, result->goodput_bps / 1e6, (unsigned long long)result->queue_bytes_mean,
	       (unsigned long long)result->queue_bytes_max, (unsigned long long)result->sender.tcp_retransmitted,
	       (unsigned long long)result->sender.tcp_out, (unsigned long long)result->sender.tcp_timeouts);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_rate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
