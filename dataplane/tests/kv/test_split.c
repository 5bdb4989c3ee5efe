// SPDX-License-Identifier: Apache-2.0
/* However a stream of requests is cut, the replies are the same; and the replies of a corpus are what they must be. */
#include "tests/kv/fixture.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *input, *reply;
} text_corpus[] = {
	{"set a 5 0 3\r\nabc\r\nget a\r\n", "STORED\r\nVALUE a 5 3\r\nabc\r\nEND\r\n"},
	{"set a 0 0 3 noreply\r\nabc\r\nget a b a\r\n", "VALUE a 0 3\r\nabc\r\nVALUE a 0 3\r\nabc\r\nEND\r\n"},
	{"gets a\r\nset a 0 0 0\r\n\r\ngets a  b \r\n", "END\r\nSTORED\r\nVALUE a 0 0 2\r\n\r\nEND\r\n"},
	{"  get a\r\n get\r\nget \r\n\r\nGET a\r\n", "END\r\nERROR\r\nERROR\r\nERROR\r\nERROR\r\n"},
	{"add a 0 0 1\r\n1\r\nadd a 0 0 1\r\n2\r\nappend a 0 0 1\r\n3\r\nprepend a 0 0 1\r\n0\r\nget a\n",
	 "STORED\r\nNOT_STORED\r\nSTORED\r\nSTORED\r\nVALUE a 0 3\r\n013\r\nEND\r\n"},
	{"replace a 0 0 1\r\n1\r\ncas a 0 0 1 5\r\n1\r\ndelete a\r\ntouch a 0\r\nincr a 1\r\n",
	 "NOT_STORED\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\n"},
	{"set a 0 0 2\r\nabcd\r\nversion x\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\nVERSION " KV_VERSION "\r\n"},
	{"set a 0 0 2000000\r\n", "SERVER_ERROR object too large for cache\r\n"},
	{"gat 0 a\r\ngat x a\r\ngats 5 a b\r\ngat\r\n",
	 "END\r\nCLIENT_ERROR invalid exptime argument\r\nEND\r\nERROR\r\n"},
	{"verbosity 1\r\nflush_all\r\nflush_all 0 noreply\r\nstats reset\r\nstats x\r\nquit\r\nversion\r\n",
	 "OK\r\nOK\r\nRESET\r\nERROR\r\n"},
	{"set a 0 -1 1\r\n1\r\nget a\r\n", "STORED\r\nEND\r\n"},
	{"GET / HTTP/1.1\r\nversion\r\n", ""},
};

#define HEADER(opcode, key, extras, body) "\x80" opcode "\0" key extras "\0\0\0\0\0\0" body "opaq\0\0\0\0\0\0\0\0"

static const uint8_t binary_input[] =
	/* set a = xy with flags 7; add again; getk; get of nothing, quietly; incr; noop; unknown; quit */
	HEADER("\x01", "\1", "\x08", "\x0b") "\0\0\0\7\0\0\0\0axy" HEADER("\x12", "\1", "\x08", "\x09") "\0\0\0\0\0\0\0\0a" HEADER(
		"\x0c", "\1", "\0",
		"\1") "a" HEADER("\x09", "\2", "\0",
				 "\2") "no" HEADER("\x05", "\1", "\x14",
						   "\x15") "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x21\0\0\0\0n" HEADER("\x0a",
														"\0",
														"\0",
														"\0")
		HEADER("\x55", "\0", "\0", "\2") "??" HEADER("\x07", "\0", "\0", "\0");

#define REPLY(opcode, key, extras, status, body, cas) \
	"\x81" opcode "\0" key extras "\0\0" status "\0\0\0" body "opaq\0\0\0\0\0\0\0" cas

static const uint8_t binary_reply[] = REPLY("\x01", "\0", "\0", "\0", "\0", "\2")
	REPLY("\x12", "\0", "\0", "\2", "\x14", "\0") "Data exists for key." REPLY(
		"\x0c", "\1", "\4", "\0", "\7",
		"\2") "\0\0\0\7axy" REPLY("\x05", "\0", "\0", "\0", "\x08",
					  "\4") "\0\0\0\0\0\0\0\x21" REPLY("\x0a", "\0", "\0", "\0", "\0", "\0")
		REPLY("\x55", "\0", "\0", "\x81", "\x0f", "\0") "Unknown command" REPLY("\x07", "\0", "\0", "\0", "\0",
											"\0");

/* On a store of its own, so that cas is the same. */
static void check(const void *input, size_t length, const void *expected, size_t expected_bytes, size_t piece)
{
	const struct kv_store_config config = {
		.memory_bytes = 2 << 20, .item_bytes_max = 1 << 20, .threads = 1, .seed = 1};
	struct talk talk;

	talk_open(&talk, &config);
	(void)talk_input(&talk, input, length, piece);
	assert_int_equal(talk.reply_bytes, expected_bytes);
	assert_memory_equal(talk.reply, expected, expected_bytes);
	talk_close(&talk);
}

/* In two pieces, cut anywhere. */
static void check_two(const uint8_t *input, size_t length, const void *expected, size_t expected_bytes)
{
	for (size_t cut = 1; cut < length; cut++) {
		struct talk talk;
		talk_open(&talk, NULL);
		const size_t kept = talk_input(&talk, input, cut, 0);
		assert_int_equal(talk_input(&talk, input + cut - kept, length - cut + kept, 0), 0);
		assert_int_equal(talk.reply_bytes, expected_bytes);
		assert_memory_equal(talk.reply, expected, expected_bytes);
		talk_close(&talk);
	}
}

static void check_all(const void *input, size_t length, const void *expected, size_t expected_bytes)
{
	check(input, length, expected, expected_bytes, 0);
	for (size_t piece = 1; piece < length; piece++)
		check(input, length, expected, expected_bytes, piece);
	check_two(input, length, expected, expected_bytes);
}

static void test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(text_corpus) / sizeof(text_corpus[0]); i++)
		check_all(text_corpus[i].input, strlen(text_corpus[i].input), text_corpus[i].reply,
			  strlen(text_corpus[i].reply));
}

static void test_binary(void **state)
{
	(void)state;
	check_all(binary_input, sizeof(binary_input) - 1, binary_reply, sizeof(binary_reply) - 1);
}

/* Values that are copied into the reply and values that are sent from where they are, around the limit between them. */
static void test_value_sizes(void **state)
{
	static const unsigned sizes[] = {0, 1, 511, 512, 513, 4000, 100000};
	struct talk talk;

	(void)state;
	talk_open(&talk, NULL);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const unsigned size = sizes[i];
		char *value = malloc(size + 1);
		char *input = malloc(2 * (size_t)size + 200);
		char *expected = malloc(2 * (size_t)size + 200);
		assert_true(value != NULL && input != NULL && expected != NULL);
		memset(value, 'v', size);
		value[size] = '\0';
		sprintf(input, "set k 9 0 %u\r\n%s\r\nget k k\r\n", size, value);
		sprintf(expected, "STORED\r\nVALUE k 9 %u\r\n%s\r\nVALUE k 9 %u\r\n%s\r\nEND\r\n", size, value, size,
			value);
		talk_expect(&talk, input, expected);
		free(value);
		free(input);
		free(expected);
	}
	talk_close(&talk);
}

/* A line of very many keys: the output is taken when it is full, and the line goes on. */
static void test_many_keys(void **state)
{
	enum { KEYS = 2000, VALUE = 600 };
	struct talk talk;
	char *input = malloc(8 * KEYS + 2000);
	size_t length = (size_t)sprintf(input, "set k 0 0 %d\r\n%0*d\r\nget", VALUE, VALUE, 0);

	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		length += (size_t)sprintf(input + length, " k");
	length += (size_t)sprintf(input + length, "\r\n");
	for (size_t piece = 0; piece < 5000; piece += 1234) {
		talk_open(&talk, NULL);
		assert_int_equal(talk_input(&talk, input, length, piece), 0);
		assert_int_equal(talk.reply_bytes, 8 + KEYS * (15 + VALUE + 2) + 5);
		talk_close(&talk);
	}
	free(input);
}

static void test_endless_lines(void **state)
{
	char line[3 * KV_LINE_MAX];
	struct talk talk;

	(void)state;
	memset(line, 'x', sizeof(line));
	talk_open(&talk, NULL);
	(void)talk_input(&talk, line, sizeof(line), 100);
	assert_int_equal(talk.session.state, KV_ENDED);
	assert_int_equal(talk.reply_bytes, 0);
	/* Of a key that is too long not all need be kept. */
	talk_begin(&talk);
	memcpy(line, "get ", 4);
	assert_true(talk_input(&talk, line, sizeof(line), 100) <= KV_KEY_MAX + 1);
	assert_int_equal(talk_input(&talk, "\r\nget a\r\n", 9, 0), 0);
	talk.reply[talk.reply_bytes] = '\0';
	assert_string_equal((const char *)talk.reply, "CLIENT_ERROR bad command line format\r\nEND\r\n");
	memcpy(line, "gat ", 4);
	talk_begin(&talk);
	(void)talk_input(&talk, line, sizeof(line), 100);
	assert_int_equal(talk.session.state, KV_ENDED);
	talk_close(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	      cmocka_unit_test(test_binary),
		cmocka_unit_test(test_value_sizes),   cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_endless_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
