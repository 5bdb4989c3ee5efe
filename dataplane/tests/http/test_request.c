// SPDX-License-Identifier: Apache-2.0
/* Heads of requests: what is taken, what is refused and with which status, however the bytes come. */
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "apps/http/request.h"

#define HOST "Host: a\r\n"
#define GET  "GET / HTTP/1.1\r\n" HOST

static const struct {
	const char *head;
	int outcome;
} corpus[] = {
	{GET "\r\n", HTTP_COMPLETE},
	{"GET / HTTP/1.0\r\n\r\n", HTTP_COMPLETE},
	{"\r\nGET / HTTP/1.1\r\nhOsT:a\r\n\r\n", HTTP_COMPLETE},
	{"GET / HTTP/1.9\r\nHost: [::1]:80\r\n\r\n", HTTP_COMPLETE},
	{"GET / HTTP/1.1\r\nHost:\r\n\r\n", HTTP_COMPLETE},
	{"HEAD /a?b=c%zz?d HTTP/1.1\r\n" HOST "X-Y: \t z\t \r\nEmpty:\r\n\r\n", HTTP_COMPLETE},
	{"GET http://h.example:80/x HTTP/1.1\r\n" HOST "\r\n", HTTP_COMPLETE},
	{"GET HTTPS://h?q HTTP/1.1\r\n" HOST "\r\n", HTTP_COMPLETE},
	{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", HTTP_COMPLETE},
	{"CONNECT h:443 HTTP/1.1\r\n" HOST "\r\n", HTTP_COMPLETE},
	{"BREW / HTTP/1.1\r\n" HOST "\r\n", HTTP_COMPLETE},
	{"get / HTTP/1.1\r\n" HOST "\r\n", HTTP_COMPLETE},
	{GET "Content-Length: 5\r\n\r\n", HTTP_COMPLETE},
	{GET "Content-Length: 1048576\r\n\r\n", HTTP_COMPLETE},
	{GET "Expect: 100-Continue\r\n\r\n", HTTP_COMPLETE},
	{GET "X: \x80\xff\r\n\r\n", HTTP_COMPLETE},
	/* not the lines of RFC 9112 */
	{"\r\n\r\n", 400},
	{"\n", 400},
	{"GET / HTTP/1.1\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\n", 400},
	{GET "\n", 400},
	{"GET / HTTP/1.1\rX\r\n", 400},
	{GET "X: a\rb\r\n", 400},
	{GET "X: a\r\r\n", 400},
	{GET " folded\r\n", 400},
	{GET "X: a\r\n\tfolded\r\n", 400},
	{GET "X : a\r\n", 400},
	{GET ": a\r\n", 400},
	{GET "X\r\n", 400},
	{GET "X Y: a\r\n", 400},
	{GET "X: \x01\r\n", 400},
	{GET "X: \x7f\r\n", 400},
	/* not a request line */
	{"GET\r\n", 400},
	{"GET /\r\n", 400},
	{"GET  / HTTP/1.1\r\n", 400},
	{"GET /  HTTP/1.1\r\n", 400},
	{"GET / HTTP/1.1 \r\n", 400},
	{" GET / HTTP/1.1\r\n", 400},
	{"GET\t/ HTTP/1.1\r\n", 400},
	{"G(T / HTTP/1.1\r\n", 400},
	{"GET /a b HTTP/1.1\r\n", 400},
	{"GET a HTTP/1.1\r\n", 400},
	{"GET * HTTP/1.1\r\n", 400},
	{"GET /#f HTTP/1.1\r\n", 400},
	{"GET /\xc3\xa4 HTTP/1.1\r\n", 400},
	{"GET http:///x HTTP/1.1\r\n", 400},
	{"GET http://a@b/ HTTP/1.1\r\n", 400},
	{"GET ftp://a/ HTTP/1.1\r\n", 400},
	{"CONNECT /h HTTP/1.1\r\n", HTTP_MORE},
	{"CONNECT h/x HTTP/1.1\r\n", 400},
	{"GET / HTTP/1.10\r\n", 400},
	{"GET / http/1.1\r\n", 400},
	{"GET / HTTP/1,1\r\n", 400},
	{"GET / HTTP/2.0\r\n", 505},
	{"PRI * HTTP/2.0\r\n", 505},
	{"GET / HTTP/0.9\r\n", 505},
	/* Host */
	{"GET / HTTP/1.1\r\n\r\n", 400},
	{GET HOST, 400},
	{"GET / HTTP/1.1\r\nHost: a/b\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a b\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: u@a\r\n", 400},
	/* what would let two readers see different requests */
	{GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
	{GET "Content-Length: 5\r\nContent-Length: 5\r\n", 400},
	{GET "Content-Length: 5, 5\r\n", 400},
	{GET "Content-Length: +5\r\n", 400},
	{GET "Content-Length: -5\r\n", 400},
	{GET "Content-Length: 0x5\r\n", 400},
	{GET "Content-Length: 5 5\r\n", 400},
	{GET "Content-Length:\r\n", 400},
	{GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
	{GET "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
	{GET "Transfer-Encoding: xchunked\r\n\r\n", 400},
	{GET "Transfer-Encoding:\r\n\r\n", 400},
	{"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	/* understood, and not wanted */
	{GET "Transfer-Encoding: Chunked\r\n\r\n", 411},
	{GET "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
	{GET "Content-Length: 1048577\r\n\r\n", 413},
	{GET "Content-Length: 18446744073709551616\r\n\r\n", 413},
	{GET "Expect: tea\r\n", 417},
	/* not all of it */
	{"", HTTP_MORE},
	{"G", HTTP_MORE},
	{"\r\n", HTTP_MORE},
	{"GET / HTTP/1.1\r", HTTP_MORE},
	{GET, HTTP_MORE},
	{GET "\r", HTTP_MORE},
	{GET "X : a", HTTP_MORE},
};

enum { CORPUS = sizeof(corpus) / sizeof(corpus[0]) };

/* What comes behind a head must not be looked at; the copy ends where the data do, for the sanitizer. */
static int parse_copy(struct http_parser *parser, const char *head, size_t length, size_t *used)
{
	uint8_t *copy = malloc(length > 0 ? length : 1);
	memcpy(copy, head, length);
	int outcome = http_parse(parser, copy, length, used);
	free(copy);
	return outcome;
}

static void test_corpus(void **state)
{
	(void)state;
	for (size_t i = 0; i < CORPUS; i++) {
		struct http_parser parser = {0};
		size_t length = strlen(corpus[i].head), used = 0;
		int outcome = parse_copy(&parser, corpus[i].head, length, &used);
		if (outcome != corpus[i].outcome)
			fail_msg("%d instead of %d for:\n%s", outcome, corpus[i].outcome, corpus[i].head);
		if (outcome == HTTP_COMPLETE)
			assert_int_equal(used, length);
	}
}

/* Every cut in two, and byte by byte: the same outcome, and never earlier than with the byte that decides it. */
static void test_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < CORPUS; i++) {
		size_t length = strlen(corpus[i].head), used;
		for (size_t split = 0; split <= length; split++) {
			struct http_parser parser = {0};
			int outcome = parse_copy(&parser, corpus[i].head, split, &used);
			if (outcome == HTTP_MORE)
				outcome = parse_copy(&parser, corpus[i].head, length, &used);
			if (outcome != corpus[i].outcome)
				fail_msg("%d instead of %d, cut at %zu:\n%s", outcome, corpus[i].outcome, split,
					 corpus[i].head);
		}
		struct http_parser parser = {0};
		int outcome = HTTP_MORE;
		for (size_t come = 0; come <= length && outcome == HTTP_MORE; come++)
			outcome = parse_copy(&parser, corpus[i].head, come, &used);
		assert_int_equal(outcome, corpus[i].outcome);
	}
}

static struct http_request parse(const char *head)
{
	struct http_parser parser = {0};
	size_t used;
	assert_int_equal(http_parse(&parser, (const uint8_t *)head, strlen(head), &used), HTTP_COMPLETE);
	return parser.request;
}

static void check_path(const char *head, const char *path)
{
	struct http_request request = parse(head);
	assert_int_equal(request.path.length, strlen(path));
	assert_memory_equal(head + request.path.offset, path, strlen(path));
}

static void test_targets(void **state)
{
	(void)state;
	check_path("GET /a/b?c HTTP/1.0\r\n\r\n", "/a/b");
	check_path("\r\nGET /a/b HTTP/1.0\r\n\r\n", "/a/b");
	check_path("GET /?/x HTTP/1.0\r\n\r\n", "/");
	check_path("GET http://h/x/y?z HTTP/1.0\r\n\r\n", "/x/y");
	check_path("GET http://h:80 HTTP/1.0\r\n\r\n", "");
	check_path("GET http://h?z HTTP/1.0\r\n\r\n", "");
	check_path("OPTIONS * HTTP/1.0\r\n\r\n", "");
}

static void test_methods(void **state)
{
	(void)state;
	assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n").method, HTTP_GET);
	assert_int_equal(parse("HEAD / HTTP/1.0\r\n\r\n").method, HTTP_HEAD);
	assert_int_equal(parse("POST / HTTP/1.0\r\n\r\n").method, HTTP_KNOWN);
	assert_int_equal(parse("get / HTTP/1.0\r\n\r\n").method, HTTP_UNKNOWN); /* methods have case */
	assert_int_equal(parse("GETS / HTTP/1.0\r\n\r\n").method, HTTP_UNKNOWN);
}

static void test_persistence(void **state)
{
	(void)state;
	assert_true(parse(GET "\r\n").keep_alive);
	assert_false(parse(GET "Connection: close\r\n\r\n").keep_alive);
	assert_false(parse(GET "Connection: x , CLOSE,keep-alive\r\n\r\n").keep_alive);
	assert_false(parse(GET "Connection: keep-alive\r\nConnection: close\r\n\r\n").keep_alive);
	assert_true(parse(GET "Connection: closed\r\n\r\n").keep_alive);
	assert_false(parse("GET / HTTP/1.0\r\n\r\n").keep_alive);
	assert_true(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
}

static void test_conditions(void **state)
{
	static const char once[] = GET "range:  bytes=0-1 \r\nIF-RANGE: x\r\n\r\n";
	(void)state;
	struct http_request request = parse(once);
	assert_int_equal(request.given, 1U << HTTP_RANGE | 1U << HTTP_IF_RANGE);
	assert_int_equal(request.condition[HTTP_RANGE].length, 9);
	assert_memory_equal(once + request.condition[HTTP_RANGE].offset, "bytes=0-1", 9);
	assert_int_equal(parse(GET "Range: a\r\nRange: b\r\nIf-Match: *\r\n\r\n").given, 0);
	assert_true(parse(GET "Expect: 100-continue\r\n\r\n").expects_continue);
	assert_false(parse("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue);
	assert_int_equal(parse(GET "Content-Length: 0007\r\n\r\n").content_length, 7);
}

/* A head of `length` bytes: the target, or else fields of 100 bytes, filled up as needed. */
static char *long_head(size_t length, bool in_target)
{
	char *head = malloc(length + 1);
	memset(head, 'x', length);
	head[length] = '\0';
	memcpy(head, "GET /", 5);
	if (in_target) {
		memcpy(head + length - 13, " HTTP/1.0\r\n\r\n", 13);
		return head;
	}
	memcpy(head + 5, " HTTP/1.0\r\n", 11);
	for (size_t at = 16; at + 4 < length; at += 1000) {
		size_t end = at + 1000 < length - 4 ? at + 1000 : length - 2;
		head[at + 1] = ':';
		memcpy(head + end - 2, "\r\n", 2);
	}
	memcpy(head + length - 2, "\r\n", 2);
	return head;
}

static void check_limit(size_t length, bool in_target, int expected)
{
	static const size_t pieces[] = {SIZE_MAX, 1, 7, 1000};
	char *head = long_head(length, in_target);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct http_parser parser = {0};
		int outcome = HTTP_MORE;
		size_t used;
		for (size_t come = 0; come < length && outcome == HTTP_MORE;) {
			come = length - come > pieces[i] ? come + pieces[i] : length;
			outcome = http_parse(&parser, (const uint8_t *)head, come, &used);
		}
		assert_int_equal(outcome, expected);
	}
	free(head);
}

static void test_limits(void **state)
{
	(void)state;
	check_limit(HTTP_LINE_MAX + 2, true, HTTP_COMPLETE);
	check_limit(HTTP_LINE_MAX + 3, true, 414);
	check_limit(HTTP_HEAD_MAX, false, HTTP_COMPLETE);
	check_limit(HTTP_HEAD_MAX + 1, false, 431);
	check_limit((size_t)10 * HTTP_HEAD_MAX, false, 431);
	check_limit((size_t)10 * HTTP_HEAD_MAX, true, 414);
}

static void test_number_of_fields(void **state)
{
	(void)state;
	for (size_t fields = HTTP_FIELDS_MAX; fields <= HTTP_FIELDS_MAX + 1; fields++) {
		char head[2048] = "GET / HTTP/1.0\r\n";
		struct http_parser parser = {0};
		size_t used;
		for (size_t i = 0; i < fields; i++)
			strcat(head, "X: y\r\n");
		strcat(head, "\r\n");
		assert_int_equal(http_parse(&parser, (const uint8_t *)head, strlen(head), &used),
				 fields <= HTTP_FIELDS_MAX ? HTTP_COMPLETE : 431);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),	    cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_targets),	    cmocka_unit_test(test_methods),
		cmocka_unit_test(test_persistence), cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_limits),	    cmocka_unit_test(test_number_of_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
