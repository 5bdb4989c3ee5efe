// SPDX-License-Identifier: Apache-2.0
/* The state of net/neighbour.h and net/pending.h. */
#pragma once

#include "base/assert.h"
#include "net/net.h"

#include <stdint.h>

/* RFC 4861 7.3.2, for ARP as well (RFC 1122 2.3.2.1 asks for a way to notice that an entry is out of date). */
enum neighbour_state {
	NEIGHBOUR_FREE = 0,   /* the entry is not in use */
	NEIGHBOUR_UNKNOWN,    /* no address, and nobody has asked: nothing was sent yet, or there was no answer */
	NEIGHBOUR_INCOMPLETE, /* being resolved; packets wait */
	NEIGHBOUR_REACHABLE,  /* until fresh_until_ns; after that it counts as STALE (7.3.3 permits to note it late) */
	NEIGHBOUR_STALE,      /* usable; the next packet starts DELAY */
	NEIGHBOUR_DELAY,      /* usable; waiting for TCP to confirm it */
	NEIGHBOUR_PROBE,      /* usable; being asked directly */
	NEIGHBOUR_STATIC,     /* set from outside, or computed (multicast, broadcast): never asked about */
};

/* The link-layer header to a neighbour, ready to be copied: destination, source, type. */
enum { ETHERNET_HEADER = 14 };

struct neighbour_links {
	uint16_t next, previous; /* NEIGHBOUR_NONE: end */
};

enum neighbour_lists { NEIGHBOUR_TIMED = 0, NEIGHBOUR_IDLE, NEIGHBOUR_LINKS }; /* what the links are for */

/* A list of entries by index, oldest first. */
struct neighbour_list {
	uint16_t first, last; /* NEIGHBOUR_NONE: empty */
};

struct neighbour {
	/* What each frame reads. */
	uint64_t fresh_until_ns; /* frames go out without further thought before this; 0 in all but two states */
	uint8_t ethernet[ETHERNET_HEADER + 2]; /* one word of 16 bytes: see tx_begin() */
	uint8_t state;			       /* enum neighbour_state */
	uint8_t probes;			       /* sent in this state without an answer */
	uint32_t holds;			       /* users that keep the index */
	/* The rest is for the table. */
	uint32_t pending_count;		      /* packets */
	uint32_t pending_first, pending_last; /* PENDING_NONE: empty */
	struct rb_ip ip;
	uint64_t due_ns; /* in INCOMPLETE, DELAY and PROBE */
	struct neighbour_links links[NEIGHBOUR_LINKS];
	uint16_t hash_next;
	bool pinned;	      /* by rb_net_neighbour_set(): is never evicted */
	uint64_t reserved[5]; /* two cache lines: an index becomes an address by a shift */
};
RB_BUILD_ASSERT(sizeof(struct neighbour) == 128, "two cache lines");

/* A whole frame, copied, that waits for its neighbour's address; its bytes are in pending_pool.bytes. */
struct pending {
	uint32_t next; /* PENDING_NONE: end */
	uint32_t length;
	uint16_t header_length, checksum;
	uint8_t l3_length;
};

#define PENDING_NONE UINT32_MAX

struct pending_pool {
	struct pending *packets;
	uint8_t *bytes;	 /* `stride` for each */
	uint32_t stride; /* bytes */
	uint32_t free;	 /* first free packet */
	uint32_t used;	 /* packets */
};

struct neighbour_table {
	struct neighbour *entries;
	uint16_t *buckets; /* heads of hash chains */
	uint64_t key[2];   /* of the hash: neighbours on the link choose their addresses */
	uint32_t bucket_mask;
	uint32_t count; /* entries in use */
	uint16_t free;	/* first free entry, by hash_next */
	uint16_t last;	/* what neighbour_find() found last; may be free meanwhile */
	/* By least recent use, those that nobody holds. */
	struct neighbour_list idle;
	/* Each list has one period, so appending keeps it in the order of its deadlines. */
	struct neighbour_list retransmit; /* INCOMPLETE and PROBE: RETRANS_TIMER */
	struct neighbour_list delay;	  /* DELAY: DELAY_FIRST_PROBE_TIME */
	/* The own addresses. */
	uint64_t confirm_below_ns; /* entries that are fresh until later were confirmed just now, or need it not */
	uint64_t announce_ns;	   /* next announcement; UINT64_MAX: done */
	uint64_t defend_ns;	   /* no defence before (RFC 5227 2.4) */
	uint8_t announced;	   /* announcements sent */
	struct pending_pool pending;
};
