// SPDX-License-Identifier: Apache-2.0
#include "core/core.h"

#include "base/phase.h"

static __attribute__((noinline)) void time_stage(struct core *core, enum core_stage stage)
{
	uint64_t tsc = core_tsc();
	core->counters.cycles[stage] += tsc - core->stage_tsc;
	core->stage_tsc = tsc;
}

/* In each turn, reading the counter seven times would be a part of what it counts. */
static inline void stage_end(struct core *core, enum core_stage stage)
{
	if (__builtin_expect(core->timed, 0))
		time_stage(core, stage);
}

/* The one look at the clock that a turn takes. What it has done before counts as the last turn's. */
static inline void read_clock(struct core *core)
{
	uint64_t tsc = core_tsc(), cycles = tsc - core->tsc;
	if (core->was_busy)
		core->counters.busy_cycles += cycles;
	else
		core->counters.idle_cycles += cycles;
	core->tsc = tsc;
	core->now_ns = core_clock_ns(core->clock, tsc);
}

void core_begin(struct core *core)
{
	core->tsc = core_tsc();
	core->now_ns = core_clock_ns(core->clock, core->tsc);
}

/* To hand packets over is work, too. */
static __attribute__((noinline)) unsigned receive_spread(struct core *core)
{
	const struct rb_nic_counters *counters = rb_nic_counters(core->queue);
	uint64_t before = counters->handed_over;
	unsigned count = rb_nic_receive_spread(core->queue, core->packets, core->batch_max);
	core->busy = count > 0 || counters->handed_over != before;
	return count;
}

void core_poll(struct core *core)
{
	unsigned count;
	rb_turn_begins();
	if (core->spread) {
		count = receive_spread(core);
	} else {
		count = rb_nic_receive(core->queue, core->packets, core->batch_max);
		core->busy = count > 0;
	}
	core->packets_count = count;
	read_clock(core);
	if (core->busy) {
		core->counters.batches += count > 0;
		core->counters.packets += count;
		stage_end(core, CORE_STAGE_poll);
	}
}

void core_timers(struct core *core)
{
	if (rb_net_advance(core->net, core->now_ns) && core->busy)
		stage_end(core, CORE_STAGE_timers);
}

bool core_is_quiet(const struct core *core)
{
	const struct core_context *context = &core->context;
	return !core->busy && !core->polls && atomic_load_explicit(&core->requests, memory_order_relaxed) == 0 &&
	       !core_context_has(context) && !context->more && core->now_ns < context->deadline_ns &&
	       rb_net_is_quiet(core->net);
}

void core_network(struct core *core)
{
	if (core->packets_count == 0)
		return;
	rb_net_input(core->net, core->packets, core->packets_count);
	stage_end(core, CORE_STAGE_network);
}

static __attribute__((noinline)) bool take_requests(struct core *core)
{
	unsigned taken = CORE_REQUEST_WAKE | CORE_REQUEST_DRAIN;
	unsigned requests = atomic_fetch_and_explicit(&core->requests, ~taken, memory_order_acquire);
	if (requests & CORE_REQUEST_DRAIN) {
		for (unsigned i = 0; i < core->listeners_count; i++)
			rb_net_close(core->net, core->listeners[i], RB_NET_CLOSE_BOTH);
		core->listeners_count = 0;
	}
	return (requests & (CORE_REQUEST_WAKE | CORE_REQUEST_END)) != 0;
}

static inline bool is_woken(struct core *core)
{
	return __builtin_expect(atomic_load_explicit(&core->requests, memory_order_relaxed) != 0, 0) &&
	       take_requests(core);
}

bool core_events(struct core *core)
{
	core_context_collect(&core->context, core->now_ns);
	bool cross = core_context_has(&core->context) || core->polls;
	cross |= is_woken(core);
	if (cross) {
		core->busy = true;
		stage_end(core, CORE_STAGE_events);
	}
	return cross;
}

static inline bool is_own(const struct core *core, const struct rb_guard_call *call)
{
	return call->number == RB_GATE_RUN_IO && call->argument[0] == core->index;
}

void core_asked(struct core *core, const struct rb_guard_call *call)
{
	core->commands_count = call->argument[1];
	core->polls = call->argument[2] == RB_GATE_POLL;
}

/* What is not the core's own, until its own comes. NULL: the thread is not the core's any more. */
static __attribute__((noinline)) const struct rb_guard_call *other_calls(struct core *core,
									 const struct rb_guard_call *call)
{
	do {
		core->result = core->gate.call(core->gate.user, core->thread, call);
		if (core_is_asked(core, CORE_REQUEST_LEAVE))
			return NULL;
		call = core->guard->enter(core->guard_thread, core->result);
	} while (call != NULL && !is_own(core, call));
	return call;
}

bool core_cross(struct core *core)
{
	core->counters.crossings++;
	const struct rb_guard_call *call = core->guard->enter(core->guard_thread, core_context_count(&core->context));
	if (__builtin_expect(call != NULL && !is_own(core, call), 0))
		call = other_calls(core, call);
	if (call == NULL)
		return false;
	core_asked(core, call);
	stage_end(core, CORE_STAGE_application);
	return true;
}

void core_commands(struct core *core)
{
	core_context_execute(&core->context, core->commands_count);
	stage_end(core, CORE_STAGE_commands);
}

/* A turn in which nothing but a timer has made a frame is the timers'. */
static __attribute__((noinline)) void transmit_of_timers(struct core *core)
{
	const struct rb_net_counters *counters = rb_net_counters(core->net);
	uint64_t before = counters->frames_out;
	rb_net_flush(core->net);
	core->busy = counters->frames_out != before;
	if (core->busy)
		stage_end(core, CORE_STAGE_timers);
}

void core_transmit(struct core *core)
{
	if (!core->busy) {
		transmit_of_timers(core);
		return;
	}
	rb_net_flush(core->net);
	stage_end(core, CORE_STAGE_transmit);
}

void core_turn_end(struct core *core)
{
	core->timed = ++core->counters.turns % CORE_TIMED == 0;
	core->was_busy = core->busy;
	if (core->busy) {
		rb_turn_busy();
	} else {
		__builtin_ia32_pause();
		core->counters.idle_turns++;
	}
	if (core->timed)
		core->stage_tsc = core_tsc();
}
