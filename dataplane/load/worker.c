// SPDX-License-Identifier: Apache-2.0

#include "load/worker.h"

#include "base/assert.h"
#include "base/phase.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	HANDED_BATCH = 64,	/* requests handed over between two looks at the network */
	STREAMS_PER_THREAD = 3, /* schedule, workload, think times */
	COMMANDS_MAX = 1024,
	EVENTS_MAX = 2048,
};

#define ENDING_TIMEOUT_NS (2U * RB_NS_PER_S)
#define PUBLISH_NS	  (20U * RB_NS_PER_MS)

/* ---- what the connections report ---- */

static bool is_fill(const struct rb_request *request)
{
	return request->intended_ns == RB_REQUEST_FILL;
}

/* The request has ended in one way or the other. */
static void request_ended(struct rb_worker *w, const struct rb_request *request)
{
	if (is_fill(request)) {
		w->fill_outstanding--;
		return;
	}
	if (rb_recorder_measures(&w->recorder, request->intended_ns))
		w->outstanding_measured--;
	rb_schedule_release(&w->schedule, w->now_ns);
}

static void on_replied(void *user, const struct rb_request *request, enum rb_reply_status status, uint64_t bytes)
{
	struct rb_worker *w = user;

	w->requests_total++;
	if (is_fill(request)) {
		(*(status == RB_REPLY_OK ? &w->recorder.counters.filled : &w->recorder.counters.fill_failed))++;
	} else {
		rb_recorder_received(&w->recorder, request->intended_ns, bytes);
		rb_recorder_reply(&w->recorder, request->intended_ns, w->now_ns, request->operation, status);
	}
	request_ended(w, request);
}

static void on_lost(void *user, const struct rb_request *request, enum rb_load_error error)
{
	struct rb_worker *w = user;

	if (is_fill(request))
		w->recorder.counters.fill_failed++;
	else if (error == RB_LOAD_ERROR_TIMEOUT)
		rb_recorder_timeout(&w->recorder, request->intended_ns, w->now_ns, request->operation);
	else
		rb_recorder_error(&w->recorder, request->intended_ns, error);
	request_ended(w, request);
}

static void on_received(void *user, const struct rb_request *request, uint64_t bytes)
{
	struct rb_worker *w = user;

	if (!is_fill(request))
		rb_recorder_received(&w->recorder, request->intended_ns, bytes);
}

/* ---- life ---- */

static int init_parts(struct rb_worker *w)
{
	struct rb_worker_config *c = &w->config;
	const struct rb_pool_owner owner = {w, on_replied, on_lost, on_received};
	struct rb_random random;

	c->schedule.arrival.thread = c->thread;
	c->schedule.arrival.threads = c->threads;
	if (c->schedule.tokens == 0)
		c->schedule.tokens = c->pool.connections * c->pool.depth;
	rb_random_init(&random, c->seed, STREAMS_PER_THREAD * c->thread + (c->schedule.closed ? 2U : 0U));
	rb_random_init(&w->random, c->seed, STREAMS_PER_THREAD * c->thread + 1U);
	int rc = rb_recorder_init(&w->recorder, &c->recorder);
	rc = rc != 0 ? rc : rb_schedule_init(&w->schedule, &c->schedule, &random);
	return rc != 0 ? rc : rb_pool_init(&w->pool, &c->pool, &owner, &w->recorder.counters);
}

static int init_queue(struct rb_worker *w)
{
	w->queue_capacity = w->config.queue_limit;
	/* In a closed loop every token may have to wait; dropping one would end it. */
	if (w->config.schedule.closed && w->queue_capacity < w->config.schedule.tokens)
		w->queue_capacity = w->config.schedule.tokens;
	w->queue = malloc((size_t)w->queue_capacity * sizeof(*w->queue));
	return w->queue != NULL ? 0 : -ENOMEM;
}

static int init_context(struct rb_worker *w)
{
	struct rb_context_config context = w->config.context;

	context.flow_group = w->config.thread;
	context.commands_max = COMMANDS_MAX;
	context.events_max = EVENTS_MAX;
	context.connections_max = rb_pool_objects(&w->config.pool);
	context.tx_entries_max = rb_pool_pieces(&w->config.pool);
	return rb_context_create(&context, &w->context);
}

int rb_worker_init(struct rb_worker *w, const struct rb_worker_config *config)
{
	memset(w, 0, sizeof(*w));
	w->config = *config;
	w->timer_ns = RB_DEADLINE_NONE;
	if (config->queue_limit == 0)
		return -EINVAL;
	int rc = init_parts(w);
	rc = rc != 0 ? rc : init_queue(w);
	rc = rc != 0 ? rc : init_context(w);
	if (rc != 0) {
		rb_worker_free(w);
		return rc;
	}
	w->now_ns = rb_context_now(w->context);
	w->phase_deadline_ns = w->now_ns + config->open_timeout_ns;
	return 0;
}

void rb_worker_free(struct rb_worker *w)
{
	rb_context_destroy(w->context);
	rb_pool_free(&w->pool);
	rb_schedule_free(&w->schedule);
	rb_recorder_free(&w->recorder);
	free(w->queue);
	memset(w, 0, sizeof(*w));
}

/* ---- handing over and sending ---- */

static bool queue_push(struct rb_worker *w, uint64_t intended_ns)
{
	if (w->queue_length == w->queue_capacity)
		return false;
	w->queue[(w->queue_head + (uint64_t)w->queue_length) % w->queue_capacity] = intended_ns;
	w->queue_length++;
	if (w->queue_length > w->queue_peak)
		w->queue_peak = w->queue_length;
	return true;
}

static uint64_t queue_pop(struct rb_worker *w)
{
	const uint64_t intended_ns = w->queue[w->queue_head];

	w->queue_head = (w->queue_head + 1U) % w->queue_capacity;
	w->queue_length--;
	return intended_ns;
}

static void send(struct rb_worker *w, struct rb_request *request, uint64_t intended_ns)
{
	const struct rb_protocol *protocol = w->config.protocol;

	request->intended_ns = intended_ns;
	request->sequence = w->sequence++;
	protocol->ops->build(protocol, &w->random, request);
	rb_pool_send(&w->pool, w->context, request, w->now_ns);
	rb_recorder_sent(&w->recorder, intended_ns, request->bytes);
	if (rb_recorder_measures(&w->recorder, intended_ns))
		w->outstanding_measured++;
}

/* Sends queued requests while there are connections with room and command slots. */
static void send_queued(struct rb_worker *w)
{
	struct rb_request *request;

	while (w->queue_length > 0 && (request = rb_pool_begin(&w->pool, w->context)) != NULL)
		send(w, request, queue_pop(w));
}

/* At once where nobody waits and there is room, which is nearly always. False: there is none in the queue either. */
static bool send_or_queue(struct rb_worker *w, uint64_t intended_ns)
{
	struct rb_request *request;

	if (w->queue_length > 0 || (request = rb_pool_begin(&w->pool, w->context)) == NULL)
		return queue_push(w, intended_ns);
	send(w, request, intended_ns);
	return true;
}

static void drop(struct rb_worker *w, uint64_t intended_ns)
{
	if (rb_recorder_measures(&w->recorder, intended_ns)) {
		w->recorder.counters.overflow++;
		w->queue_overflowed = true;
	}
	rb_recorder_error(&w->recorder, intended_ns, RB_LOAD_ERROR_OTHER);
	rb_schedule_release(&w->schedule, w->now_ns);
}

/* Hands over what is due, at most a batch. The clock is read after the batch: the building of requests counts as
 * lateness. */
static void hand_over(struct rb_worker *w, uint64_t now_ns)
{
	uint64_t batch[HANDED_BATCH];
	unsigned count = 0;

	while (count < HANDED_BATCH && rb_schedule_next(&w->schedule) <= now_ns) {
		batch[count] = rb_schedule_take(&w->schedule);
		if (!send_or_queue(w, batch[count]))
			drop(w, batch[count]);
		count++;
	}
	if (count == 0)
		return;
	const uint64_t after_ns = rb_context_now(w->context);
	for (unsigned i = 0; i < count; i++)
		rb_recorder_handed(&w->recorder, batch[i], after_ns);
}

static bool fill_is_sent(const struct rb_worker *w)
{
	return w->fill_next >= w->config.protocol->config.kv.keys;
}

/* Stores keys thread, thread + threads, … as fast as the connections take them. */
static void send_fill(struct rb_worker *w)
{
	struct rb_request *request;

	while (!fill_is_sent(w) && (request = rb_pool_begin(&w->pool, w->context)) != NULL) {
		request->intended_ns = RB_REQUEST_FILL;
		request->sequence = w->sequence++;
		rb_protocol_build_fill(w->config.protocol, w->fill_next, request);
		rb_pool_send(&w->pool, w->context, request, w->now_ns);
		w->fill_next += w->config.threads;
		w->fill_outstanding++;
	}
}

/* ---- phases ---- */

static void enter(struct rb_worker *w, enum rb_worker_phase phase, uint64_t deadline_ns)
{
	w->phase = phase;
	w->phase_deadline_ns = deadline_ns;
}

static void enter_ready(struct rb_worker *w)
{
	rb_pool_set_room(&w->pool, w->config.pool.depth, true);
	enter(w, RB_WORKER_READY, RB_DEADLINE_NONE);
	atomic_fetch_add_explicit(&w->config.run->ready, 1U, memory_order_release);
}

static void visit_unfinished(void *user, const struct rb_request *request)
{
	struct rb_worker *w = user;

	if (is_fill(request))
		w->recorder.counters.fill_failed++;
	else
		rb_recorder_unfinished(&w->recorder, request->intended_ns);
}

static void visit_timeout(void *user, const struct rb_request *request)
{
	struct rb_worker *w = user;

	if (!is_fill(request))
		rb_recorder_timeout(&w->recorder, request->intended_ns, w->now_ns, request->operation);
}

static void enter_ending(struct rb_worker *w, uint64_t now_ns, void (*visit)(void *, const struct rb_request *))
{
	if (w->phase < RB_WORKER_READY)
		atomic_fetch_add_explicit(&w->config.run->ready, 1U, memory_order_release);
	w->now_ns = now_ns;
	rb_pool_end(&w->pool, visit);
	enter(w, RB_WORKER_ENDING, now_ns + ENDING_TIMEOUT_NS);
}

static void opening(struct rb_worker *w, uint64_t now_ns)
{
	const bool all = w->pool.open == w->config.pool.connections;

	if (!all && now_ns < w->phase_deadline_ns)
		return;
	w->open_at_start = w->pool.open;
	w->open_ns =
		w->config.open_timeout_ns - (all && now_ns < w->phase_deadline_ns ? w->phase_deadline_ns - now_ns : 0U);
	if (w->pool.open == 0) {
		enter_ending(w, now_ns, visit_unfinished);
	} else if (w->config.fill) {
		w->fill_next = w->config.thread;
		rb_pool_set_room(&w->pool, w->config.pool.ring, false);
		enter(w, RB_WORKER_FILLING, now_ns + w->config.fill_timeout_ns);
	} else {
		enter_ready(w);
	}
}

static void filling(struct rb_worker *w, uint64_t now_ns)
{
	w->fill_complete = fill_is_sent(w) && w->fill_outstanding == 0;
	if (!w->fill_complete && now_ns < w->phase_deadline_ns)
		return;
	w->fill_ns = w->config.fill_timeout_ns - (now_ns < w->phase_deadline_ns ? w->phase_deadline_ns - now_ns : 0U);
	/* A store that does not answer within the time allowed is not worth measuring: the point ends here, invalid. */
	if (w->fill_complete)
		enter_ready(w);
	else
		enter_ending(w, now_ns, visit_unfinished);
}

static bool marks_phases(const struct rb_worker *w)
{
	return w->config.thread == 0;
}

static void ready(struct rb_worker *w)
{
	const uint64_t start_ns = atomic_load_explicit(&w->config.run->start_ns, memory_order_acquire);

	if (start_ns == 0)
		return;
	w->measured_end_ns = start_ns + w->config.warmup_ns + w->config.recorder.duration_ns;
	rb_recorder_start(&w->recorder, start_ns + w->config.warmup_ns);
	rb_schedule_start(&w->schedule, start_ns, w->measured_end_ns);
	enter(w, RB_WORKER_RUNNING, start_ns + w->config.warmup_ns);
	if (marks_phases(w))
		rb_phase_begin(RB_PHASE_WARMUP);
}

/* The end of the warm-up, then that of the window: everything due before it must be handed over, then the run-down
 * begins; its deadline is fixed already now. */
static void running(struct rb_worker *w, uint64_t now_ns)
{
	if (w->phase_deadline_ns < w->measured_end_ns && now_ns >= w->phase_deadline_ns) {
		w->phase_deadline_ns = w->measured_end_ns;
		if (marks_phases(w))
			rb_phase_begin(RB_PHASE_MEASURED);
	}
	if (now_ns < w->measured_end_ns)
		return;
	if (marks_phases(w))
		rb_phase_begin(RB_PHASE_RUNDOWN);
	enter(w, RB_WORKER_RUNDOWN, w->measured_end_ns + w->config.rundown_ns);
}

static void rundown(struct rb_worker *w, uint64_t now_ns)
{
	const bool all_sent = rb_schedule_next(&w->schedule) == RB_DEADLINE_NONE && w->queue_length == 0;

	if (!(all_sent && w->outstanding_measured == 0) && now_ns < w->phase_deadline_ns)
		return;
	while (w->queue_length > 0)
		rb_recorder_timeout(&w->recorder, queue_pop(w), now_ns, RB_OPERATION_MESSAGE);
	/* What the generator itself never got to: late by definition, and no latency can be told. */
	while (rb_schedule_next(&w->schedule) != RB_DEADLINE_NONE) {
		const uint64_t intended_ns = rb_schedule_take(&w->schedule);

		rb_recorder_handed(&w->recorder, intended_ns, now_ns);
		w->recorder.counters.unsent += rb_recorder_measures(&w->recorder, intended_ns) ? 1U : 0U;
		rb_recorder_error(&w->recorder, intended_ns, RB_LOAD_ERROR_OTHER);
	}
	enter_ending(w, now_ns, visit_timeout);
}

static void ending(struct rb_worker *w, uint64_t now_ns)
{
	if (rb_pool_idle(&w->pool) || now_ns >= w->phase_deadline_ns)
		enter(w, RB_WORKER_DONE, RB_DEADLINE_NONE);
}

static void interrupt(struct rb_worker *w, uint64_t now_ns)
{
	while (w->queue_length > 0)
		rb_recorder_unfinished(&w->recorder, queue_pop(w));
	enter_ending(w, now_ns, visit_unfinished);
}

static void advance(struct rb_worker *w, uint64_t now_ns)
{
	const bool interrupted = atomic_load_explicit(&w->config.run->interrupted, memory_order_relaxed);

	if (__builtin_expect(w->phase == RB_WORKER_RUNNING && now_ns < w->phase_deadline_ns && !interrupted, 1))
		return; /* nothing below would happen */
	if (w->phase < RB_WORKER_ENDING && interrupted)
		interrupt(w, now_ns);
	/* In this order, so that a phase may end in the turn it began. */
	if (w->phase == RB_WORKER_OPENING)
		opening(w, now_ns);
	if (w->phase == RB_WORKER_FILLING)
		filling(w, now_ns);
	if (w->phase == RB_WORKER_READY)
		ready(w);
	if (w->phase == RB_WORKER_RUNNING)
		running(w, now_ns);
	if (w->phase == RB_WORKER_RUNDOWN)
		rundown(w, now_ns);
	if (w->phase == RB_WORKER_ENDING)
		ending(w, now_ns);
}

/* ---- the turn ---- */

static void put_requests(struct rb_worker *w, uint64_t now_ns)
{
	if (w->phase == RB_WORKER_FILLING)
		send_fill(w);
	if (w->phase != RB_WORKER_RUNNING && w->phase != RB_WORKER_RUNDOWN)
		return;
	w->now_ns = now_ns;
	send_queued(w);
	hand_over(w, now_ns);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_deadline(const struct rb_worker *w)
{
	const bool sending = w->phase == RB_WORKER_RUNNING || w->phase == RB_WORKER_RUNDOWN;
	const uint64_t request_ns = sending ? rb_schedule_next(&w->schedule) : RB_DEADLINE_NONE;

	const uint64_t pool_ns = earlier(rb_pool_next_open(&w->pool), rb_pool_next_expiry(&w->pool));

	return earlier(w->phase_deadline_ns, earlier(request_ns, pool_ns));
}

/* True when something was left undone because the command array or the batch was full. */
static bool has_work_left(const struct rb_worker *w, uint64_t deadline_ns)
{
	return deadline_ns <= w->now_ns || rb_context_command_space(w->context) <= 1U || !rb_list_empty(&w->pool.work);
}

static void publish(struct rb_worker *w)
{
	w->published_ns = w->now_ns;
	const struct rb_load_counters *c = &w->recorder.counters;
	struct rb_worker_progress *p = &w->progress;

	atomic_store_explicit(&p->phase, (uint32_t)w->phase, memory_order_relaxed);
	atomic_store_explicit(&p->open, w->pool.open, memory_order_relaxed);
	atomic_store_explicit(&p->sent, c->sent, memory_order_relaxed);
	atomic_store_explicit(&p->completed, c->completed, memory_order_relaxed);
	atomic_store_explicit(&p->late, c->late, memory_order_relaxed);
	atomic_store_explicit(&p->filled, c->filled, memory_order_relaxed);
}

/* For a line a second it need not be every turn. */
static void publish_sometimes(struct rb_worker *w)
{
	if (w->now_ns - w->published_ns >= PUBLISH_NS)
		publish(w);
}

static enum rb_wait arm(struct rb_worker *w)
{
	const uint64_t deadline_ns = next_deadline(w);

	if (has_work_left(w, deadline_ns))
		return RB_POLL;
	if (deadline_ns != w->timer_ns && rb_context_timer(w->context, deadline_ns, UINT64_MAX) == 0)
		w->timer_ns = deadline_ns;
	return RB_WAIT;
}

/*
 * The time of a turn. In a closed loop next to nothing becomes due but by a reply, and its time will do; in an open one
 * what has become due while replies were looked at should not wait for another turn.
 */
static uint64_t turn_begins(struct rb_worker *w)
{
	if (!w->config.schedule.closed)
		w->now_ns = rb_context_now(w->context);
	return w->now_ns;
}

/* One function, as a dataplane's loop is: with one connection all of it is a part of the latency that is measured. */
__attribute__((flatten)) bool rb_worker_step(struct rb_worker *w)
{
	const struct rb_event *events;
	const uint64_t now_ns = turn_begins(w);

	rb_pool_expire(&w->pool, now_ns);
	advance(w, now_ns);
	if (w->phase == RB_WORKER_DONE) {
		publish(w);
		return false;
	}
	/* A request gives what was received back with itself, for less than a command of its own; who sends none, after. */
	if (w->is_behind)
		rb_pool_flush(&w->pool, w->context);
	rb_pool_open(&w->pool, w->context, now_ns);
	put_requests(w, now_ns);
	w->is_behind = !rb_pool_flush(&w->pool, w->context);
	const int count = rb_context_run_io(w->context, arm(w), &events);
	if (count < 0) {
		w->failure = count;
		enter_ending(w, now_ns, visit_unfinished);
		enter(w, RB_WORKER_DONE, RB_DEADLINE_NONE);
		return false;
	}
	w->now_ns = rb_context_now(w->context);
	for (int i = 0; i < count; i++) {
		if (events[i].type == RB_EVENT_TIMER)
			w->timer_ns = RB_DEADLINE_NONE;
		else
			rb_pool_event(&w->pool, &events[i], w->now_ns);
	}
	publish_sometimes(w);
	return true;
}
