// SPDX-License-Identifier: Apache-2.0
#include "tests/http/fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { BIG = 100000 };

const uint8_t *fixture_big(size_t *length)
{
	static uint8_t bytes[BIG];
	for (size_t i = 0; i < BIG; i++)
		bytes[i] = (uint8_t)(i % 65521 ^ i % 65521 >> 8);
	*length = BIG;
	return bytes;
}

static void add(struct http_site *site, const char *name, const void *body, size_t length)
{
	RB_ASSERT_EQ(http_site_add(site, name, body, length, FIXTURE_MODIFIED), 0);
}

void fixture_site(struct http_site *site)
{
	size_t big;
	const uint8_t *bytes = fixture_big(&big);
	http_site_init(site, 1 << 20);
	add(site, "/index.html", "<p>root</p>\n", 12);
	add(site, "/a.txt", "0123456789", 10);
	add(site, "/empty.bin", "", 0);
	add(site, "/dir/index.html", "<p>dir</p>\n", 11);
	add(site, "/with space/index.html", "x", 1);
	add(site, "/big.bin", bytes, big);
}

struct http_now fixture_now(void)
{
	struct http_now now = {.seconds = FIXTURE_NOW};
	http_date_format(now.seconds, now.text);
	return now;
}

void transcript_init(struct transcript *transcript)
{
	*transcript = (struct transcript){.bytes = calloc(1, TRANSCRIPT_MAX), .room = UINT32_MAX};
	RB_ASSERT(transcript->bytes != NULL);
}

void transcript_free(struct transcript *transcript)
{
	free(transcript->bytes);
}

static bool ready(void *user)
{
	return ((const struct transcript *)user)->room > 0;
}

static void append(struct transcript *transcript, const void *data, size_t length)
{
	RB_ASSERT_LT(length, TRANSCRIPT_MAX - transcript->length);
	if (length > 0)
		memcpy(transcript->bytes + transcript->length, data, length);
	transcript->length += length;
	transcript->bytes[transcript->length] = '\0';
}

static void put(void *user, const struct http_answer *answer)
{
	struct transcript *transcript = user;
	append(transcript, answer->start, answer->start_length);
	append(transcript, answer->tail, answer->tail_length);
	append(transcript, answer->body, answer->body_length);
	transcript->answers++;
	transcript->room--;
}

/* Each offer is a copy of its own, so that a sanitizer sees who reads beyond it. */
static size_t offer(struct http_connection *connection, const struct http_site *site, const uint8_t *data,
		    size_t length, const struct http_sink *sink)
{
	const struct http_now now = fixture_now();
	uint8_t *copy = malloc(length > 0 ? length : 1);
	RB_ASSERT(copy != NULL);
	memcpy(copy, data, length);
	size_t used = http_serve(connection, site, &now, copy, length, sink);
	RB_ASSERT_LE(used, length);
	free(copy);
	return used;
}

size_t transcript_play(struct transcript *transcript, const struct http_site *site, const void *data, size_t length,
		       size_t piece)
{
	struct http_connection connection = {0};
	const struct http_sink sink = {.ready = ready, .put = put, .user = transcript};
	size_t used = 0;
	for (size_t come = 0; come < length;) {
		come = length - come > piece ? come + piece : length;
		used += offer(&connection, site, (const uint8_t *)data + used, come - used, &sink);
	}
	return used;
}

size_t transcript_split(struct transcript *transcript, const struct http_site *site, const void *data, size_t length,
			size_t split)
{
	struct http_connection connection = {0};
	const struct http_sink sink = {.ready = ready, .put = put, .user = transcript};
	size_t used = split > 0 ? offer(&connection, site, data, split, &sink) : 0;
	return used + offer(&connection, site, (const uint8_t *)data + used, length - used, &sink);
}
