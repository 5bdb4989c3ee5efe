// SPDX-License-Identifier: Apache-2.0
/* The parts of rb_nic_ops, and the other functions of the packet path that port.c needs. */
#pragma once

#include <stdint.h>

#include "nic/defs.h"

/* receive.c. The mask of the verdicts that a device gives which checks checksums. */
uint16_t nic_rx_checksums(void);
void nic_release(void *context, const uint64_t *buffers, unsigned count);

/* spread.c */
void nic_share(void *context, const struct rb_net_packet *packet);
bool nic_is_own(void *context, const struct rb_endpoint *local, const struct rb_endpoint *remote);
