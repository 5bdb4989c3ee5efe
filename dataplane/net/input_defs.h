// SPDX-License-Identifier: Apache-2.0
/* The state of net/input.h. */
#pragma once

#include "net/net.h"

#include <stdint.h>

/* What the first bytes of a frame on the short way are: where `mask` has bits, those of `want`. */
struct shape {
	_Alignas(32) uint8_t want[64], mask[64];
};

/* Buffers on their way back to the caller. */
struct released {
	uint32_t count;
	uint64_t buffers[RB_NET_BURST];
};
