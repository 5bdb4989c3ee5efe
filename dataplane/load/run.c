// SPDX-License-Identifier: Apache-2.0

#include "load/run.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "user/backend.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* From "all are ready" to the common start: time for sleeping threads to wake up, so that none begins late. */
#define START_DELAY_NS (20U * RB_NS_PER_MS)
/* How often the main thread looks at the workers. */
#define LOOK_NS (20U * RB_NS_PER_MS)

struct thread {
	struct rb_worker worker;
	pthread_t id;
	int cpu; /* -1: not pinned */
	uint64_t cpu_ns;
	bool started;
	_Atomic bool done;
};

struct crew {
	const struct rb_load_config *config;
	struct rb_protocol protocol;
	struct rb_run run;
	struct thread *threads; /* config->threads of them */
	uint64_t begin_ns;
	uint64_t last_line_ns;
};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	const int rc = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	if (rc != 0)
		rb_log(RB_LOG_WARNING, "cannot pin a thread to CPU %d: %s", cpu, strerror(rc));
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	if (t->cpu >= 0)
		pin(t->cpu);
	while (rb_worker_step(&t->worker)) {
	}
	t->cpu_ns = rb_clock_thread_cpu_ns();
	atomic_store_explicit(&t->done, true, memory_order_release);
	return NULL;
}

/* Every connection is a descriptor, and its predecessor may still be closing. */
static int raise_descriptor_limit(const struct rb_load_config *config)
{
	const uint64_t wanted = 2U * config->connections + 16U * config->threads + 64U;
	const uint64_t limit = rb_descriptors_raise(wanted);

	if (limit >= wanted)
		return 0;
	rb_log(RB_LOG_ERROR,
	       "%ju connections need %ju file descriptors, the limit is %ju and cannot be raised; see ulimit -n",
	       (uintmax_t)config->connections, (uintmax_t)wanted, (uintmax_t)limit);
	return -EMFILE;
}

static int init_workers(struct crew *crew)
{
	const struct rb_load_config *config = crew->config;

	for (unsigned i = 0; i < config->threads; i++) {
		struct thread *t = &crew->threads[i];
		const struct rb_worker_config worker = rb_load_worker_config(config, &crew->protocol, &crew->run, i);

		t->cpu = config->cpus.count > 0 ? (int)config->cpus.cpu[i % config->cpus.count] : -1;
		const int rc = rb_worker_init(&t->worker, &worker);
		if (rc != 0) {
			rb_log(RB_LOG_ERROR, "cannot set up thread %u: %s", i, strerror(-rc));
			return rc;
		}
	}
	return 0;
}

static void wake_all(struct crew *crew)
{
	for (unsigned i = 0; i < crew->config->threads; i++)
		rb_context_wake(crew->threads[i].worker.context);
}

static void interrupt_all(struct crew *crew)
{
	atomic_store_explicit(&crew->run.interrupted, true, memory_order_relaxed);
	wake_all(crew);
}

static int start_threads(struct crew *crew)
{
	for (unsigned i = 0; i < crew->config->threads; i++) {
		struct thread *t = &crew->threads[i];
		const int rc = pthread_create(&t->id, NULL, thread_main, t);

		if (rc != 0) {
			rb_log(RB_LOG_ERROR, "cannot start thread %u: %s", i, strerror(rc));
			interrupt_all(crew);
			return -rc;
		}
		t->started = true;
	}
	return 0;
}

static bool all_done(const struct crew *crew)
{
	for (unsigned i = 0; i < crew->config->threads; i++) {
		if (!atomic_load_explicit(&crew->threads[i].done, memory_order_acquire))
			return false;
	}
	return true;
}

/* When the last worker is ready the common start time is set, once. */
static void maybe_start(struct crew *crew, uint64_t now_ns)
{
	if (atomic_load_explicit(&crew->run.start_ns, memory_order_relaxed) != 0 ||
	    atomic_load_explicit(&crew->run.ready, memory_order_acquire) < crew->config->threads)
		return;
	atomic_store_explicit(&crew->run.start_ns, now_ns + START_DELAY_NS, memory_order_release);
	wake_all(crew);
}

static void progress_line(struct crew *crew, uint64_t now_ns)
{
	static const char *const phases[] = {"opening", "filling", "ready", "running", "rundown", "ending", "done"};
	uint32_t phase = RB_WORKER_DONE;
	uint64_t open = 0, sent = 0, completed = 0, late = 0, filled = 0;

	for (unsigned i = 0; i < crew->config->threads; i++) {
		const struct rb_worker_progress *p = &crew->threads[i].worker.progress;
		const uint32_t own = atomic_load_explicit(&p->phase, memory_order_relaxed);

		phase = own < phase ? own : phase;
		open += atomic_load_explicit(&p->open, memory_order_relaxed);
		sent += atomic_load_explicit(&p->sent, memory_order_relaxed);
		completed += atomic_load_explicit(&p->completed, memory_order_relaxed);
		late += atomic_load_explicit(&p->late, memory_order_relaxed);
		filled += atomic_load_explicit(&p->filled, memory_order_relaxed);
	}
	rb_log(RB_LOG_INFO, "%5.1f s %s: %ju connections, %ju keys stored, %ju sent, %ju completed, %ju late",
	       (double)(now_ns - crew->begin_ns) / 1e9, phases[phase], (uintmax_t)open, (uintmax_t)filled,
	       (uintmax_t)sent, (uintmax_t)completed, (uintmax_t)late);
}

/* Waits for the workers; returns the signal that came, or 0. */
static int supervise(struct crew *crew)
{
	const struct timespec look = {.tv_nsec = (long)LOOK_NS};
	int caught = 0;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	while (!all_done(crew)) {
		const int signal = sigtimedwait(&signals, NULL, &look);
		const uint64_t now_ns = rb_clock_now(rb_clock_monotonic());

		if (signal > 0 && caught == 0) {
			caught = signal;
			interrupt_all(crew);
		}
		maybe_start(crew, now_ns);
		if (crew->config->verbose && now_ns - crew->last_line_ns >= RB_NS_PER_S) {
			crew->last_line_ns += RB_NS_PER_S;
			progress_line(crew, now_ns);
		}
	}
	return caught;
}

static void join_threads(struct crew *crew)
{
	for (unsigned i = 0; i < crew->config->threads; i++) {
		if (crew->threads[i].started)
			(void)pthread_join(crew->threads[i].id, NULL);
	}
}

static int run_crew(struct crew *crew, struct rb_result *result)
{
	int rc = init_workers(crew);
	if (rc != 0)
		return rc;
	rc = start_threads(crew);
	if (rc == 0)
		result->signal = supervise(crew);
	join_threads(crew);
	for (unsigned i = 0; rc == 0 && i < crew->config->threads; i++)
		rb_result_add(result, &crew->threads[i].worker, crew->threads[i].cpu_ns);
	return rc;
}

int rb_load_run(const struct rb_load_config *config, struct rb_result *result)
{
	const struct rb_protocol_config protocol = rb_load_protocol_config(config);
	struct crew crew = {.config = config, .begin_ns = rb_clock_now(rb_clock_monotonic())};

	crew.last_line_ns = crew.begin_ns;
	int rc = config->backend->sockets ? raise_descriptor_limit(config) : 0;
	if (rc != 0)
		return rc;
	rc = rb_protocol_init(&crew.protocol, &protocol);
	if (rc != 0) {
		rb_log(RB_LOG_ERROR, "cannot set up the protocol: %s", strerror(-rc));
		return rc;
	}
	crew.threads = calloc(config->threads, sizeof(*crew.threads));
	rc = crew.threads != NULL ? run_crew(&crew, result) : -ENOMEM;
	for (unsigned i = 0; crew.threads != NULL && i < config->threads; i++)
		rb_worker_free(&crew.threads[i].worker);
	free(crew.threads);
	rb_protocol_free(&crew.protocol);
	return rc;
}
