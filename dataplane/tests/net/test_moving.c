// SPDX-License-Identifier: Apache-2.0
/* As test_streams.c, with connections that are exported and imported at any moment: neither end notices. */
#include "tests/net/fixture.h"

#include "tests/net/scene.h"

static void test_gentle(void **state)
{
	(void)state;
	scene_play_all("gentle, moving", SCENE_GENTLE, host_move);
}

static void test_harsh(void **state)
{
	(void)state;
	scene_play_all("harsh, moving", SCENE_HARSH, host_move);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_gentle, scene_report),
		cmocka_unit_test_teardown(test_harsh, scene_report),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
