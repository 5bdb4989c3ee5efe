// SPDX-License-Identifier: Apache-2.0
/*
 * One stored value with its key. The bytes lie as a reply of the text protocol has them: the key, " FLAGS BYTES\r\n",
 * the value, "\r\n"; so that a GET copies or sends them as one piece.
 *
 * An item is free (in its class's list), reserved (being filled, or out of the table but still being sent) or linked
 * (in the table and its class's LRU list). Who sends or fills it holds a reference; it is freed when it is not linked
 * and nobody holds one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	KV_KEY_MAX = 250,
	KV_SUFFIX_MAX = 24, /* " 4294967295 4294967295\r\n" */
	KV_TAIL = 2,	    /* "\r\n" behind the value */
};

enum kv_item_state { KV_ITEM_FREE, KV_ITEM_RESERVED, KV_ITEM_LINKED };

struct kv_item {
	struct kv_item *next;	       /* linked: in the bucket */
	struct kv_item *newer, *older; /* linked: in the LRU list; free: in the free list */
	uint64_t hash;		       /* of the key */
	uint64_t cas;		       /* unique in the table, never 0 once linked */
	uint32_t expires_s;	       /* 0: never */
	uint32_t linked_s;	       /* when it was stored */
	uint32_t flags;		       /* the client's */
	uint32_t value_bytes;
	uint32_t references;
	uint8_t suffix_bytes : 6;
	uint8_t state : 2; /* enum kv_item_state */
	uint8_t class_index;
	uint8_t key_bytes;
	uint8_t used; /* linked: the second of the last use, modulo 256 */
	uint8_t data[];
};

static inline size_t kv_item_head_bytes(const struct kv_item *item)
{
	return (size_t)item->key_bytes + item->suffix_bytes;
}

static inline uint8_t *kv_item_value(struct kv_item *item)
{
	return item->data + kv_item_head_bytes(item);
}

/* All of `data`. */
static inline size_t kv_item_text_bytes(const struct kv_item *item)
{
	return kv_item_head_bytes(item) + item->value_bytes + KV_TAIL;
}
