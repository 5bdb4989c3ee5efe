// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

void rb_json_init(struct rb_json *json, FILE *out)
{
	memset(json, 0, sizeof(*json));
	json->out = out;
	json->array[0] = true; /* the root behaves like an array of one value */
	json->empty[0] = true;
}

static const char *short_escape(unsigned char c)
{
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\b':
		return "\\b";
	case '\f':
		return "\\f";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	default:
		return NULL;
	}
}

/* RFC 8259 section 7: quotation mark, reverse solidus and U+0000..U+001F must be escaped. */
static void put_text(FILE *out, const char *text)
{
	putc('"', out);
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		const char *escape = short_escape(c);
		if (escape != NULL)
			fputs(escape, out);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

static void begin_value(struct rb_json *json, const char *key)
{
	bool array = json->array[json->depth];
	RB_ASSERT_EQ(key == NULL, array);
	if (json->depth == 0)
		RB_ASSERT(json->empty[0]); /* one root */
	if (!json->empty[json->depth])
		putc(',', json->out);
	json->empty[json->depth] = false;
	if (key != NULL) {
		put_text(json->out, key);
		putc(':', json->out);
	}
}

static void begin_container(struct rb_json *json, const char *key, bool array)
{
	begin_value(json, key);
	RB_ASSERT_LT(json->depth + 1, RB_JSON_DEPTH_MAX + 0U);
	json->depth++;
	json->array[json->depth] = array;
	json->empty[json->depth] = true;
	putc(array ? '[' : '{', json->out);
}

static void end_container(struct rb_json *json, bool array)
{
	RB_ASSERT_GT(json->depth, 0U);
	RB_ASSERT_EQ(json->array[json->depth], array);
	json->depth--;
	putc(array ? ']' : '}', json->out);
}

void rb_json_object_begin(struct rb_json *json, const char *key)
{
	begin_container(json, key, false);
}

void rb_json_object_end(struct rb_json *json)
{
	end_container(json, false);
}

void rb_json_array_begin(struct rb_json *json, const char *key)
{
	begin_container(json, key, true);
}

void rb_json_array_end(struct rb_json *json)
{
	end_container(json, true);
}

void rb_json_string(struct rb_json *json, const char *key, const char *value)
{
	begin_value(json, key);
	put_text(json->out, value);
}

void rb_json_uint(struct rb_json *json, const char *key, uint64_t value)
{
	begin_value(json, key);
	fprintf(json->out, "%" PRIu64, value);
}

void rb_json_int(struct rb_json *json, const char *key, int64_t value)
{
	begin_value(json, key);
	fprintf(json->out, "%" PRId64, value);
}

void rb_json_bool(struct rb_json *json, const char *key, bool value)
{
	begin_value(json, key);
	fputs(value ? "true" : "false", json->out);
}

void rb_json_real(struct rb_json *json, const char *key, double value)
{
	begin_value(json, key);
	if (!isfinite(value)) {
		fputs("null", json->out);
		return;
	}
	char text[32];
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	fputs(text, json->out);
}

int rb_json_finish(struct rb_json *json)
{
	RB_ASSERT_EQ(json->depth, 0U);
	RB_ASSERT(!json->empty[0]);
	putc('\n', json->out);
	errno = 0;
	if (fflush(json->out) != 0)
		return errno != 0 ? -errno : -EIO;
	return ferror(json->out) ? -EIO : 0;
}

static int write_and_sync(FILE *out, void (*write)(struct rb_json *json, void *arg), void *arg)
{
	struct rb_json json;
	rb_json_init(&json, out);
	write(&json, arg);
	int result = rb_json_finish(&json);
	if (result == 0 && fsync(fileno(out)) != 0)
		result = -errno;
	if (fclose(out) != 0 && result == 0)
		result = -errno;
	return result;
}

int rb_json_write_file(const char *path, void (*write)(struct rb_json *json, void *arg), void *arg)
{
	char *temporary = NULL;
	if (asprintf(&temporary, "%s.%ld.tmp", path, (long)getpid()) < 0)
		return -ENOMEM;
	FILE *out = fopen(temporary, "we");
	int result = out != NULL ? write_and_sync(out, write, arg) : -errno;
	if (result == 0 && rename(temporary, path) != 0)
		result = -errno;
	if (result != 0 && out != NULL)
		unlink(temporary);
	free(temporary);
	return result;
}
