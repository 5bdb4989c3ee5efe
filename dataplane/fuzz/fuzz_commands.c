// SPDX-License-Identifier: Apache-2.0
/*
 * The decoder of commands, over the pair of tests/core: what an application may put into its array, and a peer that
 * does as it likes. The input is a program: a byte of configuration, then steps. A step's first byte chooses what it
 * does, and the bytes behind it are its numbers. Commands are mostly good ones of handles that there are, with
 * something wrong now and then; or 64 bytes as they come.
 *
 * Promises: no crash; nothing is written outside of the event array (pair.c); each command that must be refused is
 * answered by exactly one error, and changes no bit of instance or context; each that must not is not; what the
 * application is told is the life of a connection as abi/abi.h has it, with the peer's bytes in order; when all is closed,
 * nothing is left.
 */
#include "fuzz/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "fuzz/list.h"
#include "fuzz/net_invariants.h"
#include "net/tcp_handle.h"
#include "tests/core/pair.h"

enum {
	KNOWN = PAIR_CONNECTIONS,
	PENDING = 4 * PAIR_CONNECTIONS,
	ROUNDS_TO_END = 40,
	FIRST_COOKIE = 1000,
	MAYBE = 1,
	GUESSED = 64
};

enum phase { KNOCKED, OPEN, HALF, CLOSING, ABORTED };

/* A connection whose handle the application has. */
struct known {
	rb_handle handle; /* 0: a free slot */
	uint64_t cookie;
	enum phase phase;
	bool fin, dead;
	/* Somebody has guessed the handle before it was told, or mark_unsure(): who knows what has been done to it. */
	bool meddled;
	uint64_t received, unread, queued_least, queued_most, sent; /* bytes */
};

struct fuzz {
	const uint8_t *data;
	size_t size;
	struct known known[KNOWN];
	rb_handle stale; /* the last one that has ended */
	rb_handle guessed[GUESSED];
	unsigned guesses;
	uint64_t cookies;
	uint64_t pending[PENDING]; /* cookies of CONNECT without an answer; 0: a free slot */
	uint64_t deadline_ns, deadline_cookie;
	/* of the commands that are carried out: copies, and which of their handles have named something before */
	struct rb_command commands[PAIR_COMMANDS];
	int list_status[PAIR_COMMANDS];
	bool possible[PAIR_COMMANDS];
	uint64_t count;
	uint32_t answers; /* looked at */
};

static struct fuzz fuzz;
static struct pair pair;

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

static uint64_t read_word(void)
{
	uint64_t word = 0;
	for (unsigned i = 0; i < sizeof(word); i++)
		word = word << 8 | read_byte();
	return word;
}

/* Now and then. */
static bool read_rarely(void)
{
	return read_byte() >= 0xe0;
}

/* Numbers at which something may go wrong. */
static uint64_t read_limit(void)
{
	static const uint64_t limits[] = {0,
					  1,
					  RB_SENDV_ENTRIES_MAX,
					  RB_SENDV_ENTRIES_MAX + 1,
					  UINT16_MAX,
					  UINT32_MAX,
					  UINT64_C(1) << 32,
					  INT64_MAX,
					  UINT64_C(1) << 63,
					  UINT64_MAX - 15,
					  UINT64_MAX};
	const uint8_t choice = read_byte();
	if (choice % 16 < sizeof(limits) / sizeof(limits[0]))
		return limits[choice % 16];
	return read_word();
}

/*
 * What the application knows.
 */

static struct known *known_of(rb_handle handle)
{
	for (unsigned i = 0; handle != 0 && i < KNOWN; i++) {
		if (fuzz.known[i].handle == handle)
			return &fuzz.known[i];
	}
	return NULL;
}

static void learn(rb_handle handle, uint64_t cookie, enum phase phase)
{
	RB_ASSERT(handle != 0 && known_of(handle) == NULL);
	RB_ASSERT_EQ(rb_handle_group(handle), pair.context.group >> 52);
	for (unsigned i = 0; i < KNOWN; i++) {
		if (fuzz.known[i].handle != 0)
			continue;
		fuzz.known[i] = (struct known){.handle = handle, .cookie = cookie, .phase = phase};
		for (unsigned j = 0; j < GUESSED; j++)
			fuzz.known[i].meddled |= fuzz.guessed[j] == handle;
		return;
	}
	RB_ASSERT(!"there are no more connections than there may be");
}

static void forget(struct known *known)
{
	fuzz.stale = known->handle;
	known->handle = 0;
}

#define GROUP_BITS rb_handle_make(RB_FLOW_GROUPS_MAX - 1, 0, 0)

static bool is_own(rb_handle handle)
{
	return (handle & GROUP_BITS) == pair.context.group;
}

/* Does a handle name a connection, if only one that the application was not told of? */
static bool names_something(rb_handle handle)
{
	return is_own(handle) && tcp_of_handle(pair.end[0].net, handle & ~GROUP_BITS) != NULL;
}

/* Returns the slot of a CONNECT without an answer. */
static uint64_t *pending_of(uint64_t cookie)
{
	for (unsigned i = 0; i < PENDING; i++) {
		if (fuzz.pending[i] == cookie)
			return &fuzz.pending[i];
	}
	return NULL;
}

/*
 * Commands.
 */

static rb_handle read_handle(void)
{
	const struct known *known = &fuzz.known[read_byte() % KNOWN];
	rb_handle handle = known->handle;
	for (unsigned i = 0; handle == 0 && i < KNOWN; i++)
		handle = fuzz.known[i].handle;
	if (!read_rarely())
		return handle;
	const uint8_t how = read_byte();
	switch (how % 4) {
	case 0:
		return fuzz.stale;
	case 1:
		return handle ^ UINT64_C(1) << (how >> 2);
	case 2:
		return (how & 4 ? handle : fuzz.stale) + 1;
	default:
		return read_word();
	}
}

static const void *read_address(void)
{
	const uint64_t high = read_byte(), at = high << 8 | read_byte();
	if (!read_rarely())
		return pair.memory->bytes + at;
	if (read_byte() % 2 == 0)
		return (const void *)(uintptr_t)read_limit();
	return (const void *)((uintptr_t)(pair.memory + 1) - at);
}

static uint64_t read_length(void)
{
	if (read_rarely())
		return read_limit();
	const uint32_t units = read_byte(), shift = read_byte() % 6;
	return 1 + (units << shift);
}

static uint64_t read_done(rb_handle handle)
{
	const struct known *known = known_of(handle);
	const uint64_t unread = known != NULL ? known->unread : 0;
	const uint8_t how = read_byte();
	if (how < 0xc0)
		return how < 0x80 ? unread : unread / 2;
	return how < 0xe0 ? unread + 1 : read_limit();
}

static void put_sendv(struct rb_command *command, rb_handle handle)
{
	struct rb_sg *list = pair.memory->lists[pair.commands_count - 1];
	const uint8_t count = read_byte();
	command->handle = handle;
	command->sendv.sg = list;
	command->sendv.count = count < 0xe0 ? 1U + count % 4 : (uint32_t)read_limit();
	const uint32_t listed = command->sendv.count < 4 ? command->sendv.count : 4;
	for (uint32_t i = 0; i < RB_SENDV_ENTRIES_MAX; i++)
		list[i] = (struct rb_sg){.base = pair.memory->bytes, .length = 1};
	for (uint32_t i = 0; i < listed; i++) {
		list[i].base = read_address();
		list[i].length = read_length();
	}
	command->sendv.one = list[0];
	if (read_rarely()) {
		const uint64_t by = read_byte();
		command->sendv.sg = read_byte() % 2 == 0 ? read_address() : (void *)((uintptr_t)list + by);
	}
	if (read_byte() % 2 == 1)
		command->sendv.done = (uint32_t)read_done(handle);
}

static void put_recv_done(struct rb_command *command, rb_handle handle)
{
	command->recv_done.bytes = read_done(handle);
}

static void put_connect(struct rb_command *command)
{
	const uint8_t how = read_byte();
	command->cookie = ++fuzz.cookies;
	command->connect.local.port = how & 1 ? 0 : 5000 + how % 4;
	command->connect.remote = (struct rb_address){
		.ip = PAIR_PEER_ADDRESS,
		.port = how & 2 ? PAIR_PEER_PORT : PAIR_PEER_PORT + how % 8,
	};
	if (!read_rarely())
		return;
	command->connect.local.ip = (uint32_t)read_limit();
	command->connect.remote.ip = (uint32_t)read_limit();
}

static void put_timer(struct rb_command *command)
{
	const uint8_t how = read_byte();
	command->cookie = ++fuzz.cookies;
	command->timer.deadline_ns = how < 0xc0 ? pair.now_ns + ((uint64_t)how << how % 32) : read_limit();
}

static void put_raw(struct rb_command *command)
{
	uint8_t bytes[sizeof(*command)];
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = read_byte();
	memcpy(command, bytes, sizeof(bytes));
	if (command->type == RB_COMMAND_CONNECT)
		command->cookie = ++fuzz.cookies; /* which tells them apart */
}

static void do_command(void)
{
	static const uint8_t types[] = {RB_COMMAND_CONNECT, RB_COMMAND_ACCEPT,	  RB_COMMAND_ACCEPT,
					RB_COMMAND_REJECT,  RB_COMMAND_SENDV,	  RB_COMMAND_SENDV,
					RB_COMMAND_SENDV,   RB_COMMAND_RECV_DONE, RB_COMMAND_RECV_DONE,
					RB_COMMAND_CLOSE,   RB_COMMAND_TIMER};
	enum { TYPES = sizeof(types) / sizeof(types[0]) };
	if (pair.commands_count >= pair.context.commands_max)
		return;
	const uint8_t choice = read_byte() % 16;
	const uint16_t type = choice < TYPES ? types[choice] : choice == 15 ? read_byte() : RB_COMMAND_RECV_DONE;
	const rb_handle handle = read_handle();
	struct rb_command *command = pair_command(&pair, type, handle);
	command->cookie = type == RB_COMMAND_ACCEPT ? ++fuzz.cookies : 0;
	if (choice == 14)
		put_raw(command);
	else if (type == RB_COMMAND_SENDV)
		put_sendv(command, handle);
	else if (type == RB_COMMAND_RECV_DONE)
		put_recv_done(command, handle);
	else if (type == RB_COMMAND_CONNECT)
		put_connect(command);
	else if (type == RB_COMMAND_TIMER)
		put_timer(command);
	else if (type == RB_COMMAND_CLOSE)
		command->flags = read_byte() % 3;
	if (read_rarely())
		command->flags = (uint16_t)read_limit();
}

/*
 * What must come of them.
 */

static bool has_wrong_flags(const struct rb_command *command)
{
	return command->flags > (command->type == RB_COMMAND_CLOSE ? RB_CLOSE_ABORT : 0);
}

/* By what the application knows of the connection. */
static int known_status(const struct rb_command *command, const struct known *known)
{
	switch (command->type) {
	case RB_COMMAND_ACCEPT:
	case RB_COMMAND_REJECT:
		return known->phase == KNOCKED ? 0 : -EBADF;
	case RB_COMMAND_SENDV:
		if (command->sendv.done > 0 && (known->phase == KNOCKED || command->sendv.done > known->unread))
			return -EINVAL;
		if (known->phase == KNOCKED)
			return -EBADF;
		return known->phase == OPEN && !known->dead ? 0 : -EPIPE;
	case RB_COMMAND_RECV_DONE:
		return known->phase != KNOCKED && command->recv_done.bytes <= known->unread ? 0 : -EINVAL;
	default:
		return known->phase == KNOCKED ? -EBADF : 0;
	}
}

/* Why a command must be refused. 0: it must not, but for want of room; MAYBE: nobody knows. */
static int status_of(uint64_t number)
{
	const struct rb_command *command = &fuzz.commands[number];
	const struct known *known = known_of(command->handle);
	const uint64_t bytes = command->recv_done.bytes;
	if (command->type == RB_COMMAND_TIMER)
		return has_wrong_flags(command) ? -EINVAL : 0;
	if (!is_own(command->handle))
		return -EBADF;
	if (command->type == 0 || command->type > RB_COMMAND_TIMER || has_wrong_flags(command))
		return -EINVAL;
	if (command->type == RB_COMMAND_SENDV && fuzz.list_status[number] != 0)
		return fuzz.list_status[number];
	if (command->type == RB_COMMAND_RECV_DONE && (bytes == 0 || bytes > UINT32_MAX))
		return -EINVAL;
	if (known == NULL) /* a lucky guess, of one that is being opened; or just rejected */
		return fuzz.possible[number] ? MAYBE : -EBADF;
	return known->meddled ? MAYBE : known_status(command, known);
}

static void apply_close(struct known *known, uint16_t flags)
{
	static const enum phase phases[] = {
		[RB_CLOSE_ORDERLY] = CLOSING, [RB_CLOSE_WRITE] = HALF, [RB_CLOSE_ABORT] = ABORTED};
	/* of a connection that is aborted all stays, unless it has ended before: then it is as of any other */
	if (flags == RB_CLOSE_ORDERLY || (flags == RB_CLOSE_ABORT && (known->dead || known->phase == ABORTED)))
		known->unread = 0;
	if (phases[flags] > known->phase)
		known->phase = phases[flags];
}

/* Was there no room for something that this connection was to send? Then nobody knows which it was. */
static bool wanted_room(rb_handle handle)
{
	for (uint32_t i = 0; i < core_context_count(&pair.context); i++) {
		const struct rb_event *event = &pair.memory->events[i];
		if (event->type == RB_EVENT_ERROR && event->handle == handle && event->status == -ENOBUFS)
			return true;
	}
	return false;
}

static void apply_sendv(struct known *known, const struct rb_command *command)
{
	const uint64_t bytes = list_bytes(command);
	known->queued_most += bytes;
	if (!wanted_room(command->handle))
		known->queued_least += bytes;
}

static void apply(const struct rb_command *command)
{
	struct known *known = known_of(command->handle);
	if (command->type == RB_COMMAND_TIMER) {
		fuzz.deadline_ns = command->timer.deadline_ns;
		fuzz.deadline_cookie = command->cookie;
		return;
	}
	if (known == NULL) {
		RB_ASSERT(command->type != RB_COMMAND_ACCEPT && command->type != RB_COMMAND_REJECT);
		fuzz.guessed[fuzz.guesses++ % GUESSED] = command->handle;
		return;
	}
	switch (command->type) {
	case RB_COMMAND_ACCEPT:
		known->phase = OPEN;
		known->cookie = command->cookie;
		break;
	case RB_COMMAND_REJECT:
		forget(known);
		break;
	case RB_COMMAND_SENDV:
		apply_sendv(known, command);
		break;
	case RB_COMMAND_RECV_DONE:
		known->unread -= known->meddled ? 0 : command->recv_done.bytes;
		break;
	default:
		apply_close(known, command->flags);
		break;
	}
}

/* The next answer, if it is that. */
static const struct rb_event *next_answer(void)
{
	return fuzz.answers < core_context_count(&pair.context) ? &pair.memory->events[fuzz.answers] : NULL;
}

static void check_connect(const struct rb_command *command)
{
	const struct rb_event *event = next_answer();
	bool must = command->flags != 0 || command->connect.remote.ip == 0 || command->connect.remote.port == 0;
	if (event == NULL || event->type != RB_EVENT_CONNECTED || event->cookie != command->cookie) {
		RB_ASSERT(!must);
		uint64_t *slot = pending_of(0);
		RB_ASSERT(slot != NULL);
		*slot = command->cookie;
		return;
	}
	fuzz.answers++;
	RB_ASSERT(event->status < 0 && event->handle == 0);
	RB_ASSERT(!must || event->status == -EINVAL);
	RB_ASSERT(memcmp(&event->connected.local, &command->connect.local, sizeof(struct rb_address)) == 0);
	RB_ASSERT(memcmp(&event->connected.remote, &command->connect.remote, sizeof(struct rb_address)) == 0);
}

static uint64_t cookie_of(const struct rb_command *command)
{
	const struct known *known = known_of(command->handle);
	bool own = command->type == RB_COMMAND_ACCEPT || command->type == RB_COMMAND_TIMER;
	return own || known == NULL ? command->cookie : known->cookie;
}

/* Is the next answer an error of that command, with that status? */
static bool is_refused(const struct rb_command *command, int status)
{
	const struct rb_event *event = next_answer();
	return event != NULL && event->type == RB_EVENT_ERROR && event->error.command == command->type &&
	       event->handle == command->handle && (status == MAYBE || event->status == status);
}

static void check_answer(uint64_t number)
{
	const struct rb_command *command = &fuzz.commands[number];
	if (command->type == RB_COMMAND_CONNECT) {
		check_connect(command);
		return;
	}
	const int status = status_of(number);
	const bool room = status == 0 && command->type == RB_COMMAND_SENDV;
	const bool refused = is_refused(command, room ? -ENOBUFS : status);
	if (refused) {
		const struct rb_event *event = next_answer();
		fuzz.answers++;
		RB_ASSERT(status != 0 || room);
		RB_ASSERT_EQ(event->error.count, 1U);
		if (known_of(command->handle) != NULL || !fuzz.possible[number])
			RB_ASSERT_EQ(event->cookie, cookie_of(command));
	}
	RB_ASSERT(refused || status == 0 || status == MAYBE);
	if (!refused || room)
		apply(command);
	struct known *known = known_of(command->handle);
	if (!refused && command->type == RB_COMMAND_SENDV && known != NULL && !known->meddled)
		known->unread -= command->sendv.done;
}

/* Those that have ended, which the application is not told yet. */
static void mark_dead(void)
{
	struct rb_net_info info;
	for (unsigned i = 0; i < KNOWN; i++) {
		struct known *known = &fuzz.known[i];
		const rb_net_handle handle = known->handle & ~pair.context.group;
		if (known->handle != 0)
			known->dead = rb_net_info(pair.end[0].net, handle, &info) != 0 || info.state == TCP_CLOSED ||
				      info.state == TCP_TIME_WAIT;
	}
}

/*
 * Of several that were to send on a connection, one found no room: nobody knows which, and so not what they have given
 * back, if they were to.
 */
static void mark_unsure(void)
{
	for (uint64_t i = 0; i < fuzz.count; i++) {
		const struct rb_command *command = &fuzz.commands[i];
		struct known *known = known_of(command->handle);
		if (known == NULL || command->type != RB_COMMAND_SENDV || command->sendv.done == 0 ||
		    !wanted_room(command->handle))
			continue;
		for (uint64_t j = 0; j < fuzz.count; j++)
			known->meddled |= j != i && fuzz.commands[j].type == RB_COMMAND_SENDV &&
					  fuzz.commands[j].handle == command->handle;
	}
}

/* All that a refused command must leave as it was: the context, but for the count of its answers, and the instance. */
static void *snapshot(void)
{
	const size_t size = pair.end[0].size;
	uint8_t *bytes = malloc(sizeof(pair.context) + size);
	RB_ASSERT(bytes != NULL);
	memcpy(bytes, &pair.context, sizeof(pair.context));
	((struct core_context *)(void *)bytes)->places.next = NULL;
	memcpy(bytes + sizeof(pair.context), pair.end[0].memory, size);
	return bytes;
}

/* The commands and their answers. */
static void carry_out(void)
{
	bool alone = pair.commands_count == 1;
	fuzz.count = pair.commands_count;
	fuzz.answers = 0;
	for (uint64_t i = 0; i < fuzz.count; i++) {
		fuzz.commands[i] = pair.memory->commands[i];
		if (fuzz.commands[i].type == RB_COMMAND_SENDV)
			fuzz.list_status[i] = list_status(&fuzz.commands[i], pair.memory, pair.memory + 1);
		fuzz.possible[i] = names_something(fuzz.commands[i].handle);
	}
	if (fuzz.count > 0)
		mark_dead();
	alone = alone && fuzz.commands[0].type != RB_COMMAND_CONNECT && status_of(0) < 0;
	void *before = alone ? snapshot() : NULL;
	pair_turn_commands(&pair);
	if (before != NULL) {
		void *after = snapshot();
		RB_ASSERT(memcmp(before, after, sizeof(pair.context) + pair.end[0].size) == 0);
		free(before);
		free(after);
	}
	for (uint64_t i = 0; i < fuzz.count; i++)
		fuzz.possible[i] |= names_something(fuzz.commands[i].handle);
	mark_unsure();
	for (uint64_t i = 0; i < fuzz.count; i++)
		check_answer(i);
	RB_ASSERT_EQ(fuzz.answers, core_context_count(&pair.context));
}

/*
 * Events.
 */

static void on_connected(const struct rb_event *event)
{
	uint64_t *slot = pending_of(event->cookie);
	RB_ASSERT(slot != NULL && event->cookie != 0);
	*slot = 0;
	if (event->status == 0)
		learn(event->handle, event->cookie, OPEN);
	else
		RB_ASSERT_EQ(event->handle, 0U);
}

static void on_received(struct known *known, const struct rb_event *event)
{
	const uint8_t *bytes = event->recv.data;
	RB_ASSERT(known->phase == OPEN || known->phase == HALF || known->meddled);
	RB_ASSERT(!known->fin && (event->recv.length > 0 || event->flags == RB_RECV_FIN));
	for (uint64_t i = 0; i < event->recv.length; i++)
		RB_ASSERT_EQ(bytes[i], pair.memory->bytes[(known->received + i) % PAIR_BYTES]);
	known->received += event->recv.length;
	known->unread += event->recv.length;
	known->fin = event->flags == RB_RECV_FIN;
}

static void on_connection(const struct rb_event *event)
{
	struct known *known = known_of(event->handle);
	RB_ASSERT(known != NULL);
	RB_ASSERT_EQ(event->cookie, known->cookie);
	if (event->type == RB_EVENT_RECV) {
		on_received(known, event);
	} else if (event->type == RB_EVENT_SENT) {
		known->sent += event->sent.bytes;
		RB_ASSERT(event->sent.bytes > 0 && known->phase != KNOCKED);
		RB_ASSERT(known->sent <= known->queued_most || known->meddled);
	} else {
		RB_ASSERT_EQ(event->type, RB_EVENT_CLOSED);
		RB_ASSERT(event->status != 0 || known->sent >= known->queued_least || known->meddled);
		forget(known);
	}
}

static void on_timer(const struct rb_event *event)
{
	RB_ASSERT_EQ(event->cookie, fuzz.deadline_cookie);
	RB_ASSERT_EQ(event->timer.deadline_ns, fuzz.deadline_ns);
	RB_ASSERT_LE(fuzz.deadline_ns, pair.now_ns);
	fuzz.deadline_ns = RB_DEADLINE_NONE;
}

static void turn(void)
{
	const struct rb_event *event;
	carry_out();
	pair_turn_rest(&pair);
	for (uint32_t i = 0; (event = pair_next(&pair)) != NULL; i++) {
		if (i < fuzz.answers)
			continue;
		if (event->type == RB_EVENT_KNOCK)
			learn(event->handle, event->cookie, KNOCKED);
		else if (event->type == RB_EVENT_CONNECTED)
			on_connected(event);
		else if (event->type == RB_EVENT_TIMER)
			on_timer(event);
		else
			on_connection(event);
	}
	RB_ASSERT(pair.context.more || pair.now_ns < fuzz.deadline_ns);
	net_invariants_check(pair.end[0].net);
}

/* More commands than the array holds: none is carried out. */
static void do_too_many(void)
{
	const uint64_t count = pair.context.commands_max + 1 + (read_byte() % 2 == 0 ? read_byte() : read_word() / 2);
	pair.commands_count = count;
	pair_turn_commands(&pair);
	RB_ASSERT_EQ(core_context_count(&pair.context), 1U);
	RB_ASSERT_EQ(pair.memory->events[0].type, (unsigned)RB_EVENT_ERROR);
	RB_ASSERT_EQ(pair.memory->events[0].error.count, count < UINT32_MAX ? count : UINT32_MAX);
}

/*
 * The peer, and time.
 */

static void do_peer(void)
{
	const unsigned connection = read_byte() % PAIR_CONNECTIONS;
	const uint8_t what = read_byte(), number = read_byte();
	struct pair_connection *peer = &pair.peer[connection];
	switch (what % 10) {
	case 0:
	case 1:
		(void)pair_peer_connect(&pair, PAIR_PORT);
		break;
	case 2:
	case 3:
	case 4:
		(void)pair_peer_send(&pair, connection, (uint32_t)number << what % 7);
		break;
	case 5:
		(void)pair_peer_read(&pair, connection, (uint32_t)peer->unread);
		break;
	case 6:
		(void)pair_peer_shut(&pair, connection, (enum rb_net_close)(number % 3));
		break;
	case 7:
		pair.peer_keeps = number % 2;
		break;
	case 8:
		pair.peer_rejects = number % 2;
		break;
	default:
		pair.end[number % 2].deaf = number & 2;
		break;
	}
}

static void do_time(void)
{
	const uint8_t how = read_byte();
	pair.now_ns += UINT64_C(1) << how % 35;
}

static void open_pair(uint8_t options)
{
	struct pair_config config;
	pair_config_default(&config);
	config.gate.commands_max = options & 1 ? 3 : 48;
	config.gate.events_max = config.gate.commands_max + (options & 2 ? 4 : 60);
	config.gate.nagle = (options & 4) != 0;
	config.gate.flow_group = options & 8 ? RB_FLOW_GROUPS_MAX - 1 : 0;
	config.gate.close_timeout_ns = options & 16 ? 0 : RB_NS_PER_S;
	config.net.send_pieces = options & 32 ? 8 : 64;
	config.net.receive_parts = options & 32 ? 8 : 64;
	config.net.receive_window = options & 64 ? 3000 : 1 << 16;
	config.net.ecn = (options & 128) != 0;
	config.net.time_wait_us = 1000000;
	config.net.syn_retries = 1;
	config.net.user_timeout_us = 10000000;
	pair_open(&pair, &config);
}

static bool is_over(void)
{
	for (unsigned i = 0; i < PENDING; i++) {
		if (fuzz.pending[i] != 0)
			return false;
	}
	for (unsigned i = 0; i < KNOWN; i++) {
		if (fuzz.known[i].handle != 0)
			return false;
	}
	return !pair.context.more;
}

/* The application ends what it knows of, and is told the end of it. */
static void end_all(void)
{
	pair.end[0].deaf = pair.end[1].deaf = false;
	turn();
	for (unsigned round = 0; !is_over(); round++) {
		RB_ASSERT_LT(round, (unsigned)ROUNDS_TO_END);
		for (unsigned i = 0; i < KNOWN; i++) {
			const struct known *known = &fuzz.known[i];
			if (known->handle == 0 || pair.commands_count >= pair.context.commands_max)
				continue;
			if (known->phase == KNOCKED)
				(void)pair_command(&pair, RB_COMMAND_REJECT, known->handle);
			else
				pair_shut(&pair, known->handle, RB_CLOSE_ABORT);
		}
		turn();
		while (pair.context.more)
			turn();
		pair.now_ns += RB_NS_PER_S;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz = (struct fuzz){.data = data, .size = size, .deadline_ns = RB_DEADLINE_NONE, .cookies = FIRST_COOKIE};
	open_pair(read_byte());
	while (fuzz.size > 0) {
		const uint8_t step = read_byte();
		switch (step % 8) {
		case 0:
			do_time();
			break;
		case 1:
		case 2:
			do_peer();
			break;
		case 3:
			if (step >= 0xf0)
				do_too_many();
			break;
		default:
			do_command();
			break;
		}
		if (!(step & 8))
			turn();
	}
	end_all();
	pair_close(&pair);
	return 0;
}
