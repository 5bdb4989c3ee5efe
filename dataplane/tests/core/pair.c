// SPDX-License-Identifier: Apache-2.0
#include "tests/core/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

enum { FRAME_MAX = 1514, BURST = 32, TURNS_MAX = 100000, FENCE = 0xee, LINE = 64, ANSWER_MAX = 256 };

#define SEED	   UINT64_C(0x9e3779b97f4a7c15)
#define OPENING_NS (10 * RB_NS_PER_S)  /* both have announced their addresses */
#define CLOSING_NS (300 * RB_NS_PER_S) /* longer than anything a connection waits for */

struct pair_frame {
	struct pair_frame *next;
	uint64_t hash;
	uint16_t length;
	uint8_t *bytes; /* behind the room for another header, and with room behind them for an answer */
	uint8_t memory[];
};

uint8_t pair_byte(uint64_t at)
{
	return (uint8_t)((at + 1) * SEED >> 56);
}

/* FNV-1a, by words. */
static uint64_t hash_add(uint64_t hash, const void *from, size_t length)
{
	const uint8_t *bytes = from;
	for (; length >= sizeof(uint64_t); bytes += sizeof(uint64_t), length -= sizeof(uint64_t)) {
		uint64_t word;
		memcpy(&word, bytes, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x100000001b3);
		hash ^= hash >> 47;
	}
	for (; length > 0; bytes++, length--)
		hash = (hash ^ *bytes) * UINT64_C(0x100000001b3);
	return hash;
}

/*
 * The device.
 */

static unsigned headers(void *context, struct rb_net_header *given, unsigned count)
{
	struct pair_end *end = context;
	unsigned slot = 0;
	for (unsigned i = 0; i < count; i++) {
		while (end->header[slot] != NULL)
			slot++;
		RB_ASSERT_LT(slot, (unsigned)PAIR_HEADERS);
		end->header[slot] = malloc(RB_NET_HEADER_MAX);
		RB_ASSERT(end->header[slot] != NULL);
		given[i].header = end->header[slot];
		given[i].owner = slot;
	}
	return count;
}

static struct pair_frame *frame_of(const struct rb_net_frame *from)
{
	RB_ASSERT_LE(from->length, (uint32_t)FRAME_MAX);
	struct pair_frame *frame = malloc(sizeof(*frame) + RB_NET_HEADER_MAX + from->length + ANSWER_MAX);
	RB_ASSERT(frame != NULL);
	frame->bytes = frame->memory + RB_NET_HEADER_MAX;
	frame->next = NULL;
	frame->length = (uint16_t)from->length;
	memcpy(frame->bytes, from->header, from->header_length);
	size_t at = from->header_length;
	for (unsigned i = 0; i < from->pieces_count; i++) {
		memcpy(frame->bytes + at, from->pieces[i].base, from->pieces[i].length);
		at += from->pieces[i].length;
	}
	RB_ASSERT_EQ(at, from->length);
	frame->hash = hash_add(SEED, frame->bytes, frame->length);
	return frame;
}

/* What the header was in comes back: memory of its own, or the packet that this answers. */
static void header_take(struct pair_end *end, const struct rb_net_frame *frame)
{
	if (frame->flags & RB_NET_FRAME_ANSWER) {
		const struct pair_frame *packet = (const struct pair_frame *)(uintptr_t)frame->owner;
		RB_ASSERT(frame->header >= packet->memory && frame->header < packet->bytes + packet->length);
		free((void *)(uintptr_t)frame->owner);
		end->buffers--;
		return;
	}
	RB_ASSERT(frame->header == end->header[frame->owner]);
	free(frame->header);
	end->header[frame->owner] = NULL;
}

static void output(void *context, const struct rb_net_frame *frames, unsigned count)
{
	struct pair_end *end = context;
	struct pair_end *other = &end->pair->end[end == end->pair->end];
	for (unsigned i = 0; i < count; i++) {
		struct pair_frame *frame = frame_of(&frames[i]);
		header_take(end, &frames[i]);
		end->frames++;
		end->hash = hash_add(end->hash, &end->pair->now_ns, sizeof(end->pair->now_ns));
		end->hash = hash_add(end->hash, &frame->hash, sizeof(frame->hash));
		if (other->deaf) {
			free(frame);
			continue;
		}
		*other->last = frame;
		other->last = &frame->next;
		other->waiting++;
	}
}

static void release(void *context, const uint64_t *buffers, unsigned count)
{
	struct pair_end *end = context;
	for (unsigned i = 0; i < count; i++) {
		struct pair_frame *frame = (struct pair_frame *)(uintptr_t)buffers[i];
		RB_ASSERT_EQ(frame->hash, hash_add(SEED, frame->bytes, frame->length));
		free(frame); /* a sanitizer sees one that is released twice */
	}
	RB_ASSERT_LE(count, end->buffers);
	end->buffers -= count;
}

static uint64_t random_bits(void *context)
{
	struct pair_end *end = context;
	end->random = end->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return end->random ^ end->random >> 29;
}

static const struct rb_net_ops ops = {.headers = headers, .output = output, .release = release, .random = random_bits};

static void input(struct pair_end *end)
{
	struct rb_net_packet packets[BURST];
	unsigned count = 0;
	while (end->first != NULL && count < BURST) {
		struct pair_frame *frame = end->first;
		end->first = frame->next;
		if (end->first == NULL)
			end->last = &end->first;
		packets[count++] = (struct rb_net_packet){
			.data = frame->bytes,
			.buffer = (uintptr_t)frame,
			.length = frame->length,
			.checksum = RB_NET_CHECKSUM_IP4_GOOD | RB_NET_CHECKSUM_L4_GOOD,
		};
	}
	end->waiting -= count;
	end->buffers += count;
	rb_net_advance(end->net, end->pair->now_ns);
	rb_net_input(end->net, packets, count);
}

/*
 * The peer.
 */

static struct pair_connection *peer_of(struct pair *pair, rb_net_handle handle)
{
	for (unsigned i = 0; i < PAIR_CONNECTIONS; i++) {
		struct pair_connection *connection = &pair->peer[i];
		if (connection->handle == handle && !connection->closed)
			return connection;
	}
	RB_ASSERT(!"the peer knows of the connection");
	return NULL;
}

static unsigned peer_add(struct pair *pair, rb_net_handle handle)
{
	unsigned number = pair->peer_count++ % PAIR_CONNECTIONS;
	while (pair->peer[number].handle != 0 && !pair->peer[number].closed)
		number = pair->peer_count++ % PAIR_CONNECTIONS;
	memset(&pair->peer[number], 0, offsetof(struct pair_connection, bytes));
	pair->peer[number].handle = handle;
	return number;
}

/* Does one of these events end that connection? Its handle is void as soon as they are taken. */
static bool is_ended_by(rb_net_handle handle, const struct rb_net_event *events, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (events[i].handle == handle && (events[i].bits & RB_NET_CLOSED) != 0)
			return true;
	}
	return false;
}

/* Of the first of `count` events. */
static void peer_received(struct pair *pair, struct pair_connection *connection, const struct rb_net_event *event,
			  unsigned count)
{
	for (uint32_t i = 0; i < event->length; i++)
		connection->bytes[(connection->received + i) % PAIR_BYTES] = event->data[i];
	connection->received += event->length;
	connection->unread += event->length;
	if (pair->peer_keeps)
		return;
	int result = rb_net_received(pair->end[1].net, event->handle, event->length);
	RB_ASSERT_EQ(result, is_ended_by(event->handle, event, count) ? -EBADF : 0);
	connection->unread -= event->length;
}

static void peer_event(struct pair *pair, const struct rb_net_event *event, unsigned count)
{
	if (event->bits & RB_NET_KNOCK) {
		if (pair->peer_rejects) {
			RB_ASSERT_EQ(rb_net_reject(pair->end[1].net, event->handle), 0);
			return;
		}
		unsigned number = peer_add(pair, event->handle);
		RB_ASSERT_EQ(rb_net_accept(pair->end[1].net, event->handle, 0), 0);
		pair->peer[number].connected = true;
		return;
	}
	struct pair_connection *connection = peer_of(pair, event->handle);
	connection->sent += event->sent;
	if (event->bits & RB_NET_CONNECTED)
		connection->connected = event->status == 0;
	if (event->bits & RB_NET_RECEIVED)
		peer_received(pair, connection, event, count);
	connection->fin |= (event->bits & RB_NET_FIN) != 0;
	connection->closed |= (event->bits & RB_NET_CLOSED) != 0 || event->status != 0;
	if (event->bits & (RB_NET_CONNECTED | RB_NET_CLOSED))
		connection->status = event->status;
}

void pair_turn_peer(struct pair *pair)
{
	const struct rb_net_event *events;
	unsigned count;
	input(&pair->end[1]);
	while ((count = rb_net_events(pair->end[1].net, &events, BURST)) > 0) {
		for (unsigned i = 0; i < count; i++)
			peer_event(pair, &events[i], count - i);
	}
	rb_net_flush(pair->end[1].net);
}

int pair_peer_connect(struct pair *pair, uint16_t port)
{
	const struct rb_endpoint remote = {.ip = rb_ip4(PAIR_ADDRESS), .port = port};
	rb_net_handle handle;
	int result = rb_net_connect(pair->end[1].net, NULL, &remote, 0, &handle);
	return result < 0 ? result : (int)peer_add(pair, handle);
}

int pair_peer_send(struct pair *pair, unsigned connection, uint32_t length)
{
	struct pair_connection *from = &pair->peer[connection];
	uint32_t at = (uint32_t)(from->queued % PAIR_BYTES),
		 first = PAIR_BYTES - at < length ? PAIR_BYTES - at : length;
	const struct rb_net_piece pieces[] = {{pair->memory->bytes + at, first}, {pair->memory->bytes, length - first}};
	RB_ASSERT_LE(length, (uint32_t)PAIR_BYTES);
	int result = rb_net_send(pair->end[1].net, from->handle, pieces, 2);
	from->queued += result == 0 ? length : 0;
	return result;
}

int pair_peer_read(struct pair *pair, unsigned connection, uint32_t length)
{
	int result = rb_net_received(pair->end[1].net, pair->peer[connection].handle, length);
	pair->peer[connection].unread -= result == 0 ? length : 0;
	return result;
}

int pair_peer_shut(struct pair *pair, unsigned connection, enum rb_net_close how)
{
	int result = rb_net_close(pair->end[1].net, pair->peer[connection].handle, how);
	if (result == 0 && how != RB_NET_CLOSE_WRITE)
		pair->peer[connection].unread = 0;
	return result;
}

/*
 * The application.
 */

struct rb_command *pair_command(struct pair *pair, unsigned type, rb_handle handle)
{
	RB_ASSERT_LT(pair->commands_count, (uint64_t)PAIR_COMMANDS);
	struct rb_command *command = &pair->memory->commands[pair->commands_count++];
	*command = (struct rb_command){.type = (uint16_t)type, .handle = handle};
	return command;
}

void pair_connect(struct pair *pair, uint16_t local, uint16_t remote, uint64_t cookie)
{
	struct rb_command *command = pair_command(pair, RB_COMMAND_CONNECT, 0);
	command->cookie = cookie;
	command->connect.local.port = local;
	command->connect.remote = (struct rb_address){.ip = PAIR_PEER_ADDRESS, .port = remote};
}

void pair_accept(struct pair *pair, rb_handle handle, uint64_t cookie)
{
	pair_command(pair, RB_COMMAND_ACCEPT, handle)->cookie = cookie;
}

void pair_recv_done(struct pair *pair, rb_handle handle, uint64_t bytes)
{
	pair_command(pair, RB_COMMAND_RECV_DONE, handle)->recv_done.bytes = bytes;
}

void pair_answers(struct pair *pair, uint32_t done)
{
	RB_ASSERT_GT(pair->commands_count, (uint64_t)0);
	pair->memory->commands[pair->commands_count - 1].sendv.done = done;
}

void pair_shut(struct pair *pair, rb_handle handle, enum rb_close_flags flags)
{
	pair_command(pair, RB_COMMAND_CLOSE, handle)->flags = (uint16_t)flags;
}

void pair_timer(struct pair *pair, uint64_t deadline_ns, uint64_t cookie)
{
	struct rb_command *command = pair_command(pair, RB_COMMAND_TIMER, 0);
	command->cookie = cookie;
	command->timer.deadline_ns = deadline_ns;
}

void pair_sendv(struct pair *pair, rb_handle handle, uint32_t from, uint32_t to, uint32_t pieces)
{
	struct rb_sg *list = pair->memory->lists[pair->commands_count % PAIR_COMMANDS];
	struct rb_command *command = pair_command(pair, RB_COMMAND_SENDV, handle);
	RB_ASSERT(from < to && to <= PAIR_BYTES && pieces <= RB_SENDV_ENTRIES_MAX);
	for (uint32_t i = 0; i < pieces; i++) {
		uint32_t at = from + (to - from) * i / pieces, end = from + (to - from) * (i + 1) / pieces;
		list[i] = (struct rb_sg){.base = pair->memory->bytes + at, .length = end - at};
	}
	command->sendv.one = list[0];
	command->sendv.sg = list;
	command->sendv.count = pieces;
}

static const uint8_t *fill_of(const struct rb_event *event)
{
	return event->pad;
}

/* Bytes of the union that events of that type use. */
static size_t fields_of(const struct rb_event *event)
{
	switch (event->type) {
	case RB_EVENT_KNOCK:
	case RB_EVENT_CONNECTED:
		return sizeof(event->knock);
	case RB_EVENT_RECV:
		return sizeof(event->recv);
	case RB_EVENT_SENT:
	case RB_EVENT_TIMER:
	case RB_EVENT_ERROR:
		return sizeof(uint64_t);
	default:
		return 0;
	}
}

static void check_event(const struct rb_event *event)
{
	RB_ASSERT(event->type >= RB_EVENT_KNOCK && event->type <= RB_EVENT_ERROR);
	RB_ASSERT_LE(event->status, 0);
	RB_ASSERT(event->flags == 0 || (event->type == RB_EVENT_RECV && event->flags == RB_RECV_FIN));
	for (size_t i = fields_of(event); i < sizeof(event->pad); i++)
		RB_ASSERT_EQ(fill_of(event)[i], 0);
}

/* All bytes are as they were. */
static void check_fence(const uint8_t *from, const void *to)
{
	const size_t length = (size_t)((const uint8_t *)to - from);
	RB_ASSERT(*from == FENCE && memcmp(from, from + 1, length - 1) == 0);
}

/* Keeps an event for the test. RECV that is a SENT, too, becomes the two. */
static void keep(struct pair *pair, const struct rb_event *event)
{
	struct rb_event kept = *event;
	if (event->type == RB_EVENT_RECV && event->recv.sent > 0) {
		pair->told[pair->told_last++ % PAIR_TOLD] = (struct rb_event){.type = RB_EVENT_SENT,
									      .handle = event->handle,
									      .cookie = event->cookie,
									      .sent.bytes = event->recv.sent};
		pair->told_both++;
		kept.recv.sent = 0;
	}
	pair->told[pair->told_last++ % PAIR_TOLD] = kept;
}

/* What the array has now is the application's. */
static void take_events(struct pair *pair)
{
	struct pair_memory *memory = pair->memory;
	uint32_t count = core_context_count(&pair->context);
	RB_ASSERT_LE(count, pair->context.events_max);
	check_fence(memory->front, memory->events);
	check_fence((const uint8_t *)&memory->events[count], memory->lists);
	for (uint32_t i = 0; i < count; i++) {
		check_event(&memory->events[i]);
		keep(pair, &memory->events[i]);
	}
	RB_ASSERT_LE(pair->told_last - pair->told_first, (uint64_t)PAIR_TOLD);
	if (count > pair->events_most)
		pair->events_most = count;
}

void pair_turn_commands(struct pair *pair)
{
	struct pair_memory *memory = pair->memory;
	const uint64_t count = pair->commands_count < PAIR_COMMANDS ? pair->commands_count : PAIR_COMMANDS;
	memset(memory->events, FENCE, core_context_count(&pair->context) * sizeof(memory->events[0]));
	core_context_execute(&pair->context, pair->commands_count);
	memset(memory->commands, FENCE, count * sizeof(memory->commands[0])); /* read no more */
	pair->commands_count = 0;
}

void pair_turn_rest(struct pair *pair)
{
	rb_net_flush(pair->end[0].net);
	pair_turn_peer(pair);
	input(&pair->end[0]);
	core_context_collect(&pair->context, pair->now_ns);
	take_events(pair);
}

void pair_turn(struct pair *pair)
{
	pair_turn_commands(pair);
	pair_turn_rest(pair);
}

const struct rb_event *pair_next(struct pair *pair)
{
	return pair->told_first == pair->told_last ? NULL : &pair->told[pair->told_first++ % PAIR_TOLD];
}

/*
 * Time.
 */

void pair_settle(struct pair *pair)
{
	unsigned turns = 0;
	uint64_t frames;
	do {
		frames = pair->end[0].frames + pair->end[1].frames;
		pair_turn(pair);
		RB_ASSERT_LT(turns++, (unsigned)TURNS_MAX);
	} while (pair->end[0].waiting > 0 || pair->end[1].waiting > 0 || core_context_count(&pair->context) > 0 ||
		 pair->context.more || pair->end[0].frames + pair->end[1].frames != frames);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void pair_run(struct pair *pair, uint64_t ns)
{
	uint64_t end_ns = pair->now_ns + ns;
	for (;;) {
		pair_settle(pair);
		if (pair->now_ns >= end_ns)
			return;
		uint64_t next_ns = least(rb_net_deadline_ns(pair->end[0].net), rb_net_deadline_ns(pair->end[1].net));
		next_ns = least(next_ns, pair->context.deadline_ns);
		if (next_ns <= pair->now_ns)
			next_ns = pair->now_ns + RB_NS_PER_US;
		pair->now_ns = least(next_ns, end_ns);
	}
}

/*
 * Beginning and end.
 */

void pair_config_default(struct pair_config *config)
{
	*config = (struct pair_config){
		.gate = {.commands_max = PAIR_COMMANDS,
			 .events_max = PAIR_EVENTS,
			 .flow_group = PAIR_GROUP,
			 .close_timeout_ns = 5 * RB_NS_PER_S},
	};
	rb_net_config_default(&config->net);
	config->net.ip6_link_local = false;
	config->net.connections = PAIR_CONNECTIONS;
	config->net.listeners = 2;
	config->net.udp_sockets = 0;
	config->net.neighbours = 4;
	config->net.send_pieces = 64;
	config->net.receive_parts = 64;
	config->net.pending = 2;
	config->net.send_queue = 1 << 16;
	config->net.receive_window = 1 << 16;
	/* frames go from memory to memory: nobody fills checksums in, and nobody looks at them */
	config->net.checksum_offload = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL;
	config->net.answer_max = ANSWER_MAX;
	config->net.ecn = false; /* who has it is answered by the flush only */
}

static void end_open(struct pair *pair, unsigned number, const struct pair_config *config)
{
	struct pair_end *end = &pair->end[number];
	struct rb_net_config net = config->net;
	const char *why;
	const struct rb_ip other = rb_ip4(number == 0 ? PAIR_PEER_ADDRESS : PAIR_ADDRESS);
	const uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)(2 - number)};
	memcpy(net.mac, (const uint8_t[]){2, 0, 0, 0, 0, (uint8_t)(1 + number)}, 6);
	net.ip4 = number == 0 ? PAIR_ADDRESS : PAIR_PEER_ADDRESS;
	RB_ASSERT_EQ(rb_net_config_check(&net, &why), 0);
	*end = (struct pair_end){.pair = pair, .last = &end->first, .random = number + 1, .hash = SEED};
	end->size = (rb_net_size(&net) + LINE - 1) / LINE * LINE;
	end->memory = aligned_alloc(LINE, end->size);
	RB_ASSERT(end->memory != NULL);
	memset(end->memory, 0, end->size); /* so that all of it can be compared */
	end->net = rb_net_init(end->memory, &net, &ops, end, pair->now_ns);
	RB_ASSERT_EQ(rb_net_neighbour_set(end->net, &other, mac), 0);
}

/* Made once: a fuzz target opens many pairs. */
static const uint8_t *all_bytes(void)
{
	static uint8_t bytes[PAIR_BYTES];
	static bool made;
	for (uint32_t i = 0; !made && i < PAIR_BYTES; i++)
		bytes[i] = pair_byte(i);
	made = true;
	return bytes;
}

void pair_open(struct pair *pair, const struct pair_config *config)
{
	struct pair_config defaults;
	const struct rb_endpoint local = {.port = PAIR_PORT}, peer = {.port = PAIR_PEER_PORT};
	if (config == NULL) {
		pair_config_default(&defaults);
		config = &defaults;
	}
	memset(pair, 0, offsetof(struct pair, told));
	pair->told_first = pair->told_last = pair->told_both = pair->events_most = 0;
	pair->peer_rejects = pair->peer_keeps = false;
	for (unsigned i = 0; i < PAIR_CONNECTIONS; i++)
		memset(&pair->peer[i], 0, offsetof(struct pair_connection, bytes));
	pair->peer_count = 0;
	pair->now_ns = RB_NS_PER_S;
	for (unsigned number = 0; number < 2; number++)
		end_open(pair, number, config);
	pair->memory = aligned_alloc(LINE, (sizeof(*pair->memory) + LINE - 1) / LINE * LINE);
	RB_ASSERT(pair->memory != NULL);
	memset(pair->memory, FENCE, offsetof(struct pair_memory, lists));
	memcpy(pair->memory->bytes, all_bytes(), PAIR_BYTES);
	struct rb_gate_context gate = config->gate;
	gate.commands = pair->memory->commands;
	gate.events = pair->memory->events;
	const struct core_range range = {(uintptr_t)pair->memory, sizeof(*pair->memory)};
	RB_ASSERT_EQ(core_context_init(&pair->context, pair->end[0].net, &gate, &range), 0);
	RB_ASSERT_EQ(rb_net_listen(pair->end[0].net, &local, PAIR_COOKIE, &pair->listener), 0);
	RB_ASSERT_EQ(rb_net_listen(pair->end[1].net, &peer, 0, &pair->peer_listener), 0);
	pair_run(pair, OPENING_NS);
}

struct rb_net_usage pair_usage(const struct pair *pair, unsigned end)
{
	struct rb_net_usage usage;
	rb_net_usage(pair->end[end].net, &usage);
	return usage;
}

void pair_close(struct pair *pair)
{
	pair->commands_count = 0;
	(void)rb_net_close(pair->end[0].net, pair->listener, RB_NET_CLOSE_BOTH);
	(void)rb_net_close(pair->end[1].net, pair->peer_listener, RB_NET_CLOSE_BOTH);
	for (unsigned i = 0; i < 2; i++) {
		pair->end[i].deaf = false;
		rb_net_close_all(pair->end[i].net, RB_NET_CLOSE_ABORT);
	}
	pair_run(pair, CLOSING_NS);
	for (unsigned i = 0; i < 2; i++) {
		struct rb_net_usage usage = pair_usage(pair, i);
		RB_ASSERT_EQ(usage.connections + usage.listeners, 0U);
		RB_ASSERT_EQ(usage.send_pieces, 0U);
		RB_ASSERT_EQ(usage.receive_parts, 0U);
		RB_ASSERT_EQ(pair->end[i].buffers, 0U);
	}
	pair_abandon(pair);
}

void pair_abandon(struct pair *pair)
{
	for (unsigned i = 0; i < 2; i++) {
		struct pair_end *end = &pair->end[i];
		for (unsigned j = 0; j < PAIR_HEADERS; j++)
			free(end->header[j]); /* in hand for the next frames */
		for (struct pair_frame *frame = end->first, *next; frame != NULL; frame = next) {
			next = frame->next;
			free(frame);
		}
		free(end->memory);
	}
	free(pair->memory);
	pair->memory = NULL;
}
