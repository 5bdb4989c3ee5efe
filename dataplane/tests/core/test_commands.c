// SPDX-License-Identifier: Apache-2.0
/* Commands that must be refused: each by exactly one event, and without a trace of it anywhere else. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "tests/core/expect.h"

enum { QUEUED = 3000, UNREAD = 10 };

/*
 * A place with connections in all states; the same in each run.
 */

enum what { OPEN, KNOCKED, HALF, CLOSING, GONE, STRANGER, HANDLES };

static struct {
	rb_handle handle[HANDLES];
	unsigned peer[HANDLES];
	uint64_t events; /* hash of those that are no errors */
	unsigned errors;
	struct rb_event error; /* the last one */
} place;

static uint64_t mix(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 32);
}

/* Where received bytes lie is another matter in each run. */
static void look(const struct rb_event *event)
{
	if (event->type == RB_EVENT_ERROR) {
		place.error = *event;
		place.errors++;
		return;
	}
	struct rb_event plain = *event;
	if (plain.type == RB_EVENT_RECV)
		plain.recv.data = NULL;
	for (size_t i = 0; i < sizeof(plain) / sizeof(uint64_t); i++) {
		uint64_t word;
		memcpy(&word, (const uint8_t *)&plain + i * sizeof(word), sizeof(word));
		place.events = mix(place.events, word);
	}
}

static void look_all(void)
{
	const struct rb_event *event;
	while ((event = pair_next(&pair)) != NULL)
		look(event);
}

static void prepare(void)
{
	memset(&place, 0, sizeof(place));
	for (unsigned i = 0; i < STRANGER; i++) {
		place.peer[i] = pair_peer_connect(&pair, PAIR_PORT);
		pair_settle(&pair);
		place.handle[i] = expect(RB_EVENT_KNOCK, 0, PAIR_COOKIE).handle;
		if (i != KNOCKED)
			pair_accept(&pair, place.handle[i], 100 + i);
	}
	assert_int_equal(pair_peer_send(&pair, place.peer[OPEN], UNREAD), 0);
	assert_int_equal(pair_peer_send(&pair, place.peer[KNOCKED], UNREAD), 0);
	pair_shut(&pair, place.handle[HALF], RB_CLOSE_WRITE);
	pair_shut(&pair, place.handle[CLOSING], RB_CLOSE_ORDERLY);
	pair_shut(&pair, place.handle[GONE], RB_CLOSE_ABORT);
	pair_run(&pair, 100 * RB_NS_PER_MS);
	expect_recv(place.handle[OPEN], 100 + OPEN, 0, UNREAD, 0);
	expect_closed(place.handle[GONE], 100 + GONE, -ECONNABORTED);
	expect_nothing();
	/* under way, and not yet acknowledged: there is more to be disturbed */
	pair_sendv(&pair, place.handle[OPEN], 0, QUEUED, 2);
	pair_turn(&pair);
	look_all();
}

/*
 * What is wrong.
 */

struct wrong {
	const char *name;
	uint16_t type;
	enum what on;
	uint16_t flags;
	int status;
	void (*set)(struct rb_command *command, uint64_t value);
	uint64_t value;
};

static void *address(uint64_t value)
{
	return (void *)(uintptr_t)value;
}

static void set_answer(struct rb_command *command, uint64_t value)
{
	command->sendv.done = (uint32_t)value;
}

static void set_done(struct rb_command *command, uint64_t value)
{
	command->recv_done.bytes = value;
}

static void set_deadline(struct rb_command *command, uint64_t value)
{
	command->timer.deadline_ns = value;
}

/* A good one, of three pieces. */
static struct rb_sg *good_list(struct rb_command *command)
{
	struct rb_sg *list = pair.memory->lists[0];
	for (unsigned i = 0; i < 3; i++)
		list[i] = (struct rb_sg){.base = pair.memory->bytes + (size_t)10 * i, .length = 10};
	command->sendv.sg = list;
	command->sendv.count = 3;
	return list;
}

static void set_good(struct rb_command *command, uint64_t value)
{
	(void)value;
	(void)good_list(command);
}

static void set_count(struct rb_command *command, uint64_t value)
{
	(void)good_list(command);
	/* it is nothing but the count that is wrong */
	for (unsigned i = 0; i < 2 * RB_SENDV_ENTRIES_MAX; i++)
		pair.memory->lists[i / RB_SENDV_ENTRIES_MAX][i % RB_SENDV_ENTRIES_MAX] =
			(struct rb_sg){.base = pair.memory->bytes + i, .length = 1};
	command->sendv.count = (uint32_t)value;
}

/* Addresses relative to the memory's end, and others as they are. */
enum { BEFORE_END = 1 << 16 };

static uint64_t place_of(uint64_t value)
{
	return value < BEFORE_END ? (uintptr_t)(pair.memory + 1) - value : value;
}

static void set_list(struct rb_command *command, uint64_t value)
{
	(void)good_list(command);
	command->sendv.sg = address(place_of(value));
}

static void set_list_before(struct rb_command *command, uint64_t value)
{
	(void)good_list(command);
	command->sendv.sg = address((uintptr_t)pair.memory - value);
}

/* Alone, it stands in the command, and there is no list. */
static struct rb_sg *good_piece(struct rb_command *command)
{
	command->sendv.one = (struct rb_sg){.base = pair.memory->bytes, .length = 10};
	command->sendv.sg = address((uintptr_t)pair.memory - 1);
	command->sendv.count = 1;
	return &command->sendv.one;
}

static void set_one_base(struct rb_command *command, uint64_t value)
{
	good_piece(command)->base = address(place_of(value));
}

static void set_one_before(struct rb_command *command, uint64_t value)
{
	good_piece(command)->base = address((uintptr_t)pair.memory - value);
}

static void set_one_length(struct rb_command *command, uint64_t value)
{
	good_piece(command)->length = value;
}

static void set_first_base(struct rb_command *command, uint64_t value)
{
	good_list(command)[0].base = address(place_of(value));
}

static void set_last_base(struct rb_command *command, uint64_t value)
{
	good_list(command)[2].base = address(place_of(value));
}

static void set_base_before(struct rb_command *command, uint64_t value)
{
	good_list(command)[1].base = address((uintptr_t)pair.memory - value);
}

static void set_first_length(struct rb_command *command, uint64_t value)
{
	good_list(command)[0].length = value;
}

static void set_last_length(struct rb_command *command, uint64_t value)
{
	good_list(command)[2].length = value;
}

#define FAR UINT64_C(0x100000000)

static const struct wrong wrongs[] = {
	{"no type", 0, OPEN, 0, -EINVAL, NULL, 0},
	{"type after the last", RB_COMMAND_TIMER + 1, OPEN, 0, -EINVAL, NULL, 0},
	{"type 256 + SENDV", 256 + RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_good, 0},
	{"type 65535", UINT16_MAX, OPEN, 0, -EINVAL, NULL, 0},
	{"type 65535 of nothing", UINT16_MAX, GONE, 0, -EINVAL, NULL, 0},

	{"accept with flags", RB_COMMAND_ACCEPT, KNOCKED, 1, -EINVAL, NULL, 0},
	{"reject with flags", RB_COMMAND_REJECT, KNOCKED, 1, -EINVAL, NULL, 0},
	{"sendv with flags", RB_COMMAND_SENDV, OPEN, 1, -EINVAL, set_good, 0},
	{"recv_done with flags", RB_COMMAND_RECV_DONE, OPEN, 0x8000, -EINVAL, set_done, 1},
	{"close with 3", RB_COMMAND_CLOSE, OPEN, 3, -EINVAL, NULL, 0},
	{"close with 256", RB_COMMAND_CLOSE, OPEN, 256, -EINVAL, NULL, 0},
	{"close with all flags", RB_COMMAND_CLOSE, OPEN, UINT16_MAX, -EINVAL, NULL, 0},
	{"timer with flags", RB_COMMAND_TIMER, OPEN, 1, -EINVAL, set_deadline, 1},

	{"accept again", RB_COMMAND_ACCEPT, OPEN, 0, -EBADF, NULL, 0},
	{"accept what is closing", RB_COMMAND_ACCEPT, CLOSING, 0, -EBADF, NULL, 0},
	{"reject what is open", RB_COMMAND_REJECT, OPEN, 0, -EBADF, NULL, 0},
	{"reject what is half-closed", RB_COMMAND_REJECT, HALF, 0, -EBADF, NULL, 0},
	{"send before accept", RB_COMMAND_SENDV, KNOCKED, 0, -EBADF, set_good, 0},
	{"send after half-close", RB_COMMAND_SENDV, HALF, 0, -EPIPE, set_good, 0},
	{"send after close", RB_COMMAND_SENDV, CLOSING, 0, -EPIPE, set_good, 0},
	{"give back before accept", RB_COMMAND_RECV_DONE, KNOCKED, 0, -EINVAL, set_done, 1},
	{"give back after close", RB_COMMAND_RECV_DONE, CLOSING, 0, -EINVAL, set_done, 1},
	{"close before accept", RB_COMMAND_CLOSE, KNOCKED, RB_CLOSE_ORDERLY, -EBADF, NULL, 0},
	{"half-close before accept", RB_COMMAND_CLOSE, KNOCKED, RB_CLOSE_WRITE, -EBADF, NULL, 0},
	{"abort before accept", RB_COMMAND_CLOSE, KNOCKED, RB_CLOSE_ABORT, -EBADF, NULL, 0},

	{"give back nothing", RB_COMMAND_RECV_DONE, OPEN, 0, -EINVAL, set_done, 0},
	{"give back too much", RB_COMMAND_RECV_DONE, OPEN, 0, -EINVAL, set_done, UNREAD + 1},
	{"give back 2^32", RB_COMMAND_RECV_DONE, OPEN, 0, -EINVAL, set_done, FAR},
	{"give back 2^32 + 1", RB_COMMAND_RECV_DONE, OPEN, 0, -EINVAL, set_done, FAR + 1},
	{"give back 2^64 - 1", RB_COMMAND_RECV_DONE, OPEN, 0, -EINVAL, set_done, UINT64_MAX},
	{"give back where nothing came", RB_COMMAND_RECV_DONE, HALF, 0, -EINVAL, set_done, 1},

	{"an answer that gives back too much", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_answer, UNREAD + 1},
	{"an answer that gives back 2^32 - 1", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_answer, UINT32_MAX},
	{"an answer where nothing came", RB_COMMAND_SENDV, HALF, 0, -EINVAL, set_answer, 1},
	{"no pieces", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_count, 0},
	{"65 pieces", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_count, RB_SENDV_ENTRIES_MAX + 1},
	{"2^32 - 1 pieces", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_count, UINT32_MAX},
	{"2^31 pieces", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_count, UINT64_C(1) << 31},
	{"no list", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_list_before, 0x10000000000},
	{"a list before the memory", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_list_before, 48},
	{"a list that begins too early", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_list_before, 1},
	{"a list that ends too late", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_list, 47},
	{"a list behind the memory", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_list, 0},
	{"a list at the end of addresses", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_list, UINT64_MAX - 15},
	{"a list that wraps", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_list, UINT64_MAX},
	{"a list at no address", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_list, UINT64_C(1) << 63},

	{"a first piece that ends too late", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_first_base, 9},
	{"a last piece that ends too late", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_last_base, 9},
	{"a piece behind the memory", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_last_base, 0},
	{"a piece that begins too early", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_base_before, 1},
	{"a piece that wraps", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_last_base, UINT64_MAX - 5},
	{"a piece at no address", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_first_base, UINT64_C(1) << 63},
	{"an empty first piece", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_first_length, 0},
	{"an empty last piece", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_last_length, 0},
	{"a piece of 2^32", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_first_length, FAR},
	{"a piece of 2^32 + 1", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_last_length, FAR + 1},
	{"a piece of 2^64 - 1", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_last_length, UINT64_MAX},
	{"a piece longer than the memory", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_first_length, UINT32_MAX},

	{"one piece that ends too late", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_one_base, 9},
	{"one piece behind the memory", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_one_base, 0},
	{"one piece that begins too early", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_one_before, 1},
	{"one piece that wraps", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_one_base, UINT64_MAX - 5},
	{"one empty piece", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_one_length, 0},
	{"one piece of 2^32", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_one_length, FAR},
	{"one piece of 2^32 + 1", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_one_length, FAR + 1},
	{"one piece of 2^64 - 1", RB_COMMAND_SENDV, OPEN, 0, -EINVAL, set_one_length, UINT64_MAX},
	{"one piece longer than the memory", RB_COMMAND_SENDV, OPEN, 0, -EFAULT, set_one_length, UINT32_MAX},
};

enum { WRONGS = sizeof(wrongs) / sizeof(wrongs[0]) };

/* What is told of it: the connection's cookie where there is one, or the command's. */
static uint64_t cookie_of(const struct wrong *wrong)
{
	if (wrong->type == RB_COMMAND_ACCEPT || wrong->type == RB_COMMAND_TIMER || wrong->on >= GONE)
		return 1;
	return wrong->on == KNOCKED ? PAIR_COOKIE : 100U + wrong->on;
}

static void put(const struct wrong *wrong)
{
	struct rb_command *command = pair_command(&pair, wrong->type, place.handle[wrong->on]);
	command->flags = wrong->flags;
	command->cookie = 1;
	if (wrong->set != NULL)
		wrong->set(command, wrong->value);
}

static const char *name = ""; /* of what is wrong */

static void check_error(const struct rb_event *event, unsigned type, rb_handle handle, uint64_t cookie, int status)
{
	if (event->type != RB_EVENT_ERROR || event->status != status)
		print_error("%s\n", name);
	assert_int_equal(event->type, RB_EVENT_ERROR);
	assert_int_equal(event->status, status);
	assert_int_equal(event->handle, handle);
	assert_int_equal(event->cookie, cookie);
	assert_int_equal(event->error.command, type);
	assert_int_equal(event->error.count, 1);
}

/* Carries out what was put: one event, and not a bit of instance or context is another one. */
static void refused(unsigned type, rb_handle handle, uint64_t cookie, int status)
{
	struct pair_end *end = &pair.end[0];
	struct core_context before = pair.context;
	void *kept = malloc(end->size);
	assert_non_null(kept);
	memcpy(kept, end->memory, end->size);
	core_context_execute(&pair.context, pair.commands_count);
	pair.commands_count = 0;
	const bool same = memcmp(kept, end->memory, end->size) == 0;
	free(kept);
	if (!same)
		fail_msg("%s: has changed something", name);
	before.places.next = pair.context.places.next;
	assert_int_equal(core_context_count(&pair.context), 1);
	assert_memory_equal(&before, &pair.context, sizeof(before));
	check_error(&pair.memory->events[0], type, handle, cookie, status);
}

static void test_wrong(void **state)
{
	(void)state;
	prepare();
	for (unsigned i = 0; i < WRONGS; i++) {
		const struct wrong *wrong = &wrongs[i];
		put(wrong);
		name = wrong->name;
		refused(wrong->type, place.handle[wrong->on], cookie_of(wrong), wrong->status);
	}
	pair_close(&pair);
}

/* All commands that have a handle, with those that name nothing. */
static void test_handles(void **state)
{
	(void)state;
	prepare();
	const rb_handle open = place.handle[OPEN], group = rb_handle_make(PAIR_GROUP, 0, 0);
	const rb_handle handles[] = {
		place.handle[GONE],
		open + 1,
		open - 1,
		open ^ UINT64_C(0x80000000),
		open ^ rb_handle_make(0, 1, 0),
		open ^ rb_handle_make(0, RB_CONNECTIONS_PER_GROUP_MAX >> 1, 0),
		open ^ rb_handle_make(1, 0, 0),
		open ^ rb_handle_make(RB_FLOW_GROUPS_MAX >> 1, 0, 0),
		open & ~group,
		group,
		group | rb_handle_make(0, RB_CONNECTIONS_PER_GROUP_MAX - 1, UINT32_MAX),
		group | pair.listener,
		pair.listener,
		0,
		1,
		UINT64_MAX,
	};
	for (unsigned i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
		for (unsigned type = RB_COMMAND_ACCEPT; type < RB_COMMAND_TIMER; type++) {
			for (unsigned flags = 0; flags < (type == RB_COMMAND_CLOSE ? 3U : 1U); flags++) {
				struct rb_command *command = pair_command(&pair, type, handles[i]);
				command->cookie = 9;
				command->flags = (uint16_t)flags;
				if (type == RB_COMMAND_SENDV)
					(void)good_list(command);
				else if (type == RB_COMMAND_RECV_DONE)
					command->recv_done.bytes = 1;
				refused(type, handles[i], 9, -EBADF);
			}
		}
	}
	pair_close(&pair);
}

/*
 * A run with and without.
 */

struct digest {
	struct rb_net_counters counters[2];
	struct rb_net_usage usage[2];
	struct rb_gate_counters context;
	uint64_t frames[2], hash[2], events;
};

/* `wrong` between good commands; NULL: only these. */
static void run(const struct wrong *wrong, struct digest *digest)
{
	pair_open(&pair, NULL);
	prepare();
	pair_recv_done(&pair, place.handle[OPEN], 3);
	if (wrong != NULL)
		put(wrong);
	pair_accept(&pair, place.handle[KNOCKED], 1000);
	pair_sendv(&pair, place.handle[OPEN], QUEUED, 2 * QUEUED, 1);
	pair_run(&pair, RB_NS_PER_S);
	look_all();
	pair_recv_done(&pair, place.handle[OPEN], UNREAD - 3);
	pair_sendv(&pair, place.handle[OPEN], 2 * QUEUED, 3 * QUEUED, 5);
	for (unsigned i = 0; i < GONE; i++)
		pair_shut(&pair, place.handle[i], RB_CLOSE_ORDERLY);
	pair_run(&pair, RB_NS_PER_S);
	for (unsigned i = 0; i < GONE; i++)
		assert_int_equal(pair_peer_shut(&pair, place.peer[i], RB_NET_CLOSE_BOTH), 0);
	pair_run(&pair, RB_NS_PER_S);
	look_all();
	memset(digest, 0, sizeof(*digest));
	for (unsigned i = 0; i < 2; i++) {
		digest->counters[i] = *rb_net_counters(pair.end[i].net);
		digest->usage[i] = pair_usage(&pair, i);
		digest->frames[i] = pair.end[i].frames;
		digest->hash[i] = pair.end[i].hash;
	}
	digest->context = pair.context.counters;
	digest->events = place.events;
	expect_peer_has(place.peer[OPEN], 0, 0, UINT64_C(3) * QUEUED);
	pair_close(&pair);
}

static void test_no_trace(void **state)
{
	(void)state;
	struct digest without, with;
	pair_close(&pair);
	run(NULL, &without);
	assert_int_equal(place.errors, 0);
	assert_int_equal(without.context.closed, 5);
	for (unsigned i = 0; i < WRONGS; i++) {
		name = wrongs[i].name;
		run(&wrongs[i], &with);
		assert_int_equal(place.errors, 1);
		check_error(&place.error, wrongs[i].type, place.handle[wrongs[i].on], cookie_of(&wrongs[i]),
			    wrongs[i].status);
		if (memcmp(&without, &with, sizeof(with)) != 0)
			fail_msg("%s: has left a trace", name);
	}
}

/* And that the comparison sees one: of a good command. */
static void test_trace(void **state)
{
	(void)state;
	struct digest without, with;
	const struct wrong good = {"good", RB_COMMAND_SENDV, OPEN, 0, 0, set_good, 0};
	pair_close(&pair);
	run(NULL, &without);
	pair_open(&pair, NULL);
	prepare();
	put(&good);
	pair_run(&pair, RB_NS_PER_S);
	look_all();
	assert_int_equal(place.errors, 0);
	assert_int_not_equal(place.events, without.events);
	pair_close(&pair);
	run(NULL, &with);
	assert_memory_equal(&without, &with, sizeof(with));
}

/*
 * What there is no room for: all or nothing.
 */

static void test_no_room(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(1, &peer);
	pair.end[1].deaf = true;
	pair_sendv(&pair, handle, 0, 1 << 16, 1);
	pair_sendv(&pair, handle, 0, 1, 1); /* the queue is full */
	pair_turn(&pair);
	expect_error(RB_COMMAND_SENDV, handle, 1, -ENOBUFS);
	pair.end[1].deaf = false;
	pair_run(&pair, RB_NS_PER_S);
	while (core_context_counters(&pair.context).bytes_out < 1 << 16 || pair.told_first != pair.told_last)
		expect(RB_EVENT_SENT, handle, 1);
	expect_peer_has(peer, 0, 0, 1 << 16);
	pair_sendv(&pair, handle, 0, 64, 64);
	pair_sendv(&pair, handle, 0, 2, 2); /* no pieces are left */
	pair_run(&pair, RB_NS_PER_S);
	expect_error(RB_COMMAND_SENDV, handle, 1, -ENOBUFS);
	while (core_context_counters(&pair.context).bytes_out < (1 << 16) + 64 || pair.told_first != pair.told_last)
		expect(RB_EVENT_SENT, handle, 1);
	assert_int_equal(pair.peer[peer].received, (1 << 16) + 64);
	assert_int_equal(pair_usage(&pair, 0).send_pieces, 0);
	expect_end();
}

/* The least and the most that is right; a list at an odd address, and none. */
static void test_bounds(void **state)
{
	(void)state;
	unsigned peer;
	const rb_handle handle = expect_accepted(1, &peer);
	uint8_t *end = (uint8_t *)(pair.memory + 1), *odd = (uint8_t *)pair.memory->lists[1] + 1;
	const uint8_t *last = pair.memory->bytes + PAIR_BYTES - 1;
	const struct rb_sg all[] = {{pair.memory->bytes, 100}, {last, 1}};
	pair_sendv(&pair, handle, 0, 100, 60);
	struct rb_command *command = pair_command(&pair, RB_COMMAND_SENDV, handle);
	memcpy(odd, all, sizeof(all));
	command->sendv.sg = address((uintptr_t)odd);
	command->sendv.count = 2;
	command = pair_command(&pair, RB_COMMAND_SENDV, handle);
	command->sendv.one = all[1];
	command->sendv.count = 1;
	pair_run(&pair, RB_NS_PER_S);
	assert_ptr_equal(last + 1, end);
	assert_int_equal(pair.peer[peer].received, 202);
	assert_int_equal(pair.peer[peer].bytes[200], *last);
	assert_int_equal(pair.peer[peer].bytes[201], *last);
	while (core_context_counters(&pair.context).bytes_out < 202 || pair.told_first != pair.told_last)
		expect(RB_EVENT_SENT, handle, 1);
	assert_int_equal(pair_peer_send(&pair, peer, 2), 0);
	pair_settle(&pair);
	expect_recv(handle, 1, 0, 2, 0);
	pair_recv_done(&pair, handle, 1);
	pair_recv_done(&pair, handle, 1);
	pair_recv_done(&pair, handle, 1);
	pair_settle(&pair);
	expect_error(RB_COMMAND_RECV_DONE, handle, 1, -EINVAL);
	expect_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_wrong, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_handles, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_no_trace, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_trace, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_no_room, expect_setup, expect_teardown),
		cmocka_unit_test_setup_teardown(test_bounds, expect_setup, expect_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
