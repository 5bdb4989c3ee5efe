// SPDX-License-Identifier: Apache-2.0
/*
 * Connections on virtual time: opening, n requests each, orderly close, faults by kind, run-down, interruption.
 */

#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct rb_load_counters *counters(const struct fixture *f)
{
	return &f->result.total.counters;
}

/* 11000 requests in lots of 10: every connection carries exactly 10 and ends in FINs both ways. */
static void n_requests_per_connection(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.rpcs_per_connection = 10;
	fixture_run(f);
	assert_true(rb_result_valid(&f->result));
	assert_int_equal(counters(f)->completed, 10000);
	assert_int_equal(f->sim->aborts, 0);
	/* 1100 are used up; the 4 that stand at the end are closed too. */
	assert_int_equal(counters(f)->connections_opened, 1104);
	assert_int_equal(counters(f)->connections_closed, 1104);
	assert_int_equal(counters(f)->connections_lost, 0);
	assert_int_equal(f->sim->fins, 1104);
	/* A replacement may be open while the old one is closing. */
	assert_in_range(f->sim->open_most, 4, 8);
	fixture_free(f);
}

/*
 * One connection, one request each, opening takes 12 ms more than a round trip: requests that come meanwhile wait and
 * keep their intended time.
 */
static void request_waits_for_its_connection(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.connections = 1;
	f->config.rpcs_per_connection = 1;
	f->config.rate_rps = 100;
	f->sim->connect_delay_ns = 12 * RB_NS_PER_MS;
	fixture_run(f);
	/* Arrivals every 10 ms, cycle of 12.041 ms: the backlog grows by 2.04 ms per request. */
	assert_int_equal(counters(f)->late, 0);
	assert_int_equal(counters(f)->scheduled, 100);
	assert_in_range(f->result.total.latency.max, 220000000, 230000000);
	assert_true(rb_result_valid(&f->result));
	fixture_free(f);
}

/* 4 connections at 100 per second are opened 10 ms apart. */
static void opening_is_paced(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.connect_rate = 100;
	fixture_run(f);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(f->sim->connects_at_ns[i] - f->sim->connects_at_ns[i - 1], 10 * RB_NS_PER_MS);
	assert_true(f->start_ns > f->sim->connects_at_ns[3]);
	assert_in_range(f->result.open_ns, 30000000, 31000000);
	fixture_free(f);
}

static void sources_are_taken_in_turn(void **state)
{
	struct fixture *f = fixture_new();
	unsigned seen[3] = {0, 0, 0};

	(void)state;
	f->config.connections = 6;
	f->config.sources.count = 3;
	for (uint32_t i = 0; i < 3; i++)
		f->config.sources.address[i].ip = 100 + i;
	fixture_run(f);
	for (unsigned i = 0; i < 6; i++)
		seen[f->sim->connections[i].local.ip - 100]++;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(seen[i], 2);
	fixture_free(f);
}

/* Every source goes to every port of the target before one does again. */
static void ports_are_taken_in_turn(void **state)
{
	struct fixture *f = fixture_new();
	unsigned seen[2][3] = {{0, 0, 0}, {0, 0, 0}};

	(void)state;
	f->config.connections = 12;
	f->config.target_ports = 3;
	f->config.sources.count = 2;
	for (uint32_t i = 0; i < 2; i++)
		f->config.sources.address[i].ip = 100 + i;
	fixture_run(f);
	for (unsigned i = 0; i < 12; i++) {
		const struct sim_connection *c = &f->sim->connections[i];
		seen[c->local.ip - 100][c->remote.port - f->config.target.port]++;
	}
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(seen[i / 3][i % 3], 2);
	fixture_free(f);
}

/* Failed attempts are errors and are repeated; the run waits for all connections. */
static void refused_connections_are_retried(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->sim->refuse_connects = 3;
	fixture_run(f);
	assert_int_equal(counters(f)->errors[RB_LOAD_ERROR_CONNECT], 3);
	assert_int_equal(counters(f)->connections_opened, 4);
	assert_int_equal(counters(f)->completed, 10000);
	assert_true(rb_result_valid(&f->result));
	fixture_free(f);
}

static void no_server_is_not_measured(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->sim->refuse_all = true;
	f->config.connect_timeout_ns = 200 * RB_NS_PER_MS;
	fixture_run(f);
	assert_false(rb_result_valid(&f->result));
	assert_int_equal(f->result.open_at_start, 0);
	assert_true(fixture_has_reason(f, "only 0 of 4 connections could be opened within 0.200 s"));
	/* Not a storm: after each failure 10 ms of rest. */
	assert_in_range(counters(f)->errors[RB_LOAD_ERROR_CONNECT], 15, 25);
	fixture_free(f);
}

/* The server resets each connection after 300 replies, with whatever stands behind: counted, replaced, the load goes
 * on. */
static void resets_are_counted_and_replaced(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->sim->reset_after = 300;
	f->config.depth = 4;
	f->config.rate_rps = 30000;
	f->config.queue_limit = 10000;
	f->sim->service_ns = 30000;
	fixture_run(f);
	assert_true(counters(f)->errors[RB_LOAD_ERROR_RESET] > 50);
	assert_int_equal(counters(f)->errors[RB_LOAD_ERROR_SHORT], 0);
	assert_true(counters(f)->connections_lost >= 90);
	assert_true(counters(f)->completed > 25000);
	fixture_free(f);
}

static void early_fin_is_a_short_reply(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->sim->fin_after = 300;
	f->config.depth = 4;
	f->config.rate_rps = 30000;
	f->sim->service_ns = 30000;
	fixture_run(f);
	assert_true(counters(f)->errors[RB_LOAD_ERROR_SHORT] > 50);
	assert_int_equal(counters(f)->errors[RB_LOAD_ERROR_RESET], 0);
	assert_int_equal(f->sim->aborts, 0);
	fixture_free(f);
}

/* One wrong byte: a protocol error, the connection is reset and replaced, the point is void. */
static void wrong_reply_voids_the_point(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->sim->corrupt_message = 5000;
	fixture_run(f);
	assert_int_equal(counters(f)->errors[RB_LOAD_ERROR_PROTOCOL], 1);
	assert_int_equal(counters(f)->connections_aborted, 1);
	assert_int_equal(f->sim->aborts, 1);
	assert_int_equal(counters(f)->completed, 9999);
	assert_false(rb_result_valid(&f->result));
	assert_true(fixture_has_reason(f, "1 replies were not what was expected"));
	fixture_free(f);
}

static void silence_half_way(struct fixture *f)
{
	f->sim->silent_after_ns = f->start_ns + f->config.warmup_ns + RB_NS_PER_S / 2;
}

/* The server falls silent at half time: the rest are timeouts, in the latency record with their age at the end of the
 * run-down. */
static void rundown_turns_silence_into_timeouts(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->started = silence_half_way;
	fixture_run(f);
	assert_in_range(counters(f)->errors[RB_LOAD_ERROR_TIMEOUT], 4999, 5001);
	assert_int_equal(counters(f)->completed + counters(f)->errors[RB_LOAD_ERROR_TIMEOUT], 10000);
	/* The oldest waited for half a second of window and the run-down of half a second. */
	assert_in_range(f->result.total.latency.max, 1000000000, 1000100000);
	assert_true(rb_histogram_quantile(&f->result.total.latency, 0.75) > 700 * RB_NS_PER_MS);
	/* Connections with a missing reply end with a RST. */
	assert_int_equal(f->sim->aborts, 4);
	assert_int_equal(counters(f)->late, 0);
	fixture_free(f);
}

/* Datagrams: every 100th is lost. Its request is a timeout with its age, its connection is replaced, the load goes on. */
static void lost_replies_time_out(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.transport = RB_LOAD_UDP;
	f->config.reply_timeout_ns = 5 * RB_NS_PER_MS;
	f->sim->lose_every = 100;
	fixture_run(f);
	assert_int_equal(counters(f)->errors[RB_LOAD_ERROR_TIMEOUT], 100);
	assert_int_equal(counters(f)->completed, 9900);
	assert_int_equal(f->result.total.latency.count, 10000);
	assert_in_range(f->result.total.latency.max, 5000000, 5100000);
	/* 11000 messages: 110 of them lost, and as many connections; the last is not replaced. */
	assert_int_equal(f->sim->aborts, 110);
	assert_int_equal(counters(f)->connections_opened, 4 + 109);
	assert_int_equal(counters(f)->late, 0);
	assert_true(rb_result_valid(&f->result));
	fixture_free(f);
}

/* The queue is bounded: what it cannot take is dropped, counted and makes the point void. */
static void full_queue_voids_the_point(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->config.queue_limit = 100;
	f->started = silence_half_way;
	fixture_run(f);
	assert_in_range(counters(f)->overflow, 4890, 4900);
	assert_int_equal(counters(f)->errors[RB_LOAD_ERROR_OTHER], counters(f)->overflow);
	assert_false(rb_result_valid(&f->result));
	assert_true(fixture_has_reason(f, "queue limit"));
	fixture_free(f);
}

/* Beyond saturation: 10000/s offered, 5000/s served. Achieved is what came back within the window; the point stays
 * valid. */
static void saturation_is_measured(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->sim->service_ns = 200000;
	fixture_run(f);
	assert_in_range(counters(f)->completed_in_window, 4990, 5010);
	assert_int_equal(counters(f)->late, 0);
	assert_true(rb_result_valid(&f->result));
	/* Half a second of run-down serves 2500 more, less the backlog of the warm-up that was served in the window. */
	assert_in_range(counters(f)->completed, 6980, 7020);
	assert_in_range(counters(f)->errors[RB_LOAD_ERROR_TIMEOUT], 2980, 3020);
	fixture_free(f);
}

/* A signal at half time: what there is is kept and marked. */
static void interruption_keeps_what_there_is(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->interrupt_at_ns = RB_NS_PER_S + 700 * RB_NS_PER_MS;
	fixture_run(f);
	assert_in_range(counters(f)->completed, 5900, 6100);
	assert_false(rb_result_valid(&f->result));
	assert_true(fixture_has_reason(f, "interrupted by signal 2"));
	fixture_free(f);
}

static void interruption_before_the_start(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->sim->refuse_all = true;
	f->interrupt_at_ns = RB_NS_PER_S + 50 * RB_NS_PER_MS;
	fixture_run(f);
	assert_int_equal(counters(f)->scheduled, 0);
	assert_true(fixture_has_reason(f, "interrupted by signal 2"));
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(n_requests_per_connection),
		cmocka_unit_test(request_waits_for_its_connection),
		cmocka_unit_test(opening_is_paced),
		cmocka_unit_test(sources_are_taken_in_turn),
		cmocka_unit_test(ports_are_taken_in_turn),
		cmocka_unit_test(refused_connections_are_retried),
		cmocka_unit_test(no_server_is_not_measured),
		cmocka_unit_test(resets_are_counted_and_replaced),
		cmocka_unit_test(early_fin_is_a_short_reply),
		cmocka_unit_test(wrong_reply_voids_the_point),
		cmocka_unit_test(rundown_turns_silence_into_timeouts),
		cmocka_unit_test(lost_replies_time_out),
		cmocka_unit_test(full_queue_voids_the_point),
		cmocka_unit_test(saturation_is_measured),
		cmocka_unit_test(interruption_keeps_what_there_is),
		cmocka_unit_test(interruption_before_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
