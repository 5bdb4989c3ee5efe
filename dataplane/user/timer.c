// SPDX-License-Identifier: Apache-2.0
/*
 * Pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): each node has a list of children; the two-pass
 * merge when the root is taken is what makes it O(log n) amortised. `previous` is the left sibling, or the
 * parent for a first child, so that any node can be cut out.
 */
#include "user/timer.h"

#include <stddef.h>

#include "abi/abi.h"
#include "base/assert.h"

static bool before(const struct rb_timer *a, const struct rb_timer *b)
{
	if (a->deadline_ns != b->deadline_ns)
		return a->deadline_ns < b->deadline_ns;
	return a->sequence < b->sequence;
}

/* Two roots (no siblings) become one; either may be NULL. */
static struct rb_timer *meld(struct rb_timer *a, struct rb_timer *b)
{
	if (a == NULL)
		return b;
	if (b == NULL)
		return a;
	if (before(b, a)) {
		struct rb_timer *swap = a;
		a = b;
		b = swap;
	}
	b->sibling = a->child;
	if (b->sibling != NULL)
		b->sibling->previous = b;
	b->previous = a;
	a->child = b;
	return a;
}

static struct rb_timer *take_first(struct rb_timer **list)
{
	struct rb_timer *first = *list;
	if (first != NULL) {
		*list = first->sibling;
		first->sibling = NULL;
		first->previous = NULL;
	}
	return first;
}

/* Melds a list of siblings: neighbours in pairs, then the pairs from right to left. */
static struct rb_timer *meld_siblings(struct rb_timer *list)
{
	struct rb_timer *pairs = NULL;
	while (list != NULL) {
		struct rb_timer *first = take_first(&list);
		struct rb_timer *pair = meld(first, take_first(&list));
		pair->sibling = pairs;
		pairs = pair;
	}
	struct rb_timer *root = NULL;
	while (pairs != NULL)
		root = meld(root, take_first(&pairs));
	return root;
}

/* Takes a node that is not the root out of its parent's list. */
static void cut(struct rb_timer *timer)
{
	if (timer->previous->child == timer)
		timer->previous->child = timer->sibling;
	else
		timer->previous->sibling = timer->sibling;
	if (timer->sibling != NULL)
		timer->sibling->previous = timer->previous;
	timer->previous = NULL;
	timer->sibling = NULL;
}

static void detach(struct rb_timers *timers, struct rb_timer *timer)
{
	struct rb_timer *children = meld_siblings(timer->child);
	timer->child = NULL;
	if (timer == timers->root) {
		timers->root = children;
	} else {
		cut(timer);
		timers->root = meld(timers->root, children);
	}
	timer->armed = false;
}

void rb_timers_init(struct rb_timers *timers)
{
	*timers = (struct rb_timers){0};
}

void rb_timer_init(struct rb_timer *timer, void (*fire)(struct rb_timer *timer, uint64_t now_ns))
{
	*timer = (struct rb_timer){.fire = fire};
}

void rb_timers_arm(struct rb_timers *timers, struct rb_timer *timer, uint64_t deadline_ns)
{
	rb_timers_cancel(timers, timer);
	timer->deadline_ns = deadline_ns;
	timer->sequence = timers->sequence++;
	timer->armed = true;
	timers->root = meld(timers->root, timer);
}

void rb_timers_cancel(struct rb_timers *timers, struct rb_timer *timer)
{
	if (timer->armed)
		detach(timers, timer);
}

uint64_t rb_timers_next(const struct rb_timers *timers)
{
	return timers->root != NULL ? timers->root->deadline_ns : RB_DEADLINE_NONE;
}

struct rb_timer *rb_timers_pop(struct rb_timers *timers, uint64_t now_ns)
{
	struct rb_timer *timer = timers->root;
	if (timer == NULL || timer->deadline_ns > now_ns)
		return NULL;
	detach(timers, timer);
	RB_DEBUG_ASSERT(timer->sibling == NULL && timer->previous == NULL);
	return timer;
}
