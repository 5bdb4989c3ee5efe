// SPDX-License-Identifier: Apache-2.0
/*
 * Replies of the memcached binary protocol; see fuzz_memcached.h.
 */
#include "fuzz/fuzz_memcached.h"

#include "load/memcached_binary.h"

static size_t parse(void *parser, const struct rb_memcached_expect *expect, const uint8_t *data, size_t length,
		    enum rb_reply_status *status)
{
	return rb_memcached_binary_parse(parser, expect, data, length, status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rb_memcached_binary whole = {0};
	struct rb_memcached_binary cut = {0};

	if (size == 0)
		return 0;
	const struct rb_memcached_expect expect = fuzz_expect((data[0] & 1U) != 0);
	fuzz_compare(fuzz_run(parse, &whole, &expect, data + 1, size - 1, 0),
		     fuzz_run(parse, &cut, &expect, data + 1, size - 1, data[0] >> 1));
	return 0;
}
