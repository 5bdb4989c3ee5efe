// SPDX-License-Identifier: Apache-2.0
/*
 * What a server serves: files in memory, each with the heads of its responses, made when it is added. Nothing of it
 * changes while the server runs, so threads share it and its bytes can be sent from where they are.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct http_text {
	char *at;
	size_t length;
};

enum { HTTP_TAG_LENGTH = 18 }; /* of an entity tag, with its quotes */

struct http_file {
	const uint8_t *body;
	size_t length;
	int64_t modified; /* seconds since 1970 */
	char tag[HTTP_TAG_LENGTH];
	/* Response heads up to, and without, what depends on the request and the time: Date and the last line. */
	struct http_text ok;	    /* 200 */
	struct http_text partial;   /* 206, without Content-Length and Content-Range */
	struct http_text unchanged; /* 304 */
	struct http_file *next;	    /* of all files of the site */
};

/* What a name stands for: a file, or a directory that was named without its last '/'. */
struct http_entry {
	char *name; /* as from http_path_name(), with a NUL */
	size_t length;
	uint64_t hash;
	const struct http_file *file; /* NULL: see `moved` */
	struct http_text moved;	      /* head of the 301, as above */
};

struct http_site {
	struct http_entry *entries; /* hash table with open addressing, 2^n slots */
	size_t slots, used;
	struct http_file *files;
	size_t bytes; /* of all bodies */
	size_t bytes_max;
};

void http_site_init(struct http_site *site, size_t bytes_max);
void http_site_free(struct http_site *site);

/*
 * Adds a file under a name that begins with '/' and has no empty or dot segment. The body is copied. A file
 * .../index.html is also .../, and ... without the '/' is then answered by 301. Returns 0, -ENOMEM, -EEXIST or -ENOSPC
 * (more than bytes_max in all).
 */
int http_site_add(struct http_site *site, const char *name, const void *body, size_t length, int64_t modified);

/*
 * Adds all regular files below a directory. Names that begin with a dot, and symbolic links, are left out. Returns 0 or
 * -errno and logs what the trouble was.
 */
int http_site_load(struct http_site *site, const char *directory);

/* The entry of that name, or NULL. */
const struct http_entry *http_site_find(const struct http_site *site, const char *name, size_t length);
