// SPDX-License-Identifier: Apache-2.0
/* What a handle names: kind and index in the high half, the generation in the low half, which is never 0. */
#pragma once

#include "net/net.h"

#include <stdint.h>

enum handle_kind { HANDLE_CONNECTION, HANDLE_LISTENER, HANDLE_UDP };

enum { HANDLE_INDEX_BITS = 24 };

static inline rb_net_handle handle_make(enum handle_kind kind, uint32_t index, uint32_t generation)
{
	return (uint64_t)kind << (32 + HANDLE_INDEX_BITS) | (uint64_t)index << 32 | generation;
}

/* Any value at all may come in; kinds that do not exist too. */
static inline unsigned handle_kind(rb_net_handle handle)
{
	return (unsigned)(handle >> (32 + HANDLE_INDEX_BITS));
}

static inline uint32_t handle_index(rb_net_handle handle)
{
	return (uint32_t)(handle >> 32) & ((1U << HANDLE_INDEX_BITS) - 1);
}

static inline uint32_t handle_generation(rb_net_handle handle)
{
	return (uint32_t)handle;
}

/* The next generation of an index: 0 is left out, so that no handle is 0. */
static inline uint32_t handle_next_generation(uint32_t generation)
{
	return generation + 1 == 0 ? 1 : generation + 1;
}
