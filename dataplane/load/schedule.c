// SPDX-License-Identifier: Apache-2.0

#include "load/schedule.h"

#include "abi/abi.h"
#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const rb_think_names[] = {"fixed", "exponential", NULL};

int rb_schedule_init(struct rb_schedule *s, const struct rb_schedule_config *config, const struct rb_random *random)
{
	memset(s, 0, sizeof(*s));
	s->config = *config;
	s->random = *random;
	s->next_ns = RB_DEADLINE_NONE;
	if (!config->closed)
		return rb_arrival_init(&s->arrival, &config->arrival, random);
	if (config->tokens == 0)
		return -EINVAL;
	s->in_order = config->think_ns == 0 || config->think == RB_THINK_FIXED;
	s->due = calloc(config->tokens, sizeof(*s->due));
	return s->due != NULL ? 0 : -ENOMEM;
}

void rb_schedule_free(struct rb_schedule *s)
{
	free(s->due);
	memset(s, 0, sizeof(*s));
}

static void swap(uint64_t *a, uint64_t *b)
{
	const uint64_t t = *a;

	*a = *b;
	*b = t;
}

static void heap_push(struct rb_schedule *s, uint64_t value)
{
	uint32_t at = s->due_count++;

	RB_ASSERT_LE(s->due_count, s->config.tokens);
	s->due[at] = value;
	while (at > 0 && s->due[(at - 1U) / 2U] > s->due[at]) {
		swap(&s->due[(at - 1U) / 2U], &s->due[at]);
		at = (at - 1U) / 2U;
	}
}

static void heap_pop(struct rb_schedule *s)
{
	uint32_t at = 0;

	s->due[0] = s->due[--s->due_count];
	for (;;) {
		uint32_t least = at;

		for (uint32_t child = 2U * at + 1U; child <= 2U * at + 2U && child < s->due_count; child++) {
			if (s->due[child] < s->due[least])
				least = child;
		}
		if (least == at)
			return;
		swap(&s->due[least], &s->due[at]);
		at = least;
	}
}

static void ring_push(struct rb_schedule *s, uint64_t value)
{
	uint32_t at = s->due_first + s->due_count++;

	RB_ASSERT_LE(s->due_count, s->config.tokens);
	s->due[at < s->config.tokens ? at : at - s->config.tokens] = value;
}

static void ring_pop(struct rb_schedule *s)
{
	s->due_first = s->due_first + 1U < s->config.tokens ? s->due_first + 1U : 0U;
	s->due_count--;
}

static void push(struct rb_schedule *s, uint64_t value)
{
	if (s->in_order)
		ring_push(s, value);
	else
		heap_push(s, value);
}

/* The first one, which is there. */
static void pop(struct rb_schedule *s)
{
	if (s->in_order)
		ring_pop(s);
	else
		heap_pop(s);
}

static void find_next(struct rb_schedule *s)
{
	uint64_t offset;

	s->next_ns = RB_DEADLINE_NONE;
	if (s->config.closed) {
		if (s->due_count > 0 && s->due[s->due_first] < s->end_ns)
			s->next_ns = s->due[s->due_first];
		return;
	}
	if (!rb_arrival_next(&s->arrival, &offset))
		s->exhausted = true;
	else if (offset < s->end_ns - s->start_ns)
		s->next_ns = s->start_ns + offset;
}

static uint64_t think(struct rb_schedule *s)
{
	if (s->config.think_ns == 0 || s->config.think == RB_THINK_FIXED)
		return s->config.think_ns;
	return (uint64_t)rb_random_exponential(&s->random, (double)s->config.think_ns);
}

void rb_schedule_start(struct rb_schedule *s, uint64_t start_ns, uint64_t end_ns)
{
	s->start_ns = start_ns;
	s->end_ns = end_ns;
	for (uint32_t i = 0; s->config.closed && i < s->config.tokens; i++)
		push(s, start_ns + think(s));
	find_next(s);
}

uint64_t rb_schedule_take(struct rb_schedule *s)
{
	const uint64_t due = s->next_ns;

	RB_ASSERT_NE(due, RB_DEADLINE_NONE);
	if (s->config.closed)
		pop(s);
	find_next(s);
	return due;
}

void rb_schedule_release(struct rb_schedule *s, uint64_t now_ns)
{
	if (!s->config.closed)
		return;
	push(s, now_ns + think(s));
	find_next(s);
}
