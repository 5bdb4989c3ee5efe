// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/session.h"

#include "apps/kv/binary.h"
#include "apps/kv/copy.h"
#include "apps/kv/text.h"
#include "base/assert.h"

void kv_session_init(struct kv_session *session, struct kv_worker *worker)
{
	*session = (struct kv_session){.worker = worker};
	kv_output_init(&session->output, &worker->pool);
}

void kv_session_clear(struct kv_session *session)
{
	if (session->pending.item != NULL)
		kv_store_release(session->worker->store, session->pending.item);
	session->pending.item = NULL;
	session->state = KV_ENDED;
	kv_output_clear(&session->output);
}

size_t kv_session_fill(struct kv_session *session, const uint8_t *data, size_t length)
{
	struct kv_pending *pending = &session->pending;
	struct kv_item *item = pending->item;
	const bool text = session->protocol == KV_TEXT;
	const uint64_t wanted = item->value_bytes + (text ? (uint64_t)KV_TAIL : 0) - pending->filled;
	const size_t take = length < wanted ? length : (size_t)wanted;

	if (take <= KV_COPY_MAX)
		kv_copy(kv_item_value(item) + pending->filled, data, take);
	else
		memcpy(kv_item_value(item) + pending->filled, data, take);
	if (take < wanted) {
		pending->filled += take;
		session->state = KV_VALUE;
		return take;
	}
	session->state = KV_HEAD;
	pending->item = NULL;
	if (text)
		kv_text_filled(session, item);
	else
		kv_binary_filled(session, item);
	return take;
}

static size_t swallow(struct kv_session *session, size_t length)
{
	const size_t take = length < session->swallow ? length : (size_t)session->swallow;

	session->swallow -= take;
	if (session->swallow == 0)
		session->state = KV_HEAD;
	return take;
}

/* All but the beginning of a text request. */
static __attribute__((noinline)) size_t step(struct kv_session *session, const uint8_t *data, size_t length)
{
	switch (session->state) {
	case KV_HEAD:
		return kv_binary_head(session, data, length);
	case KV_VALUE:
		return kv_session_fill(session, data, length);
	case KV_SWALLOW:
		return swallow(session, length);
	case KV_ENDED:
		return length;
	default:
		return kv_text_keys(session, data, length);
	}
}

size_t kv_session_input(struct kv_session *session, const uint8_t *data, size_t length)
{
	size_t used = 0;

	if (session->protocol == KV_UNKNOWN && length > 0)
		session->protocol = data[0] == KV_BINARY_REQUEST ? KV_BINARY : KV_TEXT;
	while (used < length && !kv_output_full(&session->output)) {
		const bool text_head = session->state == KV_HEAD && session->protocol == KV_TEXT;
		const size_t took = text_head ? kv_text_head(session, data + used, length - used)
					      : step(session, data + used, length - used);
		RB_DEBUG_ASSERT_LE(took, length - used);
		if (took == 0)
			break;
		used += took;
	}
	return used;
}
