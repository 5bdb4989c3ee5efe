// SPDX-License-Identifier: Apache-2.0
/*
 * When a process of this test did not run although it should have: that explains what then happened late. Not for
 * several threads.
 */
#pragma once

#include <stdint.h>

#include "base/clock.h"

#define LATE_NS (20 * RB_NS_PER_MS) /* less is not noted */

enum { LATE_MAX = 4096 };

struct late {
	struct {
		uint64_t at_ns, length_ns;
	} spans[LATE_MAX];
	unsigned count; /* those that found no room included */
	/* of late_look() */
	int fd;		    /* -1: this kernel does not account for it */
	uint64_t waited_ns; /* for a processor, since the process began */
};

/* Notes that from `at_ns` on the process has run `length_ns` too late; times of any clock of the caller's. */
void late_note(struct late *late, uint64_t at_ns, uint64_t length_ns);

/*
 * For a process that cannot tell by itself, as it sleeps for events and not for a time: the scheduler says how long it
 * has waited for a processor. late_look() notes what has come to that since it was last called.
 */
void late_open(struct late *late);
void late_look(struct late *late, uint64_t now_ns);
void late_close(struct late *late);

struct rb_json;
/* Members `late_count` and `late` of the object that is open. */
void late_report(const struct late *late, struct rb_json *json);
