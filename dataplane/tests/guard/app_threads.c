// SPDX-License-Identifier: Apache-2.0
/* Probes of threads. */
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/guard/app_probe.h"

enum { THREADS = 100, CALLS = 50 };

static __thread int own = 5;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static int sum;

static void *count(void *argument)
{
	int number = (int)(intptr_t)argument;
	CHECK(own == 5 && fegetround() == FE_UPWARD); /* which is inherited */
	own = number;
	errno = number;
	for (int i = 1; i <= CALLS; i++) {
		CHECK(gate(PROBE_THREAD, 0, 0, 0) == i); /* the dataplane's count, by its thread */
		CHECK(own == number && errno == number);
	}
	CHECK(syscall(SYS_gettid) == gettid());
	pthread_mutex_lock(&lock);
	sum += number;
	pthread_mutex_unlock(&lock);
	return (void *)(intptr_t)(2 * number);
}

static void join(void)
{
	pthread_t threads[THREADS];
	fesetround(FE_UPWARD);
	own = 1;
	for (int round = 1; round <= 3; round++) {
		for (intptr_t i = 0; i < THREADS; i++)
			CHECK(pthread_create(&threads[i], NULL, count, (void *)i) == 0);
		for (intptr_t i = 0; i < THREADS; i++) {
			void *result;
			CHECK(pthread_join(threads[i], &result) == 0 && result == (void *)(2 * i));
		}
		CHECK(sum == round * (THREADS * (THREADS - 1) / 2) && own == 1);
	}
}

static void *meet(void *argument)
{
	(void)argument;
	for (int i = 0; i < CALLS; i++)
		pthread_barrier_wait(&barrier);
	return NULL;
}

static void meetings(void)
{
	enum { PARTIES = 4 };
	pthread_t threads[PARTIES];
	CHECK(pthread_barrier_init(&barrier, NULL, PARTIES) == 0);
	for (int i = 1; i < PARTIES; i++)
		CHECK(pthread_create(&threads[i], NULL, meet, NULL) == 0);
	meet(NULL);
	for (int i = 1; i < PARTIES; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

static sem_t done;

static void *post(void *argument)
{
	(void)argument;
	sem_post(&done);
	return NULL;
}

/* Detached ones leave nothing behind: more of them than fit in the memory. */
static void detached(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	CHECK(sem_init(&done, 0, 0) == 0 && pthread_attr_init(&attributes) == 0);
	CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
	CHECK(pthread_attr_setstacksize(&attributes, (size_t)4 << 20) == 0);
	for (int i = 0; i < THREADS; i++) {
		int error;
		while ((error = pthread_create(&thread, &attributes, post, NULL)) == EAGAIN)
			usleep(1000); /* those that end have still their stacks */
		CHECK(error == 0 && sem_wait(&done) == 0);
	}
}

/* Threads that are in all sorts of waits when the application ends. */

static void *wait_sleep(void *argument)
{
	for (;;)
		sleep(1000);
	return argument;
}

static void *wait_read(void *argument)
{
	int ends[2];
	char byte;
	CHECK(pipe(ends) == 0 && read(ends[0], &byte, 1) == 1);
	return argument;
}

static void *wait_lock(void *argument)
{
	pthread_mutex_lock(&lock);
	return argument;
}

static void *wait_signal(void *argument)
{
	sigset_t set;
	int signo;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigwait(&set, &signo);
	return argument;
}

static void *wait_gate(void *argument)
{
	gate(PROBE_BLOCK, 0, 0, 0);
	return argument;
}

static void *spin(void *argument)
{
	for (volatile int i = 0;; i = i + 1)
		;
	return argument;
}

static void *spin_gate(void *argument)
{
	for (;;)
		gate(PROBE_ADD, 0, 0, 0);
	return argument;
}

static void *spin_clock(void *argument)
{
	struct timespec now;
	for (;;)
		clock_gettime(CLOCK_MONOTONIC, &now); /* in the vdso */
	return argument;
}

static void *spin_calls(void *argument)
{
	for (;;)
		syscall(SYS_getpid);
	return argument;
}

static void start_all(void)
{
	void *(*const waits[])(void *) = {wait_sleep, wait_read, wait_lock,  wait_signal, wait_gate,
					  spin,	      spin_gate, spin_clock, spin_calls};
	pthread_t thread;
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		CHECK(pthread_create(&thread, NULL, waits[i], NULL) == 0);
	usleep(5000);
}

static void end_all(void)
{
	start_all();
	_exit(7);
}

static void kill_all(void)
{
	start_all();
	gate(PROBE_KILL_SOON, 0, 0, 0);
	wait_sleep(NULL);
}

static void *finish_last(void *argument)
{
	usleep(20000);
	pthread_exit(argument);
}

/* The last thread ends without exit(): glibc calls that itself, with 0. */
static void leader_first(void)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, finish_last, NULL) == 0);
	pthread_exit(NULL);
}

/* The same without glibc: the status is the first thread's. */
static void leader_raw(void)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, finish_last, NULL) == 0);
	syscall(SYS_exit, 9);
}

const struct probe probes_threads[] = {
	{"join", join},		{"meetings", meetings},		{"detached", detached},	    {"end_all", end_all},
	{"kill_all", kill_all}, {"leader_first", leader_first}, {"leader_raw", leader_raw}, {NULL, NULL},
};
