// SPDX-License-Identifier: Apache-2.0
/*
 * A full-duplex link between two ports in virtual time, with all the faults of a network. A frame that is sent goes
 * through these, in this order, each way on its own:
 *     scripted faults    rules of a test: the n-th frame that fits
 *     queue              as long as the rate requires; full: dropped; long: marked, where the packet permits (RFC 3168)
 *     rate               the time on the wire is its bytes times 8 / rate_bps, exactly: fractions of ns add up
 *     chance             loss, corruption, truncation, duplication, reordering, each with a random stream of its own
 *     delay              propagation and jitter
 *     reordering         some wait until others have overtaken them
 * The rate counts the bytes of the frame as it is given (no preamble, FCS or gap).
 */
#pragma once

#include "base/random.h"
#include "net/net.h"
#include "tests/net/segment.h"
#include "tests/net/timeline.h"

#define LINK_NS_PER_US UINT64_C(1000)
#define LINK_NS_PER_MS UINT64_C(1000000)
#define LINK_NS_PER_S  UINT64_C(1000000000)

/* The environment variable that names a directory for traces; LABEL-END.pcap is what the port at END sent and got. */
#define LINK_TRACE_VARIABLE "RB_NET_TRACE"
/* Bytes that a trace keeps of each frame; not set: all. */
#define LINK_SNAP_VARIABLE "RB_NET_TRACE_BYTES"

/* One direction. All zero: at once, without limit, without fault. */
struct link_config {
	uint64_t rate_bps;	    /* bits/s; 0: infinite */
	uint64_t delay_ns;	    /* propagation */
	uint64_t jitter_ns;	    /* added: uniform in +- this, at least 0 in all; frames may overtake each other */
	uint64_t ordered_jitter_ns; /* added: uniform in 0 .. this; frames never overtake each other by it */
	/* The queue: what waits for the wire or is on its way onto it. */
	uint32_t queue_bytes;	/* more is dropped; 0: no bound */
	uint32_t queue_packets; /* likewise */
	uint32_t mark_bytes;	/* a frame that finds so many bytes or more is marked; 0: never */
	bool mark_drops;	/* what cannot be marked is dropped instead */
	double loss, duplicate, corrupt, truncate, reorder; /* probabilities */
	/* A frame picked for reordering waits until so many later ones have arrived (0: any number), or for so long. */
	unsigned reorder_packets;
	uint64_t reorder_ns;
	/* Corruption flips bits in a burst shorter than 16, which no Internet checksum misses (RFC 1071). Frames that
	 * have no checksum but Ethernet's own (ARP) are not corrupted unless this is set. */
	bool corrupt_all;
};

struct link_counters {
	uint64_t sent, delivered; /* frames */
	uint64_t bytes;		  /* delivered */
	uint64_t lost, queue_dropped, mark_dropped, marked, duplicated, reordered, corrupted, truncated;
	uint64_t scripted;   /* times that a rule has acted */
	uint64_t queued_sum; /* bytes that frames have found in the queue, added up over the frames */
};

/* A test's own faults. */
enum link_action { LINK_DROP, LINK_DUPLICATE, LINK_DELAY, LINK_MARK, LINK_CORRUPT };

struct link_rule {
	/* Whether the frame fits; NULL: any. What is no TCP segment has flags 0 and ports 0. */
	bool (*fits)(const struct segment *segment, void *context);
	void *context;
	enum link_action action;
	unsigned first;	   /* of those that fit, from 1; 0 is 1 too */
	unsigned count;	   /* so many from there on; 0 is 1 */
	uint64_t delay_ns; /* of LINK_DELAY: more than the others; of LINK_DUPLICATE: of the second one */
	unsigned seen;	   /* the link's own: frames that have fit */
};

enum { LINK_RULES_MAX = 16 };

/* What is at an end of the link. The frame is the link's, and lasts for the call. */
typedef void link_deliver(void *context, const uint8_t *frame, size_t length);

enum link_fault { LINK_LOSS, LINK_TWICE, LINK_BITS, LINK_CUT, LINK_HOLD, LINK_JITTER, LINK_STREAMS };

struct link_frame;
struct link_waiting;

struct link_direction {
	struct link *link;
	struct link_config config;
	struct link_counters counters;
	struct link_rule rules[LINK_RULES_MAX];
	unsigned rules_count;
	struct rb_random random[LINK_STREAMS];
	/* the wire: busy until so many ns and so many 1/rate_bps of a ns */
	uint64_t busy_ns, busy_fraction;
	uint64_t last_ns; /* latest arrival of a frame that kept its place */
	/* frames not yet wholly on the wire, oldest first, in a ring */
	struct link_waiting *waiting;
	unsigned waiting_first, waiting_count, waiting_room;
	uint64_t queued_bytes, queued_bytes_max;
	struct link_frame *held;   /* that wait to be overtaken */
	struct link_frame *flying; /* all, to free them at the end */
	link_deliver *deliver;
	void *context;
};

struct link {
	struct timeline *timeline;
	struct link_direction to[2]; /* to[1]: from port 0 to port 1 */
	struct pcap *trace[2];
	uint64_t hash; /* of all frames delivered, in order, with their times */
};

/* `label` names the traces. Both directions have `config` at first. */
void link_open(struct link *link, struct timeline *timeline, uint64_t seed, const char *label,
	       const struct link_config *config);
void link_close(struct link *link);

/* Who gets what arrives at that end (0 or 1). */
void link_attach(struct link *link, unsigned end, link_deliver *deliver, void *context);

/* Changes the way to that end, for frames sent from now on. */
void link_configure(struct link *link, unsigned end, const struct link_config *config);

/* Adds a rule for the way to that end. */
void link_script(struct link *link, unsigned end, struct link_rule rule);

/* Sends from that end. */
void link_send(struct link *link, unsigned end, const uint8_t *frame, size_t length);
