// SPDX-License-Identifier: Apache-2.0
#include "tests/net/pcap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SNAPLEN = 65535, LINKTYPE_ETHERNET = 1, NS_PER_S = 1000000000 };

/* struct pcap is the stream itself: there is nothing else to know. */
static FILE *stream(struct pcap *pcap)
{
	return (FILE *)(void *)pcap;
}

struct pcap *pcap_open(const char *path)
{
	/* native byte order: readers tell it by the magic number */
	const uint32_t header[6] = {0xa1b23c4d, 2 | (4 << 16), 0, 0, SNAPLEN, LINKTYPE_ETHERNET};
	FILE *file = fopen(path, "wbe");
	if (file == NULL) {
		fprintf(stderr, "no trace: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	fwrite(header, sizeof(header), 1, file);
	return (struct pcap *)(void *)file;
}

void pcap_close(struct pcap *pcap)
{
	if (pcap != NULL && fclose(stream(pcap)) != 0)
		fprintf(stderr, "a trace is incomplete: %s\n", strerror(errno));
}

void pcap_write(struct pcap *pcap, uint64_t time_ns, const uint8_t *frame, size_t length)
{
	const uint32_t size = length < SNAPLEN ? (uint32_t)length : SNAPLEN;
	const uint32_t header[4] = {(uint32_t)(time_ns / NS_PER_S), (uint32_t)(time_ns % NS_PER_S), size,
				    (uint32_t)length};
	fwrite(header, sizeof(header), 1, stream(pcap));
	fwrite(frame, size, 1, stream(pcap));
}
