// SPDX-License-Identifier: Apache-2.0
#include "user/uring_rx.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"

static unsigned power_of_two(uint64_t count)
{
	unsigned power = 1;
	while (power < count && power < URING_RX_OFFERED_MAX)
		power *= 2;
	return power;
}

int uring_rx_init(struct uring_rx *rx, struct rb_ring *ring, uint32_t connections, uint32_t per_connection,
		  uint32_t buffer_bytes)
{
	uint64_t count = (uint64_t)connections * (per_connection + URING_RX_WAITING_MAX);
	*rx = (struct uring_rx){.buffer_bytes = buffer_bytes, .count = (uint32_t)count};
	if (count >= UINT32_MAX || __builtin_mul_overflow(count, (size_t)buffer_bytes, &rx->memory_bytes))
		return -EINVAL;
	rx->next = calloc(count, sizeof(*rx->next));
	rx->bytes = calloc(count, sizeof(*rx->bytes));
	void *memory = mmap(NULL, rx->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			    -1, 0);
	rx->memory = memory != MAP_FAILED ? memory : NULL;
	if (rx->next == NULL || rx->bytes == NULL || rx->memory == NULL)
		return -ENOMEM;
	unsigned entries = power_of_two(count);
	for (unsigned i = 0; i < entries; i++)
		rx->names[rx->names_free++] = (uint16_t)i;
	return rb_ring_buffers_open(ring, entries);
}

void uring_rx_free(struct uring_rx *rx)
{
	if (rx->memory != NULL)
		munmap(rx->memory, rx->memory_bytes);
	free(rx->next);
	free(rx->bytes);
	*rx = (struct uring_rx){0};
}

static bool take(struct uring_rx *rx, uint32_t *buffer)
{
	if (rx->free != 0) {
		*buffer = rx->free - 1;
		rx->free = rx->next[*buffer];
		return true;
	}
	*buffer = rx->untouched;
	if (rx->untouched == rx->count)
		return false;
	rx->untouched++;
	return true;
}

static uint8_t *memory_of(const struct uring_rx *rx, uint32_t buffer)
{
	return rx->memory + (size_t)buffer * rx->buffer_bytes;
}

void uring_rx_offer(struct uring_rx *rx, struct rb_ring *ring)
{
	uint32_t buffer;
	if (rx->names_free == 0)
		return;
	while (rx->names_free > 0 && take(rx, &buffer)) {
		uint16_t name = rx->names[--rx->names_free];
		rx->offered[name] = buffer;
		rb_ring_buffers_add(ring, memory_of(rx, buffer), rx->buffer_bytes, name);
	}
	rb_ring_buffers_publish(ring);
}

uint32_t uring_rx_filled(struct uring_rx *rx, uint16_t name)
{
	RB_ASSERT_LT(name, URING_RX_OFFERED_MAX + 0U);
	rx->names[rx->names_free++] = name;
	return rx->offered[name];
}

void uring_rx_drop(struct uring_rx *rx, uint32_t buffer)
{
	rx->next[buffer] = rx->free;
	rx->free = buffer + 1;
}

void uring_rx_drop_all(struct uring_rx *rx, struct uring_held *held)
{
	while (held->head != 0) {
		uint32_t buffer = held->head - 1;
		held->head = rx->next[buffer];
		uring_rx_drop(rx, buffer);
	}
	*held = (struct uring_held){0};
}

void uring_rx_hold(struct uring_rx *rx, struct uring_held *held, uint32_t buffer, uint32_t bytes)
{
	rx->bytes[buffer] = bytes;
	rx->next[buffer] = 0;
	if (held->tail != 0)
		rx->next[held->tail - 1] = buffer + 1;
	else
		held->head = buffer + 1;
	held->tail = buffer + 1;
	if (held->waiting == 0)
		held->waiting = buffer + 1;
	held->count++;
}

const uint8_t *uring_rx_show(struct uring_rx *rx, struct uring_held *held, uint32_t *bytes)
{
	RB_DEBUG_ASSERT_NE(held->waiting, 0U);
	uint32_t buffer = held->waiting - 1;
	held->waiting = rx->next[buffer];
	held->shown++;
	held->bytes += rx->bytes[buffer];
	*bytes = rx->bytes[buffer];
	return memory_of(rx, buffer);
}

bool uring_rx_return(struct uring_rx *rx, struct uring_held *held, uint64_t bytes)
{
	if (bytes > held->bytes)
		return false;
	held->bytes -= bytes;
	while (bytes > 0) {
		uint32_t buffer = held->head - 1;
		if (bytes < rx->bytes[buffer]) {
			rx->bytes[buffer] -= (uint32_t)bytes;
			break;
		}
		bytes -= rx->bytes[buffer];
		held->head = rx->next[buffer];
		held->count--;
		held->shown--;
		uring_rx_drop(rx, buffer);
	}
	if (held->head == 0)
		held->tail = 0;
	return true;
}
