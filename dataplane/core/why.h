// SPDX-License-Identifier: Apache-2.0
/* An error with its reason: what is wrong, and what mends it. */
#pragma once

enum { RB_WHY_MAX = 512 };

/* Writes the reason, cut to RB_WHY_MAX bytes, and returns `error`, a negative errno. */
int rb_refuse(char why[RB_WHY_MAX], int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
