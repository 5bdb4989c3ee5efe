// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_pdump.h>

#include "nic/defs.h"

static bool private_memory; /* no other process can attach */
static bool capture, running;
static atomic_bool lent[RTE_MAX_LCORE]; /* numbers of DPDK's own threads that others use */
static _Thread_local bool borrowed;

int rb_nic_init(int argc, char **argv, char why[RB_NIC_ERROR_MAX])
{
	/*
	 * A delay that is counted off costs an instruction for each nanosecond of it where the clock is virtual, and
	 * takes the CPU from others where it is not.
	 */
	rte_delay_us_callback_register(rte_delay_us_sleep);
	private_memory = false;
	capture = false;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--in-memory") == 0 || strcmp(argv[i], "--no-shconf") == 0)
			private_memory = true;
	}
	if (rte_eal_init(argc, argv) < 0)
		return nic_explain_init("/sys", rte_errno, argc, argv, why);
	running = true;
	return 0;
}

uint64_t rb_nic_tsc_hz(void)
{
	return rte_get_tsc_hz();
}

void rb_nic_exit(void)
{
	if (!running)
		return;
	if (capture)
		rte_pdump_uninit();
	capture = running = false;
	rte_eal_cleanup();
}

bool nic_captures(void)
{
	return capture;
}

int rb_nic_capture_enable(char why[RB_NIC_ERROR_MAX])
{
	if (private_memory)
		return nic_fail(
			why, ENOTSUP,
			"capture needs memory that dpdk-dumpcap can attach to: start DPDK without --in-memory and "
			"--no-shconf");
	if (capture)
		return 0;
	if (rte_pdump_init() != 0)
		return nic_fail(why, rte_errno > 0 ? rte_errno : EIO, "capture cannot be prepared: %s",
				rte_strerror(rte_errno));
	capture = true;
	return 0;
}

/*
 * DPDK gives a number to a thread of ours only if no other process may attach, and dpdk-dumpcap is one. Then the thread
 * takes the number of one of DPDK's own, which sleep: what goes by the number is then its alone.
 */
static int borrow_number(void)
{
	unsigned lcore;
	RTE_LCORE_FOREACH_WORKER(lcore)
	{
		if (!atomic_exchange(&lent[lcore], true)) {
			RTE_PER_LCORE(_lcore_id) = lcore;
			borrowed = true;
			return 0;
		}
	}
	return -ENOSPC;
}

static void give_number_back(void)
{
	const unsigned lcore = rte_lcore_id();
	borrowed = false;
	RTE_PER_LCORE(_lcore_id) = LCORE_ID_ANY;
	atomic_store(&lent[lcore], false);
}

int rb_nic_thread_begin(void)
{
	if (rte_lcore_id() != LCORE_ID_ANY)
		return 0;
	if (capture)
		return borrow_number();
	return rte_thread_register() == 0 ? 0 : -rte_errno;
}

void rb_nic_thread_end(void)
{
	if (rte_lcore_id() == LCORE_ID_ANY)
		return;
	nic_pools_uncache();
	if (borrowed)
		give_number_back();
	else if (rte_eal_lcore_role(rte_lcore_id()) == ROLE_NON_EAL)
		rte_thread_unregister();
}
