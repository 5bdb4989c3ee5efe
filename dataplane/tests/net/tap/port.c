// SPDX-License-Identifier: Apache-2.0
#include "tests/net/tap/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_SIZE = 2048, BLOCK_SIZE = 1 << 16, FRAMES = 1 << 14, RING_SIZE = FRAME_SIZE * FRAMES };

static int ring_open(struct port *port)
{
	const int version = TPACKET_V2, yes = 1;
	const struct tpacket_req ring = {
		.tp_block_size = BLOCK_SIZE,
		.tp_block_nr = RING_SIZE / BLOCK_SIZE,
		.tp_frame_size = FRAME_SIZE,
		.tp_frame_nr = FRAMES,
	};
	if (setsockopt(port->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) != 0 ||
	    setsockopt(port->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) != 0 ||
	    setsockopt(port->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) != 0)
		return -errno;
	void *memory = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, port->fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	port->ring = memory;
	return 0;
}

int port_open(struct port *port, const char *device)
{
	*port = (struct port){.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
	if (port->fd < 0)
		return -errno;
	const struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(device),
	};
	int status = address.sll_ifindex == 0 ? -ENODEV : ring_open(port);
	if (status == 0 && bind(port->fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) != 0)
		status = -errno;
	if (status != 0)
		port_close(port);
	return status;
}

void port_close(struct port *port)
{
	if (port->ring != NULL)
		(void)munmap(port->ring, RING_SIZE);
	(void)close(port->fd);
	*port = (struct port){.fd = -1};
}

unsigned port_receive(struct port *port, link_deliver *deliver, void *context)
{
	unsigned count = 0;
	for (; count < FRAMES; count++) {
		uint8_t *bytes = port->ring + (size_t)port->next * FRAME_SIZE;
		struct tpacket2_hdr *header = (void *)bytes;
		/* acquire: pairs with the kernel's release of the frame */
		if ((__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0)
			break;
		deliver(context, bytes + header->tp_mac, header->tp_snaplen);
		__atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		port->next = (port->next + 1) % FRAMES;
	}
	return count;
}

void port_send(void *context, const uint8_t *frame, size_t length)
{
	struct port *port = context;
	if (send(port->fd, frame, length, 0) != (ssize_t)length)
		port->unsent++;
}

uint64_t port_missed(const struct port *port)
{
	struct tpacket_stats stats = {0};
	socklen_t length = sizeof(stats);
	(void)getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length);
	return stats.tp_drops;
}
