// SPDX-License-Identifier: Apache-2.0
#include "tests/net/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { HOST_END = 0, PEER_END = 1, HOST_PORT = 80, PEER_PORT = 40000, WINDOW = 65535 };

struct peer_frame {
	uint64_t time_ns;
	struct segment segment; /* its payload is below */
	uint8_t bytes[];
};

/* Fails the test with the place of a caller; what the host has left does not matter any more. */
static __attribute__((format(printf, 4, 5), noreturn)) void fail_at(struct peer *peer, const char *file, int line,
								    const char *format, ...)
{
	char text[1024];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	peer->failed = true;
	print_error("%s\n", text);
	_fail(file, line);
	abort(); /* not reached: cmocka does not say that its function does not return */
}

static void fail_bad(struct peer *peer, const uint8_t *frame, size_t length, const char *why)
{
	char hex[3 * 160 + 1] = "";
	for (size_t i = 0; i < length && i < 160; i++)
		snprintf(hex + 3 * i, 4, "%02x%c", frame[i], i % 32 == 31 ? '\n' : ' ');
	fail_at(peer, __FILE__, __LINE__, "the host has sent a bad packet: %s\n%s", why, hex);
}

/* Keeps each TCP segment of the host. It must be a good one, whatever the test is about. */
static void receive(void *context, const uint8_t *frame, size_t length)
{
	struct peer *peer = context;
	struct peer_frame *kept = malloc(sizeof(*kept) + length);
	const char *why;
	RB_ASSERT(kept != NULL);
	memcpy(kept->bytes, frame, length);
	kept->time_ns = peer->timeline.now_ns;
	const int status = segment_parse(&kept->segment, kept->bytes, length, &why);
	if (status != 0 || kept->segment.target_port != peer->port || peer->failed) {
		free(kept); /* neighbour discovery and the like */
		if (status == -EBADMSG && !peer->failed)
			fail_bad(peer, frame, length, why);
		return;
	}
	RB_ASSERT_LT(peer->queue_count, (unsigned)PEER_QUEUE);
	peer->queue[(peer->queue_first + peer->queue_count++) % PEER_QUEUE] = kept;
}

void peer_open(struct peer *peer, bool ip6, const struct host_config *config)
{
	struct host_config defaults;
	if (config == NULL) {
		host_config_default(&defaults, HOST_END);
		config = &defaults;
	}
	*peer = (struct peer){
		.port = PEER_PORT,
		.host_port = HOST_PORT,
		.window = WINDOW,
		.seed = PEER_PORT,
		.patience_ns = 3 * LINK_NS_PER_S,
		.ip6 = ip6,
	};
	const struct link_config link = {0};
	timeline_open(&peer->timeline, LINK_NS_PER_S);
	link_open(&peer->link, &peer->timeline, 1, "peer", &link);
	link_attach(&peer->link, PEER_END, receive, peer);
	host_open(&peer->host, &peer->timeline, &peer->link, 1, config);
	uint8_t mac[6];
	const struct rb_ip ip = fixture_ip(ip6, PEER_END + 1);
	fixture_mac(mac, PEER_END + 1);
	assert_int_equal(rb_net_neighbour_set(peer->host.net[0], &ip, mac), 0);
	peer_run(peer, 0);
}

static struct peer_frame *take_first(struct peer *peer)
{
	struct peer_frame *frame = peer->queue[peer->queue_first];
	peer->queue_first = (peer->queue_first + 1) % PEER_QUEUE;
	peer->queue_count--;
	return frame;
}

void peer_forget(struct peer *peer)
{
	while (peer->queue_count > 0)
		free(take_first(peer));
}

void peer_close(struct peer *peer)
{
	if (!peer->failed)
		peer_expect_nothing(peer, 0);
	if (!peer->failed)
		host_close(&peer->host);
	else
		host_abandon(&peer->host);
	peer_forget(peer);
	link_close(&peer->link);
	timeline_close(&peer->timeline);
	free(peer->last_frame);
	*peer = (struct peer){0};
}

struct rb_endpoint peer_endpoint(const struct peer *peer)
{
	return (struct rb_endpoint){fixture_ip(peer->ip6, PEER_END + 1), peer->port};
}

struct rb_endpoint peer_host_endpoint(const struct peer *peer)
{
	return (struct rb_endpoint){fixture_ip(peer->ip6, HOST_END + 1), peer->host_port};
}

void peer_run(struct peer *peer, uint64_t ns)
{
	timeline_run(&peer->timeline, peer->timeline.now_ns + ns, NULL, NULL);
}

/*
 * Sending.
 */

void peer_send_segment(struct peer *peer, const struct segment *given)
{
	uint8_t frame[SEGMENT_FRAME_MAX];
	static const struct rb_ip none;
	struct segment segment = *given;
	fixture_mac(segment.source_mac, PEER_END + 1);
	fixture_mac(segment.target_mac, HOST_END + 1);
	if (memcmp(&segment.source, &none, sizeof(none)) == 0)
		segment.source = fixture_ip(peer->ip6, PEER_END + 1);
	if (memcmp(&segment.target, &none, sizeof(none)) == 0)
		segment.target = fixture_ip(peer->ip6, HOST_END + 1);
	if (segment.source_port == 0)
		segment.source_port = peer->port;
	if (segment.target_port == 0)
		segment.target_port = peer->host_port;
	link_send(&peer->link, PEER_END, frame, segment_build(&segment, frame));
	peer_run(peer, 0);
}

void peer_send_icmp(struct peer *peer, const struct segment_icmp *icmp, uint32_t seq)
{
	uint8_t frame[SEGMENT_FRAME_MAX];
	struct segment quoted = {
		.source = fixture_ip(peer->ip6, HOST_END + 1),
		.target = fixture_ip(peer->ip6, PEER_END + 1),
		.source_port = peer->host_port,
		.target_port = peer->port,
		.seq = (peer->absolute ? 0 : peer->irs) + seq,
		.ack = peer->iss + peer->snd_nxt,
		.flags = SEGMENT_ACK,
		.length = 100,
	};
	fixture_mac(quoted.source_mac, HOST_END + 1);
	fixture_mac(quoted.target_mac, PEER_END + 1);
	link_send(&peer->link, PEER_END, frame, segment_build_icmp(icmp, &quoted, frame));
	peer_run(peer, 0);
}

/* What the text has not mentioned; numbers are relative still, or absolute if all are. */
static void complete(const struct peer *peer, const struct segment_pattern *pattern, struct segment *segment)
{
	const uint32_t base = peer->absolute ? peer->iss : 0;
	if ((pattern->given & SEGMENT_GIVEN_SEQ) == 0)
		segment->seq = base + peer->snd_nxt;
	if ((pattern->given & SEGMENT_GIVEN_ACK) == 0 && (segment->flags & SEGMENT_ACK) != 0)
		segment->ack = (peer->absolute ? peer->irs : 0) + peer->rcv_nxt;
	if ((pattern->given & SEGMENT_GIVEN_WINDOW) == 0)
		segment->window = peer->window;
	if ((pattern->given & SEGMENT_GIVEN_ECN) == 0)
		segment->ecn = peer->ecn;
	if ((pattern->given & SEGMENT_GIVEN_OPTIONS) == 0 && peer->timestamps) {
		segment->options |= SEGMENT_TS;
		segment->ts_val = peer->ts_val;
		segment->ts_ecr = peer->ts_recent;
	}
	if ((pattern->given & SEGMENT_GIVEN_MORE) != 0)
		fail_msg("\"...\" is for expectations");
}

static __attribute__((format(printf, 5, 0))) void read_text(struct peer *peer, const char *file, int line,
							    struct segment_pattern *pattern, const char *format,
							    va_list arguments)
{
	char text[SEGMENT_TEXT_MAX];
	const char *where;
	vsnprintf(text, sizeof(text), format, arguments);
	if (segment_read(pattern, text, &where) != 0)
		fail_at(peer, file, line, "cannot read \"%s\" of \"%s\"", where, text);
}

void peer_send(struct peer *peer, const char *format, ...)
{
	uint8_t payload[SEGMENT_FRAME_MAX];
	struct segment_pattern pattern;
	va_list arguments;
	va_start(arguments, format);
	read_text(peer, __FILE__, __LINE__, &pattern, format, arguments);
	va_end(arguments);

	struct segment segment = pattern.segment;
	complete(peer, &pattern, &segment);
	if (!peer->absolute)
		segment_rebase(&segment, 0U - peer->iss, 0U - peer->irs);
	const uint32_t relative = segment.seq - peer->iss;
	/* a SYN takes the number before the first byte */
	fixture_fill(payload, segment.length, peer->seed, relative - ((segment.flags & SEGMENT_SYN) != 0 ? 0 : 1));
	segment.payload = payload;
	const uint32_t end =
		relative + segment.length + ((segment.flags & SEGMENT_SYN) != 0) + ((segment.flags & SEGMENT_FIN) != 0);
	if ((int32_t)(end - peer->snd_nxt) > 0)
		peer->snd_nxt = end;
	peer_send_segment(peer, &segment);
}

/*
 * Expecting.
 */

static bool has_come(void *context)
{
	const struct peer *peer = context;
	return peer->queue_count > 0;
}

/* Notes what the segment tells the peer, and makes its numbers relative. */
static void note(struct peer *peer, struct segment *segment)
{
	if ((segment->flags & SEGMENT_SYN) != 0) {
		peer->irs = segment->seq;
		peer->irs_known = true;
	}
	if ((segment->options & SEGMENT_TS) != 0)
		peer->ts_recent = segment->ts_val;
	const uint32_t seq = segment->seq - peer->irs;
	const uint32_t end =
		seq + segment->length + ((segment->flags & SEGMENT_SYN) != 0) + ((segment->flags & SEGMENT_FIN) != 0);
	if (peer->irs_known && (int32_t)(seq - peer->rcv_nxt) <= 0 && (int32_t)(end - peer->rcv_nxt) > 0)
		peer->rcv_nxt = end;
	if (!peer->absolute)
		segment_rebase(segment, peer->irs_known ? peer->irs : 0, peer->iss);
}

static uint64_t us(uint64_t ns)
{
	return ns / LINK_NS_PER_US;
}

void peer_expect_within(const char *file, int line, struct peer *peer, uint64_t from_ns, uint64_t to_ns,
			const char *format, ...)
{
	struct segment_pattern pattern;
	char wanted[SEGMENT_TEXT_MAX], text[SEGMENT_TEXT_MAX];
	va_list arguments, again;
	va_start(arguments, format);
	va_copy(again, arguments);
	vsnprintf(wanted, sizeof(wanted), format, again);
	va_end(again);
	read_text(peer, file, line, &pattern, format, arguments);
	va_end(arguments);

	const uint64_t now_ns = peer->timeline.now_ns;
	if (!timeline_run(&peer->timeline, now_ns + to_ns, has_come, peer))
		fail_at(peer, file, line, "expected: %s\nbut nothing came within %" PRIu64 " us", wanted, us(to_ns));
	free(peer->last_frame);
	peer->last_frame = take_first(peer);
	peer->last = peer->last_frame->segment;
	peer->last_ns = peer->last_frame->time_ns;
	note(peer, &peer->last);
	segment_print(&peer->last, text);
	if (!segment_fits(&pattern, &peer->last))
		fail_at(peer, file, line, "expected: %s\n    came: %s", wanted, text);
	if (peer->last_ns < now_ns + from_ns)
		fail_at(peer, file, line, "%" PRIu64 " us too early came: %s", us(now_ns + from_ns - peer->last_ns),
			text);
}

void peer_expect_quiet(const char *file, int line, struct peer *peer, uint64_t ns)
{
	char text[SEGMENT_TEXT_MAX];
	const uint64_t now_ns = peer->timeline.now_ns;
	if (!timeline_run(&peer->timeline, now_ns + ns, has_come, peer))
		return;
	struct peer_frame *frame = take_first(peer);
	struct segment segment = frame->segment;
	note(peer, &segment);
	segment_print(&segment, text);
	const uint64_t after_ns = frame->time_ns > now_ns ? frame->time_ns - now_ns : 0;
	free(frame);
	fail_at(peer, file, line, "expected nothing for %" PRIu64 " us, but after %" PRIu64 " us came: %s", us(ns),
		us(after_ns), text);
}

void peer_check_bytes(const char *file, int line, struct peer *peer, uint64_t seed)
{
	size_t at;
	const uint32_t seq = peer->last.seq - (peer->absolute ? peer->irs : 0);
	if (!fixture_check(peer->last.payload, peer->last.length, seed, seq - 1, &at))
		fail_at(peer, file, line, "the payload of segment %" PRIu32 " is wrong from byte %zu on", seq, at);
}

void peer_handshake(struct peer *peer, const char *options)
{
	peer_send(peer, "S 0:0(0) <%s>", options);
	peer_expect(peer, "S. 0:0(0) ack 1");
	peer_send(peer, ".");
}

void peer_accept(struct peer *peer, const char *options)
{
	peer_expect(peer, "S 0:0(0)");
	peer_send(peer, "S. 0:0(0) <%s>", options);
	peer_expect(peer, ". 1:1(0) ack 1");
}
