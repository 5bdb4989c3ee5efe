// SPDX-License-Identifier: Apache-2.0
/*
 * The worker on virtual time: schedule, lateness, coordinated omission, connections, closed loop.
 */

#include "fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct rb_load_counters *counters(const struct fixture *f)
{
	return &f->result.total.counters;
}

/* A request sent on time to an idle server takes two link delays and its service time; each second has its share. */
static void steady_load_is_exact(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.duration_ns = 3 * RB_NS_PER_S;
	fixture_run(f);
	const struct rb_recorder *r = &f->result.total;
	assert_true(rb_result_valid(&f->result));
	assert_int_equal(counters(f)->scheduled, 30000);
	assert_int_equal(counters(f)->sent, 30000);
	assert_int_equal(counters(f)->completed, 30000);
	assert_int_equal(counters(f)->on_time, 30000);
	assert_int_equal(counters(f)->bytes_sent, 30000 * 64);
	assert_int_equal(counters(f)->bytes_received, 30000 * 64);
	assert_int_equal(r->latency.min, 21000);
	assert_int_equal(r->latency.max, 21000);
	assert_int_equal(r->lateness.max, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(r->seconds[i].sent, 10000);
		assert_in_range(r->seconds[i].completed, 9999, 10001);
		assert_int_equal(r->seconds[i].latency.max, 21000);
	}
	/* Warm-up requests are sent and not measured; all end in FINs. */
	assert_int_equal(f->result.requests_total, 31000);
	assert_int_equal(f->sim->fins, 4);
	assert_int_equal(f->sim->aborts, 0);
	assert_int_equal(counters(f)->connections_closed, 4);
	fixture_free(f);
}

/* Requests leave exactly when intended: the server sees request k at start + k / rate + delay. */
static void fixed_schedule_reaches_the_wire(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.rate_rps = 7000;
	fixture_run(f);
	for (uint64_t k = 0; k < 7000; k++)
		assert_int_equal(f->sim->message_times[k],
				 f->start_ns + (uint64_t)((long double)k * 1e9L / 7000.0L) + f->sim->delay_ns);
	fixture_free(f);
}

enum { STALL_START_MS = 400, STALL_MS = 10 };

static void stall_server(struct fixture *f)
{
	f->sim->stall_from_ns = f->start_ns + f->config.warmup_ns + STALL_START_MS * RB_NS_PER_MS;
	f->sim->stall_until_ns = f->sim->stall_from_ns + STALL_MS * RB_NS_PER_MS;
}

static int ascending(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a;
	const uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Latencies by theory: Lindley's recursion over the intended times, with the stall as a vacation of the server. */
static uint64_t *theory(const struct fixture *f, uint64_t count)
{
	const struct sim *sim = f->sim;
	const uint64_t first_ns = f->start_ns + f->config.warmup_ns;
	uint64_t *latency = calloc(count, sizeof(*latency));
	uint64_t free_ns = 0;

	assert_non_null(latency);
	for (uint64_t k = 0; k < count; k++) {
		const uint64_t intended_ns =
			first_ns + (uint64_t)((long double)k * 1e9L / (long double)f->config.rate_rps);
		uint64_t begin_ns = intended_ns + sim->delay_ns > free_ns ? intended_ns + sim->delay_ns : free_ns;

		if (begin_ns < sim->stall_until_ns && begin_ns + sim->service_ns > sim->stall_from_ns)
			begin_ns = sim->stall_until_ns;
		free_ns = begin_ns + sim->service_ns;
		latency[k] = free_ns + sim->delay_ns - intended_ns;
	}
	qsort(latency, count, sizeof(*latency), ascending);
	return latency;
}

static void assert_within_one_percent(uint64_t measured, uint64_t expected)
{
	assert_true(fabs((double)measured - (double)expected) <= 0.01 * (double)expected);
}

/*
 * One stall of 10 ms in two seconds at 10000 requests/s hits 100 requests of 20000: the one of rank 19980 waited 8 ms.
 * A generator that waited for replies before sending would have seen one slow request and reported 21 us.
 */
static void stall_shows_in_p999(void **state)
{
	struct fixture *f = fixture_new();
	static const double quantiles[] = {0.5, 0.99, 0.995, 0.996, 0.998, 0.999, 0.9995, 0.9999, 1.0};

	(void)state;
	f->config.duration_ns = 2 * RB_NS_PER_S;
	f->config.depth = 256;
	f->started = stall_server;
	fixture_run(f);
	uint64_t *expected = theory(f, 20000);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		assert_within_one_percent(rb_histogram_quantile(&f->result.total.latency, quantiles[i]),
					  expected[(size_t)ceil(quantiles[i] * 20000) - 1]);
	/* By hand: 20 requests waited longer than the one of rank 19980, each 100 us less and 1 us of drain more. */
	const uint64_t by_hand = STALL_MS * RB_NS_PER_MS - UINT64_C(20) * 99000;
	assert_within_one_percent(rb_histogram_quantile(&f->result.total.latency, 0.999), by_hand);
	assert_int_equal(counters(f)->late, 0);
	assert_int_equal(f->worker.queue_peak, 0); /* there always was room */
	assert_true(rb_result_valid(&f->result));
	free(expected);
	fixture_free(f);
}

/*
 * The same stall with 4 connections of depth 1: they are full at once, the other requests wait in the generator's
 * queue. That is the peer's doing, so none is late, and their latency still counts from the intended time. The backlog
 * drains by 4 per round trip.
 */
static void full_connections_are_not_lateness(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.duration_ns = 2 * RB_NS_PER_S;
	f->started = stall_server;
	fixture_run(f);
	assert_int_equal(counters(f)->late, 0);
	assert_in_range(f->worker.queue_peak, 94, 100);
	assert_in_range(rb_histogram_quantile(&f->result.total.latency, 0.999), 7900000, 8300000);
	assert_true(rb_result_valid(&f->result));
	fixture_free(f);
}

/* The same stall with Poisson arrivals: theory needs the arrivals, which the server has noted. */
static void stall_with_poisson_arrivals(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.arrival = RB_ARRIVAL_POISSON;
	f->config.depth = 4096;
	f->config.connections = 1;
	f->config.duration_ns = 2 * RB_NS_PER_S;
	f->config.warmup_ns = 0;
	f->started = stall_server;
	fixture_run(f);
	const uint64_t count = f->sim->messages;
	uint64_t *latency = calloc(count, sizeof(*latency));
	uint64_t free_ns = 0;
	assert_non_null(latency);
	assert_int_equal(count, counters(f)->scheduled);
	for (uint64_t k = 0; k < count; k++) {
		const uint64_t arrival_ns = f->sim->message_times[k];
		uint64_t begin_ns = arrival_ns > free_ns ? arrival_ns : free_ns;

		if (begin_ns < f->sim->stall_until_ns && begin_ns + f->sim->service_ns > f->sim->stall_from_ns)
			begin_ns = f->sim->stall_until_ns;
		free_ns = begin_ns + f->sim->service_ns;
		latency[k] = free_ns + 2 * f->sim->delay_ns - arrival_ns;
	}
	qsort(latency, count, sizeof(*latency), ascending);
	assert_within_one_percent(rb_histogram_quantile(&f->result.total.latency, 0.999),
				  latency[(size_t)ceil(0.999 * (double)count) - 1]);
	assert_true(rb_histogram_quantile(&f->result.total.latency, 0.999) > 5 * RB_NS_PER_MS);
	free(latency);
	fixture_free(f);
}

/* A closed loop hides the stall: its single outstanding request is the only one that sees it. */
static void closed_loop_hides_the_stall(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.mode = RB_LOAD_CLOSED;
	f->config.connections = 1;
	f->started = stall_server;
	fixture_run(f);
	assert_true(rb_histogram_quantile(&f->result.total.latency, 0.999) < 22000);
	assert_true(f->result.total.latency.max > 9 * RB_NS_PER_MS);
	fixture_free(f);
}

/* In a closed loop each request gives the reply before it back. */
static void requests_give_replies_back(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.mode = RB_LOAD_CLOSED;
	f->config.connections = 16;
	fixture_run(f);
	assert_true(counters(f)->completed > 100000);
	assert_true(f->sim->returns <= 16); /* of the last ones, which no request follows */
	fixture_free(f);
}

static void pause_client(struct fixture *f)
{
	f->sim->pause_from_ns = f->start_ns + f->config.warmup_ns + 500 * RB_NS_PER_MS;
	f->sim->pause_until_ns = f->sim->pause_from_ns + 30 * RB_NS_PER_MS;
}

/* The generator itself stands still for 30 ms: 300 requests, of which those due more than 1 ms before its end are late.
 */
static void own_pause_is_lateness(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->started = pause_client;
	fixture_run(f);
	assert_int_equal(counters(f)->scheduled, 10000);
	assert_in_range(counters(f)->late, 288, 292);
	assert_in_range(f->result.total.lateness.max, 29900000, 30000000);
	assert_int_equal(f->result.total.seconds[0].late, counters(f)->late);
	/* The wait is in the latency too: it is counted from the intended time. */
	assert_true(rb_histogram_quantile(&f->result.total.latency, 0.99) > 19 * RB_NS_PER_MS);
	assert_false(rb_result_valid(&f->result));
	assert_true(fixture_has_reason(f, "the generator was late: 0.97"));
	fixture_free(f);
}

/* A looser bound makes the same run valid: the share decides, nothing else. */
static void share_decides_validity(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.min_on_time = 0.95;
	f->started = pause_client;
	fixture_run(f);
	assert_true(rb_result_valid(&f->result));
	fixture_free(f);
}

/* A generator whose every turn takes 2 ms cannot be on time at 10000/s with a bound of 1 ms, and says so. */
static void slow_generator_is_invalid(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->sim->turn_cost_ns = 2 * RB_NS_PER_MS;
	f->config.depth = 64;
	fixture_run(f);
	assert_false(rb_result_valid(&f->result));
	assert_true(fixture_has_reason(f, "the generator was late"));
	fixture_free(f);
}

/* Replies cut into pieces of 7 bytes, several outstanding per connection: order is kept, all bytes are verified. */
static void pipelining_keeps_order(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.connections = 2;
	f->config.depth = 8;
	f->sim->service_ns = 80000;
	f->sim->fragment_bytes = 7;
	f->config.warmup_ns = 0;
	fixture_run(f);
	assert_int_equal(counters(f)->errors[RB_LOAD_ERROR_PROTOCOL], 0);
	assert_int_equal(counters(f)->completed, 10000);
	assert_true(rb_result_valid(&f->result));
	fixture_free(f);
}

/* With one connection and depth d at most d are at the server; the others wait in the generator's queue. */
static void depth_bounds_outstanding(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.mode = RB_LOAD_CLOSED;
	f->config.connections = 1;
	f->config.depth = 5;
	f->sim->service_ns = 100000;
	fixture_run(f);
	/* Five users, one server of 100 us: each waits for the other four; 10000 replies per second. */
	assert_in_range(counters(f)->completed, 9990, 10010);
	assert_int_equal(f->result.total.latency.max, 500000);
	fixture_free(f);
}

/* The users are as many as are asked for, and the connections take turns. */
static void users_bound_outstanding(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.mode = RB_LOAD_CLOSED;
	f->config.connections = 50;
	f->config.users = 5;
	f->sim->service_ns = 100000;
	fixture_run(f);
	assert_in_range(counters(f)->completed, 9990, 10010);
	assert_int_equal(f->result.total.latency.max, 500000);
	for (unsigned i = 0; i < 50; i++)
		assert_in_range(f->sim->connections[i].served, f->sim->messages / 50, f->sim->messages / 50 + 1);
	fixture_free(f);
}

/* Closed loop with think time: throughput is users / (response + think). */
static void think_time_sets_the_rate(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.mode = RB_LOAD_CLOSED;
	f->config.connections = 4;
	f->config.think_ns = 979000;
	f->config.think = RB_THINK_FIXED;
	f->sim->service_ns = 1000;
	f->sim->delay_ns = 9000;
	fixture_run(f);
	/* The four users start together and queue behind each other: 18 us + 1 … 4 us of service + 979 us. */
	assert_in_range(counters(f)->completed, 3990, 4010);
	assert_int_equal(rb_load_offered_rps(&f->config), 0);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steady_load_is_exact),	       cmocka_unit_test(fixed_schedule_reaches_the_wire),
		cmocka_unit_test(stall_shows_in_p999),	       cmocka_unit_test(full_connections_are_not_lateness),
		cmocka_unit_test(stall_with_poisson_arrivals), cmocka_unit_test(closed_loop_hides_the_stall),
		cmocka_unit_test(requests_give_replies_back),  cmocka_unit_test(own_pause_is_lateness),
		cmocka_unit_test(share_decides_validity),      cmocka_unit_test(slow_generator_is_invalid),
		cmocka_unit_test(pipelining_keeps_order),      cmocka_unit_test(depth_bounds_outstanding),
		cmocka_unit_test(users_bound_outstanding),     cmocka_unit_test(think_time_sets_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
