// SPDX-License-Identifier: Apache-2.0
/* What `stats` tells, for both protocols. */
#pragma once

#include "apps/kv/worker.h"

typedef void kv_stats_write(void *argument, const char *name, const char *value);

/*
 * Writes all statistics of a kind: "" is the server's, "settings" how it was started. Returns false, and writes
 * nothing, if there are none of that name.
 */
bool kv_stats_show(const struct kv_worker *worker, const uint8_t *kind, size_t kind_bytes, kv_stats_write *write,
		   void *argument);

/* All counters count from here. */
void kv_stats_reset(struct kv_shared *shared);
