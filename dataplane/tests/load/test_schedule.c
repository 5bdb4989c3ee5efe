// SPDX-License-Identifier: Apache-2.0
/*
 * Arrival processes, traces and the closed-loop schedule.
 */

#include "load/arrival.h"
#include "load/schedule.h"
#include "load/trace.h"

#include "abi/abi.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a;
	const double y = *(const double *)b;

	return (x > y) - (x < y);
}

enum { GAPS = 100000 };

/* Arrivals of all threads merged by time, as offsets in ns. */
static double *merged_arrivals(enum rb_arrival_kind kind, double rate_rps, unsigned threads, size_t count)
{
	double *all = calloc(count, sizeof(*all));
	struct rb_arrival *a = calloc(threads, sizeof(*a));
	uint64_t *next = calloc(threads, sizeof(*next));
	struct rb_random random;

	assert_true(all != NULL && a != NULL && next != NULL);
	for (unsigned i = 0; i < threads; i++) {
		const struct rb_arrival_config config = {
			.kind = kind, .rate_rps = rate_rps, .thread = i, .threads = threads};

		rb_random_init(&random, 5, i);
		assert_int_equal(rb_arrival_init(&a[i], &config, &random), 0);
		assert_true(rb_arrival_next(&a[i], &next[i]));
	}
	for (size_t k = 0; k < count; k++) {
		unsigned first = 0;

		for (unsigned i = 1; i < threads; i++)
			first = next[i] < next[first] ? i : first;
		all[k] = (double)next[first];
		assert_true(rb_arrival_next(&a[first], &next[first]));
	}
	free(a);
	free(next);
	return all;
}

/*
 * Kolmogorov-Smirnov of the gaps against the exponential distribution: sqrt(n) D > 1.95 happens by chance once in a
 * thousand; the seed is fixed. Done for one thread, and for the superposition of three.
 */
static void poisson_gaps_are_exponential(void **state)
{
	static double gaps[GAPS];

	(void)state;
	for (unsigned threads = 1; threads <= 3; threads += 2) {
		double *at = merged_arrivals(RB_ARRIVAL_POISSON, 20000, threads, GAPS + 1);
		double distance = 0;

		for (size_t i = 0; i < GAPS; i++)
			gaps[i] = at[i + 1] - at[i];
		/* Exact rate within three standard errors of the mean. */
		assert_true(fabs(at[GAPS] / GAPS / 50000.0 - 1.0) < 3.0 / sqrt(GAPS));
		qsort(gaps, GAPS, sizeof(gaps[0]), ascending);
		for (size_t i = 0; i < GAPS; i++) {
			const double theory = 1.0 - exp(-gaps[i] / 50000.0);

			distance = fmax(distance,
					fmax(fabs(theory - (double)i / GAPS), fabs(theory - (double)(i + 1) / GAPS)));
		}
		assert_true(sqrt(GAPS) * distance < 1.95);
		free(at);
	}
}

/* Counts per 1 ms are Poisson with mean 20: chi-square of 0…40 in classes, and the variance equals the mean. */
static void poisson_counts_are_poisson(void **state)
{
	enum { CLASSES = 8, WIDTH = 3, FIRST = 11 };
	double *at = merged_arrivals(RB_ARRIVAL_POISSON, 20000, 2, GAPS);
	const size_t slots = (size_t)(at[GAPS - 1] / 1e6);
	unsigned *count = calloc(slots + 1U, sizeof(*count));
	double expected[CLASSES] = {0}, seen[CLASSES] = {0}, chi_square = 0, squares = 0, mean = 0;

	(void)state;
	assert_non_null(count);
	for (size_t i = 0; i < GAPS; i++)
		count[(size_t)(at[i] / 1e6)]++;
	for (unsigned k = 0; k < 80; k++) {
		const double p = exp(-20.0 + k * log(20.0) - lgamma(k + 1.0));
		const int c = ((int)k - FIRST) / WIDTH + 1;

		expected[k < FIRST ? 0 : c >= CLASSES ? CLASSES - 1 : c] += p * (double)slots;
	}
	for (size_t i = 0; i < slots; i++) {
		const int c = ((int)count[i] - FIRST) / WIDTH + 1;

		seen[count[i] < FIRST ? 0 : c >= CLASSES ? CLASSES - 1 : c]++;
		mean += count[i] / (double)slots;
		squares += (double)count[i] * count[i] / (double)slots;
	}
	for (unsigned c = 0; c < CLASSES; c++)
		chi_square += (seen[c] - expected[c]) * (seen[c] - expected[c]) / expected[c];
	/* 7 degrees of freedom: 24.3 once in a thousand. */
	assert_true(chi_square < 24.3);
	assert_true(fabs((squares - mean * mean) / mean - 1.0) < 0.1);
	free(count);
	free(at);
}

/* Over a long run the k-th arrival is where it should be to the nanosecond, for rates that do not divide a second. */
static void fixed_rate_is_exact(void **state)
{
	static const double rates[] = {1, 3, 7000, 12345.678, 1e6, 3e7};

	(void)state;
	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		for (unsigned threads = 1; threads <= 4; threads++) {
			double *at = merged_arrivals(RB_ARRIVAL_FIXED, rates[r], threads, 10000);

			for (size_t k = 0; k < 10000; k++)
				assert_true(at[k] == (double)(uint64_t)((long double)k * 1e9L / (long double)rates[r]));
			free(at);
		}
	}
}

static void parse(struct rb_trace *trace, const char *text)
{
	struct rb_trace_error error;

	assert_int_equal(rb_trace_parse(trace, text, strlen(text), &error), 0);
}

static void trace_text_is_understood(void **state)
{
	struct rb_trace t;

	(void)state;
	parse(&t, "# a comment\n\n0\n  10\t2  # burst\r\n10\n1000000000000000000 1000000");
	assert_int_equal(t.length, 4);
	assert_int_equal(t.total, 1000004);
	assert_int_equal(t.entries[1].time_ns, 10);
	assert_int_equal(t.entries[1].count, 2);
	assert_int_equal(t.entries[3].time_ns, RB_TRACE_TIME_MAX);
	rb_trace_free(&t);
}

static void trace_errors_name_line_and_cause(void **state)
{
	static const struct {
		const char *text;
		size_t line;
		const char *why;
	} bad[] = {
		{"", 0, "no request"},
		{"# only\n\n", 0, "no request"},
		{"1\nx\n", 2, "expected a time"},
		{"-1", 1, "expected a time"},
		{"1.5", 1, "expected a time"},
		{"1000000000000000001", 1, "expected a time"},
		{"99999999999999999999999", 1, "expected a time"},
		{"1 0", 1, "expected a burst"},
		{"1 1000001", 1, "expected a burst"},
		{"1 2 3", 1, "more than two"},
		{"1 2x", 1, "expected a burst"},
		{"5\n\n#\n4\n", 4, "earlier"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rb_trace t;
		struct rb_trace_error error;

		assert_int_equal(rb_trace_parse(&t, bad[i].text, strlen(bad[i].text), &error), -EINVAL);
		assert_int_equal(error.line, bad[i].line);
		assert_non_null(strstr(error.why, bad[i].why));
		assert_null(t.entries);
	}
}

static void trace_files_are_read(void **state)
{
	char path[] = "/tmp/rbload-trace-XXXXXX";
	const int fd = mkstemp(path);
	struct rb_trace t;
	struct rb_trace_error error;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0\n5 3\n", 6), 6);
	assert_int_equal(close(fd), 0);
	assert_int_equal(rb_trace_load(&t, path, &error), 0);
	assert_int_equal(t.total, 4);
	rb_trace_free(&t);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rb_trace_load(&t, path, &error), -ENOENT);
	assert_int_equal(rb_trace_load(&t, "/", &error), -EINVAL);
	assert_non_null(error.why);
}

/* Every request of the trace is played once by exactly one thread, at its time, pass after pass. */
static void trace_is_dealt_to_the_threads(void **state)
{
	struct rb_trace t;
	struct rb_random random;

	(void)state;
	parse(&t, "0\n100 5\n100\n250 2\n");
	rb_random_init(&random, 1, 0);
	for (unsigned threads = 1; threads <= 12; threads++) {
		unsigned at[4][4] = {{0}};

		for (unsigned i = 0; i < threads; i++) {
			const struct rb_arrival_config config = {.kind = RB_ARRIVAL_TRACE,
								 .thread = i,
								 .threads = threads,
								 .trace = &t,
								 .trace_period_ns = 300};
			struct rb_arrival a;
			uint64_t offset;

			assert_int_equal(rb_arrival_init(&a, &config, &random), 0);
			while (rb_arrival_next(&a, &offset) && offset < 900)
				at[offset / 300][offset % 300 == 0     ? 0
						 : offset % 300 == 100 ? 1
						 : offset % 300 == 250 ? 2
								       : 3]++;
		}
		for (unsigned pass = 0; pass < 3; pass++) {
			assert_int_equal(at[pass][0], 1);
			assert_int_equal(at[pass][1], 6);
			assert_int_equal(at[pass][2], 2);
			assert_int_equal(at[pass][3], 0);
		}
	}
	rb_trace_free(&t);
}

static void trace_ends(void **state)
{
	struct rb_trace t;
	struct rb_random random;
	struct rb_schedule s;
	struct rb_schedule_config config = {.arrival = {.kind = RB_ARRIVAL_TRACE, .threads = 1, .trace = &t}};

	(void)state;
	parse(&t, "0\n100 2\n");
	rb_random_init(&random, 1, 0);
	assert_int_equal(rb_schedule_init(&s, &config, &random), 0);
	rb_schedule_start(&s, 1000, 5000);
	assert_int_equal(rb_schedule_take(&s), 1000);
	assert_int_equal(rb_schedule_take(&s), 1100);
	assert_false(s.exhausted);
	assert_int_equal(rb_schedule_take(&s), 1100);
	assert_int_equal(rb_schedule_next(&s), RB_DEADLINE_NONE);
	assert_true(s.exhausted);
	rb_schedule_free(&s);
	/* A period that is not later than the last time would put arrivals out of order. */
	config.arrival.trace_period_ns = 100;
	assert_int_equal(rb_schedule_init(&s, &config, &random), -EINVAL);
	rb_trace_free(&t);
}

static void wrong_rates_are_refused(void **state)
{
	static const double rates[] = {0, -1, INFINITY, NAN};
	struct rb_random random;
	struct rb_arrival a;

	(void)state;
	rb_random_init(&random, 1, 0);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const struct rb_arrival_config config = {
			.kind = RB_ARRIVAL_POISSON, .rate_rps = rates[i], .threads = 1};

		assert_int_equal(rb_arrival_init(&a, &config, &random), -EINVAL);
	}
}

/* Tokens come back in any order and are due in order of time; at most as many are out as there are. */
static void closed_loop_orders_its_tokens(void **state)
{
	const struct rb_schedule_config config = {
		.closed = true, .tokens = 100, .think = RB_THINK_EXPONENTIAL, .think_ns = 1000};
	struct rb_random random;
	struct rb_schedule s;
	uint64_t last = 0;

	(void)state;
	rb_random_init(&random, 9, 0);
	assert_int_equal(rb_schedule_init(&s, &config, &random), 0);
	rb_schedule_start(&s, 10, 1000000);
	for (unsigned i = 0; i < 5000; i++) {
		const uint64_t due = rb_schedule_take(&s);

		assert_true(due >= last);
		last = due;
		rb_schedule_release(&s, due);
	}
	for (unsigned i = 0; i < 100; i++)
		(void)rb_schedule_take(&s);
	assert_int_equal(rb_schedule_next(&s), RB_DEADLINE_NONE);
	rb_schedule_release(&s, 999999999);
	assert_int_equal(rb_schedule_next(&s), RB_DEADLINE_NONE);
	rb_schedule_free(&s);
}

/* Who thinks equally long is due in the order of the replies, many times round, and never at or behind the end. */
static void equal_thoughts_keep_the_order(void **state)
{
	enum { TOKENS = 3, THINK = 100, END = 5000 };
	const struct rb_schedule_config config = {.closed = true, .tokens = TOKENS, .think_ns = THINK};
	struct rb_random random;
	struct rb_schedule s;
	uint64_t now = 0, taken = 0;

	(void)state;
	rb_random_init(&random, 1, 0);
	assert_int_equal(rb_schedule_init(&s, &config, &random), 0);
	rb_schedule_start(&s, 0, END);
	for (unsigned i = 0; i < TOKENS; i++)
		assert_int_equal(rb_schedule_take(&s), THINK);
	assert_true(rb_schedule_next(&s) == RB_DEADLINE_NONE); /* all are out */
	for (now = 200; now + 14 + THINK < END; now += 150, taken++) {
		/* two come back at once, the third one a little later */
		rb_schedule_release(&s, now);
		rb_schedule_release(&s, now);
		rb_schedule_release(&s, now + 14);
		assert_int_equal(rb_schedule_take(&s), now + THINK);
		assert_int_equal(rb_schedule_take(&s), now + THINK);
		assert_int_equal(rb_schedule_next(&s), now + 14 + THINK);
		assert_int_equal(rb_schedule_take(&s), now + 14 + THINK);
	}
	assert_true(taken > 2 * (uint64_t)TOKENS);
	rb_schedule_release(&s, END - THINK - 1);
	rb_schedule_release(&s, END - THINK);
	assert_int_equal(rb_schedule_take(&s), END - 1);
	assert_true(rb_schedule_next(&s) == RB_DEADLINE_NONE);
	rb_schedule_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(poisson_gaps_are_exponential),
		cmocka_unit_test(poisson_counts_are_poisson),
		cmocka_unit_test(fixed_rate_is_exact),
		cmocka_unit_test(trace_text_is_understood),
		cmocka_unit_test(trace_errors_name_line_and_cause),
		cmocka_unit_test(trace_files_are_read),
		cmocka_unit_test(trace_is_dealt_to_the_threads),
		cmocka_unit_test(trace_ends),
		cmocka_unit_test(wrong_rates_are_refused),
		cmocka_unit_test(closed_loop_orders_its_tokens),
		cmocka_unit_test(equal_thoughts_keep_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
