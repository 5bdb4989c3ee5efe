// SPDX-License-Identifier: Apache-2.0
#include "tests/nic/fixture.h"

#include <stdlib.h>
#include <string.h>

/* Microsoft, "Verifying the RSS Hash Calculation" (Windows driver documentation): key and IPv4 cases with TCP ports. */
static const uint8_t published_key[RB_NIC_RSS_KEY_BYTES] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static const struct {
	uint32_t source;
	uint16_t source_port;
	uint32_t destination;
	uint16_t destination_port;
	uint32_t hash;
} published[] = {
	{IP(66, 9, 149, 187), 2794, IP(161, 142, 100, 80), 1766, 0x51ccc178},
	{IP(199, 92, 111, 2), 14230, IP(65, 69, 140, 83), 4739, 0xc626b0ea},
	{IP(24, 19, 198, 95), 12898, IP(12, 22, 207, 184), 38024, 0x5c2b394a},
	{IP(38, 27, 205, 30), 48228, IP(209, 142, 163, 6), 2217, 0xafc7327f},
	{IP(153, 39, 163, 191), 44251, IP(202, 188, 127, 2), 1303, 0x10e828a2},
};

static struct rb_nic *open_queues(uint16_t queues, const uint8_t *key)
{
	fixture_make("net_null0", "size=60");
	struct rb_nic_config config = fixture_config("net_null0");
	config.queues = queues;
	config.rss_key = key;
	return fixture_open(&config);
}

static void test_published(void **state)
{
	(void)state;
	struct rb_nic *nic = open_queues(3, published_key);
	assert_true(rb_nic_has_rss(nic));
	for (unsigned i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
		assert_int_equal(nic_rss_hash(&nic->rss, published[i].source, published[i].source_port,
					      published[i].destination, published[i].destination_port),
				 published[i].hash);
		assert_int_equal(rb_nic_queue_of(nic, published[i].source, published[i].source_port,
						 published[i].destination, published[i].destination_port),
				 published[i].hash % nic->rss.buckets % 3);
	}
	fixture_remove(nic, "net_null0");
}

/* The device has been told the same. */
static void test_device(void **state)
{
	uint8_t key[64];
	struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = sizeof(key)};
	struct rte_eth_rss_reta_entry64 entries[2] = {{.mask = UINT64_MAX}, {.mask = UINT64_MAX}};
	(void)state;
	struct rb_nic *nic = open_queues(3, published_key);
	assert_int_equal(nic->rss.buckets, 128);
	assert_int_equal(rte_eth_dev_rss_hash_conf_get(nic->port, &conf), 0);
	assert_memory_equal(key, published_key, sizeof(published_key));
	assert_int_equal(conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_TCP, RTE_ETH_RSS_NONFRAG_IPV4_TCP);
	assert_int_equal(rte_eth_dev_rss_reta_query(nic->port, entries, 128), 0);
	for (unsigned i = 0; i < 128; i++) {
		assert_int_equal(entries[i / 64].reta[i % 64], i % 3);
		assert_int_equal(nic->rss.table[i], i % 3);
	}
	fixture_remove(nic, "net_null0");
}

static void test_symmetric(void **state)
{
	unsigned counts[4] = {0};
	(void)state;
	struct rb_nic *nic = open_queues(4, NULL);
	for (unsigned i = 0; i < 4000; i++) {
		uint8_t random[12];
		uint32_t source, destination;
		uint16_t ports[2];
		fixture_pattern(random, sizeof(random), i);
		memcpy(&source, random, 4);
		memcpy(&destination, random + 4, 4);
		memcpy(ports, random + 8, 4);
		const unsigned queue = rb_nic_queue_of(nic, source, ports[0], destination, ports[1]);
		assert_int_equal(rb_nic_queue_of(nic, destination, ports[1], source, ports[0]), queue);
		counts[queue]++;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(counts[i], 800, 1200);
	/* with one host, port and address the other port alone spreads */
	memset(counts, 0, sizeof(counts));
	for (uint16_t port = 0; port < 4000; port++)
		counts[rb_nic_queue_of(nic, IP(10, 0, 0, 1), (uint16_t)(32768 + port), IP(10, 0, 0, 2), 80)]++;
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(counts[i], 800, 1200);
	fixture_remove(nic, "net_null0");
}

static void test_one_queue(void **state)
{
	(void)state;
	struct rb_nic *nic = open_queues(1, NULL);
	assert_false(rb_nic_has_rss(nic));
	assert_int_equal(rb_nic_queue_of(nic, 1, 2, 3, 4), 0);
	fixture_remove(nic, "net_null0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_symmetric),
		cmocka_unit_test(test_one_queue),
	};
	return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
