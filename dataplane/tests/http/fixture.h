// SPDX-License-Identifier: Apache-2.0
/* A small site in memory, and a connection to it whose answers are gathered as the bytes that a client would get. */
#pragma once

#include "apps/http/serve.h"

enum { TRANSCRIPT_MAX = 1 << 20 };

/* 2024-02-29 12:34:56 UTC, and what time it is. */
#define FIXTURE_MODIFIED INT64_C(1709210096)
#define FIXTURE_NOW	 INT64_C(1767225599)

struct transcript {
	char *bytes; /* with a NUL behind */
	size_t length;
	unsigned answers;
	unsigned room; /* answers that ready() still lets through */
};

/*
 * Names: /index.html ("<p>root</p>\n"), /a.txt ("0123456789"), /empty.bin, /dir/index.html, /with space/index.html,
 * /big.bin (100,000 bytes of a pattern).
 */
void fixture_site(struct http_site *site);
struct http_now fixture_now(void);
const uint8_t *fixture_big(size_t *length);

void transcript_init(struct transcript *transcript);
void transcript_free(struct transcript *transcript);

/*
 * Offers the bytes as a loop would: `piece` at a time, each time with what was left over. Returns how many were used in
 * the end.
 */
size_t transcript_play(struct transcript *transcript, const struct http_site *site, const void *data, size_t length,
		       size_t piece);

/* The same in two pieces, the first one of `split` bytes. */
size_t transcript_split(struct transcript *transcript, const struct http_site *site, const void *data, size_t length,
			size_t split);
