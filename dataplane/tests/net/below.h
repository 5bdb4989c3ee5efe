// SPDX-License-Identifier: Apache-2.0
/*
 * The library without TCP, for tests: an instance over a device that keeps what it is given, below a TCP that writes
 * down what it is told. Received packets lie in memory of exactly their size, so that a sanitizer sees every byte read
 * too many; below_close() fails when a buffer or a header has not come back.
 */
#pragma once

#include "net/defs.h"
#include "net/ip.h"
#include "net/tcp_upcalls.h"

#include <stdint.h>

enum { SENT_MAX = 256, HEADERS_MAX = 256, FRAME_MAX = 2048 };

/* A frame that was sent, in one piece. */
struct sent {
	uint8_t bytes[FRAME_MAX];
	uint32_t length;
	uint16_t checksum;
	uint8_t l3_length;
	bool transient;
};

struct below {
	struct rb_net *net;
	void *memory;
	/* the device */
	struct sent sent[SENT_MAX];
	unsigned sent_count, outputs;
	uint8_t headers[HEADERS_MAX][RB_NET_HEADER_MAX];
	uint64_t free_headers[HEADERS_MAX];
	unsigned free_count;
	unsigned headers_refused; /* so many calls get none */
	unsigned buffers;	  /* received and not released */
	uint64_t random;
	/* TCP */
	unsigned segments;
	struct ip_packet segment;
	struct rb_net_packet segment_packet;
	uint8_t segment_bytes[FRAME_MAX]; /* from the TCP header on */
	bool keep;			  /* what tcp_input() returns */
	unsigned errors, failures;
	struct tcp_icmp error;
	uint16_t failed;
};

/* 10.0.0.1/24 by 10.0.0.254 and 2001:db8::1/64 by fe80::ff, with a link-local address; small tables; no offload. */
extern const struct rb_net_config below_config;

/* Addresses in tests. */
extern const uint8_t own_mac[6], peer_mac[6], other_mac[6];
#define OWN4   0x0a000001U
#define PEER4  0x0a000002U
#define OTHER4 0x0a000003U
#define FAR4   0xc6336401U /* 198.51.100.1 */
extern const struct rb_ip own6, own_local6, peer6, peer_local6, far6;

#define SECOND_NS 1000000000ULL

/* For cmocka: an instance of below_config. */
int below_setup(void **state);
int below_teardown(void **state);

/* `below` is zeroed. */
void below_open(struct below *below, const struct rb_net_config *config);
void below_close(struct below *below);

/* Sets the clock and does what is due, then flushes. */
void below_advance(struct below *below, uint64_t ns);
void below_flush(struct below *below);

/* Forgets what was sent. */
void below_clear(struct below *below);

/* Puts a packet in and flushes. `checksum`: enum rb_net_checksum. */
void below_input(struct below *below, const void *data, unsigned length, unsigned checksum);

/* The state of a neighbour; NEIGHBOUR_FREE when it has no entry. */
unsigned below_state_of(const struct below *below, struct rb_ip ip);

/* Sends a datagram from port 1000 to port 2000 and flushes; what rb_net_udp_send() returns. */
int below_send(struct below *below, struct rb_ip to, const char *text);

/* A packet being made. */
struct packet {
	uint8_t bytes[FRAME_MAX];
	unsigned length;
};

/* Ethernet header, then nothing. */
struct packet packet_ethernet(const uint8_t destination[6], const uint8_t source[6], unsigned type);
/* To us from the peer: Ethernet, IP, payload. */
struct packet packet_ip4(uint32_t source, uint32_t destination, unsigned protocol, const void *payload,
			 unsigned length);
struct packet packet_ip6(const struct rb_ip *source, const struct rb_ip *destination, unsigned protocol,
			 const void *payload, unsigned length);
/* The same with the checksum of the payload filled in at `field` of it. */
struct packet packet_sum4(uint32_t source, uint32_t destination, unsigned protocol, const void *payload,
			  unsigned length, unsigned field);
struct packet packet_sum6(const struct rb_ip *source, const struct rb_ip *destination, unsigned protocol,
			  const void *payload, unsigned length, unsigned field);
/* A datagram with this payload. */
struct packet packet_udp4(uint32_t source, uint32_t destination, uint16_t source_port, uint16_t port, const char *text);
struct packet packet_udp6(const struct rb_ip *source, const struct rb_ip *destination, uint16_t source_port,
			  uint16_t port, const char *text);
/* ARP, Ethernet header included. */
struct packet packet_arp(unsigned op, const uint8_t sha[6], uint32_t spa, uint32_t tpa);
/* A neighbour advertisement for `target`; `mac` NULL: without the option. */
struct packet packet_advertisement(const struct rb_ip *source, const struct rb_ip *destination,
				   const struct rb_ip *target, unsigned flags, const uint8_t *mac);
/* A neighbour solicitation. */
struct packet packet_solicitation(const struct rb_ip *source, const struct rb_ip *destination,
				  const struct rb_ip *target, const uint8_t *mac);

void below_put(struct below *below, const struct packet *packet);

/* Are the checksums of a sent IP packet good? UDP, ICMP and TCP. */
bool sent_sums_are_good(const struct sent *sent);
