// SPDX-License-Identifier: Apache-2.0
/* The state of net/tx.h. */
#pragma once

#include "net/net.h"

#include <stdint.h>

/* Header buffers to ask for at once: a common batch, and few enough for their cache lines to be used again soon. */
enum { TX_STOCK = 16 };

/* Frames [0, next) are complete and wait for the flush, and header buffers [stock_next, stock_end) for frames. */
struct tx {
	uint32_t next;
	uint32_t stock_next, stock_end;
	uint32_t ready;	       /* `stock_end` if `fills`, else 0: for who leaves the checksums to the device */
	bool fills;	       /* the device fills in those of both IPv4 and TCP */
	uint16_t answer_max;   /* the configuration's if `fills`, else 0 */
	uint32_t sent_pending; /* first packet of the pending pool whose frame waits for the flush; PENDING_NONE */
	uint32_t held_count;
	uint64_t held[RB_NET_BURST]; /* received buffers that waiting frames have pieces in */
	struct rb_net_header stock[TX_STOCK];
	struct rb_net_frame burst[RB_NET_BURST];
};
