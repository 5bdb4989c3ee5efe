// SPDX-License-Identifier: Apache-2.0

#include "load/memcached_text.h"

#include <string.h>

enum state { STATE_LINE, STATE_VALUE, STATE_VALUE_END };

void rb_memcached_text_reset(struct rb_memcached_text *t)
{
	t->line_bytes = 0;
	t->state = STATE_LINE;
	t->hit = false;
	t->value_bytes = 0;
	t->value_seen = 0;
}

static bool starts_with(const struct rb_memcached_text *t, const char *word)
{
	const size_t length = strlen(word);

	return t->line_bytes >= length && memcmp(t->line, word, length) == 0;
}

static bool line_is(const struct rb_memcached_text *t, const char *word)
{
	return t->line_bytes == strlen(word) && starts_with(t, word);
}

/* Reads a decimal number up to `max` that ends at a blank or at the end of the line; moves *at behind it. */
static bool read_number(const struct rb_memcached_text *t, size_t *at, uint64_t max, uint64_t *value)
{
	const size_t start = *at;

	*value = 0;
	while (*at < t->line_bytes && t->line[*at] >= '0' && t->line[*at] <= '9') {
		*value = *value * 10U + (uint64_t)(t->line[*at] - '0');
		if (*value > max)
			return false;
		(*at)++;
	}
	return *at > start && (*at == t->line_bytes || t->line[*at] == ' ');
}

/* "VALUE <key> <flags> <bytes>"; the cas field of gets is not asked for and so not accepted. */
static bool parse_value_line(struct rb_memcached_text *t, const struct rb_memcached_expect *expect)
{
	size_t at = strlen("VALUE ");
	uint64_t flags;
	uint64_t bytes;

	if (t->line_bytes < at + expect->key_bytes + 1U || memcmp(t->line + at, expect->key, expect->key_bytes) != 0)
		return false;
	at += expect->key_bytes;
	if (t->line[at++] != ' ' || !read_number(t, &at, UINT32_MAX, &flags) || at == t->line_bytes)
		return false;
	at++;
	if (!read_number(t, &at, expect->value_max, &bytes) || at != t->line_bytes)
		return false;
	t->value_bytes = (uint32_t)bytes;
	return true;
}

static enum rb_reply_status end_of_get_line(struct rb_memcached_text *t, const struct rb_memcached_expect *expect)
{
	if (line_is(t, "END"))
		return t->hit ? RB_REPLY_OK : RB_REPLY_MISS;
	if (t->hit || !starts_with(t, "VALUE ") || !parse_value_line(t, expect))
		return RB_REPLY_BAD;
	t->hit = true;
	t->state = STATE_VALUE;
	return RB_REPLY_MORE;
}

/* A whole line, without its CR LF, is in t->line. */
static enum rb_reply_status end_of_line(struct rb_memcached_text *t, const struct rb_memcached_expect *expect)
{
	if (!t->hit && (line_is(t, "ERROR") || starts_with(t, "SERVER_ERROR") || starts_with(t, "CLIENT_ERROR")))
		return RB_REPLY_REFUSED;
	if (expect->get)
		return end_of_get_line(t, expect);
	if (line_is(t, "STORED"))
		return RB_REPLY_OK;
	return line_is(t, "NOT_STORED") ? RB_REPLY_REFUSED : RB_REPLY_BAD;
}

static size_t take_line(struct rb_memcached_text *t, const struct rb_memcached_expect *expect, const uint8_t *data,
			size_t length, enum rb_reply_status *status)
{
	const uint8_t *newline = memchr(data, '\n', length);
	const size_t take = newline != NULL ? (size_t)(newline - data) + 1U : length;

	if (take > sizeof(t->line) - t->line_bytes) {
		*status = RB_REPLY_BAD;
		return take;
	}
	memcpy(t->line + t->line_bytes, data, take);
	t->line_bytes = (uint16_t)(t->line_bytes + take);
	if (newline == NULL)
		return take;
	if (t->line_bytes < 2U || t->line[t->line_bytes - 2U] != '\r') {
		*status = RB_REPLY_BAD;
		return take;
	}
	t->line_bytes = (uint16_t)(t->line_bytes - 2U);
	*status = end_of_line(t, expect);
	t->line_bytes = 0;
	return take;
}

static size_t take_value(struct rb_memcached_text *t, const struct rb_memcached_expect *expect, const uint8_t *data,
			 size_t length, enum rb_reply_status *status)
{
	const size_t left = t->value_bytes - t->value_seen;
	const size_t take = length < left ? length : left;

	if (memcmp(data, expect->value + t->value_seen, take) != 0)
		*status = RB_REPLY_BAD;
	t->value_seen += (uint32_t)take;
	if (t->value_seen == t->value_bytes)
		t->state = STATE_VALUE_END;
	return take;
}

/* The CR LF behind a value; line_bytes counts how much of it has come. */
static size_t take_value_end(struct rb_memcached_text *t, const uint8_t *data, enum rb_reply_status *status)
{
	if (data[0] != (t->line_bytes == 0 ? '\r' : '\n'))
		*status = RB_REPLY_BAD;
	t->line_bytes++;
	if (t->line_bytes == 2U) {
		t->line_bytes = 0;
		t->state = STATE_LINE;
	}
	return 1;
}

size_t rb_memcached_text_parse(struct rb_memcached_text *t, const struct rb_memcached_expect *expect,
			       const uint8_t *data, size_t length, enum rb_reply_status *status)
{
	size_t used = 0;

	*status = RB_REPLY_MORE;
	while (used < length && *status == RB_REPLY_MORE) {
		if (t->state == STATE_LINE)
			used += take_line(t, expect, data + used, length - used, status);
		else if (t->state == STATE_VALUE)
			used += take_value(t, expect, data + used, length - used, status);
		else
			used += take_value_end(t, data + used, status);
	}
	if (*status != RB_REPLY_MORE && *status != RB_REPLY_BAD)
		rb_memcached_text_reset(t);
	return used;
}
