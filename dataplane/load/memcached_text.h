// SPDX-License-Identifier: Apache-2.0
/*
 * Streaming parser of replies in the memcached text protocol (memcached's doc/protocol.txt), for one get of one key
 * and for set. It keeps no reference to the input, allocates nothing, and checks all of it: key, length, every byte
 * of the value.
 */
#pragma once

#include "load/reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RB_MEMCACHED_LINE_MAX = 320 }; /* "VALUE <250 bytes> <flags> <length> <cas>\r\n" fits */

struct rb_memcached_text {
	uint16_t line_bytes;
	uint8_t state;
	bool hit;
	uint32_t value_bytes;
	uint32_t value_seen;
	char line[RB_MEMCACHED_LINE_MAX];
};

/* What a reply is checked against. */
struct rb_memcached_expect {
	bool get;
	const char *key; /* key_bytes of it, no NUL */
	uint32_t key_bytes;
	const uint8_t *value; /* longest value of the key; a stored one is a prefix */
	uint32_t value_max;   /* bytes at `value` */
	uint32_t opaque;      /* binary protocol only */
};

/* Starts a reply. */
void rb_memcached_text_reset(struct rb_memcached_text *t);

/*
 * Takes bytes, at most up to the end of the reply; returns how many were used (all, unless *status is final). After a
 * final status other than RB_REPLY_BAD the parser is reset.
 */
size_t rb_memcached_text_parse(struct rb_memcached_text *t, const struct rb_memcached_expect *expect,
			       const uint8_t *data, size_t length, enum rb_reply_status *status);
