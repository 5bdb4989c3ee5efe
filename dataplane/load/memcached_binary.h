// SPDX-License-Identifier: Apache-2.0
/*
 * Streaming parser of replies in the memcached binary protocol (24-byte header, big-endian; memcached's binary
 * protocol specification), for GET and SET, and the encoder of the request header. A reply is matched by opcode and
 * opaque.
 */
#pragma once

#include "load/memcached_text.h"

#include <stddef.h>
#include <stdint.h>

enum {
	RB_MEMCACHED_HEADER = 24,
	RB_MEMCACHED_OPCODE_GET = 0x00,
	RB_MEMCACHED_OPCODE_SET = 0x01,
	RB_MEMCACHED_SET_EXTRAS = 8, /* flags, expiration */
	RB_MEMCACHED_BODY_MAX = 1 << 20
};

struct rb_memcached_binary {
	uint8_t header[RB_MEMCACHED_HEADER];
	uint32_t seen; /* bytes of header and body so far */
};

void rb_memcached_binary_reset(struct rb_memcached_binary *b);

/* As rb_memcached_text_parse. */
size_t rb_memcached_binary_parse(struct rb_memcached_binary *b, const struct rb_memcached_expect *expect,
				 const uint8_t *data, size_t length, enum rb_reply_status *status);

/* Request header; body_bytes counts extras, key and value. */
void rb_memcached_binary_header(uint8_t header[RB_MEMCACHED_HEADER], uint8_t opcode, uint32_t key_bytes,
				uint32_t extras_bytes, uint32_t body_bytes, uint32_t opaque);
