// SPDX-License-Identifier: Apache-2.0
/*
 * Wire format of spin, shared by the application and the load generator. A request asks the server to work
 * for a time; the reply is the request itself, byte for byte, so that a client can carry its own tags.
 *
 *   offset  size  field (little-endian)
 *        0     4  length: whole message in bytes, RB_SPIN_MESSAGE_MIN..RB_SPIN_MESSAGE_MAX
 *        4     4  magic: RB_SPIN_MAGIC
 *        8     8  service_ns: requested service time, 0..RB_SPIN_SERVICE_MAX_NS
 *       16   ...  payload, returned unchanged
 */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	RB_SPIN_MESSAGE_MIN = 16,
	RB_SPIN_MESSAGE_MAX = 65536,
	RB_SPIN_MAGIC = 0x4e495053, /* "SPIN" */
};

#define RB_SPIN_SERVICE_MAX_NS UINT64_C(1000000000)

static inline void rb_spin_put_le(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t rb_spin_get_le(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << (8 * i);
	return value;
}

/* Writes the 16-byte header. `length` and `service_ns` must be in range. */
static inline void rb_spin_encode(uint8_t header[RB_SPIN_MESSAGE_MIN], uint32_t length, uint64_t service_ns)
{
	rb_spin_put_le(header, length, 4);
	rb_spin_put_le(header + 4, RB_SPIN_MAGIC, 4);
	rb_spin_put_le(header + 8, service_ns, 8);
}

static inline uint64_t rb_spin_service_ns(const uint8_t header[RB_SPIN_MESSAGE_MIN])
{
	return rb_spin_get_le(header + 8, 8);
}

/* Length of the message that starts at `data`; 0: the header is not complete; -EPROTO: not a spin message. */
static inline ssize_t rb_spin_frame(const uint8_t *data, size_t available)
{
	if (available < RB_SPIN_MESSAGE_MIN)
		return 0;
	uint64_t length = rb_spin_get_le(data, 4);
	if (rb_spin_get_le(data + 4, 4) != RB_SPIN_MAGIC)
		return -EPROTO;
	if (length < RB_SPIN_MESSAGE_MIN || length > RB_SPIN_MESSAGE_MAX)
		return -EPROTO;
	if (rb_spin_service_ns(data) > RB_SPIN_SERVICE_MAX_NS)
		return -EPROTO;
	return (ssize_t)length;
}
