// SPDX-License-Identifier: Apache-2.0
/*
 * Link-layer addresses of neighbours: one table for ARP (RFC 826, 1122 2.3.2) and neighbour discovery (RFC 4861 7),
 * which share the states of RFC 4861 7.3.2 and differ only in the message that asks.
 *
 * Entries have 16-bit indices. Who keeps an index holds it (a connection for as long as it lives); what nobody holds
 * may be evicted, least recently used first. A held entry changes its link-layer address in place.
 *
 * Nothing is asked before a frame needs it: neighbour_find() only makes an entry, tx_commit() starts the resolution and
 * keeps the frame. Without an answer, the waiting packets are dropped, tcp_neighbour_failed() is called, and the next
 * frame starts again. Answers to questions nobody asked never make an entry.
 */
#pragma once

#include "net/defs.h"
#include "net/ip.h"
#include "net/layout.h"

#include <stdint.h>

enum { NEIGHBOUR_NONE = 0xffff };

/* RFC 4861 section 10; the same for ARP. */
#define NEIGHBOUR_RETRANS_NS   1000000000ULL  /* RETRANS_TIMER */
#define NEIGHBOUR_REACHABLE_NS 30000000000ULL /* REACHABLE_TIME; not randomised: no two hosts share our state */
#define NEIGHBOUR_DELAY_NS     5000000000ULL  /* DELAY_FIRST_PROBE_TIME */
/* What was confirmed less than this ago need not be confirmed again. */
#define NEIGHBOUR_CONFIRMED_NS 1000000000ULL
enum { NEIGHBOUR_PROBES = 3 }; /* MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT */
/* RFC 4861 7.2.2 wants a small queue, of which the oldest go first. */
enum { NEIGHBOUR_PENDING_MAX = 8 };

/* Takes its arrays for this configuration. */
void neighbour_lay(struct neighbour_table *table, const struct rb_net_config *config, struct layout *layout);

/* Empties the table, and forgets what waits. */
void neighbour_init(struct rb_net *net);

/* The own addresses will be announced, and IPv6 ones probed for, from the next neighbour_advance() on. */
void neighbour_start(struct rb_net *net);

/* Finds or makes the entry of an address on the link and holds it. 0, or -ENOBUFS: all entries are held. */
int neighbour_find(struct rb_net *net, const struct rb_ip *ip, uint16_t *index);

/*
 * The same of an IPv4 address (host byte order), if it is the one that was found last and somebody holds it already, as
 * all do whose way is through the same gateway. False: it is not, and nothing is held.
 */
static inline bool neighbour_again4(struct rb_net *net, uint32_t ip, uint16_t *index)
{
	const uint16_t at = net->neighbours.last;
	struct neighbour *last = &net->neighbours.entries[at];
	/* a free one has neither */
	if (!ip_is4(&last->ip) || ip_to4(&last->ip) != ip || (last->holds == 0 && !last->pinned))
		return false;
	last->holds++;
	*index = at;
	return true;
}

/* One more user of an index that somebody holds. */
static inline void neighbour_hold(struct rb_net *net, uint16_t index)
{
	net->neighbours.entries[index].holds++;
}

/* Out of line: the last user of one is gone. */
void neighbour_release_slow(struct rb_net *net, uint16_t index);

/* One user less. */
static inline void neighbour_release(struct rb_net *net, uint16_t index)
{
	struct neighbour *entry = &net->neighbours.entries[index];
	RB_DEBUG_ASSERT_GT(entry->holds, 0U);
	if (--entry->holds == 0 && !entry->pinned)
		neighbour_release_slow(net, index);
}

/* Out of line: confirms one, unless it needs none. */
void neighbour_confirm_slow(struct rb_net *net, uint16_t index);

/*
 * What was sent to this neighbour has arrived (RFC 4861 7.3.1): TCP says so when an acknowledgement brings new data or
 * acknowledges it. A few instructions.
 */
static inline void neighbour_confirm(struct rb_net *net, uint16_t index)
{
	const struct neighbour_table *table = &net->neighbours;
	if (__builtin_expect(table->entries[index].fresh_until_ns < table->confirm_below_ns, 0))
		neighbour_confirm_slow(net, index);
}

/* Does what is due at net->now_ns. */
void neighbour_advance(struct rb_net *net);

/* When something will be due; UINT64_MAX: never. */
uint64_t neighbour_deadline_ns(const struct rb_net *net);

/*
 * For the protocols.
 */

/* The entry of that address, or NEIGHBOUR_NONE; holds nothing. */
uint16_t neighbour_lookup(const struct rb_net *net, const struct rb_ip *ip);

/* What is known of a message that tells a neighbour's address. */
enum neighbour_news {
	NEIGHBOUR_SOLICITED = 1, /* it says that it answers a question of ours */
	NEIGHBOUR_OVERRIDE = 2,	 /* it may replace another address (RFC 4861 7.2.5); ARP always does */
	NEIGHBOUR_MAKE = 4,	 /* its sender wants something of us: worth an entry (RFC 826, RFC 4861 7.2.3) */
};

/*
 * Takes in the address of a neighbour; `mac` NULL: it is what it was (RFC 4861 7.2.5 for an advertisement without
 * option). `news`: enum neighbour_news.
 */
void neighbour_learn(struct rb_net *net, const struct rb_ip *ip, const uint8_t *mac, unsigned news);

/* Somebody else uses the address that is ours: counts, and tells whether to defend it now (RFC 5227 2.4 c). */
bool neighbour_conflict(struct rb_net *net);
