// SPDX-License-Identifier: Apache-2.0
/* What is true of an instance's TCP between any two calls, whatever peers and application do. */
#pragma once

#include "net/net.h"

/* Aborts with the broken one. Takes time in proportion to the connections and all that they hold. */
void net_invariants_check(struct rb_net *net);
