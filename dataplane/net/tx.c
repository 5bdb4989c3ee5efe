// SPDX-License-Identifier: Apache-2.0
#include "net/tx.h"

#include "net/checksum.h"
#include "net/input.h"
#include "net/mechanism.h"
#include "net/pending.h"

/* Header buffers to ask for at once: a common batch, and few enough for their cache lines to be used again soon. */
enum { TX_REFILL = 16 };

/* That many have header buffers. */
static void set_got(struct tx *tx, uint32_t got)
{
	tx->got = got;
	tx->ready = tx->fills ? got : 0;
}

/* It begins again at 0. */
static void restart(struct tx *tx)
{
	tx->first = tx->next = 0;
	set_got(tx, 0);
}

void tx_init(struct rb_net *net)
{
	const uint16_t both = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL;
	struct tx *tx = &net->tx;
	tx->fills = (net->config.checksum_offload & both) == both;
	restart(tx);
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
	uint32_t count = tx->next - tx->first;
	if (count > 0) {
		net->ops->output(net->context, &tx->burst[tx->first], count);
		net->counters.frames_out += count;
		tx->first = tx->next;
	}
	if (tx->first == tx->got)
		restart(tx);
	after_output(net);
}

void tx_drop(struct rb_net *net)
{
	restart(&net->tx);
	after_output(net);
}

/* Asks for buffers behind those that there are. */
static bool get_headers(struct rb_net *net)
{
	struct tx *tx = &net->tx;
	uint32_t room = RB_NET_BURST - tx->got;
	uint32_t got = net->ops->headers(net->context, &tx->burst[tx->got], room < TX_REFILL ? room : TX_REFILL);
	set_got(tx, tx->got + got);
	return got > 0;
}

bool tx_refill(struct rb_net *net)
{
	if (net->tx.got < RB_NET_BURST && get_headers(net))
		return true;
	/* Burst full, or no memory: what has gone out may come back as memory. */
	if (net->tx.next > net->tx.first) {
		tx_flush(net);
		if (get_headers(net))
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
