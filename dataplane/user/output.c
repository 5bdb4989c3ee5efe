// SPDX-License-Identifier: Apache-2.0
/*
 * Buffered output of a stream. Bytes are copied into chunks that do not move until the stack has released
 * them; the free end of the last chunk takes further bytes meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "user/loop_defs.h"

RB_BUILD_ASSERT((int)STREAM_PIECES_MAX <= (int)RB_SENDV_ENTRIES_MAX, "one SENDV takes all pieces");

static struct chunk *take_chunk(struct rb_loop *loop)
{
	struct chunk *chunk = loop->chunks;
	if (chunk != NULL) {
		loop->chunks = chunk->next;
		loop->chunks_count--;
	} else {
		chunk = malloc(CHUNK_BYTES);
		if (chunk == NULL)
			return NULL;
	}
	*chunk = (struct chunk){0};
	return chunk;
}

static void give_chunk(struct rb_loop *loop, struct chunk *chunk)
{
	if (loop->chunks_count >= CHUNKS_CACHED_MAX) {
		free(chunk);
		return;
	}
	chunk->next = loop->chunks;
	loop->chunks = chunk;
	loop->chunks_count++;
}

static size_t tail_space(const struct output *output)
{
	return output->tail != NULL ? CHUNK_CAPACITY - output->tail->end : 0;
}

/* Appends empty chunks until `length` more bytes fit. */
static int reserve(struct rb_loop *loop, struct output *output, size_t length, struct chunk **first)
{
	struct chunk **link = first;
	*first = NULL;
	for (size_t space = tail_space(output); space < length; space += CHUNK_CAPACITY) {
		*link = take_chunk(loop);
		if (*link == NULL) {
			while (*first != NULL) {
				struct chunk *next = (*first)->next;
				give_chunk(loop, *first);
				*first = next;
			}
			return -ENOMEM;
		}
		link = &(*link)->next;
	}
	return 0;
}

int output_append(struct rb_loop *loop, struct output *output, const void *data, size_t length)
{
	struct chunk *more;
	const uint8_t *from = data;
	if (length == 0)
		return 0;
	if (length <= tail_space(output)) { /* the rule */
		memcpy(output->tail->data + output->tail->end, from, length);
		output->tail->end += (uint32_t)length;
		output->bytes += length;
		output->unqueued += length;
		return 0;
	}
	int result = reserve(loop, output, length, &more);
	if (result != 0)
		return result;
	output->bytes += length;
	output->unqueued += length;
	if (output->tail == NULL) {
		output->head = more;
		output->tail = more;
	} else {
		output->tail->next = more;
	}
	for (;;) {
		struct chunk *tail = output->tail;
		RB_ASSERT(tail != NULL); /* reserve() has made room for all */
		size_t part = tail_space(output) < length ? tail_space(output) : length;
		memcpy(tail->data + tail->end, from, part);
		tail->end += (uint32_t)part;
		from += part;
		length -= part;
		if (length == 0)
			return 0;
		output->tail = tail->next;
	}
}

uint32_t output_queue(struct output *output, struct rb_sg *sg)
{
	uint32_t count = 0;
	for (struct chunk *chunk = output->head; chunk != NULL; chunk = chunk->next) {
		uint32_t length = chunk->end - chunk->queued;
		if (length == 0)
			continue;
		if (output->piece_count == STREAM_PIECES_MAX)
			break;
		sg[count++] = (struct rb_sg){.base = chunk->data + chunk->queued, .length = length};
		output->piece[(output->piece_first + output->piece_count++) % STREAM_PIECES_MAX] = length;
		chunk->queued = chunk->end;
		output->unqueued -= length;
	}
	return count;
}

static void release_pieces(struct output *output, uint64_t bytes)
{
	while (bytes > 0) {
		RB_ASSERT_GT(output->piece_count, 0U);
		uint32_t *piece = &output->piece[output->piece_first];
		if (bytes < *piece) {
			*piece -= (uint32_t)bytes;
			return;
		}
		bytes -= *piece;
		output->piece_first = (output->piece_first + 1) % STREAM_PIECES_MAX;
		output->piece_count--;
	}
}

void output_release(struct rb_loop *loop, struct output *output, uint64_t bytes)
{
	RB_ASSERT_LE(bytes, output->bytes - output->unqueued);
	// The rule: all of it, in one chunk.
	if (bytes == output->bytes && output->head == output->tail && bytes > 0) {
		give_chunk(loop, output->head);
		*output = (struct output){0};
		return;
	}
	release_pieces(output, bytes);
	output->bytes -= bytes;
	while (output->head != NULL) {
		struct chunk *chunk = output->head;
		uint32_t part = chunk->queued - chunk->sent;
		if (bytes < part)
			part = (uint32_t)bytes;
		chunk->sent += part;
		bytes -= part;
		if (chunk->sent < chunk->end)
			break;
		output->head = chunk->next;
		if (output->head == NULL)
			output->tail = NULL;
		give_chunk(loop, chunk);
	}
	RB_ASSERT_EQ(bytes, 0U);
}

void output_free(struct rb_loop *loop, struct output *output)
{
	while (output->head != NULL) {
		struct chunk *next = output->head->next;
		give_chunk(loop, output->head);
		output->head = next;
	}
	*output = (struct output){0};
}
