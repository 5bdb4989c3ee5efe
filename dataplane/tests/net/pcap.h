// SPDX-License-Identifier: Apache-2.0
/*
 * Packet traces for looking at a failure with any tool that reads them: classic pcap with times in nanoseconds (magic
 * number 0xa1b23c4d), link type 1, Ethernet, as in draft-ietf-opsawg-pcap.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct pcap;

/* Of each frame at most so many bytes are kept. NULL, and a line on standard error, when the file cannot be made. */
struct pcap *pcap_open(const char *path, uint32_t snap_bytes);
void pcap_close(struct pcap *pcap); /* NULL: nothing */
void pcap_write(struct pcap *pcap, uint64_t time_ns, const uint8_t *frame, size_t length);
