// SPDX-License-Identifier: Apache-2.0
/*
 * Hierarchical timer wheel: timers that are set and cancelled far more often than they expire, each for O(1)
 * (G. Varghese, T. Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 7).
 *
 * Time is in ticks of the caller's choice. The wheel sees no clock and no unit, because a useful tick (16 us) is no
 * shift of a nanosecond clock: the caller divides once per turn and keeps ticks. Ticks are 64 bits wide and never wrap;
 * a timer may be up to RB_WHEEL_SPAN ahead (19 hours at 16 us).
 *
 * A timer is a number below the count given at the start, of an object that the wheel knows nothing about. Level L has
 * 256 slots of 256^L ticks. A timer lies at the level of the highest byte in which its time differs from now, in the
 * slot of that byte; when now enters that slot, the slot's timers move to lower levels, in order. So
 *   - all timers of one tick are always in one slot: they expire in the order in which they were set;
 *   - everything at a level is earlier than everything at the next, and one bit per slot says where something is: the
 *     next slot is found without looking at empty ones, however far it is.
 * Moving a timer costs some 60 instructions. Who would move one further ahead with every packet rather keeps the real
 * time in the object, lets the timer expire and sets it again.
 *
 * Nothing allocates, links are indices into the wheel's own array, and nothing fails. One user at a time.
 */
#pragma once

#include "base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RB_WHEEL_LEVELS	    4U
#define RB_WHEEL_LEVEL_BITS 8U /* a level is a byte of the time */
#define RB_WHEEL_SLOTS	    (1U << RB_WHEEL_LEVEL_BITS)
#define RB_WHEEL_WORDS	    (RB_WHEEL_LEVELS * RB_WHEEL_SLOTS / 64U)

/* Ticks that a timer may be ahead: one slot of the highest level less than 2^32, or its slot could be that of now. */
#define RB_WHEEL_SPAN ((UINT64_C(1) << 32) - (UINT64_C(1) << 24))

/* As a time: none. */
#define RB_WHEEL_NEVER UINT64_MAX

/* Timers that there can be at most. */
#define RB_WHEEL_COUNT_MAX (UINT32_MAX - RB_WHEEL_LEVELS * RB_WHEEL_SLOTS)

/* `next` of a timer that is not set. */
#define RB_WHEEL_UNSET UINT32_MAX

struct rb_wheel_entry {
	uint32_t next, prev; /* circular list of a slot */
	uint32_t at;	     /* the tick's low half */
};

struct rb_wheel {
	struct rb_wheel_entry *entries; /* one per timer, then the head of each slot's list */
	uint32_t count;			/* timers */
	uint32_t words;			/* bit w: used[w] is not 0 */
	uint64_t now;			/* everything before has expired */
	uint64_t used[RB_WHEEL_WORDS];	/* bit s of a level: its slot s is not empty */
};

/* Bytes of memory for that many timers; alignment of uint32_t. */
size_t rb_wheel_size(uint32_t count);

/* Makes an empty wheel in `memory`, for timers 0 .. count-1, count <= RB_WHEEL_COUNT_MAX. */
void rb_wheel_init(struct rb_wheel *wheel, void *memory, uint32_t count, uint64_t now_tick);

/*
 * Takes out what is due at now_tick, writes the timers to `expired` and returns their number: in the order of their
 * ticks, those of one tick in the order in which they were set. `max` >= 1 of them at most: at `max` there may be more,
 * to be asked for before the wheel has arrived at now_tick. An earlier now_tick than before expires nothing.
 */
uint32_t rb_wheel_advance(struct rb_wheel *wheel, uint64_t now_tick, uint32_t *expired, uint32_t max);

/*
 * A tick up to which nothing expires, itself excluded; exact for timers in the current 256 ticks. RB_WHEEL_NEVER: there
 * is no timer.
 */
uint64_t rb_wheel_next(const struct rb_wheel *wheel);

/* The slot for a time, counted through all levels. */
static inline uint32_t rb_wheel_slot(const struct rb_wheel *wheel, uint64_t at)
{
	const uint64_t differs = (at ^ wheel->now) | 1U;
	const unsigned byte = (63U - (unsigned)__builtin_clzll(differs)) / RB_WHEEL_LEVEL_BITS;
	/* A time beyond the top level's 2^32 boundary differs from now in the top level's byte too: see the span. */
	const unsigned level = byte < RB_WHEEL_LEVELS - 1U ? byte : RB_WHEEL_LEVELS - 1U;

	return level * RB_WHEEL_SLOTS + (uint32_t)((at >> (level * RB_WHEEL_LEVEL_BITS)) & (RB_WHEEL_SLOTS - 1U));
}

/* Puts a timer that is not set at the end of a slot. */
static inline void rb_wheel_append(struct rb_wheel *wheel, uint32_t slot, uint32_t id, uint64_t at)
{
	struct rb_wheel_entry *entries = wheel->entries;
	const uint32_t head = wheel->count + slot, last = entries[head].prev;

	entries[id] = (struct rb_wheel_entry){.next = head, .prev = last, .at = (uint32_t)at};
	entries[last].next = id;
	entries[head].prev = id;
	if (last == head) { /* it was empty */
		wheel->used[slot / 64U] |= UINT64_C(1) << (slot % 64U);
		wheel->words |= 1U << slot / 64U;
	}
}

/* Puts a timer that is not set into its slot, wheel->now < at <= wheel->now + RB_WHEEL_SPAN. For rb_wheel_set(). */
static inline void rb_wheel_link(struct rb_wheel *wheel, uint32_t id, uint64_t at)
{
	rb_wheel_append(wheel, rb_wheel_slot(wheel, at), id, at);
}

static inline bool rb_wheel_armed(const struct rb_wheel *wheel, uint32_t id)
{
	RB_DEBUG_ASSERT_LT(id, wheel->count);
	return wheel->entries[id].next != RB_WHEEL_UNSET;
}

/* The tick of a timer that is set. */
static inline uint64_t rb_wheel_at(const struct rb_wheel *wheel, uint32_t id)
{
	RB_DEBUG_ASSERT(rb_wheel_armed(wheel, id));
	return wheel->now + (uint32_t)(wheel->entries[id].at - (uint32_t)wheel->now);
}

/* Takes back a timer, whether it is set or not. */
static inline void rb_wheel_cancel(struct rb_wheel *wheel, uint32_t id)
{
	struct rb_wheel_entry *entries = wheel->entries;
	const uint32_t next = entries[id].next, prev = entries[id].prev;

	if (!rb_wheel_armed(wheel, id))
		return;
	entries[next].prev = prev;
	entries[prev].next = next;
	entries[id].next = RB_WHEEL_UNSET;
	if (next == prev && next >= wheel->count) { /* only the head is left */
		const uint32_t slot = next - wheel->count, word = slot / 64U;

		wheel->used[word] &= ~(UINT64_C(1) << (slot % 64U));
		if (wheel->used[word] == 0)
			wheel->words &= ~(1U << word);
	}
}

/*
 * Sets a timer, set before or not, to a tick at most RB_WHEEL_SPAN ahead; the present and the past are the next tick.
 * A timer that is set to that tick already stays where it is among those of the tick: setting it again costs next to
 * nothing, which is what most segments do to the timers of their connection.
 */
static inline void rb_wheel_set(struct rb_wheel *wheel, uint32_t id, uint64_t at_tick)
{
	const uint64_t at = at_tick > wheel->now ? at_tick : wheel->now + 1U;

	RB_DEBUG_ASSERT_LE(at - wheel->now, RB_WHEEL_SPAN);
	if (rb_wheel_armed(wheel, id)) {
		if (wheel->entries[id].at == (uint32_t)at)
			return;
		rb_wheel_cancel(wheel, id);
	}
	rb_wheel_link(wheel, id, at);
}
