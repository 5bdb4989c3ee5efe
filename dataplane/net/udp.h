// SPDX-License-Identifier: Apache-2.0
/* UDP (RFC 768, RFC 1122 4.1, RFC 8200 8.1). Sockets by port in a hash table; received datagrams wait in a ring. */
#pragma once

#include "net/defs.h"
#include "net/layout.h"
#include "net/packet.h"

enum { UDP_HEADER = 8 }; /* bytes */

/* Takes its arrays for this configuration. */
void udp_lay(struct udp *udp, const struct rb_net_config *config, struct layout *layout);

/* No sockets, nothing received. */
void udp_init(struct rb_net *net);

/* Takes a datagram whose IP header was good. True: the buffer was kept. */
bool udp_input(struct rb_net *net, const struct ip_packet *ip);

/* Takes the oldest received datagram of an open socket as an event, for rb_net_events(). False: there is none. */
bool udp_event(struct rb_net *net, struct rb_net_event *event);

/* Closes a socket: rb_net_close() of a handle of kind HANDLE_UDP. What it had received is released. 0 or -EBADF. */
int udp_close(struct rb_net *net, rb_net_handle handle);

/* Closes all sockets and releases what waits, for rb_net_drop(); buffers taken as events are the taker's to return. */
void udp_drop(struct rb_net *net);
