// SPDX-License-Identifier: Apache-2.0
/*
 * A closed loop of bare frames: each of so many flows has one datagram under way, whose answer becomes the next one in
 * the buffer in which it has come. A flow is a UDP source port; which of its datagrams is answered, a number tells. What
 * has no answer in time counts as lost, and the flow begins anew, so that there are always as many under way.
 *
 * Pure: no device and no clock, whoever owns it passes frames and times. Results go into a recorder as the load
 * generator's do (load/recorder.h), with its phases.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "load/config.h"
#include "load/recorder.h"

enum {
	FRAMES_HEADER_BYTES = 14 + 20 + 8, /* Ethernet, IPv4, UDP */
	FRAMES_NUMBER_BYTES = 4,
	FRAMES_HEAD_BYTES = FRAMES_HEADER_BYTES + FRAMES_NUMBER_BYTES, /* what differs; zeros follow */
	FRAMES_FLOWS_MAX = 16384,
	FRAMES_PORT_FIRST = 32768,
};

struct frames_end {
	uint8_t mac[6];
	struct rb_address address; /* the client's port is the flow's */
};

struct frames_flow {
	uint64_t sent_ns;
	uint32_t number; /* of the last datagram */
	bool under_way;
};

enum frames_phase { FRAMES_BEFORE, FRAMES_WARMUP, FRAMES_MEASURED, FRAMES_RUNDOWN, FRAMES_OVER };

struct frames {
	const struct rb_load_config *config; /* borrowed */
	struct rb_recorder *recorder;	     /* borrowed */
	struct frames_flow *flows;	     /* owned; config->connections */
	uint32_t count, under_way;
	uint32_t next; /* where to look for one that has nothing under way */
	uint16_t server_port;
	enum frames_phase phase;
	uint64_t phase_end_ns, look_ns; /* look_ns: when to look for what is lost */
	uint64_t answered;		/* in all phases */
	uint8_t header[FRAMES_HEADER_BYTES];
};

/* Whether the load generator's configuration is one of these loops; prints what is wrong with it. */
bool frames_check(const struct rb_load_config *config, FILE *err);

/* 0 or -ENOMEM. The load begins at `start_ns`. */
int frames_init(struct frames *f, const struct rb_load_config *config, struct rb_recorder *recorder,
		const struct frames_end *client, const struct frames_end *server, uint64_t start_ns);
void frames_free(struct frames *f);

/* Once in a while, for each new time: the phases, and what is lost. */
void frames_advance(struct frames *f, uint64_t now_ns);

static inline bool frames_are_over(const struct frames *f)
{
	return f->phase == FRAMES_OVER;
}

/* The next datagram of a flow that has none under way into `head`. False: none is to be sent now. */
bool frames_begin(struct frames *f, uint8_t head[FRAMES_HEAD_BYTES], uint64_t now_ns);

/* A frame has come. True: it was an answer, and is now the flow's next datagram, to be sent. */
bool frames_again(struct frames *f, uint8_t *frame, uint32_t length, uint64_t now_ns);
