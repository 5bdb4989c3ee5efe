// SPDX-License-Identifier: Apache-2.0
#include "tests/harness.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"

static void expect_document(void (*write)(struct rb_json *json), const char *expected)
{
	char *text = NULL;
	size_t size = 0;
	struct rb_json json;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	rb_json_init(&json, out);
	write(&json);
	assert_int_equal(rb_json_finish(&json), 0);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void write_nested(struct rb_json *json)
{
	rb_json_object_begin(json, NULL);
	rb_json_uint(json, "u", UINT64_MAX);
	rb_json_int(json, "i", INT64_MIN);
	rb_json_bool(json, "t", true);
	rb_json_array_begin(json, "empty");
	rb_json_array_end(json);
	rb_json_array_begin(json, "list");
	rb_json_uint(json, NULL, 1);
	rb_json_array_begin(json, NULL);
	rb_json_bool(json, NULL, false);
	rb_json_array_end(json);
	rb_json_object_begin(json, NULL);
	rb_json_object_end(json);
	rb_json_array_end(json);
	rb_json_object_end(json);
}

static void test_structure(void **state)
{
	(void)state;
	expect_document(write_nested, "{\"u\":18446744073709551615,\"i\":-9223372036854775808,\"t\":true,\"empty\":[],"
				      "\"list\":[1,[false],{}]}\n");
}

static void write_text(struct rb_json *json)
{
	rb_json_object_begin(json, NULL);
	rb_json_string(json, "a\"b", "quote \" slash / back \\ \b\f\n\r\t \x01\x1f\x7f \xc3\xa9");
	rb_json_object_end(json);
}

static void test_escapes(void **state)
{
	(void)state;
	expect_document(write_text,
			"{\"a\\\"b\":\"quote \\\" slash / back \\\\ \\b\\f\\n\\r\\t \\u0001\\u001f\x7f \xc3\xa9\"}\n");
}

static void write_reals(struct rb_json *json)
{
	rb_json_array_begin(json, NULL);
	rb_json_real(json, NULL, 0.1);
	rb_json_real(json, NULL, 1.0 / 3.0);
	rb_json_real(json, NULL, 1e300);
	rb_json_real(json, NULL, 3);
	rb_json_real(json, NULL, -0.0);
	rb_json_real(json, NULL, NAN);
	rb_json_real(json, NULL, -INFINITY);
	rb_json_array_end(json);
}

static void test_reals(void **state)
{
	(void)state;
	expect_document(write_reals, "[0.1,0.3333333333333333,1e+300,3,-0,null,null]\n");
}

static void write_forty_two(struct rb_json *json, void *arg)
{
	rb_json_uint(json, NULL, *(const unsigned *)arg);
}

static void test_file(void **state)
{
	(void)state;
	char directory[] = "/tmp/rb-json-XXXXXX";
	char path[64], text[8] = "";
	unsigned value = 42;
	struct stat status;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/out.json", directory);
	assert_int_equal(rb_json_write_file(path, write_forty_two, &value), 0);
	value = 43;
	assert_int_equal(rb_json_write_file(path, write_forty_two, &value), 0);
	FILE *in = fopen(path, "r");
	assert_non_null(fgets(text, sizeof(text), in));
	fclose(in);
	assert_string_equal(text, "43\n");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0); /* no temporary file is left */
	assert_int_equal(rb_json_write_file(path, write_forty_two, &value), -ENOENT);
	assert_int_equal(stat(path, &status), -1);
}

static void test_write_error(void **state)
{
	(void)state;
	struct rb_json json;
	FILE *full = fopen("/dev/full", "w");
	assert_non_null(full);
	rb_json_init(&json, full);
	rb_json_uint(&json, NULL, 1);
	assert_int_equal(rb_json_finish(&json), -ENOSPC);
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure), cmocka_unit_test(test_escapes),     cmocka_unit_test(test_reals),
		cmocka_unit_test(test_file),	  cmocka_unit_test(test_write_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
