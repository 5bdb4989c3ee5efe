// SPDX-License-Identifier: Apache-2.0
/* The device of a host (host.h): its ops for the library, and the way to and from the link. Private to host.c. */
#pragma once

#include "tests/net/host.h"

extern const struct rb_net_ops device_ops; /* the context is the host */

/* From the link (a link_deliver): the frame waits for the host's next turn. */
void device_receive(void *host, const uint8_t *frame, size_t length);

/* The oldest frame that waits. Its buffer is the library's from now on. */
struct rb_net_packet device_take(struct host *host);

/* To the link: all that was put out since the last time. */
void device_transmit(struct host *host);

/* Frees what is left. */
void device_close(struct host *host);
