// SPDX-License-Identifier: Apache-2.0
/* Loss detection by time and tail loss probes (RFC 8985). The round trip is 100 ms, so the RTO is 300 ms or more. */
#include "tests/net/credit.h"

static int setup(void **state)
{
	(void)state;
	app_config(&app);
	app.config.net.congestion = RB_NET_NEWRENO;
	app.config.net.tlp = *state != NULL;
	credit_open();
	credit_established(",sackOK", 100 * CREDIT_MS);
	return 0;
}

/* So many segments, and a round trip after them. */
static void begin(unsigned first, unsigned segments)
{
	credit_send(segments);
	credit_expect_last(first, segments);
	peer_run(&app.peer, 100 * CREDIT_MS);
}

static void sack(unsigned ack, unsigned left, unsigned right)
{
	peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u>", SEQ(ack), SEQ(left), SEQ(right));
}

static void again(unsigned number, uint64_t from_ns)
{
	peer_expect_between(&app.peer, from_ns, from_ns + CREDIT_MS / 4, ". %u:%u(1000)", SEQ(number), SEQ(number + 1));
}

/* 6.2 step 4: a quarter of a round trip of patience, as long as fewer than three segments say otherwise. */
static void test_window(void **state)
{
	(void)state;
	begin(0, 8);
	sack(0, 1, 2);
	again(0, 25 * CREDIT_MS);
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 1);
}

/* ... and none when three do. In recovery there is none either. */
static void test_threshold(void **state)
{
	(void)state;
	begin(0, 8);
	sack(0, 1, 4);
	again(0, 0);
	sack(0, 1, 4);
	peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u %u:%u>", SEQ(1), SEQ(5), SEQ(6), SEQ(1), SEQ(4));
	again(4, 0);
}

/* Step 3: after a segment has arrived late, all have a quarter of a round trip, whatever is sacked beyond them. */
static void test_reordering_seen(void **state)
{
	(void)state;
	begin(0, 8);
	sack(0, 1, 2);
	peer_send(&app.peer, ". ack %u", SEQ(2)); /* 0 was late; it was not sent again */
	peer_send(&app.peer, ". ack %u", SEQ(8));
	peer_expect_nothing(&app.peer, 0);
	begin(8, 8);
	sack(8, 9, 15);
	again(8, 25 * CREDIT_MS);
}

/* What one acknowledgement tells is not reordered: neither its cumulative part, nor its blocks, latest first. */
static void test_not_reordered(void **state)
{
	(void)state;
	begin(0, 8);
	peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u %u:%u>", SEQ(2), SEQ(5), SEQ(6), SEQ(3), SEQ(4));
	sack(2, 5, 8); /* four segments beyond number 2: no patience, unless reordering was seen */
	credit_expect(2, 1);
	credit_expect(4, 1);
}

/* Step 4: each round trip with a D-SACK adds a quarter. */
static void test_dsack(void **state)
{
	(void)state;
	begin(0, 4);
	peer_send(&app.peer, ". ack %u", SEQ(4));
	begin(4, 8);
	peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u>", SEQ(4), SEQ(0), SEQ(1));
	sack(4, 5, 6);
	again(4, 50 * CREDIT_MS);
}

/* Step 2: an answer too soon is to the first transmission, and says nothing about when the second one was sent. */
static void test_ambiguous(void **state)
{
	(void)state;
	begin(0, 5);
	sack(0, 1, 4);
	again(0, 0);
	peer_run(&app.peer, 5 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u", SEQ(4));
	peer_expect_nothing(&app.peer, 100 * CREDIT_MS); /* else number 4 were lost now */
}

/* The same by the timestamp that is echoed, when more than a round trip has passed. */
static void test_ambiguous_echo(void **state)
{
	(void)state;
	app.peer.timestamps = true;
	app.peer.ts_val = 5;
	app.peer.port++;
	credit_established(",sackOK,TS val 5 ecr 0", 100 * CREDIT_MS);
	assert_int_equal(app_send(&app, 5 * 988), 0);
	for (unsigned i = 0; i < 5; i++)
		peer_expect(&app.peer, "%s %u:%u(988)", i == 4 ? "P." : ".", 1 + 988 * i, 1 + 988 * (i + 1));
	const uint32_t echo = app.peer.ts_recent;
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack 1 <TS val 5 ecr %u,nop,nop,sack %u:%u>", echo, 1 + 988, 1 + 988 * 4);
	peer_expect(&app.peer, ". 1:989(988)");
	peer_run(&app.peer, 105 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u <TS val 5 ecr %u>", 1 + 988 * 4, echo);
	peer_expect_nothing(&app.peer, 50 * CREDIT_MS);
}

/*
 * Sacked retransmissions count whatever timestamp comes with them: beyond a gap a receiver echoes one from before it (RFC
 * 7323 4.3), which says nothing of them. They tell that the one which was sent before them was lost again.
 */
static void test_sacked_echo(void **state)
{
	(void)state;
	app.peer.timestamps = true;
	app.peer.ts_val = 5;
	app.peer.port++;
	credit_established(",sackOK,TS val 5 ecr 0", 100 * CREDIT_MS);
	assert_int_equal(app_send(&app, 6 * 988), 0);
	for (unsigned i = 0; i < 6; i++)
		peer_expect(&app.peer, "%s %u:%u(988)", i == 5 ? "P." : ".", 1 + 988 * i, 1 + 988 * (i + 1));
	const uint32_t echo = app.peer.ts_recent;
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack 1 <TS val 5 ecr %u,nop,nop,sack %u:%u>", echo, 1 + 988 * 3, 1 + 988 * 6);
	for (unsigned i = 0; i < 3; i++)
		peer_expect(&app.peer, ". %u:%u(988)", 1 + 988 * i, 1 + 988 * (i + 1));
	peer_run(&app.peer, 105 * CREDIT_MS);
	peer_send(&app.peer, ". ack 1 <TS val 5 ecr %u,nop,nop,sack %u:%u>", echo, 1 + 988, 1 + 988 * 6);
	peer_expect_between(&app.peer, 0, CREDIT_MS, ". 1:989(988)");
	peer_send(&app.peer, ". ack %u <TS val 5 ecr %u>", 1 + 988 * 6, echo);
}

/* Step 5: a retransmission is lost when something that was sent after it has arrived. */
static void test_lost_again(void **state)
{
	(void)state;
	begin(0, 6);
	sack(0, 1, 6);
	again(0, 0);
	peer_run(&app.peer, CREDIT_MS);
	begin(6, 1);
	peer_send(&app.peer, ". ack 1 <nop,nop,sack %u:%u>", SEQ(1), SEQ(7));
	again(0, 0);
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 1);
	assert_int_equal(app_counters(&app)->tcp_timeouts, 0);
	peer_send(&app.peer, ". ack %u", SEQ(7));
}

/*
 * A second loss event while much is sacked: the window shrinks by what it was, not by all that is outstanding, which may
 * be several windows (RFC 5681 3.2 step 2).
 */
static void test_reduced_twice(void **state)
{
	(void)state;
	credit_send(60);
	credit_expect(0, 10);
	peer_run(&app.peer, 100 * CREDIT_MS);
	sack(0, 1, 10);
	again(0, 0);
	credit_expect(10, 4);
	assert_int_equal(credit_cwnd(), 5);
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack 1 <nop,nop,sack %u:%u %u:%u>", SEQ(11), SEQ(14), SEQ(1), SEQ(10));
	again(0, 0);
	again(10, 0);
	credit_expect(14, 3);
	peer_run(&app.peer, 100 * CREDIT_MS);
	sack(10, 11, 17); /* the first recovery ends; number 10 was lost twice, and seven are outstanding */
	again(10, 0);
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 2);
	assert_int_equal(app_info(&app).ssthresh, 2500);
	peer_forget(&app.peer);
}

/* 6.3: with the timeout only what is older than a round trip is lost. */
static void test_timeout(void **state)
{
	(void)state;
	credit_send(1);
	credit_expect_last(0, 1);
	peer_run(&app.peer, 250 * CREDIT_MS);
	credit_send(1);
	credit_expect_last(1, 1);
	again(0, 50 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u", SEQ(1));
	peer_expect_nothing(&app.peer, 200 * CREDIT_MS);
	assert_int_equal(app_counters(&app)->tcp_timeouts, 1);
}

/* 7.2, 7.3: after two round trips the last segment again. */
static void test_probe_last(void **state)
{
	(void)state;
	credit_send(3);
	credit_expect_last(0, 3);
	peer_expect_between(&app.peer, 200 * CREDIT_MS, 201 * CREDIT_MS, "P. %u:%u(1000)", SEQ(2), SEQ(3));
	assert_int_equal(app_counters(&app)->tcp_tail_probes, 1);
	/* 7.3: only one, then the timeout */
	peer_expect_between(&app.peer, 300 * CREDIT_MS, 301 * CREDIT_MS, ". 1:1001(1000)");
	assert_int_equal(app_counters(&app)->tcp_timeouts, 1);
}

/* 7.2: a peer may delay the acknowledgement of a single segment, but the probe comes at the latest with the RTO. */
static void test_probe_single(void **state)
{
	(void)state;
	credit_send(1);
	credit_expect_last(0, 1);
	peer_expect_between(&app.peer, 300 * CREDIT_MS, 301 * CREDIT_MS, "P. 1:1001(1000)");
	assert_int_equal(app_counters(&app)->tcp_tail_probes, 1);
	assert_int_equal(app_counters(&app)->tcp_timeouts, 0);
}

/* 7.3: new data if there is some, whatever the congestion window says. */
static void test_probe_new(void **state)
{
	(void)state;
	credit_send(12);
	credit_expect(0, 10);
	peer_expect_between(&app.peer, 200 * CREDIT_MS, 201 * CREDIT_MS, ". %u:%u(1000)", SEQ(10), SEQ(11));
	assert_int_equal(app_counters(&app)->tcp_tail_probes, 1);
	assert_int_equal(app_counters(&app)->tcp_retransmitted, 0);
}

/* The last of three is lost, and the probe repairs it. */
static void probe_repairs(void)
{
	begin(0, 3);
	peer_send(&app.peer, ". ack %u", SEQ(2));
	peer_expect(&app.peer, "P. %u:%u(1000)", SEQ(2), SEQ(3));
	peer_run(&app.peer, 100 * CREDIT_MS);
	assert_int_equal(app_counters(&app)->tcp_tail_probes, 1);
}

/* 7.4: nobody else has seen the loss: the window has to shrink. */
static void test_loss_by_probe(void **state)
{
	(void)state;
	probe_repairs();
	peer_send(&app.peer, ". ack %u", SEQ(3));
	assert_int_equal(app_info(&app).ssthresh, UINT32_MAX);
	begin(3, 2);
	peer_send(&app.peer, ". ack %u", SEQ(5)); /* no D-SACK meanwhile */
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 1);
	assert_int_equal(credit_cwnd(), 2);
}

/* With a D-SACK, or a second acknowledgement of a peer that knows none, both have arrived. */
static void test_no_loss_by_probe(void **state)
{
	(void)state;
	probe_repairs();
	peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u>", SEQ(3), SEQ(2), SEQ(3));
	begin(3, 2);
	peer_send(&app.peer, ". ack %u", SEQ(5));
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 0);
}

static void test_no_loss_by_probe_twice(void **state)
{
	(void)state;
	probe_repairs();
	peer_send(&app.peer, ". ack %u", SEQ(3));
	peer_send(&app.peer, ". ack %u", SEQ(3));
	begin(3, 2);
	peer_send(&app.peer, ". ack %u", SEQ(5));
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 0);
}

/* The probe's answer is a SACK: fast recovery, and one reduction alone. */
static void test_loss_seen_by_probe(void **state)
{
	(void)state;
	credit_send(5);
	credit_expect_last(0, 5);
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u", SEQ(1));
	peer_expect(&app.peer, "P. %u:%u(1000)", SEQ(4), SEQ(5));
	peer_run(&app.peer, 100 * CREDIT_MS);
	sack(1, 4, 5);
	credit_expect(1, 2);
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u <nop,nop,sack %u:%u>", SEQ(3), SEQ(4), SEQ(5));
	credit_expect(3, 1);
	peer_run(&app.peer, 100 * CREDIT_MS);
	peer_send(&app.peer, ". ack %u", SEQ(5));
	begin(5, 2);
	peer_send(&app.peer, ". ack %u", SEQ(7));
	assert_int_equal(app_counters(&app)->tcp_fast_recoveries, 1);
	assert_int_equal(app_counters(&app)->tcp_timeouts, 0);
}

int main(void)
{
	static bool tlp = true;
#define RACK(test) cmocka_unit_test_setup_teardown(test, setup, app_teardown)
#define TLP(test)  {#test, test, setup, app_teardown, &tlp}
	const struct CMUnitTest tests[] = {
		RACK(test_window),
		RACK(test_threshold),
		RACK(test_reordering_seen),
		RACK(test_not_reordered),
		RACK(test_dsack),
		RACK(test_ambiguous),
		RACK(test_ambiguous_echo),
		RACK(test_sacked_echo),
		RACK(test_lost_again),
		RACK(test_timeout),
		RACK(test_reduced_twice),
		TLP(test_probe_last),
		TLP(test_probe_single),
		TLP(test_probe_new),
		TLP(test_loss_by_probe),
		TLP(test_no_loss_by_probe),
		TLP(test_no_loss_by_probe_twice),
		TLP(test_loss_seen_by_probe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
