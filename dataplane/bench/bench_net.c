// SPDX-License-Identifier: Apache-2.0
/*
 * What the TCP/IP library costs by itself: instructions per request, on one core, with a device that does nothing. The
 * peer is played outside of what is counted: everything between the first packet of a turn and the last frame is in
 * bench_turn(), which a profiler counts (callgrind --toggle-collect=bench_turn).
 *
 *     bench_net request CONNECTIONS TURNS    64-byte request in, 64-byte reply out, 16 connections per turn
 *     bench_net seldom CONNECTIONS TURNS     the same, where each connection is asked once a second
 *     bench_net short TURNS                  handshake, one exchange, orderly close; 16 connections per turn
 *     bench_net memory                       bytes per connection, pools of pieces and packet buffers apart
 *
 * Timestamps and window scaling are on, checksums are the device's. The last line of the output is a name and a number:
 * how many operations the counted turns were, or the bytes. What comes before goes through bench_warm_up(), so that it
 * is not counted.
 *
 * What is counted is the library's and, apart (counted.py), the program's own: the functions named bench_..., which are
 * the application and the device. It is compiled apart, too, so that no call is inlined.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/ip.h"
#include "net/net.h"

enum {
	BATCH = 16,
	MESSAGE = 64,
	PORT = 80,
	HEADERS = 4 * RB_NET_BURST, /* more than the frames of a turn */
	FRAME_MAX = 256,
	ETHERNET = 14,
	IP = 20,
	TCP = 20,
	TIMESTAMPS = 12,
	FIN = 1,
	SYN = 2,
	PSH = 8,
	ACK = 16,
};

#define TURN_NS 20000 /* virtual time between turns */

/* The other end of a connection. */
struct peer {
	uint32_t seq, ack; /* next to send, next expected */
	uint32_t ts_echo;
	uint16_t port;
	uint32_t ip;
};

static struct {
	struct rb_net *net;
	uint8_t headers[HEADERS][RB_NET_HEADER_MAX];
	uint32_t headers_next, headers_seen; /* both wrap */
	struct rb_net_packet packets[BATCH];
	uint8_t data[BATCH][FRAME_MAX];
	struct peer *by_order; /* of the turn */
	struct peer *peers;
	uint32_t peers_count;
	uint64_t now_ns, random;
	uint64_t frames; /* sent so far */
	uint8_t reply[MESSAGE];
	volatile uint32_t reply_length; /* bytes; not for the compiler to know */
	int failed;			/* not 0: a command of the application was refused */
} bench;

static const uint8_t own_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};
enum { OWN_IP = 0x0a000001, PEER_IP = 0x0a010000 };

static unsigned bench_headers(void *context, struct rb_net_header *given, unsigned count)
{
	(void)context;
	const uint32_t next = bench.headers_next;
	for (unsigned i = 0; i < count; i++)
		given[i].header = bench.headers[(next + i) % HEADERS];
	bench.headers_next = next + count;
	return count;
}

static struct peer *peer_of(uint32_t ip, uint16_t port)
{
	return &bench.peers[(ip - PEER_IP) * 32768U + port - 1024U];
}

/* The peers look at the headers when the turn is over. */
static void bench_output(void *context, const struct rb_net_frame *frames, unsigned count)
{
	(void)context;
	(void)frames;
	bench.frames += count;
}

static void bench_release(void *context, const uint64_t *buffers, unsigned count)
{
	(void)context;
	(void)buffers;
	(void)count;
}

static uint64_t bench_random(void *context)
{
	(void)context;
	bench.random = bench.random * 6364136223846793005U + 1442695040888963407U;
	return bench.random ^ bench.random >> 29;
}

static const struct rb_net_ops ops = {
	.headers = bench_headers, .output = bench_output, .release = bench_release, .random = bench_random};

/* The application: a reply for each request. */
static void bench_serve(const struct rb_net_event *events, unsigned count)
{
	const struct rb_net_piece piece = {.base = bench.reply, .length = bench.reply_length};
	for (unsigned i = 0; i < count; i++) {
		if (events[i].bits & RB_NET_KNOCK)
			(void)rb_net_accept(bench.net, events[i].handle, i);
		if (events[i].bits & RB_NET_RECEIVED)
			bench.failed |= rb_net_reply(bench.net, events[i].handle, events[i].length, &piece, 1);
		if (events[i].bits & RB_NET_FIN)
			(void)rb_net_close(bench.net, events[i].handle, RB_NET_CLOSE_BOTH);
	}
}

/*
 * The peers learn from the headers of a turn's frames what they would have learnt. Header buffers are used in the order
 * in which they were given; the library may have some that it has not used yet.
 */
static void peers_learn(uint64_t frames)
{
	RB_ASSERT_LE(frames, (uint64_t)HEADERS);
	for (; frames > 0; frames--, bench.headers_seen++) {
		const uint8_t *header = bench.headers[bench.headers_seen % HEADERS], *ip = header + ETHERNET;
		const uint8_t *tcp = ip + IP;
		if (load16(header + 12) != 0x0800)
			continue;
		struct peer *peer = peer_of(load32(ip + 16), load16(tcp + 2));
		uint32_t length = load16(ip + 2) - (uint32_t)IP - (uint32_t)(tcp[12] >> 4) * 4;
		peer->ack = load32(tcp + 4) + length + ((tcp[13] & (SYN | FIN)) != 0);
		peer->ts_echo = load32(tcp + TCP + 4);
	}
}

static inline __attribute__((always_inline)) void turn(unsigned packets)
{
	const struct rb_net_event *events;
	rb_net_advance(bench.net, bench.now_ns);
	rb_net_input(bench.net, bench.packets, packets);
	unsigned count;
	while ((count = rb_net_events(bench.net, &events, RB_NET_BURST)) > 0)
		bench_serve(events, count);
	rb_net_flush(bench.net);
}

/* A profiler finds them by name, so neither is inlined, cloned or merged with the other. */
__attribute__((noipa)) void bench_turn(unsigned packets);
__attribute__((noipa)) void bench_warm_up(unsigned packets);

void bench_turn(unsigned packets)
{
	turn(packets);
}

void bench_warm_up(unsigned packets)
{
	turn(packets);
}

/* Makes packet number `i` of the turn: a segment of this peer. */
static void segment(unsigned i, struct peer *peer, uint8_t flags, uint32_t length)
{
	uint8_t *data = bench.data[i], *ip = data + ETHERNET, *tcp = ip + IP;
	bool syn = flags & SYN;
	uint32_t options = TIMESTAMPS + (syn ? 8U : 0U);

	memset(data, 0, FRAME_MAX);
	memcpy(data, own_mac, sizeof(own_mac));
	memcpy(data + 6, peer_mac, sizeof(peer_mac));
	store16(data + 12, 0x0800);
	ip[0] = 0x45;
	store16(ip + 2, (uint16_t)(IP + TCP + options + length));
	store16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = 6;
	store32(ip + 12, peer->ip);
	store32(ip + 16, OWN_IP);
	store16(tcp, peer->port);
	store16(tcp + 2, PORT);
	store32(tcp + 4, peer->seq);
	store32(tcp + 8, syn ? 0 : peer->ack);
	store16(tcp + 12, (uint16_t)((TCP + options) / 4 << 12 | flags));
	store16(tcp + 14, 0xffff);
	store32(tcp + TCP, 0x0101080a);
	store32(tcp + TCP + 4, (uint32_t)(bench.now_ns / 1000000) + 1);
	store32(tcp + TCP + 8, peer->ts_echo);
	if (syn) {
		store32(tcp + TCP + 12, 0x020405b4);
		store32(tcp + TCP + 16, 0x01030307);
	}
	bench.packets[i] = (struct rb_net_packet){
		.data = data,
		.buffer = i,
		.length = (uint16_t)(ETHERNET + IP + TCP + options + length),
		.checksum = RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD,
	};
	peer->seq += length + ((flags & (SYN | FIN)) != 0);
}

/* Sends the same kind of segment from a batch of peers. */
static void batch(struct peer *peers, uint8_t flags, uint32_t length, void (*call)(unsigned))
{
	for (unsigned i = 0; i < BATCH; i++)
		segment(i, &peers[i], flags, length);
	bench.now_ns += TURN_NS;
	uint64_t frames = bench.frames;
	call(BATCH);
	peers_learn(bench.frames - frames);
}

static void open_instance(uint32_t connections, uint32_t time_wait_us)
{
	struct rb_net_config config;
	const char *why;
	rb_net_config_default(&config);
	memcpy(config.mac, own_mac, sizeof(own_mac));
	config.ip4 = OWN_IP;
	config.ip4_prefix = 8;
	config.checksum_offload = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL;
	config.connections = connections;
	config.send_pieces = config.receive_parts = connections < 4096 ? 4096 : connections;
	config.time_wait_us = time_wait_us;
	RB_ASSERT_EQ(rb_net_config_check(&config, &why), 0);
	size_t size = rb_net_size(&config);
	void *memory = aligned_alloc(64, size);
	RB_ASSERT(memory != NULL);
	bench.now_ns = 1000000000;
	bench.reply_length = MESSAGE;
	bench.net = rb_net_init(memory, &config, &ops, NULL, bench.now_ns);
	bench.peers_count = (connections + 32767) / 32768 * 32768;
	bench.peers = calloc(bench.peers_count, sizeof(*bench.peers));
	RB_ASSERT(bench.peers != NULL);
	for (uint32_t i = 0; i < bench.peers_count; i++) {
		struct peer *peer = &bench.peers[i];
		peer->ip = PEER_IP + i / 32768;
		peer->port = (uint16_t)(1024 + i % 32768);
		peer->seq = i * 1000003;
		struct rb_ip ip = rb_ip4(peer->ip);
		if (i % 32768 == 0)
			RB_ASSERT_EQ(rb_net_neighbour_set(bench.net, &ip, peer_mac), 0);
	}
	rb_net_handle listener;
	struct rb_endpoint local = {.ip = {.words = {0, 0}}, .port = PORT};
	RB_ASSERT_EQ(rb_net_listen(bench.net, &local, 0, &listener), 0);
}

static void check(uint64_t before, uint64_t least)
{
	const struct rb_net_counters *counters = rb_net_counters(bench.net);
	RB_ASSERT_EQ(bench.failed, 0);
	RB_ASSERT_GE(bench.frames - before, least);
	RB_ASSERT_EQ(counters->tcp_retransmitted, 0U);
	RB_ASSERT_EQ(counters->tcp_unacceptable, 0U);
	RB_ASSERT_EQ(counters->tcp_resets_out, 0U);
}

static void open_connections(uint32_t connections)
{
	open_instance(connections, 60000000);
	for (uint32_t i = 0; i < connections; i += BATCH) {
		batch(&bench.peers[i], SYN, 0, bench_warm_up);
		batch(&bench.peers[i], ACK, 0, bench_warm_up);
	}
}

static void request(uint32_t connections, uint32_t turns)
{
	open_connections(connections);
	for (uint32_t i = 0; i < 16 * connections; i += BATCH)
		batch(&bench.peers[i % connections], ACK | PSH, MESSAGE, bench_warm_up);
	uint64_t before = bench.frames, fast = rb_net_counters(bench.net)->tcp_fast;
	for (uint32_t i = 0; i < turns; i++)
		batch(&bench.peers[(uint64_t)i * BATCH % connections], ACK | PSH, MESSAGE, bench_turn);
	check(before, (uint64_t)turns * BATCH);
	RB_ASSERT_EQ(rb_net_counters(bench.net)->tcp_fast - fast, (uint64_t)turns * BATCH);
	printf("operations %u\n", turns * BATCH);
}

/* Replies are acknowledged at once, which is not counted: else they would have to be sent again. */
static void seldom(uint32_t connections, uint32_t turns)
{
	const uint64_t apart_ns = 1000000000ULL * BATCH / connections;
	open_connections(connections);
	uint64_t before = 0;
	for (uint32_t i = 0; i < turns + 2 * connections / BATCH; i++) {
		bool counts = i >= 2 * connections / BATCH;
		struct peer *peers = &bench.peers[(uint64_t)i * BATCH % connections];
		before = counts ? before : bench.frames;
		batch(peers, ACK | PSH, MESSAGE, counts ? bench_turn : bench_warm_up);
		batch(peers, ACK, 0, bench_warm_up);
		bench.now_ns += apart_ns;
	}
	check(before, (uint64_t)turns * BATCH);
	printf("operations %u\n", turns * BATCH);
}

/* SYN; ACK; request; FIN; ACK: five packets in, SYN-ACK, reply, FIN-ACK out. */
static void short_lived(struct peer *peers, void (*call)(unsigned))
{
	batch(peers, SYN, 0, call);
	batch(peers, ACK, 0, call);
	batch(peers, ACK | PSH, MESSAGE, call);
	batch(peers, ACK | FIN, 0, call);
	batch(peers, ACK, 0, call);
}

static void shorts(uint32_t turns)
{
	open_instance(1024, 1000000);
	for (uint32_t i = 0; i < turns; i++)
		short_lived(&bench.peers[i * BATCH % 16384], bench_warm_up);
	uint64_t before = bench.frames;
	for (uint32_t i = turns; i < 2 * turns; i++)
		short_lived(&bench.peers[i * BATCH % 16384], bench_turn);
	check(before, (uint64_t)turns * BATCH * 3);
	printf("operations %u\n", turns * BATCH);
}

static void memory(void)
{
	enum { CONNECTIONS = 1 << 17 };
	struct rb_net_config config;
	rb_net_config_default(&config);
	config.connections = CONNECTIONS;
	size_t size = rb_net_size(&config);
	config.connections = 2 * CONNECTIONS;
	printf("bytes %zu\n", (rb_net_size(&config) - size + CONNECTIONS - 1) / CONNECTIONS);
}

static uint32_t number(const char *text, uint32_t most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	if (*text == '\0' || *end != '\0' || value == 0 || value > most) {
		fprintf(stderr, "bench_net: %s must be 1 to %u\n", text, most);
		exit(2);
	}
	return (uint32_t)value;
}

int main(int argc, char **argv)
{
	bool is_seldom = argc == 4 && strcmp(argv[1], "seldom") == 0;
	if (is_seldom || (argc == 4 && strcmp(argv[1], "request") == 0)) {
		uint32_t connections = number(argv[2], 1U << 20);
		if (connections % BATCH == 0) {
			(is_seldom ? seldom : request)(connections, number(argv[3], 1U << 20));
			return 0;
		}
	} else if (argc == 3 && strcmp(argv[1], "short") == 0) {
		shorts(number(argv[2], 1U << 20));
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "memory") == 0) {
		memory();
		return 0;
	}
	fprintf(stderr,
		"usage: bench_net request|seldom CONNECTIONS TURNS   (CONNECTIONS a multiple of %d)\n"
		"       bench_net short TURNS\n"
		"       bench_net memory\n",
		BATCH);
	return 2;
}
