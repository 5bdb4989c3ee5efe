// SPDX-License-Identifier: Apache-2.0
/*
 * What one connection has to carry, on either side: a stream out and a stream in, both known byte for byte beforehand.
 * A stream is that of a seed (fixture_fill()), and the seed follows from the port of the side that has connected and the
 * direction, so that both sides know it without being told.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct work {
	uint64_t send_seed, receive_seed;
	uint64_t to_send, sent; /* bytes */
	uint64_t to_receive, received;
	uint64_t first_ns, last_ns; /* when the first and the last byte came; 0: none has */
	uint64_t half_ns, half;	    /* when half of them had come, and how many had then */
	bool ended;		    /* the peer's stream has */
	const char *fault;	    /* NULL: none so far */
};

void work_begin(struct work *work, uint64_t seed, uint16_t connecting_port, bool connects, uint64_t to_send,
		uint64_t to_receive);

/* The next bytes to send, at most `size`; returns how many. Work that was done is not counted before work_sent(). */
size_t work_fill(const struct work *work, uint8_t *bytes, size_t size);
void work_sent(struct work *work, size_t bytes);

void work_receive(struct work *work, const uint8_t *bytes, size_t length, uint64_t now_ns);

/* The peer's stream has ended: was it all? */
void work_end(struct work *work);

/* Both streams are through. */
bool work_is_done(const struct work *work);

/* Everything that happened to some connections, as JSON on standard output. Returns 0, or 1: something was wrong. */
struct rb_json;
int work_report(struct rb_json *json, const struct work *work, unsigned count);
