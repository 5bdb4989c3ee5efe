// SPDX-License-Identifier: Apache-2.0
#include "tests/net/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/net/pcap.h"

enum {
	ETHERNET = 14,
	TYPE_AT = 12,
	ECN_CE = 3,
	CORRUPT_BITS_MAX = 15,
};

struct link_waiting {
	uint64_t off_ns; /* when it is wholly on the wire */
	uint64_t bytes;
};

struct link_frame {
	struct link_direction *way;
	struct link_frame *next, **previous; /* among the flying */
	struct link_frame *next_held;
	unsigned overtakers; /* it waits for so many; 0: for its time only */
	bool held;
	size_t length;
	uint8_t bytes[];
};

void link_open(struct link *link, struct timeline *timeline, uint64_t seed, const char *label,
	       const struct link_config *config)
{
	*link = (struct link){.timeline = timeline, .hash = UINT64_C(0xcbf29ce484222325)};
	const char *directory = getenv(LINK_TRACE_VARIABLE), *snap = getenv(LINK_SNAP_VARIABLE);
	const uint32_t snap_bytes = snap != NULL ? (uint32_t)strtoul(snap, NULL, 10) : UINT16_MAX;
	for (unsigned end = 0; end < 2; end++) {
		struct link_direction *way = &link->to[end];
		way->link = link;
		link_configure(link, end, config);
		for (unsigned i = 0; i < LINK_STREAMS; i++)
			rb_random_init(&way->random[i], seed, end * LINK_STREAMS + i);
		if (directory != NULL) {
			char path[512];
			snprintf(path, sizeof(path), "%s/%s-%u.pcap", directory, label, end);
			link->trace[end] = pcap_open(path, snap_bytes);
		}
	}
}

void link_close(struct link *link)
{
	for (unsigned end = 0; end < 2; end++) {
		struct link_direction *way = &link->to[end];
		while (way->flying != NULL) {
			struct link_frame *frame = way->flying;
			way->flying = frame->next;
			free(frame);
		}
		free(way->waiting);
		pcap_close(link->trace[end]);
	}
	*link = (struct link){.timeline = link->timeline, .hash = link->hash};
}

void link_attach(struct link *link, unsigned end, link_deliver *deliver, void *context)
{
	link->to[end].deliver = deliver;
	link->to[end].context = context;
}

void link_configure(struct link *link, unsigned end, const struct link_config *config)
{
	RB_ASSERT(config->reorder == 0.0 || config->reorder_ns > 0); /* a last frame would wait for ever */
	link->to[end].config = *config;
}

void link_script(struct link *link, unsigned end, struct link_rule rule)
{
	struct link_direction *way = &link->to[end];
	RB_ASSERT_LT(way->rules_count, (unsigned)LINK_RULES_MAX);
	rule.seen = 0;
	way->rules[way->rules_count++] = rule;
}

static bool happens(struct link_direction *way, enum link_fault fault, double probability)
{
	return probability > 0.0 && rb_random_unit(&way->random[fault]) < probability;
}

static uint16_t type_of(const struct link_frame *frame)
{
	if (frame->length < ETHERNET)
		return 0;
	return (uint16_t)((unsigned)frame->bytes[TYPE_AT] << 8 | frame->bytes[TYPE_AT + 1]);
}

/*
 * Marking (RFC 3168 section 5): CE in place of ECT, and the header checksum of IPv4 changed by as much (RFC 1624),
 * so that one that was wrong stays wrong.
 */
static bool mark(struct link_frame *frame)
{
	uint8_t *ip = frame->bytes + ETHERNET;
	if (type_of(frame) == 0x0800 && frame->length >= ETHERNET + 20) {
		const uint8_t before = ip[1];
		if ((before & 3) == 0)
			return false;
		ip[1] |= ECN_CE;
		const uint32_t sum = (uint16_t)~((unsigned)ip[10] << 8 | ip[11]) + (uint32_t)(ip[1] - before);
		const uint16_t checksum = segment_checksum(sum);
		ip[10] = (uint8_t)(checksum >> 8);
		ip[11] = (uint8_t)checksum;
		return true;
	}
	if (type_of(frame) == 0x86dd && frame->length >= ETHERNET + 40 && (ip[1] & 0x30) != 0) {
		ip[1] |= ECN_CE << 4;
		return true;
	}
	return false;
}

static void corrupt(struct link_direction *way, struct link_frame *frame)
{
	struct rb_random *random = &way->random[LINK_BITS];
	const uint64_t bits = frame->length * 8;
	const unsigned width = 1 + (unsigned)rb_random_below(random, CORRUPT_BITS_MAX);
	const uint64_t at = rb_random_below(random, bits - width + 1);
	const uint64_t ends = UINT64_C(1) | UINT64_C(1) << (width - 1); /* a burst is flipped at both ends at least */
	const uint64_t flips = (rb_random_u64(random) & (ends | (ends - 1))) | ends;
	for (unsigned i = 0; i < width; i++) {
		if ((flips >> i & 1U) != 0)
			frame->bytes[(at + i) / 8] ^= (uint8_t)(0x80U >> (at + i) % 8);
	}
	way->counters.corrupted++;
}

static struct link_frame *frame_new(struct link_direction *way, const uint8_t *bytes, size_t length)
{
	struct link_frame *frame = malloc(sizeof(*frame) + length);
	RB_ASSERT(frame != NULL);
	*frame = (struct link_frame){.way = way, .length = length, .next = way->flying, .previous = &way->flying};
	if (frame->next != NULL)
		frame->next->previous = &frame->next;
	way->flying = frame;
	memcpy(frame->bytes, bytes, length);
	return frame;
}

static void frame_free(struct link_frame *frame)
{
	*frame->previous = frame->next;
	if (frame->next != NULL)
		frame->next->previous = frame->previous;
	free(frame);
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return hash;
}

static void hand_over(struct link_direction *way, const struct link_frame *frame)
{
	struct link *link = way->link;
	const unsigned end = (unsigned)(way - link->to);
	const uint64_t head[3] = {link->timeline->now_ns, end, frame->length};
	link->hash = hash_bytes(link->hash, (const uint8_t *)head, sizeof(head));
	link->hash = hash_bytes(link->hash, frame->bytes, frame->length);
	way->counters.delivered++;
	way->counters.bytes += frame->length;
	if (link->trace[end] != NULL)
		pcap_write(link->trace[end], link->timeline->now_ns, frame->bytes, frame->length);
	if (way->deliver != NULL)
		way->deliver(way->context, frame->bytes, frame->length);
}

/* A frame has arrived in its turn: those that have been overtaken often enough by it come now. */
static void release_held(struct link_direction *way)
{
	for (struct link_frame **place = &way->held; *place != NULL;) {
		struct link_frame *frame = *place;
		if (frame->overtakers == 0 || --frame->overtakers > 0) {
			place = &frame->next_held;
			continue;
		}
		*place = frame->next_held;
		frame->held = false;
		hand_over(way, frame);
		frame->length = 0; /* freed when its time comes */
	}
}

static void arrive(void *context, void *argument)
{
	struct link_direction *way = context;
	struct link_frame *frame = argument;
	const bool held = frame->held;
	for (struct link_frame **place = &way->held; held; place = &(*place)->next_held) {
		if (*place == frame) {
			*place = frame->next_held;
			break;
		}
	}
	if (frame->length > 0) {
		hand_over(way, frame);
		if (!held)
			release_held(way);
	}
	frame_free(frame);
}

/* Delay, jitter, reordering. `off_ns`: when its last bit was on the wire. */
static void propagate(struct link_direction *way, struct link_frame *frame, uint64_t off_ns, uint64_t extra_ns,
		      bool hold)
{
	const struct link_config *config = &way->config;
	struct rb_random *random = &way->random[LINK_JITTER];
	uint64_t at_ns = off_ns + config->delay_ns;
	if (config->ordered_jitter_ns > 0) {
		at_ns += rb_random_below(random, config->ordered_jitter_ns + 1);
		if (at_ns < way->last_ns)
			at_ns = way->last_ns;
		way->last_ns = at_ns;
	}
	if (config->jitter_ns > 0) {
		const uint64_t jitter = rb_random_below(random, 2 * config->jitter_ns + 1);
		at_ns = at_ns + jitter > off_ns + config->jitter_ns ? at_ns + jitter - config->jitter_ns : off_ns;
	}
	at_ns += extra_ns;
	if (hold) {
		at_ns += config->reorder_ns;
		frame->held = true;
		frame->overtakers = config->reorder_packets;
		frame->next_held = way->held;
		way->held = frame;
		way->counters.reordered++;
	}
	timeline_at(way->link->timeline, at_ns, arrive, way, frame);
}

static bool has_checksum(const struct link_frame *frame)
{
	return type_of(frame) == 0x0800 || type_of(frame) == 0x86dd;
}

/* What chance does to a frame on the wire; drawn for each, so that a fault falls on the same frames with or without
 * the others. */
static void fly(struct link_direction *way, struct link_frame *frame, uint64_t off_ns, uint64_t extra_ns)
{
	const struct link_config *config = &way->config;
	const bool lost = happens(way, LINK_LOSS, config->loss);
	const bool twice = happens(way, LINK_TWICE, config->duplicate);
	const bool bits = happens(way, LINK_BITS, config->corrupt);
	const bool cut = happens(way, LINK_CUT, config->truncate);
	const bool hold = happens(way, LINK_HOLD, config->reorder);
	if (lost) {
		way->counters.lost++;
		frame_free(frame);
		return;
	}
	if (twice) {
		way->counters.duplicated++;
		propagate(way, frame_new(way, frame->bytes, frame->length), off_ns, extra_ns, false);
	}
	if (bits && frame->length >= ETHERNET && (config->corrupt_all || has_checksum(frame)))
		corrupt(way, frame);
	if (cut && frame->length > 1) {
		frame->length = 1 + rb_random_below(&way->random[LINK_CUT], frame->length - 1);
		way->counters.truncated++;
	}
	propagate(way, frame, off_ns, extra_ns, hold);
}

static void waiting_add(struct link_direction *way, uint64_t off_ns, uint64_t bytes)
{
	if (way->waiting_count == way->waiting_room) {
		const unsigned room = way->waiting_room == 0 ? 64 : 2 * way->waiting_room;
		struct link_waiting *ring = malloc(room * sizeof(ring[0]));
		RB_ASSERT(ring != NULL);
		for (unsigned i = 0; i < way->waiting_count; i++)
			ring[i] = way->waiting[(way->waiting_first + i) % way->waiting_room];
		free(way->waiting);
		way->waiting = ring;
		way->waiting_room = room;
		way->waiting_first = 0;
	}
	const unsigned place = (way->waiting_first + way->waiting_count++) % way->waiting_room;
	way->waiting[place] = (struct link_waiting){.off_ns = off_ns, .bytes = bytes};
	way->queued_bytes += bytes;
	if (way->queued_bytes > way->queued_bytes_max)
		way->queued_bytes_max = way->queued_bytes;
}

/* Takes what is wholly on the wire out of the queue. */
static void waiting_update(struct link_direction *way)
{
	while (way->waiting_count > 0 && way->waiting[way->waiting_first].off_ns <= way->link->timeline->now_ns) {
		way->queued_bytes -= way->waiting[way->waiting_first].bytes;
		way->waiting_first = (way->waiting_first + 1) % way->waiting_room;
		way->waiting_count--;
	}
}

/* Whether the queue takes the frame; may mark it. */
static bool enqueue(struct link_direction *way, struct link_frame *frame)
{
	const struct link_config *config = &way->config;
	waiting_update(way);
	way->counters.queued_sum += way->queued_bytes;
	if ((config->queue_bytes > 0 && way->queued_bytes + frame->length > config->queue_bytes) ||
	    (config->queue_packets > 0 && way->waiting_count >= config->queue_packets)) {
		way->counters.queue_dropped++;
		return false;
	}
	if (config->mark_bytes > 0 && way->queued_bytes >= config->mark_bytes) {
		if (mark(frame)) {
			way->counters.marked++;
		} else if (config->mark_drops) {
			way->counters.mark_dropped++;
			return false;
		}
	}
	return true;
}

/* Puts the frame on the wire after those before it; returns when its last bit is. */
static uint64_t transmit(struct link_direction *way, const struct link_frame *frame)
{
	const uint64_t rate = way->config.rate_bps;
	const uint64_t now_ns = way->link->timeline->now_ns;
	if (rate == 0)
		return now_ns;
	if (way->busy_ns < now_ns) {
		way->busy_ns = now_ns;
		way->busy_fraction = 0;
	}
	const uint64_t time = frame->length * 8 * LINK_NS_PER_S + way->busy_fraction;
	way->busy_ns += time / rate;
	way->busy_fraction = time % rate;
	waiting_add(way, way->busy_ns, frame->length);
	return way->busy_ns;
}

static void enter(struct link_direction *way, struct link_frame *frame, uint64_t extra_ns)
{
	if (!enqueue(way, frame)) {
		frame_free(frame);
		return;
	}
	fly(way, frame, transmit(way, frame), extra_ns);
}

/* Applies a rule; false: the frame is no more. */
static bool act(struct link_direction *way, struct link_frame *frame, const struct link_rule *rule, uint64_t *extra_ns)
{
	way->counters.scripted++;
	switch (rule->action) {
	case LINK_DROP:
		frame_free(frame);
		return false;
	case LINK_DUPLICATE:
		enter(way, frame_new(way, frame->bytes, frame->length), *extra_ns + rule->delay_ns);
		return true;
	case LINK_DELAY:
		*extra_ns += rule->delay_ns;
		return true;
	case LINK_MARK:
		(void)mark(frame);
		return true;
	case LINK_CORRUPT:
		corrupt(way, frame);
		return true;
	}
	return true;
}

void link_send(struct link *link, unsigned end, const uint8_t *bytes, size_t length)
{
	struct link_direction *way = &link->to[1 - end];
	uint64_t extra_ns = 0;
	RB_ASSERT_GT(length, (size_t)0);
	way->counters.sent++;
	if (link->trace[end] != NULL)
		pcap_write(link->trace[end], link->timeline->now_ns, bytes, length);
	struct link_frame *frame = frame_new(way, bytes, length);
	for (unsigned i = 0; i < way->rules_count; i++) {
		struct link_rule *rule = &way->rules[i];
		struct segment segment;
		const char *why;
		if (segment_parse(&segment, frame->bytes, frame->length, &why) != 0)
			segment.flags = segment.source_port = segment.target_port = 0;
		if (rule->fits != NULL && !rule->fits(&segment, rule->context))
			continue;
		const unsigned first = rule->first == 0 ? 1 : rule->first;
		const unsigned count = rule->count == 0 ? 1 : rule->count;
		if (++rule->seen >= first && rule->seen - first < count && !act(way, frame, rule, &extra_ns))
			return;
	}
	enter(way, frame, extra_ns);
}
