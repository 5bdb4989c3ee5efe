// SPDX-License-Identifier: Apache-2.0
/*
 * What a request looks like on the wire and how its reply is recognised and verified: one row of operations per
 * protocol.
 *
 *   echo              messages of a fixed size; the reply is the message itself
 *   spin              apps/spin_protocol.h; the reply is the message itself
 *   memcached-text    the memcached text protocol: get and set
 *   memcached-binary  the memcached binary protocol: GET and SET, matched by their opaque field
 *
 * Replies come in the order of the requests of a connection (pipelining). Every byte of a reply is checked. The code
 * reads no clock and no socket: requests are memory handed out, replies are memory handed in, in pieces of any size.
 */
#pragma once

#include "abi/abi.h"
#include "base/random.h"
#include "load/kv.h"
#include "load/memcached_binary.h"
#include "load/memcached_text.h"
#include "load/reply.h"
#include "load/service_time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rb_operation { RB_OPERATION_MESSAGE, RB_OPERATION_GET, RB_OPERATION_SET };

enum {
	RB_REQUEST_PIECES_MAX = 3,
	RB_MESSAGE_MAX = 65536, /* bytes of an echo or spin message */
};

/*
 * One request. Its memory is the connection's and stays untouched until the stack has released it (SENT) and the reply
 * has come. `sg` points into inline_data, the pattern or the key-value text, all of which outlive the request.
 */
struct rb_request {
	uint64_t intended_ns;
	uint64_t sequence; /* number of the request in its thread */
	uint64_t key;	   /* memcached only */
	uint32_t bytes;	   /* on the wire */
	uint16_t inline_bytes;
	uint8_t operation; /* enum rb_operation */
	uint8_t pieces;
	struct rb_sg sg[RB_REQUEST_PIECES_MAX];
	uint8_t inline_data[]; /* rb_protocol_ops.inline_max bytes */
};

/* Progress inside the reply that is being received; all zero between replies. One per connection. */
struct rb_reply_parser {
	union {
		uint64_t offset; /* echo, spin */
		struct rb_memcached_text text;
		struct rb_memcached_binary binary;
	};
};

struct rb_protocol;

struct rb_protocol_ops {
	const char *name;
	uint16_t inline_max; /* room that inline_data must have */
	/* Fills operation, key, bytes, inline data and pieces from the workload; `sequence` is set already. */
	void (*build)(const struct rb_protocol *p, struct rb_random *random, struct rb_request *request);
	/* Takes bytes of the reply to `request`, at most up to its end. Returns how many it used; length >= 1. */
	size_t (*parse)(const struct rb_protocol *p, struct rb_reply_parser *parser, const struct rb_request *request,
			const uint8_t *data, size_t length, enum rb_reply_status *status);
};

enum rb_protocol_kind {
	RB_PROTOCOL_ECHO,
	RB_PROTOCOL_SPIN,
	RB_PROTOCOL_MEMCACHED_TEXT,
	RB_PROTOCOL_MEMCACHED_BINARY,
};

extern const char *const rb_protocol_names[]; /* in the order of the kinds; ends with NULL */

struct rb_protocol_config {
	enum rb_protocol_kind kind;
	uint32_t message_bytes;		     /* echo 1..65536, spin 16..65536 */
	struct rb_service_time service_time; /* spin */
	struct rb_kv_config kv;		     /* memcached */
};

/* Shared, read-only after init: used by all threads at once. */
struct rb_protocol {
	const struct rb_protocol_ops *ops;
	struct rb_protocol_config config;
	uint8_t *pattern; /* owned; echo and spin: payload beyond the tags */
	struct rb_kv kv;  /* memcached */
};

/* Returns 0, -EINVAL (a size out of range) or -ENOMEM. */
int rb_protocol_init(struct rb_protocol *p, const struct rb_protocol_config *config);
void rb_protocol_free(struct rb_protocol *p);

bool rb_protocol_is_memcached(const struct rb_protocol *p);

/* Memcached only: a SET of key `key` with a value size that depends on the key alone; for filling the store. */
void rb_protocol_build_fill(const struct rb_protocol *p, uint64_t key, struct rb_request *request);

/* Rows, chosen by rb_protocol_init. */
extern const struct rb_protocol_ops rb_protocol_echo;
extern const struct rb_protocol_ops rb_protocol_spin;
extern const struct rb_protocol_ops rb_protocol_memcached_text;
extern const struct rb_protocol_ops rb_protocol_memcached_binary;

/*
 * For the rows: appends bytes to a request. They are copied while they fit into inline_max and no piece has been added,
 * else they become a piece of their own, borrowed.
 */
void rb_request_begin(struct rb_request *request, enum rb_operation operation);
void rb_request_append(struct rb_request *request, uint16_t inline_max, const void *data, uint32_t length);
