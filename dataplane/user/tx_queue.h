// SPDX-License-Identifier: Apache-2.0
/*
 * Application memory queued for sending: per connection a FIFO of pieces, all taken from one bounded pool per
 * context. The memory itself is never copied.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "abi/abi.h"

struct tx_entry {
	struct rb_sg sg;
	uint32_t next; /* entry number + 1; 0: none */
};

struct tx_pool {
	struct tx_entry *entries;
	uint32_t count;
	uint32_t used;	    /* entries handed out */
	uint32_t untouched; /* entries from this number on have never been used */
	uint32_t free;	    /* list of given-back entries: entry number + 1 */
};

/* Zero-initialised: empty. */
struct tx_queue {
	uint32_t head, tail; /* entry number + 1; 0: none */
	uint64_t bytes;
};

int tx_pool_init(struct tx_pool *pool, uint32_t count); /* 0 or -ENOMEM */
void tx_pool_free(struct tx_pool *pool);

/*
 * Appends the pieces, all or none. Returns 0, -ENOBUFS (pool exhausted), -EFAULT (NULL piece), -EINVAL
 * (nothing to send, or the lengths overflow).
 */
int tx_queue_append(struct tx_pool *pool, struct tx_queue *queue, const struct rb_sg *sg, uint32_t count);

/* Describes the oldest bytes in at most `max` pieces; returns how many. */
uint32_t tx_queue_peek(const struct tx_pool *pool, const struct tx_queue *queue, struct iovec *vector, uint32_t max);

/* Releases the oldest bytes; at most queue->bytes. */
void tx_queue_release(struct tx_pool *pool, struct tx_queue *queue, uint64_t bytes);
