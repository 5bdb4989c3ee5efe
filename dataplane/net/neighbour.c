// SPDX-License-Identifier: Apache-2.0
#include "net/neighbour.h"

#include "base/random.h"
#include "net/arp.h"
#include "net/ethernet.h"
#include "net/ip.h"
#include "net/mechanism.h"
#include "net/nd.h"
#include "net/pending.h"
#include "net/route.h"
#include "net/tcp_upcalls.h"
#include "net/tx.h"

#include <errno.h>
#include <string.h>

/* RFC 5227 section 1.1; IPv6 addresses are announced along. */
enum { ANNOUNCE_NUM = 2 };
#define ANNOUNCE_INTERVAL_NS 2000000000ULL
#define DEFEND_INTERVAL_NS   10000000000ULL

static const struct neighbour_list empty_list = {.first = NEIGHBOUR_NONE, .last = NEIGHBOUR_NONE};

void neighbour_lay(struct neighbour_table *table, const struct rb_net_config *config, struct layout *layout)
{
	uint32_t buckets = layout_power_of_two(config->neighbours);
	table->bucket_mask = buckets - 1;
	table->entries = layout_take(layout, config->neighbours, sizeof(table->entries[0]));
	table->buckets = layout_take(layout, buckets, sizeof(table->buckets[0]));
	pending_lay(&table->pending, config, layout);
}

void neighbour_init(struct rb_net *net)
{
	struct neighbour_table *table = &net->neighbours;
	for (uint32_t i = 0; i < net->config.neighbours; i++) {
		bool last = i + 1 == net->config.neighbours;
		table->entries[i] = (struct neighbour){.hash_next = last ? NEIGHBOUR_NONE : (uint16_t)(i + 1)};
	}
	for (uint32_t i = 0; i <= table->bucket_mask; i++)
		table->buckets[i] = NEIGHBOUR_NONE;
	table->key[0] = net->ops->random(net->context);
	table->key[1] = net->ops->random(net->context);
	table->count = 0;
	table->free = 0;
	table->idle = table->retransmit = table->delay = empty_list;
	table->announce_ns = UINT64_MAX;
	table->defend_ns = 0;
	pending_init(&table->pending, net->config.pending);
}

/*
 * Lists.
 */

static void list_append(struct neighbour_table *table, struct neighbour_list *list, uint16_t index,
			enum neighbour_lists which)
{
	struct neighbour_links *links = &table->entries[index].links[which];
	*links = (struct neighbour_links){.next = NEIGHBOUR_NONE, .previous = list->last};
	if (list->last == NEIGHBOUR_NONE)
		list->first = index;
	else
		table->entries[list->last].links[which].next = index;
	list->last = index;
}

static void list_remove(struct neighbour_table *table, struct neighbour_list *list, uint16_t index,
			enum neighbour_lists which)
{
	struct neighbour_links links = table->entries[index].links[which];
	if (links.previous == NEIGHBOUR_NONE)
		list->first = links.next;
	else
		table->entries[links.previous].links[which].next = links.next;
	if (links.next == NEIGHBOUR_NONE)
		list->last = links.previous;
	else
		table->entries[links.next].links[which].previous = links.previous;
}

/* Where an entry in this state waits for its deadline; NULL: it does not. */
static struct neighbour_list *timed_list(struct neighbour_table *table, unsigned state)
{
	switch (state) {
	case NEIGHBOUR_INCOMPLETE:
	case NEIGHBOUR_PROBE:
		return &table->retransmit;
	case NEIGHBOUR_DELAY:
		return &table->delay;
	default:
		return NULL;
	}
}

static void set_state(struct rb_net *net, uint16_t index, enum neighbour_state state)
{
	struct neighbour_table *table = &net->neighbours;
	struct neighbour *entry = &table->entries[index];
	struct neighbour_list *from = timed_list(table, entry->state);
	struct neighbour_list *to = timed_list(table, state);
	if (from != NULL)
		list_remove(table, from, index, NEIGHBOUR_TIMED);
	if (to != NULL)
		list_append(table, to, index, NEIGHBOUR_TIMED);
	entry->state = (uint8_t)state;
	entry->probes = 0;
	entry->due_ns = net->now_ns + (state == NEIGHBOUR_DELAY ? NEIGHBOUR_DELAY_NS : NEIGHBOUR_RETRANS_NS);
	if (state == NEIGHBOUR_REACHABLE)
		entry->fresh_until_ns = net->now_ns + NEIGHBOUR_REACHABLE_NS;
	else
		entry->fresh_until_ns = state == NEIGHBOUR_STATIC ? UINT64_MAX : 0;
}

/* The state as of now. */
static enum neighbour_state state_of(const struct rb_net *net, const struct neighbour *entry)
{
	bool expired = MECHANISM(reachable_time) && entry->state == NEIGHBOUR_REACHABLE &&
		       net->now_ns >= entry->fresh_until_ns;
	return expired ? NEIGHBOUR_STALE : (enum neighbour_state)entry->state;
}

/*
 * Entries.
 */

static uint16_t *bucket_of(const struct neighbour_table *table, const struct rb_ip *ip)
{
	uint64_t mix = ip->words[0] ^ table->key[0];
	mix = rb_splitmix64(&mix) ^ ip->words[1] ^ table->key[1];
	return &table->buckets[rb_splitmix64(&mix) & table->bucket_mask];
}

uint16_t neighbour_lookup(const struct rb_net *net, const struct rb_ip *ip)
{
	const struct neighbour_table *table = &net->neighbours;
	uint16_t index = *bucket_of(table, ip);
	while (index != NEIGHBOUR_NONE && !ip_equal(&table->entries[index].ip, ip))
		index = table->entries[index].hash_next;
	return index;
}

/* Forgets an entry that nobody holds. */
static void entry_free(struct rb_net *net, uint16_t index)
{
	struct neighbour_table *table = &net->neighbours;
	struct neighbour *entry = &table->entries[index];
	uint16_t *link = bucket_of(table, &entry->ip);
	while (*link != index)
		link = &table->entries[*link].hash_next;
	*link = entry->hash_next;
	pending_drop(net, entry);
	set_state(net, index, NEIGHBOUR_FREE);
	list_remove(table, &table->idle, index, NEIGHBOUR_IDLE);
	entry->hash_next = table->free;
	table->free = index;
	table->count--;
}

/* A new entry in state UNKNOWN, on the list of idle ones; NEIGHBOUR_NONE: all are held. */
static uint16_t entry_make(struct rb_net *net, const struct rb_ip *ip)
{
	struct neighbour_table *table = &net->neighbours;
	if (table->free == NEIGHBOUR_NONE && table->idle.first != NEIGHBOUR_NONE)
		entry_free(net, table->idle.first);
	uint16_t index = table->free;
	if (index == NEIGHBOUR_NONE) {
		net->counters.neighbours_full++;
		return NEIGHBOUR_NONE;
	}
	struct neighbour *entry = &table->entries[index];
	uint16_t *bucket = bucket_of(table, ip);
	table->free = entry->hash_next;
	*entry = (struct neighbour){.state = NEIGHBOUR_UNKNOWN, .ip = *ip, .hash_next = *bucket};
	ethernet_write(entry->ethernet, ethernet_nobody, net->config.mac,
		       ip_is4(ip) ? ETHERNET_TYPE_IP4 : ETHERNET_TYPE_IP6);
	*bucket = index;
	table->count++;
	list_append(table, &table->idle, index, NEIGHBOUR_IDLE);
	return index;
}

/* The address that groups and broadcasts have by computation (RFC 1122 3.3.6, RFC 1112 6.4, RFC 2464 section 7). */
static bool computed_mac(const struct rb_net *net, const struct rb_ip *ip, uint8_t mac[6])
{
	uint32_t ip4 = ip_to4(ip);
	if (!ip_is4(ip)) {
		ethernet_group6(ip, mac);
		return MECHANISM(group_mac6) && ip6_is_group(ip);
	}
	if (MECHANISM(group_mac4) && ip4_is_group(ip4)) {
		memcpy(mac, (uint8_t[]){0x01, 0x00, 0x5e, (ip4 >> 16) & 0x7f, (ip4 >> 8) & 0xff, ip4 & 0xff}, 6);
		return true;
	}
	memcpy(mac, ethernet_broadcast, 6);
	return ip4 == UINT32_MAX || (ip4 == net->addresses.ip4_broadcast && ip4 != 0);
}

int neighbour_find(struct rb_net *net, const struct rb_ip *ip, uint16_t *index)
{
	struct neighbour_table *table = &net->neighbours;
	uint8_t mac[6];
	/* nearly always the one of before: all that is not on the link goes through one gateway */
	const struct neighbour *last = &table->entries[table->last];
	bool same = last->state != NEIGHBOUR_FREE && ip_equal(&last->ip, ip);
	*index = same ? table->last : neighbour_lookup(net, ip);
	if (*index == NEIGHBOUR_NONE) {
		*index = entry_make(net, ip);
		if (*index == NEIGHBOUR_NONE)
			return -ENOBUFS;
		if (computed_mac(net, ip, mac)) {
			memcpy(table->entries[*index].ethernet, mac, sizeof(mac));
			set_state(net, *index, NEIGHBOUR_STATIC);
		}
	}
	table->last = *index;
	struct neighbour *entry = &table->entries[*index];
	if (entry->holds++ == 0 && !entry->pinned)
		list_remove(table, &table->idle, *index, NEIGHBOUR_IDLE);
	return 0;
}

void neighbour_release_slow(struct rb_net *net, uint16_t index)
{
	list_append(&net->neighbours, &net->neighbours.idle, index, NEIGHBOUR_IDLE);
}

int rb_net_neighbour_set(struct rb_net *net, const struct rb_ip *ip, const uint8_t mac[6])
{
	uint16_t index;
	if (!address_is_unicast(net, ip) || !ethernet_is_host(mac))
		return -EINVAL;
	int status = neighbour_find(net, ip, &index);
	if (status != 0)
		return status;
	struct neighbour *entry = &net->neighbours.entries[index];
	memcpy(entry->ethernet, mac, 6);
	set_state(net, index, NEIGHBOUR_STATIC);
	entry->pinned = true; /* before the release: it is on no list of idle ones any more */
	pending_send(net, entry);
	neighbour_release(net, index);
	return 0;
}

/*
 * States.
 */

static void probe(struct rb_net *net, struct neighbour *entry)
{
	const uint8_t *mac = entry->state == NEIGHBOUR_PROBE ? entry->ethernet : NULL;
	entry->probes++;
	if (ip_is4(&entry->ip))
		arp_send_request(net, ip_to4(&entry->ip), mac);
	else
		nd_send_solicitation(net, &entry->ip, mac);
}

void neighbour_confirm_slow(struct rb_net *net, uint16_t index)
{
	switch (net->neighbours.entries[index].state) {
	case NEIGHBOUR_REACHABLE:
	case NEIGHBOUR_STALE:
	case NEIGHBOUR_DELAY:
	case NEIGHBOUR_PROBE:
		if (MECHANISM(upper_confirms))
			set_state(net, index, NEIGHBOUR_REACHABLE);
		break;
	default: /* no address, or one that needs no confirmation */
		break;
	}
}

void tx_commit_slow(struct rb_net *net, struct rb_net_frame *frame, uint16_t index)
{
	struct neighbour *entry = &net->neighbours.entries[index];
	switch (state_of(net, entry)) {
	case NEIGHBOUR_UNKNOWN:
		pending_add(net, entry, frame); /* first: the probe is built in the same header buffer */
		set_state(net, index, NEIGHBOUR_INCOMPLETE);
		probe(net, entry);
		return;
	case NEIGHBOUR_INCOMPLETE:
		pending_add(net, entry, frame);
		return;
	case NEIGHBOUR_STALE:
		if (MECHANISM(probe_stale))
			set_state(net, index, NEIGHBOUR_DELAY); /* RFC 4861 7.3.3 */
		break;
	default:
		break;
	}
	memcpy(frame->header, entry->ethernet, ETHERNET_HEADER);
	tx_commit_raw(net, frame);
}

/* The first address of a neighbour that has none. */
static void learn_first(struct rb_net *net, uint16_t index, const uint8_t mac[6], bool answer)
{
	struct neighbour *entry = &net->neighbours.entries[index];
	memcpy(entry->ethernet, mac, 6);
	set_state(net, index, answer ? NEIGHBOUR_REACHABLE : NEIGHBOUR_STALE);
	/* What waits is traffic to a neighbour: if it is STALE, the clock of its confirmation runs from here. */
	if (!answer && entry->pending_count > 0)
		set_state(net, index, NEIGHBOUR_DELAY);
	pending_send(net, entry);
}

static bool is_solicited(unsigned news)
{
	return !MECHANISM(solicited) || (news & NEIGHBOUR_SOLICITED) != 0;
}

/* News of a neighbour that has an address (RFC 4861 7.2.5). */
static void learn_again(struct rb_net *net, uint16_t index, const uint8_t *mac, unsigned news)
{
	struct neighbour *entry = &net->neighbours.entries[index];
	bool other = mac != NULL && memcmp(entry->ethernet, mac, 6) != 0;
	if (MECHANISM(override) && other && !(news & NEIGHBOUR_OVERRIDE)) {
		if (state_of(net, entry) == NEIGHBOUR_REACHABLE)
			set_state(net, index, NEIGHBOUR_STALE);
		return;
	}
	if (other)
		memcpy(entry->ethernet, mac, 6);
	/*
	 * An answer for which nobody waits any more confirms the address that is known, and not another one: else a
	 * single forged frame would put its address in the place of one that was confirmed, for all of REACHABLE_TIME.
	 * As STALE that is asked about with the next packet. Nor one of ARP, which does not say whether it was asked.
	 */
	bool may_be_late = !other && !ip_is4(&entry->ip);
	if (is_solicited(news) && (entry->state == NEIGHBOUR_PROBE || may_be_late))
		set_state(net, index, NEIGHBOUR_REACHABLE);
	else if (other)
		set_state(net, index, NEIGHBOUR_STALE);
}

void neighbour_learn(struct rb_net *net, const struct rb_ip *ip, const uint8_t *mac, unsigned news)
{
	if (mac != NULL && !ethernet_is_host(mac))
		return;
	uint16_t index = neighbour_lookup(net, ip);
	if (index == NEIGHBOUR_NONE && (news & NEIGHBOUR_MAKE) != 0 && mac != NULL)
		index = entry_make(net, ip);
	if (index == NEIGHBOUR_NONE)
		return;
	enum neighbour_state state = state_of(net, &net->neighbours.entries[index]);
	bool asked = state == NEIGHBOUR_INCOMPLETE;
	switch (state) {
	case NEIGHBOUR_STATIC:
		break;
	case NEIGHBOUR_UNKNOWN:
	case NEIGHBOUR_INCOMPLETE:
		if (mac != NULL && (asked || (news & NEIGHBOUR_MAKE) != 0))
			learn_first(net, index, mac, asked && is_solicited(news));
		break;
	default:
		learn_again(net, index, mac, news);
		break;
	}
}

bool neighbour_conflict(struct rb_net *net)
{
	net->counters.address_conflicts++;
	if (MECHANISM(defend_interval) && net->now_ns < net->neighbours.defend_ns)
		return false;
	net->neighbours.defend_ns = net->now_ns + DEFEND_INTERVAL_NS;
	return true;
}

/*
 * Time.
 */

void neighbour_start(struct rb_net *net)
{
	net->neighbours.announced = 0;
	net->neighbours.announce_ns = net->now_ns;
}

/*
 * RFC 5227 2.3 twice. For IPv6, a probe for duplicates first (RFC 4862 5.4.2, the address being used meanwhile, as RFC
 * 4429 permits), then an unsolicited advertisement (RFC 4861 7.2.6).
 */
static void announce(struct rb_net *net)
{
	struct neighbour_table *table = &net->neighbours;
	if (MECHANISM(arp_announce) && net->addresses.ip4 != 0)
		arp_send_announcement(net);
	for (uint32_t i = 0; i < net->addresses.ip6_count; i++) {
		if (table->announced == 0 && MECHANISM(duplicate_probe))
			nd_send_duplicate_probe(net, &net->addresses.ip6[i]);
		else if (MECHANISM(nd_announce))
			nd_send_announcement(net, &net->addresses.ip6[i]);
	}
	table->announced++;
	table->announce_ns = table->announced < ANNOUNCE_NUM ? net->now_ns + ANNOUNCE_INTERVAL_NS : UINT64_MAX;
}

/* RFC 4861 7.2.2, 7.3.3: the last probe had no answer. */
static void give_up(struct rb_net *net, uint16_t index)
{
	struct neighbour *entry = &net->neighbours.entries[index];
	bool nothing_known = entry->state == NEIGHBOUR_INCOMPLETE;
	set_state(net, index, NEIGHBOUR_UNKNOWN);
	pending_drop(net, entry);
	/* After PROBE the address is found anew with the next packet; only when that fails too, it is a failure. */
	if (nothing_known)
		net->counters.neighbour_failures++;
	if (entry->holds == 0)
		entry_free(net, index);
	else if (nothing_known)
		tcp_neighbour_failed(net, index);
}

static void retransmit_due(struct rb_net *net, uint16_t index)
{
	struct neighbour_table *table = &net->neighbours;
	struct neighbour *entry = &table->entries[index];
	if (!MECHANISM(solicit_again) || (MECHANISM(solicit_limit) && entry->probes >= NEIGHBOUR_PROBES)) {
		give_up(net, index);
		return;
	}
	list_remove(table, &table->retransmit, index, NEIGHBOUR_TIMED);
	list_append(table, &table->retransmit, index, NEIGHBOUR_TIMED);
	entry->due_ns = net->now_ns + NEIGHBOUR_RETRANS_NS;
	probe(net, entry);
}

static uint64_t due(const struct neighbour_table *table, const struct neighbour_list *list)
{
	return list->first == NEIGHBOUR_NONE ? UINT64_MAX : table->entries[list->first].due_ns;
}

void neighbour_advance(struct rb_net *net)
{
	struct neighbour_table *table = &net->neighbours;
	table->confirm_below_ns = net->now_ns + NEIGHBOUR_REACHABLE_NS - NEIGHBOUR_CONFIRMED_NS;
	if (net->now_ns >= table->announce_ns)
		announce(net);
	while (net->now_ns >= due(table, &table->delay)) {
		uint16_t index = table->delay.first;
		set_state(net, index, NEIGHBOUR_PROBE);
		probe(net, &table->entries[index]);
	}
	while (net->now_ns >= due(table, &table->retransmit))
		retransmit_due(net, table->retransmit.first);
}

uint64_t neighbour_deadline_ns(const struct rb_net *net)
{
	const struct neighbour_table *table = &net->neighbours;
	uint64_t retransmit = due(table, &table->retransmit);
	uint64_t delay = due(table, &table->delay);
	uint64_t first = retransmit < delay ? retransmit : delay;
	return first < table->announce_ns ? first : table->announce_ns;
}
