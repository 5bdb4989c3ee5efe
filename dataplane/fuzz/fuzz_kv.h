// SPDX-License-Identifier: Apache-2.0
/*
 * What the targets of the key-value server share. Input: byte 0 is the size of the pieces that the stream is cut into
 * (0: one piece); the rest is what a client sends, on a store of its own. Promises: no crash, no byte beyond the input
 * is touched, nothing stays held, and the replies do not depend on how the stream is cut: there is memory for all that an
 * input can store, because what is evicted depends on what is being sent.
 */
#pragma once

#include "fuzz/target.h"

#include <stdlib.h>

#include "apps/kv/session.h"
#include "base/assert.h"

enum { FUZZ_REPLY_MAX = 1 << 20, FUZZ_MEMORY = 8 << 20, FUZZ_ITEM_MAX = 1 << 13 };

struct fuzz_talk {
	struct kv_shared shared;
	struct kv_worker worker;
	struct kv_session session;
	uint8_t reply[FUZZ_REPLY_MAX];
	size_t reply_bytes;
};

/* Takes the output; what is beyond FUZZ_REPLY_MAX is not looked at. */
static inline void fuzz_flush(struct fuzz_talk *talk)
{
	struct rb_sg sg[KV_OUTPUT_PIECES_MAX];
	const uint32_t count = kv_output_queue(&talk->session.output, sg);

	for (uint32_t i = 0; i < count; i++) {
		size_t part = sizeof(talk->reply) - talk->reply_bytes;
		if (part > sg[i].length)
			part = sg[i].length;
		memcpy(talk->reply + talk->reply_bytes, sg[i].base, part);
		talk->reply_bytes += part;
		kv_output_release(&talk->session.output, sg[i].length);
	}
	RB_ASSERT(kv_output_empty(&talk->session.output));
}

static inline size_t fuzz_offer(struct fuzz_talk *talk, const uint8_t *data, size_t length)
{
	size_t used = 0;

	for (;;) {
		used += kv_session_input(&talk->session, data + used, length - used);
		RB_ASSERT_LE(used, length);
		const bool full = kv_output_full(&talk->session.output);
		fuzz_flush(talk);
		if (!full)
			return used;
	}
}

/* The store is made once: fuzz_talk_end() leaves it as new. */
static inline void fuzz_talk_begin(struct fuzz_talk *talk)
{
	const struct kv_store_config config = {
		.memory_bytes = FUZZ_MEMORY, .item_bytes_max = FUZZ_ITEM_MAX, .threads = 1, .seed = 1};

	if (talk->shared.store == NULL) {
		RB_ASSERT_EQ(kv_store_create(&config, &talk->shared.store), 0);
		talk->shared.started_unix_s = 1700000000;
		talk->worker.store = talk->shared.store;
		talk->worker.shared = &talk->shared;
		talk->worker.now_s = KV_START_S;
		talk->shared.workers[0] = &talk->worker;
		talk->shared.workers_count = 1;
		RB_ASSERT_EQ(kv_pool_init(&talk->worker.pool, talk->shared.store), 0);
	}
	memset(&talk->worker.counters, 0, sizeof(talk->worker.counters));
	memset(&talk->shared.base, 0, sizeof(talk->shared.base));
	talk->reply_bytes = 0;
	kv_session_init(&talk->session, &talk->worker);
}

static inline void fuzz_talk_run(struct fuzz_talk *talk, const uint8_t *data, size_t size, size_t piece)
{
	size_t kept = 0;

	fuzz_talk_begin(talk);
	while (size > 0) {
		const size_t part = piece != 0 && piece < size ? piece : size;
		uint8_t *copy = malloc(kept + part);
		RB_ASSERT(copy != NULL);
		memcpy(copy, data - kept, kept + part);
		const size_t used = fuzz_offer(talk, copy, kept + part);
		free(copy);
		kept = kept + part - used;
		data += part;
		size -= part;
	}
	kv_session_clear(&talk->session);
}

/* Everything can be removed again, so nothing is held. */
static inline void fuzz_talk_end(struct fuzz_talk *talk)
{
	struct kv_shard *shard = &talk->shared.store->shards[0];

	RB_ASSERT_LE(shard->counters.bytes, (uint64_t)FUZZ_MEMORY);
	for (unsigned i = 0; i < KV_CLASSES_MAX; i++) {
		while (shard->lru[i].oldest != NULL) {
			RB_ASSERT_EQ(shard->lru[i].oldest->references, 0U);
			kv_shard_unlink(shard, shard->lru[i].oldest);
		}
	}
	RB_ASSERT_EQ(shard->counters.items, 0U);
	RB_ASSERT_EQ(shard->counters.bytes, 0U);
	for (uint32_t page = 0; page < shard->slab.pages_used; page++) {
		for (uint32_t i = 0; i < shard->slab.pages[page].carved; i++)
			RB_ASSERT(kv_slab_chunk(&shard->slab, page, i)->state == KV_ITEM_FREE);
		shard->slab.pages[page].carved = 0;
	}
	for (unsigned i = 0; i < shard->slab.classes_count; i++) {
		shard->slab.classes[i].free = NULL;
		shard->slab.classes[i].carving = 0;
		shard->slab.classes[i].pages = 0;
	}
	shard->slab.pages_used = 0;
	shard->cas = 1;
	shard->flush_cas = 0;
	shard->flush_s = UINT32_MAX;
	memset(&shard->counters, 0, sizeof(shard->counters));
}

/* `first`: put before the data, so that the protocol is known. */
static inline int fuzz_kv(const uint8_t *data, size_t size, uint8_t first)
{
	static struct fuzz_talk whole, cut;

	if (size < 2)
		return 0;
	uint8_t *stream = malloc(size);
	RB_ASSERT(stream != NULL);
	memcpy(stream, data, size);
	stream[0] = first;
	fuzz_talk_run(&whole, stream, size, 0);
	fuzz_talk_run(&cut, stream, size, data[0]);
	RB_ASSERT_EQ(whole.reply_bytes, cut.reply_bytes);
	RB_ASSERT(memcmp(whole.reply, cut.reply, whole.reply_bytes) == 0);
	RB_ASSERT_EQ(whole.session.protocol, cut.session.protocol);
	fuzz_talk_end(&whole);
	fuzz_talk_end(&cut);
	free(stream);
	return 0;
}
