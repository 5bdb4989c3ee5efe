// SPDX-License-Identifier: Apache-2.0
#include "tests/kv/fixture.h"

#include <stdlib.h>

#include "base/assert.h"

void talk_open(struct talk *talk, const struct kv_store_config *config)
{
	const struct kv_store_config usual = {
		.memory_bytes = 16 << 20, .item_bytes_max = 1 << 20, .threads = 1, .seed = 1};

	*talk = (struct talk){.shared = {.started_unix_s = TALK_UNIX_S}};
	RB_ASSERT_EQ(kv_store_create(config != NULL ? config : &usual, &talk->shared.store), 0);
	talk->worker.store = talk->shared.store;
	talk->worker.shared = &talk->shared;
	talk->worker.now_s = KV_START_S;
	talk->shared.workers[0] = &talk->worker;
	talk->shared.workers_count = 1;
	RB_ASSERT_EQ(kv_pool_init(&talk->worker.pool, talk->shared.store), 0);
	talk->reply = malloc(TALK_REPLY_MAX);
	RB_ASSERT(talk->reply != NULL);
	kv_session_init(&talk->session, &talk->worker);
}

void talk_close(struct talk *talk)
{
	kv_session_clear(&talk->session);
	kv_pool_free(&talk->worker.pool);
	kv_store_destroy(talk->shared.store);
	free(talk->reply);
}

void talk_begin(struct talk *talk)
{
	kv_session_clear(&talk->session);
	kv_session_init(&talk->session, &talk->worker);
	talk->reply_bytes = 0;
}

void talk_flush(struct talk *talk)
{
	struct rb_sg sg[KV_OUTPUT_PIECES_MAX];
	const uint32_t count = kv_output_queue(&talk->session.output, sg);
	uint64_t bytes = 0;

	RB_ASSERT_LE(count, (uint32_t)KV_OUTPUT_PIECES_MAX);
	RB_ASSERT(!talk->session.output.failed);
	for (uint32_t i = 0; i < count; i++) {
		RB_ASSERT_LE(talk->reply_bytes + sg[i].length, (size_t)TALK_REPLY_MAX);
		memcpy(talk->reply + talk->reply_bytes, sg[i].base, sg[i].length);
		talk->reply_bytes += sg[i].length;
		bytes += sg[i].length;
	}
	/* in two parts, as it may come */
	kv_output_release(&talk->session.output, bytes / 2);
	kv_output_release(&talk->session.output, bytes - bytes / 2);
	RB_ASSERT(kv_output_empty(&talk->session.output));
}

/* Offers the bytes until no more of them are used. Returns how many were. */
static size_t offer(struct talk *talk, const uint8_t *data, size_t length)
{
	size_t used = 0;

	for (;;) {
		const bool full = kv_output_full(&talk->session.output);
		const size_t took = kv_session_input(&talk->session, data + used, length - used);
		RB_ASSERT_LE(took, length - used);
		used += took;
		if (!full && !kv_output_full(&talk->session.output))
			return used;
		talk_flush(talk);
	}
}

size_t talk_input(struct talk *talk, const void *data, size_t length, size_t piece)
{
	const uint8_t *from = data;
	size_t kept = 0; /* bytes before `from` that were not used */

	while (length > 0) {
		const size_t part = piece != 0 && piece < length ? piece : length;
		uint8_t *copy = malloc(kept + part);
		RB_ASSERT(copy != NULL);
		memcpy(copy, from - kept, kept + part);
		const size_t used = offer(talk, copy, kept + part);
		free(copy);
		from += part;
		length -= part;
		kept = kept + part - used;
		talk_flush(talk);
	}
	return kept;
}

void talk_expect(struct talk *talk, const char *input, const char *expected)
{
	talk_begin(talk);
	assert_int_equal(talk_input(talk, input, strlen(input), 0), 0);
	talk->reply[talk->reply_bytes] = '\0';
	assert_string_equal((const char *)talk->reply, expected);
}
