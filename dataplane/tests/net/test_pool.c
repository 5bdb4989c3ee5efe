// SPDX-License-Identifier: Apache-2.0
/* net/pool: every element once, exhaustion, random use against a plain table. */
#include "base/random.h"
#include "net/pool.h"
#include "tests/net/seeds.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { COUNT = 50, STEPS = 100000 };

static void gives_each_once_and_then_none(void **state)
{
	(void)state;
	uint32_t stack[COUNT];
	struct pool pool;

	pool_init(&pool, stack, COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_int_equal(pool_get(&pool), i);
	}
	assert_int_equal(pool_used(&pool), COUNT);
	assert_int_equal(pool_get(&pool), POOL_NONE);
	assert_int_equal(pool_used(&pool), COUNT);
	pool_put(&pool, 7);
	assert_int_equal(pool_used(&pool), COUNT - 1);
	assert_int_equal(pool_get(&pool), 7);
}

static void may_have_no_element(void **state)
{
	(void)state;
	struct pool pool;

	pool_init(&pool, NULL, 0);
	assert_int_equal(pool_get(&pool), POOL_NONE);
}

static void random_use(void **state)
{
	(void)state;
	uint32_t stack[COUNT];
	bool taken[COUNT] = {false};
	uint32_t used = 0;
	struct pool pool;
	struct rb_random random;

	rb_random_init(&random, seeds_first(__func__), 0);
	pool_init(&pool, stack, COUNT);
	for (unsigned i = 0; i < STEPS; i++) {
		const uint32_t index = (uint32_t)rb_random_below(&random, COUNT);

		if (taken[index]) {
			pool_put(&pool, index);
			taken[index] = false;
			used--;
		} else {
			const uint32_t got = pool_get(&pool);

			assert_true(got < COUNT);
			assert_false(taken[got]);
			taken[got] = true;
			used++;
		}
		assert_int_equal(pool_used(&pool), used);
	}
}

#ifndef NDEBUG
/* In a child, as it ends by abort(). */
static void returning_too_many_is_caught(void **state)
{
	(void)state;
	const pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		uint32_t stack[2];
		struct pool pool;

		signal(SIGABRT, SIG_DFL);
		pool_init(&pool, stack, 2);
		(void)pool_get(&pool);
		pool_put(&pool, 0);
		pool_put(&pool, 0);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_each_once_and_then_none),
		cmocka_unit_test(may_have_no_element),
		cmocka_unit_test(random_use),
#ifndef NDEBUG
		cmocka_unit_test(returning_too_many_is_caught),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
