// SPDX-License-Identifier: Apache-2.0
/*
 * What the server applications have in common: options, threads pinned to CPUs, signals and statistics.
 *
 * Standard output gets one line, "ready port=<port>", when connections are accepted. SIGUSR1 writes the
 * statistics file; SIGTERM and SIGINT end the server, write it for the last time and exit with 0.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "user/context.h"

enum { APP_THREADS_MAX = RB_CPUS_MAX, APP_PORTS_MAX = RB_LISTENERS_MAX };

struct app_options {
	struct rb_address address;
	uint64_t port, ports;
	uint64_t threads;
	unsigned listen; /* enum rb_listen_mode */
	struct rb_cpu_list cpus;
	const char *backend; /* its name; NULL: rb_backend_default() */
	const char *stats;   /* path, or NULL */
	uint64_t accept_batch;
	uint64_t connections; /* per thread */
	bool nagle;
	bool busy_poll;
	unsigned log; /* enum rb_log_level */
};

extern const char *const app_listen_names[];

/* Rows for an option table of the type `config`, whose member `field` is a struct app_options. */
#define APP_OPTION_ROWS(config, field)                                                                 \
	{.name = "address",                                                                            \
	 .type = RB_OPTION_ADDRESS,                                                                    \
	 .offset = offsetof(config, field.address),                                                    \
	 .default_value = "0.0.0.0",                                                                   \
	 .help = "Address to listen on; 0.0.0.0 is any."},                                             \
		{.name = "port",                                                                       \
		 .type = RB_OPTION_UINT,                                                               \
		 .offset = offsetof(config, field.port),                                               \
		 .default_value = "9000",                                                              \
		 .max = 65535,                                                                         \
		 .help = "TCP port to listen on; 0 takes a free one (see the ready line)."},           \
		{.name = "ports",                                                                      \
		 .type = RB_OPTION_UINT,                                                               \
		 .offset = offsetof(config, field.ports),                                              \
		 .default_value = "1",                                                                 \
		 .min = 1,                                                                             \
		 .max = APP_PORTS_MAX,                                                                 \
		 .help = "Ports to listen on, this one and those above it."},                          \
		{.name = "threads",                                                                    \
		 .type = RB_OPTION_UINT,                                                               \
		 .offset = offsetof(config, field.threads),                                            \
		 .default_value = "1",                                                                 \
		 .min = 1,                                                                             \
		 .max = APP_THREADS_MAX,                                                               \
		 .help = "Threads, each with its own event loop."},                                    \
		{.name = "listen",                                                                     \
		 .type = RB_OPTION_CHOICE,                                                             \
		 .offset = offsetof(config, field.listen),                                             \
		 .default_value = "single",                                                            \
		 .choices = app_listen_names,                                                          \
		 .help = "One listen socket for all threads, or one per thread with SO_REUSEPORT."},   \
		{.name = "cpus",                                                                       \
		 .type = RB_OPTION_CPUS,                                                               \
		 .offset = offsetof(config, field.cpus),                                               \
		 .help = "CPUs to pin the threads to, in order, repeated if there are more threads."}, \
		{.name = "backend",                                                                    \
		 .type = RB_OPTION_STRING,                                                             \
		 .offset = offsetof(config, field.backend),                                            \
		 .help = "Network stack under the library, for example epoll or io_uring."},           \
		{.name = "stats",                                                                      \
		 .type = RB_OPTION_STRING,                                                             \
		 .offset = offsetof(config, field.stats),                                              \
		 .help = "Statistics file (JSON), written at the end and on SIGUSR1."},                \
		{.name = "accept-batch",                                                               \
		 .type = RB_OPTION_UINT,                                                               \
		 .offset = offsetof(config, field.accept_batch),                                       \
		 .default_value = "0",                                                                 \
		 .max = 1024,                                                                          \
		 .help = "Connections a thread accepts per poll; 0: 1 for single, 16 for reuseport."}, \
		{.name = "connections",                                                                \
		 .type = RB_OPTION_UINT,                                                               \
		 .offset = offsetof(config, field.connections),                                        \
		 .default_value = "16384",                                                             \
		 .unit = "per thread",                                                                 \
		 .min = 1,                                                                             \
		 .max = RB_CONNECTIONS_PER_GROUP_MAX,                                                  \
		 .help = "Connections open at the same time."},                                        \
		{.name = "nagle",                                                                      \
		 .type = RB_OPTION_FLAG,                                                               \
		 .offset = offsetof(config, field.nagle),                                              \
		 .default_value = "no",                                                                \
		 .help = "Leave Nagle's algorithm on (no TCP_NODELAY)."},                              \
		{.name = "busy-poll",                                                                  \
		 .type = RB_OPTION_FLAG,                                                               \
		 .offset = offsetof(config, field.busy_poll),                                          \
		 .default_value = "no",                                                                \
		 .help = "Poll all the time instead of blocking."},                                    \
		{.name = "log",                                                                        \
		 .type = RB_OPTION_CHOICE,                                                             \
		 .offset = offsetof(config, field.log),                                                \
		 .default_value = "info",                                                              \
		 .choices = rb_log_level_names,                                                        \
		 .help = "Messages to print on standard error."}

struct app;

/* One thread of a server. */
struct app_thread {
	const struct app *app;
	unsigned index;
	int cpu;		    /* -1: not pinned */
	struct rb_context *context; /* set by start */
	void *state;		    /* the application's, set by start */
	atomic_uint orders;	    /* of other threads, not yet followed; see app_goes_on() */
};

/* The application. `config` is its configuration as given to app_run(). */
struct app {
	const char *name; /* in the statistics */
	/* Sets thread->context, made with `context`, and thread->state. Returns 0, or -errno and nothing is left. */
	int (*start)(struct app_thread *thread, const struct rb_context_config *context);
	/* Attaches a listener to that context; called for each before the first turn. Returns 0 or -errno. */
	int (*listen)(struct app_thread *thread, struct rb_listener *listener);
	/*
	 * Waits with the context, or with what the application has built upon it, and handles what has come, in turns
	 * until app_goes_on() is false, which it asks before each; rb_context_wake() must end the wait of a turn. The
	 * loop is the application's so that the compiler sees it together with what is in it. Returns 0, or -errno to
	 * end the server.
	 */
	int (*run)(struct app_thread *thread);
	/* Destroys the context and the state. Called once for each successful start. */
	void (*stop)(struct app_thread *thread);
	/* Requests served; called in the thread. */
	uint64_t (*requests)(const struct app_thread *thread);
	const void *config;
};

/* Follows the orders that the thread has been given. False: its loop shall end. */
bool app_follow(struct app_thread *thread);

/* Between turns of the thread. */
static inline bool app_goes_on(struct app_thread *thread)
{
	return __builtin_expect(atomic_load_explicit(&thread->orders, memory_order_relaxed) == 0, 1) ||
	       app_follow(thread);
}

/* Runs the server until a signal ends it. Returns the exit code: 0, or after a message 1 (error) or 2 (bad option). */
int app_run(const struct app *app, const struct app_options *options);
