// SPDX-License-Identifier: Apache-2.0
/*
 * Receive buffers of one context and, per connection, the FIFO of those the application holds. The pool has
 * `per_connection` buffers for each connection, so it never runs dry and no connection can starve another;
 * only address space is reserved, and the last buffer given back is the next one used, so the memory
 * touched is what is held at the same time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One held buffer. */
struct rx_piece {
	uint32_t buffer;
	uint32_t remaining; /* bytes not yet given back */
};

/* What one connection holds: a ring in rx_pool.pieces. Zero-initialised: nothing. */
struct rx_held {
	uint32_t first;
	uint32_t count;
	uint64_t bytes; /* not yet given back */
};

struct rx_pool {
	uint8_t *memory;
	size_t memory_bytes;
	uint32_t buffer_bytes;
	uint32_t per_connection;
	uint32_t untouched; /* buffers from this number on have never been used */
	uint32_t free_count;
	uint32_t *free;		 /* stack */
	struct rx_piece *pieces; /* per_connection for each connection */
};

/* Returns 0 or -ENOMEM. */
int rx_pool_init(struct rx_pool *pool, uint32_t connections, uint32_t per_connection, uint32_t buffer_bytes);
void rx_pool_free(struct rx_pool *pool);

/* Is the connection's window open? */
static inline bool rx_pool_open(const struct rx_pool *pool, const struct rx_held *held)
{
	return held->count < pool->per_connection;
}

/* The buffer the next rx_pool_commit() will take; valid until then. The window must be open. */
uint8_t *rx_pool_next(struct rx_pool *pool);

/* Hands that buffer, with `bytes` in it, to connection number `index`. */
void rx_pool_commit(struct rx_pool *pool, uint32_t index, struct rx_held *held, uint32_t bytes);

/* Takes back the oldest bytes. Returns false, and does nothing, if fewer are held. */
bool rx_pool_return(struct rx_pool *pool, uint32_t index, struct rx_held *held, uint64_t bytes);
