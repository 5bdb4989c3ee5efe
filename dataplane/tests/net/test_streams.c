// SPDX-License-Identifier: Apache-2.0
/*
 * Any byte streams over any link: each byte arrives intact and in order in both directions, or the connection fails
 * visibly at both ends; all comes to an end and nothing is left. What "any" is, is drawn from a seed (scene.h).
 */
#include "tests/net/fixture.h"

#include "tests/net/scene.h"

static void test_gentle(void **state)
{
	(void)state;
	scene_play_all("gentle", SCENE_GENTLE, NULL);
}

static void test_harsh(void **state)
{
	(void)state;
	scene_play_all("harsh", SCENE_HARSH, NULL);
}

/* The same seed gives the same frames at the same times. */
static void test_repeats(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++)
		assert_true(scene_play(seed, SCENE_HARSH, NULL) == scene_play(seed, SCENE_HARSH, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_gentle, scene_report),
		cmocka_unit_test_teardown(test_harsh, scene_report),
		cmocka_unit_test_teardown(test_repeats, scene_report),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
