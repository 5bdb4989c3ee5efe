// SPDX-License-Identifier: Apache-2.0
/*
 * System calls that concern signals. The application has no handlers: it waits for signals (sigwait() and its like), ignores
 * them, or is ended by them.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/app_defs.h"

enum { SET_BYTES = 8, SIGNALS = 64, NS_PER_S = 1000000000 };

/* The kernel's, which differs from the C library's. */
struct action {
	uint64_t handler, flags, restorer, mask;
};

#define ALWAYS_OPEN (rb_signal_bit(SIGKILL) | rb_signal_bit(SIGSTOP))

int64_t rb_call_rt_sigaction(const struct rb_call_request *request)
{
	struct rb_app *app = request->thread->app;
	const uint64_t *argument = request->argument;
	struct action action = {0}, old = {0};
	if (argument[0] < 1 || argument[0] > SIGNALS || argument[3] != SET_BYTES)
		return -EINVAL;
	uint64_t bit = rb_signal_bit((int)argument[0]);
	if (argument[1] != 0) {
		if (rb_memory_copy_in(&app->memory, &action, argument[1], sizeof(action)) != 0)
			return -EFAULT;
		if ((bit & ALWAYS_OPEN) != 0)
			return -EINVAL;
		if (action.handler != (uintptr_t)SIG_DFL && action.handler != (uintptr_t)SIG_IGN)
			return -EPERM;
	}
	pthread_mutex_lock(&app->lock);
	old.handler = app->ignored & bit ? (uintptr_t)SIG_IGN : (uintptr_t)SIG_DFL;
	if (argument[1] != 0)
		app->ignored = (app->ignored & ~bit) | (action.handler == (uintptr_t)SIG_IGN ? bit : 0);
	pthread_mutex_unlock(&app->lock);
	return argument[2] == 0 ? 0 : rb_memory_copy_out(&app->memory, argument[2], &old, sizeof(old));
}

static int new_mask(uint64_t how, uint64_t set, uint64_t *mask)
{
	switch (how) {
	case SIG_BLOCK:
		*mask |= set;
		break;
	case SIG_UNBLOCK:
		*mask &= ~set;
		break;
	case SIG_SETMASK:
		*mask = set;
		break;
	default:
		return -EINVAL;
	}
	*mask &= ~ALWAYS_OPEN;
	return 0;
}

int64_t rb_call_rt_sigprocmask(const struct rb_call_request *request)
{
	struct rb_app_thread *thread = request->thread;
	struct rb_app *app = thread->app;
	const uint64_t *argument = request->argument;
	uint64_t set = 0, old = thread->mask, mask = old, due;
	if (argument[3] != SET_BYTES)
		return -EINVAL;
	if (argument[1] != 0) {
		if (rb_memory_copy_in(&app->memory, &set, argument[1], sizeof(set)) != 0)
			return -EFAULT;
		if (new_mask(argument[0], set, &mask) != 0)
			return -EINVAL;
	}
	pthread_mutex_lock(&app->lock);
	thread->mask = mask;
	due = app->pending & ~mask;
	app->pending &= mask;
	pthread_mutex_unlock(&app->lock);
	for (int signo = 1; signo <= SIGNALS; signo++) {
		if ((due & rb_signal_bit(signo)) != 0)
			rb_app_signal(app, signo); /* nobody blocks it any more: what it does by default */
	}
	return argument[2] == 0 ? 0 : rb_memory_copy_out(&app->memory, argument[2], &old, sizeof(old));
}

int64_t rb_call_rt_sigpending(const struct rb_call_request *request)
{
	struct rb_app *app = request->thread->app;
	if (request->argument[1] > SET_BYTES)
		return -EINVAL;
	pthread_mutex_lock(&app->lock);
	uint64_t pending = app->pending & request->thread->mask;
	pthread_mutex_unlock(&app->lock);
	return rb_memory_copy_out(&app->memory, request->argument[0], &pending, request->argument[1]);
}

static int get_deadline(const struct rb_memory *memory, uint64_t address, struct timespec *deadline)
{
	struct timespec timeout;
	if (rb_memory_copy_in(memory, &timeout, address, sizeof(timeout)) != 0)
		return -EFAULT;
	if (timeout.tv_sec < 0 || timeout.tv_nsec < 0 || timeout.tv_nsec >= NS_PER_S)
		return -EINVAL;
	clock_gettime(CLOCK_MONOTONIC, deadline);
	/* Some thousand years are as good as no end. */
	deadline->tv_sec += timeout.tv_sec < INT32_MAX ? timeout.tv_sec : INT32_MAX;
	deadline->tv_nsec += timeout.tv_nsec;
	if (deadline->tv_nsec >= NS_PER_S) {
		deadline->tv_nsec -= NS_PER_S;
		deadline->tv_sec++;
	}
	return 0;
}

int64_t rb_call_rt_sigtimedwait(const struct rb_call_request *request)
{
	struct rb_memory *memory = &request->thread->app->memory;
	const uint64_t *argument = request->argument;
	struct timespec deadline;
	uint64_t set;
	int result;
	if (argument[3] != SET_BYTES)
		return -EINVAL;
	if (rb_memory_copy_in(memory, &set, argument[0], sizeof(set)) != 0)
		return -EFAULT;
	if (argument[2] != 0 && (result = get_deadline(memory, argument[2], &deadline)) != 0)
		return result;
	result = rb_app_signal_wait(request->thread, set & ~ALWAYS_OPEN, argument[2] != 0 ? &deadline : NULL);
	if (result < 0 || argument[1] == 0)
		return result;
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	info.si_signo = result;
	info.si_code = SI_USER;
	info.si_pid = getpid();
	info.si_uid = getuid();
	return rb_memory_copy_out(memory, argument[1], &info, sizeof(info)) == 0 ? result : -EFAULT;
}

/* ---- sending: to itself only ---- */

static int64_t send_signal(struct rb_app *app, uint64_t signo)
{
	if (signo > SIGNALS)
		return -EINVAL;
	if (signo != 0)
		rb_app_signal(app, (int)signo);
	return 0;
}

int64_t rb_call_kill(const struct rb_call_request *request)
{
	if (request->argument[0] != (uint64_t)getpid())
		return -EPERM;
	return send_signal(request->thread->app, request->argument[1]);
}

/*
 * A thread's own signal is the application's here: without handlers, it makes no difference but to a thread that waits
 * for what another one has been sent.
 */
static int64_t send_to_thread(const struct rb_call_request *request, uint64_t tid, uint64_t signo)
{
	struct rb_app *app = request->thread->app;
	return rb_app_has_thread(app, tid) ? send_signal(app, signo) : -ESRCH;
}

int64_t rb_call_tkill(const struct rb_call_request *request)
{
	return send_to_thread(request, request->argument[0], request->argument[1]);
}

int64_t rb_call_tgkill(const struct rb_call_request *request)
{
	if (request->argument[0] != (uint64_t)getpid())
		return -EPERM;
	return send_to_thread(request, request->argument[1], request->argument[2]);
}
