// SPDX-License-Identifier: Apache-2.0
/*
 * Packets in: Ethernet, then IP, then whoever takes it. Whoever returns true has kept the packet's buffer and
 * releases it later with input_release(); all others go back to the caller at the end of the burst, and so do those
 * released meanwhile, many at a time.
 */
#pragma once

#include "net/defs.h"
#include "net/packet.h"

#include <stdint.h>

/* Gives all buffers that were released to the caller: at the end of a burst and of a flush. */
void input_release_flush(struct rb_net *net);

/* Releases a buffer that was kept; the caller gets it with the next input_release_flush(). */
static inline void input_release(struct rb_net *net, uint64_t buffer)
{
	struct released *released = &net->released;
	released->buffers[released->count++] = buffer;
	if (__builtin_expect(released->count == RB_NET_BURST, 0))
		input_release_flush(net);
}

/* Sets net->shape, by the port's addresses. */
void input_shape(struct rb_net *net);

/* Gives a packet whose IP header was good to its protocol. True: the buffer was kept. */
bool input_deliver(struct rb_net *net, const struct ip_packet *ip);

/* Whether another instance of this host has received the packet, and answers it if anybody does. */
static inline bool input_is_overheard(const struct rb_net_packet *packet)
{
	return (packet->checksum & RB_NET_OVERHEARD) != 0;
}

/* The other instances of this host shall have what this packet says, too. */
static inline void input_share(const struct rb_net *net, const struct rb_net_packet *packet)
{
	if (net->ops->share != NULL && !input_is_overheard(packet))
		net->ops->share(net->context, packet);
}
