// SPDX-License-Identifier: Apache-2.0
/*
 * A real network device as one end of a link: a packet socket on it, with a ring of received frames that is shared with
 * the kernel, large enough for the time in which nobody looks. Frames that the ring had no room for are counted: they
 * were lost before the link, and no trace knows of them.
 */
#pragma once

#include "tests/net/link.h"

struct port {
	int fd;
	uint8_t *ring;
	unsigned next;	 /* frame of the ring that comes next */
	uint64_t unsent; /* frames that the device did not take */
};

/* 0 or -errno. */
int port_open(struct port *port, const char *device);
void port_close(struct port *port);

/* Gives all frames that have come to `deliver`. Returns how many. */
unsigned port_receive(struct port *port, link_deliver *deliver, void *context);

/* A link_deliver: sends. */
void port_send(void *port, const uint8_t *frame, size_t length);

/* Frames that the ring had no room for, since the last time this was asked. */
uint64_t port_missed(const struct port *port);
