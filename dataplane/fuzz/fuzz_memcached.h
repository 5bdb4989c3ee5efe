// SPDX-License-Identifier: Apache-2.0
/*
 * What the two memcached targets share. Input: byte 0 says GET (odd) or SET and the size of the pieces (its upper
 * seven bits, 0: one piece); the rest is what the server sends. Promises: no crash, no byte beyond the input is
 * touched, and the outcome does not depend on how the stream is cut.
 */
#pragma once

#include "fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/memcached_text.h"

enum { FUZZ_VALUE_MAX = 4096, FUZZ_OPAQUE = 0x01020304 };

typedef size_t (*fuzz_parse)(void *parser, const struct rb_memcached_expect *expect, const uint8_t *data, size_t length,
			     enum rb_reply_status *status);

struct fuzz_outcome {
	enum rb_reply_status status;
	size_t used;
};

/* The value is "0123456789abcdef0123…"; the key is "key". */
static inline struct rb_memcached_expect fuzz_expect(bool get)
{
	static uint8_t value[FUZZ_VALUE_MAX];

	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)"0123456789abcdef"[i % 16];
	return (struct rb_memcached_expect){.get = get,
					    .key = "key",
					    .key_bytes = 3,
					    .value = value,
					    .value_max = FUZZ_VALUE_MAX,
					    .opaque = FUZZ_OPAQUE};
}

/* Parses until a final status or the end, each piece in memory of its own size. */
static inline struct fuzz_outcome fuzz_run(fuzz_parse parse, void *parser, const struct rb_memcached_expect *expect,
					   const uint8_t *data, size_t size, size_t piece)
{
	struct fuzz_outcome outcome = {RB_REPLY_MORE, 0};

	while (outcome.used < size && outcome.status == RB_REPLY_MORE) {
		const size_t length = piece != 0 && piece < size - outcome.used ? piece : size - outcome.used;
		uint8_t *copy = malloc(length);

		RB_ASSERT(copy != NULL);
		memcpy(copy, data + outcome.used, length);
		const size_t used = parse(parser, expect, copy, length, &outcome.status);
		free(copy);
		RB_ASSERT_LE(used, length);
		RB_ASSERT(used == length || outcome.status != RB_REPLY_MORE);
		outcome.used += used;
	}
	return outcome;
}

/* A wrong byte may be noticed a little earlier or later depending on the pieces; everything else must be the same. */
static inline void fuzz_compare(struct fuzz_outcome whole, struct fuzz_outcome cut)
{
	RB_ASSERT_EQ((unsigned)whole.status, (unsigned)cut.status);
	RB_ASSERT(whole.status == RB_REPLY_BAD || whole.used == cut.used);
}
