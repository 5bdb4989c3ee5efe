// SPDX-License-Identifier: Apache-2.0

#include "load/protocol.h"

#include "apps/spin_protocol.h"
#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const rb_protocol_names[] = {"echo", "spin", "memcached-text", "memcached-binary", NULL};

static const struct rb_protocol_ops *const rows[] = {
	[RB_PROTOCOL_ECHO] = &rb_protocol_echo,
	[RB_PROTOCOL_SPIN] = &rb_protocol_spin,
	[RB_PROTOCOL_MEMCACHED_TEXT] = &rb_protocol_memcached_text,
	[RB_PROTOCOL_MEMCACHED_BINARY] = &rb_protocol_memcached_binary,
};

/* Payload of messages: slices of it start at a place given by the sequence number, see mirror.c. */
static int make_pattern(struct rb_protocol *p)
{
	const size_t length = 2U * (size_t)RB_MESSAGE_MAX;
	uint64_t state = UINT64_C(0x6d6573736167652e);

	p->pattern = malloc(length);
	if (p->pattern == NULL)
		return -ENOMEM;
	for (size_t at = 0; at < length; at += sizeof(uint64_t)) {
		const uint64_t word = rb_splitmix64(&state);

		memcpy(p->pattern + at, &word, sizeof(word));
	}
	return 0;
}

int rb_protocol_init(struct rb_protocol *p, const struct rb_protocol_config *config)
{
	memset(p, 0, sizeof(*p));
	p->config = *config;
	p->ops = rows[config->kind];
	if (rb_protocol_is_memcached(p))
		return rb_kv_init(&p->kv, &config->kv);
	const uint32_t least = config->kind == RB_PROTOCOL_SPIN ? RB_SPIN_MESSAGE_MIN : 1U;
	if (config->message_bytes < least || config->message_bytes > RB_MESSAGE_MAX)
		return -EINVAL;
	return make_pattern(p);
}

void rb_protocol_free(struct rb_protocol *p)
{
	if (rb_protocol_is_memcached(p))
		rb_kv_free(&p->kv);
	free(p->pattern);
	memset(p, 0, sizeof(*p));
}

bool rb_protocol_is_memcached(const struct rb_protocol *p)
{
	return p->config.kind == RB_PROTOCOL_MEMCACHED_TEXT || p->config.kind == RB_PROTOCOL_MEMCACHED_BINARY;
}

void rb_request_begin(struct rb_request *request, enum rb_operation operation)
{
	request->operation = (uint8_t)operation;
	request->bytes = 0;
	request->inline_bytes = 0;
	request->pieces = 0;
}

void rb_request_append(struct rb_request *request, uint16_t inline_max, const void *data, uint32_t length)
{
	const bool all_inline =
		request->pieces == 0 || (request->pieces == 1 && request->sg[0].base == request->inline_data);

	request->bytes += length;
	if (length == 0)
		return;
	if (all_inline && length <= (uint32_t)inline_max - request->inline_bytes) {
		memcpy(request->inline_data + request->inline_bytes, data, length);
		request->inline_bytes = (uint16_t)(request->inline_bytes + length);
		request->sg[0] = (struct rb_sg){request->inline_data, request->inline_bytes};
		request->pieces = 1;
		return;
	}
	RB_ASSERT_LT(request->pieces, RB_REQUEST_PIECES_MAX);
	request->sg[request->pieces++] = (struct rb_sg){data, length};
}
