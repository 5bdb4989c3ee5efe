// SPDX-License-Identifier: Apache-2.0
/*
 * Intrusive doubly linked list. The node lives in the element, the head is a node too; an element is in at
 * most one list per node. Nothing is allocated. Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct rb_list {
	struct rb_list *next;
	struct rb_list *prev;
};

/* The structure of type `type` whose member `member` is `*node`. */
#define RB_CONTAINER_OF(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))

/* Makes an empty head, or a node that is in no list. */
static inline void rb_list_init(struct rb_list *node)
{
	node->next = node;
	node->prev = node;
}

/* True for an empty head and for a node that is in no list. */
static inline bool rb_list_empty(const struct rb_list *node)
{
	return node->next == node;
}

static inline void rb_list_append(struct rb_list *head, struct rb_list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Takes the node out of its list, if it is in one; it may be removed again or appended elsewhere. */
static inline void rb_list_remove(struct rb_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	rb_list_init(node);
}

/* Takes out the oldest node, or returns NULL. */
static inline struct rb_list *rb_list_pop(struct rb_list *head)
{
	struct rb_list *node = head->next;
	if (node == head)
		return NULL;
	rb_list_remove(node);
	return node;
}

/* Moves all nodes to the empty head `to`, in order. */
static inline void rb_list_move(struct rb_list *from, struct rb_list *to)
{
	if (rb_list_empty(from)) {
		rb_list_init(to);
		return;
	}
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	rb_list_init(from);
}
