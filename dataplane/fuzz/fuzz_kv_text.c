// SPDX-License-Identifier: Apache-2.0
/* Requests of the memcached text protocol; see fuzz_kv.h. */
#include "fuzz/fuzz_kv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_kv(data, size, ' ');
}
