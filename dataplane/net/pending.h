// SPDX-License-Identifier: Apache-2.0
/*
 * Packets that wait for a neighbour's address (RFC 1122 2.3.2.2, RFC 4861 7.2.2): whole copies, because what their
 * pieces refer to may change before an answer comes. The pool is shared by all neighbours.
 */
#pragma once

#include "net/defs.h"
#include "net/layout.h"

#include <stdint.h>

/* Takes the pool for this configuration. */
void pending_lay(struct pending_pool *pool, const struct rb_net_config *config, struct layout *layout);

/* All packets free. */
void pending_init(struct pending_pool *pool, uint32_t count);

/* Copies the frame. When the neighbour has its share, or the pool is empty, its oldest goes; else this one, counted. */
void pending_add(struct rb_net *net, struct neighbour *neighbour, const struct rb_net_frame *frame);

/* Queues all that wait for this neighbour, which has an address now; what finds no header buffer is dropped. */
void pending_send(struct rb_net *net, struct neighbour *neighbour);

/* Drops all that wait for this neighbour, counted. */
void pending_drop(struct rb_net *net, struct neighbour *neighbour);

/* The frames of pending_send() have gone to the device. */
void pending_sent(struct rb_net *net);
