// SPDX-License-Identifier: Apache-2.0
/* Segments by hand: what is built reads back as the same, text and frames alike. */
#include "tests/net/fixture.h"

#include <errno.h>
#include <string.h>

#include "tests/net/segment.h"

static void check_text(const char *text, bool ip6)
{
	struct segment_pattern pattern;
	struct segment segment;
	const char *where;
	uint8_t frame[SEGMENT_FRAME_MAX];
	char printed[SEGMENT_TEXT_MAX];
	assert_int_equal(segment_read(&pattern, text, &where), 0);
	if (!ip6) {
		pattern.segment.source = fixture_ip(false, 1);
		pattern.segment.target = fixture_ip(false, 2);
	}
	const size_t length = segment_build(&pattern.segment, frame);
	assert_int_equal(segment_parse(&segment, frame, length, &where), 0);
	assert_true(segment_fits(&pattern, &segment));
	segment_print(&segment, printed);
	assert_string_equal(printed, text);
}

static void test_text(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"S 0:0(0) win 65535 <mss 1460,sackOK,TS val 7 ecr 9,wscale 7>",
		"S. 4294967295:4294967295(0) ack 1 win 0 <mss 65535>",
		"FP. 4294967290:4(10) ack 4294967295 win 17",
		". 1:1(0) ack 1 win 1 <TS val 1 ecr 2,sack 1:2 3:4 5:4294967295>",
		". 1:1(0) ack 1 win 1 <sack 1:2 3:4 5:6 7:8>",
		"R 5:5(0) win 0",
		"SEW 0:0(0) win 1 ecn ect0",
		".U 1:2(1) ack 1 win 1 urg 1 ecn ce",
		".N 1:2(1) ack 1 win 1 ecn ect1",
		"- 1:2(1) win 1",
		"S 0:0(0) win 1 <hex fe04f989>",
	};
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		check_text(texts[i], false);
		check_text(texts[i], true);
	}
}

static bool fits(const char *pattern_text, const char *segment_text)
{
	struct segment_pattern pattern, segment;
	const char *where;
	assert_int_equal(segment_read(&pattern, pattern_text, &where), 0);
	assert_int_equal(segment_read(&segment, segment_text, &where), 0);
	return segment_fits(&pattern, &segment.segment);
}

static void test_patterns(void **state)
{
	(void)state;
	static const char segment[] = "S. 7:9(2) ack 5 win 10 ecn ect0 <mss 1460,sackOK,TS val 3 ecr 4,wscale 2>";
	static const char *const good[] = {
		"S.",
		"S. 7:9(2)",
		"S. *:*(2)",
		"S. 7:*(*) ack * win *",
		"S. 7:9(*)",
		"S. <...>",
		"S. <mss 1460,...>",
		"S. <mss *,TS val * ecr 4,...> win 10",
		"S. <mss 1460,nop,wscale 2,sackOK,nop,nop,TS val 3 ecr 4>",
		"S. ecn ect0",
	};
	static const char *const bad[] = {
		"S",
		"S.P",
		"S. 8:*(*)",
		"S. *:*(1)",
		"S. 7:8(*)",
		"S. ack 4",
		"S. win 11",
		"S. <>",
		"S. <mss 1460>",
		"S. <mss 1459,...>",
		"S. <wscale 3,...>",
		"S. <TS val 4 ecr *,...>",
		"S. <TS val * ecr 3,...>",
		"S. <sack 1:2,...>",
		"S. ecn none",
		"S. ecn ce",
	};
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(fits(good[i], segment));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(fits(bad[i], segment));
}

static void test_no_pattern(void **state)
{
	(void)state;
	static const char *const texts[] = {"",		  "X",		 "S.x",
					    "S 1",	  "S 1:2(2)",	 "S 1:1(0",
					    "S win",	  "S win 65536", "S ecn",
					    "S <mss>",	  "S <mss 1",	 "S <TS val 1>",
					    "S <sack>",	  "S <hex >",	 "S <sack 1:2 3:4 5:6 7:8 9:10>",
					    "S ack 1 foo"};
	struct segment_pattern pattern;
	const char *where;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(segment_read(&pattern, texts[i], &where), -EINVAL);
}

static void test_rebase(void **state)
{
	(void)state;
	struct segment segment = {.seq = 5, .ack = 2, .flags = SEGMENT_ACK, .sack_count = 1, .sack = {{4, 6}}};
	segment_rebase(&segment, UINT32_MAX - 4, UINT32_MAX);
	assert_int_equal(segment.seq, 10);
	assert_int_equal(segment.ack, 3);
	assert_int_equal(segment.sack[0].left, 5);
	assert_int_equal(segment.sack[0].right, 7);
	segment = (struct segment){.seq = 5, .flags = SEGMENT_RST};
	segment_rebase(&segment, 5, 1000);
	assert_int_equal(segment.ack, 0);
}

/* What is asked to be wrong is, and each wrong thing is found. */
static void test_wrong(void **state)
{
	(void)state;
	static const struct {
		struct segment segment;
		bool ip6;
		const char *why;
	} cases[] = {
		{{.tcp_checksum_error = 1, .length = 3}, false, "TCP checksum"},
		{{.tcp_checksum_error = 0x8000, .length = 3}, true, "TCP checksum"},
		{{.ip_checksum_error = 1}, false, "IPv4 checksum"},
		{{.ip_length_error = 1}, false, "IPv4 length"},
		{{.ip_length_error = 1}, true, "IPv6 length"},
		{{.ip_length_error = -1}, false, "shorter than a TCP header"},
		{{.data_offset = 4}, false, "TCP data offset"},
		{{.data_offset = 6}, true, "TCP data offset"},
		{{.raw = {2, 5, 1, 1}, .raw_length = 4}, false, "TCP option length"},
		{{.raw = {1, 1, 1, 2}, .raw_length = 4}, false, "TCP option length"},
		{{.raw = {8, 1, 0, 0}, .raw_length = 4}, false, "TCP option length"},
	};
	uint8_t frame[SEGMENT_FRAME_MAX];
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct segment segment = cases[i].segment, read;
		const char *why;
		segment.source = fixture_ip(cases[i].ip6, 1);
		segment.target = fixture_ip(cases[i].ip6, 2);
		const size_t length = segment_build(&segment, frame);
		assert_int_equal(segment_parse(&read, frame, length, &why), -EBADMSG);
		assert_string_equal(why, cases[i].why);
	}
}

/* Any cut and any single flipped bit behind the Ethernet header is noticed, or is no matter of TCP. */
static void test_spoiled(void **state)
{
	(void)state;
	for (unsigned ip6 = 0; ip6 < 2; ip6++) {
		const struct segment segment = {.source = fixture_ip(ip6, 1),
						.target = fixture_ip(ip6, 2),
						.seq = 77,
						.flags = SEGMENT_ACK,
						.options = SEGMENT_TS,
						.length = 40};
		uint8_t frame[SEGMENT_FRAME_MAX];
		struct segment read;
		const char *why;
		const size_t length = segment_build(&segment, frame);
		for (size_t cut = 0; cut < length; cut++)
			assert_int_not_equal(segment_parse(&read, frame, cut, &why), 0);
		for (size_t bit = ip6 ? (size_t)(14 + 8) * 8 : (size_t)14 * 8; bit < length * 8; bit++) {
			frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
			assert_int_not_equal(segment_parse(&read, frame, length, &why), 0);
			frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
		assert_int_equal(segment_parse(&read, frame, length, &why), 0);
	}
}

/* An error is no TCP segment; its quotation is one again. */
static void test_icmp(void **state)
{
	(void)state;
	for (unsigned ip6 = 0; ip6 < 2; ip6++) {
		const struct segment quoted = {.source = fixture_ip(ip6, 1),
					       .target = fixture_ip(ip6, 2),
					       .seq = 99,
					       .source_port = 7,
					       .length = 500};
		const struct segment_icmp icmp = {.type = 3, .code = 4, .rest = 1400, .quoted_most = 2000};
		const size_t headers = 14 + (ip6 ? 40 : 20) + 8;
		uint8_t frame[SEGMENT_FRAME_MAX], about[SEGMENT_FRAME_MAX] = {0};
		struct segment read;
		const char *why;
		const size_t length = segment_build_icmp(&icmp, &quoted, frame);
		assert_int_equal(segment_parse(&read, frame, length, &why), -EPROTONOSUPPORT);
		assert_memory_equal(&read.source, &quoted.target, sizeof(read.source));
		assert_memory_equal(&read.target, &quoted.source, sizeof(read.target));
		/* the same Ethernet type in front of what was quoted */
		memcpy(about, frame, 14);
		memcpy(about + 14, frame + headers, length - headers);
		assert_int_equal(segment_parse(&read, about, 14 + length - headers, &why), 0);
		assert_int_equal(read.seq, 99);
		assert_int_equal(read.source_port, 7);
		assert_int_equal(read.length, 500);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),   cmocka_unit_test(test_patterns), cmocka_unit_test(test_no_pattern),
		cmocka_unit_test(test_rebase), cmocka_unit_test(test_wrong),	cmocka_unit_test(test_spoiled),
		cmocka_unit_test(test_icmp),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
