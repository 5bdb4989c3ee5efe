// SPDX-License-Identifier: Apache-2.0
/*
 * Receive buffers of one context of the io_uring back-end. The kernel chooses among the few that it has been given, so
 * it is known only afterwards whose a buffer is. A connection may get more of them than its window has: those wait, and
 * are shown to the application when the window opens.
 *
 * There are WAITING_MAX buffers for each connection beside those of its window, more than the kernel fills in one go,
 * so no connection can leave others without. Only address space is reserved; the last buffer given back is the next one
 * used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/ring.h"

enum {
	URING_RX_WAITING_MAX = 32,
	URING_RX_OFFERED_MAX = 256, /* with the kernel at a time, which takes them in turn: so much memory is touched */
};

struct uring_rx {
	uint8_t *memory;
	size_t memory_bytes;
	uint32_t buffer_bytes;
	uint32_t count;
	uint32_t untouched; /* buffers from this number on have never been used */
	uint32_t free;	    /* list: buffer + 1 */
	uint32_t *next;	    /* of each buffer, in a list: buffer + 1 */
	uint32_t *bytes;    /* of each buffer: not yet given back */
	/* what the kernel has: it names buffers by 16 bits */
	uint32_t offered[URING_RX_OFFERED_MAX];
	uint16_t names[URING_RX_OFFERED_MAX]; /* stack of those that are free */
	uint32_t names_free;
};

/* The buffers of one connection, oldest first: shown to the application, then waiting. Zero-initialised: none. */
struct uring_held {
	uint32_t head, tail; /* buffer + 1 */
	uint32_t waiting;    /* the oldest of these: buffer + 1 */
	uint32_t count;	     /* of all */
	uint32_t shown;	     /* of these */
	uint64_t bytes;	     /* shown and not given back */
};

/* The ring gets its buffers here. Returns 0 or -errno. */
int uring_rx_init(struct uring_rx *rx, struct rb_ring *ring, uint32_t connections, uint32_t per_connection,
		  uint32_t buffer_bytes);
void uring_rx_free(struct uring_rx *rx);

/* Gives the kernel as many as it may have. */
void uring_rx_offer(struct uring_rx *rx, struct rb_ring *ring);

/* The kernel has filled the buffer it knows by this name, and has it no more. */
uint32_t uring_rx_filled(struct uring_rx *rx, uint16_t name);

/* Puts a filled buffer behind the waiting ones. */
void uring_rx_hold(struct uring_rx *rx, struct uring_held *held, uint32_t buffer, uint32_t bytes);

/* Takes a filled buffer, or all that a connection holds, back at once. */
void uring_rx_drop(struct uring_rx *rx, uint32_t buffer);
void uring_rx_drop_all(struct uring_rx *rx, struct uring_held *held);

/* Shows the oldest waiting one, of which there must be one. */
const uint8_t *uring_rx_show(struct uring_rx *rx, struct uring_held *held, uint32_t *bytes);

/* Takes back the oldest bytes. Returns false, and does nothing, if fewer are shown. */
bool uring_rx_return(struct uring_rx *rx, struct uring_held *held, uint64_t bytes);
