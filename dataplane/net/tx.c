// SPDX-License-Identifier: Apache-2.0
#include "net/tx.h"

#include "net/checksum.h"
#include "net/input.h"
#include "net/mechanism.h"
#include "net/pending.h"

void tx_init(struct rb_net *net)
{
	const uint16_t both = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL;
	struct tx *tx = &net->tx;
	tx->fills = (net->config.checksum_offload & both) == both;
	tx->answer_max = tx->fills ? net->config.answer_max : 0;
	tx->next = tx->stock_next = tx->stock_end = tx->ready = 0;
	tx->held_count = 0;
	tx->sent_pending = PENDING_NONE;
}

/* The memory that frames referred to is free when they have gone. */
static __attribute__((noinline)) void give_back(struct rb_net *net)
{
	struct tx *tx = &net->tx;
	for (uint32_t i = 0; i < tx->held_count; i++)
		input_release(net, tx->held[i]);
	if (tx->held_count > 0)
		input_release_flush(net);
	tx->held_count = 0;
	pending_sent(net);
}

static inline void after_output(struct rb_net *net)
{
	if (__builtin_expect(net->tx.held_count > 0 || net->tx.sent_pending != PENDING_NONE, 0))
		give_back(net);
}

void tx_flush(struct rb_net *net)
{
	struct tx *tx = &net->tx;
	uint32_t count = tx->next;
	if (count > 0) {
		net->ops->output(net->context, tx->burst, count);
		net->counters.frames_out += count;
		tx->next = 0;
	}
	after_output(net);
}

void tx_drop(struct rb_net *net)
{
	struct tx *tx = &net->tx;
	for (uint32_t i = 0; i < tx->next; i++) {
		if (tx->burst[i].flags & RB_NET_FRAME_ANSWER)
			input_release(net, tx->burst[i].owner);
	}
	tx->next = tx->stock_next = tx->stock_end = tx->ready = 0;
	after_output(net);
}

static bool restock(struct rb_net *net)
{
	struct tx *tx = &net->tx;
	uint32_t got = net->ops->headers(net->context, tx->stock, TX_STOCK);
	tx->stock_next = 0;
	tx->stock_end = got;
	tx->ready = tx->fills ? got : 0;
	return got > 0;
}

bool tx_refill(struct rb_net *net)
{
	struct tx *tx = &net->tx;
	if (tx->next == RB_NET_BURST)
		tx_flush(net);
	if (tx->stock_next < tx->stock_end || restock(net))
		return true;
	if (tx->next > 0) { /* what has gone out may come back as memory */
		tx_flush(net);
		if (restock(net))
			return true;
	}
	net->counters.no_headers++;
	return false;
}

bool tx_hold(struct rb_net *net, uint64_t buffer)
{
	struct tx *tx = &net->tx;
	if (tx->held_count == RB_NET_BURST) {
		tx_flush(net);
		return false;
	}
	tx->held[tx->held_count++] = buffer;
	return true;
}

void tx_checksum(struct rb_net_frame *frame, unsigned l4, unsigned field, bool udp)
{
	uint64_t sum = checksum_add(0, frame->header + l4, frame->header_length - l4);
	for (unsigned i = 0; i < frame->pieces_count; i++)
		sum = checksum_add(sum, frame->pieces[i].base, frame->pieces[i].length);
	uint16_t checksum = checksum_finish(sum);
	if (MECHANISM(udp_ones) && udp && checksum == 0)
		checksum = UINT16_MAX;
	memcpy(frame->header + field, &checksum, sizeof(checksum));
}
