// SPDX-License-Identifier: Apache-2.0
/* An application, private to app.c, app_thread.c, app_signal.c and the system calls. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "core/app.h"
#include "core/fds.h"
#include "core/memory.h"
#include "core/personality.h"

struct rb_app {
	struct rb_app_config config;
	struct rb_memory memory;
	struct rb_fds fds;
	struct rb_personality personality;

	/* The program's file, for symbols; where it lies, and where it begins. */
	uint8_t *file;
	size_t file_bytes;
	uint64_t base, image_bytes;
	struct rb_guard_start start;

	/* ---- under the lock ---- */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC; anything below */
	struct rb_list threads;
	unsigned thread_count; /* in the list */
	unsigned alive;	       /* of these, with something left to run */
	uint64_t pending;      /* signals, 1 << (number - 1) */
	uint64_t ignored;
	int status;
	int leader_status;  /* of the first thread's own exit */
	atomic_bool ending; /* set under the lock, read anywhere */
};

struct rb_app_thread {
	struct rb_list node; /* in rb_app.threads */
	struct rb_app *app;
	struct rb_guard_thread *guard;
	void *user;
	pid_t tid;
	uint64_t tls;
	uint64_t clear_tid; /* address of a word that becomes 0, and is woken, when the thread has ended; or 0 */
	int status;	    /* of its own exit */
	bool leader;

	/* ---- under the application's lock ---- */
	bool attached;
	uint64_t mask;	  /* signals that it blocks */
	uint64_t waiting; /* signals that it waits for */
	int taken;	  /* the one that has come; 0: none yet */
};

/* ---- app.c ---- */

/* The application ends with this status, unless it is ending already. Not under the lock. */
void rb_app_end(struct rb_app *app, int status);

extern const struct rb_guard_handlers rb_app_handlers;

/* ---- app_thread.c ---- */

struct rb_app_spawn {
	struct rb_guard_start start;
	uint64_t parent_tid, child_tid; /* addresses the thread's number is written to, or 0 */
	uint64_t clear_tid;
	uint64_t mask;
	bool leader;
};

/* Runs a thread. Its number, or -errno. */
int64_t rb_app_thread_spawn(struct rb_app *app, const struct rb_app_spawn *spawn);

/* Whether that is the number of one of its threads. Not under the lock. */
bool rb_app_has_thread(struct rb_app *app, uint64_t tid);

/* ---- app_signal.c ---- */

static inline uint64_t rb_signal_bit(int signo)
{
	return UINT64_C(1) << (signo - 1);
}

/* Waits for one of the set. Its number; -EAGAIN at the deadline (CLOCK_MONOTONIC; NULL: none); -EINTR: ending */
int rb_app_signal_wait(struct rb_app_thread *thread, uint64_t set, const struct timespec *deadline);
