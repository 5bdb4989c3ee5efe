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
	s->heap = calloc(config->tokens, sizeof(*s->heap));
	return s->heap != NULL ? 0 : -ENOMEM;
}

void rb_schedule_free(struct rb_schedule *s)
{
	free(s->heap);
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
	uint32_t at = s->heap_length++;

	RB_ASSERT_LE(s->heap_length, s->config.tokens);
	s->heap[at] = value;
	while (at > 0 && s->heap[(at - 1U) / 2U] > s->heap[at]) {
		swap(&s->heap[(at - 1U) / 2U], &s->heap[at]);
		at = (at - 1U) / 2U;
	}
}

static void heap_pop(struct rb_schedule *s)
{
	uint32_t at = 0;

	s->heap[0] = s->heap[--s->heap_length];
	for (;;) {
		uint32_t least = at;

		for (uint32_t child = 2U * at + 1U; child <= 2U * at + 2U && child < s->heap_length; child++) {
			if (s->heap[child] < s->heap[least])
				least = child;
		}
		if (least == at)
			return;
		swap(&s->heap[least], &s->heap[at]);
		at = least;
	}
}

static void find_next(struct rb_schedule *s)
{
	uint64_t offset;

	s->next_ns = RB_DEADLINE_NONE;
	if (s->config.closed) {
		if (s->heap_length > 0 && s->heap[0] < s->end_ns)
			s->next_ns = s->heap[0];
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
		heap_push(s, start_ns + think(s));
	find_next(s);
}

uint64_t rb_schedule_take(struct rb_schedule *s)
{
	const uint64_t due = s->next_ns;

	RB_ASSERT_NE(due, RB_DEADLINE_NONE);
	if (s->config.closed)
		heap_pop(s);
	find_next(s);
	return due;
}

void rb_schedule_release(struct rb_schedule *s, uint64_t now_ns)
{
	if (!s->config.closed)
		return;
	heap_push(s, now_ns + think(s));
	find_next(s);
}
