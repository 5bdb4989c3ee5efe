// SPDX-License-Identifier: Apache-2.0
/*
 * Streaming JSON writer (RFC 8259): emits as it goes, allocates nothing, keeps no document.
 *
 * Debian's libraries (cJSON, json-c, jansson) build a tree first; a histogram would cost thousands of
 * allocations, and they round doubles or print integers above 2^53 through doubles. Writing is the small
 * half of JSON, so it is done here; nothing in the dataplane reads JSON.
 *
 * Misuse (a key in an array, a missing key, an unbalanced end) fails an assertion. I/O errors stick in the
 * FILE and are reported by rb_json_finish().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { RB_JSON_DEPTH_MAX = 32 };

struct rb_json {
	FILE *out; /* borrowed */
	unsigned depth;
	bool array[RB_JSON_DEPTH_MAX]; /* is the open container at this depth an array? */
	bool empty[RB_JSON_DEPTH_MAX]; /* has it no member yet? */
};

/* Starts a document on `out`. The root is one value, written with key NULL. */
void rb_json_init(struct rb_json *json, FILE *out);

/* `key` is required in objects and must be NULL in arrays and for the root. Text is UTF-8. */
void rb_json_object_begin(struct rb_json *json, const char *key);
void rb_json_object_end(struct rb_json *json);
void rb_json_array_begin(struct rb_json *json, const char *key);
void rb_json_array_end(struct rb_json *json);
void rb_json_string(struct rb_json *json, const char *key, const char *value);
void rb_json_uint(struct rb_json *json, const char *key, uint64_t value);
void rb_json_int(struct rb_json *json, const char *key, int64_t value);
void rb_json_bool(struct rb_json *json, const char *key, bool value);
/* Shortest form that reads back to the same double. NaN and infinities become null. */
void rb_json_real(struct rb_json *json, const char *key, double value);

/* Ends the document with a newline and flushes. Returns 0 or -errno (-EIO when the cause is lost). */
int rb_json_finish(struct rb_json *json);

/*
 * Writes a file so that readers see the old or the new content, never a part: a temporary file in the same
 * directory, fsync, rename. `write` fills the document. Returns 0 or -errno; on error the old file stays.
 */
int rb_json_write_file(const char *path, void (*write)(struct rb_json *json, void *arg), void *arg);
