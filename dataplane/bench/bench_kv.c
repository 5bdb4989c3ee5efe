// SPDX-License-Identifier: Apache-2.0
/*
 * What the key-value server costs by itself: instructions per request, on one thread, with a stack that does nothing. The
 * clients are played outside of what is counted: everything from the first event of a turn to the last command is in
 * bench_turn(), which a profiler counts (callgrind --toggle-collect=bench_turn), the event of a request, the
 * command that answers it, parsing, table and reply among it.
 *
 *     bench_kv text|binary get|set CONNECTIONS TURNS [VALUE-BYTES]    16 connections per turn, a request each
 *
 * Keys have 30 bytes and values 64; every GET hits, every SET replaces. The last line of the output is a name and a
 * number: how many operations the counted turns were. What comes before goes through bench_warm_up(), so that it is not
 * counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/kv/serve.h"
#include "base/assert.h"
#include "user/backend.h"

enum {
	BATCH = 16,
	KEY = 30,
	KEYS = 10000,
	REQUEST_MAX = 4096,
};

static struct {
	struct kv_shared shared;
	struct kv_worker worker;
	struct kv_serve *serve;
	uint8_t requests[BATCH][REQUEST_MAX];
	size_t request_bytes[BATCH];
	uint64_t *cookies; /* of connections, as accepted */
	uint64_t *sent;	   /* bytes of their last reply, which SENT releases with the next request */
	uint32_t connections, accepted, knocks;
	uint32_t first; /* connection of the turn */
	uint64_t replies, reply_bytes, received;
	uint32_t value_bytes;
} bench;

/* ---- a stack without a network ---- */

static int stack_create(const struct rb_context_config *config, struct rb_context_stats *stats, void **state)
{
	(void)config;
	(void)stats;
	*state = &bench;
	return 0;
}

static void stack_destroy(void *state)
{
	(void)state;
}

static int stack_listener(const struct rb_listen_config *config, void **listener)
{
	(void)config;
	*listener = &bench;
	return 0;
}

static int stack_listen(void *state, void *listener, uint64_t cookie)
{
	(void)state;
	(void)listener;
	(void)cookie;
	return 0;
}

static void bench_command(const struct rb_command *command)
{
	uint64_t bytes = 0;

	switch (command->type) {
	case RB_COMMAND_ACCEPT:
		bench.cookies[command->handle - 1] = command->cookie;
		bench.accepted++;
		break;
	case RB_COMMAND_RECV_DONE:
		bench.received += command->recv_done.bytes;
		break;
	case RB_COMMAND_SENDV:
		bench.received += command->sendv.done;
		for (uint32_t i = 0; i < command->sendv.count; i++)
			bytes += rb_sendv_pieces(command)[i].length;
		bench.sent[command->handle - 1] = bytes;
		bench.reply_bytes += bytes;
		bench.replies++;
		break;
	default:
		RB_ASSERT_EQ(command->type, RB_COMMAND_TIMER);
		break;
	}
}

/* Commands of the turn before; then events: the last reply of each connection was sent, and its next request is there. */
static int bench_run_io(void *state, const struct rb_command *commands, uint32_t commands_count,
			struct rb_event *events, uint32_t events_max, enum rb_wait wait)
{
	int count = 0;

	(void)state;
	(void)events_max;
	(void)wait;
	for (uint32_t i = 0; i < commands_count; i++)
		bench_command(&commands[i]);
	if (bench.knocks > 0) {
		events[0] = (struct rb_event){.type = RB_EVENT_KNOCK, .handle = bench.knocks--};
		return 1;
	}
	for (uint32_t i = 0; i < BATCH && bench.request_bytes[i] > 0; i++) {
		const uint32_t index = (bench.first + i) % bench.connections;
		struct rb_event *event = &events[count++];
		event->type = RB_EVENT_RECV;
		event->flags = 0;
		event->handle = index + 1;
		event->cookie = bench.cookies[index];
		event->recv.data = bench.requests[i];
		event->recv.length = bench.request_bytes[i];
		event->recv.sent = bench.sent[index];
		bench.sent[index] = 0;
	}
	return count;
}

static const char *const no_names[] = {NULL};

static const struct rb_backend stack = {
	.name = "bench",
	.syscall_names = no_names,
	.context_create = stack_create,
	.context_destroy = stack_destroy,
	.run_io = bench_run_io,
	.wake = stack_destroy,
	.listener_create = stack_listener,
	.listener_destroy = stack_destroy,
	.listen = stack_listen,
};

/* ---- requests ---- */

static size_t key_of(uint64_t number, uint8_t *key)
{
	char text[KEY + 1];

	snprintf(text, sizeof(text), "%0*llu", KEY, (unsigned long long)(number % KEYS));
	memcpy(key, text, KEY);
	return KEY;
}

static size_t text_request(uint8_t *to, uint64_t number, bool set)
{
	size_t at = 4;

	memcpy(to, set ? "set " : "get ", at);
	at += key_of(number, to + at);
	if (set)
		at += (size_t)sprintf((char *)to + at, " 0 0 %u\r\n", bench.value_bytes);
	if (set) {
		memset(to + at, 'v', bench.value_bytes);
		at += bench.value_bytes;
	}
	memcpy(to + at, "\r\n", 2);
	return at + 2;
}

static size_t binary_request(uint8_t *to, uint64_t number, bool set)
{
	const uint32_t body = KEY + (set ? 8 + bench.value_bytes : 0);
	size_t at = 24;

	memset(to, 0, 32);
	to[0] = 0x80;
	to[1] = set ? 1 : 0;
	to[3] = KEY;
	to[4] = set ? 8 : 0;
	to[10] = (uint8_t)(body >> 8);
	to[11] = (uint8_t)body;
	at += to[4];
	at += key_of(number, to + at);
	if (set) {
		memset(to + at, 'v', bench.value_bytes);
		at += bench.value_bytes;
	}
	return at;
}

/* A profiler finds them by name, so neither is inlined, cloned or merged with the other. */
__attribute__((noipa)) void bench_turn(void);
__attribute__((noipa)) void bench_warm_up(void);

void bench_turn(void)
{
	RB_ASSERT_EQ(kv_serve_turn(bench.serve, RB_POLL), 0);
}

void bench_warm_up(void)
{
	RB_ASSERT_EQ(kv_serve_turn(bench.serve, RB_POLL), 0);
}

/* Each turn gives the commands of the one before, so its first call has none and there is one more after the last. */
static void run(uint64_t turns, bool binary, bool set, void (*call)(void))
{
	for (uint64_t turn = 0; turn < turns; turn++) {
		for (uint32_t i = 0; i < BATCH; i++) {
			const uint64_t number = (turn * BATCH + i) * 7;
			uint8_t *to = bench.requests[i];
			bench.request_bytes[i] =
				binary ? binary_request(to, number, set) : text_request(to, number, set);
		}
		call();
		bench.first = (bench.first + BATCH) % bench.connections;
	}
	memset(bench.request_bytes, 0, sizeof(bench.request_bytes));
	bench_warm_up();
}

static void open_server(uint32_t connections)
{
	const struct kv_store_config store = {
		.memory_bytes = 64 << 20, .item_bytes_max = 1 << 20, .threads = 1, .seed = 1};
	const struct rb_context_config context = {.backend = &stack, .connections_max = connections};
	struct rb_listener *listener;

	bench.connections = bench.knocks = connections;
	bench.cookies = calloc(connections, sizeof(*bench.cookies));
	bench.sent = calloc(connections, sizeof(*bench.sent));
	RB_ASSERT(bench.cookies != NULL && bench.sent != NULL);
	RB_ASSERT_EQ(kv_store_create(&store, &bench.shared.store), 0);
	bench.worker.store = bench.shared.store;
	bench.worker.shared = &bench.shared;
	RB_ASSERT_EQ(kv_pool_init(&bench.worker.pool, bench.shared.store), 0);
	RB_ASSERT_EQ(rb_listener_create(&stack, &(struct rb_listen_config){0}, &listener), 0);
	RB_ASSERT_EQ(kv_serve_create(&context, &bench.worker, &bench.serve), 0);
	RB_ASSERT_EQ(rb_context_listen(kv_serve_context(bench.serve), listener, 0), 0);
	while (bench.accepted < connections)
		bench_warm_up();
	rb_listener_destroy(listener);
}

static uint32_t number(const char *text, uint32_t most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value == 0 || value > most) {
		fprintf(stderr, "bench_kv: %s must be 1 to %u\n", text, most);
		exit(2);
	}
	return (uint32_t)value;
}

int main(int argc, char **argv)
{
	if ((argc != 5 && argc != 6) || (strcmp(argv[1], "text") != 0 && strcmp(argv[1], "binary") != 0) ||
	    (strcmp(argv[2], "get") != 0 && strcmp(argv[2], "set") != 0)) {
		fprintf(stderr,
			"usage: bench_kv text|binary get|set CONNECTIONS TURNS [VALUE-BYTES]\n"
			"       CONNECTIONS a multiple of %d\n",
			BATCH);
		return 2;
	}
	const bool binary = strcmp(argv[1], "binary") == 0, set = strcmp(argv[2], "set") == 0;
	const uint32_t connections = number(argv[3], 1U << 20), turns = number(argv[4], 1U << 20);
	bench.value_bytes = argc == 6 ? number(argv[5], REQUEST_MAX - 128) : 64;
	RB_ASSERT_EQ(connections % BATCH, 0U);
	open_server(connections);
	run(2 * KEYS / BATCH, binary, true, bench_warm_up);
	run(2 * KEYS / BATCH, binary, set, bench_warm_up);
	const uint64_t before = bench.replies, bytes = bench.reply_bytes;
	run(turns, binary, set, bench_turn);
	RB_ASSERT_EQ(bench.replies - before, (uint64_t)turns * BATCH);
	if (!set) /* a hit each */
		RB_ASSERT_GE(bench.reply_bytes - bytes, (uint64_t)turns * BATCH * bench.value_bytes);
	RB_ASSERT_EQ(bench.worker.counters.get_misses, 0U);
	kv_serve_destroy(bench.serve);
	kv_pool_free(&bench.worker.pool);
	kv_store_destroy(bench.shared.store);
	free(bench.cookies);
	free(bench.sent);
	printf("operations %u\n", turns * BATCH);
	return 0;
}
