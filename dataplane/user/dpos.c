// SPDX-License-Identifier: Apache-2.0
/*
 * The back-end of a program that dpos has started: the arrays are the dataplane's to read and fill, and one call of its
 * gate carries both across. See abi/page.h. /
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "abi/page.h"
#include "base/assert.h"
#include "user/backend.h"

struct dpos_context {
	int64_t (*gate)(uint64_t call, uint64_t a, uint64_t b, uint64_t c);
	int64_t number;
	struct rb_context_stats *stats;
	struct rb_gate_context config;
};

struct dpos_listener {
	int64_t number;
	struct rb_address address;
};

static const struct rb_page *page(void)
{
	return (const struct rb_page *)getauxval(RB_AUXV_PAGE);
}

bool rb_backend_dpos_is_here(void)
{
	const struct rb_page *found = page();
	return found != NULL && found->magic == RB_PAGE_MAGIC && found->version == RB_ABI_VERSION;
}

/* What a call returns fits an int. */
static int64_t gate(enum rb_gate_call call, uint64_t a, uint64_t b, uint64_t c)
{
	return page()->gate(call, a, b, c);
}

struct page_clock {
	struct rb_clock clock;
	const struct rb_page *page;
};

static uint64_t now_ns(const struct rb_clock *clock)
{
	__extension__ typedef unsigned __int128 wide;
	const struct rb_page *here = ((const struct page_clock *)clock)->page;
	uint64_t ticks = __builtin_ia32_rdtsc() - here->clock_base_tsc;
	return here->clock_base_ns + (uint64_t)((wide)ticks * here->clock_multiplier >> 32);
}

static const struct rb_clock *dpos_clock(void)
{
	static struct page_clock clock = {.clock = {.now_ns = now_ns}};
	if (!rb_backend_dpos_is_here())
		return rb_clock_monotonic(); /* context_create() will say so */
	clock.page = page();
	return &clock.clock;
}

/* ---- contexts ---- */

static int dpos_create(const struct rb_context_config *config, struct rb_context_stats *stats, void **state)
{
	if (!rb_backend_dpos_is_here())
		return -EOPNOTSUPP;
	if (config->datagrams)
		return -EPROTONOSUPPORT;
	struct dpos_context *context = calloc(1, sizeof(*context));
	if (context == NULL)
		return -ENOMEM;
	context->gate = page()->gate;
	context->number = -1;
	context->stats = stats;
	context->config = (struct rb_gate_context){
		.commands_max = config->commands_max,
		.events_max = config->events_max,
		.batch_max = config->batch_max,
		.connections_max = config->connections_max,
		.flow_group = config->flow_group,
		.nagle = config->nagle,
		.close_timeout_ns = config->close_timeout_ns,
	};
	*state = context;
	return 0;
}

static int dpos_arrays(void *state, struct rb_command *commands, struct rb_event *events)
{
	struct dpos_context *context = state;
	context->config.commands = commands;
	context->config.events = events;
	context->number = gate(RB_GATE_CONTEXT_CREATE, (uintptr_t)&context->config, 0, 0);
	return context->number < 0 ? (int)context->number : 0;
}

static void dpos_count(void *state)
{
	const struct dpos_context *context = state;
	struct rb_context_stats *stats = context->stats;
	struct rb_gate_counters counters;
	int64_t result = gate(RB_GATE_COUNTERS, (uint64_t)context->number, (uintptr_t)&counters, 0);
	RB_ASSERT_EQ(result, 0);
	stats->polls = counters.polls;
	stats->empty_polls = counters.empty_polls;
	stats->accepted = counters.accepted;
	stats->connected = counters.connected;
	stats->closed = counters.closed;
	stats->bytes_in = counters.bytes_in;
	stats->bytes_out = counters.bytes_out;
}

static void dpos_destroy(void *state)
{
	struct dpos_context *context = state;
	if (context->number >= 0)
		gate(RB_GATE_CONTEXT_DESTROY, (uint64_t)context->number, 0, 0);
	free(context);
}

static int dpos_run_io(void *state, const struct rb_command *commands, uint32_t commands_count, struct rb_event *events,
		       uint32_t events_max, enum rb_wait wait)
{
	const struct dpos_context *context = state;
	(void)commands; /* the arrays are known */
	(void)events;
	(void)events_max;
	return (int)context->gate(RB_GATE_RUN_IO, (uint64_t)context->number, commands_count,
				  wait == RB_WAIT ? RB_GATE_BLOCK : RB_GATE_POLL);
}

static void dpos_wake(void *state)
{
	const struct dpos_context *context = state;
	gate(RB_GATE_WAKE, (uint64_t)context->number, 0, 0);
}

/* ---- listeners ---- */

/*
 * Who takes a connection is decided by the device's hash, whatever the mode; accept_batch and backlog are the stack's.
 */
static int dpos_listener_create(const struct rb_listen_config *config, void **made)
{
	if (!rb_backend_dpos_is_here())
		return -EOPNOTSUPP;
	struct dpos_listener *listener = calloc(1, sizeof(*listener));
	if (listener == NULL)
		return -ENOMEM;
	struct rb_gate_listen listen = {.address = config->address, .nagle = config->nagle};
	listener->number = gate(RB_GATE_LISTENER_CREATE, (uintptr_t)&listen, 0, 0);
	if (listener->number < 0) {
		int result = (int)listener->number;
		free(listener);
		return result;
	}
	listener->address = listen.address;
	*made = listener;
	return 0;
}

static void dpos_listener_destroy(void *made)
{
	struct dpos_listener *listener = made;
	gate(RB_GATE_LISTENER_DESTROY, (uint64_t)listener->number, 0, 0);
	free(listener);
}

static struct rb_address dpos_listener_address(const void *made)
{
	return ((const struct dpos_listener *)made)->address;
}

static int dpos_listen(void *state, void *made, uint64_t cookie)
{
	const struct dpos_context *context = state;
	const struct dpos_listener *listener = made;
	return (int)gate(RB_GATE_LISTEN, (uint64_t)context->number, (uint64_t)listener->number, cookie);
}

static const char *const no_syscalls[] = {NULL};

const struct rb_backend rb_backend_dpos = {
	.name = "dpos",
	.clock = dpos_clock,
	.syscall_names = no_syscalls,
	.context_create = dpos_create,
	.arrays = dpos_arrays,
	.context_destroy = dpos_destroy,
	.run_io = dpos_run_io,
	.wake = dpos_wake,
	.count = dpos_count,
	.listener_create = dpos_listener_create,
	.listener_destroy = dpos_listener_destroy,
	.listener_address = dpos_listener_address,
	.listen = dpos_listen,
};
