// SPDX-License-Identifier: Apache-2.0
/*
 * echo and spin: the server returns the message unchanged. A message carries the sequence number (little-endian, 8
 * bytes, cut to the message's size for tiny ones), behind the spin header if any, then a slice of the pattern that
 * starts at a place given by the sequence number: a lost, repeated, exchanged or shifted byte does not go unnoticed.
 */

#include "apps/spin_protocol.h"
#include "base/copy.h"
#include "load/protocol.h"

#include <string.h>

enum { INLINE_MAX = 256, TAG = 8 };

/* Appends tag and payload so that the message has its full size. */
static void append_payload(const struct rb_protocol *p, struct rb_request *request)
{
	const uint32_t size = p->config.message_bytes - request->bytes;
	uint64_t state = request->sequence;
	uint8_t tag[TAG];

	rb_spin_put_le(tag, request->sequence, TAG);
	rb_request_append(request, INLINE_MAX, tag, size < TAG ? size : TAG);
	if (size > TAG)
		rb_request_append(request, INLINE_MAX, p->pattern + rb_splitmix64(&state) % RB_MESSAGE_MAX, size - TAG);
}

/* As append_payload() would, where all of the message fits behind the request. */
static inline void build_short(const struct rb_protocol *p, struct rb_request *request, uint32_t size)
{
	uint64_t state = request->sequence;

	request->operation = RB_OPERATION_MESSAGE;
	request->bytes = size;
	request->inline_bytes = (uint16_t)size;
	request->pieces = 1;
	request->sg[0] = (struct rb_sg){request->inline_data, size};
	rb_spin_put_le(request->inline_data, request->sequence, TAG);
	rb_copy_short(request->inline_data + TAG, p->pattern + rb_splitmix64(&state) % RB_MESSAGE_MAX, size - TAG);
}

static void build_echo(const struct rb_protocol *p, struct rb_random *random, struct rb_request *request)
{
	const uint32_t size = p->config.message_bytes;

	(void)random;
	if (size >= TAG && size <= INLINE_MAX) {
		build_short(p, request, size);
		return;
	}
	rb_request_begin(request, RB_OPERATION_MESSAGE);
	append_payload(p, request);
}

static void build_spin(const struct rb_protocol *p, struct rb_random *random, struct rb_request *request)
{
	uint64_t service_ns = rb_service_time_sample(&p->config.service_time, random);
	uint8_t header[RB_SPIN_MESSAGE_MIN];

	if (service_ns > RB_SPIN_SERVICE_MAX_NS)
		service_ns = RB_SPIN_SERVICE_MAX_NS;
	rb_spin_encode(header, p->config.message_bytes, service_ns);
	rb_request_begin(request, RB_OPERATION_MESSAGE);
	rb_request_append(request, INLINE_MAX, header, sizeof(header));
	append_payload(p, request);
}

/* Compares received bytes with the request's pieces from `offset` on. */
static bool matches(const struct rb_request *request, uint64_t offset, const uint8_t *data, size_t length)
{
	for (unsigned i = 0; i < request->pieces && length > 0; i++) {
		const struct rb_sg *piece = &request->sg[i];

		if (offset >= piece->length) {
			offset -= piece->length;
			continue;
		}
		const size_t here = length < piece->length - offset ? length : (size_t)(piece->length - offset);
		if (memcmp((const uint8_t *)piece->base + offset, data, here) != 0)
			return false;
		data += here;
		length -= here;
		offset = 0;
	}
	return length == 0;
}

static size_t parse_mirror(const struct rb_protocol *p, struct rb_reply_parser *parser,
			   const struct rb_request *request, const uint8_t *data, size_t length,
			   enum rb_reply_status *status)
{
	(void)p;
	/* Nearly always the reply has come in one part, and is that of a message in one. */
	if (parser->offset == 0 && request->pieces == 1 && length >= request->bytes) {
		const bool same = memcmp(request->sg[0].base, data, request->bytes) == 0;
		*status = same ? RB_REPLY_OK : RB_REPLY_BAD;
		return request->bytes;
	}
	const uint64_t left = request->bytes - parser->offset;
	const size_t take = length < left ? length : (size_t)left;

	if (!matches(request, parser->offset, data, take)) {
		*status = RB_REPLY_BAD;
		return take;
	}
	parser->offset += take;
	*status = parser->offset == request->bytes ? RB_REPLY_OK : RB_REPLY_MORE;
	if (*status == RB_REPLY_OK)
		parser->offset = 0;
	return take;
}

const struct rb_protocol_ops rb_protocol_echo = {
	.name = "echo", .inline_max = INLINE_MAX, .build = build_echo, .parse = parse_mirror};
const struct rb_protocol_ops rb_protocol_spin = {
	.name = "spin", .inline_max = INLINE_MAX, .build = build_spin, .parse = parse_mirror};
