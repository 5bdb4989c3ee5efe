// SPDX-License-Identifier: Apache-2.0
#include "tests/net/timeline.h"

#include <stdlib.h>

#include "tests/net/fixture.h"

void timeline_open(struct timeline *timeline, uint64_t now_ns)
{
	*timeline = (struct timeline){.now_ns = now_ns};
}

void timeline_close(struct timeline *timeline)
{
	free(timeline->heap);
	*timeline = (struct timeline){.now_ns = timeline->now_ns};
}

static bool before(const struct timeline_event *a, const struct timeline_event *b)
{
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns;
	return a->number < b->number;
}

static void grow(struct timeline *timeline)
{
	timeline->room = timeline->room == 0 ? 64 : 2 * timeline->room;
	timeline->heap = fixture_resize(timeline->heap, timeline->room, sizeof(timeline->heap[0]));
}

void timeline_at(struct timeline *timeline, uint64_t time_ns, timeline_fire *fire, void *context, void *argument)
{
	if (timeline->count == timeline->room)
		grow(timeline);
	const struct timeline_event event = {
		.time_ns = time_ns > timeline->now_ns ? time_ns : timeline->now_ns,
		.number = timeline->number++,
		.fire = fire,
		.context = context,
		.argument = argument,
	};
	size_t place = timeline->count++;
	while (place > 0 && before(&event, &timeline->heap[(place - 1) / 2])) {
		timeline->heap[place] = timeline->heap[(place - 1) / 2];
		place = (place - 1) / 2;
	}
	timeline->heap[place] = event;
}

static struct timeline_event take_first(struct timeline *timeline)
{
	struct timeline_event *heap = timeline->heap;
	const struct timeline_event first = heap[0];
	const struct timeline_event last = heap[--timeline->count];
	size_t place = 0;
	for (;;) {
		size_t child = 2 * place + 1;
		if (child + 1 < timeline->count && before(&heap[child + 1], &heap[child]))
			child++;
		if (child >= timeline->count || !before(&heap[child], &last))
			break;
		heap[place] = heap[child];
		place = child;
	}
	heap[place] = last;
	return first;
}

bool timeline_step(struct timeline *timeline, uint64_t until_ns)
{
	if (timeline->count == 0 || timeline->heap[0].time_ns > until_ns) {
		if (until_ns > timeline->now_ns)
			timeline->now_ns = until_ns;
		return false;
	}
	struct timeline_event event = take_first(timeline);
	timeline->now_ns = event.time_ns;
	event.fire(event.context, event.argument);
	return true;
}

bool timeline_run(struct timeline *timeline, uint64_t until_ns, bool (*done)(void *context), void *context)
{
	do {
		if (done != NULL && done(context))
			return true;
	} while (timeline_step(timeline, until_ns));
	return false;
}
