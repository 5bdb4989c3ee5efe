// SPDX-License-Identifier: Apache-2.0
/*
 * memcached requests of both protocols, made from the key-value workload. Values are slices of the workload's text
 * and are sent from there; small ones are copied so that the request stays one piece.
 */

#include "base/assert.h"
#include "load/protocol.h"

#include <stdio.h>
#include <string.h>

enum {
	INLINE_MAX = 384, /* header, longest key, and room for small values */
	TEXT_KEY_AT = 4,  /* behind "get " or "set " */
	SIZE_SALT = 0x73697a65,
};

static void build_text(const struct rb_protocol *p, struct rb_request *request, enum rb_operation operation,
		       uint32_t value_bytes)
{
	char line[TEXT_KEY_AT + RB_KV_KEY_MAX + 32];

	rb_request_begin(request, operation);
	memcpy(line, operation == RB_OPERATION_GET ? "get " : "set ", TEXT_KEY_AT);
	uint32_t used = TEXT_KEY_AT + rb_kv_key(&p->kv, request->key, line + TEXT_KEY_AT);
	if (operation == RB_OPERATION_GET)
		used += (uint32_t)snprintf(line + used, sizeof(line) - used, "\r\n");
	else
		used += (uint32_t)snprintf(line + used, sizeof(line) - used, " 0 0 %u\r\n", value_bytes);
	RB_ASSERT_LT(used, sizeof(line));
	rb_request_append(request, INLINE_MAX, line, used);
	if (operation == RB_OPERATION_SET) {
		rb_request_append(request, INLINE_MAX, rb_kv_value(&p->kv, request->key), value_bytes);
		rb_request_append(request, INLINE_MAX, "\r\n", 2);
	}
}

static void build_binary(const struct rb_protocol *p, struct rb_request *request, enum rb_operation operation,
			 uint32_t value_bytes)
{
	const bool set = operation == RB_OPERATION_SET;
	uint8_t head[RB_MEMCACHED_HEADER + RB_MEMCACHED_SET_EXTRAS + RB_KV_KEY_MAX] = {0};
	const uint32_t extras = set ? RB_MEMCACHED_SET_EXTRAS : 0U;
	char key[RB_KV_KEY_MAX];
	const uint32_t key_bytes = rb_kv_key(&p->kv, request->key, key);

	rb_memcached_binary_header(head, set ? RB_MEMCACHED_OPCODE_SET : RB_MEMCACHED_OPCODE_GET, key_bytes, extras,
				   extras + key_bytes + (set ? value_bytes : 0U), (uint32_t)request->sequence);
	memcpy(head + RB_MEMCACHED_HEADER + extras, key, key_bytes);
	rb_request_begin(request, operation);
	rb_request_append(request, INLINE_MAX, head, RB_MEMCACHED_HEADER + extras + key_bytes);
	if (set)
		rb_request_append(request, INLINE_MAX, rb_kv_value(&p->kv, request->key), value_bytes);
}

static void build(const struct rb_protocol *p, struct rb_request *request, enum rb_operation operation,
		  uint32_t value_bytes)
{
	if (p->config.kind == RB_PROTOCOL_MEMCACHED_TEXT)
		build_text(p, request, operation, value_bytes);
	else
		build_binary(p, request, operation, value_bytes);
}

static void build_next(const struct rb_protocol *p, struct rb_random *random, struct rb_request *request)
{
	request->key = rb_kv_pick_key(&p->kv, random);
	if (rb_kv_pick_get(&p->kv, random))
		build(p, request, RB_OPERATION_GET, 0);
	else
		build(p, request, RB_OPERATION_SET, rb_kv_pick_value_bytes(&p->kv, random));
}

void rb_protocol_build_fill(const struct rb_protocol *p, uint64_t key, struct rb_request *request)
{
	struct rb_random random;

	rb_random_init(&random, key ^ SIZE_SALT, 0);
	request->key = key;
	build(p, request, RB_OPERATION_SET, rb_kv_pick_value_bytes(&p->kv, &random));
}

/* The key is read from the request itself, which holds it inline. */
static struct rb_memcached_expect expectation(const struct rb_protocol *p, const struct rb_request *request)
{
	struct rb_memcached_expect expect = {
		.get = request->operation == RB_OPERATION_GET,
		.value = rb_kv_value(&p->kv, request->key),
		.value_max = RB_KV_VALUE_MAX,
		.opaque = (uint32_t)request->sequence,
	};

	if (expect.get && p->config.kind == RB_PROTOCOL_MEMCACHED_TEXT) {
		expect.key = (const char *)request->inline_data + TEXT_KEY_AT;
		expect.key_bytes = request->bytes - TEXT_KEY_AT - 2U;
	}
	return expect;
}

static size_t parse_text(const struct rb_protocol *p, struct rb_reply_parser *parser, const struct rb_request *request,
			 const uint8_t *data, size_t length, enum rb_reply_status *status)
{
	const struct rb_memcached_expect expect = expectation(p, request);

	return rb_memcached_text_parse(&parser->text, &expect, data, length, status);
}

static size_t parse_binary(const struct rb_protocol *p, struct rb_reply_parser *parser,
			   const struct rb_request *request, const uint8_t *data, size_t length,
			   enum rb_reply_status *status)
{
	const struct rb_memcached_expect expect = expectation(p, request);

	return rb_memcached_binary_parse(&parser->binary, &expect, data, length, status);
}

const struct rb_protocol_ops rb_protocol_memcached_text = {
	.name = "memcached-text", .inline_max = INLINE_MAX, .build = build_next, .parse = parse_text};
const struct rb_protocol_ops rb_protocol_memcached_binary = {
	.name = "memcached-binary", .inline_max = INLINE_MAX, .build = build_next, .parse = parse_binary};
