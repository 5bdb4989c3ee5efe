// SPDX-License-Identifier: Apache-2.0
/*
 * The control thread, which is the main one: waits for signals, for the application's end, and for whoever connects to
 * the control socket and gets the counters. /
 */
#pragma once

#include "dpos/machine.h"

struct dpos_control {
	struct dpos *dpos;
	int signals, ended, socket; /* file descriptors; socket -1: none is wanted */
	uint64_t drained_ns;	    /* when draining ends; UINT64_MAX: nobody has asked for it */
};

/* Blocks the signals that are waited for; before any other thread is made. 0, or -errno after a message. */
int dpos_control_open(struct dpos_control *control, struct dpos *dpos);
void dpos_control_close(struct dpos_control *control);

/* The application has ended. Any thread. */
void dpos_control_ended(struct dpos_control *control);

/*
 * Until the application has ended or, without one, SIGTERM or SIGINT has come. SIGTERM drains: no more connections are
 * taken, and the application gets the signal when those that are have gone, or time is up. A second one cuts that
 * short. /
 */
void dpos_control_run(struct dpos_control *control);
