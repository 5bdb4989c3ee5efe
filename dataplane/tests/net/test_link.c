// SPDX-License-Identifier: Apache-2.0
/* The simulated link: what it promises about rate, delay, order, faults and repeatability. */
#include "tests/net/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/net/link.h"

enum { GOT_MAX = 20000, FRAME = 1000 };

struct got {
	uint64_t time_ns;
	uint32_t number; /* in the payload */
	uint16_t length;
	uint8_t ecn;
	int status; /* of parsing */
};

struct bench {
	struct timeline timeline;
	struct link link;
	uint32_t sent;
	unsigned count; /* of what came to end 1 */
	struct got got[GOT_MAX];
};

static struct bench bench;

static void collect(void *context, const uint8_t *frame, size_t length)
{
	struct bench *b = context;
	struct segment segment;
	const char *why;
	assert_true(b->count < GOT_MAX);
	struct got *got = &b->got[b->count++];
	*got = (struct got){.time_ns = b->timeline.now_ns, .length = (uint16_t)length};
	got->status = segment_parse(&segment, frame, length, &why);
	if (got->status == 0) {
		got->ecn = segment.ecn;
		got->number = segment.seq;
	}
}

static void open_bench(uint64_t seed, const struct link_config *config)
{
	bench.sent = 0;
	bench.count = 0;
	timeline_open(&bench.timeline, LINK_NS_PER_S);
	link_open(&bench.link, &bench.timeline, seed, "link", config);
	link_attach(&bench.link, 1, collect, &bench);
}

static void close_bench(void)
{
	timeline_run(&bench.timeline, UINT64_MAX, NULL, NULL);
	link_close(&bench.link);
	timeline_close(&bench.timeline);
	timeline_open(&bench.timeline, 0);
}

/* A frame of `size` bytes with the next number. */
static void send(size_t size, uint8_t ecn, bool ip6)
{
	uint8_t frame[SEGMENT_FRAME_MAX];
	struct segment segment = {
		.source = fixture_ip(ip6, 1),
		.target = fixture_ip(ip6, 2),
		.seq = bench.sent++,
		.flags = SEGMENT_ACK,
		.ecn = ecn,
		.length = (uint32_t)(size - (ip6 ? 74 : 54)),
	};
	fixture_mac(segment.source_mac, 1);
	fixture_mac(segment.target_mac, 2);
	assert_int_equal(segment_build(&segment, frame), size);
	link_send(&bench.link, 0, frame, size);
}

static void run(uint64_t ns)
{
	timeline_run(&bench.timeline, bench.timeline.now_ns + ns, NULL, NULL);
}

static const struct link_counters *counters(void)
{
	return &bench.link.to[1].counters;
}

/* At 7 Mbit/s a frame takes a time that is no whole number of ns: they add up without error. */
static void test_rate_and_delay(void **state)
{
	(void)state;
	const struct link_config config = {.rate_bps = 7000000, .delay_ns = 20 * LINK_NS_PER_MS};
	open_bench(1, &config);
	for (unsigned i = 0; i < 700; i++)
		send(FRAME, 0, false);
	run(2 * LINK_NS_PER_S);
	assert_int_equal(bench.count, 700);
	for (uint64_t i = 0; i < 700; i++) {
		const uint64_t on_wire = (i + 1) * FRAME * 8 * LINK_NS_PER_S / 7000000;
		assert_int_equal(bench.got[i].time_ns, LINK_NS_PER_S + on_wire + 20 * LINK_NS_PER_MS);
		assert_int_equal(bench.got[i].number, i);
	}
	/* after a pause the wire is free: nothing of the pause is made up for */
	send(FRAME, 0, false);
	run(LINK_NS_PER_S);
	assert_int_equal(bench.got[700].time_ns,
			 3 * LINK_NS_PER_S + (uint64_t)FRAME * 8 * 1000 / 7 + 20 * LINK_NS_PER_MS);
	close_bench();
}

static void test_queue_bounds(void **state)
{
	(void)state;
	struct link_config config = {.rate_bps = 8000000, .queue_bytes = 10 * FRAME}; /* a frame per ms */
	open_bench(1, &config);
	for (unsigned i = 0; i < 15; i++)
		send(FRAME, 0, false);
	assert_int_equal(counters()->queue_dropped, 5);
	run(3 * LINK_NS_PER_MS - 1); /* two are out, the third not wholly */
	for (unsigned i = 0; i < 5; i++)
		send(FRAME, 0, false);
	assert_int_equal(counters()->queue_dropped, 5 + 3);
	close_bench();

	config = (struct link_config){.rate_bps = 8000000, .queue_packets = 4};
	open_bench(1, &config);
	for (unsigned i = 0; i < 10; i++)
		send(60 + i, 0, false);
	assert_int_equal(counters()->queue_dropped, 6);
	close_bench();
}

static void test_marking(void **state)
{
	(void)state;
	struct link_config config = {.rate_bps = 8000000, .mark_bytes = 3 * FRAME};
	for (unsigned ip6 = 0; ip6 < 2; ip6++) {
		for (uint8_t ecn = 0; ecn < 4; ecn++) {
			open_bench(1, &config);
			for (unsigned i = 0; i < 6; i++)
				send(FRAME, ecn, ip6);
			run(LINK_NS_PER_S);
			assert_int_equal(bench.count, 6);
			for (unsigned i = 0; i < 6; i++) {
				assert_int_equal(bench.got[i].status, 0); /* the header checksum was mended */
				assert_int_equal(bench.got[i].ecn, i >= 3 && ecn != 0 ? SEGMENT_CE : ecn);
			}
			assert_int_equal(counters()->marked, ecn == 0 ? 0 : 3);
			close_bench();
		}
	}
	config.mark_drops = true;
	open_bench(1, &config);
	for (unsigned i = 0; i < 6; i++)
		send(FRAME, i % 2 == 0 ? SEGMENT_NOT_ECT : SEGMENT_ECT0, false);
	run(LINK_NS_PER_S);
	assert_int_equal(counters()->mark_dropped, 1);
	assert_int_equal(counters()->marked, 2);
	close_bench();
}

static void send_many(unsigned count, uint64_t gap_ns)
{
	for (unsigned i = 0; i < count; i++) {
		send(100, 0, false);
		run(gap_ns);
	}
	run(10 * LINK_NS_PER_S);
}

/* Of 10,000 draws at 5 %, the standard deviation is 22; the seed is fixed, the bound five of it. */
static void test_chance(void **state)
{
	(void)state;
	const double p = 0.05;
	const struct link_config config = {.loss = p, .duplicate = p, .corrupt = p, .truncate = p};
	open_bench(2, &config);
	send_many(10000, LINK_NS_PER_US);
	const struct link_counters *c = counters();
	assert_in_range(c->lost, 390, 610);
	assert_in_range(c->duplicated, 370, 590);
	assert_in_range(c->corrupted, 370, 590);
	assert_in_range(c->truncated, 370, 590);
	assert_int_equal(c->sent, 10000);
	assert_int_equal(c->delivered, c->sent - c->lost + c->duplicated);
	assert_int_equal(c->delivered, bench.count);
	/* what is neither cut nor corrupted is whole; what is corrupted is so in the 14 bytes of Ethernet, or is found */
	unsigned bad = 0;
	for (unsigned i = 0; i < bench.count; i++)
		bad += bench.got[i].status != 0;
	assert_in_range(bad, (c->corrupted + c->truncated) * 8 / 10, c->corrupted + c->truncated);
	close_bench();
}

/* Whichever bits it flips in a frame, they are found behind the Ethernet header. */
static void test_corruption(void **state)
{
	(void)state;
	const struct link_config config = {.corrupt = 1.0};
	open_bench(3, &config);
	for (unsigned i = 0; i < 15000; i++)
		send(100, 0, false);
	run(0);
	unsigned passed = 0;
	for (unsigned i = 0; i < bench.count; i++)
		passed += bench.got[i].status == 0;
	/* within the addresses of Ethernet alone: 12 of 100 bytes */
	assert_in_range(passed, 15000 * 9 / 100, 15000 * 13 / 100);
	close_bench();

	uint8_t arp[42] = {[12] = 0x08, [13] = 0x06};
	open_bench(3, &config);
	link_send(&bench.link, 0, arp, sizeof(arp));
	assert_int_equal(counters()->corrupted, 0);
	close_bench();
}

static unsigned overtaken(void)
{
	unsigned count = 0;
	for (unsigned i = 1; i < bench.count; i++)
		count += bench.got[i].number < bench.got[i - 1].number;
	return count;
}

static void test_jitter(void **state)
{
	(void)state;
	const uint64_t ms = LINK_NS_PER_MS;
	struct link_config config = {.delay_ns = 10 * ms, .jitter_ns = 5 * ms};
	open_bench(4, &config);
	send_many(2000, ms);
	assert_int_equal(bench.count, 2000);
	assert_true(overtaken() > 100);
	uint64_t least = UINT64_MAX, most = 0;
	for (unsigned i = 0; i < bench.count; i++) {
		const uint64_t delay = bench.got[i].time_ns - LINK_NS_PER_S - bench.got[i].number * ms;
		least = delay < least ? delay : least;
		most = delay > most ? delay : most;
	}
	assert_in_range(least, 5 * ms, 5 * ms + ms / 10);
	assert_in_range(most, 15 * ms - ms / 10, 15 * ms);
	close_bench();

	config = (struct link_config){.delay_ns = 10 * ms, .ordered_jitter_ns = 5 * ms};
	open_bench(4, &config);
	send_many(2000, ms);
	assert_int_equal(bench.count, 2000);
	assert_int_equal(overtaken(), 0);
	close_bench();
}

static void test_reordering(void **state)
{
	(void)state;
	const uint64_t ms = LINK_NS_PER_MS;
	struct link_config config = {.reorder = 0.01, .reorder_packets = 3, .reorder_ns = LINK_NS_PER_S};
	open_bench(5, &config);
	send_many(2000, ms);
	assert_int_equal(bench.count, 2000);
	assert_in_range(counters()->reordered, 5, 40);
	assert_true(overtaken() >= counters()->reordered / 2);
	for (unsigned i = 1; i + 1 < bench.count; i++) {
		/* a straggler comes right after the third that has overtaken it */
		if (bench.got[i].number < bench.got[i - 1].number)
			assert_int_equal(bench.got[i].time_ns, bench.got[i - 1].time_ns);
	}
	close_bench();

	config = (struct link_config){.reorder = 1.0, .reorder_packets = 3, .reorder_ns = 7 * ms};
	open_bench(5, &config); /* all wait, and so none is overtaken */
	send(100, 0, false);
	send(100, 0, false);
	run(LINK_NS_PER_S);
	assert_int_equal(bench.count, 2);
	assert_int_equal(bench.got[0].time_ns, LINK_NS_PER_S + 7 * ms);
	close_bench();
}

static bool even(const struct segment *segment, void *context)
{
	unsigned *calls = context;
	++*calls;
	return segment->seq % 2 == 0;
}

static void test_scripts(void **state)
{
	(void)state;
	unsigned calls = 0;
	const struct link_config config = {.delay_ns = 10};
	open_bench(6, &config);
	link_script(&bench.link, 1,
		    (struct link_rule){.fits = even, .context = &calls, .action = LINK_DROP, .first = 2, .count = 2});
	link_script(&bench.link, 1, (struct link_rule){.action = LINK_DELAY, .delay_ns = 5, .first = 1});
	link_script(&bench.link, 1, (struct link_rule){.action = LINK_DUPLICATE, .delay_ns = 7, .first = 3});
	link_script(&bench.link, 1, (struct link_rule){.action = LINK_MARK, .first = 2, .count = 5});
	link_script(&bench.link, 1, (struct link_rule){.action = LINK_CORRUPT, .first = 20});
	for (unsigned i = 0; i < 7; i++)
		send(100, SEGMENT_ECT0, false);
	run(100);
	/* 2 and 4 dropped; 0 late; the third that is left, 3, twice, the second time late */
	static const uint32_t order[] = {1, 3, 5, 6, 0, 3};
	static const uint64_t times[] = {10, 10, 10, 10, 15, 17};
	assert_int_equal(bench.count, 6);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(bench.got[i].number, order[i]);
		assert_int_equal(bench.got[i].time_ns, LINK_NS_PER_S + times[i]);
	}
	assert_int_equal(bench.got[0].ecn, SEGMENT_CE);
	assert_int_equal(bench.got[4].ecn, SEGMENT_ECT0);
	assert_int_equal(calls, 7);
	assert_int_equal(counters()->scripted, 2 + 1 + 1 + 4);
	close_bench();
}

static uint64_t trace_of(uint64_t seed)
{
	const struct link_config config = {
		.rate_bps = 10000000,
		.delay_ns = 1000000,
		.jitter_ns = 900000,
		.queue_packets = 20,
		.loss = 0.1,
		.duplicate = 0.1,
		.corrupt = 0.1,
		.truncate = 0.1,
		.reorder = 0.1,
		.reorder_packets = 2,
		.reorder_ns = 1000000,
	};
	open_bench(seed, &config);
	for (unsigned i = 0; i < 1000; i++) {
		send(100 + i, 0, false);
		run(i * UINT64_C(2000));
	}
	timeline_run(&bench.timeline, UINT64_MAX, NULL, NULL);
	const uint64_t hash = bench.link.hash;
	close_bench();
	return hash;
}

static void test_repeats(void **state)
{
	(void)state;
	assert_true(trace_of(7) == trace_of(7));
	assert_true(trace_of(7) != trace_of(8));
}

/* A fault falls on the same frames whatever else happens. */
static void test_streams_apart(void **state)
{
	(void)state;
	uint32_t numbers[2000];
	struct link_config config = {.loss = 0.1};
	open_bench(9, &config);
	send_many(2000, 10);
	const unsigned count = bench.count;
	for (unsigned i = 0; i < count; i++)
		numbers[i] = bench.got[i].number;
	close_bench();
	config.ordered_jitter_ns = 1000;
	config.truncate = 0.0;
	config.corrupt = 0.3;
	open_bench(9, &config);
	send_many(2000, 10);
	assert_int_equal(bench.count, count);
	for (unsigned i = 0; i < count; i++)
		assert_true(bench.got[i].status != 0 || bench.got[i].number == numbers[i]);
	close_bench();
}

/* The trace: its header, and one record per frame at each end. */
static void test_trace(void **state)
{
	(void)state;
	char directory[] = "/tmp/net-link-XXXXXX", path[64];
	uint32_t words[6 + 4];
	assert_non_null(mkdtemp(directory));
	assert_int_equal(setenv(LINK_TRACE_VARIABLE, directory, 1), 0);
	const struct link_config config = {.delay_ns = 5};
	open_bench(1, &config);
	assert_int_equal(unsetenv(LINK_TRACE_VARIABLE), 0);
	send(100, 0, false);
	run(10);
	close_bench();
	for (unsigned end = 0; end < 2; end++) {
		snprintf(path, sizeof(path), "%s/link-%u.pcap", directory, end);
		FILE *file = fopen(path, "rbe");
		assert_non_null(file);
		assert_int_equal(fread(words, sizeof(words), 1, file), 1);
		assert_int_equal(words[0], 0xa1b23c4d);
		assert_int_equal(words[5], 1);
		assert_int_equal(words[6], 1);
		assert_int_equal(words[7], end == 0 ? 0 : 5);
		assert_int_equal(words[8], 100);
		assert_int_equal(words[9], 100);
		assert_int_equal(fseek(file, 0, SEEK_END), 0);
		assert_int_equal(ftell(file), sizeof(words) + 100);
		assert_int_equal(fclose(file), 0);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate_and_delay), cmocka_unit_test(test_queue_bounds),
		cmocka_unit_test(test_marking),	       cmocka_unit_test(test_chance),
		cmocka_unit_test(test_corruption),     cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_reordering),     cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_repeats),	       cmocka_unit_test(test_streams_apart),
		cmocka_unit_test(test_trace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
