// SPDX-License-Identifier: Apache-2.0
#include "apps/http/answer.h"

#include <string.h>

#include "apps/http/path.h"
#include "base/assert.h"

/* A value of a field. */
struct value {
	const char *at;
	size_t length;
};

/* ---- building the head ---- */

static void put(struct http_answer *answer, const char *text, size_t length)
{
	RB_ASSERT_LE(length, HTTP_TAIL_MAX - answer->tail_length);
	memcpy(answer->tail + answer->tail_length, text, length);
	answer->tail_length += length;
}

static void put_text(struct http_answer *answer, const char *text)
{
	put(answer, text, strlen(text));
}

static void put_number(struct http_answer *answer, uint64_t number)
{
	char digits[20];
	size_t first = sizeof(digits);
	do {
		digits[--first] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	put(answer, digits + first, sizeof(digits) - first);
}

static void put_length(struct http_answer *answer, uint64_t length)
{
	put_text(answer, "Content-Length: ");
	put_number(answer, length);
	put_text(answer, "\r\n");
}

static void start(struct http_answer *answer, int status, const char *text, size_t length)
{
	answer->status = status;
	answer->start = text;
	answer->start_length = length;
}

static void start_with(struct http_answer *answer, int status, struct http_text text)
{
	start(answer, status, text.at, text.length);
}

/* The end of every head. HTTP/1.1 stays open without a word, HTTP/1.0 has to be told. */
static void finish_head(struct http_answer *answer, const struct http_now *now, bool old)
{
	put_text(answer, "Date: ");
	put(answer, now->text, HTTP_DATE_LENGTH);
	if (answer->close)
		put_text(answer, "\r\nConnection: close\r\n\r\n");
	else if (old)
		put_text(answer, "\r\nConnection: keep-alive\r\n\r\n");
	else
		put_text(answer, "\r\n\r\n");
}

/* ---- answers without a file ---- */

struct status_text {
	int status;
	const char *line; /* and what else is always said */
	const char *reason;
};

#define STATUS(number, words) {number, "HTTP/1.1 " #number " " words "\r\n", words}
static const struct status_text status_texts[] = {
	STATUS(400, "Bad Request"),
	STATUS(404, "Not Found"),
	{405, "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n", "Method Not Allowed"},
	STATUS(411, "Length Required"),
	STATUS(412, "Precondition Failed"),
	STATUS(413, "Content Too Large"),
	STATUS(414, "URI Too Long"),
	STATUS(416, "Range Not Satisfiable"),
	STATUS(417, "Expectation Failed"),
	STATUS(431, "Request Header Fields Too Large"),
	STATUS(501, "Not Implemented"),
	STATUS(505, "HTTP Version Not Supported"),
};

static void say(struct http_answer *answer, int status)
{
	const struct status_text *text = status_texts;
	while (text->status != status) {
		text++;
		RB_ASSERT(text < status_texts + sizeof(status_texts) / sizeof(status_texts[0]));
	}
	size_t length = strlen(text->reason);
	start(answer, status, text->line, strlen(text->line));
	memcpy(answer->reason, text->reason, length);
	answer->reason[length] = '\n';
	answer->body = (const uint8_t *)answer->reason;
	answer->body_length = length + 1;
	put_text(answer, "Server: rb-http\r\nContent-Type: text/plain; charset=utf-8\r\n");
	put_length(answer, answer->body_length);
}

/* ---- conditions (RFC 9110, 13) ---- */

static bool condition(const struct http_request *request, const uint8_t *head, enum http_condition which,
		      struct value *value)
{
	if ((request->given >> which & 1U) == 0)
		return false;
	const struct http_span *span = &request->condition[which];
	*value = (struct value){.at = (const char *)head + span->offset, .length = span->length};
	return true;
}

static void skip(struct value *value, size_t length)
{
	value->at += length;
	value->length -= length;
}

/* Is the file's tag in the list? Of the tags in it, weak ones count only for weak comparison (8.8.3.2). */
static bool tag_listed(struct value list, const struct http_file *file, bool weak)
{
	if (list.length == 1 && list.at[0] == '*')
		return true;
	while (list.length > 0) {
		if (strchr(" \t,", list.at[0]) != NULL) {
			skip(&list, 1);
			continue;
		}
		bool is_weak = list.length > 2 && memcmp(list.at, "W/", 2) == 0;
		if (is_weak)
			skip(&list, 2);
		const char *end = list.at[0] == '"' ? memchr(list.at + 1, '"', list.length - 1) : NULL;
		if (end == NULL)
			return false; /* not a list of tags from here on */
		size_t length = (size_t)(end + 1 - list.at);
		if (length == HTTP_TAG_LENGTH && memcmp(list.at, file->tag, length) == 0 && (weak || !is_weak))
			return true;
		skip(&list, length);
	}
	return false;
}

/* Does the field hold a date? If so, has the file changed after it? What is no date does not count (13.1.3). */
static bool dated(const struct value *value, const struct http_now *now, int64_t *seconds)
{
	return http_date_parse(value->at, value->length, now->seconds, seconds);
}

/* Returns 0, 304 or 412, in the order of 13.2.2. */
static int check_conditions(const struct http_request *request, const uint8_t *head, const struct http_now *now,
			    const struct http_file *file)
{
	struct value value;
	int64_t date;
	if (condition(request, head, HTTP_IF_MATCH, &value)) {
		if (!tag_listed(value, file, false))
			return 412;
	} else if (condition(request, head, HTTP_IF_UNMODIFIED_SINCE, &value)) {
		if (dated(&value, now, &date) && file->modified > date)
			return 412;
	}
	if (condition(request, head, HTTP_IF_NONE_MATCH, &value))
		return tag_listed(value, file, true) ? 304 : 0;
	if (condition(request, head, HTTP_IF_MODIFIED_SINCE, &value))
		return dated(&value, now, &date) && file->modified <= date ? 304 : 0;
	return 0;
}

/* ---- ranges (RFC 9110, 14) ---- */

/* Reads digits from the front; what is too big for any file stays too big. False: there are none. */
static bool take_number(struct value *value, uint64_t *number)
{
	size_t digits = 0;
	*number = 0;
	for (; digits < value->length && value->at[digits] >= '0' && value->at[digits] <= '9'; digits++) {
		*number = *number * 10 + (uint64_t)(value->at[digits] - '0');
		if (*number > UINT64_MAX / 16)
			*number = UINT64_MAX / 16;
	}
	skip(value, digits);
	return digits > 0;
}

enum range { RANGE_NONE, RANGE_SOME, RANGE_OUTSIDE };

/*
 * One range of bytes; *first and *length are set for RANGE_SOME. Several ranges, other units and what is not valid
 * count as none, which 14.2 permits: the whole file is the answer.
 */
static enum range parse_range(struct value value, uint64_t size, uint64_t *first, uint64_t *length)
{
	static const char unit[] = "bytes=";
	uint64_t from, last, to = size;
	if (value.length < sizeof(unit) - 1 || memcmp(value.at, unit, sizeof(unit) - 1) != 0)
		return RANGE_NONE;
	skip(&value, sizeof(unit) - 1);
	bool begins = take_number(&value, &from);
	if (value.length == 0 || value.at[0] != '-')
		return RANGE_NONE;
	skip(&value, 1);
	bool ends = take_number(&value, &last);
	if (value.length > 0 || (!begins && !ends) || (begins && ends && from > last))
		return RANGE_NONE;
	if (!begins) /* the last so many bytes */
		from = last < size ? size - last : 0;
	else if (ends && last < size)
		to = last + 1;
	if (from >= to)
		return RANGE_OUTSIDE;
	*first = from;
	*length = to - from;
	return RANGE_SOME;
}

/* If-Range (13.1.5): has the client the file of which it wants a part? */
static bool range_holds(const struct http_request *request, const uint8_t *head, const struct http_now *now,
			const struct http_file *file)
{
	struct value value;
	int64_t date;
	if (!condition(request, head, HTTP_IF_RANGE, &value))
		return true;
	if (dated(&value, now, &date))
		return date == file->modified;
	return value.length == HTTP_TAG_LENGTH && memcmp(value.at, file->tag, HTTP_TAG_LENGTH) == 0;
}

static enum range choose_range(const struct http_request *request, const uint8_t *head, const struct http_now *now,
			       const struct http_file *file, uint64_t *first, uint64_t *length)
{
	struct value value;
	if (request->method != HTTP_GET || !condition(request, head, HTTP_RANGE, &value) ||
	    !range_holds(request, head, now, file))
		return RANGE_NONE;
	return parse_range(value, file->length, first, length);
}

static void put_content_range(struct http_answer *answer, const struct http_file *file, uint64_t first, uint64_t length)
{
	put_text(answer, "Content-Range: bytes ");
	if (length > 0) {
		put_number(answer, first);
		put_text(answer, "-");
		put_number(answer, first + length - 1);
	} else {
		put_text(answer, "*");
	}
	put_text(answer, "/");
	put_number(answer, file->length);
	put_text(answer, "\r\n");
}

/* ---- answers with a file ---- */

static void answer_with(const struct http_file *file, const struct http_now *now, const struct http_request *request,
			const uint8_t *head, struct http_answer *answer)
{
	uint64_t first = 0, length = file->length;
	int status = check_conditions(request, head, now, file);
	if (status == 304) {
		start_with(answer, 304, file->unchanged);
		return;
	}
	if (status != 0) {
		say(answer, status);
		return;
	}
	switch (choose_range(request, head, now, file, &first, &length)) {
	case RANGE_OUTSIDE:
		say(answer, 416);
		put_content_range(answer, file, 0, 0);
		return;
	case RANGE_SOME:
		start_with(answer, 206, file->partial);
		put_content_range(answer, file, first, length);
		put_length(answer, length);
		break;
	default:
		start_with(answer, 200, file->ok);
		break;
	}
	answer->body = file->body + first;
	answer->body_length = length;
}

static void answer_path(const struct http_site *site, const struct http_now *now, const struct http_request *request,
			const uint8_t *head, struct http_answer *answer)
{
	char name[HTTP_LINE_MAX];
	size_t length = http_path_name((const char *)head + request->path.offset, request->path.length, name);
	const struct http_entry *entry = length > 0 ? http_site_find(site, name, length) : NULL;
	if (entry == NULL) {
		say(answer, length > 0 ? 404 : 400);
	} else if (entry->file == NULL) {
		start_with(answer, 301, entry->moved);
		put_length(answer, 0);
	} else {
		answer_with(entry->file, now, request, head, answer);
	}
}

static void begin(struct http_answer *answer, bool close)
{
	answer->close = close;
	answer->tail_length = 0;
	answer->body = NULL;
	answer->body_length = 0;
}

void http_answer(const struct http_site *site, const struct http_now *now, const struct http_request *request,
		 const uint8_t *head, struct http_answer *answer)
{
	/*
	 * Whoever asks first whether to send a body, and gets the answer at once, may send it or not (RFC 9110,
	 * 10.1.1): what follows cannot be told from a request.
	 */
	begin(answer, !request->keep_alive || (request->expects_continue && request->content_length > 0));
	if (request->method == HTTP_KNOWN)
		say(answer, 405);
	else if (request->method == HTTP_UNKNOWN)
		say(answer, 501);
	else
		answer_path(site, now, request, head, answer);
	if (request->method == HTTP_HEAD)
		answer->body_length = 0;
	finish_head(answer, now, request->minor == 0);
}

void http_refuse(const struct http_now *now, int status, struct http_answer *answer)
{
	begin(answer, true);
	say(answer, status);
	finish_head(answer, now, false);
}
