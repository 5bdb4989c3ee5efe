// SPDX-License-Identifier: Apache-2.0
/*
 * base/siphash against the published vectors: the worked example of the paper's appendix A, and some of the 64 that
 * the authors' reference implementation gives for the inputs of length 0, 1, 2, … with bytes 00 01 02 ….
 */
#include "base/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void published_vectors(void **state)
{
	(void)state;
	/* results as bytes in the order in which they are published, read big-endian */
	static const struct {
		unsigned length;
		uint64_t bytes;
	} vectors[] = {
		{0, UINT64_C(0x310e0edd47db6f72)},  {1, UINT64_C(0xfd67dc93c539f874)},
		{2, UINT64_C(0x5a4fa9d909806c0d)},  {3, UINT64_C(0x2d7efbd796666785)},
		{7, UINT64_C(0x37d1018bf50002ab)},  {8, UINT64_C(0x6224939a79f5f593)},
		{15, UINT64_C(0xe545be4961ca29a1)}, {16, UINT64_C(0xdb9bc2577fcc2a3f)},
		{31, UINT64_C(0x42c341d8fa92d832)}, {63, UINT64_C(0x724506eb4c328a95)},
	};
	uint8_t input[64];

	for (unsigned i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)i;
	assert_int_equal(rb_siphash(key, input, 15), UINT64_C(0xa129ca6149be45e5)); /* the paper */
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(rb_siphash(key, input, vectors[i].length), __builtin_bswap64(vectors[i].bytes));
}

static void alignment_is_irrelevant(void **state)
{
	(void)state;
	uint8_t input[64 + 8];

	for (unsigned offset = 0; offset < 8; offset++) {
		for (unsigned i = 0; i < 63; i++)
			input[offset + i] = (uint8_t)i;
		assert_int_equal(rb_siphash(key, input + offset, 63), __builtin_bswap64(UINT64_C(0x724506eb4c328a95)));
	}
}

static void twelve_bytes_as_any_others(void **state)
{
	(void)state;
	const struct rb_siphash begun = rb_siphash_begin(key);
	struct {
		uint64_t first;
		uint32_t second;
	} input = {.first = 1, .second = 2};

	for (unsigned i = 0; i < 1000; i++) {
		input.first = input.first * UINT64_C(6364136223846793005) + 1442695040888963407U;
		input.second = (uint32_t)(input.first >> 29);
		assert_int_equal(rb_siphash_12(&begun, input.first, input.second), rb_siphash(key, &input, 12));
	}
}

static void every_bit_of_the_key_counts(void **state)
{
	(void)state;
	const uint64_t result = rb_siphash(key, "", 0);

	for (unsigned bit = 0; bit < 128; bit++) {
		uint8_t other[16];

		memcpy(other, key, sizeof(other));
		other[bit / 8] ^= (uint8_t)(1U << (bit % 8));
		assert_int_not_equal(rb_siphash(other, "", 0), result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(alignment_is_irrelevant),
		cmocka_unit_test(twelve_bytes_as_any_others),
		cmocka_unit_test(every_bit_of_the_key_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
