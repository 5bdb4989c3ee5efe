// SPDX-License-Identifier: Apache-2.0
/*
 * Output of a stream: a list of segments. Bytes that are copied go into chunks that do not move until the stack has
 * released them; the free end of the newest chunk takes further bytes meanwhile, also behind a segment that is not in
 * it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "user/loop_defs.h"

RB_BUILD_ASSERT((int)STREAM_PIECES_MAX <= (int)RB_SENDV_ENTRIES_MAX, "one SENDV takes all pieces");

/* ---- memory ---- */

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
	*chunk = (struct chunk){.segments = 1, .first = {.base = chunk->data, .chunk = chunk}};
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

static struct segment *take_segment(struct rb_loop *loop)
{
	struct segment *segment = loop->segments;
	if (segment != NULL) {
		loop->segments = segment->next;
		loop->segments_count--;
	} else {
		segment = malloc(sizeof(*segment));
		if (segment == NULL)
			return NULL;
	}
	*segment = (struct segment){0};
	return segment;
}

static void give_segment(struct rb_loop *loop, struct segment *segment)
{
	if (loop->segments_count >= SEGMENTS_CACHED_MAX) {
		free(segment);
		return;
	}
	segment->next = loop->segments;
	loop->segments = segment;
	loop->segments_count++;
}

void output_trim(struct rb_loop *loop)
{
	while (loop->chunks != NULL) {
		struct chunk *next = loop->chunks->next;
		free(loop->chunks);
		loop->chunks = next;
	}
	while (loop->segments != NULL) {
		struct segment *next = loop->segments->next;
		free(loop->segments);
		loop->segments = next;
	}
	loop->chunks_count = 0;
	loop->segments_count = 0;
}

/* ---- appending ---- */

static void append(struct output *output, struct segment *segment)
{
	if (output->tail == NULL)
		output->head = segment;
	else
		output->tail->next = segment;
	output->tail = segment;
}

static size_t open_space(const struct output *output)
{
	return output->open != NULL ? CHUNK_CAPACITY - output->open->used : 0;
}

/* Does the last segment end where the open chunk goes on? */
static bool tail_is_open(const struct output *output)
{
	return output->tail != NULL && output->tail->chunk != NULL && output->tail->chunk == output->open;
}

/* Copies to the end of the last segment, which must be that of the open chunk and have room. */
static void fill(struct output *output, const uint8_t *from, size_t length)
{
	memcpy(output->open->data + output->open->used, from, length);
	output->open->used += (uint32_t)length;
	output->tail->end += length;
	output->bytes += length;
	output->copied += length;
	output->unqueued += length;
}

/* What a write of `length` bytes needs beyond the last segment. */
struct reserve {
	struct segment *segment; /* for the rest of the open chunk, which lies behind another segment, or NULL */
	struct chunk *chunks;
};

static void give_reserve(struct rb_loop *loop, struct reserve *reserve)
{
	if (reserve->segment != NULL)
		give_segment(loop, reserve->segment);
	while (reserve->chunks != NULL) {
		struct chunk *next = reserve->chunks->next;
		give_chunk(loop, reserve->chunks);
		reserve->chunks = next;
	}
}

static int take_reserve(struct rb_loop *loop, const struct output *output, size_t length, struct reserve *reserve)
{
	struct chunk **link = &reserve->chunks;
	*reserve = (struct reserve){0};
	if (open_space(output) > 0 && !tail_is_open(output)) {
		reserve->segment = take_segment(loop);
		if (reserve->segment == NULL)
			return -ENOMEM;
	}
	for (size_t space = open_space(output); space < length; space += CHUNK_CAPACITY) {
		*link = take_chunk(loop);
		if (*link == NULL) {
			give_reserve(loop, reserve);
			return -ENOMEM;
		}
		link = &(*link)->next;
	}
	return 0;
}

static void open_segment(struct output *output, struct segment *segment)
{
	struct chunk *chunk = output->open;
	segment->base = chunk->data + chunk->used;
	segment->chunk = chunk;
	chunk->segments++;
	append(output, segment);
}

int output_append(struct rb_loop *loop, struct output *output, const void *data, size_t length)
{
	const uint8_t *from = data;
	struct reserve reserve;
	if (length == 0)
		return 0;
	if (tail_is_open(output) && length <= open_space(output)) { /* the rule */
		fill(output, from, length);
		return 0;
	}
	int result = take_reserve(loop, output, length, &reserve);
	if (result != 0)
		return result;
	if (reserve.segment != NULL)
		open_segment(output, reserve.segment);
	for (;;) {
		size_t part = open_space(output) < length ? open_space(output) : length;
		if (part > 0)
			fill(output, from, part);
		from += part;
		length -= part;
		if (length == 0)
			return 0;
		struct chunk *next = reserve.chunks;
		RB_ASSERT(next != NULL); /* there is room for all */
		reserve.chunks = next->next;
		output->open = next;
		append(output, &next->first);
	}
}

static int check_pieces(const struct rb_sg *pieces, uint32_t count, uint64_t *total)
{
	*total = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (pieces[i].base == NULL && pieces[i].length > 0)
			return -EFAULT;
		if (__builtin_add_overflow(*total, pieces[i].length, total) || *total > INT64_MAX)
			return -EINVAL;
	}
	return 0;
}

static void give_segments(struct rb_loop *loop, struct segment *first)
{
	while (first != NULL) {
		struct segment *next = first->next;
		give_segment(loop, first);
		first = next;
	}
}

int output_lend(struct rb_loop *loop, struct output *output, const struct rb_sg *pieces, uint32_t count,
		void (*release)(void *cookie), void *cookie)
{
	struct segment *first = NULL, *last = NULL;
	uint32_t used = 0;
	uint64_t total;
	int result = check_pieces(pieces, count, &total);
	if (result != 0)
		return result;
	for (uint32_t i = 0; i < count; i++) {
		if (pieces[i].length == 0)
			continue;
		struct segment *segment = take_segment(loop);
		if (segment == NULL) {
			give_segments(loop, first);
			return -ENOMEM;
		}
		*segment = (struct segment){.base = pieces[i].base, .end = pieces[i].length};
		if (last == NULL)
			first = segment;
		else
			last->next = segment;
		last = segment;
		used++;
	}
	if (last == NULL)
		return -EINVAL;
	last->release = release;
	last->cookie = cookie;
	append(output, first);
	output->tail = last;
	output->bytes += total;
	output->unqueued += total;
	output->lent += used;
	return 0;
}

/* ---- handing over ---- */

uint32_t output_queue(struct output *output, struct rb_sg *sg)
{
	uint32_t count = 0;
	output->last_count = 0;
	for (struct segment *segment = output->head; segment != NULL; segment = segment->next) {
		while (segment->queued < segment->end) {
			uint64_t room = QUEUED_MAX - (output->bytes - output->unqueued);
			if (output->piece_count == STREAM_PIECES_MAX || room == 0)
				return count;
			uint64_t length = segment->end - segment->queued;
			if (length > room)
				length = room;
			sg[count++] = (struct rb_sg){.base = segment->base + segment->queued, .length = length};
			output->piece[(output->piece_first + output->piece_count++) % STREAM_PIECES_MAX] =
				(uint32_t)length;
			output->last_count++;
			segment->queued += length;
			output->unqueued -= length;
		}
	}
	return count;
}

void output_unqueue(struct output *output)
{
	for (; output->last_count > 0; output->last_count--)
		output->unqueued += output->piece[(output->piece_first + --output->piece_count) % STREAM_PIECES_MAX];
	uint64_t kept = output->bytes - output->unqueued;
	for (struct segment *segment = output->head; segment != NULL; segment = segment->next) {
		uint64_t part = segment->queued - segment->sent;
		if (part > kept)
			part = kept;
		segment->queued = segment->sent + part;
		kept -= part;
	}
	RB_ASSERT_EQ(kept, 0U);
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

/* The oldest segment is done with. Its release may append others. */
static void drop_head(struct rb_loop *loop, struct output *output)
{
	struct segment *segment = output->head;
	struct chunk *chunk = segment->chunk;
	void (*release)(void *cookie) = segment->release;
	void *cookie = segment->cookie;
	output->head = segment->next;
	if (output->head == NULL)
		output->tail = NULL;
	if (chunk == NULL)
		output->lent--;
	if (chunk == NULL || segment != &chunk->first)
		give_segment(loop, segment);
	if (chunk != NULL && --chunk->segments == 0) {
		if (output->open == chunk)
			output->open = NULL;
		give_chunk(loop, chunk);
	}
	if (release != NULL)
		release(cookie);
}

void output_release(struct rb_loop *loop, struct output *output, uint64_t bytes)
{
	RB_ASSERT_LE(bytes, output->bytes - output->unqueued);
	/* The rule: all of it, in one chunk. */
	if (bytes == output->bytes && bytes > 0 && output->head == output->tail && output->head->chunk != NULL &&
	    output->head == &output->head->chunk->first) {
		give_chunk(loop, output->head->chunk);
		*output = (struct output){0};
		return;
	}
	release_pieces(output, bytes);
	output->bytes -= bytes;
	while (output->head != NULL) {
		struct segment *segment = output->head;
		uint64_t part = segment->queued - segment->sent;
		if (bytes < part)
			part = bytes;
		segment->sent += part;
		bytes -= part;
		if (segment->chunk != NULL)
			output->copied -= part;
		if (segment->sent < segment->end)
			break;
		drop_head(loop, output);
	}
	RB_ASSERT_EQ(bytes, 0U);
}

void output_free(struct rb_loop *loop, struct output *output)
{
	while (output->head != NULL)
		drop_head(loop, output);
	*output = (struct output){0};
}
