// SPDX-License-Identifier: Apache-2.0
/*
 * The result of a run: validity and the JSON document, version 1. Times are integers in nanoseconds, rates and
 * shares are reals.
 *
 *   schema 1 | mode open, closed | arrival poisson, fixed, trace, closed | protocol | seed | threads | connections |
 *   rpcs_per_connection (0: unlimited) | depth | users (where they are limited) | message_bytes (0: memcached, where sizes vary)
 *   offered_rps         rate of the schedule in the window (0: closed loop) | warmup_ns | duration_ns | rundown_ns
 *   scheduled           measured requests: due in the window. scheduled == completed + errors except connect +
 *                       unfinished
 *   sent, completed     of them: given to a connection; answered, in the window or in the run-down
 *   completed_in_window replies that came within the window, of any request; achieved_rps = this / duration
 *   unfinished          cut off by a signal
 *   requests_total      all requests answered in the life of the process: fill, warm-up, window, run-down
 *   bytes_sent, bytes_received  of measured requests and of the replies to them
 *   adherence           late_after_ns, min_on_time, on_time, late, share = on_time / (on_time + late),
 *                       max_lateness_ns, histogram
 *   valid, reasons      false with at least one reason: the point must not be averaged in
 *   errors              by kind, see enum rb_load_error; errors_unmeasured: those of warm-up requests
 *   latency             HIST; latency_policy says what is in it
 *   per_operation       memcached: get and set HIST
 *   memcached           workload, keys, popularity, zipf_exponent, get_share, hits, misses, stored, refused, filled,
 *                       fill_failed
 *   service_time        spin: distribution, mean_ns, sigma (lognormal), scv = variance / mean^2
 *   series              per second of the window: second, sent, late and latencies by intended time, completed by
 *                       time of reply
 *   queue               limit, peak, dropped: requests that waited for a connection with room (per thread; the
 *                       largest peak)
 *   connection_events   opened, closed (FIN both ways), lost (ended by the peer or by an error), aborted (RST by the
 *                       generator)
 *   phases              open_ns, fill_ns: what opening and filling took (slowest thread)
 *   generator           backend, timing sleep, hybrid, poll | poll_before_ns, threads: index, connections, cpu_ns,
 *                       polls, empty_polls, syscalls by name
 *   HIST                unit "ns", precision_bits, count, min, max, mean, sum, buckets [[index, count]…]
 *                       (base/histogram.h), percentiles
 */
#pragma once

#include "base/json.h"
#include "load/config.h"
#include "load/recorder.h"

#include <stdbool.h>
#include <stdint.h>

enum { RB_RESULT_REASONS_MAX = 8, RB_RESULT_REASON_BYTES = 240 };

/* What is told of one thread. */
struct rb_result_thread {
	uint32_t connections;
	uint64_t cpu_ns;
	struct rb_context_stats stats;
};

struct rb_result {
	const struct rb_load_config *config; /* borrowed */
	double get_share;		     /* in force; memcached */
	struct rb_recorder total;	     /* owned; all threads */
	struct rb_result_thread threads[RB_LOAD_THREADS_MAX];
	uint64_t requests_total;
	uint64_t open_ns, fill_ns;
	uint32_t open_at_start;
	uint32_t queue_peak;
	bool fill_complete;   /* or no fill was asked for */
	bool trace_exhausted; /* the trace ended before the window */
	int failure;	      /* -errno of a back-end, or 0 */
	int signal;	      /* that interrupted the run, or 0 */
	unsigned reasons_count;
	char reasons[RB_RESULT_REASONS_MAX][RB_RESULT_REASON_BYTES];
};

/* Makes an empty result. Returns 0, -EINVAL or -ENOMEM. */
int rb_result_init(struct rb_result *result, const struct rb_load_config *config);
void rb_result_free(struct rb_result *result);

/* Adds what a worker that is DONE has measured. */
void rb_result_add(struct rb_result *result, const struct rb_worker *worker, uint64_t cpu_ns);

/* Fills the reasons why the point is invalid; none: valid. Call once, after the last rb_result_add. */
void rb_result_judge(struct rb_result *result);

static inline bool rb_result_valid(const struct rb_result *result)
{
	return result->reasons_count == 0;
}

/* Writes the document; `arg` is a struct rb_result (for rb_json_write_file). */
void rb_result_write(struct rb_json *json, void *arg);
