// SPDX-License-Identifier: Apache-2.0
/* The roles of net-tap: one process each, and what they are told. */
#pragma once

#include "base/options.h"
#include "tests/net/link.h"
#include "tests/net/tap/late.h"
#include "tests/net/tap/port.h"
#include "tests/net/tap/work.h"

enum role { ROLE_LIBRARY, ROLE_LINUX, ROLE_BRIDGE };

struct tap_config {
	unsigned role;
	const char *device, *other_device;
	bool listen, ip6;
	const char *to; /* address, of the Linux role */
	uint64_t port, connections, send, receive, seed, window, rate, delay, jitter, reorder_time, patience, linger;
	double loss, reorder, duplicate;
	unsigned congestion;
};

enum { TAP_OWN_PORT = 20000 }; /* the connecting side's first port; the others follow */

/* Each runs until its work is done, and writes what happened as one JSON object. Returns the exit status. */
int library_run(const struct tap_config *config);
int linux_run(const struct tap_config *config);
int bridge_run(const struct tap_config *config);

/* SIGTERM or SIGINT has come. */
bool tap_is_stopped(void);

/*
 * Real time for a timeline and its link: a process that looks at one or two devices, sleeps in between, and notes when
 * it was late, which explains what then happened late.
 */
struct realtime {
	struct timeline timeline;
	struct link link;
	struct port ports[2]; /* by end of the link; fd -1: none */
	uint64_t start_ns;    /* of the machine's clock, where the timeline is at 0 */
	uint64_t missed;
	uint64_t asleep_until_ns; /* what the last sleep should have lasted to */
	struct late late;	  /* in times of the timeline */
};

/* Device names NULL: no port at that end. 0, or -errno after a message. */
int realtime_open(struct realtime *realtime, const struct tap_config *config, const char *device0, const char *device1);
void realtime_close(struct realtime *realtime);

/* Does what is due, takes what has come, and sleeps if there was neither, until something is or comes. */
void realtime_turn(struct realtime *realtime);

struct rb_json;
void realtime_report(struct realtime *realtime, struct rb_json *json);
