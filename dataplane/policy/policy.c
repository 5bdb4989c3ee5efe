// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.h"

#include <stddef.h>

const struct core_policy *const policies[] = {&policy_ix, &policy_l2, NULL};
const char *const policy_names[] = {"ix", "l2", NULL};
