// SPDX-License-Identifier: Apache-2.0
/* The state of net/udp.h. */
#pragma once

#include "net/net.h"

#include <stdint.h>

struct udp_socket {
	struct rb_ip local; /* unspecified: any of ours */
	uint64_t cookie;
	uint32_t generation;
	uint16_t port; /* 0: the socket is free */
	uint16_t next; /* of the same hash chain, or of the free list; UDP_NONE: end */
};

enum { UDP_NONE = 0xffff };

/* A received datagram that waits to be taken as an event. */
struct udp_datagram {
	const uint8_t *data; /* of the packet */
	uint64_t buffer;
	uint32_t generation; /* of the socket when it came: later ones do not get it */
	uint16_t socket;
	uint16_t offset, length; /* of the payload */
};

struct udp {
	struct udp_socket *sockets;
	uint16_t *buckets; /* heads of hash chains, by port */
	struct udp_datagram *queue;
	uint32_t bucket_mask;
	uint32_t used;	       /* sockets */
	uint32_t read, queued; /* of the queue: index of the oldest, and how many */
	uint16_t free;	       /* first free socket */
	uint16_t next_port;    /* where the search for an ephemeral port goes on */
};
