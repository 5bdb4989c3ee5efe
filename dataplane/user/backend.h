// SPDX-License-Identifier: Apache-2.0
/*
 * What a back-end is: one row of a table of functions that carry a batch to a network stack and back.
 * Applications name a row and never look inside. Tests inject rows of their own through
 * rb_context_config.backend, with a virtual clock.
 */
#pragma once

#include "user/context.h"

struct rb_backend {
	const char *name;
	bool sockets; /* each connection is a file descriptor of this process */

	/* The clock of deadlines, and so the default of contexts. NULL: rb_clock_monotonic() */
	const struct rb_clock *(*clock)(void);

	/* Names of stats.syscalls[], as in the kernel's table; NULL-terminated, at most RB_SYSCALLS_MAX. */
	const char *const *syscall_names;

	/*
	 * Makes the state of one context. `config` has all defaults filled in and checked; `stats` is shared
	 * with the context and outlives the state. Returns 0 or -errno.
	 */
	int (*context_create)(const struct rb_context_config *config, struct rb_context_stats *stats, void **state);

	/*
	 * Where the arrays are that every run_io() will be given, aligned to 64 bytes; after context_create(). NULL: no
	 * need to know. Returns 0 or -errno.
	 */
	int (*arrays)(void *state, struct rb_command *commands, struct rb_event *events);
	void (*context_destroy)(void *state);

	/*
	 * Carries out commands[0..commands_count), then fills at most events_max (>= 1) events; what does not
	 * fit stays pending and is delivered by later calls. With RB_WAIT it blocks until it has an event, the
	 * deadline set by TIMER has passed (then it delivers RB_EVENT_TIMER) or a wake. Unknown or malformed
	 * commands become RB_EVENT_ERROR. Returns the number of events or -errno.
	 */
	int (*run_io)(void *state, const struct rb_command *commands, uint32_t commands_count, struct rb_event *events,
		      uint32_t events_max, enum rb_wait wait);

	/* Async-signal-safe, any thread. */
	void (*wake)(void *state);

	/* Brings `stats` up to date, where something else counts. NULL: they always are. */
	void (*count)(void *state);

	/* Listeners: see user/context.h. `address` returns the bound one. A back-end without them has NULLs. */
	int (*listener_create)(const struct rb_listen_config *config, void **listener);
	void (*listener_destroy)(void *listener);
	struct rb_address (*listener_address)(const void *listener);
	int (*listen)(void *state, void *listener, uint64_t cookie);
};

/* Linux sockets with epoll. */
extern const struct rb_backend rb_backend_epoll;

/*
 * Linux sockets with io_uring (Linux 6.1 or newer). A context belongs to the thread that first calls run_io(), and is
 * destroyed there or after that thread has ended.
 */
extern const struct rb_backend rb_backend_io_uring;

/* The dataplane that has started the program (abi/page.h): the default there, and not to be had elsewhere. */
extern const struct rb_backend rb_backend_dpos;
bool rb_backend_dpos_is_here(void);

/* All rows, NULL-terminated. */
extern const struct rb_backend *const rb_backends[];

const struct rb_backend *rb_backend_default(void);

/* The row of that name, or NULL. */
const struct rb_backend *rb_backend_find(const char *name);
