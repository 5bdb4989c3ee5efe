// SPDX-License-Identifier: Apache-2.0
/* base/wheel: the order of expiry around the boundaries of its levels, and random operations against a plain list. */
#include "base/random.h"
#include "base/wheel.h"
#include "tests/net/seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TIMERS = 100, SEEDS = 300, STEPS = 2000 };

static void make(struct rb_wheel *wheel, uint32_t count, uint64_t now)
{
	void *memory = malloc(rb_wheel_size(count));

	assert_non_null(memory);
	rb_wheel_init(wheel, memory, count, now);
}

static void nothing_is_set_at_first(void **state)
{
	(void)state;
	struct rb_wheel wheel;
	uint32_t expired[1];

	make(&wheel, 2, 77);
	assert_int_equal(rb_wheel_next(&wheel), RB_WHEEL_NEVER);
	assert_false(rb_wheel_armed(&wheel, 0));
	rb_wheel_cancel(&wheel, 1);
	assert_int_equal(rb_wheel_advance(&wheel, UINT64_C(1) << 50, expired, 1), 0);
	assert_int_equal(rb_wheel_next(&wheel), RB_WHEEL_NEVER);
	free(wheel.entries);
}

static void the_past_is_the_next_tick(void **state)
{
	(void)state;
	struct rb_wheel wheel;
	uint32_t expired[4];

	make(&wheel, 4, 1000);
	rb_wheel_set(&wheel, 3, 0);
	rb_wheel_set(&wheel, 0, 1000);
	rb_wheel_set(&wheel, 2, 1001);
	assert_int_equal(rb_wheel_at(&wheel, 3), 1001);
	assert_int_equal(rb_wheel_next(&wheel), 1001);
	assert_int_equal(rb_wheel_advance(&wheel, 1000, expired, 4), 0);
	assert_int_equal(rb_wheel_advance(&wheel, 1001, expired, 4), 3);
	assert_int_equal(expired[0], 3);
	assert_int_equal(expired[1], 0);
	assert_int_equal(expired[2], 2);
	free(wheel.entries);
}

/* A timer expires in its tick, not before and not after, wherever now and the tick lie around a boundary. */
static void around_every_boundary(void **state)
{
	(void)state;
	static const int64_t near[] = {-257, -256, -255, -2, -1, 0, 1, 2, 255, 256, 257};
	enum { NEAR = sizeof(near) / sizeof(near[0]) };
	struct rb_wheel wheel;
	uint32_t expired[2];

	for (unsigned boundary = 8; boundary <= 40; boundary += 8) {
		for (unsigned i = 0; i < NEAR * NEAR; i++) {
			const uint64_t middle = UINT64_C(3) << boundary;
			const uint64_t now = middle + (uint64_t)near[i / NEAR], at = middle + (uint64_t)near[i % NEAR];

			if (at <= now)
				continue;
			make(&wheel, 1, now);
			rb_wheel_set(&wheel, 0, at);
			assert_int_equal(rb_wheel_at(&wheel, 0), at);
			assert_int_equal(rb_wheel_advance(&wheel, at - 1U, expired, 2), 0);
			assert_int_equal(rb_wheel_next(&wheel), at);
			assert_int_equal(rb_wheel_advance(&wheel, at, expired, 2), 1);
			assert_false(rb_wheel_armed(&wheel, 0));
			free(wheel.entries);
		}
	}
}

static void as_far_as_the_span(void **state)
{
	(void)state;
	struct rb_wheel wheel;
	uint32_t expired[2];

	for (uint64_t now = UINT64_C(0xfffffffffe000000); now > UINT64_C(1) << 62; now = now / 3U * 2U + 12345U) {
		const uint64_t start = now >> 20;

		make(&wheel, 1, start);
		rb_wheel_set(&wheel, 0, start + RB_WHEEL_SPAN);
		assert_int_equal(rb_wheel_at(&wheel, 0), start + RB_WHEEL_SPAN);
		assert_true(rb_wheel_next(&wheel) <= start + RB_WHEEL_SPAN);
		assert_int_equal(rb_wheel_advance(&wheel, start + RB_WHEEL_SPAN - 1U, expired, 2), 0);
		assert_int_equal(rb_wheel_advance(&wheel, start + RB_WHEEL_SPAN, expired, 2), 1);
		free(wheel.entries);
	}
}

/* Timers set to one tick from far and near stay in order, and setting one to the same tick again does not move it. */
static void one_tick_is_first_in_first_out(void **state)
{
	(void)state;
	struct rb_wheel wheel;
	uint32_t expired[6];
	const uint64_t at = (UINT64_C(1) << 24) + 70000;

	make(&wheel, 6, 5);
	rb_wheel_set(&wheel, 4, at);
	assert_int_equal(rb_wheel_advance(&wheel, 1U << 24, expired, 6), 0);
	rb_wheel_set(&wheel, 2, at);
	assert_int_equal(rb_wheel_advance(&wheel, at - 100, expired, 6), 0);
	rb_wheel_set(&wheel, 5, at);
	rb_wheel_set(&wheel, 0, at);
	rb_wheel_set(&wheel, 4, at);
	assert_int_equal(rb_wheel_advance(&wheel, at, expired, 6), 4);
	assert_int_equal(expired[0], 4);
	assert_int_equal(expired[1], 2);
	assert_int_equal(expired[2], 5);
	assert_int_equal(expired[3], 0);
	free(wheel.entries);
}

/*
 * The model: what is set, to which tick, and since when.
 */

struct model {
	uint64_t now;
	uint64_t at[TIMERS];
	uint64_t order[TIMERS]; /* 0: not set */
	uint64_t orders;
};

static int earliest(const struct model *model)
{
	int best = -1;

	for (int i = 0; i < TIMERS; i++) {
		if (model->order[i] == 0)
			continue;
		if (best < 0 || model->at[i] < model->at[best] ||
		    (model->at[i] == model->at[best] && model->order[i] < model->order[best]))
			best = i;
	}
	return best;
}

/* A time span of any magnitude. */
static uint64_t any_span(struct rb_random *random)
{
	const unsigned bits = (unsigned)rb_random_below(random, 33);
	const uint64_t span = rb_random_u64(random) >> 32 >> (32U - bits);

	return span < RB_WHEEL_SPAN ? span : RB_WHEEL_SPAN;
}

static void step_set(struct rb_wheel *wheel, struct model *model, struct rb_random *random)
{
	const uint32_t id = (uint32_t)rb_random_below(random, TIMERS);
	uint64_t at = model->now + any_span(random);

	if (rb_random_below(random, 4) == 0) /* on a boundary, where slots change */
		at &= ~((UINT64_C(1) << 8 * (1 + rb_random_below(random, 3))) - 1U);
	if (rb_random_below(random, 4) == 0) /* among others */
		at = model->at[rb_random_below(random, TIMERS)];
	if (at > model->now + RB_WHEEL_SPAN)
		at = model->now;
	rb_wheel_set(wheel, id, at);
	if (at <= model->now)
		at = model->now + 1U;
	if (model->order[id] == 0 || model->at[id] != at)
		model->order[id] = ++model->orders;
	model->at[id] = at;
}

static void check_timers(const struct rb_wheel *wheel, const struct model *model)
{
	const int first = earliest(model);
	const uint64_t next = rb_wheel_next(wheel);

	for (uint32_t id = 0; id < TIMERS; id++) {
		assert_int_equal(rb_wheel_armed(wheel, id), model->order[id] != 0);
		if (model->order[id] != 0)
			assert_int_equal(rb_wheel_at(wheel, id), model->at[id]);
	}
	if (first < 0) {
		assert_int_equal(next, RB_WHEEL_NEVER);
		return;
	}
	assert_true(next > model->now && next <= model->at[first]);
	if ((model->at[first] ^ model->now) < RB_WHEEL_SLOTS)
		assert_int_equal(next, model->at[first]);
}

static void step_advance(struct rb_wheel *wheel, struct model *model, struct rb_random *random)
{
	uint32_t expired[TIMERS + 1];
	const uint32_t max = 1U + (uint32_t)rb_random_below(random, rb_random_below(random, 2) == 0 ? 3 : TIMERS + 1);
	uint32_t count;

	if (rb_random_below(random, 3) == 0 && rb_wheel_next(wheel) != RB_WHEEL_NEVER)
		model->now = rb_wheel_next(wheel);
	else
		model->now += any_span(random) >> rb_random_below(random, 24);
	do {
		count = rb_wheel_advance(wheel, model->now, expired, max);
		assert_true(count <= max);
		for (uint32_t i = 0; i < count; i++) {
			const int first = earliest(model);

			assert_true(first >= 0);
			assert_int_equal(expired[i], first);
			assert_true(model->at[first] <= model->now);
			model->order[first] = 0;
		}
	} while (count == max);
	assert_true(earliest(model) < 0 || model->at[earliest(model)] > model->now);
}

static void random_operations(void **state)
{
	(void)state;
	const uint64_t first = seeds_first(__func__);

	for (uint64_t seed = first; seed < first + SEEDS; seed++) {
		struct rb_random random;
		struct rb_wheel wheel;
		struct model model = {0};

		rb_random_init(&random, seed, 0);
		model.now = rb_random_u64(&random) >> 8 >> rb_random_below(&random, 56);
		make(&wheel, TIMERS, model.now);
		for (unsigned i = 0; i < STEPS; i++) {
			const uint64_t choice = rb_random_below(&random, 10);

			if (choice < 6) {
				step_set(&wheel, &model, &random);
			} else if (choice < 8) {
				const uint32_t id = (uint32_t)rb_random_below(&random, TIMERS);

				rb_wheel_cancel(&wheel, id);
				model.order[id] = 0;
			} else {
				step_advance(&wheel, &model, &random);
			}
			check_timers(&wheel, &model);
		}
		free(wheel.entries);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_set_at_first),	  cmocka_unit_test(the_past_is_the_next_tick),
		cmocka_unit_test(around_every_boundary),	  cmocka_unit_test(as_far_as_the_span),
		cmocka_unit_test(one_tick_is_first_in_first_out), cmocka_unit_test(random_operations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
