// SPDX-License-Identifier: Apache-2.0
/* The application's threads: a native thread each, that enters the application and serves its calls of the gate. */
#include "core/app_defs.h"

#include <errno.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"

/* A thread that is being made, and the one that makes it, which waits. */
struct birth {
	struct rb_app_thread *thread;
	const struct rb_app_spawn *spawn;
	sem_t done;
	int64_t result; /* its number or -errno */
};

bool rb_app_has_thread(struct rb_app *app, uint64_t tid)
{
	bool found = false;
	pthread_mutex_lock(&app->lock);
	for (struct rb_list *node = app->threads.next; node != &app->threads && !found; node = node->next)
		found = (uint64_t)RB_CONTAINER_OF(node, struct rb_app_thread, node)->tid == tid;
	pthread_mutex_unlock(&app->lock);
	return found;
}

/* ---- on the new thread ---- */

/* Of the process's signals it takes those of its own faults; the guard's way to interrupt it is none of POSIX's names. */
static void set_native_mask(void)
{
	static const int blocked[] = {SIGHUP,  SIGINT,	SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGPIPE,   SIGALRM,
				      SIGTERM, SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGVTALRM, SIGPROF,
				      SIGURG,  SIGXCPU, SIGXFSZ, SIGIO,	  SIGPWR,  SIGWINCH};
	sigset_t set;
	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++)
		sigaddset(&set, blocked[i]);
	int error = pthread_sigmask(SIG_SETMASK, &set, NULL);
	RB_ASSERT_EQ(error, 0);
}

static void put_tid(struct rb_app *app, uint64_t address, pid_t tid)
{
	/* As with Linux: an address that cannot be written to is the program's own affair. */
	if (address != 0)
		rb_memory_copy_out(&app->memory, address, &tid, sizeof(tid));
}

static int begin(struct rb_app_thread *thread, const struct rb_app_spawn *spawn)
{
	struct rb_app *app = thread->app;
	set_native_mask();
	int result = app->config.guard->attach(thread->guard);
	if (result != 0)
		return result;
	pthread_mutex_lock(&app->lock);
	thread->tid = gettid();
	thread->attached = true;
	pthread_mutex_unlock(&app->lock);
	put_tid(app, spawn->parent_tid, thread->tid);
	put_tid(app, spawn->child_tid, thread->tid);
	return 0;
}

static void serve(struct rb_app_thread *thread)
{
	const struct rb_app_config *config = &thread->app->config;
	const struct rb_guard_call *call;
	int64_t result = 0;
	while (!thread->app->ending && (call = config->guard->enter(thread->guard, result)) != NULL)
		result = config->gate(config->user, thread, call);
}

/* Tells those that wait for the thread's end, as the kernel does: its stack is theirs from now on. */
static void clear_tid(struct rb_app_thread *thread)
{
	const uint32_t zero = 0;
	if (thread->clear_tid == 0 ||
	    rb_memory_copy_out(&thread->app->memory, thread->clear_tid, &zero, sizeof(zero)) != 0)
		return;
	const uint64_t argument[RB_CALL_ARGUMENTS] = {thread->clear_tid, FUTEX_WAKE, 1};
	rb_linux_call(SYS_futex, argument);
}

static void detach(struct rb_app_thread *thread)
{
	struct rb_app *app = thread->app;
	pthread_mutex_lock(&app->lock);
	thread->attached = false; /* no interruption from now on */
	pthread_mutex_unlock(&app->lock);
	app->config.guard->detach(thread->guard);
}

/* Nothing of the application may be used afterwards. */
static void leave(struct rb_app_thread *thread)
{
	struct rb_app *app = thread->app;
	app->config.guard->thread_destroy(thread->guard);
	pthread_mutex_lock(&app->lock);
	if (thread->leader)
		app->leader_status = thread->status;
	bool last = --app->alive == 0;
	int status = app->leader_status;
	pthread_mutex_unlock(&app->lock);
	if (last)
		rb_app_end(app, status); /* it has not called exit_group() */
	pthread_mutex_lock(&app->lock);
	rb_list_remove(&thread->node);
	app->thread_count--;
	pthread_cond_broadcast(&app->changed);
	pthread_mutex_unlock(&app->lock);
	free(thread);
}

static void *run(void *argument)
{
	struct birth *birth = argument;
	struct rb_app_thread *thread = birth->thread;
	const struct rb_app_config *config = &thread->app->config;
	int result = begin(thread, birth->spawn);
	birth->result = result != 0 ? result : thread->tid;
	sem_post(&birth->done); /* and `birth` is gone */
	if (result != 0)
		return NULL; /* its maker clears up */
	serve(thread);
	if (config->thread_ended != NULL)
		config->thread_ended(config->user, thread);
	detach(thread);
	clear_tid(thread);
	leave(thread);
	return NULL;
}

/* ---- on its maker's ---- */

static int start_native(struct birth *birth)
{
	sigset_t all, before;
	pthread_attr_t attributes;
	pthread_t native;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&native, &attributes, run, birth);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -error;
}

/* Takes it into the list, or refuses: nothing begins in an application that ends. */
static int enlist(struct rb_app *app, struct rb_app_thread *thread)
{
	pthread_mutex_lock(&app->lock);
	int result = app->ending ? -EAGAIN : 0;
	if (result == 0) {
		rb_list_append(&app->threads, &thread->node);
		app->thread_count++;
		app->alive++;
	}
	pthread_mutex_unlock(&app->lock);
	return result;
}

static void strike(struct rb_app *app, struct rb_app_thread *thread)
{
	pthread_mutex_lock(&app->lock);
	rb_list_remove(&thread->node);
	app->thread_count--;
	app->alive--;
	pthread_cond_broadcast(&app->changed);
	pthread_mutex_unlock(&app->lock);
}

static int64_t bear(struct rb_app *app, struct rb_app_thread *thread, const struct rb_app_spawn *spawn)
{
	struct birth birth = {.thread = thread, .spawn = spawn};
	int64_t result = app->config.guard->thread_create(&spawn->start, &rb_app_handlers, thread, &thread->guard);
	if (result != 0)
		return result;
	result = enlist(app, thread);
	if (result == 0) {
		sem_init(&birth.done, 0, 0);
		result = start_native(&birth);
		if (result == 0) {
			while (sem_wait(&birth.done) != 0)
				; /* an interruption, which does not matter: the new thread answers soon */
			result = birth.result;
		}
		sem_destroy(&birth.done);
		if (result < 0)
			strike(app, thread);
	}
	if (result < 0)
		app->config.guard->thread_destroy(thread->guard);
	return result;
}

int64_t rb_app_thread_spawn(struct rb_app *app, const struct rb_app_spawn *spawn)
{
	struct rb_app_thread *thread = calloc(1, sizeof(*thread));
	if (thread == NULL)
		return -ENOMEM;
	thread->app = app;
	thread->tls = spawn->start.tls;
	thread->clear_tid = spawn->clear_tid;
	thread->mask = spawn->mask;
	thread->leader = spawn->leader;
	int64_t result = bear(app, thread, spawn);
	if (result < 0)
		free(thread);
	return result == -ENOMEM ? -EAGAIN : result; /* as clone() says it */
}
