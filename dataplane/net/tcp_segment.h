// SPDX-License-Identifier: Apache-2.0
/* A received segment, read once (RFC 9293 3.1, 3.2). Nothing in it is trusted yet. */
#pragma once

#include "net/packet.h"
#include "net/tcb.h"

enum {
	TCP_HEADER = 20,      /* bytes without options */
	TCP_OPTIONS_MAX = 40, /* bytes */
	TCP_TIMESTAMPS = 12,  /* bytes of the timestamps option, aligned by two NOPs (RFC 7323, appendix A) */
	TCP_SCALE_MAX = 14,   /* RFC 7323 2.3 */
	TCP_SCALE_NONE = 0xff,
	TCP_MSS_DEFAULT = 536, /* RFC 9293 3.7.1; IPv6 1220 */
	TCP_MSS_DEFAULT6 = 1220,
};

enum tcp_header_flags {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
	TCP_URG = 32,
	TCP_ECE = 64,
	TCP_CWR = 128,
};

enum tcp_option_kind {
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	TCP_OPTION_SCALE = 3,
	TCP_OPTION_SACK_PERMITTED = 4,
	TCP_OPTION_SACK = 5,
	TCP_OPTION_TIMESTAMPS = 8,
};

struct tcp_segment {
	const struct ip_packet *ip;
	const uint8_t *data; /* the payload, in the packet */
	uint32_t seq, ack;
	uint32_t length; /* bytes of payload; becomes less when the segment is trimmed to the window */
	uint16_t window; /* unscaled */
	uint16_t local_port, remote_port;
	uint8_t flags; /* enum tcp_header_flags */
	uint8_t options_length;
	/* options; those of SYN segments are filled in for all */
	bool has_timestamps, sack_permitted;
	uint8_t scale; /* TCP_SCALE_NONE: none; at most TCP_SCALE_MAX */
	uint8_t sack_count;
	uint16_t mss; /* 0: none */
	uint32_t tsval, tsecr;
	struct tcp_range sacks[TCP_SACK_BLOCKS_MAX];
};

/* SYN and FIN take a sequence number each. */
static inline uint32_t tcp_segment_length(const struct tcp_segment *segment)
{
	return segment->length + ((segment->flags & TCP_SYN) != 0) + ((segment->flags & TCP_FIN) != 0);
}

/* Reads the fixed header. False: its data offset contradicts the packet's length. */
static inline bool tcp_segment_read(struct tcp_segment *segment, const struct ip_packet *ip)
{
	const uint8_t *header = ip_packet_l4(ip);
	unsigned offset = (unsigned)(header[12] >> 4) * 4;
	if (offset < TCP_HEADER || offset > ip->length)
		return false;
	segment->ip = ip;
	segment->remote_port = load16(header);
	segment->local_port = load16(header + 2);
	segment->seq = load32(header + 4);
	segment->ack = load32(header + 8);
	segment->flags = header[13];
	segment->window = load16(header + 14);
	segment->options_length = (uint8_t)(offset - TCP_HEADER);
	segment->data = header + offset;
	segment->length = ip->length - offset;
	return true;
}

/*
 * Reads the options. What is malformed ends the list, as if it were not there (RFC 9293 MUST-7: no crash; RFC 1122
 * 4.2.2.5); unknown kinds are skipped by their length.
 */
void tcp_segment_options(struct tcp_segment *segment);
