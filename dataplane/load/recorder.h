// SPDX-License-Identifier: Apache-2.0
/*
 * What one thread has measured. All memory is taken by rb_recorder_init; recording never allocates and never fails.
 *
 * The measured window is [start, start + duration). A request belongs to the measurement when its *intended* time
 * lies in the window; its latency is (reply - intended time), so a wait in the generator, in a queue before a full
 * connection or for a connection being opened is part of it: no coordinated omission (G. Tene). Requests of the
 * warm-up are not recorded, except that a reply that comes inside the window counts for the achieved rate, whichever
 * request it belongs to.
 *
 * Every measured request ends in exactly one of: completed, an error (reset, timeout, protocol, short, other),
 * unfinished. So
 *     scheduled == completed + errors of requests + unfinished.
 * A timeout (no reply within the time allowed, or at the end of the run-down) is entered into the latency histogram with
 * its age at that time, a lower bound: leaving it out would make a saturated server look fast. Requests that ended in
 * another error are not in the histogram.
 */
#pragma once

#include "base/histogram.h"
#include "load/protocol.h"

#include <stdbool.h>
#include <stdint.h>

enum { RB_RECORDER_PRECISION_BITS = 7 };

enum rb_load_error {
	RB_LOAD_ERROR_CONNECT,	/* attempts to open a connection that failed, at any time of the run */
	RB_LOAD_ERROR_RESET,	/* requests without a reply on a connection that the peer reset */
	RB_LOAD_ERROR_TIMEOUT,	/* no reply within the time allowed or at the end of the run-down, or TCP gave up */
	RB_LOAD_ERROR_PROTOCOL, /* a reply that is not the expected one, and requests behind it on that connection */
	RB_LOAD_ERROR_SHORT,	/* the peer closed in an orderly way before it had replied */
	RB_LOAD_ERROR_OTHER,	/* refused by the server, dropped from the full queue, or never sent by the generator */
	RB_LOAD_ERRORS
};

extern const char *const rb_load_error_names[]; /* ends with NULL */

struct rb_load_counters {
	uint64_t scheduled; /* measured requests that were due */
	uint64_t on_time, late;
	uint64_t sent;
	uint64_t completed;
	uint64_t completed_in_window;	     /* replies received in the window, of any request */
	uint64_t unfinished;		     /* cut off by an interruption */
	uint64_t bytes_sent, bytes_received; /* of measured requests and replies to them */
	uint64_t errors[RB_LOAD_ERRORS];
	uint64_t errors_unmeasured; /* of warm-up requests */
	uint64_t overflow;	    /* of the others: dropped, the queue was full */
	uint64_t unsent;	    /* of the others: never sent before the end of the run-down */
	uint64_t hits, misses, stored, refused;
	uint64_t connections_opened, connections_closed,
		connections_lost;     /* closed: FIN both ways; lost: any other end */
	uint64_t connections_aborted; /* by the generator, with a RST */
	uint64_t filled, fill_failed; /* keys of the fill phase */
};

struct rb_load_second {
	uint64_t sent, late;	     /* by intended time */
	uint64_t completed;	     /* by the time of the reply */
	struct rb_histogram latency; /* by intended time */
};

struct rb_recorder_config {
	uint64_t duration_ns;
	uint64_t late_after_ns;
	bool operations; /* GET and SET apart */
};

struct rb_recorder {
	struct rb_recorder_config config;
	uint64_t start_ns;
	uint64_t measured_ns; /* of the window; 0 until it is known when it begins */
	struct rb_load_counters counters;
	struct rb_histogram latency, lateness, get, set;
	struct rb_load_second *seconds; /* owned */
	uint32_t seconds_count;
};

/* Returns 0, -EINVAL (no duration) or -ENOMEM. */
int rb_recorder_init(struct rb_recorder *r, const struct rb_recorder_config *config);
void rb_recorder_free(struct rb_recorder *r);

/* The measured window begins at start_ns. Until then nothing is measured. */
void rb_recorder_start(struct rb_recorder *r, uint64_t start_ns);

static inline bool rb_recorder_measures(const struct rb_recorder *r, uint64_t intended_ns)
{
	return intended_ns - r->start_ns < r->measured_ns; /* what was before is huge */
}

/* A request that was due at intended_ns was handed to the send path (or to the queue before it) at now_ns. */
void rb_recorder_handed(struct rb_recorder *r, uint64_t intended_ns, uint64_t now_ns);

/* It was given to a connection. */
void rb_recorder_sent(struct rb_recorder *r, uint64_t intended_ns, uint32_t bytes);

/* Bytes of its reply came. */
void rb_recorder_received(struct rb_recorder *r, uint64_t intended_ns, uint64_t bytes);

/* Its reply is complete: status OK, MISS or REFUSED. */
void rb_recorder_reply(struct rb_recorder *r, uint64_t intended_ns, uint64_t now_ns, enum rb_operation operation,
		       enum rb_reply_status status);

/* It has failed; not for timeouts. */
void rb_recorder_error(struct rb_recorder *r, uint64_t intended_ns, enum rb_load_error error);

/* No reply within the time allowed, or at the end of the run-down. */
void rb_recorder_timeout(struct rb_recorder *r, uint64_t intended_ns, uint64_t now_ns, enum rb_operation operation);

/* The run was interrupted before its reply. */
void rb_recorder_unfinished(struct rb_recorder *r, uint64_t intended_ns);

/* Adds the record of another thread with the same configuration. Returns 0 or -EINVAL. */
int rb_recorder_merge(struct rb_recorder *into, const struct rb_recorder *from);
