// SPDX-License-Identifier: Apache-2.0
/*
 * Applications that prove a pair of byte streams: each end of a connection sends the stream of its own seed in writes of
 * random sizes and reads the other's at its own pace. Memory is overwritten as soon as it is said to be acknowledged;
 * each received byte is compared at once.
 */
#pragma once

#include "base/random.h"
#include "tests/net/world.h"

enum { STREAMS_CONNECTIONS = 8, STREAMS_PORT = 80 };

enum streams_ending {
	STREAMS_HALF,	/* closes its direction when all is queued, reads to the end */
	STREAMS_BOTH,	/* closes both then, and gives up what is still to be read */
	STREAMS_ABORT,	/* aborts when it has queued abort_after bytes */
	STREAMS_REJECT, /* the server does not accept */
};

/* One end. */
struct streams_plan {
	size_t total;	   /* bytes to send */
	size_t write_max;  /* bytes at a time: uniform in 1 .. this */
	size_t read_max;   /* likewise given back */
	uint64_t write_ns; /* uniform pause up to this between writes */
	uint64_t read_ns;  /* likewise */
	bool reads_slowly; /* what read_ns was drawn for */
	enum streams_ending ending;
	size_t abort_after;
	bool nodelay;
	int congestion; /* enum rb_net_congestion; -1: the host's */
};

struct streams_end {
	struct streams_plan plan;
	struct streams *streams;
	unsigned number; /* of the connection */
	unsigned host;
	struct rb_net *net;
	rb_net_handle handle;
	bool exists;	/* has a handle that is not void */
	bool connected; /* has been */
	bool over;	/* CLOSED, or not connected */
	int status;	/* then */
	bool fin;	/* received */
	bool ended;	/* has closed */
	bool refused;	/* a write, with -ENOBUFS; waits for WRITABLE */
	uint8_t *bytes; /* plan.total of its own stream */
	size_t queued, acked;
	uint64_t received, returned;
	uint64_t write_at_ns, read_at_ns;
};

struct streams_config {
	uint64_t seed;
	unsigned connections;
	unsigned client[STREAMS_CONNECTIONS]; /* the host that connects */
	bool ip6[STREAMS_CONNECTIONS];
	uint64_t start_ns[STREAMS_CONNECTIONS];		  /* after the beginning */
	struct streams_plan plan[STREAMS_CONNECTIONS][2]; /* of client and server */
	/* moves an end to another instance, or the same: host_move(), with this probability in a turn; NULL: never */
	void (*mover)(struct host *host, struct rb_net **net, rb_net_handle *handle, bool to_other);
	double move;
	uint64_t dead_ns;  /* nothing passes from then on; 0: never */
	unsigned dead_way; /* to end 0, to end 1, or 2: both */
};

struct streams {
	struct streams_config config;
	struct world *world;
	struct rb_random random;
	rb_net_handle listener[2];
	uint16_t port[STREAMS_CONNECTIONS]; /* of the client */
	struct streams_end end[STREAMS_CONNECTIONS][2];
	unsigned moves;
};

/* Sets the world's applications: call before world_open(); and this one after it. */
void streams_prepare(struct streams *streams, struct world_config *world);
void streams_open(struct streams *streams, struct world *world, const struct streams_config *config);

/* Runs until all connections have ended on both sides, or for so long. Returns whether they have. */
bool streams_run(struct streams *streams, uint64_t ns);

/* Closes the listeners and lets the hosts forget the connections: TIME-WAIT is to be over in so long. */
void streams_close(struct streams *streams, uint64_t ns);

/*
 * Fails the test if an end says that all went well, but not all has arrived; or has lost something; with `must`, also if
 * any end has failed that was not told to.
 */
void streams_check(const struct streams *streams, bool must);

/* One line per end and per instance, for a failure. */
void streams_print(const struct streams *streams);

/* Frees memory. */
void streams_free(struct streams *streams);
