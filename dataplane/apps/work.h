// SPDX-License-Identifier: Apache-2.0
/* Busy work of a requested length. */
#pragma once

#include <stdint.h>

enum work_kind {
	WORK_CLOCK, /* until the time has passed: preemption of the thread counts as work done */
	WORK_LOOP,  /* a loop calibrated to take that long on an undisturbed CPU: preemption prolongs it */
};

/* Names in order, NULL-terminated. */
extern const char *const work_kind_names[];

struct work {
	enum work_kind kind;
	double rounds_per_ns; /* WORK_LOOP */
};

/* Calibrates WORK_LOOP, which takes about 20 ms; on the CPU where it will run. */
void work_init(struct work *work, enum work_kind kind);

/* Keeps the calling thread busy for `ns` nanoseconds. */
void work_run(const struct work *work, uint64_t ns);
