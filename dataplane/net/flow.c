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

void flow_insert(struct flow_table *table, uint32_t hash, uint32_t index)
{
	uint32_t at = flow_bucket_of(table, hash), room;

	RB_ASSERT_LT(table->used, table->entries);
	RB_DEBUG_ASSERT_NE(index, FLOW_NONE);
	/* Ends: there is twice the room that is needed. */
	while ((room = flow_bucket_match(&table->buckets[at], 0)) == 0) {
		table->buckets[at].passed++;
		at = flow_bucket_after(table, at);
	}
	const unsigned slot = (unsigned)__builtin_ctz(room);

	table->buckets[at].tags[slot] = flow_tag_of(hash);
	table->buckets[at].indices[slot] = index;
	table->used++;
}

/* The slot of a bucket that holds the index, or FLOW_SLOTS. */
static unsigned slot_of(const struct flow_bucket *bucket, uint8_t tag, uint32_t index)
{
	for (uint32_t matches = flow_bucket_match(bucket, tag); matches != 0; matches &= matches - 1U) {
		const unsigned slot = (unsigned)__builtin_ctz(matches);

		if (bucket->indices[slot] == index)
			return slot;
	}
	return FLOW_SLOTS;
}

void flow_remove(struct flow_table *table, uint32_t hash, uint32_t index)
{
	uint32_t at = flow_bucket_of(table, hash);
	const uint8_t tag = flow_tag_of(hash);
	unsigned slot;

	while ((slot = slot_of(&table->buckets[at], tag, index)) == FLOW_SLOTS) {
		RB_ASSERT_GT(table->buckets[at].passed, 0U); /* or it was never inserted */
		table->buckets[at].passed--;
		at = flow_bucket_after(table, at);
	}
	table->buckets[at].tags[slot] = 0;
	table->used--;
}
