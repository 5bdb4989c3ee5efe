// SPDX-License-Identifier: Apache-2.0
#include "user/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"

/* ---- set-up ---- */

static int map(int fd, size_t bytes, uint64_t offset, void **memory)
{
	*memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
	if (*memory != MAP_FAILED)
		return 0;
	*memory = NULL;
	return -errno;
}

static size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

static unsigned *at(const struct rb_ring *ring, uint32_t offset)
{
	return (unsigned *)(void *)((char *)ring->queues + offset);
}

static int map_queues(struct rb_ring *ring, const struct io_uring_params *params)
{
	ring->queues_bytes = max_size(params->sq_off.array + params->sq_entries * sizeof(unsigned),
				      params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe));
	ring->sqes_bytes = params->sq_entries * sizeof(struct io_uring_sqe);
	int result = map(ring->fd, ring->queues_bytes, IORING_OFF_SQ_RING, &ring->queues);
	if (result != 0)
		return result;
	void *sqes;
	result = map(ring->fd, ring->sqes_bytes, IORING_OFF_SQES, &sqes);
	if (result != 0)
		return result;
	ring->sqes = sqes;
	ring->sq_mask = params->sq_entries - 1;
	ring->cq_mask = params->cq_entries - 1;
	ring->sq_head = at(ring, params->sq_off.head);
	ring->sq_tail = at(ring, params->sq_off.tail);
	ring->sq_flags = at(ring, params->sq_off.flags);
	ring->cq_head = at(ring, params->cq_off.head);
	ring->cq_tail = at(ring, params->cq_off.tail);
	ring->cqes = (const struct io_uring_cqe *)(const void *)at(ring, params->cq_off.cqes);
	unsigned *array = at(ring, params->sq_off.array); /* entries are used in order */
	for (unsigned i = 0; i < params->sq_entries; i++)
		array[i] = i;
	return 0;
}

int rb_ring_open(struct rb_ring *ring, unsigned submissions, unsigned completions)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
			 IORING_SETUP_R_DISABLED,
		.cq_entries = completions,
	};
	const uint32_t needed =
		IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG;
	*ring = (struct rb_ring){.fd = -1};
	ring->fd = (int)syscall(SYS_io_uring_setup, submissions, &params);
	if (ring->fd < 0)
		return -errno;
	int result = (params.features & needed) == needed ? map_queues(ring, &params) : -EINVAL;
	if (result != 0)
		rb_ring_close(ring);
	return result;
}

int rb_ring_enable(struct rb_ring *ring)
{
	return syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0 ? -errno : 0;
}

/* Without it close() would leave that to a thread of the kernel, for some time later. */
static void cancel_all(const struct rb_ring *ring)
{
	struct io_uring_sync_cancel_reg all = {
		.fd = -1,
		.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
		.timeout = {.tv_sec = -1, .tv_nsec = -1},
	};
	syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_SYNC_CANCEL, &all, 1);
}

void rb_ring_close(struct rb_ring *ring)
{
	if (ring->fd >= 0) {
		cancel_all(ring);
		close(ring->fd);
	}
	if (ring->queues != NULL)
		munmap(ring->queues, ring->queues_bytes);
	if (ring->sqes != NULL)
		munmap(ring->sqes, ring->sqes_bytes);
	if (ring->buffers != NULL)
		munmap(ring->buffers, ring->buffers_bytes);
	*ring = (struct rb_ring){.fd = -1};
}

/* ---- submitting and waiting ---- */

/* Entries that the kernel has not taken. Pairs with its release: it has read those before the head. */
static unsigned unsubmitted(const struct rb_ring *ring)
{
	return ring->sq_filled - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
}

struct io_uring_sqe *rb_ring_next(struct rb_ring *ring)
{
	if (unsubmitted(ring) > ring->sq_mask)
		return NULL;
	struct io_uring_sqe *sqe = &ring->sqes[ring->sq_filled++ & ring->sq_mask];
	memset(sqe, 0, sizeof(*sqe));
	return sqe;
}

bool rb_ring_has_work(const struct rb_ring *ring)
{
	unsigned flags = __atomic_load_n(ring->sq_flags, __ATOMIC_RELAXED);
	return unsubmitted(ring) > 0 || (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

int rb_ring_enter(struct rb_ring *ring, bool wait, const struct __kernel_timespec *timeout)
{
	struct io_uring_getevents_arg argument = {.ts = (uintptr_t)timeout};
	/* Pairs with the kernel's acquire: the entries are written. */
	__atomic_store_n(ring->sq_tail, ring->sq_filled, __ATOMIC_RELEASE);
	long result = syscall(SYS_io_uring_enter, ring->fd, unsubmitted(ring), wait ? 1U : 0U,
			      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof(argument));
	/* EBUSY and EAGAIN: completions have to be taken first, or memory is short; the next call submits the rest */
	if (result < 0 && errno != ETIME && errno != EBUSY && errno != EAGAIN)
		return -errno;
	return 0;
}

/* ---- buffers ---- */

int rb_ring_buffers_open(struct rb_ring *ring, unsigned entries)
{
	ring->buffers_bytes = entries * sizeof(struct io_uring_buf);
	void *memory = mmap(NULL, ring->buffers_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	ring->buffers = memory;
	ring->buffers_mask = (uint16_t)(entries - 1);
	struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)memory, .ring_entries = entries};
	return syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_PBUF_RING, &registration, 1) < 0 ? -errno : 0;
}

void rb_ring_buffers_add(struct rb_ring *ring, void *buffer, unsigned bytes, uint16_t number)
{
	struct io_uring_buf *entry = &ring->buffers->bufs[ring->buffers_tail++ & ring->buffers_mask];
	/* not as a whole: the tail lies in the first one */
	entry->addr = (uintptr_t)buffer;
	entry->len = bytes;
	entry->bid = number;
}

void rb_ring_buffers_publish(struct rb_ring *ring)
{
	/* Pairs with the kernel's acquire: the entries are written. */
	__atomic_store_n(&ring->buffers->tail, ring->buffers_tail, __ATOMIC_RELEASE);
}
