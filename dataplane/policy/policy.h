// SPDX-License-Identifier: Apache-2.0
/* The stacks: one file each, with its loop over the stages of core/core.h, and a row in the table. */
#pragma once

#include "core/core.h"

extern const struct core_policy policy_ix;
extern const struct core_policy policy_l2;

/* All of them, NULL-terminated; the first is the default. */
extern const struct core_policy *const policies[];

/* Their names in the same order, NULL-terminated: the choices of an option. */
extern const char *const policy_names[];
