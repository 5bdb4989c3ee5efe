// SPDX-License-Identifier: Apache-2.0
/*
 * What a connection has said so far: turns received bytes, however they are cut, into requests and their replies into
 * output. The first byte tells the protocol. A request that lies whole in the input is read where it is; of one that
 * does not, only a line or a header needs to be offered again: values go into their item as they come.
 */
#pragma once

#include "apps/kv/execute.h"

enum kv_state {
	KV_HEAD,    /* a line or a header is next */
	KV_KEYS,    /* within a line of keys to get */
	KV_NO_KEYS, /* within such a line, after an error that its end will report */
	KV_VALUE,   /* a value is being filled */
	KV_SWALLOW, /* bytes that nobody wants */
	KV_ENDED,   /* what follows is not read; close when the output was sent */
};

enum kv_protocol { KV_UNKNOWN, KV_TEXT, KV_BINARY };

/* The request that is being read. */
struct kv_pending {
	struct kv_item *item; /* reserved */
	uint64_t filled;      /* bytes of its value, with what follows it in the text protocol */
	uint64_t cas;
	uint8_t mode; /* enum kv_mode */
	bool compare;
	bool quiet;
	/* binary */
	uint8_t opcode;
	uint32_t opaque; /* as it came */
	/* lines of keys */
	bool with_cas;
	bool touch;
	bool any_key;
	bool bad_expiry;
	uint32_t expires_s;
};

struct kv_session {
	struct kv_worker *worker;
	uint8_t state;	  /* enum kv_state */
	uint8_t protocol; /* enum kv_protocol */
	uint64_t swallow; /* bytes */
	struct kv_pending pending;
	struct kv_output output;
};

enum { KV_LINE_MAX = 2048 }; /* bytes of a text request without the keys of a get; longer ones end the connection */

/* Both in memory that is not initialised, and again after kv_session_clear(). */
void kv_session_init(struct kv_session *session, struct kv_worker *worker);
void kv_session_clear(struct kv_session *session);

/*
 * Reads requests. Returns how many bytes it has no more need of: all, or fewer because the rest is the beginning of a
 * request (offer it again when there is more), or because the output is full (again when some of it was sent).
 */
size_t kv_session_input(struct kv_session *session, const uint8_t *data, size_t length);

/* For the protocols: begins to fill pending.item with `data`; returns how many bytes it took. */
size_t kv_session_fill(struct kv_session *session, const uint8_t *data, size_t length);
