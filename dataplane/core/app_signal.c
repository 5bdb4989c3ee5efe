// SPDX-License-Identifier: Apache-2.0
/* Signals of the application: what the dataplane passes on and what it sends to itself. None is ever Linux's. */
#include "core/app_defs.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"

enum { STATUS_SIGNAL = 128 };

/* What becomes of a signal. */
enum fate { TAKEN, PENDING, IGNORED, FATAL };

static bool ignored_by_default(int signo)
{
	switch (signo) {
	case SIGCHLD:
	case SIGCONT:
	case SIGURG:
	case SIGWINCH:
	case SIGSTOP: /* the dataplane cannot stop */
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return true;
	default:
		return false;
	}
}

static bool give_to_waiter(struct rb_app *app, int signo)
{
	for (struct rb_list *node = app->threads.next; node != &app->threads; node = node->next) {
		struct rb_app_thread *thread = RB_CONTAINER_OF(node, struct rb_app_thread, node);
		if ((thread->waiting & rb_signal_bit(signo)) == 0)
			continue;
		thread->waiting = 0;
		thread->taken = signo;
		pthread_cond_broadcast(&app->changed);
		return true;
	}
	return false;
}

static bool all_block(struct rb_app *app, int signo)
{
	for (struct rb_list *node = app->threads.next; node != &app->threads; node = node->next) {
		if ((RB_CONTAINER_OF(node, struct rb_app_thread, node)->mask & rb_signal_bit(signo)) == 0)
			return false;
	}
	return true;
}

/* Under the lock. */
static enum fate decide(struct rb_app *app, int signo)
{
	if (app->ending)
		return IGNORED;
	if (give_to_waiter(app, signo))
		return TAKEN;
	if (all_block(app, signo)) {
		app->pending |= rb_signal_bit(signo);
		return PENDING;
	}
	return (app->ignored & rb_signal_bit(signo)) != 0 || ignored_by_default(signo) ? IGNORED : FATAL;
}

bool rb_app_signal(struct rb_app *app, int signo)
{
	pthread_mutex_lock(&app->lock);
	enum fate fate = decide(app, signo);
	pthread_mutex_unlock(&app->lock);
	if (fate == FATAL) {
		const char *name = sigabbrev_np(signo);
		rb_log(RB_LOG_ERROR, "%s: ended by signal %d%s%s", app->config.path, signo, name != NULL ? ", SIG" : "",
		       name != NULL ? name : "");
		rb_app_end(app, STATUS_SIGNAL + signo);
	}
	return fate != PENDING;
}

/* A pending one of the set; 0: none. Under the lock. */
static int take_pending(struct rb_app *app, uint64_t set)
{
	uint64_t due = app->pending & set;
	if (due == 0)
		return 0;
	app->pending &= ~(due & -due);
	return __builtin_ctzll(due) + 1;
}

int rb_app_signal_wait(struct rb_app_thread *thread, uint64_t set, const struct timespec *deadline)
{
	struct rb_app *app = thread->app;
	int error = 0;
	pthread_mutex_lock(&app->lock);
	thread->taken = take_pending(app, set);
	thread->waiting = thread->taken == 0 ? set : 0;
	while (thread->taken == 0 && !app->ending && error == 0)
		error = deadline != NULL ? pthread_cond_timedwait(&app->changed, &app->lock, deadline)
					 : pthread_cond_wait(&app->changed, &app->lock);
	thread->waiting = 0;
	int result = thread->taken != 0 ? thread->taken : app->ending ? -EINTR : -EAGAIN;
	pthread_mutex_unlock(&app->lock);
	return result;
}
