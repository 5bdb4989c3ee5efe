// SPDX-License-Identifier: Apache-2.0
/*
 * The parser of arrival traces. Promises: no crash; an accepted trace keeps all its rules; a refused one owns nothing
 * and says why.
 */
#include "fuzz/target.h"

#include <string.h>

#include "base/assert.h"
#include "load/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rb_trace trace;
	struct rb_trace_error error;
	uint64_t total = 0;

	if (rb_trace_parse(&trace, (const char *)data, size, &error) != 0) {
		RB_ASSERT(trace.entries == NULL && trace.length == 0);
		RB_ASSERT(error.why != NULL && strlen(error.why) > 0);
		RB_ASSERT_LE(error.line, size);
		return 0;
	}
	RB_ASSERT_GT(trace.length, 0U);
	for (size_t i = 0; i < trace.length; i++) {
		RB_ASSERT_LE(trace.entries[i].time_ns, RB_TRACE_TIME_MAX);
		RB_ASSERT(i == 0 || trace.entries[i - 1].time_ns <= trace.entries[i].time_ns);
		RB_ASSERT(trace.entries[i].count >= 1 && trace.entries[i].count <= RB_TRACE_BURST_MAX);
		total += trace.entries[i].count;
	}
	RB_ASSERT_EQ(total, trace.total);
	rb_trace_free(&trace);
	return 0;
}
