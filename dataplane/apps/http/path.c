// SPDX-License-Identifier: Apache-2.0
#include "apps/http/path.h"

#include <stdbool.h>
#include <string.h>

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that the two digits stand for; -1 if they are none, or stand for what would be another path. */
static int escaped(const char *digits, size_t length)
{
	if (length < 2 || digit(digits[0]) < 0 || digit(digits[1]) < 0)
		return -1;
	int c = digit(digits[0]) * 16 + digit(digits[1]);
	return c == '/' ? -1 : c;
}

/* Writes the segment at the front of `path`, decoded, and returns how many bytes that took; -1: it is not valid. */
static ptrdiff_t decode_segment(const char *path, size_t length, char *segment, size_t *segment_length)
{
	size_t used = 0;
	*segment_length = 0;
	while (used < length && path[used] != '/') {
		int c = (unsigned char)path[used++];
		if (c == '%') {
			c = escaped(path + used, length - used);
			used += 2;
		}
		if (c < 0x20 || c == 0x7f) /* not an escape, or a character that no name has */
			return -1;
		segment[(*segment_length)++] = (char)c;
	}
	return (ptrdiff_t)used;
}

/* Takes the last segment and the '/' before it away. False: there is none. */
static bool leave(const char *name, size_t *length)
{
	if (*length == 0)
		return false;
	do
		(*length)--;
	while (name[*length] != '/');
	return true;
}

size_t http_path_name(const char *path, size_t length, char *name)
{
	size_t at = 0, written = 0;
	bool directory = true;
	while (at < length) {
		size_t segment;
		if (path[at] != '/')
			return 0; /* only the first can lack it */
		at++;
		ptrdiff_t used = decode_segment(path + at, length - at, name + written + 1, &segment);
		if (used < 0)
			return 0;
		at += (size_t)used;
		const char *decoded = name + written + 1;
		bool up = segment == 2 && memcmp(decoded, "..", 2) == 0;
		directory = up || segment == 0 || (segment == 1 && decoded[0] == '.');
		if (up && !leave(name, &written))
			return 0;
		if (!directory) {
			name[written] = '/';
			written += segment + 1;
		}
	}
	if (directory)
		name[written++] = '/';
	return written;
}
