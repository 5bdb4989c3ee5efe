// SPDX-License-Identifier: Apache-2.0
/*
 * A client's bytes, to the server of a small site. The first byte is the size of the pieces they come in. Promises: no
 * byte is read twice or skipped, and the answers are the same for every way to cut the bytes. Each begins with a status
 * line; no name leaves the site.
 */
#include "fuzz/target.h"

#include <string.h>

#include "apps/http/path.h"
#include "base/assert.h"
#include "tests/http/fixture.h"

/* A name that was made of a path has no empty and no dot segment. */
static void check_name(const uint8_t *data, size_t size)
{
	char name[4096 + 1];
	if (size > 4096)
		return;
	size_t length = http_path_name((const char *)data, size, name);
	RB_ASSERT_LE(length, size + 1);
	if (length == 0)
		return;
	RB_ASSERT_EQ(name[0], '/');
	for (size_t i = 1; i < length; i++) {
		if (name[i - 1] != '/')
			continue;
		size_t segment = 0;
		while (i + segment < length && name[i + segment] != '/')
			segment++;
		RB_ASSERT_GT(segment, 0U);
		RB_ASSERT(segment > 2 || memcmp(name + i, "..", segment) != 0);
		RB_ASSERT(memchr(name + i, '\0', segment) == NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_site site;
	static struct transcript whole, pieces;
	if (size == 0)
		return 0;
	if (site.slots == 0) { /* for the whole run */
		fixture_site(&site);
		transcript_init(&whole);
		transcript_init(&pieces);
	}
	/* more of the big file than a transcript holds is not asked for */
	whole.length = pieces.length = 0;
	whole.answers = pieces.answers = 0;
	whole.room = pieces.room = 9;
	check_name(data, size);
	size_t used = transcript_play(&whole, &site, data + 1, size - 1, SIZE_MAX);
	RB_ASSERT_EQ(transcript_play(&pieces, &site, data + 1, size - 1, data[0] == 0 ? 1U : data[0]), used);
	RB_ASSERT_EQ(whole.answers, pieces.answers);
	RB_ASSERT_EQ(whole.length, pieces.length);
	RB_ASSERT(whole.length == 0 || memcmp(whole.bytes, pieces.bytes, whole.length) == 0);
	RB_ASSERT(whole.answers == 0 || memcmp(whole.bytes, "HTTP/1.1 ", 9) == 0);
	return 0;
}
