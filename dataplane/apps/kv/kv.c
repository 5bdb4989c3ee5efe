// SPDX-License-Identifier: Apache-2.0
/* rb-kv: a server of memcached's text and binary protocols. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "apps/kv/serve.h"
#include "apps/server.h"
#include "base/log.h"

struct kv_config {
	struct app_options server;
	uint64_t memory;
	uint64_t max_item_size;
	uint64_t seed;
	struct kv_shared *shared; /* not an option: what the threads share */
};

static const struct rb_option kv_options[] = {
	APP_OPTION_ROWS(struct kv_config, server),
	{.name = "memory",
	 .type = RB_OPTION_SIZE,
	 .offset = offsetof(struct kv_config, memory),
	 .default_value = "64m",
	 .min = 1 << 20,
	 .max = UINT64_C(1) << 46,
	 .help = "Memory for items; the oldest ones go when it is full. Threads share one lock per 64 largest items."},
	{.name = "max-item-size",
	 .type = RB_OPTION_SIZE,
	 .offset = offsetof(struct kv_config, max_item_size),
	 .default_value = "1m",
	 .min = 1024,
	 .max = 128 << 20,
	 .help = "Largest item, key and memcached's header included."},
	{.name = "hash-seed",
	 .type = RB_OPTION_UINT,
	 .offset = offsetof(struct kv_config, seed),
	 .default_value = "1",
	 .help = "Seed of the hash table, so that runs repeat; 0 draws one, for clients that are not trusted."},
};

static const struct rb_option_table kv_table = {
	.program = "rb-kv",
	.summary = "key-value server with memcached's protocols",
	.example = "rb-kv --port 11211 --memory 1g --threads 2 --listen reuseport --cpus 0-1 --stats server.json",
	.options = kv_options,
	.count = sizeof(kv_options) / sizeof(kv_options[0]),
};

/* One thread's. */
struct kv {
	struct kv_worker worker;
	struct kv_serve *serve;
};

static int kv_start(struct app_thread *thread, const struct rb_context_config *context)
{
	struct kv_shared *shared = ((const struct kv_config *)thread->app->config)->shared;
	struct kv *kv = calloc(1, sizeof(*kv));

	if (kv == NULL)
		return -ENOMEM;
	kv->worker.store = shared->store;
	kv->worker.shared = shared;
	int result = kv_pool_init(&kv->worker.pool, shared->store);
	if (result == 0)
		result = kv_serve_create(context, &kv->worker, &kv->serve);
	if (result != 0) {
		kv_pool_free(&kv->worker.pool);
		free(kv);
		return result;
	}
	shared->workers[thread->index] = &kv->worker;
	/* Pairs with the acquire of who sums up the statistics. */
	atomic_store_explicit(&shared->workers_count, thread->index + 1, memory_order_release);
	thread->context = kv_serve_context(kv->serve);
	thread->state = kv;
	return 0;
}

static int kv_listen(struct app_thread *thread, struct rb_listener *listener)
{
	return rb_context_listen(thread->context, listener, 0);
}

static int kv_turn(struct app_thread *thread)
{
	const struct kv *kv = thread->state;

	return kv_serve_turn(kv->serve, RB_WAIT);
}

static int kv_run(struct app_thread *thread)
{
	int result = 0;
	while (result == 0 && app_goes_on(thread))
		result = kv_turn(thread);
	return result;
}

static void kv_stop(struct app_thread *thread)
{
	struct kv *kv = thread->state;

	kv_serve_destroy(kv->serve);
	kv_pool_free(&kv->worker.pool);
	free(kv);
}

static uint64_t kv_requests(const struct app_thread *thread)
{
	const struct kv *kv = thread->state;

	return atomic_load_explicit(&kv->worker.counters.requests, memory_order_relaxed);
}

static int open_store(const struct kv_config *config, struct kv_store **store)
{
	struct kv_store_config store_config = {
		.memory_bytes = config->memory,
		.item_bytes_max = (uint32_t)config->max_item_size,
		.threads = (unsigned)config->server.threads,
		.seed = config->seed,
	};
	if (config->seed == 0 && getrandom(&store_config.seed, sizeof(store_config.seed), 0) < 0)
		return -errno;
	return kv_store_create(&store_config, store);
}

static int run(struct kv_config *config)
{
	static struct kv_shared shared;
	const struct app app = {.name = "kv",
				.start = kv_start,
				.listen = kv_listen,
				.run = kv_run,
				.stop = kv_stop,
				.requests = kv_requests,
				.config = config};

	int result = open_store(config, &shared.store);
	if (result != 0) {
		rb_log(RB_LOG_ERROR, "cannot take %llu bytes for items of up to %llu bytes: %s",
		       (unsigned long long)config->memory, (unsigned long long)config->max_item_size,
		       result == -EINVAL ? "there must be room for two of them" : strerror(-result));
		return 1;
	}
	shared.started_unix_s = (uint64_t)time(NULL);
	config->shared = &shared;
	const int status = app_run(&app, &config->server);
	kv_store_destroy(shared.store);
	return status;
}

int main(int argc, char **argv)
{
	struct kv_config config = {0};

	switch (rb_options_parse(&kv_table, argc, argv, &config, stdout, stderr)) {
	case RB_OPTIONS_HELP:
		return 0;
	case RB_OPTIONS_ERROR:
		return 2;
	case RB_OPTIONS_OK:
		break;
	}
	rb_log_init("rb-kv", (enum rb_log_level)config.server.log);
	return run(&config);
}
