// SPDX-License-Identifier: Apache-2.0
/*
 * The parser of TCP options. The input is what follows the fixed header, the data offset included by its first byte: 0
 * to 15 words, or the least that holds all. Promises: nothing beyond the header is read, what comes out is in range,
 * and the same input gives the same result.
 */
#include "fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/tcp_segment.h"

enum { SEGMENT_MAX = TCP_HEADER + 64 };

static void check(const struct tcp_segment *segment)
{
	RB_ASSERT(segment->scale == TCP_SCALE_NONE || segment->scale <= TCP_SCALE_MAX);
	RB_ASSERT_LE(segment->sack_count, (unsigned)TCP_SACK_BLOCKS_MAX);
	RB_ASSERT_LE(segment->options_length, (unsigned)TCP_OPTIONS_MAX);
	for (unsigned i = 0; i < segment->sack_count; i++)
		RB_ASSERT((int32_t)(segment->sacks[i].right - segment->sacks[i].left) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	size_t length = TCP_HEADER + size - 1 < SEGMENT_MAX ? TCP_HEADER + size - 1 : SEGMENT_MAX;
	unsigned words = data[0] < 16 ? data[0] : (unsigned)(length + 3) / 4;
	uint8_t *bytes = calloc(1, length); /* exactly so many: a sanitizer sees every byte read too many */
	RB_ASSERT(bytes != NULL);
	bytes[12] = (uint8_t)(words << 4);
	memcpy(bytes + TCP_HEADER, data + 1, length - TCP_HEADER);
	const struct rb_net_packet packet = {.data = bytes, .length = (uint16_t)length};
	const struct ip_packet ip = {.packet = &packet, .length = (uint16_t)length, .protocol = IP_PROTOCOL_TCP};
	struct tcp_segment first = {0}, second = {0};
	if (tcp_segment_read(&first, &ip)) {
		tcp_segment_options(&first);
		check(&first);
		RB_ASSERT(tcp_segment_read(&second, &ip));
		tcp_segment_options(&second);
		/* the same again: nothing of the first reading is left in the segment */
		RB_ASSERT_EQ(first.has_timestamps, second.has_timestamps);
		RB_ASSERT_EQ(first.tsval, second.tsval);
		RB_ASSERT_EQ(first.tsecr, second.tsecr);
		RB_ASSERT_EQ(first.mss, second.mss);
		RB_ASSERT_EQ(first.scale, second.scale);
		RB_ASSERT_EQ(first.sack_permitted, second.sack_permitted);
		RB_ASSERT_EQ(first.sack_count, second.sack_count);
	}
	free(bytes);
	return 0;
}
