// SPDX-License-Identifier: Apache-2.0
/* The gate's calls (abi/page.h). What they are given is checked here; only RUN_IO comes often, and not to here. */
#include "dpos/machine.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>

static struct core *core_of(struct dpos *dpos, uint64_t number)
{
	if (number >= dpos->config->cpus.count || dpos->cores[number].net == NULL)
		return NULL;
	return &dpos->cores[number];
}

/* ---- contexts ---- */

static struct core *free_core(struct dpos *dpos)
{
	for (unsigned i = 0; i < dpos->config->cpus.count; i++) {
		if (dpos->cores[i].net == NULL)
			return &dpos->cores[i];
	}
	return NULL;
}

/* What is filled without asking stays writable: a fault there would be the dataplane's. */
static int hold_events(struct dpos *dpos, const struct core_context *context)
{
	return rb_app_hold(dpos->app, (uintptr_t)context->events, context->events_max * sizeof(struct rb_event));
}

static void release_events(struct dpos *dpos, const struct core_context *context)
{
	rb_app_release(dpos->app, (uintptr_t)context->events, context->events_max * sizeof(struct rb_event));
}

static int64_t create_context(struct dpos *dpos, uint64_t from)
{
	struct rb_gate_context config;
	if (rb_app_copy_in(dpos->app, &config, from, sizeof(config)) != 0)
		return -EFAULT;
	struct core *core = free_core(dpos);
	if (core == NULL)
		return -ENOSPC;
	int result = dpos_net_open(dpos, core);
	if (result != 0)
		return result;
	result = core_context_init(&core->context, core->net, &config, &dpos->memory);
	if (result == 0)
		result = hold_events(dpos, &core->context);
	if (result != 0) {
		dpos_net_close(core);
		return result;
	}
	core->guard = dpos->guard;
	if (config.batch_max > 0 && config.batch_max < dpos->config->batch)
		core->batch_max = config.batch_max;
	return core->index;
}

/* By the thread that runs it, or when that one has gone. */
static int64_t destroy_context(struct dpos *dpos, struct rb_app_thread *thread, uint64_t number)
{
	struct core *core = core_of(dpos, number);
	if (core == NULL)
		return -EBADF;
	if (core->thread != NULL && core->thread != thread)
		return -EBUSY;
	dpos_net_close(core);
	release_events(dpos, &core->context);
	core->listeners_count = 0;
	core->batch_max = (uint32_t)dpos->config->batch;
	if (core->thread != NULL)
		core_request(core, CORE_REQUEST_LEAVE);
	return 0;
}

static int64_t count(struct dpos *dpos, uint64_t number, uint64_t to)
{
	struct core *core = core_of(dpos, number);
	if (core == NULL)
		return -EBADF;
	struct rb_gate_counters counters = core_context_counters(&core->context);
	counters.polls = core->counters.turns;
	counters.empty_polls = core->counters.idle_turns;
	return rb_app_copy_out(dpos->app, to, &counters, sizeof(counters));
}

static int64_t wake(struct dpos *dpos, uint64_t number)
{
	struct core *core = core_of(dpos, number);
	if (core == NULL)
		return -EBADF;
	core_request(core, CORE_REQUEST_WAKE);
	return 0;
}

/* ---- listeners ---- */

static bool is_taken(const struct dpos *dpos, uint16_t port)
{
	for (unsigned i = 0; i < DPOS_LISTENERS_MAX; i++) {
		if (dpos->listeners[i].used && dpos->listeners[i].address.port == port)
			return true;
	}
	return false;
}

/* Each in turn; there are fewer listeners than ports. */
static uint16_t free_port(struct dpos *dpos)
{
	do {
		dpos->last_port = dpos->last_port == UINT16_MAX ? DPOS_PORT_FIRST : (uint16_t)(dpos->last_port + 1);
	} while (is_taken(dpos, dpos->last_port));
	return dpos->last_port;
}

static int64_t create_listener(struct dpos *dpos, uint64_t from)
{
	struct rb_gate_listen listen;
	unsigned index = 0;
	if (rb_app_copy_in(dpos->app, &listen, from, sizeof(listen)) != 0)
		return -EFAULT;
	while (index < DPOS_LISTENERS_MAX && dpos->listeners[index].used)
		index++;
	if (index == DPOS_LISTENERS_MAX)
		return -ENOSPC;
	if (listen.address.ip != 0 && listen.address.ip != dpos->config->address.ip)
		return -EADDRNOTAVAIL;
	if (listen.address.port == 0)
		listen.address.port = free_port(dpos);
	if (is_taken(dpos, listen.address.port))
		return -EADDRINUSE;
	if (rb_app_copy_out(dpos->app, from, &listen, sizeof(listen)) != 0)
		return -EFAULT;
	dpos->listeners[index] =
		(struct dpos_listener){.used = true, .nagle = listen.nagle != 0, .address = listen.address};
	return index;
}

static int64_t destroy_listener(struct dpos *dpos, uint64_t number)
{
	if (number >= DPOS_LISTENERS_MAX || !dpos->listeners[number].used)
		return -EBADF;
	dpos->listeners[number].used = false;
	return 0;
}

static int64_t attach_listener(struct dpos *dpos, uint64_t number, uint64_t listener, uint64_t cookie)
{
	struct core *core = core_of(dpos, number);
	rb_net_handle handle;
	if (core == NULL || listener >= DPOS_LISTENERS_MAX || !dpos->listeners[listener].used)
		return -EBADF;
	if (core->thread != NULL)
		return -EBUSY;
	if (core->listeners_count == CORE_LISTENERS_MAX)
		return -ENOSPC;
	struct rb_endpoint local = core_endpoint(dpos->listeners[listener].address);
	int result = rb_net_listen(core->net, &local, cookie, &handle);
	if (result == 0 && !dpos->listeners[listener].nagle)
		result = rb_net_set(core->net, handle, RB_NET_OPTION_NODELAY, 1);
	if (result == 0)
		core->listeners[core->listeners_count++] = handle;
	return result;
}

/* ---- running ---- */

/* What the hash gives to a core without a context is taken by nobody. */
static void warn_of_idle(const struct dpos *dpos)
{
	unsigned used = 0;
	for (unsigned i = 0; i < dpos->config->cpus.count; i++)
		used += dpos->cores[i].net != NULL;
	if (used < dpos->config->cpus.count)
		RB_LOG_ONCE(RB_LOG_WARNING,
			    "the application begins with %u of %u cores, and connections that fall to the others have "
			    "no answer: it may have an option --threads, or dpos needs fewer --cpus",
			    used, dpos->config->cpus.count);
}

static int64_t bind_core(struct dpos *dpos, struct rb_app_thread *thread, uint64_t number, struct core **core)
{
	int64_t result = -EBADF;
	pthread_mutex_lock(&dpos->lock);
	*core = core_of(dpos, number);
	if (*core != NULL)
		result = (*core)->thread != NULL ? -EPERM : 0;
	if (result == 0) {
		(*core)->thread = thread;
		warn_of_idle(dpos);
	}
	pthread_mutex_unlock(&dpos->lock);
	return result;
}

static void unbind_core(struct dpos *dpos, struct core *core)
{
	pthread_mutex_lock(&dpos->lock);
	core->thread = NULL;
	atomic_fetch_and(&core->requests, ~(unsigned)CORE_REQUEST_LEAVE);
	pthread_mutex_unlock(&dpos->lock);
}

/* The calling thread becomes the core's, until the application's thread or its context ends. */
static int64_t serve(struct dpos *dpos, struct rb_app_thread *thread, const struct rb_guard_call *call)
{
	struct core *core;
	int64_t result = bind_core(dpos, thread, call->argument[0], &core);
	if (result != 0)
		return result;
	result = dpos_pin(dpos->config->cpus.cpu[core->index]);
	if (result == 0)
		result = rb_nic_thread_begin();
	if (result == 0) {
		core->guard_thread = rb_app_guard_thread(thread);
		core_asked(core, call);
		dpos->policy->run(core);
		rb_nic_thread_end();
		result = core->result;
	}
	unbind_core(dpos, core);
	return result;
}

static int64_t locked_call(struct dpos *dpos, struct rb_app_thread *thread, const struct rb_guard_call *call)
{
	uint64_t a = call->argument[0], b = call->argument[1], c = call->argument[2];
	switch (call->number) {
	case RB_GATE_CONTEXT_CREATE:
		return create_context(dpos, a);
	case RB_GATE_CONTEXT_DESTROY:
		return destroy_context(dpos, thread, a);
	case RB_GATE_LISTENER_CREATE:
		return create_listener(dpos, a);
	case RB_GATE_LISTENER_DESTROY:
		return destroy_listener(dpos, a);
	case RB_GATE_LISTEN:
		return attach_listener(dpos, a, b, c);
	case RB_GATE_COUNTERS:
		return count(dpos, a, b);
	case RB_GATE_WAKE:
		return wake(dpos, a);
	default:
		return -ENOSYS;
	}
}

int64_t dpos_call(void *user, struct rb_app_thread *thread, const struct rb_guard_call *call)
{
	struct dpos *dpos = user;
	if (call->number == RB_GATE_RUN_IO)
		return serve(dpos, thread, call);
	pthread_mutex_lock(&dpos->lock);
	int64_t result = locked_call(dpos, thread, call);
	pthread_mutex_unlock(&dpos->lock);
	return result;
}
