// SPDX-License-Identifier: Apache-2.0
/*
 * The connections of one thread: opens them, keeps their number, cuts their streams into replies, closes and
 * replaces them.
 *
 * States of a connection object:
 *   FREE -> CONNECTING -> OPEN -> CLOSING -> FREE   used up (its n requests are answered): FIN, the peer's FIN, CLOSED
 *           CONNECTING -> FREE                      connecting failed; tried again, not before retry_ns
 *                         OPEN -> FREE              reset or closed by the peer: its requests are lost
 *                         OPEN -> CLOSING (abort)   a reply was wrong, or did not come within reply_timeout_ns: RST
 * A replacement is opened as soon as a connection leaves OPEN, while the old one is still closing. The first
 * openings, and those after an end that was not wanted but for a timeout, are spread by open_interval_ns. Requests go to the
 * connection that has waited longest among those with room (fewer than `depth` outstanding, and, if limited, fewer
 * than n sent).
 *
 * A request's memory is a slot of its connection's ring; it is reused when its reply has come and the stack has
 * released it.
 *
 * Commands are put only by rb_pool_flush, _open and _send, never while events are handled, so the bounded command
 * array cannot overflow.
 */
#pragma once

#include "base/list.h"
#include "load/protocol.h"
#include "load/recorder.h"
#include "user/context.h"

#include <stdbool.h>
#include <stdint.h>

/* A request outside the measurement that fills the store: intended_ns has this value. */
#define RB_REQUEST_FILL UINT64_MAX

enum rb_connection_state { RB_CONNECTION_FREE, RB_CONNECTION_CONNECTING, RB_CONNECTION_OPEN, RB_CONNECTION_CLOSING };

struct rb_connection {
	rb_handle handle;
	uint8_t state;	     /* enum rb_connection_state */
	uint8_t close_flags; /* of the close command that is wanted */
	bool close_wanted;
	uint64_t owed_bytes;	/* received, not yet given back */
	uint64_t sent_requests; /* on this connection, towards n */
	/* Numbers of requests since the connection was opened; slot = number % ring. replied, released <= filled. */
	uint64_t filled, replied, released;
	uint64_t released_bytes; /* of the request numbered `released` */
	uint8_t *slots;		 /* in rb_pool.requests */
	struct rb_reply_parser parser;
	struct rb_list available; /* in rb_pool.available while there is room */
	struct rb_list work;	  /* in rb_pool.work while commands are owed, in rb_pool.free while FREE */
	struct rb_list waiting;	  /* in rb_pool.waiting while a reply is due; only with reply_timeout_ns */
	uint64_t sent_ns;	  /* of the request that waits */
};

/* What the owner is told, always from rb_pool_event or rb_pool_abandon. */
struct rb_pool_owner {
	void *user;
	/* The reply is complete, with these last bytes: OK, MISS or REFUSED. */
	void (*replied)(void *user, const struct rb_request *request, enum rb_reply_status status, uint64_t bytes);
	/* There will be no reply. */
	void (*lost)(void *user, const struct rb_request *request, enum rb_load_error error);
	/* A part of a reply has come, and not the last one; or it is wrong. */
	void (*received)(void *user, const struct rb_request *request, uint64_t bytes);
};

struct rb_pool_config {
	const struct rb_protocol *protocol;
	struct rb_address target;
	uint32_t target_ports;		  /* from the target's on, taken in turn with each source; >= 1 */
	const struct rb_address *sources; /* borrowed; taken in turn */
	uint32_t sources_count;		  /* 0: by route */
	uint32_t first_path;		  /* of sources and ports: where this thread's turn starts */
	uint32_t connections;		  /* kept open, >= 1 */
	uint32_t ring;			  /* slots per connection, >= depth */
	uint64_t open_interval_ns;	  /* between openings that are spread; 0: at once */
	uint64_t retry_ns;		  /* least time from an end that was not wanted to the next opening */
	uint64_t rpcs_per_connection;	  /* n; 0: unlimited */
	uint32_t depth;
	/*
	 * A request without a reply after this time is lost, and its connection replaced, so that a late reply finds
	 * nobody; 0: never. With it, ring is 1.
	 */
	uint64_t reply_timeout_ns;
};

struct rb_pool {
	struct rb_pool_config config;
	struct rb_pool_owner owner;
	struct rb_load_counters
		*counters; /* borrowed: connections_*, errors[CONNECT], and protocol errors without a request */
	struct rb_connection *connections; /* owned; index = cookie */
	uint32_t objects;
	uint8_t *requests;	/* owned; ring slots of all objects */
	uint32_t request_bytes; /* stride of a slot */
	struct rb_list available, work, free;
	struct rb_list waiting; /* the oldest request first */
	uint32_t live;		/* CONNECTING or OPEN */
	uint32_t open;		/* OPEN */
	uint32_t busy;		/* objects that are not FREE */
	uint32_t paced;		/* openings that are still to be spread */
	uint32_t next_path;
	uint64_t next_open_ns;
	bool limited; /* n applies */
	uint32_t depth;
	bool closing; /* nothing is opened any more */
};

/* Takes all memory. Returns 0, -EINVAL (no connections; ring < depth; more objects than handles; a timeout with a
 * longer ring) or -ENOMEM. */
int rb_pool_init(struct rb_pool *pool, const struct rb_pool_config *config, const struct rb_pool_owner *owner,
		 struct rb_load_counters *counters);
void rb_pool_free(struct rb_pool *pool);

/* Objects and pieces that the context must have room for. */
uint32_t rb_pool_objects(const struct rb_pool_config *config);
uint32_t rb_pool_pieces(const struct rb_pool_config *config);

/* Room per connection and whether n applies; only while no request is outstanding. Starts with config.depth, limited.
 */
void rb_pool_set_room(struct rb_pool *pool, uint32_t depth, bool limited);

/*
 * Puts the commands that events have left behind: bytes given back, but for those that went along with a request
 * (rb_pool_send()), and closes. False: there was not room for all.
 */
bool rb_pool_flush(struct rb_pool *pool, struct rb_context *context);

/* Opens what is missing and due. */
void rb_pool_open(struct rb_pool *pool, struct rb_context *context, uint64_t now_ns);

/* When rb_pool_open has work again; RB_DEADLINE_NONE: not before an event. */
uint64_t rb_pool_next_open(const struct rb_pool *pool);

/* A slot on the next connection with room, or NULL; the caller fills it and sends it before anything else is asked of
 * the pool. */
struct rb_request *rb_pool_begin(struct rb_pool *pool, struct rb_context *context);
void rb_pool_send(struct rb_pool *pool, struct rb_context *context, struct rb_request *request, uint64_t now_ns);

/* Gives up the requests that have waited for too long. */
void rb_pool_expire(struct rb_pool *pool, uint64_t now_ns);

/* When rb_pool_expire has work again; RB_DEADLINE_NONE: nothing waits. */
uint64_t rb_pool_next_expiry(const struct rb_pool *pool);

/* Handles an event of one of the connections. */
void rb_pool_event(struct rb_pool *pool, const struct rb_event *event, uint64_t now_ns);

/*
 * Ends all connections: those without outstanding requests in an orderly way, others with a RST. Outstanding requests
 * are reported through `visit` first (not through the owner). Afterwards rb_pool_flush and events finish the work;
 * rb_pool_idle tells when.
 */
void rb_pool_end(struct rb_pool *pool, void (*visit)(void *user, const struct rb_request *request));
bool rb_pool_idle(const struct rb_pool *pool);
