// SPDX-License-Identifier: Apache-2.0
/* The state of net/input.h. */
#pragma once

#include "net/net.h"

#include <stdint.h>

/* Buffers on their way back to the caller. */
struct released {
	uint32_t count;
	uint64_t buffers[RB_NET_BURST];
};
