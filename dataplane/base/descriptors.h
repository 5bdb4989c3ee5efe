// SPDX-License-Identifier: Apache-2.0
/* How many files, sockets among them, a process may have open. */
#pragma once

#include <stdint.h>

/*
 * Raises the process's limit to `wanted`, the hard limit too if it is lower and may be raised; else as far as the hard
 * limit lets it. Returns the limit that holds now, which may be more than was wanted, or less.
 */
uint64_t rb_descriptors_raise(uint64_t wanted);
