// SPDX-License-Identifier: Apache-2.0
/*
 * io_uring(7) by its system calls: one ring for one thread, which alone submits and runs what the kernel has put off
 * until then (SINGLE_ISSUER, DEFER_TASKRUN): nothing happens between two calls of rb_ring_enter().
 */
#pragma once

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rb_ring {
	int fd;
	unsigned sq_mask, cq_mask;
	unsigned sq_filled; /* entries made; the kernel knows of them after rb_ring_enter() */
	unsigned *sq_head, *sq_tail, *sq_flags;
	unsigned *cq_head, *cq_tail;
	struct io_uring_sqe *sqes;
	const struct io_uring_cqe *cqes;
	void *queues; /* one mapping holds both */
	size_t queues_bytes, sqes_bytes;
	struct io_uring_buf_ring *buffers;
	size_t buffers_bytes;
	uint16_t buffers_mask, buffers_tail;
};

/*
 * Sizes are powers of two. Whichever thread opens it, the one that enables it is its own from then on. Returns 0 or
 * -errno, -ENOSYS, -EPERM and -EINVAL among them where this kernel has no io_uring, forbids it, or is older than 6.1.
 */
int rb_ring_open(struct rb_ring *ring, unsigned submissions, unsigned completions);
int rb_ring_enable(struct rb_ring *ring);

/*
 * Cancels what is in flight: on the ring's own thread, or when that has ended, nothing touches memory any more after
 * this. Does nothing to a ring that is not open.
 */
void rb_ring_close(struct rb_ring *ring);

/* The next free entry, zeroed, or NULL: enter first. */
struct io_uring_sqe *rb_ring_next(struct rb_ring *ring);

/* Is there a reason to enter other than to wait? */
bool rb_ring_has_work(const struct rb_ring *ring);

/*
 * Submits all entries, lets the kernel do what is due, and, if told, waits for a completion. `timeout` NULL: for ever.
 * Returns 0, also after a timeout; -EINTR; or -errno.
 */
int rb_ring_enter(struct rb_ring *ring, bool wait, const struct __kernel_timespec *timeout);

/* The oldest completion, or NULL. It is valid until rb_ring_done(). */
static inline const struct io_uring_cqe *rb_ring_peek(const struct rb_ring *ring)
{
	unsigned head = *ring->cq_head;
	/* Pairs with the kernel's release: the entry was written before. */
	return head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) ? &ring->cqes[head & ring->cq_mask] : NULL;
}

static inline void rb_ring_done(struct rb_ring *ring)
{
	/* Pairs with the kernel's acquire: the entry has been read. */
	__atomic_store_n(ring->cq_head, *ring->cq_head + 1, __ATOMIC_RELEASE);
}

/* ---- buffers that the kernel chooses from (group 0) ---- */

int rb_ring_buffers_open(struct rb_ring *ring, unsigned entries);

/* Adds one; the caller sees to it that there are never more than entries. The kernel sees it after publish. */
void rb_ring_buffers_add(struct rb_ring *ring, void *buffer, unsigned bytes, uint16_t number);
void rb_ring_buffers_publish(struct rb_ring *ring);
