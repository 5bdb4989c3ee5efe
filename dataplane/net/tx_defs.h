// SPDX-License-Identifier: Apache-2.0
/* The state of net/tx.h. */
#pragma once

#include "net/net.h"

#include <stdint.h>

/*
 * Frames lie in `burst` in three runs: [0, first) given to the device, [first, next) complete and waiting for the
 * flush, [next, got) with a header buffer each and nothing in them. When all that were got are gone, it begins again at
 * 0; asking for few at a time keeps the frames in use within the first cache lines.
 */
struct tx {
	uint32_t first, next, got;
	uint32_t ready;	       /* `got` if `fills`, else 0: for who leaves the checksums to the device */
	bool fills;	       /* the device fills in those of both IPv4 and TCP */
	uint32_t sent_pending; /* first packet of the pending pool whose frame waits for the flush; PENDING_NONE */
	uint32_t held_count;
	uint64_t held[RB_NET_BURST]; /* received buffers that waiting frames have pieces in */
	struct rb_net_frame burst[RB_NET_BURST];
};
