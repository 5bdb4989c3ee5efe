// SPDX-License-Identifier: Apache-2.0
/*
 * SYN cookies (RFC 4987 3.6): under pressure a listener keeps nothing of a SYN. Its initial sequence number is
 *
 *     bits 31..8   keyed hash of the 4-tuple, the peer's initial sequence number and the time slot, and all below
 *     bits  7..3   time slot of 64 s, modulo 32
 *     bits  2..0   index of the largest MSS of a table that is not more than the peer's
 *
 * and what else was agreed rides in the low bits of the timestamp, where there is one.
 */
#include "base/siphash.h"
#include "net/neighbour.h"
#include "net/tcp_parts.h"

enum {
	SLOT_NS_SHIFT = 36, /* 68.7 s */
	SLOT_MASK = 31,
	SLOTS_VALID = 2,  /* the present one and the one before: a cookie is good for one to two minutes */
	OPTIONS_BITS = 6, /* of the timestamp: scale (15: none), SACK, ECN */
	OPTIONS_MASK = (1 << OPTIONS_BITS) - 1,
	OPTION_SACK = 16,
	OPTION_ECN = 32,
	SCALE_NONE = 15,
};

/* Ascending; the ones in use on Ethernet, tunnels and modems, and the default of each IP version. */
static const uint16_t mss_table[2][8] = {
	{216, 536, 1200, 1360, 1400, 1440, 1460, 8960},
	{216, 1220, 1280, 1340, 1380, 1420, 1440, 8940},
};

static uint32_t hash_of(const struct rb_net *net, const struct tcp_segment *segment, uint32_t irs, uint64_t slot,
			unsigned mss)
{
	struct {
		struct rb_ip ips[2];
		uint64_t slot;
		uint32_t irs;
		uint16_t ports[2];
		uint32_t mss;
		uint32_t reserved;
	} input = {
		.ips = {ip_packet_source(segment->ip), ip_packet_destination(segment->ip)},
		.slot = slot,
		.irs = irs,
		.ports = {segment->remote_port, segment->local_port},
		.mss = mss,
	};
	return (uint32_t)rb_siphash(net->tcp.cookie_key, &input, sizeof(input)) & ~0xffU;
}

void tcp_cookie_send(struct rb_net *net, struct tcp_listener *listener, const struct tcp_segment *segment)
{
	const struct rb_net_config *config = &net->config;
	struct tcp_path path;
	if (!tcp_path_back(net, segment, &path))
		return;
	bool is6 = segment->ip->is6;
	uint16_t offered = segment->mss != 0 ? segment->mss : (is6 ? TCP_MSS_DEFAULT6 : TCP_MSS_DEFAULT);
	unsigned mss = 7;
	while (mss > 0 && mss_table[is6][mss] > offered)
		mss--;
	uint64_t slot = net->now_ns >> SLOT_NS_SHIFT;
	struct tcp_syn_ack syn_ack = {
		.seq = hash_of(net, segment, segment->seq, slot, mss) | (uint32_t)(slot & SLOT_MASK) << 3 | mss,
		.mss = tcp_own_mss(net, is6),
		.scale = TCP_SCALE_NONE,
	};
	if (config->timestamps && segment->has_timestamps) {
		bool scaling = config->window_scaling && segment->scale != TCP_SCALE_NONE;
		uint32_t options = scaling ? segment->scale : SCALE_NONE;
		syn_ack.timestamps = true;
		syn_ack.scale = scaling ? net->tcp.own_scale : TCP_SCALE_NONE;
		syn_ack.sack = config->sack && segment->sack_permitted;
		syn_ack.ecn = config->ecn && (segment->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
		options |= (syn_ack.sack ? OPTION_SACK : 0U) | (syn_ack.ecn ? OPTION_ECN : 0U);
		/* never ahead of the clock, or later segments would look old */
		uint32_t now = net->tcp.ts_now + tcp_beginning(net, &path).ts_offset;
		syn_ack.tsval = (now & ~(uint32_t)OPTIONS_MASK) | options;
		if (seq_lt(now, syn_ack.tsval))
			syn_ack.tsval -= OPTIONS_MASK + 1;
	}
	net->counters.tcp_cookies_sent++;
	listener->cookies_until_ns = net->now_ns + ((uint64_t)SLOTS_VALID << SLOT_NS_SHIFT);
	tcp_output_cookie(net, segment, &path, &syn_ack);
	neighbour_release(net, path.neighbour);
}

/* The index into the table that a cookie carries, or -1: it is none of ours, or too old. */
static int check(const struct rb_net *net, const struct tcp_segment *segment)
{
	uint32_t cookie = segment->ack - 1, irs = segment->seq - 1;
	uint64_t now = net->now_ns >> SLOT_NS_SHIFT, age = (now - (cookie >> 3)) & SLOT_MASK;
	unsigned mss = cookie & 7;
	if ((MECHANISM(cookie_age) && age >= SLOTS_VALID) || age > now ||
	    (MECHANISM(cookie_hash) && hash_of(net, segment, irs, now - age, mss) != (cookie & ~0xffU)))
		return -1;
	return (int)mss;
}

struct tcb *tcp_cookie_take(struct rb_net *net, struct tcp_listener *listener, const struct tcp_segment *segment)
{
	int mss = check(net, segment);
	if (mss < 0) {
		net->counters.tcp_cookies_bad++;
		return NULL;
	}
	struct tcb *tcb = tcp_make_passive(net, listener, segment);
	if (tcb == NULL)
		return NULL;
	/* as if the SYN had just come */
	struct tcp_segment syn = *segment;
	syn.seq = segment->seq - 1;
	syn.ack = 0;
	syn.flags = TCP_SYN;
	syn.mss = mss_table[segment->ip->is6][mss];
	syn.scale = TCP_SCALE_NONE;
	syn.sack_permitted = false;
	if (MECHANISM(cookie_options) && segment->has_timestamps) {
		uint32_t options = segment->tsecr & OPTIONS_MASK;
		if ((options & 15) != SCALE_NONE)
			syn.scale = (uint8_t)(options & 15);
		syn.sack_permitted = options & OPTION_SACK;
		syn.flags |= options & OPTION_ECN ? TCP_ECE | TCP_CWR : 0;
	}
	/* the SYN-ACK told the configuration's */
	struct tcb_cold *cold = tcp_cold(net, tcb);
	cold->own_mss = tcp_own_mss(net, segment->ip->is6);
	tcb->rcv_space = cold->rcv_window = net->config.receive_window;
	tcp_agree(net, tcb, &syn);
	cold->iss = segment->ack - 1;
	cold->recover = cold->ecn_recover = cold->iss;
	tcb->snd_una = cold->iss;
	tcb->snd_nxt = tcb->snd_end = segment->ack;
	/* what the SYN-ACK offered */
	uint32_t window = net->config.receive_window;
	tcb->rcv_adv = tcb->rcv_nxt + (window > UINT16_MAX ? UINT16_MAX : window);
	tcb->last_ack_sent = tcb->rcv_nxt;
	net->counters.tcp_cookies_good++;
	return tcb;
}
