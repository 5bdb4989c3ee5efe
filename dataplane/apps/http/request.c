// SPDX-License-Identifier: Apache-2.0
#include "apps/http/request.h"

#include <string.h>
#include <strings.h>

/* A piece of the head while it is looked at. */
struct text {
	const uint8_t *at;
	size_t length;
};

/* ---- characters ---- */

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110, 5.6.2 */
static bool is_token(uint8_t c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* RFC 9110, 5.5: visible characters, spaces, and the bytes of other alphabets */
static bool is_value(uint8_t c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

/* Of a target. Browsers send more than RFC 3986 allows, but a fragment never leaves the client. */
static bool is_target(uint8_t c)
{
	return c > 0x20 && c < 0x7f && c != '#';
}

/* RFC 3986, 3.2.2 and 3.2.3: of a host and port */
static bool is_host(uint8_t c)
{
	return is_alnum(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:[]%", c) != NULL);
}

static bool all(struct text text, bool (*is)(uint8_t c))
{
	for (size_t i = 0; i < text.length; i++) {
		if (!is(text.at[i]))
			return false;
	}
	return true;
}

static bool equals(struct text text, const char *name)
{
	return text.length == strlen(name) && strncasecmp((const char *)text.at, name, text.length) == 0;
}

static struct text trim(struct text text)
{
	while (text.length > 0 && is_space(text.at[0])) {
		text.at++;
		text.length--;
	}
	while (text.length > 0 && is_space(text.at[text.length - 1]))
		text.length--;
	return text;
}

/* Takes what lies before the first `separator`, or all; false when nothing is left to take. */
static bool take(struct text *rest, uint8_t separator, struct text *part)
{
	if (rest->at == NULL)
		return false;
	*part = *rest;
	const uint8_t *found = rest->length > 0 ? memchr(rest->at, separator, rest->length) : NULL;
	if (found == NULL) {
		*rest = (struct text){0};
		return true;
	}
	part->length = (size_t)(found - rest->at);
	rest->at = found + 1;
	rest->length -= part->length + 1;
	return true;
}

static struct http_span span(const uint8_t *head, struct text text)
{
	return (struct http_span){.offset = (uint32_t)(text.at - head), .length = (uint32_t)text.length};
}

/* ---- request line ---- */

static enum http_method method_of(struct text name)
{
	static const char *const known[] = {"POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
	if (name.length == 3 && memcmp(name.at, "GET", 3) == 0)
		return HTTP_GET;
	if (name.length == 4 && memcmp(name.at, "HEAD", 4) == 0)
		return HTTP_HEAD;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (name.length == strlen(known[i]) && memcmp(name.at, known[i], name.length) == 0)
			return HTTP_KNOWN;
	}
	return HTTP_UNKNOWN;
}

/* Length of "http://" and the like at the front, or 0. */
static size_t scheme_length(struct text target)
{
	static const char *const schemes[] = {"http://", "https://"};
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t length = strlen(schemes[i]);
		if (target.length > length && strncasecmp((const char *)target.at, schemes[i], length) == 0)
			return length;
	}
	return 0;
}

/* The four forms of RFC 9112, 3.2. Sets the path of a target that names a file; false: it is none of them. */
static bool take_target(struct text target, struct text *path)
{
	size_t scheme = scheme_length(target);
	struct text part;
	if (scheme > 0) {
		size_t authority = scheme;
		while (authority < target.length && strchr("/?", target.at[authority]) == NULL)
			authority++;
		if (authority == scheme || !all((struct text){target.at + scheme, authority - scheme}, is_host))
			return false;
		target.at += authority;
		target.length -= authority;
	} else if (target.length == 0 || target.at[0] != '/') {
		return false;
	}
	take(&target, '?', &part);
	*path = part;
	return true;
}

static bool other_form(struct text method, struct text target)
{
	if (equals(target, "*"))
		return equals(method, "OPTIONS");
	return equals(method, "CONNECT") && target.length > 0 && all(target, is_host);
}

/* Returns 0 or a status. */
static int parse_version(struct text version, unsigned *minor)
{
	if (version.length != 8 || memcmp(version.at, "HTTP/", 5) != 0 || !is_digit(version.at[5]) ||
	    version.at[6] != '.' || !is_digit(version.at[7]))
		return 400;
	*minor = version.at[7] == '0' ? 0 : 1;
	return version.at[5] == '1' ? 0 : 505;
}

static int parse_request_line(struct http_parser *parser, const uint8_t *head, struct text line)
{
	struct text method, target, version, path = {.at = line.at};
	bool three = take(&line, ' ', &method) && take(&line, ' ', &target) && take(&line, ' ', &version);
	if (!three || line.at != NULL || method.length == 0 || !all(method, is_token) || !all(target, is_target))
		return 400;
	int status = parse_version(version, &parser->request.minor);
	if (status != 0)
		return status;
	if (!take_target(target, &path) && !other_form(method, target))
		return 400;
	parser->request.method = method_of(method);
	parser->request.path = span(head, path);
	parser->begun = true;
	return 0;
}

/* ---- fields ---- */

static int parse_host(struct http_parser *parser, struct text value)
{
	if (parser->hosts++ > 0 || !all(value, is_host))
		return 400;
	return 0;
}

static int parse_content_length(struct http_parser *parser, struct text value)
{
	uint64_t length = 0;
	if (parser->lengths++ > 0 || value.length == 0 || !all(value, is_digit))
		return 400;
	for (size_t i = 0; i < value.length; i++) {
		length = length * 10 + (uint64_t)(value.at[i] - '0');
		if (length > HTTP_BODY_MAX)
			length = (uint64_t)HTTP_BODY_MAX + 1; /* too long, however long */
	}
	parser->request.content_length = length;
	return 0;
}

static int parse_transfer_encoding(struct http_parser *parser, struct text value)
{
	struct text coding;
	if (parser->codings++ > 0)
		return 400;
	parser->chunked = equals(value, "chunked");
	while (take(&value, ',', &coding))
		parser->chunked_last = equals(trim(coding), "chunked");
	return 0;
}

static int parse_connection(struct http_parser *parser, struct text value)
{
	struct text option;
	while (take(&value, ',', &option)) {
		option = trim(option);
		if (equals(option, "close"))
			parser->close = true;
		else if (equals(option, "keep-alive"))
			parser->persist = true;
	}
	return 0;
}

static int parse_expect(struct http_parser *parser, struct text value)
{
	parser->request.expects_continue = true;
	return equals(value, "100-continue") ? 0 : 417;
}

static void note_condition(struct http_parser *parser, const uint8_t *head, enum http_condition which,
			   struct text value)
{
	uint32_t bit = 1U << which;
	if (parser->request.given & bit)
		parser->repeated = true;
	parser->request.given |= bit;
	parser->request.condition[which] = span(head, value);
}

static int parse_known_field(struct http_parser *parser, const uint8_t *head, struct text name, struct text value)
{
	static const struct {
		const char *name;
		int (*parse)(struct http_parser *parser, struct text value);
	} fields[] = {
		{"Host", parse_host},
		{"Connection", parse_connection},
		{"Content-Length", parse_content_length},
		{"Transfer-Encoding", parse_transfer_encoding},
		{"Expect", parse_expect},
	};
	static const char *const conditions[HTTP_CONDITIONS] = {
		[HTTP_IF_MATCH] = "If-Match",
		[HTTP_IF_NONE_MATCH] = "If-None-Match",
		[HTTP_IF_MODIFIED_SINCE] = "If-Modified-Since",
		[HTTP_IF_UNMODIFIED_SINCE] = "If-Unmodified-Since",
		[HTTP_IF_RANGE] = "If-Range",
		[HTTP_RANGE] = "Range",
	};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (equals(name, fields[i].name))
			return fields[i].parse(parser, value);
	}
	for (unsigned i = 0; i < HTTP_CONDITIONS; i++) {
		if (equals(name, conditions[i]))
			note_condition(parser, head, (enum http_condition)i, value);
	}
	return 0;
}

static int parse_field(struct http_parser *parser, const uint8_t *head, struct text line)
{
	struct text name, value = line;
	if (++parser->fields > HTTP_FIELDS_MAX)
		return 431;
	/* A line that begins with a space would be the rest of the one before (obs-fold): its "name" is no token. */
	take(&value, ':', &name);
	if (value.at == NULL || name.length == 0 || !all(name, is_token) || !all(value, is_value))
		return 400;
	return parse_known_field(parser, head, name, trim(value));
}

/* ---- the head as a whole ---- */

/* RFC 9112, 6: how long is the body? */
static int check_body(const struct http_parser *parser)
{
	if (parser->codings > 0) {
		if (parser->lengths > 0 || parser->request.minor == 0 || !parser->chunked_last)
			return 400;
		return parser->chunked ? 411 : 501;
	}
	return parser->request.content_length > HTTP_BODY_MAX ? 413 : 0;
}

static int finish(struct http_parser *parser)
{
	struct http_request *request = &parser->request;
	if (request->minor > 0 && parser->hosts == 0)
		return 400;
	int status = check_body(parser);
	if (status != 0)
		return status;
	request->keep_alive = !parser->close && (request->minor > 0 || parser->persist);
	if (parser->repeated)
		request->given = 0;
	if (request->minor == 0)
		request->expects_continue = false; /* RFC 9110, 10.1.1 */
	return HTTP_COMPLETE;
}

/* The limits look at the bytes before the end of a line only, so they hold for every way to cut the head. */
static int check_limits(const struct http_parser *parser, size_t end)
{
	if (!parser->begun && end - parser->line > HTTP_LINE_MAX)
		return 414;
	return end > HTTP_HEAD_MAX ? 431 : 0;
}

static int parse_line(struct http_parser *parser, const uint8_t *head, struct text line)
{
	if (line.length == 0 || line.at[line.length - 1] != '\r')
		return 400;
	line.length--;
	if (line.length > 0)
		return parser->begun ? parse_field(parser, head, line) : parse_request_line(parser, head, line);
	if (parser->begun)
		return finish(parser);
	/* RFC 9112, 2.2: some old clients send an empty line after the body of the previous request. */
	bool second = parser->skipped;
	parser->skipped = true;
	return second ? 400 : 0;
}

int http_parse(struct http_parser *parser, const uint8_t *data, size_t length, size_t *head)
{
	for (;;) {
		const uint8_t *found = parser->scanned < length
					       ? memchr(data + parser->scanned, '\n', length - parser->scanned)
					       : NULL;
		/* One more than there is stands for the LF that is still to come. */
		size_t end = found != NULL ? (size_t)(found - data) + 1 : length + 1;
		int status = check_limits(parser, end);
		if (status != 0)
			return status;
		if (found == NULL) {
			parser->scanned = (uint32_t)length;
			return HTTP_MORE;
		}
		struct text line = {.at = data + parser->line, .length = end - 1 - parser->line};
		parser->line = (uint32_t)end;
		parser->scanned = (uint32_t)end;
		status = parse_line(parser, data, line);
		if (status != 0) {
			*head = end;
			return status;
		}
	}
}
