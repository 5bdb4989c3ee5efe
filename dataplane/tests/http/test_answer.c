// SPDX-License-Identifier: Apache-2.0
/* Answers: conditions, ranges, pipelines, bodies that nobody wants; each for every cut of what the client sends. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/http/fixture.h"

#define HOST "Host: a\r\n"
#define DATE "Date: Wed, 31 Dec 2025 23:59:59 GMT\r\n"

static struct http_site site;
static char tag[HTTP_TAG_LENGTH + 1];

static int open_site(void **state)
{
	(void)state;
	fixture_site(&site);
	memcpy(tag, http_site_find(&site, "/a.txt", 6)->file->tag, HTTP_TAG_LENGTH);
	return 0;
}

static int close_site(void **state)
{
	(void)state;
	http_site_free(&site);
	return 0;
}

/* One request; returns what came back, which lives until the next call. */
static const char *ask(const char *head)
{
	static struct transcript transcript;
	transcript_free(&transcript);
	transcript_init(&transcript);
	transcript_play(&transcript, &site, head, strlen(head), SIZE_MAX);
	return transcript.bytes;
}

/* GET /a.txt with these further fields. */
static const char *ask_with(const char *fields)
{
	char head[1024];
	snprintf(head, sizeof(head), "GET /a.txt HTTP/1.1\r\n" HOST "%s\r\n", fields);
	return ask(head);
}

static const char *ask_with_tag(const char *format)
{
	char fields[512];
	snprintf(fields, sizeof(fields), "%s: %s\r\n", format, tag);
	return ask_with(fields);
}

static void expect_status(const char *answer, int status)
{
	char line[32];
	snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
	if (strncmp(answer, line, strlen(line)) != 0)
		fail_msg("expected %d, got: %s", status, answer);
	assert_non_null(strstr(answer, "\r\n" DATE));
}

static void expect_field(const char *answer, const char *field)
{
	const char *end = strstr(answer, "\r\n\r\n");
	const char *found = strstr(answer, field);
	if (found == NULL || found > end || found[-1] != '\n' || strncmp(found + strlen(field), "\r\n", 2) != 0)
		fail_msg("no '%s' in: %s", field, answer);
}

static void expect_no_field(const char *answer, const char *name)
{
	const char *end = strstr(answer, "\r\n\r\n");
	const char *found = strstr(answer, name);
	assert_true(found == NULL || found > end);
}

static void expect_body(const char *answer, const char *body)
{
	assert_string_equal(strstr(answer, "\r\n\r\n") + 4, body);
}

/* Status, Content-Length and body. */
static void expect(const char *answer, int status, const char *body)
{
	char field[64];
	expect_status(answer, status);
	snprintf(field, sizeof(field), "Content-Length: %zu", strlen(body));
	expect_field(answer, field);
	expect_body(answer, body);
}

/* ---- whole answers ---- */

static void test_get_exactly(void **state)
{
	char expected[512];
	(void)state;
	snprintf(expected, sizeof(expected),
		 "HTTP/1.1 200 OK\r\nServer: rb-http\r\nLast-Modified: Thu, 29 Feb "
		 "2024 12:34:56 GMT\r\nETag: %s\r\n"
		 "Accept-Ranges: bytes\r\nContent-Type: text/plain; "
		 "charset=utf-8\r\nContent-Length: 10\r\n" DATE "\r\n0123456789",
		 tag);
	assert_string_equal(ask_with(""), expected);
}

static void test_files(void **state)
{
	(void)state;
	expect(ask("GET / HTTP/1.1\r\n" HOST "\r\n"), 200, "<p>root</p>\n");
	expect(ask("GET http://a HTTP/1.1\r\n" HOST "\r\n"), 200, "<p>root</p>\n");
	expect(ask("GET /dir/?x HTTP/1.1\r\n" HOST "\r\n"), 200, "<p>dir</p>\n");
	expect(ask("GET /./x/../dir//index%2ehtml HTTP/1.1\r\n" HOST "\r\n"), 200, "<p>dir</p>\n");
	expect(ask("GET /empty.bin HTTP/1.1\r\n" HOST "\r\n"), 200, "");
	expect(ask("GET /none HTTP/1.1\r\n" HOST "\r\n"), 404, "Not Found\n");
	expect(ask("GET /a.txt/ HTTP/1.1\r\n" HOST "\r\n"), 404, "Not Found\n");
	expect(ask("GET /../a.txt HTTP/1.1\r\n" HOST "\r\n"), 400, "Bad Request\n");
	const char *moved = ask("GET /with%20space HTTP/1.1\r\n" HOST "\r\n");
	expect(moved, 301, "");
	expect_field(moved, "Location: /with%20space/");
}

static void test_head(void **state)
{
	(void)state;
	const char *answer = ask("HEAD /a.txt HTTP/1.1\r\n" HOST "Range: bytes=0-1\r\n\r\n");
	expect_status(answer, 200); /* ranges are of GET only */
	expect_field(answer, "Content-Length: 10");
	expect_body(answer, "");
	answer = ask("HEAD /none HTTP/1.1\r\n" HOST "\r\n");
	expect_status(answer, 404);
	expect_field(answer, "Content-Length: 10");
	expect_body(answer, "");
}

static void test_methods(void **state)
{
	(void)state;
	const char *answer = ask("POST /a.txt HTTP/1.1\r\n" HOST "\r\n");
	expect(answer, 405, "Method Not Allowed\n");
	expect_field(answer, "Allow: GET, HEAD");
	expect_no_field(answer, "Connection");
	expect(ask("BREW / HTTP/1.1\r\n" HOST "\r\n"), 501, "Not Implemented\n");
	expect(ask("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), 405, "Method Not Allowed\n");
}

static void test_connection_field(void **state)
{
	(void)state;
	expect_no_field(ask_with(""), "Connection");
	expect_field(ask_with("Connection: close\r\n"), "Connection: close");
	expect_field(ask("GET / HTTP/1.0\r\n\r\n"), "Connection: close");
	expect_field(ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "Connection: keep-alive");
	expect_field(ask("GET / HTTP/2.0\r\n"), "Connection: close");
	expect(ask("GET / HTTP/2.0\r\n"), 505, "HTTP Version Not Supported\n");
}

/* ---- conditions ---- */

static void test_if_none_match(void **state)
{
	char fields[256];
	(void)state;
	const char *answer = ask_with_tag("If-None-Match");
	expect_status(answer, 304);
	expect_body(answer, "");
	expect_field(answer, "Last-Modified: Thu, 29 Feb 2024 12:34:56 GMT");
	expect_no_field(answer, "Content-Length");
	expect_status(ask_with("If-None-Match: *\r\n"), 304);
	expect_status(ask_with_tag("If-None-Match: \"x\" , ,W/\"y,z\",W/"), 200); /* there is a colon too many */
	snprintf(fields, sizeof(fields), "If-None-Match: \"x\" , ,W/\"y,z\",W/%s\r\n", tag);
	expect_status(ask_with(fields), 304);
	expect_status(ask_with("If-None-Match: \"x\"\r\n"), 200);
	expect_status(ask_with("If-None-Match: x\r\n"), 200);
	expect_status(ask_with("If-None-Match: \"x\r\n"), 200);
	expect_status(ask_with("If-None-Match:\r\n"), 200);
	/* it goes before a date */
	expect_status(ask_with("If-None-Match: \"x\"\r\nIf-Modified-Since: Thu, 29 "
			       "Feb 2024 12:34:56 GMT\r\n"),
		      200);
	expect_status(ask("HEAD /none HTTP/1.1\r\n" HOST "If-None-Match: *\r\n\r\n"), 404);
}

static void test_dates(void **state)
{
	(void)state;
	expect_status(ask_with("If-Modified-Since: Thu, 29 Feb 2024 12:34:56 GMT\r\n"), 304);
	expect_status(ask_with("If-Modified-Since: Thu, 29 Feb 2024 12:34:57 GMT\r\n"), 304);
	expect_status(ask_with("If-Modified-Since: Thu, 29 Feb 2024 12:34:55 GMT\r\n"), 200);
	expect_status(ask_with("If-Modified-Since: yesterday\r\n"), 200);
	expect_status(ask_with("If-Unmodified-Since: Thu, 29 Feb 2024 12:34:56 GMT\r\n"), 200);
	expect(ask_with("If-Unmodified-Since: Thu, 29 Feb 2024 12:34:55 GMT\r\n"), 412, "Precondition Failed\n");
	expect_status(ask_with("If-Unmodified-Since: yesterday\r\n"), 200);
}

static void test_if_match(void **state)
{
	char fields[256];
	(void)state;
	expect_status(ask_with_tag("If-Match"), 200);
	expect_status(ask_with("If-Match: *\r\n"), 200);
	expect_status(ask_with("If-Match: \"x\"\r\n"), 412);
	snprintf(fields, sizeof(fields), "If-Match: W/%s\r\n", tag);
	expect_status(ask_with(fields), 412); /* a weak tag is nobody's equal */
}

/* ---- ranges ---- */

static void check_range(const char *range, const char *content_range, const char *body)
{
	char field[128];
	snprintf(field, sizeof(field), "Range: %s\r\n", range);
	const char *answer = ask_with(field);
	expect(answer, 206, body);
	snprintf(field, sizeof(field), "Content-Range: bytes %s", content_range);
	expect_field(answer, field);
	expect_no_field(answer, "Accept-Ranges");
}

static void test_ranges(void **state)
{
	static const char *const none[] = {"bytes",	  "bytes=",	"bytes=-",    "bytes=a-b", "bytes=5-4",
					   "bytes=0-1,3", "bytes=0-1x", "bytes= 0-1", "items=0-1", "bytes=--1"};
	(void)state;
	check_range("bytes=0-0", "0-0/10", "0");
	check_range("bytes=2-5", "2-5/10", "2345");
	check_range("bytes=8-", "8-9/10", "89");
	check_range("bytes=0-99999999999999999999999999", "0-9/10", "0123456789");
	check_range("bytes=-3", "7-9/10", "789");
	check_range("bytes=-99999999999999999999999999", "0-9/10", "0123456789");
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		char field[64];
		snprintf(field, sizeof(field), "Range: %s\r\n", none[i]);
		expect(ask_with(field), 200, "0123456789");
	}
	expect_field(ask_with("Range: bytes=10-\r\n"), "Content-Range: bytes */10");
	expect(ask_with("Range: bytes=10-20\r\n"), 416, "Range Not Satisfiable\n");
	expect_status(ask_with("Range: bytes=-0\r\n"), 416);
	expect_status(ask("GET /empty.bin HTTP/1.1\r\n" HOST "Range: bytes=0-\r\n\r\n"), 416);
}

static void test_if_range(void **state)
{
	char fields[256];
	(void)state;
	snprintf(fields, sizeof(fields), "Range: bytes=0-1\r\nIf-Range: %s\r\n", tag);
	expect_status(ask_with(fields), 206);
	snprintf(fields, sizeof(fields), "Range: bytes=0-1\r\nIf-Range: W/%s\r\n", tag);
	expect_status(ask_with(fields), 200);
	expect_status(ask_with("Range: bytes=0-1\r\nIf-Range: \"x\"\r\n"), 200);
	expect_status(ask_with("Range: bytes=0-1\r\nIf-Range: Thu, 29 Feb 2024 12:34:56 GMT\r\n"), 206);
	expect_status(ask_with("Range: bytes=0-1\r\nIf-Range: Thu, 29 Feb 2024 12:34:57 GMT\r\n"), 200);
	expect_status(ask_with("Range: bytes=99-\r\nIf-Range: \"x\"\r\n"), 200);
	expect_status(ask_with("Range: bytes=0-1\r\nIf-None-Match: *\r\n"), 304);
}

/* ---- streams of requests ---- */

/* What each ends with is refused, so that nothing behind it may be served. */
static const char *const streams[] = {
	"GET / HTTP/1.1\r\n" HOST "\r\nHEAD /a.txt HTTP/1.1\r\n" HOST "\r\nGET /a.txt HTTP/1.1\r\n" HOST
	"Range: bytes=3-4\r\n\r\n",
	"POST / HTTP/1.1\r\n" HOST "Content-Length: 30\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"
	"GET /a.txt HTTP/1.1\r\n" HOST "\r\n",
	"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET /a.txt HTTP/1.1\r\n" HOST "\r\n",
	"GET / HTTP/1.1\r\n" HOST "Content-Length: 4\r\nTransfer-Encoding: "
	"chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
	"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
	"PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: "
	"3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1\r\n" HOST "\r\n\r\nGET / HTTP/1.0\r\n\r\nGET",
	"GET /big.bin HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n\r\nX",
};

static const unsigned answers[] = {3, 2, 1, 1, 1, 1, 2, 2};

static void test_streams_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		struct transcript whole, part;
		size_t length = strlen(streams[i]);
		transcript_init(&whole);
		size_t used = transcript_play(&whole, &site, streams[i], length, SIZE_MAX);
		assert_int_equal(used, length);
		assert_int_equal(whole.answers, answers[i]);
		for (size_t split = 0; split <= length + 3; split++) {
			transcript_init(&part);
			if (split < length)
				used = transcript_split(&part, &site, streams[i], length, split);
			else /* the last ones: in pieces of 1, 2, … bytes */
				used = transcript_play(&part, &site, streams[i], length, split - length + 1);
			assert_int_equal(used, length);
			assert_int_equal(part.length, whole.length);
			assert_memory_equal(part.bytes, whole.bytes, whole.length);
			transcript_free(&part);
		}
		transcript_free(&whole);
	}
}

/* Without room the next request waits where it is. */
static void test_backpressure(void **state)
{
	struct transcript transcript;
	(void)state;
	transcript_init(&transcript);
	transcript.room = 1;
	size_t used = transcript_play(&transcript, &site, streams[0], strlen(streams[0]), SIZE_MAX);
	assert_int_equal(used, strlen("GET / HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(transcript.answers, 1);
	transcript_free(&transcript);
}

static void test_big_body_is_not_copied(void **state)
{
	static const char head[] = "GET /big.bin HTTP/1.1\r\n" HOST "Range: bytes=500-99998\r\n\r\n";
	struct http_parser parser = {0};
	struct http_answer answer;
	const struct http_now now = fixture_now();
	size_t used;
	(void)state;
	assert_int_equal(http_parse(&parser, (const uint8_t *)head, sizeof(head) - 1, &used), HTTP_COMPLETE);
	http_answer(&site, &now, &parser.request, (const uint8_t *)head, &answer);
	assert_int_equal(answer.status, 206);
	assert_ptr_equal(answer.body, http_site_find(&site, "/big.bin", 8)->file->body + 500);
	assert_int_equal(answer.body_length, 99499);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get_exactly),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_connection_field),
		cmocka_unit_test(test_if_none_match),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_if_match),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_if_range),
		cmocka_unit_test(test_streams_at_every_split),
		cmocka_unit_test(test_backpressure),
		cmocka_unit_test(test_big_body_is_not_copied),
	};
	return cmocka_run_group_tests(tests, open_site, close_site);
}
