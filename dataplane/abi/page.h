// SPDX-License-Identifier: Apache-2.0
/*
 * What an application that was started by dpos finds of it: one page, read-only to the application, and the gate, the
 * one way into the dataplane.
 *
 * The application is an ELF file of its own in a region of its own: [RB_REGION_BASE, RB_REGION_END). Everything of the
 * dataplane lies above bit 46, so that the address of an instruction tells whose it is. An application finds the page
 * through its auxiliary vector, getauxval(RB_AUXV_PAGE); one that was started directly finds 0 there.
 *
 * All memory of the region that is mapped may be named by SENDV, as it stands: it is registered with the device. /
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "abi/abi.h"

#define RB_REGION_BASE UINT64_C(0x200000000000) /* 2^45 */
#define RB_REGION_END  UINT64_C(0x210000000000) /* a TiB of addresses */

enum {
	RB_AUXV_PAGE = 0x5242, /* "RB" */
	RB_PAGE_BYTES = 4096,
	RB_PAGE_MAGIC = 0x50444252, /* "RBDP" */
};

/*
 * The gate's calls. Each returns a value >= 0 or a negative errno. A pointer must lie in the region, with all that it
 * points to, or the call gives -EFAULT. /
 */
enum rb_gate_call {
	/* a: const struct rb_gate_context *. Takes a core; returns the context's number. -ENOSPC: none is left. */
	RB_GATE_CONTEXT_CREATE,
	/* a: context. Aborts its connections and gives the core back. */
	RB_GATE_CONTEXT_DESTROY,
	/*
	 * a: context, b: commands in its array, c: enum rb_gate_wait. Carries them out, and returns how many events are
	 * in the other array. The first call binds the context's core to the calling thread: -EPERM from another one. /
	 */
	RB_GATE_RUN_IO,
	/* a: context. The next or the present RUN_IO of it returns. From any thread. / */
	RB_GATE_WAKE,
	/* a: const struct rb_gate_listen *. Returns the listener's number. -EADDRINUSE, -EADDRNOTAVAIL, -ENOSPC */
	RB_GATE_LISTENER_CREATE,
	/* a: listener. */
	RB_GATE_LISTENER_DESTROY,
	/* a: context, b: listener, c: cookie of the KNOCK events. Before the context's first RUN_IO. */
	RB_GATE_LISTEN,
	/* a: context, b: struct rb_gate_counters *, filled in. From its thread, or when no thread runs it. */
	RB_GATE_COUNTERS,
	RB_GATE_CALLS,
};

enum rb_gate_wait { RB_GATE_POLL, RB_GATE_BLOCK };

struct rb_gate_context {
	struct rb_command *commands; /* commands_max slots, aligned to 64 */
	struct rb_event *events;     /* events_max slots, aligned to 64 */
	uint32_t commands_max;
	uint32_t events_max; /* commands_max + RB_EVENTS_SPARE at least */
	uint32_t batch_max;  /* packets of one turn; 0, or more than dpos permits: what dpos was started with */
	uint32_t connections_max;
	uint32_t flow_group;	   /* first part of the handles */
	uint32_t nagle;		   /* leave Nagle's algorithm on for outgoing connections */
	uint64_t close_timeout_ns; /* at most 2^32 - 1 us; 0: as long as TCP waits by itself */
};

/* What the dataplane has counted for a context since it was made. */
struct rb_gate_counters {
	uint64_t polls, empty_polls; /* turns of the loop, and those of them that found nothing to do */
	uint64_t accepted, connected, closed;
	uint64_t bytes_in, bytes_out; /* delivered by RECV, released by SENT */
};

struct rb_gate_listen {
	struct rb_address address; /* port 0: a free one, which is written back */
	uint32_t nagle;
	uint32_t reserved;
};

struct rb_page {
	uint32_t magic;	  /* RB_PAGE_MAGIC */
	uint32_t version; /* RB_ABI_VERSION */
	/* The way in: System V calling convention; keeps all registers that a called function keeps. */
	int64_t (*gate)(uint64_t call, uint64_t a, uint64_t b, uint64_t c);
	uint64_t region_base, region_end;
	/*
	 * The clock of deadlines: ns = base_ns + (rdtsc - base_tsc) * multiplier >> 32, in 128 bits. It is also
	 * CLOCK_MONOTONIC's at the start, and may drift from it. /
	 */
	uint64_t clock_base_ns, clock_base_tsc, clock_multiplier;
	uint32_t cores;	    /* contexts that can be at a time */
	uint32_t batch_max; /* B */
	char stack[16];	    /* the policy's name, NUL-terminated */
};

static_assert(sizeof(struct rb_page) <= RB_PAGE_BYTES, "one page");
