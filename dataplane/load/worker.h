// SPDX-License-Identifier: Apache-2.0
/*
 * One thread of the load generator: a context, its connections, its schedule and its record, driven step by step.
 *
 * Phases:
 *   OPENING  connections are opened at a bounded rate until all are up or the time for it is over
 *   FILLING  memcached, if wanted: this thread's share of the keys is stored, with every slot of every connection in
 *            use
 *   READY    waits for the common start time, see struct rb_run
 *   RUNNING  requests are sent as the schedule says: warm-up, then the measured window
 *   RUNDOWN  everything due before the end of the window has been handed over; waits for the outstanding replies,
 *            with a deadline
 *   ENDING   connections are closed (FIN both ways; RST where a reply is still missing), with a deadline
 *   DONE
 *
 * A request that is due is *handed over* in intended order: to a connection with room, else to a bounded queue. Its
 * lateness is the time of the hand-over (read once per batch, after the batch) minus the intended time: what the
 * generator itself was late. Waiting in the queue is back-pressure of the peer, or a connection being opened: part
 * of the latency, not of the lateness. A request for which the queue has no place is dropped, counted (errors.other,
 * overflow), and makes the point invalid.
 *
 * rb_worker_step() does one turn and never blocks beyond the next thing that is due, so tests run it on virtual time
 * with a back-end of their own.
 */
#pragma once

#include "load/pool.h"
#include "load/recorder.h"
#include "load/schedule.h"
#include "user/context.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum rb_worker_phase {
	RB_WORKER_OPENING,
	RB_WORKER_FILLING,
	RB_WORKER_READY,
	RB_WORKER_RUNNING,
	RB_WORKER_RUNDOWN,
	RB_WORKER_ENDING,
	RB_WORKER_DONE,
};

/* Shared by all workers and the thread that started them. */
struct rb_run {
	_Atomic uint32_t ready;	   /* workers that have reached READY (or have ended before) */
	_Atomic uint64_t start_ns; /* common start of the schedule; 0: not known yet */
	_Atomic bool interrupted;  /* end now, keep what there is */
};

struct rb_worker_config {
	const struct rb_protocol *protocol; /* borrowed, as everything below */
	struct rb_run *run;
	unsigned thread;
	unsigned threads;
	uint64_t seed;			  /* streams 3 * thread … of it: schedule, workload, think times */
	struct rb_context_config context; /* sizes are filled in by the worker */
	struct rb_pool_config pool;
	struct rb_schedule_config schedule; /* arrival.thread and .threads are filled in; tokens where it is 0 */
	struct rb_recorder_config recorder;
	uint64_t open_timeout_ns;
	bool fill;
	uint64_t fill_timeout_ns;
	uint64_t warmup_ns;
	uint64_t rundown_ns;
	uint32_t queue_limit;
};

/* For progress lines; written by the worker every 20 ms, and in the end; read from anywhere. */
struct rb_worker_progress {
	_Atomic uint32_t phase;
	_Atomic uint32_t open;
	_Atomic uint64_t sent, completed, late, filled;
};

struct rb_worker {
	struct rb_worker_config config;
	struct rb_context *context; /* owned */
	struct rb_pool pool;
	struct rb_schedule schedule;
	struct rb_recorder recorder;
	struct rb_random random; /* workload */
	enum rb_worker_phase phase;
	uint64_t phase_deadline_ns; /* of the current phase, where it has one */
	uint64_t measured_end_ns;
	uint64_t timer_ns; /* deadline the context knows */
	uint64_t now_ns;   /* of the current turn, or of its batch of events */
	/* Requests handed over for which no connection has room yet: ring of intended times. */
	uint64_t *queue; /* owned */
	uint32_t queue_capacity, queue_head, queue_length, queue_peak;
	uint64_t sequence;	       /* of the next request */
	uint64_t outstanding_measured; /* sent, no reply yet */
	uint64_t fill_next, fill_outstanding;
	uint64_t open_ns, fill_ns; /* how long the phases took */
	uint64_t requests_total;   /* replies of the whole life: fill, warm-up, run-down */
	uint32_t open_at_start;	   /* connections that were up when OPENING ended */
	bool fill_complete;
	bool queue_overflowed;
	bool is_behind; /* the command array had no room for all that connections wanted: that comes first in the next turn */
	int failure; /* -errno of the back-end, or 0 */
	struct rb_worker_progress progress;
	uint64_t published_ns;
};

/* Takes all memory and creates the context. Returns 0, -EINVAL, -ENOMEM or what rb_context_create said. */
int rb_worker_init(struct rb_worker *w, const struct rb_worker_config *config);

/* Frees everything but is safe on a zeroed worker. */
void rb_worker_free(struct rb_worker *w);

/* One turn. Returns true while there is more to do; false when DONE (w->failure tells whether the back-end broke). */
bool rb_worker_step(struct rb_worker *w);
