// SPDX-License-Identifier: Apache-2.0
/*
 * Lets a DPDK program rest where it has nothing to do. Loaded in front of the program's libraries (LD_PRELOAD) it does
 * two things, both through functions that DPDK has for it:
 *   - every receive queue gets a callback that executes `pause` after a poll that brought nothing;
 *   - delays sleep, for example while a port waits for its link.
 *
 * testpmd does neither. Where several CPUs take turns on one host thread, as on the virtual clock, such a poller keeps
 * its turn to the end however little there is to do, and a reply waits for that; `pause` ends the turn. A delay that
 * is counted off costs an instruction for each nanosecond of it; one that sleeps costs nothing.
 */
#include <dlfcn.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_pause.h>

/* Runs after the constructors of DPDK's own libraries, which choose delays that count. */
__attribute__((constructor)) static void let_delays_sleep(void)
{
	rte_delay_us_callback_register(rte_delay_us_sleep);
}

static uint16_t pause_if_idle(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t received,
			      uint16_t most, void *user)
{
	(void)port;
	(void)queue;
	(void)packets;
	(void)most;
	(void)user;
	if (received == 0)
		rte_pause();
	return received;
}

/* In place of ethdev's function of that name, which it calls. */
int rte_eth_dev_start(uint16_t port)
{
	struct rte_eth_dev_info info;
	int (*start)(uint16_t port) = NULL;

	/* The form in which POSIX has a function's address taken from dlsym. */
	*(void **)(void *)&start = dlsym(RTLD_NEXT, "rte_eth_dev_start");
	if (start == NULL || rte_eth_dev_info_get(port, &info) != 0)
		abort();
	for (uint16_t queue = 0; queue < info.nb_rx_queues; queue++) {
		if (rte_eth_add_rx_callback(port, queue, pause_if_idle, NULL) == NULL)
			abort();
	}
	return start(port);
}
