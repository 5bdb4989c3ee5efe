// SPDX-License-Identifier: Apache-2.0
/*
 * TCP segments made by hand, and read. A struct segment is a whole frame: Ethernet, IPv4 or IPv6, TCP. Zero fields
 * get what is usual, and everything that is computed is right unless a field asks for something wrong.
 *
 * In text, a segment is
 *     FLAGS [SEQ:END(LENGTH)] [ack N] [win N] [urg N] [ecn none|ect0|ect1|ce] [<OPTION,OPTION,...>]
 *     S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 7 ecr 9,nop,wscale 7>
 * FLAGS are of "FSRP.UEWN", "." being ACK, E ECE, W CWR and N the one that was NS, or "-" for none at all. OPTION is
 * mss N, wscale N, sackOK, TS val N ecr N, sack A:B C:D ..., nop, or hex BYTES: the option bytes as they are.
 *
 * Such text, read as a pattern, fits a segment that has exactly these flags, and is like it in all that the text
 * mentions. A number may be "*" for any. If it mentions options then there may be no others, save that "..." as the
 * last one allows them; nop goes for nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/net.h"

enum {
	SEGMENT_FRAME_MAX = 9216,
	SEGMENT_TEXT_MAX = 320,
	SEGMENT_OPTIONS_MAX = 40,
	SEGMENT_SACK_MAX = 4,
};

enum segment_flags {
	SEGMENT_FIN = 1,
	SEGMENT_SYN = 2,
	SEGMENT_RST = 4,
	SEGMENT_PSH = 8,
	SEGMENT_ACK = 16,
	SEGMENT_URG = 32,
	SEGMENT_ECE = 64,
	SEGMENT_CWR = 128,
	SEGMENT_NS = 256,
};

enum segment_ecn { SEGMENT_NOT_ECT = 0, SEGMENT_ECT1 = 1, SEGMENT_ECT0 = 2, SEGMENT_CE = 3 }; /* RFC 3168 section 5 */

enum segment_options {
	SEGMENT_MSS = 1,
	SEGMENT_WSCALE = 2,
	SEGMENT_SACK_OK = 4,
	SEGMENT_TS = 8,
	SEGMENT_SACK = 16,
	SEGMENT_RAW = 32, /* read: an option of another kind, or of a wrong length */
};

struct segment_range {
	uint32_t left, right;
};

struct segment {
	uint8_t source_mac[6], target_mac[6];
	struct rb_ip source, target; /* both IPv4 or both IPv6 */
	uint8_t ttl;		     /* 0: 64 */
	uint8_t ecn;		     /* enum segment_ecn */
	uint16_t source_port, target_port;
	uint32_t seq, ack;
	uint16_t flags; /* enum segment_flags */
	uint16_t window;
	uint16_t urgent;
	uint16_t options; /* enum segment_options that are there */
	uint16_t mss;
	uint8_t wscale;
	uint8_t sack_count;
	uint32_t ts_val, ts_ecr;
	struct segment_range sack[SEGMENT_SACK_MAX];
	uint8_t raw[SEGMENT_OPTIONS_MAX]; /* all option bytes; to build: instead of the above, if there are any */
	uint8_t raw_length;		  /* bytes */
	const uint8_t *payload;		  /* to build: NULL is zeroes */
	uint32_t length;		  /* bytes of the payload */

	/* To build: what shall be wrong. */
	uint16_t ip_checksum_error;  /* added (as exclusive or) to the right one */
	uint16_t tcp_checksum_error; /* likewise */
	uint8_t data_offset;	     /* 32-bit words; 0: the right one */
	int16_t ip_length_error;     /* bytes, added to the length in the IP header */
};

/* Writes the frame; returns its bytes, at most SEGMENT_FRAME_MAX. */
size_t segment_build(const struct segment *segment, uint8_t frame[SEGMENT_FRAME_MAX]);

/* An ICMP or ICMPv6 error, by the protocol of the segment that it quotes. */
struct segment_icmp {
	uint8_t type, code;
	uint32_t rest;	      /* the four bytes after the checksum: an MTU, or 0 */
	struct rb_ip source;  /* zero: the target of the quoted segment; the error goes to its source */
	uint32_t quoted_most; /* bytes of the quoted IP packet; 0: IPv4 the header and 8 more, IPv6 all, up to 1232 */
	uint16_t checksum_error;
};

/* Writes a frame with that error about `quoted`, a segment of the host that will get it. Returns its bytes. */
size_t segment_build_icmp(const struct segment_icmp *icmp, const struct segment *quoted,
			  uint8_t frame[SEGMENT_FRAME_MAX]);

/*
 * Reads a frame; the payload stays in it. 0; -EPROTONOSUPPORT: not a TCP segment, and all that is known of Ethernet
 * and IP is filled in; -EBADMSG: a checksum or a length is wrong, and `*why` says which.
 */
int segment_parse(struct segment *segment, const uint8_t *frame, size_t length, const char **why);

/* Makes sequence numbers relative: takes one number from those of the sender, the other from those it answers. */
void segment_rebase(struct segment *segment, uint32_t sender, uint32_t receiver);

void segment_print(const struct segment *segment, char text[SEGMENT_TEXT_MAX]);

enum segment_given {
	SEGMENT_GIVEN_SEQ = 1,
	SEGMENT_GIVEN_LENGTH = 2,
	SEGMENT_GIVEN_ACK = 4,
	SEGMENT_GIVEN_WINDOW = 8,
	SEGMENT_GIVEN_URGENT = 16,
	SEGMENT_GIVEN_ECN = 32,
	SEGMENT_GIVEN_OPTIONS = 64, /* these and no others, ... */
	SEGMENT_GIVEN_MORE = 128,   /* ... or others too */
	SEGMENT_GIVEN_MSS = 256,
	SEGMENT_GIVEN_WSCALE = 512,
	SEGMENT_GIVEN_TS_VAL = 1024,
	SEGMENT_GIVEN_TS_ECR = 2048,
};

struct segment_pattern {
	struct segment segment;
	uint32_t given; /* enum segment_given */
};

/* Reads text. 0, or -EINVAL: then `*where` is the rest that makes no sense. */
int segment_read(struct segment_pattern *pattern, const char *text, const char **where);

bool segment_fits(const struct segment_pattern *pattern, const struct segment *segment);

/* Sum over 16-bit words in network byte order, without carries taken in (RFC 1071); and the checksum of such a sum. */
uint32_t segment_sum(const uint8_t *bytes, size_t length, uint32_t sum);
uint16_t segment_checksum(uint32_t sum);

/* Sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) of the IP header at `ip`. */
uint32_t segment_pseudo_sum(const uint8_t *ip, uint8_t protocol, uint32_t length);
