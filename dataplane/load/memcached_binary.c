// SPDX-License-Identifier: Apache-2.0

#include "load/memcached_binary.h"

#include <string.h>

enum {
	MAGIC_REQUEST = 0x80,
	MAGIC_REPLY = 0x81,
	STATUS_OK = 0,
	STATUS_NOT_FOUND = 1,
	GET_EXTRAS = 4, /* flags */
};

static uint32_t get_big_endian(const uint8_t *from, unsigned bytes)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | from[i];
	return value;
}

static void put_big_endian(uint8_t *to, unsigned bytes, uint32_t value)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8U * (bytes - 1U - i)));
}

void rb_memcached_binary_header(uint8_t header[RB_MEMCACHED_HEADER], uint8_t opcode, uint32_t key_bytes,
				uint32_t extras_bytes, uint32_t body_bytes, uint32_t opaque)
{
	memset(header, 0, RB_MEMCACHED_HEADER);
	header[0] = MAGIC_REQUEST;
	header[1] = opcode;
	put_big_endian(header + 2, 2, key_bytes);
	header[4] = (uint8_t)extras_bytes;
	put_big_endian(header + 8, 4, body_bytes);
	put_big_endian(header + 12, 4, opaque);
}

void rb_memcached_binary_reset(struct rb_memcached_binary *b)
{
	b->seen = 0;
}

static uint32_t reply_status(const struct rb_memcached_binary *b)
{
	return get_big_endian(b->header + 6, 2);
}

static uint32_t body_bytes(const struct rb_memcached_binary *b)
{
	return get_big_endian(b->header + 8, 4);
}

static bool header_is_valid(const struct rb_memcached_binary *b, const struct rb_memcached_expect *expect)
{
	const uint8_t *h = b->header;
	const uint8_t opcode = expect->get ? RB_MEMCACHED_OPCODE_GET : RB_MEMCACHED_OPCODE_SET;

	if (h[0] != MAGIC_REPLY || h[1] != opcode || h[5] != 0 || get_big_endian(h + 12, 4) != expect->opaque)
		return false;
	if (reply_status(b) != STATUS_OK)
		return body_bytes(b) <= RB_MEMCACHED_BODY_MAX;
	if (get_big_endian(h + 2, 2) != 0)
		return false;
	if (!expect->get)
		return h[4] == 0 && body_bytes(b) == 0;
	return h[4] == GET_EXTRAS && body_bytes(b) >= GET_EXTRAS && body_bytes(b) - GET_EXTRAS <= expect->value_max;
}

/* Checks the bytes of a body from `offset` on. An error's body is its text, which nobody needs. */
static bool body_is_valid(const struct rb_memcached_binary *b, const struct rb_memcached_expect *expect,
			  uint32_t offset, const uint8_t *data, size_t length)
{
	if (reply_status(b) != STATUS_OK)
		return true;
	/* Only a GET has a body here (see header_is_valid): flags first, any value. */
	if (offset < GET_EXTRAS) {
		const size_t skip = length < GET_EXTRAS - offset ? length : GET_EXTRAS - offset;

		data += skip;
		length -= skip;
		offset += (uint32_t)skip;
	}
	return length == 0 || memcmp(data, expect->value + (offset - GET_EXTRAS), length) == 0;
}

static enum rb_reply_status final_status(const struct rb_memcached_binary *b, const struct rb_memcached_expect *expect)
{
	switch (reply_status(b)) {
	case STATUS_OK:
		return RB_REPLY_OK;
	case STATUS_NOT_FOUND:
		return expect->get ? RB_REPLY_MISS : RB_REPLY_REFUSED;
	default:
		return RB_REPLY_REFUSED;
	}
}

static size_t take_header(struct rb_memcached_binary *b, const struct rb_memcached_expect *expect, const uint8_t *data,
			  size_t length, enum rb_reply_status *status)
{
	const size_t left = RB_MEMCACHED_HEADER - b->seen;
	const size_t take = length < left ? length : left;

	memcpy(b->header + b->seen, data, take);
	b->seen += (uint32_t)take;
	if (b->seen == RB_MEMCACHED_HEADER && !header_is_valid(b, expect))
		*status = RB_REPLY_BAD;
	return take;
}

static size_t take_body(struct rb_memcached_binary *b, const struct rb_memcached_expect *expect, const uint8_t *data,
			size_t length, enum rb_reply_status *status)
{
	const uint32_t offset = b->seen - RB_MEMCACHED_HEADER;
	const size_t left = body_bytes(b) - offset;
	const size_t take = length < left ? length : left;

	if (!body_is_valid(b, expect, offset, data, take))
		*status = RB_REPLY_BAD;
	b->seen += (uint32_t)take;
	return take;
}

size_t rb_memcached_binary_parse(struct rb_memcached_binary *b, const struct rb_memcached_expect *expect,
				 const uint8_t *data, size_t length, enum rb_reply_status *status)
{
	size_t used = 0;

	*status = RB_REPLY_MORE;
	if (b->seen < RB_MEMCACHED_HEADER)
		used = take_header(b, expect, data, length, status);
	if (b->seen < RB_MEMCACHED_HEADER || *status == RB_REPLY_BAD)
		return used;
	if (used < length && b->seen - RB_MEMCACHED_HEADER < body_bytes(b))
		used += take_body(b, expect, data + used, length - used, status);
	if (*status == RB_REPLY_MORE && b->seen - RB_MEMCACHED_HEADER == body_bytes(b)) {
		*status = final_status(b, expect);
		rb_memcached_binary_reset(b);
	}
	return used;
}
