// SPDX-License-Identifier: Apache-2.0
/* From a request to its response (RFC 9110): which file, whether it has changed, which part of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apps/http/date.h"
#include "apps/http/request.h"
#include "apps/http/site.h"

enum {
	HTTP_TAIL_MAX = 256,
	HTTP_REASON_MAX = 64,
};

/* The time as a response shows it. */
struct http_now {
	int64_t seconds; /* since 1970 */
	char text[HTTP_DATE_LENGTH];
};

struct http_answer {
	int status;
	bool close; /* the connection ends with it */
	/* The head is `start`, which the site or the program keeps, and then `tail`. */
	const char *start;
	size_t start_length;
	char tail[HTTP_TAIL_MAX];
	size_t tail_length;
	/* The site's, or `reason`. */
	const uint8_t *body;
	size_t body_length;
	char reason[HTTP_REASON_MAX];
};

/* `head`: the bytes that were parsed. */
void http_answer(const struct http_site *site, const struct http_now *now, const struct http_request *request,
		 const uint8_t *head, struct http_answer *answer);

/* The answer to what is no request: one of the statuses that http_parse() returns. */
void http_refuse(const struct http_now *now, int status, struct http_answer *answer);
