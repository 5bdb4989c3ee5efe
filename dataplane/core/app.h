// SPDX-License-Identifier: Apache-2.0
/*
 * An application: an ELF file of its own in a region of its own, with its own libc, TLS, heap and threads, run by native
 * threads of the dataplane behind a guard (guard/guard.h). Each thread of the application is a native thread. Its
 * ordinary system calls are answered by a personality (core/personality.h); its calls of the gate go to the handler
 * given here.
 *
 *   rb_region_create(); rb_nic_register(memory of the region);
 *   rb_app_create(); rb_app_start();
 *   ... rb_app_signal() as signals come; `ended` is called ...
 *   status = rb_app_wait(); rb_app_destroy(); rb_region_destroy();
 *
 * Signals: block all those that the dataplane waits for before rb_app_start(); threads of the application take none but
 * exceptions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/page.h"
#include "core/region.h"
#include "core/why.h"
#include "guard/guard.h"

struct rb_app;
struct rb_app_thread;

/* All is borrowed until rb_app_destroy(), but argv, envp and page. */
struct rb_app_config {
	const struct rb_guard_ops *guard;
	struct rb_region *region; /* unsealed */
	const char *path;
	const char *const *argv; /* NULL-terminated; argv[0] is the program's name */
	/*
	 * NULL-terminated. Unless it says something else of glibc's malloc (GLIBC_TUNABLES), that is told to keep to one
	 * arena: each further one would set 64 MiB of the application's memory aside.
	 */
	const char *const *envp;
	uint64_t stack_bytes; /* of the main thread, and what other threads get by default; 0: 1 MiB */
	struct rb_page page;  /* the ABI page, but for what rb_app_create() knows: magic, version, gate, region */

	/*
	 * A call of the gate, on the thread's native thread. Returns what the application gets. May call the guard's
	 * enter() itself, any number of times, and returns what the last call gets; anything, once that gave NULL.
	 * Must not block for long once rb_app_ending().
	 */
	int64_t (*gate)(void *user, struct rb_app_thread *thread, const struct rb_guard_call *call);
	/* The thread has ended; still on its native thread. NULL: nothing to do */
	void (*thread_ended)(void *user, struct rb_app_thread *thread);
	/*
	 * The application ends: rb_app_wait() is to be called. Once, from any thread, also one of the application; threads
	 * may still be at the gate. Must wake those that wait there. NULL: nothing to do
	 */
	void (*ended)(void *user);
	void *user;
};

/* Loads the program. 0, or -errno and `why`. */
int rb_app_create(const struct rb_app_config *config, struct rb_app **app, char why[RB_WHY_MAX]);

/* Runs it, on threads of its own. Once. 0 or -errno */
int rb_app_start(struct rb_app *app);

/*
 * Passes a signal on, as if it had been sent to the application's process. True: a thread that waits for it has it, it
 * is ignored, or it ended the application. False: it is pending until a thread waits for it.
 */
bool rb_app_signal(struct rb_app *app, int signo);

/* Ends the application from outside: status 128 + SIGKILL, unless it is ending already. Any thread. */
void rb_app_kill(struct rb_app *app);

/*
 * Waits until the application ends, and ends all of its threads. Returns its status: 0..255 as it has exited, 128 + signal
 * number if that has ended it. Not from a thread of the application.
 */
int rb_app_wait(struct rb_app *app);

/* After rb_app_wait(), or without rb_app_start(). NULL is allowed. */
void rb_app_destroy(struct rb_app *app);

/* ---- from the gate handler ---- */

bool rb_app_ending(const struct rb_app *app);
struct rb_guard_thread *rb_app_guard_thread(const struct rb_app_thread *thread);
struct rb_app *rb_app_of(const struct rb_app_thread *thread);
/* The caller's own state of the thread; NULL at first. */
void *rb_app_thread_user(const struct rb_app_thread *thread);
void rb_app_thread_set_user(struct rb_app_thread *thread, void *user);

/*
 * Whether all of the range is memory of the application, which can be read at any time: whatever the application does
 * with it meanwhile, it stays readable, and registered with the device. Costs two comparisons.
 */
bool rb_app_range_ok(const struct rb_app *app, uint64_t address, uint64_t bytes);

/*
 * Memory of the application that the dataplane writes to by itself, like an event array. Until it is released, the
 * application's attempts to unmap it or to make it read-only fail (EBUSY). 0; -EFAULT: it is not all writable memory of
 * the application; -ENOSPC: held more than 255 times.
 */
int rb_app_hold(struct rb_app *app, uint64_t address, uint64_t bytes);
void rb_app_release(struct rb_app *app, uint64_t address, uint64_t bytes);

/* One copy, all or nothing. 0 or -EFAULT */
int rb_app_copy_in(const struct rb_app *app, void *to, uint64_t address, uint64_t bytes);
int rb_app_copy_out(struct rb_app *app, uint64_t address, const void *from, uint64_t bytes);

/* ---- statistics ---- */

/* How often the system call of that number came, by name; false: no name left (number is one too large). Any thread */
bool rb_app_call_count(const struct rb_app *app, unsigned number, const char **name, uint64_t *count);
