// SPDX-License-Identifier: Apache-2.0
/* Frames of TCP segments: written and read, byte by byte, on purpose by other means than the library does it. */
#include "tests/net/segment.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

enum {
	ETHERNET = 14, /* bytes of the header */
	IP4 = 20,
	IP6 = 40,
	TCP = 20,
	ICMP = 8,
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_ICMP6 = 58,
	ICMP6_QUOTE_MAX = 1232, /* RFC 4443 2.4: what fits into 1280 bytes */
	TYPE_IP4 = 0x0800,
	TYPE_IP6 = 0x86dd,
};

/* Kinds of options (RFC 9293 3.1, RFC 7323, RFC 2018). */
enum { KIND_END = 0, KIND_NOP = 1, KIND_MSS = 2, KIND_WSCALE = 3, KIND_SACK_OK = 4, KIND_SACK = 5, KIND_TS = 8 };

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffffU);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(((unsigned)at[0] << 8) | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return ((uint32_t)get16(at) << 16) | get16(at + 2);
}

uint32_t segment_sum(const uint8_t *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i + 1 < length; i += 2)
		sum += get16(bytes + i);
	if (length % 2 == 1)
		sum += (uint32_t)bytes[length - 1] << 8;
	return sum;
}

uint16_t segment_checksum(uint32_t sum)
{
	while (sum > 0xffffU)
		sum = (sum & 0xffffU) + (sum >> 16);
	return (uint16_t)~sum;
}

uint32_t segment_pseudo_sum(const uint8_t *ip, uint8_t protocol, uint32_t length)
{
	uint32_t sum = protocol + (length >> 16) + (length & 0xffffU);
	if (ip[0] >> 4 == 4)
		return segment_sum(ip + 12, 8, sum);
	return segment_sum(ip + 8, 32, sum);
}

static bool is_ip4(const struct rb_ip *ip)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	return memcmp(ip->bytes, mapped, sizeof(mapped)) == 0;
}

/* Options in the order in which most hosts write them, each on a boundary of four bytes where it has numbers. */
static uint8_t options_build(const struct segment *segment, uint8_t options[SEGMENT_OPTIONS_MAX])
{
	uint8_t bytes[SEGMENT_OPTIONS_MAX + 64];
	size_t length = 0;
	if ((segment->options & SEGMENT_MSS) != 0) {
		bytes[length++] = KIND_MSS;
		bytes[length++] = 4;
		put16(bytes + length, segment->mss);
		length += 2;
	}
	if ((segment->options & SEGMENT_SACK_OK) != 0) {
		memcpy(bytes + length, (const uint8_t[]){KIND_NOP, KIND_NOP, KIND_SACK_OK, 2}, 4);
		length += 4;
	}
	if ((segment->options & SEGMENT_TS) != 0) {
		memcpy(bytes + length, (const uint8_t[]){KIND_NOP, KIND_NOP, KIND_TS, 10}, 4);
		put32(bytes + length + 4, segment->ts_val);
		put32(bytes + length + 8, segment->ts_ecr);
		length += 12;
	}
	if ((segment->options & SEGMENT_WSCALE) != 0) {
		memcpy(bytes + length, (const uint8_t[]){KIND_NOP, KIND_WSCALE, 3, segment->wscale}, 4);
		length += 4;
	}
	if ((segment->options & SEGMENT_SACK) != 0) {
		const uint8_t size = (uint8_t)(2 + 8 * segment->sack_count);
		memcpy(bytes + length, (const uint8_t[]){KIND_NOP, KIND_NOP, KIND_SACK, size}, 4);
		length += 4;
		for (unsigned i = 0; i < segment->sack_count; i++, length += 8) {
			put32(bytes + length, segment->sack[i].left);
			put32(bytes + length + 4, segment->sack[i].right);
		}
	}
	RB_ASSERT_LE(length, (size_t)SEGMENT_OPTIONS_MAX);
	memcpy(options, bytes, length);
	return (uint8_t)length;
}

static void ip4_build(const struct segment *segment, uint8_t protocol, uint8_t *ip, size_t length)
{
	memset(ip, 0, IP4);
	ip[0] = 0x45;
	ip[1] = segment->ecn;
	put16(ip + 2, (uint32_t)((int)length + segment->ip_length_error));
	put16(ip + 6, 0x4000); /* do not fragment */
	ip[8] = segment->ttl == 0 ? 64 : segment->ttl;
	ip[9] = protocol;
	memcpy(ip + 12, segment->source.bytes + 12, 4);
	memcpy(ip + 16, segment->target.bytes + 12, 4);
	put16(ip + 10, (uint32_t)segment_checksum(segment_sum(ip, IP4, 0)) ^ segment->ip_checksum_error);
}

static void ip6_build(const struct segment *segment, uint8_t protocol, uint8_t *ip, size_t length)
{
	memset(ip, 0, IP6);
	put16(ip, 0x6000U | ((uint32_t)segment->ecn << 4));
	put16(ip + 4, (uint32_t)((int)length - IP6 + segment->ip_length_error));
	ip[6] = protocol;
	ip[7] = segment->ttl == 0 ? 64 : segment->ttl;
	memcpy(ip + 8, segment->source.bytes, 16);
	memcpy(ip + 24, segment->target.bytes, 16);
}

/* The TCP header with options; returns its bytes. */
static size_t tcp_build(const struct segment *segment, uint8_t *tcp)
{
	uint8_t options[SEGMENT_OPTIONS_MAX] = {0};
	uint8_t length = segment->raw_length;
	if (length > 0)
		memcpy(options, segment->raw, length);
	else
		length = options_build(segment, options);
	const size_t header = TCP + ((size_t)length + 3) / 4 * 4;
	const uint32_t offset = segment->data_offset != 0 ? segment->data_offset : (uint32_t)(header / 4);

	put16(tcp, segment->source_port);
	put16(tcp + 2, segment->target_port);
	put32(tcp + 4, segment->seq);
	put32(tcp + 8, segment->ack);
	put16(tcp + 12, (offset << 12) | segment->flags);
	put16(tcp + 14, segment->window);
	put16(tcp + 16, 0);
	put16(tcp + 18, segment->urgent);
	memcpy(tcp + TCP, options, header - TCP);
	return header;
}

size_t segment_build(const struct segment *segment, uint8_t frame[SEGMENT_FRAME_MAX])
{
	const bool ip4 = is_ip4(&segment->target);
	uint8_t *ip = frame + ETHERNET;
	uint8_t *tcp = ip + (ip4 ? IP4 : IP6);
	memcpy(frame, segment->target_mac, 6);
	memcpy(frame + 6, segment->source_mac, 6);
	put16(frame + 12, ip4 ? TYPE_IP4 : TYPE_IP6);

	const size_t header = tcp_build(segment, tcp);
	const size_t length = (size_t)(tcp - frame) + header + segment->length;
	RB_ASSERT_LE(length, (size_t)SEGMENT_FRAME_MAX);
	if (segment->payload != NULL)
		memcpy(tcp + header, segment->payload, segment->length);
	else
		memset(tcp + header, 0, segment->length);
	if (ip4)
		ip4_build(segment, PROTOCOL_TCP, ip, length - ETHERNET);
	else
		ip6_build(segment, PROTOCOL_TCP, ip, length - ETHERNET);
	const uint32_t bytes = (uint32_t)(header + segment->length);
	const uint32_t sum = segment_sum(tcp, bytes, segment_pseudo_sum(ip, PROTOCOL_TCP, bytes));
	put16(tcp + 16, (uint32_t)segment_checksum(sum) ^ segment->tcp_checksum_error);
	return length;
}

size_t segment_build_icmp(const struct segment_icmp *icmp, const struct segment *quoted,
			  uint8_t frame[SEGMENT_FRAME_MAX])
{
	uint8_t about[SEGMENT_FRAME_MAX];
	static const struct rb_ip none;
	const bool ip4 = is_ip4(&quoted->target);
	const size_t ip_length = ip4 ? IP4 : IP6;
	const bool own = memcmp(&icmp->source, &none, sizeof(none)) == 0;
	const struct segment outer = {.source = own ? quoted->target : icmp->source, .target = quoted->source};
	size_t most = ip4 ? IP4 + 8 : ICMP6_QUOTE_MAX;
	size_t length = segment_build(quoted, about) - ETHERNET;
	if (icmp->quoted_most != 0)
		most = icmp->quoted_most;
	if (length > most)
		length = most;

	uint8_t *ip = frame + ETHERNET;
	uint8_t *message = ip + ip_length;
	memcpy(frame, quoted->source_mac, 6);
	memcpy(frame + 6, quoted->target_mac, 6);
	put16(frame + 12, ip4 ? TYPE_IP4 : TYPE_IP6);
	message[0] = icmp->type;
	message[1] = icmp->code;
	put16(message + 2, 0);
	put32(message + 4, icmp->rest);
	memcpy(message + ICMP, about + ETHERNET, length);
	length += ICMP;
	if (ip4)
		ip4_build(&outer, PROTOCOL_ICMP, ip, IP4 + length);
	else
		ip6_build(&outer, PROTOCOL_ICMP6, ip, IP6 + length);
	const uint32_t pseudo = ip4 ? 0 : segment_pseudo_sum(ip, PROTOCOL_ICMP6, (uint32_t)length);
	put16(message + 2, (uint32_t)segment_checksum(segment_sum(message, length, pseudo)) ^ icmp->checksum_error);
	return ETHERNET + ip_length + length;
}

/* One option of `size` bytes at `at`, its kind first. */
static void option_parse(struct segment *segment, const uint8_t *at, unsigned size)
{
	if (at[0] == KIND_MSS && size == 4) {
		segment->options |= SEGMENT_MSS;
		segment->mss = get16(at + 2);
	} else if (at[0] == KIND_WSCALE && size == 3) {
		segment->options |= SEGMENT_WSCALE;
		segment->wscale = at[2];
	} else if (at[0] == KIND_SACK_OK && size == 2) {
		segment->options |= SEGMENT_SACK_OK;
	} else if (at[0] == KIND_TS && size == 10) {
		segment->options |= SEGMENT_TS;
		segment->ts_val = get32(at + 2);
		segment->ts_ecr = get32(at + 6);
	} else if (at[0] == KIND_SACK && size >= 10 && size % 8 == 2 && size <= 2 + 8 * SEGMENT_SACK_MAX) {
		segment->options |= SEGMENT_SACK;
		segment->sack_count = (uint8_t)((size - 2) / 8);
		for (size_t i = 0; i < segment->sack_count; i++)
			segment->sack[i] = (struct segment_range){get32(at + 2 + 8 * i), get32(at + 6 + 8 * i)};
	} else {
		segment->options |= SEGMENT_RAW;
	}
}

static bool options_parse(struct segment *segment)
{
	for (unsigned i = 0; i < segment->raw_length;) {
		const uint8_t *at = segment->raw + i;
		if (at[0] == KIND_END)
			break;
		if (at[0] == KIND_NOP) {
			i++;
			continue;
		}
		if (i + 1 == segment->raw_length || at[1] < 2 || i + at[1] > segment->raw_length)
			return false;
		option_parse(segment, at, at[1]);
		i += at[1];
	}
	return true;
}

static const char *tcp_parse(struct segment *segment, const uint8_t *ip, const uint8_t *tcp, size_t length)
{
	if (length < TCP)
		return "shorter than a TCP header";
	const size_t header = 4 * (size_t)(tcp[12] >> 4);
	if (header < TCP || header > length)
		return "TCP data offset";
	if (segment_checksum(segment_sum(tcp, length, segment_pseudo_sum(ip, PROTOCOL_TCP, (uint32_t)length))) != 0)
		return "TCP checksum";
	segment->source_port = get16(tcp);
	segment->target_port = get16(tcp + 2);
	segment->seq = get32(tcp + 4);
	segment->ack = get32(tcp + 8);
	segment->flags = get16(tcp + 12) & 0x1ffU;
	segment->window = get16(tcp + 14);
	segment->urgent = get16(tcp + 18);
	segment->raw_length = (uint8_t)(header - TCP);
	memcpy(segment->raw, tcp + TCP, segment->raw_length);
	segment->payload = tcp + header;
	segment->length = (uint32_t)(length - header);
	return options_parse(segment) ? NULL : "TCP option length";
}

/* The IP header; sets where TCP begins and how long it is. */
static const char *ip_parse(struct segment *segment, const uint8_t *ip, size_t room, size_t *header, size_t *length)
{
	if (ip[0] >> 4 == 4) {
		*header = 4 * (size_t)(ip[0] & 15U);
		*length = get16(ip + 2);
		if (*header < IP4 || *length < *header || *length > room)
			return "IPv4 length";
		if (segment_checksum(segment_sum(ip, *header, 0)) != 0)
			return "IPv4 checksum";
		segment->ecn = ip[1] & 3U;
		segment->ttl = ip[8];
		segment->source.bytes[10] = segment->source.bytes[11] = 0xff;
		segment->target.bytes[10] = segment->target.bytes[11] = 0xff;
		memcpy(segment->source.bytes + 12, ip + 12, 4);
		memcpy(segment->target.bytes + 12, ip + 16, 4);
	} else {
		*header = IP6;
		if (room < IP6)
			return "shorter than an IPv6 header";
		*length = IP6 + (size_t)get16(ip + 4);
		if (*length > room)
			return "IPv6 length";
		segment->ecn = (uint8_t)(ip[1] >> 4) & 3U;
		segment->ttl = ip[7];
		memcpy(segment->source.bytes, ip + 8, 16);
		memcpy(segment->target.bytes, ip + 24, 16);
	}
	*length -= *header;
	return NULL;
}

int segment_parse(struct segment *segment, const uint8_t *frame, size_t length, const char **why)
{
	*segment = (struct segment){0};
	*why = "shorter than an Ethernet header";
	if (length < ETHERNET)
		return -EBADMSG;
	memcpy(segment->target_mac, frame, 6);
	memcpy(segment->source_mac, frame + 6, 6);
	const uint16_t type = get16(frame + 12);
	if (type != TYPE_IP4 && type != TYPE_IP6)
		return -EPROTONOSUPPORT;
	const uint8_t *ip = frame + ETHERNET;
	*why = "shorter than an IP header";
	if (length < ETHERNET + IP4)
		return -EBADMSG;
	*why = "IP version";
	if (ip[0] >> 4 != (type == TYPE_IP4 ? 4 : 6))
		return -EBADMSG;
	size_t header, bytes;
	*why = ip_parse(segment, ip, length - ETHERNET, &header, &bytes);
	if (*why != NULL)
		return -EBADMSG;
	if ((type == TYPE_IP4 ? ip[9] : ip[6]) != PROTOCOL_TCP)
		return -EPROTONOSUPPORT;
	*why = tcp_parse(segment, ip, ip + header, bytes);
	return *why == NULL ? 0 : -EBADMSG;
}

void segment_rebase(struct segment *segment, uint32_t sender, uint32_t receiver)
{
	segment->seq -= sender;
	/* a field without meaning stays as it is */
	if ((segment->flags & SEGMENT_ACK) != 0)
		segment->ack -= receiver;
	for (unsigned i = 0; i < segment->sack_count; i++) {
		segment->sack[i].left -= receiver;
		segment->sack[i].right -= receiver;
	}
}
