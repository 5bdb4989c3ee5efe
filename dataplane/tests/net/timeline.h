// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual time: a queue of what will happen when. Things due at the same time happen in the order in which they were
 * put in, so that a run depends on its seeds alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void timeline_fire(void *context, void *argument);

struct timeline_event {
	uint64_t time_ns;
	uint64_t number; /* of being put in */
	timeline_fire *fire;
	void *context, *argument;
};

struct timeline {
	uint64_t now_ns;
	uint64_t number;
	struct timeline_event *heap; /* binary, the earliest first */
	size_t count, room;
};

void timeline_open(struct timeline *timeline, uint64_t now_ns);
void timeline_close(struct timeline *timeline); /* forgets what is still to come */

/* Calls fire(context, argument) at time_ns, or as soon as possible when that has passed. Cannot be taken back. */
void timeline_at(struct timeline *timeline, uint64_t time_ns, timeline_fire *fire, void *context, void *argument);

/* Lets the next thing happen if it is due until then; else sets the clock to until_ns and returns false. */
bool timeline_step(struct timeline *timeline, uint64_t until_ns);

/* Steps until `done` (NULL: never) says so: true; or the time is until_ns and nothing more is due: false. */
bool timeline_run(struct timeline *timeline, uint64_t until_ns, bool (*done)(void *context), void *context);
