// SPDX-License-Identifier: Apache-2.0
#include "tests/nic/fixture.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>

static char shared[256]; /* folder of DPDK's that other processes know */
static unsigned devices; /* made so far: each has a name of its own */

int fixture_begin(void **state)
{
	char cpu[16], why[RB_NIC_ERROR_MAX] = "";
	char *arguments[] = {(char[]){"test"},
			     (char[]){"--no-huge"},
			     (char[]){"-m"},
			     (char[]){"128"},
			     (char[]){"--no-pci"},
			     (char[]){"--no-shconf"},
			     (char[]){"--no-telemetry"},
			     (char[]){"--log-level=*:error"},
			     (char[]){"-l"},
			     cpu,
			     NULL};
	(void)state;
	snprintf(cpu, sizeof(cpu), "%d", sched_getcpu());
	const int status = rb_nic_init((int)(sizeof(arguments) / sizeof(arguments[0])) - 1, arguments, why);
	if (status != 0)
		print_error("%s\n", why);
	return status;
}

int fixture_begin_shared(void **state)
{
	char cpus[64], prefix[64], why[RB_NIC_ERROR_MAX] = "";
	const int cpu = sched_getcpu();
	char *arguments[] = {(char[]){"test"},
			     (char[]){"--no-huge"},
			     (char[]){"-m"},
			     (char[]){"64"},
			     (char[]){"--no-pci"},
			     prefix,
			     (char[]){"--lcores"},
			     cpus,
			     (char[]){"--log-level=*:error"},
			     NULL};
	(void)state;
	snprintf(cpus, sizeof(cpus), "(0-2)@%d", cpu);
	snprintf(prefix, sizeof(prefix), "--file-prefix=rb-nic-test-%d", (int)getpid());
	if (geteuid() == 0 && access("/var/run", W_OK) != 0) /* where DPDK has its sockets */
		return 0;
	const int status = rb_nic_init((int)(sizeof(arguments) / sizeof(arguments[0])) - 1, arguments, why);
	if (status != 0)
		print_error("%s\n", why);
	snprintf(shared, sizeof(shared), "%s", rte_eal_get_runtime_dir());
	return status;
}

bool fixture_is_shared(void)
{
	return shared[0] != '\0';
}

int fixture_end(void **state)
{
	char command[sizeof(shared) + 16];
	(void)state;
	rb_nic_exit();
	if (!fixture_is_shared())
		return 0;
	snprintf(command, sizeof(command), "rm -r '%s'", shared);
	return system(command); /* NOLINT(cert-env33-c) */
}

struct rb_nic_config fixture_config(const char *device)
{
	return (struct rb_nic_config){
		.device = device,
		.queues = 1,
		.rx_descriptors = 64,
		.tx_descriptors = 64,
		.rx_buffers = 64,
		.tx_buffers = 64,
		.mtu = 1500,
		.offload = true,
		.link_wait_ms = 1000,
	};
}

struct rb_nic *fixture_open(const struct rb_nic_config *config)
{
	char why[RB_NIC_ERROR_MAX] = "";
	struct rb_nic *nic = NULL;
	if (rb_nic_open(config, &nic, why) != 0 || rb_nic_start(nic, why) != 0)
		fail_msg("%s", why);
	return nic;
}

void fixture_make(const char *name, const char *arguments)
{
	assert_int_equal(rte_vdev_init(name, arguments), 0);
}

void fixture_remove(struct rb_nic *nic, const char *name)
{
	rb_nic_close(nic);
	assert_int_equal(rte_vdev_uninit(name), 0);
}

void fixture_rings_make(struct fixture_rings *rings, unsigned queues)
{
	char name[32];
	snprintf(name, sizeof(name), "rx%u", devices);
	rings->rx = rte_ring_create(name, FIXTURE_RING, SOCKET_ID_ANY, 0);
	snprintf(name, sizeof(name), "tx%u", devices);
	rings->tx = rte_ring_create(name, FIXTURE_RING, SOCKET_ID_ANY, 0);
	assert_true(rings->rx != NULL && rings->tx != NULL);
	snprintf(name, sizeof(name), "test%u", devices++);
	struct rte_ring *rx[] = {rings->rx, rings->rx}, *tx[] = {rings->tx, rings->tx};
	assert_in_range(queues, 1, 2);
	assert_return_code(rte_eth_from_rings(name, rx, queues, tx, queues, 0), 0);
	snprintf(rings->device, sizeof(rings->device), "net_ring_%s", name);
}

void fixture_rings_remove(struct fixture_rings *rings, struct rb_nic *nic)
{
	struct rte_mbuf *mbuf;
	while ((mbuf = fixture_sent(rings)) != NULL)
		rte_pktmbuf_free(mbuf);
	fixture_remove(nic, rings->device);
	rte_ring_free(rings->rx);
	rte_ring_free(rings->tx);
}

void fixture_deliver(struct fixture_rings *rings, struct rb_nic_queue *queue, const void *data, uint16_t length,
		     uint64_t flags)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(queue->rx_pool);
	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, length), data, length);
	mbuf->ol_flags |= flags;
	assert_int_equal(rte_ring_enqueue(rings->rx, mbuf), 0);
}

struct rte_mbuf *fixture_sent(struct fixture_rings *rings)
{
	void *object = NULL;
	return rte_ring_dequeue(rings->tx, &object) == 0 ? object : NULL;
}

size_t fixture_bytes(const struct rte_mbuf *mbuf, uint8_t *bytes, size_t size)
{
	size_t length = 0;
	for (; mbuf != NULL; mbuf = mbuf->next) {
		assert_true(length + mbuf->data_len <= size);
		memcpy(bytes + length, rte_pktmbuf_mtod(mbuf, const void *), mbuf->data_len);
		length += mbuf->data_len;
	}
	return length;
}

struct trace_head {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, figures, size_max, link;
};

struct trace_frame {
	uint32_t seconds, microseconds, kept, length;
};

void fixture_trace_add(const char *path, const void *frame, size_t length)
{
	const struct trace_head head = {.magic = 0xa1b2c3d4, .major = 2, .minor = 4, .size_max = 65535, .link = 1};
	const struct trace_frame about = {.kept = (uint32_t)length, .length = (uint32_t)length};
	FILE *out = fopen(path, "abe");
	assert_non_null(out);
	assert_int_equal(fseek(out, 0, SEEK_END), 0);
	if (ftell(out) == 0)
		assert_int_equal(fwrite(&head, sizeof(head), 1, out), 1);
	assert_int_equal(fwrite(&about, sizeof(about), 1, out), 1);
	assert_int_equal(fwrite(frame, length, 1, out), 1);
	assert_int_equal(fclose(out), 0);
}

size_t fixture_trace_expect(const char *path, size_t at, const void *frame, size_t length)
{
	static uint8_t bytes[65536];
	struct trace_frame about;
	FILE *in = fopen(path, "rbe");
	assert_non_null(in);
	if (at == 0)
		at = sizeof(struct trace_head);
	assert_int_equal(fseek(in, (long)at, SEEK_SET), 0);
	assert_int_equal(fread(&about, sizeof(about), 1, in), 1);
	assert_int_equal(about.kept, length);
	assert_int_equal(fread(bytes, length, 1, in), 1);
	assert_memory_equal(bytes, frame, length);
	fclose(in);
	return at + sizeof(about) + length;
}

void fixture_trace_expect_end(const char *path, size_t at)
{
	FILE *in = fopen(path, "rbe");
	assert_non_null(in);
	assert_int_equal(fseek(in, 0, SEEK_END), 0);
	assert_int_equal(ftell(in), at);
	fclose(in);
}

void fixture_pattern(uint8_t *bytes, size_t length, unsigned seed)
{
	uint32_t value = seed * 2654435761U + 1U;
	for (size_t i = 0; i < length; i++) {
		value = value * 1664525U + 1013904223U;
		bytes[i] = (uint8_t)(value >> 24);
	}
}
