// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void rb_assert_failed(const char *file, int line, const char *expression)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
	abort();
}

void rb_assert_compare_failed(const char *file, int line, const char *expression, uint64_t left, uint64_t right)
{
	fprintf(stderr,
		"%s:%d: assertion failed: %s (left %" PRIu64 " = %" PRId64 ", right %" PRIu64 " = %" PRId64 ")\n", file,
		line, expression, left, (int64_t)left, right, (int64_t)right);
	abort();
}
