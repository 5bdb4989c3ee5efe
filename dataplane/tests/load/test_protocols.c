// SPDX-License-Identifier: Apache-2.0
/*
 * Requests and replies of all protocols: what is put on the wire, and parsers fed whole, byte by byte, in random
 * pieces, and with every kind of wrong reply.
 */

#include "apps/spin_protocol.h"
#include "load/protocol.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIRE_MAX = 1 << 21 };

static struct rb_request *new_request(const struct rb_protocol *p)
{
	struct rb_request *request = calloc(1, sizeof(*request) + p->ops->inline_max);

	assert_non_null(request);
	return request;
}

/* The request as the server receives it. */
static size_t flatten(const struct rb_request *request, uint8_t *wire)
{
	size_t length = 0;

	for (unsigned i = 0; i < request->pieces; i++) {
		memcpy(wire + length, request->sg[i].base, request->sg[i].length);
		length += request->sg[i].length;
	}
	assert_int_equal(length, request->bytes);
	return length;
}

/* Feeds the reply in pieces of at most `step` bytes (0: random ones) and returns the final status. */
static enum rb_reply_status feed(const struct rb_protocol *p, const struct rb_request *request, const uint8_t *reply,
				 size_t length, size_t step)
{
	struct rb_reply_parser parser;
	enum rb_reply_status status = RB_REPLY_MORE;
	struct rb_random random;
	size_t at = 0;

	memset(&parser, 0, sizeof(parser));
	rb_random_init(&random, length, 0);
	while (at < length && status == RB_REPLY_MORE) {
		size_t piece = step == 0 ? 1U + rb_random_below(&random, 100) : step;

		piece = piece < length - at ? piece : length - at;
		/* An own copy: the sanitizer sees any access beyond the piece. */
		uint8_t *copy = malloc(piece);
		assert_non_null(copy);
		memcpy(copy, reply + at, piece);
		const size_t used = p->ops->parse(p, &parser, request, copy, piece, &status);
		free(copy);
		assert_true(used <= piece);
		assert_true(used == piece || status != RB_REPLY_MORE);
		at += used;
	}
	if (status != RB_REPLY_MORE && status != RB_REPLY_BAD)
		assert_int_equal(at, length);
	return status;
}

static void expect(const struct rb_protocol *p, const struct rb_request *request, const void *reply, size_t length,
		   enum rb_reply_status status)
{
	assert_int_equal(feed(p, request, reply, length, length), status);
	assert_int_equal(feed(p, request, reply, length, 1), status);
	assert_int_equal(feed(p, request, reply, length, 0), status);
}

static void expect_text(const struct rb_protocol *p, const struct rb_request *request, const char *reply,
			enum rb_reply_status status)
{
	expect(p, request, reply, strlen(reply), status);
}

static void mirror_sizes(void **state)
{
	static const uint32_t sizes[] = {1, 2, 7, 8, 9, 16, 17, 64, 255, 256, 257, 264, 265, 1500, 65536};
	static uint8_t wire[WIRE_MAX];
	struct rb_random random;

	(void)state;
	rb_random_init(&random, 1, 0);
	for (unsigned kind = RB_PROTOCOL_ECHO; kind <= RB_PROTOCOL_SPIN; kind++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			const struct rb_protocol_config config = {
				.kind = (enum rb_protocol_kind)kind,
				.message_bytes = sizes[i],
				.service_time = {.kind = RB_SERVICE_FIXED, .mean_ns = 777}};
			struct rb_protocol p;

			if (kind == RB_PROTOCOL_SPIN && sizes[i] < RB_SPIN_MESSAGE_MIN) {
				assert_int_equal(rb_protocol_init(&p, &config), -EINVAL);
				continue;
			}
			assert_int_equal(rb_protocol_init(&p, &config), 0);
			struct rb_request *request = new_request(&p);
			request->sequence = 0x0102030405060708;
			p.ops->build(&p, &random, request);
			assert_int_equal(flatten(request, wire), sizes[i]);
			if (kind == RB_PROTOCOL_SPIN) {
				assert_int_equal(rb_spin_frame(wire, sizes[i]), sizes[i]);
				assert_int_equal(rb_spin_service_ns(wire), 777);
			}
			expect(&p, request, wire, sizes[i], RB_REPLY_OK);
			/* Any single wrong byte is noticed. */
			for (size_t at = 0; at < sizes[i]; at += 1U + sizes[i] / 50U) {
				wire[at] ^= 0x40;
				assert_int_equal(feed(&p, request, wire, sizes[i], 0), RB_REPLY_BAD);
				wire[at] ^= 0x40;
			}
			free(request);
			rb_protocol_free(&p);
		}
	}
}

/* Two requests differ, so a reply to the other one is wrong even in its payload. */
static void mirror_tells_requests_apart(void **state)
{
	const struct rb_protocol_config config = {.kind = RB_PROTOCOL_ECHO, .message_bytes = 64};
	struct rb_protocol p;
	uint8_t wire[64];

	(void)state;
	assert_int_equal(rb_protocol_init(&p, &config), 0);
	struct rb_request *a = new_request(&p);
	struct rb_request *b = new_request(&p);
	a->sequence = 1;
	b->sequence = 2;
	p.ops->build(&p, NULL, a);
	p.ops->build(&p, NULL, b);
	(void)flatten(b, wire);
	assert_memory_not_equal(a->inline_data + 8, b->inline_data + 8, 56);
	expect(&p, a, wire, 64, RB_REPLY_BAD);
	free(a);
	free(b);
	rb_protocol_free(&p);
}

static void make_memcached(struct rb_protocol *p, enum rb_protocol_kind kind, double get_share, uint32_t value_bytes)
{
	const struct rb_protocol_config config = {.kind = kind,
						  .kv = {.profile = RB_KV_FIXED,
							 .keys = 1000,
							 .fixed_key_bytes = 10,
							 .fixed_value_bytes = value_bytes,
							 .get_share = get_share}};

	assert_int_equal(rb_protocol_init(p, &config), 0);
}

static void text_get(void **state)
{
	static char reply[WIRE_MAX];
	uint8_t wire[64];
	struct rb_protocol p;
	struct rb_random random;

	(void)state;
	make_memcached(&p, RB_PROTOCOL_MEMCACHED_TEXT, 1.0, 100);
	rb_random_init(&random, 1, 0);
	struct rb_request *request = new_request(&p);
	p.ops->build(&p, &random, request);
	assert_int_equal(request->operation, RB_OPERATION_GET);
	const size_t length = flatten(request, wire);
	assert_int_equal(length, 4 + 10 + 2);
	assert_memory_equal(wire, "get ", 4);
	assert_memory_equal(wire + 14, "\r\n", 2);
	char key[11] = {0};
	memcpy(key, wire + 4, 10);
	assert_int_equal(strtoull(key, NULL, 10), request->key);

	/* Values of any length are right as long as their bytes are the key's. */
	static const uint32_t sizes[] = {0, 1, 100, 4096, RB_KV_VALUE_MAX};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int n = snprintf(reply, 100, "VALUE %s 0 %u\r\n", key, sizes[i]);

		memcpy(reply + n, rb_kv_value(&p.kv, request->key), sizes[i]);
		memcpy(reply + n + sizes[i], "\r\nEND\r\n", 7);
		assert_int_equal(feed(&p, request, (uint8_t *)reply, (size_t)n + sizes[i] + 7, 0), RB_REPLY_OK);
		if (sizes[i] > 0 && sizes[i] < 5000) {
			expect(&p, request, reply, (size_t)n + sizes[i] + 7, RB_REPLY_OK);
			reply[n + (int)sizes[i] / 2] ^= 1;
			expect(&p, request, reply, (size_t)n + sizes[i] + 7, RB_REPLY_BAD);
		}
	}
	expect_text(&p, request, "END\r\n", RB_REPLY_MISS);
	expect_text(&p, request, "ERROR\r\n", RB_REPLY_REFUSED);
	expect_text(&p, request, "SERVER_ERROR out of memory\r\n", RB_REPLY_REFUSED);
	expect_text(&p, request, "CLIENT_ERROR bad\r\n", RB_REPLY_REFUSED);
	free(request);
	rb_protocol_free(&p);
}

static void text_get_wrong_replies(void **state)
{
	static const char *const formats[] = {"VALUE %.9sx 0 1\r\n",
					      "VALUE %s 0\r\n",
					      "VALUE %s 0 \r\n",
					      "VALUE %s  1\r\n",
					      "VALUE %s 0 1000001\r\n",
					      "VALUE %s 0 1 7\r\n",
					      "VALUE %s x 1\r\n",
					      "VALUE %s 0 -1\r\n",
					      "VALUE %s 4294967296 1\r\n",
					      "VALUE %s0 0 1\r\n",
					      "VALUE %s\r\n",
					      "END %s\r\n",
					      "STORED\r\n%.0s",
					      "\r\n%.0s",
					      "END\n%.0s",
					      "\n%.0s",
					      "end\r\n%.0s",
					      "VALUE %s 0 99999999999999999999999999\r\n"};
	struct rb_protocol p;
	struct rb_random random;

	(void)state;
	make_memcached(&p, RB_PROTOCOL_MEMCACHED_TEXT, 1.0, 100);
	rb_random_init(&random, 1, 0);
	struct rb_request *request = new_request(&p);
	p.ops->build(&p, &random, request);
	char key[11] = {0};
	memcpy(key, request->inline_data + 4, 10);
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		char reply[100];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(reply, sizeof(reply), formats[i], key);
#pragma GCC diagnostic pop
		expect_text(&p, request, reply, RB_REPLY_BAD);
	}
	/* Two values for one key, no end of the value, a line without end. */
	char reply[1000];
	(void)snprintf(reply, sizeof(reply), "VALUE %s 0 0\r\n\r\nVALUE %s 0 0\r\n\r\nEND\r\n", key, key);
	expect_text(&p, request, reply, RB_REPLY_BAD);
	(void)snprintf(reply, sizeof(reply), "VALUE %s 0 0\r\nEND\r\n", key);
	expect_text(&p, request, reply, RB_REPLY_BAD);
	memset(reply, 'a', sizeof(reply));
	expect(&p, request, reply, sizeof(reply), RB_REPLY_BAD);
	free(request);
	rb_protocol_free(&p);
}

static void text_set(void **state)
{
	static uint8_t wire[WIRE_MAX];
	static const uint32_t sizes[] = {0, 1, 300, 360, 400, 5000, RB_KV_VALUE_MAX};
	struct rb_random random;

	(void)state;
	rb_random_init(&random, 1, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct rb_protocol p;
		char head[64];

		make_memcached(&p, RB_PROTOCOL_MEMCACHED_TEXT, 0.0, sizes[i]);
		struct rb_request *request = new_request(&p);
		p.ops->build(&p, &random, request);
		assert_int_equal(request->operation, RB_OPERATION_SET);
		const size_t length = flatten(request, wire);
		const int n = snprintf(head, sizeof(head), "set %010ju 0 0 %u\r\n", (uintmax_t)request->key, sizes[i]);
		assert_int_equal(length, (size_t)n + sizes[i] + 2);
		assert_memory_equal(wire, head, (size_t)n);
		assert_memory_equal(wire + n, rb_kv_value(&p.kv, request->key), sizes[i]);
		assert_memory_equal(wire + length - 2, "\r\n", 2);
		expect_text(&p, request, "STORED\r\n", RB_REPLY_OK);
		expect_text(&p, request, "NOT_STORED\r\n", RB_REPLY_REFUSED);
		expect_text(&p, request, "SERVER_ERROR object too large for cache\r\n", RB_REPLY_REFUSED);
		expect_text(&p, request, "END\r\n", RB_REPLY_BAD);
		expect_text(&p, request, "STORED \r\n", RB_REPLY_BAD);
		free(request);
		rb_protocol_free(&p);
	}
}

/* A reply of the binary protocol. */
static size_t binary_reply(uint8_t *to, uint8_t opcode, uint16_t status, uint8_t extras, uint32_t opaque,
			   const uint8_t *value, uint32_t value_bytes)
{
	const uint32_t body = extras + value_bytes;

	memset(to, 0, RB_MEMCACHED_HEADER + 4U);
	to[0] = 0x81;
	to[1] = opcode;
	to[4] = extras;
	to[6] = (uint8_t)(status >> 8);
	to[7] = (uint8_t)status;
	for (unsigned i = 0; i < 4; i++) {
		to[8 + i] = (uint8_t)(body >> (24 - 8 * i));
		to[12 + i] = (uint8_t)(opaque >> (24 - 8 * i));
	}
	if (value_bytes > 0)
		memcpy(to + RB_MEMCACHED_HEADER + extras, value, value_bytes);
	return RB_MEMCACHED_HEADER + (size_t)body;
}

static void binary_get(void **state)
{
	static uint8_t reply[WIRE_MAX];
	uint8_t wire[64];
	struct rb_protocol p;
	struct rb_random random;

	(void)state;
	make_memcached(&p, RB_PROTOCOL_MEMCACHED_BINARY, 1.0, 100);
	rb_random_init(&random, 1, 0);
	struct rb_request *request = new_request(&p);
	request->sequence = 0x11223344;
	p.ops->build(&p, &random, request);
	static const uint8_t head[RB_MEMCACHED_HEADER] = {0x80, 0, 0, 10, 0,	0,    0,    0,
							  0,	0, 0, 10, 0x11, 0x22, 0x33, 0x44};
	assert_int_equal(flatten(request, wire), RB_MEMCACHED_HEADER + 10);
	assert_memory_equal(wire, head, sizeof(head));
	const uint8_t *value = rb_kv_value(&p.kv, request->key);

	expect(&p, request, reply, binary_reply(reply, 0, 0, 4, 0x11223344, value, 300), RB_REPLY_OK);
	expect(&p, request, reply, binary_reply(reply, 0, 0, 4, 0x11223344, value, 0), RB_REPLY_OK);
	expect(&p, request, reply, binary_reply(reply, 0, 1, 0, 0x11223344, (const uint8_t *)"Not found", 9),
	       RB_REPLY_MISS);
	expect(&p, request, reply, binary_reply(reply, 0, 0x82, 0, 0x11223344, (const uint8_t *)"Out of memory", 13),
	       RB_REPLY_REFUSED);
	/* Wrong opaque, wrong opcode, wrong extras, wrong magic, wrong value. */
	expect(&p, request, reply, binary_reply(reply, 0, 0, 4, 0x11223345, value, 10), RB_REPLY_BAD);
	expect(&p, request, reply, binary_reply(reply, 1, 0, 4, 0x11223344, value, 10), RB_REPLY_BAD);
	expect(&p, request, reply, binary_reply(reply, 0, 0, 3, 0x11223344, value, 10), RB_REPLY_BAD);
	size_t length = binary_reply(reply, 0, 0, 4, 0x11223344, value, 10);
	reply[RB_MEMCACHED_HEADER + 4 + 9] ^= 1;
	expect(&p, request, reply, length, RB_REPLY_BAD);
	length = binary_reply(reply, 0, 0, 4, 0x11223344, value, 10);
	reply[0] = 0x80;
	expect(&p, request, reply, length, RB_REPLY_BAD);
	length = binary_reply(reply, 0, 0, 4, 0x11223344, value, 10);
	reply[8] = 0x7f; /* a body of 2 GiB */
	expect(&p, request, reply, length, RB_REPLY_BAD);
	free(request);
	rb_protocol_free(&p);
}

static void binary_set(void **state)
{
	static uint8_t wire[WIRE_MAX];
	uint8_t reply[64];
	struct rb_protocol p;

	(void)state;
	make_memcached(&p, RB_PROTOCOL_MEMCACHED_BINARY, 0.0, 5000);
	struct rb_request *request = new_request(&p);
	request->sequence = 7;
	rb_protocol_build_fill(&p, 42, request);
	const size_t length = flatten(request, wire);
	assert_int_equal(length, RB_MEMCACHED_HEADER + 8 + 10 + 5000);
	assert_int_equal(wire[1], 1);
	assert_int_equal(wire[4], 8);
	assert_memory_equal(wire + RB_MEMCACHED_HEADER + 8, "0000000042", 10);
	assert_memory_equal(wire + RB_MEMCACHED_HEADER + 18, rb_kv_value(&p.kv, 42), 5000);
	expect(&p, request, reply, binary_reply(reply, 1, 0, 0, 7, NULL, 0), RB_REPLY_OK);
	expect(&p, request, reply, binary_reply(reply, 1, 3, 0, 7, (const uint8_t *)"Too large", 9), RB_REPLY_REFUSED);
	expect(&p, request, reply, binary_reply(reply, 1, 1, 0, 7, NULL, 0), RB_REPLY_REFUSED);
	expect(&p, request, reply, binary_reply(reply, 1, 0, 0, 7, (const uint8_t *)"x", 1), RB_REPLY_BAD);
	free(request);
	rb_protocol_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mirror_sizes), cmocka_unit_test(mirror_tells_requests_apart),
		cmocka_unit_test(text_get),	cmocka_unit_test(text_get_wrong_replies),
		cmocka_unit_test(text_set),	cmocka_unit_test(binary_get),
		cmocka_unit_test(binary_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
