// SPDX-License-Identifier: Apache-2.0
/* Calls of the gate that the test answers. */
#pragma once

enum probe_call {
	PROBE_ADD = 1000, /* a + b + c */
	PROBE_NEST,	  /* the handler enters the application itself, until PROBE_UNNEST: how many calls that were */
	PROBE_UNNEST,
	PROBE_THREAD,	   /* how many calls of this number this thread has made: from the dataplane's TLS */
	PROBE_ERRNO,	   /* sets the dataplane's errno to a; returns what it was */
	PROBE_ROUNDING,	   /* sets the dataplane's rounding mode of floating point to a; returns what it was */
	PROBE_BLOCK,	   /* blocks until the application ends */
	PROBE_SIGNAL,	   /* sends the application signal a: 1 if it is taken */
	PROBE_SIGNAL_SOON, /* the same, after a moment, from the control thread */
	PROBE_RANGE,	   /* whether [a, a + b) is the application's */
	PROBE_HOLD,	   /* holds [a, a + b) */
	PROBE_RELEASE,
	PROBE_FD,	 /* a descriptor of the dataplane */
	PROBE_KILL_SOON, /* ends the application from the control thread, after a moment */
};
