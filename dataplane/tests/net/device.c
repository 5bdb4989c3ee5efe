// SPDX-License-Identifier: Apache-2.0
#include "tests/net/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/net/fixture.h"

enum {
	ETHERNET = 14,
	FRAME_MIN = 60, /* shorter frames are padded by the device */
	TCP = 6,
	UDP = 17,
	TCP_CHECKSUM_AT = 16,
	UDP_CHECKSUM_AT = 6,
};

/* A received frame. The library knows it by index and generation, so that a second release shows. */
struct host_buffer {
	uint8_t *memory; /* as the library may use it: exactly the packet, or with room around; NULL: free */
	uint8_t *data;	 /* the packet */
	uint64_t hash;
	uint32_t generation;
	uint32_t next; /* waiting or free */
	uint16_t length;
	bool held; /* by the library */
};

/* A frame to send. */
struct host_frame {
	uint8_t *data;
	struct rb_net_frame frame; /* its pieces are still to be read */
};

static uint64_t hash_of(const uint8_t *data, size_t length)
{
	uint64_t hash = length;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ data[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return hash;
}

/*
 * Receiving.
 */

static void buffers_grow(struct host *host)
{
	const uint32_t room = host->buffers_room == 0 ? 64 : 2 * host->buffers_room;
	host->buffers = fixture_resize(host->buffers, room, sizeof(host->buffers[0]));
	for (uint32_t i = host->buffers_room; i < room; i++)
		host->buffers[i] = (struct host_buffer){.next = i + 1};
	host->buffers_free = host->buffers_room;
	host->buffers_room = room;
}

void device_receive(void *context, const uint8_t *frame, size_t length)
{
	struct host *host = context;
	if (host->buffers_free == host->buffers_room)
		buffers_grow(host);
	const uint32_t index = host->buffers_free;
	struct host_buffer *buffer = &host->buffers[index];
	host->buffers_free = buffer->next;
	const uint16_t answer_max = host->config.net.answer_max;
	const size_t front = answer_max > 0 ? RB_NET_HEADER_MAX : 0;
	buffer->memory = malloc(front + length + answer_max);
	RB_ASSERT(buffer->memory != NULL && length <= UINT16_MAX);
	buffer->data = buffer->memory + front;
	memcpy(buffer->data, frame, length);
	buffer->length = (uint16_t)length;
	buffer->hash = hash_of(frame, length);
	if (host->waiting_count++ == 0)
		host->waiting_first = index;
	else
		host->buffers[host->waiting_last].next = index;
	host->waiting_last = index;
	host_wake(host);
}

/* What a device that checks checksums says of a frame. */
static uint16_t checksums_check(const uint8_t *data, size_t length)
{
	struct segment segment;
	const char *why;
	const int status = segment_parse(&segment, data, length, &why);
	if (status == 0 && rb_ip_is_4(&segment.source))
		return RB_NET_CHECKSUM_L4_GOOD | RB_NET_CHECKSUM_IP4_GOOD;
	if (status == 0)
		return RB_NET_CHECKSUM_L4_GOOD;
	if (status == -EBADMSG && strstr(why, "checksum") != NULL)
		return RB_NET_CHECKSUM_BAD;
	return RB_NET_CHECKSUM_UNKNOWN;
}

struct rb_net_packet device_take(struct host *host)
{
	const uint32_t index = host->waiting_first;
	struct host_buffer *buffer = &host->buffers[index];
	host->waiting_first = buffer->next;
	host->waiting_count--;
	host->buffers_held++;
	buffer->held = true;
	return (struct rb_net_packet){
		.data = buffer->data,
		.buffer = (uint64_t)buffer->generation << 32 | index,
		.length = buffer->length,
		.checksum = host->config.checksums ? checksums_check(buffer->data, buffer->length) : 0U,
	};
}

static void buffer_free(struct host *host, uint32_t index)
{
	struct host_buffer *buffer = &host->buffers[index];
	free(buffer->memory);
	*buffer = (struct host_buffer){.generation = buffer->generation + 1, .next = host->buffers_free};
	host->buffers_free = index;
}

static const struct host_buffer *buffer_held(const struct host *host, uint64_t name)
{
	const uint32_t index = (uint32_t)name;
	assert_true(index < host->buffers_room);
	const struct host_buffer *buffer = &host->buffers[index];
	assert_true(buffer->held && buffer->generation == name >> 32); /* released twice */
	return buffer;
}

static void device_release(void *context, const uint64_t *buffers, unsigned count)
{
	struct host *host = context;
	for (unsigned i = 0; i < count; i++) {
		const struct host_buffer *buffer = buffer_held(host, buffers[i]);
		assert_true(buffer->hash == hash_of(buffer->data, buffer->length)); /* written to */
		buffer_free(host, (uint32_t)buffers[i]);
		host->buffers_held--;
	}
}

/*
 * Sending.
 */

static unsigned device_headers(void *context, struct rb_net_header *given, unsigned count)
{
	struct host *host = context;
	assert_in_range(count, 1, RB_NET_BURST);
	if (host->config.headers_missing > 0.0 && rb_random_unit(&host->random) < host->config.headers_missing)
		count = (unsigned)rb_random_below(&host->random, count);
	assert_in_range(host->headers_held + count, 0, HOST_HEADERS);
	for (unsigned i = 0; i < count; i++) {
		while (host->headers[host->headers_next % HOST_HEADERS] != NULL)
			host->headers_next++;
		given[i].owner = host->headers_next % HOST_HEADERS;
		given[i].header = malloc(RB_NET_HEADER_MAX);
		RB_ASSERT(given[i].header != NULL);
		host->headers[given[i].owner] = given[i].header;
	}
	host->headers_held += count;
	return count;
}

static void pieces_read(struct host_frame *out)
{
	size_t length = out->frame.header_length;
	for (unsigned i = 0; i < out->frame.pieces_count; i++) {
		memcpy(out->data + length, out->frame.pieces[i].base, out->frame.pieces[i].length);
		length += out->frame.pieces[i].length;
	}
	assert_int_equal(length, out->frame.length);
}

/* The header and what a device would copy behind it are in the buffer. */
static void answer_check(const struct host *host, const struct rb_net_frame *frame)
{
	const struct host_buffer *buffer = buffer_held(host, frame->owner);
	const uint16_t answer_max = host->config.net.answer_max;
	assert_true(frame->header >= buffer->memory && frame->length - frame->header_length <= answer_max);
	assert_true(frame->header + frame->length <= buffer->data + buffer->length + answer_max);
}

static void header_check(const struct host *host, const struct rb_net_frame *frame)
{
	assert_true(frame->owner < HOST_HEADERS && frame->header != NULL);
	assert_ptr_equal(frame->header, host->headers[frame->owner]);
}

static void frame_check(const struct host *host, const struct rb_net_frame *frame)
{
	if (frame->flags & RB_NET_FRAME_ANSWER)
		answer_check(host, frame);
	else
		header_check(host, frame);
	assert_in_range(frame->header_length, ETHERNET, RB_NET_HEADER_MAX);
	assert_in_range(frame->pieces_count, 0, RB_NET_PIECES_MAX);
	assert_in_range(frame->length, frame->header_length, host->config.net.mtu + frame->l2_length);
	assert_int_equal(frame->checksum & ~host->config.net.checksum_offload, 0);
	for (unsigned i = 0; i < frame->pieces_count; i++)
		assert_int_not_equal(frame->pieces[i].length, 0);
}

/* What the header was in is the device's again. */
static void header_take(struct host *host, const struct rb_net_frame *frame)
{
	if (frame->flags & RB_NET_FRAME_ANSWER) {
		buffer_free(host, (uint32_t)frame->owner);
		host->buffers_held--;
		return;
	}
	host->headers[frame->owner] = NULL;
	free(frame->header);
	host->headers_held--;
}

static void device_output(void *context, const struct rb_net_frame *frames, unsigned count)
{
	struct host *host = context;
	assert_in_range(count, 1, RB_NET_BURST);
	if (host->frames_count + count > host->frames_room) {
		host->frames_room = 2 * host->frames_room + count;
		host->frames = fixture_resize(host->frames, host->frames_room, sizeof(host->frames[0]));
	}
	for (unsigned i = 0; i < count; i++) {
		struct host_frame *out = &host->frames[host->frames_count++];
		frame_check(host, &frames[i]);
		*out = (struct host_frame){.data = calloc(1, frames[i].length + FRAME_MIN), .frame = frames[i]};
		RB_ASSERT(out->data != NULL);
		memcpy(out->data, frames[i].header, frames[i].header_length);
		header_take(host, &frames[i]);
		if (frames[i].flags & RB_NET_FRAME_TRANSIENT)
			pieces_read(out);
	}
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Fills in what the library has left to the device. */
static void checksums_fill(struct host_frame *out)
{
	const struct rb_net_frame *frame = &out->frame;
	uint8_t *ip = out->data + frame->l2_length;
	uint8_t *l4 = ip + frame->l3_length;
	const uint32_t length = frame->length - frame->l2_length - frame->l3_length;
	if ((frame->checksum & RB_NET_CHECKSUM_IP4_FILL) != 0) {
		assert_int_equal(ip[0] >> 4, 4);
		put16(ip + 10, 0);
		put16(ip + 10, segment_checksum(segment_sum(ip, frame->l3_length, 0)));
	}
	if ((frame->checksum & (RB_NET_CHECKSUM_TCP_FILL | RB_NET_CHECKSUM_UDP_FILL)) == 0)
		return;
	const bool udp = (frame->checksum & RB_NET_CHECKSUM_UDP_FILL) != 0;
	uint8_t *field = l4 + (udp ? UDP_CHECKSUM_AT : TCP_CHECKSUM_AT);
	const uint16_t pseudo = (uint16_t)~segment_checksum(segment_pseudo_sum(ip, udp ? UDP : TCP, length));
	assert_int_equal((unsigned)field[0] << 8 | field[1], pseudo);
	const uint16_t checksum = segment_checksum(segment_sum(l4, length, 0));
	put16(field, udp && checksum == 0 ? 0xffff : checksum);
}

void device_transmit(struct host *host)
{
	for (unsigned i = 0; i < host->frames_count; i++) {
		struct host_frame *out = &host->frames[i];
		if (!(out->frame.flags & RB_NET_FRAME_TRANSIENT))
			pieces_read(out);
		checksums_fill(out);
		const size_t length = out->frame.length < FRAME_MIN ? FRAME_MIN : out->frame.length;
		link_send(host->link, host->config.end, out->data, length);
		free(out->data);
	}
	host->frames_count = 0;
}

static uint64_t device_random(void *context)
{
	struct host *host = context;
	return rb_random_u64(&host->random);
}

const struct rb_net_ops device_ops = {
	.headers = device_headers,
	.output = device_output,
	.release = device_release,
	.random = device_random,
};

void device_close(struct host *host)
{
	for (uint32_t i = 0; i < host->buffers_room; i++)
		free(host->buffers[i].memory);
	free(host->buffers);
	for (unsigned i = 0; i < HOST_HEADERS; i++)
		free(host->headers[i]);
	for (unsigned i = 0; i < host->frames_count; i++)
		free(host->frames[i].data);
	free(host->frames);
}
