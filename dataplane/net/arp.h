// SPDX-License-Identifier: Apache-2.0
/* ARP for IPv4 on Ethernet (RFC 826), with the announcements and defence of RFC 5227. */
#pragma once

#include "net/defs.h"

#include <stdint.h>

/* Takes an ARP packet of `length` bytes, and answers it unless it was overheard (input.h). Keeps nothing of it. */
void arp_input(struct rb_net *net, const uint8_t *arp, unsigned length, bool overheard);

/* Asks who has `target` (host byte order): everybody, or only who had it, at `mac`. */
void arp_send_request(struct rb_net *net, uint32_t target, const uint8_t *mac);

/* Tells everybody that the address is ours (RFC 5227 2.3). */
void arp_send_announcement(struct rb_net *net);
