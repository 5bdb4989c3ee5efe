// SPDX-License-Identifier: Apache-2.0

#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEPS_MAX 20000000

struct fixture *fixture_new(void)
{
	static char program[] = "rbload", target[] = "--target=10.0.0.2:7000", arrival[] = "--arrival=fixed",
		    rate[] = "--rate=10000", connections[] = "--connections=4", warmup[] = "--warmup=100ms",
		    duration[] = "--duration=1s", rundown[] = "--rundown=500ms";
	char *argv[] = {program, target, arrival, rate, connections, warmup, duration, rundown, NULL};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->sim = sim_new();
	assert_int_equal(rb_load_config_parse(&f->config, 8, argv, stdout, stderr), RB_OPTIONS_OK);
	f->config.backend = &sim_backend;
	return f;
}

/* Takes the place of the main thread: sets the common start when the worker waits for it. */
static bool on_idle(struct sim *sim, void *arg)
{
	struct fixture *f = arg;

	if (f->run.ready == 0 || f->run.start_ns != 0)
		return false;
	f->start_ns = sim->clock.ns + RB_NS_PER_MS;
	f->run.start_ns = f->start_ns;
	if (f->started != NULL)
		f->started(f);
	return true;
}

void fixture_run(struct fixture *f)
{
	const struct rb_protocol_config protocol = rb_load_protocol_config(&f->config);

	assert_int_equal(rb_protocol_init(&f->protocol, &protocol), 0);
	struct rb_worker_config worker = rb_load_worker_config(&f->config, &f->protocol, &f->run, 0);
	worker.context.clock = &f->sim->clock.clock;
	f->sim->message_bytes = (uint32_t)f->config.message_bytes;
	f->sim->idle = on_idle;
	f->sim->idle_arg = f;
	assert_int_equal(rb_worker_init(&f->worker, &worker), 0);
	for (unsigned step = 0; rb_worker_step(&f->worker); step++) {
		assert_true(step < STEPS_MAX);
		if (f->interrupt_at_ns != 0 && f->sim->clock.ns >= f->interrupt_at_ns)
			f->run.interrupted = true;
	}
	assert_int_equal(rb_result_init(&f->result, &f->config), 0);
	rb_result_add(&f->result, &f->worker, 0);
	if (f->run.interrupted)
		f->result.signal = 2;
	rb_result_judge(&f->result);
	fixture_check_balance(f);
}

void fixture_free(struct fixture *f)
{
	rb_result_free(&f->result);
	rb_worker_free(&f->worker);
	rb_protocol_free(&f->protocol);
	rb_load_config_free(&f->config);
	sim_free(f->sim);
	free(f);
}

bool fixture_has_reason(const struct fixture *f, const char *text)
{
	for (unsigned i = 0; i < f->result.reasons_count; i++) {
		if (strstr(f->result.reasons[i], text) != NULL)
			return true;
	}
	return false;
}

void fixture_check_balance(const struct fixture *f)
{
	const struct rb_load_counters *c = &f->result.total.counters;
	uint64_t ended = c->completed + c->unfinished;

	for (unsigned i = 0; i < RB_LOAD_ERRORS; i++)
		ended += i == RB_LOAD_ERROR_CONNECT ? 0 : c->errors[i];
	assert_int_equal(ended, c->scheduled);
	assert_int_equal(c->on_time + c->late, c->scheduled);
	assert_int_equal(f->result.total.latency.count, c->completed + c->errors[RB_LOAD_ERROR_TIMEOUT]);
	assert_int_equal(f->result.total.lateness.count, c->scheduled);
}
