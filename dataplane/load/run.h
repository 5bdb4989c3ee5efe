// SPDX-License-Identifier: Apache-2.0
/*
 * Runs the workers on threads of their own: start together, progress lines, signals, result.
 */
#pragma once

#include "load/config.h"
#include "load/result.h"

/*
 * Runs the whole measurement and fills *result (made by rb_result_init, not yet judged). SIGINT and SIGTERM must be
 * blocked in the calling thread: they end the run early, and the signal is told in result->signal. Returns 0, or -errno
 * (with a message logged) when nothing could be started.
 */
int rb_load_run(const struct rb_load_config *config, struct rb_result *result);
