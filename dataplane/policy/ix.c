// SPDX-License-Identifier: Apache-2.0
/*
 * ix: run to completion (Belay et al., "IX: A Protected Dataplane Operating System for High Throughput and Low
 * Latency", OSDI 2014). Each core polls its own queue, and takes what has come, at most B packets, through the
 * protocols, the application and out again before it looks for more. Nothing is queued between the stages, and nothing
 * shared between cores. The batch is adaptive by itself: it is what has come while the last one was being served, so
 * there is none without load, and latency is not traded away for it. /
 */
#include "policy/policy.h"

/*
 * One function, with whatever it calls that is not kept apart on purpose: of a turn that has a single packet, what it
 * takes to go from one stage to the next is a large part.
 */
static __attribute__((flatten)) void run_ix(struct core *core)
{
	core_begin(core);
	core_commands(core); /* of the call that brought the thread here */
	for (;;) {
		core_transmit(core);
		do {
			core_turn_end(core);
			core_poll(core);
			core_timers(core);
		} while (core_is_quiet(core));
		core_network(core);
		if (!core_events(core))
			continue;
		if (!core_cross(core))
			return;
		core_commands(core);
		/* Who was accepted has mostly sent something already, which is served in this turn, too. */
		if (!core->context.accepted || !core_events(core))
			continue;
		if (!core_cross(core))
			return;
		core_commands(core);
	}
}

const struct core_policy policy_ix = {
	.name = "ix",
	.summary = "run to completion: each core takes its packets through "
		   "protocols and application, and out",
	.application = true,
	.run = run_ix,
};
