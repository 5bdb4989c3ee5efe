// SPDX-License-Identifier: Apache-2.0
#include "net/route.h"

#include "net/ip.h"
#include "net/mechanism.h"
#include "net/neighbour.h"

#include <errno.h>

/* RFC 4007 section 5, as far as unicast on one link tells scopes apart. */
enum scope { SCOPE_LINK_LOCAL = 2, SCOPE_GLOBAL = 14 };

static const struct rb_ip unspecified;

/* RFC 4291 appendix A: the interface identifier is the MAC address around ff:fe, universal/local bit inverted. */
static struct rb_ip link_local_from(const uint8_t mac[6])
{
	return (struct rb_ip){
		.bytes = {0xfe, 0x80, [8] = mac[0] ^ 0x02, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}};
}

static bool have6(const struct addresses *own, const struct rb_ip *ip)
{
	for (uint32_t i = 0; i < own->ip6_count; i++) {
		if (ip_equal(&own->ip6[i], ip))
			return true;
	}
	return false;
}

void route_init(struct rb_net *net)
{
	const struct rb_net_config *config = &net->config;
	struct addresses *own = &net->addresses;
	*own = (struct addresses){.ip4 = config->ip4};
	own->ip4_mask = config->ip4_prefix == 0 ? 0 : UINT32_MAX << (32 - config->ip4_prefix);
	/* RFC 3021: a network of two has no broadcast address, nor has one of one. */
	if (config->ip4 != 0 && config->ip4_prefix < 31) {
		own->ip4_broadcast = config->ip4 | ~own->ip4_mask;
		own->ip4_network = config->ip4 & own->ip4_mask;
	}
	if (config->ip4_gateway != 0 && route_on_link4(own, config->ip4_gateway))
		own->ip4_gateway = config->ip4_gateway;
	for (unsigned i = 0; i < RB_NET_IP6_ADDRESSES_MAX; i++) {
		if (!ip_equal(&config->ip6[i], &unspecified))
			own->ip6[own->ip6_count++] = config->ip6[i];
	}
	struct rb_ip formed = link_local_from(config->mac);
	if (config->ip6_link_local && !have6(own, &formed))
		own->ip6[own->ip6_count++] = formed;
}

bool address_is_ours(const struct rb_net *net, const struct rb_ip *ip)
{
	if (ip_is4(ip))
		return net->addresses.ip4 != 0 && ip_to4(ip) == net->addresses.ip4;
	return have6(&net->addresses, ip);
}

static bool is_loopback6(const struct rb_ip *ip)
{
	return ip->words[0] == 0 && ip->words[1] == __builtin_bswap64(1);
}

bool address_is_unicast(const struct rb_net *net, const struct rb_ip *ip)
{
	if (ip_is4(ip))
		return address_is_unicast4(net, ip_to4(ip));
	return !ip6_is_group(ip) && !is_loopback6(ip) && !ip_equal(ip, &unspecified);
}

/* How many leading bits are the same. */
static unsigned common_prefix(const struct rb_ip *a, const struct rb_ip *b)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t differ = __builtin_bswap64(a->words[i] ^ b->words[i]);
		if (differ != 0)
			return 64 * i + (unsigned)__builtin_clzll(differ);
	}
	return 128;
}

static bool on_link6(const struct rb_net *net, const struct rb_ip *ip)
{
	const struct addresses *own = &net->addresses;
	if (ip6_is_link_local(ip) || ip6_is_group(ip))
		return true;
	for (uint32_t i = 0; i < own->ip6_count; i++) {
		if (!ip6_is_link_local(&own->ip6[i]) && common_prefix(&own->ip6[i], ip) >= net->config.ip6_prefix)
			return true;
	}
	return false;
}

bool address_is_on_link(const struct rb_net *net, const struct rb_ip *ip)
{
	return ip_is4(ip) ? route_on_link4(&net->addresses, ip_to4(ip)) : on_link6(net, ip);
}

/* RFC 4291 2.5.6, 2.7: the scope of a group is in its second byte. */
static unsigned scope_of(const struct rb_ip *ip)
{
	if (ip6_is_group(ip))
		return ip->bytes[1] & 0x0f;
	return ip6_is_link_local(ip) ? SCOPE_LINK_LOCAL : SCOPE_GLOBAL;
}

/* RFC 6724 section 5, rules 2 and 8: is `a` a better source than `b`? The others do not tell our addresses apart. */
static bool is_better_source(const struct rb_ip *a, const struct rb_ip *b, const struct rb_ip *remote)
{
	unsigned scope_a = scope_of(a), scope_b = scope_of(b), scope = scope_of(remote);
	if (MECHANISM(source_scope) && scope_a < scope_b)
		return scope_a >= scope;
	if (MECHANISM(source_scope) && scope_b < scope_a)
		return scope_b < scope;
	return MECHANISM(source_prefix) && common_prefix(a, remote) > common_prefix(b, remote);
}

bool route_source6(const struct rb_net *net, const struct rb_ip *remote, struct rb_ip *source)
{
	const struct addresses *own = &net->addresses;
	const struct rb_ip *best = NULL;
	for (uint32_t i = 0; i < own->ip6_count; i++) {
		if (best == NULL || is_better_source(&own->ip6[i], best, remote))
			best = &own->ip6[i];
	}
	/* A link-local address means nothing beyond the link. */
	if (best == NULL || (scope_of(best) == SCOPE_LINK_LOCAL && !on_link6(net, remote)))
		return false;
	*source = *best;
	return true;
}

/* The neighbour to which packets for an address go. False: there is no way. */
static bool next_hop4(const struct addresses *own, uint32_t remote, uint32_t *hop)
{
	*hop = !MECHANISM(gateway4) || route_on_link4(own, remote) ? remote : own->ip4_gateway;
	return own->ip4 != 0 && remote != 0 && remote != own->ip4 && remote >> 24 != 127 && *hop != 0;
}

int route_find4(struct rb_net *net, uint32_t remote, uint16_t *neighbour)
{
	uint32_t hop;
	if (!next_hop4(&net->addresses, remote, &hop))
		return -ENETUNREACH;
	struct rb_ip ip = ip_from4(hop);
	return neighbour_find(net, &ip, neighbour);
}

static int find4(struct rb_net *net, const struct rb_ip *remote, const struct rb_ip *local, struct route *route)
{
	uint32_t hop;
	if (!next_hop4(&net->addresses, ip_to4(remote), &hop))
		return -ENETUNREACH;
	route->local = ip_from4(net->addresses.ip4);
	if (local != NULL && !ip_equal(local, &route->local) && !rb_ip_is_any(local))
		return -EADDRNOTAVAIL;
	struct rb_ip ip = ip_from4(hop);
	return neighbour_find(net, &ip, &route->neighbour);
}

static int choose_source6(const struct rb_net *net, const struct rb_ip *remote, const struct rb_ip *local,
			  struct rb_ip *source)
{
	if (local == NULL || rb_ip_is_any(local))
		return route_source6(net, remote, source) ? 0 : -EADDRNOTAVAIL;
	if (ip_is4(local) || !address_is_ours(net, local) || (ip6_is_link_local(local) && !on_link6(net, remote)))
		return -EADDRNOTAVAIL;
	*source = *local;
	return 0;
}

static int find6(struct rb_net *net, const struct rb_ip *remote, const struct rb_ip *local, struct route *route)
{
	const struct addresses *own = &net->addresses;
	const struct rb_ip *hop = !MECHANISM(gateway6) || on_link6(net, remote) ? remote : &net->config.ip6_gateway;

	if (own->ip6_count == 0 || rb_ip_is_any(remote) || is_loopback6(remote) || have6(own, remote) ||
	    rb_ip_is_any(hop) || !on_link6(net, hop))
		return -ENETUNREACH;
	int status = choose_source6(net, remote, local, &route->local);
	return status != 0 ? status : neighbour_find(net, hop, &route->neighbour);
}

int route_find(struct rb_net *net, const struct rb_ip *remote, const struct rb_ip *local, struct route *route)
{
	route->is4 = ip_is4(remote);
	route->mtu = net->config.mtu;
	return route->is4 ? find4(net, remote, local, route) : find6(net, remote, local, route);
}
