// SPDX-License-Identifier: Apache-2.0
/* What one thread of the server has for serving requests, and what all of them share. */
#pragma once

#include "apps/kv/output.h"
#include "apps/kv/store.h"

#include <stdatomic.h>

#define KV_VERSION "1.6.0-rb" /* of memcached's protocol; clients want three numbers */

/* Name in `stats`, name in the structure. Each is written by its thread only. */
#define KV_COUNTERS(X)                      \
	X("cmd_set", sets)                  \
	X("cmd_flush", flushes)             \
	X("cmd_touch", touches)             \
	X("get_hits", get_hits)             \
	X("get_misses", get_misses)         \
	X("delete_misses", delete_misses)   \
	X("delete_hits", delete_hits)       \
	X("incr_misses", increment_misses)  \
	X("incr_hits", increment_hits)      \
	X("decr_misses", decrement_misses)  \
	X("decr_hits", decrement_hits)      \
	X("cas_misses", cas_misses)         \
	X("cas_hits", cas_hits)             \
	X("cas_badval", cas_bad)            \
	X("touch_hits", touch_hits)         \
	X("touch_misses", touch_misses)     \
	X("store_too_large", too_large)     \
	X("store_no_memory", no_memory)     \
	X("total_connections", connections) \
	X("closed_connections", closed)     \
	X("rejected_connections", rejected) \
	X("paused_reads", pauses)

#define KV_COUNTER_MEMBER(text, member) _Atomic uint64_t member;
struct kv_counters {
	KV_COUNTERS(KV_COUNTER_MEMBER)
	_Atomic uint64_t requests;
};
#undef KV_COUNTER_MEMBER

/* For the one thread that writes it: plain instructions, and yet other threads may read it. */
static inline void kv_count(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

enum { KV_WORKERS_MAX = 256 };

struct kv_worker;

struct kv_shared {
	struct kv_store *store;
	uint64_t started_unix_s; /* when the store's clock was KV_START_S */
	struct kv_worker *workers[KV_WORKERS_MAX];
	_Atomic unsigned workers_count;
	struct kv_counters base; /* of all together, when `stats reset` came */
};

struct kv_worker {
	struct kv_store *store;
	struct kv_shared *shared;
	uint32_t now_s; /* on the store's clock */
	struct kv_counters counters;
	struct kv_pool pool;
};
