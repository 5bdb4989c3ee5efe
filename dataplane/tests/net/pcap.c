// SPDX-License-Identifier: Apache-2.0
#include "tests/net/pcap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINKTYPE_ETHERNET = 1, NS_PER_S = 1000000000 };

struct pcap {
	FILE *file;
	uint32_t snap_bytes;
};

struct pcap *pcap_open(const char *path, uint32_t snap_bytes)
{
	/* native byte order: readers tell it by the magic number */
	const uint32_t header[6] = {0xa1b23c4d, 2 | (4 << 16), 0, 0, snap_bytes, LINKTYPE_ETHERNET};
	struct pcap *pcap = calloc(1, sizeof(*pcap));
	if (pcap != NULL)
		pcap->file = fopen(path, "wbe");
	if (pcap == NULL || pcap->file == NULL) {
		fprintf(stderr, "no trace: %s: %s\n", path, strerror(errno));
		free(pcap);
		return NULL;
	}
	pcap->snap_bytes = snap_bytes;
	fwrite(header, sizeof(header), 1, pcap->file);
	return pcap;
}

void pcap_close(struct pcap *pcap)
{
	if (pcap == NULL)
		return;
	const bool failed = ferror(pcap->file) != 0;
	if (fclose(pcap->file) != 0 || failed)
		fprintf(stderr, "a trace is incomplete: %s\n", strerror(errno));
	free(pcap);
}

void pcap_write(struct pcap *pcap, uint64_t time_ns, const uint8_t *frame, size_t length)
{
	const uint32_t size = length < pcap->snap_bytes ? (uint32_t)length : pcap->snap_bytes;
	const uint32_t header[4] = {(uint32_t)(time_ns / NS_PER_S), (uint32_t)(time_ns % NS_PER_S), size,
				    (uint32_t)length};
	fwrite(header, sizeof(header), 1, pcap->file);
	fwrite(frame, size, 1, pcap->file);
}
