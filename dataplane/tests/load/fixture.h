// SPDX-License-Identifier: Apache-2.0
/*
 * One worker on the simulated back-end: make, change the configuration, run to the end, look at the record.
 */
#pragma once

#include "load/config.h"
#include "load/result.h"
#include "load/worker.h"
#include "sim.h"

struct fixture {
	struct sim *sim;
	struct rb_load_config config; /* change between fixture_new and fixture_run */
	struct rb_protocol protocol;
	struct rb_run run;
	struct rb_worker worker;
	struct rb_result result;
	uint64_t start_ns;		    /* of the schedule */
	uint64_t interrupt_at_ns;	    /* 0: never */
	void (*started)(struct fixture *f); /* called when the start time is known; may be NULL */
};

/* Open loop, fixed arrivals at 10000/s, 4 connections, depth 1, 100 ms warm-up, 1 s window, 500 ms run-down. */
struct fixture *fixture_new(void);

/* Runs until DONE and judges. */
void fixture_run(struct fixture *f);

void fixture_free(struct fixture *f);

/* True when one of the reasons contains the text. */
bool fixture_has_reason(const struct fixture *f, const char *text);

/* The identity that every run must keep: each measured request has one end. */
void fixture_check_balance(const struct fixture *f);
