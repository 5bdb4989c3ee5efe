// SPDX-License-Identifier: Apache-2.0
#include "tests/net/fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/random.h"

struct rb_ip fixture_ip(bool ip6, unsigned number)
{
	struct rb_ip ip = {.words = {0, 0}};
	if (ip6) {
		ip.bytes[0] = 0xfd;
	} else {
		ip.bytes[10] = 0xff;
		ip.bytes[11] = 0xff;
		ip.bytes[12] = 10;
	}
	ip.bytes[15] = (uint8_t)number;
	return ip;
}

void fixture_mac(uint8_t mac[6], unsigned number)
{
	memcpy(mac, (const uint8_t[]){2, 0, 0, 0, 0, (uint8_t)number}, 6);
}

/* The stream is made of blocks of eight bytes, each a hash of its number. */
static uint64_t block(uint64_t seed, uint64_t number)
{
	uint64_t state = seed ^ number * UINT64_C(0xd1342543de82ef95);
	return rb_splitmix64(&state);
}

void fixture_fill(uint8_t *bytes, size_t length, uint64_t seed, uint64_t offset)
{
	while (length > 0) {
		const uint64_t value = block(seed, offset / 8);
		const size_t skip = offset % 8;
		const size_t size = length < 8 - skip ? length : 8 - skip;
		memcpy(bytes, (const uint8_t *)&value + skip, size);
		bytes += size;
		offset += size;
		length -= size;
	}
}

bool fixture_check(const uint8_t *bytes, size_t length, uint64_t seed, uint64_t offset, size_t *at)
{
	uint8_t expected[512];
	for (size_t done = 0; done < length;) {
		const size_t size = length - done < sizeof(expected) ? length - done : sizeof(expected);
		fixture_fill(expected, size, seed, offset + done);
		if (memcmp(bytes + done, expected, size) != 0) {
			for (*at = done; bytes[*at] == expected[*at - done];)
				++*at;
			return false;
		}
		done += size;
	}
	return true;
}

void *fixture_resize(void *array, size_t count, size_t size)
{
	void *resized = realloc(array, count * size);
	RB_ASSERT(resized != NULL);
	return resized;
}

uint64_t fixture_number(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);
	return text == NULL ? otherwise : strtoull(text, NULL, 0);
}
