// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

struct writer {
	kv_stats_write *write;
	void *argument;
};

static void write_number(const struct writer *writer, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	writer->write(writer->argument, name, text);
}

static uint64_t sum(const struct kv_shared *shared, size_t offset)
{
	const unsigned count = atomic_load_explicit(&shared->workers_count, memory_order_acquire);
	const uint64_t base = atomic_load_explicit(
		(const _Atomic uint64_t *)(const void *)((const char *)&shared->base + offset), memory_order_relaxed);
	uint64_t total = 0;

	for (unsigned i = 0; i < count; i++) {
		const char *counters = (const char *)&shared->workers[i]->counters;
		total += atomic_load_explicit((const _Atomic uint64_t *)(const void *)(counters + offset),
					      memory_order_relaxed);
	}
	return total - base;
}

#define SUM(shared, member) sum(shared, offsetof(struct kv_counters, member))

static void show_server(const struct kv_worker *worker, const struct writer *writer)
{
	const struct kv_shared *shared = worker->shared;
	const uint32_t uptime_s = worker->now_s - KV_START_S;
	struct kv_shard_counters shards;

	kv_store_count(worker->store, &shards);
	write_number(writer, "pid", (uint64_t)getpid());
	write_number(writer, "uptime", uptime_s);
	write_number(writer, "time", shared->started_unix_s + uptime_s);
	writer->write(writer->argument, "version", KV_VERSION);
	write_number(writer, "pointer_size", 8 * sizeof(void *));
	write_number(writer, "curr_connections", SUM(shared, connections) - SUM(shared, closed));
	write_number(writer, "cmd_get", SUM(shared, get_hits) + SUM(shared, get_misses));
#define SHOW(text, member) write_number(writer, text, SUM(shared, member));
	KV_COUNTERS(SHOW)
#undef SHOW
	write_number(writer, "limit_maxbytes", worker->store->config.memory_bytes);
	write_number(writer, "threads", atomic_load_explicit(&shared->workers_count, memory_order_relaxed));
	write_number(writer, "bytes", shards.bytes);
	write_number(writer, "curr_items", shards.items);
	write_number(writer, "total_items", shards.items_total);
	write_number(writer, "evictions", shards.evictions);
	write_number(writer, "reclaimed", shards.reclaimed);
	write_number(writer, "slabs_moved", shards.pages_moved);
	write_number(writer, "memory_all_held", shards.out_of_memory);
}

static void show_settings(const struct kv_worker *worker, const struct writer *writer)
{
	const struct kv_store_config *config = &worker->store->config;

	write_number(writer, "maxbytes", config->memory_bytes);
	write_number(writer, "item_size_max", config->item_bytes_max);
	write_number(writer, "num_threads", config->threads);
	write_number(writer, "shards", worker->store->shards_count);
	writer->write(writer->argument, "evictions", "on");
	writer->write(writer->argument, "cas_enabled", "yes");
}

bool kv_stats_show(const struct kv_worker *worker, const uint8_t *kind, size_t kind_bytes, kv_stats_write *write,
		   void *argument)
{
	const struct writer writer = {write, argument};

	if (kind_bytes == 0)
		show_server(worker, &writer);
	else if (kind_bytes == 8 && memcmp(kind, "settings", 8) == 0)
		show_settings(worker, &writer);
	else
		return false;
	return true;
}

static void reset(struct kv_shared *shared, size_t offset)
{
	_Atomic uint64_t *base = (_Atomic uint64_t *)(void *)((char *)&shared->base + offset);

	atomic_store_explicit(base, sum(shared, offset) + atomic_load_explicit(base, memory_order_relaxed),
			      memory_order_relaxed);
}

void kv_stats_reset(struct kv_shared *shared)
{
	/* Connections that are open stay counted. */
#define RESET(text, member)                                                                      \
	if (offsetof(struct kv_counters, member) != offsetof(struct kv_counters, connections) && \
	    offsetof(struct kv_counters, member) != offsetof(struct kv_counters, closed))        \
		reset(shared, offsetof(struct kv_counters, member));
	KV_COUNTERS(RESET)
#undef RESET
}
