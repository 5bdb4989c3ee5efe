// SPDX-License-Identifier: Apache-2.0
/*
 * What a connection has to send: a queue of segments. A segment is bytes copied into it, and then, if a value was too
 * large to copy, a piece of an item's memory, which is held until it was sent.
 *
 *   reserve, commit, item    during a turn: replies are appended
 *   queue                    at its end: all that is new becomes the pieces of one SENDV
 *   release                  SENT: the oldest bytes were sent
 *
 * Segments come from the pool of the thread, the last one given back first, so that the memory touched is what is in
 * flight. The pool grows when it must and never shrinks; each connection is bounded by KV_OUTPUT_FULL.
 */
#pragma once

#include "abi/abi.h"
#include "apps/kv/store.h"

enum {
	KV_SEGMENT_BYTES = 2048,
	KV_RESERVE_MAX = 1024, /* bytes that may be reserved at a time */
	KV_OUTPUT_FULL = 26,   /* segments of which no further request is taken */
	KV_OUTPUT_MAX = 32,    /* a request adds at most six */
	KV_OUTPUT_PIECES_MAX = 2 * KV_OUTPUT_MAX,
};

struct kv_segment {
	struct kv_segment *next;
	struct kv_item *item; /* held, or NULL */
	const uint8_t *item_base;
	uint32_t item_bytes;
	uint32_t used; /* of data */
	uint8_t data[KV_SEGMENT_BYTES - 32];
};

struct kv_pool {
	const struct kv_store *store;
	struct kv_segment *free;
	struct kv_segment *slabs; /* memory to free at the end; first of each */
	struct kv_segment *spilt; /* where replies go when there is no memory */
};

struct kv_output {
	struct kv_pool *pool;
	struct kv_segment *open; /* the last one, if it takes more bytes */
	struct kv_segment *head; /* oldest that was not released */
	struct kv_segment *tail;
	struct kv_segment *unqueued; /* oldest that is not with the stack; NULL: none */
	struct kv_segment *last;     /* oldest of those handed over last */
	uint32_t count;
	uint32_t released; /* bytes of head */
	bool failed;	   /* there was no memory: replies are missing, and the connection is of no use any more */
};

/* Returns 0 or -ENOMEM. */
int kv_pool_init(struct kv_pool *pool, const struct kv_store *store);
void kv_pool_free(struct kv_pool *pool);

void kv_output_init(struct kv_output *output, struct kv_pool *pool);

/* Forgets everything and gives it back. The stack must have let go of it. */
void kv_output_clear(struct kv_output *output);

uint8_t *kv_output_grow(struct kv_output *output);

/* Room for so many bytes, at most KV_RESERVE_MAX; then say how many of them are used. */
static inline uint8_t *kv_output_reserve(struct kv_output *output, size_t bytes)
{
	struct kv_segment *open = output->open;

	if (open != NULL && sizeof(open->data) - open->used >= bytes)
		return open->data + open->used;
	return kv_output_grow(output);
}

static inline void kv_output_commit(struct kv_output *output, size_t bytes)
{
	output->open->used += (uint32_t)bytes;
}

/* Copies any number of bytes. */
void kv_output_write(struct kv_output *output, const void *data, size_t length);

/* Appends a part of the item's memory; takes over one reference to it. */
void kv_output_item(struct kv_output *output, struct kv_item *item, const uint8_t *base, size_t bytes);

/* Must the connection wait until something was sent before it is given more? */
static inline bool kv_output_full(const struct kv_output *output)
{
	return output->count >= KV_OUTPUT_FULL;
}

static inline bool kv_output_empty(const struct kv_output *output)
{
	return output->head == NULL;
}

/* Describes what is not with the stack yet in at most KV_OUTPUT_PIECES_MAX pieces, and counts it as handed over. */
uint32_t kv_output_queue(struct kv_output *output, struct rb_sg *sg);

/* The stack has refused what the last kv_output_queue() described. */
void kv_output_refused(struct kv_output *output);

/* Is all that is not with the stack one piece of copied bytes? */
static inline bool kv_output_is_copied(const struct kv_output *output)
{
	const struct kv_segment *only = output->unqueued;

	return only != NULL && only == output->tail && only->item_bytes == 0 && !output->failed;
}

/* Then it is this one; counted as handed over. */
static inline struct rb_sg kv_output_queue_copied(struct kv_output *output)
{
	const struct kv_segment *only = output->unqueued;

	output->last = output->unqueued;
	output->unqueued = NULL;
	output->open = NULL;
	return (struct rb_sg){only->data, only->used};
}

void kv_output_release_any(struct kv_output *output, uint64_t bytes);

/* The oldest bytes were sent. */
static inline void kv_output_release(struct kv_output *output, uint64_t bytes)
{
	struct kv_segment *head = output->head;

	if (head == NULL || head->used != bytes || head->item_bytes != 0 || output->released != 0) {
		kv_output_release_any(output, bytes);
		return;
	}
	output->head = head->next;
	output->count--;
	head->next = output->pool->free;
	output->pool->free = head;
}
