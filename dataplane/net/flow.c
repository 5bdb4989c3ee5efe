// SPDX-License-Identifier: Apache-2.0
#include "net/flow.h"

#include <string.h>

static uint32_t buckets_for(uint32_t entries)
{
	return entries / FLOW_SLOTS_PLANNED + (entries % FLOW_SLOTS_PLANNED != 0 ? 1U : 0U);
}

size_t flow_table_size(uint32_t entries)
{
	return (size_t)buckets_for(entries) * sizeof(struct flow_bucket);
}

void flow_table_init(struct flow_table *table, void *memory, uint32_t entries)
{
	RB_ASSERT_GE(entries, 1U);
	RB_ASSERT_EQ((uintptr_t)memory % sizeof(struct flow_bucket), 0U);
	*table = (struct flow_table){.buckets = memory, .buckets_count = buckets_for(entries), .entries = entries};
	memset(memory, 0, flow_table_size(entries));
}
