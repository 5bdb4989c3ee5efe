// SPDX-License-Identifier: Apache-2.0
#include "base/wheel.h"

enum { LEVEL_BITS = RB_WHEEL_LEVEL_BITS, SLOT_MASK = RB_WHEEL_SLOTS - 1, TOP = RB_WHEEL_LEVELS - 1 };

RB_BUILD_ASSERT(RB_WHEEL_WORDS <= 32U, "rb_wheel.words has a bit for each word");

size_t rb_wheel_size(uint32_t count)
{
	return ((size_t)count + (size_t)(RB_WHEEL_LEVELS * RB_WHEEL_SLOTS)) * sizeof(struct rb_wheel_entry);
}

void rb_wheel_init(struct rb_wheel *wheel, void *memory, uint32_t count, uint64_t now_tick)
{
	RB_ASSERT_LE(count, RB_WHEEL_COUNT_MAX);
	*wheel = (struct rb_wheel){.entries = memory, .count = count, .now = now_tick};
	for (uint32_t id = 0; id < count; id++)
		wheel->entries[id] = (struct rb_wheel_entry){.next = RB_WHEEL_UNSET};
	for (uint32_t slot = 0; slot < RB_WHEEL_LEVELS * RB_WHEEL_SLOTS; slot++) {
		const uint32_t head = count + slot;

		wheel->entries[head] = (struct rb_wheel_entry){.next = head, .prev = head};
	}
}

/* The first slot in use of some words, counted through all levels. */
static uint32_t first_in(const struct rb_wheel *wheel, uint32_t words)
{
	const unsigned word = (unsigned)__builtin_ctz(words);

	return word * 64U + (unsigned)__builtin_ctzll(wheel->used[word]);
}

/* The top level is a circle: what follows now's slot comes first, then what is beyond the 2^32 boundary. */
static uint32_t first_at_top(const struct rb_wheel *wheel)
{
	const uint32_t now_slot = TOP * RB_WHEEL_SLOTS + (uint32_t)((wheel->now >> (TOP * LEVEL_BITS)) & SLOT_MASK);
	const uint32_t word = now_slot / 64U;
	const uint64_t later = wheel->used[word] & (UINT64_MAX << (now_slot % 64U));
	const uint32_t later_words = wheel->words & ~((2U << word) - 1U);

	if (later != 0)
		return word * 64U + (unsigned)__builtin_ctzll(later);
	return first_in(wheel, later_words != 0 ? later_words : wheel->words);
}

/* The first slot in use and the tick at which it begins; false: nothing is set. */
static bool first_slot(const struct rb_wheel *wheel, uint32_t *slot, uint64_t *begin)
{
	if (wheel->words == 0)
		return false;
	*slot = first_in(wheel, wheel->words);
	if (*slot / RB_WHEEL_SLOTS == TOP)
		*slot = first_at_top(wheel);
	const unsigned shift = *slot / RB_WHEEL_SLOTS * LEVEL_BITS;
	const uint64_t turn = wheel->now >> shift >> LEVEL_BITS;

	*begin = ((turn << LEVEL_BITS) | (*slot & SLOT_MASK)) << shift;
	/* Only at the top: elsewhere no slot in use is before that of now. */
	if (*begin + (UINT64_C(1) << shift) <= wheel->now)
		*begin += UINT64_C(1) << (shift + LEVEL_BITS);
	return true;
}

/* Forgets all timers of a slot at once. */
static void slot_empty(struct rb_wheel *wheel, uint32_t head)
{
	const uint32_t slot = head - wheel->count, word = slot / 64U;

	wheel->entries[head].next = wheel->entries[head].prev = head;
	wheel->used[word] &= ~(UINT64_C(1) << (slot % 64U));
	if (wheel->used[word] == 0)
		wheel->words &= ~(1U << word);
}

/* Now has come to a slot of a higher level: its timers go to lower ones, in order. */
static void cascade(struct rb_wheel *wheel, uint32_t head)
{
	const bool to_lowest = head - wheel->count < 2U * RB_WHEEL_SLOTS; /* whose slots are the ticks themselves */
	uint32_t id = wheel->entries[head].next;

	slot_empty(wheel, head);
	while (id != head) {
		const uint32_t next = wheel->entries[id].next;
		const uint32_t at = wheel->entries[id].at;

		rb_wheel_append(wheel, to_lowest ? at & SLOT_MASK : rb_wheel_slot(wheel, rb_wheel_at(wheel, id)), id,
				at);
		id = next;
	}
}

static uint32_t expire(struct rb_wheel *wheel, uint32_t head, uint32_t *expired, uint32_t max)
{
	struct rb_wheel_entry *entries = wheel->entries;
	uint32_t count = 0, id = entries[head].next;

	for (; count < max && id != head; count++) {
		const uint32_t next = entries[id].next;

		expired[count] = id;
		entries[id].next = RB_WHEEL_UNSET;
		id = next;
	}
	if (id == head) {
		slot_empty(wheel, head);
	} else {
		entries[head].next = id;
		entries[id].prev = head;
	}
	return count;
}

uint32_t rb_wheel_advance(struct rb_wheel *wheel, uint64_t now_tick, uint32_t *expired, uint32_t max)
{
	uint32_t count = 0, slot;
	uint64_t begin;

	RB_DEBUG_ASSERT_GE(max, 1U);
	while (first_slot(wheel, &slot, &begin) && begin <= now_tick) {
		if (count == max)
			return count;
		wheel->now = begin;
		if (slot < RB_WHEEL_SLOTS)
			count += expire(wheel, wheel->count + slot, expired + count, max - count);
		else
			cascade(wheel, wheel->count + slot);
	}
	if (now_tick > wheel->now)
		wheel->now = now_tick;
	return count;
}

uint64_t rb_wheel_next(const struct rb_wheel *wheel)
{
	uint32_t slot;
	uint64_t begin;

	return first_slot(wheel, &slot, &begin) ? begin : RB_WHEEL_NEVER;
}
