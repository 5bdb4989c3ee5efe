// SPDX-License-Identifier: Apache-2.0
/* The binary protocol (memcached's protocol_binary.h), without SASL. Parts of a session: see session.h. */
#pragma once

#include "apps/kv/session.h"

enum { KV_BINARY_REQUEST = 0x80, KV_BINARY_REPLY = 0x81, KV_BINARY_HEADER = 24 };

/* Takes a request, of one with a value as much as is there. Returns how many bytes that took; 0: more are needed. */
size_t kv_binary_head(struct kv_session *session, const uint8_t *data, size_t length);

/* The value of the request is in the item; takes over the reference. */
void kv_binary_filled(struct kv_session *session, struct kv_item *item);
