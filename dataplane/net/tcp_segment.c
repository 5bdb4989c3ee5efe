// SPDX-License-Identifier: Apache-2.0
#include "net/tcp_segment.h"

/* RFC 2018 3: pairs of edges. Blocks that are empty or reach backwards are dropped here, others judged by tcp_ack.c. */
static void sack_read(struct tcp_segment *segment, const uint8_t *at, unsigned length)
{
	for (; length >= 8 && segment->sack_count < TCP_SACK_BLOCKS_MAX; at += 8, length -= 8) {
		struct tcp_range range = {.left = load32(at), .right = load32(at + 4)};
		if ((int32_t)(range.right - range.left) > 0)
			segment->sacks[segment->sack_count++] = range;
	}
}

static inline void option_read(struct tcp_segment *segment, unsigned kind, const uint8_t *at, unsigned length)
{
	switch (kind) {
	case TCP_OPTION_MSS:
		if (length == 2)
			segment->mss = load16(at);
		break;
	case TCP_OPTION_SCALE:
		/* RFC 7323 2.3: more than 14 is taken as 14 */
		if (length == 1)
			segment->scale = at[0] > TCP_SCALE_MAX ? TCP_SCALE_MAX : at[0];
		break;
	case TCP_OPTION_SACK_PERMITTED:
		segment->sack_permitted |= length == 0;
		break;
	case TCP_OPTION_SACK:
		if (length % 8 == 0)
			sack_read(segment, at, length);
		break;
	case TCP_OPTION_TIMESTAMPS:
		if (length == 8) {
			segment->has_timestamps = true;
			segment->tsval = load32(at);
			segment->tsecr = load32(at + 4);
		}
		break;
	default:
		break;
	}
}

/*
 * Nearly all put each option at a word's beginning, with NOPs before what is shorter (RFC 7323, appendix A): these are
 * read by the word. Returns the first that is not so.
 */
static const uint8_t *aligned_read(struct tcp_segment *segment, const uint8_t *at, const uint8_t *end)
{
	enum { MSS = TCP_OPTION_MSS << 8 | 4, SCALE = 0x010000 | TCP_OPTION_SCALE << 8 | 3 };
	for (; end - at >= 4; at += 4) {
		uint32_t word = load32(at);
		if (word == 0x0101080a || word == 0x0402080a) { /* timestamps, after NOPs or SACK-permitted */
			if (end - at < TCP_TIMESTAMPS)
				return at;
			segment->sack_permitted |= at[0] == TCP_OPTION_SACK_PERMITTED;
			option_read(segment, TCP_OPTION_TIMESTAMPS, at + 4, 8);
			at += 8;
		} else if (word >> 16 == MSS) {
			option_read(segment, TCP_OPTION_MSS, at + 2, 2);
		} else if (word >> 8 == SCALE) {
			option_read(segment, TCP_OPTION_SCALE, at + 3, 1);
		} else if (word == 0x01010402) {
			segment->sack_permitted = true;
		} else {
			return at;
		}
	}
	return at;
}

void tcp_segment_options(struct tcp_segment *segment)
{
	const uint8_t *at = ip_packet_l4(segment->ip) + TCP_HEADER, *end = at + segment->options_length;

	segment->has_timestamps = segment->sack_permitted = false;
	segment->scale = TCP_SCALE_NONE;
	segment->sack_count = 0;
	segment->mss = 0;
	at = aligned_read(segment, at, end);
	while (at < end && *at != TCP_OPTION_END) {
		if (*at == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (end - at < 2 || at[1] < 2 || at[1] > end - at)
			return;
		option_read(segment, at[0], at + 2, at[1] - 2U);
		at += at[1];
	}
}
