// SPDX-License-Identifier: Apache-2.0
/*
 * Two hosts, a link between them and applications at both ends, all drawn from a seed.
 *
 * NET_SEED is the first seed, NET_SEEDS how many there are (100; 10,000 at night). A seed that fails is printed with
 * how to repeat it; RB_NET_TRACE=DIRECTORY then writes what the hosts have sent and got.
 */
#pragma once

#include "tests/net/streams.h"

/* How bad the link and the applications may be. */
enum scene_weather {
	SCENE_GENTLE, /* all connections must do */
	SCENE_HARSH,  /* they may fail, visibly */
};

typedef void scene_mover(struct host *host, struct rb_net **net, rb_net_handle *handle, bool to_other);

/* Plays one seed, with connections that move if there is a mover (host_move()). Fails the test, or returns the hash of
 * all that the link has delivered and when. After a failure in an earlier test: skips. */
uint64_t scene_play(uint64_t seed, enum scene_weather weather, scene_mover *mover);

/* Plays as many seeds as the environment says. */
void scene_play_all(const char *test, enum scene_weather weather, scene_mover *mover);

/* Teardown of each test: says how to repeat a seed that has failed. */
int scene_report(void **state);
