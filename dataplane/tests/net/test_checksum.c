// SPDX-License-Identifier: Apache-2.0
/*
 * net/checksum against a byte-wise reference: all lengths and alignments, random pieces, the examples of the RFCs.
 */
#include "base/random.h"
#include "net/checksum.h"
#include "tests/net/seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LENGTH_MAX = 2100, SEEDS = 3000 };

/* RFC 1071 1, by its words: 16-bit words in network byte order, an odd last byte padded with zero. */
static uint16_t reference(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i++) {
		sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)~sum;
}

/* A field as it lies in memory, as a number. */
static uint16_t number(uint16_t field)
{
	return __builtin_bswap16(field);
}

/* Zeros and ones too: what makes carries, and what makes none. */
static void fill(struct rb_random *random, uint8_t *bytes, size_t length)
{
	const uint64_t kind = rb_random_below(random, 4);

	for (size_t i = 0; i < length; i++) {
		const uint8_t byte = (uint8_t)rb_random_u64(random);

		bytes[i] = kind == 0 ? 0xff : kind == 1 ? (uint8_t)(byte % 2 != 0 ? 0xff : 0) : byte;
	}
}

/* In a block of its own that ends with the data, so that a sanitizer sees a read beyond it. */
static void all_lengths_and_alignments(void **state)
{
	(void)state;
	struct rb_random random;

	rb_random_init(&random, seeds_first(__func__), 0);
	for (size_t length = 0; length <= LENGTH_MAX; length++) {
		for (size_t offset = 0; offset < 8; offset++) {
			uint8_t *block = malloc(offset + length + (offset + length == 0));

			assert_non_null(block);
			fill(&random, block + offset, length);
			assert_int_equal(number(checksum_finish(checksum_add(0, block + offset, length))),
					 reference(block + offset, length));
			assert_true(checksum_piece(block + offset, length) < UINT64_C(1) << 34);
			free(block);
		}
	}
}

static void any_pieces(void **state)
{
	(void)state;
	uint8_t bytes[LENGTH_MAX];
	const uint64_t first = seeds_first(__func__);

	for (uint64_t seed = first; seed < first + SEEDS; seed++) {
		struct rb_random random;
		uint64_t sum = 0;
		size_t done = 0;

		rb_random_init(&random, seed, 0);
		const size_t length = rb_random_below(&random, LENGTH_MAX + 1);
		const size_t longest = 1 + rb_random_below(&random, rb_random_below(&random, 2) == 0 ? 20 : LENGTH_MAX);

		fill(&random, bytes, length);
		while (done < length) {
			size_t piece = rb_random_below(&random, longest + 1);

			if (piece > length - done)
				piece = length - done;
			sum = checksum_add(sum, bytes + done, piece);
			done += piece;
		}
		assert_int_equal(number(checksum_finish(sum)), reference(bytes, length));
	}
}

static void published_examples(void **state)
{
	(void)state;
	/* RFC 1071 3: the sum is ddf2 */
	static const uint8_t words[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	/* RFC 1624 4: a field dd2f, a word that changes from 5555 to 3285 */
	const uint16_t updated = checksum_update(number(0xdd2f), number(0x5555), number(0x3285));

	assert_int_equal(number(checksum_finish(checksum_add(0, words, sizeof(words)))), 0x220d);
	assert_int_equal(number(checksum_unfinished(checksum_add(0, words, sizeof(words)))), 0xddf2);
	assert_int_equal(number(updated), 0);
}

static void a_good_packet_finishes_as_zero(void **state)
{
	(void)state;
	uint8_t header[20];
	struct rb_random random;

	rb_random_init(&random, seeds_first(__func__), 0);
	for (unsigned i = 0; i < 10000; i++) {
		fill(&random, header, sizeof(header));
		memset(header + 10, 0, 2);
		const uint64_t sum = checksum_ip4_header(header);
		const uint16_t field = checksum_finish(sum);

		assert_int_equal(number(field), reference(header, sizeof(header)));
		memcpy(header + 10, &field, sizeof(field));
		assert_int_equal(checksum_finish(checksum_ip4_header(header)), 0);
		assert_int_equal(checksum_finish(checksum_add(0, header, sizeof(header))), 0);
		header[i % 20] ^= (uint8_t)(1U << (i / 20 % 8));
		assert_int_not_equal(checksum_finish(checksum_ip4_header(header)), 0);
	}
}

/* RFC 9293 3.1: source, destination, zero, protocol, 16 bits of length. */
static void pseudo_header_of_ip4(void **state)
{
	(void)state;
	struct rb_random random;

	rb_random_init(&random, seeds_first(__func__), 0);
	for (unsigned i = 0; i < 10000; i++) {
		uint8_t bytes[12 + 30];

		fill(&random, bytes, sizeof(bytes));
		bytes[8] = 0;
		const uint16_t length = (uint16_t)((bytes[10] << 8) | bytes[11]);
		const uint64_t sum = checksum_pseudo4(bytes, bytes + 4, bytes[9], length);
		const size_t rest = rb_random_below(&random, 31);

		assert_int_equal(number(checksum_finish(checksum_add(sum, bytes + 12, rest))),
				 reference(bytes, 12 + rest));
	}
}

/* RFC 8200 8.1: source, destination, 32 bits of length, three zeros, next header. */
static void pseudo_header_of_ip6(void **state)
{
	(void)state;
	struct rb_random random;

	rb_random_init(&random, seeds_first(__func__), 0);
	for (unsigned i = 0; i < 10000; i++) {
		uint8_t bytes[40 + 30];
		uint32_t length;

		fill(&random, bytes, sizeof(bytes));
		memset(bytes + 36, 0, 3);
		memcpy(&length, bytes + 32, sizeof(length));
		const uint64_t sum = checksum_pseudo6(bytes, bytes + 16, bytes[39], __builtin_bswap32(length));
		const size_t rest = rb_random_below(&random, 31);

		assert_int_equal(number(checksum_finish(checksum_add(sum, bytes + 40, rest))),
				 reference(bytes, 40 + rest));
	}
}

/* Where not everything is zero: of 0 and ffff, which are the same number, equation 3 then gives the one that the whole
 * gives (RFC 1624 3). */
static void updates_agree_with_the_whole(void **state)
{
	(void)state;
	uint8_t bytes[40];
	struct rb_random random;

	rb_random_init(&random, seeds_first(__func__), 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint16_t old;
		const uint16_t new = i % 3 == 0 ? 0 : i % 3 == 1 ? 0xffff : (uint16_t)rb_random_u64(&random);
		const size_t at = 2 * rb_random_below(&random, sizeof(bytes) / 2);

		fill(&random, bytes, sizeof(bytes));
		bytes[at ^ 2U] |= 1; /* not all zero */
		const uint16_t field = checksum_finish(checksum_add(0, bytes, sizeof(bytes)));

		memcpy(&old, bytes + at, sizeof(old));
		memcpy(bytes + at, &new, sizeof(new));
		assert_int_equal(number(checksum_update(field, old, new)), reference(bytes, sizeof(bytes)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_lengths_and_alignments),	cmocka_unit_test(any_pieces),
		cmocka_unit_test(published_examples),		cmocka_unit_test(a_good_packet_finishes_as_zero),
		cmocka_unit_test(pseudo_header_of_ip4),		cmocka_unit_test(pseudo_header_of_ip6),
		cmocka_unit_test(updates_agree_with_the_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
