// SPDX-License-Identifier: Apache-2.0
/*
 * Arrival traces: the intended send times of a run, read from a text file.
 *
 * Format (UTF-8/ASCII text, lines end in LF or CRLF):
 *     # comment                        ignored, as are empty lines
 *     <time>                           one request at <time> nanoseconds after the start of the schedule
 *     <time> <count>                   a burst: <count> requests at that same time, 1 … 1000000
 * Fields are decimal integers separated by blanks or tabs. Times must not decrease from line to line; equal times
 * are allowed. A comment may follow the fields. At most 2^40 requests; time at most 10^18 ns. A
 * trace without any request is an error. The schedule starts with the warm-up. A point whose trace has its last
 * request before the end of the measured window is invalid, unless a period says that the silence after it belongs
 * to the trace.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define RB_TRACE_TIME_MAX  UINT64_C(1000000000000000000)
#define RB_TRACE_BURST_MAX UINT64_C(1000000)
#define RB_TRACE_TOTAL_MAX (UINT64_C(1) << 40)

struct rb_trace_entry {
	uint64_t time_ns;
	uint64_t count;
};

struct rb_trace {
	struct rb_trace_entry *entries; /* owned; ascending time */
	size_t length;
	uint64_t total; /* requests in all entries */
};

/* Where and why a text was refused; `why` is a static string. */
struct rb_trace_error {
	size_t line; /* 1-based; 0 when no line is at fault */
	const char *why;
};

/*
 * Parses `length` bytes of text (need not end in NUL). Returns 0, -EINVAL with *error filled, or -ENOMEM.
 * On failure the trace is empty and owns nothing.
 */
int rb_trace_parse(struct rb_trace *trace, const char *text, size_t length, struct rb_trace_error *error);

/* Reads and parses a file of at most 1 GiB. Returns as above or -errno of open/read; error->why then says so with line
 * 0. */
int rb_trace_load(struct rb_trace *trace, const char *path, struct rb_trace_error *error);

void rb_trace_free(struct rb_trace *trace);
