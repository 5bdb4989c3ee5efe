// SPDX-License-Identifier: Apache-2.0
#include "apps/http/site.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "apps/http/date.h"
#include "base/siphash.h"

enum { SLOTS_MIN = 64 };

static const char index_name[] = "index.html";

void http_site_init(struct http_site *site, size_t bytes_max)
{
	*site = (struct http_site){.bytes_max = bytes_max};
}

static void free_file(struct http_file *file)
{
	free(file->ok.at);
	free(file->partial.at);
	free(file->unchanged.at);
	free((void *)(uintptr_t)file->body); /* ours; const for everybody else */
	free(file);
}

void http_site_free(struct http_site *site)
{
	while (site->files != NULL) {
		struct http_file *next = site->files->next;
		free_file(site->files);
		site->files = next;
	}
	for (size_t i = 0; i < site->slots; i++) {
		free(site->entries[i].name);
		free(site->entries[i].moved.at);
	}
	free(site->entries);
	*site = (struct http_site){0};
}

/* ---- names ---- */

/* Names are few, ours and fixed: nobody can make them collide, so the key is no secret. */
static uint64_t hash_of(const char *name, size_t length)
{
	static const uint8_t key[16] = "names of a site";
	return rb_siphash(key, name, length);
}

static size_t slot_of(const struct http_entry *entries, size_t slots, uint64_t hash, const char *name, size_t length)
{
	size_t slot = hash & (slots - 1);
	while (entries[slot].name != NULL) {
		const struct http_entry *entry = &entries[slot];
		if (entry->hash == hash && entry->length == length && memcmp(entry->name, name, length) == 0)
			break;
		slot = (slot + 1) & (slots - 1);
	}
	return slot;
}

const struct http_entry *http_site_find(const struct http_site *site, const char *name, size_t length)
{
	if (site->slots == 0)
		return NULL;
	const struct http_entry *entry =
		&site->entries[slot_of(site->entries, site->slots, hash_of(name, length), name, length)];
	return entry->name != NULL ? entry : NULL;
}

/* Keeps at least half of the slots free. */
static int make_room(struct http_site *site)
{
	if (2 * (site->used + 1) <= site->slots)
		return 0;
	size_t slots = site->slots > 0 ? 2 * site->slots : SLOTS_MIN;
	struct http_entry *entries = calloc(slots, sizeof(*entries));
	if (entries == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < site->slots; i++) {
		const struct http_entry *old = &site->entries[i];
		if (old->name != NULL)
			entries[slot_of(entries, slots, old->hash, old->name, old->length)] = *old;
	}
	free(site->entries);
	site->entries = entries;
	site->slots = slots;
	return 0;
}

/* `moved` is taken over, also when this fails. */
static int add_entry(struct http_site *site, const char *name, size_t length, const struct http_file *file,
		     struct http_text moved)
{
	int result = make_room(site);
	char *copy = result == 0 ? strndup(name, length) : NULL;
	uint64_t hash = hash_of(name, length);
	if (copy != NULL) {
		struct http_entry *entry = &site->entries[slot_of(site->entries, site->slots, hash, name, length)];
		result = entry->name != NULL ? -EEXIST : 0;
		if (result == 0) {
			*entry = (struct http_entry){
				.name = copy, .length = length, .hash = hash, .file = file, .moved = moved};
			site->used++;
			return 0;
		}
	}
	free(copy);
	free(moved.at);
	return result != 0 ? result : -ENOMEM;
}

/* ---- heads ---- */

static const char *content_type(const char *name)
{
	static const struct {
		const char *extension, *type;
	} types[] = {
		{"html", "text/html; charset=utf-8"},
		{"htm", "text/html; charset=utf-8"},
		{"txt", "text/plain; charset=utf-8"},
		{"md", "text/markdown; charset=utf-8"},
		{"css", "text/css; charset=utf-8"},
		{"csv", "text/csv; charset=utf-8"},
		{"js", "text/javascript; charset=utf-8"},
		{"mjs", "text/javascript; charset=utf-8"},
		{"json", "application/json"},
		{"xml", "application/xml"},
		{"pdf", "application/pdf"},
		{"wasm", "application/wasm"},
		{"gz", "application/gzip"},
		{"zip", "application/zip"},
		{"gif", "image/gif"},
		{"ico", "image/vnd.microsoft.icon"},
		{"jpeg", "image/jpeg"},
		{"jpg", "image/jpeg"},
		{"png", "image/png"},
		{"svg", "image/svg+xml"},
		{"webp", "image/webp"},
		{"mp4", "video/mp4"},
		{"webm", "video/webm"},
		{"woff2", "font/woff2"},
	};
	const char *dot = strrchr(name, '.');
	for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcasecmp(dot + 1, types[i].extension) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

static __attribute__((format(printf, 2, 3))) int print(struct http_text *text, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = vasprintf(&text->at, format, arguments);
	va_end(arguments);
	if (length < 0) {
		*text = (struct http_text){0};
		return -ENOMEM;
	}
	text->length = (size_t)length;
	return 0;
}

static int make_heads(struct http_file *file, const char *name)
{
	static const uint8_t key[16] = "tags of contents";
	char modified[HTTP_DATE_LENGTH + 1] = "", tag[HTTP_TAG_LENGTH + 1], fields[256];
	const char *type = content_type(name);
	http_date_format(file->modified, modified);
	snprintf(tag, sizeof(tag), "\"%016llx\"", (unsigned long long)rb_siphash(key, file->body, file->length));
	memcpy(file->tag, tag, HTTP_TAG_LENGTH);
	snprintf(fields, sizeof(fields), "Server: rb-http\r\nLast-Modified: %s\r\nETag: %s\r\n", modified, tag);
	int result = print(&file->ok,
			   "HTTP/1.1 200 OK\r\n%sAccept-Ranges: "
			   "bytes\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
			   fields, type, file->length);
	if (result == 0)
		result = print(&file->partial, "HTTP/1.1 206 Partial Content\r\n%sContent-Type: %s\r\n", fields, type);
	if (result == 0)
		result = print(&file->unchanged, "HTTP/1.1 304 Not Modified\r\n%s", fields);
	return result;
}

/* ---- adding ---- */

static struct http_file *make_file(const char *name, const void *body, size_t length, int64_t modified)
{
	struct http_file *file = calloc(1, sizeof(*file));
	uint8_t *copy = malloc(length > 0 ? length : 1);
	if (file == NULL || copy == NULL) {
		free(file);
		free(copy);
		return NULL;
	}
	if (length > 0)
		memcpy(copy, body, length);
	file->body = copy;
	file->length = length;
	file->modified = modified;
	if (make_heads(file, name) != 0) {
		free_file(file);
		return NULL;
	}
	return file;
}

/* The name as a target: what is not plain in it is escaped. */
static int escape(const char *name, size_t length, char **escaped)
{
	char *out = malloc(3 * length + 1);
	*escaped = out;
	if (out == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)name[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c != '\0' && strchr("/-._~!$&'()*+,;=:@", c) != NULL);
		if (plain)
			*out++ = (char)c;
		else
			out += sprintf(out, "%%%02X", c);
	}
	*out = '\0';
	return 0;
}

/* `name`/ has an index: `name`, without the '/', leads there. */
static int add_redirect(struct http_site *site, const char *name, size_t length)
{
	struct http_text moved;
	char *target;
	int result = escape(name, length, &target);
	if (result != 0)
		return result;
	result = print(&moved, "HTTP/1.1 301 Moved Permanently\r\nServer: rb-http\r\nLocation: %s/\r\n", target);
	free(target);
	return result != 0 ? result : add_entry(site, name, length, NULL, moved);
}

int http_site_add(struct http_site *site, const char *name, const void *body, size_t length, int64_t modified)
{
	const struct http_text none = {0};
	size_t name_length = strlen(name);
	size_t directory = (size_t)(strrchr(name, '/') - name) + 1;
	if (length > site->bytes_max - site->bytes)
		return -ENOSPC;
	struct http_file *file = make_file(name, body, length, modified);
	if (file == NULL)
		return -ENOMEM;
	file->next = site->files;
	site->files = file;
	site->bytes += length;
	int result = add_entry(site, name, name_length, file, none);
	if (result == 0 && strcmp(name + directory, index_name) == 0) {
		result = add_entry(site, name, directory, file, none);
		if (result == 0 && directory > 1)
			result = add_redirect(site, name, directory - 1);
	}
	return result;
}
