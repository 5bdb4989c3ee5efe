// SPDX-License-Identifier: Apache-2.0
#include "apps/work.h"

#include <stddef.h>

#include "base/clock.h"

enum {
	CALIBRATION_TRIALS = 20,
	CALIBRATION_TARGET_NS = 1000000, /* per trial */
};

const char *const work_kind_names[] = {[WORK_CLOCK] = "clock", [WORK_LOOP] = "loop", NULL};

/* Kept out of line and opaque, so that calibration and use run the same instructions. */
static __attribute__((noinline)) void rounds(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		__asm__ volatile("" : : "r"(i));
}

static uint64_t time_rounds(uint64_t count)
{
	const struct rb_clock *clock = rb_clock_monotonic();
	uint64_t start = rb_clock_now(clock);
	rounds(count);
	uint64_t taken = rb_clock_now(clock) - start;
	return taken > 0 ? taken : 1;
}

/* The fastest of several trials: anything that disturbs makes a trial slower, never faster. */
static double calibrate(void)
{
	uint64_t count = 1024;
	while (time_rounds(count) < CALIBRATION_TARGET_NS)
		count *= 2;
	uint64_t fastest = UINT64_MAX;
	for (int i = 0; i < CALIBRATION_TRIALS; i++) {
		uint64_t taken = time_rounds(count);
		if (taken < fastest)
			fastest = taken;
	}
	return (double)count / (double)fastest;
}

void work_init(struct work *work, enum work_kind kind)
{
	*work = (struct work){.kind = kind};
	if (kind == WORK_LOOP)
		work->rounds_per_ns = calibrate();
}

static void run_clock(uint64_t ns)
{
	const struct rb_clock *clock = rb_clock_monotonic();
	uint64_t start = rb_clock_now(clock);
	while (rb_clock_now(clock) - start < ns)
		__builtin_ia32_pause(); /* without it a vCPU that takes turns with others keeps its whole slice */
}

void work_run(const struct work *work, uint64_t ns)
{
	if (ns == 0)
		return;
	if (work->kind == WORK_CLOCK)
		run_clock(ns);
	else
		rounds((uint64_t)((double)ns * work->rounds_per_ns));
}
