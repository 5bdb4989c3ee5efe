// SPDX-License-Identifier: Apache-2.0
#include "apps/http/serve.h"

/* Returns how many bytes are done with; 0: it takes more of them, or room. */
static size_t serve_one(struct http_connection *connection, const struct http_site *site, const struct http_now *now,
			const uint8_t *data, size_t length, const struct http_sink *sink)
{
	struct http_answer answer;
	size_t head = 0;
	if (!sink->ready(sink->user))
		return 0;
	int outcome = http_parse(&connection->parser, data, length, &head);
	if (outcome == HTTP_MORE)
		return 0;
	if (outcome == HTTP_COMPLETE) {
		http_answer(site, now, &connection->parser.request, data, &answer);
		connection->body_left = connection->parser.request.content_length;
	} else {
		http_refuse(now, outcome, &answer);
	}
	connection->parser = (struct http_parser){0};
	connection->closing = answer.close;
	sink->put(sink->user, &answer);
	return answer.close ? length : head;
}

size_t http_serve(struct http_connection *connection, const struct http_site *site, const struct http_now *now,
		  const uint8_t *data, size_t length, const struct http_sink *sink)
{
	size_t used = 0;
	while (used < length && !connection->closing) {
		size_t part = length - used;
		if (connection->body_left > 0) {
			if (part > connection->body_left)
				part = connection->body_left;
			connection->body_left -= part;
		} else {
			part = serve_one(connection, site, now, data + used, part, sink);
			if (part == 0)
				return used;
		}
		used += part;
	}
	return connection->closing ? length : used;
}
