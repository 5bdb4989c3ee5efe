// SPDX-License-Identifier: Apache-2.0
#include "apps/server.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/descriptors.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "user/backend.h"

enum { SNAPSHOT_DEADLINE_S = 5 };

enum order {
	ORDER_SNAPSHOT = 1, /* post `ready` with fresh numbers */
	ORDER_END = 2,
};

const char *const app_listen_names[] = {[RB_LISTEN_SHARED] = "single", [RB_LISTEN_REUSEPORT] = "reuseport", NULL};

/* What a thread says about itself. Written by the thread, read by the main thread after `ready` was posted. */
struct snapshot {
	struct rb_context_stats stats;
	uint64_t requests;
	uint64_t cpu_ns;
};

struct worker {
	struct app_thread thread;
	pthread_t id;
	bool started;
	bool running;
	struct snapshot snapshot;
	sem_t ready;
	int result; /* of its turns */
};

struct server {
	const struct app *app;
	const struct app_options *options;
	const struct rb_backend *backend;
	struct rb_listener *listeners[APP_PORTS_MAX]; /* those behind the last are NULL */
	struct worker *workers;
	uint64_t count;
};

/* ---- in the worker threads ---- */

static void take_snapshot(struct worker *worker)
{
	worker->snapshot.stats = *rb_context_stats(worker->thread.context);
	worker->snapshot.requests = worker->thread.app->requests(&worker->thread);
	worker->snapshot.cpu_ns = rb_clock_thread_cpu_ns();
}

/* The acquire pairs with the release in give_order(). */
bool app_follow(struct app_thread *thread)
{
	struct worker *worker = RB_CONTAINER_OF(thread, struct worker, thread);
	unsigned orders = atomic_fetch_and_explicit(&thread->orders, ~(unsigned)ORDER_SNAPSHOT, memory_order_acquire);
	if (orders & ORDER_SNAPSHOT) {
		take_snapshot(worker);
		sem_post(&worker->ready);
	}
	return !(orders & ORDER_END);
}

static void *run_worker(void *argument)
{
	struct worker *worker = argument;
	const struct app *app = worker->thread.app;
	worker->result = app->run(&worker->thread);
	take_snapshot(worker);
	if (worker->result != 0) {
		rb_log(RB_LOG_ERROR, "thread %u: %s", worker->thread.index, strerror(-worker->result));
		kill(getpid(), SIGTERM); /* the main thread ends the others */
	}
	return NULL;
}

/* From another thread: to give its numbers, or to end. */
static void give_order(struct worker *worker, enum order order)
{
	atomic_fetch_or_explicit(&worker->thread.orders, (unsigned)order, memory_order_release);
	rb_context_wake(worker->thread.context);
}

/* ---- set-up ---- */

static int find_backend(struct server *server)
{
	const char *name = server->options->backend;
	server->backend = name == NULL ? rb_backend_default() : rb_backend_find(name);
	if (server->backend != NULL)
		return 0;
	rb_log(RB_LOG_ERROR, "--backend: '%s' is not known; valid are:", name);
	for (size_t i = 0; rb_backends[i] != NULL; i++)
		rb_log(RB_LOG_ERROR, "  %s", rb_backends[i]->name);
	return -EINVAL;
}

/*
 * On Linux's sockets a connection is a descriptor, and a server without one left accepts nobody. The option says how many
 * connections there may be, not how many there will: with fewer descriptors it starts, and says so.
 */
static void raise_descriptor_limit(const struct server *server)
{
	const uint64_t wanted = server->options->connections * server->count + 16U * server->count + 64U;
	if (!server->backend->sockets)
		return;
	const uint64_t limit = rb_descriptors_raise(wanted);
	if (limit < wanted)
		rb_log(RB_LOG_WARNING, "room for %ju file descriptors only, not for %ju connections: see ulimit -n",
		       (uintmax_t)limit, (uintmax_t)(server->options->connections * server->count));
}

static int open_listener(struct server *server, uint16_t port, struct rb_listener **listener)
{
	const struct app_options *options = server->options;
	struct rb_listen_config config = {
		.address = {.ip = options->address.ip, .port = port},
		.mode = (enum rb_listen_mode)options->listen,
		.accept_batch = (uint32_t)options->accept_batch,
		.nagle = options->nagle,
	};
	int result = rb_listener_create(server->backend, &config, listener);
	if (result != 0) {
		char text[RB_ADDRESS_TEXT_MAX];
		rb_log(RB_LOG_ERROR, "cannot listen on %s: %s", rb_address_format(config.address, text),
		       strerror(-result));
	}
	return result;
}

/* The first is at port 0 wherever there is a free one, and the others are above it. */
static int open_listeners(struct server *server)
{
	const struct app_options *options = server->options;
	uint64_t first = options->port;
	for (uint64_t i = 0; i < options->ports; i++) {
		if (first + i > UINT16_MAX) {
			rb_log(RB_LOG_ERROR, "--ports: there are no %" PRIu64 " ports from %" PRIu64 " on",
			       options->ports, first);
			return -EINVAL;
		}
		int result = open_listener(server, (uint16_t)(first + i), &server->listeners[i]);
		if (result != 0)
			return result;
		first = rb_listener_address(server->listeners[0]).port;
	}
	return 0;
}

static int prepare_worker(struct server *server, unsigned index)
{
	const struct app_options *options = server->options;
	struct worker *worker = &server->workers[index];
	worker->thread.app = server->app;
	worker->thread.index = index;
	worker->thread.cpu = options->cpus.count > 0 ? options->cpus.cpu[index % options->cpus.count] : -1;
	struct rb_context_config context = {
		.backend = server->backend,
		.flow_group = index,
		.connections_max = (uint32_t)options->connections,
		.spin_ns = options->busy_poll ? UINT64_MAX : 0,
	};
	int result = server->app->start(&worker->thread, &context);
	if (result == 0) {
		sem_init(&worker->ready, 0, 0);
		worker->started = true;
	}
	for (uint64_t i = 0; result == 0 && i < options->ports; i++)
		result = server->app->listen(&worker->thread, server->listeners[i]);
	if (result != 0)
		rb_log(RB_LOG_ERROR, "cannot set up thread %u: %s", index, strerror(-result));
	return result;
}

static int start_worker(struct worker *worker)
{
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	if (worker->thread.cpu >= 0) {
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET((size_t)worker->thread.cpu, &set);
		pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
	}
	int error = pthread_create(&worker->id, &attributes, run_worker, worker);
	pthread_attr_destroy(&attributes);
	if (error != 0)
		rb_log(RB_LOG_ERROR, "cannot start thread %u on CPU %d: %s", worker->thread.index, worker->thread.cpu,
		       strerror(error));
	worker->running = error == 0;
	return -error;
}

/* All listen sockets exist before the first thread runs, so no connection meets a half-built group. */
static int start(struct server *server)
{
	int result = open_listeners(server);
	for (unsigned i = 0; result == 0 && i < server->count; i++)
		result = prepare_worker(server, i);
	for (unsigned i = 0; result == 0 && i < server->count; i++)
		result = start_worker(&server->workers[i]);
	return result;
}

/* Ends the threads; their last snapshots stay. Returns the first error of a turn. */
static int join(struct server *server)
{
	int result = 0;
	for (unsigned i = 0; i < server->count; i++) {
		if (server->workers[i].running)
			give_order(&server->workers[i], ORDER_END);
	}
	for (unsigned i = 0; i < server->count; i++) {
		struct worker *worker = &server->workers[i];
		if (!worker->running)
			continue;
		pthread_join(worker->id, NULL);
		worker->running = false;
		if (result == 0)
			result = worker->result;
	}
	return result;
}

static void release(struct server *server)
{
	for (unsigned i = 0; i < server->count; i++) {
		if (!server->workers[i].started)
			continue;
		server->app->stop(&server->workers[i].thread);
		sem_destroy(&server->workers[i].ready);
	}
	for (uint64_t i = 0; i < server->options->ports; i++)
		rb_listener_destroy(server->listeners[i]);
	free(server->workers);
}

/* ---- statistics ---- */

static void write_syscalls(struct rb_json *json, const struct rb_backend *backend, const uint64_t *counts)
{
	rb_json_object_begin(json, "syscalls");
	for (unsigned i = 0; backend->syscall_names[i] != NULL; i++)
		rb_json_uint(json, backend->syscall_names[i], counts[i]);
	rb_json_object_end(json);
}

static void write_worker(struct rb_json *json, const struct worker *worker)
{
	const struct snapshot *snapshot = &worker->snapshot;
	rb_json_object_begin(json, NULL);
	rb_json_uint(json, "index", worker->thread.index);
	rb_json_int(json, "cpu", worker->thread.cpu);
	rb_json_uint(json, "accepted", snapshot->stats.accepted);
	rb_json_uint(json, "closed", snapshot->stats.closed);
	rb_json_uint(json, "requests", snapshot->requests);
	rb_json_uint(json, "bytes_in", snapshot->stats.bytes_in);
	rb_json_uint(json, "bytes_out", snapshot->stats.bytes_out);
	write_syscalls(json, rb_context_backend(worker->thread.context), snapshot->stats.syscalls);
	rb_json_uint(json, "polls", snapshot->stats.polls);
	rb_json_uint(json, "empty_polls", snapshot->stats.empty_polls);
	rb_json_uint(json, "commands", snapshot->stats.commands);
	rb_json_uint(json, "events", snapshot->stats.events);
	rb_json_uint(json, "cpu_ns", snapshot->cpu_ns);
	rb_json_object_end(json);
}

static void write_stats(struct rb_json *json, void *argument)
{
	const struct server *server = argument;
	const struct rb_context *context = server->workers[0].thread.context;
	rb_json_object_begin(json, NULL);
	rb_json_uint(json, "schema", 1);
	rb_json_string(json, "app", server->app->name);
	rb_json_string(json, "backend", rb_context_backend(context)->name);
	rb_json_string(json, "listen", app_listen_names[server->options->listen]);
	rb_json_array_begin(json, "threads");
	for (unsigned i = 0; i < server->count; i++)
		write_worker(json, &server->workers[i]);
	rb_json_array_end(json);
	rb_json_object_end(json);
}

static int save_stats(struct server *server)
{
	if (server->options->stats == NULL)
		return 0;
	int result = rb_json_write_file(server->options->stats, write_stats, server);
	if (result != 0)
		rb_log(RB_LOG_ERROR, "cannot write %s: %s", server->options->stats, strerror(-result));
	return result;
}

/* Asks each thread for its numbers, which it alone may read, and waits for the answer. */
static void collect_and_save(struct server *server)
{
	for (unsigned i = 0; i < server->count; i++) {
		struct worker *worker = &server->workers[i];
		struct timespec deadline;
		while (sem_trywait(&worker->ready) == 0)
			; /* an answer that came after its deadline */
		give_order(worker, ORDER_SNAPSHOT);
		clock_gettime(CLOCK_REALTIME, &deadline);
		deadline.tv_sec += SNAPSHOT_DEADLINE_S;
		if (sem_timedwait(&worker->ready, &deadline) != 0) {
			rb_log(RB_LOG_WARNING, "thread %u gives no statistics: busy for %d s", i, SNAPSHOT_DEADLINE_S);
			return;
		}
	}
	save_stats(server);
}

/* ---- life ---- */

static void block_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGUSR1);
	int error = pthread_sigmask(SIG_BLOCK, signals, NULL); /* inherited by the threads */
	RB_ASSERT_EQ(error, 0);
}

static void serve_until_ended(struct server *server, const sigset_t *signals)
{
	printf("ready port=%u\n", rb_listener_address(server->listeners[0]).port);
	fflush(stdout);
	for (;;) {
		int signal = sigwaitinfo(signals, NULL);
		if (signal == SIGUSR1)
			collect_and_save(server);
		else if (signal > 0)
			return;
	}
}

int app_run(const struct app *app, const struct app_options *options)
{
	sigset_t signals;
	struct server server = {.app = app, .options = options, .count = options->threads};
	if (find_backend(&server) != 0)
		return 2;
	server.workers = calloc(server.count, sizeof(*server.workers));
	if (server.workers == NULL) {
		rb_log(RB_LOG_ERROR, "out of memory");
		return 1;
	}
	raise_descriptor_limit(&server);
	block_signals(&signals);
	int result = start(&server);
	bool served = result == 0;
	if (served)
		serve_until_ended(&server, &signals);
	int turn_result = join(&server);
	if (served && save_stats(&server) != 0)
		result = -EIO;
	release(&server);
	return result != 0 || turn_result != 0 ? 1 : 0;
}
