// SPDX-License-Identifier: Apache-2.0
/*
 * Segments against live connections. The input is a program: a byte of configuration, then steps. A step's first byte
 * chooses what it does, and the bytes behind it are its numbers. Segments are made near the windows of the
 * connection that there is; the application sends, reads and closes in between, and time passes.
 *
 * Promises: no crash; the invariants of net_invariants.c after each step; what the application gets is what the peer
 * has sent, in order; all frames are well-formed; each buffer and header goes back once; when all is closed and time has
 * passed, nothing is left.
 */
#include "fuzz/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/net_invariants.h"
#include "net/checksum.h"
#include "net/ip.h"
#include "net/tcp_parts.h"
#include "tests/net/segment.h"

enum { CONNECTIONS = 8, STREAM = 1 << 16, HEADERS = 256, PORT = 80, PEER_PORT = 40000, BURST = 8, TURNS_TO_END = 1000 };

static const uint8_t own_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};

struct connection {
	rb_net_handle handle;
	uint32_t received_seq; /* of the next byte, if it is known */
	bool known;
	uint32_t unread;
};

struct fuzz {
	const uint8_t *data;
	size_t size;
	struct rb_net *net;
	void *memory;
	uint64_t now_ns, random;
	uint32_t buffers, headers; /* that the library holds */
	bool no_headers;
	rb_net_handle listener;
	struct connection connections[CONNECTIONS];
	struct rb_net_packet burst[BURST];
	unsigned burst_count;
	uint8_t stream[STREAM];
};

static struct fuzz fuzz;

/*
 * Input.
 */

static uint8_t read_byte(void)
{
	if (fuzz.size == 0)
		return 0;
	fuzz.size--;
	return *fuzz.data++;
}

/* Mostly small numbers, of either sign; now and then large ones. */
static uint32_t read_offset(void)
{
	const uint8_t byte = read_byte();
	const int32_t value = (int32_t)(read_byte() ^ 0x80U) - 128; /* as two's complement */
	static const uint8_t shifts[8] = {0, 0, 0, 3, 7, 10, 16, 24};
	return (uint32_t)value << shifts[byte % 8];
}

/* The peer's streams: the byte at a sequence number. */
static uint8_t stream_byte(uint32_t seq)
{
	return (uint8_t)(seq * 0x9e3779b1U >> 24);
}

/*
 * The device.
 */

static unsigned headers(void *context, struct rb_net_header *given, unsigned count)
{
	(void)context;
	if (fuzz.no_headers)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		given[i].header = malloc(RB_NET_HEADER_MAX);
		RB_ASSERT(given[i].header != NULL);
	}
	fuzz.headers += count;
	return count;
}

/* What is left to the device: the field of TCP has the sum of the pseudo-header. */
static void fill_checksums(const struct rb_net_frame *frame, uint8_t *bytes, uint32_t length)
{
	uint8_t *ip = bytes + frame->l2_length, *tcp = ip + frame->l3_length;
	if (frame->checksum & RB_NET_CHECKSUM_IP4_FILL) {
		const uint16_t sum = checksum_finish(checksum_ip4_header(ip));
		memcpy(ip + 10, &sum, sizeof(sum));
	}
	if (frame->checksum & RB_NET_CHECKSUM_TCP_FILL) {
		const uint16_t sum = checksum_finish(checksum_add(0, tcp, (size_t)(bytes + length - tcp)));
		memcpy(tcp + 16, &sum, sizeof(sum));
	}
}

static void output(void *context, const struct rb_net_frame *frames, unsigned count)
{
	(void)context;
	for (unsigned i = 0; i < count; i++) {
		static uint8_t bytes[SEGMENT_FRAME_MAX];
		const struct rb_net_frame *frame = &frames[i];
		struct segment segment;
		const char *why = "";
		uint32_t length = frame->header_length;
		memcpy(bytes, frame->header, length);
		for (unsigned j = 0; j < frame->pieces_count; j++) {
			RB_ASSERT_LE(length + frame->pieces[j].length, 14U + fuzz.net->config.mtu);
			memcpy(bytes + length, frame->pieces[j].base, frame->pieces[j].length);
			length += frame->pieces[j].length;
		}
		RB_ASSERT_EQ(length, frame->length);
		fill_checksums(frame, bytes, length);
		RB_ASSERT_NE(segment_parse(&segment, bytes, length, &why), -EBADMSG);
		if (frame->flags & RB_NET_FRAME_ANSWER) {
			free((void *)(uintptr_t)frame->owner);
			fuzz.buffers--;
		} else {
			free(frame->header);
			fuzz.headers--;
		}
	}
}

static void release(void *context, const uint64_t *buffers, unsigned count)
{
	(void)context;
	for (unsigned i = 0; i < count; i++)
		free((void *)(uintptr_t)buffers[i]); /* a sanitizer sees one that is released twice */
	fuzz.buffers -= count;
}

static uint64_t random_bits(void *context)
{
	(void)context;
	fuzz.random = fuzz.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return fuzz.random ^ fuzz.random >> 29;
}

static const struct rb_net_ops ops = {.headers = headers, .output = output, .release = release, .random = random_bits};

/*
 * The application.
 */

static struct connection *connection_of(rb_net_handle handle)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		if (fuzz.connections[i].handle == handle)
			return &fuzz.connections[i];
	}
	return NULL;
}

static void connection_add(rb_net_handle handle)
{
	struct connection *connection = connection_of(0);
	RB_ASSERT(connection != NULL);
	*connection = (struct connection){.handle = handle};
}

static void on_received(const struct rb_net_event *event)
{
	struct connection *connection = connection_of(event->handle);
	struct rb_net_info info;
	if (!connection->known && rb_net_info(fuzz.net, event->handle, &info) == 0) {
		connection->received_seq = info.irs + 1;
		connection->known = true;
	}
	if (!connection->known)
		return; /* the connection has ended, and its numbers are not to be had any more */
	for (uint32_t i = 0; i < event->length; i++)
		RB_ASSERT_EQ(event->data[i], stream_byte(connection->received_seq + i));
	connection->received_seq += event->length;
	connection->unread += event->length;
}

static void take_events(void)
{
	const struct rb_net_event *events;
	unsigned count;
	while ((count = rb_net_events(fuzz.net, &events, 16)) > 0) {
		for (unsigned i = 0; i < count; i++) {
			if (events[i].bits & RB_NET_KNOCK) {
				connection_add(events[i].handle);
				RB_ASSERT_EQ(rb_net_accept(fuzz.net, events[i].handle, 1), 0);
			}
			if (events[i].bits & RB_NET_RECEIVED)
				on_received(&events[i]);
			bool failed = (events[i].bits & RB_NET_CONNECTED) && events[i].status != 0;
			if (failed || (events[i].bits & RB_NET_CLOSED))
				*connection_of(events[i].handle) = (struct connection){0};
		}
		net_invariants_check(fuzz.net);
	}
}

static struct connection *connection_chosen(void)
{
	return &fuzz.connections[read_byte() % CONNECTIONS];
}

static void do_send(void)
{
	const struct connection *connection = connection_chosen();
	struct rb_net_piece pieces[2];
	for (unsigned i = 0; i < 2; i++)
		pieces[i] = (struct rb_net_piece){fuzz.stream, (uint32_t)read_byte() << (i == 0 ? 6 : 0)};
	(void)rb_net_send(fuzz.net, connection->handle, pieces, 2);
}

static void do_read(void)
{
	struct connection *connection = connection_chosen();
	uint32_t bytes = (uint32_t)read_byte() << 3;
	if (bytes > connection->unread)
		bytes = connection->unread;
	if (connection->handle != 0) {
		int status = rb_net_received(fuzz.net, connection->handle, bytes);
		RB_ASSERT(status == 0 || status == -EINVAL); /* after a close all was given back */
		connection->unread -= bytes;
	}
}

/* An answer to all that was received, or to less, or to more. */
static void do_reply(void)
{
	struct connection *connection = connection_chosen();
	const struct rb_net_piece piece = {fuzz.stream, (uint32_t)read_byte() << 2};
	uint8_t choice = read_byte();
	uint32_t bytes = choice < 128 ? connection->unread : (choice & 127U) << 3;
	if (connection->handle == 0)
		return;
	int status = rb_net_reply(fuzz.net, connection->handle, bytes, &piece, 1);
	if (status == 0 && bytes <= connection->unread)
		connection->unread -= bytes;
	else if (status == 0)
		RB_ASSERT_EQ(bytes, 0U);
}

static void do_command(void)
{
	struct connection *connection = connection_chosen();
	const struct rb_endpoint remote = {rb_ip4(0x0a000002), (uint16_t)(PEER_PORT + read_byte() % 3)};
	struct rb_endpoint local = {.port = (uint16_t)(PORT + read_byte() % 2)};
	rb_net_handle handle;
	switch (read_byte() % 9) {
	case 0:
		(void)rb_net_close(fuzz.net, connection->handle, RB_NET_CLOSE_WRITE);
		break;
	case 1:
		if (rb_net_close(fuzz.net, connection->handle, RB_NET_CLOSE_BOTH) == 0)
			connection->unread = 0;
		break;
	case 2:
		(void)rb_net_close(fuzz.net, connection->handle, RB_NET_CLOSE_ABORT);
		break;
	case 3:
		(void)rb_net_set(fuzz.net, connection->handle, RB_NET_OPTION_NODELAY, read_byte() % 2);
		break;
	case 4:
		(void)rb_net_set(fuzz.net, connection->handle, RB_NET_OPTION_KEEPALIVE, read_byte() % 2);
		break;
	case 5:
		(void)rb_net_set(fuzz.net, connection->handle, RB_NET_OPTION_CONGESTION,
				 read_byte() % RB_NET_CONGESTIONS);
		break;
	case 6:
		fuzz.no_headers = read_byte() % 2;
		break;
	case 7:
		do_reply();
		break;
	default:
		if (connection_of(0) != NULL && rb_net_connect(fuzz.net, &local, &remote, 1, &handle) == 0)
			connection_add(handle);
		break;
	}
}

/*
 * The peer.
 */

static void turn(void)
{
	rb_net_input(fuzz.net, fuzz.burst, fuzz.burst_count);
	fuzz.burst_count = 0;
	net_invariants_check(fuzz.net);
	take_events();
	rb_net_flush(fuzz.net);
	net_invariants_check(fuzz.net);
}

static void input(const uint8_t *bytes, size_t length)
{
	const uint16_t answer_max = fuzz.net->config.answer_max;
	const size_t front = answer_max > 0 ? RB_NET_HEADER_MAX : 0;
	uint8_t *buffer = malloc(front + length + answer_max);
	RB_ASSERT(buffer != NULL);
	memcpy(buffer + front, bytes, length);
	fuzz.buffers++;
	fuzz.burst[fuzz.burst_count++] = (struct rb_net_packet){
		.data = buffer + front,
		.buffer = (uintptr_t)buffer,
		.length = (uint16_t)length,
		.checksum = RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD,
	};
	if (fuzz.burst_count == BURST)
		turn();
}

/* The connection that segments are made for; NULL: there is none. */
static struct tcb *tcb_chosen(uint8_t choice)
{
	struct tcp *tcp = &fuzz.net->tcp;
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		struct tcb *tcb = &tcp->tcbs[(choice + i) % CONNECTIONS];
		if (tcb_in_use(tcb) && tcb->state != TCP_CLOSED)
			return tcb;
	}
	return NULL;
}

/* A SYN's options in the order in which the library sends them, which is taken the short way. */
static void arrange_options(struct segment *segment)
{
	uint8_t *at = segment->raw;
	store32(at, 0x0101080a);
	store32(at + 4, segment->ts_val);
	store32(at + 8, segment->ts_ecr);
	store32(at + 12, 0x02040000U | segment->mss);
	at += 16;
	if (segment->options & SEGMENT_SACK_OK) {
		store32(at, 0x01010402);
		at += 4;
	}
	store32(at, 0x01030300U | segment->wscale);
	segment->raw_length = (uint8_t)(at + 4 - segment->raw);
}

static void add_options(struct segment *segment, const struct tcb *tcb, uint8_t options)
{
	if ((tcb != NULL && (tcb->flags & TCP_HAS_TIMESTAMPS)) != ((options & 1) != 0)) {
		segment->options |= SEGMENT_TS;
		segment->ts_val = tcb != NULL ? tcb->ts_recent : 1;
		segment->ts_ecr = tcb != NULL ? tcp_ts_now(fuzz.net, tcb) : 0;
	}
	if (options & 2) {
		segment->ts_val += read_offset();
		segment->ts_ecr += read_offset();
	}
	if (options & 4) {
		segment->options |= SEGMENT_SACK;
		segment->sack_count = 1 + (options >> 3) % 3;
		for (unsigned i = 0; i < segment->sack_count; i++) {
			segment->sack[i].left = (tcb != NULL ? tcb->snd_una : 0) + read_offset();
			segment->sack[i].right = segment->sack[i].left + read_offset();
		}
	}
	if (segment->flags & SEGMENT_SYN) {
		segment->options |=
			SEGMENT_MSS | (options & 32 ? SEGMENT_SACK_OK : 0U) | (options & 64 ? SEGMENT_WSCALE : 0U);
		segment->options &= (uint16_t)~SEGMENT_SACK;
		segment->mss = (uint16_t)(64 + 8 * read_byte());
		segment->wscale = read_byte() % 16;
		if ((options & 16) && (segment->options & SEGMENT_TS) && (segment->options & SEGMENT_WSCALE))
			arrange_options(segment);
	}
}

static void do_segment(void)
{
	static const uint8_t flags[8] = {
		SEGMENT_ACK,
		SEGMENT_ACK,
		SEGMENT_ACK | SEGMENT_PSH,
		SEGMENT_SYN,
		SEGMENT_ACK | SEGMENT_FIN,
		SEGMENT_ACK | SEGMENT_SYN,
		SEGMENT_RST,
		0,
	};
	static uint8_t frame[SEGMENT_FRAME_MAX], payload[2048];
	const uint8_t choice = read_byte(), kind = read_byte(), options = read_byte();
	const struct tcb *tcb = tcb_chosen(choice);
	struct segment segment = {
		.source = rb_ip4(0x0a000002),
		.target = rb_ip4(0x0a000001),
		.source_port = tcb != NULL ? tcp_remote_port(tcb) : (uint16_t)(PEER_PORT + choice % 3),
		.target_port = tcb != NULL ? tcp_local_port(tcb) : PORT,
		.flags = flags[kind % 8],
		.ecn = (kind >> 3) % 4,
		.seq = (tcb != NULL ? tcb->rcv_nxt : 0) + read_offset(),
		.ack = (tcb != NULL ? tcb->snd_nxt : 0) + read_offset(),
		.window = (uint16_t)((uint32_t)read_byte() << (kind >> 5)),
		.length = (uint32_t)read_byte() << (options >> 7) * 2,
		.payload = payload,
	};
	if ((kind >> 5) == 7)
		segment.flags = (uint16_t)(read_byte() | SEGMENT_ACK);
	memcpy(segment.source_mac, peer_mac, 6);
	memcpy(segment.target_mac, own_mac, 6);
	add_options(&segment, tcb, options);
	/* the stream begins after the SYN, wherever its number is */
	for (uint32_t i = 0; i < segment.length; i++)
		payload[i] = stream_byte(segment.seq + i + ((segment.flags & SEGMENT_SYN) != 0));
	input(frame, segment_build(&segment, frame));
}

static void do_time(void)
{
	fuzz.now_ns += UINT64_C(1) << (10 + read_byte() % 28);
	rb_net_advance(fuzz.net, fuzz.now_ns);
	net_invariants_check(fuzz.net);
}

/*
 * Beginning and end.
 */

static void open_net(uint8_t options)
{
	struct rb_net_config config;
	const struct rb_endpoint local = {.port = PORT};
	const struct rb_ip peer = rb_ip4(0x0a000002);
	const char *why;
	rb_net_config_default(&config);
	memcpy(config.mac, own_mac, 6);
	config.ip4 = 0x0a000001;
	config.connections = CONNECTIONS;
	config.listeners = 1;
	config.udp_sockets = 0;
	config.neighbours = 4;
	config.pending = 2;
	config.send_pieces = options & 1 ? 4 : 64;
	config.receive_parts = options & 2 ? 8 : 64;
	config.receive_window = options & 4 ? 1000 : 200000;
	config.backlog = options & 8 ? 0 : 4;
	config.rack = config.tlp = !(options & 16);
	config.sack = !(options & 32);
	config.congestion = (options >> 6) % RB_NET_CONGESTIONS;
	if (options >> 6 == RB_NET_CONGESTIONS) { /* what is sent the short way, its device fills in */
		config.checksum_offload = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL;
		config.answer_max = options & 8 ? 256 : 0;
	}
	RB_ASSERT_EQ(rb_net_config_check(&config, &why), 0);
	fuzz.memory = aligned_alloc(64, (rb_net_size(&config) + 63) / 64 * 64);
	RB_ASSERT(fuzz.memory != NULL);
	fuzz.now_ns = 1000000000;
	fuzz.net = rb_net_init(fuzz.memory, &config, &ops, NULL, fuzz.now_ns);
	RB_ASSERT_EQ(rb_net_neighbour_set(fuzz.net, &peer, peer_mac), 0);
	RB_ASSERT_EQ(rb_net_listen(fuzz.net, &local, 0, &fuzz.listener), 0);
}

/* Everything ends, in an orderly way or by the timers, and leaves nothing. */
static void close_net(void)
{
	struct rb_net_usage usage;
	fuzz.no_headers = false;
	turn();
	for (unsigned i = 0; i < CONNECTIONS; i++)
		(void)rb_net_close(fuzz.net, fuzz.connections[i].handle, RB_NET_CLOSE_BOTH);
	RB_ASSERT_EQ(rb_net_close(fuzz.net, fuzz.listener, RB_NET_CLOSE_BOTH), 0);
	turn();
	for (unsigned i = 0; i < TURNS_TO_END; i++) {
		const uint64_t deadline_ns = rb_net_deadline_ns(fuzz.net);
		if (deadline_ns == UINT64_MAX)
			break;
		fuzz.now_ns = deadline_ns > fuzz.now_ns ? deadline_ns : fuzz.now_ns;
		rb_net_advance(fuzz.net, fuzz.now_ns);
		turn();
	}
	rb_net_usage(fuzz.net, &usage);
	RB_ASSERT_EQ(usage.connections, 0U);
	RB_ASSERT_EQ(usage.send_pieces, 0U);
	RB_ASSERT_EQ(usage.receive_parts, 0U);
	RB_ASSERT_EQ(fuzz.buffers, 0U);
	struct tx *tx = &fuzz.net->tx;
	RB_ASSERT_EQ(fuzz.headers, tx->stock_end - tx->stock_next); /* in hand for the next frames */
	for (uint32_t i = tx->stock_next; i < tx->stock_end; i++)
		free(tx->stock[i].header);
	rb_net_drop(fuzz.net);
	free(fuzz.memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&fuzz, 0, offsetof(struct fuzz, stream));
	fuzz.data = data;
	fuzz.size = size;
	open_net(read_byte());
	while (fuzz.size > 0) {
		const uint8_t step = read_byte();
		switch (step % 8) {
		case 0:
			do_time();
			break;
		case 1:
			do_send();
			break;
		case 2:
			do_read();
			break;
		case 3:
			do_command();
			break;
		default:
			do_segment();
			break;
		}
		if (!(step & 8))
			turn();
	}
	close_net();
	return 0;
}
