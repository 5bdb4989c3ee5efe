// SPDX-License-Identifier: Apache-2.0
/* The text protocol (memcached's doc/protocol.txt), without meta commands. Parts of a session: see session.h. */
#pragma once

#include "apps/kv/session.h"

/*
 * Take a request's line, or a part of a line of keys; return how many bytes that took (0: more are needed). The value
 * that follows the line is taken too, as far as it is there.
 */
size_t kv_text_head(struct kv_session *session, const uint8_t *data, size_t length);
size_t kv_text_keys(struct kv_session *session, const uint8_t *data, size_t length);

/* The value of the request and the two bytes behind it are in the item; takes over the reference. */
void kv_text_filled(struct kv_session *session, struct kv_item *item);
