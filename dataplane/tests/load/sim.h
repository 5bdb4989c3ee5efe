// SPDX-License-Identifier: Apache-2.0
/*
 * A back-end for tests: a network and a server in virtual time. One context, one server that serves whole messages
 * first come first served, one at a time, with a fixed service time; link delay the same both ways. Faults are
 * switched on by fields. It checks the rules of the ABI that the generator must keep: no command on a dead handle,
 * memory untouched until SENT, received bytes given back.
 */
#pragma once

#include "base/clock.h"
#include "user/backend.h"
#include "user/context.h"

#include <stdbool.h>
#include <stdint.h>

enum { SIM_CONNECTIONS_MAX = 512, SIM_NEVER = -1 };

struct sim_connection {
	rb_handle handle;
	uint64_t cookie;
	bool open, closing;
	uint8_t *input; /* bytes of an incomplete message at the server */
	uint32_t input_bytes;
	uint64_t served;	  /* messages answered */
	uint64_t unreturned;	  /* bytes the client has not given back */
	uint64_t sent_unreleased; /* bytes for which SENT is still to come */
	struct rb_address local, remote;
};

struct sim_event {
	uint64_t time_ns, order;
	struct rb_event event;
	uint8_t *data;	  /* owned; of RECV: the bytes; of SENT: a copy of what was handed over */
	const void *held; /* of SENT: the client's memory, if it was one piece */
	bool server;	  /* not for the client: bytes that arrive at the server */
};

struct sim {
	struct rb_virtual_clock clock; /* must outlive the context */
	/* the link and the server */
	uint64_t delay_ns;   /* one way */
	uint64_t service_ns; /* per message */
	uint32_t message_bytes;
	uint64_t stall_from_ns, stall_until_ns; /* the server serves nothing in between (absolute) */
	/* the generator's own machine */
	uint64_t turn_cost_ns;			/* every run_io takes this long */
	uint64_t pause_from_ns, pause_until_ns; /* the client does not run in between (absolute) */
	/* faults */
	uint32_t refuse_connects; /* the next so many fail with -ECONNREFUSED */
	bool refuse_all;
	uint64_t reset_after;	   /* messages answered on a connection, then RST; 0: never */
	uint64_t fin_after;	   /* likewise, then FIN */
	uint64_t corrupt_message;  /* the reply with this number (1, 2, …, over all) has a wrong byte; 0: none */
	uint64_t lose_every;	   /* every so manyth message is not answered; 0: none */
	uint64_t silent_after_ns;  /* the server accepts and never answers from then on; 0: never */
	uint64_t connect_delay_ns; /* extra time for opening */
	uint32_t fragment_bytes;   /* replies come in pieces of this size; 0: whole */
	/* Called instead of sleeping for ever; false: that is a fault. May be NULL. */
	bool (*idle)(struct sim *sim, void *arg);
	void *idle_arg;
	/* what happened */
	uint64_t returns; /* RECV_DONE; what came back with SENDV is not among them */
	uint64_t connects, closes, aborts, fins, messages, connects_at_ns[SIM_CONNECTIONS_MAX];
	uint32_t open_now, open_most;
	uint64_t message_times[1 << 17]; /* arrival at the server of the first messages, ns */
	/* internal */
	struct sim_connection connections[SIM_CONNECTIONS_MAX];
	struct sim_event *events; /* heap */
	uint32_t events_count, events_capacity;
	uint64_t order, server_free_ns, timer_ns;
	uint32_t generation;
	uint8_t **delivered; /* RECV data to be freed */
	uint32_t delivered_count, delivered_capacity;
};

extern const struct rb_backend sim_backend;

/* A zeroed sim with defaults: 10 us delay, 1 us service, 64-byte messages, clock at 1 s. Only one exists at a time. */
struct sim *sim_new(void);
void sim_free(struct sim *sim);
