// SPDX-License-Identifier: Apache-2.0
/* Names, dates, and files in memory. */
#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/http/date.h"
#include "apps/http/path.h"
#include "apps/http/site.h"
#include "base/log.h"

/* ---- names ---- */

static void check_name(const char *path, const char *expected)
{
	size_t length = strlen(path);
	char *copy = malloc(length + 1), *name = malloc(length + 1);
	memcpy(copy, path, length);
	size_t got = http_path_name(copy, length, name);
	if (got != strlen(expected) || memcmp(name, expected, got) != 0)
		fail_msg("%s became '%.*s' instead of '%s'", path, (int)got, name, expected);
	free(copy);
	free(name);
}

static void test_names(void **state)
{
	(void)state;
	check_name("", "/");
	check_name("/", "/");
	check_name("/a", "/a");
	check_name("/a/", "/a/");
	check_name("/a/b.html", "/a/b.html");
	check_name("//a///b//", "/a/b/");
	check_name("/./a/./b/.", "/a/b/");
	check_name("/a/../b", "/b");
	check_name("/a/b/../..", "/");
	check_name("/a/b/..", "/a/");
	check_name("/a/..b/...", "/a/..b/...");
	check_name("/%61%2e%2E", "/a..");
	check_name("/x/%2e%2e/y", "/y");
	check_name("/%2e/y", "/y");
	check_name("/%25%61", "/%a"); /* decoded once */
	check_name("/%c3%a4", "/\xc3\xa4");
	check_name("/a%20b", "/a b");
	/* nothing */
	check_name("a", "");
	check_name("/..", "");
	check_name("/../etc/passwd", "");
	check_name("/a/../../b", "");
	check_name("/a/%2e%2e/%2e./b", "");
	check_name("/a/.%2e/..", "");
	check_name("/%", "");
	check_name("/%4", "");
	check_name("/%4g", "");
	check_name("/\n", "");
	check_name("/%00", "");
	check_name("/%0a", "");
	check_name("/%7f", "");
	check_name("/a%2fb", "");
}

/* ---- dates ---- */

static void check_date(const char *text, int64_t expected)
{
	int64_t seconds;
	if (!http_date_parse(text, strlen(text), 1767225599, &seconds))
		fail_msg("%s was not understood", text);
	assert_true(seconds == expected);
}

static void refuse_date(const char *text)
{
	int64_t seconds;
	if (http_date_parse(text, strlen(text), 1767225599, &seconds))
		fail_msg("%s was understood", text);
}

static void test_dates(void **state)
{
	char text[HTTP_DATE_LENGTH + 1] = "";
	(void)state;
	http_date_format(784111777, text);
	assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
	http_date_format(0, text);
	assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
	http_date_format(253402300799, text);
	assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
	check_date("Sun, 06 Nov 1994 08:49:37 GMT", 784111777);
	check_date("Sunday, 06-Nov-94 08:49:37 GMT", 784111777);
	check_date("Sun Nov  6 08:49:37 1994", 784111777);
	check_date("Sun Nov 16 08:49:37 1994", 784111777 + 10 * 86400);
	check_date("Thu, 29 Feb 2024 00:00:00 GMT", 1709164800);
	check_date("Thursday, 29-Feb-24 00:00:00 GMT", 1709164800);
	check_date("Friday, 01-Jan-75 00:00:00 GMT", 3313526400); /* 2075 is 50 years ahead of 2025, 2076 too far */
	check_date("Thursday, 01-Jan-76 00:00:00 GMT", 189302400);
	for (int64_t seconds = 0; seconds < 4102444800; seconds += 86400 * 11 + 12345) {
		http_date_format(seconds, text);
		check_date(text, seconds);
	}
	refuse_date("");
	refuse_date("Sun, 06 Nov 1994 08:49:37 UTC");
	refuse_date("Sun, 06 Nov 1994 08:49:37 GMT ");
	refuse_date("Sun, 31 Feb 2024 08:49:37 GMT");
	refuse_date("Sun, 06 Foo 1994 08:49:37 GMT");
	refuse_date("Sun, 06 Nov 1994 24:49:37 GMT");
	refuse_date("Sun, 6 Nov 1994 08:49:37 GMT");
	refuse_date("Sonntag, 06-Nov-94 08:49:37 GMT");
	refuse_date("784111777");
}

/* ---- the site ---- */

static const struct http_entry *find(const struct http_site *site, const char *name)
{
	return http_site_find(site, name, strlen(name));
}

static void test_add_and_find(void **state)
{
	(void)state;
	struct http_site site;
	http_site_init(&site, 100000);
	assert_null(find(&site, "/"));
	for (int i = 0; i < 1000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "/d%d/index.html", i);
		assert_int_equal(http_site_add(&site, name, name, strlen(name), i), 0);
	}
	assert_int_equal(site.used, 3000);
	const struct http_entry *entry = find(&site, "/d999/");
	assert_non_null(entry);
	assert_ptr_equal(entry->file, find(&site, "/d999/index.html")->file);
	assert_memory_equal(entry->file->body, "/d999/index.html", 16);
	assert_null(find(&site, "/d999")->file);
	assert_non_null(strstr(find(&site, "/d999")->moved.at, "\r\nLocation: /d999/\r\n"));
	assert_null(find(&site, "/d1000/"));
	assert_int_equal(http_site_add(&site, "/d1/index.html", "", 0, 0), -EEXIST);
	assert_int_equal(http_site_add(&site, "/big", NULL, 100000, 0), -ENOSPC);
	http_site_free(&site);
}

static void test_heads(void **state)
{
	(void)state;
	struct http_site site;
	http_site_init(&site, 1000);
	assert_int_equal(http_site_add(&site, "/a b/index.html", "x", 1, 784111777), 0);
	assert_int_equal(http_site_add(&site, "/t.TXT", "y", 1, 784111777), 0);
	assert_int_equal(http_site_add(&site, "/u.x.txt", "x", 1, 784111777), 0);
	assert_int_equal(http_site_add(&site, "/a.b/c", "x", 1, 784111777), 0);
	const struct http_file *html = find(&site, "/a b/")->file, *text = find(&site, "/t.TXT")->file;
	assert_non_null(strstr(html->ok.at, "\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1\r\n"));
	assert_non_null(strstr(text->ok.at, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
	assert_non_null(strstr(text->ok.at, "\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
	assert_non_null(strstr(find(&site, "/a.b/c")->file->ok.at, "\r\nContent-Type: application/octet-stream\r\n"));
	assert_non_null(strstr(find(&site, "/a b")->moved.at, "\r\nLocation: /a%20b/\r\n"));
	/* the tag is of the contents */
	assert_memory_equal(html->tag, find(&site, "/u.x.txt")->file->tag, HTTP_TAG_LENGTH);
	assert_memory_not_equal(html->tag, text->tag, HTTP_TAG_LENGTH);
	http_site_free(&site);
}

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void remove_name(const char *directory, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(remove(path), 0);
}

static void test_load(void **state)
{
	char directory[] = "/tmp/rb-http-XXXXXX", path[128];
	struct http_site site;
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/sub", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/.hidden", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/link", directory);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	write_file(directory, "index.html", "root");
	write_file(directory, "sub/file", "12345");
	write_file(directory, ".hidden/secret", "secret");
	write_file(directory, ".dot", "secret");
	snprintf(path, sizeof(path), "%s/", directory);
	http_site_init(&site, 9);
	assert_int_equal(http_site_load(&site, path), 0);
	assert_int_equal(site.bytes, 9);
	assert_int_equal(site.used, 3); /* /index.html, /, /sub/file */
	assert_memory_equal(find(&site, "/sub/file")->file->body, "12345", 5);
	http_site_free(&site);
	http_site_init(&site, 8);
	assert_int_equal(http_site_load(&site, directory), -ENOSPC);
	http_site_free(&site);
	snprintf(path, sizeof(path), "%s/index.html", directory);
	http_site_init(&site, 9);
	assert_int_equal(http_site_load(&site, path), -ENOTDIR);
	assert_int_equal(http_site_load(&site, "/nonexistent"), -ENOENT);
	http_site_free(&site);
	static const char *const names[] = {"index.html", "sub/file", "sub", ".hidden/secret",
					    ".hidden",	  ".dot",     "link"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove_name(directory, names[i]);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_dates), cmocka_unit_test(test_add_and_find),
		cmocka_unit_test(test_heads), cmocka_unit_test(test_load),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
