// SPDX-License-Identifier: Apache-2.0
/*
 * The head of an HTTP/1 request (RFC 9112): request line, fields, empty line.
 *
 * The bytes may come in any pieces: what has been looked at is remembered, so that the work is linear, and the outcome
 * is the same for every way to cut them. What two readers could take for different requests is refused (RFC 9112,
 * 11.2): lines that end in a bare LF, folded fields, space before a colon, a length next to a transfer coding or twice,
 * ….
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HTTP_LINE_MAX = 8192,	 /* bytes of the request line, with its CRLF; more: 414 */
	HTTP_HEAD_MAX = 16384,	 /* bytes of the head; more: 431 */
	HTTP_FIELDS_MAX = 100,	 /* more: 431 */
	HTTP_BODY_MAX = 1 << 20, /* bytes of a body, which nobody here wants; more: 413 */
};

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_KNOWN,   /* any other of RFC 9110, and PATCH: 405 */
	HTTP_UNKNOWN, /* 501 */
};

/* A part of the head, which it begins `offset` bytes after. */
struct http_span {
	uint32_t offset;
	uint32_t length;
};

enum http_condition {
	HTTP_IF_MATCH,
	HTTP_IF_NONE_MATCH,
	HTTP_IF_MODIFIED_SINCE,
	HTTP_IF_UNMODIFIED_SINCE,
	HTTP_IF_RANGE,
	HTTP_RANGE,
	HTTP_CONDITIONS,
};

struct http_request {
	enum http_method method;
	unsigned minor;	       /* of the version: 0, or 1, which also stands for all above */
	struct http_span path; /* as it came, without the query; empty: "/" */
	bool keep_alive;
	bool expects_continue;
	uint64_t content_length; /* of the body that follows the head; at most HTTP_BODY_MAX */
	/*
	 * The values of these fields; bits in `given`. One that comes twice makes none count, as if the client had
	 * asked for the whole of the file unconditionally.
	 */
	struct http_span condition[HTTP_CONDITIONS];
	uint32_t given;
};

/* Zero-initialised: at the start of a head. */
struct http_parser {
	struct http_request request;
	uint32_t scanned; /* bytes in which the end of the present line is not */
	uint32_t line;	  /* where that line begins */
	uint32_t fields;
	uint8_t hosts, lengths, codings; /* how often the field has come, at most 2 */
	bool begun;			 /* the request line is behind us */
	bool skipped;			 /* an empty line before the request line */
	bool chunked, chunked_last;	 /* of the transfer coding: the only one, the last one */
	bool close, persist;		 /* options of Connection */
	bool repeated;			 /* a condition */
};

enum {
	HTTP_MORE = 0,	   /* the head goes on */
	HTTP_COMPLETE = 1, /* parser->request is set */
};

/*
 * Looks at `data`: all bytes since the start of the head, those of the previous call first. Returns HTTP_MORE,
 * HTTP_COMPLETE and in *head the length of the head, or the status to refuse the request with (400 and above), after
 * which nothing that follows on the connection can be trusted.
 */
int http_parse(struct http_parser *parser, const uint8_t *data, size_t length, size_t *head);
