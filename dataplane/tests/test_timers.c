// SPDX-License-Identifier: Apache-2.0
/* The timer queue, against the obvious slow model of it. */
#include "tests/harness.h"

#include "abi/abi.h"
#include "user/timer.h"

enum { TIMERS = 64, STEPS = 20000 };

static void never(struct rb_timer *timer, uint64_t now_ns)
{
	(void)timer;
	(void)now_ns;
	fail();
}

static void test_order(void **state)
{
	(void)state;
	static const uint64_t deadlines[] = {50, 10, 40, 10, 30, 10, 60, 0};
	static const unsigned expected[] = {7, 1, 3, 5, 4, 2, 0, 6}; /* equal ones in the order they were armed */
	enum { COUNT = sizeof(deadlines) / sizeof(deadlines[0]) };
	struct rb_timers timers;
	struct rb_timer timer[COUNT];
	rb_timers_init(&timers);
	assert_true(rb_timers_next(&timers) == RB_DEADLINE_NONE);
	for (unsigned i = 0; i < COUNT; i++) {
		rb_timer_init(&timer[i], never);
		rb_timers_arm(&timers, &timer[i], deadlines[i]);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(rb_timers_next(&timers), deadlines[expected[i]]);
		if (deadlines[expected[i]] > 0)
			assert_null(rb_timers_pop(&timers, deadlines[expected[i]] - 1));
		assert_ptr_equal(rb_timers_pop(&timers, 60), &timer[expected[i]]);
	}
	assert_null(rb_timers_pop(&timers, UINT64_MAX));
}

/* The model: arm order and deadline of each; the earliest wins. */
struct model {
	struct rb_timer timer[TIMERS];
	uint64_t deadline[TIMERS];
	uint64_t order[TIMERS]; /* 0: not armed */
};

static int earliest(const struct model *model)
{
	int best = -1;
	for (int i = 0; i < TIMERS; i++) {
		if (model->order[i] == 0)
			continue;
		if (best < 0 || model->deadline[i] < model->deadline[best] ||
		    (model->deadline[i] == model->deadline[best] && model->order[i] < model->order[best]))
			best = i;
	}
	return best;
}

static uint32_t next_random(uint32_t *random)
{
	*random = *random * 1664525U + 1013904223U;
	return *random >> 8;
}

static void test_against_model(void **state)
{
	(void)state;
	static struct model model;
	struct rb_timers timers;
	uint32_t random = 1;
	rb_timers_init(&timers);
	for (int i = 0; i < TIMERS; i++)
		rb_timer_init(&model.timer[i], never);
	for (uint64_t step = 1; step <= STEPS; step++) {
		unsigned which = next_random(&random) % TIMERS;
		switch (next_random(&random) % 4) {
		case 0:
		case 1: /* arm or move */
			model.deadline[which] = next_random(&random) % 50;
			model.order[which] = step;
			rb_timers_arm(&timers, &model.timer[which], model.deadline[which]);
			break;
		case 2: /* also when it is not armed */
			model.order[which] = 0;
			rb_timers_cancel(&timers, &model.timer[which]);
			break;
		default: {
			int best = earliest(&model);
			struct rb_timer *popped = rb_timers_pop(&timers, UINT64_MAX);
			assert_ptr_equal(popped, best < 0 ? NULL : &model.timer[best]);
			if (best >= 0)
				model.order[best] = 0;
			break;
		}
		}
		int best = earliest(&model);
		assert_true(rb_timers_next(&timers) == (best < 0 ? RB_DEADLINE_NONE : model.deadline[best]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_against_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
