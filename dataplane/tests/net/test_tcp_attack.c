// SPDX-License-Identifier: Apache-2.0
/* Attackers: blind ones that do not see the connection (RFC 5961), floods, and peers that do not play by the rules. */
#include <errno.h>

#include "net/tcb.h"
#include "tests/net/app.h"

/* RFC 5961 3.2: a RST that is in the window, but not the next number, asks the peer whether it meant it. */
static void test_blind_reset(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "R 2:2(0)");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	peer_send(&app.peer, "R 60000:60000(0)");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	peer_send(&app.peer, "R 70000:70000(0)");
	peer_send(&app.peer, "R 0:0(0)");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app.closed, 0);
	peer_send(&app.peer, "R 1:1(0)");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ECONNRESET);
}

/* RFC 5961 7: so many challenge ACKs per second for all, and not always as many, or others could count them. */
static unsigned challenges_of_a_second(void)
{
	unsigned count = 0;
	peer_run(&app.peer, LINK_NS_PER_S);
	for (unsigned i = 0; i < 2000; i++) {
		peer_send(&app.peer, "R 2:2(0)");
		count += app.peer.queue_count;
		peer_forget(&app.peer);
	}
	return count;
}

static void test_challenge_limit(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	const unsigned first = challenges_of_a_second(), second = challenges_of_a_second();
	assert_in_range(first, 500, 1500);
	assert_in_range(second, 500, 1500);
	assert_int_not_equal(first, second);
	assert_int_equal(app_counters(&app)->tcp_challenge_limited, 4000 - first - second);
	assert_int_equal(app_state(&app), TCP_ESTABLISHED);
}

/* RFC 5961 5: data with an ACK that nobody could have sent are not taken, even with the right sequence number. */
static void test_blind_data(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	app.peer.patience_ns = 0;
	peer_send(&app.peer, "P. 1:11(10) ack 1000");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	peer_send(&app.peer, "P. 1:11(10) ack 2147483648");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	peer_send(&app.peer, "P. 1:11(10) ack 4294800000");
	peer_expect(&app.peer, ". 1:1(0) ack 1");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app.received, 0);
}

/* An ACK of what was never sent moves nothing, and grows no window. */
static void test_optimistic_ack(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 100000), 0);
	peer_forget(&app.peer);
	const struct rb_net_info before = app_info(&app);
	assert_int_equal(before.in_flight, 10000);
	peer_send(&app.peer, ". 1:1(0) ack 10002");
	peer_send(&app.peer, ". 1:1(0) ack 50001");
	peer_forget(&app.peer);
	const struct rb_net_info after = app_info(&app);
	assert_int_equal(after.cwnd, before.cwnd);
	assert_int_equal(after.snd_una, before.snd_una);
	assert_int_equal(app.sent, 0);
}

/* RFC 3465: the window grows by bytes, not by how many ACKs they are cut into. */
static void test_ack_division(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 100000), 0);
	peer_forget(&app.peer);
	const uint32_t cwnd = app_info(&app).cwnd;
	for (unsigned i = 1; i <= 1000; i++)
		peer_send(&app.peer, ". 1:1(0) ack %u", 1 + i);
	peer_forget(&app.peer);
	assert_int_equal(app.sent, 1000);
	assert_in_range(app_info(&app).cwnd, cwnd, cwnd + 1000);
}

/* A window of one byte, and an MSS of nothing: progress, at no more than a segment per round trip. */
static void test_tiny_windows(void **state)
{
	(void)state;
	app.peer.window = 1;
	app_established(&app, "mss 1");
	assert_int_equal(app_send(&app, 20), 0);
	for (unsigned i = 0; i < 20; i++) {
		peer_expect(&app.peer, "%s %u:%u(1) ack 1", i == 19 ? "P." : ".", 1 + i, 2 + i);
		peer_expect_nothing(&app.peer, 0);
		peer_send(&app.peer, ". ack %u", 2 + i);
	}
	assert_int_equal(app.sent, 20);
}

/* RFC 5927: an error about what is not outstanding is none; a hard one about what is ends no connection that works. */
static void test_icmp_blind(void **state)
{
	const struct segment_icmp port = {.type = 3, .code = 3}, too_big = {.type = 3, .code = 4, .rest = 600};
	(void)state;
	app_established(&app, "mss 1000");
	assert_int_equal(app_send(&app, 1000), 0);
	peer_expect(&app.peer, "P. 1:1001(1000) ack 1");
	peer_send_icmp(&app.peer, &too_big, 0);
	peer_send_icmp(&app.peer, &too_big, 1001);
	peer_send_icmp(&app.peer, &too_big, 2147483649);
	assert_int_equal(app_info(&app).mss, 1000);
	peer_send_icmp(&app.peer, &port, 1);
	assert_int_equal(app_state(&app), TCP_ESTABLISHED);
	peer_send(&app.peer, ". ack 1001");
	assert_int_equal(app.sent, 1000);
}

/* Options that are cut off, of length 0 or 1, too long, repeated or unknown: the rest of the segment counts. */
static void test_absurd_options(void **state)
{
	static const char *const options[] = {
		"hex 0200",
		"hex 0201",
		"hex 02ff05b4",
		"hex 020405b4020405b402040001",
		"hex 00000000",
		"hex 05",
		"hex 0502",
		"hex 050affffffff00000000",
		"hex 0812000000",
		"hex fe02fe",
		"hex 0303ff",
		"hex 0101010101010101010101010101010101010101",
		"hex 05220000000100000002000000030000000400000005000000060000000700000008",
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		app_again(&app, NULL);
		peer_send(&app.peer, "S 0:0(0) <%s>", options[i]);
		peer_expect(&app.peer, "S. 0:0(0) ack 1");
		peer_send(&app.peer, ". ack 1 <%s>", options[i]);
		peer_send(&app.peer, "P. 1:11(10) <%s>", options[i]);
		peer_expect(&app.peer, ". 1:1(0) ack 11");
		assert_int_equal(app.received, 10);
		assert_int_equal(app_send(&app, 10), 0);
		peer_expect(&app.peer, "P. 1:11(10) ack 11");
		peer_send(&app.peer, ". ack 11 <%s>", options[i]);
		assert_int_equal(app.sent, 10);
	}
}

/* SACK blocks of what was never sent, or acknowledged long ago, mark nothing. */
static void test_absurd_sack(void **state)
{
	(void)state;
	app_established(&app, "mss 1000,sackOK");
	assert_int_equal(app_send(&app, 5000), 0);
	peer_forget(&app.peer);
	peer_send(&app.peer, ". 1:1(0) ack 1 <sack 6001:7001>");
	peer_send(&app.peer, ". 1:1(0) ack 1 <sack 4001:9001>");
	peer_send(&app.peer, ". 1:1(0) ack 1 <sack 3001:2001 4294900000:4294910000>");
	peer_send(&app.peer, ". 1:1(0) ack 1 <sack 2147483649:1>");
	peer_send(&app.peer, ". 1:1(0) ack 1 <sack 2147483000:2147488649>");
	peer_forget(&app.peer);
	assert_int_equal(app_info(&app).in_flight, 5000);
	peer_send(&app.peer, ". 1:1(0) ack 5001");
	peer_forget(&app.peer);
	assert_int_equal(app.sent, 5000);
}

/* A segment from ourselves to ourselves ("land"), or whose header reaches beyond its end, is nobody's. */
static void test_land(void **state)
{
	struct segment syn = {
		.source = peer_host_endpoint(&app.peer).ip, .source_port = 80, .flags = SEGMENT_SYN, .window = 1000};
	(void)state;
	peer_send_segment(&app.peer, &syn);
	assert_int_equal(app_usage(&app).connections, 0);
	syn = (struct segment){.flags = SEGMENT_SYN, .window = 1000, .data_offset = 15};
	peer_send_segment(&app.peer, &syn);
	syn.data_offset = 4;
	peer_send_segment(&app.peer, &syn);
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app_usage(&app).connections, 0);
	assert_int_equal(app_counters(&app)->malformed, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_blind_reset, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_challenge_limit, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_blind_data, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_optimistic_ack, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_ack_division, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_tiny_windows, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_icmp_blind, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_absurd_options, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_absurd_sack, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_land, app_setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
