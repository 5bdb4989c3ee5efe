// SPDX-License-Identifier: Apache-2.0
/* From handles to connections. */
#pragma once

#include "net/handle.h"
#include "net/tcp_parts.h"

/* The connection that the application means, or NULL: the handle is void. The generation changes when a TCB is freed. */
static inline struct tcb *tcp_of_handle(struct rb_net *net, rb_net_handle handle)
{
	RB_BUILD_ASSERT(HANDLE_CONNECTION == 0, "the high half of any other handle is above all indices");
	uint64_t index = handle >> 32;
	if (index >= net->tcp.tcb_pool.count)
		return NULL;
	struct tcb *tcb = tcp_tcb(net, (uint32_t)index);
	if (tcb->generation != handle_generation(handle) || (tcb->flags & (uint32_t)TCP_ORPHAN))
		return NULL;
	return tcb;
}

static inline rb_net_handle tcp_handle_of(const struct rb_net *net, const struct tcb *tcb)
{
	return handle_make(HANDLE_CONNECTION, tcp_index(net, tcb), tcb->generation);
}
