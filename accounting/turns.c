// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whose turn it is in a QEMU that counts instructions: loaded before its libraries (LD_PRELOAD), for a guest of which
 * the same bytes are wanted each time. It is no plugin, uses nothing of QEMU's, and changes nothing that the guest sees.
 *
 * With `-icount sleep=off` and one thread for all CPUs, QEMU's main loop moves the clock on when all CPUs are halted. It
 * may find them so before the CPUs' thread has come to rest: between the last HLT and the end of that thread's round over
 * all CPUs. Then the CPU after the one that halted goes on first, and not the first one; which it is depends on how fast
 * the host's threads are (QEMU 10.0, accel/tcg/tcg-accel-ops-rr.c and icount-common.c).
 *
 * So the main loop, whenever it takes QEMU's big lock, lets it go again until the CPUs' thread waits for it. A guest that
 * never rests as a whole (a CPU that polls) would keep it waiting for ever, and does not need it to: its clock is never
 * moved on. There the main loop may go on after the CPUs' thread has computed for LATE_NS more. Nothing is decided by the
 * host's time but the end of a wait for a thread that does nothing at all.
 *
 * SIGUSR2 tells that the guest may be interrupted at any time from now on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LATE_NS	    100000000 /* of the CPUs' thread */
#define STUCK_NS    10000000000
#define LOOK_NS	    1000000
#define CPUS_THREAD "ALL CPUs/TCG" /* QEMU's name for it, with -name debug-threads=on */

int pthread_setname_np(pthread_t thread, const char *name);

static int (*real_lock)(pthread_mutex_t *mutex);
static int (*real_wait)(pthread_cond_t *cond, pthread_mutex_t *mutex);
static int (*real_setname)(pthread_t thread, const char *name);

static pthread_t main_thread, cpus_thread;
static atomic_bool has_cpus_thread;
static _Atomic(pthread_mutex_t *) big_lock; /* what the CPUs' thread waits with */
static _Atomic uint32_t at_rest;	    /* a futex: it waits */
static atomic_bool free_for_all;
static unsigned long waits, late;

static void *find(const char *name, const char *version)
{
	void *found = version != NULL ? dlvsym(RTLD_NEXT, name, version) : dlsym(RTLD_NEXT, name);
	if (found == NULL) {
		fprintf(stderr, "turns: no %s in the C library\n", name);
		_exit(127);
	}
	return found;
}

static void resolve(void)
{
	/* ISO C has no way from an object to a function */
	*(void **)&real_lock = find("pthread_mutex_lock", NULL);
	*(void **)&real_wait = find("pthread_cond_wait", "GLIBC_2.3.2"); /* the oldest one would be found first */
	*(void **)&real_setname = find("pthread_setname_np", NULL);
	main_thread = pthread_self();
}

static void let_go(int number)
{
	(void)number;
	atomic_store(&free_for_all, true);
}

__attribute__((constructor)) static void begin(void)
{
	struct sigaction action = {.sa_handler = let_go, .sa_flags = SA_RESTART};
	if (real_lock == NULL)
		resolve();
	sigaction(SIGUSR2, &action, NULL);
}

__attribute__((destructor)) static void end(void)
{
	if (atomic_load(&has_cpus_thread))
		fprintf(stderr, "turns: the main loop waited %lu times, %lu of them for a guest that did not rest\n",
			waits, late);
}

static long futex(int operation, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, &at_rest, operation | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Called and left with the big lock, which is let go meanwhile. */
static void wait_for_rest(pthread_mutex_t *mutex)
{
	const struct timespec look = {.tv_nsec = LOOK_NS};
	clockid_t clock;

	if (atomic_load(&at_rest) || atomic_load(&free_for_all) || pthread_getcpuclockid(cpus_thread, &clock) != 0)
		return;
	const int64_t computed = now_ns(clock), began = now_ns(CLOCK_MONOTONIC);
	waits++;
	do {
		pthread_mutex_unlock(mutex);
		futex(FUTEX_WAIT, 0, &look);
		real_lock(mutex);
		if (now_ns(clock) - computed > LATE_NS || now_ns(CLOCK_MONOTONIC) - began > STUCK_NS) {
			late++;
			return;
		}
	} while (!atomic_load(&at_rest) && !atomic_load(&free_for_all));
}

int pthread_setname_np(pthread_t thread, const char *name)
{
	if (real_lock == NULL)
		resolve();
	if (strcmp(name, CPUS_THREAD) == 0) {
		cpus_thread = thread;
		atomic_store(&has_cpus_thread, true);
	}
	return real_setname(thread, name);
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	if (real_lock == NULL)
		resolve();
	int result = real_lock(mutex);
	if (mutex == atomic_load_explicit(&big_lock, memory_order_relaxed) &&
	    pthread_equal(pthread_self(), main_thread))
		wait_for_rest(mutex);
	return result;
}

int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	pthread_mutex_t *none = NULL;
	if (real_lock == NULL)
		resolve();
	if (!atomic_load(&has_cpus_thread) || !pthread_equal(pthread_self(), cpus_thread))
		return real_wait(cond, mutex);
	if (!atomic_compare_exchange_strong(&big_lock, &none, mutex) && none != mutex)
		return real_wait(cond, mutex);
	/* the lock is held here and when the wait is over, so whoever holds it sees what is true */
	atomic_store(&at_rest, 1);
	futex(FUTEX_WAKE, INT_MAX, NULL);
	int result = real_wait(cond, mutex);
	atomic_store(&at_rest, 0);
	return result;
}
