// SPDX-License-Identifier: Apache-2.0
/*
 * Somebody who speaks TCP to one host by hand, in the language of segment.h. The peer is at end 1 of a link without
 * delay; it does nothing that it is not told, but for one thing: the host knows its MAC address from the beginning.
 *
 *     peer_send(&peer, "S 0:0(0) win 65535 <mss 1460>");
 *     peer_expect(&peer, "S. 0:0(0) ack 1 <mss 1460>");
 *     peer_send(&peer, ". ack 1");
 *     peer_expect_nothing(&peer, LINK_NS_PER_S);
 *
 * Sequence numbers count from the initial one of each side (peer.iss; the host's is learned from its SYN), timestamp
 * values are as they are. With peer.absolute all numbers are as they are.
 *
 * What a segment to send does not mention is: the sequence number after what was sent last; ack: all that has come in
 * order; window: peer.window; no options, or with peer.timestamps the timestamps option as RFC 7323 says, with
 * peer.ts_val. Payload is the stream of peer.seed, by sequence number: byte number 1 is at offset 0 (fixture_fill()).
 * Texts are formats, as of printf().
 */
#pragma once

#include "tests/net/fixture.h"
#include "tests/net/host.h"
#include "tests/net/link.h"
#include "tests/net/segment.h"
#include "tests/net/timeline.h"

enum { PEER_QUEUE = 1024 };

struct peer_frame;

struct peer {
	/* to be set before the first segment */
	uint32_t iss;
	uint16_t port, host_port;
	bool absolute;
	/* may be changed at any time */
	uint16_t window;
	uint8_t ecn; /* of what is sent */
	bool timestamps;
	uint32_t ts_val;
	uint64_t seed;	      /* of what is sent */
	uint64_t patience_ns; /* peer_expect() waits so long: 3 s at first */

	uint32_t irs; /* the host's ISS */
	bool irs_known;
	uint32_t snd_nxt, rcv_nxt; /* relative */
	uint32_t ts_recent;	   /* the latest value of the host */
	struct segment last;	   /* the last expected segment, numbers relative; its payload stays till the next */
	uint64_t last_ns;	   /* when it came */

	bool failed; /* an expectation was not met: nothing more is checked */
	bool ip6;
	struct timeline timeline;
	struct link link;
	struct host host;
	struct peer_frame *queue[PEER_QUEUE]; /* TCP segments that came, oldest first */
	unsigned queue_first, queue_count;
	struct peer_frame *last_frame;
};

/* Opens a host, and a peer for it. `config` NULL: host_config_default() of end 0. Ports are 40000 and 80. */
void peer_open(struct peer *peer, bool ip6, const struct host_config *config);

/* Fails the test when the host has something left (host.h) or has said something that was not expected. */
void peer_close(struct peer *peer);

/* Sends. The format is checked as printf()'s. */
void peer_send(struct peer *peer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sends any segment; zero addresses and ports are the peer's and the host's, numbers are as they are. */
void peer_send_segment(struct peer *peer, const struct segment *segment);

/* Sends an ICMP error about a segment of the host with this (relative) sequence number. */
void peer_send_icmp(struct peer *peer, const struct segment_icmp *icmp, uint32_t seq);

/* The next segment of the host must fit, and come within peer.patience_ns. */
#define peer_expect(peer, ...) peer_expect_within(__FILE__, __LINE__, peer, 0, (peer)->patience_ns, __VA_ARGS__)

/* The same, not before from_ns from now and not after to_ns from now. */
#define peer_expect_between(peer, from_ns, to_ns, ...) \
	peer_expect_within(__FILE__, __LINE__, peer, from_ns, to_ns, __VA_ARGS__)

/* No segment for so long. */
#define peer_expect_nothing(peer, ns) peer_expect_quiet(__FILE__, __LINE__, peer, ns)

/* The payload of the last expected segment is the stream of this seed at its place. */
#define peer_check_payload(peer, seed) peer_check_bytes(__FILE__, __LINE__, peer, seed)

/* Lets time pass; what comes meanwhile is kept. */
void peer_run(struct peer *peer, uint64_t ns);

/* Forgets what has come. */
void peer_forget(struct peer *peer);

/*
 * Opens a connection from the peer to a listener of the host, or from the host to the peer (after rb_net_connect()), with
 * these options in its SYN; the host must answer with the same ones, numbers free. The peer's window is as set.
 */
void peer_handshake(struct peer *peer, const char *options);
void peer_accept(struct peer *peer, const char *options);

/* The endpoints, as the host would name them. */
struct rb_endpoint peer_endpoint(const struct peer *peer);
struct rb_endpoint peer_host_endpoint(const struct peer *peer);

void peer_expect_within(const char *file, int line, struct peer *peer, uint64_t from_ns, uint64_t to_ns,
			const char *format, ...) __attribute__((format(printf, 6, 7)));
void peer_expect_quiet(const char *file, int line, struct peer *peer, uint64_t ns);
void peer_check_bytes(const char *file, int line, struct peer *peer, uint64_t seed);
