// SPDX-License-Identifier: Apache-2.0
#include "net/pending.h"

#include "net/mechanism.h"
#include "net/neighbour.h"
#include "net/tx.h"

#include <string.h>

enum { STRIDE_ALIGN = 8 }; /* bytes */

void pending_lay(struct pending_pool *pool, const struct rb_net_config *config, struct layout *layout)
{
	pool->stride = (ETHERNET_HEADER + config->mtu + STRIDE_ALIGN - 1U) / STRIDE_ALIGN * STRIDE_ALIGN;
	pool->packets = layout_take(layout, config->pending, sizeof(pool->packets[0]));
	pool->bytes = layout_take(layout, config->pending, pool->stride);
}

void pending_init(struct pending_pool *pool, uint32_t count)
{
	pool->free = PENDING_NONE;
	pool->used = 0;
	for (uint32_t i = count; i-- > 0;) {
		pool->packets[i].next = pool->free;
		pool->free = i;
	}
}

static uint8_t *pending_bytes(const struct pending_pool *pool, uint32_t index)
{
	return pool->bytes + (size_t)index * pool->stride;
}

static void put(struct pending_pool *pool, uint32_t index)
{
	pool->packets[index].next = pool->free;
	pool->free = index;
	pool->used--;
}

/* Takes the oldest packet of the neighbour, which has one. */
static uint32_t pop(struct pending_pool *pool, struct neighbour *neighbour)
{
	uint32_t index = neighbour->pending_first;
	neighbour->pending_first = pool->packets[index].next;
	neighbour->pending_count--;
	return index;
}

static void append(struct pending_pool *pool, struct neighbour *neighbour, uint32_t index)
{
	pool->packets[index].next = PENDING_NONE;
	if (neighbour->pending_count++ == 0)
		neighbour->pending_first = index;
	else
		pool->packets[neighbour->pending_last].next = index;
	neighbour->pending_last = index;
}

/* A packet to fill, or PENDING_NONE. */
static uint32_t get(struct rb_net *net, struct neighbour *neighbour)
{
	struct pending_pool *pool = &net->neighbours.pending;
	if (neighbour->pending_count < NEIGHBOUR_PENDING_MAX && pool->free != PENDING_NONE) {
		uint32_t index = pool->free;
		pool->free = pool->packets[index].next;
		pool->used++;
		return index;
	}
	net->counters.pending_dropped++;
	return MECHANISM(pending_oldest) && neighbour->pending_count > 0 ? pop(pool, neighbour) : PENDING_NONE;
}

void pending_add(struct rb_net *net, struct neighbour *neighbour, const struct rb_net_frame *frame)
{
	struct pending_pool *pool = &net->neighbours.pending;
	RB_DEBUG_ASSERT_LE(frame->length, pool->stride);
	uint32_t index = MECHANISM(pending_queue) ? get(net, neighbour) : PENDING_NONE;
	if (index == PENDING_NONE)
		return;
	struct pending *packet = &pool->packets[index];
	packet->length = frame->length;
	packet->header_length = frame->header_length;
	packet->checksum = frame->checksum;
	packet->l3_length = frame->l3_length;
	uint8_t *to = pending_bytes(pool, index);
	memcpy(to, frame->header, frame->header_length);
	to += frame->header_length;
	for (unsigned i = 0; i < frame->pieces_count; i++) {
		memcpy(to, frame->pieces[i].base, frame->pieces[i].length);
		to += frame->pieces[i].length;
	}
	append(pool, neighbour, index);
}

static bool send_one(struct rb_net *net, const struct neighbour *neighbour, uint32_t index)
{
	struct pending_pool *pool = &net->neighbours.pending;
	const struct pending *packet = &pool->packets[index];
	const uint8_t *bytes = pending_bytes(pool, index);
	struct rb_net_frame *frame = tx_frame(net);
	if (frame == NULL)
		return false;
	memcpy(frame->header, bytes, packet->header_length);
	memcpy(frame->header, neighbour->ethernet, ETHERNET_HEADER);
	frame->header_length = packet->header_length;
	frame->checksum = packet->checksum;
	frame->l3_length = packet->l3_length;
	frame->length = packet->length;
	if (packet->length > packet->header_length) {
		frame->pieces[0] = (struct rb_net_piece){.base = bytes + packet->header_length,
							 .length = packet->length - packet->header_length};
		frame->pieces_count = 1;
		frame->flags = RB_NET_FRAME_TRANSIENT;
	}
	tx_commit_raw(net, frame);
	return true;
}

void pending_send(struct rb_net *net, struct neighbour *neighbour)
{
	struct pending_pool *pool = &net->neighbours.pending;
	while (neighbour->pending_count > 0) {
		uint32_t index = pop(pool, neighbour);
		if (send_one(net, neighbour, index)) {
			pool->packets[index].next = net->tx.sent_pending;
			net->tx.sent_pending = index;
		} else {
			put(pool, index);
			net->counters.pending_dropped++;
		}
	}
}

void pending_drop(struct rb_net *net, struct neighbour *neighbour)
{
	while (neighbour->pending_count > 0) {
		put(&net->neighbours.pending, pop(&net->neighbours.pending, neighbour));
		net->counters.pending_dropped++;
	}
}

void pending_sent(struct rb_net *net)
{
	struct pending_pool *pool = &net->neighbours.pending;
	while (net->tx.sent_pending != PENDING_NONE) {
		uint32_t index = net->tx.sent_pending;
		net->tx.sent_pending = pool->packets[index].next;
		put(pool, index);
	}
}
