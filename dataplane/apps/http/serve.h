// SPDX-License-Identifier: Apache-2.0
/* One connection: a stream of bytes in, answers out in order. Knows nothing of what carries them. */
#pragma once

#include "apps/http/answer.h"

/* Zero-initialised: nothing has come yet. */
struct http_connection {
	struct http_parser parser;
	uint64_t body_left; /* of the last request, to be thrown away */
	bool closing;	    /* the last answer has been given: what still comes is thrown away */
};

/* Where answers go. */
struct http_sink {
	/* Is there room for another answer? If not, http_serve() stops before it. */
	bool (*ready)(void *user);
	/* The answer is borrowed; its body stays where it is unless it is answer->reason. */
	void (*put)(void *user, const struct http_answer *answer);
	void *user;
};

/*
 * Serves the requests in `data`. Returns how many bytes are done with; the rest is to be offered again, followed by
 * what has come meanwhile.
 */
size_t http_serve(struct http_connection *connection, const struct http_site *site, const struct http_now *now,
		  const uint8_t *data, size_t length, const struct http_sink *sink);
